//! What this crate is compared with: plain loops over `std`, the same in f64, and a loop that only reads.

use super::{Bench, Function, Reduction, Work};

/// f32 for the loop that is timed, f64 for the expected results.
trait Float:
    Copy
    + PartialOrd
    + From<f32>
    + core::ops::Add<Output = Self>
    + core::ops::Sub<Output = Self>
    + core::ops::Mul<Output = Self>
    + core::ops::Div<Output = Self>
    + core::ops::Neg<Output = Self>
    + core::ops::AddAssign
{
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    fn abs(self) -> Self;
    fn max(self, other: Self) -> Self;
}

macro_rules! float {
    ($($t:ident)*) => {$(
        impl Float for $t {
            #[inline]
            fn exp(self) -> Self {
                $t::exp(self)
            }
            #[inline]
            fn ln(self) -> Self {
                $t::ln(self)
            }
            #[inline]
            fn ln_1p(self) -> Self {
                $t::ln_1p(self)
            }
            #[inline]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline]
            fn max(self, other: Self) -> Self {
                $t::max(self, other)
            }
        }
    )*};
}

float!(f32 f64);

/// The plain loop. Results go to `bench.out`.
pub(super) fn run(bench: &mut Bench) {
    let mut out = core::mem::take(&mut bench.out);
    let mut slots = out.iter_mut();
    compute::<f32>(bench, |result| {
        if let Some(slot) = slots.next() {
            *slot = result;
        }
    });
    bench.out = out;
}

/// The expected results, in f64.
pub(super) fn expected(bench: &Bench) -> Vec<f64> {
    let mut results = Vec::with_capacity(bench.out.len());
    compute::<f64>(bench, |result| results.push(result));
    results
}

