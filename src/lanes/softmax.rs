//! Softmax and log-softmax along an axis, and reductions of one row.

use super::{
    grid::{Grid, Run, first_lanes},
    math,
    partition::{Cross, Partition, Rows},
    sum::groups,
};
use crate::simd::{Kernel, LANES, Simd};

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
        if self.log { self.write::<S, true>(s) } else { self.write::<S, false>(s) }
    }
}

impl Softmax<'_> {
    #[inline(always)]
    fn write<S: Simd, const LOG: bool>(self, s: S) {
        let Self { grid, classes, strides, input, out, log: _ } = self;
        let mut run = grid.start();
        for i in (0..grid.len).step_by(S::N) {
            let count = S::N.min(grid.len - i);
            let rows = Rows { grid, logits: input.unwrap_or(out), classes, stride: strides[0], cross: Cross::NONE };
            let partition = rows.partition::<S, false>(s, &mut run, i, count);
            if S::N > 1 && strides == [1, 1] {
                let scales = Scale::<S::F>::new::<S, LOG>(s, &partition);
                let (offsets, factors) = (s.to_lanes(scales.offset), s.to_lanes(scales.factor));
                for (l, (&offset, &factor)) in offsets.as_ref().iter().zip(factors.as_ref()).enumerate().take(count) {
                    let i = i.wrapping_add(l);
                    grid.seek(&mut run, i);
                    let range = |k| {
                        let offset = grid.offset(&run, k, i);
                        offset..offset.wrapping_add(classes)
                    };
                    let scale = Scale { offset: s.splat(offset), factor: s.splat(factor) };
                    let x = input.and_then(|x| x.get(range(0)));
                    scale.row::<S, LOG>(s, x, out.get_mut(range(OUT)).unwrap_or(&mut []));
                }
                continue;
            }
            let scale = Scale::<S::F>::new::<S, LOG>(s, &partition);
            for class in 0..classes {
                let shift = |k: usize| strides[k].wrapping_mul(class.cast_signed());
                let x = match input {
                    Some(x) => grid.load(s, &mut run, 0, x, i, count, shift(0), 0.0),
                    None => grid.load(s, &mut run, OUT, out, i, count, shift(OUT), 0.0),
                };
                grid.store(s, &mut run, OUT, out, i, count, shift(OUT), scale.apply::<S, LOG>(s, x));
            }
        }
    }
}

/// What turns a logit into its (log-)probability.
#[derive(Clone, Copy)]
struct Scale<F> {
    /// The row's maximum.
    offset: F,
    /// Softmax: `1 / (1 + others)`, scaled for [`math::exp_term`]. Log-softmax: `ln_1p(others)`.
    factor: F,
}

impl<F: Copy> Scale<F> {
    #[inline(always)]
    fn new<S: Simd<F = F>, const LOG: bool>(s: S, partition: &Partition<F>) -> Self {
        let factor = if LOG {
            math::ln_1p(s, partition.others)
        } else {
            s.div(s.splat(math::TERM_UNIT), s.add(s.splat(1.0), partition.others))
        };
        Self { offset: partition.max, factor }
    }

    #[inline(always)]
    fn apply<S: Simd<F = F>, const LOG: bool>(self, s: S, x: F) -> F {
        let d = s.sub(x, self.offset);
        if LOG {
            return s.sub(d, self.factor);
        }
        let (p, scale) = math::exp_term(s, d);
        s.mul(s.mul(p, scale), self.factor)
    }

    /// A contiguous row, `x` or `out` itself.
    #[inline(always)]
    fn row<S: Simd<F = F>, const LOG: bool>(self, s: S, x: Option<&[f32]>, out: &mut [f32]) {
        super::elements::map_slice(s, x, out, |x| self.apply::<S, LOG>(s, x));
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
        let (max, nan) = groups(
            s,
            (lowest, lowest),
            |group| {
                let (mut max, mut nan) = (lowest, lowest);
                self.0.for_each(s, group, f32::NEG_INFINITY, |x, _| {
                    max = s.max(max, x);
                    nan = s.select(s.eq(x, x), nan, x);
                });
                (max, nan)
            },
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
        let sums = groups(
            s,
            s.splat(0.0),
            |group| {
                let mut sum = s.splat(0.0);
                self.reduce.for_each(s, group, 0.0, |x, count| {
                    sum = s.add(sum, first_lanes(s, math::exp(s, s.sub(x, shift)), count));
                });
                sum
            },
            |a, b| s.add(a, b),
        );
        s.reduce_add(sums)
    }
}

impl Reduce<'_> {
    /// The vectors of one group of every block, with the number of lanes in use.
    #[inline(always)]
    fn for_each<S: Simd>(&self, s: S, group: usize, pad: f32, mut f: impl FnMut(S::F, usize)) {
        let mut run: Run<1> = self.grid.start();
        for i in (group * S::N..self.grid.len).step_by(LANES) {
            let count = S::N.min(self.grid.len - i);
            f(self.grid.load(s, &mut run, 0, self.data, i, count, 0, pad), count);
        }
    }
}

/// The largest element and `ln_1p(others)` of one row: together its log-sum-exp.
pub(crate) struct LogSumExp<'a>(pub(crate) Rows<'a, 1>);

impl Kernel for LogSumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut run = self.0.grid.start();
        let partition = self.0.partition::<S, false>(s, &mut run, 0, 1);
        let lse = s.add(partition.max, math::ln_1p(s, partition.others));
        s.to_lanes(lse).as_ref().first().copied().unwrap_or(f32::NEG_INFINITY)
    }
}
