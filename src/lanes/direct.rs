//! Rows of any layout, `N` at a time: a lane for each row, each logit read where it is.

use core::cell::Cell;

use super::{
    cross::{Cross, Each, NoTerms, Probabilities, TARGET, spread},
    gradient::{TargetGradients, as_floats},
    grid::Run,
    integer::ExpSum,
    labels::IGNORED,
    layout::{Layout, Rows},
    map::{Coefficients, Memory, RowMap, write_lanes},
    math,
    others::{self, ByLanes, Others, Read, Sum},
    panel::Planes,
    partition::{
        ByTarget, Form, NOTHING, Partition, Source, State, TILE, Whole, always, join_lanes, small_count, tile,
    },
};
use crate::simd::{Group, INTEGERS, LANES, Number, Ops, SCALAR, Simd, Strided};

/// Needs no memory and makes no use of contiguity: the way of a single lane.
pub(crate) struct Direct;

impl Layout for Direct {
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
        let x = memory.logits();
        if !S::SINGLE {
            rows.grid.seek(run, i);
        }
        let row = rows.grid.offset(run, 0, i);
        if S::SINGLE {
            // Integers gain nothing by one pass less where there is no target, and have bits of their own.
            if F::ONCE && (F::TARGET || !S::INTEGER) {
                let (classes, stride) = (rows.classes, rows.stride);
                let class = labels.first().copied().unwrap_or(IGNORED);
                let logit = rows.logit(x, row, class);
                // A smoothed label has the same others.
                let first = rows.reference::<F, _>(logit);
                let Read { reference, sum, spread } = if keeps::<S, M, K>(rows, memory) {
                    let to = rows.grid.offset(run, memory.array, i);
                    keep_others::<F>(memory, row, to, stride, classes, class, first, rows.cross)
                } else {
                    let (reference, sum) = match (F::TARGET, S::INTEGER) {
                        (true, true) => row_others::<_, ByTarget>(INTEGERS, x, row, stride, classes, class, first),
                        (true, false) => row_others::<_, ByTarget>(SCALAR, x, row, stride, classes, class, first),
                        (false, _) => row_others::<_, Whole>(SCALAR, x, row, stride, classes, class, first),
                    };
                    let row = Strided::new(x, row, stride, classes);
                    let spread = if F::CROSS { row_spread(row, rows.cross, reference) } else { 0.0 };
                    Read { reference, sum, spread }
                };
                return others::finish::<S, F, K>(
                    s,
                    rows,
                    Read { reference: s.splat(reference), sum: s.splat(sum), spread: s.splat(spread) },
                    #[inline(always)]
                    || s.splat(logit),
                );
            }
            if !F::CROSS {
                let (classes, stride) = (rows.classes, rows.stride);
                let (max, others) = if S::INTEGER {
                    row_partition(INTEGERS, x, row, stride, classes)
                } else {
                    row_partition(SCALAR, x, row, stride, classes)
                };
                return Partition { max: s.splat(max), others: s.splat(others), ..Partition::none(s) };
            }
        }
        let mut source = InMemory { s, rows, x, run: *run, i, count, row };
        if F::ONCE {
            let logit = rows.pick(s, x, run, i, labels);
            let mut source = Without { s, rows: source, labels, start: 0, target: s.splat(0.0) };
            let first = rows.reference::<F, _>(logit);
            let mut lanes = ByLanes::new(&mut source, rows.classes, rows.cross);
            let read = others::read::<S, F>(s, rows.classes, first, &mut lanes);
            return others::finish::<S, F, K>(
                s,
                rows,
                read,
                #[inline(always)]
                || logit,
            );
        }
        let mut terms = Each(coefficient_of::<S, S, K>(s, s, rows, run, i, count));
        let mut state = State::new(s);
        for start in (0..rows.classes).step_by(TILE) {
            let len = TILE.min(rows.classes - start);
            if F::CROSS {
                tile::<S, 2>(s, &mut state, start, len, &mut source, &mut terms);
            } else {
                tile::<S, 0>(s, &mut state, start, len, &mut source, &mut NoTerms);
            }
        }
        state.finish(s)
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
        if S::SINGLE {
            write_row::<S, M, K>(s, rows, out, run, i, row);
        } else {
            write_lanes::<S, M, K>(s, rows, out, run, i, count, row);
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
    if keeps::<S, M, K>(rows, out) {
        let Some(kept) = Strided::new(cells(out.data), to, out.stride, rows.classes) else {
            return;
        };
        for class in 0..kept.len() {
            let e = s.splat(kept.get(class));
            let q = if M::CROSS { coefficient(class, e).0 } else { e };
            kept.replace(class, s.reduce_add(M::value(s, row, e, q)));
        }
        return;
    }
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
            if O::INTEGER {
                tile::<O, 0>(o, &mut state, start, x.len(), &mut Part { x, start }, &mut NoTerms);
            } else {
                let reference = state.enter::<O, 0>(o, start, max_of(o, &x, x.len()));
                let (sum, ties) = sum_below(&x, reference);
                state.leave(o, sum, ties);
            }
            start += x.len();
        }
    }
    let Partition { max, others, .. } = state.finish(o);
    (max, others)
}

