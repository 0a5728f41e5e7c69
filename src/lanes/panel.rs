//! Some rows, packed so that each takes a lane and neighbouring classes are neighbours in the cache.

use core::{marker::PhantomData, ops::Range};

use super::{
    cross::{Each, NoTerms, Same, Terms, add_sums, add_weighted},
    gradient::as_floats,
    grid::Gather,
    layout::Rows,
    map::RowMap,
    math,
    others::{self, ABSENT, Others, Read, Sum, scale_but},
    partition::{
        BLOCK, Form, NOTHING, Partition, Source, State, always, join_lanes, lane_sums, pair, small_count, tile,
    },
    sum::tree,
};
use crate::simd::{Group, LANES, Ops, Scratch, Simd};

/// Blocks of a panel: 16 KiB.
pub(crate) const BLOCKS: usize = 256;

/// Vectors that are taken at a time, at most.
pub(crate) const WIDTH: usize = 4;

const _: () = assert!(BLOCKS / WIDTH <= BLOCK, "rows that are taken four vectors at a time are a single block");

/// Rows that are neighbours in memory: `stride` from class to class.
#[derive(Clone, Copy)]
pub(crate) struct Planes<'x> {
    pub(crate) x: &'x [f32],
    /// Where the first class of the first row is.
    pub(crate) at: usize,
    pub(crate) stride: isize,
}

impl<'x> Planes<'x> {
    /// One class of as many rows as there are in a group of vectors.
    #[inline(always)]
    fn class<S: Simd, G: Group<S>>(&self, class: usize) -> &'x [f32] {
        let at = self.at.wrapping_add_signed(self.stride.wrapping_mul(class.cast_signed()));
        self.x.get(at..at.wrapping_add(G::VECTORS * S::N)).unwrap_or(&[])
    }

    /// One class of a group of vectors.
    #[inline(always)]
    pub(crate) fn load<S: Simd, G: Group<S>>(&self, s: S, g: G, class: usize) -> G::F {
        let x = self.class::<S, G>(class);
        g.gather(
            #[inline(always)]
            |k| s.load_part(x.get(k * S::N..).unwrap_or(&[]), 0.0),
        )
    }

    /// Has the same class of the rows that come next on its way: a few lines with each class, since the CPU can wait for only
    /// so many.
    #[inline(always)]
    pub(crate) fn prefetch<S: Simd, G: Group<S>>(&self, s: S, _: G, class: usize) {
        let count = G::VECTORS * S::N;
        for line in self.class::<S, G>(class).chunks(LANES).take(count.div_ceil(LANES)) {
            s.prefetch(line, count);
        }
    }
}

/// The logits of some rows, or their targets: `step` blocks for each class, one after the other.
pub(crate) struct Panel<'p> {
    numbers: &'p mut [f32],
    step: usize,
    /// Where the rows have still to be packed from.
    planes: Option<Planes<'p>>,
}

impl<'p> Panel<'p> {
    /// In this memory, whose numbers it keeps. There are places for so many classes.
    #[inline(always)]
    pub(crate) fn new<const B: usize>(memory: &'p mut Scratch<B>, classes: usize, step: usize) -> Self {
        memory.make_room(classes.saturating_mul(step));
        Self { numbers: memory.as_mut_slice(), step, planes: None }
    }

    /// For rows that are not packed yet, if there are `planes`: [`Panel::partition`] does it on its way.
    #[inline(always)]
    pub(crate) fn to_be_packed(self, planes: Option<Planes<'p>>) -> Self {
        Self { planes, ..self }
    }

    /// The rows of each class.
    #[inline(always)]
    pub(crate) fn each_class(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.numbers.chunks_mut(self.step.max(1).saturating_mul(LANES))
    }

    /// All classes of the rows from `row` on, and the distance of neighbouring ones.
    #[inline(always)]
    pub(crate) fn from_row(&mut self, row: usize) -> (&mut [f32], usize) {
        (self.numbers.get_mut(row..).unwrap_or(&mut []), self.step * LANES)
    }

    /// Where so many rows from `row` on are.
    #[inline(always)]
    fn place(&self, class: usize, row: usize, count: usize) -> Range<usize> {
        let start = class.wrapping_mul(self.step).wrapping_mul(LANES).wrapping_add(row);
        start..start.wrapping_add(count)
    }

    /// One class of one row.
    #[inline(always)]
    pub(crate) fn set(&mut self, class: usize, row: usize, x: f32) {
        let place = self.place(class, row, 1);
        if let Some([place]) = self.numbers.get_mut(place) {
            *place = x;
        }
    }

