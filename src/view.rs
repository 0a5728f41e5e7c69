//! Strided views of a slice: shape, strides and offset, checked once.

use crate::{Error, error::Argument};

/// A read-only array of rank `D` inside of a slice: element `[i, j, …]` is
/// `data[offset + i * strides[0] + j * strides[1] + …]`.
///
/// Strides count elements; they may be negative, and 0 repeats an axis without a copy. A view is checked when it is
/// made, so that nothing that takes one has to check it again.
///
/// ```
/// use losslanes::View;
///
/// let image = [0.0_f32; 2 * 3 * 4];
/// let nchw = View::new(&image, [1, 2, 3, 4])?;
/// // The same numbers, with the channels last in memory:
/// let nhwc = View::strided(&image, 0, [1, 2, 3, 4], [24, 1, 8, 2])?;
/// assert_eq!(nchw.shape(), nhwc.shape());
/// # Ok::<(), losslanes::Error>(())
/// ```
#[derive(Debug)]
pub struct View<'a, T, const D: usize> {
    data: &'a [T],
    layout: Layout<D>,
}

/// A mutable array of rank `D` inside of a slice, as [`View`]; no two of its indices meet in one element.
#[derive(Debug)]
pub struct ViewMut<'a, T, const D: usize> {
    data: &'a mut [T],
    layout: Layout<D>,
}

/// Where the elements of a view are. Every index of the shape lies inside of the slice that it was made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout<const D: usize> {
    pub(crate) offset: usize,
    pub(crate) shape: [usize; D],
    pub(crate) strides: [isize; D],
}

impl<T, const D: usize> Clone for View<'_, T, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, const D: usize> Copy for View<'_, T, D> {}

impl<'a, T, const D: usize> View<'a, T, D> {
    /// The whole slice in row-major order: the last axis is contiguous.
    ///
    /// # Errors
    ///
    /// [`Error::LengthMismatch`] if the slice's length is not the product of the shape, [`Error::TooLarge`] if that
    /// product overflows.
    pub fn new(data: &'a [T], shape: [usize; D]) -> Result<Self, Error> {
        Ok(Self { data, layout: Layout::row_major(data.len(), shape)? })
    }

    /// Any layout: the element with all indices 0 is `data[offset]`, and a step along axis `k` moves by `strides[k]`
    /// elements.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfBounds`] if an index of the shape lies outside of the slice, [`Error::TooLarge`] if the number of
    /// elements overflows a `usize`. An empty shape is always fine.
    #[inline]
    pub fn strided(data: &'a [T], offset: usize, shape: [usize; D], strides: [isize; D]) -> Result<Self, Error> {
        let layout = Layout { offset, shape, strides };
        layout.check_inside(data.len())?;
        Ok(Self { data, layout })
    }

    /// The same elements seen as a larger array, by NumPy's rule: axes are aligned at the last one, and a missing
    /// axis, or one of length 1, repeats.
    ///
    /// # Errors
    ///
    /// [`Error::RankMismatch`] if `E < D`, [`Error::ShapeMismatch`] if an axis is neither 1 nor as long as the new one,
    /// [`Error::TooLarge`] if the number of elements overflows a `usize`.
    pub fn broadcast_to<const E: usize>(self, shape: [usize; E]) -> Result<View<'a, T, E>, Error> {
        Ok(View { data: self.data, layout: self.layout.broadcast_to(shape)? })
    }

    /// The length of each axis.
    #[inline]
    #[must_use]
    pub const fn shape(&self) -> [usize; D] {
        self.layout.shape
    }

    /// The distance of neighbours along each axis, in elements.
    #[inline]
    #[must_use]
    pub const fn strides(&self) -> [isize; D] {
        self.layout.strides
    }

    pub(crate) const fn data(&self) -> &'a [T] {
        self.data
    }

    pub(crate) const fn layout(&self) -> &Layout<D> {
        &self.layout
    }
}

impl<'a, T, const D: usize> ViewMut<'a, T, D> {
    /// The whole slice in row-major order: the last axis is contiguous.
    ///
    /// # Errors
    ///
    /// As [`View::new`].
    pub fn new(data: &'a mut [T], shape: [usize; D]) -> Result<Self, Error> {
        let layout = Layout::row_major(data.len(), shape)?;
        Ok(Self { data, layout })
    }

    /// Any layout in which no two indices meet: sorted by size, each stride must exceed the reach of all shorter ones.
    ///
    /// # Errors
    ///
    /// As [`View::strided`], and [`Error::Overlap`].
    #[inline]
    pub fn strided(data: &'a mut [T], offset: usize, shape: [usize; D], strides: [isize; D]) -> Result<Self, Error> {
        let layout = Layout { offset, shape, strides };
        layout.check_inside(data.len())?;
        layout.check_disjoint()?;
        Ok(Self { data, layout })
    }

    /// The length of each axis.
    #[inline]
    #[must_use]
    pub const fn shape(&self) -> [usize; D] {
        self.layout.shape
    }

    /// The distance of neighbours along each axis, in elements.
    #[inline]
    #[must_use]
    pub const fn strides(&self) -> [isize; D] {
        self.layout.strides
    }

