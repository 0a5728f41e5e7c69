//! The arrays of a loss of elements, walked together.
//!
//! A single lane reads each element where it is. Vectors take what is contiguous: an array itself where all of it is, and
//! else a copy of its next [`WINDOW`] elements, which takes a fraction of the time of what is computed from them. Results wait in a
//! window, too, until the next one begins.

use core::array;

use super::{
    gradient::Upstream,
    grid::{Gather, Grid, Run, Scatter},
};
use crate::simd::{Group, LANES, Scratch, Simd};

/// The arrays, in the order of their grid.
pub(crate) const INPUT: usize = 0;
pub(crate) const TARGET: usize = 1;
pub(crate) const WEIGHT: usize = 2;
pub(crate) const POS_WEIGHT: usize = 3;
pub(crate) const OUT: usize = 4;
pub(crate) const GRADIENT: usize = 5;
pub(crate) const UPSTREAM: usize = 6;

/// How many there are, without and with a gradient.
pub(crate) const FORWARD: usize = 5;
pub(crate) const BACKWARD: usize = 7;

/// Input, target, weight and `pos_weight`; the input is missing where the gradient takes its place.
pub(crate) type Inputs<'a> = [Option<&'a [f32]>; OUT];

/// Their memory.
pub(crate) struct Data<'a> {
    pub(crate) inputs: Inputs<'a>,
    pub(crate) upstream: Upstream<'a>,
    pub(crate) out: Option<&'a mut [f32]>,
    pub(crate) gradient: Option<&'a mut [f32]>,
}

impl<'a> Data<'a> {
    /// The memory of array `k`, if it is there and only read.
    #[inline(always)]
    fn read_only(&self, k: usize) -> Option<&'a [f32]> {
        match self.upstream {
            Upstream::Each(data) if k == UPSTREAM => Some(data),
            _ => self.inputs.get(k).copied().flatten(),
        }
    }

    /// The memory of array `k`, if it is there.
    #[inline(always)]
    fn array(&self, k: usize) -> Option<&[f32]> {
        match k {
            INPUT => self.read_only(INPUT).or(self.gradient.as_deref()),
            OUT => self.out.as_deref(),
            GRADIENT => self.gradient.as_deref(),
            _ => self.read_only(k),
        }
    }

    /// The memory of one that is written.
    #[inline(always)]
    fn array_mut(&mut self, k: usize) -> Option<&mut [f32]> {
        match k {
            OUT => self.out.as_deref_mut(),
            GRADIENT => self.gradient.as_deref_mut(),
            _ => None,
        }
    }
}

/// The arrays, walked in one way from element 0 to the last.
pub(crate) trait Arrays {
    fn has(&self, k: usize) -> bool;
    /// Goes on to element `i`, or back to element 0 if nothing was written.
    fn seek<S: Simd>(&mut self, s: S, i: usize);
    /// The elements from `i` on of array `k`, for a group of vectors with `count` elements each; `pad` in the other lanes.
    fn load<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, pad: f32) -> G::F;
    /// Writes the elements from `i` on of array `k`, if it is there.
    fn store<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, x: G::F);
    /// All is written.
    fn finish<S: Simd>(&mut self, _: S) {}
}

/// Each element where it is: the way of a single lane.
pub(crate) struct OneByOne<'k, 'a, const K: usize> {
    grid: &'k Grid<'a, K>,
    run: Run<K>,
    data: &'k mut Data<'a>,
}

impl<'k, 'a, const K: usize> OneByOne<'k, 'a, K> {
    #[inline(always)]
    pub(crate) fn new(grid: &'k Grid<'a, K>, data: &'k mut Data<'a>) -> Self {
        Self { run: grid.start(), data, grid }
    }
}

impl<const K: usize> Arrays for OneByOne<'_, '_, K> {
    #[inline(always)]
    fn has(&self, k: usize) -> bool {
        self.data.array(k).is_some()
    }

    #[inline(always)]
    fn seek<S: Simd>(&mut self, _: S, i: usize) {
        self.grid.seek(&mut self.run, i);
    }

    #[inline(always)]
    fn load<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, pad: f32) -> G::F {
        let data = match self.data.upstream {
            Upstream::Same(x) if k == UPSTREAM => return g.splat(x),
            Upstream::Each(data) if k == UPSTREAM => data,
            _ => self.data.inputs[k].or(self.data.gradient.as_deref()).unwrap_or(&[]),
        };
        g.gather(
            #[inline(always)]
            |_| self.grid.load(s, &mut self.run, k, data, i, count, 0, pad),
        )
    }

    #[inline(always)]
    fn store<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, x: G::F) {
        if let Some(out) = self.data.array_mut(k) {
            g.scatter(
                x,
                #[inline(always)]
                |_, x| self.grid.store(s, &mut self.run, k, out, i, count, 0, x),
            );
        }
    }
}

