//! Losses and functions of single elements.

use core::marker::PhantomData;

use super::{
    arrays::{
        Arrays, BACKWARD, Data, GRADIENT, INPUT, InVectors, OUT, OneByOne, POS_WEIGHT, TARGET, UPSTREAM, WEIGHT,
        buffers,
    },
    grid::{Gather, Grid, Scatter},
    math,
    sum::{Items, total},
};
use crate::{
    simd::{Four, Group, Kernel, LANES, Ops, Scratch, Simd},
    total::{Compensated, Total},
};

/// Elements in a tile of the sum.
pub(crate) const TILE: usize = 4096;

/// A loss of one element.
pub(crate) trait BinaryLoss {
    /// Whether there are inputs that are refused.
    const REFUSES: bool;

    /// The loss for the input `x` and the target `t`, without its weight.
    fn loss<S: Ops>(s: S, x: S::F, t: S::F, pos_weight: S::F) -> S::F;
    /// The same, and its derivative by `x`.
    fn with_gradient<S: Ops>(s: S, x: S::F, t: S::F, pos_weight: S::F) -> (S::F, S::F);
    /// Whether any input is refused.
    fn refuses<S: Ops>(s: S, x: S::F) -> bool;
}

/// Binary cross entropy of probabilities.
pub(crate) struct Probabilities;

impl BinaryLoss for Probabilities {
    const REFUSES: bool = true;

    #[inline(always)]
    fn loss<S: Ops>(s: S, p: S::F, t: S::F, _: S::F) -> S::F {
        let (yes, no) = (math::ln_probability(s, p), math::ln_complement(s, p));
        let loss = s.mul_add(t, yes, s.mul(s.sub(s.splat(1.0), t), no));
        // 0, but NaN for NaN, which the logarithms do not keep.
        s.sub(s.sub(p, p), loss)
    }

    #[inline(always)]
    fn with_gradient<S: Ops>(s: S, p: S::F, t: S::F, pos_weight: S::F) -> (S::F, S::F) {
        let variance = s.max(s.mul(s.sub(s.splat(1.0), p), p), s.splat(1e-12));
        (Self::loss(s, p, t, pos_weight), s.div(s.sub(p, t), variance))
    }

    #[inline(always)]
    fn refuses<S: Ops>(s: S, p: S::F) -> bool {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        s.any(s.lt(s.min(p, s.sub(one, p)), zero))
    }
}

/// Binary cross entropy of logits.
pub(crate) struct Logits;

impl BinaryLoss for Logits {
    const REFUSES: bool = false;

    #[inline(always)]
    fn loss<S: Ops>(s: S, x: S::F, t: S::F, pos_weight: S::F) -> S::F {
        Parts::new(s, t, pos_weight).loss(s, x, math::soft(s, x))
    }

    #[inline(always)]
    fn with_gradient<S: Ops>(s: S, x: S::F, t: S::F, pos_weight: S::F) -> (S::F, S::F) {
        let (positive, negative, soft) = math::sigmoids_and_soft(s, x);
        let parts = Parts::new(s, t, pos_weight);
        let gradient = s.neg_mul_add(parts.yes, negative, s.mul(parts.no, positive));
        (parts.loss(s, x, soft), gradient)
    }

    #[inline(always)]
    fn refuses<S: Ops>(_: S, _: S::F) -> bool {
        false
    }
}

/// The parts of an element that a target gives to either answer.
struct Parts<F> {
    target: F,
    yes: F,
    no: F,
}

impl<F: Copy> Parts<F> {
    #[inline(always)]
    fn new<S: Ops<F = F>>(s: S, t: F, pos_weight: F) -> Self {
        Self { target: t, yes: s.mul(pos_weight, t), no: s.sub(s.splat(1.0), t) }
    }

