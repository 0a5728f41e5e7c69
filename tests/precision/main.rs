//! The worst error of each elementary function, in both arithmetics, and that all backends of one have the same bits.
//!
//! `cargo test --test precision` takes one input of every few thousand;
//! `cargo test --release --test precision -- --ignored --nocapture` takes all 2^32, and with the name of a function at the
//! end only its.

// The library's own modules, since not all of these functions are public.
#[allow(unused_macros, reason = "what only the documentation needs")]
#[path = "../../src/bounds.rs"]
#[macro_use]
mod bounds;
mod exact;
mod function;
#[allow(dead_code, reason = "what only sums need")]
#[path = "../../src/lanes/integer.rs"]
mod integer;
#[allow(dead_code, reason = "what only sums need")]
#[path = "../../src/lanes/math.rs"]
mod math;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "what only the losses need")]
#[path = "../../src/simd/mod.rs"]
mod simd;
mod sweep;

use std::marker::PhantomData;

use function::{Apply, Function};
use losslanes::{Error, View, ViewMut, kernels};
use simd::{Backend, INTEGERS, LANES, Ops};

/// One input of so many.
const SPARSE: usize = 4_099;

/// Three tests of each function in the table, which is in the order of the README's.
macro_rules! sweeps {
    ($($name:ident $portable:literal $fused:literal $integer:literal,)*) => {$(
        mod $name {
            use super::{SPARSE, function, sweep};

            const BOUNDS: [&str; 3] = [$portable, $fused, $integer];

            #[test]
            fn sparse() {
                sweep::check::<function::$name>(stringify!($name), BOUNDS, &sweep::EVERY, SPARSE);
            }

            #[test]
            #[ignore = "all 2^32 inputs"]
            fn all() {
                sweep::check::<function::$name>(stringify!($name), BOUNDS, &sweep::BY_FLOATS, 1);
            }

            #[test]
            #[ignore = "all 2^32 inputs"]
            fn all_by_integers() {
                sweep::check::<function::$name>(stringify!($name), BOUNDS, &sweep::BY_INTEGERS, 1);
            }
        }
    )*};
}

functions!(sweeps);

/// The inputs of a sparse sweep.
fn sparse() -> impl Iterator<Item = f32> {
    (0..=u32::MAX).step_by(SPARSE).map(f32::from_bits)
}

/// The README's table has the same numbers.
#[test]
fn readme() {
    macro_rules! rows {
        ($($name:ident $portable:literal $fused:literal $integer:literal,)*) => {
            [$((stringify!($name), [$portable, $fused, $integer])),*]
        };
    }
    let table = functions!(rows);
    let columns = ["exp", "ln", "ln_1p", "sigmoid", "log_sigmoid", "softplus"];
    for (i, arithmetic) in sweep::ARITHMETICS.into_iter().enumerate() {
        let cell = |column| table.iter().find(|(name, _)| *name == column).expect("an entry of the table").1[i];
        let row = format!("| losslanes, {arithmetic} | {} |", columns.map(cell).join(" | "));
        assert!(include_str!("../../README.md").contains(&row), "no row of the README is {row}");
    }
}

/// The exponentials in sums, as the documentation of `exp_term` has their relative errors.
#[test]
fn terms() {
    const COUNT: u16 = u16::MAX;
    let inputs = |low: f32| (0..COUNT).map(move |i| low * f32::from(i) / f32::from(COUNT));
    for (low, bounds) in [(-5.0, [1.8e-7, 1.7e-7]), (-40.0, [1.9e-7, 2.6e-7]), (-87.0, [1.9e-7, 3.9e-7])] {
        let x: Vec<f32> = inputs(low).collect();
        let x = x.as_chunks().0;
        let mut out = vec![[0.0; LANES]; x.len()];
        for backend in Backend::available().chain([Backend::INTEGER]) {
            sweep::run_on(backend, Apply { x, out: &mut out, function: PhantomData::<function::exponential> });
            for (&x, &got) in x.as_flattened().iter().zip(out.as_flattened()) {
                let exact = exact::exponential(x.into());
                let error = (f64::from(got) - exact).abs() / exact;
                assert!(error <= bounds[usize::from(backend.is_fused())], "e^{x:e} on {backend}: {error:e}");
            }
        }
    }
}

/// Below the range of the exponentials in sums, at its upper end, and NaN.
#[test]
fn special_terms() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let x = [0.0, -0.0, -129.5, -150.0, -256.0, -1e5, f32::MIN, -inf, nan, -nan];
    let unit = 60_f32.exp2();
    let want = [unit, unit, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, nan, nan];
    let mut block = [0.0; LANES];
    block[..x.len()].copy_from_slice(&x);
    for backend in Backend::available().chain([Backend::INTEGER]) {
        let mut out = [[0.0; LANES]];
        let function = PhantomData::<function::exponential>;
        sweep::run_on(backend, Apply { x: &[block], out: &mut out, function });
        for ((x, got), want) in x.iter().zip(out[0]).zip(want) {
            assert!(got == want || (got.is_nan() && want.is_nan()), "e^{x:e} on {backend}: {got:e}");
        }
    }
}

