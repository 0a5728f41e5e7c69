//! `burn` on its CPU backend, flex. Its cross entropy takes `(N, C)`: bringing the classes to the end is part of NCHW.

use ::burn::{
    nn::loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig},
    tensor::{Device, Int, Tensor, TensorData, activation},
};

use super::{Job, Tensors};
use crate::common::{Bench, Function, Work};

pub(super) fn start(bench: &Bench) -> Option<Box<dyn Job>> {
    let device = Device::flex();
    let [n, c, h, w] = bench.case.shape;
    let floats = |data: &[f32]| Tensor::<4>::from_data(TensorData::new(data.to_vec(), [n, c, h, w]), &device);
    let x = floats(&bench.x);
    match bench.case.work {
        Work::Classes { weight: false, smoothing: 0.0 } | Work::ClassesGrad => {
            let classes = TensorData::new(bench.classes.clone(), [n * h * w]);
            let classes = Tensor::<1, Int>::from_data(classes, &device);
            let loss = CrossEntropyLossConfig::new().init(&device);
            let loss =
                move |x: Tensor<4>| loss.forward(x.permute([0, 2, 3, 1]).reshape([n * h * w, c]), classes.clone());
            if bench.case.work == Work::ClassesGrad { job_with_grad(x, loss) } else { job(move || loss(x.clone())) }
        }
        Work::BceWithLogits { pos_weight: false } | Work::BceWithLogitsGrad | Work::Bce | Work::BceGrad => {
            let logits = !matches!(bench.case.work, Work::Bce | Work::BceGrad);
            let loss = BinaryCrossEntropyLossConfig::new().with_logits(logits).init(&device);
            let targets = floats(&bench.targets).int();
            let loss = move |x: Tensor<4>| loss.forward(x, targets.clone());
            match bench.case.work {
                Work::BceGrad | Work::BceWithLogitsGrad => job_with_grad(x, loss),
                _ => job(move || loss(x.clone())),
            }
        }
        Work::Map(Function::Exp) => job(move || x.clone().exp()),
        Work::Map(Function::Sigmoid) => job(move || activation::sigmoid(x.clone())),
        Work::Map(Function::Softplus) => job(move || activation::softplus(x.clone(), 1.0)),
        Work::Map(Function::LogSigmoid) => job(move || activation::log_sigmoid(x.clone())),
        Work::Softmax { log: false } => {
            let x = x.reshape([n, c]);
            job(move || activation::softmax(x.clone(), 1))
        }
        Work::Softmax { log: true } => {
            let x = x.reshape([n, c]);
            job(move || activation::log_softmax(x.clone(), 1))
        }
        _ => None,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what `start` returns")]
fn job<const D: usize>(compute: impl Fn() -> Tensor<D> + 'static) -> Option<Box<dyn Job>> {
    Some(Box::new(Tensors { compute, read }))
}

/// A loss and its gradient by `x`.
#[expect(clippy::unnecessary_wraps, reason = "what `start` returns")]
fn job_with_grad(x: Tensor<4>, loss: impl Fn(Tensor<4>) -> Tensor<1> + 'static) -> Option<Box<dyn Job>> {
    let x = x.autodiff().require_grad();
    let compute = move || {
        let loss = loss(x.clone());
        let gradient = x.grad_remove(&mut loss.backward()).expect("a gradient by x");
        (gradient, loss.without_autodiff())
    };
    Some(Box::new(Tensors {
        compute,
        read: |(gradient, loss): &(Tensor<4>, Tensor<1>)| [read(gradient), read(loss)].concat(),
    }))
}

fn read<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_to_vec().expect("f32")
}
