//! What both binary losses share: arrays of one shape.

use core::marker::PhantomData;

use super::{
    backward::{Gradient, Of, inverse},
    shape::check,
};
use crate::{
    Backend, Error, Total, View, ViewMut,
    error::Argument,
    lanes::{
        arrays::{BACKWARD, Data, FORWARD, GRADIENT, INPUT, Inputs, TARGET, UPSTREAM},
        elements::{Binary, BinaryLoss, Derivative, Derive},
        gradient::Upstream,
        grid::{Axes, Grid},
    },
    simd::Compiled,
    total::Compensated,
    view::Layout,
};

/// The arguments of a binary loss besides its input.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a, const D: usize> {
    pub(crate) target: View<'a, f32, D>,
    pub(crate) weight: Option<View<'a, f32, D>>,
    pub(crate) pos_weight: Option<View<'a, f32, D>>,
}

impl<'a, const D: usize> Arguments<'a, D> {
    /// Checks the shapes and runs.
    #[inline]
    pub(crate) fn forward<L: BinaryLoss>(
        self,
        backend: Backend,
        input: View<'_, f32, D>,
        out: Option<ViewMut<'_, f32, D>>,
    ) -> Result<Total, Error>
    where
        for<'k> Binary<'k, L, FORWARD>: Compiled<Output = Option<Total>>,
    {
        let mut axes = Axes::<D, FORWARD>::NONE;
        axes.set_first(input.layout());
        self.set(&mut axes, input.layout(), out.as_ref())?;
        let grid = axes.merge(D).ok_or(Error::TooLarge)?;
        let out = out.map(ViewMut::into_data);
        let [_, target, weight, pos_weight] = self.inputs();
        let inputs = [Some(input.data()), target, weight, pos_weight];
        let data = Data { inputs, upstream: Upstream::Same(1.0), out, gradient: None };
        let total = backend.run(Binary { grid, data, loss: PhantomData::<L> });
        total.ok_or_else(|| refused(&grid, input.data()))
    }

    /// As [`Self::forward`], with the gradient.
    #[inline]
    pub(crate) fn backward<L: BinaryLoss>(
        self,
        backend: Backend,
        gradient: Gradient<'_, D>,
        of: Of<'_, D>,
        out: Option<ViewMut<'_, f32, D>>,
    ) -> Result<Total, Error>
    where
        for<'k> Binary<'k, L, BACKWARD>: Compiled<Output = Option<Total>>,
    {
        let mut axes = Axes::<D, BACKWARD>::NONE;
        axes.set_first(gradient.input());
        let (mut inputs, upstream) = self.set_backward(&mut axes, &gradient, of, out.as_ref())?;
        let grid = axes.merge(D).ok_or(Error::TooLarge)?;
        let upstream = match of {
            Of::Mean => Upstream::Same(inverse(Compensated::from_count(grid.len).value())),
            _ => upstream,
        };
        let out = out.map(ViewMut::into_data);
        let (input, gradient) = gradient.into_data();
        inputs[INPUT] = input;
        let data = Data { inputs, upstream, out, gradient: Some(&mut *gradient) };
        let total = backend.run(Binary { grid, data, loss: PhantomData::<L> });
        total.ok_or_else(|| refused(&grid, input.unwrap_or(gradient)))
    }

    /// Another derivative, into `gradient`.
    #[inline]
    pub(crate) fn derive<V: Derivative>(
        self,
        backend: Backend,
        gradient: Gradient<'_, D>,
        of: Of<'_, D>,
    ) -> Result<(), Error>
    where
        for<'k> Derive<'k, V>: Compiled<Output = ()>,
    {
        let mut axes = Axes::<D, BACKWARD>::NONE;
        axes.set_first(gradient.input());
        let (mut inputs, upstream) = self.set_backward(&mut axes, &gradient, of, None)?;
        let grid = axes.merge(D).ok_or(Error::TooLarge)?;
        let (input, gradient) = gradient.into_data();
        inputs[INPUT] = input;
        let data = Data { inputs, upstream, out: None, gradient: Some(gradient) };
        backend.run(Derive { grid, data, derivative: PhantomData::<V> });
        Ok(())
    }

    /// Takes in what every call has.
    #[inline]
    fn set<const K: usize>(
        &self,
        axes: &mut Axes<D, K>,
        input: &Layout<D>,
        out: Option<&ViewMut<'_, f32, D>>,
    ) -> Result<(), Error> {
        let arrays = [
            (Argument::Target, Some(self.target.layout())),
            (Argument::Weight, self.weight.as_ref().map(View::layout)),
            (Argument::PosWeight, self.pos_weight.as_ref().map(View::layout)),
            (Argument::Output, out.map(ViewMut::layout)),
        ];
        for (k, (argument, layout)) in (TARGET..).zip(arrays) {
            if let Some(layout) = layout {
                check(argument, &layout.shape, &input.shape)?;
                axes.set(k, layout);
            }
        }
        Ok(())
    }

    /// Takes in what every call with a gradient has, and returns the memory of the inputs.
    #[inline]
    fn set_backward<'t>(
        self,
        axes: &mut Axes<D, BACKWARD>,
        gradient: &Gradient<'_, D>,
        of: Of<'t, D>,
        out: Option<&ViewMut<'_, f32, D>>,
    ) -> Result<(Inputs<'t>, Upstream<'t>), Error>
    where
        'a: 't,
    {
        let input = gradient.input();
        self.set(axes, input, out)?;
        axes.set(GRADIENT, gradient.layout());
        let upstream = match of {
            Of::Each(upstream) => {
                check(Argument::Upstream, &upstream.shape(), &input.shape)?;
                axes.set(UPSTREAM, upstream.layout());
                Upstream::Each(upstream.data())
            }
            Of::Sum | Of::Mean => Upstream::Same(1.0),
        };
        Ok((self.inputs(), upstream))
    }

    fn inputs(&self) -> Inputs<'a> {
        [None, Some(self.target.data()), self.weight.map(|view| view.data()), self.pos_weight.map(|view| view.data())]
    }
}

/// The error for the first element that is refused.
fn refused<const K: usize>(grid: &Grid<'_, K>, input: &[f32]) -> Error {
    let refused = |x: f32| !(0.0..=1.0).contains(&x) && !x.is_nan();
    let (index, value) = grid.find_element(INPUT, input, refused).unwrap_or_default();
    Error::ProbabilityOutOfRange { index, value }
}
