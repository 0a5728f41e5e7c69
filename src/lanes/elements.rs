//! Losses and functions of single elements.

use core::marker::PhantomData;

use super::{
    gradient::Upstream,
    grid::{FlatArray, Grid, Run},
    math,
    sum::{Items, total},
};
use crate::{
    simd::{Four, Group, Kernel, LANES, Ops, Scratch, Simd},
    total::{Compensated, Total},
};

/// The arrays of a binary loss, in the order of its grid.
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

/// Input, target, weight and `pos_weight`; the input is missing where the gradient takes its place.
pub(crate) type Inputs<'a> = [Option<&'a [f32]>; OUT];

/// The memory of the arrays of a binary loss.
pub(crate) struct Data<'a> {
    pub(crate) inputs: Inputs<'a>,
    pub(crate) upstream: Upstream<'a>,
    pub(crate) out: Option<&'a mut [f32]>,
    pub(crate) gradient: Option<&'a mut [f32]>,
}

impl<L: BinaryLoss, const K: usize> Kernel for Binary<'_, L, K> {
    /// `None` where an input was refused.
    type Output = Option<Total>;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> Option<Total> {
        let Self { grid, data, loss } = self;
        let (len, loss) = (grid.len, *loss);
        let may_repeat = |k| matches!(k, WEIGHT | POS_WEIGHT) && grid.run.len <= PERIOD;
        if !S::SINGLE && (grid.is_flat() || grid.is_flat_or_repeats(may_repeat)) {
            let mut memory = [const { Scratch::new() }; 2];
            s.vectorize(&mut Sum::<_, _, K> { arrays: Flat::new(grid, data, &mut memory), len, loss })
        } else {
            s.vectorize(&mut Sum::<_, _, K> { arrays: Strided { run: grid.start(), data, grid }, len, loss })
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
        self.arrays.seek(i);
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
            self.store(s, g, GRADIENT, i, count, gradient);
        }
        self.store(s, g, OUT, i, count, loss);
        loss
    }

    /// Whether any input is.
    #[inline(always)]
    fn any_refused<S: Simd>(&mut self, s: S, len: usize) -> bool {
        let mut i = 0;
        while i < len {
            let count = S::N.min(len - i);
            self.arrays.seek(i);
            if L::refuses(s, self.load(s, s, INPUT, i, count, 0.0)) {
                return true;
            }
            i = i.wrapping_add(count);
        }
        false
    }

    #[inline(always)]
    fn load<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, pad: f32) -> G::F {
        self.arrays.load_group(s, g, k, i, count, pad)
    }

    #[inline(always)]
    fn store<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, x: G::F) {
        g.scatter(
            x,
            #[inline(always)]
            |number, x| self.arrays.store(s, k, i.wrapping_add(number * S::N), count, x),
        );
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

/// The arrays of a binary loss, walked in one way.
trait Arrays {
    fn has(&self, k: usize) -> bool;
    /// Goes to element `i`.
    fn seek(&mut self, i: usize);
    /// The elements `i .. i + count` of array `k`; `pad` in the other lanes.
    fn load<S: Simd>(&mut self, s: S, k: usize, i: usize, count: usize, pad: f32) -> S::F;
    /// The same for a group of vectors with `count` elements each.
    #[inline(always)]
    fn load_group<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, pad: f32) -> G::F {
        g.gather(
            #[inline(always)]
            |number| self.load(s, k, i.wrapping_add(number * S::N), count, pad),
        )
    }
    /// Writes the elements `i .. i + count` of the array `k`, if it is there.
    fn store<S: Simd>(&mut self, s: S, k: usize, i: usize, count: usize, x: S::F);
}

/// The longest runs that are repeated from a copy: of longer ones few vectors go from one to the next.
const PERIOD: usize = 1024;

/// A copy of a run, and of as much of the next one as a group of vectors may take.
type Repeated = Scratch<{ PERIOD / LANES + 4 }>;

