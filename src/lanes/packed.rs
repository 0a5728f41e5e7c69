//! Short rows of contiguous classes: transposed, so that each takes a lane.

use super::{
    direct::cross_of,
    grid::Run,
    panel::{Panel, Place},
    partition::{Layout, Partition, Rows, SHORT},
};
use crate::simd::Simd;

/// Classes that are transposed at a time.
const QUAD: usize = 4;

/// Short rows, `N` at a time in the first group of each block.
pub(crate) struct Packed {
    panel: Panel<SHORT>,
}

impl Layout for Packed {
    #[inline(always)]
    fn new() -> Self {
        Self { panel: Panel::new() }
    }

    #[inline(always)]
    fn partition<S: Simd, const CROSS: bool, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        self.pack(s, rows, run, i, count);
        let place = Place { first: 0, step: 1, group: 0 };
        let cross = cross_of(s, rows, run, i, count);
        self.panel.partition::<S, CROSS>(s, place, rows.classes, labels, cross)
    }
}

impl Packed {
    #[inline(always)]
    fn pack<S: Simd, const K: usize>(&mut self, s: S, rows: &Rows<'_, K>, run: &mut Run<K>, i: usize, count: usize) {
        let step = rows.grid.steps[0].cast_unsigned();
        if rows.grid.seek(run, i) >= S::N && count == S::N {
            let from = rows.logits.get(rows.grid.offset(run, 0, i)..).unwrap_or(&[]);
            let mut whole = true;
            for (quad, class) in
                self.panel.logits.as_chunks_mut::<QUAD>().0.iter_mut().zip((0..rows.classes).step_by(QUAD))
            {
                match s.load_transposed(from.get(class..).unwrap_or(&[]), step) {
                    Some(columns) => {
                        for (block, column) in quad.iter_mut().zip(columns) {
                            s.store(column, block, 0);
                        }
                    }
                    None => whole = false,
                }
            }
            if whole {
                return;
            }
        }
        for (class, block) in self.panel.logits.iter_mut().enumerate().take(rows.classes) {
            s.store(rows.grid.load(s, run, 0, rows.logits, i, count, class.cast_signed(), 0.0), block, 0);
        }
    }
}
