//! Elementary functions by integers, for cores without floating point hardware, on the bits of floats.
//!
//! There a float addition is some 60 instructions and a multiplication of integers one. So an exponential is
//! `2^y = 2^n 2^f` for `y = x log2 e` in fixed point, with 32 bits behind the point: the whole of it is rounded once, at the
//! end. Errors are in ULP over all 2^32 inputs, as in [`super::math`].

use crate::simd::order;

/// log2 e · 2^31.
const LOG2_E: u32 = 0xb8aa_3b29;
/// `2^(j / 16) · 2^31`.
const POWERS: [u32; 16] = [
    0x8000_0000,
    0x85aa_c368,
    0x8b95_c1e4,
    0x91c3_d374,
    0x9837_f052,
    0x9ef5_3261,
    0xa5fe_d6aa,
    0xad58_3eea,
    0xb504_f334,
    0xbd08_a39f,
    0xc567_2a11,
    0xce24_8c15,
    0xd744_fccb,
    0xe0cc_deec,
    0xeac0_c6e8,
    0xf525_7d15,
];
const SIGN: u32 = 0x8000_0000;
const INFINITY: u32 = 0x7f80_0000;
const ONE: u32 = 0x3f80_0000;
/// 104, beyond which e^-x rounds to 0 and e^x to ∞.
const EXP_LIMIT: u32 = 0x42d0_0000;
/// 128.5, beyond which [`exp_term`] is 0.
const TERM_LIMIT: u32 = 0x4300_8000;

/// The upper half of a product.
#[inline(always)]
const fn high(a: u32, b: u32) -> u32 {
    ((a as u64 * b as u64) >> 32) as u32
}

/// `(n, m)` with `e^x = 2^n m / 2^31` and m in [2^31, 2^32), for |x| < 256.
///
/// The significand times log2 e is a product of 64 bits, shifted to 32 behind the point; log2 e is rounded, which is 2^-33 of
/// y. `2^f` is one of 16 powers, from the first four bits of `f`, times `2^r` for the rest r < 1/16: a polynomial of degree 3, off
/// by 1.4e-9 (Remez, for the smallest absolute error of `2^r - 1` with no constant part).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "halves of 64 bits")]
fn power(x: u32) -> (i32, u32) {
    let product = u64::from((x | 0x80_0000) << 8) * u64::from(LOG2_E);
    let magnitude = (product >> (157 - (x >> 23 & 0xff)).min(63)).cast_signed();
    // Negated without a condition: two of them, for the halves of 64 bits.
    let sign = i64::from(x.cast_signed() >> 31);
    let y = (magnitude ^ sign) - sign;
    let f = y.cast_unsigned() as u32;
    let r = f << 4;
    let q = high(r, 0x000e_821e) + 0x03d7_cb27;
    let q = high(r, high(r, q) + 0xb172_1f56);
    let power = POWERS[(f >> 28) as usize];
    ((y >> 32) as i32, power.saturating_add(high(power, q) >> 4))
}

/// The float `2^n m / 2^31`, rounded to nearest, for m in [2^31, 2^32] and n above -160.
#[inline(always)]
fn float(n: i32, m: u32) -> u32 {
    let exponent = (n + 126).cast_unsigned();
    // One comparison for both ends: below 0 it is a large number.
    if exponent > 253 {
        if n > 0 {
            return INFINITY;
        }
        let twice = m.checked_shr((-119 - n).cast_unsigned()).unwrap_or(0);
        return (twice >> 1) + (twice & 1);
    }
    // The leading one of the significand adds 1 to the exponent, and so does a carry from rounding.
    (exponent << 23) + (m >> 8) + (m >> 7 & 1)
}

/// `e^x`.
///
/// Worst error: 0.70 ULP. e^0 = 1, e^-∞ = 0, overflow and e^∞ give ∞, NaN gives NaN.
#[inline(always)]
pub(crate) fn exp(x: u32) -> u32 {
    let magnitude = x & !SIGN;
    if magnitude > EXP_LIMIT {
        return if magnitude > INFINITY {
            x
        } else if x & SIGN == 0 {
            INFINITY
        } else {
            0
        };
    }
    let (n, m) = power(x);
    float(n, m)
}

