//! `wide`'s own `exp` in plain loops over vectors: what one writes in an afternoon.

use ::wide::f32x16;

use super::{Job, count, cross_entropy, has_rows, slices};
use crate::common::{Bench, Function, Work};

pub(super) fn start(bench: &Bench) -> Option<Box<dyn Job>> {
    match bench.case.work {
        Work::Classes { weight: false, smoothing: 0.0 } if has_rows(bench) => {
            slices(|bench| cross_entropy(bench, log_sum_exp))
        }
        Work::ClassesGrad if has_rows(bench) => slices(cross_entropy_grad),
        Work::Map(Function::Exp) => slices(|bench| map(&bench.x, &mut bench.out, f32x16::exp)),
        Work::Map(Function::Sigmoid) => slices(|bench| map(&bench.x, &mut bench.out, sigmoid)),
        Work::Softmax { log: false } => slices(|bench| each_row(bench, softmax)),
        Work::Softmax { log: true } => slices(|bench| each_row(bench, log_softmax)),
        _ => None,
    }
}

fn sigmoid(x: f32x16) -> f32x16 {
    f32x16::ONE / (f32x16::ONE + (-x).exp())
}

fn each_row(bench: &mut Bench, run: fn(&[f32], &mut [f32])) {
    let [_, c, ..] = bench.case.shape;
    for (x, out) in bench.x.chunks_exact(c).zip(bench.out.chunks_exact_mut(c)) {
        run(x, out);
    }
}

fn softmax(x: &[f32], out: &mut [f32]) {
    let max = f32x16::splat(maximum(x));
    map(x, out, |x| (x - max).exp());
    let scale = 1.0 / lanes(out, 0.0).fold(f32x16::ZERO, |sum, x| sum + x).reduce_add();
    out.iter_mut().for_each(|exp| *exp *= scale);
}

fn log_softmax(x: &[f32], out: &mut [f32]) {
    let log_sum_exp = log_sum_exp(x);
    x.iter().zip(out).for_each(|(x, out)| *out = x - log_sum_exp);
}

/// The softmax, less 1 in each row, is the gradient of the sum.
fn cross_entropy_grad(bench: &mut Bench) {
    each_row(bench, softmax);
    let [n, c, ..] = bench.case.shape;
    let (mut sum, scale) = (0.0, 1.0 / count(n));
    let rows = bench.x.chunks_exact(c).zip(bench.out.chunks_exact_mut(c)).zip(&bench.classes);
    for ((x, gradient), &class) in rows {
        let class = usize::try_from(class).expect("a class");
        sum += log_sum_exp(x) - x[class];
        gradient[class] -= 1.0;
        gradient.iter_mut().for_each(|gradient| *gradient *= scale);
    }
    bench.out[n * c] = sum * scale;
}

fn log_sum_exp(x: &[f32]) -> f32 {
    let max = maximum(x);
    let shift = f32x16::splat(max);
    let sum = lanes(x, f32::NEG_INFINITY).fold(f32x16::ZERO, |sum, x| sum + (x - shift).exp());
    max + sum.reduce_add().ln()
}

fn maximum(x: &[f32]) -> f32 {
    let lowest = f32x16::splat(f32::NEG_INFINITY);
    let max = lanes(x, f32::NEG_INFINITY).fold(lowest, f32x16::fast_max);
    max.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max)
}

#[inline]
fn map(x: &[f32], out: &mut [f32], function: impl Fn(f32x16) -> f32x16) {
    let (blocks, rest) = out.as_chunks_mut();
    let mut vectors = lanes(x, 0.0).map(function);
    for (out, x) in blocks.iter_mut().zip(&mut vectors) {
        *out = x.to_array();
    }
    if let Some(last) = vectors.next() {
        rest.copy_from_slice(&last.to_array()[..rest.len()]);
    }
}

/// The vectors of a slice; `fill` stands for what the last one lacks.
#[inline]
fn lanes(x: &[f32], fill: f32) -> impl Iterator<Item = f32x16> {
    let (blocks, rest) = x.as_chunks();
    let mut last = [fill; 16];
    last[..rest.len()].copy_from_slice(rest);
    blocks.iter().copied().chain((!rest.is_empty()).then_some(last)).map(f32x16::new)
}
