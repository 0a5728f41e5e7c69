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
//! A row is read in tiles of [`TILE`] classes that stay in the first-level cache: once for the tile's maximum, once for
//! the exponentials relative to the largest logit so far. When a later tile raises it, what was summed is scaled down.
//! So memory is touched once, and the maximum is exact.
//!
//! The same sums come out of every layout, bit by bit: class `c` goes to virtual lane `c mod 16`, and the lanes are
//! joined in one tree (see [`crate::simd`]).

use super::{
    grid::{Grid, Run, first_lanes},
    math,
    sum::{groups, tree},
};
use crate::simd::{LANES, Simd};

/// Classes in a tile: 4 KiB, a fraction of any first-level cache.
const TILE: usize = 1024;

/// Rows shorter than this are transposed, so that each takes a lane.
const SHORT: usize = 32;

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
}

impl<F: Copy> Partition<F> {
    /// `lse - max = ln_1p(others)`; NaN where the maximum is infinite, since then there is no loss.
    #[inline(always)]
    pub(crate) fn log_others<S: Simd<F = F>>(&self, s: S) -> F {
        s.add(math::ln_1p(s, self.others), s.sub(self.max, self.max))
    }

    /// `Σ q_c (lse - x_c)`.
    #[inline(always)]
    pub(crate) fn weighted_loss<S: Simd<F = F>>(&self, s: S, log_others: F) -> F {
        s.mul_add(self.mass, log_others, self.cross)
    }
}

/// Rows of logits: array 0 of the grid, in whose elements the classes start.
pub(crate) struct Rows<'a, const K: usize> {
    pub(crate) grid: Grid<'a, K>,
    pub(crate) logits: &'a [f32],
    pub(crate) classes: usize,
    /// The distance of neighbouring classes.
    pub(crate) stride: isize,
    pub(crate) cross: Cross<'a>,
}

/// The coefficients `q_c = w_c (keep t_c + floor)` of a weighted sum that is taken along with the exponentials: the
/// class weights, 1 without, times the smoothed target. Where that is exactly 0, a logit of −∞ adds nothing.
pub(crate) struct Cross<'a> {
    pub(crate) weight: Option<&'a [f32]>,
    pub(crate) target: Option<Probabilities<'a>>,
    pub(crate) keep: f32,
    pub(crate) floor: f32,
}

/// Class probabilities as targets: array [`TARGET`] of the grid.
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

    /// The terms of the `N` classes from `class` on, in a row whose targets start at `offset`.
    #[inline(always)]
    fn of_row<S: Simd>(&self, s: S, offset: usize, class: usize, delta: S::F) -> (S::F, S::F) {
        let weight = self.weight.map_or(s.splat(1.0), |w| s.load_part(w.get(class..).unwrap_or(&[]), 0.0));
        let target = self.target.as_ref().map(|target| {
            if target.stride == 1 {
                let from = target.data.get(offset.wrapping_add(class)..).unwrap_or(&[]);
                return s.load_part(from, 0.0);
            }
            let mut lanes = s.to_lanes(s.splat(0.0));
            gather(target.data, offset, target.stride, class, lanes.as_mut());
            s.from_lanes(lanes)
        });
        self.term(s, weight, target, delta)
    }

    /// `q delta` and `q`, from a weight and a target.
    #[inline(always)]
    fn term<S: Simd>(&self, s: S, weight: S::F, target: Option<S::F>, delta: S::F) -> (S::F, S::F) {
        let Some(target) = target else {
            let q = s.mul(weight, s.splat(self.floor));
            return (s.mul(q, delta), q);
        };
        let smoothed = s.mul_add(target, s.splat(self.keep), s.splat(self.floor));
        let q = s.mul(weight, smoothed);
        (s.select(s.eq(smoothed, s.splat(0.0)), s.splat(0.0), s.mul(q, delta)), q)
    }
}

/// The sums over one tile, or over some of its lanes. `sum` is scaled by 2^60 (see [`math::exp_term`]).
#[derive(Clone, Copy)]
struct Sums<F> {
    /// Exponentials of all that is below the reference.
    sum: F,
    /// How often the reference itself occurs.
    ties: F,
    cross: F,
    mass: F,
}

impl<F: Copy> Sums<F> {
    #[inline(always)]
    fn zero<S: Simd<F = F>>(s: S) -> Self {
        let zero = s.splat(0.0);
        Self { sum: zero, ties: zero, cross: zero, mass: zero }
    }

