//! Every loss against its reference, on every backend: ranks, sizes around every boundary, options, label types.

use crate::common::{
    backends,
    case::{Case, Ignore, Label, Loss, Setting, Target},
    check::{CONFIDENT, LOSS, NEAR},
    generate::{CLASSES, Ignored, Options, ROWS, binary, class_shapes, classes, size, soft_classes},
    random::Random,
    reference::Reference,
};
use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, NllLoss};

const SMOOTHINGS: [f32; 3] = [0.0, 0.1, 1.0];

const CLASS_LOSSES: [Loss; 2] = [Loss::CrossEntropy, Loss::Nll];

/// The smoothings of a loss.
fn smoothings(loss: Loss) -> &'static [f32] {
    if loss == Loss::CrossEntropy { &SMOOTHINGS } else { &[0.0] }
}

#[test]
fn classes_in_every_rank_and_size() {
    let mut random = Random::new(1);
    for count in CLASSES {
        for shape in class_shapes(count) {
            for loss in CLASS_LOSSES {
                classes(&mut random, loss, &shape, Options::NONE).assert_close(NEAR);
            }
            soft_classes(&mut random, &shape, Options::NONE).assert_close(NEAR);
        }
    }
}

#[test]
fn classes_with_every_option() {
    let mut random = Random::new(2);
    for shape in [vec![5, 3], vec![4, 17], vec![2, 33], vec![2, 6, 3], vec![2, 40, 2], vec![1, size(1030)]] {
        for loss in CLASS_LOSSES {
            for options in Options::all(smoothings(loss)) {
                classes(&mut random, loss, &shape, options).assert_close(NEAR);
            }
        }
        for options in Options::of_probabilities(&SMOOTHINGS) {
            soft_classes(&mut random, &shape, options).assert_close(NEAR);
        }
    }
}

#[test]
fn classes_with_every_number_of_rows() {
    let mut random = Random::new(3);
    let options = Options { weight: true, ignored: Ignored::Default, smoothing: 0.1 };
    for rows in ROWS {
        for count in [1, 2, 3, 8] {
            for shape in [vec![rows, count], vec![1, count, rows]] {
                for options in [Options::NONE, options] {
                    classes(&mut random, Loss::CrossEntropy, &shape, options).assert_close(NEAR);
                }
                classes(&mut random, Loss::Nll, &shape, Options { smoothing: 0.0, ..options }).assert_close(NEAR);
                soft_classes(&mut random, &shape, Options::NONE).assert_close(NEAR);
            }
        }
    }
}

#[test]
fn a_million_classes() {
    let mut random = Random::new(4);
    let options = Options { weight: true, ignored: Ignored::Off, smoothing: 0.1 };
    for options in [Options::NONE, options] {
        classes(&mut random, Loss::CrossEntropy, &[1, size(1_000_000)], options).assert_close(NEAR);
    }
    soft_classes(&mut random, &[size(1_000_000)], Options::NONE).assert_close(NEAR);
    classes(&mut random, Loss::Nll, &[1, size(1_000_000)], Options::NONE).assert_close(NEAR);
}

#[test]
fn confident_rows_at_any_offset() {
    let mut random = Random::new(5);
    for offset in [0.0, -1.0, 1000.0, -1e4, 1e4] {
        for (rows, count) in [(40, 2), (40, 10), (20, 33), (2, size(1500))] {
            let mut case = classes(&mut random, Loss::CrossEntropy, &[rows, count], Options::NONE);
            for (row, logits) in case.input.data.chunks_mut(count).enumerate() {
                // The target's margin grows with the row, in both directions.
                let leader = random.below(count);
                logits[leader] += if row % 2 == 0 { 2.0 } else { -2.0 } * row as f32;
                logits.iter_mut().for_each(|x| *x += offset);
            }
            case.assert_close(CONFIDENT);
        }
    }
}

