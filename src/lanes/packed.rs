//! Short rows of contiguous classes: transposed, so that each takes a lane.

use super::{
    cross::TARGET,
    gradient::TargetGradients,
    grid::Run,
    layout::{Layout, Rows, SHORT},
    map::{Coefficients, InLanes, Memory, RowMap},
    panel::{BLOCKS, Origin, Panel, WIDTH},
    partition::{Form, Partition, always},
};
use crate::simd::{Four, Group, LANES, QUAD, Scratch, Simd, Transposition};

/// Short rows, packed for each call.
pub(crate) struct Packed {
    logits: Scratch<BLOCKS>,
    /// The targets, where these are probabilities.
    targets: Scratch<{ SHORT * WIDTH }>,
    /// Some rows of results, one after the other.
    rows: Scratch<SHORT>,
}

const _: () = assert!(SHORT * WIDTH <= BLOCKS, "all classes of the rows fit in the panel");
const _: () = assert!(LANES * (SHORT - 1) + QUAD <= LANES * SHORT, "and all of their results");

impl Default for Packed {
    #[inline(always)]
    fn default() -> Self {
        Self { logits: Scratch::new(), targets: Scratch::new(), rows: Scratch::new() }
    }
}

impl Layout for Packed {
    const AT_ONCE: usize = SHORT;

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
        let (mut panels, _) = self.panels::<S, K>(rows, width::<S, K>(rows));
        panels.pack(s, rows, memory.logits(), run, i, count);
        let coefficient = coefficient_of::<S, S, K>(s, s, rows, &panels.targets, 0);
        let origin = Origin { rows, x: memory.logits(), i, count };
        panels.logits.partition::<S, S, M, F, K>(s, s, 0, origin, coefficient, labels)
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
        let (mut panels, _) = self.panels::<S, K>(rows, WIDTH);
        panels.pack(s, rows, memory.logits(), run, i, WIDTH * S::N);
        let coefficient = coefficient_of::<S, Four<S>, K>(s, Four(s), rows, &panels.targets, 0);
        let origin = Origin { rows, x: memory.logits(), i, count: S::N };
        panels.logits.partition::<S, Four<S>, M, F, K>(s, Four(s), 0, origin, coefficient, labels)
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
        let (mut panels, results) = self.panels::<S, K>(rows, width::<S, K>(rows));
        let coefficient = coefficient_of::<S, G, K>(s, g, rows, &panels.targets, 0);
        let targets = match targets {
            Some(targets) => Some(targets.in_lanes(s, g)),
            None => None,
        };
        let mut map = InLanes { row: coefficients, coefficient, targets };
        if let Some(to) = pairs_of::<S, G, K>(rows, out, run, i, count) {
            let first = map.value::<M>(g, 0, panels.logits.load(s, g, 0, 0));
            let second = map.value::<M>(g, 1, panels.logits.load(s, g, 1, 0));
            for (k, to) in to.chunks_mut(2 * S::N).enumerate().take(G::VECTORS) {
                s.store_pairs([g.nth(first, k), g.nth(second, k)], to);
            }
            return;
        }
        for class in 0..rows.classes {
            let x = panels.logits.load(s, g, class, 0);
            panels.logits.store(s, g, class, 0, map.value::<M>(g, class, x));
        }
        panels.logits.unpack(s, rows, out, run, i, G::VECTORS, count, results);
    }
}

impl Panel<'_> {
    /// Writes so many vectors of rows from row `i` on, of which each has `count`.
    #[expect(clippy::too_many_arguments, reason = "from where to where")]
    #[inline(always)]
    fn unpack<S: Simd, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        vectors: usize,
        count: usize,
        results: &mut Scratch<SHORT>,
    ) {
        let (classes, all) = (rows.classes, vectors * S::N);
        if out.stride != 1 {
            for class in 0..classes {
                for k in 0..vectors {
                    let y = self.load(s, s, class, k);
                    out.store(s, &rows.grid, run, i.wrapping_add(k * S::N), count, class, y);
                }
            }
            return;
        }
        let (array, step) = (out.array, rows.grid.step(out.array).cast_unsigned());
        if count == S::N && rows.grid.seek(run, i) >= all {
            let to = out.data.get_mut(rows.grid.offset(run, array, i)..).unwrap_or(&mut []);
            // Not over rows that overlap, which an output has only where they are empty.
            let (from, distance) = self.from_row(0);
            let shape = Transposition { rows: all, step, columns: classes, distance };
            if step >= classes && shape.to_rows(s, from, to) {
                return;
            }
        }
        for k in 0..vectors {
            let i = i.wrapping_add(k * S::N);
            // With room for what is written behind the last of rows that are shorter than what is transposed at a time.
            let results = results.first(LANES * classes + QUAD);
            let (from, distance) = self.from_row(k * S::N);
            let columns = classes.max(QUAD);
            Transposition { rows: S::N, step: classes, columns, distance }.to_rows(s, from, results);
            if step == classes && rows.grid.seek(run, i) >= count {
                let offset = rows.grid.offset(run, array, i);
                copy(results, out.data.get_mut(offset..offset.wrapping_add(count.wrapping_mul(classes))));
                continue;
            }
            for (l, from) in results.chunks(classes.max(1)).enumerate().take(count) {
                let i = i.wrapping_add(l);
                rows.grid.seek(run, i);
                let offset = rows.grid.offset(run, array, i);
                copy(from, out.data.get_mut(offset..offset.wrapping_add(classes)));
            }
        }
    }
}

