//! Negative log-likelihood of log-probabilities.

use core::marker::PhantomData;

use super::{
    ClassIndex,
    backward::{Gradient, Of, inverse, row_gradients},
    forward::row_losses,
    shape::{RowAxes, backward, check_weight},
    target::Targets,
};
use crate::{
    Backend, Error, Total, View, ViewMut,
    error::Argument,
    lanes::{
        classes::{ClassKernel, NegativeLogLikelihood},
        cross::Cross,
        gradient::Upstream,
        labels::ClassTargets,
        layout::Rows,
        pass::{BACKWARD, FORWARD, Forward, Pass},
    },
    simd::Compiled,
};

/// Negative log-likelihood of class indices under log-probabilities, as `torch.nn.NLLLoss`: what is left of
/// [`CrossEntropyLoss`](crate::CrossEntropyLoss) once the log-softmax is taken.
///
/// # Shapes
///
/// Log-probabilities `(C)`, `(N, C)`, `(N, C, d1, …)` with class indices (any integer type) and losses `()`, `(N)`,
/// `(N, d1, …)`, of any strides.
///
/// # Definition
///
/// The loss of a row with target `t` is `-w_t x_t`, with `w` the class weights (1 without): exact without weights, one
/// rounding with. The mean divides by the sum of the `w_t` of the rows that are not ignored. An ignored row has loss 0;
/// where nothing is left the mean is NaN and the sum 0. Sums are compensated (see [`Total`]).
///
/// NaN and infinities go through the product as they are. Only the targets' elements are read.
///
/// ```
/// use losslanes::{NllLoss, View};
///
/// let log_probabilities = [1.0, 2.0, 1.0, 3.0, 1.0, 3.0];
/// let log_probabilities = View::new(&log_probabilities, [3, 2])?;
/// let targets = View::new(&[0_u8, 1, 1], [3])?;
/// assert_eq!(NllLoss::new().sum(log_probabilities, targets)?, -7.0);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct NllLoss<'a> {
    weight: Option<&'a [f32]>,
    ignore_index: Option<i64>,
    backend: Option<Backend>,
}

impl Default for NllLoss<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> NllLoss<'a> {
    /// No weights, and -100 as the ignored class index.
    #[inline]
    pub const fn new() -> Self {
        Self { weight: None, ignore_index: Some(-100), backend: None }
    }

    /// A weight for each class.
    #[inline]
    pub const fn weight(self, weight: &'a [f32]) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// Rows with this class index have loss 0 and are left out of the mean. It may be a valid class.
    #[inline]
    pub const fn ignore_index(self, index: i64) -> Self {
        Self { ignore_index: Some(index), ..self }
    }

    /// No class index is ignored.
    #[inline]
    pub const fn no_ignore_index(self) -> Self {
        Self { ignore_index: None, ..self }
    }

    /// Runs on this backend instead of the detected one.
    #[inline]
    pub const fn on(self, backend: Backend) -> Self {
        Self { backend: Some(backend), ..self }
    }

    row_losses! {
        ClassIndex:
        /// [`Error::RankMismatch`] and [`Error::ShapeMismatch`] for arguments that do not fit,
        /// [`Error::WeightLength`], [`Error::TargetOutOfRange`] for a class index that is neither a class nor ignored. `out`
        /// is as it was then.
    }

    row_gradients!(ClassIndex);

    #[inline]
    fn run<T: ClassIndex, const D: usize, const E: usize, const R: usize>(
        self,
        input: View<'_, f32, D>,
        target: View<'_, T, E>,
        out: Option<ViewMut<'_, f32, R>>,
    ) -> Result<Total, Error> {
        let mut axes = RowAxes::<D, FORWARD>::NONE;
        axes.set_input(input.layout())?;
        axes.set_class_targets(target.layout())?;
        let out = axes.set_out(out)?;
        check_weight(self.weight, axes.classes)?;
        let rows = axes.rows(&Cross::NONE)?;
        self.compute(rows, target, out, Forward::new(input.data()), |_, _| {})
    }

    #[inline]
    fn backward<T: ClassIndex, const D: usize, const E: usize, const R: usize>(
        self,
        gradient: Gradient<'_, D>,
        target: View<'_, T, E>,
        of: Of<'_, R>,
        out: Option<ViewMut<'_, f32, R>>,
    ) -> Result<Total, Error> {
        let mut axes = RowAxes::<D, BACKWARD>::NONE;
        axes.set_input(gradient.input())?;
        axes.set_class_targets(target.layout())?;
        let out = axes.set_out(out)?;
        let gradient_stride = axes.set_gradient(gradient.layout());
        let upstream = match of {
            Of::Each(upstream) => Upstream::Each(axes.set_upstream(upstream)?),
            Of::Sum | Of::Mean => Upstream::Same(1.0),
        };
        check_weight(self.weight, axes.classes)?;
        let rows = axes.rows(&Cross::NONE)?;
        let pass = backward(gradient, gradient_stride, upstream);
        self.compute(rows, target, out, pass, |pass, denominator| {
            if matches!(of, Of::Mean) {
                pass.upstream = Upstream::Same(inverse(denominator));
            }
        })
    }

    /// Runs. `with_denominator` gets the denominator of the mean.
    #[inline]
    fn compute<'m, T: ClassIndex, P: Pass<'m>, const E: usize, const K: usize>(
        self,
        rows: Rows<'_, K>,
        target: View<'_, T, E>,
        out: Option<&mut [f32]>,
        mut pass: P,
        with_denominator: impl FnOnce(&mut P, f32),
    ) -> Result<Total, Error>
    where
        for<'k> ClassKernel<'k, P, NegativeLogLikelihood, K>: Compiled<Output = Result<Total, Error>>,
    {
        T::with(target.data(), rows.classes, self.ignore_index, |targets| {
            // `ClassIndex` has no other kind.
            let Targets::Classes(labels, all) = targets else {
                return Err(Error::RankMismatch { argument: Argument::Target, rank: E, expected: E });
            };
            let targets = ClassTargets { labels, all, weight: self.weight };
            if out.is_some() || P::WRITES {
                with_denominator(&mut pass, targets.check(rows)?);
            }
            let backend = self.backend.unwrap_or_else(Backend::detect);
            backend.run(ClassKernel { rows, targets, out, pass, loss: PhantomData::<NegativeLogLikelihood> })
        })
    }
}
