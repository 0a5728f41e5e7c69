//! Rows of any layout, `N` at a time: a lane for each row, each logit read where it is.

use super::{
    classes::IGNORED,
    gradient::TargetGradients,
    grid::Run,
    map::{Coefficients, Memory, RowMap, write_lanes},
    partition::{Each, Layout, NoTerms, Partition, Rows, Source, State, TARGET, TILE, always, tile},
};
use crate::simd::{Group, INTEGERS, Ops, SCALAR, Simd, Strided};

/// Needs no memory and makes no use of contiguity: the way of a single lane.
pub(crate) struct Direct;

impl Layout for Direct {
    #[inline(always)]
    fn new() -> Self {
        Self
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
        let x = memory.logits();
        if S::N > 1 {
            rows.grid.seek(run, i);
        }
        let row = rows.grid.offset(run, 0, i);
        if S::N == 1 {
            let class = labels.first().copied().filter(|&class| class != IGNORED);
            let at = |class: usize| row.wrapping_add_signed(rows.stride.wrapping_mul(class.cast_signed()));
            let logit = class.and_then(|class| x.get(at(class)).copied()).unwrap_or(0.0);
            if !CROSS {
                let (classes, stride) = (rows.classes, rows.stride);
                let (max, others) = if S::INTEGER {
                    row_partition(INTEGERS, x, row, stride, classes)
                } else {
                    row_partition(SCALAR, x, row, stride, classes)
                };
                let (zero, logit) = (s.splat(0.0), s.splat(logit));
                return Partition { max: s.splat(max), others: s.splat(others), cross: zero, mass: zero, logit };
            }
        }
        let logit = rows.pick(s, x, run, i, labels);
        let mut source = InMemory { s, rows, x, run: *run, i, count, row };
        let mut terms =
            Each { coefficient: coefficient_of::<S, S, K>(s, s, rows, run, i, count), same: rows.cross.same() };
        let mut state = State::new(s);
        for start in (0..rows.classes).step_by(TILE) {
            let len = TILE.min(rows.classes - start);
            if CROSS {
                tile(s, &mut state, start, len, &mut source, &mut terms);
            } else {
                tile(s, &mut state, start, len, &mut source, &mut NoTerms);
            }
        }
        Partition { logit, ..state.finish(s, rows.classes, &terms) }
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
        _number: usize,
        row: &Coefficients<S::F>,
        targets: Option<&TargetGradients<'_, S::F>>,
    ) {
        if S::N > 1 {
            write_lanes::<S, M, K>(s, rows, out, run, i, count, row);
        } else {
            write_row::<S, M, K>(s, rows, out, run, i, row);
        }
        if let Some(targets) = targets {
            targets.write(s, rows, out, run, i);
        }
    }
}
/// Maps row `i`, one class after the other.
#[inline(always)]
fn write_row<S: Simd, M: RowMap, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    out: &mut Memory<'_>,
    run: &mut Run<K>,
    i: usize,
    row: &Coefficients<S::F>,
) {
    let (mut from, mut to) = (rows.grid.offset(run, 0, i), rows.grid.offset(run, out.array, i));
    let mut coefficient = coefficient_of::<S, S, K>(s, s, rows, run, i, 1);
    for class in 0..rows.classes {
        let x = s.load_part(out.logits().get(from..).unwrap_or(&[]), 0.0);
        let q = if M::CROSS { coefficient(class, x).0 } else { x };
        s.store_part(M::of_logit(s, row, x, q), out.data.get_mut(to..).unwrap_or(&mut []));
        from = from.wrapping_add_signed(rows.stride);
        to = to.wrapping_add_signed(out.stride);
    }
}

/// The maximum and the others of [`Partition`] of a row that starts at `row`, for a single lane. Not inlined: every kernel
/// needs it, and small firmware no other.
#[inline(never)]
fn row_partition<O: Ops<F = f32>>(o: O, x: &[f32], row: usize, stride: isize, classes: usize) -> (f32, f32) {
    let (mut state, mut start) = (State::new(o), 0);
    // Views are checked: nothing but an empty row is not there.
    if let Some(mut row) = Strided::new(x, row, stride, classes) {
        while row.len() > 0 {
            let x = row.take(TILE);
            tile(o, &mut state, start, x.len(), &mut Part { x, start }, &mut NoTerms);
            start += x.len();
        }
    }
    let Partition { max, others, .. } = state.finish(o, classes, &NoTerms);
    (max, others)
}

/// The classes of a row from `start` on.
struct Part<'a> {
    x: Strided<'a>,
    start: usize,
}

impl<O: Ops<F = f32>> Source<O> for Part<'_> {
    #[inline(always)]
    fn load(&mut self, class: usize) -> f32 {
        self.x.get(class.wrapping_sub(self.start))
    }
}

/// The rows `i .. i + count`, of which the first starts at `row`.
struct InMemory<'a, 'r, S, const K: usize> {
    s: S,
    rows: &'r Rows<'a, K>,
    x: &'r [f32],
    run: Run<K>,
    i: usize,
    count: usize,
    row: usize,
}

impl<S: Simd, const K: usize> Source<S> for InMemory<'_, '_, S, K> {
    #[inline(always)]
    fn load(&mut self, class: usize) -> S::F {
        let shift = self.rows.stride.wrapping_mul(class.cast_signed());
        if S::N == 1 {
            return self.s.splat(self.x.get(self.row.wrapping_add_signed(shift)).copied().unwrap_or(0.0));
        }
        self.rows.grid.load(self.s, &mut self.run, 0, self.x, self.i, self.count, shift, 0.0)
    }
}

/// [`Cross::coefficient`] of one class in the rows of a group, of which each vector has `count`.
///
/// [`Cross::coefficient`]: super::partition::Cross::coefficient
#[inline(always)]
pub(crate) fn coefficient_of<'a, S: Simd, G: Group<S>, const K: usize>(
    s: S,
    g: G,
    rows: &'a Rows<'_, K>,
    run: &Run<K>,
    i: usize,
    count: usize,
) -> impl FnMut(usize, G::F) -> (G::F, G::F) + Copy + use<'a, S, G, K> {
    let mut run = *run;
    always(
        #[inline(always)]
        move |class: usize, d| {
            let weight = match rows.cross.weight {
                Some(weight) => g.splat(weight.get(class).copied().unwrap_or(0.0)),
                None => g.splat(1.0),
            };
            let target = match &rows.cross.target {
                Some(target) => {
                    let shift = target.stride.wrapping_mul(class.cast_signed());
                    Some(g.gather(
                        #[inline(always)]
                        |k| {
                            let i = i.wrapping_add(k * S::N);
                            rows.grid.load(s, &mut run, TARGET, target.data, i, count, shift, 0.0)
                        },
                    ))
                }
                None => None,
            };
            rows.cross.coefficient(g, weight, target, d)
        },
    )
}
