//! The building blocks of the losses, for use on their own.
//!
//! The functions of this module run on the detected [`Backend`]; [`on`] gives the same as methods of [`Kernels`] for any
//! other. All take views of any strides, and none changes a bit of the result.

use core::marker::PhantomData;

use crate::{
    Backend, Error, View, ViewMut,
    error::Argument,
    lanes::{
        cross::{Cross, Smoothing},
        elements::{self, Map},
        grid::Axes,
        layout::Rows,
        map::Memory,
        softmax,
    },
    loss::shape::check,
    simd::Compiled,
    view::Layout,
};

/// The kernels on a backend of choice.
///
/// ```
/// use losslanes::{Backend, View, kernels};
///
/// let x = View::new(&[1.0, 2.0, 3.0], [3])?;
/// assert_eq!(kernels::on(Backend::SCALAR).row_max(x), 3.0);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Kernels {
    backend: Backend,
}

/// The kernels on this backend.
#[inline]
pub const fn on(backend: Backend) -> Kernels {
    Kernels { backend }
}

/// The largest element: NaN if there is one, `-∞` if there is nothing. A largest zero is `+0`.
#[inline]
#[must_use]
pub fn row_max(x: View<'_, f32, 1>) -> f32 {
    on(Backend::detect()).row_max(x)
}

/// `Σ exp(x - shift)`, in sixteen lanes; 0 if there is nothing.
///
/// Each exponential is within 1 ULP; `shift = row_max(x)` avoids an overflow.
#[inline]
#[must_use]
pub fn exp_sum(x: View<'_, f32, 1>, shift: f32) -> f32 {
    on(Backend::detect()).exp_sum(x, shift)
}

/// `ln Σ exp(x)`, without overflow: the maximum plus `ln_1p` of the sum of the others.
///
/// `-∞` if there is nothing, or nothing but `-∞`; `+∞` if there is a `+∞`; NaN if there is a NaN.
#[inline]
#[must_use]
pub fn log_sum_exp(x: View<'_, f32, 1>) -> f32 {
    on(Backend::detect()).log_sum_exp(x)
}

/// `exp(x_c) / Σ_k exp(x_k)` along an axis.
///
/// The relative error is below 1.5e-6 for logits within 20 of each other, of which the rounding of `x_c - max` takes
/// up to 1e-6; subnormal results are gradual. A NaN, a `+∞`, or nothing but `-∞` makes a row NaN.
///
/// # Errors
///
/// [`Error::AxisOutOfRange`]; [`Error::ShapeMismatch`] if `out` does not have the shape of `x`. `out` is as it was then.
#[inline]
pub fn softmax<const D: usize>(x: View<'_, f32, D>, axis: usize, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
    on(Backend::detect()).softmax(x, axis, out)
}

/// [`softmax()`] in place.
///
/// # Errors
///
/// [`Error::AxisOutOfRange`]; `x` is as it was then.
#[inline]
pub fn softmax_in_place<const D: usize>(x: ViewMut<'_, f32, D>, axis: usize) -> Result<(), Error> {
    on(Backend::detect()).softmax_in_place(x, axis)
}

/// `ln softmax(x)`: `x - log_sum_exp(x)` along an axis, without cancellation for a confident row.
///
/// The relative error is that of the cross entropy: below 4e-6 for margins up to 80. A NaN, a `+∞`, or nothing but `-∞` makes a row NaN.
///
/// # Errors
///
/// [`Error::AxisOutOfRange`]; [`Error::ShapeMismatch`] if `out` does not have the shape of `x`. `out` is as it was then.
#[inline]
pub fn log_softmax<const D: usize>(x: View<'_, f32, D>, axis: usize, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
    on(Backend::detect()).log_softmax(x, axis, out)
}

/// [`log_softmax`] in place.
///
/// # Errors
///
/// [`Error::AxisOutOfRange`]; `x` is as it was then.
#[inline]
pub fn log_softmax_in_place<const D: usize>(x: ViewMut<'_, f32, D>, axis: usize) -> Result<(), Error> {
    on(Backend::detect()).log_softmax_in_place(x, axis)
}

/// For each element `e^x`.
///
#[doc = concat!("Within ", worst_error!(exp), " of the exact result, for every input.")]
///
/// `exp(-∞) = 0`, `exp(+∞) = +∞`; subnormal results are gradual; NaN to NaN.
///
/// # Errors
///
/// [`Error::ShapeMismatch`] if `out` does not have the shape of `x`; `out` is as it was then.
///
/// ```
/// use losslanes::{View, ViewMut, kernels};
///
/// let x = [0.0, f32::NEG_INFINITY];
/// let mut out = [0.0; 2];
/// kernels::exp(View::new(&x, [2])?, ViewMut::new(&mut out, [2])?)?;
/// assert_eq!(out, [1.0, 0.0]);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[inline]
pub fn exp<const D: usize>(x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
    on(Backend::detect()).exp(x, out)
}

