//! The weighted sum of a row, which is taken along with the exponentials: of class probabilities, and of smoothed labels, where
//! it is a [`spread`].

use super::{
    grid::{first_lanes, gather},
    partition::{BLOCK, Form, NOTHING, TILE, always, join_lanes},
    rows::group,
    sum::{LaneSums, join_groups},
};
use crate::simd::{Group, LANES, Ops, Simd};

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

    /// What is known of smoothed labels of so many classes.
    #[expect(clippy::cast_precision_loss, reason = "rounded, as a sum would be")]
    #[inline(always)]
    pub(crate) fn smoothing<S: Simd>(&self, s: S, classes: usize) -> Smoothing {
        let (sum, least) = match self.weight {
            Some(weight) => sum_and_least(s, weight),
            None => (classes as f32, 1.0),
        };
        let mass = self.floor * sum;
        Smoothing { mass, by_target: self.keep * least >= mass }
    }

    /// [`Self::coefficient`] of one class in several rows.
    #[inline(always)]
    pub(crate) fn of_class<S: Ops>(&self, s: S, class: usize, target: Option<S::F>, d: S::F) -> (S::F, S::F) {
        let weight = match self.weight {
            Some(weight) => Some(s.splat(weight.get(class).copied().unwrap_or(0.0))),
            None => None,
        };
        self.coefficient(s, weight, target, d)
    }

    /// The terms of vectors of neighbouring classes in a row whose targets start at `row`.
    #[inline(always)]
    pub(crate) fn in_row<S: Simd>(&self, s: S, row: usize) -> Vectors<'_, S> {
        Vectors { s, cross: self, rows: [row; 4], step: S::N }
    }

    /// The terms of one vector in each of four rows, whose targets start at these places.
    #[inline(always)]
    pub(crate) fn in_rows<S: Simd>(&self, s: S, rows: [usize; 4]) -> Vectors<'_, S> {
        Vectors { s, cross: self, rows, step: 0 }
    }

    /// `q`, from a weight and a target, and `d`, or 0 where the smoothed target is exactly that.
    #[inline(always)]
    fn coefficient<O: Ops>(&self, o: O, weight: Option<O::F>, target: Option<O::F>, d: O::F) -> (O::F, O::F) {
        let weighted = |q| match weight {
            Some(weight) => o.mul(weight, q),
            None => q,
        };
        let Some(target) = target else {
            return (weighted(o.splat(self.floor)), if self.floor == 0.0 { o.splat(0.0) } else { d });
        };
        let smoothed = o.mul_add(target, o.splat(self.keep), o.splat(self.floor));
        // −0 changes no sum either. For +0 the mask would be inverted first.
        (weighted(smoothed), o.select(o.eq(smoothed, o.splat(0.0)), o.splat(-0.0), d))
    }
}

/// What is known of smoothed labels before any is read.
#[derive(Clone, Copy)]
pub(crate) struct Smoothing {
    /// `Σ q_c`.
    pub(crate) mass: f32,
    /// Whether exponentials may be relative to the target's logit.
    ///
    /// With `r = x_t`, `L = lse - r` and `d_c = x_c - r`, a label that is smoothed by `e` has the loss
    /// `((1 - e) w_t + Σ q_c) L - Σ q_c d_c` with `q_c = (e / C) w_c`. No `d_c` exceeds `L`, and so the loss is `(1 - e) w_t L` at least. Where
    /// `Σ q_c` is no more than `(1 - e) w_t`, which without weights is up to e = 1/2, the sizes of all terms add up to 3 times the loss
    /// at most. For more the maximum is the reference, relative to which no distance is positive.
    pub(crate) by_target: bool,
}

impl Smoothing {
    /// Of labels that are not smoothed.
    pub(crate) const NONE: Self = Self { mass: 0.0, by_target: true };
}