    /// One class of the vectors of rows from `first` on.
    #[inline(always)]
    pub(crate) fn load<S: Simd, G: Group<S>>(&self, s: S, g: G, class: usize, first: usize) -> G::F {
        let place = self.place(class, first * S::N, G::VECTORS * S::N);
        match self.numbers.get(place) {
            Some(x) => g.gather(
                #[inline(always)]
                |k| s.load_part(x.get(k * S::N..).unwrap_or(&[]), 0.0),
            ),
            None => g.splat(0.0),
        }
    }

    /// Stores the first two classes of the vector of rows `number`: with one check for both.
    #[inline(always)]
    pub(crate) fn store_pair<S: Simd>(&mut self, s: S, number: usize, x: [S::F; 2]) {
        let step = self.step * LANES;
        let place = self.place(0, 0, 2 * step);
        if let Some(to) = self.numbers.get_mut(place) {
            for (k, x) in x.into_iter().enumerate() {
                let place = k * step + number * S::N;
                if let Some(to) = to.get_mut(place..place + S::N) {
                    s.store_part(x, to);
                }
            }
        }
    }

    #[inline(always)]
    pub(crate) fn store<S: Simd, G: Group<S>>(&mut self, s: S, g: G, class: usize, first: usize, x: G::F) {
        let place = self.place(class, first * S::N, G::VECTORS * S::N);
        if let Some(to) = self.numbers.get_mut(place) {
            g.scatter(
                x,
                #[inline(always)]
                |k, x| s.store_part(x, to.get_mut(k * S::N..).unwrap_or(&mut [])),
            );
        }
    }

    /// The partition of a group of packed rows, of at most a tile of classes: of the vectors from `first` on. With a function as
    /// [`coefficient_of`](super::direct::coefficient_of), and with the logits of the classes in `labels`. For a map of
    /// exponentials, these take the place of the logits where four vectors fit in the panel. Once for each vector: a target may
    /// have left the panel then.
    #[inline(always)]
    pub(crate) fn partition<S: Simd, G: Group<S>, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        g: G,
        first: usize,
        origin: Origin<'_, K>,
        coefficient: impl FnMut(usize, G::F) -> (G::F, G::F),
        labels: &[usize],
    ) -> Partition<G::F> {
        let label = as_floats(s, g, labels, 0);
        let logit = g.splat(ABSENT);
        let form = PhantomData::<F>;
        let rows = origin.rows;
        let keeps = M::EXPONENTIALS && rows.classes <= BLOCKS / WIDTH;
        let spread = g.splat(0.0);
        let mut source =
            Packed::<'_, '_, '_, S, G, F, K> { panel: self, s, g, first, origin, label, logit, spread, keeps, form };
        if F::ONCE {
            // Nothing but the exponentials is needed in the panel then.
            if rows.classes == 2 {
                if !F::TARGET {
                    return source.pair();
                }
                if let Some(partition) = source.pair_of_target() {
                    return partition;
                }
            }
            if F::TARGET {
                source.find(g);
            }
            let first = rows.reference::<F, _>(source.logit);
            let read = others::read_short::<G, F>(g, rows.classes, first, &mut source);
            return others::finish::<G, F, K>(
                g,
                rows,
                read,
                #[inline(always)]
                || source.logit,
            );
        }
        if !F::CROSS {
            packed_partition::<G, 0>(g, rows.classes, &mut source, NoTerms)
        } else if rows.classes == 2 {
            pair::<G, 2>(g, &mut source, Each(coefficient))
        } else {
            packed_partition::<G, 2>(g, rows.classes, &mut source, Each(coefficient))
        }
    }
}

/// The partition of rows of a single tile.
#[inline(always)]
fn packed_partition<O: Ops, const T: usize>(
    o: O,
    classes: usize,
    rows: &mut impl Source<O>,
    mut terms: impl Terms<O>,
) -> Partition<O::F> {
    let mut state = State::new(o);
    tile::<O, T>(o, &mut state, 0, classes, rows, &mut terms);
    state.finish(o)
}

/// Where the rows of a panel are in memory: `x`, from row `i` on, of which each vector has `count`.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a, const K: usize> {
    pub(crate) rows: &'a Rows<'a, K>,
    pub(crate) x: &'a [f32],
    pub(crate) i: usize,
    pub(crate) count: usize,
}

/// The vectors of rows from `first` on, and the logits of the classes `label`.
struct Packed<'m, 'p, 'o, S, G: Ops, F, const K: usize> {
    panel: &'p mut Panel<'m>,
    s: S,
    g: G,
    first: usize,
    origin: Origin<'o, K>,
    label: G::F,
    logit: G::F,
    /// See [`Others::spread`].
    spread: G::F,
    /// Whether the exponentials take the place of the logits.
    keeps: bool,
    form: PhantomData<F>,
}

