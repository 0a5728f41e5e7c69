//! The losses of rows with a target class.

use core::marker::PhantomData;

use super::{
    gradient::{TargetGradients, coefficients, of_target, write_zeros},
    grid::Run,
    labels::ClassTargets,
    layout::{Layout, RowKernel, Rows, run_way, run_way_shared},
    map::RowMap,
    partition::{ByTarget, Form, Partition, Smoothed, SmoothedByWeight},
    pass::Pass,
    sum::{Items, total},
};
use crate::{
    Error,
    simd::{Four, Group, Kernel, LANES, Ops, Simd},
    total::Total,
};

/// The output's place in the grid of [`Rows`].
pub(crate) const OUT: usize = 2;

/// Rows in a tile of the sum: about 64 KiB of logits, so that short rows share the cost of the tile and long rows are
/// split finely enough for threads.
pub(crate) const fn tile_rows(classes: usize) -> usize {
    match classes {
        0..=64 => 1024,
        65..=4096 => 1 << (16 - classes.ilog2()),
        _ => 1,
    }
}

/// A loss of rows with a target class.
trait ClassLoss {
    /// The losses of the rows `i ..` with these labels and weights, and their gradient.
    #[expect(clippy::too_many_arguments, reason = "what rows, in what memory, and which of them")]
    fn one<'m, S: Simd, P: Pass<'m>, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        pass: &mut P,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
        weight: S::F,
    ) -> S::F;

    /// The same for `4 N` rows.
    #[expect(clippy::too_many_arguments, reason = "as for `one`")]
    fn four<'m, S: Simd, P: Pass<'m>, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        pass: &mut P,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
        weight: [S::F; 4],
    ) -> [S::F; 4];
}

/// Rows with a target class, as items of a sum.
struct ClassItems<'a, 'k, P, L, I, const K: usize> {
    kernel: &'k mut ClassKernel<'a, P, L, K>,
    run: Run<K>,
    loss: I,
    /// The first of the rows that were read together with a label that is out of range; [`usize::MAX`] if none was.
    wrong: usize,
}

impl<P, L, I, const K: usize> ClassItems<'_, '_, P, L, I, K> {
    /// Reads the labels of the rows from `i` on; whether any is ignored.
    #[inline(always)]
    fn read<S: Simd>(&mut self, s: S, i: usize, labels: &mut [usize]) -> Option<bool> {
        let Self { kernel: ClassKernel { rows, targets, .. }, run, .. } = &mut *self;
        let ignored = targets.read(s, rows, run, i, labels);
        if ignored.is_none() {
            self.wrong = self.wrong.min(i);
        }
        ignored
    }

    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, i: usize, count: usize, loss: S::F) {
        if let Some(out) = &mut self.kernel.out {
            self.kernel.rows.grid.store(s, &mut self.run, OUT, out, i, count, 0, loss);
        }
    }
}

impl<'m, S: Simd, P: Pass<'m>, L, I: ClassLoss, const K: usize> Items<S> for ClassItems<'_, '_, P, L, I, K> {
    #[inline(always)]
    fn one(&mut self, s: S, i: usize, count: usize) -> (S::F, S::F) {
        let zero = s.splat(0.0);
        let (mut one, mut labels) = ([0], [0; LANES]);
        let labels = if S::SINGLE { &mut one } else { labels.get_mut(..count.min(S::N)).unwrap_or(&mut []) };
        let Some(ignored) = self.read(s, i, labels) else {
            return (zero, zero);
        };
        let ClassKernel { rows, targets, pass, .. } = &mut *self.kernel;
        let (weight, kept) = if S::SINGLE || ignored || targets.weight.is_some() {
            targets.weights(s, labels, ignored)
        } else {
            (s.splat(1.0), s.eq(zero, zero))
        };
        let loss = self.loss.one(s, rows, pass, &mut self.run, i, labels, weight);
        let loss = s.select(kept, loss, zero);
        self.store(s, i, count, loss);
        (loss, weight)
    }

