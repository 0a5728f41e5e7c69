//! The four losses on numbers that PyTorch gives for the same input; exits non-zero if one is off by more than 1e-4.
//!
//! `cargo run --release --example losses`

use std::process::ExitCode;

use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, NllLoss, View, ViewMut, kernels};

/// Largest difference that passes.
const TOLERANCE: f32 = 1e-4;

/// Prints each result beside what is expected, and counts those that differ.
struct Report {
    wrong: usize,
}

impl Report {
    fn title(&self, title: &str) {
        println!("\n{title}");
    }

    fn line(&mut self, name: &str, got: &[f32], expected: &[f32]) {
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE;
        let right = got.len() == expected.len() && got.iter().zip(expected).all(close);
        self.wrong += usize::from(!right);
        let numbers = got.iter().map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(", ");
        println!("  {} {name:<22} [{numbers}]", if right { "ok   " } else { "WRONG" });
    }
}

fn cross_entropy(report: &mut Report) -> Result<(), Error> {
    let logits = View::new(&[1.0, 2.0, 1.0, 3.0, 1.0, 3.0], [3, 2])?;
    let targets = View::new(&[0_i64, 1, 1], [3])?;
    let mut each = [0.0; 3];

    report.title("cross entropy, logits (3, 2), class indices (3)");
    let loss = CrossEntropyLoss::new();
    loss.none(logits, targets, ViewMut::new(&mut each, [3])?)?;
    report.line("none", &each, &[1.3133, 0.1269, 0.1269]);
    report.line("sum", &[loss.sum(logits, targets)?], &[1.5671]);
    report.line("mean", &[loss.mean(logits, targets)?], &[0.5224]);

    let loss = loss.weight(&[1.0, 2.0]);
    loss.none(logits, targets, ViewMut::new(&mut each, [3])?)?;
    report.line("none, weight [1, 2]", &each, &[1.3133, 0.2539, 0.2539]);
    report.line("sum, weight [1, 2]", &[loss.sum(logits, targets)?], &[1.8210]);
    report.line("mean, weight [1, 2]", &[loss.mean(logits, targets)?], &[0.364_194_77]);

    report.title("negative log-likelihood of the same numbers, weight [1, 1]");
    let loss = NllLoss::new().weight(&[1.0, 1.0]);
    loss.none(logits, targets, ViewMut::new(&mut each, [3])?)?;
    report.line("none", &each, &[-1.0, -3.0, -3.0]);
    report.line("sum", &[loss.sum(logits, targets)?], &[-7.0]);
    report.line("mean", &[loss.mean(logits, targets)?], &[-2.3333]);
    Ok(())
}

fn binary_cross_entropy(report: &mut Report) -> Result<(), Error> {
    const SHAPE: [usize; 2] = [4, 2];
    let logits = [1.0, 2.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0];
    let logits = View::new(&logits, SHAPE)?;
    let targets = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
    let targets = View::new(&targets, SHAPE)?;
    let weight = View::new(&[1.0, 1.0], [2])?.broadcast_to(SHAPE)?;
    let expected = [0.3133, 2.1269, 0.1269, 2.1269, 3.0486, 0.0181, 4.0181, 0.0067];
    let mut probabilities = [0.0; 8];
    let mut each = [0.0; 8];

    report.title("sigmoid of logits (4, 2)");
    kernels::sigmoid(logits, ViewMut::new(&mut probabilities, SHAPE)?)?;
    report.line("sigmoid", &probabilities, &[0.7311, 0.8808, 0.8808, 0.8808, 0.9526, 0.9820, 0.9820, 0.9933]);

    report.title("binary cross entropy of these probabilities, weight [1, 1] broadcast");
    let probabilities = View::new(&probabilities, SHAPE)?;
    let loss = BceLoss::new().weight(weight);
    loss.none(probabilities, targets, ViewMut::new(&mut each, SHAPE)?)?;
    report.line("none", &each, &expected);
    report.line("sum", &[loss.sum(probabilities, targets)?], &[11.7856]);
    report.line("mean", &[loss.mean(probabilities, targets)?], &[1.4732]);

    report.title("binary cross entropy of the logits");
    let loss = BceWithLogitsLoss::new().weight(weight);
    loss.none(logits, targets, ViewMut::new(&mut each, SHAPE)?)?;
    report.line("none", &each, &expected);
    report.line("sum", &[loss.sum(logits, targets)?], &[11.7856]);
    report.line("mean", &[loss.mean(logits, targets)?], &[1.4732]);

    let loss = BceWithLogitsLoss::new().pos_weight(View::new(&[3.0], [1])?.broadcast_to(SHAPE)?);
    loss.none(logits, targets, ViewMut::new(&mut each, SHAPE)?)?;
    report.line("none, pos_weight [3]", &each, &[0.9398, 2.1269, 0.3808, 2.1269, 3.0486, 0.0544, 4.0181, 0.0201]);
    report.line("sum, pos_weight [3]", &[loss.sum(logits, targets)?], &[12.7158]);
    report.line("mean, pos_weight [3]", &[loss.mean(logits, targets)?], &[1.5895]);
    Ok(())
}

