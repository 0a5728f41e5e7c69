//! What the training examples share: a linear model, and what they show in the terminal.

use std::io::{IsTerminal, Write};

/// A linear layer without a hidden one: `outputs` numbers for each row of `inputs` features.
pub(crate) struct Linear {
    inputs: usize,
    outputs: usize,
    /// `outputs` rows of `inputs` weights, and a bias for each output.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    pub(crate) fn zeros(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, weight: vec![0.0; inputs * outputs], bias: vec![0.0; outputs] }
    }

    /// `y = x W^T + b`, row by row.
    pub(crate) fn forward(&self, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks(self.inputs).zip(y.chunks_mut(self.outputs)) {
            for ((y, weight), bias) in y.iter_mut().zip(self.weight.chunks(self.inputs)).zip(&self.bias) {
                *y = bias + x.iter().zip(weight).map(|(x, w)| x * w).sum::<f32>();
            }
        }
    }

    /// One step of gradient descent, from the gradient of the loss with respect to `y`.
    pub(crate) fn step(&mut self, x: &[f32], gradient: &[f32], rate: f32) {
        let mut by_weight = vec![0.0; self.weight.len()];
        let mut by_bias = vec![0.0; self.bias.len()];
        for (x, gradient) in x.chunks(self.inputs).zip(gradient.chunks(self.outputs)) {
            for ((g, by_weight), by_bias) in gradient.iter().zip(by_weight.chunks_mut(self.inputs)).zip(&mut by_bias) {
                *by_bias += g;
                by_weight.iter_mut().zip(x).for_each(|(sum, x)| *sum += g * x);
            }
        }
        self.weight.iter_mut().zip(by_weight).for_each(|(w, g)| *w -= rate * g);
        self.bias.iter_mut().zip(by_bias).for_each(|(b, g)| *b -= rate * g);
    }
}

/// A bar on the last line of the terminal; nothing where the output is not one.
pub(crate) fn progress(done: usize, all: usize, loss: f32) {
    const WIDTH: usize = 40;
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let full = done * WIDTH / all.max(1);
        let end = if done == all { "\n" } else { "" };
        // A bar that cannot be shown is no reason to stop.
        let _ = write!(err, "\r[{}{}] {done}/{all}  loss {loss:.4}{end}", "#".repeat(full), ".".repeat(WIDTH - full));
        let _ = err.flush();
    }
}

/// The losses of all epochs, as a plot of a few lines.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
pub(crate) fn plot(losses: &[f32]) {
    const WIDTH: usize = 64;
    const HEIGHT: usize = 12;
    let top = losses.iter().copied().fold(0.0, f32::max);
    let columns: Vec<usize> = (0..WIDTH)
        .filter_map(|column| losses.get(column * losses.len() / WIDTH))
        .map(|loss| (loss / top * HEIGHT as f32).round() as usize)
        .collect();
    println!();
    for line in (0..=HEIGHT).rev() {
        let marks: String = columns.iter().map(|&height| if height == line { '*' } else { ' ' }).collect();
        println!("{:7.3} |{}", top * line as f32 / HEIGHT as f32, marks.trim_end());
    }
    println!("        +{}\n         epoch 0 to {}\n", "-".repeat(WIDTH), losses.len().saturating_sub(1));
}

/// Prints what was measured beside what is expected; whether they agree to `tolerance`, relative.
pub(crate) fn compare(what: &str, got: f32, expected: f32, tolerance: f32) -> bool {
    let agrees = (got - expected).abs() <= tolerance * expected.abs();
    println!("{what:>14}  {got:>10.7}  {expected:>10.7}  {}", if agrees { "ok" } else { "DIFFERS" });
    agrees
}
