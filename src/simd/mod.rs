//! Instructions: what a vector is, and how the CPU that runs it is found.
//!
//! This is the only module with `unsafe` code. A *token* (`Scalar`, `Wide`, and on x86 `Avx2` and `Avx512`) is a
//! value that exists only where its instructions do, so that every operation on it is safe. The algorithms in
//! [`crate::lanes`] are written once over [`Simd`] and never name an instruction set.
//!
//! # Sixteen virtual lanes
//!
//! Whatever the width of a register, data comes in blocks of [`LANES`] = 16 numbers and lane `j` of a reduction sees
//! the elements `j, j + 16, j + 32, …`, in this order. A block is `16 / N` *groups* of the `N` lanes that fit a
//! register. The sixteen lane sums are combined in one fixed tree: `j` with `j + 8`, then `+ 4`, `+ 2`, `+ 1`. So
//! the result has the same bits for every `N`, and every backend of one arithmetic agrees with every other.

#[cfg(any(target_feature = "sse2", all(target_feature = "neon", target_arch = "aarch64"), target_feature = "simd128"))]
mod arithmetic;
#[cfg(target_feature = "sse2")]
mod avx2;
#[cfg(target_feature = "sse2")]
mod avx512;
mod backend;
mod four;
mod per_lane;
mod scalar;
mod scratch;
mod transpose;

#[cfg(any(target_feature = "sse2", all(target_feature = "neon", target_arch = "aarch64"), target_feature = "simd128"))]
mod wide;

use core::{cell::Cell, marker::PhantomData};

pub use backend::{Backend, Isa};
pub(crate) use backend::{Compiled, Kernel, SIMD, Step};
pub(crate) use four::Four;
pub(crate) use per_lane::PerLane;
pub(crate) use scalar::{INTEGERS, NATIVE, SCALAR, order};
pub(crate) use scratch::Scratch;
pub(crate) use transpose::{QUAD, Transposition};

/// The number of virtual lanes: every reduction has this many accumulators on every backend.
pub(crate) const LANES: usize = 16;

/// Sixteen consecutive numbers: one for each virtual lane.
pub(crate) type Block = [f32; LANES];

/// Operations on vectors of floats, without memory: all that the elementary functions need.
///
/// Every operation is exact or correctly rounded as IEEE 754 says, so that all implementations give the same bits
/// (the payload and the sign of a NaN excepted).
pub(crate) trait Ops: Copy {
    /// Whether `mul_add` rounds once. Constant, so that an algorithm can have two forms at no cost.
    const FUSED: bool;
    /// Whether exponentials are computed by integers, in [`Ops::map_bits`].
    const INTEGER: bool = false;
    /// Floats.
    type F: Copy;
    /// As many 32-bit integers (two's complement, wrapping).
    type I: Copy;
    /// As many truth values.
    type M: Copy;

