//! The softmax denominator of a row, in a form that keeps the digits of a confident prediction.
//!
//! With `m` the largest logit of a row and `k` one class that has it, the denominator is
//! `Σ_c exp(x_c) = exp(m) (1 + others)`, `others = Σ_{c≠k} exp(x_c - m)`. Everything else follows from the pair
//! `(m, others)`:
//!
//! - log-sum-exp: `lse = m + ln_1p(others)`;
//! - the loss of class `t`: `lse - x_t = (m - x_t) + ln_1p(others)`, two terms that are not negative, so nothing cancels;
//!   for a target that leads by a margin of 80 it still has all its digits;
//! - softmax: `p_c = exp(x_c - m) / (1 + others)`, and `1 - p_k = others / (1 + others)`.
//!
//! Where the loss of one target is all that is wanted, what is left out of the sum is that class, and the row is read in one
//! go: see [`super::others`], which ends in the same pair. What follows is for all else, where it is the leader `k`.
//!
//! A row is read in tiles of [`TILE`] classes that stay in the first-level cache: once for the tile's maximum, once for
//! the exponentials relative to the largest logit so far. When a later tile raises it, what was summed is scaled down.
//! So memory is touched once, and the maximum is exact.
//!
//! The same sums come out of every layout, bit by bit: class `c` goes to virtual lane `c mod 16`, and the lanes are
//! joined in one tree (see [`crate::simd`]).

use core::marker::PhantomData;

use super::{
    columns::Columns,
    direct::Direct,
    gradient::TargetGradients,
    grid::{Grid, Run, gather},
    integer,
    labels::IGNORED,
    map::{Coefficients, Memory, RowMap, write_lanes},
    math,
    packed::Packed,
    rows::ByRows,
    strided::Strided,
    sum::LaneSums,
};
use crate::simd::{Four, Group, Kernel, LANES, Ops, PerLane, Simd, Step};

/// Classes in a tile: 4 KiB, a fraction of any first-level cache.
pub(crate) const TILE: usize = 1024;

/// Classes in a block, a part of a tile: of each lane's terms of the weighted sum eight are added as they are, and the blocks
/// with compensation. So many equal terms could otherwise lose the last four bits of the sum, where what is added last has
/// the same rounding each time.
pub(crate) const BLOCK: usize = 128;

/// Rows of so many classes never take a lane each.
pub(crate) const SHORT: usize = 64;

/// What is known of each of `N` rows; see the module's documentation.
#[derive(Clone, Copy)]
pub(crate) struct Partition<F> {
    /// The largest logit.
    pub(crate) max: F,
    /// The sum of `exp(x - max)` over all classes but one that has the maximum. −1 if there is no class, or only −∞.
    pub(crate) others: F,
    /// `Σ q_c (max - x_c)` with the coefficients of [`Cross`].
    pub(crate) cross: F,
    /// `Σ q_c`.
    pub(crate) mass: F,
    /// The logit of the target class; anything for a row without one.
    pub(crate) logit: F,
    /// Of a [`ByTarget`]: `exp(logit - max)` in units of [`math::TERM_UNIT`].
    pub(crate) target: F,
    /// What the exponentials are relative to: `exp(x - max) = scale · exp(x - reference)`, with the scale in units of
    /// [`math::TERM_UNIT`]. Of a target far in front of the rest it would have few digits otherwise.
    pub(crate) reference: F,
    pub(crate) scale: F,
}

impl<F: Copy> Partition<F> {
    /// Of no rows.
    #[inline(always)]
    pub(crate) fn none<S: Ops<F = F>>(s: S) -> Self {
        let zero = s.splat(0.0);
        Self {
            max: zero,
            others: zero,
            cross: zero,
            mass: zero,
            logit: zero,
            target: zero,
            reference: zero,
            scale: zero,
        }
    }

    /// What the exponentials are relative to is the maximum.
    #[inline(always)]
    pub(crate) fn of_leader<S: Ops<F = F>>(self, s: S) -> Self {
        Self { reference: finite(s, self.max), scale: s.splat(1.0 / math::TERM_UNIT), ..self }
    }

