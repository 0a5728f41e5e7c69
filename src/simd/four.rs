//! Four vectors at a time.

use super::{Group, Ops, Simd};

/// Every operation on four vectors, one after the other.
///
/// An elementary function is a chain of dependent operations, each of which takes some cycles. A processor looks ahead
/// over a few dozen waiting operations only, too few for the next elements' chains to fill the gaps. Written over
/// `Four`, the operations of four chains stand side by side: the same code, the same bits, twice the speed.
#[derive(Clone, Copy)]
pub(crate) struct Four<S>(pub(crate) S);

impl<S: Ops> Ops for Four<S> {
    const FUSED: bool = S::FUSED;
    const INTEGER: bool = S::INTEGER;
    const SCALES: bool = S::SCALES;
    type F = [S::F; 4];
    type I = [S::I; 4];
    type M = [S::M; 4];

    #[inline(always)]
    fn splat(self, x: f32) -> [S::F; 4] {
        let Self(s) = self;
        [s.splat(x); 4]
    }
    #[inline(always)]
    fn add(self, a: [S::F; 4], b: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.add(a[0], b[0]), s.add(a[1], b[1]), s.add(a[2], b[2]), s.add(a[3], b[3])]
    }
    #[inline(always)]
    fn sub(self, a: [S::F; 4], b: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.sub(a[0], b[0]), s.sub(a[1], b[1]), s.sub(a[2], b[2]), s.sub(a[3], b[3])]
    }
    #[inline(always)]
    fn mul(self, a: [S::F; 4], b: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.mul(a[0], b[0]), s.mul(a[1], b[1]), s.mul(a[2], b[2]), s.mul(a[3], b[3])]
    }
    #[inline(always)]
    fn div(self, a: [S::F; 4], b: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.div(a[0], b[0]), s.div(a[1], b[1]), s.div(a[2], b[2]), s.div(a[3], b[3])]
    }
    #[inline(always)]
    fn max(self, a: [S::F; 4], b: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.max(a[0], b[0]), s.max(a[1], b[1]), s.max(a[2], b[2]), s.max(a[3], b[3])]
    }
    #[inline(always)]
    fn min(self, a: [S::F; 4], b: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.min(a[0], b[0]), s.min(a[1], b[1]), s.min(a[2], b[2]), s.min(a[3], b[3])]
    }
    #[inline(always)]
    fn mul_add(self, a: [S::F; 4], b: [S::F; 4], c: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [
            s.mul_add(a[0], b[0], c[0]),
            s.mul_add(a[1], b[1], c[1]),
            s.mul_add(a[2], b[2], c[2]),
            s.mul_add(a[3], b[3], c[3]),
        ]
    }
    #[inline(always)]
    fn neg_mul_add(self, a: [S::F; 4], b: [S::F; 4], c: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [
            s.neg_mul_add(a[0], b[0], c[0]),
            s.neg_mul_add(a[1], b[1], c[1]),
            s.neg_mul_add(a[2], b[2], c[2]),
            s.neg_mul_add(a[3], b[3], c[3]),
        ]
    }
    #[inline(always)]
    fn abs(self, a: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.abs(a[0]), s.abs(a[1]), s.abs(a[2]), s.abs(a[3])]
    }
    #[inline(always)]
    fn neg(self, a: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.neg(a[0]), s.neg(a[1]), s.neg(a[2]), s.neg(a[3])]
    }
    #[inline(always)]
    fn lt(self, a: [S::F; 4], b: [S::F; 4]) -> [S::M; 4] {
        let Self(s) = self;
        [s.lt(a[0], b[0]), s.lt(a[1], b[1]), s.lt(a[2], b[2]), s.lt(a[3], b[3])]
    }
    #[inline(always)]
    fn eq(self, a: [S::F; 4], b: [S::F; 4]) -> [S::M; 4] {
        let Self(s) = self;
        [s.eq(a[0], b[0]), s.eq(a[1], b[1]), s.eq(a[2], b[2]), s.eq(a[3], b[3])]
    }
    #[inline(always)]
    fn select(self, mask: [S::M; 4], a: [S::F; 4], b: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [
            s.select(mask[0], a[0], b[0]),
            s.select(mask[1], a[1], b[1]),
            s.select(mask[2], a[2], b[2]),
            s.select(mask[3], a[3], b[3]),
        ]
    }
    #[inline(always)]
    fn any(self, mask: [S::M; 4]) -> bool {
        let Self(s) = self;
        s.any(mask[0]) || s.any(mask[1]) || s.any(mask[2]) || s.any(mask[3])
    }
    #[inline(always)]
    fn all(self, mask: [S::M; 4]) -> bool {
        let Self(s) = self;
        // All at once, since behind a condition the compiler computes each mask by itself.
        s.all(mask[0]) & s.all(mask[1]) & s.all(mask[2]) & s.all(mask[3])
    }
    #[inline(always)]
    fn bits(self, a: [S::F; 4]) -> [S::I; 4] {
        let Self(s) = self;
        [s.bits(a[0]), s.bits(a[1]), s.bits(a[2]), s.bits(a[3])]
    }
    #[inline(always)]
    fn from_bits(self, a: [S::I; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.from_bits(a[0]), s.from_bits(a[1]), s.from_bits(a[2]), s.from_bits(a[3])]
    }
    #[inline(always)]
    fn int(self, a: i32) -> [S::I; 4] {
        let Self(s) = self;
        [s.int(a); 4]
    }
    #[inline(always)]
    fn int_add(self, a: [S::I; 4], b: [S::I; 4]) -> [S::I; 4] {
        let Self(s) = self;
        [s.int_add(a[0], b[0]), s.int_add(a[1], b[1]), s.int_add(a[2], b[2]), s.int_add(a[3], b[3])]
    }
    #[inline(always)]
    fn int_sub(self, a: [S::I; 4], b: [S::I; 4]) -> [S::I; 4] {
        let Self(s) = self;
        [s.int_sub(a[0], b[0]), s.int_sub(a[1], b[1]), s.int_sub(a[2], b[2]), s.int_sub(a[3], b[3])]
    }
    #[inline(always)]
    fn int_and(self, a: [S::I; 4], b: [S::I; 4]) -> [S::I; 4] {
        let Self(s) = self;
        [s.int_and(a[0], b[0]), s.int_and(a[1], b[1]), s.int_and(a[2], b[2]), s.int_and(a[3], b[3])]
    }
    #[inline(always)]
    fn int_or(self, a: [S::I; 4], b: [S::I; 4]) -> [S::I; 4] {
        let Self(s) = self;
        [s.int_or(a[0], b[0]), s.int_or(a[1], b[1]), s.int_or(a[2], b[2]), s.int_or(a[3], b[3])]
    }
    #[inline(always)]
    fn scale(self, x: [S::F; 4], n: [S::F; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.scale(x[0], n[0]), s.scale(x[1], n[1]), s.scale(x[2], n[2]), s.scale(x[3], n[3])]
    }
    #[inline(always)]
    fn shl<const K: i32>(self, a: [S::I; 4]) -> [S::I; 4] {
        let Self(s) = self;
        [s.shl::<K>(a[0]), s.shl::<K>(a[1]), s.shl::<K>(a[2]), s.shl::<K>(a[3])]
    }
    #[inline(always)]
    fn shr<const K: i32>(self, a: [S::I; 4]) -> [S::I; 4] {
        let Self(s) = self;
        [s.shr::<K>(a[0]), s.shr::<K>(a[1]), s.shr::<K>(a[2]), s.shr::<K>(a[3])]
    }
    #[inline(always)]
    fn map_bits(self, a: [S::F; 4], mut f: impl FnMut(u32) -> u32) -> [S::F; 4] {
        let Self(s) = self;
        [s.map_bits(a[0], &mut f), s.map_bits(a[1], &mut f), s.map_bits(a[2], &mut f), s.map_bits(a[3], &mut f)]
    }
    #[inline(always)]
    fn to_float(self, a: [S::I; 4]) -> [S::F; 4] {
        let Self(s) = self;
        [s.to_float(a[0]), s.to_float(a[1]), s.to_float(a[2]), s.to_float(a[3])]
    }
}

impl<S: Simd> Group<S> for Four<S> {
    const VECTORS: usize = 4;

    #[inline(always)]
    fn gather(self, mut vector: impl FnMut(usize) -> S::F) -> [S::F; 4] {
        [vector(0), vector(1), vector(2), vector(3)]
    }
    #[inline(always)]
    fn scatter(self, x: [S::F; 4], mut each: impl FnMut(usize, S::F)) {
        let [a, b, c, d] = x;
        each(0, a);
        each(1, b);
        each(2, c);
        each(3, d);
    }
    #[inline(always)]
    fn nth(self, x: [S::F; 4], k: usize) -> S::F {
        x[k % 4]
    }
}