    /// The loss of the logit `x`, with `soft = ln(1 + e^-|x|)`.
    #[inline(always)]
    fn loss<S: Ops<F = F>>(&self, s: S, x: F, soft: F) -> F {
        let zero = s.splat(0.0);
        let yes = s.add(s.max(s.neg(x), zero), soft);
        let no = s.add(s.max(x, zero), soft);
        // 0 · ∞ is 0 for a target that has no part in one of the two.
        let yes = s.select(s.eq(self.target, zero), zero, s.mul(self.yes, yes));
        let no = s.select(s.eq(self.no, zero), zero, s.mul(self.no, no));
        s.add(yes, no)
    }
}

/// A binary loss over all elements, with its gradient if there are [`BACKWARD`] arrays.
pub(crate) struct Binary<'a, L, const K: usize> {
    pub(crate) grid: Grid<'a, K>,
    pub(crate) data: Data<'a>,
    pub(crate) loss: PhantomData<L>,
}

impl<L: BinaryLoss, const K: usize> Kernel for Binary<'_, L, K> {
    /// `None` where an input was refused.
    type Output = Option<Total>;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> Option<Total> {
        let Self { grid, data, loss } = self;
        let (len, loss) = (grid.len, *loss);
        if S::SINGLE {
            Sum::<_, _, K> { arrays: OneByOne::new(grid, data), len, loss }.run(s)
        } else {
            let mut memory = buffers::<K>();
            s.vectorize(&mut Sum::<_, _, K> { arrays: InVectors::new(s, grid, data, &mut memory), len, loss })
        }
    }
}

/// The sum of a binary loss over arrays that are walked in one way.
struct Sum<A, L, const K: usize> {
    arrays: A,
    len: usize,
    loss: PhantomData<L>,
}

impl<A: Arrays, L: BinaryLoss, const K: usize> Kernel for Sum<A, L, K> {
    type Output = Option<Total>;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> Option<Total> {
        let mut items = BinaryItems::<A, L, K> { arrays: &mut self.arrays, valid: true, loss: self.loss };
        // What is written in place cannot be taken back.
        if K == BACKWARD && L::REFUSES && items.any_refused(s, self.len) {
            return None;
        }
        let mut total = total(s, self.len, TILE, true, &mut items);
        items.arrays.finish(s);
        total.weight = Compensated::from_count(self.len);
        items.valid.then_some(total)
    }
}

/// Elements, as items of a sum. Their weight in the mean is not summed here.
struct BinaryItems<'k, A, L, const K: usize> {
    arrays: &'k mut A,
    /// Whether no input was refused.
    valid: bool,
    loss: PhantomData<L>,
}

impl<A: Arrays, L: BinaryLoss, const K: usize> BinaryItems<'_, A, L, K> {
    /// The losses of a group of elements, of which each vector has `count`, and their gradient.
    #[inline(always)]
    fn losses<S: Simd, G: Group<S>>(&mut self, s: S, g: G, i: usize, count: usize) -> G::F {
        self.arrays.seek(s, i);
        let x = self.load(s, g, INPUT, i, count, 0.0);
        let t = self.load(s, g, TARGET, i, count, 0.0);
        self.valid &= !L::refuses(g, x);
        let one = g.splat(1.0);
        let pos_weight = if self.arrays.has(POS_WEIGHT) { self.load(s, g, POS_WEIGHT, i, count, 1.0) } else { one };
        let (mut loss, mut gradient) =
            if K == BACKWARD { L::with_gradient(g, x, t, pos_weight) } else { (L::loss(g, x, t, pos_weight), one) };
        if self.arrays.has(WEIGHT) {
            let weight = self.load(s, g, WEIGHT, i, count, 1.0);
            loss = g.mul(weight, loss);
            gradient = g.mul(weight, gradient);
        }
        if K == BACKWARD {
            gradient = g.mul(self.load(s, g, UPSTREAM, i, count, 1.0), gradient);
            self.arrays.store(s, g, GRADIENT, i, count, gradient);
        }
        self.arrays.store(s, g, OUT, i, count, loss);
        loss
    }

    /// Whether any input is.
    #[inline(always)]
    fn any_refused<S: Simd>(&mut self, s: S, len: usize) -> bool {
        let mut i = 0;
        while !S::SINGLE && i + 4 * S::N <= len {
            if self.refuses(s, Four(s), i, S::N) {
                return true;
            }
            i += 4 * S::N;
        }
        while i < len {
            let count = S::N.min(len - i);
            if self.refuses(s, s, i, count) {
                return true;
            }
            i += count;
        }
        false
    }

    /// Whether any input of a group of elements is, of which each vector has `count`.
    #[inline(always)]
    fn refuses<S: Simd, G: Group<S>>(&mut self, s: S, g: G, i: usize, count: usize) -> bool {
        self.arrays.seek(s, i);
        L::refuses(g, self.load(s, g, INPUT, i, count, 0.0))
    }

    #[inline(always)]
    fn load<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, pad: f32) -> G::F {
        self.arrays.load(s, g, k, i, count, pad)
    }
}

