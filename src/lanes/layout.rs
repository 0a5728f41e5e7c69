//! Rows of logits, and the ways through them: which one is the fastest for how they lie in memory, once for each call.

use core::marker::PhantomData;

use super::{
    columns::Columns,
    cross::{Cross, Smoothing},
    direct::Direct,
    gradient::TargetGradients,
    grid::{Grid, Run},
    labels::IGNORED,
    map::{Coefficients, Memory, RowMap, write_lanes},
    others::ABSENT,
    packed::Packed,
    partition::{Form, Partition, always},
    rows::ByRows,
    strided::Strided,
};
use crate::simd::{Four, Group, Kernel, Simd, Step};

/// Rows of so many classes never take a lane each.
pub(crate) const SHORT: usize = 64;

/// Rows of logits: array 0 of the grid, in whose elements the classes start. Their memory goes along as `x`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, const K: usize> {
    pub(crate) grid: Grid<'a, K>,
    pub(crate) classes: usize,
    /// The distance of neighbouring classes.
    pub(crate) stride: isize,
    pub(crate) cross: &'a Cross<'a>,
    pub(crate) smoothing: Smoothing,
}

impl<const K: usize> Rows<'_, K> {
    /// The logit of a class of the row that starts at `row`; [`ABSENT`] for [`IGNORED`].
    #[inline(always)]
    pub(crate) fn logit(&self, x: &[f32], row: usize, class: usize) -> f32 {
        let at = row.wrapping_add_signed(self.stride.wrapping_mul(class.cast_signed()));
        if class == IGNORED { ABSENT } else { x.get(at).copied().unwrap_or(0.0) }
    }

    /// The logits of these classes of the rows from `i` on, one by one; [`ABSENT`] for [`IGNORED`].
    #[inline(always)]
    pub(crate) fn pick<S: Simd>(&self, s: S, x: &[f32], run: &mut Run<K>, i: usize, labels: &[usize]) -> S::F {
        let mut logit = always(
            #[inline(always)]
            |l: usize, class: usize| {
                let i = i.wrapping_add(l);
                if !S::SINGLE {
                    self.grid.seek(run, i);
                }
                self.logit(x, self.grid.offset(run, 0, i), class)
            },
        );
        if let &[class] = labels {
            return s.splat(logit(0, class));
        }
        let mut logits = s.to_lanes(s.splat(ABSENT));
        for (l, (lane, &class)) in logits.as_mut().iter_mut().zip(labels).enumerate() {
            *lane = logit(l, class);
        }
        s.from_lanes(logits)
    }

    /// What exponentials are relative to at first: the target's logit, or else nothing.
    #[inline(always)]
    pub(crate) fn reference<F: Form, T>(&self, target: T) -> Option<T> {
        if F::TARGET && (!F::CROSS || self.smoothing.by_target) { Some(target) } else { None }
    }

    /// The fastest way through the rows, for a form and a map.
    pub(crate) fn way<S: Simd, M: RowMap, F: Form>(&self) -> Way {
        if self.stride == 1 {
            if self.classes < self.short::<S, M, F>() && self.grid.len > 1 { Way::Packed } else { Way::Rows }
        } else if self.grid.step(0) == 1 {
            Way::Columns
        } else {
            Way::Strided
        }
    }

    /// Rows of fewer classes are faster with a lane each than side by side, which takes no transposition: the wider the vectors,
    /// the more, and the more there is to do with each class. Measured on x86.
    const fn short<S: Simd, M: RowMap, F: Form>(&self) -> usize {
        match S::N {
            ..=4 if F::ONCE && !M::EXPONENTIALS => 12,
            ..=4 if !F::CROSS => 24,
            ..=4 if self.cross.target.is_some() => 32,
            8 if F::ONCE && !M::EXPONENTIALS => 24,
            _ => SHORT,
        }
    }
}

/// A way through the rows, with the memory that it needs.
pub(crate) trait Layout {
    /// The most classes of rows of which [`Layout::four`] takes all vectors at once, and not one after the other.
    const AT_ONCE: usize = 0;
    /// Whether it takes those of all rows one after the other.
    const BY_ONE: bool = Self::AT_ONCE == 0;

    /// The partition of the rows `i .. i + count`, at most `N`; the other lanes hold nothing of meaning. With
    /// `labels`, one for each row or none at all, the logits of these classes. With a map
    /// of exponentials, [`Layout::write`] of these rows may follow. A single lane is at its row already: see [`Grid::load`].
    #[expect(clippy::too_many_arguments, reason = "what rows, in what memory, and which of them")]
    fn partition<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F>;

