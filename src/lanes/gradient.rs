//! Gradients of the losses of rows.
//!
//! The gradient of a row's loss has the form `T p_c - q_c`, for the softmax `p` of its logits, coefficients `q`
//! that do not depend on the logits, and their sum `T` over the row; and every row of it adds up to 0:
//!
//! - a target class `t`: `q_c = (1 - e) w_t [c = t] + (e / C) w_c`;
//! - class probabilities: `q_c = w_c t'_c`.
//!
//! Where a prediction is confident, `p_c` is near 1 and the difference loses its digits. So for a logit that has more than
//! half of the probability it is `(T - q_c) - T (1 - p_c)`, and for a target class `(1 - e) w_t` of it is `-(1 - e) w_t (1 - p_t)`, with the
//! sums of the other probabilities from the partition: `1 - p_t = ((1 - e_t) + others) / (1 + others)`,
//! where `e_t = exp(x_t - max)`.

use super::{
    grid::Run,
    labels::{IGNORED, of_each, to_float},
    layout::Rows,
    map::{Coefficients, Memory, RowMap},
    math,
    partition::{Form, Partition, small_count},
    pass::UPSTREAM,
};
use crate::simd::{Group, Ops, Simd};

/// What the losses are multiplied with.
#[derive(Clone, Copy)]
pub(crate) enum Upstream<'a> {
    /// One number: 1 for a sum, the inverse of the denominator for a mean.
    Same(f32),
    /// A number for each row: an array of the grid.
    Each(&'a [f32]),
}

impl Upstream<'_> {
    /// Of a group of rows, of which each vector has `count`.
    #[inline(always)]
    pub(crate) fn load<S: Simd, G: Group<S>, const K: usize>(
        self,
        s: S,
        g: G,
        rows: &Rows<'_, K>,
        run: &mut Run<K>,
        i: usize,
        count: usize,
    ) -> G::F {
        match self {
            Self::Same(x) => g.splat(x),
            Self::Each(data) => g.gather(
                #[inline(always)]
                |k| rows.grid.load(s, run, UPSTREAM, data, i.wrapping_add(k * S::N), count, 0, 0.0),
            ),
        }
    }
}

/// The gradient of the target's part alone: `T p_c`, but for the target itself.
pub(crate) struct Softmax;

impl RowMap for Softmax {
    const EXPONENTIALS: bool = true;
    const CROSS: bool = false;

    #[inline(always)]
    fn value<O: Ops>(o: O, row: &Coefficients<O::F>, e: O::F, _: O::F) -> O::F {
        o.mul(o.times_power(e, row.unit), row.factor)
    }
}

/// `T p_c - q_c`.
pub(crate) struct Difference;

impl RowMap for Difference {
    const EXPONENTIALS: bool = true;
    const CROSS: bool = true;

    #[inline(always)]
    fn value<O: Ops>(o: O, row: &Coefficients<O::F>, e: O::F, q: O::F) -> O::F {
        let q = o.mul(q, row.upstream);
        let scaled = o.mul(o.times_power(e, row.unit), row.factor);
        o.select(o.eq(e, row.leader), o.sub(o.sub(row.total, q), row.rest), o.sub(scaled, q))
    }
}

/// The gradient with respect to a class probability: `(lse - x_c) w_c (1 - e)`. Here `q` is the weight, and
/// `factor` is `ln_1p(others)`.
pub(crate) struct TargetGradient;

impl RowMap for TargetGradient {
    const EXPONENTIALS: bool = false;
    const CROSS: bool = true;

    #[inline(always)]
    fn value<O: Ops>(o: O, row: &Coefficients<O::F>, x: O::F, q: O::F) -> O::F {
        let loss = o.add(o.sub(row.reference, x), row.factor);
        o.mul(loss, o.mul(q, row.upstream))
    }
}

/// The coefficients for rows in which `total` is `T`.
#[inline(always)]
pub(crate) fn coefficients<O: Ops>(
    o: O,
    partition: &Partition<O::F>,
    total: O::F,
    upstream: O::F,
) -> Coefficients<O::F> {
    let one = o.splat(1.0);
    let all = o.add(one, partition.others);
    // Of a target far behind, the others are up to 2^67, and `T` over them might vanish. So their power of two, `2^k` by the exponent of
    // `all`, goes to the exponentials, which are as large.
    let scale = o.from_bits(o.int_sub(o.int(254 << 23), o.int_and(o.bits(all), o.int(0x7f80_0000))));
    Coefficients {
        reference: partition.reference(o),
        unit: o.mul(o.splat(math::TERM_UNIT), scale),
        factor: o.div(total, o.mul(all, scale)),
        total,
        rest: o.mul(total, o.div(partition.others, all)),
        leader: o.select(o.lt(partition.others, one), o.splat(1.0 / math::TERM_UNIT), o.splat(-1.0)),
        upstream,
    }
}

