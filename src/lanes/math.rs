//! Elementary functions, over any vector.
//!
//! Every function is a short sequence of IEEE operations without branches or tables, so that all backends of one
//! arithmetic give the same bits. The two arithmetics share all steps; only the split of ln 2 differs. On
//! [`crate::Backend::INTEGER`] those with an exponential, and [`ln_1p`], are the functions of [`integer`] instead.
//!
//! Errors are in ULP of the result, `|got - exact| / ulp(exact)`, where a subnormal has the ULP 2^-149. The worst errors are
//! those over all 2^32 inputs, from the table in [`crate::bounds`].
//!
//! Polynomials come from Sollya's `fpminimax`, if nothing else is said, with coefficients rounded to `f32`; each says of what,
//! and how far it is from it. They leave out the leading terms that have to be exact.

use super::integer;
use crate::simd::Ops;

/// The unit of [`exp_term`], 2^-60: what the sum of its terms has to be multiplied with.
pub(crate) const TERM_UNIT: f32 = power_of_two(-60);

const LOG2_E: f32 = core::f32::consts::LOG2_E;
const LN2: f32 = core::f32::consts::LN_2;
/// The first 15 bits of ln 2, whose product with an exponent is exact, and the rest.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;
/// 1.5 · 2^23. A sum with it is rounded to an integer, which stands in the lowest bits of the sum.
const ROUND: f32 = 12_582_912.0;
/// The exponent of a float, and its sign and exponent.
const EXPONENT: i32 = 0x7f80_0000;
const SIGN_AND_EXPONENT: i32 = -1 << 23;
/// The bits of √½.
const SQRT_HALF: i32 = 0x3f35_04f3;
/// e^x rounds to 0 below -103.98; here its exponent still is one of those that the functions below allow for.
const EXP_MIN: f32 = -104.5;

/// `2^n`, where that is a normal number.
const fn power_of_two(n: i32) -> f32 {
    f32::from_bits((127 + n).cast_unsigned() << 23)
}

/// The polynomial with these coefficients, the leading one first, by Horner's rule. Written out, since firmware that has to be
/// small would have a loop, and its coefficients on the stack.
macro_rules! polynomial {
    ($s:ident, $x:ident, $leading:literal, [$($c:literal),*]) => {{
        let y = $s.splat($leading);
        $(let y = $s.mul_add(y, $x, $s.splat($c));)*
        y
    }};
}

/// Splits `x = n ln 2 + r`, clamped first if there are limits, with an integer `n` and |r| <= ln 2 / 2, and returns `(t, n, r)`. The
/// lowest nine bits of `t` are `n + bias`.
///
/// `n ln 2` is subtracted in two steps. *Fused*: the first step, with ln 2 rounded to `f32`, is exact because its
/// result is a multiple of 2^-25 or of the last bit of `x`, whichever is smaller, and small. That rounding of ln 2 is a
/// lucky one, 1.9e-9, which is all that the second step corrects. *Portable*: the product of the first step has to be
/// exact, so that ln 2 keeps 15 bits.
#[inline(always)]
fn reduce<S: Ops>(s: S, x: S::F, limits: Option<(f32, f32)>, bias: f32, exact: bool) -> (S::F, S::F, S::F) {
    let round = ROUND + bias;
    let (x, t) = match limits {
        Some(limits) => s.clamp_mul_add(x, limits, LOG2_E, round),
        None => (x, s.mul_add(x, s.splat(LOG2_E), s.splat(round))),
    };
    let n = s.sub(t, s.splat(round));
    let (high, low) = if S::FUSED { (LN2, -1.904_654_3e-9) } else { (LN2_HIGH, LN2_LOW) };
    let r = s.neg_mul_add(n, s.splat(high), x);
    let r = if exact || !S::FUSED { s.neg_mul_add(n, s.splat(low), r) } else { r };
    (t, n, r)
}

