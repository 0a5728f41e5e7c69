//! Four lanes in portable SIMD, from the crate `wide`: SSE2, NEON, wasm's simd128 and whatever the build turns on.
//!
//! `wide` picks its instructions when the crate is compiled. Only its plain operations are used: its own `ln` loses
//! subnormals, its `max` drops NaN and its `fast_max` differs between CPUs.

use core::marker::PhantomData;

use wide::{bytemuck::cast, f32x4, i32x4};

use super::{
    Kernel, Ops, Simd,
    arithmetic::{Arithmetic, Portable},
};

/// Four lanes of `wide`, with the arithmetic `A`.
#[derive(Clone, Copy)]
pub(crate) struct Wide<A>(PhantomData<A>);

impl Wide<Portable> {
    /// Needs nothing: to the compiler this is plain code.
    pub(crate) const PORTABLE: Self = Self(PhantomData);
}

#[cfg(any(target_feature = "fma", target_arch = "aarch64"))]
impl Wide<super::arithmetic::Fused> {
    /// Only in a build with FMA, where `f32x4::mul_add` rounds once.
    pub(crate) const FUSED: Self = Self(PhantomData);
}

impl<A: Arithmetic> Ops for Wide<A> {
    const FUSED: bool = A::FUSED;
    type F = f32x4;
    type I = i32x4;
    type M = f32x4;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x4 {
        f32x4::splat(x)
    }
    #[inline(always)]
    fn add(self, a: f32x4, b: f32x4) -> f32x4 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x4, b: f32x4) -> f32x4 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x4, b: f32x4) -> f32x4 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x4, b: f32x4) -> f32x4 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x4, b: f32x4, c: f32x4) -> f32x4 {
        if A::FUSED { a.mul_add(b, c) } else { a * b + c }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32x4, b: f32x4, c: f32x4) -> f32x4 {
        if A::FUSED { a.mul_neg_add(b, c) } else { c - a * b }
    }
    // `fast_max` is one instruction, with the operands' order that gives `a > b ? a : b`; NEON has no such instruction.
    #[inline(always)]
    fn max(self, a: f32x4, b: f32x4) -> f32x4 {
        if cfg!(target_feature = "sse2") {
            a.fast_max(b)
        } else if cfg!(target_feature = "simd128") {
            b.fast_max(a)
        } else {
            self.select(self.lt(b, a), a, b)
        }
    }
    #[inline(always)]
    fn min(self, a: f32x4, b: f32x4) -> f32x4 {
        if cfg!(target_feature = "sse2") {
            a.fast_min(b)
        } else if cfg!(target_feature = "simd128") {
            b.fast_min(a)
        } else {
            self.select(self.lt(a, b), a, b)
        }
    }
    #[inline(always)]
    fn abs(self, a: f32x4) -> f32x4 {
        a.abs()
    }
    #[inline(always)]
    fn neg(self, a: f32x4) -> f32x4 {
        -a
    }
    #[inline(always)]
    fn lt(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_lt(b)
    }
    #[inline(always)]
    fn eq(self, a: f32x4, b: f32x4) -> f32x4 {
        a.simd_eq(b)
    }
    #[inline(always)]
    fn select(self, mask: f32x4, a: f32x4, b: f32x4) -> f32x4 {
        mask.select(a, b)
    }
    #[inline(always)]
    fn any(self, mask: f32x4) -> bool {
        mask.any()
    }
    #[inline(always)]
    fn all(self, mask: f32x4) -> bool {
        mask.all()
    }
    #[inline(always)]
    fn bits(self, a: f32x4) -> i32x4 {
        cast(a)
    }
    #[inline(always)]
    fn from_bits(self, a: i32x4) -> f32x4 {
        cast(a)
    }
    #[inline(always)]
    fn int(self, a: i32) -> i32x4 {
        i32x4::splat(a)
    }
    #[inline(always)]
    fn int_add(self, a: i32x4, b: i32x4) -> i32x4 {
        a + b
    }
    #[inline(always)]
    fn int_sub(self, a: i32x4, b: i32x4) -> i32x4 {
        a - b
    }
    #[inline(always)]
    fn int_and(self, a: i32x4, b: i32x4) -> i32x4 {
        a & b
    }
    #[inline(always)]
    fn int_or(self, a: i32x4, b: i32x4) -> i32x4 {
        a | b
    }
    #[inline(always)]
    fn shl<const K: i32>(self, a: i32x4) -> i32x4 {
        a << K.cast_unsigned()
    }
    #[inline(always)]
    fn shr<const K: i32>(self, a: i32x4) -> i32x4 {
        a >> K.cast_unsigned()
    }
    #[inline(always)]
    fn to_float(self, a: i32x4) -> f32x4 {
        f32x4::from_i32x4(a)
    }
}

impl<A: Arithmetic> Simd for Wide<A> {
    const N: usize = 4;
    type Lanes = [f32; 4];
    type Vectors = [f32x4; 4];

    #[inline(never)]
    fn vectorize<K: Kernel>(self, kernel: &mut K) -> K::Output {
        kernel.run(self)
    }
    #[inline(always)]
    fn from_lanes(self, x: [f32; 4]) -> f32x4 {
        f32x4::new(x)
    }
    #[inline(always)]
    fn to_lanes(self, x: f32x4) -> [f32; 4] {
        x.to_array()
    }
    #[inline(always)]
    fn load_part(self, x: &[f32], pad: f32) -> f32x4 {
        f32x4::new(match *x {
            [a, b, c, d, ..] => [a, b, c, d],
            [a, b, c] => [a, b, c, pad],
            [a, b] => [a, b, pad, pad],
            [a] => [a, pad, pad, pad],
            [] => [pad; 4],
        })
    }
    #[inline(always)]
    fn store_part(self, x: f32x4, out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x.to_array()) {
            *out = x;
        }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, x: *const f32, step: usize) -> [f32x4; 4] {
        // SAFETY: four floats from the start of each of the four rows on can be read.
        let row = |number: usize| f32x4::new(unsafe { x.add(number * step).cast::<[f32; 4]>().read() });
        f32x4::transpose([row(0), row(1), row(2), row(3)])
    }
    #[inline(always)]
    unsafe fn store_transposed(self, columns: [f32x4; 4], out: *mut f32, step: usize) {
        for (k, row) in f32x4::transpose(columns).into_iter().enumerate() {
            // SAFETY: four floats from the start of each of the four rows on can be written.
            unsafe { out.add(k * step).cast::<[f32; 4]>().write(row.to_array()) };
        }
    }

    #[inline(always)]
    fn reduce_add(self, a: f32x4) -> f32 {
        let [a, b, c, d] = a.to_array();
        (a + c) + (b + d)
    }
    #[inline(always)]
    fn reduce_max(self, a: f32x4) -> f32 {
        let greater = |a: f32, b: f32| if a > b { a } else { b };
        let [a, b, c, d] = a.to_array();
        greater(greater(a, c), greater(b, d))
    }
    #[inline(always)]
    fn vectors(self, a: f32x4) -> [f32x4; 4] {
        [a; 4]
    }
}