/// Elements in a window: a few windows fit the first-level cache, and no group of vectors crosses the end of one.
const WINDOW: usize = 1024;

/// The memory of a window, or of a run with as much of the next one as a group of vectors may take.
type Buffer = Scratch<{ WINDOW / LANES + 4 }>;

/// One for each array. A constant, repeated, would be cleared.
#[inline(always)]
pub(crate) fn buffers<const K: usize>() -> [Buffer; K] {
    array::from_fn(
        #[inline(always)]
        |_| Buffer::new(),
    )
}

/// The elements of an array, or a copy of some.
enum Numbers<'k> {
    /// None: the array is not there, or the gradient is in its place.
    Nothing,
    /// All of them are the same.
    Same(f32),
    Read(&'k [f32]),
    Written(&'k mut [f32]),
}

/// Where the numbers of an array are.
#[derive(Clone, Copy)]
enum Place {
    /// In the array's own memory.
    Flat,
    /// In a copy of a run, since each run is the same one, as of weights for each class.
    Repeated,
    /// In a window.
    Window,
}

/// An array, as vectors see it.
struct Walked<'k> {
    numbers: Numbers<'k>,
    /// The element that is the first of the numbers.
    first: usize,
    place: Place,
}

/// Contiguous elements: the way of vectors.
pub(crate) struct InVectors<'k, 'a, const K: usize> {
    grid: &'k Grid<'a, K>,
    /// The memory of arrays that have a window.
    data: &'k mut Data<'a>,
    arrays: [Walked<'k>; K],
    /// After so many elements repeated runs start again,
    period: usize,
    /// and here they last did.
    start: usize,
    /// The first element of the windows, and after how many the next ones begin.
    first: usize,
    window: usize,
    /// Whether there may be results in a window.
    written: bool,
}

impl<'k, 'a: 'k, const K: usize> InVectors<'k, 'a, K> {
    #[inline(always)]
    pub(crate) fn new<S: Simd>(
        s: S,
        grid: &'k Grid<'a, K>,
        data: &'k mut Data<'a>,
        memory: &'k mut [Buffer; K],
    ) -> Self {
        let arrays = array::from_fn(
            #[inline(always)]
            |_| Walked { numbers: Numbers::Nothing, first: 0, place: Place::Flat },
        );
        let (period, window) = (grid.run.len.max(1), usize::MAX);
        let mut all = Self { grid, data, arrays, period, start: 0, first: 0, window, written: false };
        for (k, memory) in memory.iter_mut().enumerate() {
            all.set(s, k, memory);
        }
        if all.window == WINDOW {
            all.fill(s);
        }
        all
    }

    /// Decides how to get at array `k`.
    fn set<S: Simd>(&mut self, s: S, k: usize, memory: &'k mut Buffer) {
        let Self { grid, data, arrays, .. } = self;
        let Some(Walked { numbers, place, .. }) = arrays.get_mut(k) else {
            return;
        };
        if let (UPSTREAM, Upstream::Same(x)) = (k, data.upstream) {
            *numbers = Numbers::Same(x);
            return;
        }
        let Some(x) = data.array(k) else {
            return;
        };
        match grid.flat_place(k) {
            Some((offset, step)) => *numbers = data.flat(k, offset, step),
            None if matches!(k, WEIGHT | POS_WEIGHT) && self.period <= WINDOW && grid.repeats(k) => {
                *numbers = Numbers::Written(repeat(s, grid, k, x, memory));
                *place = Place::Repeated;
            }
            None => {
                *numbers = Numbers::Written(memory.first(WINDOW));
                *place = Place::Window;
                self.window = WINDOW;
            }
        }
    }

    /// Copies what is read to the windows.
    fn fill<S: Simd>(&mut self, s: S) {
        let Self { grid, data, arrays, first, .. } = self;
        let first = *first;
        let count = WINDOW.min(grid.len.wrapping_sub(first));
        let mut run = grid.start();
        for (k, array) in arrays.iter_mut().enumerate() {
            let Walked { numbers: Numbers::Written(copy), first: at, place: Place::Window } = array else {
                continue;
            };
            *at = first;
            if let Some(data) = data.array(k).filter(|_| k != OUT && k != GRADIENT) {
                let out = copy.get_mut(..count).unwrap_or(&mut []);
                s.vectorize_apart(&mut Gather { grid, run: &mut run, k, data, i: first, shift: 0, out });
            }
        }
    }
}