/// `(t, n, u)` with `e^x = 2^n (1 + u)` and u in [-0.3, 0.42]. The lowest nine bits of `t` are `n + bias`.
///
/// After [`reduce`], `u = r + r² q(r)` for a polynomial of degree 4: relative to e^r it is off by 3.4e-9. The rounding of
/// `r` and that of `u` (2^-26 each where they exceed 1/4) are what limits [`exp`] and everything after it.
/// The coefficients are those of `fpminimax(exp(x), [|2,...,6|], [|24...|], [-0.3468;0.3468], relative, 1 + x)`, then
/// moved by a random search for the smallest error of `exp` over all inputs.
#[inline(always)]
fn exp_parts<S: Ops>(s: S, x: S::F, limits: Option<(f32, f32)>, bias: f32) -> (S::F, S::F, S::F) {
    let (t, n, r) = reduce(s, x, limits, bias, true);
    let q = polynomial!(s, r, 1.383_073_7e-3, [8.368_759e-3, 4.166_723_8e-2, 0.166_665_24, 0.500_000_06]);
    (t, n, s.mul_add(s.mul(r, r), q, r))
}

/// `2^n` from the `t` of [`exp_parts`], where the bias was 127 more than what is added to `n`.
#[inline(always)]
pub(crate) fn scale<S: Ops>(s: S, t: S::F) -> S::F {
    s.from_bits(s.shl::<23>(s.bits(t)))
}

/// `e^x`.
///
/// `2^n (1 + u)` with [`exp_parts`]. `2^n` exceeds the floats at both ends and is multiplied in two halves, each of
/// which is a normal number: `n + 254` is shifted to where its upper eight bits are an exponent, ⌊n / 2⌋ + 127; what this
/// leaves of `n` is the other one. Both multiplications are exact, but for the last one if it is subnormal. An instruction that
/// takes any `n` ([`Ops::scale`]) gives the same bits.
///
#[doc = concat!("Worst error: ", worst_error!(exp), ".")]
/// e^0 = 1, e^-∞ = 0, overflow and e^∞ give ∞, NaN gives NaN.
#[inline(always)]
pub(crate) fn exp<S: Ops>(s: S, x: S::F) -> S::F {
    if S::INTEGER {
        return s.map_bits(x, integer::exp);
    }
    let (t, n, u) = exp_parts(s, x, Some((EXP_MIN, 89.0)), 254.0);
    if S::SCALES {
        return s.scale(s.add(s.splat(1.0), u), n);
    }
    let n = s.bits(t);
    let first = s.int_and(s.shl::<22>(n), s.int(EXPONENT));
    let second = s.from_bits(s.int_sub(s.shl::<23>(n), first));
    let first = s.from_bits(first);
    s.mul(s.mul_add(u, first, first), second)
}

/// `e^d`, as `(p, t)`: `p · scale(t)` is `e^d` in units of [`TERM_UNIT`], to be summed with [`Ops::mul_add`].
///
/// Made for sums: seven multiplications, and the last rounding left to the sum. `p` is a polynomial of degree 5 in the
/// `r` of [`reduce`], 9.2e-8 from e^r (degree 6 would be 3e-9, for one cycle of nine on AVX-512), of
/// `fpminimax(exp(x), [|1,...,5|], [|24...|], [-0.3468;0.3468], relative, 1)`; *fused*, the second step of the reduction is
/// left out: an error of 1.9e-9 · n. [`scale`] of `t` is a power of two, `2^(n + 60)`, and 0 from `n = -187` on, to which everything
/// below is clamped. So the unit keeps sums of terms down to e^-128.9 exact to the last bits. Above, it is finite up to n = 67,
/// and nonsense where [`in_range`] says so.
///
/// Worst relative error of the product, portable and fused: 1.8e-7 and 1.7e-7 for |d| <= 5, 1.9e-7 and 2.6e-7 for
/// |d| <= 40, 1.9e-7 and 3.9e-7 for d >= -87. d = 0 gives 1 and 2^60, so that it is exact; -∞ and all below -129.3 give 0, NaN a NaN in `p`.
#[inline(always)]
pub(crate) fn exp_term<S: Ops>(s: S, d: S::F) -> (S::F, S::F) {
    near_term(s, s.max(s.splat(TERM_MIN), d))
}

