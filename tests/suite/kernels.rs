//! Every kernel against `f64`, on every backend.

use crate::common::{
    array::Array,
    backends,
    check::{self, CONFIDENT, SOFTMAX, ulps},
    generate::{CLASSES, size},
    kernels::{Map, Reduction},
    layouts::{CONTIGUOUS, Placement},
    random::Random,
};
use losslanes::{Backend, Isa, kernels};

impl Map {
    /// The error bound of an elementwise kernel, in units of the last place.
    fn bound(self) -> f64 {
        match self {
            Self::Exp | Self::Ln => 1.0,
            _ => 1.5,
        }
    }
}

/// Some thousands of all bit patterns, at even steps: each sign and exponent.
#[test]
fn elementwise_kernels_of_all_bits() {
    let step = (1 << 32) / if cfg!(miri) { 100 } else { 20_000 } + 1;
    let x: Vec<f32> = (0..=u32::MAX).step_by(step).map(f32::from_bits).collect();
    elementwise(x);
}

/// Where the functions bend, saturate, or become subnormal.
#[test]
fn elementwise_kernels_of_special_values() {
    let places = [0.0, 1.0, -1.0, 17.0, 88.7, -87.3, -103.9, 104.0, 128.0, f32::MIN_POSITIVE, 1e-45, f32::MAX];
    let mut x = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MIN];
    for place in places {
        x.extend((0..size(200)).map(|i| place * (1.0 + (i as f32 - 100.0) / 16384.0)));
    }
    elementwise(x);
}

fn elementwise(x: Vec<f32>) {
    let x = Array::new(&[x.len()], x);
    for map in Map::ELEMENTWISE {
        let want = map.reference(&x);
        for backend in backends::all() {
            let got = map.run(backend, &x, CONTIGUOUS, CONTIGUOUS);
            for ((&got, &want), &x) in got.iter().zip(&want).zip(&x.data) {
                let error = ulps(got, want);
                assert!(error <= map.bound(), "{map:?}({x:e}) on {backend}: {got:e} for {want:e}, {error} ULP");
            }
        }
    }
}

/// The addition by integers has the bits of that by floats, seen where a kernel adds what others give.
#[test]
fn additions_by_integers() {
    let mut random = Random::new(24);
    let run = |map: Map, x: &Array<f32>| map.run(Backend::INTEGER, x, CONTIGUOUS, CONTIGUOUS);
    // To a positive number softplus adds what it gives for the negative one.
    let x = Array::from_fn(&[size(20_000)], |_| random.uniform(0.0, 20.0));
    let soft = run(Map::Softplus, &x.map(|x| -x));
    let sums: Vec<f32> = x.data.iter().zip(soft).map(|(x, soft)| x + soft).collect();
    check::same_bits(&run(Map::Softplus, &x), &sums, || "softplus".into());
    // Beside a logit that is much larger, the logarithm of a probability is their difference: any signs, any distance.
    let pairs = (0..size(40_000)).map(|_| [(); 2].map(|()| f32::from_bits(random.next() as u32)));
    let pairs: Vec<[f32; 2]> = pairs.filter(|[a, b]| b - a > 110.0 && a.is_finite() && b.is_finite()).collect();
    let logs = run(Map::LogSoftmax(1), &Array::new(&[pairs.len(), 2], pairs.as_flattened().to_vec()));
    for ([a, b], log) in pairs.iter().zip(logs.iter().step_by(2)) {
        assert_eq!(log.to_bits(), (a - b).to_bits(), "{a:e} - {b:e}");
    }
    // Exponentials down to the smallest subnormal.
    let sum = |x: &[f32]| Reduction::ExpSum(0.0).run(Backend::INTEGER, &Array::new(&[x.len()], x.to_vec()), CONTIGUOUS);
    for _ in 0..size(5_000) {
        let [a, b] = [(); 2].map(|()| random.uniform(-104.0, -80.0));
        assert_eq!(sum(&[a, b]).to_bits(), (sum(&[a]) + sum(&[b])).to_bits(), "exponentials of {a} and {b}");
    }
}

#[test]
fn softmax_along_every_axis() {
    let mut random = Random::new(21);
    for len in CLASSES {
        for shape in [vec![len], vec![3, len], vec![2, len, 3], vec![1, 2, 1, len]] {
            let x = Array::from_fn(&shape, |_| random.uniform(0.0, 20.0));
            for axis in 0..shape.len() {
                for (map, tolerance) in [(Map::Softmax(axis), SOFTMAX), (Map::LogSoftmax(axis), CONFIDENT)] {
                    let want = map.reference(&x);
                    for backend in backends::all() {
                        let got = map.run(backend, &x, CONTIGUOUS, CONTIGUOUS);
                        check::all_close(&got, &want, tolerance, || format!("{map:?} on {backend}: {x:?}"));
                    }
                }
            }
        }
    }
}

#[test]
fn reductions() {
    let mut random = Random::new(22);
    for len in CLASSES.into_iter().chain([0, size(100_000)]) {
        for offset in [0.0, -1e3, 1e4] {
            let x = Array::from_fn(&[len], |_| random.uniform(-5.0, 5.0) + offset);
            for backend in backends::all() {
                for reduction in [Reduction::RowMax, Reduction::ExpSum(offset), Reduction::LogSumExp] {
                    let got = reduction.run(backend, &x, CONTIGUOUS);
                    reduction.assert_close(got, &x.data, || format!("{reduction:?} on {backend}: {x:?}"));
                }
            }
        }
    }
}

