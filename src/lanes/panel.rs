//! Some rows, packed so that each takes a lane and neighbouring classes are neighbours in the cache.

use super::{
    map::{Coefficients, RowMap},
    partition::{Partition, State, Sums, Term},
};
use crate::simd::{Block, Group, LANES, Simd};

/// Blocks of a panel: 16 KiB.
pub(crate) const BLOCKS: usize = 256;

/// Vectors that are taken at a time, at most.
pub(crate) const WIDTH: usize = 4;

/// The logits of some rows: `step` blocks for each class, one after the other.
pub(crate) struct Panel {
    pub(crate) blocks: [Block; BLOCKS],
    pub(crate) step: usize,
    /// Sums of the classes that are sixteen apart.
    sums: [Block; LANES * WIDTH],
}

impl Panel {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { blocks: [[0.0; LANES]; BLOCKS], step: 1, sums: [[0.0; LANES]; LANES * WIDTH] }
    }

    /// One class of the vectors of rows from `first` on.
    #[inline(always)]
    fn load<S: Simd, G: Group<S>>(&self, s: S, g: G, class: usize, first: usize) -> G::F {
        g.gather(
            #[inline(always)]
            |k| {
                let (block, group) = place::<S>(class, self.step, first + k);
                s.load(&self.blocks[block % BLOCKS], group)
            },
        )
    }

    #[inline(always)]
    pub(crate) fn store<S: Simd, G: Group<S>>(&mut self, s: S, g: G, class: usize, first: usize, x: G::F) {
        g.scatter(
            x,
            #[inline(always)]
            |k, x| {
                let (block, group) = place::<S>(class, self.step, first + k);
                s.store(x, &mut self.blocks[block % BLOCKS], group);
            },
        );
    }

    /// The sum of one virtual lane.
    #[inline(always)]
    fn sum<S: Simd, G: Group<S>>(&self, s: S, g: G, lane: usize) -> G::F {
        g.gather(
            #[inline(always)]
            |k| {
                let (block, group) = place::<S>(lane, WIDTH, k);
                s.load(&self.sums[block % (LANES * WIDTH)], group)
            },
        )
    }

    #[inline(always)]
    fn set_sum<S: Simd, G: Group<S>>(&mut self, s: S, g: G, lane: usize, x: G::F) {
        g.scatter(
            x,
            #[inline(always)]
            |k, x| {
                let (block, group) = place::<S>(lane, WIDTH, k);
                s.store(x, &mut self.sums[block % (LANES * WIDTH)], group);
            },
        );
    }

    /// The partition of a group of packed rows, of at most a tile of classes: the vectors from `first` on. With the
    /// logits of the classes in `labels`. For a map of exponentials, these take the place of
    /// the logits.
    #[inline(always)]
    pub(crate) fn partition<S: Simd, G: Group<S>, M: RowMap, const CROSS: bool>(
        &mut self,
        s: S,
        g: G,
        first: usize,
        classes: usize,
        labels: &[usize],
        mut cross: impl FnMut(usize, G::F) -> (G::F, G::F),
    ) -> Partition<G::F> {
        let (zero, one) = (g.splat(0.0), g.splat(1.0));
        let mut max = g.splat(f32::NEG_INFINITY);
        for class in 0..classes {
            max = g.max(max, self.load(s, g, class, first));
        }
        let mut state = State::new(g);
        let reference = state.enter::<G, CROSS>(g, 0, max);
        let label = as_floats(s, g, labels);
        let (mut number, mut logit) = (zero, zero);
        let mut below = g.int(0);
        let mut lanes = [(zero, zero); LANES];
        for class in 0..classes {
            let x = self.load(s, g, class, first);
            logit = g.select(g.eq(number, label), x, logit);
            number = g.add(number, one);
            let d = g.sub(x, reference);
            let term = Term::new(g, d);
            below = g.int_add(below, term.below);
            let sum = if class >= LANES { self.sum(s, g, class % LANES) } else { zero };
            self.set_sum(s, g, class % LANES, term.add_to(g, sum));
            if M::EXPONENTIALS {
                self.store(s, g, class, first, term.whole);
            }
            if CROSS {
                let (term, q) = cross(class, g.neg(d));
                let (cross, mass) = &mut lanes[class % LANES];
                (*cross, *mass) = (g.add(*cross, term), g.add(*mass, q));
            }
        }
        // The tree, over the lanes that are in use.
        let used = classes.min(LANES);
        for half in [8, 4, 2, 1] {
            for lane in 0..half.min(used.saturating_sub(half)) {
                let sum = g.add(self.sum(s, g, lane), self.sum(s, g, lane + half));
                self.set_sum(s, g, lane, sum);
                if CROSS {
                    let ((a, b), (c, d)) = (lanes[lane], lanes[lane + half]);
                    lanes[lane] = (g.add(a, c), g.add(b, d));
                }
            }
        }
        let (cross, mass) = lanes[0];
        let sums = Sums { sum: self.sum(s, g, 0), below, cross, mass };
        state.leave::<G, CROSS>(g, sums, sums.ties(g, classes));
        Partition { logit, ..state.finish(g) }
    }

    /// A map of one class of the vector of rows `number`, after [`Panel::partition`].
    #[inline(always)]
    pub(crate) fn mapped<S: Simd, M: RowMap>(
        &self,
        s: S,
        class: usize,
        number: usize,
        row: &Coefficients<S::F>,
        mut cross: impl FnMut(usize, S::F) -> (S::F, S::F),
    ) -> S::F {
        let x = self.load(s, s, class, number);
        let q = if M::CROSS { cross(class, x).1 } else { x };
        M::value(s, row, x, q)
    }
}

/// The block and the group in it that have one class of the vector `number`, where each class has `step` blocks.
#[inline(always)]
fn place<S: Simd>(class: usize, step: usize, number: usize) -> (usize, usize) {
    let lane = number * S::N;
    (class.wrapping_mul(step).wrapping_add(lane / LANES), lane % LANES / S::N)
}

/// Labels of few classes as floats, which are exact; one that is ignored is like no class.
#[expect(clippy::cast_precision_loss, reason = "a panel has few classes")]
#[inline(always)]
fn as_floats<S: Simd, G: Group<S>>(s: S, g: G, labels: &[usize]) -> G::F {
    let nothing = s.to_lanes(s.splat(-1.0));
    g.gather(
        #[inline(always)]
        |k| {
            let mut lanes = nothing;
            for (lane, &label) in lanes.as_mut().iter_mut().zip(labels.get(k * S::N..).unwrap_or(&[])) {
                *lane = label as f32;
            }
            s.from_lanes(lanes)
        },
    )
}
