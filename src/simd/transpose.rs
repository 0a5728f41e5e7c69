//! Rows to columns and back, each in a function of its own: the pointers to a vector's rows need most of the registers, and a
//! check for each store would take longer than the shuffles.

use super::{Kernel, Simd};

/// Columns that are transposed at a time.
pub(crate) const QUAD: usize = 4;

/// How rows lie in one array, and their columns in another.
#[derive(Clone, Copy)]
pub(crate) struct Transposition {
    /// So many rows start `step` apart.
    pub(crate) rows: usize,
    pub(crate) step: usize,
    /// So many numbers of each are columns, `distance` apart.
    pub(crate) columns: usize,
    pub(crate) distance: usize,
}

impl Transposition {
    /// Makes columns of whole vectors of rows. Whether that was possible: nothing happens if there are fewer columns than
    /// [`QUAD`], or if an array ends too early.
    #[inline(always)]
    pub(crate) fn to_columns<S: Simd>(self, s: S, rows: &[f32], columns: &mut [f32]) -> bool {
        let fits = self.fits(rows.len(), columns.len());
        if fits {
            s.vectorize_apart(&mut ToColumns { shape: self, rows, columns });
        }
        fits
    }

    /// The reverse. Rows that overlap are written one after the other.
    #[inline(always)]
    pub(crate) fn to_rows<S: Simd>(self, s: S, columns: &[f32], rows: &mut [f32]) -> bool {
        let fits = self.fits(rows.len(), columns.len());
        if fits {
            s.vectorize_apart(&mut ToRows { shape: self, columns, rows });
        }
        fits
    }

    /// Whether all rows and all columns are in arrays of these lengths.
    #[inline(always)]
    fn fits(&self, rows: usize, columns: usize) -> bool {
        let ends = |count: usize, step: usize, len: usize, all: usize| {
            let last = count.checked_sub(1).and_then(|last| last.checked_mul(step)?.checked_add(len));
            last.is_some_and(|end| end <= all)
        };
        self.columns >= QUAD
            && ends(self.rows, self.step, self.columns, rows)
            && ends(self.columns, self.distance, self.rows, columns)
    }

    /// Hands out where each group of [`QUAD`] columns of `n` rows starts, in the rows and in the columns. The last one ends with the
    /// rows, behind which memory may end.
    #[inline(always)]
    fn each(&self, n: usize, mut quad: impl FnMut(usize, usize)) {
        let mut row = 0;
        while row + n <= self.rows {
            let mut column = 0;
            while column < self.columns {
                let first = column.min(self.columns - QUAD);
                quad(row * self.step + first, first * self.distance + row);
                column += QUAD;
            }
            row += n;
        }
    }
}

/// [`Transposition::to_columns`], of arrays that [fit](Transposition::fits).
struct ToColumns<'a> {
    shape: Transposition,
    rows: &'a [f32],
    columns: &'a mut [f32],
}

impl Kernel for ToColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        let (shape, rows, columns) = (self.shape, self.rows.as_ptr(), self.columns.as_mut_ptr());
        shape.each(
            S::N,
            #[inline(always)]
            |from, to| {
                // SAFETY: four numbers from `from` on of `N` rows are in `rows`, and `N` numbers from `to` on of four columns in
                // `columns`, since all rows and columns of the shape are, and each hands out no others.
                unsafe {
                    let quad = s.load_transposed(rows.add(from), shape.step);
                    let to = columns.add(to);
                    for (k, column) in quad.into_iter().enumerate() {
                        to.add(k * shape.distance).cast::<S::Lanes>().write_unaligned(s.to_lanes(column));
                    }
                }
            },
        );
    }
}

/// [`Transposition::to_rows`], of arrays that [fit](Transposition::fits).
struct ToRows<'a> {
    shape: Transposition,
    columns: &'a [f32],
    rows: &'a mut [f32],
}

impl Kernel for ToRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        let (shape, columns, rows) = (self.shape, self.columns.as_ptr(), self.rows.as_mut_ptr());
        shape.each(
            S::N,
            #[inline(always)]
            |to, from| {
                // SAFETY: as in `ToColumns`, read and written the other way round.
                unsafe {
                    let from = columns.add(from);
                    let column =
                        |k: usize| s.from_lanes(from.add(k * shape.distance).cast::<S::Lanes>().read_unaligned());
                    let quad = [column(0), column(1), column(2), column(3)];
                    s.store_transposed(quad, rows.add(to), shape.step);
                }
            },
        );
    }
}