/// The least `d` of [`near_term`], and what [`exp_term`] takes for all below: of both the exponential is 0.
pub(crate) const TERM_MIN: f32 = -129.62;

/// [`exp_term`] for `d` from [`TERM_MIN`] on, or NaN.
#[inline(always)]
pub(crate) fn near_term<S: Ops>(s: S, d: S::F) -> (S::F, S::F) {
    let (t, _, r) = reduce(s, d, None, 127.0 + 60.0, false);
    let p = polynomial!(s, r, 8.289_513e-3, [4.189_82e-2, 0.166_676_5, 0.499_991_48, 0.999_999_7, 1.0]);
    (p, t)
}

/// Where none of some `d` was NaN or above 47.4, which is too much for [`exp_term`]: of their `t`, the bits of all joined by "or".
///
/// The bits of an ordinary `t` are those of [`ROUND`] but for the lowest eight. Any other is a larger number, as is all that
/// it is joined with, or a NaN.
#[inline(always)]
pub(crate) fn in_range<S: Ops>(s: S, joined: S::I) -> S::M {
    s.lt(s.from_bits(joined), s.splat(ROUND + 256.0))
}

/// `e^d` for `d <= 0` in units of [`TERM_UNIT`], to be multiplied with something: as [`exp_term`], which bounds its error and
/// says how far it can be above 0, with one more rounding. 2^60 for d = 0, 0 for -∞ and all below -129.3, NaN for NaN.
#[inline(always)]
pub(crate) fn exponential<S: Ops>(s: S, d: S::F) -> S::F {
    if S::INTEGER {
        return s.map_bits(d, integer::exp_term);
    }
    let (p, t) = exp_term(s, d);
    s.mul(p, scale(s, t))
}

/// [`exponential`] and [`ln_1p`] of what is once in a row: see [`Ops::apart`].
pub(crate) mod row {
    use super::Ops;

    #[inline(always)]
    pub(crate) fn exponential<S: Ops>(s: S, d: S::F) -> S::F {
        s.apart(
            d,
            #[inline(always)]
            |d| super::exponential(s, d),
        )
    }

    #[inline(always)]
    pub(crate) fn ln_1p<S: Ops>(s: S, x: S::F) -> S::F {
        s.apart(
            x,
            #[inline(always)]
            |x| super::ln_1p(s, x),
        )
    }
}

/// `k ln 2 + ln(1 + f) + small` for f in [-0.3, 0.42], an integer `k` and a tiny `small`.
///
/// With w = f / (2 + f), ln(1 + f) = 2 artanh w = 2w + w R(w²), and since 2w = f - w f this is `f - w (f - R)`, in which
/// the quotient weighs little. R is w² times a polynomial of degree 2, from `fpminimax` of 2 artanh(√v) / √v with the
/// constant part 2, v in [0, 0.02945]: the result is off by 8e-10. The sum of `k · LN2_HIGH` (exact) and `f` is rounded; its
/// rounding error is found exactly and added to the small terms.
#[inline(always)]
fn ln_reduced<S: Ops>(s: S, k: S::F, f: S::F, small: S::F) -> S::F {
    let w = s.div(f, s.add(f, s.splat(2.0)));
    let v = s.mul(w, w);
    let r = polynomial!(s, v, 0.298_708_44, [0.399_775_83, 0.666_667_76]);
    let rest = s.mul_add(k, s.splat(LN2_LOW), small);
    let rest = s.neg_mul_add(w, s.neg_mul_add(v, r, f), rest);
    let high = s.mul(k, s.splat(LN2_HIGH));
    let sum = s.add(high, f);
    let lost = s.sub(f, s.sub(sum, high));
    s.add(sum, s.add(rest, lost))
}

