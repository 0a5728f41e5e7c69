//! One lane, in plain Rust: the backend of targets without SIMD, and the reference for all others.

use super::{
    Kernel, Ops, Simd,
    backend::{SIMD, SOFT},
    knuth,
};

/// One lane at a time. Its arithmetic is the portable one: `core` has no fused multiplication and addition. With `INTEGER`
/// exponentials are computed by integers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar<const INTEGER: bool>;

/// The token of [`super::Backend::SCALAR`].
pub(crate) const SCALAR: Scalar<false> = Scalar;

/// The token of [`super::Backend::INTEGER`].
pub(crate) const INTEGERS: Scalar<true> = Scalar;

/// The token for what is not computed on any backend: by floats, or by integers where the CPU has no floats.
pub(crate) const NATIVE: Scalar<SOFT> = Scalar;

/// A number that is ordered as the float with these bits; for NaN it is out of the range of the others. Twice, it is the bits
/// again, but for -0.
#[inline(always)]
pub(crate) const fn order(bits: u32) -> i32 {
    let bits = bits.cast_signed();
    if bits < 0 { i32::MIN.wrapping_sub(bits) } else { bits }
}

/// The sign of a float.
const SIGN: u32 = 1 << 31;

/// Whether these are the bits of a NaN. Without floating point hardware the comparison of floats is a call.
#[inline(always)]
fn is_nan(bits: u32) -> bool {
    bits << 1 > 0xff << 24
}

/// `a < b`, by integers for the same reason.
#[inline(always)]
fn less<const INTEGER: bool>(a: f32, b: f32) -> bool {
    if !INTEGER {
        return a < b;
    }
    let (a, b) = (a.to_bits(), b.to_bits());
    order(a) < order(b) && !is_nan(a) && !is_nan(b)
}

/// `a + b`, with the bits of the addition that the hardware does not have: rounded to nearest, ties to even.
///
/// Nothing is added to 0. Of two normal numbers the smaller one is shifted to the exponent of the larger one, where both leave
/// seven bits free below their own 24; whether anything was shifted out of these is kept in the last one. That takes half as
/// long as the compiler's own routine, which all other numbers are left to.
#[inline(never)]
fn add(a: u32, b: u32) -> u32 {
    let (large, small) = if a << 1 < b << 1 { (b, a) } else { (a, b) };
    if small << 1 == 0 {
        // Of two zeros, both of them have to be negative.
        return if large << 1 == 0 { a & b } else { large };
    }
    let exponent = |x: u32| (x >> 23 & 0xff).cast_signed();
    let significand = |x: u32| (x << 8 | SIGN) >> 1;
    let distance = (exponent(large) - exponent(small)).cast_unsigned().min(31);
    let whole = significand(small);
    let shifted = whole >> distance;
    let shifted = shifted | u32::from(shifted << distance != whole);
    let negated = ((a ^ b).cast_signed() >> 31).cast_unsigned();
    let sum = significand(large).wrapping_add((shifted ^ negated).wrapping_sub(negated));
    // Most cores without floats cannot count zeros either.
    let zeros = if sum >> 30 == 0 { sum.leading_zeros() } else { 1 - (sum >> 31) };
    let e = exponent(large) - zeros.cast_signed();
    let ordinary = exponent(small) != 0 && exponent(large) != 255;
    if ordinary && sum == 0 {
        return 0;
    }
    if !ordinary || !(0..254).contains(&e) {
        return (f32::from_bits(a) + f32::from_bits(b)).to_bits();
    }
    let sum = sum << (zeros & 31);
    let rounded = (sum >> 8) + (((sum & 0xff) + 0x7f + (sum >> 8 & 1)) >> 8);
    (large & SIGN) + (e.cast_unsigned() << 23) + rounded
}

