//! Softmax and log-softmax along an axis, and reductions of one row.

use core::marker::PhantomData;

use super::{
    grid::{Grid, Run, first_lanes},
    layout::{Layout, RowKernel, Rows, run_way},
    map::{Coefficients, Memory, RowMap, Unmapped},
    math,
    partition::{ByLeader, Form, Partition, Whole},
    rows::load_four,
    sum::in_lanes,
};
use crate::simd::{Four, Kernel, LANES, Ops, Simd};

/// The output's place in the grid.
pub(crate) const OUT: usize = 1;

/// Softmax, or its logarithm, of each row of array 0 into array 1; without an input, in place.
pub(crate) struct Softmax<'a> {
    pub(crate) rows: Rows<'a, 2>,
    pub(crate) memory: Memory<'a>,
    pub(crate) log: bool,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        if self.log {
            Write::<LogSoftmax>::new(self).run_in_way(s);
        } else {
            Write::<Plain>::new(self).run_in_way(s);
        }
    }
}

/// With or without the logarithm.
struct Write<'a, 'k, M>(&'k mut Softmax<'a>, PhantomData<M>);

impl<'a, 'k, M> Write<'a, 'k, M> {
    #[inline(always)]
    fn new(softmax: &'k mut Softmax<'a>) -> Self {
        Self(softmax, PhantomData)
    }
}

impl<M: OfPartition> Write<'_, '_, M> {
    #[inline(always)]
    fn run_in_way<S: Simd>(&mut self, s: S) {
        run_way(s, self.0.rows.way::<S, M, M::Form>(), self);
    }
}

impl<M: OfPartition> RowKernel for Write<'_, '_, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, L: Layout>(&mut self, s: S, layout: &mut L) {
        let Softmax { rows, memory, .. } = &mut *self.0;
        let mut run = rows.grid.start();
        let mut i = 0;
        while i < rows.grid.len {
            let left = rows.grid.len - i;
            if left >= 4 * S::N && !S::SINGLE {
                let partition = layout.four::<S, M, M::Form, 2>(s, rows, memory, &mut run, i, &[]);
                let four = Four(s);
                let row = M::coefficients(four, &partition);
                layout.write_all::<S, Four<S>, M, 2>(s, four, rows, memory, &mut run, i, S::N, &row, None);
                i = i.wrapping_add(4 * S::N);
                continue;
            }
            let count = S::N.min(left);
            rows.grid.seek(&mut run, i);
            let partition = layout.partition::<S, M, M::Form, 2>(s, rows, memory, &mut run, i, count, &[]);
            let row = M::coefficients(s, &partition);
            layout.write_all::<S, S, M, 2>(s, s, rows, memory, &mut run, i, count, &row, None);
            i = i.wrapping_add(count);
        }
    }
}

/// A map that depends on the partition alone.
trait OfPartition: RowMap {
    type Form: Form;

    fn coefficients<O: Ops>(o: O, partition: &Partition<O::F>) -> Coefficients<O::F>;
}

/// `exp(x_c - max) / (1 + others)`.
struct Plain;

impl RowMap for Plain {
    const EXPONENTIALS: bool = true;
    const CROSS: bool = false;

    #[inline(always)]
    fn value<O: Ops>(o: O, row: &Coefficients<O::F>, e: O::F, _: O::F) -> O::F {
        o.mul(e, row.factor)
    }
}

impl OfPartition for Plain {
    type Form = Whole;

    #[inline(always)]
    fn coefficients<O: Ops>(o: O, partition: &Partition<O::F>) -> Coefficients<O::F> {
        let factor = o.div(o.splat(math::TERM_UNIT), o.add(o.splat(1.0), partition.others));
        Coefficients::new(o, partition, factor)
    }
}

/// `(x_c - max) - ln_1p(others)`.
struct LogSoftmax;

impl RowMap for LogSoftmax {
    const EXPONENTIALS: bool = false;
    const CROSS: bool = false;

    #[inline(always)]
    fn value<O: Ops>(o: O, row: &Coefficients<O::F>, x: O::F, _: O::F) -> O::F {
        o.sub(o.sub(x, row.reference), row.factor)
    }
}

impl OfPartition for LogSoftmax {
    type Form = ByLeader;

    #[inline(always)]
    fn coefficients<O: Ops>(o: O, partition: &Partition<O::F>) -> Coefficients<O::F> {
        Coefficients::new(o, partition, partition.log_others(o))
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
    fn run<S: Simd>(&mut self, s: S) -> f32 {
        // The order does not matter: four independent chains, and no lanes.
        let (four, width) = (Four(s), 4 * S::N);
        let mut max = four.splat(f32::NEG_INFINITY);
        let mut nan = max;
        let mut done = 0;
        for block in self.0.contiguous::<S>().chunks_exact(width) {
            let x = load_four(s, block);
            max = four.max(max, x);
            nan = four.select(four.eq(x, x), nan, x);
            done += width;
        }
        let mut run = self.0.grid.start();
        for first in (done..self.0.grid.len).step_by(S::N) {
            let (x, _) = self.0.load(s, &mut run, first, 0, f32::NEG_INFINITY);
            max[0] = s.max(max[0], x);
            nan[0] = s.select(s.eq(x, x), nan[0], x);
        }
        let max = s.max(s.max(max[0], max[1]), s.max(max[2], max[3]));
        let nan = s.add(s.add(nan[0], nan[1]), s.add(nan[2], nan[3]));
        // Adding 0 makes -0 the same as +0, which the order would tell apart.
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
    fn run<S: Simd>(&mut self, s: S) -> f32 {
        let shift = s.splat(self.shift);
        let mut run = self.reduce.grid.start();
        let sums = in_lanes(
            s,
            self.reduce.blocks(),
            s.splat(0.0),
            #[inline(always)]
            |sum, first, group| {
                let (x, count) = self.reduce.load(s, &mut run, first, group, 0.0);
                *sum = s.add(*sum, first_lanes(s, math::exp(s, s.sub(x, shift)), count, s.splat(0.0)));
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
    /// All elements, if they follow each other in memory; not for a single lane, which has no use for that.
    #[inline(always)]
    fn contiguous<S: Simd>(&self) -> &[f32] {
        if S::SINGLE { &[] } else { self.grid.flat_slice(0, self.data).unwrap_or(&[]) }
    }

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
        self.grid.seek(run, i);
        (self.grid.load(s, run, 0, self.data, i, count, 0, pad), count)
    }
}

/// The log-sum-exp of one row.
pub(crate) struct LogSumExp<'a> {
    pub(crate) rows: Rows<'a, 1>,
    pub(crate) x: &'a [f32],
}

impl Kernel for LogSumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> f32 {
        run_way(s, self.rows.way::<S, Unmapped, ByLeader>(), self)
    }
}

impl RowKernel for LogSumExp<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd, L: Layout>(&mut self, s: S, layout: &mut L) -> f32 {
        let Self { rows, x } = &*self;
        let mut run = rows.grid.start();
        let mut memory = Memory::read_only(x);
        let partition = layout.partition::<S, Unmapped, ByLeader, 1>(s, rows, &mut memory, &mut run, 0, 1, &[]);
        let first = |x: S::F| s.to_lanes(x).as_ref().first().copied();
        match (first(partition.max), first(partition.others)) {
            // One value for the whole row.
            (Some(max), Some(others)) => max + libm::log1pf(others),
            _ => f32::NEG_INFINITY,
        }
    }
}