#[inline]
fn compute<F: Float>(bench: &Bench, mut put: impl FnMut(F)) {
    match bench.case.work {
        Work::Classes { weight, smoothing } => {
            let (mut sum, mut denominator) = (F::from(0.0), F::from(0.0));
            let weights = if weight { &*bench.weight } else { &[] };
            rows(bench, |row, x| {
                let class = index(bench.classes[row]);
                sum += class_loss(x, class, weights, smoothing);
                denominator += F::from(weights.get(class).copied().unwrap_or(1.0));
            });
            put(sum / denominator);
        }
        Work::ClassesIgnored => {
            let (mut sum, mut kept) = (F::from(0.0), 0);
            rows(bench, |row, x| {
                if bench.classes[row] != -100 {
                    sum += class_loss(x, index(bench.classes[row]), &[], 0.0);
                    kept += 1;
                }
            });
            put(sum / count(kept));
        }
        Work::ClassesEach => rows(bench, |row, x| put(class_loss(x, index(bench.classes[row]), &[], 0.0))),
        Work::Probabilities => {
            let mut sum = F::from(0.0);
            rows(bench, |row, x| {
                let lse = log_sum_exp::<F>(x);
                for (&t, &x) in bench.targets[row * x.len()..].iter().zip(x) {
                    sum += F::from(t) * (lse - F::from(x));
                }
            });
            put(sum / count(bench.case.rows()));
        }
        Work::BceWithLogits { pos_weight } => {
            let mut sum = F::from(0.0);
            if pos_weight {
                let mut weights = bench.weight.iter().cycle().map(|&weight| F::from(weight));
                each(bench, |x, t: F| sum += bce_with_logits(x, t, weights.next().expect("a weight for each class")));
            } else {
                each(bench, |x, t: F| sum += bce_with_logits(x, t, F::from(1.0)));
            }
            put(sum / count(bench.case.elements()));
        }
        Work::BceWithLogitsRows => {
            let mut sum = F::from(0.0);
            let [_, classes, ..] = bench.case.shape;
            let mut weights = bench.weight.iter().flat_map(|&weight| core::iter::repeat_n(F::from(weight), classes));
            each(bench, |x, t: F| {
                let weight = weights.next().expect("a weight for each row");
                sum += weight * bce_with_logits(x, t, F::from(1.0));
            });
            put(sum / count(bench.case.elements()));
        }
        Work::BceWithLogitsEach => each(bench, |x: F, t| put(bce_with_logits(x, t, F::from(1.0)))),
        Work::Bce => {
            let mut sum = F::from(0.0);
            each(bench, |p: F, t| sum += bce(p, t));
            put(sum / count(bench.case.elements()));
        }
        Work::ClassesGrad => {
            let [_, c, h, w] = bench.case.shape;
            let (plane, all) = (h * w, count::<F>(bench.case.rows()));
            let mut gradient = vec![F::from(0.0); bench.case.elements()];
            let mut sum = F::from(0.0);
            rows(bench, |row, x| {
                let class = index(bench.classes[row]);
                let lse = log_sum_exp::<F>(x);
                sum += lse - F::from(x[class]);
                let start = row / plane * c * plane + row % plane;
                for (number, (&x, out)) in x.iter().zip(gradient[start..].iter_mut().step_by(plane)).enumerate() {
                    let p = (F::from(x) - lse).exp();
                    *out = if number == class { p - F::from(1.0) } else { p } / all;
                }
            });
            gradient.into_iter().for_each(&mut put);
            put(sum / all);
        }
        Work::BceWithLogitsGrad | Work::BceGrad => {
            let (one, all) = (F::from(1.0), count::<F>(bench.case.elements()));
            let mut sum = F::from(0.0);
            each(bench, |x: F, t| {
                if bench.case.work == Work::BceGrad {
                    sum += bce(x, t);
                    put((x - t) / ((one - x) * x).max(F::from(1e-12)) / all);
                } else {
                    sum += bce_with_logits(x, t, one);
                    put((one / (one + (-x).exp()) - t) / all);
                }
            });
            put(sum / all);
        }
        Work::Map(function) => match function {
            Function::Exp => each(bench, |x: F, _| put(x.exp())),
            Function::Ln => each(bench, |x: F, _| put(x.ln())),
            Function::Sigmoid => each(bench, |x: F, _| put(F::from(1.0) / (F::from(1.0) + (-x).exp()))),
            Function::Softplus => each(bench, |x: F, _| put(softplus(x))),
            Function::LogSigmoid => each(bench, |x: F, _| put(-softplus(-x))),
        },
        Work::Softmax { log: true } => rows(bench, |_, x| {
            let lse = log_sum_exp::<F>(x);
            x.iter().for_each(|&x| put(F::from(x) - lse));
        }),
        Work::Softmax { log: false } => {
            let mut exps = Vec::new();
            rows(bench, |_, x| {
                let max = F::from(maximum(x));
                let mut sum = F::from(0.0);
                exps.clear();
                exps.extend(x.iter().map(|&x| (F::from(x) - max).exp()));
                exps.iter().for_each(|&exp| sum += exp);
                let scale = F::from(1.0) / sum;
                exps.iter().for_each(|&exp| put(exp * scale));
            });
        }
        // All elements are one row.
        Work::Reduce(reduction) => rows(bench, |_, x| {
            put(match reduction {
                Reduction::Max => F::from(maximum(x)),
                Reduction::ExpSum => exp_sum(x, F::from(bench.weight[0])),
                Reduction::LogSumExp => log_sum_exp(x),
            });
        }),
    }
}

/// For each row its number and its elements. A row with gaps is copied first: what comes after reads it several times.
#[inline]
fn rows(bench: &Bench, mut run: impl FnMut(usize, &[f32])) {
    let [n, c, h, w] = bench.case.shape;
    let [sn, sc, sh, sw] = bench.strides.map(isize::unsigned_abs);
    let mut buffer = Vec::new();
    let mut row = 0;
    for n in 0..n {
        for h in 0..h {
            for w in 0..w {
                let x = &bench.x[n * sn + h * sh + w * sw..];
                if sc == 1 {
                    run(row, &x[..c]);
                } else {
                    buffer.clear();
                    buffer.extend(x.iter().step_by(sc).take(c));
                    run(row, &buffer);
                }
                row += 1;
            }
        }
    }
}

