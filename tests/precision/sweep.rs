//! The worst error of a function over many inputs, on all cores.

use std::{
    io::Write,
    iter,
    marker::PhantomData,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use crate::{
    function::{Apply, Function},
    simd::{Backend, Block, INTEGERS, Kernel, LANES, Simd},
};

/// So many inputs at a time are in the cache together with all that is computed of them.
const BLOCKS: usize = 256;
const CHUNK: u64 = (BLOCKS * LANES) as u64;

/// The columns of the table.
pub(crate) const ARITHMETICS: [&str; 3] = ["portable", "fused", "by integers"];

/// Those that compute with floats, and the other one.
pub(crate) const BY_FLOATS: Range<usize> = 0..2;
pub(crate) const BY_INTEGERS: Range<usize> = 2..3;
pub(crate) const EVERY: Range<usize> = 0..3;

/// An error in ULP and its input.
type Worst = (f64, f32);

/// The exact results.
struct Exact<'a, F> {
    x: &'a [Block],
    out: &'a mut [[f64; LANES]],
    function: PhantomData<F>,
}

impl<F: Function> Kernel for Exact<'_, F> {
    type Output = ();

    /// Plain Rust, but compiled for the instructions of the backend.
    #[inline(always)]
    fn run<S: Simd>(&mut self, _: S) {
        for (x, out) in self.x.as_flattened().iter().zip(self.out.as_flattened_mut()) {
            *out = F::exact(f64::from(*x));
        }
    }
}

/// The largest error of all.
struct Errors<'a> {
    got: &'a [Block],
    exact: &'a [[f64; LANES]],
}

impl Kernel for Errors<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(&mut self, _: S) -> f64 {
        let errors = self.got.as_flattened().iter().zip(self.exact.as_flattened()).map(|(&got, &x)| error(got, x));
        // Errors are in the order of their bits, and a maximum of integers takes no branches.
        f64::from_bits(errors.fold(0, |worst, error| worst.max(error.to_bits())))
    }
}

/// Whether all bits are the same, any two NaNs apart.
struct Same<'a>([&'a [Block]; 2]);

impl Kernel for Same<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(&mut self, _: S) -> bool {
        let [a, b] = self.0.map(<[Block]>::as_flattened);
        a.iter().zip(b).fold(true, |all, (a, b)| all & (a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())))
    }
}

/// The distance in units of the last place of the exact result; infinite where one is a number and the other is not.
#[inline(always)]
fn error(got: f32, exact: f64) -> f64 {
    // 2^(23 - e) for the exponent e of the exact result, or that of the smallest normal number, or of the largest.
    let exponent = (exact.to_bits() >> 52 & 0x7ff).clamp(1023 - 126, 1023 + 127);
    let units = f64::from_bits((2 * 1023 + 23 - exponent) << 52);
    let error = (f64::from(got) - exact).abs() * units;
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is meant")]
    let same = exact as f32 == got || (exact.is_nan() && got.is_nan());
    let special = if same { 0.0 } else { f64::INFINITY };
    if error < f64::INFINITY { error } else { special }
}

/// Sweeps one input of `step` and compares the worst error in each of these arithmetics with what the table says; and with
/// all inputs, whether the table says more than there is.
pub(crate) fn check<F: Function>(name: &str, bounds: [&str; 3], arithmetics: &Range<usize>, step: usize) {
    // One after the other, each on all cores.
    static SWEEPING: Mutex<()> = Mutex::new(());
    let _one = SWEEPING.lock().unwrap_or_else(PoisonError::into_inner);
    let start = Instant::now();
    let worst = worst_of_all::<F>(name, arithmetics, step as u64);
    let seconds = start.elapsed().as_secs_f32();
    let rows = worst.into_iter().zip(ARITHMETICS).zip(bounds);
    for (((error, at), arithmetic), bound) in rows.skip(arithmetics.start).take(arithmetics.len()) {
        println!("\r{name:14} {arithmetic:11} {error:.4} ULP at {at:e} (bound {bound}), {seconds:.1} s");
        assert!(error <= bound.parse().expect("a number"), "{name}, {arithmetic}: {error} ULP at {at:e}");
        let tight = format!("{:.2}", (error * 100.0).ceil() / 100.0);
        assert!(step > 1 || tight == bound, "{name}, {arithmetic}: the table should say {tight}");
    }
}

