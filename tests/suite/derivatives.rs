//! The gradients by the input against differences of the losses. The other derivatives (by targets, and the second one of
//! binary cross entropy of logits) on strided memory, against the formulas in `f64`. All on every backend.

use crate::common::{
    array::Array,
    backends,
    case::{Case, Loss, Setting},
    generate::{self, Options, binary, size, soft_classes},
    layouts::{CONTIGUOUS, Canvas, Laid, Order, Placement},
    random::Random,
    reference::Reference,
};
use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error};

const LAYOUTS: [Placement; 3] = [
    CONTIGUOUS,
    Placement { order: Order::ColumnMajor, ..CONTIGUOUS },
    Placement { step: 2, gap: 1, reversed: 0b01, margin: 5, ..CONTIGUOUS },
];

/// Around the boundaries of vectors and tiles.
const SHAPES: [[usize; 2]; 8] =
    [[1, 1], [3, 2], [5, 10], [17, 16], [size(70), 3], [2, size(65)], [2, size(1025)], [33, 0]];

fn uniform(random: &mut Random, low: f32, high: f32) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let x = random.below(1 << 20) as f32 / (1_u32 << 20) as f32;
    low + (high - low) * x
}

/// Random numbers of a shape.
fn array(random: &mut Random, shape: &[usize], low: f32, high: f32) -> Array<f32> {
    Array::from_fn(shape, |_| uniform(random, low, high))
}

