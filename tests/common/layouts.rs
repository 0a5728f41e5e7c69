//! The same numbers in many places in memory.

use losslanes::{View, ViewMut};

use super::{array::Array, random::Random};

/// How an array is placed in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    pub order: Order,
    /// The distance of neighbours along the fastest axis.
    pub step: usize,
    /// Unused elements after each run of an axis.
    pub gap: usize,
    /// A bit for each axis: stored backwards, so that its stride is negative.
    pub reversed: u8,
    /// Unused elements before and after everything.
    pub margin: usize,
    /// Axes along which the numbers repeat have stride 0. Not for outputs.
    pub broadcast: bool,
}

/// Which axis is the fastest in memory.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    RowMajor,
    ColumnMajor,
    /// Axis 1, then as row-major: NHWC.
    ChannelsLast,
    /// A random order with this seed.
    Shuffled(u64),
}

pub const CONTIGUOUS: Placement =
    Placement { order: Order::RowMajor, step: 1, gap: 0, reversed: 0, margin: 0, broadcast: false };

/// One of each kind.
pub const PLACEMENTS: [Placement; 9] = [
    CONTIGUOUS,
    Placement { margin: 3, ..CONTIGUOUS },
    Placement { order: Order::ColumnMajor, ..CONTIGUOUS },
    Placement { order: Order::ChannelsLast, ..CONTIGUOUS },
    Placement { gap: 3, ..CONTIGUOUS },
    Placement { step: 2, ..CONTIGUOUS },
    Placement { reversed: 0b11111, ..CONTIGUOUS },
    Placement { order: Order::ColumnMajor, step: 3, gap: 1, reversed: 0b00101, margin: 5, broadcast: false },
    Placement { broadcast: true, ..CONTIGUOUS },
];

/// What stands where no element is.
pub trait Poison: Copy {
    const POISON: Self;
}

macro_rules! poison {
    ($($type:ident $value:ident)*) => {$(
        impl Poison for $type {
            const POISON: Self = Self::$value;
        }
    )*};
}

poison! { f32 NAN u8 MAX u16 MAX u32 MAX u64 MAX usize MAX i8 MAX i16 MAX i32 MAX i64 MAX isize MAX }

/// A NaN that no computation gives.
const CANARY: f32 = f32::from_bits(0x7fed_cba9);

/// Where the elements of an array are.
#[derive(Clone, Debug)]
pub struct Place {
    pub offset: usize,
    shape: Vec<usize>,
    strides: Vec<isize>,
    /// Length of the slice.
    pub len: usize,
}

impl Place {
    pub fn new(shape: &[usize], placement: Placement, repeats: &[bool]) -> Self {
        let rank = shape.len();
        let mut place = Self { offset: placement.margin, shape: shape.to_vec(), strides: vec![0; rank], len: 0 };
        let (mut stride, mut reach) = (placement.step, 0);
        for axis in placement.order.fastest_first(rank) {
            if repeats[axis] {
                continue;
            }
            let last = shape[axis].saturating_sub(1) * stride;
            reach += last;
            place.strides[axis] = stride.cast_signed();
            if placement.reversed >> axis & 1 == 1 {
                place.offset += last;
                place.strides[axis] *= -1;
            }
            stride = stride * shape[axis] + placement.gap;
        }
        let used = if shape.contains(&0) { 0 } else { reach + 1 };
        place.len = used + 2 * placement.margin;
        place
    }

    /// The place of each element, in row-major order.
    fn indices(&self) -> impl Iterator<Item = usize> {
        (0..self.shape.iter().product()).map(|mut i: usize| {
            let mut at = self.offset.cast_signed();
            for (&len, &stride) in self.shape.iter().zip(&self.strides).rev() {
                at += (i % len).cast_signed() * stride;
                i /= len;
            }
            at.cast_unsigned()
        })
    }

