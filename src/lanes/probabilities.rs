//! Cross entropy of class probabilities.

use super::{
    classes::{OUT, tile_rows},
    gradient::{TargetGradient, coefficients},
    grid::Run,
    layout::{Layout, RowKernel, Rows, run_way_shared},
    map::Coefficients,
    partition::{ByLeader, Partition, Weighted},
    pass::{Backward, Pass},
    sum::{Items, total},
};
use crate::{
    simd::{Four, Group, Kernel, Ops, Simd},
    total::Total,
};

/// Cross entropy of class probabilities, with or without its gradient.
pub(crate) struct ProbabilityCrossEntropy<'a, P, const K: usize> {
    pub(crate) rows: Rows<'a, K>,
    pub(crate) out: Option<&'a mut [f32]>,
    pub(crate) pass: P,
}

impl<'m, P: Pass<'m>, const K: usize> Kernel for ProbabilityCrossEntropy<'_, P, K> {
    type Output = Total;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> Total {
        run_way_shared(s, self.rows.way::<S, P::Cross, Weighted>(), self)
    }
}

impl<'m, P: Pass<'m>, const K: usize> RowKernel for ProbabilityCrossEntropy<'_, P, K> {
    type Output = Total;

    #[inline(always)]
    fn run<S: Simd, L: Layout>(&mut self, s: S, layout: &mut L) -> Total {
        let (run, len, tile) = (self.rows.grid.start(), self.rows.grid.len, tile_rows(self.rows.classes));
        total(s, len, tile, true, &mut ProbabilityItems { kernel: self, run, layout })
    }
}

/// Rows with class probabilities, as items of a sum.
struct ProbabilityItems<'a, 'k, L, P, const K: usize> {
    kernel: &'k mut ProbabilityCrossEntropy<'a, P, K>,
    run: Run<K>,
    layout: &'k mut L,
}

impl<'m, L: Layout, P: Pass<'m>, const K: usize> ProbabilityItems<'_, '_, L, P, K> {
    /// The losses of a group of rows, of which each vector has `count`, and their gradient.
    #[inline(always)]
    fn losses<S: Simd, G: Group<S>>(
        &mut self,
        s: S,
        g: G,
        i: usize,
        count: usize,
        partition: &Partition<G::F>,
    ) -> (G::F, G::F) {
        let loss = partition.weighted_loss(g, partition.log_others(g));
        let ProbabilityCrossEntropy { rows, pass, .. } = &mut *self.kernel;
        if let Some(upstream) = pass.upstream() {
            let upstream = upstream.load(s, g, rows, &mut self.run, i, count);
            let out = pass.memory();
            let row = coefficients(g, partition, g.mul(partition.mass, upstream), upstream);
            self.layout.write_all::<S, G, P::Cross, K>(s, g, rows, out, &mut self.run, i, count, &row, None);
        }
        if self.kernel.out.is_some() {
            g.scatter(
                loss,
                #[inline(always)]
                |k, loss| self.store(s, i.wrapping_add(k * S::N), count, loss),
            );
        }
        (loss, g.splat(1.0))
    }

    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, i: usize, count: usize, loss: S::F) {
        if let Some(out) = &mut self.kernel.out {
            self.kernel.rows.grid.store(s, &mut self.run, OUT, out, i, count, 0, loss);
        }
    }
}

impl<'m, S: Simd, L: Layout, P: Pass<'m>, const K: usize> Items<S> for ProbabilityItems<'_, '_, L, P, K> {
    #[inline(always)]
    fn one(&mut self, s: S, i: usize, count: usize) -> (S::F, S::F) {
        self.kernel.rows.grid.seek(&mut self.run, i);
        if self.kernel.rows.classes == 0 {
            // Without classes there is nothing to lose.
            self.store(s, i, count, s.splat(0.0));
            return (s.splat(0.0), s.splat(1.0));
        }
        let ProbabilityCrossEntropy { rows, pass, .. } = &mut *self.kernel;
        let partition =
            self.layout.partition::<S, P::Cross, Weighted, K>(s, rows, pass.memory(), &mut self.run, i, count, &[]);
        self.losses(s, s, i, count, &partition)
    }

    #[inline(always)]
    fn four(&mut self, s: S, i: usize) -> ([S::F; 4], [S::F; 4]) {
        let four = Four(s);
        if self.kernel.rows.classes == 0 {
            for k in 0..4 {
                self.store(s, i.wrapping_add(k * S::N), S::N, s.splat(0.0));
            }
            return (four.splat(0.0), four.splat(1.0));
        }
        let ProbabilityCrossEntropy { rows, pass, .. } = &mut *self.kernel;
        let partition = self.layout.four::<S, P::Cross, Weighted, K>(s, rows, pass.memory(), &mut self.run, i, &[]);
        self.losses(s, four, i, S::N, &partition)
    }
}

/// The gradient of each row's cross entropy with respect to its class probabilities. The weights are those of [`Rows`],
/// with a `floor` of 1.
pub(crate) struct ProbabilityGradient<'a, const K: usize> {
    pub(crate) rows: Rows<'a, K>,
    pub(crate) backward: Backward<'a>,
}

impl<const K: usize> Kernel for ProbabilityGradient<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        run_way_shared(s, self.rows.way::<S, TargetGradient, ByLeader>(), self);
    }
}

impl<const K: usize> RowKernel for ProbabilityGradient<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, L: Layout>(&mut self, s: S, layout: &mut L) {
        let Self { rows, backward: Backward { rows: memory, upstream } } = self;
        let mut run = rows.grid.start();
        for i in (0..rows.grid.len).step_by(S::N) {
            let count = S::N.min(rows.grid.len - i);
            rows.grid.seek(&mut run, i);
            let partition =
                layout.partition::<S, TargetGradient, ByLeader, K>(s, rows, memory, &mut run, i, count, &[]);
            let log_others = partition.log_others(s);
            let upstream = upstream.load(s, s, rows, &mut run, i, count);
            let row = Coefficients { upstream, ..Coefficients::new(s, &partition, log_others) };
            layout.write_all::<S, S, TargetGradient, K>(s, s, rows, memory, &mut run, i, count, &row, None);
        }
    }
}
