//! Short rows of contiguous classes: transposed, so that each takes a lane.

use super::{
    direct::coefficient_of,
    gradient::TargetGradients,
    grid::Run,
    map::{Coefficients, Memory, RowMap},
    panel::{BLOCKS, Panel, WIDTH},
    partition::{Form, Layout, Partition, Rows, SHORT},
};
use crate::simd::{Four, Group, LANES, Simd};

/// Classes that are transposed at a time.
const QUAD: usize = 4;

/// Short rows, packed for each call.
pub(crate) struct Packed {
    panel: Panel,
    /// Some rows of results, one after the other, with room for what the last transposition writes behind them.
    rows: [f32; SHORT * LANES + QUAD],
}

const _: () = assert!(SHORT * WIDTH <= BLOCKS, "all classes of the rows fit in the panel");

impl Default for Packed {
    #[inline(always)]
    fn default() -> Self {
        let mut panel = Panel::new();
        panel.step = WIDTH;
        Self { panel, rows: [0.0; SHORT * LANES + QUAD] }
    }
}

impl Layout for Packed {
    #[inline(always)]
    fn partition<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        self.pack(s, rows, memory.logits(), run, i, count, 0);
        self.panel.partition::<S, S, M, F, K>(s, s, 0, rows, run, i, count, labels)
    }

    #[inline(always)]
    fn four<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
    ) -> Partition<[S::F; 4]> {
        for number in 0..WIDTH {
            self.pack(s, rows, memory.logits(), run, i.wrapping_add(number * S::N), S::N, number);
        }
        self.panel.partition::<S, Four<S>, M, F, K>(s, Four(s), 0, rows, run, i, S::N, labels)
    }

    #[inline(always)]
    fn write<S: Simd, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        number: usize,
        row: &Coefficients<S::F>,
        targets: Option<&TargetGradients<'_, S::F>>,
    ) {
        let targets = match targets {
            Some(targets) => Some(targets.in_lanes(s)),
            None => None,
        };
        let classes = rows.classes;
        let coefficient = coefficient_of::<S, S, K>(s, s, rows, run, i, count);
        if out.stride != 1 {
            for class in 0..classes {
                let y = self.panel.mapped::<S, M>(s, class, number, row, coefficient, targets.as_ref());
                out.store(s, &rows.grid, run, i, count, class, y);
            }
            return;
        }
        let (array, step) = (out.array, rows.grid.step(out.array).cast_unsigned());
        let adjacent = step == classes && rows.grid.seek(run, i) >= count;
        let (offset, len) = (rows.grid.offset(run, array, i), count.wrapping_mul(classes));
        if classes == 2 && adjacent && count == S::N {
            let first = self.panel.mapped::<S, M>(s, 0, number, row, coefficient, targets.as_ref());
            let second = self.panel.mapped::<S, M>(s, 1, number, row, coefficient, targets.as_ref());
            s.store_pairs([first, second], out.data.get_mut(offset..).unwrap_or(&mut []));
            return;
        }
        // The last classes first: what is written behind the end of a row is the start of the next, which comes later.
        for class in (0..classes).step_by(QUAD).rev() {
            let columns = Four(s).gather(
                #[inline(always)]
                |k| {
                    if class + k < classes {
                        self.panel.mapped::<S, M>(s, class + k, number, row, coefficient, targets.as_ref())
                    } else {
                        s.splat(0.0)
                    }
                },
            );
            s.store_transposed(columns, self.rows.get_mut(class..).unwrap_or(&mut []), classes);
        }
        if adjacent {
            copy(&self.rows, out.data.get_mut(offset..offset.wrapping_add(len)));
            return;
        }
        for (l, from) in self.rows.chunks(classes.max(1)).enumerate().take(count) {
            let i = i.wrapping_add(l);
            rows.grid.seek(run, i);
            let offset = rows.grid.offset(run, array, i);
            copy(from, out.data.get_mut(offset..offset.wrapping_add(classes)));
        }
    }
}

/// Copies as much as there is on both sides.
#[inline(always)]
fn copy(from: &[f32], to: Option<&mut [f32]>) {
    for (to, &from) in to.unwrap_or(&mut []).iter_mut().zip(from) {
        *to = from;
    }
}

impl Packed {
    /// Packs the rows `i .. i + count` as the vector `number`.
    #[expect(clippy::too_many_arguments, reason = "from where to where")]
    #[inline(always)]
    fn pack<S: Simd, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        x: &[f32],
        run: &mut Run<K>,
        i: usize,
        count: usize,
        number: usize,
    ) {
        let step = rows.grid.step(0).cast_unsigned();
        if rows.grid.seek(run, i) >= S::N && count == S::N {
            let from = x.get(rows.grid.offset(run, 0, i)..).unwrap_or(&[]);
            if rows.classes == 2
                && step == 2
                && let Some([first, second]) = s.load_pairs(from)
            {
                self.panel.store(s, s, 0, number, first);
                self.panel.store(s, s, 1, number, second);
                return;
            }
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
            let x = rows.grid.load(s, run, 0, x, i, count, class.cast_signed(), 0.0);
            self.panel.store(s, s, class, number, x);
        }
    }
}