    /// `lse - max = ln_1p(others)`. With a maximum of `+∞` that is NaN; with nothing but `-∞` it is `-∞`, which makes a NaN
    /// of every loss: the other terms are `+∞`, NaN, or this times 0.
    #[inline(always)]
    pub(crate) fn log_others<S: Ops<F = F>>(&self, s: S) -> F {
        math::row::ln_1p(s, self.others)
    }

    /// `Σ q_c (lse - x_c)`.
    #[inline(always)]
    pub(crate) fn weighted_loss<S: Ops<F = F>>(&self, s: S, log_others: F) -> F {
        s.mul_add(self.mass, log_others, self.cross)
    }
}

/// Rows of logits: array 0 of the grid, in whose elements the classes start. Their memory goes along as `x`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, const K: usize> {
    pub(crate) grid: Grid<'a, K>,
    pub(crate) classes: usize,
    /// The distance of neighbouring classes.
    pub(crate) stride: isize,
    pub(crate) cross: &'a Cross<'a>,
}

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

/// The targets' place in the grid of [`Rows`]; the logits have 0.
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

/// What is wanted of a row.
pub(crate) trait Form {
    /// Whether the row is read once: see [`super::others`].
    const ONCE: bool;
    /// Whether what is left out of `others` is the target. If it is not, it is a class that has the maximum.
    const TARGET: bool;
    /// Whether there is a weighted sum.
    const CROSS: bool;
}

/// The sum of all but the target's exponential.
pub(crate) struct ByTarget;

impl Form for ByTarget {
    const ONCE: bool = true;
    const TARGET: bool = true;
    const CROSS: bool = false;
}

/// The sum of all exponentials, for probabilities: `others` is 1 less, and has no digits of its own.
pub(crate) struct Whole;

impl Form for Whole {
    const ONCE: bool = true;
    const TARGET: bool = false;
    const CROSS: bool = false;
}

/// The sum of all but the leader's.
pub(crate) struct ByLeader;

impl Form for ByLeader {
    const ONCE: bool = false;
    const TARGET: bool = false;
    const CROSS: bool = false;
}

/// The same and the weighted sum.
pub(crate) struct Weighted;

