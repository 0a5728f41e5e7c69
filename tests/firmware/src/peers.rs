//! What firmware does without this crate: plain loops over the elementary functions of other crates.

/// Elementary functions.
pub trait Elementary {
    fn exp(x: f32) -> f32;
    fn ln(x: f32) -> f32;
    fn ln_1p(x: f32) -> f32;
}

/// Of the crate `libm`: within one unit of the last place.
pub struct Libm;

impl Elementary for Libm {
    fn exp(x: f32) -> f32 {
        libm::expf(x)
    }
    fn ln(x: f32) -> f32 {
        libm::logf(x)
    }
    fn ln_1p(x: f32) -> f32 {
        libm::log1pf(x)
    }
}

/// Of the crate `micromath`: made for speed, with few digits.
pub struct Micromath;

impl Elementary for Micromath {
    fn exp(x: f32) -> f32 {
        micromath::F32(x).exp().0
    }
    fn ln(x: f32) -> f32 {
        micromath::F32(x).ln().0
    }
    fn ln_1p(x: f32) -> f32 {
        Self::ln(1.0 + x)
    }
}

#[inline(never)]
pub fn log_sum_exp<E: Elementary>(x: &[f32]) -> f32 {
    let max = x.iter().fold(f32::NEG_INFINITY, |a, &b| if a > b { a } else { b });
    max + E::ln(x.iter().map(|&x| E::exp(x - max)).sum())
}

#[inline(never)]
pub fn cross_entropy_mean<E: Elementary>(logits: &[f32], classes: usize, labels: &[u8]) -> f32 {
    let losses =
        logits.chunks_exact(classes).zip(labels).map(|(x, &label)| log_sum_exp::<E>(x) - x[usize::from(label)]);
    losses.sum::<f32>() / labels.len() as f32
}

#[inline(never)]
pub fn cross_entropy_grad<E: Elementary>(logits: &mut [f32], classes: usize, labels: &[u8]) -> f32 {
    let mut sum = 0.0;
    let scale = 1.0 / labels.len() as f32;
    for (x, &label) in logits.chunks_exact_mut(classes).zip(labels) {
        let max = x.iter().fold(f32::NEG_INFINITY, |a, &b| if a > b { a } else { b });
        let lead = max - x[usize::from(label)];
        let mut total = 0.0;
        for x in &mut *x {
            *x = E::exp(*x - max);
            total += *x;
        }
        sum += lead + E::ln(total);
        let factor = scale / total;
        x.iter_mut().for_each(|x| *x *= factor);
        x[usize::from(label)] -= scale;
    }
    sum * scale
}

#[inline(never)]
pub fn bce_with_logits_mean<E: Elementary>(logits: &[f32], targets: &[f32]) -> f32 {
    let loss = |(&x, &t): (&f32, &f32)| x.max(0.0) - x * t + E::ln_1p(E::exp(-x.abs()));
    logits.iter().zip(targets).map(loss).sum::<f32>() / logits.len() as f32
}

fn map(x: &[f32], out: &mut [f32], f: impl Fn(f32) -> f32) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = f(x));
}

#[inline(never)]
pub fn exp<E: Elementary>(x: &[f32], out: &mut [f32]) {
    map(x, out, E::exp);
}

#[inline(never)]
pub fn sigmoid<E: Elementary>(x: &[f32], out: &mut [f32]) {
    map(x, out, |x| 1.0 / (1.0 + E::exp(-x)));
}

#[inline(never)]
pub fn softplus<E: Elementary>(x: &[f32], out: &mut [f32]) {
    map(x, out, |x| x.max(0.0) + E::ln_1p(E::exp(-x.abs())));
}