    fn splat(self, x: f32) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, with one rounding where `FUSED`.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, with one rounding where `FUSED`.
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `a > b ? a : b`: the second operand where either is NaN, or where both are zero.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a < b ? a : b`: the second operand where either is NaN, or where both are zero.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a` between two bounds, or NaN, and of that `a * b + c` for a positive `b` and a `c` near 1.5 · 2^23.
    #[inline(always)]
    fn clamp_mul_add(self, a: Self::F, (low, high): (f32, f32), b: f32, c: f32) -> (Self::F, Self::F) {
        let a = self.min(self.splat(high), self.max(self.splat(low), a));
        (a, self.mul_add(a, self.splat(b), self.splat(c)))
    }
    fn abs(self, a: Self::F) -> Self::F;
    fn neg(self, a: Self::F) -> Self::F;
    /// `a < b`; false where either is NaN.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a == b`; false where either is NaN.
    fn eq(self, a: Self::F, b: Self::F) -> Self::M;
    /// `mask ? a : b`.
    fn select(self, mask: Self::M, a: Self::F, b: Self::F) -> Self::F;
    fn any(self, mask: Self::M) -> bool;
    fn all(self, mask: Self::M) -> bool;
    fn bits(self, a: Self::F) -> Self::I;
    fn from_bits(self, a: Self::I) -> Self::F;
    fn int(self, a: i32) -> Self::I;
    fn int_add(self, a: Self::I, b: Self::I) -> Self::I;
    fn int_sub(self, a: Self::I, b: Self::I) -> Self::I;
    fn int_and(self, a: Self::I, b: Self::I) -> Self::I;
    fn int_or(self, a: Self::I, b: Self::I) -> Self::I;
    fn shl<const K: i32>(self, a: Self::I) -> Self::I;
    /// Shift to the right that keeps the sign.
    fn shr<const K: i32>(self, a: Self::I) -> Self::I;
    /// The integers as floats; exact for what is used here, below 2^24.
    fn to_float(self, a: Self::I) -> Self::F;
    /// Whether there is [`Ops::scale`].
    const SCALES: bool = false;
    /// `x · 2^n` for an integer `n`, rounded once, where `SCALES`; else nothing.
    fn scale(self, x: Self::F, _n: Self::F) -> Self::F {
        x
    }
    /// `a · 2^K` for a normal `a`, if that is one, too: by integers, since most vectors have more room for these than for another
    /// multiplication.
    #[inline(always)]
    fn shift_exponent<const K: i32>(self, a: Self::F) -> Self::F {
        self.from_bits(self.int_add(self.bits(a), self.int(K << 23)))
    }
    /// `a · power`, for a power of two that is a normal number.
    #[inline(always)]
    fn times_power(self, a: Self::F, power: Self::F) -> Self::F {
        self.mul(a, power)
    }
    /// The rounded sum and what the rounding lost, exactly; NaN if the sum is infinite.
    #[inline(always)]
    fn two_sum(self, a: Self::F, b: Self::F) -> (Self::F, Self::F) {
        knuth(self, a, b)
    }
    /// `f(a)`. A single lane has it as a function of its own, one for all places: for what is once in a row.
    #[inline(always)]
    fn apart(self, a: Self::F, f: impl FnOnce(Self::F) -> Self::F) -> Self::F {
        f(a)
    }
    /// A function of the bits of each float, where `INTEGER`; else nothing.
    fn map_bits(self, a: Self::F, _f: impl FnMut(u32) -> u32) -> Self::F {
        a
    }
}

/// [`Ops::two_sum`] by additions (Knuth).
#[inline(always)]
fn knuth<O: Ops>(o: O, a: O::F, b: O::F) -> (O::F, O::F) {
    let sum = o.add(a, b);
    let from_b = o.sub(sum, a);
    let lost = o.add(o.sub(a, o.sub(sum, from_b)), o.sub(b, from_b));
    (sum, lost)
}

/// One or several vectors of `S` that are computed side by side.
pub(crate) trait Group<S: Simd>: Ops {
    /// How many.
    const VECTORS: usize;
    /// From each vector, by its number.
    fn gather(self, vector: impl FnMut(usize) -> S::F) -> Self::F;
    /// Hands out each vector with its number.
    fn scatter(self, x: Self::F, each: impl FnMut(usize, S::F));
    /// The vector `k`, counted modulo [`Group::VECTORS`].
    fn nth(self, x: Self::F, k: usize) -> S::F;
}

impl<S: Simd> Group<S> for S {
    const VECTORS: usize = 1;

    #[inline(always)]
    fn gather(self, mut vector: impl FnMut(usize) -> S::F) -> S::F {
        vector(0)
    }
    #[inline(always)]
    fn scatter(self, x: S::F, mut each: impl FnMut(usize, S::F)) {
        each(0, x);
    }
    #[inline(always)]
    fn nth(self, x: S::F, _: usize) -> S::F {
        x
    }
}

/// A number in memory.
pub(crate) trait Number {
    fn value(&self) -> f32;
    /// Takes the place of the number, if that may be written.
    fn replace(&self, x: f32);
}

impl Number for f32 {
    #[inline(always)]
    fn value(&self) -> f32 {
        *self
    }
    #[inline(always)]
    fn replace(&self, _: f32) {}
}

impl Number for Cell<f32> {
    #[inline(always)]
    fn value(&self) -> f32 {
        self.get()
    }
    #[inline(always)]
    fn replace(&self, x: f32) {
        self.set(x);
    }
}

/// Numbers that are `step` apart in memory, which is checked once for all.
pub(crate) struct Strided<'a, T = f32> {
    first: *const T,
    step: isize,
    len: usize,
    data: PhantomData<&'a [T]>,
}

impl<T> Clone for Strided<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Strided<'_, T> {}

