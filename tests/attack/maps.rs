//! The kernels.

use arbitrary::Result;
use losslanes::{Argument, Backend, Error, kernels};

use super::{
    Attack,
    call::{is_close, misfit},
    claim::{Claim, is_untouched},
    source::{Fill, Source},
};
use crate::common::{
    backends, check,
    kernels::{Map, Reduction},
    reference,
};

/// A call of a kernel whose result has the shape of its input, and of all that make a number of a row.
#[derive(Debug)]
pub struct Maps<const D: usize> {
    map: Map,
    input: Claim<f32, D>,
    out: Claim<f32, D>,
    shift: f32,
}

impl<const D: usize> Maps<D> {
    fn read(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
        let map = match source.below(8)? {
            0 => Map::Exp,
            1 => Map::Ln,
            2 => Map::Sigmoid,
            3 => Map::LogSigmoid,
            4 => Map::Softplus,
            5 => Map::LogSoftmax(Self::axis(source)?),
            _ => Map::Softmax(Self::axis(source)?),
        };
        let shape = source.shape::<D>()?;
        let (input, out) = (source.array(shape, Fill::Logits)?, source.output(shape)?);
        Ok(Box::new(Self { map, input, out, shift: source.number()? }))
    }

    fn axis(source: &mut Source<'_>) -> Result<usize> {
        if source.rarely()? { source.word() } else { source.below(D) }
    }

    fn faults(&self) -> Vec<Error> {
        let fits = misfit(Argument::Output, &self.out.shape, &self.input.shape);
        fits.into_iter().chain(self.fault_of_axis()).collect()
    }

    fn fault_of_axis(&self) -> Option<Error> {
        match self.map {
            Map::Softmax(axis) | Map::LogSoftmax(axis) if axis >= D => Some(Error::AxisOutOfRange { axis, rank: D }),
            _ => None,
        }
    }

    /// Beside the input or in its place; `None` if it was refused as it should be.
    fn run(&self, backend: Backend, in_place: bool) -> Option<Vec<f32>> {
        let on = kernels::on(backend);
        let at = if in_place { &self.input } else { &self.out };
        let mut memory = at.data.clone();
        let out = at.view_mut(&mut memory).expect("checked");
        let (result, faults) = if in_place {
            (self.map.call_in_place(on, out), self.fault_of_axis().into_iter().collect())
        } else {
            (self.map.call(on, self.input.view().expect("checked"), out), self.faults())
        };
        match result {
            Ok(()) => {
                assert!(faults.is_empty(), "not refused for {faults:?}: {self:?}");
                Some(at.written(&at.places(), memory, || format!("{self:?}")))
            }
            Err(error) => {
                assert!(faults.contains(&error), "refused for {error:?}: {self:?}");
                assert!(is_untouched(&at.data, &memory), "changed with an error: {self:?}");
                None
            }
        }
    }

    fn check_reference(&self, got: &[f32], backend: Backend) {
        let want = self.map.reference(&self.input.array());
        for (i, (&got, &want)) in got.iter().zip(&want).enumerate() {
            let relative = match self.map {
                Map::Exp | Map::Ln => 1.0,
                Map::Sigmoid | Map::LogSigmoid | Map::Softplus => 1.5,
                // Below 0 by 104 at most, where the difference of two logits is rounded; the rest is within 1e-6.
                Map::Softmax(_) => 104.0 + 16.0,
                Map::LogSoftmax(_) => check::LOSS * f64::from(1 << 24),
            };
            let is_close = match self.map {
                Map::Softmax(_) | Map::LogSoftmax(_) => {
                    let tolerance = relative / f64::from(1 << 24) * want.abs() + f64::from(f32::from_bits(1));
                    is_close(got, want, tolerance, want.abs())
                }
                _ => check::ulps(got, want) <= relative,
            };
            assert!(is_close, "element {i} is {got:e}, expected {want:e} on {backend}: {self:?}");
        }
    }
}

