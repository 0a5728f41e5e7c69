//! Sums in sixteen virtual lanes: see [`crate::simd`].

use super::grid::first_lanes;
use crate::{
    simd::{LANES, Ops, Simd},
    total::{Compensated, Total},
};

/// The numbers of four bits, each with its bits in reverse.
const REVERSED: [u8; LANES] = [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];

/// Combines one value for each of the first `count` virtual lanes in the fixed tree of [`crate::simd`]: `j` with
/// `j + 8`, then `+ 4`, `+ 2`, `+ 1`. Lanes from `count` on are taken as neutral.
///
/// The lanes come in bit-reversed order, in which each value can be combined as soon as its partner is there: at
/// most five values are alive, however many lanes there are. `join` adds the first value to the second. `count` must not exceed 16.
#[inline(always)]
pub(crate) fn tree<T: Copy>(
    count: usize,
    neutral: T,
    mut lane: impl FnMut(usize) -> T,
    mut join: impl FnMut(&T, &mut T),
) -> T {
    let levels = usize::BITS - count.saturating_sub(1).leading_zeros();
    // `pending[l]` waits for its partner at level `l`, as the digits of a binary counter do.
    let mut pending = [neutral; 4];
    let mut value = neutral;
    for i in 0..1_usize << levels {
        let j = usize::from(REVERSED[i % LANES]) >> (4 - levels);
        value = if j < count { lane(j) } else { neutral };
        let mut carry = i;
        for waiting in &mut pending {
            if carry & 1 == 0 {
                *waiting = value;
                break;
            }
            join(waiting, &mut value);
            carry >>= 1;
        }
    }
    value
}

/// Folds items of sixteen lanes each, in the fixed tree: `step` takes one group of an item into the group's own value,
/// and `last` what is left after all items. One lane at a time goes through all items first, so that few values are alive; wider vectors go through the items
/// once.
#[inline(always)]
pub(crate) fn in_lanes<S: Simd, T: Copy, B: Copy>(
    _: S,
    items: impl Iterator<Item = B> + Clone,
    neutral: T,
    mut step: impl FnMut(&mut T, B, usize),
    mut last: impl FnMut(&mut T, usize),
    mut join: impl FnMut(T, T) -> T,
) -> T {
    if S::SINGLE {
        return tree(
            LANES,
            neutral,
            #[inline(always)]
            |lane| {
                let mut value = neutral;
                for item in items.clone() {
                    step(&mut value, item, lane);
                }
                last(&mut value, lane);
                value
            },
            #[inline(always)]
            |a, b| *b = join(*a, *b),
        );
    }
    let mut values = [neutral; 4];
    for item in items {
        for (group, value) in values.iter_mut().take(LANES / S::N).enumerate() {
            step(value, item, group);
        }
    }
    for (group, value) in values.iter_mut().take(LANES / S::N).enumerate() {
        last(value, group);
    }
    join_groups::<S, T>(values, join)
}

/// Joins the vectors that make up the sixteen lanes.
#[inline(always)]
pub(crate) fn join_groups<S: Simd, T>([a, b, c, d]: [T; 4], mut join: impl FnMut(T, T) -> T) -> T {
    match LANES / S::N {
        1 => a,
        2 => join(a, b),
        _ => {
            let (low, high) = (join(a, c), join(b, d));
            join(low, high)
        }
    }
}

/// A vector of compensated sums: each lane is a [`Compensated`].
#[derive(Clone, Copy)]
pub(crate) struct LaneSums<F> {
    sum: F,
    lost: F,
}

impl<F: Copy> LaneSums<F> {
    #[inline(always)]
    pub(crate) fn new<O: Ops<F = F>>(o: O) -> Self {
        Self { sum: o.splat(0.0), lost: o.splat(0.0) }
    }

    /// Of one term.
    #[inline(always)]
    pub(crate) fn of<O: Ops<F = F>>(o: O, x: F) -> Self {
        Self { sum: x, lost: o.splat(0.0) }
    }

    /// Adds one term to each lane: two-sum, as [`Compensated::merge`].
    #[inline(always)]
    pub(crate) fn add<O: Ops<F = F>>(&mut self, o: O, x: F) {
        let (sum, lost) = o.two_sum(self.sum, x);
        self.sum = sum;
        self.lost = o.add(self.lost, lost);
    }

    /// The rounded sums. What an infinite one lost is NaN, and means nothing.
    #[inline(always)]
    pub(crate) fn value<O: Ops<F = F>>(self, o: O) -> F {
        o.add(self.sum, o.select(o.eq(self.lost, self.lost), self.lost, o.splat(0.0)))
    }

    /// `mask ? self : other`
    #[inline(always)]
    pub(crate) fn select<O: Ops<F = F>>(self, o: O, mask: O::M, other: Self) -> Self {
        Self { sum: o.select(mask, self.sum, other.sum), lost: o.select(mask, self.lost, other.lost) }
    }