/// `a + b` as [`add`] rounds it, and what that loses, which is a float; NaN if the sum is infinite.
///
/// Of two numbers of the same sign and of ordinary size the exact sum is 25 bits and, as the smaller one reaches 26 bits below
/// the larger one at most, 32 behind them. What is left of those when the sum is rounded is what it lost. For all others more
/// additions find it.
#[inline(never)]
fn two_sum(a: u32, b: u32) -> (u32, u32) {
    const LEADING: u32 = 1 << 23;
    let (large, small) = if a << 1 < b << 1 { (b, a) } else { (a, b) };
    let sign = large & SIGN;
    let (large, small) = (large ^ sign, small ^ sign);
    // What is lost of such numbers is normal, too. One of the other sign is above them all.
    if !(64 << 23..253 << 23).contains(&large) || !(LEADING..SIGN).contains(&small) {
        let (sum, lost) = knuth(INTEGERS, f32::from_bits(a), f32::from_bits(b));
        return (sum.to_bits(), lost.to_bits());
    }
    let exponent = large >> 23;
    let distance = exponent - (small >> 23);
    if distance > 25 {
        return (sign | large, sign | small);
    }
    let significand = |x: u32| x & (LEADING - 1) | LEADING;
    let sum = significand(large) + (significand(small) >> distance);
    let rest = significand(small) << 1 << (31 - distance);
    // The sum of 25 bits leaves its last one to the rest.
    let carry = sum >> 24;
    let (rest, kept) = (if carry == 0 { rest } else { rest >> 1 | sum << 31 }, sum >> carry);
    let up = u32::from(rest > SIGN - (kept & 1));
    // The leading one of a significand adds 1 to the exponent, and so does a carry from rounding.
    let rounded = ((exponent + carry - 1) << 23) + kept + up;
    if rest == 0 {
        return (sign | rounded, 0);
    }
    let rest = if up == 0 { rest } else { rest.wrapping_neg() };
    let zeros = rest.leading_zeros();
    let lost = ((exponent + carry - 25 - zeros) << 23) + (rest << zeros >> 8);
    (sign | rounded, sign ^ up << 31 | lost)
}

/// The bounds of [`Ops::clamp_mul_add`] for what may be outside. A call, or else the compiler would do this for all, without a branch.
#[cold]
#[inline(never)]
fn clamp_far(a: f32, low: f32, high: f32) -> f32 {
    SCALAR.min(high, SCALAR.max(low, a))
}

/// The multiplication that [`Ops::times_power`] rarely needs: a call for the same reason.
#[cold]
#[inline(never)]
fn mul_far(a: f32, power: f32) -> f32 {
    a * power
}

impl<const INTEGER: bool> Ops for Scalar<INTEGER> {
    const FUSED: bool = false;
    const INTEGER: bool = INTEGER;
    type F = f32;
    type I = i32;
    type M = bool;

