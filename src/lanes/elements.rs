//! Losses and functions of single elements.

use core::marker::PhantomData;

use super::{grid::Grid, math, sum::total};
use crate::{
    simd::{Kernel, LANES, Simd},
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
    fn loss<S: Simd>(s: S, x: S::F, t: S::F, pos_weight: Option<S::F>) -> S::F;
    /// Whether any input is refused.
    fn refuses<S: Simd>(s: S, x: S::F) -> bool;
}

/// Binary cross entropy of probabilities.
pub(crate) struct Probabilities;

impl BinaryLoss for Probabilities {
    #[inline(always)]
    fn loss<S: Simd>(s: S, p: S::F, t: S::F, _: Option<S::F>) -> S::F {
        let (yes, no) = (math::ln_probability(s, p), math::ln_complement(s, p));
        let loss = s.mul_add(t, yes, s.mul(s.sub(s.splat(1.0), t), no));
        // 0, but NaN for NaN, which the logarithms do not keep.
        s.sub(s.sub(p, p), loss)
    }

    #[inline(always)]
    fn refuses<S: Simd>(s: S, p: S::F) -> bool {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        s.any(s.lt(s.min(p, s.sub(one, p)), zero))
    }
}

/// Binary cross entropy of logits.
pub(crate) struct Logits;

impl BinaryLoss for Logits {
    #[inline(always)]
    fn loss<S: Simd>(s: S, x: S::F, t: S::F, pos_weight: Option<S::F>) -> S::F {
        let zero = s.splat(0.0);
        let soft = math::soft(s, x);
        let yes = s.add(s.max(s.neg(x), zero), soft);
        let no = s.add(s.max(x, zero), soft);
        let positive = match pos_weight {
            Some(pos_weight) => s.mul(pos_weight, t),
            None => t,
        };
        let negative = s.sub(s.splat(1.0), t);
        // 0 · ∞ is 0 for a target that has no part in one of the two.
        let yes = s.select(s.eq(t, zero), zero, s.mul(positive, yes));
        let no = s.select(s.eq(negative, zero), zero, s.mul(negative, no));
        s.add(yes, no)
    }

    #[inline(always)]
    fn refuses<S: Simd>(_: S, _: S::F) -> bool {
        false
    }
}

/// A binary loss over all elements.
pub(crate) struct Binary<'a, L> {
    pub(crate) grid: Grid<'a, ARRAYS>,
    pub(crate) input: &'a [f32],
    pub(crate) target: &'a [f32],
    pub(crate) weight: Option<&'a [f32]>,
    pub(crate) pos_weight: Option<&'a [f32]>,
    pub(crate) out: Option<&'a mut [f32]>,
    pub(crate) loss: PhantomData<L>,
}

impl<L: BinaryLoss> Kernel for Binary<'_, L> {
    /// `None` where an input was refused.
    type Output = Option<Total>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Option<Total> {
        let Self { grid, input, target, weight, pos_weight, mut out, loss: _ } = self;
        let mut run = grid.start();
        let mut valid = true;
        let mut total = total(
            s,
            grid.len,
            TILE,
            #[inline(always)]
            |i, count| {
                let x = grid.load(s, &mut run, INPUT, input, i, count, 0, 0.0);
                let t = grid.load(s, &mut run, TARGET, target, i, count, 0, 0.0);
                let pos_weight = match pos_weight {
                    Some(data) => Some(grid.load(s, &mut run, POS_WEIGHT, data, i, count, 0, 0.0)),
                    None => None,
                };
                valid &= !L::refuses(s, x);
                let mut loss = L::loss(s, x, t, pos_weight);
                if let Some(data) = weight {
                    loss = s.mul(grid.load(s, &mut run, WEIGHT, data, i, count, 0, 0.0), loss);
                }
                if let Some(out) = &mut out {
                    grid.store(s, &mut run, OUT, out, i, count, 0, loss);
                }
                (loss, s.splat(0.0))
            },
        );
        total.weight = Compensated::from_count(grid.len);
        valid.then_some(total)
    }
}

/// A function of one element.
pub(crate) trait Function {
    fn value<S: Simd>(s: S, x: S::F) -> S::F;
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident = $function:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl Function for $name {
            #[inline(always)]
            fn value<S: Simd>(s: S, x: S::F) -> S::F {
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
                map_slice(
                    s,
                    x,
                    out.get_mut(range(1)).unwrap_or(&mut []),
                    #[inline(always)]
                    |x| F::value(s, x),
                );
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

/// `x`, or without it `out` itself, through a function to `out`.
#[inline(always)]
pub(crate) fn map_slice<S: Simd>(s: S, x: Option<&[f32]>, out: &mut [f32], f: impl Fn(S::F) -> S::F) {
    let (out, out_rest) = out.as_chunks_mut::<LANES>();
    if let Some(x) = x {
        let (x, x_rest) = x.as_chunks::<LANES>();
        for (x, out) in x.iter().zip(out) {
            for group in 0..LANES / S::N {
                s.store(f(s.load(x, group)), out, group);
            }
        }
        for (x, out) in x_rest.chunks(S::N).zip(out_rest.chunks_mut(S::N)) {
            s.store_part(f(s.load_part(x, 0.0)), out);
        }
    } else {
        for block in out {
            for group in 0..LANES / S::N {
                s.store(f(s.load(block, group)), block, group);
            }
        }
        for part in out_rest.chunks_mut(S::N) {
            s.store_part(f(s.load_part(part, 0.0)), part);
        }
    }
}
