//! How each kernel is cut, and how the results of its tiles are joined.

use rayon::prelude::*;

use super::{Join, Parts};
use crate::{
    Error,
    lanes::{
        arrays::{self, Data, GRADIENT, INPUT},
        classes::{ClassKernel, OUT, tile_rows},
        elements::{Binary, BinaryLoss, Derive, Map, TILE},
        grid::Grid,
        layout::Rows,
        map::Memory,
        pass::{Backward, Forward, Pass},
        probabilities::{ProbabilityCrossEntropy, ProbabilityGradient},
        softmax::Softmax,
    },
    simd::{Compiled, SCALAR},
    total::{Compensated, Total},
};

/// The output's place in the grid of [`Map`].
const MAP_OUT: usize = 1;

impl Join for () {
    fn join(_: usize, tiles: impl Iterator<Item = Self>) {
        tiles.for_each(drop);
    }
}

impl Join for Total {
    fn join(_: usize, tiles: impl Iterator<Item = Self>) -> Self {
        tiles.fold(Self::default(), Self::merge)
    }
}

/// The first error, or the total.
impl Join for Result<Total, Error> {
    fn join(_: usize, mut tiles: impl Iterator<Item = Self>) -> Self {
        tiles.try_fold(Total::default(), |total, tile| Ok(total.merge(tile?)))
    }
}

/// Of elements, each of which counts as one in the mean.
impl Join for Option<Total> {
    fn join(len: usize, mut tiles: impl Iterator<Item = Self>) -> Self {
        let total = tiles.try_fold(Total::default(), |total, tile| Some(total.merge(tile?)))?;
        Some(Total { weight: Compensated::from_count(len), ..total })
    }
}

/// Cuts the memory of some arrays before element 0 of `right` and what lies up to `below` before that.
fn cut<'a, const K: usize>(
    data: &'a mut [f32],
    arrays: impl Iterator<Item = usize> + Clone,
    right: &mut Grid<'_, K>,
    below: usize,
) -> (&'a mut [f32], &'a mut [f32]) {
    let start = arrays.clone().next().map_or(0, |k| right.find_offset(k, 0)).saturating_sub(below).min(data.len());
    arrays.for_each(|k| right.advance(k, start));
    data.split_at_mut(start)
}

/// The same for an array that may not be there.
fn cut_option<'a, const K: usize>(
    data: Option<&'a mut [f32]>,
    arrays: impl Iterator<Item = usize> + Clone,
    right: &mut Grid<'_, K>,
) -> (Option<&'a mut [f32]>, Option<&'a mut [f32]>) {
    data.map(|data| cut(data, arrays, right, 0)).unzip()
}

impl Memory<'_> {
    /// The arrays of the grid that lie in this memory.
    pub(super) fn arrays(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        [self.array].into_iter().chain(self.input.is_none().then_some(0))
    }

    fn is_ascending<const K: usize>(&self, grid: &Grid<'_, K>, classes: usize) -> bool {
        grid.is_ascending(self.array, classes.saturating_sub(1).saturating_mul(self.stride.unsigned_abs()))
    }

    fn cut<const K: usize>(self, classes: usize, right: &mut Grid<'_, K>) -> (Self, Self) {
        // Negative strides have all other classes before the first.
        let below =
            if self.stride < 0 { classes.saturating_sub(1).saturating_mul(self.stride.unsigned_abs()) } else { 0 };
        let arrays = self.arrays();
        let (left, rest) = cut(self.data, arrays, right, below);
        (Memory { data: left, ..self }, Memory { data: rest, ..self })
    }
}

impl<const K: usize> Rows<'_, K> {
    fn split_at(self, middle: usize) -> (Self, Self) {
        let (left, right) = self.grid.split_at(middle);
        (Self { grid: left, ..self }, Self { grid: right, ..self })
    }
}

/// A pass that can be cut.
pub(crate) trait CutPass<'m>: Pass<'m> + Send + Sized {
    fn is_ascending<const K: usize>(&self, rows: &Rows<'_, K>) -> bool;
    fn cut<const K: usize>(self, right: &mut Rows<'_, K>) -> (Self, Self);
}

impl<'m> CutPass<'m> for Forward<'m> {
    fn is_ascending<const K: usize>(&self, _: &Rows<'_, K>) -> bool {
        true
    }

    fn cut<const K: usize>(self, _: &mut Rows<'_, K>) -> (Self, Self) {
        let input = self.0.input.unwrap_or(&[]);
        (Self::new(input), Self::new(input))
    }
}

impl<'m> CutPass<'m> for Backward<'m> {
    fn is_ascending<const K: usize>(&self, rows: &Rows<'_, K>) -> bool {
        self.rows.is_ascending(&rows.grid, rows.classes)
    }

    fn cut<const K: usize>(self, right: &mut Rows<'_, K>) -> (Self, Self) {
        let (left, rest) = self.rows.cut(right.classes, &mut right.grid);
        (Self { rows: left, ..self }, Self { rows: rest, ..self })
    }
}

impl<'m, P: CutPass<'m>, L: Send, const K: usize> Parts for ClassKernel<'_, P, L, K>
where
    Self: Compiled<Output = Result<Total, Error>>,
{
    fn items(&self) -> (usize, usize) {
        (self.rows.grid.len, tile_rows(self.rows.classes))
    }

    fn is_ascending(&self) -> bool {
        (self.out.is_none() || self.rows.grid.is_ascending(OUT, 0)) && self.pass.is_ascending(&self.rows)
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let Self { rows, targets, out, pass, loss } = self;
        let (left, mut right) = rows.split_at(middle);
        let (left_out, right_out) = cut_option(out, [OUT].into_iter(), &mut right.grid);
        let (left_pass, right_pass) = pass.cut(&mut right);
        (
            Self { rows: left, targets, out: left_out, pass: left_pass, loss },
            Self { rows: right, targets, out: right_out, pass: right_pass, loss },
        )
    }
}

