//! Functions of each logit of a row and of what is known of the row: softmax and the gradients.

use super::{
    cross::{TARGET, Terms},
    direct::coefficient_of,
    elements::{Apply, STREAMED, map_slice},
    gradient::TargetLanes,
    grid::{Grid, Run},
    layout::Rows,
    math,
    partition::Partition,
};
use crate::simd::{Group, Ops, Simd};

/// What a [`RowMap`] knows of each of `N` rows.
#[derive(Clone, Copy)]
pub(crate) struct Coefficients<F> {
    /// What the exponentials are relative to.
    pub(crate) reference: F,
    /// What they are multiplied with, one after the other; of [`LogSoftmax`](super::softmax) the factor is subtracted.
    pub(crate) unit: F,
    pub(crate) factor: F,
    /// The sum of the gradient's positive part over the row, and that without the largest logit's.
    pub(crate) total: F,
    pub(crate) rest: F,
    /// The exponential, in units of [`math::TERM_UNIT`], of the logit that has more than half of the row's probability; −1, which none
    /// is, if none has.
    pub(crate) leader: F,
    /// What the loss is multiplied with.
    pub(crate) upstream: F,
}

impl<F: Copy> Coefficients<F> {
    /// Of a map that needs no more than a factor.
    #[inline(always)]
    pub(crate) fn new<O: Ops<F = F>>(o: O, partition: &Partition<F>, factor: F) -> Self {
        let (reference, zero) = (partition.reference(o), o.splat(0.0));
        Self { reference, unit: o.splat(1.0), factor, total: zero, rest: zero, leader: zero, upstream: zero }
    }

    /// Those of vector `k` of a group.
    #[inline(always)]
    pub(crate) fn nth<S: Simd, G: Group<S, F = F>>(&self, g: G, k: usize) -> Coefficients<S::F> {
        self.map(
            #[inline(always)]
            |x| g.nth(x, k),
        )
    }

    /// The same in every element of another kind.
    #[inline(always)]
    pub(crate) fn map<G>(self, mut f: impl FnMut(F) -> G) -> Coefficients<G> {
        Coefficients {
            reference: f(self.reference),
            unit: f(self.unit),
            factor: f(self.factor),
            total: f(self.total),
            rest: f(self.rest),
            leader: f(self.leader),
            upstream: f(self.upstream),
        }
    }
}

/// A function of each logit of a row.
pub(crate) trait RowMap {
    /// Whether it takes the exponential of the logit (see [`math::exponential`]), or the logit itself.
    const EXPONENTIALS: bool;
    /// Whether it needs the coefficients `q` of [`Cross`](super::cross::Cross).
    const CROSS: bool;

    fn value<O: Ops>(o: O, row: &Coefficients<O::F>, x: O::F, q: O::F) -> O::F;

    /// The value of a logit.
    #[inline(always)]
    fn of_logit<O: Ops>(o: O, row: &Coefficients<O::F>, x: O::F, q: O::F) -> O::F {
        let x = if Self::EXPONENTIALS { math::exponential(o, o.sub(x, row.reference)) } else { x };
        Self::value(o, row, x, q)
    }
}

/// No map: the rows are only read.
pub(crate) enum Unmapped {}

impl RowMap for Unmapped {
    const EXPONENTIALS: bool = false;
    const CROSS: bool = false;

    #[inline(always)]
    fn value<O: Ops>(_: O, _: &Coefficients<O::F>, x: O::F, _: O::F) -> O::F {
        x
    }
}

/// A [`RowMap`] of a group of rows that take a lane each, with a function as [`coefficient_of`].
pub(crate) struct InLanes<'c, O: Ops, C> {
    pub(crate) row: &'c Coefficients<O::F>,
    pub(crate) coefficient: C,
    /// The targets, if these have gradients of their own.
    pub(crate) targets: Option<TargetLanes<O>>,
}

impl<O: Ops, C: FnMut(usize, O::F) -> (O::F, O::F)> InLanes<'_, O, C> {
    /// The values of a class, of its logits or their exponentials.
    #[inline(always)]
    pub(crate) fn value<M: RowMap>(&mut self, o: O, class: usize, x: O::F) -> O::F {
        let q = if M::CROSS { (self.coefficient)(class, x).0 } else { x };
        let y = M::value(o, self.row, x, q);
        match &self.targets {
            Some(targets) => targets.set(o, class, y),
            None => y,
        }
    }
}