/// [`exp`] in place.
#[inline]
pub fn exp_in_place<const D: usize>(x: ViewMut<'_, f32, D>) {
    on(Backend::detect()).exp_in_place(x);
}

/// For each element the natural logarithm.
///
#[doc = concat!("Within ", worst_error!(ln), " of the exact result, for every input.")]
///
/// `ln(±0) = -∞`, `ln(+∞) = +∞`, NaN below 0; subnormal inputs are right; NaN to NaN.
///
/// # Errors
///
/// [`Error::ShapeMismatch`] if `out` does not have the shape of `x`; `out` is as it was then.
///
/// ```
/// use losslanes::{View, ViewMut, kernels};
///
/// let x = [1.0, 0.0];
/// let mut out = [0.0; 2];
/// kernels::ln(View::new(&x, [2])?, ViewMut::new(&mut out, [2])?)?;
/// assert_eq!(out, [0.0, f32::NEG_INFINITY]);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[inline]
pub fn ln<const D: usize>(x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
    on(Backend::detect()).ln(x, out)
}

/// [`ln`] in place.
#[inline]
pub fn ln_in_place<const D: usize>(x: ViewMut<'_, f32, D>) {
    on(Backend::detect()).ln_in_place(x);
}

/// For each element `1 / (1 + e^-x)`, the logistic function.
///
#[doc = concat!("Within ", worst_error!(sigmoid), " of the exact result, for every input.")]
///
/// `sigmoid(-∞) = 0`, `sigmoid(+∞) = 1`; subnormal results are gradual; NaN to NaN.
///
/// # Errors
///
/// [`Error::ShapeMismatch`] if `out` does not have the shape of `x`; `out` is as it was then.
///
/// ```
/// use losslanes::{View, ViewMut, kernels};
///
/// let x = [0.0, f32::NEG_INFINITY];
/// let mut out = [0.0; 2];
/// kernels::sigmoid(View::new(&x, [2])?, ViewMut::new(&mut out, [2])?)?;
/// assert_eq!(out, [0.5, 0.0]);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[inline]
pub fn sigmoid<const D: usize>(x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
    on(Backend::detect()).sigmoid(x, out)
}

/// [`sigmoid`] in place.
#[inline]
pub fn sigmoid_in_place<const D: usize>(x: ViewMut<'_, f32, D>) {
    on(Backend::detect()).sigmoid_in_place(x);
}

/// For each element `ln(1 / (1 + e^-x)) = -softplus(-x)`.
///
#[doc = concat!("Within ", worst_error!(log_sigmoid), " of the exact result, for every input.")]
///
/// `log_sigmoid(-∞) = -∞`, `log_sigmoid(+∞) = -0`; subnormal results are gradual; NaN to NaN.
///
/// # Errors
///
/// [`Error::ShapeMismatch`] if `out` does not have the shape of `x`; `out` is as it was then.
///
/// ```
/// use losslanes::{View, ViewMut, kernels};
///
/// let x = [f32::INFINITY, -200.0];
/// let mut out = [0.0; 2];
/// kernels::log_sigmoid(View::new(&x, [2])?, ViewMut::new(&mut out, [2])?)?;
/// assert_eq!(out, [0.0, -200.0]);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[inline]
pub fn log_sigmoid<const D: usize>(x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
    on(Backend::detect()).log_sigmoid(x, out)
}

/// [`log_sigmoid`] in place.
#[inline]
pub fn log_sigmoid_in_place<const D: usize>(x: ViewMut<'_, f32, D>) {
    on(Backend::detect()).log_sigmoid_in_place(x);
}

/// For each element `ln(1 + e^x)`.
///
#[doc = concat!("Within ", worst_error!(softplus), " of the exact result, for every input.")]
///
/// `softplus(-∞) = 0`, `softplus(+∞) = +∞`; subnormal results are gradual; NaN to NaN.
///
/// # Errors
///
/// [`Error::ShapeMismatch`] if `out` does not have the shape of `x`; `out` is as it was then.
///
/// ```
/// use losslanes::{View, ViewMut, kernels};
///
/// let x = [f32::NEG_INFINITY, 200.0];
/// let mut out = [0.0; 2];
/// kernels::softplus(View::new(&x, [2])?, ViewMut::new(&mut out, [2])?)?;
/// assert_eq!(out, [0.0, 200.0]);
/// # Ok::<(), losslanes::Error>(())
/// ```
#[inline]
pub fn softplus<const D: usize>(x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
    on(Backend::detect()).softplus(x, out)
}

