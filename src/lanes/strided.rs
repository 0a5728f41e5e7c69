//! Rows of any layout: packed, then taken as what they are then.

use super::{
    direct::Direct,
    grid::{Run, gather},
    map::{Memory, RowMap},
    partition::{Layout, NoTerms, Partition, Rows, SHORT, State, TILE},
    rows::{each_row, row_tile},
};
use crate::simd::Simd;

/// A row's classes are gathered, a tile at a time; short rows are read where they are, a lane each.
pub(crate) struct Strided {
    tile: [f32; TILE],
}

impl Layout for Strided {
    #[inline(always)]
    fn new() -> Self {
        Self { tile: [0.0; TILE] }
    }

    #[inline(always)]
    fn partition<S: Simd, M: RowMap, const CROSS: bool, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        if rows.classes < SHORT {
            return Direct.partition::<S, M, CROSS, K>(s, rows, memory, run, i, count, labels);
        }
        let (x, buffer) = (memory.logits(), &mut self.tile);
        let partition = each_row::<S, CROSS, K>(
            s,
            rows,
            0,
            run,
            i,
            count,
            #[inline(always)]
            |[offset, target, _]| {
                let (mut state, mut terms) = (State::new(s), rows.cross.in_row(s, target));
                for start in (0..rows.classes).step_by(TILE) {
                    let tile = buffer.get_mut(..TILE.min(rows.classes - start)).unwrap_or(&mut []);
                    let at = offset.wrapping_add_signed(rows.stride.wrapping_mul(start.cast_signed()));
                    gather(x, at, rows.stride, tile);
                    if CROSS {
                        row_tile(s, &mut state, start, None, tile, false, &mut terms);
                    } else {
                        row_tile(s, &mut state, start, None, tile, false, &mut NoTerms);
                    }
                }
                state.finish(s, rows.classes, &terms)
            },
        );
        Partition { logit: rows.pick(s, x, run, i, labels), ..partition }
    }
}