impl<'m, P: CutPass<'m>, const K: usize> Parts for ProbabilityCrossEntropy<'_, P, K>
where
    Self: Compiled<Output = Total>,
{
    fn items(&self) -> (usize, usize) {
        (self.rows.grid.len, tile_rows(self.rows.classes))
    }

    fn is_ascending(&self) -> bool {
        (self.out.is_none() || self.rows.grid.is_ascending(OUT, 0)) && self.pass.is_ascending(&self.rows)
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let Self { rows, out, pass } = self;
        let (left, mut right) = rows.split_at(middle);
        let (left_out, right_out) = cut_option(out, [OUT].into_iter(), &mut right.grid);
        let (left_pass, right_pass) = pass.cut(&mut right);
        (Self { rows: left, out: left_out, pass: left_pass }, Self { rows: right, out: right_out, pass: right_pass })
    }
}

impl<const K: usize> Parts for ProbabilityGradient<'_, K>
where
    Self: Compiled<Output = ()>,
{
    fn items(&self) -> (usize, usize) {
        (self.rows.grid.len, tile_rows(self.rows.classes))
    }

    fn is_ascending(&self) -> bool {
        self.backward.is_ascending(&self.rows)
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let (left, mut right) = self.rows.split_at(middle);
        let (left_pass, right_pass) = self.backward.cut(&mut right);
        (Self { rows: left, backward: left_pass }, Self { rows: right, backward: right_pass })
    }
}

impl Parts for Softmax<'_> {
    fn items(&self) -> (usize, usize) {
        (self.rows.grid.len, tile_rows(self.rows.classes))
    }

    fn is_ascending(&self) -> bool {
        self.memory.is_ascending(&self.rows.grid, self.rows.classes)
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let Self { rows, memory, log } = self;
        let (left, mut right) = rows.split_at(middle);
        let (left_memory, right_memory) = memory.cut(right.classes, &mut right.grid);
        (Self { rows: left, memory: left_memory, log }, Self { rows: right, memory: right_memory, log })
    }
}

impl Data<'_> {
    fn is_ascending<const K: usize>(&self, grid: &Grid<'_, K>) -> bool {
        (self.out.is_none() || grid.is_ascending(arrays::OUT, 0))
            && (self.gradient.is_none() || grid.is_ascending(GRADIENT, 0))
    }

    fn cut<const K: usize>(self, right: &mut Grid<'_, K>) -> (Self, Self) {
        let Self { inputs, upstream, out, gradient } = self;
        let (left_out, right_out) = cut_option(out, [arrays::OUT].into_iter(), right);
        let arrays = [GRADIENT].into_iter().chain(inputs[INPUT].is_none().then_some(INPUT));
        let (left_gradient, right_gradient) = cut_option(gradient, arrays, right);
        (
            Data { inputs, upstream, out: left_out, gradient: left_gradient },
            Data { inputs, upstream, out: right_out, gradient: right_gradient },
        )
    }
}

impl<L: BinaryLoss + Send, const K: usize> Parts for Binary<'_, L, K>
where
    Self: Compiled<Output = Option<Total>>,
{
    fn items(&self) -> (usize, usize) {
        (self.grid.len, TILE)
    }

    fn is_ascending(&self) -> bool {
        self.data.is_ascending(&self.grid)
    }

    /// A gradient in place cannot be taken back, so that all inputs are looked at before anything is written.
    fn refused(&self) -> Option<Option<Total>> {
        let gradient = self.data.gradient.as_deref()?;
        let data = self.data.inputs[INPUT].unwrap_or(gradient);
        // All of them, without a branch for each.
        let any = |x: &[f32]| x.iter().fold(false, |any, &x| any | L::refuses(SCALAR, x));
        let refused = match self.grid.flat_slice(INPUT, data) {
            Some(x) => x.par_chunks(TILE).any(any),
            None => self.grid.find_element(INPUT, data, |x| any(&[x])).is_some(),
        };
        refused.then_some(None)
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let Self { grid, data, loss } = self;
        let (left, mut right) = grid.split_at(middle);
        let (left_data, right_data) = data.cut(&mut right);
        (Self { grid: left, data: left_data, loss }, Self { grid: right, data: right_data, loss })
    }
}

impl<V: Send> Parts for Derive<'_, V>
where
    Self: Compiled<Output = ()>,
{
    fn items(&self) -> (usize, usize) {
        (self.grid.len, TILE)
    }

    fn is_ascending(&self) -> bool {
        self.data.is_ascending(&self.grid)
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let Self { grid, data, derivative } = self;
        let (left, mut right) = grid.split_at(middle);
        let (left_data, right_data) = data.cut(&mut right);
        (Self { grid: left, data: left_data, derivative }, Self { grid: right, data: right_data, derivative })
    }
}

impl<F: Send> Parts for Map<'_, F>
where
    Self: Compiled<Output = ()>,
{
    fn items(&self) -> (usize, usize) {
        (self.grid.len, TILE)
    }

    fn is_ascending(&self) -> bool {
        self.grid.is_ascending(MAP_OUT, 0)
    }

    fn split_at(self, middle: usize) -> (Self, Self) {
        let Self { grid, input, out, function } = self;
        let (left, mut right) = grid.split_at(middle);
        let arrays = [MAP_OUT].into_iter().chain(input.is_none().then_some(0));
        let (left_out, right_out) = cut(out, arrays, &mut right, 0);
        (Self { grid: left, input, out: left_out, function }, Self { grid: right, input, out: right_out, function })
    }
}
