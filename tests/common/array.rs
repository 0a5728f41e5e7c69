//! Row-major arrays of any rank.

use core::fmt;

/// Elements in row-major order with their shape.
#[derive(Clone, PartialEq)]
pub struct Array<T> {
    pub shape: Vec<usize>,
    pub data: Vec<T>,
}

impl<T: Copy> Array<T> {
    pub fn new(shape: &[usize], data: Vec<T>) -> Self {
        assert_eq!(data.len(), shape.iter().product::<usize>(), "the shape {shape:?} does not fit");
        Self { shape: shape.to_vec(), data }
    }

    /// All elements the same.
    pub fn filled(shape: &[usize], value: T) -> Self {
        Self::new(shape, vec![value; shape.iter().product()])
    }

    /// Each element from its row-major number.
    pub fn from_fn(shape: &[usize], f: impl FnMut(usize) -> T) -> Self {
        Self::new(shape, (0..shape.iter().product()).map(f).collect())
    }

    pub fn map<U: Copy>(&self, f: impl FnMut(T) -> U) -> Array<U> {
        Array::new(&self.shape, self.data.iter().copied().map(f).collect())
    }

    /// The same numbers at a higher rank: axes of length 1 come first.
    pub fn with_rank(&self, rank: usize) -> Self {
        let missing = rank - self.shape.len();
        Self { shape: [vec![1; missing], self.shape.clone()].concat(), data: self.data.clone() }
    }

    /// The elements of the array broadcast to `shape`, by NumPy's rule, in row-major order.
    pub fn broadcast(&self, shape: &[usize]) -> Vec<T> {
        let own = self.with_rank(shape.len()).shape;
        let element = |mut i: usize| {
            let (mut at, mut stride) = (0, 1);
            for (&len, &own) in shape.iter().zip(&own).rev() {
                assert!(own == len || own == 1, "{:?} does not broadcast to {shape:?}", self.shape);
                at += if own == 1 { 0 } else { i % len * stride };
                stride *= own;
                i /= len;
            }
            self.data[at]
        };
        (0..shape.iter().product()).map(element).collect()
    }

    /// The class axis as losses see it: `(rows before it, classes, rows after it)`.
    pub fn class_axis(&self) -> (usize, usize, usize) {
        let axis = usize::from(self.shape.len() > 1);
        let outer = self.shape[..axis].iter().product();
        (outer, self.shape[axis], self.shape[axis + 1..].iter().product())
    }

    /// The rows along the class axis, in the row-major order of the other axes.
    pub fn rows(&self) -> impl Iterator<Item = Vec<T>> {
        let (outer, classes, inner) = self.class_axis();
        let row = move |o, i| (0..classes).map(|c| self.data[(o * classes + c) * inner + i]).collect();
        (0..outer).flat_map(move |o| (0..inner).map(move |i| row(o, i)))
    }

    /// What `f` makes of each row along an axis, which must have as many elements, in row-major order.
    pub fn along<U: Copy + Default>(&self, axis: usize, f: impl Fn(&[T]) -> Vec<U>) -> Vec<U> {
        let mut result = vec![U::default(); self.data.len()];
        let inner: usize = self.shape[axis + 1..].iter().product();
        for start in (0..self.data.len()).filter(|i| (i / inner).is_multiple_of(self.shape[axis])) {
            let places = (start..).step_by(inner).take(self.shape[axis]);
            let row: Vec<T> = places.clone().map(|at| self.data[at]).collect();
            places.zip(f(&row)).for_each(|(at, x)| result[at] = x);
        }
        result
    }

    /// The shape without the class axis: that of class indices and losses.
    pub fn row_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape.remove(usize::from(shape.len() > 1));
        shape
    }
}

/// Large arrays are cut off.
impl<T: fmt::Debug> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.data.len().min(64);
        write!(f, "{:?} {:?}", self.shape, &self.data[..shown])?;
        if shown < self.data.len() { f.write_str(" …") } else { Ok(()) }
    }
}
