//! Class indices and class probabilities.

use crate::{
    lanes::labels::{IGNORED, Indices, Integers, Labels},
    simd::SIMD,
};

/// The element type of a target: an integer is a class index, `f32` a class probability.
///
/// Implemented for `u8` to `u64`, `usize`, `i8` to `i64`, `isize` and `f32`; it cannot be implemented elsewhere.
pub trait Target: sealed::Target {}

/// An integer that names a class: `u8` to `u64`, `usize`, `i8` to `i64` or `isize`.
pub trait ClassIndex: Target {}

/// The memory of a target, with its element type resolved.
#[derive(Clone, Copy)]
pub enum Targets<'a> {
    /// And all of them at once, where there are vectors.
    Classes(&'a dyn Labels, Option<&'a Indices<'a>>),
    Probabilities(&'a [f32]),
}

pub(crate) mod sealed {
    use super::Targets;

    pub trait Target: Copy {
        /// Calls `f` with the targets in `data`: classes below `classes`, or `ignored`.
        #[doc(hidden)]
        fn with<R>(data: &[Self], classes: usize, ignored: Option<i64>, f: impl FnOnce(Targets<'_>) -> R) -> R;
    }
}

impl Target for f32 {}

impl sealed::Target for f32 {
    #[inline(always)]
    fn with<R>(data: &[Self], _: usize, _: Option<i64>, f: impl FnOnce(Targets<'_>) -> R) -> R {
        f(Targets::Probabilities(data))
    }
}

/// Labels of an integer type.
struct Typed<'a, T> {
    data: &'a [T],
    classes: usize,
    /// `None` also where `T` has no such value.
    ignored: Option<T>,
}

macro_rules! class_index {
    ($($int:ident $variant:ident)*) => {$(
        impl Target for $int {}

        impl ClassIndex for $int {}

        impl sealed::Target for $int {
            #[inline(always)]
            fn with<R>(data: &[Self], classes: usize, ignored: Option<i64>, f: impl FnOnce(Targets<'_>) -> R) -> R {
                let of_type = ignored.and_then(|index| Self::try_from(index).ok());
                let labels = Typed { data, classes, ignored: of_type };
                let all = Indices { integers: Integers::$variant(data), ignored: ignored.filter(|_| of_type.is_some()) };
                f(Targets::Classes(&labels, if SIMD { Some(&all) } else { None }))
            }
        }

        impl Labels for Typed<'_, $int> {
            #[inline(always)]
            fn class(&self, offset: usize) -> Option<usize> {
                let label = self.data.get(offset).copied().unwrap_or_default();
                if self.ignored == Some(label) {
                    return Some(IGNORED);
                }
                usize::try_from(label).ok().filter(|&class| class < self.classes)
            }

            fn read(&self, offset: usize, step: isize, out: &mut [usize]) -> Option<bool> {
                // One at a time, they need no second way.
                if !SIMD {
                    return None;
                }
                let (mut at, mut any) = (offset, false);
                for class in out {
                    *class = self.class(at)?;
                    at = at.wrapping_add_signed(step);
                    any |= *class == IGNORED;
                }
                Some(any)
            }

            #[allow(clippy::cast_lossless, reason = "`From` has no `usize`")]
            fn value(&self, offset: usize) -> i128 {
                self.data.get(offset).copied().unwrap_or_default() as i128
            }
        }
    )*};
}

class_index! { u8 U8 u16 U16 u32 U32 u64 U64 usize Usize i8 I8 i16 I16 i32 I32 i64 I64 isize Isize }
