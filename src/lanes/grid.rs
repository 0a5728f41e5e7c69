//! Several arrays of one shape, walked together in row-major order.

#[cfg(feature = "rayon")]
use std::vec::Vec;

use crate::{
    simd::{Kernel, LANES, Simd},
    view::{Layout, count},
};

/// The length of an axis, and each array's stride along it.
#[derive(Clone, Copy)]
pub(crate) struct Axis<const K: usize> {
    pub(crate) len: usize,
    pub(crate) steps: [isize; K],
}

/// `K` arrays of one shape. Axes are merged where memory allows, so that the last one, the *run*, is long.
#[derive(Clone, Copy)]
pub(crate) struct Grid<'a, const K: usize> {
    /// The axes before the run.
    outer: &'a [Axis<K>],
    pub(crate) run: &'a Axis<K>,
    /// Where each array starts.
    offsets: &'a [usize; K],
    /// By how much that has moved with [`Grid::advance`].
    #[cfg(feature = "rayon")]
    moved: [usize; K],
    /// The element of the whole that is element 0 here; not 0 in what [`Grid::split_at`] cuts off.
    #[cfg(feature = "rayon")]
    first: usize,
    /// The number of elements.
    pub(crate) len: usize,
}

/// Where one run lies: its first element's number, its length, and where it starts in each array.
#[derive(Clone, Copy)]
pub(crate) struct Run<const K: usize> {
    first: usize,
    len: usize,
    bases: [usize; K],
}

/// The axes of a [`Grid`] before they are merged; lives in the caller.
pub(crate) struct Axes<const D: usize, const K: usize> {
    pub(crate) all: [Axis<K>; D],
    offsets: [usize; K],
}

impl<const D: usize, const K: usize> Axes<D, K> {
    /// Nothing yet: what is made in place need not be copied to it.
    pub(crate) const NONE: Self = Self { all: [const { Axis { len: 0, steps: [0; K] } }; D], offsets: [0; K] };

    /// Takes in array 0, whose shape is that of all.
    #[inline]
    pub(crate) fn set_first(&mut self, layout: &Layout<D>) {
        self.set_lengths(layout.shape.into_iter());
        self.set(0, layout);
    }

    /// Takes in array 0 with the index 0 on one axis, which goes.
    #[inline]
    pub(crate) fn set_first_without(&mut self, axis: usize, layout: &Layout<D>) {
        self.set_lengths(without(axis, &layout.shape));
        self.set_without(axis, 0, layout);
    }

    /// The same for array `k`.
    #[inline]
    pub(crate) fn set_without(&mut self, axis: usize, k: usize, layout: &Layout<D>) {
        self.set_strides(k, layout.offset, without(axis, &layout.strides));
    }

    #[inline]
    fn set_lengths(&mut self, lengths: impl Iterator<Item = usize>) {
        for (axis, len) in self.all.iter_mut().zip(lengths) {
            axis.len = len;
        }
    }

    /// Takes in an array, which may have fewer axes.
    #[inline]
    pub(crate) fn set<const E: usize>(&mut self, k: usize, layout: &Layout<E>) {
        self.set_strides(k, layout.offset, layout.strides.into_iter());
    }

    /// Takes in an array that starts at `offset`.
    #[inline]
    fn set_strides(&mut self, k: usize, offset: usize, strides: impl Iterator<Item = isize>) {
        for (axis, stride) in self.all.iter_mut().zip(strides) {
            if let Some(step) = axis.steps.get_mut(k) {
                *step = stride;
            }
        }
        if let Some(start) = self.offsets.get_mut(k) {
            *start = offset;
        }
    }

