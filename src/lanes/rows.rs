//! Rows of contiguous classes: a lane for each class.

use core::{marker::PhantomData, ops::Range};

use super::{
    cross::{Cross, NoTerms, RowSpread, TARGET, TermSums, Terms},
    gradient::TargetGradients,
    grid::{LANE_NUMBERS, Run},
    labels::IGNORED,
    layout::{Layout, Rows},
    map::{Coefficients, Memory, RowMap, write_lanes, write_rows},
    math,
    others::{self, ABSENT, HEAD, Others, Read, Sum},
    partition::{BLOCK, Form, Partition, State, TILE, Term, small_count},
    side_by_side,
    sum::join_groups,
};
use crate::simd::{Four, Group, Kernel, LANES, Ops, Scratch, Simd};

/// Rows of no more classes are taken side by side: relative to their targets or maxima, and all `N` of them in the first-level cache.
const SIDE_BY_SIDE: usize = HEAD;

/// Long rows of contiguous classes.
#[derive(Default)]
pub(crate) struct ByRows;

impl Layout for ByRows {
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
        let keep = keeps::<M, K>(rows, memory);
        let few = rows.classes <= if F::CROSS && !F::ONCE { BLOCK } else { SIDE_BY_SIDE };
        if few
            && (!keep || memory.input.is_some())
            && !S::SINGLE
            && count == S::N
            && let Some(partition) = side_by_side::partition::<S, M, F, K>(s, rows, memory, run, i, labels)
        {
            return partition;
        }
        if F::ONCE {
            return row_others::<S, M, F, K>(s, rows, memory, run, i, count, labels);
        }
        each_row::<S, F, K>(
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
                // Each with a loop of its own, since choices in the loop would keep its vectors apart.
                let keep = M::EXPONENTIALS;
                if F::CROSS {
                    row_partition::<S, 2>(s, rows.classes, x, out, keep, rows.cross.in_row(s, target))
                } else {
                    row_partition::<S, 0>(s, rows.classes, x, out, keep, NoTerms)
                }
            },
        )
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

/// The partition of rows without their targets.
#[inline(always)]
fn row_others<S: Simd, M: RowMap, F: Form, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    memory: &mut Memory<'_>,
    run: &mut Run<K>,
    i: usize,
    count: usize,
    labels: &[usize],
) -> Partition<S::F> {
    if !keeps::<M, K>(rows, memory) {
        let x = memory.logits();
        let mut next = labels.iter().skip(1);
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
                let x = x.get(offset..offset.wrapping_add(rows.classes)).unwrap_or(&[]);
                let logit = rows.logit(x, 0, target);
                // The next row's target is on its way while this row is computed.
                if let Some(&class) = next.next() {
                    let row = offset.wrapping_add_signed(rows.grid.step(0));
                    s.prefetch(memory.logits().get(row.wrapping_add(class)..).unwrap_or(&[]), 0);
                }
                if rows.classes <= TILE {
                    let logit = rows.reference::<F, _>(s.splat(logit));
                    let row = &mut RowOthers::new::<F>(s, x, None, target, rows.cross);
                    return others::read_short::<S, F>(s, rows.classes, logit, row);
                }
                let logit = rows.reference::<F, _>(logit);
                let row = &mut LongRow::<F> { x, logit, target, cross: rows.cross, form: PhantomData };
                let [reference, sum, spread] = s.vectorize_apart(row);
                Read { reference: s.splat(reference), sum: s.splat(sum), spread: s.splat(spread) }
            },
        );
        return others::finish::<S, F, K>(
            s,
            rows,
            read,
            // Only now, when the rows are in the cache.
            #[inline(always)]
            || rows.pick(s, x, run, i, labels),
        );
    }
    // The exponentials may take the place of the logits, of which a copy is read then.
    let mut copy = Scratch::<{ TILE / LANES }>::new();
    let logit = if F::TARGET { rows.pick(s, memory.logits(), run, i, labels) } else { s.splat(0.0) };
    let Memory { input, data, array, .. } = memory;
    let read = each_target(
        s,
        rows,
        *array,
        run,
        i,
        count,
        labels,
        #[inline(always)]
        |[offset, out], target| {
            let kept = data.get_mut(out..out.wrapping_add(rows.classes)).unwrap_or(&mut []);
            let x = if let Some(x) = input {
                x.get(offset..offset.wrapping_add(rows.classes)).unwrap_or(&[])
            } else {
                let copy = copy.first(kept.len());
                for (to, &x) in copy.iter_mut().zip(&*kept) {
                    *to = x;
                }
                copy
            };
            let logit = rows.reference::<F, _>(s.splat(rows.logit(x, 0, target)));
            let row = &mut RowOthers::new::<F>(s, x, Some(kept), target, rows.cross);
            others::read::<S, F>(s, rows.classes, logit, row)
        },
    );
    others::finish::<S, F, K>(
        s,
        rows,
        read,
        #[inline(always)]
        || logit,
    )
}

