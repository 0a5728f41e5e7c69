//! Sixteen lanes of AVX-512 (F, VL, BW, DQ).

#[cfg(target_arch = "x86")]
use core::arch::x86::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;
use core::marker::PhantomData;

use super::{Kernel, Ops, Simd, arithmetic::Arithmetic};

/// Sixteen lanes; proves that the CPU has AVX-512 F, VL, BW and DQ. With the arithmetic `A`.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<A>(PhantomData<A>);

impl<A: Arithmetic> Avx512<A> {
    /// # Safety
    ///
    /// The CPU must have AVX-512 F, VL, BW and DQ.
    #[inline(always)]
    pub(crate) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A: Arithmetic> Avx512<A> {
    /// A mask of the first `count` lanes; all lanes from 16 on.
    #[inline(always)]
    fn first(self, count: usize) -> __mmask16 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 16")]
        __mmask16::MAX.unbounded_shr(16 - count.min(16) as u32)
    }
}

impl<A: Arithmetic> Ops for Avx512<A> {
    const FUSED: bool = A::FUSED;
    const SCALES: bool = true;
    type F = __m512;
    type I = __m512i;
    type M = __mmask16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        if A::FUSED {
            // SAFETY: `self` proves AVX-512.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        } else {
            self.add(self.mul(a, b), c)
        }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        if A::FUSED {
            // SAFETY: `self` proves AVX-512.
            unsafe { _mm512_fnmadd_ps(a, b, c) }
        } else {
            self.sub(c, self.mul(a, b))
        }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    fn neg(self, a: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_xor_ps(_mm512_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    fn lt(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }
    #[inline(always)]
    fn eq(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }
    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }
    #[inline(always)]
    fn any(self, mask: __mmask16) -> bool {
        mask != 0
    }
    #[inline(always)]
    fn all(self, mask: __mmask16) -> bool {
        mask == 0xffff
    }
    #[inline(always)]
    fn bits(self, a: __m512) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_castps_si512(a) }
    }
    #[inline(always)]
    fn from_bits(self, a: __m512i) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_castsi512_ps(a) }
    }
    #[inline(always)]
    fn int(self, a: i32) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_set1_epi32(a) }
    }
    #[inline(always)]
    fn int_add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    fn int_sub(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_sub_epi32(a, b) }
    }
    #[inline(always)]
    fn int_and(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_and_si512(a, b) }
    }
    #[inline(always)]
    fn int_or(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn shl<const K: i32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_sllv_epi32(a, _mm512_set1_epi32(K)) }
    }
    #[inline(always)]
    fn shr<const K: i32>(self, a: __m512i) -> __m512i {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_srav_epi32(a, _mm512_set1_epi32(K)) }
    }
    #[inline(always)]
    fn scale(self, x: __m512, n: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_scalef_ps(x, n) }
    }
    #[inline(always)]
    fn to_float(self, a: __m512i) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe { _mm512_cvtepi32_ps(a) }
    }
}

