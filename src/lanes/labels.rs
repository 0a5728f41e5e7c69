//! The target classes of rows: labels of any integer type, and their weights.

use super::{cross::TARGET, grid::Run, layout::Rows, partition::small_count};
use crate::{
    Error,
    simd::{Kernel, LANES, SCALAR, SIMD, Simd},
    total::Compensated,
};

/// Of so many classes, the weights of whole blocks of lanes are chosen by comparisons.
const FEW: usize = 4;

/// A label that stands for no class.
pub(crate) const IGNORED: usize = usize::MAX;

/// Class indices of any integer type, one for each row.
pub trait Labels: Sync {
    /// The label at `offset`: a class below the number of classes, or [`IGNORED`]; `None` if it is neither.
    fn class(&self, offset: usize) -> Option<usize>;
    /// Reads labels from `offset` on, `step` apart, and returns whether any is ignored; `None` if one is out of range. Not
    /// without vectors.
    fn read(&self, offset: usize, step: isize, out: &mut [usize]) -> Option<bool>;
    /// The label itself.
    fn value(&self, offset: usize) -> i128;
}

/// The labels that are in memory, and the one of these that is ignored, which may be a class, and is of their type.
#[derive(Clone, Copy)]
pub struct Indices<'a> {
    pub integers: Integers<'a>,
    pub ignored: Option<i64>,
}

/// Integers of one of the types that labels have.
#[derive(Clone, Copy)]
pub enum Integers<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
    Usize(&'a [usize]),
    I8(&'a [i8]),
    I16(&'a [i16]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    Isize(&'a [isize]),
}

/// Copies labels, as [`Labels::read`] reads them. Without a branch for each, in a function that all kernels of a backend share.
struct Copied<'a> {
    labels: Indices<'a>,
    offset: usize,
    classes: usize,
    out: &'a mut [usize],
}

impl Kernel for Copied<'_> {
    type Output = Option<bool>;

    #[allow(clippy::cast_possible_wrap, reason = "no class is so large, and no two labels become the same")]
    #[inline(always)]
    fn run<S: Simd>(&mut self, _: S) -> Option<bool> {
        match self.labels.integers {
            Integers::U8(labels) => self.copy(labels, i64::from),
            Integers::U16(labels) => self.copy(labels, i64::from),
            Integers::U32(labels) => self.copy(labels, i64::from),
            Integers::U64(labels) => self.copy(labels, |label| label as i64),
            Integers::Usize(labels) => self.copy(labels, |label| label as i64),
            Integers::I8(labels) => self.copy(labels, i64::from),
            Integers::I16(labels) => self.copy(labels, i64::from),
            Integers::I32(labels) => self.copy(labels, i64::from),
            Integers::I64(labels) => self.copy(labels, |label| label),
            Integers::Isize(labels) => self.copy(labels, |label| label as i64),
        }
    }
}

impl Copied<'_> {
    #[expect(clippy::cast_sign_loss, reason = "of no class")]
    #[allow(clippy::cast_possible_truncation, reason = "of no class")]
    #[inline(always)]
    fn copy<T: Copy>(&mut self, labels: &[T], widen: impl Fn(T) -> i64) -> Option<bool> {
        let labels = labels.get(self.offset..)?.get(..self.out.len())?;
        // A class and its distance from the last one have no sign.
        let last = i64::try_from(self.classes).ok()? - 1;
        let mut signs = last;
        if !self.labels.ignored.is_some_and(|label| label >= 0 && label <= last) {
            // Mostly none is ignored, and for this any CPU has the vectors.
            for (out, &label) in self.out.iter_mut().zip(labels) {
                let label = widen(label);
                signs |= label | last.wrapping_sub(label);
                // Without a sign, since of plain copies the compiler makes a call of `memcpy`, and a second loop.
                *out = (label & i64::MAX) as usize;
            }
            if signs >= 0 {
                return Some(false);
            }
        }
        let index = self.labels.ignored?;
        let mut any = false;
        signs = 0;
        for (out, &label) in self.out.iter_mut().zip(labels) {
            let label = widen(label);
            let ignored = label == index;
            any |= ignored;
            signs |= if ignored { 0 } else { label | last.wrapping_sub(label) };
            *out = if ignored { IGNORED } else { label as usize };
        }
        (signs >= 0).then_some(any)
    }
}

/// Each row's target class and its weight.
#[derive(Clone, Copy)]
pub(crate) struct ClassTargets<'a> {
    pub(crate) labels: &'a dyn Labels,
    /// All of them, where there are vectors.
    pub(crate) all: Option<&'a Indices<'a>>,
    /// A weight for each class.
    pub(crate) weight: Option<&'a [f32]>,
}

