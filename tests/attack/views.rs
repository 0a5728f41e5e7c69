//! The views themselves.

use arbitrary::Result;
use losslanes::{Argument, Backend, Error, View, ViewMut, kernels};

use super::{
    Attack,
    claim::{Claim, count, is_untouched},
    is_countable, is_small,
    source::{Fill, Source},
};
use crate::common::{array::Array, check::bits};

/// A view, also as if it were row-major, and broadcast to a shape.
#[derive(Debug)]
pub struct Views<const D: usize, const E: usize> {
    claim: Claim<f32, D>,
    shape: [usize; E],
}

impl<const D: usize, const E: usize> Views<D, E> {
    fn read(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
        let shape = source.shape::<D>()?;
        let repeats = source.below(2)? == 0;
        let mut claim = source.layout(shape, 0.0, repeats)?;
        for _ in 0..source.byte()? / 64 {
            source.spoil(&mut claim)?;
        }
        source.fill(&mut claim.data, Fill::Unit)?;
        // The last axes are those of the view.
        let mut shape = [2; E];
        for (new, &old) in shape.iter_mut().rev().zip(claim.shape.iter().rev()) {
            *new = if old == 1 { 1 + source.below(4)? } else { old };
        }
        let mut shape = source.nearly(shape)?;
        if let Some(extent) = shape.first_mut().filter(|_| E > D) {
            *extent = if source.rarely()? { source.word()? } else { *extent };
        }
        Ok(Box::new(Self { claim, shape }))
    }

    /// Reading gives the elements.
    fn check_read(&self) {
        let elements = self.claim.elements();
        assert_eq!(read(self.claim.view().expect("checked")), exp(&elements), "{self:?}");
    }

    /// No element is written twice, and none outside.
    fn check_write(&self) {
        let mut places = self.claim.places();
        let mut copy = self.claim.data.clone();
        let mut view = self.claim.view_mut(&mut copy).expect("checked");
        assert_eq!((view.shape(), view.strides()), (self.claim.shape, self.claim.strides));
        assert_eq!(read(view.as_view()), exp(&self.claim.elements()), "{self:?}");
        kernels::on(Backend::SCALAR).exp_in_place(view.reborrow());
        let written = self.claim.written(&places, copy, || format!("{self:?}"));
        let written: Vec<u32> = written.into_iter().map(bits).collect();
        assert_eq!(written, exp(&self.claim.elements()), "{self:?}");
        places.sort_unstable();
        assert!(places.is_sorted_by(|a, b| a < b), "two indices meet: {self:?}");
    }

    fn check_row_major(&self) {
        let Claim { data, shape, .. } = &self.claim;
        let (len, expected) = (data.len(), count(shape));
        let fault = if expected > usize::MAX as u128 {
            Some(Error::TooLarge)
        } else {
            (len as u128 != expected).then_some(Error::LengthMismatch { len, expected: expected as usize })
        };
        let mut copy = data.clone();
        assert_eq!(ViewMut::new(&mut copy, *shape).err(), fault, "{self:?}");
        assert!(is_untouched(data, &copy));
        match View::new(data, *shape) {
            Ok(view) => assert!(fault.is_none() && read(view) == exp(data), "{self:?}"),
            Err(error) => assert_eq!(Some(error), fault, "{self:?}"),
        }
    }

    fn check_broadcast(&self) {
        let Self { claim, shape } = self;
        let (argument, mut faults) = (Argument::View, Vec::new());
        if E < D {
            faults.push(Error::RankMismatch { argument, rank: D, expected: E });
        } else {
            let old = claim.shape.iter().zip(&shape[E - D..]).enumerate();
            let bad = old.map(|(axis, (&len, &expected))| (axis, len, expected));
            let bad = bad.into_iter().find(|&(_, len, expected)| len != 1 && len != expected);
            faults.extend(bad.map(|(axis, len, expected)| Error::ShapeMismatch { argument, axis, len, expected }));
            faults.extend((count(shape) > usize::MAX as u128).then_some(Error::TooLarge));
        }
        match claim.view().expect("checked").broadcast_to(*shape) {
            Ok(view) => {
                assert!(faults.is_empty(), "not refused for {faults:?}: {self:?}");
                assert_eq!(view.shape(), *shape);
                if is_countable(&claim.shape) && is_countable(shape) {
                    let elements = Array::new(&claim.shape, claim.elements()).broadcast(shape);
                    assert_eq!(read(view), exp(&elements), "{self:?}");
                }
            }
            Err(error) => assert!(faults.contains(&error), "refused for {error:?}: {self:?}"),
        }
    }
}

impl<const D: usize, const E: usize> Attack for Views<D, E> {
    fn check(&self) {
        self.check_row_major();
        if self.claim.check_view() && is_small(&self.claim.shape) {
            self.check_read();
            self.check_broadcast();
            if self.claim.check_view_mut() {
                self.check_write();
            }
        }
    }
}

/// The exponentials of what a view shows.
fn read<const D: usize>(view: View<'_, f32, D>) -> Vec<u32> {
    // An empty shape may have any other extents.
    let mut out = vec![0.0; count(&view.shape()) as usize];
    let to = ViewMut::new(&mut out, view.shape()).expect("row-major");
    kernels::on(Backend::SCALAR).exp(view, to).expect("same shape");
    out.into_iter().map(bits).collect()
}

/// The exponentials of numbers in a row.
fn exp(x: &[f32]) -> Vec<u32> {
    read(View::new(x, [x.len()]).expect("row-major"))
}

pub fn views(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
    match source.below(8)? {
        0 => Views::<1, 2>::read(source),
        1 => Views::<2, 2>::read(source),
        2 => Views::<3, 5>::read(source),
        3 => Views::<4, 4>::read(source),
        4 => Views::<5, 5>::read(source),
        5 => Views::<0, 1>::read(source),
        6 => Views::<2, 1>::read(source),
        _ => Views::<3, 4>::read(source),
    }
}