/// Every integer type, with an ignored class, and with a default index that unsigned types cannot hold.
#[test]
fn every_label_type() {
    let mut random = Random::new(6);
    for shape in class_shapes(10) {
        for loss in CLASS_LOSSES {
            for ignored in [Ignored::None, Ignored::Class, Ignored::Off] {
                let case = classes(&mut random, loss, &shape, Options { ignored, ..Options::NONE });
                for_every_label(&case, &Label::ALL);
            }
            let case = classes(&mut random, loss, &shape, Options { ignored: Ignored::Default, ..Options::NONE });
            for_every_label(&case, &[Label::I8, Label::I16, Label::I32, Label::I64, Label::Isize]);
        }
    }
}

/// 255, as segmentation masks have it.
#[test]
fn ignored_byte() {
    let mut random = Random::new(7);
    let mut case = classes(&mut random, Loss::CrossEntropy, &[20, 10], Options::NONE);
    let Target::Classes(labels) = &mut case.target else { unreachable!() };
    labels.data.iter_mut().step_by(3).for_each(|label| *label = 255);
    case.ignore = Ignore::Index(255);
    for_every_label(&case, &Label::ALL.map(|label| if label == Label::I8 { Label::U8 } else { label }));
}

fn for_every_label(case: &Case, labels: &[Label]) {
    let want = Reference::of(case);
    for backend in backends::all() {
        for &label in labels {
            let got = case.run(&Setting { label, ..Setting::on(backend) }).expect("a valid case");
            got.assert_close(&want, NEAR, || format!("{case:?} with {label:?} on {backend}"));
        }
    }
}

#[test]
fn binary_losses_in_every_rank_and_size() {
    let mut random = Random::new(8);
    for len in CLASSES.into_iter().chain([0, 4095, 4096, 4097, 9000].map(size)) {
        for shape in [vec![len], vec![2, len], vec![1, len, 2], vec![2, 1, 1, len], vec![1, 1, len, 1, 2]] {
            for loss in [Loss::Bce, Loss::BceWithLogits] {
                binary(&mut random, loss, &shape, false, false).assert_close(LOSS);
            }
        }
    }
}

#[test]
fn binary_losses_with_every_weight() {
    let mut random = Random::new(9);
    for shape in [vec![17], vec![3, 5], vec![2, 3, 7], vec![2, 3, 4, 5], vec![2, 1, 3, 2, 3]] {
        for _ in 0..4 {
            for (weight, pos_weight) in [(true, false), (false, true), (true, true)] {
                binary(&mut random, Loss::Bce, &shape, weight, pos_weight).assert_close(LOSS);
                binary(&mut random, Loss::BceWithLogits, &shape, weight, pos_weight).assert_close(LOSS);
            }
        }
    }
}

#[test]
fn defaults() {
    assert_eq!(format!("{:?}", CrossEntropyLoss::default()), format!("{:?}", CrossEntropyLoss::new()));
    assert_eq!(format!("{:?}", NllLoss::default()), format!("{:?}", NllLoss::new()));
    assert_eq!(format!("{:?}", BceLoss::<2>::default()), format!("{:?}", BceLoss::<2>::new()));
    assert_eq!(format!("{:?}", BceWithLogitsLoss::<2>::default()), format!("{:?}", BceWithLogitsLoss::<2>::new()));
}

/// The bits of a negative log-likelihood do not tell the backends apart.
#[test]
fn chosen_backends() {
    for backend in [Backend::SCALAR, Backend::INTEGER] {
        let losses = [
            format!("{:?}", CrossEntropyLoss::new().on(backend)),
            format!("{:?}", NllLoss::new().on(backend)),
            format!("{:?}", BceLoss::<2>::new().on(backend)),
            format!("{:?}", BceWithLogitsLoss::<2>::new().on(backend)),
        ];
        assert!(losses.iter().all(|loss| loss.contains(&backend.to_string())), "{losses:?}");
    }
}