impl<'a> Data<'a> {
    /// The numbers of array `k`, which starts at `offset` and is contiguous, or a number if its `step` is 0.
    fn flat(&mut self, k: usize, offset: usize, step: isize) -> Numbers<'a> {
        let written = |data: Option<&'a mut [f32]>| {
            let elements = data.and_then(|data| data.get_mut(offset..));
            elements.map_or(Numbers::Nothing, Numbers::Written)
        };
        match k {
            OUT => return written(self.out.take()),
            GRADIENT => return written(self.gradient.take()),
            _ => {}
        }
        match self.read_only(k).and_then(|data| data.get(offset..)) {
            Some(&[x, ..]) if step == 0 => Numbers::Same(x),
            Some(x) => Numbers::Read(x),
            None => Numbers::Nothing,
        }
    }
}

/// The first run's length of array `k`, from element 0 on, and what follows on it.
fn repeat<'m, S: Simd, const K: usize>(
    s: S,
    grid: &Grid<'_, K>,
    k: usize,
    data: &[f32],
    memory: &'m mut Buffer,
) -> &'m mut [f32] {
    let period = grid.run.len;
    let numbers = memory.first(period.saturating_add(4 * LANES));
    let mut done = period.min(numbers.len());
    let out = numbers.get_mut(..done).unwrap_or(&mut []);
    s.vectorize_apart(&mut Gather { grid, run: &mut grid.start(), k, data, i: 0, shift: 0, out });
    while let Some((from, to)) = numbers.split_at_mut_checked(done).filter(|(_, to)| !to.is_empty()) {
        for (to, &mut from) in to.iter_mut().zip(from) {
            *to = from;
        }
        done = done.saturating_mul(2).max(1);
    }
    numbers
}

impl<const K: usize> Arrays for InVectors<'_, '_, K> {
    #[inline(always)]
    fn has(&self, k: usize) -> bool {
        self.arrays.get(k).is_some_and(|array| !matches!(array.numbers, Numbers::Nothing))
    }

    #[inline(always)]
    fn seek<S: Simd>(&mut self, s: S, i: usize) {
        if i.wrapping_sub(self.start) >= self.period {
            self.start = i.wrapping_sub(i.checked_rem(self.period).unwrap_or(0));
            for array in self.arrays.iter_mut().take(OUT).skip(WEIGHT) {
                if matches!(array.place, Place::Repeated) {
                    array.first = self.start;
                }
            }
        }
        if i.wrapping_sub(self.first) >= self.window {
            self.finish(s);
            self.first = i;
            self.fill(s);
        }
    }

    #[inline(always)]
    fn load<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, pad: f32) -> G::F {
        let array = self.arrays.get(if k == INPUT && !self.has(INPUT) { GRADIENT } else { k });
        let (x, first) = match array {
            Some(&Walked { numbers: Numbers::Same(x), .. }) => return g.splat(x),
            Some(&Walked { numbers: Numbers::Read(x), first, .. }) => (x, first),
            Some(&Walked { numbers: Numbers::Written(ref x), first, .. }) => (&**x, first),
            _ => return g.splat(pad),
        };
        let at = i.wrapping_sub(first);
        // One check for all.
        let x = x.get(at..at.wrapping_add(reach::<S, G>(count))).unwrap_or(&[]);
        g.gather(
            #[inline(always)]
            |number| s.load_part(x.get(number * S::N..).unwrap_or(&[]), pad),
        )
    }

    #[inline(always)]
    fn store<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, x: G::F) {
        let Some(Walked { numbers: Numbers::Written(out), first, .. }) = self.arrays.get_mut(k) else {
            return;
        };
        self.written = true;
        let at = i.wrapping_sub(*first);
        let out = out.get_mut(at..at.wrapping_add(reach::<S, G>(count))).unwrap_or(&mut []);
        g.scatter(
            x,
            #[inline(always)]
            |number, x| s.store_part(x, out.get_mut(number * S::N..).unwrap_or(&mut [])),
        );
    }

    #[inline(always)]
    fn finish<S: Simd>(&mut self, s: S) {
        if !self.written || self.window != WINDOW {
            return;
        }
        self.written = false;
        let (grid, i) = (self.grid, self.first);
        let count = WINDOW.min(grid.len.wrapping_sub(i));
        let mut run = grid.start();
        for (k, array) in self.arrays.iter().enumerate() {
            if let Walked { numbers: Numbers::Written(copy), place: Place::Window, .. } = array
                && let Some(data) = self.data.array_mut(k)
            {
                let x = copy.get(..count).unwrap_or(&[]);
                s.vectorize_apart(&mut Scatter { grid, run: &mut run, k, data, i, shift: 0, x });
            }
        }
    }
}

/// How many elements a group of vectors takes, of which a single one has `count`.
#[inline(always)]
const fn reach<S: Simd, G: Group<S>>(count: usize) -> usize {
    if G::VECTORS == 1 { count } else { G::VECTORS * S::N }
}