/// The reference and the sum of a row's others, as [`row_partition`].
#[inline(never)]
fn row_others<O: Ops<F = f32>, F: Form>(
    o: O,
    x: &[f32],
    row: usize,
    stride: isize,
    classes: usize,
    target: usize,
    first: Option<f32>,
) -> (f32, f32) {
    let Some(all) = Strided::new(x, row, stride, classes) else {
        return (f32::NEG_INFINITY, 0.0);
    };
    let row = &mut Row { all, target, kept: 0 };
    let Read { reference, sum, .. } = others::read_short::<O, F>(o, classes, first, row);
    (reference, sum)
}

/// [`spread`] of a row, which is there if it has classes.
#[inline(never)]
fn row_spread<T: Number>(row: Option<Strided<'_, T>>, cross: &Cross<'_>, reference: f32) -> f32 {
    let Some(row) = row else {
        return 0.0;
    };
    spread(
        SCALAR,
        row.len(),
        cross,
        reference,
        #[inline(always)]
        |class| row.get(class),
    )
}

/// Whether exponentials take the place of the logits in the output when they are summed, since their map needs nothing else. By
/// integers the sum has none.
///
/// Where there are caches, only contiguous classes: to write others a second time takes longer than a second exponential. Bare metal
/// has one way for all, since two of them are 1100 bytes more on Cortex-M4F.
#[inline(always)]
fn keeps<S: Simd, M: RowMap, const K: usize>(rows: &Rows<'_, K>, memory: &Memory<'_>) -> bool {
    let near = cfg!(target_os = "none") || memory.stride == 1;
    S::SINGLE && !S::INTEGER && M::EXPONENTIALS && near && !(M::CROSS && rows.cross.target.is_some())
}

/// Numbers that can be read and written at any place.
#[inline(always)]
fn cells(data: &mut [f32]) -> &[Cell<f32>] {
    Cell::from_mut(data).as_slice_of_cells()
}

/// As [`row_others`] and [`row_spread`]; the output, where the row starts at `to`, gets the exponentials of all but the target.
#[expect(clippy::too_many_arguments, reason = "what is read and written, and relative to what")]
#[inline(always)]
fn keep_others<F: Form>(
    memory: &mut Memory<'_>,
    row: usize,
    to: usize,
    stride: isize,
    classes: usize,
    target: usize,
    first: Option<f32>,
    cross: &Cross<'_>,
) -> Read<f32> {
    let none = Read { reference: f32::NEG_INFINITY, sum: 0.0, spread: 0.0 };
    let Some(kept) = Strided::new(cells(memory.data), to, memory.stride, classes) else {
        return none;
    };
    if let Some(x) = memory.input {
        let Some(x) = Strided::new(x, row, stride, classes) else {
            return none;
        };
        for class in 0..classes {
            kept.replace(class, x.get(class));
        }
    }
    let reference = final_reference::<F>(&kept, target, first);
    let spread = if F::CROSS { row_spread(Some(kept), cross, reference) } else { 0.0 };
    let sum: Sum<_> = Row { all: kept, target, kept: usize::MAX }.sum(SCALAR, reference);
    Read { reference, sum: sum.sum, spread }
}

