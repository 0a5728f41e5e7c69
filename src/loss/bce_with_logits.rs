//! Binary cross entropy of logits.

use super::{
    backward::{Gradient, Of, element_gradients},
    binary::Arguments,
    forward::element_losses,
    shape::check,
};
use crate::{Backend, Error, Total, View, ViewMut, error::Argument, lanes::elements};

/// Binary cross entropy between the sigmoid of logits and targets, as `torch.nn.BCEWithLogitsLoss`.
///
/// # Shapes
///
/// Logits, target, weights and output have one shape, of any rank and any strides;
/// [`View::broadcast_to`] makes smaller weights fit.
///
/// # Definition
///
/// For a logit `x` and a target `t` the loss is `w (pos t softplus(-x) + (1 - t) softplus(x))`, with `w` the weight and
/// `pos` the weight of positive targets (1 without). The mean divides by the number of elements. Where `t` or `1 - t`
/// is exactly 0, its term is 0 even for an infinite logit. Targets are not checked.
///
/// # Accuracy
///
/// Softplus is within 1.5 ULP on both sides: a confident element keeps all its digits. Sums are compensated (see
/// [`Total`]). A NaN in an element makes that element's loss NaN.
///
/// ```
/// use losslanes::{BceWithLogitsLoss, View};
///
/// let logits = View::new(&[-20.0], [1])?;
/// let target = View::new(&[0.0], [1])?;
/// assert!((BceWithLogitsLoss::new().sum(logits, target)? - 2.061_153_6e-9).abs() < 1e-15);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct BceWithLogitsLoss<'a, const D: usize> {
    weight: Option<View<'a, f32, D>>,
    pos_weight: Option<View<'a, f32, D>>,
    backend: Option<Backend>,
}

impl<const D: usize> Default for BceWithLogitsLoss<'_, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, const D: usize> BceWithLogitsLoss<'a, D> {
    /// No weights.
    #[inline]
    pub const fn new() -> Self {
        Self { weight: None, pos_weight: None, backend: None }
    }

    /// A weight for each element.
    #[inline]
    pub const fn weight(self, weight: View<'a, f32, D>) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// A weight for the positive part of each target: above 1 for recall, below 1 for precision.
    #[inline]
    pub const fn pos_weight(self, pos_weight: View<'a, f32, D>) -> Self {
        Self { pos_weight: Some(pos_weight), ..self }
    }

    /// Runs on this backend instead of the detected one.
    #[inline]
    pub const fn on(self, backend: Backend) -> Self {
        Self { backend: Some(backend), ..self }
    }

    element_losses!();

    element_gradients!();

    /// The gradient of the sum of `upstream · loss` with respect to the targets, whatever these are:
    /// `upstream w (pos softplus(-x) - softplus(x))`. For a sum `upstream` is a 1, for a mean one over the number of
    /// elements: a view of one number with strides 0.
    ///
    /// # Errors
    ///
    /// [`Error::ShapeMismatch`] for an argument that does not have the logits' shape; `grad` is as it was then.
    #[inline]
    pub fn target_grad(
        self,
        logits: View<'_, f32, D>,
        upstream: View<'_, f32, D>,
        grad: ViewMut<'_, f32, D>,
    ) -> Result<(), Error> {
        let gradient = Gradient::new(logits, grad)?;
        self.arguments(logits).derive::<elements::LogitsByTarget>(self.backend(), gradient, Of::Each(upstream))
    }

    /// The second derivative of each loss by its logit, `w σ(x) σ(-x) (1 - t + pos t)`: the diagonal of the Hessian, which
    /// gradient boosting divides by. Never negative for targets in [0, 1].
    ///
    /// # Errors
    ///
    /// [`Error::ShapeMismatch`] for an argument that does not have the logits' shape; `out` is as it was then.
    #[inline]
    pub fn hessian(
        self,
        logits: View<'_, f32, D>,
        target: View<'_, f32, D>,
        out: ViewMut<'_, f32, D>,
    ) -> Result<(), Error> {
        check(Argument::Output, &out.shape(), &logits.shape())?;
        let gradient = Gradient::new(logits, out)?;
        self.arguments(target).derive::<elements::LogitsTwice>(self.backend(), gradient, Of::Sum)
    }

    fn backend(&self) -> Backend {
        self.backend.unwrap_or_else(Backend::detect)
    }

    fn arguments<'t>(&self, target: View<'t, f32, D>) -> Arguments<'t, D>
    where
        'a: 't,
    {
        Arguments { target, weight: self.weight, pos_weight: self.pos_weight }
    }

    #[inline]
    fn run(
        self,
        logits: View<'_, f32, D>,
        target: View<'_, f32, D>,
        out: Option<ViewMut<'_, f32, D>>,
    ) -> Result<Total, Error> {
        self.arguments(target).forward::<elements::Logits>(self.backend(), logits, out)
    }

    #[inline]
    fn backward(
        self,
        gradient: Gradient<'_, D>,
        target: View<'_, f32, D>,
        of: Of<'_, D>,
        out: Option<ViewMut<'_, f32, D>>,
    ) -> Result<Total, Error> {
        self.arguments(target).backward::<elements::Logits>(self.backend(), gradient, of, out)
    }
}