/// Whether the output keeps the exponentials of the logits until they are mapped: where a row is a single tile, so that
/// all of them are relative to its maximum.
#[inline(always)]
pub(crate) fn keeps<M: RowMap, const K: usize>(rows: &Rows<'_, K>, memory: &Memory<'_>) -> bool {
    M::EXPONENTIALS && memory.stride == 1 && rows.classes <= TILE
}

/// Takes each row by itself: `partition` gets where its logits, its targets and its part of `array` start, and gives the
/// same in every lane.
#[inline(always)]
pub(crate) fn each_row<S: Simd, F: Form, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    array: usize,
    run: &mut Run<K>,
    i: usize,
    count: usize,
    mut partition: impl FnMut([usize; 3]) -> Partition<S::F>,
) -> Partition<S::F> {
    let mut all = Partition::none(s);
    for l in 0..count.min(S::N) {
        let i = i.wrapping_add(l);
        rows.grid.seek(run, i);
        let target = if F::CROSS && rows.cross.target.is_some() { rows.grid.offset(run, TARGET, i) } else { 0 };
        let row = partition([rows.grid.offset(run, 0, i), target, rows.grid.offset(run, array, i)]);
        let lane = s.eq(s.load_part(&LANE_NUMBERS, 0.0), s.splat(small_count(l)));
        all.max = s.select(lane, row.max, all.max);
        all.others = s.select(lane, row.others, all.others);
        if F::CROSS {
            all.cross = s.select(lane, row.cross, all.cross);
            all.mass = s.select(lane, row.mass, all.mass);
        }
    }
    all
}

/// [`others::read`] of each row by itself: `read` gets where its logits and its part of `array` start, and its target, and gives
/// the same in every lane.
#[expect(clippy::too_many_arguments, reason = "as for `Layout`")]
#[inline(always)]
pub(crate) fn each_target<S: Simd, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    array: usize,
    run: &mut Run<K>,
    i: usize,
    count: usize,
    labels: &[usize],
    mut read: impl FnMut([usize; 2], usize) -> Read<S::F>,
) -> Read<S::F> {
    let zero = s.splat(0.0);
    let mut all = Read { reference: s.splat(ABSENT), sum: zero, spread: zero };
    for l in 0..count.min(S::N) {
        let i = i.wrapping_add(l);
        rows.grid.seek(run, i);
        let offsets = [rows.grid.offset(run, 0, i), rows.grid.offset(run, array, i)];
        let row = read(offsets, labels.get(l).copied().unwrap_or(IGNORED));
        let lane = s.eq(s.load_part(&LANE_NUMBERS, 0.0), s.splat(small_count(l)));
        all = row.select(s, lane, all);
    }
    all
}

/// The partition of a row `x` or, without it, what is in `out`. To `keep` its exponentials, as many as there is room for go to
/// `out`.
#[inline(always)]
fn row_partition<S: Simd, const T: usize>(
    s: S,
    classes: usize,
    x: Option<&[f32]>,
    out: &mut [f32],
    keep: bool,
    mut terms: impl Terms<S> + Terms<Four<S>>,
) -> Partition<S::F> {
    let mut state = State::new(s);
    for start in (0..classes).step_by(TILE) {
        let tile = start..classes.min(start + TILE);
        let x = x.and_then(|x| x.get(tile.clone()));
        let out = out.get_mut(tile).unwrap_or(&mut []);
        row_tile::<S, T>(s, &mut state, start, x, out, keep, &mut terms);
    }
    state.finish(s)
}