    /// Merges what is contiguous in every array of the first `rank` axes, and drops axes of length 1. The order of the elements
    /// stays. `None` where the number of elements overflows, which takes an empty axis elsewhere.
    #[inline]
    pub(crate) fn merge(&mut self, rank: usize) -> Option<Grid<'_, K>> {
        let axes = self.all.get_mut(..rank)?;
        let len = count(axes.iter().map(|axis| axis.len))?;
        // The axes are merged in their own place, and the last one there is the run.
        let mut kept = 0;
        for i in 0..rank {
            let axis = *axes.get(i)?;
            if axis.len == 1 {
                continue;
            }
            let follows = |(&outer, &inner): (&isize, &isize)| outer == inner.wrapping_mul(axis.len.cast_signed());
            let mut merged = axis;
            if let Some(run) = axes.get(..kept)?.last()
                && run.steps.iter().zip(&axis.steps).all(follows)
            {
                merged.len = axis.len.wrapping_mul(run.len);
                kept -= 1;
            }
            *axes.get_mut(kept)? = merged;
            kept += 1;
        }
        if let Some(first) = axes.first_mut().filter(|_| kept == 0) {
            *first = Axis { len: 1, steps: [0; K] };
            kept = 1;
        }
        let (run, outer) = axes.get(..kept)?.split_last().unwrap_or((const { &Axis { len: 1, steps: [0; K] } }, &[]));
        Some(Grid {
            outer,
            run,
            offsets: &self.offsets,
            #[cfg(feature = "rayon")]
            moved: [0; K],
            #[cfg(feature = "rayon")]
            first: 0,
            len,
        })
    }
}

/// What there is for each axis, but for one.
#[inline]
fn without<T: Copy + Default, const D: usize>(axis: usize, all: &[T; D]) -> impl Iterator<Item = T> {
    (0..D.saturating_sub(1)).map(move |i| all.get(i + usize::from(i >= axis)).copied().unwrap_or_default())
}