/// `e^d` for `d <= 0` or NaN in units of [`super::math::TERM_UNIT`]: 2^60 for d = 0, 0 below -128.5.
///
/// Worst error: 0.75 ULP.
#[inline(always)]
pub(crate) fn exp_term(d: u32) -> u32 {
    let magnitude = d & !SIGN;
    if magnitude > TERM_LIMIT {
        return if magnitude > INFINITY { d } else { 0 };
    }
    let (n, m) = power(d);
    float(n + 60, m)
}

/// The logistic function, `1 / (1 + e^-x)`.
///
/// With z = e^-|x| it is `1 / (1 + z)` or `z / (1 + z)`: one division of integers, and rounded once.
///
/// Worst error: 0.70 ULP. 1 from x = 17.33 on, e^x down to the subnormals for x << 0, 0 for -∞; NaN gives NaN.
#[inline(always)]
pub(crate) fn sigmoid(x: u32) -> u32 {
    let magnitude = x & !SIGN;
    if magnitude > EXP_LIMIT {
        return if magnitude > INFINITY {
            x
        } else if x & SIGN == 0 {
            ONE
        } else {
            0
        };
    }
    let (n, m) = power(x | SIGN);
    let z = m.checked_shr((1 - n).cast_unsigned()).unwrap_or(0);
    let inverse = inverse((1 << 30) + u64::from(z));
    if x & SIGN == 0 {
        return float(-1, inverse);
    }
    float_of_product(n, high(m, inverse))
}

/// `2^62 / d` for d in [2^30, 2^31], at most 2^32 - 1.
///
/// A quotient of 16 bits, which every divider and every routine without one gives soon, and one step of Newton's method:
/// relative to the result it is off by 2^-28.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "what is cut off is 0")]
fn inverse(d: u64) -> u32 {
    let estimate = u64::from(u32::MAX / (d >> 15) as u32) << 15;
    let rest = (1 << 31) - ((d * estimate) >> 32);
    ((estimate * rest) >> 30).min(u64::from(u32::MAX)) as u32
}

/// [`float`] of a product of two numbers with m in [2^31, 2^32), of which `m` is the upper half.
#[inline(always)]
fn float_of_product(n: i32, m: u32) -> u32 {
    if m & SIGN == 0 { float(n - 1, m << 1) } else { float(n, m) }
}

/// `w` with `ln(1 + t) = t - t w`, for t and w with 32 bits behind the point.
///
/// `w = t h(t)` with a polynomial of degree 9, the interpolation of `(1 - ln(1 + t) / t) / t` in Chebyshev's points of [0, 1]:
/// `w` is off by 2.5e-9. Its coefficients alternate in sign.
#[inline(always)]
fn log_1p_rest(t: u32) -> u32 {
    const OTHERS: [u32; 9] = [
        0x0466_3029,
        0x0c9f_9413,
        0x1765_9b31,
        0x215d_8bac,
        0x29e5_110c,
        0x3316_d400,
        0x3ffd_e067,
        0x5555_453b,
        0x7fff_ffeb,
    ];
    let mut h = 0x00b7_9bc1;
    for c in OTHERS {
        h = c - high(t, h);
    }
    high(t, h)
}

/// `ln(1 + z)` for `z = 2^n m / 2^31 <= 1`, relative to which it is exact to some 28 bits.
#[inline(always)]
fn log_1p_of_power(n: i32, m: u32) -> u32 {
    let t = if n < 0 { m.checked_shr((-1 - n).cast_unsigned()).unwrap_or(0) } else { u32::MAX };
    float_of_product(n, m - high(m, log_1p_rest(t)))
}

