//! The exponentials of a row without its target's, for the loss of that target.
//!
//! With the target `t` and `S = Σ_{c≠t} exp(x_c - x_t)`, the sum over the *others*, the loss is `lse - x_t = ln_1p(S)`. Where the
//! target leads it has all its digits, however small it is. And there is no maximum to be found first: what the exponentials are
//! relative to, the *reference*, is the target's own logit, and a row is read once.
//!
//! Only where some class is far above the target does the sum get out of hand. Then the row is taken again, relative to its
//! largest logit `r`. With `S = Σ_{c≠t} exp(x_c - r)` and `z = exp(x_t - r)` the loss is `(r - x_t) + ln(S + z)`, and since `r` is one of
//! the others' logits, nothing cancels.
//!
//! Without a target, the first reference is the largest of the first [`HEAD`] classes.

use super::{
    cross::{Cross, spread},
    layout::Rows,
    math,
    partition::{Form, NOTHING, Partition, Source, TILE, finite, join_lanes, lane_sums},
};
use crate::simd::Ops;

/// So many classes give the first reference of rows without a target. Of no more, it is the maximum.
pub(crate) const HEAD: usize = 256;

/// The logit of a row that has no target: relative to it the exponentials of all others are 0.
pub(crate) const ABSENT: f32 = f32::MAX;

/// A sum from here on, in units of [`math::TERM_UNIT`], asks for another reference: the largest logit is some 46 above it, or less
/// where there are many as large.
const LIMIT: f32 = f32::from_bits((127 + 127) << 23);

/// A group of rows, a tile after the other.
pub(crate) trait Others<O: Ops> {
    /// Goes on to the tile of `len` classes from `start` on.
    fn enter(&mut self, o: O, start: usize, len: usize);
    /// The largest of the first `len` classes of all, the target with them; a NaN may be lost.
    fn max(&mut self, o: O, len: usize) -> O::F;
    /// The sum of the tile's exponentials without the target's.
    fn sum(&mut self, o: O, reference: O::F) -> Sum<O>;
    /// `Σ q_c (r - x_c)` of all tiles, with the target and relative to the reference `r` of the last sums: for [`Form::CROSS`].
    #[inline(always)]
    fn spread(&mut self, o: O, _reference: O::F) -> O::F {
        o.splat(0.0)
    }
    /// Undoes what the sum has written over the logits.
    #[inline(always)]
    fn restore(&mut self, _o: O) {}
}

/// What is known of rows when all of their tiles are read.
#[derive(Clone, Copy)]
pub(crate) struct Read<F> {
    /// −∞ if there are no classes, or only −∞.
    pub(crate) reference: F,
    /// The sum of the exponentials relative to it, in units of [`math::TERM_UNIT`].
    pub(crate) sum: F,
    /// See [`Others::spread`].
    pub(crate) spread: F,
}

impl<F: Copy> Read<F> {
    #[inline(always)]
    pub(crate) fn select<O: Ops<F = F>>(self, o: O, mask: O::M, other: Self) -> Self {
        Self {
            reference: o.select(mask, self.reference, other.reference),
            sum: o.select(mask, self.sum, other.sum),
            spread: o.select(mask, self.spread, other.spread),
        }
    }
}

/// The sum of some exponentials in units of [`math::TERM_UNIT`].
pub(crate) struct Sum<O: Ops> {
    pub(crate) sum: O::F,
    /// See [`math::in_range`].
    pub(crate) joined: O::I,
}

impl<O: Ops> Sum<O> {
    /// Where it is what it should be, relative to the reference, if that is a number.
    #[inline(always)]
    pub(crate) fn fits(&self, o: O, reference: O::F) -> O::M {
        let infinity = o.splat(f32::INFINITY);
        let sum = o.select(math::in_range(o, self.joined), self.sum, infinity);
        o.lt(o.select(is_finite(o, reference), sum, infinity), o.splat(LIMIT))
    }
}

#[inline(always)]
fn is_finite<O: Ops>(o: O, x: O::F) -> O::M {
    o.lt(o.abs(x), o.splat(f32::INFINITY))
}

/// Reads all tiles of rows whose first reference is this, if they have one: see [`Rows::reference`].
#[inline(always)]
pub(crate) fn read<O: Ops, F: Form>(
    o: O,
    classes: usize,
    target: Option<O::F>,
    rows: &mut impl Others<O>,
) -> Read<O::F> {
    relative_to::<O, F, _>(
        o,
        classes,
        target,
        rows,
        #[inline(always)]
        |rows, reference| {
            let mut all = Sum { sum: o.splat(0.0), joined: o.int(0) };
            for start in (0..classes).step_by(TILE) {
                rows.enter(o, start, TILE.min(classes - start));
                let tile = rows.sum(o, reference);
                all = Sum { sum: o.add(all.sum, tile.sum), joined: o.int_or(all.joined, tile.joined) };
            }
            all
        },
    )
}

/// The same for rows that are summed in one go.
#[inline(always)]
pub(crate) fn read_short<O: Ops, F: Form>(
    o: O,
    classes: usize,
    target: Option<O::F>,
    rows: &mut impl Others<O>,
) -> Read<O::F> {
    rows.enter(o, 0, classes);
    relative_to::<O, F, _>(
        o,
        classes,
        target,
        rows,
        #[inline(always)]
        |rows, reference| rows.sum(o, reference),
    )
}

