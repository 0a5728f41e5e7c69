//! Some rows, packed so that each takes a lane and neighbouring classes are neighbours in the cache.

use super::partition::{Partition, State, Sums, Term};
use crate::simd::{Block, Group, LANES, Simd};

/// The logits of some rows: `step` blocks for each class, one after the other.
pub(crate) struct Panel<const BLOCKS: usize> {
    pub(crate) blocks: [Block; BLOCKS],
    pub(crate) step: usize,
}

impl<const BLOCKS: usize> Panel<BLOCKS> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { blocks: [[0.0; LANES]; BLOCKS], step: 1 }
    }

    /// The block and the group in it that have one class of the vector of rows `number`.
    #[inline(always)]
    fn place<S: Simd>(&self, class: usize, number: usize) -> (usize, usize) {
        let lane = number * S::N;
        (class.wrapping_mul(self.step).wrapping_add(lane / LANES), lane % LANES / S::N)
    }

    #[inline(always)]
    fn load<S: Simd, G: Group<S>>(&self, s: S, g: G, class: usize, first: usize) -> G::F {
        g.gather(
            #[inline(always)]
            |k| {
                let (block, group) = self.place::<S>(class, first + k);
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
                let (block, group) = self.place::<S>(class, first + k);
                s.store(x, &mut self.blocks[block % BLOCKS], group);
            },
        );
    }

    /// The partition of a group of packed rows, of at most a tile of classes: the vectors from `first` on. With the
    /// logits of the classes in `labels`. The logits of the first sixteen classes are lost.
    #[inline(always)]
    pub(crate) fn partition<S: Simd, G: Group<S>, const CROSS: bool>(
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
            // The first sixteen classes make place for the sums of classes that are sixteen apart.
            let sum = if class >= LANES { self.load(s, g, class % LANES, first) } else { zero };
            self.store(s, g, class % LANES, first, term.add_to(g, sum));
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
                let sum = g.add(self.load(s, g, lane, first), self.load(s, g, lane + half, first));
                self.store(s, g, lane, first, sum);
                if CROSS {
                    let ((a, b), (c, d)) = (lanes[lane], lanes[lane + half]);
                    lanes[lane] = (g.add(a, c), g.add(b, d));
                }
            }
        }
        let (cross, mass) = lanes[0];
        let sums = Sums { sum: self.load(s, g, 0, first), below, cross, mass };
        state.leave::<G, CROSS>(g, sums, sums.ties(g, classes));
        Partition { logit, ..state.finish(g) }
    }
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