impl<S: Simd, A: Arrays, L: BinaryLoss, const K: usize> Items<S> for BinaryItems<'_, A, L, K> {
    #[inline(always)]
    fn one(&mut self, s: S, i: usize, count: usize) -> (S::F, S::F) {
        (self.losses(s, s, i, count), s.splat(0.0))
    }

    #[inline(always)]
    fn four(&mut self, s: S, i: usize) -> ([S::F; 4], [S::F; 4]) {
        (self.losses(s, Four(s), i, S::N), [s.splat(0.0); 4])
    }
}

/// A function of each element of a binary loss, its input and target.
pub(crate) trait Derivative {
    fn value<S: Ops>(s: S, x: S::F, t: S::F, pos_weight: S::F) -> S::F;
}

/// The derivative of [`Probabilities`] by the target: `max(ln(1 - p), -100) - max(ln p, -100)`.
pub(crate) struct ProbabilitiesByTarget;

impl Derivative for ProbabilitiesByTarget {
    #[inline(always)]
    fn value<S: Ops>(s: S, p: S::F, _: S::F, _: S::F) -> S::F {
        let difference = s.sub(math::ln_complement(s, p), math::ln_probability(s, p));
        s.add(s.sub(p, p), difference)
    }
}

/// The derivative of [`Logits`] by the target: `pos_weight softplus(-x) - softplus(x)`.
pub(crate) struct LogitsByTarget;

impl Derivative for LogitsByTarget {
    #[inline(always)]
    fn value<S: Ops>(s: S, x: S::F, _: S::F, pos_weight: S::F) -> S::F {
        s.sub(s.mul(pos_weight, math::softplus(s, s.neg(x))), math::softplus(s, x))
    }
}

/// The second derivative of [`Logits`] by the logit: `σ(x) σ(-x) (1 - t + pos_weight t)`.
pub(crate) struct LogitsTwice;

impl Derivative for LogitsTwice {
    #[inline(always)]
    fn value<S: Ops>(s: S, x: S::F, t: S::F, pos_weight: S::F) -> S::F {
        let (positive, negative, _) = math::sigmoids_and_soft(s, x);
        let parts = Parts::new(s, t, pos_weight);
        s.mul(s.mul(positive, negative), s.add(parts.no, parts.yes))
    }
}

/// A derivative of all elements, into the gradient.
pub(crate) struct Derive<'a, V> {
    pub(crate) grid: Grid<'a, BACKWARD>,
    pub(crate) data: Data<'a>,
    pub(crate) derivative: PhantomData<V>,
}

impl<V: Derivative> Kernel for Derive<'_, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        let Self { grid, data, derivative } = self;
        let (len, derivative) = (grid.len, *derivative);
        if S::SINGLE {
            Each { arrays: OneByOne::new(grid, data), len, derivative }.run(s);
        } else {
            let mut memory = buffers::<BACKWARD>();
            s.vectorize(&mut Each { arrays: InVectors::new(s, grid, data, &mut memory), len, derivative });
        }
    }
}