/// A reference, and the `sum` relative to it: the target or the largest of the first classes and, where that does not fit, the
/// maximum.
#[inline(always)]
fn relative_to<O: Ops, F: Form, R: Others<O>>(
    o: O,
    classes: usize,
    target: Option<O::F>,
    rows: &mut R,
    sum: impl Fn(&mut R, O::F) -> Sum<O>,
) -> Read<O::F> {
    let head = if F::TARGET { classes } else { classes.min(HEAD) };
    let (mut reference, mut whole) = match target {
        Some(target) => (target, false),
        None => (rows.max(o, head), head == classes),
    };
    let sum = loop {
        // Of rows that are all −∞, 0. With a target they are NaN anyway.
        let all = sum(rows, if F::TARGET { reference } else { finite(o, reference) });
        if whole {
            // What does not fit is NaN.
            break all.sum;
        }
        let fits = all.fits(o, reference);
        if o.all(fits) {
            break all.sum;
        }
        rows.restore(o);
        reference = o.select(fits, reference, rows.max(o, classes));
        whole = true;
    };
    let spread = if F::CROSS { rows.spread(o, reference) } else { o.splat(0.0) };
    Read { reference, sum, spread }
}

/// The partition of rows that are read; with targets, whose logits are these.
#[inline(always)]
pub(crate) fn finish<O: Ops, F: Form, const K: usize>(
    o: O,
    rows: &Rows<'_, K>,
    read: Read<O::F>,
    logit: impl FnOnce() -> O::F,
) -> Partition<O::F> {
    let Read { reference, sum, .. } = read;
    let (one, unit) = (o.splat(1.0), o.splat(math::TERM_UNIT));
    if !F::TARGET {
        let others = o.sub(o.times_power(sum, unit), one);
        return Partition { max: reference, others, ..Partition::none(o) };
    }
    let logit = logit();
    // Not above 0: the reference is the target's logit or the maximum.
    let lead = o.sub(logit, reference);
    if o.all(o.eq(lead, o.splat(0.0))) {
        return of_target::<O, F, K>(o, rows, Read { reference: logit, ..read });
    }
    let rest = o.times_power(sum, unit);
    let behind = o.lt(lead, o.splat(0.0));
    let (z, all) = if F::CROSS {
        let z = math::row::exponential(o, lead);
        (z, o.mul_add(z, unit, o.sub(rest, one)))
    } else {
        // Above the limit, the target has less than 2^-67 of the row's probability: nothing. Only smoothed labels are relative to
        // the maximum below it.
        (o.select(behind, o.splat(0.0), o.splat(1.0 / math::TERM_UNIT)), o.sub(rest, one))
    };
    let others = o.select(behind, all, rest);
    // NaN if the target is.
    let others = o.select(o.eq(lead, lead), others, lead);
    Partition { max: reference, others, target: z, logit, ..weighted::<O, F, K>(o, rows, &read) }
}

/// The partition of rows that are read relative to their targets' logits.
#[inline(always)]
pub(crate) fn of_target<O: Ops, F: Form, const K: usize>(
    o: O,
    rows: &Rows<'_, K>,
    read: Read<O::F>,
) -> Partition<O::F> {
    let (others, whole) = (o.times_power(read.sum, o.splat(math::TERM_UNIT)), o.splat(1.0 / math::TERM_UNIT));
    let logit = read.reference;
    Partition { max: logit, others, target: whole, logit, ..weighted::<O, F, K>(o, rows, &read) }
}

/// The weighted sum of a partition, if there is one.
#[inline(always)]
fn weighted<O: Ops, F: Form, const K: usize>(o: O, rows: &Rows<'_, K>, read: &Read<O::F>) -> Partition<O::F> {
    if !F::CROSS {
        return Partition::none(o);
    }
    Partition { cross: read.spread, mass: o.splat(rows.smoothing.mass), ..Partition::none(o) }
}

/// The scale of a term, 0 for targets, whose exponential is finite.
#[inline(always)]
pub(crate) fn scale_but<O: Ops>(o: O, target: Option<O::M>, scale: O::F) -> O::F {
    // −0 changes no sum either. For +0 the mask would be inverted first.
    match target {
        Some(target) => o.select(target, o.splat(-0.0), scale),
        None => scale,
    }
}

/// A lane for each row.
pub(crate) struct ByLanes<'r, R> {
    rows: &'r mut R,
    /// Classes of the rows, and what they have for [`Others::spread`].
    classes: usize,
    cross: &'r Cross<'r>,
    start: usize,
    len: usize,
}

impl<'r, R> ByLanes<'r, R> {
    #[inline(always)]
    pub(crate) fn new(rows: &'r mut R, classes: usize, cross: &'r Cross<'r>) -> Self {
        Self { rows, classes, cross, start: 0, len: 0 }
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
        for class in 0..len {
            max = o.max(max, self.rows.load(class));
        }
        max
    }

    #[inline(always)]
    fn sum(&mut self, o: O, reference: O::F) -> Sum<O> {
        let (zero, len) = (o.splat(0.0), self.len);
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

    #[inline(always)]
    fn spread(&mut self, o: O, reference: O::F) -> O::F {
        spread(
            o,
            self.classes,
            self.cross,
            reference,
            #[inline(always)]
            |class| self.rows.load(class),
        )
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
        // With the target's, which is not above the reference.
        *joined = o.int_or(*joined, o.bits(t));
        let added = o.mul_add(p, math::scale(o, t), sum);
        match self.rows.is_target(class) {
            Some(target) => o.select(target, sum, added),
            None => added,
        }
    }
}