impl<'a, T: Number> Strided<'a, T> {
    /// `len` numbers from `first` on; `None` if they are not all in `data`, or if there are none.
    #[inline(always)]
    pub(crate) fn new(data: &'a [T], first: usize, step: isize, len: usize) -> Option<Self> {
        let reach = step.checked_mul(isize::try_from(len.checked_sub(1)?).ok()?)?;
        // With `first` in `data`, a sum that wraps is more than any length.
        let last = first.wrapping_add_signed(reach);
        let first = (first.max(last) < data.len()).then(|| data.as_ptr().wrapping_add(first))?;
        Some(Self { first, step, len, data: PhantomData })
    }

    /// Takes off the first `len` numbers, or all where there are not so many.
    #[inline(always)]
    pub(crate) fn take(&mut self, len: usize) -> Self {
        let taken = Self { len: len.min(self.len), ..*self };
        self.first = self.at(taken.len);
        self.len -= taken.len;
        taken
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number `k`; 0 if there are not so many.
    #[inline(always)]
    pub(crate) fn get(&self, k: usize) -> f32 {
        self.with(k, T::value).unwrap_or(0.0)
    }

    /// [`Number::replace`] of the number `k`, if there are so many.
    #[inline(always)]
    pub(crate) fn replace(&self, k: usize, x: f32) {
        self.with(k, |number| number.replace(x));
    }

    /// A function of the number `k`, if there are so many. Not the number itself, since then it would be asked whether its place is null.
    #[inline(always)]
    fn with<R>(&self, k: usize, f: impl FnOnce(&T) -> R) -> Option<R> {
        if k >= self.len {
            return None;
        }
        // SAFETY: the first and the last of these numbers are in the slice that is borrowed, and this one lies between them. Its
        // product does not wrap, since that of the last one does not.
        Some(f(unsafe { &*self.at(k) }))
    }

    /// Where the number `k` is, which may be one that is not there.
    #[inline(always)]
    fn at(&self, k: usize) -> *const T {
        self.first.wrapping_offset(self.step.wrapping_mul(k.cast_signed()))
    }
}

/// A token that proves that the instructions of its backend exist, and the operations that they give.
pub(crate) trait Simd: Ops {
    /// Lanes of one register: a power of two from 1 to 16.
    const N: usize;
    /// Whether that is one. What only the other side of a branch on it needs is not compiled at all, as it would be behind a
    /// comparison.
    const SINGLE: bool = Self::N == 1;
    /// `[f32; N]`.
    type Lanes: Copy + AsRef<[f32]> + AsMut<[f32]>;

    /// `[F; N]`.
    type Vectors: Copy + AsRef<[Self::F]> + AsMut<[Self::F]>;

    /// Runs `kernel` in a function of its own, which is compiled for these instructions.
    fn vectorize<K: Kernel>(self, kernel: &mut K) -> K::Output;

    /// The same where the function must not become part of its caller, whose frame would have room for it in every call.
    /// (`rustc` 1.95 ignores `#[inline(never)]` next to `#[target_feature]`.)
    #[inline(never)]
    fn vectorize_apart<K: Kernel>(self, kernel: &mut K) -> K::Output {
        self.vectorize(kernel)
    }

    /// Asks for the memory that lies `ahead` elements behind the start of `x`, of which the address need not be valid.
    fn prefetch(self, _x: &[f32], _ahead: usize) {}

    fn from_lanes(self, x: Self::Lanes) -> Self::F;
    fn to_lanes(self, x: Self::F) -> Self::Lanes;
    /// The first `N` elements, `pad` where there are fewer.
    fn load_part(self, x: &[f32], pad: f32) -> Self::F;
    /// `N` elements from `offset` on that are `step` apart; `None` if they are not all in `x`.
    #[inline(always)]
    fn load_strided(self, x: &[f32], offset: usize, step: isize) -> Option<Self::F> {
        let strided = Strided::new(x, offset, step, Self::N)?;
        let mut lanes = self.to_lanes(self.splat(0.0));
        for (l, lane) in lanes.as_mut().iter_mut().enumerate() {
            *lane = strided.get(l);
        }
        Some(self.from_lanes(lanes))
    }
    /// Stores as many lanes as `out` has room for.
    fn store_part(self, x: Self::F, out: &mut [f32]);

