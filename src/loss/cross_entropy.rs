//! Cross entropy of logits with class indices or class probabilities.

use super::{
    Target,
    shape::{RowAxes, check_weight},
    target::Targets,
};
use crate::{
    Backend, Error, Total, View, ViewMut,
    lanes::{
        classes::{ARRAYS, ClassCrossEntropy, ClassTargets, ProbabilityCrossEntropy},
        partition::{Cross, Probabilities, Rows},
    },
};

/// Cross entropy of logits: the negative log-likelihood of the targets under the softmax of the logits, as
/// `torch.nn.CrossEntropyLoss`.
///
/// # Shapes
///
/// The classes are axis 1 of the logits, or axis 0 of logits of rank 1. The element type of the targets decides what
/// they are:
///
/// | logits | class indices (any integer type) | class probabilities (`f32`) | losses |
/// |---|---|---|---|
/// | `(C)` | `()` | `(C)` | `()` |
/// | `(N, C)` | `(N)` | `(N, C)` | `(N)` |
/// | `(N, C, d1, …)` | `(N, d1, …)` | `(N, C, d1, …)` | `(N, d1, …)` |
///
/// All strides are allowed, and none changes a bit of the result.
///
/// # Definition
///
/// With `lse` the log-sum-exp of a row, `w` the class weights (1 without), `e` the label smoothing and `t` the target,
/// the loss of a row is
///
/// - for class indices `(1 - e) w_t (lse - x_t) + (e / C) Σ_c w_c (lse - x_c)`, and the mean divides by the sum of the
///   `w_t` of the rows that are not ignored;
/// - for class probabilities, smoothed to `t' = (1 - e) t + e / C`, `Σ_c w_c t'_c (lse - x_c)`, and the mean divides by
///   the number of rows.
///
/// An ignored row has loss 0 and is left out of the mean. Where nothing is left the mean is NaN and the sum 0.
///
/// # Accuracy
///
/// Each loss is computed as `(max - x_t) + ln_1p(Σ_{c≠k} exp(x_c - max))`, with `k` a class of the largest logit: no
/// digits cancel, however confident the prediction. The relative error is below 5e-7 for logits within 5 of each other
/// and below 4e-6 for margins up to 80, at any common offset up to 1e4. Sums are compensated (see [`Total`]).
///
/// # NaN and infinities
///
/// A NaN, a `+∞`, or nothing but `-∞` in a row makes the loss of that row NaN, and of no other, unless it is ignored. A
/// single `-∞` is a masked class: its loss is `+∞` if it is the target, and it adds nothing where its target
/// probability is exactly 0.
///
/// ```
/// use losslanes::{CrossEntropyLoss, View, ViewMut};
///
/// let logits = [1.0, 2.0, 1.0, 3.0, 1.0, 3.0];
/// let logits = View::new(&logits, [3, 2])?;
/// let targets = [0_i64, 1, 1];
/// let targets = View::new(&targets, [3])?;
///
/// let loss = CrossEntropyLoss::new().weight(&[1.0, 2.0]);
/// let mut each = [0.0; 3];
/// loss.none(logits, targets, ViewMut::new(&mut each, [3])?)?;
/// for (loss, expected) in each.into_iter().zip([1.3133, 0.2539, 0.2539]) {
///     assert!((loss - expected).abs() < 1e-4);
/// }
/// assert!((loss.mean(logits, targets)? - 0.3642).abs() < 1e-4);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct CrossEntropyLoss<'a> {
    weight: Option<&'a [f32]>,
    ignore: Ignore,
    label_smoothing: f32,
    backend: Option<Backend>,
}

/// Which target class is left out.
#[derive(Clone, Copy, Debug)]
enum Ignore {
    /// -100 for class indices.
    Default,
    Index(i64),
    Nothing,
}