/// The sum of the class weights, in virtual lanes, and the least of them. A NaN is in the sum.
#[inline(always)]
fn sum_and_least<S: Simd>(s: S, weight: &[f32]) -> (f32, f32) {
    let mut least = s.splat(f32::INFINITY);
    let sum = if S::SINGLE {
        let of_one = Cross { weight: Some(weight), floor: 1.0, ..Cross::NONE };
        spread(
            s,
            weight.len(),
            &of_one,
            s.splat(0.0),
            #[inline(always)]
            |class| {
                least = s.min(s.load_part(weight.get(class..).unwrap_or(&[]), f32::INFINITY), least);
                s.splat(-1.0)
            },
        )
    } else {
        let mut sum = LaneSums::new(s);
        for tile in weight.chunks(TILE) {
            let mut sums = TermSums::<S, 1>::new(s);
            for block in tile.chunks(BLOCK) {
                sums.add_block(
                    s,
                    block,
                    #[inline(always)]
                    |_, weight| {
                        least = s.min(weight, least);
                        (weight, s.splat(-1.0))
                    },
                );
            }
            sum.add(s, sums.in_every_lane(s));
        }
        sum.value(s)
    };
    (s.reduce_max(sum), -s.reduce_max(s.neg(least)))
}

/// What is summed along with the exponentials, in `T` sums: with none of them nothing; with one `Σ q_c (r - x_c)`, for the reference
/// `r`; with two `Σ q_c`, too.
pub(crate) trait Terms<O: Ops> {
    /// `q` and `d` of one class, or of the classes from `class` on, whose logits are at the distance `d` from the reference: see
    /// [`Cross::coefficient`].
    fn term(&mut self, o: O, class: usize, d: O::F) -> (O::F, O::F);
}

/// Adds a term to the weighted sums.
#[inline(always)]
pub(crate) fn add_weighted<O: Ops, const T: usize>(o: O, (q, d): (O::F, O::F), mut sums: [O::F; T]) -> [O::F; T] {
    if let Some(cross) = sums.first_mut() {
        *cross = o.neg_mul_add(q, d, *cross);
    }
    if let Some(mass) = sums.get_mut(1) {
        *mass = o.add(*mass, q);
    }
    sums
}

/// No weighted sum.
pub(crate) struct NoTerms;

impl<O: Ops> Terms<O> for NoTerms {
    #[inline(always)]
    fn term(&mut self, o: O, _: usize, d: O::F) -> (O::F, O::F) {
        (o.splat(0.0), d)
    }
}

/// All coefficients are the same, as those of a label that is smoothed without weights.
pub(crate) struct Same(pub(crate) f32);

impl<O: Ops> Terms<O> for Same {
    #[inline(always)]
    fn term(&mut self, o: O, _: usize, d: O::F) -> (O::F, O::F) {
        (o.splat(self.0), d)
    }
}

/// Each class has a coefficient of its own, from a function as [`Cross::of_class`].
#[derive(Clone, Copy)]
pub(crate) struct Each<F>(pub(crate) F);

impl<O: Ops, F: FnMut(usize, O::F) -> (O::F, O::F)> Terms<O> for Each<F> {
    #[inline(always)]
    fn term(&mut self, _: O, class: usize, d: O::F) -> (O::F, O::F) {
        (self.0)(class, d)
    }
}

/// Each class has a coefficient of its own, and a vector has `N` neighbouring classes of a row.
#[derive(Clone, Copy)]
pub(crate) struct Vectors<'a, S> {
    s: S,
    cross: &'a Cross<'a>,
    /// Where the targets of each vector's row start.
    rows: [usize; 4],
    /// From one vector's first class to that of the next.
    step: usize,
}

impl<S: Simd> Vectors<'_, S> {
    /// A weight for each class; 0 behind the end.
    #[inline(always)]
    fn weights<G: Group<S>>(&self, g: G, weight: &[f32], class: usize) -> G::F {
        let Self { s, step, .. } = *self;
        let first = s.load_part(weight.get(class..).unwrap_or(&[]), 0.0);
        g.gather(
            #[inline(always)]
            |k| match k * step {
                0 => first,
                step => s.load_part(weight.get(class.wrapping_add(step)..).unwrap_or(&[]), 0.0),
            },
        )
    }

    /// A target for each class; 0 behind the end.
    #[inline(always)]
    fn targets<G: Group<S>>(&self, g: G, data: &[f32], class: usize) -> G::F {
        let Self { s, rows, step, .. } = *self;
        let start = |k: usize| rows[k % 4].wrapping_add(class).wrapping_add(k * step);
        let all = data.get(start(0)..start(0).wrapping_add(G::VECTORS * S::N));
        if step == S::N
            && let Some(all) = all
        {
            for line in all.chunks(LANES).take(G::VECTORS * S::N / LANES) {
                s.prefetch(line, TILE);
            }
            return g.gather(
                #[inline(always)]
                |k| s.load_part(all.get(k * S::N..).unwrap_or(&[]), 0.0),
            );
        }
        g.gather(
            #[inline(always)]
            |k| {
                let part = data.get(start(k)..).unwrap_or(&[]);
                s.prefetch(part, TILE);
                s.load_part(part, 0.0)
            },
        )
    }
}

