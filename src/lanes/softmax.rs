//! Softmax and log-softmax along an axis, and reductions of one row.

use super::{
    elements::{Apply, map_slice},
    grid::{Grid, Run, first_lanes},
    math,
    partition::{Cross, Layout, RowKernel, Rows, run_rows},
    sum::in_lanes,
};
use crate::simd::{Kernel, LANES, Ops, Simd};

/// The output's place in the grid.
const OUT: usize = 1;

/// Softmax, or its logarithm, of each row of array 0 into array 1; without an input, in place.
pub(crate) struct Softmax<'a> {
    pub(crate) grid: Grid<'a, 2>,
    pub(crate) classes: usize,
    /// The distance of neighbouring classes in both arrays.
    pub(crate) strides: [isize; 2],
    pub(crate) input: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
    pub(crate) log: bool,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let way = self.rows().way();
        if self.log { run_rows(s, way, Write::<true>(self)) } else { run_rows(s, way, Write::<false>(self)) }
    }
}

impl Softmax<'_> {
    fn rows(&self) -> Rows<'_, 2> {
        let logits = self.input.unwrap_or(self.out);
        Rows { grid: self.grid, logits, classes: self.classes, stride: self.strides[0], cross: Cross::NONE }
    }
}

/// With or without the logarithm.
struct Write<'a, const LOG: bool>(Softmax<'a>);

impl<const LOG: bool> RowKernel for Write<'_, LOG> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, L: Layout>(self, s: S) {
        let Softmax { grid, classes, strides, input, out, log: _ } = self.0;
        let mut layout = L::new();
        let mut run = grid.start();
        for i in (0..grid.len).step_by(S::N) {
            let count = S::N.min(grid.len - i);
            let rows = Rows { grid, logits: input.unwrap_or(out), classes, stride: strides[0], cross: Cross::NONE };
            let partition = layout.partition::<S, false, 2>(s, &rows, &mut run, i, count, &[]);
            let (max, factor) = (partition.max, factor::<S, LOG>(s, partition.others));
            if S::N > 1 && strides == [1, 1] {
                let (max, factor) = (s.to_lanes(max), s.to_lanes(factor));
                for (l, (&max, &factor)) in max.as_ref().iter().zip(factor.as_ref()).enumerate().take(count) {
                    let i = i.wrapping_add(l);
                    grid.seek(&mut run, i);
                    let range = |k| {
                        let offset = grid.offset(&run, k, i);
                        offset..offset.wrapping_add(classes)
                    };
                    let x = input.and_then(|x| x.get(range(0)));
                    map_slice(s, x, out.get_mut(range(OUT)).unwrap_or(&mut []), &OfRow::<LOG> { max, factor });
                }
                continue;
            }
            for class in 0..classes {
                let shift = |k: usize| strides[k].wrapping_mul(class.cast_signed());
                let x = match input {
                    Some(x) => grid.load(s, &mut run, 0, x, i, count, shift(0), 0.0),
                    None => grid.load(s, &mut run, OUT, out, i, count, shift(OUT), 0.0),
                };
                let y = probability::<S, LOG>(s, x, max, factor);
                grid.store(s, &mut run, OUT, out, i, count, shift(OUT), y);
            }
        }
    }
}

/// What [`probability`] needs of a row: of its softmax `1 / (1 + others)`, scaled for [`math::exp_term`], of its
/// logarithm `ln_1p(others)`.
#[inline(always)]
fn factor<S: Ops, const LOG: bool>(s: S, others: S::F) -> S::F {
    if LOG { math::ln_1p(s, others) } else { s.div(s.splat(math::TERM_UNIT), s.add(s.splat(1.0), others)) }
}

/// The probability of a logit, or its logarithm.
#[inline(always)]
fn probability<S: Ops, const LOG: bool>(s: S, x: S::F, max: S::F, factor: S::F) -> S::F {
    let d = s.sub(x, max);
    if LOG {
        return s.sub(d, factor);
    }
    let (p, scale) = math::exp_term(s, d);
    s.mul(s.mul(p, scale), factor)
}

