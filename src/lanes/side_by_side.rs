//! Short rows of contiguous classes, each a single tile, four side by side: of so few classes most of the time of one would be spent
//! waiting for the joins of its lanes, which are done for all `N` rows at once.

use super::{
    cross::{NoTerms, Same, TARGET, TermSums, Terms},
    gradient::as_floats,
    grid::{LANE_NUMBERS, Run},
    layout::Rows,
    map::{Memory, RowMap},
    math,
    others::{self, Read, Sum, scale_but},
    partition::{BLOCK, Form, Partition, State, always, finite, small_count},
    rows::{Tally, group, join_bits, keeps, ties},
    sum::join_groups,
};
use crate::simd::{Four, Group, LANES, Ops, Simd};

/// The partitions of the rows `i .. i + N`; none if a row has to be taken by itself, since its target's logit is not a reference
/// for it.
#[inline(always)]
pub(crate) fn partition<S: Simd, M: RowMap, F: Form, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    memory: &mut Memory<'_>,
    run: &mut Run<K>,
    i: usize,
    labels: &[usize],
) -> Option<Partition<S::F>> {
    let keep = keeps::<M, K>(rows, memory);
    let Memory { input, data, array, .. } = memory;
    let (x, kept): (&[f32], &mut [f32]) = match input {
        Some(x) if keep => (x, data),
        Some(x) => (x, &mut []),
        None => (data, &mut []),
    };
    let places = Places::find::<S, F, K>(rows, x, if keep { Some(*array) } else { None }, run, i);
    let logit = if F::TARGET { rows.pick(s, x, run, i, labels) } else { s.splat(0.0) };
    let target = rows.reference::<F, _>(logit);
    let reference = target.unwrap_or_else(
        #[inline(always)]
        || max_of_each(s, &places),
    );
    let relative = if F::TARGET { reference } else { finite(s, reference) };
    let sums = sum_each_row::<S, F, K>(s, rows, &places, relative, labels, keep, kept);
    if F::ONCE {
        let read = Read { reference, sum: sums.exponentials, spread: sums.cross };
        return match target {
            Some(logit) if s.all(sums.of_target(s, logit)) => Some(others::of_target::<S, F, K>(s, rows, read)),
            Some(_) => None,
            None => Some(others::finish::<S, F, K>(
                s,
                rows,
                read,
                #[inline(always)]
                || logit,
            )),
        };
    }
    let mut state = State::new(s);
    state.enter::<S, 0>(s, 0, reference);
    state.leave(s, sums.exponentials, ties(s, rows.classes, sums.below));
    if F::CROSS {
        state.take_terms(s, 0, [sums.cross, sums.mass]);
    }
    Some(state.finish(s))
}

/// The logits of each row, and where its part of an output and its targets start.
struct Places<'x> {
    logits: [&'x [f32]; LANES],
    kept: [usize; LANES],
    targets: [usize; LANES],
}

impl<'x> Places<'x> {
    /// Of the rows `i .. i + N`, whose exponentials go to the array `kept`, if anywhere.
    #[inline(always)]
    fn find<S: Simd, F: Form, const K: usize>(
        rows: &Rows<'_, K>,
        x: &'x [f32],
        kept: Option<usize>,
        run: &mut Run<K>,
        i: usize,
    ) -> Self {
        let mut places = Self { logits: [&[]; LANES], kept: [0; LANES], targets: [0; LANES] };
        let Self { logits, kept: kept_at, targets } = &mut places;
        for (l, ((row, kept_at), target)) in logits.iter_mut().zip(kept_at).zip(targets).enumerate().take(S::N) {
            let i = i.wrapping_add(l);
            rows.grid.seek(run, i);
            let offset = rows.grid.offset(run, 0, i);
            *row = x.get(offset..offset.wrapping_add(rows.classes)).unwrap_or(&[]);
            if let Some(kept) = kept {
                *kept_at = rows.grid.offset(run, kept, i);
            }
            if F::CROSS && rows.cross.target.is_some() {
                *target = rows.grid.offset(run, TARGET, i);
            }
        }
        places
    }

    /// Where the exponentials of four rows from the vector's row `first` on go.
    #[inline(always)]
    fn kept_rows<'k>(&self, first: usize, classes: usize, kept: &'k mut [f32]) -> [&'k mut [f32]; 4] {
        let row = |l: usize| {
            let row = self.kept.get(first + l).copied().unwrap_or(0);
            row..row.wrapping_add(classes)
        };
        kept.get_disjoint_mut([row(0), row(1), row(2), row(3)]).unwrap_or_default()
    }

    /// Four rows after the other.
    #[inline(always)]
    fn fours(&self) -> &[[&'x [f32]; 4]] {
        self.logits.as_chunks().0
    }
}

