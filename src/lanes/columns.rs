//! Rows that are neighbours in memory, as the pixels of NCHW: a lane for each row.

use super::{
    direct::{Direct, coefficient_of},
    gradient::TargetGradients,
    grid::{Gather, Run},
    layout::{Layout, Rows},
    map::{Coefficients, InLanes, Memory, RowMap},
    panel::{BLOCKS, Origin, Panel, Planes, WIDTH},
    partition::{Form, Partition},
};
use crate::simd::{Four, Group, LANES, Scratch, Simd};

/// The planes of the classes often lie a large power of two apart, and then compete for the same few places of the
/// cache. So some lines of each plane are copied to a panel, and memory is touched once: four vectors of rows along with their
/// maximum or, where these are not in one run or there is no room for them, as many rows as there is room for.
pub(crate) struct Columns {
    logits: Scratch<BLOCKS>,
    /// Blocks for each class.
    step: usize,
    /// The rows that are packed.
    start: usize,
    end: usize,
}

impl Default for Columns {
    #[inline(always)]
    fn default() -> Self {
        Self { logits: Scratch::new(), step: 1, start: 0, end: 0 }
    }
}

impl Layout for Columns {
    const AT_ONCE: usize = BLOCKS / WIDTH;

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
        if rows.classes > BLOCKS || rows.classes == 0 {
            return Direct.partition::<S, M, F, K>(s, rows, memory, run, i, count, labels);
        }
        let first = self.find(s, rows, memory.logits(), run, i) / S::N;
        let coefficient = coefficient_of::<S, S, K>(s, s, rows, run, i, count);
        let origin = Origin { rows, x: memory.logits(), i, count };
        self.panel(rows.classes).partition::<S, S, M, F, K>(s, s, first, origin, coefficient, labels)
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
        let coefficient = coefficient_of::<S, Four<S>, K>(s, Four(s), rows, run, i, S::N);
        let (first, planes) = if i >= self.end && rows.grid.seek(run, i) >= WIDTH * S::N {
            (self.start, self.end, self.step) = (i, i.wrapping_add(WIDTH * S::N), (WIDTH * S::N) / LANES);
            let at = rows.grid.offset(run, 0, i);
            (0, Some(Planes { x: memory.logits(), at, stride: rows.stride }))
        } else {
            (self.find(s, rows, memory.logits(), run, i) / S::N, None)
        };
        let mut panel = self.panel(rows.classes).to_be_packed(planes);
        let origin = Origin { rows, x: memory.logits(), i, count: S::N };
        panel.partition::<S, Four<S>, M, F, K>(s, Four(s), first, origin, coefficient, labels)
    }

    #[inline(always)]
    fn write_all<S: Simd, G: Group<S>, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        g: G,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        coefficients: &Coefficients<G::F>,
        targets: Option<&TargetGradients<'_, G::F>>,
    ) {
        // Of more classes the panel does not hold four vectors, and may have gone on to the rows that come next.
        if rows.classes > BLOCKS / WIDTH {
            return Direct.write_all::<S, G, M, K>(s, g, rows, out, run, i, count, coefficients, targets);
        }
        let first = i.wrapping_sub(self.start) / S::N;
        let panel = self.panel(rows.classes);
        let targets = match targets {
            Some(targets) => Some(targets.in_lanes(s, g)),
            None => None,
        };
        let coefficient = coefficient_of::<S, G, K>(s, g, rows, run, i, count);
        let mut map = InLanes { row: coefficients, coefficient, targets };
        let width = G::VECTORS * S::N;
        let whole = count == S::N && rows.grid.step(out.array) == 1 && rows.grid.seek(run, i) >= width;
        let stream = S::STREAMS && out.streams(rows);
        let offset = rows.grid.offset(run, out.array, i);
        // All lines of a plane one after the other: they might not stay in the cache until those of the others are written.
        for class in 0..rows.classes {
            let y = map.value::<M>(g, class, panel.load(s, g, class, first));
            let at = offset.wrapping_add_signed(out.stride.wrapping_mul(class.cast_signed()));
            if whole && let Some(to) = out.data.get_mut(at..at.wrapping_add(width)) {
                // Past the caches only whole lines, since no other would be complete until the next rows are written.
                let stream = stream && to.as_ptr().addr().is_multiple_of(4 * LANES);
                g.scatter(
                    y,
                    #[inline(always)]
                    |k, y| {
                        let to = to.get_mut(k * S::N..).unwrap_or(&mut []);
                        if stream { s.stream(y, to) } else { s.store_part(y, to) }
                    },
                );
            } else {
                g.scatter(
                    y,
                    #[inline(always)]
                    |k, y| out.store(s, &rows.grid, run, i.wrapping_add(k * S::N), count, class, y),
                );
            }
        }
        if stream {
            s.settle();
        }
    }
}

impl Columns {
    #[inline(always)]
    fn panel(&mut self, classes: usize) -> Panel<'_> {
        Panel::new(&mut self.logits, classes, self.step)
    }

    /// Where row `i` is among those that are packed. Where it is not, it and the next ones are.
    #[inline(always)]
    fn find<S: Simd, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        x: &[f32],
        run: &mut Run<K>,
        i: usize,
    ) -> usize {
        if i >= self.end {
            // Whole groups of four vectors where there is room for them.
            let step = match BLOCKS / rows.classes {
                step @ 0..4 => step,
                4..8 => 4,
                _ => 8,
            };
            self.step = step.min(rows.grid.len.div_ceil(LANES));
            self.start = i;
            self.end = rows.grid.len.min(i.saturating_add(self.step * LANES));
            self.pack(s, rows, x, run);
        }
        i.wrapping_sub(self.start)
    }

    /// Copies all classes of the rows `start .. end`.
    #[inline(always)]
    fn pack<S: Simd, const K: usize>(&mut self, s: S, rows: &Rows<'_, K>, x: &[f32], run: &mut Run<K>) {
        let (start, count) = (self.start, self.end.wrapping_sub(self.start));
        let contiguous = rows.grid.seek(run, start) >= count;
        let offset = rows.grid.offset(run, 0, start);
        for (class, to) in self.panel(rows.classes).each_class().enumerate().take(rows.classes) {
            let shift = rows.stride.wrapping_mul(class.cast_signed());
            let to = to.get_mut(..count).unwrap_or(&mut []);
            if contiguous {
                let from = offset.wrapping_add_signed(shift);
                let from = x.get(from..from.wrapping_add(count)).unwrap_or(&[]);
                let ((to, to_rest), (from, rest)) = (to.as_chunks_mut::<LANES>(), from.as_chunks::<LANES>());
                for (to, from) in to.iter_mut().zip(from) {
                    // The next rows are on their way while these are computed.
                    s.prefetch(from, count);
                    *to = *from;
                }
                for (to, &from) in to_rest.iter_mut().zip(rest) {
                    *to = from;
                }
            } else {
                s.vectorize_apart(&mut Gather { grid: &rows.grid, run, k: 0, data: x, i: start, shift, out: to });
            }
        }
    }
}
