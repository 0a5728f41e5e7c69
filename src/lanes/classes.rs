//! The losses of rows of classes.

use super::{
    grid::{Grid, Run},
    partition::{Layout, Partition, RowKernel, Rows, TARGET, run_rows},
    sum::{Items, total},
};
use crate::{
    Error,
    simd::{Four, Kernel, LANES, Ops, Simd},
    total::Total,
};

/// The output's place in the grid of [`Rows`].
pub(crate) const OUT: usize = 2;

/// Logits, targets and output.
pub(crate) const ARRAYS: usize = 3;

/// A label that stands for no class.
pub(crate) const IGNORED: usize = usize::MAX;

/// Class indices of any integer type, one for each row.
pub trait Labels {
    /// Reads labels from `offset` on, `step` apart: a class below the number of classes, or [`IGNORED`]. Returns whether
    /// any is ignored; fails with the position and the value of the first that is neither.
    fn read(&self, offset: usize, step: isize, out: &mut [usize]) -> Result<bool, (usize, i128)>;
}

/// Each row's target class and its weight.
pub(crate) struct ClassTargets<'a> {
    pub(crate) labels: &'a dyn Labels,
    /// A weight for each class.
    pub(crate) weight: Option<&'a [f32]>,
}

impl ClassTargets<'_> {
    /// The labels of the rows `i .. i + out.len()`, and whether any is ignored.
    #[inline(always)]
    fn read<const K: usize>(
        &self,
        grid: &Grid<'_, K>,
        run: &mut Run<K>,
        classes: usize,
        i: usize,
        out: &mut [usize],
    ) -> Result<bool, Error> {
        let (mut done, mut ignored) = (0, false);
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let first = i.wrapping_add(done);
            let count = grid.seek(run, first).min(rest.len());
            let part = rest.get_mut(..count).unwrap_or(&mut []);
            ignored |= self
                .labels
                .read(grid.offset(run, TARGET, first), grid.steps[TARGET], part)
                .map_err(|(at, target)| Error::TargetOutOfRange { index: first.wrapping_add(at), target, classes })?;
            done = done.wrapping_add(count);
        }
        Ok(ignored)
    }

    /// Fails if any label is out of range.
    pub(crate) fn check<const K: usize>(&self, rows: &Rows<'_, K>) -> Result<(), Error> {
        let mut run = rows.grid.start();
        let mut labels = [0; LANES];
        for i in (0..rows.grid.len).step_by(LANES) {
            let labels = labels.get_mut(..LANES.min(rows.grid.len - i)).unwrap_or(&mut []);
            self.read(&rows.grid, &mut run, rows.classes, i, labels)?;
        }
        Ok(())
    }

    /// The weights of these classes, and where they are not [`IGNORED`], which has weight 0.
    #[inline(always)]
    fn weights<S: Simd>(&self, s: S, labels: &[usize]) -> (S::F, S::M) {
        let zero = s.splat(0.0);
        let (mut weights, mut kept) = (s.to_lanes(zero), s.to_lanes(zero));
        for ((weight, kept), &class) in weights.as_mut().iter_mut().zip(kept.as_mut()).zip(labels) {
            if class != IGNORED {
                *weight = self.weight.map_or(1.0, |w| w.get(class).copied().unwrap_or(0.0));
                *kept = 1.0;
            }
        }
        (s.from_lanes(weights), s.lt(zero, s.from_lanes(kept)))
    }
}

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
    /// The losses of the rows `i ..` with these labels and weights.
    fn one<S: Simd>(
        &mut self,
        s: S,
        rows: &Rows<'_, ARRAYS>,
        run: &mut Run<ARRAYS>,
        i: usize,
        labels: &[usize],
        weight: S::F,
    ) -> S::F;

    /// The same for `4 N` rows.
    fn four<S: Simd>(
        &mut self,
        s: S,
        rows: &Rows<'_, ARRAYS>,
        run: &mut Run<ARRAYS>,
        i: usize,
        labels: &[usize],
        weight: [S::F; 4],
    ) -> [S::F; 4];
}

/// Rows with a target class, as items of a sum.
struct ClassItems<'a, 'k, L> {
    rows: &'k Rows<'a, ARRAYS>,
    targets: &'k ClassTargets<'a>,
    out: Option<&'a mut [f32]>,
    run: Run<ARRAYS>,
    loss: L,
    /// Whether all labels were.
    valid: bool,
}

impl<L> ClassItems<'_, '_, L> {
    /// Reads the labels of the rows from `i` on; whether any is ignored.
    #[inline(always)]
    fn read(&mut self, i: usize, labels: &mut [usize]) -> Option<bool> {
        let ignored = self.targets.read(&self.rows.grid, &mut self.run, self.rows.classes, i, labels).ok();
        self.valid &= ignored.is_some();
        ignored
    }

    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, i: usize, count: usize, loss: S::F) {
        if let Some(out) = &mut self.out {
            self.rows.grid.store(s, &mut self.run, OUT, out, i, count, 0, loss);
        }
    }
}