    #[inline(always)]
    fn join<S: Simd<F = F>, const CROSS: bool>(self, s: S, other: Self) -> Self {
        let mut joined = self;
        joined.sum = s.add(self.sum, other.sum);
        joined.ties = s.add(self.ties, other.ties);
        if CROSS {
            joined.cross = s.add(self.cross, other.cross);
            joined.mass = s.add(self.mass, other.mass);
        }
        joined
    }

    /// Adds the exponentials of `x`.
    #[inline(always)]
    fn take<S: Simd<F = F>>(&mut self, s: S, x: F, reference: F) {
        let zero = s.splat(0.0);
        let d = s.sub(x, reference);
        let tie = s.eq(d, zero);
        let (p, scale) = math::exp_term(s, d);
        self.sum = s.mul_add(p, s.select(tie, zero, scale), self.sum);
        self.ties = s.add(self.ties, s.select(tie, s.splat(1.0), zero));
    }

    /// Adds a term of the weighted sum and its coefficient.
    #[inline(always)]
    fn take_cross<S: Simd<F = F>>(&mut self, s: S, (term, q): (F, F)) {
        self.cross = s.add(self.cross, term);
        self.mass = s.add(self.mass, q);
    }
}

/// The state between two tiles of `N` rows.
#[derive(Clone, Copy)]
struct State<F> {
    max: F,
    sums: Sums<F>,
}

impl<F: Copy> State<F> {
    #[inline(always)]
    fn new<S: Simd<F = F>>(s: S) -> Self {
        Self { max: s.splat(f32::NEG_INFINITY), sums: Sums::zero(s) }
    }

    /// Goes on to the tile from class `start` on, with the maximum of its own. What was summed is scaled down where
    /// that is larger, and what was equal to the old maximum is then among the others. Returns what the exponentials
    /// are relative to: the maximum, but 0 where all is −∞, so that nothing becomes ∞ - ∞.
    #[inline(always)]
    fn enter<S: Simd<F = F>, const CROSS: bool>(&mut self, s: S, start: usize, tile_max: F) -> F {
        let finite = |max| s.select(s.eq(max, s.splat(f32::NEG_INFINITY)), s.splat(0.0), max);
        if start == 0 {
            self.max = tile_max;
            return finite(self.max);
        }
        let raised = s.lt(self.max, tile_max);
        let unit = s.splat(1.0 / math::TERM_UNIT);
        let factor = math::exp(s, s.sub(self.max, tile_max));
        let scaled = s.mul(s.mul_add(self.sums.ties, unit, self.sums.sum), factor);
        self.sums.sum = s.select(raised, scaled, self.sums.sum);
        self.sums.ties = s.select(raised, s.splat(0.0), self.sums.ties);
        if CROSS {
            let step = s.sub(tile_max, finite(self.max));
            let moved = s.add(self.sums.cross, s.mul(self.sums.mass, step));
            self.sums.cross = s.select(raised, moved, self.sums.cross);
        }
        // A NaN of an earlier tile may drop out here; its terms keep it.
        self.max = s.max(self.max, tile_max);
        finite(self.max)
    }

    #[inline(always)]
    fn finish<S: Simd<F = F>>(self, s: S) -> Partition<F> {
        let ties = s.sub(self.sums.ties, s.splat(1.0));
        Partition {
            max: self.max,
            others: s.mul_add(self.sums.sum, s.splat(math::TERM_UNIT), ties),
            cross: self.sums.cross,
            mass: self.sums.mass,
        }
    }