/// The largest logit of each row, in its lane; a NaN may be lost.
#[inline(always)]
fn max_of_each<S: Simd>(s: S, places: &Places<'_>) -> S::F {
    let mut max = s.vectors(s.splat(0.0));
    for (rows, max) in places.fours().iter().zip(max.as_mut().chunks_mut(4)) {
        max.copy_from_slice(&max_of_four(s, rows));
    }
    s.reduce_each(
        &max,
        #[inline(always)]
        |a, b| s.max(a, b),
    )
}

/// What is summed over the classes of each row, in its lane.
struct Sums<O: Ops> {
    /// The exponentials relative to the reference, without the target's, or without the leaders'.
    exponentials: O::F,
    /// Of all of them: see [`math::in_range`].
    joined: O::I,
    /// How many classes are below the maximum, negative.
    below: O::F,
    /// The weighted sums of [`Terms`].
    cross: O::F,
    mass: O::F,
}

impl<S: Simd> Sums<S> {
    /// Where the sums are those of the targets' others, relative to the targets' logits.
    #[inline(always)]
    fn of_target(&self, s: S, logit: S::F) -> S::M {
        Sum { sum: self.exponentials, joined: join_bits(s, self.joined) }.fits(s, logit)
    }
}

/// The sums of all rows, relative to a reference of each. To `keep` the exponentials, they go to `kept`.
#[inline(always)]
fn sum_each_row<S: Simd, F: Form, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    places: &Places<'_>,
    reference: S::F,
    labels: &[usize],
    keep: bool,
    kept: &mut [f32],
) -> Sums<S> {
    let classes = rows.classes;
    let (reference, label) = (s.to_lanes(reference), s.to_lanes(as_floats(s, s, labels, 0)));
    let [mut sums, mut below, mut cross, mut mass] = [s.vectors(s.splat(0.0)); 4];
    let mut joined = s.int(0);
    for (q, four) in places.fours().iter().enumerate().take(S::N.div_ceil(4)) {
        let reference = splat_four(s, &reference, 4 * q);
        let mut kept = if keep { places.kept_rows(4 * q, classes, kept) } else { Default::default() };
        let keep = always(
            #[inline(always)]
            |at: usize, e: [S::F; 4]| {
                if keep {
                    for (kept, e) in kept.iter_mut().zip(e) {
                        s.store_part(e, kept.get_mut(at..).unwrap_or(&mut []));
                    }
                }
            },
        );
        if F::ONCE {
            let label = if F::TARGET { Some(splat_four(s, &label, 4 * q)) } else { None };
            let exponentials = if F::WEIGHTS {
                let terms = rows.cross.in_rows(s, [0; 4]);
                let (sum, [spread]) = others_of_four(s, four, label, reference, &mut joined, keep, terms);
                set_four(&mut cross, q, spread);
                sum
            } else if F::CROSS {
                let same = Same(rows.cross.floor);
                let (sum, [spread]) = others_of_four(s, four, label, reference, &mut joined, keep, same);
                set_four(&mut cross, q, spread);
                sum
            } else {
                others_of_four::<S, 0>(s, four, label, reference, &mut joined, keep, NoTerms).0
            };
            set_four(&mut sums, q, exponentials);
            continue;
        }
        let tally = if F::CROSS {
            let targets = places.targets.as_chunks().0.get(q).copied().unwrap_or_default();
            let (tally, [terms, coefficients]) =
                tally_of_four(s, four, reference, keep, rows.cross.in_rows(s, targets));
            set_four(&mut cross, q, terms);
            set_four(&mut mass, q, coefficients);
            tally
        } else {
            tally_of_four::<S, 0>(s, four, reference, keep, NoTerms).0
        };
        set_four(&mut sums, q, tally.joined::<S>(Four(s)));
        set_four(&mut below, q, Four(s).to_float(tally.below));
    }
    Sums {
        exponentials: sum_each(s, &sums),
        joined,
        below: sum_each(s, &below),
        cross: sum_each(s, &cross),
        mass: sum_each(s, &mass),
    }
}

/// Sets four of the vectors, the group `q` of them.
#[inline(always)]
fn set_four<F: Copy>(vectors: &mut impl AsMut<[F]>, q: usize, four: [F; 4]) {
    for (vector, x) in vectors.as_mut().iter_mut().skip(4 * q).zip(four) {
        *vector = x;
    }
}

/// The sum of each vector's lanes.
#[inline(always)]
fn sum_each<S: Simd>(s: S, vectors: &S::Vectors) -> S::F {
    s.reduce_each(
        vectors,
        #[inline(always)]
        |a, b| s.add(a, b),
    )
}

/// The lanes from `first` on, each in all lanes of a vector.
#[inline(always)]
fn splat_four<S: Simd>(s: S, lanes: &S::Lanes, first: usize) -> [S::F; 4] {
    Four(s).gather(
        #[inline(always)]
        |k| s.splat(lanes.as_ref().get(first + k).copied().unwrap_or(0.0)),
    )
}