/// Where `x` is 0, negative, ∞ or NaN its logarithm, elsewhere `y`.
#[inline(always)]
fn ln_special<S: Ops>(s: S, x: S::F, y: S::F) -> S::F {
    let zero = s.splat(0.0);
    let other = s.select(s.eq(x, zero), s.splat(f32::NEG_INFINITY), s.splat(f32::NAN));
    let y = s.select(s.lt(zero, x), y, other);
    s.select(s.lt(x, s.splat(f32::INFINITY)), y, x)
}

/// The natural logarithm.
///
/// `x = 2^k (1 + f)` with 1 + f in [√½, √2): subtracting the bits of √½ makes the exponent count from there. Then
/// [`ln_reduced`]. Subnormal inputs are scaled by 2^64 first.
///
#[doc = concat!("Worst error: ", worst_error!(ln), ".")]
/// ln 1 = +0, ln 0 = -∞, ln ∞ = ∞; a negative number or NaN gives NaN.
#[inline(always)]
pub(crate) fn ln<S: Ops>(s: S, x: S::F) -> S::F {
    let tiny = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let y = s.select(tiny, s.mul(x, s.splat(power_of_two(64))), x);
    let i = s.int_sub(s.bits(y), s.int(SQRT_HALF));
    let k = s.to_float(s.shr::<23>(i));
    let k = s.select(tiny, s.sub(k, s.splat(64.0)), k);
    let m = s.from_bits(s.int_sub(s.bits(y), s.int_and(i, s.int(SIGN_AND_EXPONENT))));
    let y = ln_reduced(s, k, s.sub(m, s.splat(1.0)), s.splat(0.0));
    ln_special(s, x, y)
}

/// `ln(1 + x)`.
///
/// `1 + x = y + error`, exactly, and `y = 2^k (1 + f)` as in [`ln`]. With c = error / 2^k, ln(1 + f + c) is
/// ln(1 + f) + c / (1 + f) to far beyond the last bit, and c (1 - f + f²) is near enough to that quotient. For a tiny `x`
/// all of it is in the error: the result is `x`. From `k = 127` on, 2^-k is taken as 0: the error is long lost there.
///
#[doc = concat!("Worst error: ", worst_error!(ln_1p), ".")]
/// `ln_1p(±0) = ±0`, `ln_1p(-1) = -∞`, `ln_1p(∞) = ∞`; less than -1 or NaN gives NaN.
#[inline(always)]
pub(crate) fn ln_1p<S: Ops>(s: S, x: S::F) -> S::F {
    if S::INTEGER {
        return s.map_bits(x, integer::ln_1p);
    }
    let one = s.splat(1.0);
    let y = s.add(x, one);
    let near_one = s.sub(y, x);
    let error = s.add(s.sub(x, s.sub(y, near_one)), s.sub(one, near_one));
    let i = s.int_sub(s.bits(y), s.int(SQRT_HALF));
    let exponent = s.int_and(i, s.int(SIGN_AND_EXPONENT));
    let f = s.sub(s.from_bits(s.int_sub(s.bits(y), exponent)), one);
    let inverse = s.max(s.splat(0.0), s.from_bits(s.int_sub(s.bits(one), exponent)));
    let c = s.mul(error, inverse);
    let small = s.neg_mul_add(f, s.neg_mul_add(f, c, c), c);
    let k = s.to_float(s.shr::<23>(i));
    ln_special(s, y, ln_reduced(s, k, f, small))
}

/// `max(ln p, -100)` for p in [0, 1]; any number for others and for NaN.
///
/// As [`ln`], with no special cases: scaled by 2^64, every p but 0 is normal, and 0 (both of them: the sum with 0 turns
/// the sign of -0) comes out below -100.
///
#[doc = concat!("Worst error: ", worst_error!(ln_probability), ".")]
#[inline(always)]
pub(crate) fn ln_probability<S: Ops>(s: S, p: S::F) -> S::F {
    let y = s.mul_add(p, s.splat(power_of_two(64)), s.splat(0.0));
    let i = s.int_sub(s.bits(y), s.int(SQRT_HALF));
    let k = s.sub(s.to_float(s.shr::<23>(i)), s.splat(64.0));
    let m = s.from_bits(s.int_sub(s.bits(y), s.int_and(i, s.int(SIGN_AND_EXPONENT))));
    s.max(s.splat(-100.0), ln_reduced(s, k, s.sub(m, s.splat(1.0)), s.splat(0.0)))
}

