//! Rows that are neighbours in memory, as the pixels of NCHW: a lane for each row.

use super::{
    direct::{Direct, cross_of},
    grid::Run,
    panel::{Panel, Place},
    partition::{Layout, Partition, Rows},
};
use crate::simd::{LANES, Simd};

/// Blocks of a panel: 8 KiB.
const BLOCKS: usize = 128;

/// Blocks of one class that are packed together, at most: eight cache lines in a row.
const WIDTH: usize = 8;

/// The planes of the classes often lie a large power of two apart, and then compete for the same few places of the
/// cache. So some lines of each plane are copied to a panel, and memory is touched once.
pub(crate) struct Columns {
    panel: Panel<BLOCKS>,
    /// The rows that are packed.
    start: usize,
    end: usize,
}

impl Layout for Columns {
    #[inline(always)]
    fn new() -> Self {
        Self { panel: Panel::new(), start: 0, end: 0 }
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
        if rows.classes > BLOCKS || rows.classes == 0 {
            return Direct.partition::<S, CROSS, K>(s, rows, run, i, count, labels);
        }
        let step = WIDTH.min(BLOCKS / rows.classes);
        if i < self.start || i >= self.end {
            self.start = i;
            self.end = rows.grid.len.min(i.saturating_add(step * LANES));
            self.pack(rows, run, step);
        }
        let at = i.wrapping_sub(self.start);
        let place = Place { first: at / LANES, step, group: at % LANES / S::N };
        let cross = cross_of(s, rows, run, i, count);
        self.panel.partition::<S, CROSS>(s, place, rows.classes, labels, cross)
    }
}

impl Columns {
    /// Copies all classes of the rows `start .. end`.
    #[inline(always)]
    fn pack<const K: usize>(&mut self, rows: &Rows<'_, K>, run: &mut Run<K>, step: usize) {
        let count = self.end.wrapping_sub(self.start);
        let contiguous = rows.grid.seek(run, self.start) >= count;
        let offset = rows.grid.offset(run, 0, self.start);
        for (class, blocks) in self.panel.logits.chunks_exact_mut(step).enumerate().take(rows.classes) {
            let shift = rows.stride.wrapping_mul(class.cast_signed());
            let to = blocks.as_flattened_mut().get_mut(..count).unwrap_or(&mut []);
            if contiguous {
                let from = rows.logits.get(offset.wrapping_add_signed(shift)..).unwrap_or(&[]);
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = from;
                }
            } else {
                rows.grid.gather(run, 0, rows.logits, self.start, shift, to);
            }
        }
    }
}