impl<S: Simd, L: ClassLoss> Items<S> for ClassItems<'_, '_, L> {
    #[inline(always)]
    fn one(&mut self, s: S, i: usize, count: usize) -> (S::F, S::F) {
        let zero = s.splat(0.0);
        let mut labels = [0; LANES];
        let labels = labels.get_mut(..count.min(S::N)).unwrap_or(&mut []);
        if self.read(i, labels).is_none() {
            return (zero, zero);
        }
        let (weight, kept) = self.targets.weights(s, labels);
        let loss = self.loss.one(s, self.rows, &mut self.run, i, labels, weight);
        let loss = s.select(kept, loss, zero);
        self.store(s, i, count, loss);
        (loss, weight)
    }

    #[inline(always)]
    fn four(&mut self, s: S, i: usize) -> ([S::F; 4], [S::F; 4]) {
        let zero = s.splat(0.0);
        let mut labels = [0; 4 * LANES];
        let labels = labels.get_mut(..4 * S::N).unwrap_or(&mut []);
        let Some(ignored) = self.read(i, labels) else {
            return ([zero; 4], [zero; 4]);
        };
        let mut weight = [s.splat(1.0); 4];
        let mut kept = [s.eq(zero, zero); 4];
        if ignored || self.targets.weight.is_some() {
            for k in 0..4 {
                (weight[k], kept[k]) = self.targets.weights(s, labels.get(k * S::N..(k + 1) * S::N).unwrap_or(&[]));
            }
        }
        let mut loss = self.loss.four(s, self.rows, &mut self.run, i, labels, weight);
        for k in 0..4 {
            loss[k] = s.select(kept[k], loss[k], zero);
            self.store(s, i.wrapping_add(k * S::N), S::N, loss[k]);
        }
        (loss, weight)
    }
}

/// The total of a loss of rows with a target class.
#[inline(always)]
fn class_total<'a, S: Simd>(
    s: S,
    rows: &Rows<'a, ARRAYS>,
    targets: &ClassTargets<'a>,
    out: Option<&'a mut [f32]>,
    loss: impl ClassLoss,
) -> Result<Total, Error> {
    let mut items = ClassItems { rows, targets, out, run: rows.grid.start(), loss, valid: true };
    let total = total(s, rows.grid.len, tile_rows(rows.classes), targets.weight.is_none(), &mut items);
    if !items.valid {
        // The first target that is wrong, whatever order the lanes came in.
        targets.check(rows)?;
    }
    Ok(total)
}

/// Cross entropy of class indices.
pub(crate) struct ClassCrossEntropy<'a> {
    pub(crate) rows: Rows<'a, ARRAYS>,
    pub(crate) targets: ClassTargets<'a>,
    pub(crate) out: Option<&'a mut [f32]>,
}

impl Kernel for ClassCrossEntropy<'_> {
    type Output = Result<Total, Error>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let way = self.rows.way();
        if self.rows.cross.floor > 0.0 {
            run_rows(s, way, Smoothed::<true>(self))
        } else {
            run_rows(s, way, Smoothed::<false>(self))
        }
    }
}

/// With or without label smoothing.
struct Smoothed<'a, const SMOOTHING: bool>(ClassCrossEntropy<'a>);

impl<const SMOOTHING: bool> RowKernel for Smoothed<'_, SMOOTHING> {
    type Output = Result<Total, Error>;

    #[inline(always)]
    fn run<S: Simd, L: Layout>(self, s: S) -> Self::Output {
        let ClassCrossEntropy { rows, targets, out } = self.0;
        class_total(s, &rows, &targets, out, OfPartition::<L, SMOOTHING>(L::new()))
    }
}

/// The cross entropy of a target class, from the partition of its row.
struct OfPartition<L, const SMOOTHING: bool>(L);

impl<L, const SMOOTHING: bool> OfPartition<L, SMOOTHING> {
    #[inline(always)]
    fn loss<O: Ops>(s: O, partition: &Partition<O::F>, keep: f32, weight: O::F) -> O::F {
        let log_others = partition.log_others(s);
        let lead = s.sub(partition.max, partition.logit);
        let loss = s.mul(weight, s.add(lead, log_others));
        if !SMOOTHING {
            return loss;
        }
        // Smoothed altogether, the target has no part of its own, even where its logit is −∞.
        let own = if keep == 0.0 { s.splat(0.0) } else { s.mul(loss, s.splat(keep)) };
        s.add(own, partition.weighted_loss(s, log_others))
    }
}

