//! The weighted sum of a row, which is taken along with the exponentials: of class weights, smoothed labels and class
//! probabilities.

use super::{
    grid::gather,
    partition::{TILE, always},
    sum::LaneSums,
};
use crate::simd::{Four, Ops, Simd};

/// The coefficients `q_c = w_c (keep t_c + floor)` of a weighted sum that is taken along with the exponentials: the
/// class weights, 1 without, times the smoothed target. Where that is exactly 0, a logit of −∞ adds nothing.
#[derive(Clone, Copy)]
pub(crate) struct Cross<'a> {
    pub(crate) weight: Option<&'a [f32]>,
    pub(crate) target: Option<Probabilities<'a>>,
    pub(crate) keep: f32,
    pub(crate) floor: f32,
}

/// Class probabilities as targets: array [`TARGET`] of the grid.
#[derive(Clone, Copy)]
pub(crate) struct Probabilities<'a> {
    pub(crate) data: &'a [f32],
    /// The distance of neighbouring classes.
    pub(crate) stride: isize,
}

/// The targets' place in the grid of [`Rows`](super::layout::Rows); the logits have 0.
pub(crate) const TARGET: usize = 1;

impl Cross<'_> {
    /// No weighted sum.
    pub(crate) const NONE: Self = Self { weight: None, target: None, keep: 1.0, floor: 0.0 };

    /// `q_c` where it is the same for all classes, as it is for a label that is smoothed without weights, and not 0.
    #[inline(always)]
    pub(crate) fn same(&self) -> Option<f32> {
        if self.weight.is_none() && self.target.is_none() && self.floor != 0.0 { Some(self.floor) } else { None }
    }

    /// [`Self::coefficient`] of the `N` classes from `class` on, in a row whose targets start at `offset`.
    #[inline(always)]
    pub(crate) fn of_row<S: Simd>(&self, s: S, offset: usize, class: usize, d: S::F) -> (S::F, S::F) {
        let weight = match self.weight {
            Some(weight) => s.load_part(weight.get(class..).unwrap_or(&[]), 0.0),
            None => s.splat(1.0),
        };
        let target = match &self.target {
            Some(target) if target.stride == 1 => {
                let target = target.data.get(offset.wrapping_add(class)..).unwrap_or(&[]);
                s.prefetch(target, TILE);
                Some(s.load_part(target, 0.0))
            }
            Some(target) => {
                let mut lanes = s.to_lanes(s.splat(0.0));
                let at = offset.wrapping_add_signed(target.stride.wrapping_mul(class.cast_signed()));
                gather(target.data, at, target.stride, lanes.as_mut());
                Some(s.from_lanes(lanes))
            }
            None => None,
        };
        self.coefficient(s, weight, target, d)
    }

    /// [`Self::coefficient`] of one class in several rows.
    #[inline(always)]
    pub(crate) fn of_class<S: Ops>(&self, s: S, class: usize, target: Option<S::F>, d: S::F) -> (S::F, S::F) {
        let weight = match self.weight {
            Some(weight) => s.splat(weight.get(class).copied().unwrap_or(0.0)),
            None => s.splat(1.0),
        };
        self.coefficient(s, weight, target, d)
    }

    /// The terms of one row, whose targets start at `offset`.
    #[inline(always)]
    pub(crate) fn in_row<S: Simd>(&self, s: S, offset: usize) -> impl Terms<S, 2> {
        let coefficient = always(
            #[inline(always)]
            move |class, d| self.of_row(s, offset, class, d),
        );
        Each { coefficient, same: self.same() }
    }

    /// The terms of four rows side by side, whose targets start at these offsets.
    #[inline(always)]
    pub(crate) fn in_rows<S: Simd>(&self, s: S, offsets: &[usize]) -> impl Terms<Four<S>, 2> {
        let coefficient = always(
            #[inline(always)]
            move |class, d: [S::F; 4]| {
                let (mut coefficients, mut distances) = (d, d);
                for k in 0..4 {
                    let offset = offsets.get(k).copied().unwrap_or(0);
                    (coefficients[k], distances[k]) = self.of_row(s, offset, class, d[k]);
                }
                (coefficients, distances)
            },
        );
        Each { coefficient, same: None }
    }

    /// `q`, from a weight and a target, and `d`, or 0 where the smoothed target is exactly that.
    #[inline(always)]
    pub(crate) fn coefficient<S: Ops>(&self, s: S, weight: S::F, target: Option<S::F>, d: S::F) -> (S::F, S::F) {
        let Some(target) = target else {
            let q = s.mul(weight, s.splat(self.floor));
            return (q, if self.floor == 0.0 { s.splat(0.0) } else { d });
        };
        let smoothed = s.mul_add(target, s.splat(self.keep), s.splat(self.floor));
        (s.mul(weight, smoothed), s.select(s.eq(smoothed, s.splat(0.0)), s.splat(0.0), d))
    }
}

