//! Some rows, packed so that each takes a lane and neighbouring classes are neighbours in the cache.

use super::partition::{Partition, State, Sums, small_count};
use crate::simd::{Block, LANES, Simd};

/// Memory for the classes of some rows.
pub(crate) struct Panel<const BLOCKS: usize> {
    /// One class of sixteen rows each.
    pub(crate) logits: [Block; BLOCKS],
    /// The sums of classes that are sixteen apart.
    sums: Lanes,
    cross: Lanes,
    mass: Lanes,
}

/// A block for each virtual lane.
type Lanes = [Block; LANES];

/// Where in a panel `N` rows are: class `c` is group `group` of block `first + c * step`.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) first: usize,
    pub(crate) step: usize,
    pub(crate) group: usize,
}

impl<const BLOCKS: usize> Panel<BLOCKS> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        let lanes = [[0.0; LANES]; LANES];
        Self { logits: [[0.0; LANES]; BLOCKS], sums: lanes, cross: lanes, mass: lanes }
    }

    /// The partition of `N` packed rows of at most a tile of classes, with the logits of the classes in `labels`.
    #[inline(always)]
    pub(crate) fn partition<S: Simd, const CROSS: bool>(
        &mut self,
        s: S,
        place: Place,
        classes: usize,
        labels: &[usize],
        mut cross: impl FnMut(usize, S::F) -> (S::F, S::F),
    ) -> Partition<S::F> {
        let Place { first, step, group } = place;
        let blocks = self.logits.get(first..).unwrap_or(&[]).iter().step_by(step).take(classes);
        let mut max = s.splat(f32::NEG_INFINITY);
        for block in blocks.clone() {
            max = s.max(max, s.load(block, group));
        }
        let mut state = State::new(s);
        let reference = state.enter::<S, CROSS>(s, 0, max);
        let (label, one) = (as_floats(s, labels), s.splat(1.0));
        let (mut number, mut logit, mut below) = (s.splat(0.0), s.splat(0.0), s.splat(0.0));
        for (class, block) in blocks.enumerate() {
            let x = s.load(block, group);
            logit = s.select(s.eq(number, label), x, logit);
            number = s.add(number, one);
            let mut sums = Sums { below, ..Sums::zero(s) };
            sums.take(s, x, reference);
            below = sums.below;
            let lane = class % LANES;
            accumulate(s, &mut self.sums[lane], class, sums.sum);
            if CROSS {
                let (term, q) = cross(class, s.sub(reference, x));
                accumulate(s, &mut self.cross[lane], class, term);
                accumulate(s, &mut self.mass[lane], class, q);
            }
        }
        let used = classes.min(LANES);
        let mut sums = Sums { sum: fold(s, &mut self.sums, used), below, ..Sums::zero(s) };
        if CROSS {
            sums.cross = fold(s, &mut self.cross, used);
            sums.mass = fold(s, &mut self.mass, used);
        }
        state.leave::<S, CROSS>(s, sums, s.splat(small_count(classes)));
        Partition { logit, ..state.finish(s) }
    }
}

/// Labels of few classes as floats, which are exact; one that is ignored is like no class.
#[expect(clippy::cast_precision_loss, reason = "a panel has few classes")]
#[inline(always)]
fn as_floats<S: Simd>(s: S, labels: &[usize]) -> S::F {
    let mut lanes = s.to_lanes(s.splat(-1.0));
    for (lane, &label) in lanes.as_mut().iter_mut().zip(labels) {
        *lane = label as f32;
    }
    s.from_lanes(lanes)
}

/// Adds `x` to what its lane has; the first sixteen classes find nothing there.
#[inline(always)]
fn accumulate<S: Simd>(s: S, lane: &mut Block, class: usize, x: S::F) {
    let x = if class < LANES { x } else { s.add(s.load(lane, 0), x) };
    s.store(x, lane, 0);
}

/// The tree over the first `used` lanes.
#[inline(always)]
fn fold<S: Simd>(s: S, lanes: &mut Lanes, used: usize) -> S::F {
    for half in [8, 4, 2, 1] {
        let (low, high) = lanes.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high).take(used.saturating_sub(half)) {
            s.store(s.add(s.load(low, 0), s.load(high, 0)), low, 0);
        }
    }
    s.load(&lanes[0], 0)
}