impl<A: Arithmetic> Simd for Avx512<A> {
    const STREAMS: bool = true;
    const N: usize = 16;
    type Lanes = [f32; 16];
    type Vectors = [__m512; 16];

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: &mut K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
        fn inner<A: Arithmetic, K: Kernel>(simd: Avx512<A>, kernel: &mut K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves these parts of AVX-512.
        unsafe { inner(self, kernel) }
    }
    #[inline(always)]
    fn prefetch(self, x: &[f32], ahead: usize) {
        // SAFETY: a prefetch is a hint that reads nothing, whatever the address; SSE is part of what `self` proves.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(x.as_ptr().wrapping_add(ahead).cast()) }
    }
    #[inline(always)]
    fn from_lanes(self, x: [f32; 16]) -> __m512 {
        // SAFETY: `self` proves AVX-512; sixteen floats are read from an array of sixteen.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn to_lanes(self, x: __m512) -> [f32; 16] {
        let mut lanes = [0.0; 16];
        // SAFETY: `self` proves AVX-512; sixteen floats are written to an array of sixteen.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), x) };
        lanes
    }
    #[inline(always)]
    fn load_part(self, x: &[f32], pad: f32) -> __m512 {
        if let Some(x) = x.first_chunk() {
            return self.from_lanes(*x);
        }
        let mask = self.first(x.len());
        // SAFETY: `self` proves AVX-512; a masked load touches the lanes of the mask only, which has no more than `x`.
        unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(pad), mask, x.as_ptr()) }
    }
    #[inline(always)]
    fn store_part(self, x: __m512, out: &mut [f32]) {
        if let Some(out) = out.first_chunk_mut() {
            *out = self.to_lanes(x);
            return;
        }
        let mask = self.first(out.len());
        // SAFETY: `self` proves AVX-512; a masked store touches the lanes of the mask only, which has no more than `out`.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, x) }
    }

    #[inline(always)]
    fn stream(self, x: __m512, out: &mut [f32]) {
        let out = match out.first_chunk_mut::<16>() {
            Some(whole) if whole.as_ptr().addr().is_multiple_of(64) => whole,
            _ => return self.store_part(x, out),
        };
        // SAFETY: `self` proves AVX-512; sixteen floats are written to an array of sixteen, which is aligned for it.
        // `settle` comes before anything that depends on the order of writes.
        unsafe { _mm512_stream_ps(out.as_mut_ptr(), x) }
    }
    #[inline(always)]
    fn settle(self) {
        // SAFETY: SSE is part of what `self` proves.
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, x: *const f32, step: usize) -> [__m512; 4] {
        // SAFETY: `self` proves AVX-512. Four floats from the start of each of the sixteen rows on can be read.
        unsafe {
            // Four pointers with the same distances from them: sixteen would not stay in registers.
            let rows = [x, x.add(4 * step), x.add(8 * step), x.add(12 * step)];
            macro_rules! quarters {
                ($j:literal) => {{
                    let q = _mm512_castps128_ps512(_mm_loadu_ps(rows[0].add($j * step)));
                    let q = _mm512_insertf32x4::<1>(q, _mm_loadu_ps(rows[1].add($j * step)));
                    let q = _mm512_insertf32x4::<2>(q, _mm_loadu_ps(rows[2].add($j * step)));
                    _mm512_insertf32x4::<3>(q, _mm_loadu_ps(rows[3].add($j * step)))
                }};
            }
            // Rows j, j + 4, j + 8 and j + 12, in one quarter each: the steps below stay inside of the quarters.
            let (a, b, c, d) = (quarters!(0), quarters!(1), quarters!(2), quarters!(3));
            let (ab_low, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            [
                _mm512_shuffle_ps::<0x44>(ab_low, cd_low),
                _mm512_shuffle_ps::<0xee>(ab_low, cd_low),
                _mm512_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm512_shuffle_ps::<0xee>(ab_high, cd_high),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store_transposed(self, [a, b, c, d]: [__m512; 4], out: *mut f32, step: usize) {
        // SAFETY: `self` proves AVX-512. Four floats from the start of each of the sixteen rows on can be written.
        unsafe {
            let (ab_low, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            // Rows j, j + 4, j + 8 and j + 12, in one quarter each.
            let quarters = [
                _mm512_shuffle_ps::<0x44>(ab_low, cd_low),
                _mm512_shuffle_ps::<0xee>(ab_low, cd_low),
                _mm512_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm512_shuffle_ps::<0xee>(ab_high, cd_high),
            ];
            macro_rules! store {
                ($quarter:literal) => {
                    let rows = out.add(4 * $quarter * step);
                    for (j, quarters) in quarters.into_iter().enumerate() {
                        _mm_storeu_ps(rows.add(j * step), _mm512_extractf32x4_ps::<$quarter>(quarters));
                    }
                };
            }
            store!(0);
            store!(1);
            store!(2);
            store!(3);
        }
    }

    #[inline(always)]
    fn load_pairs(self, x: &[f32]) -> Option<[__m512; 2]> {
        let x = x.first_chunk::<32>()?;
        // SAFETY: `self` proves AVX-512; sixteen floats each are read from the two halves of an array of 32.
        unsafe {
            let (a, b) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16)));
            let first = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let second = _mm512_add_epi32(first, _mm512_set1_epi32(1));
            Some([_mm512_permutex2var_ps(a, first, b), _mm512_permutex2var_ps(a, second, b)])
        }
    }
    #[inline(always)]
    fn store_pairs(self, [first, second]: [__m512; 2], out: &mut [f32]) {
        let Some(out) = out.first_chunk_mut::<32>() else {
            return;
        };
        // SAFETY: `self` proves AVX-512; sixteen floats each are written to the two halves of an array of 32.
        unsafe {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            _mm512_storeu_ps(out.as_mut_ptr(), _mm512_permutex2var_ps(first, low, second));
            _mm512_storeu_ps(out.as_mut_ptr().add(16), _mm512_permutex2var_ps(first, high, second));
        }
    }

    #[inline(always)]
    fn upper(self, a: __m512, width: usize) -> __m512 {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            match width {
                8 => _mm512_shuffle_f32x4::<0xee>(a, a),
                4 => _mm512_shuffle_f32x4::<0x55>(a, a),
                2 => _mm512_permute_ps::<0xee>(a),
                _ => _mm512_movehdup_ps(a),
            }
        }
    }
    #[inline(always)]
    fn reduce_add(self, a: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let a = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn reduce_max(self, a: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let a = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn vectors(self, a: __m512) -> [__m512; 16] {
        [a; 16]
    }
    /// At each step halves of two vectors become one.
    #[inline(always)]
    fn reduce_each(self, x: &[__m512; 16], op: impl Fn(__m512, __m512) -> __m512) -> __m512 {
        let mut quarters = [x[0]; 4];
        for (q, quarter) in quarters.iter_mut().enumerate() {
            // SAFETY: `self` proves AVX-512.
            *quarter = unsafe {
                let [a, b, c, d] = [x[q], x[4 + q], x[8 + q], x[12 + q]];
                let ab = op(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
                let cd = op(_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xee>(c, d));
                op(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd))
            };
        }
        let [a, b, c, d] = quarters;
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let mut halves = [a; 2];
            for (half, (a, b)) in halves.iter_mut().zip([(a, b), (c, d)]) {
                let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
                let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
                *half = op(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            }
            let [ab, cd] = halves;
            op(_mm512_shuffle_ps::<0x88>(ab, cd), _mm512_shuffle_ps::<0xdd>(ab, cd))
        }
    }
}