/// `max(ln(1 - p), -100)` for p in [0, 1]; any number for others and for NaN.
///
/// As [`ln_1p`], but here k is in [-24, 0], so that `f = (1 - p) / 2^k - 1` has a form with a single rounding, and none
/// where k is 0: `(2^-k - 1) - p 2^-k`.
///
#[doc = concat!("Worst error: ", worst_error!(ln_complement), ".")]
#[inline(always)]
pub(crate) fn ln_complement<S: Ops>(s: S, p: S::F) -> S::F {
    let one = s.splat(1.0);
    let i = s.int_sub(s.bits(s.sub(one, p)), s.int(SQRT_HALF));
    let inverse = s.from_bits(s.int_sub(s.bits(one), s.int_and(i, s.int(SIGN_AND_EXPONENT))));
    let f = s.neg_mul_add(p, inverse, s.sub(inverse, one));
    let y = ln_reduced(s, s.to_float(s.shr::<23>(i)), f, s.splat(0.0));
    s.select(s.lt(p, one), y, s.splat(-100.0))
}

/// The logistic function, `1 / (1 + e^-x)`.
///
/// No case distinction: `c / d` with `d = c + c e^-x = c + 2^n c (1 + u)` by [`exp_parts`], where c = 2^-24 keeps `d` finite for
/// every `x` and leaves a subnormal result to the division, which rounds it once. `d` would lose too much: its rounding
/// error is up to one ULP of the result, and for a large `n` so is the `c` lost from `c + 2^n c`. Both errors are found
/// exactly, and the quotient is corrected by them in first order; `inverse` is 1 / d (maybe nonsense if the quotient is subnormal,
/// but then the correction rounds to 0).
///
#[doc = concat!("Worst error: ", worst_error!(sigmoid), ".")]
/// 1 from x = 17.33 on, e^x down to the subnormals for x << 0, 0 for -∞; NaN gives NaN.
#[inline(always)]
pub(crate) fn sigmoid<S: Ops>(s: S, x: S::F) -> S::F {
    const UNIT: i32 = 24;
    if S::INTEGER {
        return s.map_bits(x, integer::sigmoid);
    }
    let unit = s.splat(power_of_two(-UNIT));
    let (t, _, u) = exp_parts(s, s.neg(x), Some((-20.0, -EXP_MIN)), 127.0 - 24.0);
    let scale = scale(s, t);
    let sum = s.add(scale, unit);
    let lost = s.sub(unit, s.sub(sum, scale));
    let d = s.mul_add(u, scale, sum);
    let error = s.mul_add(u, scale, s.add(s.sub(sum, d), lost));
    let y = s.div(unit, d);
    let inverse = s.shift_exponent::<UNIT>(y);
    s.neg_mul_add(s.mul(y, error), inverse, y)
}

/// `z = e^-|x|`, as `(scale, rest, z)` with `z = scale + rest`.
///
/// `scale` is a power of two; it is a subnormal number if `z` is, and 0 below 2^-149. The sum with `rest` rounds.
#[inline(always)]
fn exp_neg_abs<S: Ops>(s: S, x: S::F) -> (S::F, S::F, S::F) {
    let (t, n, u) = exp_parts(s, s.max(s.splat(EXP_MIN), s.neg(s.abs(x))), None, 127.0 + 64.0);
    let scale = if S::SCALES { s.scale(s.splat(1.0), n) } else { s.mul(scale(s, t), s.splat(power_of_two(-64))) };
    let rest = s.mul(u, scale);
    (scale, rest, s.add(scale, rest))
}