impl<const K: usize> Grid<'_, K> {
    /// The run of element 0, for a first [`Grid::seek`].
    #[inline(always)]
    pub(crate) fn start(&self) -> Run<K> {
        if self.first() == 0 { Run { first: 0, len: self.run.len, bases: self.bases() } } else { self.find(0) }
    }

    /// Where each array starts.
    #[inline(always)]
    fn bases(&self) -> [usize; K] {
        #[cfg(feature = "rayon")]
        return self.moved_bases();
        #[cfg(not(feature = "rayon"))]
        *self.offsets
    }

    /// The element of the whole that is element 0 here: without threads there are no parts.
    #[inline(always)]
    pub(crate) const fn first(&self) -> usize {
        #[cfg(feature = "rayon")]
        return self.first;
        #[cfg(not(feature = "rayon"))]
        0
    }

    /// Where array `k` starts and its step, 1 or 0, if all its elements follow each other or are a single number.
    #[inline(always)]
    pub(crate) fn flat_place(&self, k: usize) -> Option<(usize, isize)> {
        let step = self.step(k);
        let mut reach = step.wrapping_mul(self.run.len.cast_signed());
        for axis in self.outer.iter().rev() {
            if axis.steps.get(k) != Some(&reach) {
                return None;
            }
            reach = reach.wrapping_mul(axis.len.cast_signed());
        }
        (step == 0 || step == 1).then(|| (self.offset(&self.start(), k, 0), step))
    }

    /// All elements of array `k`, whose memory is `data`, if they follow each other.
    pub(crate) fn flat_slice<'d>(&self, k: usize, data: &'d [f32]) -> Option<&'d [f32]> {
        let (offset, _) = self.flat_place(k).filter(|&(_, step)| step == 1)?;
        data.get(offset..offset.wrapping_add(self.len))
    }

    /// Whether all runs of array `k` are the same one, as those of a number for each class are.
    pub(crate) fn repeats(&self, k: usize) -> bool {
        self.outer.iter().all(|axis| axis.steps.get(k) == Some(&0))
    }

    /// Moves `run` to where element `i` is, and returns how many elements follow in it, with `i` itself.
    #[inline(always)]
    pub(crate) fn seek(&self, run: &mut Run<K>, i: usize) -> usize {
        let mut at = i.wrapping_sub(run.first);
        if at >= run.len {
            *run = self.find(i);
            at = i.wrapping_sub(run.first);
        }
        run.len.wrapping_sub(at)
    }

    /// The stride of array `k` in a run. An index out of range, which there is none of, must not panic.
    #[inline(always)]
    pub(crate) fn step(&self, k: usize) -> isize {
        self.run.steps.get(k).copied().unwrap_or(0)
    }

    /// Where array `k` has element `i`, which must be inside of `run`.
    #[inline(always)]
    pub(crate) fn offset(&self, run: &Run<K>, k: usize, i: usize) -> usize {
        let at = i.wrapping_sub(run.first).cast_signed();
        let base = run.bases.get(k).copied().unwrap_or(0);
        base.wrapping_add_signed(at.wrapping_mul(self.step(k)))
    }

    /// Where array `k` has element `i`.
    pub(crate) fn find_offset(&self, k: usize, i: usize) -> usize {
        self.offset(&self.find(i), k, i)
    }

    /// The run with element `i`. Views are checked, so that no index wraps on the way to an element.
    #[inline(never)]
    fn find(&self, i: usize) -> Run<K> {
        let len = self.run.len;
        let mut number = self.first().wrapping_add(i).checked_div(len).unwrap_or(0);
        let first = number.wrapping_mul(len).wrapping_sub(self.first());
        let mut run = Run { first, len, bases: self.bases() };
        for axis in self.outer.iter().rev() {
            let rest = number.checked_div(axis.len).unwrap_or(0);
            let index = number.wrapping_sub(rest.wrapping_mul(axis.len)).cast_signed();
            number = rest;
            for (base, step) in run.bases.iter_mut().zip(&axis.steps) {
                *base = base.wrapping_add_signed(index.wrapping_mul(*step));
            }
        }
        run
    }

    /// The elements `i .. i + count` of array `k`, whose memory is `data`, each moved by `shift`; `pad` in the lanes
    /// from `count` on. A single lane is there already: who begins with an item [seeks](Grid::seek) it, once for all arrays.
    #[expect(clippy::too_many_arguments, reason = "one place that knows every layout, for every array")]
    #[inline(always)]
    pub(crate) fn load<S: Simd>(
        &self,
        s: S,
        run: &mut Run<K>,
        k: usize,
        data: &[f32],
        i: usize,
        count: usize,
        shift: isize,
        pad: f32,
    ) -> S::F {
        let whole = S::SINGLE || self.seek(run, i) >= count;
        let offset = self.offset(run, k, i).wrapping_add_signed(shift);
        if S::SINGLE {
            return s.load_part(data.get(offset..).unwrap_or(&[]), pad);
        }
        if whole {
            match self.step(k) {
                1 => {
                    if let Some(x) = data.get(offset..offset.wrapping_add(count)) {
                        return s.load_part(x, pad);
                    }
                }
                0 if count == S::N => return s.splat(data.get(offset).copied().unwrap_or(pad)),
                step => {
                    if count == S::N
                        && let Some(x) = s.load_strided(data, offset, step)
                    {
                        return x;
                    }
                    let mut lanes = s.to_lanes(s.splat(pad));
                    gather(data, offset, step, lanes.as_mut().get_mut(..count).unwrap_or(&mut []));
                    return s.from_lanes(lanes);
                }
            }
        }
        let mut lanes = s.to_lanes(s.splat(pad));
        let out = lanes.as_mut().get_mut(..count).unwrap_or(&mut []);
        s.vectorize_apart(&mut Gather { grid: self, run, k, data, i, shift, out });
        s.from_lanes(lanes)
    }

    /// Calls `each` for all runs that the elements `i .. i + count` are in: with the number of the first of its elements, counted from
    /// `i`, how many they are, and where array `k` has them.
    #[inline(always)]
    fn each_run(&self, run: &mut Run<K>, k: usize, i: usize, count: usize, mut each: impl FnMut(usize, usize, usize)) {
        let mut done = 0;
        while done < count {
            let first = i.wrapping_add(done);
            let mut len = self.seek(run, first).min(count - done);
            let mut offset = self.offset(run, k, first);
            // Along the last axis before the run, one run is a step from the next: no division.
            let (step, mut left) = if len < count - done { self.next_runs(run, k) } else { (0, 0) };
            let mut base = run.bases.get(k).copied().unwrap_or(0);
            loop {
                each(done, len, offset);
                done += len;
                if done >= count || left == 0 {
                    break;
                }
                left -= 1;
                base = base.wrapping_add_signed(step);
                (offset, len) = (base, run.len.min(count - done));
            }
        }
    }

    /// How far the next run of array `k` is in memory, and how many follow at this distance.
    #[inline(always)]
    fn next_runs(&self, run: &Run<K>, k: usize) -> (isize, usize) {
        let Some(axis) = self.outer.last() else {
            return (0, 0);
        };
        let number = run.first.wrapping_add(self.first()).checked_div(run.len).unwrap_or(0);
        let index = number.checked_rem(axis.len).unwrap_or(0);
        (axis.steps.get(k).copied().unwrap_or(0), axis.len.saturating_sub(index.saturating_add(1)))
    }

    /// The first element of array `k`, whose memory is `data`, for which `test` holds: its number and its value.
    pub(crate) fn find_element(&self, k: usize, data: &[f32], test: impl Fn(f32) -> bool) -> Option<(usize, f32)> {
        let mut run = self.start();
        (0..self.len).find_map(|i| {
            self.seek(&mut run, i);
            data.get(self.offset(&run, k, i)).filter(|&&x| test(x)).map(|&x| (i, x))
        })
    }

    /// Writes the first `count` lanes to the elements `i .. i + count` of array `k`, whose memory is `data`; as for [`Grid::load`],
    /// a single lane is there already.
    #[expect(clippy::too_many_arguments, reason = "as for `load`")]
    #[inline(always)]
    pub(crate) fn store<S: Simd>(
        &self,
        s: S,
        run: &mut Run<K>,
        k: usize,
        data: &mut [f32],
        i: usize,
        count: usize,
        shift: isize,
        x: S::F,
    ) {
        let whole = S::SINGLE || self.seek(run, i) >= count;
        let offset = self.offset(run, k, i).wrapping_add_signed(shift);
        if S::SINGLE {
            return s.store_part(x, data.get_mut(offset..).unwrap_or(&mut []));
        }
        if whole
            && self.step(k) == 1
            && let Some(out) = data.get_mut(offset..offset.wrapping_add(count))
        {
            return s.store_part(x, out);
        }
        let lanes = s.to_lanes(x);
        if whole {
            return scatter(data, offset, self.step(k), lanes.as_ref().get(..count).unwrap_or(&[]));
        }
        let x = lanes.as_ref().get(..count).unwrap_or(&[]);
        s.vectorize_apart(&mut Scatter { grid: self, run, k, data, i, shift, x });
    }
}

