//! Logistic regression on the Wisconsin breast cancer data, with `pos_weight` for the rarer class, beside the same
//! training written plainly in `f64`.
//!
//! `cargo run --release --example train_breast_cancer` exits non-zero if a loss is off by more than 1e-5, relative.

mod common;

use std::process::ExitCode;

use common::{Linear, compare, plot, progress};
use losslanes::{BceWithLogitsLoss, Error, View, ViewMut};
use smartcore::dataset::breast_cancer;

const EPOCHS: usize = 200;
const RATE: f32 = 0.1;
const COMPARED: [usize; 5] = [0, 1, 10, 50, 199];

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn main() -> Result<ExitCode, Error> {
    let data = breast_cancer::load_dataset();
    let (rows, features) = (data.num_samples, data.num_features);
    let x = standardized(&data.data, features);
    let targets: Vec<f32> = data.target.iter().map(|&label| label as f32).collect();
    let positive = targets.iter().sum::<f32>();
    // As much weight for all positive rows as for all negative ones.
    let pos_weight = [(rows as f32 - positive) / positive];
    println!("{rows} rows, {features} features, pos_weight {:.4}", pos_weight[0]);

    let loss = BceWithLogitsLoss::new().pos_weight(View::new(&pos_weight, [1])?.broadcast_to([rows])?);
    let target = View::new(&targets, [rows])?;
    let mut model = Linear::zeros(features, 1);
    let mut logits = vec![0.0; rows];
    let mut losses = Vec::with_capacity(EPOCHS);
    for epoch in 1..=EPOCHS {
        model.forward(&x, &mut logits);
        let mean = loss.mean_with_grad_in_place(ViewMut::new(&mut logits, [rows])?, target)?;
        model.step(&x, &logits, RATE);
        losses.push(mean);
        progress(epoch, EPOCHS, mean);
    }
    plot(&losses);

    println!("         epoch   losslanes         f64");
    let expected = plain(&x, &targets, features, f64::from(pos_weight[0]));
    let mut agrees = true;
    for epoch in COMPARED {
        #[expect(clippy::cast_possible_truncation, reason = "rounding is what is meant")]
        let expected = expected[epoch] as f32;
        agrees &= compare(&epoch.to_string(), losses[epoch], expected, 1e-5);
    }
    model.forward(&x, &mut logits);
    let right = logits.iter().zip(&targets).filter(|&(&logit, &target)| (logit > 0.0) == (target > 0.5)).count();
    println!("{:>14}  {:>10.4}", "accuracy", right as f32 / rows as f32);
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every feature with mean 0 and variance 1.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn standardized(data: &[f32], features: usize) -> Vec<f32> {
    let mut out = data.to_vec();
    for feature in 0..features {
        let column = || data.iter().skip(feature).step_by(features);
        let rows = column().count() as f32;
        let mean = column().sum::<f32>() / rows;
        let variance = column().map(|x| (x - mean).powi(2)).sum::<f32>() / rows;
        for x in out.iter_mut().skip(feature).step_by(features) {
            *x = (*x - mean) / variance.sqrt();
        }
    }
    out
}

/// The losses of the same training, from the definition.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn plain(x: &[f32], targets: &[f32], features: usize, pos_weight: f64) -> Vec<f64> {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (mut weight, mut bias) = (vec![0.0_f64; features], 0.0);
    let rows = targets.len() as f64;
    let epoch = |_| {
        let (mut loss, mut by_weight, mut by_bias) = (0.0, vec![0.0; features], 0.0);
        for (x, &target) in x.chunks(features).zip(targets) {
            let target = f64::from(target);
            let logit = bias + x.iter().zip(&weight).map(|(&x, w)| f64::from(x) * w).sum::<f64>();
            loss += pos_weight * target * softplus(-logit) + (1.0 - target) * softplus(logit);
            let g = ((1.0 - target) * sigmoid(logit) - pos_weight * target * sigmoid(-logit)) / rows;
            by_weight.iter_mut().zip(x).for_each(|(sum, &x)| *sum += g * f64::from(x));
            by_bias += g;
        }
        weight.iter_mut().zip(by_weight).for_each(|(w, g)| *w -= f64::from(RATE) * g);
        bias -= f64::from(RATE) * by_bias;
        loss / rows
    };
    (0..EPOCHS).map(epoch).collect()
}