impl Form for Weighted {
    const ONCE: bool = false;
    const TARGET: bool = false;
    const CROSS: bool = true;
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

/// The logits of a group of rows.
pub(crate) trait Source<O: Ops> {
    /// Goes on to the tile from class `start` on.
    #[inline(always)]
    fn enter(&mut self, _o: O, _start: usize) {}
    /// One class of each row.
    fn load(&mut self, class: usize) -> O::F;
    /// Gets every class once, with its logits.
    #[inline(always)]
    fn see(&mut self, _class: usize, _x: O::F) {}
    /// In which rows one class is the target, to be left out; none where there are no targets.
    #[inline(always)]
    fn is_target(&mut self, _class: usize) -> Option<O::M> {
        None
    }
    /// Gets the exponentials of every class, in units of [`math::TERM_UNIT`].
    #[inline(always)]
    fn keep(&mut self, _class: usize, _e: O::F) {}
}

/// Takes in one tile of a group of rows, its `len` classes from `start` on.
#[inline(always)]
pub(crate) fn tile<O: Ops, const T: usize>(
    o: O,
    state: &mut State<O::F>,
    start: usize,
    len: usize,
    rows: &mut impl Source<O>,
    terms: &mut impl Terms<O, T>,
) {
    let mut tile_max = o.splat(f32::NEG_INFINITY);
    let mut top = integer::Max::new();
    for at in 0..len {
        let x = rows.load(start.wrapping_add(at));
        if O::INTEGER {
            o.map_bits(
                x,
                #[inline(always)]
                |x| {
                    top.add(x);
                    x
                },
            );
        } else {
            tile_max = o.max(tile_max, x);
        }
    }
    if O::INTEGER {
        tile_max = o.map_bits(
            tile_max,
            #[inline(always)]
            |_| top.value(),
        );
    }
    let reference = state.enter(o, start, tile_max, terms);
    let zero = o.splat(0.0);
    let nothing = o.splat(NOTHING);
    let mut sum = lane_sums::<O, _>(nothing);
    // How many are equal to the reference: all but those below it.
    let mut ties = o.int(small_int(len));
    let mut whole = integer::ExpSum::new();
    let mut from = 0;
    loop {
        let to = if T > 0 { len.min(from + BLOCK) } else { len };
        let mut weighted = lane_sums::<O, _>([nothing; T]);
        for at in from..to {
            let class = start.wrapping_add(at);
            let x = rows.load(class);
            let d = o.sub(x, reference);
            if O::INTEGER {
                // Integers need no lanes.
                ties = o.int_add(ties, o.shr::<31>(o.bits(d)));
                o.map_bits(
                    d,
                    #[inline(always)]
                    |d| {
                        if d != 0 {
                            whole.add(d);
                        }
                        d
                    },
                );
            } else {
                let term = Term::new(o, d);
                ties = o.int_add(ties, term.below);
                rows.see(class, x);
                rows.keep(class, term.whole);
                // Tiles and blocks are whole groups of lanes.
                let added = term.add_to(o, sum.get(at).unwrap_or(nothing));
                sum.set(at, added);
            }
            if T > 0 {
                let added = terms.add(o, class, d, weighted.get(at).unwrap_or([nothing; T]));
                weighted.set(at, added);
            }
        }
        if T > 0 {
            let joined = join_lanes(
                weighted.as_mut_slice(),
                [zero; T],
                #[inline(always)]
                |a, b| add_sums(o, a, b),
            );
            state.take_block(o, start.wrapping_add(from), joined);
        }
        from = to;
        if to >= len {
            break;
        }
    }
    let sum = if O::INTEGER {
        o.map_bits(
            zero,
            #[inline(always)]
            |_| whole.value(),
        )
    } else {
        join_lanes(
            sum.as_mut_slice(),
            zero,
            #[inline(always)]
            |a, b| o.add(a, b),
        )
    };
    state.leave(o, sum, o.to_float(ties));
}

/// Sums for each lane of a tile or a block. To float hardware with one lane a number of lanes that is known is worth more.
#[inline(always)]
pub(crate) fn lane_sums<O: Ops, T: Copy>(nothing: T) -> PerLane<T> {
    if O::INTEGER || size_of::<O::F>() > size_of::<f32>() { PerLane::empty() } else { PerLane::filled(nothing) }
}

/// The exponentials of steps down to here are normal floats. That of a larger step would have lost digits, or be 0, before it is
/// multiplied with a sum in units of [`math::TERM_UNIT`], where it still counts: it is taken in two.
const LEAST_STEP: f32 = -86.0;

/// What the sums of lanes begin with. To -0 everything can be added, too, and to set it takes no call of `memset`.
pub(crate) const NOTHING: f32 = -0.0;

/// Joins the lanes of a tile or a block, and `zero`, of which -0 becomes 0.
#[inline(always)]
pub(crate) fn join_lanes<T: Copy>(lanes: &mut [T], zero: T, mut join: impl FnMut(T, T) -> T) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        if let Some((low, high)) = lanes.split_at_mut_checked(half) {
            for (low, &mut high) in low.iter_mut().zip(high) {
                *low = join(*low, high);
            }
        }
        half /= 2;
    }
    join(zero, lanes.first().copied().unwrap_or(zero))
}

/// The exponential of a logit relative to the reference, `p · scale`; 0 where it is not below the reference.
#[derive(Clone, Copy)]
pub(crate) struct Term<O: Ops> {
    pub(crate) p: O::F,
    pub(crate) scale: O::F,
    /// The exponential of every logit, the reference's own with them: see [`math::exponential`].
    pub(crate) whole: O::F,
    /// −1 where the logit is below the reference, else 0.
    pub(crate) below: O::I,
}

impl<O: Ops> Term<O> {
    /// Of `d = x - reference`, of which the reference itself gives +0 and nothing else does (see [`finite`]).
    #[inline(always)]
    pub(crate) fn new(s: O, d: O::F) -> Self {
        let below = s.shr::<31>(s.bits(d));
        let (p, t) = math::exp_term(s, d);
        let scale = math::scale(s, t);
        // The scale is 0 for the reference itself, and for some NaN, whose product is a NaN all the same.
        Self { p, scale: s.from_bits(s.int_and(s.bits(scale), below)), whole: s.mul(p, scale), below }
    }