/// A batch of images with a class for each pixel, in both usual orders of memory.
fn segmentation(report: &mut Report) -> Result<(), Error> {
    const SHAPE: [usize; 4] = [2, 21, 64, 64];
    let [images, classes, height, width] = SHAPE;
    // Any numbers will do: a linear congruential generator (Knuth's MMIX constants), to logits in [-8, 8).
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32
    };
    #[expect(clippy::cast_precision_loss, reason = "24 bits are exact")]
    let nchw: Vec<f32> =
        (0..SHAPE.iter().product()).map(|_| random() as f32 * (16.0 / f32::powi(2.0, 24)) - 8.0).collect();
    let labels: Vec<u8> = (0..images * height * width).map(|_| (random() % 21) as u8).collect();

    // The same numbers with the classes last in memory, seen through strides.
    let mut nhwc = vec![0.0; nchw.len()];
    for (i, &x) in nchw.iter().enumerate() {
        let (image, class, pixel) =
            (i / (classes * height * width), i / (height * width) % classes, i % (height * width));
        nhwc[(image * height * width + pixel) * classes + class] = x;
    }
    let strides = [height * width * classes, 1, width * classes, classes].map(usize::cast_signed);
    let targets = View::new(&labels, [images, height, width])?;
    let loss = CrossEntropyLoss::new().ignore_index(255);
    let first = loss.mean(View::new(&nchw, SHAPE)?, targets)?;
    let last = loss.mean(View::strided(&nhwc, 0, SHAPE, strides)?, targets)?;

    report.title("segmentation, logits (2, 21, 64, 64)");
    report.line("NCHW", &[first], &[last]);
    report.line("NHWC through strides", &[last], &[first]);
    let same = first.to_bits() == last.to_bits();
    println!("  {} the same bits", if same { "ok   " } else { "WRONG" });
    report.wrong += usize::from(!same);
    Ok(())
}

/// One row of logits, a byte as its label, no allocation: what a microcontroller does.
fn firmware(report: &mut Report) -> Result<(), Error> {
    static LOGITS: [f32; 10] = [-2.1, 0.3, -1.0, 4.2, -3.3, 1.1, 0.0, -0.7, 2.5, -1.9];
    let logits = View::new(&LOGITS, [10])?;
    let loss = CrossEntropyLoss::new().on(Backend::SCALAR);
    report.title("one row of ten classes, label 3, scalar backend");
    report.line("loss", &[loss.mean(logits, View::new(&[3_u8], [])?)?], &[0.247_301_87]);
    Ok(())
}

fn main() -> Result<ExitCode, Error> {
    println!("backend: {} (available: {:?})", Backend::detect(), Backend::available().collect::<Vec<_>>());
    let mut report = Report { wrong: 0 };
    cross_entropy(&mut report)?;
    binary_cross_entropy(&mut report)?;
    segmentation(&mut report)?;
    firmware(&mut report)?;
    println!("\n{}", if report.wrong == 0 { "all as PyTorch" } else { "some are WRONG" });
    Ok(if report.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