/// What it takes to share the elements out among threads: see [`super::parallel`].
#[cfg(feature = "rayon")]
impl<'g, const K: usize> Grid<'g, K> {
    /// The elements before `middle`, and the others.
    pub(crate) fn split_at(self, middle: usize) -> (Self, Self) {
        let rest = self.len.saturating_sub(middle);
        (
            Self { len: self.len.wrapping_sub(rest), ..self },
            Self { first: self.first.wrapping_add(middle), len: rest, ..self },
        )
    }

    /// The array `k` begins `by` elements further on in its memory now.
    pub(crate) fn advance(&mut self, k: usize, by: usize) {
        if let Some(moved) = self.moved.get_mut(k) {
            *moved = moved.wrapping_add(by);
        }
    }

    /// [`Grid::bases`] of a part.
    #[inline(always)]
    fn moved_bases(&self) -> [usize; K] {
        let mut bases = *self.offsets;
        for (base, &moved) in bases.iter_mut().zip(&self.moved) {
            // A wrap here is undone on the way to every element of this part.
            *base = base.wrapping_sub(moved);
        }
        bases
    }

    /// Whether the elements of array `k` follow each other in memory, each before the next one, and so does all that is at
    /// most `reach` behind it: each stride exceeds the reach of the shorter ones.
    pub(crate) fn is_ascending(&self, k: usize, reach: usize) -> bool {
        let axes = self.outer.iter().chain([self.run]).map(|axis| (axis.len, axis.steps.get(k).copied().unwrap_or(0)));
        let mut reach = reach;
        axes.rev().filter(|&(extent, _)| extent > 1).all(|(extent, stride)| {
            let ascends = usize::try_from(stride).is_ok_and(|stride| stride > reach);
            reach = reach.saturating_add((extent - 1).saturating_mul(stride.unsigned_abs()));
            ascends
        })
    }