    #[inline(always)]
    pub(crate) fn add_to(self, s: O, sum: O::F) -> O::F {
        s.mul_add(self.p, self.scale, sum)
    }
}

/// The state between two tiles of `N` rows.
#[derive(Clone, Copy)]
pub(crate) struct State<F> {
    max: F,
    /// How often the maximum occurs.
    ties: F,
    /// Exponentials of what is below the reference, scaled by 2^60 (see [`math::exp_term`]).
    sum: F,
    /// `cross` and `mass` of [`Partition`].
    weighted: [LaneSums<F>; 2],
}

impl<F: Copy> State<F> {
    #[inline(always)]
    pub(crate) fn new<S: Ops<F = F>>(s: S) -> Self {
        let zero = s.splat(0.0);
        Self { max: s.splat(f32::NEG_INFINITY), ties: zero, sum: zero, weighted: [LaneSums::new(s); 2] }
    }

    /// Goes on to the tile from class `start` on, with the maximum of its own. What was summed is scaled down where
    /// that is larger, and what was equal to the old maximum is then among the others. Returns what the exponentials
    /// are relative to: the maximum, but 0 where all is −∞, so that nothing becomes ∞ - ∞.
    #[inline(always)]
    pub(crate) fn enter<S: Ops<F = F>, const T: usize>(
        &mut self,
        s: S,
        start: usize,
        tile_max: F,
        terms: &impl Terms<S, T>,
    ) -> F {
        if start == 0 {
            self.max = tile_max;
            return finite(s, tile_max);
        }
        let raised = s.lt(self.max, tile_max);
        if s.any(raised) {
            let unit = s.splat(1.0 / math::TERM_UNIT);
            let step = s.sub(self.max, tile_max);
            let near = s.max(step, s.splat(LEAST_STEP));
            let mut scaled = s.mul_add(self.ties, unit, self.sum);
            for step in [near, s.sub(step, near)] {
                scaled = s.mul(scaled, math::exp(s, step));
            }
            self.sum = s.select(raised, scaled, self.sum);
            self.ties = s.select(raised, s.splat(0.0), self.ties);
            if T > 0 {
                let step = s.sub(tile_max, finite(s, self.max));
                let [cross, mass] = &mut self.weighted;
                let mut moved = *cross;
                moved.add(s, s.mul(terms.mass(s, start, *mass), step));
                *cross = moved.select(s, raised, *cross);
            }
        }
        // A NaN of an earlier tile may drop out here; its terms keep it.
        self.max = s.max(self.max, tile_max);
        finite(s, self.max)
    }

    /// Adds the sums of terms of the block from class `start` on.
    #[inline(always)]
    pub(crate) fn take_block<S: Ops<F = F>, const T: usize>(&mut self, s: S, start: usize, block: [F; T]) {
        for (sum, block) in self.weighted.iter_mut().zip(block) {
            if start == 0 {
                *sum = LaneSums::of(s, block);
            } else {
                sum.add(s, block);
            }
        }
    }

    /// Adds the sum of the tile, in which so many are equal to the reference.
    #[inline(always)]
    pub(crate) fn leave<S: Ops<F = F>>(&mut self, s: S, sum: F, ties: F) {
        self.sum = s.add(self.sum, sum);
        self.ties = s.add(self.ties, ties);
    }

    #[inline(always)]
    pub(crate) fn finish<S: Ops<F = F>, const T: usize>(
        self,
        s: S,
        classes: usize,
        terms: &impl Terms<S, T>,
    ) -> Partition<F> {
        // All of −∞ is below the reference 0, so that there are no ties.
        let others = s.mul_add(self.sum, s.splat(math::TERM_UNIT), s.sub(self.ties, s.splat(1.0)));
        let [cross, mass] = self.weighted;
        let mass = terms.mass(s, classes, mass);
        Partition { max: self.max, others, cross: cross.value(s), mass, ..Partition::none(s) }.of_leader(s)
    }
}

