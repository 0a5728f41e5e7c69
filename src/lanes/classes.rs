//! The losses of rows of classes.

use super::{
    grid::{Grid, Run},
    partition::{Layout, RowKernel, Rows, TARGET, run_rows},
    sum::total,
};
use crate::{
    Error,
    simd::{Kernel, LANES, Simd},
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

/// The total over rows with a target class. `loss` gives the losses of the rows from `i` on with these labels and
/// weights.
#[inline(always)]
fn class_total<S: Simd>(
    s: S,
    rows: &Rows<'_, ARRAYS>,
    targets: &ClassTargets<'_>,
    mut out: Option<&mut [f32]>,
    mut loss: impl FnMut(&mut Run<ARRAYS>, usize, &[usize], S::F) -> S::F,
) -> Result<Total, Error> {
    let zero = s.splat(0.0);
    let mut run = rows.grid.start();
    let mut valid = true;
    let mut labels = [0; LANES];
    let total = total(
        s,
        rows.grid.len,
        tile_rows(rows.classes),
        targets.weight.is_none(),
        #[inline(always)]
        |i, count| {
            let labels = labels.get_mut(..count).unwrap_or(&mut []);
            let Ok(ignored) = targets.read(&rows.grid, &mut run, rows.classes, i, labels) else {
                valid = false;
                return (zero, zero);
            };
            let uniform = !ignored && targets.weight.is_none();
            let (weight, kept) = if uniform { (s.splat(1.0), s.eq(zero, zero)) } else { targets.weights(s, labels) };
            let loss = s.select(kept, loss(&mut run, i, labels, weight), zero);
            if let Some(out) = &mut out {
                rows.grid.store(s, &mut run, OUT, out, i, count, 0, loss);
            }
            (loss, weight)
        },
    );
    if !valid {
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
            run_rows(s, way, ClassLoss::<true>(self))
        } else {
            run_rows(s, way, ClassLoss::<false>(self))
        }
    }
}

/// With or without label smoothing.
struct ClassLoss<'a, const SMOOTHING: bool>(ClassCrossEntropy<'a>);

impl<const SMOOTHING: bool> RowKernel for ClassLoss<'_, SMOOTHING> {
    type Output = Result<Total, Error>;

    #[inline(always)]
    fn run<S: Simd, L: Layout>(self, s: S) -> Self::Output {
        let ClassCrossEntropy { rows, targets, out } = self.0;
        let mut layout = L::new();
        class_total(
            s,
            &rows,
            &targets,
            out,
            #[inline(always)]
            |run, i, labels, weight| {
                let partition = layout.partition::<S, SMOOTHING, ARRAYS>(s, &rows, run, i, labels.len(), labels);
                let log_others = partition.log_others(s);
                let lead = s.sub(partition.max, partition.logit);
                let loss = s.mul(weight, s.add(lead, log_others));
                if SMOOTHING {
                    // Smoothed altogether, the target has no part of its own, even where its logit is −∞.
                    let keep = rows.cross.keep;
                    let own = if keep == 0.0 { s.splat(0.0) } else { s.mul(loss, s.splat(keep)) };
                    return s.add(own, partition.weighted_loss(s, log_others));
                }
                loss
            },
        )
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
        class_total(
            s,
            &self.rows,
            &self.targets,
            self.out,
            #[inline(always)]
            |run, i, labels, weight| s.neg(s.mul(weight, self.rows.pick(s, run, i, labels))),
        )
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
        let Self { rows, mut out } = self;
        let mut layout = L::new();
        let mut run = rows.grid.start();
        total(
            s,
            rows.grid.len,
            tile_rows(rows.classes),
            true,
            #[inline(always)]
            |i, count| {
                let loss = if rows.classes == 0 {
                    s.splat(0.0)
                } else {
                    let partition = layout.partition::<S, true, ARRAYS>(s, &rows, &mut run, i, count, &[]);
                    partition.weighted_loss(s, partition.log_others(s))
                };
                if let Some(out) = &mut out {
                    rows.grid.store(s, &mut run, OUT, out, i, count, 0, loss);
                }
                (loss, s.splat(1.0))
            },
        )
    }
}
