//! What both binary losses share: arrays of one shape.

use core::marker::PhantomData;

use super::shape::check;
use crate::{
    Backend, Error, Total, View, ViewMut,
    error::Argument,
    lanes::{
        elements::{Binary, BinaryLoss, INPUT},
        grid::Axes,
    },
};

/// The arguments of a binary loss.
pub(crate) struct Arguments<'a, const D: usize> {
    pub(crate) input: View<'a, f32, D>,
    pub(crate) target: View<'a, f32, D>,
    pub(crate) weight: Option<View<'a, f32, D>>,
    pub(crate) pos_weight: Option<View<'a, f32, D>>,
}

impl<const D: usize> Arguments<'_, D> {
    /// Checks the shapes and runs.
    #[inline]
    pub(crate) fn run<L: BinaryLoss>(self, backend: Backend, out: Option<ViewMut<'_, f32, D>>) -> Result<Total, Error> {
        let shape = self.input.shape();
        let absent = ([0; D], 0);
        let part = |argument, view: Option<View<'_, f32, D>>| match view {
            Some(view) => {
                check(argument, &view.shape(), &shape)?;
                Ok((view.strides(), view.layout().offset))
            }
            None => Ok(absent),
        };
        let target = part(Argument::Target, Some(self.target))?;
        let weight = part(Argument::Weight, self.weight)?;
        let pos_weight = part(Argument::PosWeight, self.pos_weight)?;
        let (out, out_layout) = match out {
            Some(out) => {
                let part = part(Argument::Output, Some(out.as_view()))?;
                (Some(out.into_parts().0), part)
            }
            None => (None, absent),
        };
        let input = (self.input.strides(), self.input.layout().offset);
        let parts = [input, target, weight, pos_weight, out_layout];
        let mut axes = Axes { shape, strides: parts.map(|part| part.0), offsets: parts.map(|part| part.1) };
        let kernel = Binary {
            grid: axes.merge(D).ok_or(Error::TooLarge)?,
            inputs: [Some(self.input), Some(self.target), self.weight, self.pos_weight].map(|view| Some(view?.data())),
            out,
            loss: PhantomData::<L>,
        };
        let grid = kernel.grid;
        backend.run(kernel).ok_or_else(|| {
            let refused = |x: f32| !(0.0..=1.0).contains(&x) && !x.is_nan();
            let (index, value) = grid.find_element(INPUT, self.input.data(), refused).unwrap_or_default();
            Error::ProbabilityOutOfRange { index, value }
        })
    }
}