impl Default for CrossEntropyLoss<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> CrossEntropyLoss<'a> {
    /// No weights, no label smoothing, and -100 as the ignored class index.
    pub const fn new() -> Self {
        Self { weight: None, ignore: Ignore::Default, label_smoothing: 0.0, backend: None }
    }

    /// A weight for each class.
    pub const fn weight(self, weight: &'a [f32]) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// Rows with this class index have loss 0 and are left out of the mean. It may be a valid class. Not for class
    /// probabilities.
    pub const fn ignore_index(self, index: i64) -> Self {
        Self { ignore: Ignore::Index(index), ..self }
    }

    /// No class index is ignored.
    pub const fn no_ignore_index(self) -> Self {
        Self { ignore: Ignore::Nothing, ..self }
    }

    /// The part of each target, from 0 to 1, that is spread evenly over all classes (C. Szegedy et al., *Rethinking the
    /// Inception Architecture for Computer Vision*, 2016).
    pub const fn label_smoothing(self, label_smoothing: f32) -> Self {
        Self { label_smoothing, ..self }
    }

    /// Runs on this backend instead of the detected one.
    pub const fn on(self, backend: Backend) -> Self {
        Self { backend: Some(backend), ..self }
    }

    /// The loss of each row, into `out`.
    ///
    /// # Errors
    ///
    /// [`Error::RankMismatch`] and [`Error::ShapeMismatch`] for arguments that do not fit the table above,
    /// [`Error::WeightLength`], [`Error::LabelSmoothingOutOfRange`], [`Error::IgnoreIndexWithProbabilities`],
    /// [`Error::TargetOutOfRange`] for a class index that is neither a class nor ignored. `out` is as it was then.
    #[inline]
    pub fn none<T: Target, const D: usize, const E: usize, const R: usize>(
        self,
        logits: View<'_, f32, D>,
        target: View<'_, T, E>,
        out: ViewMut<'_, f32, R>,
    ) -> Result<(), Error> {
        self.run(logits, target, Some(out)).map(drop)
    }

    /// The sum of the losses.
    ///
    /// # Errors
    ///
    /// As [`Self::none`].
    #[inline]
    pub fn sum<T: Target, const D: usize, const E: usize>(
        self,
        logits: View<'_, f32, D>,
        target: View<'_, T, E>,
    ) -> Result<f32, Error> {
        self.total(logits, target).map(Total::sum)
    }

    /// The mean of the losses; its denominator is that of the definition above.
    ///
    /// # Errors
    ///
    /// As [`Self::none`].
    #[inline]
    pub fn mean<T: Target, const D: usize, const E: usize>(
        self,
        logits: View<'_, f32, D>,
        target: View<'_, T, E>,
    ) -> Result<f32, Error> {
        self.total(logits, target).map(Total::mean)
    }

    /// The sum with its denominator, to be merged with others.
    ///
    /// # Errors
    ///
    /// As [`Self::none`].
    #[inline]
    pub fn total<T: Target, const D: usize, const E: usize>(
        self,
        logits: View<'_, f32, D>,
        target: View<'_, T, E>,
    ) -> Result<Total, Error> {
        self.run::<T, D, E, 0>(logits, target, None)
    }

    #[inline]
    fn run<T: Target, const D: usize, const E: usize, const R: usize>(
        self,
        logits: View<'_, f32, D>,
        target: View<'_, T, E>,
        out: Option<ViewMut<'_, f32, R>>,
    ) -> Result<Total, Error> {
        let mut axes = RowAxes::new(logits.layout())?;
        let ignored = match self.ignore {
            Ignore::Default => Some(-100),
            Ignore::Index(index) => Some(index),
            Ignore::Nothing => None,
        };
        T::with(target.data(), axes.classes, ignored, |targets| {
            match targets {
                Targets::Classes(_) => axes.set_class_targets(target.layout())?,
                Targets::Probabilities(_) => axes.set_probabilities(logits.layout(), target.layout())?,
            }
            let out = axes.set_out(out)?;
            let (classes, stride, target_stride) = (axes.classes, axes.stride, axes.target_stride);
            let grid = axes.grid()?;
            let rows = Rows { grid, logits: logits.data(), classes, stride, cross: self.coefficients(classes)? };
            self.compute(rows, targets, target_stride, out)
        })
    }

    /// The coefficients of the sum over all classes. The part of a target class itself is not in it.
    #[expect(clippy::cast_precision_loss, reason = "an even part of so many classes is rounded anyway")]
    fn coefficients(&self, classes: usize) -> Result<Cross<'a>, Error> {
        let smoothing = self.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::LabelSmoothingOutOfRange { value: smoothing });
        }
        let floor = if classes == 0 { 0.0 } else { smoothing / classes as f32 };
        Ok(Cross { weight: check_weight(self.weight, classes)?, target: None, keep: 1.0 - smoothing, floor })
    }

    /// The part that does not depend on ranks and element types.
    fn compute<'t>(
        self,
        mut rows: Rows<'t, ARRAYS>,
        targets: Targets<'t>,
        target_stride: isize,
        out: Option<&mut [f32]>,
    ) -> Result<Total, Error> {
        let backend = self.backend.unwrap_or_else(Backend::detect);
        match targets {
            Targets::Classes(labels) => {
                let targets = ClassTargets { labels, weight: self.weight };
                if out.is_some() {
                    targets.check(&rows)?;
                }
                backend.run(ClassCrossEntropy { rows, targets, out })
            }
            Targets::Probabilities(data) => {
                if matches!(self.ignore, Ignore::Index(_)) {
                    return Err(Error::IgnoreIndexWithProbabilities);
                }
                rows.cross.target = Some(Probabilities { data, stride: target_stride });
                Ok(backend.run(ProbabilityCrossEntropy { rows, out }))
            }
        }
    }
}