    /// The same for the `4 N` rows from `i` on, all of which are there.
    #[inline(always)]
    fn four<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
    ) -> Partition<[S::F; 4]>
    where
        Self: Sized,
    {
        four_by_one::<S, Self, M, F, K>(self, s, rows, memory, run, i, labels)
    }

    /// Maps each logit of the rows `i .. i + count`, the vector `number` of those whose partition was just taken, but for
    /// the target classes if these have gradients of their own.
    #[expect(clippy::too_many_arguments, reason = "where to read, where to write, and what")]
    #[inline(always)]
    fn write<S: Simd, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        _number: usize,
        coefficients: &Coefficients<S::F>,
        targets: Option<&TargetGradients<'_, S::F>>,
    ) {
        write_lanes::<S, M, K>(s, rows, out, run, i, count, coefficients);
        if let Some(targets) = targets {
            targets.write(s, rows, out, run, i);
        }
    }

    /// [`Layout::write`] of a group of rows, of which each vector has `count`.
    #[expect(clippy::too_many_arguments, reason = "where to read, where to write, and what")]
    #[inline(always)]
    fn write_all<S: Simd, G: Group<S>, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        g: G,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        coefficients: &Coefficients<G::F>,
        targets: Option<&TargetGradients<'_, G::F>>,
    ) {
        for k in 0..G::VECTORS {
            let row = coefficients.nth(g, k);
            let targets = match targets {
                Some(targets) => Some(targets.nth(s, g, k)),
                None => None,
            };
            self.write::<S, M, K>(s, rows, out, run, i.wrapping_add(k * S::N), count, k, &row, targets.as_ref());
        }
    }
}

/// Four partitions, one after the other.
#[inline(always)]
fn four_by_one<S: Simd, L: Layout, M: RowMap, F: Form, const K: usize>(
    layout: &mut L,
    s: S,
    rows: &Rows<'_, K>,
    memory: &mut Memory<'_>,
    run: &mut Run<K>,
    i: usize,
    labels: &[usize],
) -> Partition<[S::F; 4]> {
    let mut all = Partition::none(Four(s));
    for k in 0..4 {
        let from = k * S::N;
        let labels = labels.get(from..from + S::N).unwrap_or(&[]);
        let one = layout.partition::<S, M, F, K>(s, rows, memory, run, i.wrapping_add(from), S::N, labels);
        all.max[k] = one.max;
        all.others[k] = one.others;
        all.cross[k] = one.cross;
        all.mass[k] = one.mass;
        all.logit[k] = one.logit;
        all.target[k] = one.target;
    }
    all
}

/// A kernel over rows, for any way through them.
pub(crate) trait RowKernel {
    type Output;
    fn run<S: Simd, L: Layout>(&mut self, s: S, layout: &mut L) -> Self::Output;
}

/// The ways through rows.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// Long rows of contiguous classes: [`ByRows`].
    Rows,
    /// Short rows of contiguous classes: [`Packed`].
    Packed,
    /// Neighbouring rows are neighbours in memory, as the pixels of NCHW: [`Columns`].
    Columns,
    /// Anything else: [`Strided`].
    Strided,
}

/// Runs a kernel in one way through its rows; a single lane goes the direct way through all. Each way has a function of its
/// own, so that none carries the others' registers and memory.
#[inline(always)]
pub(crate) fn run_way<S: Simd, R: RowKernel>(s: S, way: Way, kernel: &mut R) -> R::Output {
    if S::SINGLE {
        return kernel.run(s, &mut Direct);
    }
    match way {
        Way::Rows => s.vectorize_apart(&mut On::<_, ByRows>::new(kernel)),
        Way::Packed => s.vectorize_apart(&mut On::<_, Packed>::new(kernel)),
        Way::Columns => s.vectorize_apart(&mut On::<_, Columns>::new(kernel)),
        Way::Strided => s.vectorize_apart(&mut On::<_, Strided>::new(kernel)),
    }
}

/// The same in one function for all ways: a quarter of the code, where more happens for each class than for each row.
#[inline(always)]
pub(crate) fn run_way_shared<S: Simd, R: RowKernel>(s: S, way: Way, kernel: &mut R) -> R::Output {
    if S::SINGLE {
        return kernel.run(s, &mut Direct);
    }
    match way {
        Way::Rows => s.vectorize_apart(&mut OnAny::<_, ByRows>(kernel, |way| AnyWay::Rows(way))),
        Way::Packed => s.vectorize_apart(&mut OnAny::<_, Packed>(kernel, |way| AnyWay::Packed(way))),
        Way::Columns => s.vectorize_apart(&mut OnAny::<_, Columns>(kernel, |way| AnyWay::Columns(way))),
        Way::Strided => s.vectorize_apart(&mut OnAny::<_, Strided>(kernel, |way| AnyWay::Strided(way))),
    }
}