    /// One row, whose classes from `start` on are in `tile`: a lane for each class.
    #[inline(always)]
    fn row_tile<S: Simd<F = F>, const CROSS: bool>(
        &mut self,
        s: S,
        start: usize,
        tile: &[f32],
        mut cross: impl FnMut(usize, F) -> (F, F),
    ) {
        let (blocks, rest) = tile.as_chunks::<LANES>();
        let reference = self.enter::<S, CROSS>(s, start, s.splat(max_of(s, tile)));
        let zero = Sums::zero(s);
        let sums = groups(
            s,
            zero,
            |group| {
                let mut sums = zero;
                let mut class = start.wrapping_add(group * S::N);
                for block in blocks {
                    let x = s.load(block, group);
                    sums.take(s, x, reference);
                    if CROSS {
                        sums.take_cross(s, cross(class, s.sub(reference, x)));
                    }
                    class = class.wrapping_add(LANES);
                }
                if let Some(rest) = rest.get(group * S::N..).filter(|rest| !rest.is_empty()) {
                    let x = s.load_part(rest, f32::NEG_INFINITY);
                    sums.take(s, x, reference);
                    if CROSS {
                        let (term, q) = cross(class, s.sub(reference, x));
                        sums.take_cross(s, (first_lanes(s, term, rest.len()), first_lanes(s, q, rest.len())));
                    }
                }
                sums
            },
            |a, b| a.join::<S, CROSS>(s, b),
        );
        let mut whole = Sums { sum: s.splat(s.reduce_add(sums.sum)), ties: s.splat(s.reduce_add(sums.ties)), ..zero };
        if CROSS {
            whole.cross = s.splat(s.reduce_add(sums.cross));
            whole.mass = s.splat(s.reduce_add(sums.mass));
        }
        self.sums = self.sums.join::<S, CROSS>(s, whole);
    }

    /// `N` rows, of which `load` gives one class each: a lane for each row.
    #[inline(always)]
    fn columns_tile<S: Simd<F = F>, const CROSS: bool>(
        &mut self,
        s: S,
        start: usize,
        len: usize,
        mut load: impl FnMut(usize) -> F,
        mut cross: impl FnMut(usize, F) -> (F, F),
    ) {
        let mut tile_max = s.splat(f32::NEG_INFINITY);
        for i in 0..len {
            tile_max = s.max(tile_max, load(start.wrapping_add(i)));
        }
        let reference = self.enter::<S, CROSS>(s, start, tile_max);
        let zero = Sums::zero(s);
        let sums = tree(
            len.min(LANES),
            zero,
            |lane| {
                let mut sums = zero;
                for i in (lane..len).step_by(LANES) {
                    let class = start.wrapping_add(i);
                    let x = load(class);
                    sums.take(s, x, reference);
                    if CROSS {
                        sums.take_cross(s, cross(class, s.sub(reference, x)));
                    }
                }
                sums
            },
            |a, b| a.join::<S, CROSS>(s, b),
        );
        self.sums = self.sums.join::<S, CROSS>(s, sums);
    }
}

/// The largest element, with four independent chains; a NaN may be lost.
#[inline(always)]
fn max_of<S: Simd>(s: S, x: &[f32]) -> f32 {
    let lowest = s.splat(f32::NEG_INFINITY);
    let (quads, rest) = x.as_chunks::<{ 4 * LANES }>();
    let mut max = [lowest; 4];
    for quad in quads {
        let (blocks, _) = quad.as_chunks::<LANES>();
        for (max, block) in max.iter_mut().zip(blocks) {
            for group in 0..LANES / S::N {
                *max = s.max(*max, s.load(block, group));
            }
        }
    }
    let [mut a, b, c, d] = max;
    for part in rest.chunks(S::N) {
        a = s.max(a, s.load_part(part, f32::NEG_INFINITY));
    }
    s.reduce_max(s.max(s.max(a, b), s.max(c, d)))
}