#[test]
fn reductions_of_special_values() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let rows: [&[f32]; 7] =
        [&[], &[-inf, -inf], &[-inf, 3.0], &[inf, 3.0], &[inf, -inf], &[-0.0, 0.0, -0.0], &[1e-45, -1e-45]];
    for filler in [0, 5, 40, 1100].map(size) {
        for row in rows {
            let row = [vec![-inf; filler], row.to_vec()].concat();
            assert_reductions(&row);
            // In each of the first vectors, and of those that are taken together.
            for at in (0..row.len().min(20)).chain((20..row.len()).step_by(29)) {
                let mut row = row.clone();
                row[at] = if at % 2 == 0 { nan } else { -nan };
                assert_reductions(&row);
            }
        }
    }
}

/// Which zero comes first must not tell.
#[test]
fn the_largest_zero_is_positive() {
    for backend in backends::all() {
        for zeros in [&[-0.0][..], &[-0.0, 0.0], &[0.0, -0.0], &[-0.0; 40]] {
            let max = Reduction::RowMax.run(backend, &Array::new(&[zeros.len()], zeros.to_vec()), CONTIGUOUS);
            assert_eq!(max.to_bits(), 0, "{backend}: {zeros:?}");
        }
    }
}

fn assert_reductions(row: &[f32]) {
    let x = Array::new(&[row.len()], row.to_vec());
    for backend in backends::all() {
        for reduction in [Reduction::RowMax, Reduction::ExpSum(1.0), Reduction::LogSumExp] {
            let got = reduction.run(backend, &x, CONTIGUOUS);
            reduction.assert_close(got, row, || format!("{reduction:?} on {backend}: {x:?}"));
        }
    }
}

/// So many that they go past the caches, to a place between two lines of these: the same bits as in place, where they do not.
/// The other backends have no such stores.
#[test]
fn results_beyond_the_caches() {
    let mut random = Random::new(23);
    let beside = Placement { margin: 5, ..CONTIGUOUS };
    for (map, shape) in [(Map::Exp, vec![size((1 << 21) + 77)]), (Map::LogSoftmax(1), vec![size(2049), size(1031)])] {
        let x = Array::from_fn(&shape, |_| random.uniform(-20.0, 20.0));
        for backend in backends::all().filter(|backend| matches!(backend.isa(), Isa::Avx2 | Isa::Avx512)) {
            let got = map.run(backend, &x, CONTIGUOUS, beside);
            check::same_bits(&got, &map.run_in_place(backend, &x, CONTIGUOUS), || format!("{map:?} on {backend}"));
        }
    }
}

/// In planes, which go past the caches where each starts with a line of these, as those from one of four places do: the memory of so
/// many numbers starts at a multiple of 16 bytes.
#[test]
fn planes_beyond_the_caches() {
    let mut random = Random::new(24);
    let (map, x) = (Map::Softmax(0), Array::from_fn(&[32, size((1 << 16) + 16)], |_| random.uniform(-20.0, 20.0)));
    for backend in backends::all().filter(|backend| matches!(backend.isa(), Isa::Avx2 | Isa::Avx512)) {
        let expected = map.run_in_place(backend, &x, CONTIGUOUS);
        for margin in [0, 4, 8, 12] {
            let got = map.run(backend, &x, CONTIGUOUS, Placement { margin, ..CONTIGUOUS });
            check::same_bits(&got, &expected, || format!("{map:?} on {backend}, from {margin} on"));
        }
    }
}

/// The functions of the module are those of the detected backend.
#[test]
fn detected_backend() {
    use losslanes::{View, ViewMut};

    const NUMBERS: [f32; 3] = [1.25, -2.0, 0.5];
    let x = View::new(&NUMBERS, [3]).expect("a view");
    let on = kernels::on(Backend::detect());
    assert_eq!(kernels::row_max(x).to_bits(), on.row_max(x).to_bits());
    assert_eq!(kernels::exp_sum(x, 1.0).to_bits(), on.exp_sum(x, 1.0).to_bits());
    assert_eq!(kernels::log_sum_exp(x).to_bits(), on.log_sum_exp(x).to_bits());
    macro_rules! same {
        ($($kernel:ident $in_place:ident $(($axis:literal))?;)*) => {$({
            let (mut own, mut detected, mut replaced) = ([0.0; 3], [0.0; 3], NUMBERS);
            kernels::$kernel(x, $($axis,)? ViewMut::new(&mut own, [3]).expect("a view")).expect("one shape");
            on.$kernel(x, $($axis,)? ViewMut::new(&mut detected, [3]).expect("a view")).expect("one shape");
            check::same_bits(&own, &detected, || stringify!($kernel).into());
            // What may fail in place gives a result, and the others nothing.
            let _ = kernels::$in_place(ViewMut::new(&mut replaced, [3]).expect("a view") $(, $axis)?);
            check::same_bits(&replaced, &detected, || stringify!($in_place).into());
        })*};
    }
    same! {
        exp exp_in_place;
        ln ln_in_place;
        sigmoid sigmoid_in_place;
        log_sigmoid log_sigmoid_in_place;
        softplus softplus_in_place;
        softmax softmax_in_place (0);
        log_softmax log_softmax_in_place (0);
    }
}