    #[inline(always)]
    fn four(&mut self, s: S, i: usize) -> ([S::F; 4], [S::F; 4]) {
        let zero = s.splat(0.0);
        let mut labels = [0; 4 * LANES];
        let labels = labels.get_mut(..4 * S::N).unwrap_or(&mut []);
        let Some(ignored) = self.read(s, i, labels) else {
            return ([zero; 4], [zero; 4]);
        };
        let ClassKernel { rows, targets, pass, .. } = &mut *self.kernel;
        let mut weight = [s.splat(1.0); 4];
        let mut kept = [s.eq(zero, zero); 4];
        if ignored || targets.weight.is_some() {
            for k in 0..4 {
                (weight[k], kept[k]) = targets.weights(s, labels.get(k * S::N..(k + 1) * S::N).unwrap_or(&[]), ignored);
            }
        }
        let mut loss = self.loss.four(s, rows, pass, &mut self.run, i, labels, weight);
        for k in 0..4 {
            loss[k] = s.select(kept[k], loss[k], zero);
        }
        // Asked once: between stores that may be left out, the compiler would compute each loss only where it is stored, one after the
        // other.
        if self.kernel.out.is_some() {
            for (k, &loss) in loss.iter().enumerate() {
                self.store(s, i.wrapping_add(k * S::N), S::N, loss);
            }
        }
        (loss, weight)
    }
}

/// A loss of class indices, with or without its gradient: [`CrossEntropy`] or [`NegativeLogLikelihood`].
pub(crate) struct ClassKernel<'a, P, L, const K: usize> {
    pub(crate) rows: Rows<'a, K>,
    pub(crate) targets: ClassTargets<'a>,
    pub(crate) out: Option<&'a mut [f32]>,
    pub(crate) pass: P,
    pub(crate) loss: PhantomData<L>,
}

impl<'m, P: Pass<'m>, L, const K: usize> ClassKernel<'_, P, L, K> {
    /// The total of a loss. A label out of range is an error.
    #[inline(always)]
    fn total<S: Simd>(&mut self, s: S, loss: impl ClassLoss) -> Result<Total, Error> {
        let Self { rows, targets, .. } = &*self;
        let (run, len, tile, unit) =
            (rows.grid.start(), rows.grid.len, tile_rows(rows.classes), targets.weight.is_none());
        let mut items = ClassItems { kernel: self, run, loss, wrong: usize::MAX };
        let total = total(s, len, tile, unit, &mut items);
        let wrong = items.wrong;
        if wrong == usize::MAX { Ok(total) } else { Err(self.targets.first_error(&self.rows, wrong)) }
    }
}

/// Cross entropy, with or without label smoothing.
pub(crate) struct CrossEntropy<const SMOOTHING: bool>;

impl<'m, P: Pass<'m>, const K: usize, const SMOOTHING: bool> Kernel for ClassKernel<'_, P, CrossEntropy<SMOOTHING>, K> {
    type Output = Result<Total, Error>;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> Self::Output {
        if !SMOOTHING {
            return run_way(s, self.rows.way::<S, P::Plain, ByTarget>(), self);
        }
        self.rows.smoothing = self.rows.cross.smoothing(s, self.rows.classes);
        if self.rows.cross.weight.is_none() {
            run_way_shared(s, self.rows.way::<S, P::Cross, Smoothed>(), &mut Unweighted(self))
        } else {
            run_way_shared(s, self.rows.way::<S, P::Cross, SmoothedByWeight>(), self)
        }
    }
}

impl<'m, P: Pass<'m>, const K: usize, const SMOOTHING: bool> RowKernel
    for ClassKernel<'_, P, CrossEntropy<SMOOTHING>, K>
{
    type Output = Result<Total, Error>;

    #[inline(always)]
    fn run<S: Simd, L: Layout>(&mut self, s: S, layout: &mut L) -> Self::Output {
        if SMOOTHING {
            self.total(s, OfPartition::<_, P::Cross, SmoothedByWeight>::new(layout))
        } else {
            self.total(s, OfPartition::<_, P::Plain, ByTarget>::new(layout))
        }
    }
}

/// Smoothed labels without class weights.
struct Unweighted<'k, K>(&'k mut K);

impl<'m, P: Pass<'m>, L, const K: usize> RowKernel for Unweighted<'_, ClassKernel<'_, P, L, K>> {
    type Output = Result<Total, Error>;

    #[inline(always)]
    fn run<S: Simd, W: Layout>(&mut self, s: S, layout: &mut W) -> Self::Output {
        self.0.total(s, OfPartition::<_, P::Cross, Smoothed>::new(layout))
    }
}

/// The cross entropy of a target class, from the partition of its row.
struct OfPartition<'l, L, M, F>(&'l mut L, PhantomData<(M, F)>);

impl<'l, L: Layout, M: RowMap, F: Form> OfPartition<'l, L, M, F> {
    #[inline(always)]
    fn new(layout: &'l mut L) -> Self {
        Self(layout, PhantomData)
    }

