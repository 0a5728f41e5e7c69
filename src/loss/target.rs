//! Class indices and class probabilities.

use crate::{
    lanes::classes::{IGNORED, Labels},
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
    Classes(&'a dyn Labels),
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
struct Integers<'a, T> {
    data: &'a [T],
    classes: usize,
    /// `None` also where `T` has no such value.
    ignored: Option<T>,
}

impl<T: Copy> Integers<'_, T>
where
    usize: TryFrom<T>,
{
    /// Whether the ignored index is that of a class.
    fn is_ignored_valid(&self) -> bool {
        let class = self.ignored.and_then(|index| usize::try_from(index).ok());
        class.is_some_and(|class| class < self.classes)
    }
}

/// Copies labels, widened by `widen`, that all are classes; `false` if one is not, or if there are too few. Without a branch or a
/// comparison for each.
#[expect(clippy::cast_sign_loss, reason = "of no class")]
#[inline(always)]
fn copy_classes<T: Copy>(from: &[T], classes: usize, out: &mut [usize], widen: impl Fn(T) -> i64) -> bool {
    let (Some(from), Ok(classes)) = (from.get(..out.len()), i64::try_from(classes)) else {
        return false;
    };
    // A class and its distance from the last one have no sign.
    let last = classes - 1;
    let mut signs = last;
    for (out, &label) in out.iter_mut().zip(from) {
        let label = widen(label);
        signs |= label | last.wrapping_sub(label);
        // Without a sign, since of plain copies the compiler makes a call of `memcpy`, and a second loop.
        *out = (label & i64::MAX) as usize;
    }
    signs >= 0
}

macro_rules! class_index {
    ($($int:ident)*) => {$(
        impl Target for $int {}

        impl ClassIndex for $int {}

        impl sealed::Target for $int {
            #[inline(always)]
            fn with<R>(data: &[Self], classes: usize, ignored: Option<i64>, f: impl FnOnce(Targets<'_>) -> R) -> R {
                let ignored = ignored.and_then(|index| Self::try_from(index).ok());
                f(Targets::Classes(&Integers { data, classes, ignored }))
            }
        }

        impl Labels for Integers<'_, $int> {
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
                let from = self.data.get(offset..).unwrap_or(&[]);
                if step == 1 && !self.is_ignored_valid() {
                    #[allow(clippy::cast_lossless, clippy::cast_possible_wrap, reason = "no class is so large")]
                    let widen = |label| label as i64;
                    if copy_classes(from, self.classes, out, widen) {
                        return Some(false);
                    }
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

class_index! { u8 u16 u32 u64 usize i8 i16 i32 i64 isize }
