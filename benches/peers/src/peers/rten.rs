//! `rten-vecmath`: the kernels of an inference engine. It has no losses: a cross entropy is its maximum and its sum of
//! exponentials.

use rten_simd::{SimdOp, SimdUnaryOp};
use rten_vecmath::{Exp, ExtendInit, LogSoftmax, MaxNum, Sigmoid, Softmax, SumExpSub};

use super::{Job, cross_entropy, has_rows, slices};
use crate::common::{Bench, Function, Work};

pub(super) fn start(bench: &Bench) -> Option<Box<dyn Job>> {
    match bench.case.work {
        Work::Classes { weight: false, smoothing: 0.0 } if has_rows(bench) => {
            slices(|bench| cross_entropy(bench, log_sum_exp))
        }
        Work::Map(Function::Exp) => slices(|bench| map(bench, &Exp {})),
        Work::Map(Function::Sigmoid) => slices(|bench| map(bench, &Sigmoid {})),
        Work::Softmax { log: false } => slices(softmax),
        Work::Softmax { log: true } => slices(log_softmax),
        _ => None,
    }
}

fn log_sum_exp(row: &[f32]) -> f32 {
    let max = MaxNum::new(row).dispatch();
    max + SumExpSub::new(row, max).dispatch().ln()
}

fn map(bench: &mut Bench, function: &impl SimdUnaryOp<f32>) {
    let Bench { x, out, .. } = bench;
    out.cleared().extend_init(|out| function.map(x, &mut out[..x.len()]));
}

fn softmax(bench: &mut Bench) {
    let [_, c, ..] = bench.case.shape;
    let out = bench.out.cleared();
    for row in bench.x.chunks_exact(c) {
        out.extend_init(|out| Softmax::new(row, &mut out[..c]).dispatch());
    }
}

fn log_softmax(bench: &mut Bench) {
    let [_, c, ..] = bench.case.shape;
    let out = bench.out.cleared();
    for row in bench.x.chunks_exact(c) {
        out.extend_init(|out| LogSoftmax::new(row, &mut out[..c]).dispatch());
    }
}
