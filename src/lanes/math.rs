//! Elementary functions, over any vector.

use crate::simd::Simd;

/// What the sums of [`exp_term`] have to be multiplied with.
pub(crate) const TERM_UNIT: f32 = power_of_two(-60);

const LOG2_E: f32 = core::f32::consts::LOG2_E;
const LN2: f32 = core::f32::consts::LN_2;
/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// The exponent of a float.
const EXPONENT: i32 = 0x7f80_0000;
/// `sqrt(1/2)`, as bits.
const SQRT_HALF: i32 = 0x3f35_04f3;

/// `2^n` for a normal number.
const fn power_of_two(n: i32) -> f32 {
    f32::from_bits((127 + n).cast_unsigned() << 23)
}

/// `LN2` in two parts.
#[inline(always)]
fn ln2_parts<S: Simd>(s: S) -> (S::F, S::F) {
    if S::FUSED { (s.splat(LN2), s.splat(-1.904_654_3e-9)) } else { (s.splat(0.693_145_75), s.splat(1.428_606_8e-6)) }
}

#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F, leading: f32, others: [f32; N]) -> S::F {
    let mut y = s.splat(leading);
    for c in others {
        y = s.mul_add(y, x, s.splat(c));
    }
    y
}

/// `(t, u)` with `e^x = 2^n (1 + u)`; the lowest bits of `t` are the integer `n + bias`.
#[inline(always)]
fn exp_parts<S: Simd>(s: S, x: S::F, bias: f32) -> (S::F, S::F) {
    let (high, low) = ln2_parts(s);
    let round = s.splat(ROUND + bias);
    let t = s.mul_add(x, s.splat(LOG2_E), round);
    let n = s.sub(t, round);
    // x = n ln 2 + first - small
    let first = s.neg_mul_add(n, high, x);
    let small = s.mul(n, low);
    let r = s.sub(first, small);
    let q = polynomial(s, r, 1.382_385_1e-3, [8.368_818e-3, 4.166_823_3e-2, 0.166_665_2, 0.499_999_94]);
    let rest = if S::FUSED { s.mul_add(s.mul(r, r), q, s.neg(small)) } else { s.sub(s.mul(s.mul(r, r), q), small) };
    (t, s.add(first, rest))
}

/// `e^x`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.5), x));
    let (t, u) = exp_parts(s, x, 254.0);
    let n = s.bits(t);
    let first = s.int_and(s.shl::<22>(n), s.int(EXPONENT));
    let second = s.from_bits(s.int_sub(s.shl::<23>(n), first));
    let first = s.from_bits(first);
    s.mul(s.mul_add(u, first, first), second)
}

/// `e^d * 2^60` as `(p, scale)`, whose product it is; `d <= 0` or NaN.
#[inline(always)]
pub(crate) fn exp_term<S: Simd>(s: S, d: S::F) -> (S::F, S::F) {
    let d = s.max(s.splat(-129.62), d);
    let round = s.splat(ROUND + 187.0);
    let t = s.mul_add(d, s.splat(LOG2_E), round);
    let n = s.sub(t, round);
    let (high, low) = ln2_parts(s);
    let r = s.neg_mul_add(n, high, d);
    let r = if S::FUSED { r } else { s.neg_mul_add(n, low, r) };
    let p = polynomial(s, r, 8.289_513e-3, [4.189_82e-2, 0.166_676_5, 0.499_991_48, 0.999_999_7, 1.0]);
    (p, s.from_bits(s.shl::<23>(s.bits(t))))
}

/// `k ln 2 + ln(1 + f) + small` for f in about [-0.3, 0.42].
#[inline(always)]
fn ln_reduced<S: Simd>(s: S, k: S::I, f: S::F, small: S::F) -> S::F {
    let k = s.to_float(k);
    let w = s.div(f, s.add(f, s.splat(2.0)));
    let v = s.mul(w, w);
    let r = polynomial(s, v, 0.298_708_44, [0.399_775_83, 0.666_667_76]);
    let g = s.neg_mul_add(v, r, f);
    let rest = s.neg_mul_add(w, g, s.mul_add(k, s.splat(1.428_606_8e-6), small));
    let high = s.mul(k, s.splat(0.693_145_75));
    let sum = s.add(high, f);
    s.add(sum, s.add(rest, s.sub(f, s.sub(sum, high))))
}

/// The natural logarithm.
#[inline(always)]
pub(crate) fn ln<S: Simd>(s: S, x: S::F) -> S::F {
    let tiny = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let y = s.select(tiny, s.mul(x, s.splat(power_of_two(64))), x);
    let i = s.int_sub(s.bits(y), s.int(SQRT_HALF));
    let offset = s.bits(s.select(tiny, s.from_bits(s.int(64)), s.splat(0.0)));
    let k = s.int_sub(s.shr::<23>(i), offset);
    let m = s.from_bits(s.int_add(s.int_and(i, s.int(!(-1 << 23))), s.int(SQRT_HALF)));
    let y = ln_reduced(s, k, s.sub(m, s.splat(1.0)), s.splat(0.0));
    ln_special(s, x, y)
}

/// `y`, but where `x` is 0, negative, infinite or NaN the logarithm of it.
#[inline(always)]
fn ln_special<S: Simd>(s: S, x: S::F, y: S::F) -> S::F {
    let zero = s.splat(0.0);
    let other = s.select(s.eq(x, zero), s.splat(f32::NEG_INFINITY), s.splat(f32::NAN));
    let y = s.select(s.lt(zero, x), y, other);
    s.select(s.lt(x, s.splat(f32::INFINITY)), y, x)
}