/// The maximum, but −0 where it is −∞ or zero: the difference of equal numbers is +0, and so is that of either zero and −0.
/// With +0 a leading −0 would be below the reference, and its own exponential cancel all digits of the others.
#[inline(always)]
pub(crate) fn finite<S: Ops>(s: S, max: S::F) -> S::F {
    let zero = s.splat(0.0);
    s.neg(s.sub(zero, s.select(s.eq(max, s.splat(f32::NEG_INFINITY)), zero, max)))
}

/// A way through the rows, with the memory that it needs.
pub(crate) trait Layout {
    /// The partition of the rows `i .. i + count`, at most `N`; the other lanes hold nothing of meaning. With
    /// `labels`, one for each row or none at all, the logits of these classes. With a map
    /// of exponentials, [`Layout::write`] of these rows may follow. A single lane is at its row already: see [`Grid::load`].
    #[expect(clippy::too_many_arguments, reason = "what rows, in what memory, and which of them")]
    fn partition<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F>;

    /// The same for the `4 N` rows from `i` on, all of which are there.
    #[inline(always)]
    fn four<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
    ) -> Partition<[S::F; 4]>
    where
        Self: Sized,
    {
        four_by_one::<S, Self, M, F, K>(self, s, rows, memory, run, i, labels)
    }

    /// Maps each logit of the rows `i .. i + count`, the vector `number` of those whose partition was just taken, but for
    /// the target classes if these have gradients of their own.
    #[expect(clippy::too_many_arguments, reason = "where to read, where to write, and what")]
    #[inline(always)]
    fn write<S: Simd, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        _number: usize,
        coefficients: &Coefficients<S::F>,
        targets: Option<&TargetGradients<'_, S::F>>,
    ) {
        write_lanes::<S, M, K>(s, rows, out, run, i, count, coefficients);
        if let Some(targets) = targets {
            targets.write(s, rows, out, run, i);
        }
    }

    /// [`Layout::write`] of a group of rows, of which each vector has `count`.
    #[expect(clippy::too_many_arguments, reason = "where to read, where to write, and what")]
    #[inline(always)]
    fn write_all<S: Simd, G: Group<S>, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        g: G,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        coefficients: &Coefficients<G::F>,
        targets: Option<&TargetGradients<'_, G::F>>,
    ) {
        for k in 0..G::VECTORS {
            let row = coefficients.nth(g, k);
            let targets = match targets {
                Some(targets) => Some(targets.nth(s, g, k)),
                None => None,
            };
            self.write::<S, M, K>(s, rows, out, run, i.wrapping_add(k * S::N), count, k, &row, targets.as_ref());
        }
    }
}

/// Four partitions, one after the other.
#[inline(always)]
pub(crate) fn four_by_one<S: Simd, L: Layout, M: RowMap, F: Form, const K: usize>(
    layout: &mut L,
    s: S,
    rows: &Rows<'_, K>,
    memory: &mut Memory<'_>,
    run: &mut Run<K>,
    i: usize,
    labels: &[usize],
) -> Partition<[S::F; 4]> {
    let mut all = Partition::none(Four(s));
    for k in 0..4 {
        let from = k * S::N;
        let labels = labels.get(from..from + S::N).unwrap_or(&[]);
        let one = layout.partition::<S, M, F, K>(s, rows, memory, run, i.wrapping_add(from), S::N, labels);
        all.max[k] = one.max;
        all.others[k] = one.others;
        all.cross[k] = one.cross;
        all.mass[k] = one.mass;
        all.logit[k] = one.logit;
        all.target[k] = one.target;
        all.reference[k] = one.reference;
        all.scale[k] = one.scale;
    }
    all
}

/// A kernel over rows, for any way through them.
pub(crate) trait RowKernel {
    type Output;
    fn run<S: Simd, L: Layout>(&mut self, s: S, layout: &mut L) -> Self::Output;
}

/// The ways through rows.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Long rows of contiguous classes: [`ByRows`].
    Rows,
    /// Short rows of contiguous classes: [`Packed`].
    Packed,
    /// Neighbouring rows are neighbours in memory, as the pixels of NCHW: [`Columns`].
    Columns,
    /// Anything else: [`Strided`].
    Strided,
}

