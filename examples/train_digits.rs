//! Softmax regression on 1797 handwritten digits of 8 × 8 pixels, beside the losses of the same training in PyTorch.
//!
//! `cargo run --release --example train_digits` exits non-zero if a loss is off by more than 1e-5, relative.

mod common;

use std::process::ExitCode;

use common::{Linear, compare, plot, progress};
use losslanes::{CrossEntropyLoss, Error, View, ViewMut};
use smartcore::dataset::digits;

const PIXELS: usize = 64;
const CLASSES: usize = 10;
const TRAINED: usize = 1437;
const EPOCHS: usize = 200;
const RATE: f32 = 0.5;

/// Epochs and the losses that PyTorch has there.
const PYTORCH: [(usize, f32); 5] =
    [(0, 2.302_585_4), (1, 2.203_246_6), (10, 1.521_514_8), (50, 0.599_461_8), (199, 0.243_998_4)];
const PYTORCH_ACCURACY: f32 = 0.8833;

fn main() -> Result<ExitCode, Error> {
    let digits = digits::load_dataset();
    let pixels: Vec<f32> = digits.data.iter().map(|x| x / 16.0).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "digits from 0 to 9")]
    let labels: Vec<u8> = digits.target.iter().map(|&digit| digit as u8).collect();
    let (pixels, unseen_pixels) = pixels.split_at(TRAINED * PIXELS);
    let (labels, unseen_labels) = labels.split_at(TRAINED);

    let mut model = Linear::zeros(PIXELS, CLASSES);
    let mut logits = vec![0.0; TRAINED * CLASSES];
    let targets = View::new(labels, [TRAINED])?;
    let mut losses = Vec::with_capacity(EPOCHS);
    for epoch in 1..=EPOCHS {
        model.forward(pixels, &mut logits);
        // The gradient takes the place of the logits: no second buffer.
        let in_place = ViewMut::new(&mut logits, [TRAINED, CLASSES])?;
        let loss = CrossEntropyLoss::new().mean_with_grad_in_place(in_place, targets)?;
        model.step(pixels, &logits, RATE);
        losses.push(loss);
        progress(epoch, EPOCHS, loss);
    }
    plot(&losses);

    println!("         epoch   losslanes     PyTorch");
    let mut agrees = true;
    for (epoch, expected) in PYTORCH {
        agrees &= compare(&epoch.to_string(), losses[epoch], expected, 1e-5);
    }
    let mut logits = vec![0.0; unseen_labels.len() * CLASSES];
    model.forward(unseen_pixels, &mut logits);
    agrees &= compare("accuracy", accuracy(&logits, unseen_labels), PYTORCH_ACCURACY, 1e-3);
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The share of rows whose largest logit is that of the label.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn accuracy(logits: &[f32], labels: &[u8]) -> f32 {
    let right = logits.chunks(CLASSES).zip(labels).filter(|(row, label)| {
        let largest = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
        largest == Some(usize::from(**label))
    });
    right.count() as f32 / labels.len() as f32
}
