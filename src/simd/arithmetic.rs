//! One rounding or two for a multiplication and an addition.

/// Whether [`Ops::mul_add`](super::Ops::mul_add) rounds once or twice.
pub(crate) trait Arithmetic: Copy {
    const FUSED: bool;
}

#[cfg(any(target_feature = "sse2", target_feature = "fma", target_arch = "aarch64"))]
/// One rounding for a multiplication and the addition after it. Needs FMA hardware.
#[derive(Clone, Copy)]
pub(crate) struct Fused;

/// Every multiplication and every addition rounds by itself: IEEE 754 operations that every CPU has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[cfg(any(target_feature = "sse2", target_feature = "fma", target_arch = "aarch64"))]
impl Arithmetic for Fused {
    const FUSED: bool = true;
}

impl Arithmetic for Portable {
    const FUSED: bool = false;
}