    /// A read-only view of the same elements.
    #[inline]
    #[must_use]
    pub const fn as_view(&self) -> View<'_, T, D> {
        View { data: self.data, layout: self.layout }
    }

    /// A shorter-lived mutable view of the same elements, to use one buffer for several calls.
    #[inline]
    #[must_use]
    pub const fn reborrow(&mut self) -> ViewMut<'_, T, D> {
        ViewMut { data: self.data, layout: self.layout }
    }

    pub(crate) const fn layout(&self) -> &Layout<D> {
        &self.layout
    }

    pub(crate) const fn into_data(self) -> &'a mut [T] {
        self.data
    }
}

/// The product of a shape; `None` if it overflows. A 0 anywhere makes it 0.
pub(crate) fn count(shape: impl Iterator<Item = usize>) -> Option<usize> {
    let (mut product, mut overflows) = (1_usize, false);
    for len in shape {
        let (next, overflow) = product.overflowing_mul(len);
        product = next;
        // Once 0, it does not overflow again.
        overflows = len != 0 && (overflows || overflow);
    }
    (!overflows).then_some(product)
}

impl<const D: usize> Layout<D> {
    fn row_major(len: usize, shape: [usize; D]) -> Result<Self, Error> {
        let expected = count(shape.into_iter()).ok_or(Error::TooLarge)?;
        let mut strides = [0; D];
        let mut stride = 1_usize;
        for (s, &len) in strides.iter_mut().zip(&shape).rev() {
            // No wrap: a slice has at most isize::MAX elements. Where the shape is empty the strides do not matter.
            *s = stride.cast_signed();
            stride = stride.wrapping_mul(len);
        }
        if len != expected {
            return Err(Error::LengthMismatch { len, expected });
        }
        Ok(Self { offset: 0, shape, strides })
    }

    /// Every index must lie inside of a slice of this length.
    fn check_inside(&self, len: usize) -> Result<(), Error> {
        let Self { offset, shape, strides } = *self;
        match count(shape.into_iter()) {
            None => return Err(Error::TooLarge),
            Some(0) => return Ok(()),
            Some(_) => {}
        }
        // Each axis moves the lowest or the highest index by its reach. What overflows, `None`, is far outside of any slice.
        let (mut down, mut up) = (Some(0_usize), Some(offset));
        for (&extent, &stride) in shape.iter().zip(&strides) {
            let reach = (extent - 1).checked_mul(stride.unsigned_abs());
            let side = if stride < 0 { &mut down } else { &mut up };
            *side = side.zip(reach).and_then(|(side, reach)| side.checked_add(reach));
        }
        if down.is_none_or(|down| down > offset) {
            return Err(Error::OutOfBounds { index: self.outermost(|stride| stride < 0), len });
        }
        if up.is_none_or(|highest| highest >= len) {
            return Err(Error::OutOfBounds { index: self.outermost(|stride| stride > 0), len });
        }
        Ok(())
    }

    /// The index that is furthest on the side of these strides.
    #[cold]
    fn outermost(&self, side: impl Fn(isize) -> bool) -> i128 {
        let axes = self.shape.iter().zip(&self.strides).filter(|&(_, &stride)| side(stride));
        axes.fold(self.offset as i128, |index, (&extent, &stride)| {
            // Less than 2^127.
            index.saturating_add((extent as i128 - 1).wrapping_mul(stride as i128))
        })
    }

    /// Sorted by size, each stride must exceed the reach of the shorter ones together. Axes of length 1 do not matter.
    fn check_disjoint(&self) -> Result<(), Error> {
        let axes = || self.shape.iter().zip(&self.strides).map(|(&len, &stride)| (len, stride.unsigned_abs()));
        if self.shape.contains(&0) {
            return Ok(());
        }
        for (axis, (len, stride)) in axes().enumerate() {
            let shorter = axes().enumerate().filter(|&(other, (_, s))| s < stride || (s == stride && other < axis));
            // Inside of a slice no reach overflows.
            let reach = shorter.fold(0_usize, |sum, (_, (len, s))| sum.wrapping_add((len - 1).wrapping_mul(s)));
            if len > 1 && stride <= reach {
                return Err(Error::Overlap { axis });
            }
        }
        Ok(())
    }

    fn broadcast_to<const E: usize>(&self, shape: [usize; E]) -> Result<Layout<E>, Error> {
        let argument = Argument::View;
        let Some(added) = E.checked_sub(D) else {
            return Err(Error::RankMismatch { argument, rank: D, expected: E });
        };
        count(shape.into_iter()).ok_or(Error::TooLarge)?;
        let mut strides = [0; E];
        let old = self.shape.iter().zip(&self.strides);
        let new = shape.iter().zip(&mut strides).skip(added);
        for (axis, ((&len, &stride), (&expected, s))) in old.zip(new).enumerate() {
            if len == expected {
                *s = stride;
            } else if len != 1 {
                return Err(Error::ShapeMismatch { argument, axis, len, expected });
            }
        }
        Ok(Layout { offset: self.offset, shape, strides })
    }
}