/// The [`probability`] of each logit of one row.
struct OfRow<const LOG: bool> {
    max: f32,
    factor: f32,
}

impl<const LOG: bool> Apply for OfRow<LOG> {
    #[inline(always)]
    fn apply<S: Ops>(&self, s: S, x: S::F) -> S::F {
        probability::<S, LOG>(s, x, s.splat(self.max), s.splat(self.factor))
    }
}

/// A reduction of a vector of any stride.
pub(crate) struct Reduce<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) grid: Grid<'a, 1>,
}

/// The largest element: NaN if there is one, −∞ if there is nothing.
pub(crate) struct Max<'a>(pub(crate) Reduce<'a>);

impl Kernel for Max<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let lowest = s.splat(f32::NEG_INFINITY);
        let mut run = self.0.grid.start();
        let (max, nan) = in_lanes(
            s,
            self.0.blocks(),
            (lowest, lowest),
            #[inline(always)]
            |(max, nan), first, group| {
                let (x, _) = self.0.load(s, &mut run, first, group, f32::NEG_INFINITY);
                *max = s.max(*max, x);
                *nan = s.select(s.eq(x, x), *nan, x);
            },
            #[inline(always)]
            |_, _| {},
            #[inline(always)]
            |(a, b), (c, d)| (s.max(a, c), s.add(b, d)),
        );
        // Adding 0 makes -0 the same as +0, which the order of the lanes would tell apart.
        if s.reduce_add(nan).is_nan() { f32::NAN } else { s.reduce_max(max) + 0.0 }
    }
}

/// `Σ exp(x - shift)`.
pub(crate) struct ExpSum<'a> {
    pub(crate) reduce: Reduce<'a>,
    pub(crate) shift: f32,
}

impl Kernel for ExpSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let shift = s.splat(self.shift);
        let mut run = self.reduce.grid.start();
        let sums = in_lanes(
            s,
            self.reduce.blocks(),
            s.splat(0.0),
            #[inline(always)]
            |sum, first, group| {
                let (x, count) = self.reduce.load(s, &mut run, first, group, 0.0);
                *sum = s.add(*sum, first_lanes(s, math::exp(s, s.sub(x, shift)), count));
            },
            #[inline(always)]
            |_, _| {},
            #[inline(always)]
            |a, b| s.add(a, b),
        );
        s.reduce_add(sums)
    }
}

impl Reduce<'_> {
    /// Where the blocks start.
    #[inline(always)]
    fn blocks(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        (0..self.grid.len).step_by(LANES)
    }

    /// One group of a block, and how many of its lanes are in use; the others have `pad`.
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, run: &mut Run<1>, first: usize, group: usize, pad: f32) -> (S::F, usize) {
        let i = first.wrapping_add(group * S::N);
        let count = S::N.min(self.grid.len.saturating_sub(i));
        if count == 0 {
            return (s.splat(pad), 0);
        }
        (self.grid.load(s, run, 0, self.data, i, count, 0, pad), count)
    }
}

/// The log-sum-exp of one row.
pub(crate) struct LogSumExp<'a>(pub(crate) Rows<'a, 1>);

impl Kernel for LogSumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        run_rows(s, self.0.way(), self)
    }
}

impl RowKernel for LogSumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd, L: Layout>(self, s: S) -> f32 {
        let mut run = self.0.grid.start();
        let partition = L::new().partition::<S, false, 1>(s, &self.0, &mut run, 0, 1, &[]);
        let first = |x: S::F| s.to_lanes(x).as_ref().first().copied();
        match (first(partition.max), first(partition.others)) {
            // One value for the whole row.
            (Some(max), Some(others)) => max + libm::log1pf(others),
            _ => f32::NEG_INFINITY,
        }
    }
}