/// The gradient of the target class: of its own part `own`, and of the part that is spread over all classes, of which
/// its `q` is `spread`.
#[inline(always)]
pub(crate) fn of_target<O: Ops, F: Form>(
    o: O,
    partition: &Partition<O::F>,
    own: O::F,
    spread: O::F,
    upstream: O::F,
) -> O::F {
    let all = o.add(o.splat(1.0), partition.others);
    let e = partition.target;
    let not_max = o.sub(o.splat(1.0), o.mul(e, o.splat(math::TERM_UNIT)));
    let others = o.div(o.add(not_max, partition.others), all);
    let own = o.neg(o.mul(own, others));
    if !F::CROSS {
        return own;
    }
    let row = coefficients(o, partition, o.mul(partition.mass, upstream), upstream);
    o.add(own, Difference::value(o, &row, e, spread))
}

/// Writes 0 to all classes of the rows `i .. i + count`.
#[inline(always)]
pub(crate) fn write_zeros<S: Simd, const K: usize>(
    s: S,
    rows: &Rows<'_, K>,
    out: &mut Memory<'_>,
    run: &mut Run<K>,
    i: usize,
    count: usize,
) {
    if out.stride == 1 {
        for l in 0..count {
            rows.grid.seek(run, i.wrapping_add(l));
            let row = rows.grid.offset(run, out.array, i.wrapping_add(l));
            out.data.get_mut(row..row.wrapping_add(rows.classes)).unwrap_or(&mut []).fill(0.0);
        }
        return;
    }
    for class in 0..rows.classes {
        out.store(s, &rows.grid, run, i, count, class, s.splat(0.0));
    }
}

/// The gradients of some rows' target classes; all of an ignored row is 0.
pub(crate) struct TargetGradients<'a, F> {
    pub(crate) labels: &'a [usize],
    pub(crate) gradient: F,
}

impl<'a, F: Copy> TargetGradients<'a, F> {
    /// Those of vector `k` of a group.
    #[inline(always)]
    pub(crate) fn nth<S: Simd, G: Group<S, F = F>>(&self, _: S, g: G, k: usize) -> TargetGradients<'a, S::F> {
        let labels = self.labels.get(k * S::N..).unwrap_or(&[]);
        TargetGradients { labels: labels.get(..S::N).unwrap_or(labels), gradient: g.nth(self.gradient, k) }
    }

    /// Writes them to the rows from `i` on.
    #[inline(always)]
    pub(crate) fn write<S: Simd<F = F>, const K: usize>(
        &self,
        s: S,
        rows: &Rows<'_, K>,
        out: &mut Memory<'_>,
        run: &mut Run<K>,
        i: usize,
    ) {
        let gradients = s.to_lanes(self.gradient);
        for (l, &class) in self.labels.iter().enumerate() {
            let i = i.wrapping_add(l);
            rows.grid.seek(run, i);
            let row = rows.grid.offset(run, out.array, i);
            if class == IGNORED {
                clear(out.data, row, out.stride, rows.classes);
                continue;
            }
            let at = row.wrapping_add_signed(out.stride.wrapping_mul(class.cast_signed()));
            if let (Some(out), Some(&gradient)) = (out.data.get_mut(at), gradients.as_ref().get(l)) {
                *out = gradient;
            }
        }
    }

    /// For rows that take a lane each.
    #[inline(always)]
    pub(crate) fn in_lanes<S: Simd, G: Group<S, F = F>>(&self, s: S, g: G) -> TargetLanes<G> {
        let label = as_floats(s, g, self.labels, 0);
        TargetLanes { label, gradient: self.gradient, kept: g.lt(label, g.splat(NO_CLASS)) }
    }
}

/// As [`TargetGradients`], a lane for each row.
#[derive(Clone, Copy)]
pub(crate) struct TargetLanes<O: Ops> {
    label: O::F,
    gradient: O::F,
    kept: O::M,
}

impl<O: Ops> TargetLanes<O> {
    /// The gradients of `class`: that of the target, or `y`.
    #[inline(always)]
    pub(crate) fn set(&self, o: O, class: usize, y: O::F) -> O::F {
        let y = o.select(o.eq(o.splat(small_count(class)), self.label), self.gradient, y);
        o.select(self.kept, y, o.splat(0.0))
    }
}

/// More than any class that [`as_floats`] has to tell from others.
const NO_CLASS: f32 = 16_777_216.0;

/// Labels of few classes as floats, which are exact, counted from `start` on. One that is ignored is far above them, and so is one
/// that comes before.
#[inline(always)]
pub(crate) fn as_floats<S: Simd, G: Group<S>>(s: S, g: G, labels: &[usize], start: usize) -> G::F {
    g.gather(
        #[inline(always)]
        |k| {
            let labels = labels.get(k * S::N..).unwrap_or(&[]);
            of_each(
                s,
                labels,
                -1.0,
                #[inline(always)]
                |label| to_float(label.wrapping_sub(start)),
            )
        },
    )
}

/// Writes 0 to `len` elements.
#[inline(never)]
fn clear(data: &mut [f32], offset: usize, stride: isize, len: usize) {
    let mut at = offset;
    for _ in 0..len {
        if let Some(out) = data.get_mut(at) {
            *out = 0.0;
        }
        at = at.wrapping_add_signed(stride);
    }
}
