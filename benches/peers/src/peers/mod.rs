//! The implementations: each a column of the table, in a module that says what it does in each case.

#[cfg(feature = "burn")]
mod burn;
mod candle;
mod rten;
mod wide;

use std::hint::black_box;

use losslanes::Backend;

use crate::common::{Aligned, Bench};

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Takes its own copy of the data where it needs one. None: it has no such function.
    pub(crate) start: fn(&Bench) -> Option<Box<dyn Job>>,
}

/// The first is what the others are compared with.
pub(crate) const PEERS: &[Peer] = &[
    Peer { name: "losslanes", start: |_| slices(ours) },
    Peer { name: "std loop", start: |_| slices(Bench::plain) },
    Peer { name: "wide", start: wide::start },
    Peer { name: "rten-vecmath", start: rten::start },
    Peer { name: "candle", start: candle::start },
    #[cfg(feature = "burn")]
    Peer { name: "burn (flex)", start: burn::start },
];

/// One case of an implementation.
pub(crate) trait Job {
    /// What is timed.
    fn run(&mut self, bench: &mut Bench);

    /// The same, and the results are in `bench.out`.
    fn results(&mut self, bench: &mut Bench);
}

/// Reads and writes the slices of the benchmark.
struct Slices(fn(&mut Bench));

impl Job for Slices {
    fn run(&mut self, bench: &mut Bench) {
        self.0(black_box(bench));
    }

    fn results(&mut self, bench: &mut Bench) {
        self.run(bench);
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what `Peer::start` returns")]
fn slices(run: fn(&mut Bench)) -> Option<Box<dyn Job>> {
    Some(Box::new(Slices(run)))
}

/// Has tensors of its own, and returns one: reading it is not timed.
struct Tensors<F, T> {
    compute: F,
    read: fn(&T) -> Vec<f32>,
}

impl<T, F: Fn() -> T> Job for Tensors<F, T> {
    fn run(&mut self, _: &mut Bench) {
        black_box((self.compute)());
    }

    fn results(&mut self, bench: &mut Bench) {
        bench.out = Aligned::new(&(self.read)(&(self.compute)()));
    }
}

fn ours(bench: &mut Bench) {
    bench.ours(Backend::detect()).expect("the arguments of a benchmark fit");
}

/// The mean cross entropy, given the log-sum-exp of a row.
#[inline]
fn cross_entropy(bench: &mut Bench, log_sum_exp: impl Fn(&[f32]) -> f32) {
    let [n, c, ..] = bench.case.shape;
    let mut sum = 0.0;
    for (row, &class) in bench.x.chunks_exact(c).zip(&bench.classes) {
        sum += log_sum_exp(row) - row[usize::try_from(class).expect("a class")];
    }
    bench.out[0] = sum / count(n);
}

/// Whether each row is contiguous: classes on the last axis.
fn has_rows(bench: &Bench) -> bool {
    let [_, _, h, w] = bench.case.shape;
    h * w == 1
}

#[expect(clippy::cast_precision_loss, reason = "below 2^24")]
fn count(n: usize) -> f32 {
    n as f32
}
