//! The functions in `f64`, to some 50 bits, in a form that the compiler turns into vectors: the standard library's would
//! take most of the time of a sweep. `main.rs` compares them with correctly rounded ones.

use std::f64::consts::{FRAC_1_SQRT_2, LOG2_E};

/// 1.5 · 2^52: in a sum with it the integer part stands in the lowest bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// ln 2 without its last 21 bits, so that its product with an exponent is exact, and the rest.
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// `1 / k!`. For |r| <= ln 2 / 2 the first term left out is below 1e-17.
#[expect(clippy::cast_precision_loss, reason = "a small number")]
const EXP_SERIES: [f64; 14] = {
    let mut series = [1.0; 14];
    let mut k = 1;
    while k < 14 {
        series[k] = series[k - 1] / k as f64;
        k += 1;
    }
    series
};

/// `e^x` for |x| <= 700, beyond any `f32`; for a larger x as there.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let t = x * LOG2_E + ROUND;
    let n = t - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let sum = EXP_SERIES.into_iter().rev().fold(0.0, |sum, c| sum * r + c);
    sum * f64::from_bits(t.to_bits().wrapping_add(1023) << 52)
}

/// In units of 2^-60.
#[inline(always)]
pub(crate) fn exponential(x: f64) -> f64 {
    exp(x) * f64::from(1_u32 << 30).powi(2)
}

#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    // x = 2^k m with m in [√½, √2).
    let bias = 1023 << 52;
    let above = x.to_bits().wrapping_sub(FRAC_1_SQRT_2.to_bits()).wrapping_add(bias);
    let m = f64::from_bits(x.to_bits().wrapping_sub((above >> 52 << 52).wrapping_sub(bias)));
    let k = f64::from_bits((above >> 52) + ROUND.to_bits()) - ROUND - 1023.0;
    // ln m = 2 artanh w = 2 (w + w³/3 + w⁵/5 + …), where w² < 0.0295.
    let w = (m - 1.0) / (m + 1.0);
    let mut sum = 0.0;
    for n in (0..12).rev() {
        sum = sum * (w * w) + 1.0 / f64::from(2 * n + 1);
    }
    let y = k * LN2_HIGH + (k * LN2_LOW + 2.0 * w * sum);
    let outside = if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    let y = if x > 0.0 { y } else { outside };
    if x < f64::INFINITY { y } else { x }
}

#[inline(always)]
pub(crate) fn ln_1p(x: f64) -> f64 {
    let y = x + 1.0;
    // What the sum lost, to first order.
    let lost = (x - (y - 1.0)) / y;
    ln(y) + if y > 0.0 && y < f64::INFINITY { lost } else { 0.0 }
}

#[inline(always)]
pub(crate) fn ln_probability(x: f64) -> f64 {
    ln(x).max(-100.0)
}

#[inline(always)]
pub(crate) fn ln_complement(x: f64) -> f64 {
    ln_1p(-x).max(-100.0)
}

#[inline(always)]
pub(crate) fn sigmoid(x: f64) -> f64 {
    let z = exp(-x.abs());
    let larger = 1.0 / (1.0 + z);
    if x < 0.0 { z * larger } else { larger }
}

#[inline(always)]
pub(crate) fn soft(x: f64) -> f64 {
    ln_1p(exp(-x.abs()))
}

#[inline(always)]
pub(crate) fn softplus(x: f64) -> f64 {
    soft(x) + x.max(0.0)
}

#[inline(always)]
pub(crate) fn log_sigmoid(x: f64) -> f64 {
    -softplus(-x)
}

#[inline(always)]
pub(crate) fn sigmoids(x: f64) -> f64 {
    sigmoid(x)
}
