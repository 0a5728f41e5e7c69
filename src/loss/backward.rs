//! What all gradients share: where they go, and what the loss is multiplied with.

use crate::{Error, View, ViewMut, error::Argument, loss::shape::check, view::Layout};

/// An input with its gradient, or in the input's place.
pub(crate) struct Gradient<'a, const D: usize> {
    input: Option<View<'a, f32, D>>,
    gradient: ViewMut<'a, f32, D>,
}

impl<'a, const D: usize> Gradient<'a, D> {
    #[inline]
    pub(crate) fn new(input: View<'a, f32, D>, gradient: ViewMut<'a, f32, D>) -> Result<Self, Error> {
        check(Argument::Gradient, &gradient.shape(), &input.shape())?;
        Ok(Self { input: Some(input), gradient })
    }

    #[inline]
    pub(crate) const fn in_place(input: ViewMut<'a, f32, D>) -> Self {
        Self { input: None, gradient: input }
    }

    /// The layout of the input.
    #[inline]
    pub(crate) fn input(&self) -> &Layout<D> {
        self.input.as_ref().map_or(self.layout(), View::layout)
    }

    /// The layout of the gradient.
    #[inline]
    pub(crate) const fn layout(&self) -> &Layout<D> {
        self.gradient.layout()
    }

    /// The memory of the input, if it has its own, and of the gradient.
    #[inline]
    pub(crate) fn into_data(self) -> (Option<&'a [f32]>, &'a mut [f32]) {
        (self.input.map(|input| input.data()), self.gradient.into_data())
    }
}

/// What the gradient is of.
#[derive(Clone, Copy)]
pub(crate) enum Of<'a, const R: usize> {
    Sum,
    Mean,
    /// The losses times these numbers.
    Each(View<'a, f32, R>),
}

/// The inverse of a mean's denominator.
#[inline]
pub(crate) fn inverse(denominator: f32) -> f32 {
    1.0 / denominator
}

/// The methods of a loss of rows that give a gradient, for this kind of targets.
macro_rules! row_gradients {
    ($target:ident) => {
        /// The sum of the losses, and its gradient with respect to the input.
        ///
        /// Each row of the gradient is written once; see [the definition](#gradient).
        ///
        /// # Errors
        ///
        /// As [`Self::none`], and [`Error::ShapeMismatch`] if `grad` does not have the input's shape. `grad` is as it was
        /// then.
        #[inline]
        pub fn sum_with_grad<T: $target, const D: usize, const E: usize>(
            self,
            input: View<'_, f32, D>,
            target: View<'_, T, E>,
            grad: ViewMut<'_, f32, D>,
        ) -> Result<f32, Error> {
            self.backward::<T, D, E, 0>(Gradient::new(input, grad)?, target, Of::Sum, None).map(Total::sum)
        }

        /// [`Self::sum_with_grad`], with the gradient in place of the input.
        ///
        /// # Errors
        ///
        /// As [`Self::sum`]; `input` is as it was then.
        #[inline]
        pub fn sum_with_grad_in_place<T: $target, const D: usize, const E: usize>(
            self,
            input: ViewMut<'_, f32, D>,
            target: View<'_, T, E>,
        ) -> Result<f32, Error> {
            self.backward::<T, D, E, 0>(Gradient::in_place(input), target, Of::Sum, None).map(Total::sum)
        }

        /// The mean of the losses, and its gradient with respect to the input.
        ///
        /// # Errors
        ///
        /// As [`Self::sum_with_grad`].
        #[inline]
        pub fn mean_with_grad<T: $target, const D: usize, const E: usize>(
            self,
            input: View<'_, f32, D>,
            target: View<'_, T, E>,
            grad: ViewMut<'_, f32, D>,
        ) -> Result<f32, Error> {
            self.backward::<T, D, E, 0>(Gradient::new(input, grad)?, target, Of::Mean, None).map(Total::mean)
        }

        /// [`Self::mean_with_grad`], with the gradient in place of the input.
        ///
        /// # Errors
        ///
        /// As [`Self::mean`]; `input` is as it was then.
        #[inline]
        pub fn mean_with_grad_in_place<T: $target, const D: usize, const E: usize>(
            self,
            input: ViewMut<'_, f32, D>,
            target: View<'_, T, E>,
        ) -> Result<f32, Error> {
            self.backward::<T, D, E, 0>(Gradient::in_place(input), target, Of::Mean, None).map(Total::mean)
        }

        /// The loss of each row into `out`, and into `grad` the gradient of the sum of `upstream · loss`: `upstream` is
        /// the gradient that comes in from what is done with the losses.
        ///
        /// # Errors
        ///
        /// As [`Self::none`], and [`Error::ShapeMismatch`] if `grad` does not have the input's shape or `upstream` not that of
        /// the losses. `out` and `grad` are as they were then.
        #[inline]
        pub fn none_with_grad<T: $target, const D: usize, const E: usize, const R: usize>(
            self,
            input: View<'_, f32, D>,
            target: View<'_, T, E>,
            upstream: View<'_, f32, R>,
            out: ViewMut<'_, f32, R>,
            grad: ViewMut<'_, f32, D>,
        ) -> Result<(), Error> {
            self.backward(Gradient::new(input, grad)?, target, Of::Each(upstream), Some(out)).map(drop)
        }

        /// [`Self::none_with_grad`], with the gradient in place of the input.
        ///
        /// # Errors
        ///
        /// As [`Self::none_with_grad`]; `input` and `out` are as they were then.
        #[inline]
        pub fn none_with_grad_in_place<T: $target, const D: usize, const E: usize, const R: usize>(
            self,
            input: ViewMut<'_, f32, D>,
            target: View<'_, T, E>,
            upstream: View<'_, f32, R>,
            out: ViewMut<'_, f32, R>,
        ) -> Result<(), Error> {
            self.backward(Gradient::in_place(input), target, Of::Each(upstream), Some(out)).map(drop)
        }
    };
}

