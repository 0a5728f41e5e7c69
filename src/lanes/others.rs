//! The exponentials of a row without its target's, for the loss of that target.
//!
//! With the target `t`, any reference `r` and `S = Σ_{c≠t} exp(x_c - r)`, the sum over the *others*, the loss is
//! `lse - x_t = ln(exp(x_t - r) + S) + r - x_t`. Let `z = exp(-|x_t - r|)`:
//!
//! - where the target leads, `x_t >= r`, that is `ln_1p(S z)`, which has all its digits, however small it is;
//! - elsewhere it is `(r - x_t) + ln(S + z)`, and since `r` is one of the others' logits, or near one, nothing cancels.
//!
//! So the reference need not be the maximum. It is the largest of the first [`HEAD`] classes, and the row is read once from memory;
//! only a tile whose sum gets out of hand is taken again, relative to the largest of its own. The target itself, which in
//! a confident prediction is far above the rest, never is the reason.

use super::{
    math,
    partition::{Form, NOTHING, Partition, Source, TILE, finite, join_lanes, lane_sums},
};
use crate::simd::Ops;

/// So many classes give the first reference. Of no more, it is the maximum.
pub(crate) const HEAD: usize = 256;

/// A tile's sum from here on, in units of [`math::TERM_UNIT`], asks for another reference: the largest logit is about 28
/// above it, and 2^25 such tiles are still finite.
const LIMIT: f32 = f32::from_bits((127 + 100) << 23);

/// A group of rows, a tile after the other.
pub(crate) trait Others<O: Ops> {
    /// Goes on to the tile of `len` classes from `start` on.
    fn enter(&mut self, o: O, start: usize, len: usize);
    /// The largest of the tile's first `len` classes, the target with them; a NaN may be lost.
    fn max(&mut self, o: O, len: usize) -> O::F;
    /// The sum of the tile's exponentials without the target's, relative to a reference that is made [`finite`].
    fn sum(&mut self, o: O, reference: O::F) -> Sum<O>;
}

/// The sum of some exponentials in units of [`math::TERM_UNIT`].
pub(crate) struct Sum<O: Ops> {
    pub(crate) sum: O::F,
    /// See [`math::in_range`].
    pub(crate) joined: O::I,
}

impl<O: Ops> Sum<O> {
    /// Where it is what it should be, relative to the reference, if that is one.
    #[inline(always)]
    fn fits(&self, o: O, reference: O::F) -> O::M {
        let (nothing, too_much) = (o.splat(f32::NEG_INFINITY), o.splat(f32::INFINITY));
        let sum = o.select(math::in_range(o, self.joined), self.sum, too_much);
        o.lt(o.select(o.eq(reference, nothing), too_much, sum), o.splat(LIMIT))
    }
}

/// The reference, and the sum relative to it in units of [`math::TERM_UNIT`]: −∞ and 0 if there are no others, or only −∞.
#[inline(always)]
pub(crate) fn sum<O: Ops>(o: O, classes: usize, rows: &mut impl Others<O>) -> (O::F, O::F) {
    let (nothing, zero) = (o.splat(f32::NEG_INFINITY), o.splat(0.0));
    let (mut reference, mut sum) = (nothing, zero);
    let mut start = 0;
    while start < classes {
        let len = TILE.min(classes - start);
        rows.enter(o, start, len);
        let (mut fits, mut whole) = (o.lt(nothing, reference), false);
        loop {
            if !o.all(fits) {
                let first = if whole { len } else { len.min(HEAD) };
                let raised = o.select(fits, reference, rows.max(o, first));
                if start > 0 {
                    // Without a reference there is no sum. Far below a target in this tile, `step` would lose digits in the unit 1,
                    // while the sum does not: it is small only where this tile's is 2^40 times as much.
                    let step = math::row::exponential(o, o.min(o.sub(reference, raised), zero));
                    sum = o.select(fits, sum, o.mul(o.mul(sum, o.splat(math::TERM_UNIT)), step));
                }
                reference = raised;
            }
            let tile = rows.sum(o, reference);
            // What does not fit relative to the maximum of the whole tile is NaN.
            fits = tile.fits(o, reference);
            if whole || o.all(fits) {
                sum = o.add(sum, tile.sum);
                break;
            }
            whole = true;
        }
        start += len;
    }
    (reference, sum)
}