    pub fn arrays<const D: usize>(&self) -> ([usize; D], [isize; D]) {
        (self.shape.as_slice().try_into().expect("rank"), self.strides.as_slice().try_into().expect("rank"))
    }
}

impl Order {
    fn fastest_first(self, rank: usize) -> Vec<usize> {
        let backwards = (0..rank).rev();
        match self {
            Self::RowMajor => backwards.collect(),
            Self::ColumnMajor => (0..rank).collect(),
            Self::ChannelsLast if rank > 1 => core::iter::once(1).chain(backwards.filter(|&axis| axis != 1)).collect(),
            Self::ChannelsLast => backwards.collect(),
            Self::Shuffled(seed) => Random::new(seed).permutation(rank),
        }
    }
}

/// An input: poison is where no element is.
pub struct Laid<T> {
    place: Place,
    data: Vec<T>,
}

impl<T: Poison + PartialEq> Laid<T> {
    pub fn new(array: &Array<T>, placement: Placement) -> Self {
        let rank = array.shape.len();
        let repeats: Vec<bool> = (0..rank).map(|axis| placement.broadcast && array.repeats(axis)).collect();
        let place = Place::new(&array.shape, placement, &repeats);
        let mut data = vec![T::POISON; place.len];
        for (at, &x) in place.indices().zip(&array.data) {
            data[at] = x;
        }
        Self { place, data }
    }

    pub fn view<const D: usize>(&self) -> View<'_, T, D> {
        let (shape, strides) = self.place.arrays();
        View::strided(&self.data, self.place.offset, shape, strides).expect("a valid layout")
    }
}

impl<T: Copy + PartialEq> Array<T> {
    /// Whether an axis repeats the same numbers.
    fn repeats(&self, axis: usize) -> bool {
        let inner: usize = self.shape[axis + 1..].iter().product();
        let slices = self.shape[axis];
        let same = |block: &[T]| block.chunks(inner).all(|slice| *slice == block[..inner]);
        slices > 0 && inner > 0 && self.data.chunks(slices * inner).all(same)
    }
}

/// An output, or an array that is changed in place, in a buffer full of canaries.
pub struct Canvas(Laid<f32>);

impl Canvas {
    pub fn new(shape: &[usize], placement: Placement) -> Self {
        Self::holding(&Array::filled(shape, CANARY), placement)
    }

    pub fn holding(array: &Array<f32>, placement: Placement) -> Self {
        let mut laid = Laid::new(array, Placement { broadcast: false, ..placement });
        let inside = laid.inside();
        for (x, inside) in laid.data.iter_mut().zip(inside) {
            *x = if inside { *x } else { CANARY };
        }
        Self(laid)
    }

    pub fn view<const D: usize>(&mut self) -> ViewMut<'_, f32, D> {
        let (shape, strides) = self.0.place.arrays();
        ViewMut::strided(&mut self.0.data, self.0.place.offset, shape, strides).expect("a valid layout")
    }

    /// The elements, after a check that all of them were written and that nothing else was.
    #[track_caller]
    pub fn finish(self) -> Vec<f32> {
        let is_canary = |x: f32| x.to_bits() == CANARY.to_bits();
        for (at, (&x, inside)) in self.0.data.iter().zip(self.0.inside()).enumerate() {
            if inside {
                assert!(!is_canary(x), "element {at} was not written, in {:?}", self.0.place);
            } else {
                assert!(is_canary(x), "element {at} was overwritten, outside of {:?}", self.0.place);
            }
        }
        self.0.place.indices().map(|at| self.0.data[at]).collect()
    }

    /// Whether nothing at all was written.
    pub fn is_untouched(&self) -> bool {
        self.0.data.iter().all(|x| x.to_bits() == CANARY.to_bits())
    }
}

impl<T> Laid<T> {
    /// For each place in memory whether an element is there.
    fn inside(&self) -> Vec<bool> {
        let mut inside = vec![false; self.data.len()];
        for at in self.place.indices() {
            inside[at] = true;
        }
        inside
    }
}