/// A kernel in one way.
struct On<'k, R, L>(&'k mut R, PhantomData<L>);

impl<'k, R, L> On<'k, R, L> {
    #[inline(always)]
    fn new(kernel: &'k mut R) -> Self {
        Self(kernel, PhantomData)
    }
}

impl<R: RowKernel, L: Layout + Default> Kernel for On<'_, R, L> {
    type Output = R::Output;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> R::Output {
        self.0.run(s, &mut Apart(L::default()))
    }
}

/// A kernel in one way as any: what makes the way's memory.
struct OnAny<'k, R, L>(&'k mut R, fn(&mut Apart<L>) -> AnyWay<'_>);

impl<R: RowKernel, L: Layout + Default> Kernel for OnAny<'_, R, L> {
    type Output = R::Output;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> R::Output {
        let mut layout = Apart(L::default());
        s.vectorize_apart(&mut InAny(&mut *self.0, (self.1)(&mut layout)))
    }
}

/// A kernel in any way.
struct InAny<'k, R>(&'k mut R, AnyWay<'k>);

impl<R: RowKernel> Kernel for InAny<'_, R> {
    type Output = R::Output;

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S) -> R::Output {
        self.0.run(s, &mut self.1)
    }
}

/// One of the ways, whose steps are those of [`Apart`].
enum AnyWay<'l> {
    Rows(&'l mut Apart<ByRows>),
    Packed(&'l mut Apart<Packed>),
    Columns(&'l mut Apart<Columns>),
    Strided(&'l mut Apart<Strided>),
}

/// A method of whichever way it is.
macro_rules! of_way {
    ($self:ident, $way:ident => $call:expr) => {
        match $self {
            AnyWay::Rows($way) => $call,
            AnyWay::Packed($way) => $call,
            AnyWay::Columns($way) => $call,
            AnyWay::Strided($way) => $call,
        }
    };
}

impl Layout for AnyWay<'_> {
    #[inline(always)]
    fn partition<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        of_way!(self, way => way.partition::<S, M, F, K>(s, rows, memory, run, i, count, labels))
    }

    #[inline(always)]
    fn four<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
    ) -> Partition<[S::F; 4]> {
        of_way!(self, way => way.four::<S, M, F, K>(s, rows, memory, run, i, labels))
    }

    #[inline(always)]
    fn write_all<S: Simd, G: Group<S>, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        g: G,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        coefficients: &Coefficients<G::F>,
        targets: Option<&TargetGradients<'_, G::F>>,
    ) {
        of_way!(self, way => way.write_all::<S, G, M, K>(s, g, rows, out, run, i, count, coefficients, targets));
    }
}

/// A way whose steps are functions of their own: without optimisation each operation of a function has a place on the stack
/// for itself, and in one function they would fill that of a thread.
struct Apart<L>(L);

impl<L: Layout> Layout for Apart<L> {
    #[inline(always)]
    fn partition<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        labels: &[usize],
    ) -> Partition<S::F> {
        s.vectorize(&mut Step(
            #[inline(always)]
            || self.0.partition::<S, M, F, K>(s, rows, memory, run, i, count, labels),
        ))
    }

    #[inline(always)]
    fn four<S: Simd, M: RowMap, F: Form, const K: usize>(
        &mut self,
        s: S,
        rows: &Rows<'_, K>,
        memory: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        labels: &[usize],
    ) -> Partition<[S::F; 4]> {
        // One after the other, each vector is a call of the step above, so that there is no second copy of that. Rows of a hundred
        // classes are 2 to 8 % faster with one, which is worth it to those without a weighted sum.
        if L::BY_ONE {
            if F::CROSS {
                return four_by_one::<S, Self, M, F, K>(self, s, rows, memory, run, i, labels);
            }
        } else if !(1..=L::AT_ONCE).contains(&rows.classes) {
            return four_by_one::<S, Self, M, F, K>(self, s, rows, memory, run, i, labels);
        }
        s.vectorize(&mut Step(
            #[inline(always)]
            || self.0.four::<S, M, F, K>(s, rows, memory, run, i, labels),
        ))
    }

    #[inline(always)]
    fn write_all<S: Simd, G: Group<S>, M: RowMap, const K: usize>(
        &mut self,
        s: S,
        g: G,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        coefficients: &Coefficients<G::F>,
        targets: Option<&TargetGradients<'_, G::F>>,
    ) {
        s.vectorize(&mut Step(
            #[inline(always)]
            || self.0.write_all::<S, G, M, K>(s, g, rows, out, run, i, count, coefficients, targets),
        ));
    }
}