impl<const K: usize> Rows<'_, K> {
    /// The logits of these classes of the rows from `i` on, one by one; −∞ for [`IGNORED`].
    #[inline(always)]
    pub(crate) fn pick<S: Simd>(&self, s: S, x: &[f32], run: &mut Run<K>, i: usize, labels: &[usize]) -> S::F {
        let mut logit = always(
            #[inline(always)]
            |l: usize, class: usize| {
                let i = i.wrapping_add(l);
                if S::N > 1 {
                    self.grid.seek(run, i);
                }
                let shift = self.stride.wrapping_mul(class.cast_signed());
                let at = self.grid.offset(run, 0, i).wrapping_add_signed(shift);
                if class == IGNORED { f32::NEG_INFINITY } else { x.get(at).copied().unwrap_or(0.0) }
            },
        );
        if let &[class] = labels {
            return s.splat(logit(0, class));
        }
        let mut logits = s.to_lanes(s.splat(f32::NEG_INFINITY));
        for (l, (lane, &class)) in logits.as_mut().iter_mut().zip(labels).enumerate() {
            *lane = logit(l, class);
        }
        s.from_lanes(logits)
    }

    /// The fastest way through the rows, for a form and a map.
    pub(crate) fn way<S: Simd, M: RowMap, F: Form>(&self) -> Way {
        if self.stride == 1 {
            if self.classes < self.short::<S, M, F>() && self.grid.len > 1 { Way::Packed } else { Way::Rows }
        } else if self.grid.step(0) == 1 {
            Way::Columns
        } else {
            Way::Strided
        }
    }

    /// Rows of fewer classes are faster with a lane each than side by side, which takes no transposition: the wider the vectors,
    /// the more, and the more there is to do with each class. Measured on x86.
    const fn short<S: Simd, M: RowMap, F: Form>(&self) -> usize {
        match S::N {
            ..=4 if F::ONCE && !M::EXPONENTIALS => 12,
            ..=4 if !F::CROSS => 24,
            ..=4 if self.cross.target.is_some() => 32,
            8 if F::ONCE && !M::EXPONENTIALS => 24,
            _ => SHORT,
        }
    }
}

/// Runs a kernel in one way through its rows; a single lane goes the direct way through all. Each way has a function of its
/// own, so that none carries the others' registers and memory.
#[inline(always)]
pub(crate) fn run_rows<S: Simd, R: RowKernel>(s: S, way: Way, kernel: &mut R) -> R::Output {
    if S::N == 1 {
        return kernel.run(s, &mut Direct);
    }
    match way {
        Way::Rows => s.vectorize_apart(&mut On::<_, ByRows>::new(kernel)),
        Way::Packed => s.vectorize_apart(&mut On::<_, Packed>::new(kernel)),
        Way::Columns => s.vectorize_apart(&mut On::<_, Columns>::new(kernel)),
        Way::Strided => s.vectorize_apart(&mut On::<_, Strided>::new(kernel)),
    }
}

/// The same in one function for all ways: a quarter of the code, where more happens for each class than for each row.
#[inline(always)]
pub(crate) fn run_any_rows<S: Simd, R: RowKernel>(s: S, way: Way, kernel: &mut R) -> R::Output {
    if S::N == 1 {
        return kernel.run(s, &mut Direct);
    }
    match way {
        Way::Rows => s.vectorize_apart(&mut OnAny::<_, ByRows>(kernel, |way| AnyWay::Rows(way))),
        Way::Packed => s.vectorize_apart(&mut OnAny::<_, Packed>(kernel, |way| AnyWay::Packed(way))),
        Way::Columns => s.vectorize_apart(&mut OnAny::<_, Columns>(kernel, |way| AnyWay::Columns(way))),
        Way::Strided => s.vectorize_apart(&mut OnAny::<_, Strided>(kernel, |way| AnyWay::Strided(way))),
    }
}

/// A kernel in one way.
struct On<'k, R, L>(&'k mut R, PhantomData<L>);

impl<'k, R, L> On<'k, R, L> {
    #[inline(always)]
    fn new(kernel: &'k mut R) -> Self {
        Self(kernel, PhantomData)
    }
}

