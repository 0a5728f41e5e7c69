//! Losses and functions of single elements.

use core::marker::PhantomData;

use super::{
    grid::{FlatArray, Grid, Run},
    math,
    sum::{Items, total},
};
use crate::{
    simd::{Four, Group, Kernel, Ops, Simd},
    total::{Compensated, Total},
};

/// The arrays of a binary loss, in the order of its grid.
pub(crate) const INPUT: usize = 0;
pub(crate) const TARGET: usize = 1;
pub(crate) const WEIGHT: usize = 2;
pub(crate) const POS_WEIGHT: usize = 3;
pub(crate) const OUT: usize = 4;
pub(crate) const ARRAYS: usize = 5;

/// Elements in a tile of the sum.
pub(crate) const TILE: usize = 4096;

/// A loss of one element.
pub(crate) trait BinaryLoss {
    /// The loss for the input `x` and the target `t`, without its weight.
    fn loss<S: Ops>(s: S, x: S::F, t: S::F, pos_weight: S::F) -> S::F;
    /// Whether any input is refused.
    fn refuses<S: Ops>(s: S, x: S::F) -> bool;
}

/// Binary cross entropy of probabilities.
pub(crate) struct Probabilities;

impl BinaryLoss for Probabilities {
    #[inline(always)]
    fn loss<S: Ops>(s: S, p: S::F, t: S::F, _: S::F) -> S::F {
        let (yes, no) = (math::ln_probability(s, p), math::ln_complement(s, p));
        let loss = s.mul_add(t, yes, s.mul(s.sub(s.splat(1.0), t), no));
        // 0, but NaN for NaN, which the logarithms do not keep.
        s.sub(s.sub(p, p), loss)
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
    #[inline(always)]
    fn loss<S: Ops>(s: S, x: S::F, t: S::F, pos_weight: S::F) -> S::F {
        let zero = s.splat(0.0);
        let soft = math::soft(s, x);
        let yes = s.add(s.max(s.neg(x), zero), soft);
        let no = s.add(s.max(x, zero), soft);
        let positive = s.mul(pos_weight, t);
        let negative = s.sub(s.splat(1.0), t);
        // 0 · ∞ is 0 for a target that has no part in one of the two.
        let yes = s.select(s.eq(t, zero), zero, s.mul(positive, yes));
        let no = s.select(s.eq(negative, zero), zero, s.mul(negative, no));
        s.add(yes, no)
    }

    #[inline(always)]
    fn refuses<S: Ops>(_: S, _: S::F) -> bool {
        false
    }
}

/// A binary loss over all elements.
pub(crate) struct Binary<'a, L> {
    pub(crate) grid: Grid<'a, ARRAYS>,
    /// The arrays but the output; input and target are always there.
    pub(crate) inputs: [Option<&'a [f32]>; OUT],
    pub(crate) out: Option<&'a mut [f32]>,
    pub(crate) loss: PhantomData<L>,
}

impl<L: BinaryLoss> Kernel for Binary<'_, L> {
    /// `None` where an input was refused.
    type Output = Option<Total>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Option<Total> {
        let Self { grid, inputs, out, loss: _ } = self;
        if S::N > 1 && grid.is_flat() {
            let flat = |k: usize| inputs[k].map(|data| grid.flat(k, data));
            let inputs = [flat(INPUT), flat(TARGET), flat(WEIGHT), flat(POS_WEIGHT)];
            s.vectorize(Sum { arrays: Flat { inputs, out, grid }, len: grid.len, loss: self.loss })
        } else {
            let arrays = Strided { run: grid.start(), inputs, out, grid };
            s.vectorize(Sum { arrays, len: grid.len, loss: self.loss })
        }
    }
}

/// The sum of a binary loss over arrays that are walked in one way.
struct Sum<A, L> {
    arrays: A,
    len: usize,
    loss: PhantomData<L>,
}

impl<A: Arrays, L: BinaryLoss> Kernel for Sum<A, L> {
    type Output = Option<Total>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Option<Total> {
        let mut items = BinaryItems { arrays: self.arrays, valid: true, loss: self.loss };
        let mut total = total(s, self.len, TILE, true, &mut items);
        total.weight = Compensated::from_count(self.len);
        items.valid.then_some(total)
    }
}

/// Elements, as items of a sum. Their weight in the mean is not summed here.
struct BinaryItems<A, L> {
    arrays: A,
    /// Whether no input was refused.
    valid: bool,
    loss: PhantomData<L>,
}

impl<A: Arrays, L: BinaryLoss> BinaryItems<A, L> {
    /// The losses of a group of elements, of which each vector has `count`.
    #[inline(always)]
    fn losses<S: Simd, G: Group<S>>(&mut self, s: S, g: G, i: usize, count: usize) -> G::F {
        let x = self.load(s, g, INPUT, i, count, 0.0);
        let t = self.load(s, g, TARGET, i, count, 0.0);
        self.valid &= !L::refuses(g, x);
        let pos_weight =
            if self.arrays.has(POS_WEIGHT) { self.load(s, g, POS_WEIGHT, i, count, 1.0) } else { g.splat(1.0) };
        let mut loss = L::loss(g, x, t, pos_weight);
        if self.arrays.has(WEIGHT) {
            loss = g.mul(self.load(s, g, WEIGHT, i, count, 1.0), loss);
        }
        g.scatter(
            loss,
            #[inline(always)]
            |k, loss| self.arrays.store(s, i.wrapping_add(k * S::N), count, loss),
        );
        loss
    }

    #[inline(always)]
    fn load<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, pad: f32) -> G::F {
        g.gather(
            #[inline(always)]
            |number| self.arrays.load(s, k, i.wrapping_add(number * S::N), count, pad),
        )
    }
}