    /// Where in array `k` the runs of all elements start, each with the number of its first element, and their length. `None`
    /// unless a run is contiguous.
    pub(crate) fn runs(&self, k: usize) -> Option<(impl Iterator<Item = (usize, usize)>, usize)> {
        let start = move |i| {
            let run = self.find(i);
            (i, self.offset(&run, k, i))
        };
        let len = self.run.len;
        (self.step(k) == 1 && len > 0).then_some(((0..self.len).step_by(len.max(1)).map(start), len))
    }

    /// A copy of the axes, for [`Grid::pack`].
    pub(crate) fn axes(&self) -> (Vec<Axis<K>>, Axis<K>) {
        (self.outer.to_vec(), *self.run)
    }

    /// The `arrays` have element 0 at the start of their memory now, and all others right behind it. The axes are those of
    /// [`Grid::axes`].
    pub(crate) fn pack<'p>(
        self,
        arrays: impl Iterator<Item = usize> + Clone,
        (outer, run): &'p mut (Vec<Axis<K>>, Axis<K>),
    ) -> Grid<'p, K>
    where
        'g: 'p,
    {
        let Self { offsets, mut moved, first, len, .. } = self;
        let set = |axis: &mut Axis<K>, stride: usize| {
            for k in arrays.clone() {
                if let Some(step) = axis.steps.get_mut(k) {
                    *step = stride.cast_signed();
                }
            }
            stride.wrapping_mul(axis.len)
        };
        let stride = set(run, 1);
        outer.iter_mut().rev().fold(stride, |stride, axis| set(axis, stride));
        for k in arrays {
            if let (Some(moved), Some(offset)) = (moved.get_mut(k), offsets.get(k)) {
                *moved = offset.wrapping_add(first);
            }
        }
        Grid { outer, run, offsets, moved, first, len }
    }
}

/// Copies the elements from `i` on of array `k`, whose memory is `data`, each moved by `shift`, to `out`: one run after the other,
/// which is the way through any layout.
pub(crate) struct Gather<'c, 'g, const K: usize> {
    pub(crate) grid: &'c Grid<'g, K>,
    pub(crate) run: &'c mut Run<K>,
    pub(crate) k: usize,
    pub(crate) data: &'c [f32],
    pub(crate) i: usize,
    pub(crate) shift: isize,
    pub(crate) out: &'c mut [f32],
}

