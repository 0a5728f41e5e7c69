//! Rows of contiguous classes: a lane for each class.

use super::{
    gradient::TargetGradients,
    grid::{LANE_NUMBERS, Run, first_lanes},
    map::{Coefficients, Memory, RowMap, write_lanes, write_rows},
    partition::{Layout, Partition, Rows, State, Sums, TARGET, TILE, Term, small_count},
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
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        let keep = keeps::<M, K>(rows, memory);
        // The exponentials may take the place of the logits.
        let mut logit = if keep { rows.pick(s, memory.logits(), run, i, labels) } else { s.splat(0.0) };
        let partition = each_row::<S, CROSS, K>(
            s,
            rows,
            memory.array,
            run,
            i,
            count,
            #[inline(always)]
            |[offset, target, out]| {
                let row = offset..offset.wrapping_add(rows.classes);
                let (x, out): (_, &mut [f32]) = if keep {
                    let out = memory.data.get_mut(out..out.wrapping_add(rows.classes));
                    (memory.input.and_then(|x| x.get(row)), out.unwrap_or(&mut []))
                } else {
                    (memory.logits().get(row), &mut [])
                };
                let mut state = State::new(s);
                for start in (0..rows.classes).step_by(TILE) {
                    let tile = start..rows.classes.min(start + TILE);
                    let x = x.and_then(|x| x.get(tile.clone()));
                    let out = out.get_mut(tile).unwrap_or(&mut []);
                    // A loop of its own, since choices in the loop would keep its vectors apart.
                    if let (true, Some(q)) = (CROSS, rows.cross.same()) {
                        let q = s.splat(q);
                        row_tile::<S, CROSS>(
                            s,
                            &mut state,
                            start,
                            x,
                            out,
                            M::EXPONENTIALS,
                            #[inline(always)]
                            |_, delta| (s.mul(q, delta), q),
                        );
                    } else {
                        let cross = rows.cross.in_row(s, target);
                        row_tile::<S, CROSS>(s, &mut state, start, x, out, M::EXPONENTIALS, cross);
                    }
                }
                state.finish(s)
            },
        );
        if !keep {
            // Only now, when the rows are in the cache.
            logit = rows.pick(s, memory.logits(), run, i, labels);
        }
        Partition { logit, ..partition }
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
        if keeps::<M, K>(rows, out) {
            write_rows::<S, M, true, K>(s, rows, out, run, i, count, row);
        } else if out.stride == 1 {
            write_rows::<S, M, false, K>(s, rows, out, run, i, count, row);
        } else {
            write_lanes::<S, M, K>(s, rows, out, run, i, count, row);
        }
        if let Some(targets) = targets {
            targets.write(s, rows, out, run, i);
        }
    }
}

/// Whether the output keeps the exponentials of the logits until they are mapped: where a row is a single tile, so that
/// all of them are relative to its maximum.
#[inline(always)]
fn keeps<M: RowMap, const K: usize>(rows: &Rows<'_, K>, memory: &Memory<'_>) -> bool {
    M::EXPONENTIALS && memory.stride == 1 && rows.classes <= TILE
}

/// Takes each row by itself: `partition` gets where its logits, its targets and its part of `array` start, and gives the
/// same in every lane.
#[inline(always)]
pub(crate) fn each_row<S: Simd, const CROSS: bool, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    array: usize,
    run: &mut Run<K>,
    i: usize,
    count: usize,
    mut partition: impl FnMut([usize; 3]) -> Partition<S::F>,
) -> Partition<S::F> {
    let zero = s.splat(0.0);
    let mut all = Partition { max: zero, others: zero, cross: zero, mass: zero, logit: zero };
    for l in 0..count.min(S::N) {
        let i = i.wrapping_add(l);
        rows.grid.seek(run, i);
        let target = if CROSS && rows.cross.target.is_some() { rows.grid.offset(run, TARGET, i) } else { 0 };
        let row = partition([rows.grid.offset(run, 0, i), target, rows.grid.offset(run, array, i)]);
        let lane = s.eq(s.load(&LANE_NUMBERS, 0), s.splat(small_count(l)));
        all.max = s.select(lane, row.max, all.max);
        all.others = s.select(lane, row.others, all.others);
        if CROSS {
            all.cross = s.select(lane, row.cross, all.cross);
            all.mass = s.select(lane, row.mass, all.mass);
        }
    }
    all
}