impl<R: RowKernel, L: Layout + Default> Kernel for On<'_, R, L> {
    type Output = R::Output;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> R::Output {
        self.0.run(s, &mut Apart(L::default()))
    }
}

/// A kernel in one way as any: what makes the way's memory.
struct OnAny<'k, R, L>(&'k mut R, fn(&mut Apart<L>) -> AnyWay<'_>);

impl<R: RowKernel, L: Layout + Default> Kernel for OnAny<'_, R, L> {
    type Output = R::Output;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> R::Output {
        let mut layout = Apart(L::default());
        s.vectorize_apart(&mut InAny(&mut *self.0, (self.1)(&mut layout)))
    }
}

/// A kernel in any way.
struct InAny<'k, R>(&'k mut R, AnyWay<'k>);

impl<R: RowKernel> Kernel for InAny<'_, R> {
    type Output = R::Output;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> R::Output {
        self.0.run(s, &mut self.1)
    }
}

/// One of the ways, whose steps are those of [`Apart`].
enum AnyWay<'l> {
    Rows(&'l mut Apart<ByRows>),
    Packed(&'l mut Apart<Packed>),
    Columns(&'l mut Apart<Columns>),
    Strided(&'l mut Apart<Strided>),
}

/// A method of whichever way it is.
macro_rules! of_way {
    ($self:ident, $way:ident => $call:expr) => {
        match $self {
            AnyWay::Rows($way) => $call,
            AnyWay::Packed($way) => $call,
            AnyWay::Columns($way) => $call,
            AnyWay::Strided($way) => $call,
        }
    };
}

impl Layout for AnyWay<'_> {
    #[inline(always)]
    fn partition<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        of_way!(self, way => way.partition::<S, M, F, K>(s, rows, memory, run, i, count, labels))
    }

    #[inline(always)]
    fn four<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
    ) -> Partition<[S::F; 4]> {
        of_way!(self, way => way.four::<S, M, F, K>(s, rows, memory, run, i, labels))
    }

    #[inline(always)]
    fn write_all<S: Simd, G: Group<S>, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        g: G,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        coefficients: &Coefficients<G::F>,
        targets: Option<&TargetGradients<'_, G::F>>,
    ) {
        of_way!(self, way => way.write_all::<S, G, M, K>(s, g, rows, out, run, i, count, coefficients, targets));
    }
}

/// A way whose steps are functions of their own: without optimisation each operation of a function has a place on the stack
/// for itself, and in one function they would fill that of a thread.
struct Apart<L>(L);

impl<L: Layout> Layout for Apart<L> {
    #[inline(always)]
    fn partition<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        s.vectorize(&mut Step(
            #[inline(always)]
            || self.0.partition::<S, M, F, K>(s, rows, memory, run, i, count, labels),
        ))
    }

    #[inline(always)]
    fn four<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
    ) -> Partition<[S::F; 4]> {
        s.vectorize(&mut Step(
            #[inline(always)]
            || self.0.four::<S, M, F, K>(s, rows, memory, run, i, labels),
        ))
    }

    #[inline(always)]
    fn write_all<S: Simd, G: Group<S>, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        g: G,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        coefficients: &Coefficients<G::F>,
        targets: Option<&TargetGradients<'_, G::F>>,
    ) {
        s.vectorize(&mut Step(
            #[inline(always)]
            || self.0.write_all::<S, G, M, K>(s, g, rows, out, run, i, count, coefficients, targets),
        ));
    }
}

/// A number of classes or lanes in a tile, as a float.
#[expect(clippy::cast_precision_loss, reason = "a tile has few classes")]
#[inline(always)]
pub(crate) fn small_count(count: usize) -> f32 {
    count as f32
}

/// The same as an integer.
#[expect(clippy::cast_possible_truncation, reason = "a tile has few classes")]
#[inline(always)]
const fn small_int(count: usize) -> i32 {
    count.cast_signed() as i32
}

/// Names a closure, which may have attributes only as an argument.
#[inline(always)]
pub(crate) fn always<A, B, C, F: FnMut(A, B) -> C>(f: F) -> F {
    f
}