/// Runs in every layout on every backend, into canvases that notice what is written beside them. Results are compared
/// relative to themselves, or to the terms of which they are a difference where these are larger.
fn check(
    what: &str,
    shape: [usize; 2],
    (expected, terms): (&[f64], f64),
    run: impl Fn(Backend, Placement, &mut Canvas) -> Result<(), Error>,
) {
    for backend in backends::all() {
        for at in LAYOUTS {
            let mut out = Canvas::new(&shape, at);
            run(backend, at, &mut out).unwrap_or_else(|error| panic!("{what}: {error}"));
            for (i, (got, expected)) in out.finish().into_iter().zip(expected).enumerate() {
                let close = (f64::from(got) - expected).abs() <= 2e-6 * expected.abs().max(terms);
                assert!(close, "{what} of {shape:?} on {backend}, {at:?}: element {i} is {got}, expected {expected}");
            }
        }
    }
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[test]
fn cross_entropy_by_probabilities() {
    let mut random = Random::new(31);
    for shape in SHAPES {
        let [rows, classes] = shape;
        let logits = array(&mut random, &shape, -4.0, 4.0);
        let upstream = array(&mut random, &[rows], -2.0, 2.0);
        let weight: Vec<f32> = (0..classes).map(|_| uniform(&mut random, 0.5, 2.0)).collect();
        let mut expected = Vec::new();
        for (row, upstream) in logits.data.chunks(classes.max(1)).zip(&upstream.data) {
            let lse = row.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
            let value = |(&x, &w): (&f32, &f32)| f64::from(*upstream) * 0.75 * f64::from(w) * (lse - f64::from(x));
            expected.extend(row.iter().zip(&weight).map(value));
        }
        check("target_grad of cross entropy", shape, (&expected, 0.0), |backend, at, out| {
            let (logits, upstream) = (Laid::new(&logits, at), Laid::new(&upstream, at));
            let loss = CrossEntropyLoss::new().weight(&weight).label_smoothing(0.25).on(backend);
            loss.target_grad(logits.view::<2>(), upstream.view::<1>(), out.view())
        });
    }
}

#[test]
fn binary_losses() {
    let mut random = Random::new(32);
    for shape in SHAPES {
        let logits = array(&mut random, &shape, -12.0, 12.0);
        let probabilities = array(&mut random, &shape, 0.01, 0.99);
        let target = array(&mut random, &shape, 0.0, 1.0);
        let [weight, pos_weight] = [0; 2].map(|_| array(&mut random, &shape, 0.5, 2.0));
        let upstream = array(&mut random, &shape, -2.0, 2.0);
        let of = |f: &dyn Fn(usize) -> f64| (0..logits.data.len()).map(f).collect::<Vec<f64>>();
        let number = |array: &Array<f32>, i: usize| f64::from(array.data[i]);

        let expected = of(&|i| {
            let p = number(&probabilities, i);
            number(&upstream, i) * number(&weight, i) * ((1.0 - p).ln() - p.ln())
        });
        check("target_grad of BCE", shape, (&expected, 1.0), |backend, at, out| {
            let [input, weight, upstream] = [&probabilities, &weight, &upstream].map(|x| Laid::new(x, at));
            let loss = BceLoss::new().weight(weight.view::<2>()).on(backend);
            loss.target_grad(input.view(), upstream.view(), out.view())
        });

        let expected = of(&|i| {
            let (x, pos) = (number(&logits, i), number(&pos_weight, i));
            number(&upstream, i) * number(&weight, i) * (pos * softplus(-x) - softplus(x))
        });
        check("target_grad of BCE with logits", shape, (&expected, 1.0), |backend, at, out| {
            let [input, weight, pos, upstream] = [&logits, &weight, &pos_weight, &upstream].map(|x| Laid::new(x, at));
            let loss = BceWithLogitsLoss::new().weight(weight.view::<2>()).pos_weight(pos.view()).on(backend);
            loss.target_grad(input.view(), upstream.view(), out.view())
        });

        let expected = of(&|i| {
            let (x, t, pos) = (number(&logits, i), number(&target, i), number(&pos_weight, i));
            number(&weight, i) * (1.0 - t + pos * t) / ((1.0 + (-x).exp()) * (1.0 + x.exp()))
        });
        check("hessian", shape, (&expected, 0.0), |backend, at, out| {
            let [input, target, weight, pos] = [&logits, &target, &weight, &pos_weight].map(|x| Laid::new(x, at));
            let loss = BceWithLogitsLoss::new().weight(weight.view::<2>()).pos_weight(pos.view()).on(backend);
            loss.hessian(input.view(), target.view(), out.view())
        });
    }
}

/// Inputs are multiples of this, so that an input and its neighbours are all exact.
const STEP: f32 = 1.0 / 65_536.0;

/// The gradients of `none`, `sum` and `mean` by the input, from central differences of the losses in `f64`.
fn differences(case: &Case) -> [Vec<f64>; 3] {
    let Reference { each, denominator, .. } = Reference::of(case);
    let shape = if each.len() == case.input.data.len() { case.input.shape.clone() } else { case.input.row_shape() };
    let upstream = case.upstream(&shape).data;
    let slopes: Vec<Vec<f64>> = (0..case.input.data.len())
        .map(|i| {
            let [above, below] = [STEP, -STEP].map(|step| {
                let mut case = case.clone();
                case.input.data[i] += step;
                Reference::of(&case).each
            });
            above.iter().zip(below).map(|(above, below)| (above - below) / f64::from(2.0 * STEP)).collect()
        })
        .collect();
    let none = |slopes: &Vec<f64>| slopes.iter().zip(&upstream).map(|(slope, &factor)| slope * f64::from(factor)).sum();
    let sum = |slopes: &Vec<f64>| slopes.iter().sum();
    // An ignored row has gradient 0 even where the denominator is 0.
    let mean =
        |slopes: &Vec<f64>| Some(slopes.iter().sum::<f64>()).filter(|&x| x != 0.0).map_or(0.0, |x| x / denominator);
    [slopes.iter().map(none).collect(), slopes.iter().map(sum).collect(), slopes.iter().map(mean).collect()]
}

fn check_differences(mut case: Case) {
    case.input = case.input.map(|x| (x / STEP).round() * STEP);
    let expected = differences(&case);
    for backend in backends::all() {
        let gradients = case.run(&Setting::on(backend)).expect("a valid case").gradients;
        let got = [gradients.none, gradients.sum, gradients.mean];
        for ((got, expected), name) in got.iter().zip(&expected).zip(["none", "sum", "mean"]) {
            for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
                let close = (f64::from(got) - expected).abs() <= 1e-6 * expected.abs().max(1.0);
                assert!(close, "gradient of {name} on {backend}: element {i} is {got}, expected {expected}: {case:?}");
            }
        }
    }
}

#[test]
fn gradients_are_differences() {
    let mut random = Random::new(33);
    for shape in [vec![5], vec![4, 2], vec![3, 5], vec![2, 18], vec![2, 3, 4]] {
        for options in Options::all(&[0.0, 0.1, 1.0]) {
            check_differences(generate::classes(&mut random, Loss::CrossEntropy, &shape, options));
        }
        for options in Options::all(&[0.0]) {
            check_differences(generate::classes(&mut random, Loss::Nll, &shape, options));
        }
        for options in Options::of_probabilities(&[0.0, 0.1, 1.0]) {
            check_differences(soft_classes(&mut random, &shape, options));
        }
        for (weight, pos_weight) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut case = binary(&mut random, Loss::Bce, &shape, weight, pos_weight);
            // Not near the ends, where differences are far from the derivative.
            case.input = case.input.map(|p| 0.125 + 0.75 * p);
            check_differences(case);
            check_differences(binary(&mut random, Loss::BceWithLogits, &shape, weight, pos_weight));
        }
    }
}