/// Takes in one tile of a row, its classes from `start` on: `x` or, without it, what is in `out`. To `keep` its exponentials,
/// as many as there is room for go to `out`.
#[inline(always)]
pub(crate) fn row_tile<S: Simd, const CROSS: bool>(
    s: S,
    state: &mut State<S::F>,
    start: usize,
    x: Option<&[f32]>,
    out: &mut [f32],
    keep: bool,
    mut cross: impl FnMut(usize, S::F) -> (S::F, S::F),
) {
    let max = max_of(s, x.unwrap_or(out));
    let reference = state.enter::<S, CROSS>(s, start, s.splat(max));
    let len = x.map_or(out.len(), <[f32]>::len);
    let four = Four(s);
    let (mut groups, mut below) = ([Sums::zero(s); 4], [s.int(0); 4]);
    let count = LANES / S::N;
    let mut done = 0;
    while let Some(chunk) = x.unwrap_or(out).get(done..done + 4 * S::N) {
        // Next comes the same place of the next tile, or of the next row: it is on its way while this one is computed.
        for line in chunk.chunks(LANES).take(4 * S::N / LANES) {
            s.prefetch(line, TILE.min(len));
        }
        let d = four.sub(load_four(s, chunk), [reference; 4]);
        let terms = Term::new(four, d);
        below = four.int_add(below, terms.below);
        for k in 0..4 {
            let sums = &mut groups[k % count % 4];
            sums.sum = s.mul_add(terms.p[k], terms.scale[k], sums.sum);
            let at = done + k * S::N;
            if CROSS {
                sums.take_cross(s, cross(start.wrapping_add(at), s.neg(d[k])));
            }
            if keep && let Some(out) = out.get_mut(at..at + S::N) {
                s.store_part(terms.whole[k], out);
            }
        }
        done += 4 * S::N;
    }
    let mut group = 0;
    while done < len {
        let used = S::N.min(len - done);
        let part = x.unwrap_or(out).get(done..).unwrap_or(&[]);
        let d = s.sub(s.load_part(part, f32::NEG_INFINITY), reference);
        let term = Term::new(s, d);
        let sums = &mut groups[group % count % 4];
        sums.sum = term.add_to(s, sums.sum);
        below[0] = s.int_add(below[0], term.below);
        if CROSS {
            let (term, q) = cross(start.wrapping_add(done), s.neg(d));
            sums.take_cross(s, (first_lanes(s, term, used), first_lanes(s, q, used)));
        }
        if keep && let Some(out) = out.get_mut(done..done + used) {
            s.store_part(term.whole, out);
        }
        group += 1;
        done += S::N;
    }
    let [a, b, c, d] = groups;
    let sums = match count {
        1 => a,
        2 => a.join::<S, CROSS>(s, b),
        _ => a.join::<S, CROSS>(s, c).join::<S, CROSS>(s, b.join::<S, CROSS>(s, d)),
    };
    // The lanes behind the end held −∞, which is below the reference.
    let lanes = len.next_multiple_of(S::N);
    let mut whole = Sums { sum: s.splat(s.reduce_add(sums.sum)), ..sums };
    if CROSS {
        whole.cross = s.splat(s.reduce_add(sums.cross));
        whole.mass = s.splat(s.reduce_add(sums.mass));
    }
    let [a, b, c, d] = below;
    let below = s.reduce_add(s.to_float(s.int_add(s.int_add(a, b), s.int_add(c, d))));
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
