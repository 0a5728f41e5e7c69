//! Eight lanes of AVX2 with FMA.

#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;
use core::marker::PhantomData;

use super::{Kernel, Ops, Simd, arithmetic::Arithmetic};

/// Eight lanes; proves that the CPU has AVX2 and FMA. With the arithmetic `A`.
#[derive(Clone, Copy)]
pub(crate) struct Avx2<A>(PhantomData<A>);

impl<A: Arithmetic> Avx2<A> {
    /// # Safety
    ///
    /// The CPU must have AVX2 and FMA.
    #[inline(always)]
    pub(crate) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

/// For each count of lanes, a window of this table has so many ones in front.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl<A: Arithmetic> Avx2<A> {
    /// A mask with the sign bits of the first `count` lanes set; all lanes from 8 on.
    #[inline(always)]
    fn first(self, count: usize) -> __m256i {
        let start = 8 - count.min(8);
        // SAFETY: `self` proves AVX; `start` is at most 8, so that eight numbers follow it in the table of sixteen.
        unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(start).cast()) }
    }
}

impl<A: Arithmetic> Ops for Avx2<A> {
    const FUSED: bool = A::FUSED;
    type F = __m256;
    type I = __m256i;
    type M = __m256;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        if A::FUSED {
            // SAFETY: `self` proves FMA.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        } else {
            self.add(self.mul(a, b), c)
        }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        if A::FUSED {
            // SAFETY: `self` proves FMA.
            unsafe { _mm256_fnmadd_ps(a, b, c) }
        } else {
            self.sub(c, self.mul(a, b))
        }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    fn neg(self, a: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_xor_ps(_mm256_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    fn lt(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    fn eq(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_blendv_ps(b, a, mask) }
    }
    #[inline(always)]
    fn any(self, mask: __m256) -> bool {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_movemask_ps(mask) != 0 }
    }
    #[inline(always)]
    fn all(self, mask: __m256) -> bool {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_movemask_ps(mask) == 0xff }
    }
    #[inline(always)]
    fn bits(self, a: __m256) -> __m256i {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_castps_si256(a) }
    }
    #[inline(always)]
    fn from_bits(self, a: __m256i) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_castsi256_ps(a) }
    }
    #[inline(always)]
    fn int(self, a: i32) -> __m256i {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_set1_epi32(a) }
    }
    #[inline(always)]
    fn int_add(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    fn int_sub(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_sub_epi32(a, b) }
    }
    #[inline(always)]
    fn int_and(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_and_si256(a, b) }
    }
    #[inline(always)]
    fn int_or(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_or_si256(a, b) }
    }
    #[inline(always)]
    fn shl<const K: i32>(self, a: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_slli_epi32::<K>(a) }
    }
    #[inline(always)]
    fn shr<const K: i32>(self, a: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_srai_epi32::<K>(a) }
    }
    #[inline(always)]
    fn to_float(self, a: __m256i) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe { _mm256_cvtepi32_ps(a) }
    }
}