impl<L: Layout, const SMOOTHING: bool> ClassLoss for OfPartition<L, SMOOTHING> {
    #[inline(always)]
    fn one<S: Simd>(
        &mut self,
        s: S,
        rows: &Rows<'_, ARRAYS>,
        run: &mut Run<ARRAYS>,
        i: usize,
        labels: &[usize],
        weight: S::F,
    ) -> S::F {
        let partition = self.0.partition::<S, SMOOTHING, ARRAYS>(s, rows, run, i, labels.len(), labels);
        Self::loss(s, &partition, rows.cross.keep, weight)
    }

    #[inline(always)]
    fn four<S: Simd>(
        &mut self,
        s: S,
        rows: &Rows<'_, ARRAYS>,
        run: &mut Run<ARRAYS>,
        i: usize,
        labels: &[usize],
        weight: [S::F; 4],
    ) -> [S::F; 4] {
        let partition = self.0.four::<S, SMOOTHING, ARRAYS>(s, rows, run, i, labels);
        Self::loss(Four(s), &partition, rows.cross.keep, weight)
    }
}

/// Negative log-likelihood: the rows are log-probabilities.
pub(crate) struct NegativeLogLikelihood<'a> {
    pub(crate) rows: Rows<'a, ARRAYS>,
    pub(crate) targets: ClassTargets<'a>,
    pub(crate) out: Option<&'a mut [f32]>,
}

impl Kernel for NegativeLogLikelihood<'_> {
    type Output = Result<Total, Error>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        class_total(s, &self.rows, &self.targets, self.out, OfLogit)
    }
}

/// The negative logit itself.
struct OfLogit;

impl ClassLoss for OfLogit {
    #[inline(always)]
    fn one<S: Simd>(
        &mut self,
        s: S,
        rows: &Rows<'_, ARRAYS>,
        run: &mut Run<ARRAYS>,
        i: usize,
        labels: &[usize],
        weight: S::F,
    ) -> S::F {
        s.neg(s.mul(weight, rows.pick(s, run, i, labels)))
    }

    #[inline(always)]
    fn four<S: Simd>(
        &mut self,
        s: S,
        rows: &Rows<'_, ARRAYS>,
        run: &mut Run<ARRAYS>,
        i: usize,
        labels: &[usize],
        weight: [S::F; 4],
    ) -> [S::F; 4] {
        let mut loss = weight;
        for (k, loss) in loss.iter_mut().enumerate() {
            let labels = labels.get(k * S::N..(k + 1) * S::N).unwrap_or(&[]);
            *loss = self.one(s, rows, run, i.wrapping_add(k * S::N), labels, *loss);
        }
        loss
    }
}

/// Cross entropy of class probabilities.
pub(crate) struct ProbabilityCrossEntropy<'a> {
    pub(crate) rows: Rows<'a, ARRAYS>,
    pub(crate) out: Option<&'a mut [f32]>,
}

impl Kernel for ProbabilityCrossEntropy<'_> {
    type Output = Total;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Total {
        run_rows(s, self.rows.way(), self)
    }
}

impl RowKernel for ProbabilityCrossEntropy<'_> {
    type Output = Total;

    #[inline(always)]
    fn run<S: Simd, L: Layout>(self, s: S) -> Total {
        let Self { rows, out } = self;
        let mut items = ProbabilityItems { rows: &rows, out, run: rows.grid.start(), layout: L::new() };
        total(s, rows.grid.len, tile_rows(rows.classes), true, &mut items)
    }
}

/// Rows with class probabilities, as items of a sum.
struct ProbabilityItems<'a, 'k, L> {
    rows: &'k Rows<'a, ARRAYS>,
    out: Option<&'a mut [f32]>,
    run: Run<ARRAYS>,
    layout: L,
}

impl<S: Simd, L: Layout> Items<S> for ProbabilityItems<'_, '_, L> {
    #[inline(always)]
    fn one(&mut self, s: S, i: usize, count: usize) -> (S::F, S::F) {
        // Without classes there is nothing to lose.
        let mut loss = s.splat(0.0);
        if self.rows.classes > 0 {
            let partition = self.layout.partition::<S, true, ARRAYS>(s, self.rows, &mut self.run, i, count, &[]);
            loss = partition.weighted_loss(s, partition.log_others(s));
        }
        if let Some(out) = &mut self.out {
            self.rows.grid.store(s, &mut self.run, OUT, out, i, count, 0, loss);
        }
        (loss, s.splat(1.0))
    }

    #[inline(always)]
    fn four(&mut self, s: S, i: usize) -> ([S::F; 4], [S::F; 4]) {
        let four = Four(s);
        let mut loss = four.splat(0.0);
        if self.rows.classes > 0 {
            let partition = self.layout.four::<S, true, ARRAYS>(s, self.rows, &mut self.run, i, &[]);
            loss = partition.weighted_loss(four, partition.log_others(four));
        }
        if let Some(out) = &mut self.out {
            for (k, &loss) in loss.iter().enumerate() {
                self.rows.grid.store(s, &mut self.run, OUT, out, i.wrapping_add(k * S::N), S::N, 0, loss);
            }
        }
        (loss, four.splat(1.0))
    }
}