impl<S: Simd, G: Group<S>> Terms<G> for Vectors<'_, S> {
    #[inline(always)]
    fn term(&mut self, g: G, class: usize, d: G::F) -> (G::F, G::F) {
        let Self { s, cross, rows, step } = *self;
        let weight = match cross.weight {
            Some(weight) => Some(self.weights(g, weight, class)),
            None => None,
        };
        let target = match cross.target {
            Some(Probabilities { data, stride: 1 }) => Some(self.targets(g, data, class)),
            Some(Probabilities { data, stride }) => Some(g.gather(
                #[inline(always)]
                |k| {
                    let class = class.wrapping_add(k * step).cast_signed();
                    let mut lanes = s.to_lanes(s.splat(0.0));
                    gather(data, rows[k % 4].wrapping_add_signed(stride.wrapping_mul(class)), stride, lanes.as_mut());
                    s.from_lanes(lanes)
                },
            )),
            None => None,
        };
        cross.coefficient(g, weight, target, d)
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

/// The sums of terms over a tile of rows that have a lane for each class. In blocks: see [`BLOCK`].
pub(crate) struct TermSums<O: Ops, const T: usize> {
    /// For the vectors that make up the sixteen lanes: of the block, and of the blocks before.
    block: [[O::F; T]; 4],
    blocks: [[O::F; T]; 4],
}

impl<O: Ops, const T: usize> TermSums<O, T> {
    #[inline(always)]
    pub(crate) fn new(o: O) -> Self {
        let nothing = [[o.splat(NOTHING); T]; 4];
        Self { block: nothing, blocks: nothing }
    }

    /// Adds the terms of the vector `k` of each row.
    #[inline(always)]
    pub(crate) fn add<S: Simd>(&mut self, o: O, k: usize, term: (O::F, O::F)) {
        let sums = &mut self.block[group::<S>(k)];
        *sums = add_weighted(o, term, *sums);
    }

    /// The same where only the first `used` lanes have a class.
    #[inline(always)]
    pub(crate) fn add_part<S: Simd>(&mut self, s: S, o: O, k: usize, term: (O::F, O::F), used: usize)
    where
        O: Group<S>,
    {
        let sums = &mut self.block[group::<S>(k)];
        let added = add_weighted(o, term, *sums);
        for (sum, added) in sums.iter_mut().zip(added) {
            let before = *sum;
            *sum = o.gather(
                #[inline(always)]
                |k| first_lanes(s, o.nth(added, k), used, o.nth(before, k)),
            );
        }
    }

    /// What has been added was a block.
    #[inline(always)]
    pub(crate) fn end_block<S: Simd>(&mut self, o: O) {
        for (sums, block) in self.blocks.iter_mut().zip(&mut self.block).take(LANES / S::N) {
            *sums = add_sums(o, *sums, *block);
            *block = [o.splat(NOTHING); T];
        }
    }

    /// All vectors of each row joined.
    #[inline(always)]
    pub(crate) fn joined<S: Simd>(mut self, o: O) -> [O::F; T] {
        self.end_block::<S>(o);
        join_groups::<S, _>(
            self.blocks,
            #[inline(always)]
            |a, b| add_sums(o, a, b),
        )
    }
}

impl<S: Simd> TermSums<S, 1> {
    /// Adds the terms of a block of a row, from each of its vectors and where it starts. Behind the end is ∞, of which nothing is
    /// added.
    #[inline(always)]
    fn add_block(&mut self, s: S, block: &[f32], mut term: impl FnMut(usize, S::F) -> (S::F, S::F)) {
        let vectors = block.chunks_exact(S::N);
        let (rest, last) = (vectors.remainder(), vectors.len());
        for (k, part) in vectors.enumerate() {
            self.add::<S>(s, k, term(k * S::N, s.load_part(part, 0.0)));
        }
        if !rest.is_empty() {
            self.add_part(s, s, last, term(last * S::N, s.load_part(rest, f32::INFINITY)), rest.len());
        }
        self.end_block::<S>(s);
    }

    /// All lanes joined.
    #[inline(always)]
    fn in_every_lane(self, s: S) -> S::F {
        let [sum] = self.joined::<S>(s);
        s.splat(s.reduce_add(sum))
    }
}

/// `Σ q_c (r - x_c)` of smoothed labels, whose rows take a lane each: of so many classes, relative to the reference `r`. In virtual
/// lanes and blocks, and the tiles with compensation.
#[inline(always)]
pub(crate) fn spread<O: Ops>(
    o: O,
    classes: usize,
    cross: &Cross<'_>,
    reference: O::F,
    mut load: impl FnMut(usize) -> O::F,
) -> O::F {
    let nothing = [o.splat(NOTHING); LANES];
    let mut sums = LaneSums::new(o);
    for tile in (0..classes).step_by(TILE) {
        let end = classes.min(tile + TILE);
        let mut lanes = nothing;
        for start in (tile..end).step_by(BLOCK) {
            let mut block = nothing;
            for class in start..end.min(start + BLOCK) {
                let (q, d) = cross.of_class(o, class, None, o.sub(load(class), reference));
                let sum = &mut block[class % LANES];
                *sum = o.neg_mul_add(q, d, *sum);
            }
            lanes = if start == tile { block } else { add_sums(o, lanes, block) };
        }
        let sum = join_lanes(
            &mut lanes,
            o.splat(0.0),
            #[inline(always)]
            |a, b| o.add(a, b),
        );
        sums.add(o, sum);
    }
    sums.value(o)
}

/// The same of a row of contiguous classes, a tile after the other: a lane for each class.
pub(crate) struct RowSpread<'a, S: Simd> {
    /// None for the forms that have no such sum.
    cross: Option<&'a Cross<'a>>,
    /// Whether there are class weights.
    weights: bool,
    sum: LaneSums<S::F>,
}

