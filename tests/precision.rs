//! The worst error of each elementwise kernel, on every backend, against `f64`.
//!
//! `cargo test --release --test precision` takes one input of every few thousand;
//! `cargo test --release --test precision -- --ignored --nocapture` takes all 2^32, a few minutes for each backend.

use std::{
    iter,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use losslanes::{Backend, Error, View, ViewMut, kernels};

/// What each function may be off by, in units of the last place of the exact result: what the documentation says.
const BOUNDS: [Row; 5] = [
    ("exp", 1.0, Kernel::Exp, f64::exp),
    ("ln", 1.0, Kernel::Ln, f64::ln),
    ("sigmoid", 1.5, Kernel::Sigmoid, sigmoid),
    ("log_sigmoid", 1.5, Kernel::LogSigmoid, |x| -softplus(-x)),
    ("softplus", 1.5, Kernel::Softplus, softplus),
];

/// Name, bound, kernel, and the exact function.
type Row = (&'static str, f64, Kernel, fn(f64) -> f64);

#[derive(Clone, Copy)]
enum Kernel {
    Exp,
    Ln,
    Sigmoid,
    LogSigmoid,
    Softplus,
}

impl Kernel {
    fn run(self, backend: Backend, x: &[f32], out: &mut [f32]) -> Result<(), Error> {
        let on = kernels::on(backend);
        let (x, out) = (View::new(x, [x.len()])?, ViewMut::new(out, [x.len()])?);
        match self {
            Self::Exp => on.exp(x, out),
            Self::Ln => on.ln(x, out),
            Self::Sigmoid => on.sigmoid(x, out),
            Self::LogSigmoid => on.log_sigmoid(x, out),
            Self::Softplus => on.softplus(x, out),
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The distance in units of the last place of the exact result; infinite where the kinds of the numbers differ.
fn error(got: f32, exact: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what is meant")]
    let rounded = exact as f32;
    if got.is_nan() || rounded.is_nan() || got.is_infinite() || rounded.is_infinite() {
        // Where the exact result rounds to infinity, so does a result that is off by less than one unit.
        let same = got.to_bits() == rounded.to_bits() || (got.is_nan() && rounded.is_nan());
        let edge = exact.is_finite() && got.abs() == f32::MAX;
        return if same || edge { 0.0 } else { f64::INFINITY };
    }
    let exponent = (rounded.to_bits() >> 23 & 0xff).max(1);
    let unit = f64::from_bits(u64::from(exponent + 1023 - 127 - 23) << 52);
    (f64::from(got) - exact).abs() / unit
}

/// The worst error among the inputs whose bits are `start, start + step, … < end`, and where it is.
fn worst(kernel: Kernel, exact: fn(f64) -> f64, backend: Backend, start: u64, end: u64, step: usize) -> (f64, f32) {
    const CHUNK: usize = 4096;
    let mut worst = (0.0, 0.0);
    let mut out = vec![0.0; CHUNK];
    let mut bits = (start..end).step_by(step).map(|bits| f32::from_bits(u32::try_from(bits).expect("32 bits")));
    loop {
        let x: Vec<f32> = bits.by_ref().take(CHUNK).collect();
        if x.is_empty() {
            return worst;
        }
        kernel.run(backend, &x, &mut out[..x.len()]).expect("equal shapes");
        for (&x, &y) in x.iter().zip(&out) {
            let error = error(y, exact(f64::from(x)));
            if error > worst.0 {
                worst = (error, x);
            }
        }
    }
}

/// The worst error among all inputs, in parts that the cores share, with a count of the parts that are done.
fn worst_of_all(kernel: Kernel, exact: fn(f64) -> f64, backend: Backend, step: usize) -> (f64, f32) {
    const PARTS: u64 = 256;
    const LEN: u64 = (1 << 32) / PARTS;
    let next = AtomicU64::new(0);
    let parts = || {
        let taken = iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|&part| part < PARTS);
        let errors = taken.map(|part| {
            if step == 1 {
                eprint!("\r{part:3} / {PARTS} ");
            }
            worst(kernel, exact, backend, part * LEN, (part + 1) * LEN, step)
        });
        errors.reduce(larger).unwrap_or_default()
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(parts)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that ends")).reduce(larger).unwrap_or_default()
    })
}

fn larger(a: (f64, f32), b: (f64, f32)) -> (f64, f32) {
    if b.0 > a.0 { b } else { a }
}

/// Sweeps every function on these backends, on all cores, and fails where one is off by more than it may be.
fn sweep(backends: &[Backend], step: usize) {
    let mut failed = false;
    for (name, bound, kernel, exact) in BOUNDS {
        for &backend in backends {
            let start = Instant::now();
            let (error, at) = worst_of_all(kernel, exact, backend, step);
            let seconds = start.elapsed().as_secs_f32();
            println!("{name:12} {backend:20} {error:.4} ULP at {at:e} (bound {bound}), {seconds:.1} s");
            failed |= error > bound;
        }
    }
    assert!(!failed, "a function exceeds its bound");
}

#[test]
fn sparse() {
    let backends: Vec<_> = Backend::available().chain([Backend::INTEGER]).collect();
    sweep(&backends, if cfg!(debug_assertions) { 65_537 } else { 4_099 });
}

/// One backend of each arithmetic: the others have the same bits.
#[test]
#[ignore = "all 2^32 inputs take minutes"]
fn all() {
    let fastest = Backend::detect();
    let fused = fastest.is_fused().then_some(fastest);
    sweep(&fused.into_iter().chain([fastest.portable(), Backend::INTEGER]).collect::<Vec<_>>(), 1);
}
