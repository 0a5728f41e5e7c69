//! `candle`: tensors on the CPU. Its cross entropy takes `(N, C)`: bringing the classes to the end is part of NCHW.

use candle_core::{Device, Result, Shape, Tensor, Var};
use candle_nn::{loss, ops};

use super::{Job, Tensors};
use crate::common::{Bench, Function, Work};

pub(super) fn start(bench: &Bench) -> Option<Box<dyn Job>> {
    let [n, c, h, w] = bench.case.shape;
    let x = tensor(&bench.x, (n, c, h, w));
    match bench.case.work {
        Work::Classes { weight: false, smoothing: 0.0 } => {
            let classes = classes(bench);
            job(move || cross_entropy(&x, &classes))
        }
        Work::ClassesGrad => {
            let classes = classes(bench);
            job_with_grad(&x, move |x| cross_entropy(x, &classes))
        }
        Work::BceWithLogits { pos_weight: false } => {
            let targets = tensor(&bench.targets, (n, c, h, w));
            job(move || loss::binary_cross_entropy_with_logit(&x, &targets))
        }
        Work::BceWithLogitsGrad => {
            let targets = tensor(&bench.targets, (n, c, h, w));
            job_with_grad(&x, move |x| loss::binary_cross_entropy_with_logit(x, &targets))
        }
        Work::Map(Function::Exp) => job(move || x.exp()),
        Work::Map(Function::Sigmoid) => job(move || ops::sigmoid(&x)),
        Work::Softmax { log: false } => {
            let x = tensor(&bench.x, (n, c));
            job(move || ops::softmax_last_dim(&x))
        }
        Work::Softmax { log: true } => job(move || ops::log_softmax(&x, 1)),
        _ => None,
    }
}

fn classes(bench: &Bench) -> Tensor {
    let classes: Vec<_> = bench.classes.iter().map(|&class| u32::try_from(class).expect("a class")).collect();
    Tensor::new(classes, &Device::Cpu).expect("data that fits")
}

fn cross_entropy(x: &Tensor, classes: &Tensor) -> Result<Tensor> {
    loss::cross_entropy(&x.permute((0, 2, 3, 1))?.reshape(((), x.dim(1)?))?, classes)
}

fn tensor(data: &[f32], shape: impl Into<Shape>) -> Tensor {
    Tensor::from_slice(data, shape, &Device::Cpu).expect("data that fits")
}

#[expect(clippy::unnecessary_wraps, reason = "what `start` returns")]
fn job(compute: impl Fn() -> Result<Tensor> + 'static) -> Option<Box<dyn Job>> {
    Some(Box::new(Tensors { compute: move || compute().expect("shapes that fit"), read }))
}

/// A loss and its gradient by `x`.
#[expect(clippy::unnecessary_wraps, reason = "what `start` returns")]
fn job_with_grad(x: &Tensor, loss: impl Fn(&Tensor) -> Result<Tensor> + 'static) -> Option<Box<dyn Job>> {
    let x = Var::from_tensor(x).expect("memory");
    let compute = move || {
        let loss = loss(&x).expect("shapes that fit");
        let gradient = loss.backward().expect("a loss that depends on x").remove(&x).expect("a gradient by x");
        [gradient, loss]
    };
    Some(Box::new(Tensors { compute, read: |[gradient, loss]: &[Tensor; 2]| [read(gradient), read(loss)].concat() }))
}

fn read(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().and_then(|tensor| tensor.to_vec1()).expect("f32 on the CPU")
}
