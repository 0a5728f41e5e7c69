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
        Work::Classes { weight: false, smoothing: 0.0 } => {
            let classes = TensorData::new(bench.classes.clone(), [n * h * w]);
            let classes = Tensor::<1, Int>::from_data(classes, &device);
            let loss = CrossEntropyLossConfig::new().init(&device);
            job(move || loss.forward(x.clone().permute([0, 2, 3, 1]).reshape([n * h * w, c]), classes.clone()))
        }
        Work::BceWithLogits { pos_weight: false } | Work::Bce => {
            let logits = bench.case.work != Work::Bce;
            let loss = BinaryCrossEntropyLossConfig::new().with_logits(logits).init(&device);
            let targets = floats(&bench.targets).int();
            job(move || loss.forward(x.clone(), targets.clone()))
        }
        Work::Map(Function::Exp) => job(move || x.clone().exp()),
        Work::Map(Function::Sigmoid) => job(move || activation::sigmoid(x.clone())),
        Work::Map(Function::Softplus) => job(move || activation::softplus(x.clone(), 1.0)),
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

fn read<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_to_vec().expect("f32")
}
