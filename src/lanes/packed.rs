//! Short rows of contiguous classes: transposed, so that each takes a lane.

use super::{
    gradient::TargetGradients,
    grid::Run,
    map::{Coefficients, Memory, RowMap},
    panel::{BLOCKS, Panel, WIDTH},
    partition::{Form, Layout, Partition, Rows, SHORT, SHORT_WITH_TARGETS, TARGET, always},
};
use crate::simd::{Four, Group, LANES, Simd};

/// Classes that are transposed at a time.
const QUAD: usize = 4;

/// Short rows, packed for each call.
pub(crate) struct Packed {
    panel: Panel,
    /// The targets that are probabilities, if they are.
    targets: Option<Panel<TARGETS>>,
    /// Some rows of results, one after the other, with room for what the last transposition writes behind them.
    rows: [f32; SHORT * LANES + QUAD],
}

/// Blocks of a panel of targets.
const TARGETS: usize = SHORT_WITH_TARGETS * WIDTH;

const _: () = assert!(SHORT * WIDTH <= BLOCKS, "all classes of the rows fit in the panel");
const _: () =
    assert!(SHORT.is_multiple_of(QUAD) && SHORT_WITH_TARGETS.is_multiple_of(QUAD), "as does the last transposition");

impl Default for Packed {
    #[inline(always)]
    fn default() -> Self {
        Self { panel: Panel::new(WIDTH), targets: None, rows: [0.0; SHORT * LANES + QUAD] }
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
        let coefficient = coefficient_of::<S, S, K>(s, s, rows, self.targets.as_ref(), 0);
        self.panel.partition::<S, S, M, F, K>(s, s, 0, rows, coefficient, labels)
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
        let coefficient = coefficient_of::<S, Four<S>, K>(s, Four(s), rows, self.targets.as_ref(), 0);
        self.panel.partition::<S, Four<S>, M, F, K>(s, Four(s), 0, rows, coefficient, labels)
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
        let coefficient = coefficient_of::<S, S, K>(s, s, rows, self.targets.as_ref(), number);
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

/// [`Cross::coefficient`] of one class in a group of rows, whose targets are the vectors from `first` on.
///
/// [`Cross::coefficient`]: super::partition::Cross::coefficient
#[inline(always)]
fn coefficient_of<S: Simd, G: Group<S>, const K: usize>(
    s: S,
    g: G,
    rows: &Rows<'_, K>,
    targets: Option<&Panel<TARGETS>>,
    first: usize,
) -> impl FnMut(usize, G::F) -> (G::F, G::F) + Copy {
    always(
        #[inline(always)]
        move |class, d| {
            let target = match targets {
                Some(targets) => Some(targets.load(s, g, class, first)),
                None => None,
            };
            rows.cross.of_class(g, class, target, d)
        },
    )
}

impl Packed {
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
        logits.pack(s, rows, run, i, count, &mut self.panel, number);
        if let Some(target) = &rows.cross.target {
            let targets = Array { number: TARGET, data: target.data, stride: target.stride };
            let panel = self.targets.get_or_insert_with(|| Panel::new(WIDTH));
            targets.pack(s, rows, run, i, count, panel, number);
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
    fn pack<S: Simd, const K: usize, const B: usize>(
        &self,
        s: S,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        panel: &mut Panel<B>,
        number: usize,
    ) {
        let step = rows.grid.step(self.number).cast_unsigned();
        if self.stride == 1 && rows.grid.seek(run, i) >= S::N && count == S::N {
            let from = self.data.get(rows.grid.offset(run, self.number, i)..).unwrap_or(&[]);
            if rows.classes == 2
                && step == 2
                && let Some([first, second]) = s.load_pairs(from)
            {
                panel.store(s, s, 0, number, first);
                panel.store(s, s, 1, number, second);
                return;
            }
            let mut whole = true;
            for class in (0..rows.classes).step_by(QUAD) {
                match s.load_transposed(from.get(class..).unwrap_or(&[]), step) {
                    Some(columns) => Four(s).scatter(
                        columns,
                        #[inline(always)]
                        |k, column| panel.store(s, s, class.wrapping_add(k), number, column),
                    ),
                    None => whole = false,
                }
            }
            if whole {
                return;
            }
        }
        for class in 0..rows.classes {
            let shift = self.stride.wrapping_mul(class.cast_signed());
            let x = rows.grid.load(s, run, self.number, self.data, i, count, shift, 0.0);
            panel.store(s, s, class, number, x);
        }
    }
}