/// For each element the input and the target, 0 where there is none.
#[inline]
fn each<F: Float>(bench: &Bench, mut run: impl FnMut(F, F)) {
    let [n, c, ..] = bench.case.shape;
    let [sn, sc, ..] = bench.strides.map(isize::unsigned_abs);
    for n in 0..n {
        let (x, targets) = (&bench.x[n * sn..], bench.targets.get(n * sn..).unwrap_or_default());
        match (targets.is_empty(), sc == 1) {
            (true, true) => x[..c].iter().for_each(|&x| run(F::from(x), F::from(0.0))),
            (true, false) => x.iter().step_by(sc).take(c).for_each(|&x| run(F::from(x), F::from(0.0))),
            (false, true) => x[..c].iter().zip(targets).for_each(|(&x, &t)| run(F::from(x), F::from(t))),
            (false, false) => {
                x.iter().zip(targets).step_by(sc).take(c).for_each(|(&x, &t)| run(F::from(x), F::from(t)));
            }
        }
    }
}

#[inline]
fn class_loss<F: Float>(x: &[f32], class: usize, weights: &[f32], smoothing: f32) -> F {
    let lse = log_sum_exp::<F>(x);
    let weight = |c: usize| F::from(weights.get(c).copied().unwrap_or(1.0));
    let loss = weight(class) * (lse - F::from(x[class]));
    if smoothing == 0.0 {
        return loss;
    }
    let mut all = F::from(0.0);
    for (c, &x) in x.iter().enumerate() {
        all += weight(c) * (lse - F::from(x));
    }
    F::from(1.0 - smoothing) * loss + F::from(smoothing) / count(x.len()) * all
}

#[inline]
fn log_sum_exp<F: Float>(x: &[f32]) -> F {
    let max = F::from(maximum(x));
    max + exp_sum(x, max).ln()
}

#[inline]
fn exp_sum<F: Float>(x: &[f32], shift: F) -> F {
    let mut sum = F::from(0.0);
    for &x in x {
        sum += (F::from(x) - shift).exp();
    }
    sum
}

#[inline]
fn maximum(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[inline]
fn softplus<F: Float>(x: F) -> F {
    x.max(F::from(0.0)) + (-x.abs()).exp().ln_1p()
}

#[inline]
fn bce<F: Float>(p: F, t: F) -> F {
    let floor = F::from(-100.0);
    -(t * p.ln().max(floor) + (F::from(1.0) - t) * (-p).ln_1p().max(floor))
}

#[inline]
fn bce_with_logits<F: Float>(x: F, t: F, pos_weight: F) -> F {
    // ln(1 + e^-|x|) is in both terms.
    let tail = (-x.abs()).exp().ln_1p();
    let zero = F::from(0.0);
    pos_weight * t * ((-x).max(zero) + tail) + (F::from(1.0) - t) * (x.max(zero) + tail)
}

fn index(class: i64) -> usize {
    usize::try_from(class).expect("a class")
}

#[expect(clippy::cast_precision_loss, reason = "below 2^24")]
fn count<F: Float>(n: usize) -> F {
    F::from(n as f32)
}

/// The sum of a slice, with the widest loads of this CPU and enough accumulators to wait for nothing but memory.
pub(super) fn sum(x: &[f32]) -> f32 {
    if x.len() < 64 {
        return x.iter().sum();
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn avx512(x: &[f32]) -> f32 {
            lanes(x)
        }
        #[target_feature(enable = "avx2")]
        fn avx2(x: &[f32]) -> f32 {
            lanes(x)
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: this CPU has AVX-512F, as just asked.
            return unsafe { avx512(x) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: this CPU has AVX2, as just asked.
            return unsafe { avx2(x) };
        }
    }
    lanes(x)
}

#[inline(always)]
fn lanes(x: &[f32]) -> f32 {
    let mut wide = [0.0; 64];
    let (blocks, rest) = x.as_chunks::<64>();
    for block in blocks {
        for (sum, x) in wide.iter_mut().zip(block) {
            *sum += x;
        }
    }
    let mut narrow = [0.0; 16];
    let (blocks, rest) = rest.as_chunks::<16>();
    for block in wide.as_chunks::<16>().0.iter().chain(blocks) {
        for (sum, x) in narrow.iter_mut().zip(block) {
            *sum += x;
        }
    }
    for width in [8, 4, 2, 1] {
        for i in 0..width {
            narrow[i] += narrow[i + width];
        }
    }
    rest.iter().fold(narrow[0], |sum, x| sum + x)
}
