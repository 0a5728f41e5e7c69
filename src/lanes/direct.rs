//! Rows of any layout, `N` at a time: a lane for each row, each logit read where it is.

use super::{
    grid::Run,
    integer,
    map::{Coefficients, RowMap, RowsOut, write_lanes},
    partition::{Layout, Partition, Rows, State, Sums, TARGET, TILE, Term, always},
};
use crate::simd::{Group, LANES, Simd};

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
        x: &[f32],
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        let logit = rows.pick(s, x, run, i, labels);
        rows.grid.seek(run, i);
        let row = rows.grid.offset(run, 0, i);
        let mut run = *run;
        let load = always(
            #[inline(always)]
            move |class: usize, (): ()| {
                let shift = rows.stride.wrapping_mul(class.cast_signed());
                if S::N == 1 {
                    return s.splat(x.get(row.wrapping_add_signed(shift)).copied().unwrap_or(0.0));
                }
                rows.grid.load(s, &mut run, 0, x, i, count, shift, 0.0)
            },
        );
        let cross = cross_of::<S, S, K>(s, s, rows, &run, i, count);
        let mut state = State::new(s);
        for start in (0..rows.classes).step_by(TILE) {
            tile::<S, CROSS>(s, &mut state, start, TILE.min(rows.classes - start), load, cross);
        }
        Partition { logit, ..state.finish(s) }
    }

    #[inline(always)]
    fn write<S: Simd, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        out: &mut RowsOut<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        _number: usize,
        row: &Coefficients<S::F>,
    ) {
        if S::N > 1 {
            return write_lanes::<S, M, K>(s, rows, out, run, i, count, row);
        }
        rows.grid.seek(run, i);
        let (mut from, mut to) = (rows.grid.offset(run, 0, i), rows.grid.offset(run, out.array, i));
        let mut cross = cross_of::<S, S, K>(s, s, rows, run, i, count);
        for class in 0..rows.classes {
            let x = s.load_part(out.logits().get(from..).unwrap_or(&[]), 0.0);
            let q = if M::CROSS { cross(class, x).1 } else { x };
            s.store_part(M::of_logit(s, row, x, q), out.data.get_mut(to..).unwrap_or(&mut []));
            from = from.wrapping_add_signed(rows.stride);
            to = to.wrapping_add_signed(out.stride);
        }
    }
}

/// The terms of the weighted sum of one class in the rows of a group, of which each vector has `count`.
#[inline(always)]
pub(crate) fn cross_of<'a, S: Simd, G: Group<S>, const K: usize>(
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
        move |class: usize, delta| {
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
            rows.cross.term(g, weight, target, delta)
        },
    )
}

/// Takes in one tile of `N` rows, its `len` classes from `start` on.
#[inline(always)]
fn tile<S: Simd, const CROSS: bool>(
    s: S,
    state: &mut State<S::F>,
    start: usize,
    len: usize,
    mut load: impl FnMut(usize, ()) -> S::F,
    mut cross: impl FnMut(usize, S::F) -> (S::F, S::F),
) {
    let mut tile_max = s.splat(f32::NEG_INFINITY);
    for class in start..start.wrapping_add(len) {
        tile_max = s.max(tile_max, load(class, ()));
    }
    let reference = state.enter::<S, CROSS>(s, start, tile_max);
    let zero = s.splat(0.0);
    let (mut sum, mut cross_sums) = ([zero; LANES], [(zero, zero); LANES]);
    let mut below = s.int(0);
    let mut whole = integer::ExpSum::new();
    for class in start..start.wrapping_add(len) {
        let d = s.sub(load(class, ()), reference);
        let lane = class % LANES;
        if S::INTEGER {
            // Integers need no lanes.
            below = s.int_add(below, s.shr::<31>(s.bits(d)));
            s.map_bits(
                d,
                #[inline(always)]
                |d| {
                    whole.add(d);
                    d
                },
            );
        } else {
            let term = Term::new(s, d);
            below = s.int_add(below, term.below);
            sum[lane] = term.add_to(s, sum[lane]);
        }
        if CROSS {
            let ((a, b), (c, d)) = (cross_sums[lane], cross(class, s.neg(d)));
            cross_sums[lane] = (s.add(a, c), s.add(b, d));
        }
    }
    let sum = if S::INTEGER {
        s.map_bits(
            zero,
            #[inline(always)]
            |_| whole.value(),
        )
    } else {
        join(
            sum,
            #[inline(always)]
            |a, b| s.add(a, b),
        )
    };
    let (cross, mass) = if CROSS {
        join(
            cross_sums,
            #[inline(always)]
            |(a, b), (c, d)| (s.add(a, c), s.add(b, d)),
        )
    } else {
        (zero, zero)
    };
    let sums = Sums { sum, below, cross, mass };
    state.leave::<S, CROSS>(s, sums, sums.ties(s, len));
}

/// Joins the virtual lanes in the tree of [`crate::simd`].
#[inline(always)]
fn join<T: Copy>(mut lanes: [T; LANES], join: impl Fn(T, T) -> T) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane % LANES] = join(lanes[lane % LANES], lanes[(lane + half) % LANES]);
        }
        half /= 2;
    }
    lanes[0]
}