/// `ln(1 + e^-|x|)`.
///
/// Worst error: 0.70 ULP. 0 for ±∞, NaN for NaN.
#[inline(always)]
pub(crate) fn soft(x: u32) -> u32 {
    let magnitude = x & !SIGN;
    if magnitude > EXP_LIMIT {
        return if magnitude > INFINITY { x } else { 0 };
    }
    let (n, m) = power(x | SIGN);
    log_1p_of_power(n, m)
}

/// `ln(1 + x)` for `x >= 0`; -∞ for x = -1, ∞ for ∞, NaN for NaN.
///
/// From 1 on, `1 + x = 2^k (1 + f)` and the result is `k ln 2 + ln(1 + f)`, all of it in fixed point.
///
/// Worst error: 0.56 ULP.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half of 64 bits, where the upper one is known")]
pub(crate) fn ln_1p(x: u32) -> u32 {
    /// ln 2 · 2^32.
    const LN_2: u64 = 0xb172_17f8;
    if x >= INFINITY {
        return if x == ONE | SIGN { INFINITY | SIGN } else { x };
    }
    let n = (x >> 23).cast_signed() - 127;
    let m = (x | 0x80_0000) << 8;
    if n < -30 {
        return x;
    }
    if n < 0 {
        return log_1p_of_power(n, m);
    }
    let y = u64::from(m) + u64::from(SIGN.checked_shr(n.cast_unsigned()).unwrap_or(0));
    let carry = (y >> 32) as u32;
    let f = ((y << 1) >> carry) as u32;
    let k = n.cast_unsigned() + carry;
    let fixed = u64::from(k) * LN_2 + u64::from(f - high(f, log_1p_rest(f)));
    let shift = fixed.leading_zeros();
    float(31 - shift.cast_signed(), (fixed << (shift & 63) >> 32) as u32)
}

/// The largest of some floats, as a number in their order; +0 for any zero.
#[derive(Clone, Copy)]
pub(crate) struct Max(i32);

impl Max {
    pub(crate) const fn new() -> Self {
        Self(order(INFINITY | SIGN))
    }

    /// A NaN is the largest or none: the sum of the exponentials has it all the same.
    #[inline(always)]
    pub(crate) fn add(&mut self, x: u32) {
        self.0 = self.0.max(order(x));
    }

    #[inline(always)]
    pub(crate) const fn value(self) -> u32 {
        order(self.0.cast_unsigned()).cast_unsigned()
    }
}

/// A sum of exponentials in integers: a number of 64 bits, relative to the largest of them.
///
/// Each has 52 bits behind its leading one, and a tile of 1024 fits on top of that. What is far below the largest loses bits
/// that no float would have.
#[derive(Clone, Copy)]
pub(crate) struct ExpSum {
    sum: u64,
    /// The exponent of the largest.
    top: i32,
    /// NaN or ∞, if that is among the terms, else 0.
    special: u32,
}

impl ExpSum {
    pub(crate) const fn new() -> Self {
        Self { sum: 0, top: -256, special: 0 }
    }

    /// Adds `e^d`: nothing for d below -128.5, and ∞ for d above 128.5.
    #[inline(always)]
    pub(crate) fn add(&mut self, d: u32) {
        let magnitude = d & !SIGN;
        if magnitude > TERM_LIMIT {
            if magnitude > INFINITY || d & SIGN == 0 {
                self.special |= d.max(INFINITY);
            }
            return;
        }
        let (n, m) = power(d);
        if n > self.top {
            self.sum = self.sum.checked_shr((n - self.top).cast_unsigned()).unwrap_or(0);
            self.top = n;
        }
        self.sum += (u64::from(m) << 21).checked_shr((self.top - n).cast_unsigned()).unwrap_or(0);
    }

    /// The sum in units of [`super::math::TERM_UNIT`].
    #[inline(always)]
    pub(crate) fn value(self) -> u32 {
        if self.special != 0 {
            return self.special;
        }
        let shift = self.sum.leading_zeros();
        if shift > 63 {
            return 0;
        }
        float(self.top + 60 + 11 - shift.cast_signed(), (self.sum << shift >> 32) as u32)
    }
}