/// Takes in one tile of a row, its classes from `start` on; the arguments are those of [`row_partition`].
#[inline(always)]
pub(crate) fn row_tile<S: Simd, const T: usize>(
    s: S,
    state: &mut State<S::F>,
    start: usize,
    x: Option<&[f32]>,
    out: &mut [f32],
    keep: bool,
    terms: &mut (impl Terms<S> + Terms<Four<S>>),
) {
    let max = max_of(s, x.unwrap_or(out));
    let reference = state.enter::<S, T>(s, start, s.splat(max));
    let len = x.map_or(out.len(), <[f32]>::len);
    let four = Four(s);
    let (mut tally, mut weighted) = (Tally::new(s), TermSums::<S, T>::new(s));
    let mut done = 0;
    while let Some(chunk) = x.unwrap_or(out).get(done..done + 4 * S::N) {
        // Next comes the same place of the next tile, or of the next row: it is on its way while this one is computed.
        for line in chunk.chunks(LANES).take(4 * S::N / LANES) {
            s.prefetch(line, TILE.min(len));
        }
        let d = four.sub(load_four(s, chunk), [reference; 4]);
        // Before the exponentials, which need the registers.
        let (q, distances) = terms.term(four, start.wrapping_add(done), d);
        for k in 0..4 {
            weighted.add::<S>(s, k, (q[k], distances[k]));
        }
        let exponentials = Term::new(four, d);
        for k in 0..4 {
            let sum = &mut tally.sums[group::<S>(k)];
            *sum = s.mul_add(exponentials.p[k], exponentials.scale[k], *sum);
            tally.below = s.int_add(tally.below, exponentials.below[k]);
        }
        if keep && let Some(out) = out.get_mut(done..done + 4 * S::N) {
            store_four(s, exponentials.whole, out);
        }
        done += 4 * S::N;
        if T > 0 && done.is_multiple_of(BLOCK) {
            weighted.end_block::<S>(s);
        }
    }
    for k in 0.. {
        let used = S::N.min(len - done);
        if used == 0 {
            break;
        }
        let d = s.sub(s.load_part(x.unwrap_or(out).get(done..).unwrap_or(&[]), f32::NEG_INFINITY), reference);
        let term = tally.take(s, s, k, d);
        weighted.add_part(s, s, k, terms.term(s, start.wrapping_add(done), d), used);
        if keep && let Some(out) = out.get_mut(done..done + used) {
            s.store_part(term.whole, out);
        }
        done += used;
    }
    let mut joined = weighted.joined::<S>(s);
    // Not `map`, which is left out of line.
    for sum in &mut joined {
        *sum = s.splat(s.reduce_add(*sum));
    }
    state.take_terms(s, start, joined);
    let below = s.splat(s.reduce_add(s.to_float(tally.below)));
    state.leave(s, s.splat(s.reduce_add(tally.joined::<S>(s))), ties(s, len, below));
}

/// Of lanes whose bits are all in range such bits in all of them, else others.
#[inline(always)]
pub(crate) fn join_bits<S: Simd>(s: S, joined: S::I) -> S::I {
    s.int(if s.all(math::in_range(s, joined)) { 0 } else { -1 })
}

