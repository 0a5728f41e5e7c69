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
//! Where the loss of one target is all that is wanted, what is left out of the sum is that class, what takes the place of `m` is its
//! logit, and the row is read in one go: see [`super::others`], which ends in the same pair. What follows is for all else, where it is the
//! leader `k`.
//!
//! A row is read in tiles of [`TILE`] classes that stay in the first-level cache: once for the tile's maximum, once for
//! the exponentials relative to the largest logit so far. When a later tile raises it, what was summed is scaled down.
//! So memory is touched once, and the maximum is exact.
//!
//! The same sums come out of every layout, bit by bit: class `c` goes to virtual lane `c mod 16`, and the lanes are
//! joined in one tree (see [`crate::simd`]).

use super::{
    cross::{Terms, add_sums, add_weighted},
    integer, math,
    sum::LaneSums,
};
use crate::simd::{LANES, Ops, PerLane};

/// Classes in a tile: 4 KiB, a fraction of any first-level cache.
pub(crate) const TILE: usize = 1024;

/// Classes in a block, a part of a tile: of each lane's terms of the weighted sum eight are added as they are, then eight blocks, and
/// the tiles with compensation. Many equal terms could otherwise lose the last bits of the sum, where what is added last has the same
/// rounding each time.
pub(crate) const BLOCK: usize = 128;

/// What is known of each of `N` rows; see the module's documentation.
#[derive(Clone, Copy)]
pub(crate) struct Partition<F> {
    /// The largest logit; of a [`Form::TARGET`] the target's, or the largest.
    pub(crate) max: F,
    /// The sum of `exp(x - max)` over all classes but one that has this logit. −1 if there is no class, or only −∞.
    pub(crate) others: F,
    /// Of a [`Form::CROSS`]: `Σ q_c (max - x_c)` with the coefficients of [`Cross`](super::cross::Cross).
    pub(crate) cross: F,
    /// `Σ q_c`.
    pub(crate) mass: F,
    /// The logit of the target class; anything for a row without one.
    pub(crate) logit: F,
    /// Of a [`Form::TARGET`]: `exp(logit - max)` in units of [`math::TERM_UNIT`].
    pub(crate) target: F,
}

impl<F: Copy> Partition<F> {
    /// Of no rows.
    #[inline(always)]
    pub(crate) fn none<S: Ops<F = F>>(s: S) -> Self {
        let zero = s.splat(0.0);
        Self { max: zero, others: zero, cross: zero, mass: zero, logit: zero, target: zero }
    }

