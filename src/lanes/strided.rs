//! Rows of any layout: packed, then taken as what they are then.

use super::{
    direct::Direct,
    grid::Run,
    map::RowMap,
    partition::{Layout, Partition, Rows, SHORT, State, TILE, always},
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
        x: &[f32],
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        if rows.classes < SHORT {
            return Direct.partition::<S, M, CROSS, K>(s, rows, x, run, i, count, labels);
        }
        let buffer = &mut self.tile;
        let partition = each_row::<S, CROSS, K>(
            s,
            rows,
            run,
            i,
            count,
            #[inline(always)]
            |offset, target| {
                let cross = always(
                    #[inline(always)]
                    |class, delta| rows.cross.of_row(s, target, class, delta),
                );
                let mut state = State::new(s);
                for start in (0..rows.classes).step_by(TILE) {
                    let tile = buffer.get_mut(..TILE.min(rows.classes - start)).unwrap_or(&mut []);
                    gather(x, offset, rows.stride, start, tile);
                    row_tile::<S, CROSS>(s, &mut state, start, tile, cross);
                }
                state.finish(s)
            },
        );
        Partition { logit: rows.pick(s, x, run, i, labels), ..partition }
    }
}

/// The elements of a row from class `start` on, at any stride.
#[inline(never)]
pub(crate) fn gather(data: &[f32], offset: usize, stride: isize, start: usize, out: &mut [f32]) {
    let mut at = offset.wrapping_add_signed(stride.wrapping_mul(start.cast_signed()));
    for out in out {
        if let Some(&x) = data.get(at) {
            *out = x;
        }
        at = at.wrapping_add_signed(stride);
    }
}
