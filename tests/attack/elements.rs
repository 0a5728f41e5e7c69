//! The binary losses.

use arbitrary::Result;
use losslanes::{Argument, BceLoss, BceWithLogitsLoss, Error};

use super::{
    Attack,
    call::{Bounds, Call, Method, misfit},
    claim::Claim,
    source::{Fill, Source},
};
use crate::common::{
    case::{Case, Loss, Target},
    check,
    reference::Reference,
};

/// A call of a binary loss.
#[derive(Debug)]
pub struct Elements<const D: usize> {
    loss: Loss,
    call: Call<f32, D, D, D>,
    weight: Option<Claim<f32, D>>,
    pos_weight: Option<Claim<f32, D>>,
}

impl<const D: usize> Elements<D> {
    fn read(source: &mut Source<'_>, loss: Loss) -> Result<Box<dyn Attack>> {
        let shape = source.shape::<D>()?;
        let input = source.array(shape, if loss == Loss::Bce { Fill::Unit } else { Fill::Logits })?;
        let target = source.array(shape, Fill::Unit)?;
        let weight = source.maybe(|source| source.array(shape, Fill::Weights))?;
        let pos_weight = match loss {
            Loss::BceWithLogits => source.maybe(|source| source.array(shape, Fill::Weights))?,
            _ => None,
        };
        let call = Call::read(source, loss, input, target, shape, shape)?;
        Ok(Box::new(Self { loss, call, weight, pos_weight }))
    }

    fn faults(&self) -> Vec<Error> {
        let Self { loss, call, weight, pos_weight } = self;
        let shape = &call.input.shape;
        let mut faults = call.faults(shape);
        if call.method.has_target() {
            faults.extend(misfit(Argument::Target, &call.target.shape, shape));
        }
        let of_weight = |argument, weight: &Option<Claim<f32, D>>| misfit(argument, &weight.as_ref()?.shape, shape);
        faults.extend(of_weight(Argument::Weight, weight));
        faults.extend(of_weight(Argument::PosWeight, pos_weight));
        if *loss == Loss::Bce && call.method != Method::TargetGrad {
            let elements = call.input.elements().into_iter().enumerate();
            let bad = elements.into_iter().find(|(_, x)| *x < 0.0 || *x > 1.0);
            faults.extend(bad.map(|(index, value)| Error::ProbabilityOutOfRange { index, value }));
        }
        faults
    }

    fn reference(&self) -> Option<(Reference, Bounds)> {
        let Self { loss, call, weight, pos_weight } = self;
        if !super::is_countable(&call.input.shape) {
            return None;
        }
        let array = |claim: &Option<Claim<f32, D>>| claim.as_ref().map(Claim::array);
        let (weight, pos_weight) = (array(weight), array(pos_weight));
        let is_tame = |x: &f32| *x == 0.0 || (1e-3..=4.0).contains(x);
        let weights = weight.iter().chain(&pos_weight).flat_map(|array| &array.data);
        let target = call.targets();
        if !weights.clone().all(is_tame) || !target.data.iter().all(|t| (0.0..=1.0).contains(t) && is_tame(t)) {
            return None;
        }
        // Times the largest weight such a logit overflows, and a weight of 0 makes NaN of that.
        let is_huge = |x: &f32| x.is_finite() && x.abs() > f32::MAX / 4.0;
        if call.input.elements().iter().any(is_huge) {
            return None;
        }
        // Such elements are not looked for then, and may give anything.
        let is_refused = |x: &f32| *loss == Loss::Bce && (*x < 0.0 || *x > 1.0);
        if call.method == Method::TargetGrad && call.input.elements().iter().any(is_refused) {
            return None;
        }
        let upstream = call.method.has_upstream().then(|| call.upstream.array());
        let case = Case {
            weight,
            pos_weight,
            upstream,
            ..Case::plain(*loss, call.input.array(), Target::Probabilities(target))
        };
        Some((call.method.reference(&case), Bounds { each: check::LOSS, scale: 64.0 }))
    }
}

impl<const D: usize> Attack for Elements<D> {
    fn check(&self) {
        let Self { loss, call, weight, pos_weight } = self;
        let weights = weight.iter().chain(pos_weight);
        let mut can_be_viewed = call.check_views() && super::is_small(&call.input.shape);
        weights.for_each(|weight| can_be_viewed &= weight.check_view());
        if !can_be_viewed {
            return;
        }
        let faults = self.faults();
        let pack = |claim: &Option<Claim<f32, D>>| {
            claim.as_ref().map(|claim| if faults.is_empty() { claim.pack() } else { claim.clone() })
        };
        let packed = [pack(weight), pack(pos_weight)];
        let (reference, what) = (|| self.reference(), || format!("{self:?}"));
        macro_rules! check {
            ($type:ident $(, $option:ident $k:literal)*) => {{
                let mut losses = [$type::new(); 2];
                $(for (loss, claim) in losses.iter_mut().zip([$option, &packed[$k]]) {
                    if let Some(claim) = claim {
                        *loss = loss.$option(claim.view().expect("checked"));
                    }
                })*
                call.check(losses, &faults, reference, &what);
            }};
        }
        if *loss == Loss::Bce {
            check!(BceLoss, weight 0);
        } else {
            check!(BceWithLogitsLoss, weight 0, pos_weight 1);
        }
    }
}

fn read(source: &mut Source<'_>, loss: Loss) -> Result<Box<dyn Attack>> {
    match source.below(6)? {
        0 => Elements::<1>::read(source, loss),
        1 => Elements::<2>::read(source, loss),
        2 => Elements::<3>::read(source, loss),
        3 => Elements::<4>::read(source, loss),
        4 => Elements::<5>::read(source, loss),
        _ => Elements::<0>::read(source, loss),
    }
}

pub fn bce(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
    read(source, Loss::Bce)
}

pub fn bce_with_logits(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
    read(source, Loss::BceWithLogits)
}