/// By integers, where the sweep of positive numbers does not come.
#[test]
fn ln_1p_of_special_values_by_integers() {
    let ln_1p = |x: f32| math::ln_1p(INTEGERS, x);
    assert_eq!([ln_1p(-1.0), ln_1p(f32::INFINITY)], [f32::NEG_INFINITY, f32::INFINITY]);
    assert!(ln_1p(f32::NAN).is_nan() && ln_1p(-f32::NAN).is_nan());
}

/// The additions of cores without floating point hardware are those of this CPU: of any bits, of numbers of nearly the same
/// size, which cancel or are ties, and of the ends of the range.
#[test]
fn additions_by_integers() {
    let ends = [0.0, -0.0, 1.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::MAX, f32::INFINITY, f32::NAN];
    let ends = ends.into_iter().flat_map(|a| [a, -a]);
    let any = sparse().zip(sparse().map(|x| f32::from_bits(x.to_bits().wrapping_mul(0x9e37_79b9))));
    let near = sparse().flat_map(|a| {
        let bits = a.to_bits();
        // The same sign and the other, up to 31 binary orders of magnitude below.
        (0..32).flat_map(move |shift| {
            let mixed = bits.wrapping_mul(0x85eb_ca6b).rotate_left(shift);
            let b = bits.wrapping_sub(shift << 23) ^ (mixed & 0x8000_0fff);
            [(a, f32::from_bits(b)), (f32::from_bits(b), a)]
        })
    });
    for (a, b) in any.chain(near).chain(ends.clone().flat_map(|a| ends.clone().map(move |b| (a, b)))) {
        for (got, want) in [(INTEGERS.add(a, b), a + b), (INTEGERS.sub(a, b), a - b)] {
            assert!(
                got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                "{a:e} and {b:e}: {got:e}, {want:e}"
            );
        }
    }
}

/// Against functions that are correctly rounded: in `f64`, and in `f32`, where this shows whether `f64` is enough.
#[test]
fn exact_functions() {
    type Row = (&'static str, fn(f64) -> f64, fn(f64) -> f64, Option<fn(f32) -> f32>);

    fn softplus(x: f64) -> f64 {
        x.max(0.0) + core_math::log1p(core_math::exp(-x.abs()))
    }
    let rows: [Row; 6] = [
        ("exp", exact::exp, core_math::exp, Some(core_math::expf)),
        ("ln", exact::ln, core_math::log, Some(core_math::logf)),
        ("ln_1p", exact::ln_1p, core_math::log1p, Some(core_math::log1pf)),
        ("sigmoid", exact::sigmoid, |x| 1.0 / (1.0 + core_math::exp(-x)), None),
        ("softplus", exact::softplus, softplus, None),
        ("log_sigmoid", exact::log_sigmoid, |x| -softplus(-x), None),
    ];
    for (name, own, other, rounded) in rows {
        for x in sparse() {
            let (own, other) = (own(x.into()), other(x.into()));
            // Beyond the floats, where both round to the same, the own ones end.
            let close = (own - other).abs() <= 1e-14 * other.abs() || (own.is_nan() && other.is_nan());
            #[expect(clippy::cast_possible_truncation, reason = "rounding is what is meant")]
            let (own_rounded, other_rounded) = (own as f32, other as f32);
            let beyond = own_rounded == other_rounded && (other_rounded == 0.0 || other_rounded.is_infinite());
            assert!(close || beyond, "{name} of {x:e}: {own:e}, correctly rounded {other:e}");
            let right = rounded.map_or(own_rounded, |rounded| rounded(x));
            let same = own_rounded == right || (own_rounded.is_nan() && right.is_nan());
            assert!(same, "{name} of {x:e}: {own_rounded:e}, correctly rounded {right:e}");
        }
    }
}

/// The public kernels are these functions, bit for bit.
#[test]
fn public_kernels() {
    fn check<F: Function>(
        name: &str,
        kernel: impl Fn(kernels::Kernels, View<'_, f32, 1>, ViewMut<'_, f32, 1>) -> Result<(), Error>,
    ) {
        let x: Vec<f32> = sparse().collect();
        let x = x.as_chunks().0;
        let (mut own, mut public) = (vec![[0.0; LANES]; x.len()], vec![0.0; x.len() * LANES]);
        for (backend, of_crate) in Backend::available().zip(losslanes::Backend::available()) {
            assert_eq!(backend.to_string(), of_crate.to_string());
            backend.dispatch(&mut Apply { x, out: &mut own, function: PhantomData::<F> });
            let (x, own, shape) = (x.as_flattened(), own.as_flattened(), [public.len()]);
            let (from, to) = (View::new(x, shape), ViewMut::new(&mut public, shape));
            kernel(kernels::on(of_crate), from.expect("a view"), to.expect("a view")).expect("equal shapes");
            for ((x, own), public) in x.iter().zip(own).zip(&public) {
                let same = own.to_bits() == public.to_bits() || (own.is_nan() && public.is_nan());
                assert!(same, "{name} of {x:e} on {backend}: {public:e}, the function gives {own:e}");
            }
        }
    }
    check::<function::exp>("exp", kernels::Kernels::exp);
    check::<function::ln>("ln", kernels::Kernels::ln);
    check::<function::sigmoid>("sigmoid", kernels::Kernels::sigmoid);
    check::<function::log_sigmoid>("log_sigmoid", kernels::Kernels::log_sigmoid);
    check::<function::softplus>("softplus", kernels::Kernels::softplus);
}