/// What is summed along with the exponentials, in `T` sums: with none of them nothing; with one `Σ q_c (max - x_c)`; with two
/// `Σ q_c`, too.
pub(crate) trait Terms<O: Ops, const T: usize> {
    /// Adds the terms of one class, or of the classes from `class` on, whose logits are at the distance `d` from the reference.
    fn add(&mut self, o: O, class: usize, d: O::F, sums: [O::F; T]) -> [O::F; T];
    /// `Σ q_c` of the first `classes`, of which the second sum is `added`.
    fn mass(&self, o: O, classes: usize, added: LaneSums<O::F>) -> O::F;
}

/// No weighted sum.
pub(crate) struct NoTerms;

impl<O: Ops> Terms<O, 0> for NoTerms {
    #[inline(always)]
    fn add(&mut self, _: O, _: usize, _: O::F, sums: [O::F; 0]) -> [O::F; 0] {
        sums
    }

    #[inline(always)]
    fn mass(&self, o: O, _: usize, _: LaneSums<O::F>) -> O::F {
        o.splat(0.0)
    }
}

/// All coefficients are the same: see [`Cross::same`].
pub(crate) struct Same(pub(crate) f32);

impl<O: Ops> Terms<O, 1> for Same {
    #[inline(always)]
    fn add(&mut self, o: O, _: usize, d: O::F, [cross]: [O::F; 1]) -> [O::F; 1] {
        [o.neg_mul_add(o.splat(self.0), d, cross)]
    }

    #[expect(clippy::cast_precision_loss, reason = "rounded, as a sum would be")]
    #[inline(always)]
    fn mass(&self, o: O, classes: usize, _: LaneSums<O::F>) -> O::F {
        o.splat(self.0 * classes as f32)
    }
}

/// Each class has a coefficient of its own, from a function as [`Cross::of_row`]. Where all turn out to be the `same`, the bits
/// are those of [`Same`].
#[derive(Clone, Copy)]
pub(crate) struct Each<F> {
    pub(crate) coefficient: F,
    pub(crate) same: Option<f32>,
}

impl<O: Ops, F: FnMut(usize, O::F) -> (O::F, O::F)> Terms<O, 2> for Each<F> {
    #[inline(always)]
    fn add(&mut self, o: O, class: usize, d: O::F, [cross, mass]: [O::F; 2]) -> [O::F; 2] {
        let (q, d) = (self.coefficient)(class, d);
        [o.neg_mul_add(q, d, cross), o.add(mass, q)]
    }

    #[inline(always)]
    fn mass(&self, o: O, classes: usize, added: LaneSums<O::F>) -> O::F {
        match self.same {
            Some(q) => Same(q).mass(o, classes, added),
            None => added.value(o),
        }
    }
}

/// Adds sums of terms.
#[inline(always)]
pub(crate) fn add_sums<O: Ops, const T: usize>(o: O, mut a: [O::F; T], b: [O::F; T]) -> [O::F; T] {
    for (a, b) in a.iter_mut().zip(b) {
        *a = o.add(*a, b);
    }
    a
}
