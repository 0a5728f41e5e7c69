//! Rows of any layout: packed, then taken as what they are then.

use super::{
    cross::{NoTerms, RowSpread},
    direct::Direct,
    grid::{Run, gather},
    layout::{Layout, Rows, SHORT},
    map::{Memory, RowMap},
    others::{self, Others, Sum},
    partition::{Form, Partition, State, TILE},
    rows::{each_row, each_target, max_of, row_tile, sum_without},
};
use crate::simd::{LANES, Scratch, Simd};

/// A row's classes are gathered, a tile at a time; short rows are read where they are, a lane each.
pub(crate) struct Strided {
    tile: Scratch<{ TILE / LANES }>,
}

impl Default for Strided {
    #[inline(always)]
    fn default() -> Self {
        Self { tile: Scratch::new() }
    }
}

impl Layout for Strided {
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
        if rows.classes < SHORT {
            return Direct.partition::<S, M, F, K>(s, rows, memory, run, i, count, labels);
        }
        let (x, buffer) = (memory.logits(), &mut self.tile);
        if F::ONCE {
            let read = each_target(
                s,
                rows,
                0,
                run,
                i,
                count,
                labels,
                #[inline(always)]
                |[offset, _], target| {
                    let logit = rows.reference::<F, _>(s.splat(rows.logit(x, offset, target)));
                    let spread = RowSpread::new::<F>(s, rows.cross);
                    let mut row = Gathered { x, offset, stride: rows.stride, buffer, target, spread, start: 0, len: 0 };
                    others::read::<S, F>(s, rows.classes, logit, &mut row)
                },
            );
            return others::finish::<S, F, K>(
                s,
                rows,
                read,
                #[inline(always)]
                || rows.pick(s, x, run, i, labels),
            );
        }
        each_row::<S, F, K>(
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
                    let tile = buffer.first(TILE.min(rows.classes - start));
                    let at = offset.wrapping_add_signed(rows.stride.wrapping_mul(start.cast_signed()));
                    gather(x, at, rows.stride, tile);
                    if F::CROSS {
                        row_tile::<S, 2>(s, &mut state, start, None, tile, false, &mut terms);
                    } else {
                        row_tile::<S, 0>(s, &mut state, start, None, tile, false, &mut NoTerms);
                    }
                }
                state.finish(s)
            },
        )
    }
}

/// The others of a row that starts at `offset`, a tile after the other in a buffer.
struct Gathered<'x, 'b, 'c, S: Simd> {
    x: &'x [f32],
    offset: usize,
    stride: isize,
    buffer: &'b mut Scratch<{ TILE / LANES }>,
    target: usize,
    spread: RowSpread<'c, S>,
    start: usize,
    len: usize,
}

impl<S: Simd> Others<S> for Gathered<'_, '_, '_, S> {
    #[inline(always)]
    fn enter(&mut self, _: S, start: usize, len: usize) {
        let at = self.offset.wrapping_add_signed(self.stride.wrapping_mul(start.cast_signed()));
        gather(self.x, at, self.stride, self.buffer.first(len));
        (self.start, self.len) = (start, len);
    }

    #[inline(always)]
    fn max(&mut self, s: S, len: usize) -> S::F {
        let mut max = f32::NEG_INFINITY;
        for start in (0..len).step_by(TILE) {
            let len = TILE.min(len - start);
            self.enter(s, start, len);
            max = max.max(max_of(s, self.buffer.first(len)));
        }
        s.splat(max)
    }

    #[inline(always)]
    fn sum(&mut self, s: S, reference: S::F) -> Sum<S> {
        let target = self.target.wrapping_sub(self.start);
        let tile = self.buffer.first(self.len);
        self.spread.take(s, self.start, tile, reference);
        sum_without(s, tile, None, target, reference)
    }

    #[inline(always)]
    fn spread(&mut self, s: S, _: S::F) -> S::F {
        self.spread.value(s)
    }
}
