//! The relative error of losses: rows of 2 to 100,000 classes, every margin of the target, common offsets.
//!
//! `cargo test --release --test suite accuracy:: -- --nocapture` prints the worst of each kind.

use crate::common::{
    array::Array,
    backends,
    case::{Case, Loss, Setting, Target},
    check::{CONFIDENT, NEAR, relative_error},
    random::Random,
    reference::Reference,
};

const CLASSES: [usize; 8] = [2, 3, 10, 33, 100, 1000, 10_000, 100_000];

const OFFSETS: [f32; 3] = [0.0, 1000.0, 10_000.0];

/// Where the target stands against the best of the others.
const MARGINS: std::ops::RangeInclusive<i16> = -80..=86;

/// Rows of about 200,000 logits together, but at least one and not more than `most`.
fn rows(classes: usize, most: usize) -> usize {
    (200_000 / classes).clamp(1, most)
}

/// Logits within 5 of each other, and targets.
fn near(random: &mut Random, rows: usize, classes: usize, offset: f32) -> Case {
    let input = Array::from_fn(&[rows, classes], |_| offset + random.uniform(0.0, 5.0));
    let targets = Array::from_fn(&[rows], |_| i64::try_from(random.below(classes)).expect("a small number"));
    Case::plain(Loss::CrossEntropy, input, Target::Classes(targets))
}

/// Runs on every backend, and gives the worst relative error of the losses in each arithmetic.
fn worst(case: &Case, tolerance: f64, what: &str, worst: &mut [f64; 3]) {
    let want = Reference::of(case).each;
    for (backends, worst) in backends::by_arithmetic().zip(worst) {
        for backend in backends {
            let got = case.run(&Setting { reductions: false, ..Setting::on(backend) }).expect("a valid case").each;
            for (row, (&got, &want)) in got.iter().zip(&want).enumerate() {
                let error = relative_error(got, want);
                assert!(
                    error <= tolerance,
                    "row {row} of {what} on {backend}: got {got:e}, expected {want:e}: {error:.2e}"
                );
                *worst = worst.max(error);
            }
        }
    }
}

fn report(what: &str, [integer, portable, fused]: [f64; 3]) {
    println!("{what}: relative error up to {integer:.2e} by integers, {portable:.2e} portable, {fused:.2e} fused");
}

#[test]
fn logits_within_five() {
    let mut random = Random::new(51);
    for offset in OFFSETS {
        let mut errors = [0.0; 3];
        for classes in CLASSES {
            let case = near(&mut random, rows(classes, 500), classes, offset);
            worst(&case, NEAR, &format!("{classes} classes at {offset}"), &mut errors);
        }
        report(&format!("logits within 5 of each other, at {offset}"), errors);
    }
}

/// Equal terms are the hardest to add: each addition of many rounds the same way.
#[test]
fn equal_terms() {
    let mut random = Random::new(53);
    let mut errors = [0.0; 3];
    for classes in CLASSES.into_iter().chain([127, 129, 815, 1025]) {
        for step in [0.0, 1.3, 5.0] {
            // One class leads the others by a step.
            let rows = rows(classes, 50);
            let level = Array::from_fn(&[rows], |_| random.uniform(-1.0, 1.0));
            let input = Array::from_fn(&[rows, classes], |at| {
                level.data[at / classes] - if at % classes == 0 { 0.0 } else { step }
            });
            let share = Array::from_fn(&[rows], |_| random.uniform(0.5, 1.5) / classes as f32);
            let shares = Array::from_fn(&[rows, classes], |at| share.data[at / classes]);
            let targets = Array::from_fn(&[rows], |_| 0);
            let smoothed = Case {
                smoothing: random.uniform(0.0, 1.0),
                ..Case::plain(Loss::CrossEntropy, input.clone(), Target::Classes(targets))
            };
            let soft = Case::plain(Loss::CrossEntropy, input, Target::Probabilities(shares));
            for (case, name) in [(smoothed, "smoothed"), (soft, "of probabilities")] {
                let what = format!("{classes} classes, {name}, one {step} above the others");
                worst(&case, NEAR, &what, &mut errors);
            }
        }
    }
    report("smoothed and of probabilities, with equal terms", errors);
}

#[test]
fn margins() {
    let mut random = Random::new(52);
    for offset in OFFSETS {
        let mut errors = [0.0; 3];
        for classes in CLASSES {
            // With few rows of many classes, not every margin.
            let rows = rows(classes, 167 * 4);
            let mut case = near(&mut random, rows, classes, offset);
            let Target::Classes(targets) = &case.target else { unreachable!() };
            let spread = MARGINS.count();
            for (row, (logits, &target)) in case.input.data.chunks_mut(classes).zip(&targets.data).enumerate() {
                let target = usize::try_from(target).expect("a class");
                let margin = MARGINS.start() + i16::try_from(row * spread / rows % spread).expect("a margin");
                let best = logits.iter().enumerate().filter(|&(class, _)| class != target);
                let best = best.fold(f32::NEG_INFINITY, |best, (_, &x)| best.max(x));
                logits[target] = best + f32::from(margin);
            }
            worst(&case, CONFIDENT, &format!("{classes} classes, all margins, at {offset}"), &mut errors);
        }
        report(&format!("margins from {} to {}, at {offset}", MARGINS.start(), MARGINS.end()), errors);
    }
}
