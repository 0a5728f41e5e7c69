//! Rows of contiguous classes: a lane for each class.

use super::{
    grid::{Run, first_lanes},
    map::{Coefficients, RowMap, RowsOut, write_lanes, write_rows},
    partition::{Layout, Partition, Rows, State, Sums, TARGET, TILE, Term, always, small_count},
};
use crate::simd::{Four, Group, LANES, Ops, Simd};

/// Long rows of contiguous classes.
pub(crate) struct ByRows;

impl Layout for ByRows {
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
                let row = x.get(offset..offset.wrapping_add(rows.classes)).unwrap_or(&[]);
                let mut state = State::new(s);
                for (number, tile) in row.chunks(TILE).enumerate() {
                    row_tile::<S, CROSS>(s, &mut state, number.wrapping_mul(TILE), tile, cross);
                }
                state.finish(s)
            },
        );
        // Only now, when the rows are in the cache.
        Partition { logit: rows.pick(s, x, run, i, labels), ..partition }
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
        if out.stride == 1 {
            write_rows::<S, M, K>(s, rows, out, run, i, count, row);
        } else {
            write_lanes::<S, M, K>(s, rows, out, run, i, count, row);
        }
    }
}

/// Takes each row by itself: `partition` gets where its logits and targets start, and gives the same in every lane.
#[inline(always)]
pub(crate) fn each_row<S: Simd, const CROSS: bool, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    run: &mut Run<K>,
    i: usize,
    count: usize,
    mut partition: impl FnMut(usize, usize) -> Partition<S::F>,
) -> Partition<S::F> {
    let zero = s.to_lanes(s.splat(0.0));
    let (mut max, mut others, mut cross, mut mass) = (zero, zero, zero, zero);
    for l in 0..count.min(S::N) {
        let i = i.wrapping_add(l);
        rows.grid.seek(run, i);
        let target = if CROSS && rows.cross.target.is_some() { rows.grid.offset(run, TARGET, i) } else { 0 };
        let row = partition(rows.grid.offset(run, 0, i), target);
        set(s, &mut max, l, row.max);
        set(s, &mut others, l, row.others);
        if CROSS {
            set(s, &mut cross, l, row.cross);
            set(s, &mut mass, l, row.mass);
        }
    }
    Partition {
        max: s.from_lanes(max),
        others: s.from_lanes(others),
        cross: s.from_lanes(cross),
        mass: s.from_lanes(mass),
        logit: s.from_lanes(zero),
    }
}

/// Sets lane `l` to what all lanes of `x` have.
#[inline(always)]
fn set<S: Simd>(s: S, lanes: &mut S::Lanes, l: usize, x: S::F) {
    if let (Some(lane), Some(&x)) = (lanes.as_mut().get_mut(l), s.to_lanes(x).as_ref().first()) {
        *lane = x;
    }
}

/// Takes in one tile of a row, its classes from `start` on.
#[inline(always)]
pub(crate) fn row_tile<S: Simd, const CROSS: bool>(
    s: S,
    state: &mut State<S::F>,
    start: usize,
    tile: &[f32],
    mut cross: impl FnMut(usize, S::F) -> (S::F, S::F) + Copy,
) {
    let reference = state.enter::<S, CROSS>(s, start, s.splat(max_of(s, tile)));
    let four = Four(s);
    let zero = Sums::zero(s);
    let mut groups = [zero; 4];
    let count = LANES / S::N;
    let mut class = start;
    let chunks = tile.chunks_exact(4 * S::N);
    let rest = chunks.remainder();
    for chunk in chunks {
        // Next comes the same place of the next tile, or of the next row: it is on its way while this one is computed.
        for line in chunk.chunks(LANES) {
            s.prefetch(line, TILE.min(tile.len()));
        }
        let d = four.sub(load_four(s, chunk), [reference; 4]);
        let Term { p, scale, whole, below } = Term::new(four, d);
        for k in 0..4 {
            let sums = &mut groups[k % count % 4];
            sums.add(s, Term { p: p[k], scale: scale[k], whole: whole[k], below: below[k] });
            if CROSS {
                sums.take_cross(s, cross(class, s.neg(d[k])));
            }
            class = class.wrapping_add(S::N);
        }
    }
    for (part, k) in rest.chunks(S::N).zip((0..count).cycle()) {
        let d = s.sub(s.load_part(part, f32::NEG_INFINITY), reference);
        let sums = &mut groups[k % 4];
        sums.take(s, d);
        if CROSS {
            let (term, q) = cross(class, s.neg(d));
            sums.take_cross(s, (first_lanes(s, term, part.len()), first_lanes(s, q, part.len())));
        }
        class = class.wrapping_add(S::N);
    }
    let [a, b, c, d] = groups;
    let sums = match count {
        1 => a,
        2 => a.join::<CROSS>(s, b),
        _ => a.join::<CROSS>(s, c).join::<CROSS>(s, b.join::<CROSS>(s, d)),
    };
    // The lanes behind the end held −∞, which is below the reference.
    let lanes = tile.len().next_multiple_of(S::N);
    let mut whole = Sums { sum: s.splat(s.reduce_add(sums.sum)), ..sums };
    if CROSS {
        whole.cross = s.splat(s.reduce_add(sums.cross));
        whole.mass = s.splat(s.reduce_add(sums.mass));
    }
    let below = s.reduce_add(s.to_float(sums.below));
    state.leave::<S, CROSS>(s, whole, s.splat(small_count(lanes) + below));
}

/// Four vectors of a chunk.
#[inline(always)]
fn load_four<S: Simd>(s: S, chunk: &[f32]) -> [S::F; 4] {
    Four(s).gather(
        #[inline(always)]
        |k| s.load_part(chunk.get(k * S::N..).unwrap_or(&[]), 0.0),
    )
}

/// The largest element, in four independent chains; a NaN may be lost.
#[inline(always)]
fn max_of<S: Simd>(s: S, x: &[f32]) -> f32 {
    let four = Four(s);
    let mut max = four.splat(f32::NEG_INFINITY);
    let chunks = x.chunks_exact(4 * S::N);
    let rest = chunks.remainder();
    for chunk in chunks {
        max = four.max(max, load_four(s, chunk));
    }
    let [mut a, b, c, d] = max;
    for part in rest.chunks(S::N) {
        a = s.max(a, s.load_part(part, f32::NEG_INFINITY));
    }
    s.reduce_max(s.max(s.max(a, b), s.max(c, d)))
}