    #[inline(always)]
    fn loss<O: Ops>(s: O, partition: &Partition<O::F>, keep: f32, weight: O::F) -> O::F {
        let log_others = partition.log_others(s);
        let lead = s.sub(partition.max, partition.logit);
        let loss = s.mul(weight, s.add(lead, log_others));
        if !F::CROSS {
            return loss;
        }
        // Smoothed altogether, the target has no part of its own, even where its logit is −∞.
        let own = if keep == 0.0 { s.splat(0.0) } else { s.mul(loss, s.splat(keep)) };
        s.add(own, partition.weighted_loss(s, log_others))
    }

    /// Writes the gradient of a group of rows.
    #[expect(clippy::too_many_arguments, reason = "as for `ClassLoss`")]
    #[inline(always)]
    fn backward<'m, S: Simd, G: Group<S>, P: Pass<'m>, const K: usize>(
        &mut self,
        s: S,
        g: G,
        rows: &Rows<'_, K>,
        pass: &mut P,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
        weight: G::F,
        partition: &Partition<G::F>,
    ) {
        let count = labels.len().min(S::N);
        let Some(upstream) = pass.upstream() else {
            return;
        };
        let upstream = upstream.load(s, g, rows, run, i, count);
        let out = pass.memory();
        let own = g.mul(upstream, g.mul(weight, g.splat(rows.cross.keep)));
        let total = if F::CROSS { g.mul_add(partition.mass, upstream, own) } else { own };
        let row = coefficients(g, partition, total, upstream);
        let spread = g.mul(weight, g.splat(rows.cross.floor));
        let target = of_target::<G, F>(g, partition, own, spread, upstream);
        let targets = TargetGradients { labels, gradient: target };
        self.0.write_all::<S, G, M, K>(s, g, rows, out, run, i, count, &row, Some(&targets));
    }
}

impl<L: Layout, M: RowMap, F: Form> ClassLoss for OfPartition<'_, L, M, F> {
    #[inline(always)]
    fn one<'m, S: Simd, P: Pass<'m>, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        pass: &mut P,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
        weight: S::F,
    ) -> S::F {
        let count = labels.len();
        let partition = self.0.partition::<S, M, F, K>(s, rows, pass.memory(), run, i, count, labels);
        self.backward(s, s, rows, pass, run, i, labels, weight, &partition);
        Self::loss(s, &partition, rows.cross.keep, weight)
    }

    #[inline(always)]
    fn four<'m, S: Simd, P: Pass<'m>, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        pass: &mut P,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
        weight: [S::F; 4],
    ) -> [S::F; 4] {
        let partition = self.0.four::<S, M, F, K>(s, rows, pass.memory(), run, i, labels);
        self.backward(s, Four(s), rows, pass, run, i, labels, weight, &partition);
        Self::loss(Four(s), &partition, rows.cross.keep, weight)
    }
}

/// Negative log-likelihood: the rows are log-probabilities.
pub(crate) struct NegativeLogLikelihood;

impl<'m, P: Pass<'m>, const K: usize> Kernel for ClassKernel<'_, P, NegativeLogLikelihood, K> {
    type Output = Result<Total, Error>;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> Self::Output {
        self.total(s, OfLogit)
    }
}

/// The negative logit itself.
struct OfLogit;

impl ClassLoss for OfLogit {
    #[inline(always)]
    fn one<'m, S: Simd, P: Pass<'m>, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        pass: &mut P,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
        weight: S::F,
    ) -> S::F {
        let loss = s.neg(s.mul(weight, rows.pick(s, pass.memory().logits(), run, i, labels)));
        if let Some(upstream) = pass.upstream() {
            let upstream = upstream.load(s, s, rows, run, i, labels.len());
            let out = pass.memory();
            write_zeros(s, rows, out, run, i, labels.len());
            let gradient = s.neg(s.mul(weight, upstream));
            TargetGradients { labels, gradient }.write(s, rows, out, run, i);
        }
        loss
    }

    #[inline(always)]
    fn four<'m, S: Simd, P: Pass<'m>, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        pass: &mut P,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
        weight: [S::F; 4],
    ) -> [S::F; 4] {
        let mut loss = weight;
        for (k, loss) in loss.iter_mut().enumerate() {
            let labels = labels.get(k * S::N..(k + 1) * S::N).unwrap_or(&[]);
            *loss = self.one(s, rows, pass, run, i.wrapping_add(k * S::N), labels, *loss);
        }
        loss
    }
}