impl<const K: usize> Kernel for Gather<'_, '_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        let Self { grid, run, k, data, i, shift, out } = self;
        let (k, step, count) = (*k, grid.step(*k), out.len());
        let from = |offset: usize| data.get(offset.wrapping_add_signed(*shift)..).unwrap_or(&[]);
        // Each with a loop of its own, since a run may have but a few elements.
        match step {
            0 => grid.each_run(
                run,
                k,
                *i,
                count,
                #[inline(always)]
                |at, len, offset| {
                    let x = s.splat(from(offset).first().copied().unwrap_or(0.0));
                    for out in place::<S>(out, at, len).chunks_mut(S::N) {
                        s.store_part(x, out);
                    }
                },
            ),
            1 => grid.each_run(
                run,
                k,
                *i,
                count,
                #[inline(always)]
                |at, len, offset| {
                    let x = from(offset);
                    let out = place::<S>(out, at, len);
                    match x.get(..out.len()) {
                        Some(x) => copy(s, x, out),
                        None => copy(s, x.get(..len).unwrap_or(&[]), out.get_mut(..len).unwrap_or(&mut [])),
                    }
                },
            ),
            _ => grid.each_run(
                run,
                k,
                *i,
                count,
                #[inline(always)]
                |at, len, offset| {
                    let out = out.get_mut(at..at + len).unwrap_or(&mut []);
                    gather(data, offset.wrapping_add_signed(*shift), step, out);
                },
            ),
        }
    }
}

/// The reverse of [`Gather`]: copies `x` to the elements.
pub(crate) struct Scatter<'c, 'g, const K: usize> {
    pub(crate) grid: &'c Grid<'g, K>,
    pub(crate) run: &'c mut Run<K>,
    pub(crate) k: usize,
    pub(crate) data: &'c mut [f32],
    pub(crate) i: usize,
    pub(crate) shift: isize,
    pub(crate) x: &'c [f32],
}

impl<const K: usize> Kernel for Scatter<'_, '_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        let Self { grid, run, k, data, i, shift, x } = self;
        let step = grid.step(*k);
        grid.each_run(
            run,
            *k,
            *i,
            x.len(),
            #[inline(always)]
            |at, len, offset| {
                let offset = offset.wrapping_add_signed(*shift);
                let x = x.get(at..at + len).unwrap_or(&[]);
                match data.get_mut(offset..offset.wrapping_add(len)).filter(|_| step == 1) {
                    Some(out) => copy(s, x, out),
                    None => scatter(data, offset, step, x),
                }
            },
        );
    }
}

/// The place of a run of `len` elements, in whole vectors where there is room: the next run takes what is too much.
#[inline(always)]
fn place<S: Simd>(out: &mut [f32], at: usize, len: usize) -> &mut [f32] {
    let end = out.len().min(at + len.next_multiple_of(S::N));
    out.get_mut(at..end).unwrap_or(&mut [])
}

/// Copies as many elements.
#[inline(always)]
fn copy<S: Simd>(s: S, x: &[f32], out: &mut [f32]) {
    let vectors = x.chunks_exact(S::N);
    let rest = vectors.remainder();
    let mut places = out.chunks_exact_mut(S::N);
    for (x, out) in vectors.zip(&mut places) {
        s.store_part(s.load_part(x, 0.0), out);
    }
    s.store_part(s.load_part(rest, 0.0), places.into_remainder());
}

/// Elements from `offset` on that are `step` apart.
#[inline(never)]
pub(crate) fn gather(data: &[f32], offset: usize, step: isize, out: &mut [f32]) {
    let mut at = offset;
    for out in out {
        if let Some(&x) = data.get(at) {
            *out = x;
        }
        at = at.wrapping_add_signed(step);
    }
}

/// The reverse of [`gather`].
#[inline(never)]
fn scatter(data: &mut [f32], offset: usize, step: isize, x: &[f32]) {
    let mut at = offset;
    for &x in x {
        if let Some(out) = data.get_mut(at) {
            *out = x;
        }
        at = at.wrapping_add_signed(step);
    }
}

/// The numbers of the lanes, as floats.
pub(crate) const LANE_NUMBERS: [f32; LANES] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

/// `x` in the first `count` lanes, `rest` in the others.
#[inline(always)]
pub(crate) fn first_lanes<S: Simd>(s: S, x: S::F, count: usize, rest: S::F) -> S::F {
    if count >= S::N {
        return x;
    }
    let limit = LANE_NUMBERS.get(count).copied().unwrap_or(0.0);
    s.select(s.lt(s.load_part(&LANE_NUMBERS, 0.0), s.splat(limit)), x, rest)
}
