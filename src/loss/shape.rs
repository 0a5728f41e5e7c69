//! What fits together: ranks, shapes and the axes of rows.

use super::backward::Gradient;
use crate::{
    Error, View, ViewMut,
    error::Argument,
    lanes::{
        classes::OUT,
        cross::{Cross, Smoothing, TARGET},
        gradient::Upstream,
        grid::Axes,
        layout::Rows,
        map::Memory,
        pass::{BACKWARD, Backward, GRADIENT, UPSTREAM},
    },
    view::Layout,
};

/// Fails unless the shape of `argument` is the expected one.
pub(crate) fn check<'s>(
    argument: Argument,
    shape: &[usize],
    expected: impl IntoIterator<Item = &'s usize, IntoIter: ExactSizeIterator>,
) -> Result<(), Error> {
    let expected = expected.into_iter();
    if shape.len() != expected.len() {
        return Err(Error::RankMismatch { argument, rank: shape.len(), expected: expected.len() });
    }
    for (axis, (&len, &expected)) in shape.iter().zip(expected).enumerate() {
        if len != expected {
            return Err(Error::ShapeMismatch { argument, axis, len, expected });
        }
    }
    Ok(())
}

/// The class weights, if there is one for each class.
#[inline]
pub(crate) fn check_weight(weight: Option<&[f32]>, classes: usize) -> Result<Option<&[f32]>, Error> {
    match weight {
        Some(weight) if weight.len() != classes => Err(Error::WeightLength { len: weight.len(), classes }),
        _ => Ok(weight),
    }
}

/// The axes of the rows of an input of rank `D` with a class axis, and of the arrays that go with it.
pub(crate) struct RowAxes<const D: usize, const K: usize> {
    /// Of the rows: all axes but that of the classes.
    axes: Axes<D, K>,
    pub(crate) classes: usize,
    /// The distance of neighbouring classes in the input.
    stride: isize,
    /// The distance of neighbouring classes in targets that are probabilities.
    pub(crate) target_stride: isize,
}

impl<const D: usize, const K: usize> RowAxes<D, K> {
    /// The axes that are left.
    const RANK: usize = D.saturating_sub(1);
    /// The axis of the classes: 1, or the only one.
    const CLASSES: usize = if D > 1 { 1 } else { 0 };

    /// As [`Axes::NONE`].
    pub(crate) const NONE: Self = Self { axes: Axes::NONE, classes: 0, stride: 0, target_stride: 0 };

    /// Takes in the input.
    pub(crate) fn set_input(&mut self, input: &Layout<D>) -> Result<(), Error> {
        let Some(&classes) = input.shape.get(Self::CLASSES) else {
            return Err(Error::RankMismatch { argument: Argument::Input, rank: D, expected: 1 });
        };
        self.classes = classes;
        self.axes.set_first_without(Self::CLASSES, input);
        self.stride = Self::class_stride(input);
        Ok(())
    }

    /// Takes in an array that has one element for each row.
    fn set<const E: usize>(&mut self, argument: Argument, array: usize, layout: &Layout<E>) -> Result<(), Error> {
        let rows = self.axes.all.get(..Self::RANK).unwrap_or(&[]);
        check(argument, &layout.shape, rows.iter().map(|axis| &axis.len))?;
        self.axes.set(array, layout);
        Ok(())
    }

    pub(crate) fn set_class_targets<const E: usize>(&mut self, target: &Layout<E>) -> Result<(), Error> {
        self.set(Argument::Target, TARGET, target)
    }

    /// Takes in an output, if there is one, and returns its memory.
    pub(crate) fn set_out<'a, const E: usize>(
        &mut self,
        out: Option<ViewMut<'a, f32, E>>,
    ) -> Result<Option<&'a mut [f32]>, Error> {
        let Some(out) = out else {
            return Ok(None);
        };
        self.set(Argument::Output, OUT, out.layout())?;
        Ok(Some(out.into_data()))
    }

    /// The rows, with their axes merged, and the coefficients of a sum over all classes.
    #[inline(always)]
    pub(crate) fn rows<'a>(&'a mut self, cross: &'a Cross<'a>) -> Result<Rows<'a, K>, Error> {
        let (classes, stride) = (self.classes, self.stride);
        Ok(Rows {
            grid: self.axes.merge(Self::RANK).ok_or(Error::TooLarge)?,
            classes,
            stride,
            cross,
            smoothing: Smoothing::NONE,
        })
    }

    /// Takes in targets of the input's own shape.
    pub(crate) fn set_probabilities<const E: usize>(
        &mut self,
        input: &Layout<D>,
        target: &Layout<E>,
    ) -> Result<(), Error> {
        let strides = &target.strides;
        check(Argument::Target, &target.shape, &input.shape)?;
        // The ranks are the same now.
        let mut target = Layout { offset: target.offset, ..*input };
        for (to, &from) in target.strides.iter_mut().zip(strides) {
            *to = from;
        }
        self.target_stride = self.set_rows(TARGET, &target);
        Ok(())
    }

    /// Takes in an array of the input's shape, and returns the distance of its neighbouring classes.
    fn set_rows(&mut self, array: usize, layout: &Layout<D>) -> isize {
        self.axes.set_without(Self::CLASSES, array, layout);
        Self::class_stride(layout)
    }

    fn class_stride(layout: &Layout<D>) -> isize {
        layout.strides.get(Self::CLASSES).copied().unwrap_or(0)
    }
}

impl<const D: usize> RowAxes<D, BACKWARD> {
    /// Takes in a gradient of the input's shape, and returns the distance of its neighbouring classes.
    pub(crate) fn set_gradient(&mut self, gradient: &Layout<D>) -> isize {
        self.set_rows(GRADIENT, gradient)
    }

    /// Takes in what the losses are multiplied with, and returns its memory.
    pub(crate) fn set_upstream<'a, const E: usize>(&mut self, upstream: View<'a, f32, E>) -> Result<&'a [f32], Error> {
        self.set(Argument::Upstream, UPSTREAM, upstream.layout())?;
        Ok(upstream.data())
    }
}

/// A gradient of rows, of which neighbouring classes are `stride` apart.
pub(crate) fn backward<'a, const D: usize>(
    gradient: Gradient<'a, D>,
    stride: isize,
    upstream: Upstream<'a>,
) -> Backward<'a> {
    let (input, data) = gradient.into_data();
    Backward { rows: Memory { input, data, array: GRADIENT, stride }, upstream }
}