/// An array that is walked without its strides.
#[derive(Clone, Copy)]
enum Walked<'a> {
    Flat(FlatArray<'a>),
    Repeated(&'a [f32]),
}

/// Arrays that are contiguous or a single number; the weights may be those of a run, repeated in every run.
struct Flat<'a> {
    inputs: [Option<Walked<'a>>; OUT],
    upstream: FlatArray<'a>,
    out: Option<&'a mut [f32]>,
    gradient: Option<&'a mut [f32]>,
    /// After so many elements repeated weights start again,
    period: usize,
    /// and here they last did.
    start: usize,
}

impl<'a> Flat<'a> {
    #[inline(always)]
    fn new<const K: usize>(grid: &Grid<'_, K>, data: &'a mut Data<'_>, memory: &'a mut [Repeated; 2]) -> Self {
        let flat = |k: usize| data.inputs[k].map(|data| Walked::Flat(grid.flat(k, data)));
        let [weight, pos_weight] = memory;
        let weight_of = |k: usize, memory: &'a mut Repeated| match data.inputs[k] {
            Some(data) if !grid.is_flat() && grid.repeats(k) => Some(Walked::Repeated(repeat(grid, k, data, memory))),
            _ => flat(k),
        };
        Self {
            inputs: [flat(INPUT), flat(TARGET), weight_of(WEIGHT, weight), weight_of(POS_WEIGHT, pos_weight)],
            period: grid.run.len.max(1),
            start: 0,
            upstream: match data.upstream {
                Upstream::Same(x) => FlatArray::Same(x),
                Upstream::Each(data) => grid.flat(UPSTREAM, data),
            },
            out: grid.flat_mut(OUT, data.out.as_deref_mut()),
            gradient: grid.flat_mut(GRADIENT, data.gradient.as_deref_mut()),
        }
    }
}

/// The first run's length of array `k`, from element 0 on, and what follows on it.
fn repeat<'m, const K: usize>(grid: &Grid<'_, K>, k: usize, data: &[f32], memory: &'m mut Repeated) -> &'m [f32] {
    let period = grid.run.len;
    let numbers = memory.first(period.saturating_add(4 * LANES));
    let mut done = period.min(numbers.len());
    grid.gather(&mut grid.start(), k, data, 0, 0, numbers.get_mut(..done).unwrap_or(&mut []));
    while let Some((from, to)) = numbers.split_at_mut_checked(done).filter(|(_, to)| !to.is_empty()) {
        for (to, &mut from) in to.iter_mut().zip(from) {
            *to = from;
        }
        done = done.saturating_mul(2).max(1);
    }
    numbers
}

impl Flat<'_> {
    #[inline(always)]
    fn array(&self, k: usize) -> Walked<'_> {
        let array = if k == UPSTREAM { Some(Walked::Flat(self.upstream)) } else { self.inputs[k] };
        array.unwrap_or_else(
            #[inline(always)]
            || Walked::Flat(FlatArray::Run(self.gradient.as_deref().unwrap_or(&[]))),
        )
    }

    /// The memory of array `k` and the place of element `i` in it, which is not before that of the last [`Arrays::seek`]; or the
    /// number that the array is.
    #[inline(always)]
    fn place(&self, k: usize, i: usize) -> Result<(&[f32], usize), f32> {
        match self.array(k) {
            Walked::Flat(FlatArray::Same(x)) => Err(x),
            Walked::Flat(FlatArray::Run(data)) => Ok((data, i)),
            Walked::Repeated(data) => Ok((data, i.wrapping_sub(self.start))),
        }
    }
}

