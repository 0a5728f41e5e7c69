//! Compensated sums that merge.

use crate::simd::{NATIVE, Ops};

/// A sum of losses with the denominator of its mean, both compensated, so that totals of batches, threads or machines
/// can be merged before the mean is taken.
///
/// Each of the two numbers is kept as an unevaluated sum of two `f32`, about 48 bits together: the rounding error of
/// every addition is found exactly by Knuth's two-sum and carried along (D. E. Knuth, *The Art of Computer
/// Programming*, volume 2, 4.2.2, theorem B). No `f64` is involved.
///
/// ```
/// use losslanes::{CrossEntropyLoss, Total, View};
///
/// let loss = CrossEntropyLoss::new();
/// let first = loss.total(View::new(&[1.0, 2.0, 1.0, 3.0], [2, 2])?, View::new(&[0, 1], [2])?)?;
/// let second = loss.total(View::new(&[1.0, 3.0], [1, 2])?, View::new(&[1], [1])?)?;
/// let both = first.merge(second);
/// assert_eq!(both.denominator(), 3.0);
/// assert!((both.mean() - 0.5224).abs() < 1e-4);
/// assert!(Total::default().mean().is_nan());
/// # Ok::<(), losslanes::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    pub(crate) loss: Compensated,
    pub(crate) weight: Compensated,
}

impl Total {
    /// The total of both parts. In a fixed order of merges the bits are fixed, too.
    #[inline]
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.add(&other);
        self
    }

    /// [`Self::merge`] in place, by one function for all places.
    #[inline(never)]
    pub(crate) fn add(&mut self, other: &Self) {
        self.loss = self.loss.merge(other.loss);
        self.weight = self.weight.merge(other.weight);
    }

    /// The sum of the losses; 0 if there are none. Where finite losses add up to an infinity on the way, it is that infinity,
    /// or NaN if it meets the opposite one.
    #[inline]
    #[must_use]
    pub fn sum(self) -> f32 {
        self.loss.value()
    }

    /// The sum divided by the denominator; NaN if there is nothing.
    #[inline]
    #[must_use]
    pub fn mean(self) -> f32 {
        self.sum() / self.denominator()
    }

    /// What the mean divides by: the sum of the targets' weights, or the number of rows or elements.
    #[inline]
    #[must_use]
    pub fn denominator(self) -> f32 {
        self.weight.value()
    }
}

/// A number as the unevaluated sum of a float and what its additions lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Compensated {
    pub(crate) sum: f32,
    pub(crate) lost: f32,
}

impl Compensated {
    /// A count, exact up to 2^48.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn from_count(count: usize) -> Self {
        let sum = count as f32;
        // The rounded count may be above the count.
        Self { sum, lost: (count.wrapping_sub(sum as usize).cast_signed()) as f32 }
    }

    #[inline(always)]
    pub(crate) fn merge(self, other: Self) -> Self {
        let o = NATIVE;
        let (sum, lost) = o.two_sum(self.sum, other.sum);
        Self { sum, lost: o.add(o.add(self.lost, other.lost), lost) }
    }

    /// The rounded value. Where the sum is infinite or NaN, or a step on the way was, what it lost means nothing.
    #[inline(always)]
    pub(crate) fn value(self) -> f32 {
        let value = self.sum + self.lost;
        if value.is_nan() { self.sum } else { value }
    }
}