    #[inline(always)]
    fn splat(self, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        if INTEGER { f32::from_bits(add(a.to_bits(), b.to_bits())) } else { a + b }
    }
    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        if INTEGER { self.add(a, -b) } else { a - b }
    }
    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        self.add(a * b, c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        self.sub(c, a * b)
    }
    #[inline(always)]
    fn max(self, a: f32, b: f32) -> f32 {
        if less::<INTEGER>(b, a) { a } else { b }
    }
    #[inline(always)]
    fn min(self, a: f32, b: f32) -> f32 {
        if less::<INTEGER>(a, b) { a } else { b }
    }
    #[inline(always)]
    fn clamp_mul_add(self, a: f32, (low, high): (f32, f32), b: f32, c: f32) -> (f32, f32) {
        let of = |a| self.mul_add(a, b, c);
        if SIMD {
            // Without branches, the compiler may take several numbers at a time.
            let a = self.min(high, self.max(low, a));
            return (a, of(a));
        }
        // Most are inside, and then so is the sum, which a comparison of integers tells: its bits count by 1 around `c`.
        let (before, end) = (of(low).to_bits(), of(high).to_bits());
        let sum = of(a);
        if sum.to_bits().wrapping_sub(before).wrapping_sub(1) < end.wrapping_sub(before).wrapping_sub(1) {
            return (a, sum);
        }
        let a = clamp_far(a, low, high);
        (a, of(a))
    }
    #[inline(always)]
    fn abs(self, a: f32) -> f32 {
        a.abs()
    }
    #[inline(always)]
    fn neg(self, a: f32) -> f32 {
        -a
    }
    #[inline(always)]
    fn lt(self, a: f32, b: f32) -> bool {
        less::<INTEGER>(a, b)
    }
    #[inline(always)]
    fn eq(self, a: f32, b: f32) -> bool {
        if INTEGER { order(a.to_bits()) == order(b.to_bits()) && !is_nan(a.to_bits()) } else { a == b }
    }
    #[inline(always)]
    fn select(self, mask: bool, a: f32, b: f32) -> f32 {
        if mask { a } else { b }
    }
    #[inline(always)]
    fn any(self, mask: bool) -> bool {
        mask
    }
    #[inline(always)]
    fn all(self, mask: bool) -> bool {
        mask
    }
    #[inline(always)]
    fn bits(self, a: f32) -> i32 {
        a.to_bits().cast_signed()
    }
    #[inline(always)]
    fn from_bits(self, a: i32) -> f32 {
        f32::from_bits(a.cast_unsigned())
    }
    #[inline(always)]
    fn int(self, a: i32) -> i32 {
        a
    }
    #[inline(always)]
    fn int_add(self, a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    fn int_sub(self, a: i32, b: i32) -> i32 {
        a.wrapping_sub(b)
    }
    #[inline(always)]
    fn int_and(self, a: i32, b: i32) -> i32 {
        a & b
    }
    #[inline(always)]
    fn int_or(self, a: i32, b: i32) -> i32 {
        a | b
    }
    #[inline(always)]
    fn shl<const K: i32>(self, a: i32) -> i32 {
        a << K
    }
    #[inline(always)]
    fn shr<const K: i32>(self, a: i32) -> i32 {
        a >> K
    }
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "only integers below 2^24 come here")]
    fn to_float(self, a: i32) -> f32 {
        a as f32
    }
    #[inline(always)]
    fn shift_exponent<const K: i32>(self, a: f32) -> f32 {
        // A single float would move to the integers' registers and back.
        a * f32::from_bits((127 + K).cast_unsigned() << 23)
    }
    #[inline(always)]
    fn times_power(self, a: f32, power: f32) -> f32 {
        if !INTEGER {
            return a * power;
        }
        let exponent = |bits: u32| bits << 1 >> 24;
        let (a, power) = (a.to_bits(), power.to_bits());
        let shifted = exponent(a).wrapping_add(exponent(power)).wrapping_sub(127);
        // Of normal numbers, and to one, it is a sum of exponents.
        if exponent(a).wrapping_sub(1) < 254 && shifted.wrapping_sub(1) < 254 {
            return f32::from_bits(a.wrapping_add(power).wrapping_sub(127 << 23));
        }
        mul_far(f32::from_bits(a), f32::from_bits(power))
    }
    #[inline(never)]
    fn apart(self, a: f32, f: impl FnOnce(f32) -> f32) -> f32 {
        f(a)
    }
    #[inline(always)]
    fn two_sum(self, a: f32, b: f32) -> (f32, f32) {
        if !INTEGER {
            return knuth(self, a, b);
        }
        let (sum, lost) = two_sum(a.to_bits(), b.to_bits());
        (f32::from_bits(sum), f32::from_bits(lost))
    }
    #[inline(always)]
    fn map_bits(self, a: f32, mut f: impl FnMut(u32) -> u32) -> f32 {
        f32::from_bits(f(a.to_bits()))
    }
}

impl<const INTEGER: bool> Simd for Scalar<INTEGER> {
    const N: usize = 1;
    type Lanes = [f32; 1];
    type Vectors = [f32; 1];

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: &mut K) -> K::Output {
        kernel.run(self)
    }
    #[inline(always)]
    fn from_lanes(self, [x]: [f32; 1]) -> f32 {
        x
    }
    #[inline(always)]
    fn to_lanes(self, x: f32) -> [f32; 1] {
        [x]
    }
    #[inline(always)]
    fn load_part(self, x: &[f32], pad: f32) -> f32 {
        x.first().copied().unwrap_or(pad)
    }
    #[inline(always)]
    fn store_part(self, x: f32, out: &mut [f32]) {
        if let Some(first) = out.first_mut() {
            *first = x;
        }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, x: *const f32, _step: usize) -> [f32; 4] {
        // SAFETY: four floats from the start of the only row on can be read.
        unsafe { x.cast::<[f32; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store_transposed(self, columns: [f32; 4], out: *mut f32, _step: usize) {
        // SAFETY: four floats from the start of the only row on can be written.
        unsafe { out.cast::<[f32; 4]>().write(columns) }
    }

    #[inline(always)]
    fn reduce_add(self, a: f32) -> f32 {
        a
    }
    #[inline(always)]
    fn reduce_max(self, a: f32) -> f32 {
        a
    }
    #[inline(always)]
    fn vectors(self, a: f32) -> [f32; 1] {
        [a; 1]
    }
}