impl<const K: usize> Rows<'_, K> {
    /// The partition of the rows `i .. i + count`, at most `N`; the other lanes hold nothing of meaning.
    #[inline(always)]
    pub(crate) fn partition<S: Simd, const CROSS: bool>(
        &self,
        s: S,
        run: &mut Run<K>,
        i: usize,
        count: usize,
    ) -> Partition<S::F> {
        if S::N == 1 {
            return self.by_columns::<S, CROSS>(s, run, i, count);
        }
        if self.stride != 1 {
            return if self.grid.steps[0] == 1 || self.classes < SHORT {
                self.by_columns::<S, CROSS>(s, run, i, count)
            } else {
                self.by_rows::<S, CROSS>(s, run, i, count)
            };
        }
        if self.classes < SHORT {
            self.transposed::<S, CROSS>(s, run, i, count)
        } else {
            self.by_rows::<S, CROSS>(s, run, i, count)
        }
    }

    #[inline(always)]
    fn by_rows<S: Simd, const CROSS: bool>(&self, s: S, run: &mut Run<K>, i: usize, count: usize) -> Partition<S::F> {
        let zero = s.to_lanes(s.splat(0.0));
        let mut lanes = [zero; 4];
        for l in 0..count {
            let i = i.wrapping_add(l);
            self.grid.seek(run, i);
            let offset = self.grid.offset(run, 0, i);
            let target = if CROSS && self.cross.target.is_some() { self.grid.offset(run, TARGET, i) } else { 0 };
            let cross = |class, delta| self.cross.of_row(s, target, class, delta);
            let mut state = State::new(s);
            if self.stride == 1 {
                let row = self.logits.get(offset..offset.wrapping_add(self.classes)).unwrap_or(&[]);
                for (number, tile) in row.chunks(TILE).enumerate() {
                    state.row_tile::<S, CROSS>(s, number.wrapping_mul(TILE), tile, cross);
                }
            } else {
                let mut buffer = [0.0; TILE];
                for start in (0..self.classes).step_by(TILE) {
                    let len = TILE.min(self.classes - start);
                    let tile = buffer.get_mut(..len).unwrap_or(&mut []);
                    gather(self.logits, offset, self.stride, start, tile);
                    state.row_tile::<S, CROSS>(s, start, tile, cross);
                }
            }
            let row = state.finish(s);
            for (lanes, x) in lanes.iter_mut().zip([row.max, row.others, row.cross, row.mass]) {
                if let (Some(lane), Some(&x)) = (lanes.as_mut().get_mut(l), s.to_lanes(x).as_ref().first()) {
                    *lane = x;
                }
            }
        }
        let [max, others, cross, mass] = lanes.map(|lanes| s.from_lanes(lanes));
        Partition { max, others, cross, mass }
    }

    #[inline(always)]
    fn by_columns<S: Simd, const CROSS: bool>(
        &self,
        s: S,
        run: &mut Run<K>,
        i: usize,
        count: usize,
    ) -> Partition<S::F> {
        let mut target_run = *run;
        let load = |class: usize| {
            let shift = self.stride.wrapping_mul(class.cast_signed());
            self.grid.load(s, run, 0, self.logits, i, count, shift, 0.0)
        };
        self.columns::<S, CROSS>(s, &mut target_run, i, count, load)
    }

    /// Short contiguous rows: transposed first, through a buffer of a lane per row.
    #[inline(always)]
    fn transposed<S: Simd, const CROSS: bool>(
        &self,
        s: S,
        run: &mut Run<K>,
        i: usize,
        count: usize,
    ) -> Partition<S::F> {
        let mut buffer = [s.to_lanes(s.splat(0.0)); SHORT];
        for l in 0..count {
            let i = i.wrapping_add(l);
            self.grid.seek(run, i);
            let offset = self.grid.offset(run, 0, i);
            let row = self.logits.get(offset..offset.wrapping_add(self.classes)).unwrap_or(&[]);
            for (column, &x) in buffer.iter_mut().zip(row) {
                if let Some(lane) = column.as_mut().get_mut(l) {
                    *lane = x;
                }
            }
        }
        let load = |class: usize| s.from_lanes(buffer[class % SHORT]);
        self.columns::<S, CROSS>(s, run, i, count, load)
    }

    #[inline(always)]
    fn columns<S: Simd, const CROSS: bool>(
        &self,
        s: S,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        mut load: impl FnMut(usize) -> S::F,
    ) -> Partition<S::F> {
        let mut cross = |class: usize, delta| {
            let weight = s.splat(self.cross.weight.map_or(1.0, |w| w.get(class).copied().unwrap_or(0.0)));
            let target = self.cross.target.as_ref().map(|target| {
                let shift = target.stride.wrapping_mul(class.cast_signed());
                self.grid.load(s, run, TARGET, target.data, i, count, shift, 0.0)
            });
            self.cross.term(s, weight, target, delta)
        };
        let mut state = State::new(s);
        for start in (0..self.classes).step_by(TILE) {
            state.columns_tile::<S, CROSS>(s, start, TILE.min(self.classes - start), &mut load, &mut cross);
        }
        state.finish(s)
    }
}

/// The elements of a row from class `start` on, at any stride.
#[inline(never)]
fn gather(data: &[f32], offset: usize, stride: isize, start: usize, out: &mut [f32]) {
    let mut at = offset.wrapping_add_signed(stride.wrapping_mul(start.cast_signed()));
    for out in out {
        if let Some(&x) = data.get(at) {
            *out = x;
        }
        at = at.wrapping_add_signed(stride);
    }
}