/// The sum of the exponentials of some classes but the target, in every lane. To keep them, they go to `kept`.
#[inline(always)]
pub(crate) fn sum_without<S: Simd>(
    s: S,
    x: &[f32],
    mut kept: Option<&mut [f32]>,
    target: usize,
    reference: S::F,
) -> Sum<S> {
    let four = Four(s);
    let (mut sums, mut joined) = ([s.splat(0.0); 4], s.int(0));
    let mut done = 0;
    while let Some(chunk) = x.get(done..done + 4 * S::N) {
        // Next comes the same place of the next tile, or of the next row: it is on its way while this one is computed.
        for line in chunk.chunks(LANES).take(4 * S::N / LANES) {
            s.prefetch(line, x.len());
        }
        let chunk = without(s, four, load_four(s, chunk), target.wrapping_sub(done));
        let (p, t) = math::exp_term(four, four.sub(chunk, [reference; 4]));
        let scale = math::scale(four, t);
        for k in 0..4 {
            joined = s.int_or(joined, s.bits(t[k]));
            let sum = &mut sums[group::<S>(k)];
            *sum = add_term(s, p[k], scale[k], *sum, part_of(&mut kept, done + k * S::N..done + (k + 1) * S::N));
        }
        done += 4 * S::N;
    }
    for k in 0.. {
        let Some(rest) = x.get(done..).filter(|rest| !rest.is_empty()) else {
            break;
        };
        let part = without(s, s, s.load_part(rest, f32::NEG_INFINITY), target.wrapping_sub(done));
        let (p, t) = math::exp_term(s, s.sub(part, reference));
        let scale = math::scale(s, t);
        joined = s.int_or(joined, s.bits(t));
        let sum = &mut sums[group::<S>(k)];
        *sum = add_term(s, p, scale, *sum, part_of(&mut kept, done..x.len()));
        done += S::N;
    }
    let sum = join_groups::<S, _>(
        sums,
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    Sum { sum: s.splat(s.reduce_add(sum)), joined: join_bits(s, joined) }
}

/// A part of what is kept, if anything is.
#[inline(always)]
fn part_of<'k>(kept: &'k mut Option<&mut [f32]>, part: Range<usize>) -> Option<&'k mut [f32]> {
    match kept {
        Some(kept) => Some(kept.get_mut(part).unwrap_or(&mut [])),
        None => None,
    }
}

/// Adds a term to a sum, and writes it to `kept`.
#[inline(always)]
fn add_term<S: Simd>(s: S, p: S::F, scale: S::F, sum: S::F, kept: Option<&mut [f32]>) -> S::F {
    let Some(kept) = kept else {
        return s.mul_add(p, scale, sum);
    };
    // Exact, unless it is so small that no sum has digits for it. An addition, since the multiplications are what takes the time.
    let e = s.mul(p, scale);
    s.store_part(e, kept);
    s.add(e, sum)
}

/// `x` with −∞ for its element `target`, if it has that.
#[inline(always)]
fn without<S: Simd, G: Group<S>>(s: S, g: G, x: G::F, target: usize) -> G::F {
    if target >= G::VECTORS * S::N {
        return x;
    }
    let target = s.splat(small_count(target));
    g.gather(
        #[inline(always)]
        |k| {
            let lane = s.add(s.load_part(&LANE_NUMBERS, 0.0), s.splat(small_count(k * S::N)));
            s.select(s.eq(lane, target), s.splat(f32::NEG_INFINITY), g.nth(x, k))
        },
    )
}

/// The others of a row of contiguous classes. The exponentials of a row of a single tile may be `kept`.
struct RowOthers<'x, 'k, 'c, S: Simd> {
    x: &'x [f32],
    kept: Option<&'k mut [f32]>,
    target: usize,
    spread: RowSpread<'c, S>,
    start: usize,
    len: usize,
}

impl<'x, 'k, 'c, S: Simd> RowOthers<'x, 'k, 'c, S> {
    #[inline(always)]
    fn new<F: Form>(s: S, x: &'x [f32], kept: Option<&'k mut [f32]>, target: usize, cross: &'c Cross<'c>) -> Self {
        Self { x, kept, target, spread: RowSpread::new::<F>(s, cross), start: 0, len: 0 }
    }
}

