//! Cross entropy of logits with class indices or class probabilities.

use core::marker::PhantomData;

use super::{
    Target,
    backward::{Gradient, Of, inverse, row_gradients},
    forward::row_losses,
    shape::{RowAxes, backward, check_weight},
    target::Targets,
};
use crate::{
    Backend, Error, Total, View, ViewMut,
    lanes::{
        classes::{ClassKernel, CrossEntropy},
        cross::{Cross, Probabilities},
        gradient::Upstream,
        labels::ClassTargets,
        layout::Rows,
        pass::{BACKWARD, FORWARD, Forward, Pass},
        probabilities::{ProbabilityCrossEntropy, ProbabilityGradient},
    },
    simd::Compiled,
    total::Compensated,
    view::Layout,
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
/// The loss of a class is computed from the sum over the *other* classes, as `ln_1p(Σ_{c≠t} exp(x_c - x_t))`; where that is too
/// large for a float, with a target some 46 behind, relative to the largest logit `r`, as `(r - x_t) + ln(Σ_c exp(x_c - r))`. No digits cancel,
/// however confident the prediction. With class weights and smoothing, for a smoothing of more than a half, and for class
/// probabilities, all is relative to `r`. The relative error is below 5e-7 for logits within 5 of each other and below 4e-6 for
/// margins up to 80, at any common offset up to 1e4. Sums are compensated (see [`Total`]).
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
    #[inline]
    pub const fn new() -> Self {
        Self { weight: None, ignore: Ignore::Default, label_smoothing: 0.0, backend: None }
    }

    /// A weight for each class.
    #[inline]
    pub const fn weight(self, weight: &'a [f32]) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// Rows with this class index have loss 0 and are left out of the mean. It may be a valid class. Not for class
    /// probabilities.
    #[inline]
    pub const fn ignore_index(self, index: i64) -> Self {
        Self { ignore: Ignore::Index(index), ..self }
    }

    /// No class index is ignored.
    #[inline]
    pub const fn no_ignore_index(self) -> Self {
        Self { ignore: Ignore::Nothing, ..self }
    }

    /// The part of each target, from 0 to 1, that is spread evenly over all classes (C. Szegedy et al., *Rethinking the
    /// Inception Architecture for Computer Vision*, 2016).
    #[inline]
    pub const fn label_smoothing(self, label_smoothing: f32) -> Self {
        Self { label_smoothing, ..self }
    }

    /// Runs on this backend instead of the detected one.
    #[inline]
    pub const fn on(self, backend: Backend) -> Self {
        Self { backend: Some(backend), ..self }
    }

    row_losses! {
        Target:
        /// [`Error::RankMismatch`] and [`Error::ShapeMismatch`] for arguments that do not fit the table above,
        /// [`Error::WeightLength`], [`Error::LabelSmoothingOutOfRange`], [`Error::IgnoreIndexWithProbabilities`],
        /// [`Error::TargetOutOfRange`] for a class index that is neither a class nor ignored. `out` is as it was then.
    }

    row_gradients!(Target);

    /// The gradient of the sum of `upstream · loss` with respect to class probabilities, whatever these are:
    /// `upstream (1 - e) w_c (lse - x_c)`, without cancellation. For a sum `upstream` is a 1, for a mean one over the number
    /// of rows: a view of one number with strides 0.
    ///
    /// # Errors
    ///
    /// [`Error::RankMismatch`] and [`Error::ShapeMismatch`] if `upstream` does not have the shape of the losses or `grad` not
    /// that of the logits, [`Error::WeightLength`], [`Error::LabelSmoothingOutOfRange`]. `grad` is as it was then.
    #[inline]
    pub fn target_grad<const D: usize, const R: usize>(
        self,
        logits: View<'_, f32, D>,
        upstream: View<'_, f32, R>,
        grad: ViewMut<'_, f32, D>,
    ) -> Result<(), Error> {
        let gradient = Gradient::new(logits, grad)?;
        let mut axes = RowAxes::<D, BACKWARD>::NONE;
        axes.set_input(gradient.input())?;
        let gradient_stride = axes.set_gradient(gradient.layout());
        let upstream = Upstream::Each(axes.set_upstream(upstream)?);
        let cross = self.coefficients(axes.classes)?;
        let cross = Cross { floor: cross.keep, ..cross };
        let rows = axes.rows(&cross)?;
        if rows.classes == 0 {
            // Nothing to write, for any number of rows, since these need no memory.
            return Ok(());
        }
        let backward = backward(gradient, gradient_stride, upstream);
        self.backend().run(ProbabilityGradient { rows, backward });
        Ok(())
    }

    #[inline(always)]
    fn run<T: Target, const D: usize, const E: usize, const R: usize>(
        self,
        logits: View<'_, f32, D>,
        target: View<'_, T, E>,
        out: Option<ViewMut<'_, f32, R>>,
    ) -> Result<Total, Error> {
        let mut axes = RowAxes::<D, FORWARD>::NONE;
        axes.set_input(logits.layout())?;
        T::with(
            target.data(),
            axes.classes,
            self.ignored(),
            #[inline(always)]
            |targets| {
                let out = self.set(&mut axes, logits.layout(), targets, target, out)?;
                let cross = self.cross(&axes, targets)?;
                let rows = axes.rows(&cross)?;
                self.compute(rows, targets, out, Forward::new(logits.data()), |_, _| {})
            },
        )
    }

    #[inline(always)]
    fn backward<T: Target, const D: usize, const E: usize, const R: usize>(
        self,
        gradient: Gradient<'_, D>,
        target: View<'_, T, E>,
        of: Of<'_, R>,
        out: Option<ViewMut<'_, f32, R>>,
    ) -> Result<Total, Error> {
        let mut axes = RowAxes::<D, BACKWARD>::NONE;
        axes.set_input(gradient.input())?;
        T::with(
            target.data(),
            axes.classes,
            self.ignored(),
            #[inline(always)]
            |targets| {
                let out = self.set(&mut axes, gradient.input(), targets, target, out)?;
                let gradient_stride = axes.set_gradient(gradient.layout());
                let upstream = match of {
                    Of::Each(upstream) => Upstream::Each(axes.set_upstream(upstream)?),
                    Of::Sum | Of::Mean => Upstream::Same(1.0),
                };
                let cross = self.cross(&axes, targets)?;
                let rows = axes.rows(&cross)?;
                let pass = backward(gradient, gradient_stride, upstream);
                self.compute(rows, targets, out, pass, |pass, denominator| {
                    if matches!(of, Of::Mean) {
                        pass.upstream = Upstream::Same(inverse(denominator));
                    }
                })
            },
        )
    }

    /// The coefficients of the sum over all classes. The part of a target class itself is not in it.
    #[inline]
    fn coefficients(self, classes: usize) -> Result<Cross<'a>, Error> {
        let Self { weight, label_smoothing: smoothing, .. } = self;
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::LabelSmoothingOutOfRange { value: smoothing });
        }
        let weight = check_weight(weight, classes)?;
        Ok(Cross { weight, target: None, keep: 1.0 - smoothing, floor: even_part(smoothing, classes) })
    }

    /// The same with the targets, where these are probabilities.
    #[inline]
    fn cross<'t, const D: usize, const K: usize>(
        self,
        axes: &RowAxes<D, K>,
        targets: Targets<'t>,
    ) -> Result<Cross<'t>, Error>
    where
        'a: 't,
    {
        let mut cross: Cross<'t> = self.coefficients(axes.classes)?;
        if let Targets::Probabilities(data) = targets {
            if matches!(self.ignore, Ignore::Index(_)) {
                return Err(Error::IgnoreIndexWithProbabilities);
            }
            cross.target = Some(Probabilities { data, stride: axes.target_stride });
        }
        Ok(cross)
    }

    /// The ignored class index.
    const fn ignored(&self) -> Option<i64> {
        match self.ignore {
            Ignore::Default => Some(-100),
            Ignore::Index(index) => Some(index),
            Ignore::Nothing => None,
        }
    }

    fn backend(&self) -> Backend {
        self.backend.unwrap_or_else(Backend::detect)
    }

    /// Takes in targets and output, and returns the memory of the output.
    #[inline]
    fn set<'t, T, const D: usize, const E: usize, const R: usize, const K: usize>(
        self,
        axes: &mut RowAxes<D, K>,
        layout: &Layout<D>,
        targets: Targets<'_>,
        target: View<'_, T, E>,
        out: Option<ViewMut<'t, f32, R>>,
    ) -> Result<Option<&'t mut [f32]>, Error> {
        match targets {
            Targets::Classes(..) => axes.set_class_targets(target.layout())?,
            Targets::Probabilities(_) => {
                axes.set_probabilities(layout, target.layout())?;
            }
        }
        axes.set_out(out)
    }

    /// The part that does not depend on ranks and element types. `with_denominator` gets the denominator of the mean.
    #[inline(always)]
    fn compute<'m, P: Pass<'m>, const K: usize>(
        self,
        rows: Rows<'_, K>,
        targets: Targets<'_>,
        out: Option<&mut [f32]>,
        mut pass: P,
        with_denominator: impl FnOnce(&mut P, f32),
    ) -> Result<Total, Error>
    where
        for<'k> ClassKernel<'k, P, CrossEntropy<false>, K>: Compiled<Output = Result<Total, Error>>,
        for<'k> ClassKernel<'k, P, CrossEntropy<true>, K>: Compiled<Output = Result<Total, Error>>,
        for<'k> ProbabilityCrossEntropy<'k, P, K>: Compiled<Output = Total>,
    {
        match targets {
            Targets::Classes(labels, all) => {
                let targets = ClassTargets { labels, all, weight: self.weight };
                if out.is_some() || P::WRITES {
                    with_denominator(&mut pass, targets.check(rows)?);
                }
                // The option itself is what firmware without it is compiled without. Spread over many classes, nothing may be left of it.
                if self.label_smoothing > 0.0 && rows.cross.floor > 0.0 {
                    let loss = PhantomData::<CrossEntropy<true>>;
                    self.backend().run(ClassKernel { rows, targets, out, pass, loss })
                } else {
                    let loss = PhantomData::<CrossEntropy<false>>;
                    self.backend().run(ClassKernel { rows, targets, out, pass, loss })
                }
            }
            Targets::Probabilities(_) => {
                let weight = Compensated::from_count(rows.grid.len);
                if rows.classes == 0 && out.is_none() {
                    // Nothing to lose and nothing to write, for any number of rows, since these need no memory.
                    return Ok(Total { loss: Compensated::default(), weight });
                }
                with_denominator(&mut pass, weight.value());
                Ok(self.backend().run(ProbabilityCrossEntropy { rows, out, pass }))
            }
        }
    }
}

/// What of `smoothing` each class gets.
#[expect(clippy::cast_precision_loss, reason = "an even part of so many classes is rounded anyway")]
fn even_part(smoothing: f32, classes: usize) -> f32 {
    if classes == 0 || smoothing == 0.0 { 0.0 } else { smoothing / classes as f32 }
}