impl<S: Simd, A: Arrays, L: BinaryLoss> Items<S> for BinaryItems<A, L> {
    #[inline(always)]
    fn one(&mut self, s: S, i: usize, count: usize) -> (S::F, S::F) {
        (self.losses(s, s, i, count), s.splat(0.0))
    }

    #[inline(always)]
    fn four(&mut self, s: S, i: usize) -> ([S::F; 4], [S::F; 4]) {
        (self.losses(s, Four(s), i, S::N), [s.splat(0.0); 4])
    }
}

/// The arrays of a binary loss, walked in one way.
trait Arrays {
    fn has(&self, k: usize) -> bool;
    /// The elements `i .. i + count` of array `k`; `pad` in the other lanes.
    fn load<S: Simd>(&mut self, s: S, k: usize, i: usize, count: usize, pad: f32) -> S::F;
    /// Writes the elements `i .. i + count` of the output, if there is one.
    fn store<S: Simd>(&mut self, s: S, i: usize, count: usize, x: S::F);
}

/// All elements in one run: each array is contiguous or a single number.
struct Flat<'a> {
    inputs: [Option<FlatArray<'a>>; OUT],
    out: Option<&'a mut [f32]>,
    grid: Grid<'a, ARRAYS>,
}

impl Arrays for Flat<'_> {
    #[inline(always)]
    fn has(&self, k: usize) -> bool {
        self.inputs[k].is_some()
    }

    #[inline(always)]
    fn load<S: Simd>(&mut self, s: S, k: usize, i: usize, count: usize, pad: f32) -> S::F {
        match self.inputs[k] {
            Some(FlatArray::Run(data)) => s.load_part(data.get(i..i.wrapping_add(count)).unwrap_or(&[]), pad),
            Some(FlatArray::Same(x)) => s.splat(x),
            None => s.splat(pad),
        }
    }

    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, i: usize, count: usize, x: S::F) {
        if let Some(out) = &mut self.out {
            let offset = self.grid.offset(&self.grid.start(), OUT, i);
            if let Some(out) = out.get_mut(offset..offset.wrapping_add(count)) {
                s.store_part(x, out);
            }
        }
    }
}

/// Any layout.
struct Strided<'a> {
    grid: Grid<'a, ARRAYS>,
    run: Run<ARRAYS>,
    inputs: [Option<&'a [f32]>; OUT],
    out: Option<&'a mut [f32]>,
}

impl Arrays for Strided<'_> {
    #[inline(always)]
    fn has(&self, k: usize) -> bool {
        self.inputs[k].is_some()
    }

    #[inline(always)]
    fn load<S: Simd>(&mut self, s: S, k: usize, i: usize, count: usize, pad: f32) -> S::F {
        self.grid.load(s, &mut self.run, k, self.inputs[k].unwrap_or(&[]), i, count, 0, pad)
    }

    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, i: usize, count: usize, x: S::F) {
        if let Some(out) = &mut self.out {
            self.grid.store(s, &mut self.run, OUT, out, i, count, 0, x);
        }
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
    fn run<S: Simd>(self, s: S) {
        let Self { grid, input, out, function: _ } = self;
        let mut run = grid.start();
        let mut i = 0;
        while i < grid.len {
            let left = grid.seek(&mut run, i);
            if grid.steps == [1, 1] {
                let range = |k| {
                    let offset = grid.offset(&run, k, i);
                    offset..offset.wrapping_add(left)
                };
                let x = input.and_then(|x| x.get(range(0)));
                map_slice(s, x, out.get_mut(range(1)).unwrap_or(&mut []), &PhantomData::<F>);
                i = i.wrapping_add(left);
                continue;
            }
            let count = S::N.min(grid.len - i);
            let x = match input {
                Some(x) => grid.load(s, &mut run, 0, x, i, count, 0, 0.0),
                None => grid.load(s, &mut run, 1, out, i, count, 0, 0.0),
            };
            grid.store(s, &mut run, 1, out, i, count, 0, F::value(s, x));
            i = i.wrapping_add(count);
        }
    }
}

/// A function of vectors.
pub(crate) trait Apply {
    fn apply<S: Ops>(&self, s: S, x: S::F) -> S::F;
}

impl<F: Function> Apply for PhantomData<F> {
    #[inline(always)]
    fn apply<S: Ops>(&self, s: S, x: S::F) -> S::F {
        F::value(s, x)
    }
}

/// `x`, or without it `out` itself, through a function to `out`.
#[inline(always)]
pub(crate) fn map_slice<S: Simd>(s: S, x: Option<&[f32]>, out: &mut [f32], f: &impl Apply) {
    let four = Four(s);
    let width = 4 * S::N;
    let mut done = 0;
    while S::N > 1 && done + width <= out.len() {
        let Some(out) = out.get_mut(done..done + width) else {
            break;
        };
        let from = match x {
            Some(x) => x.get(done..done + width).unwrap_or(&[]),
            None => &*out,
        };
        let y = four.gather(
            #[inline(always)]
            |k| s.load_part(from.get(k * S::N..).unwrap_or(&[]), 0.0),
        );
        four.scatter(
            f.apply(four, y),
            #[inline(always)]
            |k, y| s.store_part(y, out.get_mut(k * S::N..).unwrap_or(&mut [])),
        );
        done += width;
    }
    let out = out.get_mut(done..).unwrap_or(&mut []);
    match x {
        Some(x) => {
            let x = x.get(done..).unwrap_or(&[]);
            for (x, out) in x.chunks(S::N).zip(out.chunks_mut(S::N)) {
                s.store_part(f.apply(s, s.load_part(x, 0.0)), out);
            }
        }
        None => {
            for part in out.chunks_mut(S::N) {
                s.store_part(f.apply(s, s.load_part(part, 0.0)), part);
            }
        }
    }
}