/// A derivative over arrays that are walked in one way.
struct Each<A, V> {
    arrays: A,
    len: usize,
    derivative: PhantomData<V>,
}

impl<A: Arrays, V: Derivative> Kernel for Each<A, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        let mut i = 0;
        while !S::SINGLE && i + 4 * S::N <= self.len {
            self.values(s, Four(s), i, S::N);
            i += 4 * S::N;
        }
        while i < self.len {
            let count = S::N.min(self.len - i);
            self.values(s, s, i, count);
            i += count;
        }
        self.arrays.finish(s);
    }
}

impl<A: Arrays, V: Derivative> Each<A, V> {
    /// Those of a group of elements, of which each vector has `count`.
    #[inline(always)]
    fn values<S: Simd, G: Group<S>>(&mut self, s: S, g: G, i: usize, count: usize) {
        let Self { arrays, .. } = self;
        arrays.seek(s, i);
        let one = g.splat(1.0);
        let x = arrays.load(s, g, INPUT, i, count, 0.0);
        let t = arrays.load(s, g, TARGET, i, count, 0.0);
        let pos_weight = if arrays.has(POS_WEIGHT) { arrays.load(s, g, POS_WEIGHT, i, count, 1.0) } else { one };
        let weight = if arrays.has(WEIGHT) { arrays.load(s, g, WEIGHT, i, count, 1.0) } else { one };
        let factor = g.mul(weight, arrays.load(s, g, UPSTREAM, i, count, 1.0));
        arrays.store(s, g, GRADIENT, i, count, g.mul(factor, V::value(g, x, t, pos_weight)));
    }
}

/// A function of one element.
pub(crate) trait Function {
    fn value<S: Ops>(s: S, x: S::F) -> S::F;
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $function:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl Function for $name {
            #[inline(always)]
            fn value<S: Ops>(s: S, x: S::F) -> S::F {
                math::$function(s, x)
            }
        }
    )*};
}

functions! {
    /// [`math::exp`].
    Exp = exp;
    /// [`math::ln`].
    Ln = ln;
    /// [`math::sigmoid`].
    Sigmoid = sigmoid;
    /// [`math::log_sigmoid`].
    LogSigmoid = log_sigmoid;
    /// [`math::softplus`].
    Softplus = softplus;
}

/// A function of every element of array 0, into array 1; without an input, in place.
pub(crate) struct Map<'a, F> {
    pub(crate) grid: Grid<'a, 2>,
    pub(crate) input: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
    pub(crate) function: PhantomData<F>,
}

impl<F: Function> Kernel for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        let run = self.grid.run;
        if S::SINGLE || run.steps == [1, 1] && run.len >= self.grid.len.min(8 * S::N) {
            self.by_runs(s);
        } else {
            self.by_windows(s);
        }
    }
}

/// Elements in the window of a map: at its end the results of the last vectors are waited for.
const MAP_WINDOW: usize = 2048;

