//! Elementary functions, over any vector.

use crate::simd::Simd;

/// What the sums of [`exp_term`] have to be multiplied with.
pub(crate) const TERM_UNIT: f32 = f32::from_bits((127 - 60) << 23);

const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// ln 2 = `LN2_HI` + `LN2_LO`; `LN2_HI` has 15 bits, so that its product with an exponent is exact.
const LN2_HI: f32 = 0.693_145_75;
const LN2_LO: f32 = 1.428_606_8e-6;
/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// `e^r` for |r| <= ln 2 / 2.
#[inline(always)]
fn exp_reduced<S: Simd>(s: S, r: S::F) -> S::F {
    let mut q = s.splat(1.398_881_2e-3);
    for c in [8.369_309e-3, 4.166_454_7e-2, 1.666_657_2e-1, 0.5, 1.0, 1.0] {
        q = s.mul_add(q, r, s.splat(c));
    }
    q
}

/// `e^x`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.5), x));
    let t = s.mul_add(x, s.splat(LOG2_E), s.splat(ROUND + 254.0));
    let n = s.sub(t, s.splat(ROUND + 254.0));
    let r = s.neg_mul_add(n, s.splat(LN2_HI), x);
    let r = s.neg_mul_add(n, s.splat(LN2_LO), r);
    let p = exp_reduced(s, r);
    let n = s.bits(t);
    let half = s.shr::<1>(n);
    let first = s.from_bits(s.shl::<23>(half));
    let second = s.from_bits(s.shl::<23>(s.int_sub(n, half)));
    s.mul(s.mul(p, first), second)
}

/// `e^d * 2^60` as `(p, scale)`, whose product it is; `d <= 0` or NaN.
#[inline(always)]
pub(crate) fn exp_term<S: Simd>(s: S, d: S::F) -> (S::F, S::F) {
    let d = s.max(s.splat(-129.62), d);
    let t = s.mul_add(d, s.splat(LOG2_E), s.splat(ROUND + 187.0));
    let n = s.sub(t, s.splat(ROUND + 187.0));
    let r = s.neg_mul_add(n, s.splat(LN2_HI), d);
    let r = s.neg_mul_add(n, s.splat(LN2_LO), r);
    (exp_reduced(s, r), s.from_bits(s.shl::<23>(s.bits(t))))
}

/// `k ln 2 + ln(1 + f)` for f in about [-0.3, 0.42].
#[inline(always)]
fn ln_reduced<S: Simd>(s: S, k: S::F, f: S::F) -> S::F {
    let v = s.div(f, s.add(f, s.splat(2.0)));
    let w = s.mul(v, v);
    let mut q = s.splat(0.242_790_79);
    for c in [0.284_987_87, 0.400_009_72, 0.666_666_6] {
        q = s.mul_add(q, w, s.splat(c));
    }
    let q = s.mul(q, w);
    let h = s.mul(s.mul(f, f), s.splat(0.5));
    let low = s.mul_add(v, s.add(h, q), s.mul(k, s.splat(LN2_LO)));
    s.add(s.mul(k, s.splat(LN2_HI)), s.sub(f, s.sub(h, low)))
}

/// The natural logarithm.
#[inline(always)]
pub(crate) fn ln<S: Simd>(s: S, x: S::F) -> S::F {
    let tiny = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let y = s.select(tiny, s.mul(x, s.splat(8_388_608.0)), x);
    let i = s.int_sub(s.bits(y), s.int(0x3f35_04f3));
    let k = s.to_float(s.shr::<23>(i));
    let k = s.select(tiny, s.sub(k, s.splat(23.0)), k);
    let m = s.from_bits(s.int_add(s.int_and(i, s.int(0x007f_ffff)), s.int(0x3f35_04f3)));
    let y = ln_reduced(s, k, s.sub(m, s.splat(1.0)));
    ln_special(s, x, y)
}

/// `y`, but where `x` is 0, negative, infinite or NaN the logarithm of it.
#[inline(always)]
fn ln_special<S: Simd>(s: S, x: S::F, y: S::F) -> S::F {
    let y = s.select(s.lt(x, s.splat(f32::INFINITY)), y, x);
    let y = s.select(s.lt(s.splat(0.0), x), y, s.splat(f32::NAN));
    let y = s.select(s.eq(x, s.splat(0.0)), s.splat(f32::NEG_INFINITY), y);
    s.select(s.eq(x, x), y, x)
}

/// `ln(1 + x)`.
#[inline(always)]
pub(crate) fn ln_1p<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let u = s.add(x, one);
    let i = s.int_sub(s.bits(u), s.int(0x3f35_04f3));
    let k = s.shr::<23>(i);
    let m = s.from_bits(s.int_add(s.int_and(i, s.int(0x007f_ffff)), s.int(0x3f35_04f3)));
    // 1 + x = u + error
    let error = s.select(s.lt(x, one), s.sub(x, s.sub(u, one)), s.sub(one, s.sub(u, x)));
    let error = s.select(s.lt(u, s.splat(1e9)), error, s.splat(0.0));
    let scale = s.from_bits(s.int_sub(s.int(0x3f80_0000), s.shl::<23>(k)));
    let f = s.add(s.sub(m, one), s.mul(error, scale));
    let y = ln_reduced(s, s.to_float(k), f);
    let y = ln_special(s, u, y);
    s.select(s.lt(s.abs(x), s.splat(1e-8)), x, y)
}

/// `ln(1 + z)` for z in [0, 1].
#[inline(always)]
pub(crate) fn ln_1p_unit<S: Simd>(s: S, z: S::F) -> S::F {
    ln_1p(s, z)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let z = exp(s, s.neg(s.abs(x)));
    sigmoid_of(s, x, z)
}

#[inline(always)]
fn sigmoid_of<S: Simd>(s: S, x: S::F, z: S::F) -> S::F {
    let one = s.splat(1.0);
    let small = s.div(z, s.add(z, one));
    s.select(s.lt(x, s.splat(0.0)), small, s.sub(one, small))
}

/// `ln(1 + e^x)`.
#[inline(always)]
pub(crate) fn softplus<S: Simd>(s: S, x: S::F) -> S::F {
    s.add(s.max(s.splat(0.0), x), soft(s, x))
}

/// `ln(sigmoid(x))`, which is `-softplus(-x)`.
#[inline(always)]
pub(crate) fn log_sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    s.sub(s.min(s.splat(0.0), x), soft(s, x))
}

/// `ln(1 + e^-|x|)`: softplus of x is this and `max(x, 0)`.
#[inline(always)]
pub(crate) fn soft<S: Simd>(s: S, x: S::F) -> S::F {
    ln_1p_unit(s, exp(s, s.neg(s.abs(x))))
}

/// `(sigmoid(x), soft(x))`, which share an exponential.
#[inline(always)]
pub(crate) fn sigmoid_and_soft<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let z = exp(s, s.neg(s.abs(x)));
    (sigmoid_of(s, x, z), ln_1p_unit(s, z))
}