impl<'a, S: Simd> RowSpread<'a, S> {
    #[inline(always)]
    pub(crate) fn new<F: Form>(s: S, cross: &'a Cross<'a>) -> Self {
        let cross = if F::CROSS { Some(cross) } else { None };
        Self { cross, weights: F::WEIGHTS, sum: LaneSums::new(s) }
    }

    /// Adds a tile; the first one begins anew.
    #[inline(always)]
    pub(crate) fn take(&mut self, s: S, start: usize, tile: &[f32], reference: S::F) {
        let Some(cross) = self.cross else {
            return;
        };
        let mut sums = TermSums::<S, 1>::new(s);
        let mut add = always(
            #[inline(always)]
            |block: &[f32], weight: Option<&[f32]>| {
                sums.add_block(
                    s,
                    block,
                    #[inline(always)]
                    |at, x| {
                        let q = match weight {
                            Some(weight) => {
                                s.mul(s.load_part(weight.get(at..).unwrap_or(&[]), 0.0), s.splat(cross.floor))
                            }
                            None => s.splat(cross.floor),
                        };
                        (q, s.sub(x, reference))
                    },
                );
            },
        );
        let (blocks, rest) = tile.as_chunks::<BLOCK>();
        if let (true, Some(weight)) = (self.weights, cross.weight) {
            let weight = weight.get(start..start.wrapping_add(tile.len())).unwrap_or(&[]);
            let (weights, rest_weights) = weight.as_chunks::<BLOCK>();
            for (block, weight) in blocks.iter().zip(weights) {
                add(block, Some(weight));
            }
            add(rest, Some(rest_weights));
        } else {
            for block in blocks {
                add(block, None);
            }
            add(rest, None);
        }
        let sum = sums.in_every_lane(s);
        if start == 0 {
            self.sum = LaneSums::of(s, sum);
        } else {
            self.sum.add(s, sum);
        }
    }

    /// The sum of all tiles, in every lane.
    #[inline(always)]
    pub(crate) fn value(&self, s: S) -> S::F {
        self.sum.value(s)
    }
}
