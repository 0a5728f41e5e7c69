//! The exponentials of a row without its target's, for the loss of that target.
//!
//! With the target `t`, any reference `r` and `S = Σ_{c≠t} exp(x_c - r)`, the sum over the *others*, the loss is
//! `lse - x_t = ln(exp(x_t - r) + S) + r - x_t`. Let `z = exp(-|x_t - r|)`:
//!
//! - where the target leads, `x_t >= r`, that is `ln_1p(S z)`, which has all its digits, however small it is;
//! - elsewhere it is `(r - x_t) + ln(S + z)`, and since `r` is one of the others' logits, or near one, nothing cancels.
//!
//! So the reference need not be the maximum. It is the largest of the first [`HEAD`] others, and the row is read once from memory;
//! only a tile whose sum gets out of hand is taken again, relative to the largest of its own. The target itself, which in
//! a confident prediction is far above the rest, never is the reason.

use super::{
    integer, math,
    partition::{Partition, Source, TILE, finite, join_lanes},
};
use crate::simd::{LANES, Ops};

/// So many classes give the first reference. Of no more, it is the maximum.
pub(crate) const HEAD: usize = 128;

/// A tile's sum from here on, in units of [`math::TERM_UNIT`], asks for another reference: the largest logit is about 28
/// above it, and 2^25 such tiles are still finite.
const LIMIT: f32 = f32::from_bits((127 + 100) << 23);

/// A group of rows, a tile after the other.
pub(crate) trait Others<O: Ops> {
    /// Goes on to the tile of `len` classes from `start` on.
    fn enter(&mut self, o: O, start: usize, len: usize);
    /// The largest of the tile's first `len` classes, the target with them; a NaN may be lost.
    fn max(&mut self, o: O, len: usize) -> O::F;
    /// The sum of the tile's exponentials without the target's.
    fn sum(&mut self, o: O, reference: O::F) -> Sum<O>;
}

/// The sum of some exponentials in units of [`math::TERM_UNIT`].
pub(crate) struct Sum<O: Ops> {
    pub(crate) sum: O::F,
    /// See [`math::in_range`].
    pub(crate) joined: O::I,
}

impl<O: Ops> Sum<O> {
    /// Where it is what it should be.
    #[inline(always)]
    fn valid(&self, o: O) -> O::M {
        let nothing = o.splat(f32::INFINITY);
        let sum = o.select(math::in_range(o, self.joined), self.sum, nothing);
        o.lt(sum, o.splat(LIMIT))
    }
}

/// The reference, and the sum relative to it in units of [`math::TERM_UNIT`]: −∞ and 0 if there are no others, or only −∞.
#[inline(always)]
pub(crate) fn sum<O: Ops>(o: O, classes: usize, rows: &mut impl Others<O>) -> (O::F, O::F) {
    let nothing = o.splat(f32::NEG_INFINITY);
    let (mut reference, mut sum) = (nothing, o.splat(0.0));
    for start in (0..classes).step_by(TILE) {
        let len = TILE.min(classes - start);
        rows.enter(o, start, len);
        for first in [HEAD, len] {
            if o.any(o.eq(reference, nothing)) && (first == HEAD || len > HEAD) {
                reference = o.select(o.eq(reference, nothing), rows.max(o, first.min(len)), reference);
            }
        }
        let mut tile = rows.sum(o, finite(o, reference));
        // Relative to their maximum, exponentials are 1 at most, or NaN.
        if classes > HEAD {
            let valid = tile.valid(o);
            if !o.all(valid) {
                let raised = o.select(valid, reference, rows.max(o, len));
                sum = o.select(valid, sum, o.mul(sum, math::exp(o, o.sub(reference, raised))));
                reference = raised;
                tile = rows.sum(o, finite(o, reference));
            }
        }
        sum = o.add(sum, tile.sum);
    }
    (reference, sum)
}

/// The partition from [`sum`].
#[inline(always)]
pub(crate) fn finish<O: Ops>(o: O, reference: O::F, sum: O::F, logit: O::F) -> Partition<O::F> {
    let (zero, one, unit) = (o.splat(0.0), o.splat(1.0), o.splat(math::TERM_UNIT));
    let lead = o.sub(logit, reference);
    let behind = o.lt(lead, zero);
    let z = math::exponential(o, o.neg(o.abs(lead)));
    // With the target in front, relative to its logit.
    let scale = o.select(behind, one, o.mul(z, unit));
    let rest = o.mul(o.mul(sum, o.select(behind, one, o.mul(z, unit))), unit);
    let others = o.select(behind, o.mul_add(z, unit, o.sub(rest, one)), rest);
    Partition {
        max: o.select(behind, reference, logit),
        others,
        reference: finite(o, reference),
        scale,
        cross: zero,
        mass: zero,
        logit,
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
        if O::INTEGER {
            let mut top = integer::Max::new();
            for class in self.start..self.start.wrapping_add(len) {
                o.map_bits(
                    self.rows.load(class),
                    #[inline(always)]
                    |x| {
                        top.add(x);
                        x
                    },
                );
            }
            return o.map_bits(
                max,
                #[inline(always)]
                |_| top.value(),
            );
        }
        for class in self.start..self.start.wrapping_add(len) {
            max = o.max(max, self.rows.load(class));
        }
        max
    }

    #[inline(always)]
    fn sum(&mut self, o: O, reference: O::F) -> Sum<O> {
        let zero = o.splat(0.0);
        if O::INTEGER {
            // Integers need no lanes.
            let mut whole = integer::ExpSum::new();
            for class in self.start..self.start.wrapping_add(self.len) {
                let x = self.rows.load(class);
                o.map_bits(
                    o.sub(self.rows.without_target(class, x), reference),
                    #[inline(always)]
                    |d| {
                        whole.add(d);
                        d
                    },
                );
            }
            let sum = o.map_bits(
                zero,
                #[inline(always)]
                |_| whole.value(),
            );
            return Sum { sum, joined: o.int(0) };
        }
        let (mut sums, mut joined) = ([zero; LANES], o.int(0));
        for at in 0..self.len {
            let class = self.start.wrapping_add(at);
            let x = self.rows.load(class);
            self.rows.see(class, x);
            let (p, t) = math::exp_term(o, o.sub(self.rows.without_target(class, x), reference));
            let scale = math::scale(o, t);
            self.rows.keep(class, o.mul(p, scale));
            joined = o.int_or(joined, o.bits(t));
            // Tiles are whole groups of lanes.
            let sum = &mut sums[at % LANES];
            *sum = o.mul_add(p, scale, *sum);
        }
        let sum = join_lanes::<O, _>(
            self.len,
            &mut sums,
            #[inline(always)]
            |a, b| o.add(a, b),
        );
        Sum { sum, joined }
    }
}
