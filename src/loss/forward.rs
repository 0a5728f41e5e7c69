//! The methods of the losses without a gradient.

/// The methods of a loss of elements. The attributes are what else its errors are.
macro_rules! element_losses {
    ($(#[$errors:meta])*) => {
        /// The loss of each element, into `out`.
        ///
        /// # Errors
        ///
        /// [`Error::ShapeMismatch`] for an argument that does not have the input's shape; `out` is as it was then.
        $(#[$errors])*
        #[inline]
        pub fn none(
            self,
            input: View<'_, f32, D>,
            target: View<'_, f32, D>,
            out: ViewMut<'_, f32, D>,
        ) -> Result<(), Error> {
            self.run(input, target, Some(out)).map(drop)
        }

        /// The sum of the losses.
        ///
        /// # Errors
        ///
        /// As [`Self::none`].
        #[inline]
        pub fn sum(self, input: View<'_, f32, D>, target: View<'_, f32, D>) -> Result<f32, Error> {
            self.total(input, target).map(Total::sum)
        }

        /// The sum of the losses divided by the number of elements; NaN if there are none.
        ///
        /// # Errors
        ///
        /// As [`Self::none`].
        #[inline]
        pub fn mean(self, input: View<'_, f32, D>, target: View<'_, f32, D>) -> Result<f32, Error> {
            self.total(input, target).map(Total::mean)
        }

        /// The sum with its denominator, to be merged with others.
        ///
        /// # Errors
        ///
        /// As [`Self::none`].
        #[inline]
        pub fn total(self, input: View<'_, f32, D>, target: View<'_, f32, D>) -> Result<Total, Error> {
            self.run(input, target, None)
        }
    };
}

/// The methods of a loss of rows. The attributes are what its errors are.
macro_rules! row_losses {
    ($target:ident: $(#[$errors:meta])*) => {
        /// The loss of each row, into `out`.
        ///
        /// # Errors
        ///
        $(#[$errors])*
        #[inline]
        pub fn none<T: $target, const D: usize, const E: usize, const R: usize>(
            self,
            input: View<'_, f32, D>,
            target: View<'_, T, E>,
            out: ViewMut<'_, f32, R>,
        ) -> Result<(), Error> {
            self.run(input, target, Some(out)).map(drop)
        }

        /// The sum of the losses.
        ///
        /// # Errors
        ///
        /// As [`Self::none`].
        #[inline]
        pub fn sum<T: $target, const D: usize, const E: usize>(
            self,
            input: View<'_, f32, D>,
            target: View<'_, T, E>,
        ) -> Result<f32, Error> {
            self.total(input, target).map(Total::sum)
        }

        /// The mean of the losses; its denominator is that of the definition above.
        ///
        /// # Errors
        ///
        /// As [`Self::none`].
        #[inline]
        pub fn mean<T: $target, const D: usize, const E: usize>(
            self,
            input: View<'_, f32, D>,
            target: View<'_, T, E>,
        ) -> Result<f32, Error> {
            self.total(input, target).map(Total::mean)
        }

        /// The sum with its denominator, to be merged with others.
        ///
        /// # Errors
        ///
        /// As [`Self::none`].
        #[inline]
        pub fn total<T: $target, const D: usize, const E: usize>(
            self,
            input: View<'_, f32, D>,
            target: View<'_, T, E>,
        ) -> Result<Total, Error> {
            self.run::<T, D, E, 0>(input, target, None)
        }
    };
}

pub(crate) use {element_losses, row_losses};