impl Arrays for Flat<'_> {
    #[inline(always)]
    fn has(&self, k: usize) -> bool {
        self.inputs[k].is_some()
    }

    #[inline(always)]
    fn seek(&mut self, i: usize) {
        if i.wrapping_sub(self.start) >= self.period {
            self.start = i.wrapping_sub(i.checked_rem(self.period).unwrap_or(0));
        }
    }

    #[inline(always)]
    fn load<S: Simd>(&mut self, s: S, k: usize, i: usize, count: usize, pad: f32) -> S::F {
        match self.place(k, i) {
            Ok((data, at)) => s.load_part(data.get(at..at.wrapping_add(count)).unwrap_or(&[]), pad),
            Err(x) => s.splat(x),
        }
    }

    #[inline(always)]
    fn load_group<S: Simd, G: Group<S>>(&mut self, s: S, g: G, k: usize, i: usize, count: usize, pad: f32) -> G::F {
        if G::VECTORS == 1 {
            return g.gather(
                #[inline(always)]
                |_| self.load(s, k, i, count, pad),
            );
        }
        // One check for all.
        match self.place(k, i) {
            Ok((data, at)) => match data.get(at..at.wrapping_add(G::VECTORS * S::N)) {
                Some(block) => g.gather(
                    #[inline(always)]
                    |number| s.load_part(block.get(number * S::N..).unwrap_or(&[]), pad),
                ),
                None => g.splat(pad),
            },
            Err(x) => g.splat(x),
        }
    }

    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, k: usize, i: usize, count: usize, x: S::F) {
        let array = if k == OUT { &mut self.out } else { &mut self.gradient };
        if let Some(out) = array.as_deref_mut().unwrap_or(&mut []).get_mut(i..i.wrapping_add(count)) {
            s.store_part(x, out);
        }
    }
}

/// Any layout.
struct Strided<'k, 'a, const K: usize> {
    grid: &'k Grid<'a, K>,
    run: Run<K>,
    data: &'k mut Data<'a>,
}

impl<const K: usize> Arrays for Strided<'_, '_, K> {
    #[inline(always)]
    fn has(&self, k: usize) -> bool {
        self.data.inputs[k].is_some()
    }

    #[inline(always)]
    fn seek(&mut self, i: usize) {
        self.grid.seek(&mut self.run, i);
    }

    #[inline(always)]
    fn load<S: Simd>(&mut self, s: S, k: usize, i: usize, count: usize, pad: f32) -> S::F {
        let data = match self.data.upstream {
            Upstream::Same(x) if k == UPSTREAM => return s.splat(x),
            Upstream::Each(data) if k == UPSTREAM => data,
            _ => self.data.inputs[k].or(self.data.gradient.as_deref()).unwrap_or(&[]),
        };
        self.grid.load(s, &mut self.run, k, data, i, count, 0, pad)
    }

    #[inline(always)]
    fn store<S: Simd>(&mut self, s: S, k: usize, i: usize, count: usize, x: S::F) {
        let array = if k == OUT { &mut self.data.out } else { &mut self.data.gradient };
        if let Some(out) = array {
            self.grid.store(s, &mut self.run, k, out, i, count, 0, x);
        }
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
        let Self { grid, data, derivative: _ } = self;
        let mut arrays = Strided { run: grid.start(), data, grid };
        for i in (0..grid.len).step_by(S::N) {
            let count = S::N.min(grid.len - i);
            arrays.seek(i);
            let x = arrays.load(s, INPUT, i, count, 0.0);
            let t = arrays.load(s, TARGET, i, count, 0.0);
            let one = s.splat(1.0);
            let pos_weight = if arrays.has(POS_WEIGHT) { arrays.load(s, POS_WEIGHT, i, count, 1.0) } else { one };
            let weight = if arrays.has(WEIGHT) { arrays.load(s, WEIGHT, i, count, 1.0) } else { one };
            let factor = s.mul(weight, arrays.load(s, UPSTREAM, i, count, 1.0));
            arrays.store(s, GRADIENT, i, count, s.mul(factor, V::value(s, x, t, pos_weight)));
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
    fn run<S: Simd>(&mut self, s: S) {
        let Self { grid, input, out, function: _ } = self;
        let mut run = grid.start();
        let contiguous = grid.run.steps == [1, 1];
        let mut i = 0;
        while i < grid.len {
            let left = grid.seek(&mut run, i).min(grid.len - i);
            if contiguous {
                let range = |k| {
                    let offset = grid.offset(&run, k, i);
                    offset..offset.wrapping_add(left)
                };
                let x = input.and_then(|x| x.get(range(0)));
                let y = out.get_mut(range(1)).unwrap_or(&mut []);
                let stream = x.is_some() && grid.len >= STREAMED;
                map_slice(s, x, y, stream, &PhantomData::<F>);
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