impl<S: Simd, G: Group<S>, F: Form, const K: usize> Source<G> for Packed<'_, '_, '_, S, G, F, K> {
    #[inline(always)]
    fn load(&mut self, class: usize) -> G::F {
        self.panel.load(self.s, self.g, class, self.first)
    }

    /// Packs the rows, where that is still to be done.
    #[inline(always)]
    fn load_first(&mut self, class: usize) -> G::F {
        let x = self.read(class);
        if self.panel.planes.is_some() {
            self.panel.store(self.s, self.g, class, self.first, x);
        }
        x
    }

    #[inline(always)]
    fn prefetch(&self, class: usize) {
        if let Some(planes) = self.panel.planes {
            planes.prefetch(self.s, self.g, class);
        }
    }

    #[inline(always)]
    fn keep(&mut self, class: usize, e: G::F) {
        if self.keeps {
            self.panel.store(self.s, self.g, class, self.first, e);
        }
    }
}

impl<S: Simd, G: Group<S>, F: Form, const K: usize> Others<G> for Packed<'_, '_, '_, S, G, F, K> {
    #[inline(always)]
    fn enter(&mut self, _: G, _: usize, _: usize) {}

    #[inline(always)]
    fn max(&mut self, g: G, len: usize) -> G::F {
        if F::TARGET {
            // Which is in the panel again.
            return self.find(g);
        }
        let mut max = g.splat(f32::NEG_INFINITY);
        for class in 0..len {
            max = g.max(max, self.load_first(class));
        }
        max
    }

    #[inline(always)]
    fn restore(&mut self, _: G) {
        let Origin { rows, x, i, count } = self.origin;
        let count = if G::VECTORS > 1 { G::VECTORS * S::N } else { count };
        let mut run = rows.grid.start();
        for class in 0..rows.classes {
            let shift = rows.stride.wrapping_mul(class.cast_signed());
            let place = self.panel.place(class, self.first * S::N, count);
            let out = self.panel.numbers.get_mut(place).unwrap_or(&mut []);
            self.s.vectorize_apart(&mut Gather { grid: &rows.grid, run: &mut run, k: 0, data: x, i, shift, out });
        }
    }

    #[inline(always)]
    fn sum(&mut self, g: G, reference: G::F) -> Sum<G> {
        let cross = self.origin.rows.cross;
        if F::WEIGHTS {
            let weighted = always(
                #[inline(always)]
                |class, d| cross.of_class(g, class, None, d),
            );
            self.sum_with::<1>(g, reference, Each(weighted))
        } else if F::CROSS {
            self.sum_with::<1>(g, reference, Same(cross.floor))
        } else {
            self.sum_with::<0>(g, reference, NoTerms)
        }
    }

    #[inline(always)]
    fn spread(&mut self, _: G, _: G::F) -> G::F {
        self.spread
    }
}

