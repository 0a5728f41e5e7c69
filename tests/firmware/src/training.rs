//! Softmax regression on some handwritten digits: the same code on a microcontroller and on the host.

use losslanes::{Backend, CrossEntropyLoss, Error, View, ViewMut};

pub const PIXELS: usize = 64;
pub const CLASSES: usize = 10;
/// Of the digits, each is its 64 pixels from 0 to 16, and what it is.
pub const DIGIT: usize = PIXELS + 1;
pub const DIGITS: usize = 100;
const BATCH: usize = 20;
const RATE: f32 = 0.5;

/// A linear model: for each class its weights, then its bias.
pub type Model = [[f32; PIXELS + 1]; CLASSES];

/// One epoch over the digits, from zeros: the mean loss of each batch before its step goes to `loss`.
pub fn epoch(backend: Backend, digits: &[u8; DIGITS * DIGIT], mut loss: impl FnMut(f32)) -> Result<Model, Error> {
    let mut model = [[0.0; PIXELS + 1]; CLASSES];
    for batch in digits.chunks_exact(BATCH * DIGIT) {
        let (mut logits, mut labels) = ([[0.0; CLASSES]; BATCH], [0_u8; BATCH]);
        for ((digit, logits), label) in batch.chunks_exact(DIGIT).zip(&mut logits).zip(&mut labels) {
            *label = digit[PIXELS];
            for (logit, weights) in logits.iter_mut().zip(&model) {
                *logit = digit[..PIXELS].iter().zip(weights).fold(weights[PIXELS], |y, (&x, w)| y + pixel(x) * w);
            }
        }
        // The gradient takes the place of the logits: no second buffer.
        let in_place = ViewMut::new(logits.as_flattened_mut(), [BATCH, CLASSES])?;
        let targets = View::new(&labels, [BATCH])?;
        loss(CrossEntropyLoss::new().on(backend).mean_with_grad_in_place(in_place, targets)?);
        for (digit, gradient) in batch.chunks_exact(DIGIT).zip(&logits) {
            for (weights, gradient) in model.iter_mut().zip(gradient) {
                let step = RATE * gradient;
                weights.iter_mut().zip(&digit[..PIXELS]).for_each(|(w, &x)| *w -= step * pixel(x));
                weights[PIXELS] -= step;
            }
        }
    }
    Ok(model)
}

fn pixel(x: u8) -> f32 {
    f32::from(x) / 16.0
}
