//! Some rows, packed so that each takes a lane and neighbouring classes are neighbours in the cache.

use core::marker::PhantomData;

use super::{
    direct::coefficient_of,
    gradient::{TargetLanes, as_floats},
    grid::Run,
    map::{Coefficients, RowMap},
    math,
    others::{self, ByLanes},
    partition::{Each, Form, NoTerms, Partition, Rows, Same, Source, State, Terms, small_count, tile},
};
use crate::simd::{Block, Group, LANES, Ops, Simd};

/// Blocks of a panel: 16 KiB.
pub(crate) const BLOCKS: usize = 256;

/// Vectors that are taken at a time, at most.
pub(crate) const WIDTH: usize = 4;

/// The logits of some rows: `step` blocks for each class, one after the other. Each block is a line of the cache.
#[repr(C, align(64))]
pub(crate) struct Panel {
    pub(crate) blocks: [Block; BLOCKS],
    pub(crate) step: usize,
}

impl Panel {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { blocks: [[0.0; LANES]; BLOCKS], step: 1 }
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

    /// The partition of a group of packed rows, of at most a tile of classes: of the vectors from `first` on, each with
    /// `count` of the rows from `i` on. With the logits of the classes in `labels`. For a map of exponentials, these take the
    /// place of the logits where four vectors fit in the panel.
    #[expect(clippy::too_many_arguments, reason = "which rows, and where they are packed")]
    #[inline(always)]
    pub(crate) fn partition<S: Simd, G: Group<S>, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        g: G,
        first: usize,
        rows: &Rows<'_, K>,
        run: &Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<G::F> {
        let label = as_floats(s, g, labels, 0);
        let nothing = g.splat(f32::NEG_INFINITY);
        let form = PhantomData::<F>;
        let keeps = M::EXPONENTIALS && rows.classes <= BLOCKS / WIDTH;
        let mut source = Packed::<S, G, F> { panel: self, s, g, first, label, logit: nothing, keeps, form };
        if F::ONCE {
            if rows.classes == 2 {
                return source.pair();
            }
            let sum = others::short_sum(g, rows.classes, &mut ByLanes::<_, true>::new(&mut source));
            return others::finish::<G, F>(
                g,
                sum,
                #[inline(always)]
                || source.logit,
            );
        }
        let partition = match rows.cross.same() {
            _ if !F::CROSS => packed_partition(g, rows.classes, &mut source, NoTerms),
            Some(q) => packed_partition(g, rows.classes, &mut source, Same(q)),
            None => {
                let coefficient = coefficient_of::<S, G, K>(s, g, rows, run, i, count);
                packed_partition(g, rows.classes, &mut source, Each { coefficient, same: None })
            }
        };
        Partition { logit: source.logit, ..partition }
    }

    /// A map of one class of the vector of rows `number`, after [`Panel::partition`].
    #[inline(always)]
    pub(crate) fn mapped<S: Simd, M: RowMap>(
        &self,
        s: S,
        class: usize,
        number: usize,
        row: &Coefficients<S::F>,
        mut coefficient: impl FnMut(usize, S::F) -> (S::F, S::F),
        targets: Option<&TargetLanes<S>>,
    ) -> S::F {
        let x = self.load(s, s, class, number);
        let q = if M::CROSS { coefficient(class, x).0 } else { x };
        let y = M::value(s, row, x, q);
        match targets {
            Some(targets) => targets.set(s, class, y),
            None => y,
        }
    }
}

/// The partition of rows of a single tile.
#[inline(always)]
fn packed_partition<O: Ops, const T: usize>(
    o: O,
    classes: usize,
    rows: &mut impl Source<O>,
    mut terms: impl Terms<O, T>,
) -> Partition<O::F> {
    let mut state = State::new(o);
    tile(o, &mut state, 0, classes, rows, &mut terms);
    state.finish(o, classes, &terms)
}

/// The vectors of rows from `first` on, and the logits of the classes `label`.
struct Packed<'p, S, G: Ops, F> {
    panel: &'p mut Panel,
    s: S,
    g: G,
    first: usize,
    label: G::F,
    logit: G::F,
    /// Whether the exponentials take the place of the logits.
    keeps: bool,
    form: PhantomData<F>,
}

impl<S: Simd, G: Group<S>, F: Form> Source<G> for Packed<'_, S, G, F> {
    #[inline(always)]
    fn load(&mut self, class: usize) -> G::F {
        self.panel.load(self.s, self.g, class, self.first)
    }

    #[inline(always)]
    fn see(&mut self, class: usize, x: G::F) {
        let g = self.g;
        self.logit = g.select(g.eq(g.splat(small_count(class)), self.label), x, self.logit);
    }

    #[inline(always)]
    fn is_target(&mut self, class: usize) -> Option<G::M> {
        if F::TARGET { Some(self.g.eq(self.g.splat(small_count(class)), self.label)) } else { None }
    }

    #[inline(always)]
    fn keep(&mut self, class: usize, e: G::F) {
        if self.keeps {
            self.panel.store(self.s, self.g, class, self.first, e);
        }
    }
}

impl<S: Simd, G: Group<S>, F: Form> Packed<'_, S, G, F> {
    /// The partition of two classes without their target. Of the only other one's exponential and the target's, relative to the maximum, one
    /// is 1, so that one exponential serves both.
    #[inline(always)]
    fn pair(mut self) -> Partition<G::F> {
        let g = self.g;
        let (unit, whole) = (g.splat(math::TERM_UNIT), g.splat(1.0 / math::TERM_UNIT));
        let logits = [self.load(0), self.load(1)];
        let max = g.max(logits[0], logits[1]);
        // One of the distances is 0, or both are NaN.
        let e = math::exponential(g, g.add(g.sub(logits[0], max), g.sub(logits[1], max)));
        let mut target = e;
        for (class, x) in logits.into_iter().enumerate() {
            let term = g.select(g.eq(x, max), whole, e);
            self.see(class, x);
            self.keep(class, term);
            if let Some(here) = self.is_target(class) {
                target = g.select(here, term, target);
            }
        }
        let partition = Partition { max, others: g.mul(e, unit), ..Partition::none(g) };
        Partition { logit: self.logit, target, ..partition }.of_leader(g)
    }
}

/// The block and the group in it that have one class of the vector `number`, where each class has `step` blocks.
#[inline(always)]
fn place<S: Simd>(class: usize, step: usize, number: usize) -> (usize, usize) {
    let lane = number * S::N;
    (class.wrapping_mul(step).wrapping_add(lane / LANES), lane % LANES / S::N)
}