/// [`softplus`] in place.
#[inline]
pub fn softplus_in_place<const D: usize>(x: ViewMut<'_, f32, D>) {
    on(Backend::detect()).softplus_in_place(x);
}

impl Kernels {
    /// As [`row_max`], on this backend.
    #[inline]
    #[must_use]
    pub fn row_max(self, x: View<'_, f32, 1>) -> f32 {
        reduce(x, |reduce| self.backend.run(softmax::Max(reduce)))
    }

    /// As [`exp_sum`], on this backend.
    #[inline]
    #[must_use]
    pub fn exp_sum(self, x: View<'_, f32, 1>, shift: f32) -> f32 {
        reduce(x, |reduce| self.backend.run(softmax::ExpSum { reduce, shift }))
    }

    /// As [`log_sum_exp`], on this backend.
    #[inline]
    #[must_use]
    pub fn log_sum_exp(self, x: View<'_, f32, 1>) -> f32 {
        let rank_zero = Layout { offset: x.layout().offset, shape: [], strides: [] };
        let mut axes = Axes::<0, 1>::NONE;
        axes.set_first(&rank_zero);
        let ([classes], [stride]) = (x.shape(), x.strides());
        let rows = |grid| Rows { grid, classes, stride, cross: &Cross::NONE, smoothing: Smoothing::NONE };
        let sum = axes
            .merge(0)
            .map_or(f32::NAN, |grid| self.backend.run(softmax::LogSumExp { rows: rows(grid), x: x.data() }));
        // Relative to a maximum of +∞ there is nothing but NaN.
        if sum.is_nan() { self.row_max(x) } else { sum }
    }

    /// As [`softmax()`], on this backend.
    ///
    /// # Errors
    ///
    /// As [`softmax()`].
    #[inline]
    pub fn softmax<const D: usize>(
        self,
        x: View<'_, f32, D>,
        axis: usize,
        out: ViewMut<'_, f32, D>,
    ) -> Result<(), Error> {
        self.softmax_into(Some(x), axis, out, false)
    }

    /// As [`softmax_in_place`], on this backend.
    ///
    /// # Errors
    ///
    /// As [`softmax_in_place`].
    #[inline]
    pub fn softmax_in_place<const D: usize>(self, x: ViewMut<'_, f32, D>, axis: usize) -> Result<(), Error> {
        self.softmax_into(None, axis, x, false)
    }

    /// As [`log_softmax`], on this backend.
    ///
    /// # Errors
    ///
    /// As [`log_softmax`].
    #[inline]
    pub fn log_softmax<const D: usize>(
        self,
        x: View<'_, f32, D>,
        axis: usize,
        out: ViewMut<'_, f32, D>,
    ) -> Result<(), Error> {
        self.softmax_into(Some(x), axis, out, true)
    }

    /// As [`log_softmax_in_place`], on this backend.
    ///
    /// # Errors
    ///
    /// As [`log_softmax_in_place`].
    #[inline]
    pub fn log_softmax_in_place<const D: usize>(self, x: ViewMut<'_, f32, D>, axis: usize) -> Result<(), Error> {
        self.softmax_into(None, axis, x, true)
    }

    /// As [`exp`], on this backend.
    ///
    /// # Errors
    ///
    /// As [`exp`].
    #[inline]
    pub fn exp<const D: usize>(self, x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
        self.map::<elements::Exp, D>(Some(x), out)
    }

    /// As [`exp_in_place`], on this backend.
    #[inline]
    pub fn exp_in_place<const D: usize>(self, x: ViewMut<'_, f32, D>) {
        // In place there is no other shape to differ from.
        let _: Result<(), Error> = self.map::<elements::Exp, D>(None, x);
    }

    /// As [`ln`], on this backend.
    ///
    /// # Errors
    ///
    /// As [`ln`].
    #[inline]
    pub fn ln<const D: usize>(self, x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
        self.map::<elements::Ln, D>(Some(x), out)
    }

    /// As [`ln_in_place`], on this backend.
    #[inline]
    pub fn ln_in_place<const D: usize>(self, x: ViewMut<'_, f32, D>) {
        // In place there is no other shape to differ from.
        let _: Result<(), Error> = self.map::<elements::Ln, D>(None, x);
    }