/// Where the results of whole vectors of rows of two classes go, if there are no gaps between them.
#[inline(always)]
fn pairs_of<'o, S: Simd, G: Group<S>, const K: usize>(
    rows: &Rows<'_, K>,
    out: &'o mut Memory<'_>,
    run: &mut Run<K>,
    i: usize,
    count: usize,
) -> Option<&'o mut [f32]> {
    let all = G::VECTORS * S::N;
    if rows.classes != 2 || out.stride != 1 || rows.grid.step(out.array) != 2 {
        return None;
    }
    if count != S::N || rows.grid.seek(run, i) < all {
        return None;
    }
    let offset = rows.grid.offset(run, out.array, i);
    out.data.get_mut(offset..offset.wrapping_add(2 * all))
}

/// Copies as much as there is on both sides.
#[inline(always)]
fn copy(from: &[f32], to: Option<&mut [f32]>) {
    for (to, &from) in to.unwrap_or(&mut []).iter_mut().zip(from) {
        *to = from;
    }
}

/// [`Cross::coefficient`] of one class in a group of rows, whose targets are the vectors from `first` on.
///
/// [`Cross::coefficient`]: super::cross::Cross::coefficient
#[inline(always)]
fn coefficient_of<S: Simd, G: Group<S>, const K: usize>(
    s: S,
    g: G,
    rows: &Rows<'_, K>,
    targets: &Panel<'_>,
    first: usize,
) -> impl FnMut(usize, G::F) -> (G::F, G::F) + Copy {
    always(
        #[inline(always)]
        move |class, d| {
            let target = if rows.cross.target.is_some() { Some(targets.load(s, g, class, first)) } else { None };
            rows.cross.of_class(g, class, target, d)
        },
    )
}

/// Vectors that are taken at a time: of few rows, one.
#[inline(always)]
fn width<S: Simd, const K: usize>(rows: &Rows<'_, K>) -> usize {
    if rows.grid.len < WIDTH * S::N { 1 } else { WIDTH }
}

impl Packed {
    /// The panels, with places for `width` vectors of these rows, and the memory of results.
    #[inline(always)]
    fn panels<S: Simd, const K: usize>(
        &mut self,
        rows: &Rows<'_, K>,
        width: usize,
    ) -> (Panels<'_>, &mut Scratch<SHORT>) {
        let step = (width * S::N).div_ceil(LANES);
        let targets = if rows.cross.target.is_some() { rows.classes.max(QUAD) } else { 0 };
        let panels = Panels {
            logits: Panel::new(&mut self.logits, rows.classes.max(QUAD), step),
            targets: Panel::new(&mut self.targets, targets, step),
        };
        (panels, &mut self.rows)
    }
}

/// What is packed of some rows.
struct Panels<'p> {
    logits: Panel<'p>,
    targets: Panel<'p>,
}

impl Panels<'_> {
    /// Packs the rows `i .. i + count`, and their targets.
    #[inline(always)]
    fn pack<S: Simd, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        x: &[f32],
        run: &mut Run<K>,
        i: usize,
        count: usize,
    ) {
        let logits = Array { number: 0, data: x, stride: 1 };
        logits.pack(s, rows, run, i, count, &mut self.logits);
        if let Some(target) = &rows.cross.target {
            let targets = Array { number: TARGET, data: target.data, stride: target.stride };
            targets.pack(s, rows, run, i, count, &mut self.targets);
        }
    }
}

/// An array of the grid that has an element for each class.
struct Array<'a> {
    number: usize,
    data: &'a [f32],
    /// The distance of neighbouring classes.
    stride: isize,
}

impl Array<'_> {
    /// Packs the rows `i .. i + count`: all at once or, where memory does not allow for that, a vector after the other.
    #[inline(always)]
    fn pack<S: Simd, const K: usize>(
        &self,
        s: S,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        panel: &mut Panel<'_>,
    ) {
        if self.transpose(s, rows, run, i, count, panel, 0) {
            return;
        }
        for first in (0..count).step_by(S::N) {
            let (i, count) = (i.wrapping_add(first), S::N.min(count - first));
            if self.transpose(s, rows, run, i, count, panel, first) {
                continue;
            }
            for l in 0..count {
                rows.grid.seek(run, i.wrapping_add(l));
                let mut at = rows.grid.offset(run, self.number, i.wrapping_add(l));
                for class in 0..rows.classes {
                    panel.set(class, first + l, self.data.get(at).copied().unwrap_or(0.0));
                    at = at.wrapping_add_signed(self.stride);
                }
            }
        }
    }

    /// Packs the rows `i .. i + count` from row `first` of the panel on. Whether that was possible: for whole vectors of rows of
    /// contiguous classes that are the same distance apart.
    #[expect(clippy::too_many_arguments, reason = "from where to where")]
    #[inline(always)]
    fn transpose<S: Simd, const K: usize>(
        &self,
        s: S,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        panel: &mut Panel<'_>,
        first: usize,
    ) -> bool {
        if self.stride != 1 || !count.is_multiple_of(S::N) || rows.grid.seek(run, i) < count {
            return false;
        }
        let from = self.data.get(rows.grid.offset(run, self.number, i)..).unwrap_or(&[]);
        let step = rows.grid.step(self.number).cast_unsigned();
        if rows.classes == 2 && step == 2 {
            return pack_pairs(s, from, panel, first, count);
        }
        let (to, distance) = panel.from_row(first);
        Transposition { rows: count, step, columns: rows.classes.max(QUAD), distance }.to_columns(s, from, to)
    }
}

/// Packs `count` rows of two classes, without a gap between them, from row `first` of the panel on.
#[inline(always)]
fn pack_pairs<S: Simd>(s: S, from: &[f32], panel: &mut Panel<'_>, first: usize, count: usize) -> bool {
    for row in (0..count).step_by(S::N) {
        let Some(columns) = s.load_pairs(from.get(2 * row..).unwrap_or(&[])) else {
            return false;
        };
        panel.store_pair(s, (first + row) / S::N, columns);
    }
    true
}