impl<A: Arithmetic> Simd for Avx2<A> {
    const STREAMS: bool = true;
    const N: usize = 8;
    type Lanes = [f32; 8];
    type Vectors = [__m256; 8];

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: &mut K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn inner<A: Arithmetic, K: Kernel>(simd: Avx2<A>, kernel: &mut K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { inner(self, kernel) }
    }
    #[inline(always)]
    fn prefetch(self, x: &[f32], ahead: usize) {
        // SAFETY: a prefetch is a hint that reads nothing, whatever the address; SSE is part of what `self` proves.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(x.as_ptr().wrapping_add(ahead).cast()) }
    }
    #[inline(always)]
    fn from_lanes(self, x: [f32; 8]) -> __m256 {
        // SAFETY: `self` proves AVX; eight floats are read from an array of eight.
        unsafe { _mm256_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn to_lanes(self, x: __m256) -> [f32; 8] {
        let mut lanes = [0.0; 8];
        // SAFETY: `self` proves AVX; eight floats are written to an array of eight.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), x) };
        lanes
    }
    #[inline(always)]
    fn load_part(self, x: &[f32], pad: f32) -> __m256 {
        if let Some(x) = x.first_chunk() {
            return self.from_lanes(*x);
        }
        let mask = self.first(x.len());
        // SAFETY: `self` proves AVX; a masked load touches the lanes of the mask only, which has no more than `x`.
        unsafe {
            let loaded = _mm256_maskload_ps(x.as_ptr(), mask);
            _mm256_blendv_ps(_mm256_set1_ps(pad), loaded, _mm256_castsi256_ps(mask))
        }
    }
    #[inline(always)]
    fn store_part(self, x: __m256, out: &mut [f32]) {
        if let Some(out) = out.first_chunk_mut() {
            *out = self.to_lanes(x);
            return;
        }
        let mask = self.first(out.len());
        // SAFETY: `self` proves AVX; a masked store touches the lanes of the mask only, which has no more than `out`.
        unsafe { _mm256_maskstore_ps(out.as_mut_ptr(), mask, x) }
    }

    #[inline(always)]
    fn stream(self, x: __m256, out: &mut [f32]) {
        let out = match out.first_chunk_mut::<8>() {
            Some(whole) if whole.as_ptr().addr().is_multiple_of(32) => whole,
            _ => return self.store_part(x, out),
        };
        // SAFETY: `self` proves AVX2; eight floats are written to an array of eight, which is aligned for it. `settle` comes
        // before anything that depends on the order of writes.
        unsafe { _mm256_stream_ps(out.as_mut_ptr(), x) }
    }
    #[inline(always)]
    fn settle(self) {
        // SAFETY: SSE is part of what `self` proves.
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, x: *const f32, step: usize) -> [__m256; 4] {
        // SAFETY: `self` proves AVX. Four floats from the start of each of the eight rows on can be read.
        unsafe {
            let rows = [x, x.add(4 * step)];
            macro_rules! halves {
                ($j:literal) => {
                    _mm256_set_m128(_mm_loadu_ps(rows[1].add($j * step)), _mm_loadu_ps(rows[0].add($j * step)))
                };
            }
            // Rows j and j + 4, in one half each: the steps below stay inside of the halves.
            let (a, b, c, d) = (halves!(0), halves!(1), halves!(2), halves!(3));
            let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            [
                _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
                _mm256_shuffle_ps::<0xee>(ab_low, cd_low),
                _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store_transposed(self, [a, b, c, d]: [__m256; 4], out: *mut f32, step: usize) {
        // SAFETY: `self` proves AVX. Four floats from the start of each of the eight rows on can be written.
        unsafe {
            let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            // Rows j and j + 4, in one half each.
            let halves = [
                _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
                _mm256_shuffle_ps::<0xee>(ab_low, cd_low),
                _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
            ];
            for (j, halves) in halves.into_iter().enumerate() {
                _mm_storeu_ps(out.add(j * step), _mm256_castps256_ps128(halves));
            }
            for (j, halves) in halves.into_iter().enumerate() {
                _mm_storeu_ps(out.add((j + 4) * step), _mm256_extractf128_ps::<1>(halves));
            }
        }
    }

    #[inline(always)]
    fn load_pairs(self, x: &[f32]) -> Option<[__m256; 2]> {
        let x = x.first_chunk::<16>()?;
        // SAFETY: `self` proves AVX2; eight floats each are read from the two halves of an array of sixteen.
        unsafe {
            let (a, b) = (_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8)));
            let in_order = |x| _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(x)));
            Some([in_order(_mm256_shuffle_ps::<0x88>(a, b)), in_order(_mm256_shuffle_ps::<0xdd>(a, b))])
        }
    }
    #[inline(always)]
    fn store_pairs(self, [first, second]: [__m256; 2], out: &mut [f32]) {
        let Some(out) = out.first_chunk_mut::<16>() else {
            return;
        };
        // SAFETY: `self` proves AVX; eight floats each are written to the two halves of an array of sixteen.
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(first, second), _mm256_unpackhi_ps(first, second));
            _mm256_storeu_ps(out.as_mut_ptr(), _mm256_permute2f128_ps::<0x20>(low, high));
            _mm256_storeu_ps(out.as_mut_ptr().add(8), _mm256_permute2f128_ps::<0x31>(low, high));
        }
    }

    #[inline(always)]
    fn upper(self, a: __m256, width: usize) -> __m256 {
        // SAFETY: `self` proves AVX.
        unsafe {
            match width {
                4 => _mm256_permute2f128_ps::<0x11>(a, a),
                2 => _mm256_permute_ps::<0xee>(a),
                _ => _mm256_movehdup_ps(a),
            }
        }
    }
    #[inline(always)]
    fn reduce_add(self, a: __m256) -> f32 {
        // SAFETY: `self` proves AVX.
        unsafe {
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn reduce_max(self, a: __m256) -> f32 {
        // SAFETY: `self` proves AVX.
        unsafe {
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn vectors(self, a: __m256) -> [__m256; 8] {
        [a; 8]
    }
    /// At each step halves of two vectors become one.
    #[inline(always)]
    fn reduce_each(self, x: &[__m256; 8], op: impl Fn(__m256, __m256) -> __m256) -> __m256 {
        let mut quarters = [x[0]; 4];
        for (q, quarter) in quarters.iter_mut().enumerate() {
            // SAFETY: `self` proves AVX.
            *quarter = unsafe {
                let (a, b) = (x[q], x[4 + q]);
                op(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b))
            };
        }
        let [a, b, c, d] = quarters;
        // SAFETY: `self` proves AVX.
        unsafe {
            let mut halves = [a; 2];
            for (half, (a, b)) in halves.iter_mut().zip([(a, b), (c, d)]) {
                let (a, b) = (_mm256_castps_pd(a), _mm256_castps_pd(b));
                let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
                *half = op(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
            }
            let [ab, cd] = halves;
            op(_mm256_shuffle_ps::<0x88>(ab, cd), _mm256_shuffle_ps::<0xdd>(ab, cd))
        }
    }
}