    /// Lane by lane, the sums of both; the later one first, as in [`by_lanes`]: where a step overflows, the order shows.
    #[inline(always)]
    pub(crate) fn merge<S: Simd<F = F>>(self, s: S, other: Self) -> Self {
        let (sum, lost) = s.two_sum(other.sum, self.sum);
        Self { sum, lost: s.add(s.add(self.lost, other.lost), lost) }
    }

    /// All lanes together, in the tree. Only the first `used` have anything but 0.
    #[inline(always)]
    pub(crate) fn total<S: Simd<F = F>>(self, s: S, used: usize) -> Compensated {
        let mut all = self;
        let mut width = used.min(S::N).next_power_of_two();
        while width > 1 {
            width /= 2;
            all = all.merge(s, Self { sum: s.upper(all.sum, width), lost: s.upper(all.lost, width) });
        }
        let first = |x| s.to_lanes(x).as_ref().first().copied().unwrap_or_default();
        Compensated { sum: first(all.sum), lost: first(all.lost) }
    }
}

/// What [`total`] sums.
pub(crate) trait Items<S: Simd> {
    /// The losses and weights of the items `i .. i + count`, at most `N`; the other lanes are not used.
    fn one(&mut self, s: S, i: usize, count: usize) -> (S::F, S::F);
    /// The same for the `4 N` items from `i` on.
    fn four(&mut self, s: S, i: usize) -> ([S::F; 4], [S::F; 4]);
}

/// The sum of losses and of their weights over `len` items, compensated: in tiles of `tile` items, in each of which
/// item `j` goes to virtual lane `j mod 16`. The tiles are merged in order, so that any split between tiles gives the
/// same bits. Where all weights are 0 or 1 (`unit`), their sum in a tile is exact as it is.
#[inline(always)]
pub(crate) fn total<S: Simd>(s: S, len: usize, tile: usize, unit: bool, items: &mut impl Items<S>) -> Total {
    if !S::SINGLE && len == 1 {
        // With nothing to compensate, and not so long a way from the loss to its mean.
        let (loss, weight) = items.one(s, 0, 1);
        let only = |x| LaneSums::of(s, s.add(s.splat(0.0), x)).total(s, 1);
        return Total { loss: only(loss), weight: only(weight) };
    }
    let mut total = Total::default();
    let mut start = 0;
    while start < len {
        let count = tile.min(len - start);
        total.add(&if S::SINGLE {
            by_lanes(s, start, count, unit, items)
        } else {
            let (loss, weight) = by_vectors(s, start, count, unit, items);
            Total { loss: loss.total(s, count), weight: weight.total(s, count) }
        });
        start += count;
    }
    total
}

/// One tile of [`total`], a lane after the other, so that few values are alive.
#[inline(always)]
fn by_lanes<S: Simd>(s: S, start: usize, count: usize, unit: bool, items: &mut impl Items<S>) -> Total {
    tree(
        count.min(LANES),
        Total::default(),
        #[inline(always)]
        |lane| {
            let mut sums = (LaneSums::new(s), LaneSums::new(s));
            let mut i = lane;
            while i < count {
                let (loss, weight) = items.one(s, start.wrapping_add(i), 1);
                add_pair(s, &mut sums, unit, loss, weight);
                i += LANES;
            }
            Total { loss: sums.0.total(s, 1), weight: sums.1.total(s, 1) }
        },
        #[inline(always)]
        |a, b| b.add(a),
    )
}

/// Losses and weights of a vector of lanes.
type Pair<F> = (LaneSums<F>, LaneSums<F>);

/// One tile of [`total`], a vector after the other.
#[inline(always)]
fn by_vectors<S: Simd>(s: S, start: usize, count: usize, unit: bool, items: &mut impl Items<S>) -> Pair<S::F> {
    let groups = LANES / S::N;
    let mut sums = [(LaneSums::new(s), LaneSums::new(s)); 4];
    let mut done = 0;
    while done + 4 * S::N <= count {
        let (loss, weight) = items.four(s, start.wrapping_add(done));
        for k in 0..4 {
            add_pair(s, &mut sums[k % groups % 4], unit, loss[k], weight[k]);
        }
        done += 4 * S::N;
    }
    let mut group = 0;
    while done < count {
        let used = S::N.min(count - done);
        let (loss, weight) = items.one(s, start.wrapping_add(done), used);
        let (loss, weight) = (first_lanes(s, loss, used, s.splat(0.0)), first_lanes(s, weight, used, s.splat(0.0)));
        add_pair(s, &mut sums[group % groups % 4], unit, loss, weight);
        group += 1;
        done += S::N;
    }
    join_groups::<S, _>(
        sums,
        #[inline(always)]
        |(a, b), (c, d)| (a.merge(s, c), b.merge(s, d)),
    )
}

#[inline(always)]
fn add_pair<S: Simd>(s: S, (losses, weights): &mut Pair<S::F>, unit: bool, loss: S::F, weight: S::F) {
    losses.add(s, loss);
    if unit {
        weights.sum = s.add(weights.sum, weight);
    } else {
        weights.add(s, weight);
    }
}
