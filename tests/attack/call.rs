//! One call of a loss, made in every way.

use losslanes::{
    Argument, Backend, BceLoss, BceWithLogitsLoss, ClassIndex, CrossEntropyLoss, Error, NllLoss, Target, Total, View,
    ViewMut,
};

use super::{
    claim::{Claim, is_untouched},
    source::{Fill, Source},
};
use crate::common::{
    array::Array,
    backends,
    case::{Case, Loss},
    check,
    reference::{Reference, Slope},
};

/// What all losses have in common. Inputs have rank `D`, targets `E`, losses `R`.
pub trait Calls<T, const D: usize, const E: usize, const R: usize>: Copy {
    fn on(self, backend: Backend) -> Self;
    fn total(self, x: View<'_, f32, D>, t: View<'_, T, E>) -> Result<Total, Error>;
    fn none(self, x: View<'_, f32, D>, t: View<'_, T, E>, out: ViewMut<'_, f32, R>) -> Result<(), Error>;
    fn sum(self, from: Input<'_, D>, t: View<'_, T, E>) -> Result<f32, Error>;
    fn mean(self, from: Input<'_, D>, t: View<'_, T, E>) -> Result<f32, Error>;
    fn each(
        self,
        from: Input<'_, D>,
        t: View<'_, T, E>,
        upstream: View<'_, f32, R>,
        out: ViewMut<'_, f32, R>,
    ) -> Result<(), Error>;
    fn target_grad(
        self,
        _x: View<'_, f32, D>,
        _upstream: View<'_, f32, R>,
        _grad: ViewMut<'_, f32, D>,
    ) -> Result<(), Error> {
        unreachable!("no such method")
    }
    fn hessian(self, _x: View<'_, f32, D>, _t: View<'_, T, E>, _out: ViewMut<'_, f32, R>) -> Result<(), Error> {
        unreachable!("no such method")
    }
}

/// The input of a call with a gradient: beside it, or in its place.
pub enum Input<'a, const D: usize> {
    Beside(View<'a, f32, D>, ViewMut<'a, f32, D>),
    InPlace(ViewMut<'a, f32, D>),
}

/// A method that not all losses have.
macro_rules! derivative {
    (target_grad $t:ty, $d:ident, $e:ident, $r:ident) => {
        fn target_grad(
            self,
            x: View<'_, f32, $d>,
            upstream: View<'_, f32, $r>,
            grad: ViewMut<'_, f32, $d>,
        ) -> Result<(), Error> {
            self.target_grad(x, upstream, grad)
        }
    };
    (hessian $t:ty, $d:ident, $e:ident, $r:ident) => {
        fn hessian(self, x: View<'_, f32, $d>, t: View<'_, $t, $e>, out: ViewMut<'_, f32, $r>) -> Result<(), Error> {
            self.hessian(x, t, out)
        }
    };
}

macro_rules! calls {
    ([$($generics:tt)*] $loss:ty, $t:ty, $d:ident, $e:ident, $r:ident $(, $derivative:ident)*) => {
        impl<$($generics)*> Calls<$t, $d, $e, $r> for $loss {
            fn on(self, backend: Backend) -> Self {
                self.on(backend)
            }
            fn total(self, x: View<'_, f32, $d>, t: View<'_, $t, $e>) -> Result<Total, Error> {
                self.total(x, t)
            }
            fn none(self, x: View<'_, f32, $d>, t: View<'_, $t, $e>, out: ViewMut<'_, f32, $r>) -> Result<(), Error> {
                self.none(x, t, out)
            }
            fn sum(self, from: Input<'_, $d>, t: View<'_, $t, $e>) -> Result<f32, Error> {
                match from {
                    Input::Beside(x, grad) => self.sum_with_grad(x, t, grad),
                    Input::InPlace(x) => self.sum_with_grad_in_place(x, t),
                }
            }
            fn mean(self, from: Input<'_, $d>, t: View<'_, $t, $e>) -> Result<f32, Error> {
                match from {
                    Input::Beside(x, grad) => self.mean_with_grad(x, t, grad),
                    Input::InPlace(x) => self.mean_with_grad_in_place(x, t),
                }
            }
            fn each(
                self,
                from: Input<'_, $d>,
                t: View<'_, $t, $e>,
                upstream: View<'_, f32, $r>,
                out: ViewMut<'_, f32, $r>,
            ) -> Result<(), Error> {
                match from {
                    Input::Beside(x, grad) => self.none_with_grad(x, t, upstream, out, grad),
                    Input::InPlace(x) => self.none_with_grad_in_place(x, t, upstream, out),
                }
            }
            $(derivative! { $derivative $t, $d, $e, $r })*
        }
    };
}

calls! { [T: Target, const D: usize, const E: usize, const R: usize] CrossEntropyLoss<'_>, T, D, E, R, target_grad }
calls! { [T: ClassIndex, const D: usize, const E: usize, const R: usize] NllLoss<'_>, T, D, E, R }
calls! { [const D: usize] BceLoss<'_, D>, f32, D, D, D, target_grad }
calls! { [const D: usize] BceWithLogitsLoss<'_, D>, f32, D, D, D, target_grad, hessian }

/// Which method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Total,
    None,
    SumWithGrad,
    MeanWithGrad,
    NoneWithGrad,
    TargetGrad,
    Hessian,
}

/// A method and the arrays that all losses have.
#[derive(Clone, Debug)]
pub struct Call<T: Copy, const D: usize, const E: usize, const R: usize> {
    pub method: Method,
    pub input: Claim<f32, D>,
    pub target: Claim<T, E>,
    pub upstream: Claim<f32, R>,
    pub out: Claim<f32, R>,
    pub grad: Claim<f32, D>,
}

/// What a call gives: its number, the losses (or second derivatives), and the gradient. What a method does not give is empty.
struct Outcome {
    total: Total,
    number: f32,
    each: Vec<f32>,
    gradient: Vec<f32>,
}

/// How far a result may be from the reference.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Relative error of each loss.
    pub each: f64,
    /// The largest weight, upstream included, by which the smallest float was multiplied.
    pub scale: f64,
}

impl Method {
    /// One that this loss has.
    fn read(source: &mut Source<'_>, loss: Loss) -> arbitrary::Result<Self> {
        let of_all = [Self::Total, Self::None, Self::SumWithGrad, Self::MeanWithGrad, Self::NoneWithGrad];
        let others: &[Self] = match loss {
            Loss::Nll => &[],
            Loss::CrossEntropy | Loss::Bce => &[Self::TargetGrad],
            Loss::BceWithLogits => &[Self::TargetGrad, Self::Hessian],
        };
        let byte = source.byte()?;
        // They came later, and few of the inputs that were found before should become another call.
        Ok(if byte < 200 || others.is_empty() { of_all[byte % of_all.len()] } else { others[byte % others.len()] })
    }

    /// Whether it gives losses with their gradient, which may then take the input's place.
    fn is_backward(self) -> bool {
        matches!(self, Self::SumWithGrad | Self::MeanWithGrad | Self::NoneWithGrad)
    }

    /// Whether it writes to `grad`.
    fn has_gradient(self) -> bool {
        self.is_backward() || self == Self::TargetGrad
    }

    /// Whether it writes to `out`.
    fn has_losses(self) -> bool {
        matches!(self, Self::None | Self::NoneWithGrad | Self::Hessian)
    }

    pub fn has_upstream(self) -> bool {
        matches!(self, Self::NoneWithGrad | Self::TargetGrad)
    }

    pub fn has_target(self) -> bool {
        self != Self::TargetGrad
    }

    pub fn reference(self, case: &Case) -> Reference {
        match self {
            Self::TargetGrad => Reference::by_target(case),
            Self::Hessian => Reference::twice(case),
            _ => Reference::of(case),
        }
    }
}

/// The error for an argument whose shape is not the expected one.
pub fn misfit(argument: Argument, shape: &[usize], expected: &[usize]) -> Option<Error> {
    if shape.len() != expected.len() {
        return Some(Error::RankMismatch { argument, rank: shape.len(), expected: expected.len() });
    }
    let axis = (0..shape.len()).find(|&axis| shape[axis] != expected[axis])?;
    Some(Error::ShapeMismatch { argument, axis, len: shape[axis], expected: expected[axis] })
}

impl<T: Copy + Default + core::fmt::Debug, const D: usize, const E: usize, const R: usize> Call<T, D, E, R> {
    /// With outputs for inputs and losses of these shapes, or nearly.
    pub fn read(
        source: &mut Source<'_>,
        loss: Loss,
        input: Claim<f32, D>,
        target: Claim<T, E>,
        inputs: [usize; D],
        losses: [usize; R],
    ) -> arbitrary::Result<Self> {
        let method = Method::read(source, loss)?;
        let grad = source.output(inputs)?;
        let out = source.output(losses)?;
        let upstream = source.array(losses, Fill::Logits)?;
        Ok(Self { method, input, target, upstream, out, grad })
    }

    /// Whether all views can be made; checks those that cannot.
    pub fn check_views(&self) -> bool {
        let Self { input, target, upstream, out, grad, .. } = self;
        input.check_view() & target.check_view() & upstream.check_view() & out.check_view_mut() & grad.check_view_mut()
    }

    /// The faults that do not depend on the loss. `in_place` calls have no `grad`.
    pub fn faults(&self, losses: &[usize]) -> Vec<Error> {
        let Self { method, input, upstream, out, grad, .. } = self;
        let fits = [
            method.has_losses().then(|| misfit(Argument::Output, &out.shape, losses)),
            method.has_gradient().then(|| misfit(Argument::Gradient, &grad.shape, &input.shape)),
            method.has_upstream().then(|| misfit(Argument::Upstream, &upstream.shape, losses)),
        ];
        fits.into_iter().flatten().flatten().collect()
    }

    /// Makes the call on every backend, in this layout and packed. `reference` is asked only if nothing is wrong.
    pub fn check<L: Calls<T, D, E, R>>(
        &self,
        [loss, packed_loss]: [L; 2],
        faults: &[Error],
        reference: impl FnOnce() -> Option<(Reference, Bounds)>,
        what: &impl Fn() -> String,
    ) {
        let mutable = self.method.is_backward() && self.input.check_view_mut();
        let packed = faults.is_empty().then(|| self.pack());
        let reference = if packed.is_some() { reference() } else { None };
        for backends in backends::by_arithmetic() {
            let mut wanted: Option<Outcome> = None;
            for backend in backends {
                let loss = loss.on(backend);
                if wanted.is_none()
                    && let Some(packed) = &packed
                {
                    let outcome =
                        packed.checked(packed_loss.on(backend), false, &[], &|| format!("packed, {}", what()));
                    let outcome = outcome.expect("no fault");
                    packed.check_against_forward(packed_loss.on(backend), &outcome, what);
                    if let Some((reference, bounds)) = &reference {
                        self.check_reference(&outcome, reference, *bounds, &|| format!("{backend}, {}", what()));
                    }
                    wanted = Some(outcome);
                }
                for in_place in [false, true].into_iter().filter(|&in_place| !in_place || mutable) {
                    let what = || format!("{backend}, in place: {in_place}, {}", what());
                    let got = self.checked(loss, in_place, faults, &what);
                    if let (Some(got), Some(want)) = (got, &wanted) {
                        got.assert_same_bits(want, &what);
                    }
                }
            }
        }
    }

    /// The targets; zeros where they are not read, and may have any shape.
    pub fn targets(&self) -> Array<T> {
        if self.method.has_target() { self.target.array() } else { Array::filled(&self.input.shape, T::default()) }
    }

    fn pack(&self) -> Self {
        let Self { method, input, target, upstream, out, grad } = self;
        let claim = |claim: &Claim<f32, R>, used: bool| if used { claim.pack() } else { claim.clone() };
        Self {
            method: *method,
            input: input.pack(),
            target: if method.has_target() { target.pack() } else { target.clone() },
            upstream: claim(upstream, method.has_upstream()),
            out: claim(out, method.has_losses()),
            grad: if method.has_gradient() { grad.pack() } else { grad.clone() },
        }
    }

    /// The outcome, after a check that nothing else was written; `None` if it was refused as it should be.
    fn checked<L: Calls<T, D, E, R>>(
        &self,
        loss: L,
        in_place: bool,
        faults: &[Error],
        what: &impl Fn() -> String,
    ) -> Option<Outcome> {
        let at = if in_place { &self.input } else { &self.grad };
        let (mut out, mut grad) = (self.out.data.clone(), at.data.clone());
        let result = self.run(loss, in_place, &mut out, &mut grad);
        // The gradient's shape is the input's own in place.
        let is_beside = |fault: &&Error| !matches!(fault, Error::ShapeMismatch { argument: Argument::Gradient, .. });
        let mut faults = faults.iter().filter(|fault| !in_place || is_beside(fault)).peekable();
        match result {
            Ok((total, number)) => {
                assert!(faults.peek().is_none(), "not refused for {:?}: {}", faults.next(), what());
                let gather = |used: bool, places: &dyn Fn() -> Vec<usize>| if used { places() } else { Vec::new() };
                let each = gather(self.method.has_losses(), &|| self.out.places());
                let gradient = gather(self.method.has_gradient(), &|| at.places());
                let each = self.out.written(&each, out, what);
                let gradient = at.written(&gradient, grad, what);
                Some(Outcome { total, number, each, gradient })
            }
            Err(error) => {
                let is_expected = faults.any(|fault| is_same(fault, &error));
                assert!(is_expected, "refused for {error:?}: {}", what());
                if matches!(error, Error::ProbabilityOutOfRange { .. }) && self.method == Method::None {
                    // May be partly written.
                    self.out.written(&self.out.places(), out, what);
                } else {
                    assert!(is_untouched(&self.out.data, &out), "losses changed with an error: {}", what());
                }
                assert!(is_untouched(&at.data, &grad), "a gradient changed with an error: {}", what());
                None
            }
        }
    }

    fn source<'a>(&'a self, in_place: bool, memory: &'a mut [f32]) -> Result<Input<'a, D>, Error> {
        Ok(if in_place {
            Input::InPlace(self.input.view_mut(memory)?)
        } else {
            Input::Beside(self.input.view()?, self.grad.view_mut(memory)?)
        })
    }

    fn run<L: Calls<T, D, E, R>>(
        &self,
        loss: L,
        in_place: bool,
        out: &mut [f32],
        grad: &mut [f32],
    ) -> Result<(Total, f32), Error> {
        let target = self.target.view()?;
        let (mut total, mut number) = (Total::default(), 0.0);
        match self.method {
            Method::Total => total = loss.total(self.input.view()?, target)?,
            Method::None => loss.none(self.input.view()?, target, self.out.view_mut(out)?)?,
            Method::SumWithGrad => number = loss.sum(self.source(in_place, grad)?, target)?,
            Method::MeanWithGrad => number = loss.mean(self.source(in_place, grad)?, target)?,
            Method::NoneWithGrad => {
                loss.each(self.source(in_place, grad)?, target, self.upstream.view()?, self.out.view_mut(out)?)?;
            }
            Method::TargetGrad => {
                loss.target_grad(self.input.view()?, self.upstream.view()?, self.grad.view_mut(grad)?)?;
            }
            Method::Hessian => loss.hessian(self.input.view()?, target, self.out.view_mut(out)?)?,
        }
        Ok((total, number))
    }

    /// The losses with a gradient are those without.
    fn check_against_forward<L: Calls<T, D, E, R>>(&self, loss: L, got: &Outcome, what: &impl Fn() -> String) {
        if !self.method.is_backward() {
            return;
        }
        let method = if self.method == Method::NoneWithGrad { Method::None } else { Method::Total };
        let forward = Self { method, ..self.clone() }.checked(loss, false, &[], what).expect("no fault");
        let number = match self.method {
            Method::SumWithGrad => forward.total.sum(),
            Method::MeanWithGrad => forward.total.mean(),
            _ => 0.0,
        };
        check::same_bits(&[got.number], &[number], || format!("forward against gradient, {}", what()));
        check::same_bits(&got.each, &forward.each, || format!("forward against gradient, {}", what()));
    }

    fn check_reference(&self, got: &Outcome, want: &Reference, bounds: Bounds, what: &impl Fn() -> String) {
        let (sum, mean, size) = (want.sum(), want.mean(), want.each.iter().map(|x| x.abs()).sum::<f64>());
        // Where the finite ones overflow on the way, an infinite one may meet its opposite.
        let finite: f64 = want.each.iter().filter(|x| x.is_finite()).map(|x| x.abs()).sum();
        let tiny = f64::from(f32::MIN_POSITIVE) * bounds.scale;
        let close = |got: f32, want: f64, size: f64, tiny: f64, name: &str| {
            let is_close = is_close(got, want, bounds.each * size + tiny, size);
            assert!(is_close, "{name} is {got:e}, expected {want:e}: {}", what());
        };
        for (&got, &want) in got.each.iter().zip(&want.each) {
            close(got, want, want.abs(), tiny, "a loss");
        }
        let count = want.each.len() as f64;
        let factor = match self.method {
            Method::Total => {
                close(got.total.denominator(), want.denominator, want.denominator, tiny * count, "denominator");
                if finite < f64::from(f32::MAX) {
                    close(got.total.sum(), sum, size, tiny * count, "sum");
                }
                if size < f64::from(f32::MAX) {
                    close(got.total.mean(), mean, size / want.denominator, tiny * count / want.denominator, "mean");
                }
                return;
            }
            Method::None | Method::Hessian => return,
            Method::SumWithGrad => Some(1.0),
            Method::MeanWithGrad => Some(1.0 / want.denominator),
            Method::NoneWithGrad | Method::TargetGrad => None,
        };
        for (i, ((&got, slope), &upstream)) in got.gradient.iter().zip(&want.gradient).zip(&want.upstream).enumerate() {
            let factor = factor.unwrap_or(upstream);
            let &Slope { value, size, mass } = slope;
            // Nothing is said where what comes in is not finite, may overflow when it is multiplied with the sum of a row's
            // targets, or may lose digits when it is multiplied with a weight and then with a loss of any size.
            let may_vanish = self.method == Method::TargetGrad && factor != 0.0 && factor.abs() < 1e-25;
            if factor.is_nan() || factor.abs() > f64::from(f32::MAX) * 1e-6 || may_vanish {
                continue;
            }
            let (value, size, tiny) = (value * factor, size * factor.abs(), tiny * factor.abs().max(1.0));
            // The sum of the targets is rounded, and so is each product with what comes in.
            let rounding = 4.0 * f64::from(f32::EPSILON) * mass * factor.abs();
            let is_close = is_close(got, value, check::LOSS * size + rounding + tiny, size);
            assert!(is_close, "element {i} of the gradient is {got:e}, expected {value:e}: {}", what());
        }
    }
}

/// Whether a result is as near as that; NaN is near NaN. Nothing is said about what nearly overflows.
pub fn is_close(got: f32, want: f64, tolerance: f64, size: f64) -> bool {
    let limit = f64::from(f32::MAX) / 256.0;
    if want.is_nan() {
        got.is_nan()
    } else if want.is_infinite() {
        f64::from(got) == want
    } else {
        size > limit || (f64::from(got) - want).abs() <= tolerance
    }
}

/// Whether two errors are the same; NaN is the same as NaN.
fn is_same(a: &Error, b: &Error) -> bool {
    match (a, b) {
        (Error::LabelSmoothingOutOfRange { value: a }, Error::LabelSmoothingOutOfRange { value: b }) => {
            check::bits(*a) == check::bits(*b)
        }
        _ => a == b,
    }
}

impl Outcome {
    fn assert_same_bits(&self, want: &Self, what: &impl Fn() -> String) {
        check::same_bits(&[self.number], &[want.number], what);
        check::same_bits(&self.each, &want.each, what);
        check::same_bits(&self.gradient, &want.gradient, what);
        let numbers = |total: Total| [total.sum(), total.mean(), total.denominator()];
        check::same_bits(&numbers(self.total), &numbers(want.total), what);
    }
}