impl<F: Function> Map<'_, F> {
    /// Where they are: contiguous runs, or single lanes.
    #[inline(always)]
    fn by_runs<S: Simd>(&mut self, s: S) {
        let Self { grid, input, out, function } = self;
        let contiguous = grid.run.steps == [1, 1];
        let mut run = grid.start();
        let mut i = 0;
        while i < grid.len {
            let left = grid.seek(&mut run, i).min(grid.len - i);
            if !S::SINGLE || contiguous {
                let range = |k| {
                    let offset = grid.offset(&run, k, i);
                    offset..offset.wrapping_add(left)
                };
                let x = input.and_then(|x| x.get(range(0)));
                let stream = x.is_some() && grid.len >= STREAMED;
                map_slice(s, x, out.get_mut(range(1)).unwrap_or(&mut []), stream, function);
                i = i.wrapping_add(left);
                continue;
            }
            let x = match input {
                Some(x) => grid.load(s, &mut run, 0, x, i, 1, 0, 0.0),
                None => grid.load(s, &mut run, 1, out, i, 1, 0, 0.0),
            };
            grid.store(s, &mut run, 1, out, i, 1, 0, F::value(s, x));
            i = i.wrapping_add(1);
        }
    }

    /// In a copy of some elements at a time: see [`super::arrays`].
    #[inline(always)]
    fn by_windows<S: Simd>(&mut self, s: S) {
        let Self { grid, input, out, function } = self;
        let mut buffer = Scratch::<{ MAP_WINDOW / LANES }>::new();
        let mut run = grid.start();
        for i in (0..grid.len).step_by(MAP_WINDOW) {
            let window = buffer.first(MAP_WINDOW.min(grid.len - i));
            let (k, data) = input.map_or((1, &**out), |x| (0, x));
            s.vectorize_apart(&mut Gather { grid, run: &mut run, k, data, i, shift: 0, out: window });
            map_slice(s, None, window, false, function);
            s.vectorize_apart(&mut Scatter { grid, run: &mut run, k: 1, data: out, i, shift: 0, x: window });
        }
    }
}

/// A function of vectors.
pub(crate) trait Apply {
    /// Of the elements from number `at` on.
    fn apply<S: Simd, G: Group<S>>(&self, s: S, g: G, at: usize, x: G::F) -> G::F;
}

impl<F: Function> Apply for PhantomData<F> {
    #[inline(always)]
    fn apply<S: Simd, G: Group<S>>(&self, _: S, g: G, _: usize, x: G::F) -> G::F {
        F::value(g, x)
    }
}

/// From so many results on, 8 MiB, they go past the caches: more than a core's part of any. In place, what is written is in
/// the cache already.
pub(crate) const STREAMED: usize = 1 << 21;

/// `x`, or without it `out` itself, through a function to `out`. To `stream`, the output goes past the caches.
#[inline(always)]
pub(crate) fn map_slice<S: Simd>(s: S, x: Option<&[f32]>, out: &mut [f32], stream: bool, f: &impl Apply) {
    let stream = S::STREAMS && stream;
    let mut done = 0;
    if stream {
        // Only whole lines can go past the caches.
        let head = out.as_ptr().align_offset(4 * LANES).min(out.len());
        map_vectors(s, x, out, f, &mut done, head);
    }
    let four = Four(s);
    let width = 4 * S::N;
    while !S::SINGLE && done + width <= out.len() {
        let from = x.unwrap_or(out).get(done..done + width).unwrap_or(&[]);
        let y = four.gather(
            #[inline(always)]
            |k| s.load_part(from.get(k * S::N..).unwrap_or(&[]), 0.0),
        );
        let y = f.apply(s, four, done, y);
        let out = out.get_mut(done..done + width).unwrap_or(&mut []);
        four.scatter(
            y,
            #[inline(always)]
            |k, y| {
                let out = out.get_mut(k * S::N..).unwrap_or(&mut []);
                if stream { s.stream(y, out) } else { s.store_part(y, out) }
            },
        );
        done += width;
    }
    let len = out.len();
    map_vectors(s, x, out, f, &mut done, len);
    if stream {
        s.settle();
    }
}

/// The part of [`map_slice`] before `end`, a vector at a time.
#[inline(always)]
fn map_vectors<S: Simd>(s: S, x: Option<&[f32]>, out: &mut [f32], f: &impl Apply, done: &mut usize, end: usize) {
    while *done < end {
        let range = *done..end.min(*done + S::N);
        let y = f.apply(s, s, *done, s.load_part(x.unwrap_or(out).get(range.clone()).unwrap_or(&[]), 0.0));
        *done = range.end;
        s.store_part(y, out.get_mut(range).unwrap_or(&mut []));
    }
}
