//! Semantic segmentation: logits in the NCHW order of images, a label for each pixel, 255 for pixels that do not count,
//! and the gradient in the logits' own memory.
//!
//! A scene of three surfaces is learned pixel by pixel from noisy colours (a 1 × 1 convolution).
//! `cargo run --release --example segmentation` shows labels and predictions, and exits non-zero if ignored pixels have a
//! gradient or the predictions are not right.

use std::process::ExitCode;

use losslanes::{CrossEntropyLoss, Error, View, ViewMut};

const CLASSES: usize = 3;
const HEIGHT: usize = 16;
const WIDTH: usize = 64;
const PIXELS: usize = HEIGHT * WIDTH;
const CHANNELS: usize = 3;
const EPOCHS: usize = 60;
const RATE: f32 = 4.0;
const IGNORED: u8 = 255;
/// Sky, ground, a ball, and the line around it that nobody labelled.
const SYMBOLS: [char; CLASSES] = ['.', '#', 'o'];

fn main() -> Result<ExitCode, Error> {
    let labels = scene();
    let image = photograph(&labels);
    let target = View::new(&labels, [1, HEIGHT, WIDTH])?;
    let loss = CrossEntropyLoss::new().ignore_index(IGNORED.into());

    let mut weight = [[0.0_f32; CHANNELS]; CLASSES];
    let mut bias = [0.0_f32; CLASSES];
    let mut logits = vec![0.0; CLASSES * PIXELS];
    let mut silent = true;
    for epoch in 1..=EPOCHS {
        convolve(&image, &weight, &bias, &mut logits);
        let in_place = ViewMut::new(&mut logits, [1, CLASSES, HEIGHT, WIDTH])?;
        let mean = loss.mean_with_grad_in_place(in_place, target)?;
        for (class, gradient) in logits.chunks(PIXELS).enumerate() {
            silent &= gradient.iter().zip(&labels).all(|(&g, &label)| label != IGNORED || g == 0.0);
            bias[class] -= RATE * gradient.iter().sum::<f32>();
            for (weight, plane) in weight[class].iter_mut().zip(image.chunks(PIXELS)) {
                *weight -= RATE * gradient.iter().zip(plane).map(|(g, x)| g * x).sum::<f32>();
            }
        }
        if epoch == 1 || epoch == EPOCHS {
            println!("epoch {epoch:2}: mean loss {mean:.4}");
        }
    }

    convolve(&image, &weight, &bias, &mut logits);
    let logit = |class: usize, pixel: usize| logits[class * PIXELS + pixel];
    let best = |pixel: usize| (0..CLASSES).max_by(|&a, &b| logit(a, pixel).total_cmp(&logit(b, pixel))).unwrap_or(0);
    println!("\nlabels (a space where there is none) and predictions:\n");
    for line in 0..HEIGHT {
        let pixels = line * WIDTH..(line + 1) * WIDTH;
        let labels =
            labels[pixels.clone()].iter().map(|&label| SYMBOLS.get(usize::from(label)).copied().unwrap_or(' '));
        let predictions = pixels.map(|pixel| SYMBOLS[best(pixel)]);
        println!("{}  {}", labels.collect::<String>(), predictions.collect::<String>());
    }
    let counted = || labels.iter().enumerate().filter(|&(_, &label)| label != IGNORED);
    let right = counted().filter(|&(pixel, &label)| best(pixel) == usize::from(label)).count();
    let (all, ignored) = (counted().count(), PIXELS - counted().count());
    println!("\n{right} of {all} labelled pixels are right, {ignored} are ignored and have no gradient: {silent}");
    Ok(if silent && right * 100 >= all * 98 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The label of each pixel.
fn scene() -> Vec<u8> {
    let label = |pixel: usize| {
        let (line, column) = (pixel / WIDTH, pixel % WIDTH);
        // A pixel is twice as high as it is wide.
        let distance = (2 * line.abs_diff(8)).pow(2) + column.abs_diff(30).pow(2);
        match distance {
            0..=80 => 2,
            81..=140 => IGNORED,
            _ if line >= 10 => 1,
            _ => 0,
        }
    };
    (0..PIXELS).map(label).collect()
}

/// Three planes of colour, with noise. Ignored pixels have colours of nothing.
fn photograph(labels: &[u8]) -> Vec<f32> {
    const COLOURS: [[f32; CHANNELS]; CLASSES] = [[0.2, 0.5, 0.9], [0.3, 0.7, 0.2], [0.9, 0.3, 0.2]];
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap_or(0)) / 65_536.0 - 0.5
    };
    let mut image = vec![0.0; CHANNELS * PIXELS];
    for (channel, plane) in image.chunks_mut(PIXELS).enumerate() {
        for (x, &label) in plane.iter_mut().zip(labels) {
            let colour = COLOURS.get(usize::from(label)).map_or(0.5, |colour| colour[channel]);
            *x = colour + 0.4 * noise();
        }
    }
    image
}

/// Logits of each pixel from its colours.
fn convolve(image: &[f32], weight: &[[f32; CHANNELS]; CLASSES], bias: &[f32; CLASSES], logits: &mut [f32]) {
    for ((plane, weight), &bias) in logits.chunks_mut(PIXELS).zip(weight).zip(bias) {
        plane.fill(bias);
        for (&weight, colours) in weight.iter().zip(image.chunks(PIXELS)) {
            plane.iter_mut().zip(colours).for_each(|(logit, x)| *logit += weight * x);
        }
    }
}
