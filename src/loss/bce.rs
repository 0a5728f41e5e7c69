//! Binary cross entropy of probabilities.

use super::{
    backward::{Gradient, Of, element_gradients},
    binary::Arguments,
    forward::element_losses,
};
use crate::{Backend, Error, Total, View, ViewMut, lanes::elements};

/// Binary cross entropy of probabilities, as `torch.nn.BCELoss`.
///
/// [`BceWithLogitsLoss`](crate::BceWithLogitsLoss) on logits is more accurate and faster than this on their sigmoid.
///
/// # Shapes
///
/// Input, target, weight and output have one shape, of any rank and any strides;
/// [`View::broadcast_to`] makes a smaller weight fit.
///
/// # Definition
///
/// For an input `p` in [0, 1] and a target `t` the loss is `-w (t max(ln p, -100) + (1 - t) max(ln(1 - p), -100))`.
/// The mean divides by the number of elements. Targets are not checked.
///
/// # Accuracy
///
/// Both logarithms are within 1 ULP, `ln(1 - p)` also where `1 - p` would round. Sums are compensated (see [`Total`]).
/// A NaN in an element makes that element's loss NaN.
///
/// ```
/// use losslanes::{BceLoss, View};
///
/// let input = View::new(&[0.7311, 0.8808], [2])?;
/// let target = View::new(&[1.0, 0.0], [2])?;
/// assert!((BceLoss::new().mean(input, target)? - 1.2201).abs() < 1e-3);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct BceLoss<'a, const D: usize> {
    weight: Option<View<'a, f32, D>>,
    backend: Option<Backend>,
}

impl<const D: usize> Default for BceLoss<'_, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, const D: usize> BceLoss<'a, D> {
    /// No weights.
    #[inline]
    pub const fn new() -> Self {
        Self { weight: None, backend: None }
    }

    /// A weight for each element.
    #[inline]
    pub const fn weight(self, weight: View<'a, f32, D>) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// Runs on this backend instead of the detected one.
    #[inline]
    pub const fn on(self, backend: Backend) -> Self {
        Self { backend: Some(backend), ..self }
    }

    element_losses! {
        /// [`Error::ProbabilityOutOfRange`] for an input outside of [0, 1]; `out` may be partly written then.
    }

    element_gradients!();

    /// The gradient of the sum of `upstream · loss` with respect to the targets, whatever these are:
    /// `upstream w (max(ln(1 - p), -100) - max(ln p, -100))`. For a sum `upstream` is a 1, for a mean one over the number of
    /// elements: a view of one number with strides 0.
    ///
    /// # Errors
    ///
    /// [`Error::ShapeMismatch`] for an argument that does not have the input's shape; `grad` is as it was then. Inputs
    /// outside of [0, 1] are not looked for, and give any number.
    #[inline]
    pub fn target_grad(
        self,
        input: View<'_, f32, D>,
        upstream: View<'_, f32, D>,
        grad: ViewMut<'_, f32, D>,
    ) -> Result<(), Error> {
        let gradient = Gradient::new(input, grad)?;
        self.arguments(input).derive::<elements::ProbabilitiesByTarget>(self.backend(), gradient, Of::Each(upstream))
    }

    fn backend(&self) -> Backend {
        self.backend.unwrap_or_else(Backend::detect)
    }

    fn arguments<'t>(&self, target: View<'t, f32, D>) -> Arguments<'t, D>
    where
        'a: 't,
    {
        Arguments { target, weight: self.weight, pos_weight: None }
    }

    #[inline]
    fn run(
        self,
        input: View<'_, f32, D>,
        target: View<'_, f32, D>,
        out: Option<ViewMut<'_, f32, D>>,
    ) -> Result<Total, Error> {
        self.arguments(target).forward::<elements::Probabilities>(self.backend(), input, out)
    }

    #[inline]
    fn backward(
        self,
        gradient: Gradient<'_, D>,
        target: View<'_, f32, D>,
        of: Of<'_, D>,
        out: Option<ViewMut<'_, f32, D>>,
    ) -> Result<Total, Error> {
        self.arguments(target).backward::<elements::Probabilities>(self.backend(), gradient, of, out)
    }
}