    /// What the exponentials are relative to: the maximum, but 0 where that is −∞.
    #[inline(always)]
    pub(crate) fn reference<S: Ops<F = F>>(&self, s: S) -> F {
        finite(s, self.max)
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

/// What is wanted of a row.
pub(crate) trait Form {
    /// Whether the row is read once: see [`super::others`].
    const ONCE: bool;
    /// Whether what is left out of `others` is the target. If it is not, it is a class that has the maximum.
    const TARGET: bool;
    /// Whether there is a weighted sum: `cross` and `mass` of [`Partition`].
    const CROSS: bool;
    /// Whether that of a label has class weights.
    const WEIGHTS: bool = false;
}

/// The sum of all but the target's exponential.
pub(crate) struct ByTarget;

impl Form for ByTarget {
    const ONCE: bool = true;
    const TARGET: bool = true;
    const CROSS: bool = false;
}

/// The same and the sum of all classes' distances, for labels that are smoothed without weights.
pub(crate) struct Smoothed;

impl Form for Smoothed {
    const ONCE: bool = true;
    const TARGET: bool = true;
    const CROSS: bool = true;
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

/// The same for labels that are smoothed with class weights.
pub(crate) struct SmoothedByWeight;

impl Form for SmoothedByWeight {
    const ONCE: bool = true;
    const TARGET: bool = true;
    const CROSS: bool = true;
    const WEIGHTS: bool = true;
}

/// The sum of all but the leader's, and the weighted sum of class probabilities.
pub(crate) struct Weighted;

impl Form for Weighted {
    const ONCE: bool = false;
    const TARGET: bool = false;
    const CROSS: bool = true;
}

/// The logits of a group of rows.
pub(crate) trait Source<O: Ops> {
    /// Goes on to the tile from class `start` on.
    #[inline(always)]
    fn enter(&mut self, _o: O, _start: usize) {}
    /// One class of each row.
    fn load(&mut self, class: usize) -> O::F;
    /// The same the first time, for the maximum.
    #[inline(always)]
    fn load_first(&mut self, class: usize) -> O::F {
        self.load(class)
    }
    /// Has a class of the rows that come next on its way.
    #[inline(always)]
    fn prefetch(&self, _class: usize) {}
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
    terms: &mut impl Terms<O>,
) {
    let mut tile_max = o.splat(f32::NEG_INFINITY);
    let mut top = integer::Max::new();
    for at in 0..len {
        let x = rows.load_first(start.wrapping_add(at));
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
    let reference = state.enter::<O, T>(o, start, tile_max);
    let zero = o.splat(0.0);
    let nothing = o.splat(NOTHING);
    let mut sum = lane_sums::<O, _>(nothing);
    // How many are equal to the reference: all but those below it.
    let mut ties = o.int(small_int(len));
    let mut whole = integer::ExpSum::new();
    let (mut weighted, mut blocks) = (lane_sums::<O, _>([nothing; T]), PerLane::empty());
    for at in 0..len {
        let class = start.wrapping_add(at);
        let d = o.sub(rows.load(class), reference);
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
            rows.prefetch(class);
            rows.keep(class, term.whole);
            // Tiles and blocks are whole groups of lanes.
            let added = term.add_to(o, sum.get(at).unwrap_or(nothing));
            sum.set(at, added);
        }
        if T > 0 {
            if at > 0 && at.is_multiple_of(BLOCK) {
                add_block(o, &mut blocks, &mut weighted);
            }
            let added = add_weighted(o, terms.term(o, class, d), weighted.get(at).unwrap_or([nothing; T]));
            weighted.set(at, added);
        }
    }
    if T > 0 {
        if len > BLOCK {
            add_block(o, &mut blocks, &mut weighted);
            weighted = blocks;
        }
        let joined = join_lanes(
            weighted.as_mut_slice(),
            [zero; T],
            #[inline(always)]
            |a, b| add_sums(o, a, b),
        );
        state.take_terms(o, start, joined);
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

/// Adds each lane's terms of a block to those of the blocks before, and clears them.
#[inline(always)]
fn add_block<O: Ops, const T: usize>(o: O, blocks: &mut PerLane<[O::F; T]>, block: &mut PerLane<[O::F; T]>) {
    let nothing = [o.splat(NOTHING); T];
    for lane in 0..LANES {
        let (sum, added) = (blocks.get(lane).unwrap_or(nothing), block.get(lane).unwrap_or(nothing));
        blocks.set(lane, add_sums(o, sum, added));
        block.set(lane, nothing);
    }
}

/// The partition of rows of two classes. Of their exponentials one is 1, so that one exponential serves both.
#[inline(always)]
pub(crate) fn pair<O: Ops, const T: usize>(
    o: O,
    rows: &mut impl Source<O>,
    mut terms: impl Terms<O>,
) -> Partition<O::F> {
    let (zero, whole) = (o.splat(0.0), o.splat(1.0 / math::TERM_UNIT));
    let mut state = State::new(o);
    let logits = [rows.load_first(0), rows.load_first(1)];
    let reference = state.enter::<O, T>(o, 0, o.max(logits[0], logits[1]));
    let distances = [o.sub(logits[0], reference), o.sub(logits[1], reference)];
    // One of the distances is 0, or one is NaN, or both are −∞.
    let e = math::exponential(o, o.add(distances[0], distances[1]));
    let mut weighted = [zero; T];
    let mut nothing = o.int(-1);
    for (class, d) in distances.into_iter().enumerate() {
        rows.prefetch(class);
        rows.keep(class, o.select(o.eq(d, zero), whole, e));
        nothing = o.int_and(nothing, o.shr::<31>(o.bits(d)));
        weighted = add_sums(o, weighted, add_weighted(o, terms.term(o, class, d), [o.splat(NOTHING); T]));
    }
    state.take_terms(o, 0, weighted);
    // Two that are equal are the other's 1 and the reference, too. Of two times −∞ none is equal to the reference.
    state.leave(o, e, o.to_float(o.int_add(o.int(1), nothing)));
    state.finish(o)
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
    pub(crate) fn enter<S: Ops<F = F>, const T: usize>(&mut self, s: S, start: usize, tile_max: F) -> F {
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
                moved.add(s, s.mul(mass.value(s), step));
                *cross = moved.select(s, raised, *cross);
            }
        }
        // A NaN of an earlier tile may drop out here; its terms keep it.
        self.max = s.max(self.max, tile_max);
        finite(s, self.max)
    }

    /// Adds the sums of terms of the tile from class `start` on.
    #[inline(always)]
    pub(crate) fn take_terms<S: Ops<F = F>, const T: usize>(&mut self, s: S, start: usize, tile: [F; T]) {
        for (sum, tile) in self.weighted.iter_mut().zip(tile) {
            if start == 0 {
                *sum = LaneSums::of(s, tile);
            } else {
                sum.add(s, tile);
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
    pub(crate) fn finish<S: Ops<F = F>>(self, s: S) -> Partition<F> {
        // All of −∞ is below the reference 0, so that there are no ties.
        let others = s.mul_add(self.sum, s.splat(math::TERM_UNIT), s.sub(self.ties, s.splat(1.0)));
        let [cross, mass] = self.weighted;
        Partition { max: self.max, others, cross: cross.value(s), mass: mass.value(s), ..Partition::none(s) }
    }
}

/// The maximum, but −0 where it is −∞ or zero: the difference of equal numbers is +0, and so is that of either zero and −0.
/// With +0 a leading −0 would be below the reference, and its own exponential cancel all digits of the others.
#[inline(always)]
pub(crate) fn finite<S: Ops>(s: S, max: S::F) -> S::F {
    let zero = s.splat(0.0);
    s.neg(s.sub(zero, s.select(s.eq(max, s.splat(f32::NEG_INFINITY)), zero, max)))
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