    /// As [`sigmoid`], on this backend.
    ///
    /// # Errors
    ///
    /// As [`sigmoid`].
    #[inline]
    pub fn sigmoid<const D: usize>(self, x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
        self.map::<elements::Sigmoid, D>(Some(x), out)
    }

    /// As [`sigmoid_in_place`], on this backend.
    #[inline]
    pub fn sigmoid_in_place<const D: usize>(self, x: ViewMut<'_, f32, D>) {
        // In place there is no other shape to differ from.
        let _: Result<(), Error> = self.map::<elements::Sigmoid, D>(None, x);
    }

    /// As [`log_sigmoid`], on this backend.
    ///
    /// # Errors
    ///
    /// As [`log_sigmoid`].
    #[inline]
    pub fn log_sigmoid<const D: usize>(self, x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
        self.map::<elements::LogSigmoid, D>(Some(x), out)
    }

    /// As [`log_sigmoid_in_place`], on this backend.
    #[inline]
    pub fn log_sigmoid_in_place<const D: usize>(self, x: ViewMut<'_, f32, D>) {
        // In place there is no other shape to differ from.
        let _: Result<(), Error> = self.map::<elements::LogSigmoid, D>(None, x);
    }

    /// As [`softplus`], on this backend.
    ///
    /// # Errors
    ///
    /// As [`softplus`].
    #[inline]
    pub fn softplus<const D: usize>(self, x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
        self.map::<elements::Softplus, D>(Some(x), out)
    }

    /// As [`softplus_in_place`], on this backend.
    #[inline]
    pub fn softplus_in_place<const D: usize>(self, x: ViewMut<'_, f32, D>) {
        // In place there is no other shape to differ from.
        let _: Result<(), Error> = self.map::<elements::Softplus, D>(None, x);
    }

    fn map<F, const D: usize>(self, input: Option<View<'_, f32, D>>, out: ViewMut<'_, f32, D>) -> Result<(), Error>
    where
        for<'k> Map<'k, F>: Compiled<Output = ()>,
    {
        let mut axes = Axes::<D, 2>::NONE;
        axes.set_first(input_layout(input.as_ref(), out.layout())?);
        axes.set(1, out.layout());
        let grid = axes.merge(D).ok_or(Error::TooLarge)?;
        let input = input.map(|x| x.data());
        self.backend.run(Map { grid, input, out: out.into_data(), function: PhantomData::<F> });
        Ok(())
    }

    fn softmax_into<const D: usize>(
        self,
        input: Option<View<'_, f32, D>>,
        axis: usize,
        out: ViewMut<'_, f32, D>,
        log: bool,
    ) -> Result<(), Error> {
        let layout = out.layout();
        let from = input_layout(input.as_ref(), layout)?;
        let (Some(&classes), Some(&stride), Some(&out_stride)) =
            (layout.shape.get(axis), from.strides.get(axis), layout.strides.get(axis))
        else {
            return Err(Error::AxisOutOfRange { axis, rank: D });
        };
        if classes == 0 {
            // Nothing to write, for any number of rows, since these need no memory.
            return Ok(());
        }
        let mut axes = Axes::<D, 2>::NONE;
        axes.set_first_without(axis, from);
        axes.set_without(axis, softmax::OUT, layout);
        let grid = axes.merge(D - 1).ok_or(Error::TooLarge)?;
        let rows = Rows { grid, classes, stride, cross: &Cross::NONE, smoothing: Smoothing::NONE };
        let input = input.map(|x| x.data());
        let memory = Memory { input, data: out.into_data(), array: softmax::OUT, stride: out_stride };
        self.backend.run(softmax::Softmax { rows, memory, log });
        Ok(())
    }
}

/// The layout of the input, or in place of the output, if their shapes are the same.
#[inline]
fn input_layout<'l, const D: usize>(
    input: Option<&'l View<'_, f32, D>>,
    out: &'l Layout<D>,
) -> Result<&'l Layout<D>, Error> {
    let Some(input) = input.map(View::layout) else {
        return Ok(out);
    };
    check(Argument::Output, &out.shape, &input.shape)?;
    Ok(input)
}

/// Runs a reduction of all elements.
fn reduce(x: View<'_, f32, 1>, run: impl FnOnce(softmax::Reduce<'_>) -> f32) -> f32 {
    let mut axes = Axes::<1, 1>::NONE;
    axes.set_first(x.layout());
    // The number of elements was counted when the view was made.
    axes.merge(1).map_or(f32::NAN, |grid| run(softmax::Reduce { data: x.data(), grid }))
}