/// A first reference stays if no logit is this much above it: the sum of `4 * TILE` exponentials is less than e^38 · 2^12 then, which is
/// below the limit of [`others`], 2^67.
const NEAR: f32 = 38.0;

/// The reference that [`row_others`] ends with, before any logit is overwritten.
#[inline(never)]
fn final_reference<F: Form>(row: &Strided<'_, Cell<f32>>, target: usize, first: Option<f32>) -> f32 {
    let o = SCALAR;
    let classes = row.len();
    let max = max_of(o, row, classes);
    match first {
        Some(first) if classes <= 4 * TILE && max - first < NEAR => first,
        None if F::TARGET || classes <= others::HEAD => max,
        _ => others::read_short::<_, F>(o, classes, first, &mut Row { all: *row, target, kept: 0 }).reference,
    }
}

/// The others of a row, of which all tiles are summed in one go.
struct Row<'a, T> {
    all: Strided<'a, T>,
    target: usize,
    /// See [`sum_of`].
    kept: usize,
}

impl<O: Ops<F = f32>, T: Number> Others<O> for Row<'_, T> {
    #[inline(always)]
    fn enter(&mut self, _: O, _: usize, _: usize) {}

    #[inline(always)]
    fn max(&mut self, o: O, len: usize) -> f32 {
        max_of(o, &self.all, len)
    }

    #[inline(always)]
    fn sum(&mut self, o: O, reference: f32) -> Sum<O> {
        let (mut rest, mut target) = (self.all, self.target);
        let mut all = Sum { sum: 0.0, joined: o.int(0) };
        while rest.len() > 0 {
            let tile = rest.take(TILE);
            if O::INTEGER {
                all.sum = o.add(all.sum, sum_in_integers(&tile, target, reference));
            } else {
                let (sum, joined) = sum_of(&tile, target, reference, self.kept);
                all = Sum { sum: o.add(all.sum, sum), joined: o.int_or(all.joined, o.bits(joined)) };
            }
            target = target.wrapping_sub(TILE);
        }
        all
    }
}

// Functions of their own, since together they have more to keep than there are registers.

/// The largest of the first `len`; a NaN may be lost.
#[inline(never)]
fn max_of<O: Ops<F = f32>, T: Number>(o: O, x: &Strided<'_, T>, len: usize) -> f32 {
    let mut max = f32::NEG_INFINITY;
    for k in 0..len.min(x.len()) {
        max = o.max(max, x.get(k));
    }
    max
}

/// The sum of the exponentials of all but the target's, and the float with the bits of [`Sum::joined`]. Those of the first `kept` classes
/// take the places of their logits, if these can be written. That is all of them or none; a number, since of a flag the compiler would make
/// a second loop.
#[inline(never)]
fn sum_of<T: Number>(x: &Strided<'_, T>, target: usize, reference: f32, kept: usize) -> (f32, f32) {
    let o = SCALAR;
    let (mut sums, mut joined) = ([NOTHING; LANES], 0);
    for class in 0..x.len() {
        if class != target {
            let (p, t) = math::exp_term(o, o.sub(x.get(class), reference));
            joined = o.int_or(joined, o.bits(t));
            // A tile is whole groups of lanes.
            let sum = &mut sums[class % LANES];
            let e = o.mul(p, math::scale(o, t));
            *sum = o.add(e, *sum);
            if class < kept {
                x.replace(class, e);
            }
        }
    }
    let sum = join_lanes(
        &mut sums,
        0.0,
        #[inline(always)]
        |a, b| o.add(a, b),
    );
    (sum, o.from_bits(joined))
}

