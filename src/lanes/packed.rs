//! Short rows of contiguous classes: transposed, so that each takes a lane.

use super::{
    direct::cross_of,
    grid::Run,
    panel::Panel,
    partition::{Layout, Partition, Rows, SHORT},
};
use crate::simd::{Four, Group, Simd};

/// Classes that are transposed at a time.
const QUAD: usize = 4;

/// Blocks of each class: as many as four vectors take at most.
const STEP: usize = 4;

/// Short rows, packed for each call.
pub(crate) struct Packed {
    panel: Panel<{ SHORT * STEP }>,
}

impl Layout for Packed {
    #[inline(always)]
    fn new() -> Self {
        let mut panel = Panel::new();
        panel.step = STEP;
        Self { panel }
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
        self.pack(s, rows, run, i, count, 0);
        let cross = cross_of::<S, S, K>(s, s, rows, run, i, count);
        self.panel.partition::<S, S, CROSS>(s, s, 0, rows.classes, labels, cross)
    }

    #[inline(always)]
    fn four<S: Simd, const CROSS: bool, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
    ) -> Partition<[S::F; 4]> {
        for number in 0..4 {
            self.pack(s, rows, run, i.wrapping_add(number * S::N), S::N, number);
        }
        let four = Four(s);
        let cross = cross_of::<S, Four<S>, K>(s, four, rows, run, i, S::N);
        self.panel.partition::<S, Four<S>, CROSS>(s, four, 0, rows.classes, labels, cross)
    }
}

impl Packed {
    /// Packs the rows `i .. i + count` as the vector `number`.
    #[inline(always)]
    fn pack<S: Simd, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        number: usize,
    ) {
        let step = rows.grid.steps[0].cast_unsigned();
        if rows.grid.seek(run, i) >= S::N && count == S::N {
            let from = rows.logits.get(rows.grid.offset(run, 0, i)..).unwrap_or(&[]);
            let mut whole = true;
            for class in (0..rows.classes).step_by(QUAD) {
                match s.load_transposed(from.get(class..).unwrap_or(&[]), step) {
                    Some(columns) => Four(s).scatter(
                        columns,
                        #[inline(always)]
                        |k, column| self.panel.store(s, s, class.wrapping_add(k), number, column),
                    ),
                    None => whole = false,
                }
            }
            if whole {
                return;
            }
        }
        for class in 0..rows.classes {
            let x = rows.grid.load(s, run, 0, rows.logits, i, count, class.cast_signed(), 0.0);
            self.panel.store(s, s, class, number, x);
        }
    }
}
