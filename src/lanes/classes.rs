//! The losses of rows of classes.

use super::{
    grid::{Grid, Run},
    partition::{Rows, TARGET},
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
    /// Reads labels from `offset` on, `step` apart: a class below the number of classes, or [`IGNORED`]. Fails with the
    /// position and the value of the first that is neither.
    fn read(&self, offset: usize, step: isize, out: &mut [usize]) -> Result<(), (usize, i128)>;
}

/// Each row's target class, its logit and its weight.
pub(crate) struct ClassTargets<'a> {
    pub(crate) labels: &'a dyn Labels,
    /// A weight for each class.
    pub(crate) weight: Option<&'a [f32]>,
}

/// What belongs to the targets of `N` rows.
struct Picked<F, M> {
    logit: F,
    weight: F,
    kept: M,
}

impl ClassTargets<'_> {
    /// The labels of the rows `i .. i + out.len()`.
    #[inline(always)]
    fn read<const K: usize>(
        &self,
        grid: &Grid<'_, K>,
        run: &mut Run<K>,
        classes: usize,
        i: usize,
        out: &mut [usize],
    ) -> Result<(), Error> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let first = i.wrapping_add(done);
            let count = grid.seek(run, first).min(rest.len());
            let part = rest.get_mut(..count).unwrap_or(&mut []);
            self.labels
                .read(grid.offset(run, TARGET, first), grid.steps[TARGET], part)
                .map_err(|(at, target)| Error::TargetOutOfRange { index: first.wrapping_add(at), target, classes })?;
            done = done.wrapping_add(count);
        }
        Ok(())
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

    #[inline(always)]
    fn pick<S: Simd, const K: usize>(
        &self,
        s: S,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
    ) -> Result<Picked<S::F, S::M>, Error> {
        let mut labels = [0; LANES];
        let labels = labels.get_mut(..count).unwrap_or(&mut []);
        self.read(&rows.grid, run, rows.classes, i, labels)?;
        let nothing = s.to_lanes(s.splat(0.0));
        let (mut logits, mut weights, mut kept) = (nothing, nothing, nothing);
        let picked = logits.as_mut().iter_mut().zip(weights.as_mut()).zip(kept.as_mut());
        for ((l, &class), ((logit, weight), kept)) in labels.iter().enumerate().zip(picked) {
            if class == IGNORED {
                continue;
            }
            let i = i.wrapping_add(l);
            rows.grid.seek(run, i);
            let shift = rows.stride.wrapping_mul(class.cast_signed());
            let at = rows.grid.offset(run, 0, i).wrapping_add_signed(shift);
            *logit = rows.logits.get(at).copied().unwrap_or(0.0);
            *weight = self.weight.map_or(1.0, |w| w.get(class).copied().unwrap_or(0.0));
            *kept = 1.0;
        }
        Ok(Picked {
            logit: s.from_lanes(logits),
            weight: s.from_lanes(weights),
            kept: s.lt(s.splat(0.0), s.from_lanes(kept)),
        })
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

/// The total over rows with a target class, each of whose losses `loss` gives, without weight for ignored rows.
#[inline(always)]
fn class_total<S: Simd>(
    s: S,
    rows: &Rows<'_, ARRAYS>,
    targets: &ClassTargets<'_>,
    out: Option<&mut [f32]>,
    mut loss: impl FnMut(&mut Run<ARRAYS>, usize, usize, &Picked<S::F, S::M>) -> S::F,
) -> Result<Total, Error> {
    let zero = s.splat(0.0);
    let mut out = out;
    let mut run = rows.grid.start();
    let mut valid = true;
    let total = total(s, rows.grid.len, tile_rows(rows.classes), |i, count| {
        let Ok(picked) = targets.pick(s, rows, &mut run, i, count) else {
            valid = false;
            return (zero, zero);
        };
        let loss = s.select(picked.kept, loss(&mut run, i, count, &picked), zero);
        if let Some(out) = &mut out {
            rows.grid.store(s, &mut run, OUT, out, i, count, 0, loss);
        }
        (loss, picked.weight)
    });
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

impl ClassCrossEntropy<'_> {
    #[inline(always)]
    fn total<S: Simd, const SMOOTHING: bool>(self, s: S) -> Result<Total, Error> {
        let Self { rows, targets, out } = self;
        class_total(s, &rows, &targets, out, |run, i, count, picked| {
            let partition = rows.partition::<S, SMOOTHING>(s, run, i, count);
            let log_others = partition.log_others(s);
            let lead = s.sub(partition.max, picked.logit);
            let loss = s.mul(picked.weight, s.add(lead, log_others));
            if SMOOTHING {
                // Smoothed altogether, the target has no part of its own, even where its logit is −∞.
                let keep = rows.cross.keep;
                let own = if keep == 0.0 { s.splat(0.0) } else { s.mul(loss, s.splat(keep)) };
                return s.add(own, partition.weighted_loss(s, log_others));
            }
            loss
        })
    }
}

impl Kernel for ClassCrossEntropy<'_> {
    type Output = Result<Total, Error>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        if self.rows.cross.floor > 0.0 { self.total::<S, true>(s) } else { self.total::<S, false>(s) }
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
        class_total(s, &self.rows, &self.targets, self.out, |_, _, _, picked| s.neg(s.mul(picked.weight, picked.logit)))
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
        let Self { rows, mut out } = self;
        let mut run = rows.grid.start();
        total(s, rows.grid.len, tile_rows(rows.classes), |i, count| {
            let loss = if rows.classes == 0 {
                s.splat(0.0)
            } else {
                let partition = rows.partition::<S, true>(s, &mut run, i, count);
                partition.weighted_loss(s, partition.log_others(s))
            };
            if let Some(out) = &mut out {
                rows.grid.store(s, &mut run, OUT, out, i, count, 0, loss);
            }
            (loss, s.splat(1.0))
        })
    }
}