/// `ln(1 + x)`.
#[inline(always)]
pub(crate) fn ln_1p<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    // 1 + x = y + error
    let y = s.add(x, one);
    let near_one = s.sub(y, x);
    let error = s.add(s.sub(x, s.sub(y, near_one)), s.sub(one, near_one));
    let i = s.int_sub(s.bits(y), s.int(SQRT_HALF));
    let exponent = s.int_and(i, s.int(-1 << 23));
    let m = s.from_bits(s.int_sub(s.bits(y), exponent));
    let scale = s.max(s.splat(0.0), s.from_bits(s.int_sub(s.bits(one), exponent)));
    let f = s.sub(m, one);
    let error = s.mul(error, scale);
    let small = s.neg_mul_add(error, f, error);
    ln_special(s, y, ln_reduced(s, s.shr::<23>(i), f, small))
}

/// `max(ln p, -100)` for p in [0, 1].
#[inline(always)]
pub(crate) fn ln_probability<S: Simd>(s: S, p: S::F) -> S::F {
    let y = s.mul(p, s.splat(power_of_two(64)));
    let i = s.int_sub(s.bits(y), s.int(SQRT_HALF + (64 << 23)));
    let m = s.from_bits(s.int_add(s.int_and(i, s.int(!(-1 << 23))), s.int(SQRT_HALF)));
    let y = ln_reduced(s, s.shr::<23>(i), s.sub(m, s.splat(1.0)), s.splat(0.0));
    s.max(s.splat(-100.0), y)
}

/// `max(ln(1 - p), -100)` for p in [0, 1].
#[inline(always)]
pub(crate) fn ln_complement<S: Simd>(s: S, p: S::F) -> S::F {
    let one = s.splat(1.0);
    let i = s.int_sub(s.bits(s.sub(one, p)), s.int(SQRT_HALF));
    let scale = s.from_bits(s.int_sub(s.bits(one), s.int_and(i, s.int(-1 << 23))));
    let f = s.neg_mul_add(p, scale, s.sub(scale, one));
    let y = ln_reduced(s, s.shr::<23>(i), f, s.splat(0.0));
    s.select(s.lt(p, one), y, s.splat(-100.0))
}

/// `ln(1 + z) - z` for z in [0, 1], and `start` more.
#[inline(always)]
fn ln_1p_rest<S: Simd>(s: S, z: S::F, start: S::F) -> S::F {
    let v = s.mul(z, z);
    let even = polynomial(s, v, -3.312_434_8e-3, [-5.760_939_4e-2, -0.153_517_17, -0.249_582_93, -0.499_999_3]);
    let odd = polynomial(s, v, 2.017_644_6e-2, [0.106_746_94, 0.196_940_24, 0.333_304_8]);
    s.mul_add(v, s.mul_add(odd, z, even), start)
}

/// `ln(1 + z)` for z in [0, 1].
#[inline(always)]
pub(crate) fn ln_1p_unit<S: Simd>(s: S, z: S::F) -> S::F {
    s.add(z, ln_1p_rest(s, z, s.splat(0.0)))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let unit = s.splat(power_of_two(-64));
    let y = s.min(s.splat(104.5), s.max(s.splat(-20.0), s.neg(x)));
    let (t, u) = exp_parts(s, y, 127.0 - 64.0);
    let scale = s.from_bits(s.shl::<23>(s.bits(t)));
    let sum = s.add(scale, unit);
    let lost = s.sub(unit, s.sub(sum, scale));
    let d = s.add(sum, s.mul_add(u, scale, lost));
    s.div(unit, d)
}

/// `(scale, u, z)` with `z = e^-|x| = scale (1 + u)`.
#[inline(always)]
fn exp_neg_abs<S: Simd>(s: S, x: S::F) -> (S::F, S::F, S::F) {
    let (t, u) = exp_parts(s, s.max(s.splat(-104.5), s.neg(s.abs(x))), 127.0 + 64.0);
    let scale = s.from_bits(s.shl::<23>(s.bits(t)));
    let scale = s.mul(scale, s.splat(power_of_two(-64)));
    (scale, u, s.mul_add(u, scale, scale))
}

/// `ln(1 + e^x)`.
#[inline(always)]
pub(crate) fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    let (scale, u, z) = exp_neg_abs(s, x);
    s.add(s.mul_add(u, scale, ln_1p_rest(s, z, s.max(x, s.splat(0.0)))), scale)
}

/// `ln(sigmoid(x))`, which is `-softplus(-x)`.
#[inline(always)]
pub(crate) fn log_sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    s.neg(softplus(s, s.neg(x)))
}

/// `ln(1 + e^-|x|)`: softplus of x is this and `max(x, 0)`.
#[inline(always)]
pub(crate) fn soft<S: Simd>(s: S, x: S::F) -> S::F {
    let (scale, u, z) = exp_neg_abs(s, x);
    s.add(s.mul_add(u, scale, ln_1p_rest(s, z, s.splat(0.0))), scale)
}

/// `(sigmoid(x), sigmoid(-x), soft(x))`, which share an exponential.
#[inline(always)]
pub(crate) fn sigmoids_and_soft<S: Simd>(s: S, x: S::F) -> (S::F, S::F, S::F) {
    let (scale, u, z) = exp_neg_abs(s, x);
    let one = s.splat(1.0);
    let large = s.div(one, s.mul_add(u, scale, s.add(scale, one)));
    let small = s.mul(z, large);
    let negative = s.lt(x, s.splat(0.0));
    let soft = s.add(s.mul_add(u, scale, ln_1p_rest(s, z, s.splat(0.0))), scale);
    (s.select(negative, small, large), s.select(negative, large, small), soft)
}