impl ClassTargets<'_> {
    /// The labels of the rows `i .. i + out.len()`, and whether any is ignored; `None` if any is out of range.
    #[inline(always)]
    pub(crate) fn read<S: Simd, const K: usize>(
        &self,
        s: S,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        out: &mut [usize],
    ) -> Option<bool> {
        let (grid, mut done, mut ignored) = (&rows.grid, 0, false);
        if let [class] = out {
            grid.seek(run, i);
            *class = self.labels.class(grid.offset(run, TARGET, i))?;
            return Some(*class == IGNORED);
        }
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let first = i.wrapping_add(done);
            let count = grid.seek(run, first).min(rest.len());
            let part = rest.get_mut(..count).unwrap_or(&mut []);
            let (offset, step) = (grid.offset(run, TARGET, first), grid.step(TARGET));
            let copied = match self.all {
                Some(&labels) if step == 1 => {
                    s.vectorize_apart(&mut Copied { labels, offset, classes: rows.classes, out: &mut *part })
                }
                _ => None,
            };
            ignored |= match copied {
                Some(ignored) => ignored,
                None => self.labels.read(offset, step, part)?,
            };
            done = done.wrapping_add(count);
        }
        Some(ignored)
    }

    /// The sum of the targets' weights, which is the mean's denominator. Fails if any label is out of range. Takes copies, so that
    /// the caller's own are made where the kernel has them: see [`Pass::memory`].
    ///
    /// [`Pass::memory`]: super::pass::Pass::memory
    pub(crate) fn check<const K: usize>(self, rows: Rows<'_, K>) -> Result<f32, Error> {
        if SIMD && rows.grid.len > 1 { self.check_by::<{ 4 * LANES }, K>(rows) } else { self.check_by::<1, K>(rows) }
    }

    /// [`Self::check`], which reads so many labels at a time.
    fn check_by<const STEP: usize, const K: usize>(self, rows: Rows<'_, K>) -> Result<f32, Error> {
        let mut run = rows.grid.start();
        let mut labels = [0; STEP];
        let (mut kept, mut sum) = (0, Compensated::default());
        for i in (0..rows.grid.len).step_by(STEP) {
            let labels = labels.get_mut(..STEP.min(rows.grid.len - i)).unwrap_or(&mut []);
            // Outside of the kernels, where no token but this one is at hand.
            let Some(ignored) = self.read(SCALAR, &rows, &mut run, i, labels) else {
                return Err(self.first_error(&rows, i));
            };
            match self.weight {
                Some(weight) => {
                    for &class in &*labels {
                        sum = sum.merge(Compensated { sum: weight.get(class).copied().unwrap_or(0.0), lost: 0.0 });
                    }
                }
                None if ignored => kept += labels.iter().filter(|&&class| class != IGNORED).count(),
                None => kept += labels.len(),
            }
        }
        let sum = if self.weight.is_some() { sum } else { Compensated::from_count(kept) };
        Ok(sum.value())
    }

    /// The error of the first label that is out of range: one of those that were read together from row `from` on.
    #[cold]
    #[inline(never)]
    pub(crate) fn first_error<const K: usize>(&self, rows: &Rows<'_, K>, from: usize) -> Error {
        let mut offset = 0;
        let wrong = (from..rows.grid.len).find(|&i| {
            offset = rows.grid.find_offset(TARGET, i);
            // One at a time, it is that one.
            !SIMD || self.labels.class(offset).is_none()
        });
        let index = rows.grid.first().wrapping_add(wrong.unwrap_or(from));
        Error::TargetOutOfRange { index, target: self.labels.value(offset), classes: rows.classes }
    }

    /// The weights of these classes, and where they are not [`IGNORED`], which has weight 0. Not `ignored` if none is.
    #[inline(always)]
    pub(crate) fn weights<S: Simd>(&self, s: S, labels: &[usize], ignored: bool) -> (S::F, S::M) {
        let kept = if ignored {
            of_each(
                s,
                labels,
                0.0,
                #[inline(always)]
                |class| if class == IGNORED { 0.0 } else { 1.0 },
            )
        } else {
            s.splat(1.0)
        };
        let weights = match self.weight {
            Some(weight) => weights_of(s, weight, labels),
            None => kept,
        };
        (weights, s.lt(s.splat(0.0), kept))
    }
}

/// The weights of these classes, 0 for what is none.
#[inline(always)]
fn weights_of<S: Simd>(s: S, weight: &[f32], labels: &[usize]) -> S::F {
    if S::N < LANES || weight.len() > FEW {
        return of_each(
            s,
            labels,
            0.0,
            #[inline(always)]
            |class| weight.get(class).copied().unwrap_or(0.0),
        );
    }
    // In registers: what goes to memory one by one and comes back as a vector has to wait.
    let label = of_each(s, labels, -1.0, to_float);
    let mut weights = s.splat(0.0);
    for (class, &weight) in weight.iter().enumerate() {
        weights = s.select(s.eq(label, s.splat(small_count(class))), s.splat(weight), weights);
    }
    weights
}

/// A number for each label, and for the lanes behind the last one.
#[inline(always)]
pub(crate) fn of_each<S: Simd>(s: S, labels: &[usize], none: f32, number: impl Fn(usize) -> f32) -> S::F {
    let mut lanes = s.to_lanes(s.splat(none));
    let set = |(lane, &label): (&mut f32, &usize)| *lane = number(label);
    match labels.get(..S::N) {
        // All at once. Of a number that it does not know, the compiler makes a condition for each lane.
        Some(labels) => lanes.as_mut().iter_mut().zip(labels).for_each(set),
        None => lanes.as_mut().iter_mut().zip(labels).for_each(set),
    }
    s.from_lanes(lanes)
}

/// A label of few classes, exactly; one that is [`IGNORED`] is far above them.
#[expect(clippy::cast_precision_loss, reason = "few classes")]
#[inline(always)]
pub(crate) fn to_float(label: usize) -> f32 {
    label as f32
}