/// The sum of the exponentials of all that are below the reference, and how many are not: as in [`tile`]. In groups of lanes, so
/// that these need no counter of their own.
#[inline(never)]
fn sum_below(x: &Strided<'_>, reference: f32) -> (f32, f32) {
    let o = SCALAR;
    let (mut sums, mut ties, mut nan) = ([NOTHING; LANES], 0, 0.0);
    let mut rest = *x;
    while rest.len() > 0 {
        let classes = rest.take(LANES);
        for k in 0..classes.len() {
            let d = o.sub(classes.get(k), reference);
            // Bits tell two rare cases apart, with fewer instructions than a comparison of floats and a mask take for all.
            if d.to_bits() == 0 {
                ties += 1;
            } else if d.to_bits() > math::TERM_MIN.to_bits() {
                if d.is_nan() {
                    nan = d;
                }
            } else {
                let (p, t) = math::near_term(o, d);
                let sum = &mut sums[k % LANES];
                *sum = o.mul_add(p, math::scale(o, t), *sum);
            }
        }
    }
    let sum = join_lanes(
        &mut sums,
        nan,
        #[inline(always)]
        |a, b| o.add(a, b),
    );
    (sum, o.to_float(ties))
}

/// The same by integers, which need no lanes, and have a range that includes all that fits.
#[inline(never)]
fn sum_in_integers<T: Number>(x: &Strided<'_, T>, target: usize, reference: f32) -> f32 {
    let mut sum = ExpSum::new();
    for class in 0..x.len() {
        if class != target {
            sum.add(INTEGERS.sub(x.get(class), reference).to_bits());
        }
    }
    f32::from_bits(sum.value())
}

/// Rows without the classes `labels`, if there are any.
struct Without<'l, S: Ops, R> {
    s: S,
    rows: R,
    labels: &'l [usize],
    start: usize,
    /// The targets, counted from the tile's start.
    target: S::F,
}

impl<S: Simd, R: Source<S>> Source<S> for Without<'_, S, R> {
    #[inline(always)]
    fn enter(&mut self, s: S, start: usize) {
        (self.start, self.target) = (start, as_floats(s, s, self.labels, start));
    }

    #[inline(always)]
    fn load(&mut self, class: usize) -> S::F {
        self.rows.load(class)
    }

    #[inline(always)]
    fn is_target(&mut self, class: usize) -> Option<S::M> {
        let (s, at) = (self.s, small_count(class.wrapping_sub(self.start)));
        if self.labels.is_empty() { None } else { Some(s.eq(s.splat(at), self.target)) }
    }
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
        if S::SINGLE {
            return self.s.splat(self.x.get(self.row.wrapping_add_signed(shift)).copied().unwrap_or(0.0));
        }
        self.rows.grid.load(self.s, &mut self.run, 0, self.x, self.i, self.count, shift, 0.0)
    }
}

/// [`Cross::coefficient`] of one class in the rows of a group, of which each vector has `count`.
///
/// [`Cross::coefficient`]: super::cross::Cross::coefficient
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
    let whole = !S::SINGLE && count == S::N && rows.grid.step(TARGET) == 1;
    let planes = match rows.cross.target {
        Some(Probabilities { data, stride }) if whole && rows.grid.seek(&mut run, i) >= G::VECTORS * S::N => {
            Some(Planes { x: data, at: rows.grid.offset(&run, TARGET, i), stride })
        }
        _ => None,
    };
    always(
        #[inline(always)]
        move |class: usize, d| {
            let target = match (planes, &rows.cross.target) {
                (Some(planes), _) => {
                    planes.prefetch(s, g, class);
                    Some(planes.load(s, g, class))
                }
                (None, Some(target)) => {
                    let shift = target.stride.wrapping_mul(class.cast_signed());
                    Some(g.gather(
                        #[inline(always)]
                        |k| {
                            let i = i.wrapping_add(k * S::N);
                            rows.grid.load(s, &mut run, TARGET, target.data, i, count, shift, 0.0)
                        },
                    ))
                }
                (None, None) => None,
            };
            rows.cross.of_class(g, class, target, d)
        },
    )
}