/// The methods of a binary loss that give a gradient.
macro_rules! element_gradients {
    () => {
        /// The sum of the losses, and its gradient with respect to the input.
        ///
        /// # Errors
        ///
        /// As [`Self::none`], and [`Error::ShapeMismatch`] if `grad` does not have the input's shape. All inputs are looked at
        /// before anything is written: `grad` is as it was then.
        #[inline]
        pub fn sum_with_grad(
            self,
            input: View<'_, f32, D>,
            target: View<'_, f32, D>,
            grad: ViewMut<'_, f32, D>,
        ) -> Result<f32, Error> {
            self.backward(Gradient::new(input, grad)?, target, Of::Sum, None).map(Total::sum)
        }

        /// [`Self::sum_with_grad`], with the gradient in place of the input.
        ///
        /// # Errors
        ///
        /// As [`Self::sum_with_grad`].
        #[inline]
        pub fn sum_with_grad_in_place(
            self,
            input: ViewMut<'_, f32, D>,
            target: View<'_, f32, D>,
        ) -> Result<f32, Error> {
            self.backward(Gradient::in_place(input), target, Of::Sum, None).map(Total::sum)
        }

        /// The mean of the losses, and its gradient with respect to the input.
        ///
        /// # Errors
        ///
        /// As [`Self::sum_with_grad`].
        #[inline]
        pub fn mean_with_grad(
            self,
            input: View<'_, f32, D>,
            target: View<'_, f32, D>,
            grad: ViewMut<'_, f32, D>,
        ) -> Result<f32, Error> {
            self.backward(Gradient::new(input, grad)?, target, Of::Mean, None).map(Total::mean)
        }

        /// [`Self::mean_with_grad`], with the gradient in place of the input.
        ///
        /// # Errors
        ///
        /// As [`Self::sum_with_grad`].
        #[inline]
        pub fn mean_with_grad_in_place(
            self,
            input: ViewMut<'_, f32, D>,
            target: View<'_, f32, D>,
        ) -> Result<f32, Error> {
            self.backward(Gradient::in_place(input), target, Of::Mean, None).map(Total::mean)
        }

        /// The loss of each element into `out`, and into `grad` the gradient of the sum of `upstream · loss`: `upstream` is
        /// the gradient that comes in from what is done with the losses.
        ///
        /// # Errors
        ///
        /// As [`Self::none`], and [`Error::ShapeMismatch`] if `grad` or `upstream` does not have the input's shape.
        #[inline]
        pub fn none_with_grad(
            self,
            input: View<'_, f32, D>,
            target: View<'_, f32, D>,
            upstream: View<'_, f32, D>,
            out: ViewMut<'_, f32, D>,
            grad: ViewMut<'_, f32, D>,
        ) -> Result<(), Error> {
            self.backward(Gradient::new(input, grad)?, target, Of::Each(upstream), Some(out)).map(drop)
        }

        /// [`Self::none_with_grad`], with the gradient in place of the input.
        ///
        /// # Errors
        ///
        /// As [`Self::none_with_grad`].
        #[inline]
        pub fn none_with_grad_in_place(
            self,
            input: ViewMut<'_, f32, D>,
            target: View<'_, f32, D>,
            upstream: View<'_, f32, D>,
            out: ViewMut<'_, f32, D>,
        ) -> Result<(), Error> {
            self.backward(Gradient::in_place(input), target, Of::Each(upstream), Some(out)).map(drop)
        }
    };
}

pub(crate) use {element_gradients, row_gradients};