/// The vectors of each row joined by their maximum; a NaN may be lost.
#[inline(always)]
fn max_of_four<S: Simd>(s: S, rows: &[&[f32]; 4]) -> [S::F; 4] {
    let four = Four(s);
    let mut max = four.splat(f32::NEG_INFINITY);
    each_vector(
        s,
        rows,
        0,
        #[inline(always)]
        |_, _, x| max = four.max(max, x),
    );
    max
}

/// The sums of four rows without the classes `label`, relative to a reference of each, and those of the terms. `keep` gets the
/// exponentials from a class on.
#[inline(always)]
fn others_of_four<S: Simd, const T: usize>(
    s: S,
    rows: &[&[f32]; 4],
    label: Option<[S::F; 4]>,
    reference: [S::F; 4],
    joined: &mut S::I,
    mut keep: impl FnMut(usize, [S::F; 4]),
    mut terms: impl Terms<Four<S>>,
) -> ([S::F; 4], [[S::F; 4]; T]) {
    let four = Four(s);
    let mut sums = [four.splat(0.0); 4];
    let mut weighted = TermSums::<Four<S>, T>::new(four);
    let mut class = s.load_part(&LANE_NUMBERS, 0.0);
    each_vector(
        s,
        rows,
        S::N,
        #[inline(always)]
        |at, used, x| {
            let d = four.sub(x, reference);
            add_terms(s, four, &mut weighted, at, terms.term(four, at, d), used);
            let (p, t) = math::exp_term(four, d);
            if label.is_some() {
                for t in t {
                    *joined = s.int_or(*joined, s.bits(t));
                }
            }
            let target = match label {
                Some(label) => Some(four.eq(label, [class; 4])),
                None => None,
            };
            class = s.add(class, s.splat(small_count(S::N)));
            let scale = math::scale(four, t);
            keep(at, four.mul(p, scale));
            let scale = scale_but(four, target, scale);
            let sum = &mut sums[group::<S>(at / S::N)];
            *sum = four.mul_add(p, scale, *sum);
        },
    );
    let sum = join_groups::<S, _>(
        sums,
        #[inline(always)]
        |a, b| four.add(a, b),
    );
    (sum, weighted.joined::<S>(four))
}

/// The sums of four rows without their leaders, and those of the terms. `keep` gets the exponentials from a class on.
#[inline(always)]
fn tally_of_four<S: Simd, const T: usize>(
    s: S,
    rows: &[&[f32]; 4],
    reference: [S::F; 4],
    mut keep: impl FnMut(usize, [S::F; 4]),
    mut terms: impl Terms<Four<S>>,
) -> (Tally<Four<S>>, [[S::F; 4]; T]) {
    let four = Four(s);
    let (mut tally, mut weighted) = (Tally::new(four), TermSums::<Four<S>, T>::new(four));
    each_vector(
        s,
        rows,
        S::N,
        #[inline(always)]
        |at, used, x| {
            let d = four.sub(x, reference);
            // Before the exponentials, which need the registers.
            add_terms(s, four, &mut weighted, at, terms.term(four, at, d), used);
            keep(at, tally.take(s, four, at / S::N, d).whole);
        },
    );
    (tally, weighted.joined::<S>(four))
}

/// Adds the terms of the vectors from class `at` on, of which so many lanes are used.
#[inline(always)]
fn add_terms<S: Simd, const T: usize>(
    s: S,
    four: Four<S>,
    sums: &mut TermSums<Four<S>, T>,
    at: usize,
    term: ([S::F; 4], [S::F; 4]),
    used: usize,
) {
    if T > 0 && at > 0 && at.is_multiple_of(BLOCK) {
        sums.end_block::<S>(four);
    }
    sums.add_part(s, four, at / S::N, term, used);
}

/// Hands out the vectors of four rows of the same length side by side, with the number of their first class and how many they
/// have; behind the end −∞.
/// The same places of the rows that come `ahead` after are on their way meanwhile.
#[inline(always)]
fn each_vector<S: Simd>(s: S, rows: &[&[f32]; 4], ahead: usize, mut take: impl FnMut(usize, usize, [S::F; 4])) {
    let [a, b, c, d] = *rows;
    let [a, b, c, d] = [a.chunks_exact(S::N), b.chunks_exact(S::N), c.chunks_exact(S::N), d.chunks_exact(S::N)];
    let rest = [a.remainder(), b.remainder(), c.remainder(), d.remainder()];
    let mut at = 0;
    for (((a, b), c), d) in a.zip(b).zip(c).zip(d) {
        for row in [a, b, c, d] {
            if ahead > 0 {
                s.prefetch(row, ahead * rows[0].len());
            }
        }
        take(at, S::N, load_each(s, [a, b, c, d]));
        at += S::N;
    }
    if !rest[0].is_empty() {
        take(at, rest[0].len(), load_each(s, rest));
    }
}

/// The first vector of each row.
#[inline(always)]
fn load_each<S: Simd>(s: S, rows: [&[f32]; 4]) -> [S::F; 4] {
    Four(s).gather(
        #[inline(always)]
        |k| s.load_part(rows[k % 4], f32::NEG_INFINITY),
    )
}
