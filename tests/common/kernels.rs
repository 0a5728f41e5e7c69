//! The kernels as values, to be run on arrays of any rank.

use losslanes::{
    Backend, Error, View, ViewMut,
    kernels::{self, Kernels},
};

use super::{
    array::Array,
    backends, check,
    layouts::{CONTIGUOUS, Canvas, Laid, PLACEMENTS, Placement},
    reference,
};

/// A kernel whose result has the shape of its input.
#[derive(Clone, Copy, Debug)]
pub enum Map {
    Exp,
    Ln,
    Sigmoid,
    LogSigmoid,
    Softplus,
    /// Along this axis.
    Softmax(usize),
    LogSoftmax(usize),
}

impl Map {
    pub const ELEMENTWISE: [Self; 5] = [Self::Exp, Self::Ln, Self::Sigmoid, Self::LogSigmoid, Self::Softplus];

    /// Every kernel for an array of this rank.
    pub fn all(rank: usize) -> impl Iterator<Item = Self> {
        Self::ELEMENTWISE.into_iter().chain((0..rank).flat_map(|axis| [Self::Softmax(axis), Self::LogSoftmax(axis)]))
    }

    pub fn run(self, backend: Backend, x: &Array<f32>, from: Placement, to: Placement) -> Vec<f32> {
        let from = Laid::new(x, from);
        let mut out = Canvas::new(&x.shape, to);
        let on = kernels::on(backend);
        let done = match x.shape.len() {
            1 => self.call::<1>(on, from.view(), out.view()),
            2 => self.call::<2>(on, from.view(), out.view()),
            3 => self.call::<3>(on, from.view(), out.view()),
            4 => self.call::<4>(on, from.view(), out.view()),
            rank => panic!("no test has rank {rank}"),
        };
        done.expect("valid arguments");
        out.finish()
    }

    pub fn run_in_place(self, backend: Backend, x: &Array<f32>, at: Placement) -> Vec<f32> {
        let mut x_and_out = Canvas::holding(x, at);
        let on = kernels::on(backend);
        let done = match x.shape.len() {
            1 => self.call_in_place::<1>(on, x_and_out.view()),
            2 => self.call_in_place::<2>(on, x_and_out.view()),
            3 => self.call_in_place::<3>(on, x_and_out.view()),
            4 => self.call_in_place::<4>(on, x_and_out.view()),
            rank => panic!("no test has rank {rank}"),
        };
        done.expect("valid arguments");
        x_and_out.finish()
    }

    pub fn call<const D: usize>(self, on: Kernels, x: View<'_, f32, D>, out: ViewMut<'_, f32, D>) -> Result<(), Error> {
        match self {
            Self::Exp => on.exp(x, out),
            Self::Ln => on.ln(x, out),
            Self::Sigmoid => on.sigmoid(x, out),
            Self::LogSigmoid => on.log_sigmoid(x, out),
            Self::Softplus => on.softplus(x, out),
            Self::Softmax(axis) => on.softmax(x, axis, out),
            Self::LogSoftmax(axis) => on.log_softmax(x, axis, out),
        }
    }

    pub fn call_in_place<const D: usize>(self, on: Kernels, x: ViewMut<'_, f32, D>) -> Result<(), Error> {
        match self {
            Self::Exp => on.exp_in_place(x),
            Self::Ln => on.ln_in_place(x),
            Self::Sigmoid => on.sigmoid_in_place(x),
            Self::LogSigmoid => on.log_sigmoid_in_place(x),
            Self::Softplus => on.softplus_in_place(x),
            Self::Softmax(axis) => return on.softmax_in_place(x, axis),
            Self::LogSoftmax(axis) => return on.log_softmax_in_place(x, axis),
        }
        Ok(())
    }

    pub fn reference(self, x: &Array<f32>) -> Vec<f64> {
        let each = |f: fn(f64) -> f64| x.data.iter().map(|&x| f(x.into())).collect();
        match self {
            Self::Exp => each(f64::exp),
            Self::Ln => each(f64::ln),
            Self::Sigmoid => each(reference::sigmoid),
            Self::LogSigmoid => each(reference::log_sigmoid),
            Self::Softplus => each(reference::softplus),
            Self::Softmax(axis) => x.along(axis, reference::softmax),
            Self::LogSoftmax(axis) => x.along(axis, reference::log_softmax),
        }
    }
}

/// A kernel that makes a number of a row.
#[derive(Clone, Copy, Debug)]
pub enum Reduction {
    RowMax,
    /// With this shift.
    ExpSum(f32),
    LogSumExp,
}

impl Reduction {
    pub const ALL: [Self; 3] = [Self::RowMax, Self::ExpSum(1.5), Self::LogSumExp];

    pub fn run(self, backend: Backend, x: &Array<f32>, at: Placement) -> f32 {
        let x = Laid::new(x, at);
        let on = kernels::on(backend);
        match self {
            Self::RowMax => on.row_max(x.view()),
            Self::ExpSum(shift) => on.exp_sum(x.view(), shift),
            Self::LogSumExp => on.log_sum_exp(x.view()),
        }
    }

    /// Compares a result with that in `f64`.
    #[track_caller]
    pub fn assert_close(self, got: f32, x: &[f32], what: impl FnOnce() -> String) {
        match self {
            Self::RowMax => check::close(got, reference::row_max(x), 0.0, what),
            Self::ExpSum(shift) => check::close(got, reference::exp_sum(x, shift), check::SOFTMAX, what),
            Self::LogSumExp => {
                let (max, log) = reference::log_sum_exp(x);
                let want = max + log;
                if want.is_finite() {
                    // The maximum and the logarithm that is added to it may cancel: the bound is relative to both.
                    let error = (f64::from(got) - want).abs();
                    assert!(error <= check::NEAR * (max.abs() + log), "got {got:e}, expected {want:e} on {}", what());
                } else {
                    check::close(got, want, 0.0, what);
                }
            }
        }
    }
}

/// Runs every kernel on every backend and in every layout; the backends of one arithmetic must give the same bits.
#[track_caller]
pub fn assert_same_bits(x: &Array<f32>) {
    let rank = x.shape.len();
    for backends in backends::by_arithmetic() {
        let settings = || backends.iter().flat_map(|&backend| PLACEMENTS.map(|placement| (backend, placement)));
        for map in Map::all(rank) {
            let want = map.run(backends[0], x, CONTIGUOUS, CONTIGUOUS);
            for ((backend, from), to) in settings().zip(PLACEMENTS.into_iter().cycle().skip(1).step_by(2)) {
                let what = || format!("{map:?} on {backend} from {from:?} to {to:?}: {x:?}");
                check::same_bits(&map.run(backend, x, from, to), &want, what);
                check::same_bits(&map.run_in_place(backend, x, from), &want, || format!("in place, {}", what()));
            }
        }
        for reduction in Reduction::ALL.into_iter().filter(|_| rank == 1) {
            let want = reduction.run(backends[0], x, CONTIGUOUS);
            for (backend, at) in settings() {
                let got = reduction.run(backend, x, at);
                check::same_bits(&[got], &[want], || format!("{reduction:?} on {backend} at {at:?}: {x:?}"));
            }
        }
    }
}