/// Where the rows are read and written.
pub(crate) struct Memory<'a> {
    /// The logits; `None` where the output takes their place.
    pub(crate) input: Option<&'a [f32]>,
    /// The output; empty where there is none.
    pub(crate) data: &'a mut [f32],
    /// The output's place in the grid, and the distance of its neighbouring classes.
    pub(crate) array: usize,
    pub(crate) stride: isize,
}

impl<'a> Memory<'a> {
    /// Of rows that are only read.
    #[inline(always)]
    pub(crate) fn read_only(input: &'a [f32]) -> Self {
        Self { input: Some(input), data: &mut [], array: 0, stride: 0 }
    }

    /// The memory of the logits.
    #[inline(always)]
    pub(crate) fn logits(&self) -> &[f32] {
        self.input.unwrap_or(self.data)
    }

    /// Whether so many results of rows go past the caches. In place, what is written is in the cache already.
    #[inline(always)]
    pub(crate) fn streams<const K: usize>(&self, rows: &Rows<'_, K>) -> bool {
        self.input.is_some() && rows.grid.len.saturating_mul(rows.classes) >= STREAMED
    }

    /// Writes one class of the rows `i .. i + count`.
    #[expect(clippy::too_many_arguments, reason = "which class of which rows")]
    #[inline(always)]
    pub(crate) fn store<S: Simd, const K: usize>(
        &mut self,
        s: S,
        grid: &Grid<'_, K>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
        class: usize,
        y: S::F,
    ) {
        let shift = self.stride.wrapping_mul(class.cast_signed());
        grid.store(s, run, self.array, self.data, i, count, shift, y);
    }
}

/// Maps the rows `i .. i + count` of any layout, a lane for each.
#[inline(always)]
pub(crate) fn write_lanes<S: Simd, M: RowMap, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    out: &mut Memory<'_>,
    run: &mut Run<K>,
    i: usize,
    count: usize,
    row: &Coefficients<S::F>,
) {
    let mut coefficient = coefficient_of::<S, S, K>(s, s, rows, run, i, count);
    for class in 0..rows.classes {
        let shift = rows.stride.wrapping_mul(class.cast_signed());
        let x = rows.grid.load(s, run, 0, out.logits(), i, count, shift, 0.0);
        let q = if M::CROSS { coefficient(class, x).0 } else { x };
        out.store(s, &rows.grid, run, i, count, class, M::of_logit(s, row, x, q));
    }
}

/// Maps the rows `i .. i + count`, a lane for each class. With `KEPT` the output has the exponentials of the logits.
#[inline(always)]
pub(crate) fn write_rows<S: Simd, M: RowMap, const KEPT: bool, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    out: &mut Memory<'_>,
    run: &mut Run<K>,
    i: usize,
    count: usize,
    row: &Coefficients<S::F>,
) {
    let lanes = row.map(
        #[inline(always)]
        |x| s.to_lanes(x),
    );
    for l in 0..count {
        let i = i.wrapping_add(l);
        rows.grid.seek(run, i);
        let range = |k: usize| {
            let offset = rows.grid.offset(run, k, i);
            offset..offset.wrapping_add(rows.classes)
        };
        let target = if M::CROSS && rows.cross.target.is_some() { rows.grid.offset(run, TARGET, i) } else { 0 };
        let row = lanes.map(
            #[inline(always)]
            |lanes| lanes.as_ref().get(l).copied().unwrap_or_default(),
        );
        let x = if KEPT { None } else { out.input.and_then(|x| x.get(range(0))) };
        let function = OfRow::<M, KEPT, K> { rows, target, row, map: core::marker::PhantomData };
        let stream = !KEPT && out.streams(rows);
        let y = out.data.get_mut(range(out.array)).unwrap_or(&mut []);
        map_slice(s, x, y, stream, &function);
    }
}

/// A [`RowMap`] in one row, whose targets start at `target`.
struct OfRow<'r, 'a, M, const KEPT: bool, const K: usize> {
    rows: &'r Rows<'a, K>,
    target: usize,
    row: Coefficients<f32>,
    map: core::marker::PhantomData<M>,
}

impl<M: RowMap, const KEPT: bool, const K: usize> Apply for OfRow<'_, '_, M, KEPT, K> {
    #[inline(always)]
    fn apply<S: Simd, G: Group<S>>(&self, s: S, g: G, at: usize, x: G::F) -> G::F {
        let row = self.row.map(
            #[inline(always)]
            |x| g.splat(x),
        );
        let q = if M::CROSS { self.rows.cross.in_row(s, self.target).term(g, at, x).0 } else { x };
        if KEPT { M::value(g, &row, x, q) } else { M::of_logit(g, &row, x, q) }
    }
}
