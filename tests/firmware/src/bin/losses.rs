//! The four losses on numbers that PyTorch gives for the same input, as `examples/losses.rs`; exits with an error if one is off
//! by more than 1e-4.
#![no_std]
#![no_main]

use losslanes::{BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, NllLoss, View, ViewMut, kernels};
use losslanes_firmware::{entry, random::Random};
use semihosting::{println, process::ExitCode};

/// Largest difference that passes.
const TOLERANCE: f32 = 1e-4;

/// Counts the results that differ from what is expected.
struct Report {
    wrong: usize,
}

impl Report {
    fn check(&mut self, name: &str, got: &[f32], expected: &[f32]) {
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE;
        if got.len() != expected.len() || !got.iter().zip(expected).all(close) {
            self.wrong += 1;
            println!("{name}: {got:?} instead of {expected:?}");
        }
    }
}

fn cross_entropy(report: &mut Report) -> Result<(), Error> {
    let logits = View::new(&[1.0, 2.0, 1.0, 3.0, 1.0, 3.0], [3, 2])?;
    let targets = View::new(&[0_i64, 1, 1], [3])?;
    let mut each = [0.0; 3];

    let loss = CrossEntropyLoss::new();
    loss.none(logits, targets, ViewMut::new(&mut each, [3])?)?;
    report.check("cross entropy, none", &each, &[1.3133, 0.1269, 0.1269]);
    report.check("cross entropy, sum", &[loss.sum(logits, targets)?], &[1.5671]);
    report.check("cross entropy, mean", &[loss.mean(logits, targets)?], &[0.5224]);

    let loss = loss.weight(&[1.0, 2.0]);
    loss.none(logits, targets, ViewMut::new(&mut each, [3])?)?;
    report.check("cross entropy, weight, none", &each, &[1.3133, 0.2539, 0.2539]);
    report.check("cross entropy, weight, sum", &[loss.sum(logits, targets)?], &[1.8210]);
    report.check("cross entropy, weight, mean", &[loss.mean(logits, targets)?], &[0.364_194_77]);

    let loss = NllLoss::new().weight(&[1.0, 1.0]);
    loss.none(logits, targets, ViewMut::new(&mut each, [3])?)?;
    report.check("nll, none", &each, &[-1.0, -3.0, -3.0]);
    report.check("nll, sum", &[loss.sum(logits, targets)?], &[-7.0]);
    report.check("nll, mean", &[loss.mean(logits, targets)?], &[-2.3333]);

    let logits = View::new(&[-2.1, 0.3, -1.0, 4.2, -3.3, 1.1, 0.0, -0.7, 2.5, -1.9], [10])?;
    let mean = CrossEntropyLoss::new().mean(logits, View::new(&[3_u8], [])?)?;
    report.check("cross entropy of ten classes", &[mean], &[0.247_301_87]);
    Ok(())
}

fn binary_cross_entropy(report: &mut Report) -> Result<(), Error> {
    const SHAPE: [usize; 2] = [4, 2];
    let logits = View::new(&[1.0, 2.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0], SHAPE)?;
    let targets = View::new(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0], SHAPE)?;
    let weight = View::new(&[1.0, 1.0], [2])?.broadcast_to(SHAPE)?;
    let expected = [0.3133, 2.1269, 0.1269, 2.1269, 3.0486, 0.0181, 4.0181, 0.0067];
    let mut probabilities = [0.0; 8];
    let mut each = [0.0; 8];

    kernels::sigmoid(logits, ViewMut::new(&mut probabilities, SHAPE)?)?;
    report.check("sigmoid", &probabilities, &[0.7311, 0.8808, 0.8808, 0.8808, 0.9526, 0.9820, 0.9820, 0.9933]);

    let probabilities = View::new(&probabilities, SHAPE)?;
    let loss = BceLoss::new().weight(weight);
    loss.none(probabilities, targets, ViewMut::new(&mut each, SHAPE)?)?;
    report.check("bce, none", &each, &expected);
    report.check("bce, sum", &[loss.sum(probabilities, targets)?], &[11.7856]);
    report.check("bce, mean", &[loss.mean(probabilities, targets)?], &[1.4732]);

    let loss = BceWithLogitsLoss::new().weight(weight);
    loss.none(logits, targets, ViewMut::new(&mut each, SHAPE)?)?;
    report.check("bce with logits, none", &each, &expected);
    report.check("bce with logits, sum", &[loss.sum(logits, targets)?], &[11.7856]);
    report.check("bce with logits, mean", &[loss.mean(logits, targets)?], &[1.4732]);

    let loss = BceWithLogitsLoss::new().pos_weight(View::new(&[3.0], [1])?.broadcast_to(SHAPE)?);
    loss.none(logits, targets, ViewMut::new(&mut each, SHAPE)?)?;
    report.check("pos_weight, none", &each, &[0.9398, 2.1269, 0.3808, 2.1269, 3.0486, 0.0544, 4.0181, 0.0201]);
    report.check("pos_weight, sum", &[loss.sum(logits, targets)?], &[12.7158]);
    report.check("pos_weight, mean", &[loss.mean(logits, targets)?], &[1.5895]);
    Ok(())
}

/// Images with a class for each pixel, in both usual orders of memory: the same bits.
fn segmentation(report: &mut Report) -> Result<(), Error> {
    const SHAPE: [usize; 4] = [2, 21, 4, 4];
    const PLANE: usize = 16;
    const CLASSES: usize = 21;
    let mut random = Random::new(6);
    let mut nchw = [0.0; 2 * CLASSES * PLANE];
    nchw.fill_with(|| random.logit());
    let mut labels = [0_u8; 2 * PLANE];
    labels.fill_with(|| random.below(21) as u8);
    let mut nhwc = [0.0; 2 * CLASSES * PLANE];
    for (i, &x) in nchw.iter().enumerate() {
        let (image, class, pixel) = (i / (CLASSES * PLANE), i / PLANE % CLASSES, i % PLANE);
        nhwc[(image * PLANE + pixel) * CLASSES + class] = x;
    }
    let targets = View::new(&labels, [2, 4, 4])?;
    let loss = CrossEntropyLoss::new().ignore_index(255);
    let first = loss.mean(View::new(&nchw, SHAPE)?, targets)?;
    let strides = [PLANE * CLASSES, 1, 4 * CLASSES, CLASSES].map(usize::cast_signed);
    let last = loss.mean(View::strided(&nhwc, 0, SHAPE, strides)?, targets)?;
    if first.to_bits() != last.to_bits() {
        report.wrong += 1;
        println!("NCHW: {first}, NHWC: {last}");
    }
    Ok(())
}

#[entry]
fn main() -> ! {
    let mut report = Report { wrong: 0 };
    let result = cross_entropy(&mut report)
        .and_then(|()| binary_cross_entropy(&mut report))
        .and_then(|()| segmentation(&mut report));
    if let Err(error) = result {
        println!("{error}");
        report.wrong += 1;
    }
    if report.wrong == 0 { ExitCode::SUCCESS.exit_process() } else { ExitCode::FAILURE.exit_process() }
}