/// The same for rows of at most [`HEAD`] classes.
#[inline(always)]
pub(crate) fn short_sum<O: Ops>(o: O, classes: usize, rows: &mut impl Others<O>) -> (O::F, O::F) {
    rows.enter(o, 0, classes);
    let reference = rows.max(o, classes);
    let tile = rows.sum(o, reference);
    (reference, tile.sum)
}

/// The partition from [`sum`]; with targets, whose logits are these.
#[inline(always)]
pub(crate) fn finish<O: Ops, F: Form>(
    o: O,
    (reference, sum): (O::F, O::F),
    logit: impl FnOnce() -> O::F,
) -> Partition<O::F> {
    let (one, unit) = (o.splat(1.0), o.splat(math::TERM_UNIT));
    if !F::TARGET {
        let others = o.sub(o.mul(sum, unit), one);
        return Partition { max: reference, others, ..Partition::none(o) }.of_leader(o);
    }
    let logit = logit();
    let lead = o.sub(logit, reference);
    let behind = o.lt(lead, o.splat(0.0));
    let z = math::row::exponential(o, o.neg(o.abs(lead)));
    // With the target in front, relative to its logit.
    let rest = o.mul(o.select(behind, sum, o.mul(o.mul(sum, unit), z)), unit);
    Partition {
        max: o.select(behind, reference, logit),
        others: o.select(behind, o.mul_add(z, unit, o.sub(rest, one)), rest),
        target: o.select(behind, z, o.splat(1.0 / math::TERM_UNIT)),
        reference: finite(o, reference),
        scale: o.select(behind, o.splat(1.0 / math::TERM_UNIT), z),
        logit,
        ..Partition::none(o)
    }
}

/// A lane for each row.
pub(crate) struct ByLanes<'r, R> {
    rows: &'r mut R,
    start: usize,
    len: usize,
}

impl<'r, R> ByLanes<'r, R> {
    #[inline(always)]
    pub(crate) fn new(rows: &'r mut R) -> Self {
        Self { rows, start: 0, len: 0 }
    }
}

impl<O: Ops, R: Source<O>> Others<O> for ByLanes<'_, R> {
    #[inline(always)]
    fn enter(&mut self, o: O, start: usize, len: usize) {
        (self.start, self.len) = (start, len);
        self.rows.enter(o, start);
    }

    #[inline(always)]
    fn max(&mut self, o: O, len: usize) -> O::F {
        let mut max = o.splat(f32::NEG_INFINITY);
        for class in self.start..self.start.wrapping_add(len) {
            max = o.max(max, self.rows.load(class));
        }
        max
    }

    #[inline(always)]
    fn sum(&mut self, o: O, reference: O::F) -> Sum<O> {
        let (zero, reference, len) = (o.splat(0.0), finite(o, reference), self.len);
        let mut joined = o.int(0);
        let nothing = o.splat(NOTHING);
        let mut sums = lane_sums::<O, _>(nothing);
        for at in 0..len {
            // Tiles are whole groups of lanes.
            let added = self.add(o, at, reference, sums.get(at).unwrap_or(nothing), &mut joined);
            sums.set(at, added);
        }
        let sum = join_lanes(
            sums.as_mut_slice(),
            zero,
            #[inline(always)]
            |a, b| o.add(a, b),
        );
        Sum { sum, joined }
    }
}

impl<R> ByLanes<'_, R> {
    /// Adds class `at` of the tile to the sum of its lane.
    #[inline(always)]
    fn add<O: Ops>(&mut self, o: O, at: usize, reference: O::F, sum: O::F, joined: &mut O::I) -> O::F
    where
        R: Source<O>,
    {
        let class = self.start.wrapping_add(at);
        let (p, t) = math::exp_term(o, o.sub(self.rows.load(class), reference));
        let added = o.mul_add(p, math::scale(o, t), sum);
        let Some(target) = self.rows.is_target(class) else {
            *joined = o.int_or(*joined, o.bits(t));
            return added;
        };
        *joined = o.int_or(*joined, o.bits(o.select(target, o.splat(0.0), t)));
        o.select(target, sum, added)
    }
}