impl<S: Simd> Others<S> for RowOthers<'_, '_, '_, S> {
    #[inline(always)]
    fn enter(&mut self, _: S, start: usize, len: usize) {
        (self.start, self.len) = (start, len);
    }

    #[inline(always)]
    fn max(&mut self, s: S, len: usize) -> S::F {
        s.splat(max_of(s, self.x.get(..len).unwrap_or(self.x)))
    }

    #[inline(always)]
    fn sum(&mut self, s: S, reference: S::F) -> Sum<S> {
        let x = self.x.get(self.start..self.start.wrapping_add(self.len)).unwrap_or(&[]);
        self.spread.take(s, self.start, x, reference);
        sum_without(s, x, self.kept.as_deref_mut(), self.target.wrapping_sub(self.start), reference)
    }

    #[inline(always)]
    fn spread(&mut self, s: S, _: S::F) -> S::F {
        self.spread.value(s)
    }
}

/// Where the vector `k` of a row goes, of those that make up the sixteen lanes.
#[inline(always)]
pub(crate) fn group<S: Simd>(k: usize) -> usize {
    k % (LANES / S::N) % 4
}

/// The sums of exponentials over a tile of a group of rows, in the lanes of its classes.
pub(crate) struct Tally<G: Ops> {
    sums: [G::F; 4],
    /// How many are below the reference, negative.
    pub(crate) below: G::I,
}

impl<G: Ops> Tally<G> {
    #[inline(always)]
    pub(crate) fn new(g: G) -> Self {
        Self { sums: [g.splat(0.0); 4], below: g.int(0) }
    }

    /// Takes in the vector `k` of each row, by its distance from the reference.
    #[inline(always)]
    pub(crate) fn take<S: Simd>(&mut self, _: S, g: G, k: usize, d: G::F) -> Term<G> {
        let term = Term::new(g, d);
        let sum = &mut self.sums[group::<S>(k)];
        *sum = term.add_to(g, *sum);
        self.below = g.int_add(self.below, term.below);
        term
    }

    /// The vectors of each row joined.
    #[inline(always)]
    pub(crate) fn joined<S: Simd>(&self, g: G) -> G::F {
        join_groups::<S, _>(
            self.sums,
            #[inline(always)]
            |a, b| g.add(a, b),
        )
    }
}

/// How many of `len` classes are equal to the reference, from minus the number of the lanes that are below.
#[inline(always)]
pub(crate) fn ties<S: Simd>(s: S, len: usize, below: S::F) -> S::F {
    // The lanes behind the end held −∞, which is below the reference.
    s.add(s.splat(small_count(len.next_multiple_of(S::N))), below)
}

/// Four vectors of a chunk.
#[inline(always)]
pub(crate) fn load_four<S: Simd>(s: S, chunk: &[f32]) -> [S::F; 4] {
    Four(s).gather(
        #[inline(always)]
        |k| s.load_part(chunk.get(k * S::N..).unwrap_or(&[]), 0.0),
    )
}

/// Stores four vectors to a chunk: with one condition for all, since behind one of its own the compiler computes each by itself.
#[inline(always)]
fn store_four<S: Simd>(s: S, x: [S::F; 4], chunk: &mut [f32]) {
    for (x, out) in x.into_iter().zip(chunk.chunks_mut(S::N)) {
        s.store_part(x, out);
    }
}

/// The largest element, in four independent chains; a NaN may be lost.
#[inline(always)]
pub(crate) fn max_of<S: Simd>(s: S, x: &[f32]) -> f32 {
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

/// [`others::read`] of a long row, in a function of its own: between all that is known of a group of rows there are no registers left
/// for its constants.
struct LongRow<'x, F> {
    x: &'x [f32],
    /// The first reference, if there is one.
    logit: Option<f32>,
    target: usize,
    cross: &'x Cross<'x>,
    form: PhantomData<F>,
}

impl<F: Form> Kernel for LongRow<'_, F> {
    type Output = [f32; 3];

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> [f32; 3] {
        let Self { x, logit, target, cross, .. } = *self;
        let row = &mut RowOthers::new::<F>(s, x, None, target, cross);
        let logit = logit.map(
            #[inline(always)]
            |logit| s.splat(logit),
        );
        let Read { reference, sum, spread } = others::read::<S, F>(s, x.len(), logit, row);
        [s.reduce_max(reference), s.reduce_max(sum), s.reduce_max(spread)]
    }
}