/// `m + ln(1 + z)` for `m >= 0` and the z = e^-|x| of [`exp_neg_abs`].
///
/// ln(1 + z) = z R(z) with `R = 1 - z/2 + z² q(z)` for a polynomial of degree 7: relative to R it is off by 7.6e-9. Its coefficients
/// are the minimax ones by Lawson's algorithm, rounded one after the other, each before the rest is fitted again. All of it times the rounded `z` would be wrong by the rounding errors of `z` and of `R`, so that a part `B z` of it is
/// taken from `z = scale + rest` as it is, and only `(R - B) z`, which is small, from the rounded one: B = 1 where z is small, too,
/// and ln 2, which is R(1), from 0.35 on. `scale B` is exact, since `scale` is 1/2 or 1 where B is not 1.
#[inline(always)]
fn ln_1p_exp<S: Ops>(s: S, m: S::F, (scale, rest, z): (S::F, S::F, S::F)) -> S::F {
    let large = s.lt(s.splat(0.25), scale);
    let b = s.select(large, s.splat(LN2), s.splat(1.0));
    let start = s.select(large, s.splat(1.0 - LN2), s.splat(0.0));
    let q = polynomial!(
        s,
        z,
        -3.678_539_3e-3,
        [2.188_026_7e-2, -6.093_054_6e-2, 0.110_260_38, -0.155_700_58, 0.197_744_94, -0.249_751_27, 0.333_322_53]
    );
    let factor = s.mul_add(q, s.mul(z, z), s.neg_mul_add(z, s.splat(0.5), start));
    s.mul_add(scale, b, s.mul_add(rest, b, s.mul_add(factor, z, m)))
}

/// `ln(1 + e^x)`, which is `max(x, 0) + ln(1 + e^-|x|)`.
///
#[doc = concat!("Worst error: ", worst_error!(softplus), ".")]
/// `x` for large x, e^x down to the subnormals for x << 0 (0 already from -103.63 on), 0 for
/// -∞; NaN gives NaN.
#[inline(always)]
pub(crate) fn softplus<S: Ops>(s: S, x: S::F) -> S::F {
    if S::INTEGER {
        return s.add(s.max(x, s.splat(0.0)), soft(s, x));
    }
    ln_1p_exp(s, s.max(x, s.splat(0.0)), exp_neg_abs(s, x))
}

/// The logarithm of [`sigmoid`], which is `-softplus(-x)`: the same errors and limits.
#[inline(always)]
pub(crate) fn log_sigmoid<S: Ops>(s: S, x: S::F) -> S::F {
    s.neg(softplus(s, s.neg(x)))
}

/// `ln(1 + e^-|x|)`: [`softplus`] of `x` is this and `max(x, 0)`, that of `-x` this and `max(-x, 0)`.
///
#[doc = concat!("Worst error: ", worst_error!(soft), ".")]
#[inline(always)]
pub(crate) fn soft<S: Ops>(s: S, x: S::F) -> S::F {
    if S::INTEGER {
        return s.map_bits(x, integer::soft);
    }
    ln_1p_exp(s, s.splat(0.0), exp_neg_abs(s, x))
}

/// `(σ(x), σ(-x), ln(1 + e^-|x|))`, from one exponential: with z = e^-|x| the larger of the first two is `1 / (1 + z)`, and
/// the smaller is that times z.
///
#[doc = concat!("Worst error: ", worst_error!(sigmoids), " in the first two, as [`soft`] in the last.")]
#[inline(always)]
pub(crate) fn sigmoids_and_soft<S: Ops>(s: S, x: S::F) -> (S::F, S::F, S::F) {
    if S::INTEGER {
        return (sigmoid(s, x), sigmoid(s, s.neg(x)), soft(s, x));
    }
    let parts = exp_neg_abs(s, x);
    let (one, zero) = (s.splat(1.0), s.splat(0.0));
    let (_, _, z) = parts;
    let large = s.div(one, s.add(one, z));
    let small = s.mul(z, large);
    let negative = s.lt(x, zero);
    let soft = ln_1p_exp(s, zero, parts);
    (s.select(negative, small, large), s.select(negative, large, small), soft)
}
