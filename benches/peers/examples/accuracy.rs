//! The results of the Rust implementations, for `accuracy.py`, which compares them: reads `f32`s from standard input and
//! writes as many results to standard output.
//!
//! Arguments: an implementation and a function, of numbers or of rows of ten logits of which the first is the target's.

use std::io::{self, Read, Write};

use burn::{
    nn::loss::CrossEntropyLossConfig,
    tensor::{Device, Int, Tensor, TensorData, activation},
};
use candle_core::{Device::Cpu, Tensor as Candle};
use losslanes::{Backend, CrossEntropyLoss, Error, View, ViewMut, kernels};
use rten_simd::SimdUnaryOp;
use wide::f32x8;

const CLASSES: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [implementation, function] = arguments.as_slice() else {
        return Err("two arguments: implementation and function".into());
    };
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let x: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let results = match implementation.as_str() {
        "losslanes" => ours(function, &x, Backend::detect())?,
        "losslanes_portable" => ours(function, &x, Backend::detect().portable())?,
        "std" => x.into_iter().map(of_std(function)?).collect(),
        "wide" => of_wide(function, &x)?,
        "rten" => of_rten(function, &x)?,
        "candle" => of_candle(function, x)?,
        "burn" => of_burn(function, x)?,
        _ => return Err("no such implementation".into()),
    };
    let bytes: Vec<u8> = results.into_iter().flat_map(f32::to_le_bytes).collect();
    Ok(io::stdout().write_all(&bytes)?)
}

fn ours(function: &str, x: &[f32], backend: Backend) -> Result<Vec<f32>, Error> {
    let on = kernels::on(backend);
    let mut out = vec![0.0; if function == "cross_entropy" { x.len() / CLASSES } else { x.len() }];
    let shape = [out.len()];
    let to = ViewMut::new(&mut out, shape)?;
    match function {
        "cross_entropy" => {
            let x = View::new(x, [shape[0], CLASSES])?;
            let targets = View::new(&[0_u8], [1])?.broadcast_to(shape)?;
            CrossEntropyLoss::new().on(backend).none(x, targets, to)?;
        }
        "exp" => on.exp(View::new(x, shape)?, to)?,
        "ln" => on.ln(View::new(x, shape)?, to)?,
        "sigmoid" => on.sigmoid(View::new(x, shape)?, to)?,
        "log_sigmoid" => on.log_sigmoid(View::new(x, shape)?, to)?,
        _ => on.softplus(View::new(x, shape)?, to)?,
    }
    Ok(out)
}

fn of_std(function: &str) -> Result<fn(f32) -> f32, &'static str> {
    Ok(match function {
        "exp" => f32::exp,
        "ln" => f32::ln,
        "sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
        "softplus" => |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
        "log_sigmoid" => |x| x.min(0.0) - (-x.abs()).exp().ln_1p(),
        _ => return Err("std has no such function"),
    })
}

fn of_wide(function: &str, x: &[f32]) -> Result<Vec<f32>, &'static str> {
    let function = match function {
        "exp" => f32x8::exp,
        "ln" => f32x8::ln,
        "sigmoid" => |x: f32x8| f32x8::ONE / (f32x8::ONE + (-x).exp()),
        _ => return Err("wide has no such function"),
    };
    let (blocks, rest) = x.as_chunks::<8>();
    let mut last = [0.0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let blocks = blocks.iter().chain([&last]);
    let mut results: Vec<f32> = blocks.flat_map(|&block| function(f32x8::new(block)).to_array()).collect();
    results.truncate(x.len());
    Ok(results)
}

fn of_rten(function: &str, x: &[f32]) -> Result<Vec<f32>, &'static str> {
    let mut results = x.to_vec();
    match function {
        "exp" => rten_vecmath::Exp {}.map_mut(&mut results),
        "sigmoid" => rten_vecmath::Sigmoid {}.map_mut(&mut results),
        _ => return Err("rten-vecmath has no such function"),
    }
    Ok(results)
}

fn of_candle(function: &str, x: Vec<f32>) -> Result<Vec<f32>, candle_core::Error> {
    let len = x.len();
    let x = Candle::from_vec(x, len, &Cpu)?;
    match function {
        // Its loss is a mean: one row after the other.
        "cross_entropy" => (0..len / CLASSES)
            .map(|row| {
                let x = x.narrow(0, row * CLASSES, CLASSES)?.reshape((1, CLASSES))?;
                candle_nn::loss::cross_entropy(&x, &Candle::new(&[0_u32], &Cpu)?)?.to_scalar()
            })
            .collect(),
        "exp" => x.exp()?.to_vec1(),
        "ln" => x.log()?.to_vec1(),
        "sigmoid" => candle_nn::ops::sigmoid(&x)?.to_vec1(),
        function => Err(candle_core::Error::Msg(format!("candle has no {function}"))),
    }
}

fn of_burn(function: &str, x: Vec<f32>) -> Result<Vec<f32>, String> {
    let device = Device::flex();
    if function == "cross_entropy" {
        let loss = CrossEntropyLossConfig::new().init(&device);
        // Its loss is a mean: one row after the other.
        let row = |row: &[f32]| {
            let x = Tensor::<2>::from_data(TensorData::new(row.to_vec(), [1, CLASSES]), &device);
            let target = Tensor::<1, Int>::from_data(TensorData::new(vec![0_i64], [1]), &device);
            read(&loss.forward(x, target))
        };
        return x.chunks(CLASSES).flat_map(row).map(Ok).collect();
    }
    let shape = [x.len()];
    let x = Tensor::<1>::from_data(TensorData::new(x, shape), &device);
    Ok(read(&match function {
        "exp" => x.exp(),
        "ln" => x.log(),
        "sigmoid" => activation::sigmoid(x),
        "softplus" => activation::softplus(x, 1.0),
        "log_sigmoid" => activation::log_sigmoid(x),
        function => return Err(format!("burn has no {function}")),
    }))
}

fn read(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.to_data().try_to_vec().expect("f32")
}
