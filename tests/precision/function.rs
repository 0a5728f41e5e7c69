//! The functions of `lanes::math` as types, so that a sweep is compiled for each.

use std::marker::PhantomData;

use crate::{
    exact, math,
    simd::{Block, Kernel, Ops, Simd},
};

pub(crate) trait Function {
    /// The bits of the largest input: from +0 up to here, all there is for a function of probabilities.
    const LAST: u32;
    /// The same by integers.
    const LAST_BY_INTEGERS: u32;

    fn run<S: Ops>(s: S, x: S::F) -> S::F;
    fn exact(x: f64) -> f64;
}

macro_rules! functions {
    ($($name:ident to $last:expr, $by_integers:expr, $run:expr;)*) => {$(
        #[expect(non_camel_case_types, reason = "named as the function")]
        pub(crate) struct $name;

        impl Function for $name {
            const LAST: u32 = $last;
            const LAST_BY_INTEGERS: u32 = $by_integers;

            #[inline(always)]
            fn run<S: Ops>(s: S, x: S::F) -> S::F {
                $run(s, x)
            }
            #[inline(always)]
            fn exact(x: f64) -> f64 {
                exact::$name(x)
            }
        }
    )*};
}

const ONE: u32 = 1.0_f32.to_bits();
const ALL: u32 = u32::MAX;
/// The last one of those that are not negative.
const POSITIVE: u32 = u32::MAX >> 1;

functions! {
    exp to ALL, ALL, math::exp;
    exponential to ALL, ALL, math::exponential;
    ln to ALL, ALL, math::ln;
    ln_1p to ALL, POSITIVE, math::ln_1p;
    ln_probability to ONE, ONE, math::ln_probability;
    ln_complement to ONE, ONE, math::ln_complement;
    sigmoid to ALL, ALL, math::sigmoid;
    log_sigmoid to ALL, ALL, math::log_sigmoid;
    softplus to ALL, ALL, math::softplus;
    soft to ALL, ALL, math::soft;
    sigmoids to ALL, ALL, |s, x| math::sigmoids_and_soft(s, x).0;
}

/// A function of each number.
pub(crate) struct Apply<'a, F> {
    pub(crate) x: &'a [Block],
    pub(crate) out: &'a mut [Block],
    pub(crate) function: PhantomData<F>,
}

impl<F: Function> Kernel for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) {
        for (x, out) in self.x.iter().zip(&mut *self.out) {
            for (x, out) in x.chunks(S::N).zip(out.chunks_mut(S::N)) {
                s.store_part(F::run(s, s.load_part(x, 0.0)), out);
            }
        }
    }
}
