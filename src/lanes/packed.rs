//! Short rows of contiguous classes: transposed, so that each takes a lane.

use super::{
    gradient::TargetGradients,
    grid::Run,
    map::{Coefficients, Memory, RowMap},
    panel::{BLOCKS, Panel, WIDTH},
    partition::{Form, Layout, Partition, Rows, SHORT, TARGET, always},
};
use crate::simd::{Four, Group, LANES, Scratch, Simd};

/// Classes that are transposed at a time.
const QUAD: usize = 4;

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
        panels.pack(s, rows, memory.logits(), run, i, count, 0);
        let coefficient = coefficient_of::<S, S, K>(s, s, rows, &panels.targets, 0);
        panels.logits.partition::<S, S, M, F, K>(s, s, 0, rows, coefficient, labels)
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
        for number in 0..WIDTH {
            panels.pack(s, rows, memory.logits(), run, i.wrapping_add(number * S::N), S::N, number);
        }
        let coefficient = coefficient_of::<S, Four<S>, K>(s, Four(s), rows, &panels.targets, 0);
        panels.logits.partition::<S, Four<S>, M, F, K>(s, Four(s), 0, rows, coefficient, labels)
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
        let (panels, results) = self.panels::<S, K>(rows, width::<S, K>(rows));
        let coefficient = coefficient_of::<S, S, K>(s, s, rows, &panels.targets, number);
        if out.stride != 1 {
            for class in 0..classes {
                let [y] = panels.logits.mapped::<S, M, 1>(s, class, number, row, coefficient, targets.as_ref());
                out.store(s, &rows.grid, run, i, count, class, y);
            }
            return;
        }
        let (array, step) = (out.array, rows.grid.step(out.array).cast_unsigned());
        let together = rows.grid.seek(run, i) >= count;
        let (offset, len) = (rows.grid.offset(run, array, i), count.wrapping_mul(classes));
        if classes == 2 && step == 2 && together && count == S::N {
            let columns = panels.logits.mapped::<S, M, 2>(s, 0, number, row, coefficient, targets.as_ref());
            s.store_pairs(columns, out.data.get_mut(offset..).unwrap_or(&mut []));
            return;
        }
        // With room for what is written behind the last of rows that are shorter than what is transposed at a time.
        let results = results.first(LANES * classes + QUAD);
        let direct = together && count == S::N && classes >= QUAD && step.cast_signed() >= classes.cast_signed();
        let (to, to_step) =
            if direct { (out.data.get_mut(offset..).unwrap_or(&mut []), step) } else { (&mut *results, classes) };
        for class in (0..classes).step_by(QUAD) {
            let class = class.min(classes.saturating_sub(QUAD));
            let columns = panels.logits.mapped::<S, M, QUAD>(s, class, number, row, coefficient, targets.as_ref());
            s.store_transposed(columns, to.get_mut(class..).unwrap_or(&mut []), to_step);
        }
        if direct {
            return;
        }
        let adjacent = step == classes && together;
        if adjacent {
            copy(results, out.data.get_mut(offset..offset.wrapping_add(len)));
            return;
        }
        for (l, from) in results.chunks(classes.max(1)).enumerate().take(count) {
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

/// [`Cross::coefficient`] of one class in a group of rows, whose targets are the vectors from `first` on.
///
/// [`Cross::coefficient`]: super::partition::Cross::coefficient
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
    /// Packs the rows `i .. i + count`, and their targets, as the vector `number`.
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
        let logits = Array { number: 0, data: x, stride: 1 };
        logits.pack(s, rows, run, i, count, &mut self.logits, number);
        if let Some(target) = &rows.cross.target {
            let targets = Array { number: TARGET, data: target.data, stride: target.stride };
            targets.pack(s, rows, run, i, count, &mut self.targets, number);
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
    /// Packs the rows `i .. i + count` as the vector `number` of a panel.
    #[expect(clippy::too_many_arguments, reason = "from where to where")]
    #[inline(always)]
    fn pack<S: Simd, const K: usize>(
        &self,
        s: S,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        panel: &mut Panel<'_>,
        number: usize,
    ) {
        let step = rows.grid.step(self.number).cast_unsigned();
        if self.stride == 1 && rows.grid.seek(run, i) >= S::N && count == S::N {
            let from = self.data.get(rows.grid.offset(run, self.number, i)..).unwrap_or(&[]);
            if rows.classes == 2
                && step == 2
                && let Some([first, second]) = s.load_pairs(from)
            {
                panel.store_classes(s, 0, number, [first, second]);
                return;
            }
            let mut whole = true;
            for class in (0..rows.classes).step_by(QUAD) {
                // The last ones end with the row, behind which memory may end.
                let class = class.min(rows.classes.saturating_sub(QUAD));
                match s.load_transposed(from.get(class..).unwrap_or(&[]), step) {
                    Some(columns) => panel.store_classes(s, class, number, columns),
                    None => whole = false,
                }
            }
            if whole {
                return;
            }
        }
        for l in 0..count {
            rows.grid.seek(run, i.wrapping_add(l));
            let mut at = rows.grid.offset(run, self.number, i.wrapping_add(l));
            for class in 0..rows.classes {
                panel.set(class, number * S::N + l, self.data.get(at).copied().unwrap_or(0.0));
                at = at.wrapping_add_signed(self.stride);
            }
        }
    }
}
