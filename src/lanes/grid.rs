//! Several arrays of one shape, walked together in row-major order.

#[cfg(feature = "rayon")]
use std::vec::Vec;

use crate::{
    simd::{LANES, Simd},
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

/// An array of a grid with a single run.
#[derive(Clone, Copy)]
pub(crate) enum FlatArray<'a> {
    Run(&'a [f32]),
    Same(f32),
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

    /// Whether all elements are in one run, in which each array is contiguous or a single number.
    #[inline]
    pub(crate) fn is_flat(&self) -> bool {
        self.outer.is_empty() && self.run.steps.iter().all(|&step| step == 0 || step == 1)
    }

    /// Whether all elements of array `k` follow each other, or are a single number.
    fn is_flat_array(&self, k: usize) -> bool {
        let step = self.step(k);
        let mut reach = step;
        let axes = self.outer.iter().chain([self.run]).rev();
        (step == 0 || step == 1)
            && axes.into_iter().all(|axis| {
                let follows = axis.steps.get(k) == Some(&reach);
                reach = reach.wrapping_mul(axis.len.cast_signed());
                follows
            })
    }

    /// Whether all runs of array `k` are the same one, as those of a number for each class are.
    pub(crate) fn repeats(&self, k: usize) -> bool {
        self.outer.iter().all(|axis| axis.steps.get(k) == Some(&0))
    }

    /// Whether each array is flat or, if it is one that may, repeats.
    pub(crate) fn is_flat_or_repeats(&self, may_repeat: impl Fn(usize) -> bool) -> bool {
        (0..K).all(|k| self.is_flat_array(k) || may_repeat(k) && self.repeats(k))
    }

    /// Array `k` of a flat grid, or another flat array.
    #[inline]
    pub(crate) fn flat<'d>(&self, k: usize, data: &'d [f32]) -> FlatArray<'d> {
        let from = data.get(self.offset(&self.start(), k, 0)..).unwrap_or(&[]);
        match (self.step(k), from.first()) {
            (0, Some(&x)) => FlatArray::Same(x),
            _ => FlatArray::Run(from.get(..self.len).unwrap_or(&[])),
        }
    }

    /// The same to be written; nothing where there is none.
    #[inline]
    pub(crate) fn flat_mut<'d>(&self, k: usize, data: Option<&'d mut [f32]>) -> Option<&'d mut [f32]> {
        let offset = self.offset(&self.start(), k, 0);
        data?.get_mut(offset..offset.wrapping_add(self.len))
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
        self.gather(run, k, data, i, shift, lanes.as_mut().get_mut(..count).unwrap_or(&mut []));
        s.from_lanes(lanes)
    }

    /// One run after the other: the way through any layout.
    #[inline(never)]
    pub(crate) fn gather(&self, run: &mut Run<K>, k: usize, data: &[f32], i: usize, shift: isize, out: &mut [f32]) {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let first = i.wrapping_add(done);
            let count = self.seek(run, first).min(rest.len());
            let offset = self.offset(run, k, first).wrapping_add_signed(shift);
            gather(data, offset, self.step(k), rest.get_mut(..count).unwrap_or(&mut []));
            done = done.wrapping_add(count);
        }
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
        self.scatter(run, k, data, i, shift, lanes.as_ref().get(..count).unwrap_or(&[]));
    }

    #[inline(never)]
    fn scatter(&self, run: &mut Run<K>, k: usize, data: &mut [f32], i: usize, shift: isize, x: &[f32]) {
        let mut done = 0;
        while let Some(rest) = x.get(done..).filter(|rest| !rest.is_empty()) {
            let first = i.wrapping_add(done);
            let count = self.seek(run, first).min(rest.len());
            let offset = self.offset(run, k, first).wrapping_add_signed(shift);
            scatter(data, offset, self.step(k), rest.get(..count).unwrap_or(&[]));
            done = done.wrapping_add(count);
        }
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