    /// Whether [`Simd::stream`] is more than a store.
    const STREAMS: bool = false;
    /// As [`Simd::store_part`] for memory that is not read soon: past the caches where the place allows it. What is written
    /// so must be [settled](Simd::settle).
    #[inline(always)]
    fn stream(self, x: Self::F, out: &mut [f32]) {
        self.store_part(x, out);
    }
    /// Puts all that was [streamed](Simd::stream) before what is written from now on.
    #[inline(always)]
    fn settle(self) {}

    /// Four elements each of `N` rows that start `step` apart from `x` on, transposed: the vector `k` has element `k` of every
    /// row.
    ///
    /// # Safety
    ///
    /// All of them are in an array that can be read.
    unsafe fn load_transposed(self, x: *const f32, step: usize) -> [Self::F; QUAD];
    /// The reverse: writes four elements each to `N` rows that start `step` apart from `out` on, one row after the other.
    ///
    /// # Safety
    ///
    /// All of them are in an array that can be written.
    unsafe fn store_transposed(self, columns: [Self::F; QUAD], out: *mut f32, step: usize);

    /// `N` pairs of neighbours, taken apart: the first ones and the second ones. `None` if `x` ends before that.
    #[inline(always)]
    fn load_pairs(self, x: &[f32]) -> Option<[Self::F; 2]> {
        let (pairs, _) = x.as_chunks::<2>();
        let pairs = pairs.get(..Self::N)?;
        let (mut first, mut second) = (self.to_lanes(self.splat(0.0)), self.to_lanes(self.splat(0.0)));
        for ((a, b), pair) in first.as_mut().iter_mut().zip(second.as_mut()).zip(pairs) {
            [*a, *b] = *pair;
        }
        Some([self.from_lanes(first), self.from_lanes(second)])
    }
    /// The reverse: writes `N` pairs; nothing if `out` ends before that.
    #[inline(always)]
    fn store_pairs(self, [first, second]: [Self::F; 2], out: &mut [f32]) {
        let (pairs, _) = out.as_chunks_mut::<2>();
        let (first, second) = (self.to_lanes(first), self.to_lanes(second));
        if let Some(pairs) = pairs.get_mut(..Self::N) {
            for ((&a, &b), pair) in first.as_ref().iter().zip(second.as_ref()).zip(pairs) {
                *pair = [a, b];
            }
        }
    }

    /// The lanes `width .. 2 width` in the place of the first `width`, where these are half of `N` or less and a power of two; the
    /// others have no meaning.
    #[inline(always)]
    fn upper(self, a: Self::F, width: usize) -> Self::F {
        let mut lanes = self.to_lanes(a);
        let (low, high) = lanes.as_mut().split_at_mut_checked(width).unwrap_or_default();
        for (low, &high) in low.iter_mut().zip(&*high) {
            *low = high;
        }
        self.from_lanes(lanes)
    }
    /// The sum of the `N` lanes, as the last `log2 N` levels of the tree in the module's documentation.
    fn reduce_add(self, a: Self::F) -> f32;
    /// The maximum of the `N` lanes, in the same tree, each step as [`Ops::max`].
    fn reduce_max(self, a: Self::F) -> f32;

    /// `N` times the same vector.
    fn vectors(self, a: Self::F) -> Self::Vectors;
    /// The lanes of each vector joined by `op`, in the same tree, in the lane of its number.
    #[inline(always)]
    fn reduce_each(self, vectors: &Self::Vectors, op: impl Fn(Self::F, Self::F) -> Self::F) -> Self::F {
        // Transposed, each step of the tree is one of whole vectors.
        let mut columns = *vectors;
        for (l, column) in columns.as_mut().iter_mut().enumerate() {
            let mut lanes = self.to_lanes(*column);
            for (lane, &vector) in lanes.as_mut().iter_mut().zip(vectors.as_ref()) {
                *lane = self.to_lanes(vector).as_ref().get(l).copied().unwrap_or(0.0);
            }
            *column = self.from_lanes(lanes);
        }
        let mut half = Self::N / 2;
        while let Some((low, high)) = columns.as_mut().split_at_mut_checked(half).filter(|(low, _)| !low.is_empty()) {
            for (low, &mut high) in low.iter_mut().zip(high) {
                *low = op(*low, high);
            }
            half /= 2;
        }
        columns.as_ref().first().copied().unwrap_or(self.splat(0.0))
    }
}
