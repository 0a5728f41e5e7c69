//! Arrays as an attacker describes them.

use core::fmt;

use losslanes::{Error, View, ViewMut};

use crate::common::array::Array;

/// An array that is said to lie in a slice; nothing of it need be true.
#[derive(Clone)]
pub struct Claim<T, const D: usize> {
    pub data: Vec<T>,
    pub offset: usize,
    pub shape: [usize; D],
    pub strides: [isize; D],
}

/// The number of elements; 0 if any extent is.
pub fn count(shape: &[usize]) -> u128 {
    if shape.contains(&0) { 0 } else { shape.iter().fold(1, |count, &extent| extent as u128 * count.min(1 << 64)) }
}

impl<T: Copy, const D: usize> Claim<T, D> {
    /// The elements in a row.
    pub fn packed(shape: [usize; D], data: Vec<T>) -> Self {
        // Where the shape is empty, the others may be anything.
        let stride = |axis| shape[axis + 1..].iter().fold(1_isize, |stride, &n| stride.wrapping_mul(n.cast_signed()));
        Self { data, offset: 0, shape, strides: core::array::from_fn(stride) }
    }

    pub fn view(&self) -> Result<View<'_, T, D>, Error> {
        View::strided(&self.data, self.offset, self.shape, self.strides)
    }

    /// A mutable view of a copy of the slice.
    pub fn view_mut<'a>(&self, copy: &'a mut [T]) -> Result<ViewMut<'a, T, D>, Error> {
        ViewMut::strided(copy, self.offset, self.shape, self.strides)
    }

    /// What makes a view impossible.
    pub fn fault(&self) -> Option<Error> {
        let (mut lowest, mut highest) = (self.offset as i128, self.offset as i128);
        for (&extent, &stride) in self.shape.iter().zip(&self.strides) {
            let last = (extent as i128 - 1).saturating_mul(stride as i128);
            lowest = lowest.saturating_add(last.min(0));
            highest = highest.saturating_add(last.max(0));
        }
        let len = self.data.len();
        match count(&self.shape) {
            0 => None,
            count if count > usize::MAX as u128 => Some(Error::TooLarge),
            _ if lowest < 0 => Some(Error::OutOfBounds { index: lowest, len }),
            _ if highest >= len as i128 => Some(Error::OutOfBounds { index: highest, len }),
            _ => None,
        }
    }

    /// What makes a mutable view impossible: sorted by size, each stride must exceed the reach of the shorter ones.
    pub fn fault_mut(&self) -> Option<Error> {
        if self.fault().is_some() || self.shape.contains(&0) {
            return self.fault();
        }
        let mut axes: Vec<usize> = (0..D).filter(|&axis| self.shape[axis] > 1).collect();
        axes.sort_by_key(|&axis| self.strides[axis].unsigned_abs());
        let mut reach = 0;
        let is_short = |&axis: &usize| {
            let stride = self.strides[axis].unsigned_abs();
            let is_short = stride <= reach;
            reach += (self.shape[axis] - 1) * stride;
            is_short
        };
        axes.into_iter().filter(is_short).min().map(|axis| Error::Overlap { axis })
    }

    /// Whether a view of it is refused as it should be, or made as it should be.
    #[track_caller]
    pub fn check_view(&self) -> bool {
        check_fault(self.view().err(), self.fault())
    }

    /// As [`Self::check_view`], for a mutable view.
    #[track_caller]
    pub fn check_view_mut(&self) -> bool {
        check_fault(self.view_mut(&mut self.data.clone()).err(), self.fault_mut())
    }

    /// Where each element is, in row-major order. The view must be possible.
    pub fn places(&self) -> Vec<usize> {
        if self.shape.contains(&0) {
            return Vec::new();
        }
        let mut places = vec![self.offset];
        for (&extent, &stride) in self.shape.iter().zip(&self.strides) {
            let along = |start: usize| (0..extent).map(move |i| start.wrapping_add_signed(i.cast_signed() * stride));
            places = places.into_iter().flat_map(along).collect();
        }
        places
    }

    /// The elements in row-major order. The view must be possible.
    pub fn elements(&self) -> Vec<T> {
        self.places().into_iter().map(|at| self.data[at]).collect()
    }

    /// The same elements in a row.
    pub fn pack(&self) -> Self {
        Self::packed(self.shape, self.elements())
    }

    pub fn array(&self) -> Array<T> {
        Array::new(&self.shape, self.elements())
    }
}

impl<const D: usize> Claim<f32, D> {
    /// What was written to a copy of the slice, at these places; nothing may have been written elsewhere.
    #[track_caller]
    pub fn written(&self, places: &[usize], mut copy: Vec<f32>, what: impl Fn() -> String) -> Vec<f32> {
        let written = places.iter().map(|&at| copy[at]).collect();
        places.iter().for_each(|&at| copy[at] = self.data[at]);
        assert!(is_untouched(&self.data, &copy), "something outside of a view was written: {}", what());
        written
    }
}

/// Whether two slices have the same bits.
pub fn is_untouched(before: &[f32], after: &[f32]) -> bool {
    before.iter().zip(after).all(|(before, after)| before.to_bits() == after.to_bits())
}

#[track_caller]
fn check_fault(got: Option<Error>, want: Option<Error>) -> bool {
    assert!(got == want, "a view gives {got:?}, expected {want:?}");
    want.is_none()
}

/// For a person; large slices are cut off.
impl<T: Copy + fmt::Debug, const D: usize> fmt::Debug for Claim<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, offset, shape, strides } = self;
        let shown = data.len().min(256);
        write!(
            f,
            "shape {shape:?}, strides {strides:?}, offset {offset}, in {} numbers: {:?}",
            data.len(),
            &data[..shown]
        )
    }
}