/// Those of each arithmetic.
fn worst_of_all<F: Function>(name: &str, arithmetics: &Range<usize>, step: u64) -> Vec<Worst> {
    let inputs = u64::from(F::LAST) / step + 1;
    let chunks = inputs.div_ceil(CHUNK);
    let next = AtomicU64::new(0);
    let worst = || {
        let mut sweep = Sweep::new(arithmetics);
        for chunk in iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|&chunk| chunk < chunks) {
            sweep.chunk::<F>(name, |i| (chunk * CHUNK + i).min(inputs - 1) * step);
            if chunk.is_multiple_of(1 << 12) && step == 1 {
                progress(name, chunk, chunks);
            }
        }
        sweep.worst
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(worst)).collect();
        let worst = threads.into_iter().map(|thread| thread.join().expect("equal bits, as the panic above says"));
        worst.reduce(|a, b| a.into_iter().zip(b).map(|(a, b)| if b.0 > a.0 { b } else { a }).collect())
    })
    .expect("at least one core")
}

/// A bar on the screen.
fn progress(name: &str, done: u64, all: u64) {
    const WIDTH: usize = 50;
    let percent = done * 100 / all;
    let filled = "#".repeat(usize::try_from(percent).expect("at most 100") * WIDTH / 100);
    // A screen that cannot be written to is no reason to stop.
    let _ = write!(std::io::stderr(), "\r{name:14} [{filled:WIDTH$}] {percent:3} %");
}

/// Runs a kernel that has no compiled instance in the library.
pub(crate) fn run_on<K: Kernel>(backend: Backend, mut kernel: K) -> K::Output {
    if backend == Backend::INTEGER { kernel.run(INTEGERS) } else { backend.dispatch(&mut kernel) }
}

/// The memory of one thread, and the worst so far.
struct Sweep {
    x: Vec<Block>,
    exact: Vec<[f64; LANES]>,
    first: Vec<Block>,
    other: Vec<Block>,
    /// The backends of each arithmetic that is swept; of the fused one there may be none.
    backends: [Vec<Backend>; 3],
    worst: Vec<Worst>,
}

impl Sweep {
    fn new(arithmetics: &Range<usize>) -> Self {
        let of = |fused| Backend::available().filter(|backend| backend.is_fused() == fused).collect::<Vec<_>>();
        let mut backends = [of(false), of(true), vec![Backend::INTEGER]];
        for (_, backends) in backends.iter_mut().enumerate().filter(|(i, _)| !arithmetics.contains(i)) {
            backends.clear();
        }
        let [x, first, other] = [(); 3].map(|()| vec![[0.0; LANES]; BLOCKS]);
        let worst = vec![(0.0, 0.0); backends.len()];
        Self { x, exact: vec![[0.0; LANES]; BLOCKS], first, other, backends, worst }
    }

    /// Runs the function on every backend, for inputs with these bits.
    fn chunk<F: Function>(&mut self, name: &str, bits: impl Fn(u64) -> u64) {
        for (i, x) in (0..).zip(self.x.as_flattened_mut()) {
            *x = f32::from_bits(u32::try_from(bits(i)).expect("32 bits"));
        }
        let fastest = Backend::detect();
        let x = &self.x;
        fastest.dispatch(&mut Exact { x, out: &mut self.exact, function: PhantomData::<F> });
        for (backends, worst) in self.backends.iter().zip(&mut self.worst) {
            let Some((&reference, others)) = backends.split_first() else {
                continue;
            };
            if reference == Backend::INTEGER && bits(CHUNK - 1) > F::LAST_BY_INTEGERS.into() {
                continue;
            }
            run_on(reference, Apply { x, out: &mut self.first, function: PhantomData::<F> });
            for &backend in others {
                run_on(backend, Apply { x, out: &mut self.other, function: PhantomData::<F> });
                let same = fastest.dispatch(&mut Same([&self.first, &self.other]));
                assert!(same, "{name} on {backend}: other bits than on {reference}, from {:e} on", x[0][0]);
            }
            let largest = fastest.dispatch(&mut Errors { got: &self.first, exact: &self.exact });
            if largest > worst.0 {
                let errors = self.first.as_flattened().iter().zip(self.exact.as_flattened());
                let at = errors.zip(x.as_flattened()).find(|&((&got, &exact), _)| error(got, exact) == largest);
                *worst = (largest, at.map_or(f32::NAN, |(_, &x)| x));
            }
        }
    }
}