impl<const D: usize> Attack for Maps<D> {
    fn check(&self) {
        if !(self.input.check_view() & self.out.check_view_mut() & super::is_small(&self.input.shape)) {
            return;
        }
        let has_faults = !self.faults().is_empty();
        let is_mutable = self.input.check_view_mut();
        for backends in backends::by_arithmetic() {
            let want = (!has_faults).then(|| {
                let (input, out) = (self.input.pack(), self.out.pack());
                let packed = Self { map: self.map, input, out, shift: self.shift }.run(backends[0], false);
                packed.expect("no fault")
            });
            if let Some(want) = want.as_ref().filter(|_| super::is_countable(&self.input.shape)) {
                self.check_reference(want, backends[0]);
            }
            for &backend in &backends {
                for in_place in [false, true].into_iter().filter(|&in_place| !in_place || is_mutable) {
                    let got = self.run(backend, in_place);
                    if let (Some(got), Some(want)) = (got, &want) {
                        check::same_bits(&got, want, || format!("{backend}, in place: {in_place}, {self:?}"));
                    }
                }
            }
        }
    }
}

/// Calls of the kernels that make a number of a row.
#[derive(Debug)]
pub struct Reductions {
    input: Claim<f32, 1>,
    shift: f32,
}

impl Reductions {
    fn read(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
        let shape = source.shape()?;
        Ok(Box::new(Self { input: source.array(shape, Fill::Logits)?, shift: source.number()? }))
    }

    fn run(&self, reduction: Reduction, backend: Backend) -> f32 {
        let (x, on) = (self.input.view().expect("checked"), kernels::on(backend));
        match reduction {
            Reduction::RowMax => on.row_max(x),
            Reduction::ExpSum(shift) => on.exp_sum(x, shift),
            Reduction::LogSumExp => on.log_sum_exp(x),
        }
    }

    fn check_reference(&self, reduction: Reduction, got: f32) {
        let x = self.input.elements();
        let tiny = f64::from(f32::MIN_POSITIVE);
        let (want, tolerance) = match reduction {
            Reduction::RowMax => (reference::row_max(&x), 0.0),
            Reduction::ExpSum(shift) => {
                let want = reference::exp_sum(&x, shift);
                // The rounding of `x - shift`, at most 104 where there is anything, of the exponentials, and of their sum.
                (want, (104.0 + 8.0 + x.len() as f64 / 16.0) / f64::from(1 << 24) * want.abs() + tiny)
            }
            Reduction::LogSumExp => {
                let (max, others) = reference::log_sum_exp(&x);
                (max + others, check::NEAR * (max.abs() + others) + tiny)
            }
        };
        assert!(is_close(got, want, tolerance, want.abs()), "{reduction:?} is {got:e}, expected {want:e}: {self:?}");
        if matches!(reduction, Reduction::RowMax) && want == 0.0 {
            assert!(got.is_sign_positive(), "the largest zero is -0: {self:?}");
        }
    }
}

impl Attack for Reductions {
    fn check(&self) {
        if !self.input.check_view() || !super::is_small(&self.input.shape) {
            return;
        }
        let packed = Self { input: self.input.pack(), shift: self.shift };
        for backends in backends::by_arithmetic() {
            for reduction in [Reduction::RowMax, Reduction::ExpSum(self.shift), Reduction::LogSumExp] {
                let want = packed.run(reduction, backends[0]);
                self.check_reference(reduction, want);
                for &backend in &backends {
                    let got = self.run(reduction, backend);
                    check::same_bits(&[got], &[want], || format!("{reduction:?} on {backend}: {self:?}"));
                }
            }
        }
    }
}

pub fn kernels(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
    match source.below(8)? {
        0 => Reductions::read(source),
        1 => Maps::<1>::read(source),
        2 | 3 => Maps::<2>::read(source),
        4 => Maps::<3>::read(source),
        5 => Maps::<4>::read(source),
        _ => Maps::<5>::read(source),
    }
}