impl<S: Simd, G: Group<S>, F: Form, const K: usize> Packed<'_, '_, '_, S, G, F, K> {
    /// One class, from where it is before the rows are packed.
    #[inline(always)]
    fn read(&self, class: usize) -> G::F {
        match self.panel.planes {
            Some(planes) => planes.load(self.s, self.g, class),
            None => self.panel.load(self.s, self.g, class, self.first),
        }
    }

    /// [`Others::sum`], and that of the terms: see [`spread`](super::cross::spread) of a single tile.
    #[inline(always)]
    fn sum_with<const T: usize>(&mut self, g: G, reference: G::F, mut terms: impl Terms<G>) -> Sum<G> {
        let (zero, nothing) = ((g.splat(0.0), [g.splat(0.0); T]), (g.splat(NOTHING), [g.splat(NOTHING); T]));
        let classes = self.origin.rows.classes;
        let mut joined = g.int(0);
        let mut join = always(
            #[inline(always)]
            |a: (G::F, [G::F; T]), b: (G::F, [G::F; T])| (g.add(a.0, b.0), add_sums(g, a.1, b.1)),
        );
        let (sum, weighted) = if G::VECTORS == 1 {
            // A lane after the other, none of which goes through memory then: there is a register for each value of the tree.
            tree(
                classes.min(LANES),
                zero,
                #[inline(always)]
                |lane| {
                    let (mut sum, mut weighted) = zero;
                    let mut class = lane;
                    while class < classes {
                        let end = if T > 0 { classes.min(class + BLOCK) } else { classes };
                        let mut block = nothing.1;
                        while class < end {
                            (sum, block) = self.add(class, reference, &mut terms, (sum, block), &mut joined);
                            class += LANES;
                        }
                        weighted = add_sums(g, weighted, block);
                    }
                    (sum, weighted)
                },
                #[inline(always)]
                |&a, b| *b = join(a, *b),
            )
        } else {
            let mut sums = lane_sums::<G, _>(nothing);
            for class in 0..classes {
                self.prefetch(class);
                let sum = sums.get(class).unwrap_or(nothing);
                sums.set(class, self.add(class, reference, &mut terms, sum, &mut joined));
            }
            join_lanes(sums.as_mut_slice(), zero, join)
        };
        if let Some(&spread) = weighted.first() {
            self.spread = spread;
        }
        Sum { sum, joined }
    }

    /// Finds the target's logit and takes it out of the panel, so that what is done for each class in [`Others::sum`] needs no masks, and has
    /// registers enough for four chains at once; but not where there are terms, to which it belongs. Returns the maximum, with the target.
    #[inline(always)]
    fn find(&mut self, g: G) -> G::F {
        let nothing = g.splat(f32::NEG_INFINITY);
        let (mut max, mut label) = (nothing, self.s.splat(0.0));
        for class in 0..self.origin.rows.classes {
            let x = if F::CROSS { self.load_first(class) } else { self.read(class) };
            max = g.max(max, x);
            let here = g.eq(
                g.gather(
                    #[inline(always)]
                    |_| label,
                ),
                self.label,
            );
            self.logit = g.select(here, x, self.logit);
            if !F::CROSS {
                self.panel.store(self.s, g, class, self.first, g.select(here, nothing, x));
            }
            label = self.s.add(label, self.s.splat(1.0));
        }
        max
    }

    /// Adds a class to the sums of its lane.
    #[inline(always)]
    fn add<const T: usize>(
        &mut self,
        class: usize,
        reference: G::F,
        terms: &mut impl Terms<G>,
        (sum, weighted): (G::F, [G::F; T]),
        joined: &mut G::I,
    ) -> (G::F, [G::F; T]) {
        let g = self.g;
        let d = g.sub(self.load(class), reference);
        let weighted = add_weighted(g, terms.term(g, class, d), weighted);
        let (p, t) = math::exp_term(g, d);
        if F::TARGET {
            *joined = g.int_or(*joined, g.bits(t));
        }
        let scale = math::scale(g, t);
        self.keep(class, g.mul(p, scale));
        let target = if F::CROSS { Some(g.eq(g.splat(small_count(class)), self.label)) } else { None };
        (g.mul_add(p, scale_but(g, target, scale), sum), weighted)
    }

    /// The partition of two classes. Of their exponentials, relative to the maximum, one is 1, so that one exponential serves both.
    #[inline(always)]
    fn pair(&mut self) -> Partition<G::F> {
        let g = self.g;
        let (unit, whole) = (g.splat(math::TERM_UNIT), g.splat(1.0 / math::TERM_UNIT));
        let logits = [self.read(0), self.read(1)];
        let max = g.max(logits[0], logits[1]);
        // One of the distances is 0, or both are NaN.
        let e = math::exponential(g, g.add(g.sub(logits[0], max), g.sub(logits[1], max)));
        for (class, x) in logits.into_iter().enumerate() {
            self.keep(class, g.select(g.eq(x, max), whole, e));
        }
        Partition { max, others: g.mul(e, unit), ..Partition::none(g) }
    }

    /// The partition of two classes without their target, of the only other one's exponential; none where the target's logit is no
    /// reference.
    #[inline(always)]
    fn pair_of_target(&mut self) -> Option<Partition<G::F>> {
        let (g, rows) = (self.g, self.origin.rows);
        let logits = [self.read(0), self.read(1)];
        let second = g.lt(g.splat(0.0), self.label);
        let [logit, other] = [g.select(second, logits[1], logits[0]), g.select(second, logits[0], logits[1])];
        rows.reference::<F, _>(logit)?;
        let d = g.sub(other, logit);
        let (p, t) = math::exp_term(g, d);
        let sum = g.mul(p, math::scale(g, t));
        if !g.all(Sum { sum, joined: g.bits(t) }.fits(g, logit)) {
            return None;
        }
        self.prefetch(0);
        self.prefetch(1);
        // The target's gradient is one of its own.
        self.keep(0, sum);
        self.keep(1, sum);
        let spread = if F::CROSS {
            let (first, _) = rows.cross.of_class(g, 0, None, d);
            let q = if F::WEIGHTS { g.select(second, first, rows.cross.of_class(g, 1, None, d).0) } else { first };
            g.neg_mul_add(q, d, g.splat(0.0))
        } else {
            g.splat(0.0)
        };
        Some(others::of_target::<G, F, K>(g, rows, Read { reference: logit, sum, spread }))
    }
}
