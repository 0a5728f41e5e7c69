//! Compensated sums, and totals that merge.

use crate::common::{check::ulps, generate::size, random::Random};
use losslanes::{Backend, CrossEntropyLoss, NllLoss, View};

/// A running `f32` sum says 1.183.
#[test]
fn mean_of_twenty_million_losses() {
    // No memory: the one logit and the one target repeat.
    let shape = [if cfg!(miri) { 200 } else { 20_000_000 }, 3];
    let logits = View::new(&[0.0], [1, 1]).and_then(|view| view.broadcast_to(shape)).expect("a view");
    let targets = View::new(&[1_u8], [1]).and_then(|view| view.broadcast_to([shape[0]])).expect("a view");
    let total = CrossEntropyLoss::new().total(logits, targets).expect("valid arguments");
    assert!(ulps(total.mean(), 3_f64.ln()) <= 1.0, "{}", total.mean());
    assert!(ulps(total.sum(), 3_f64.ln() * shape[0] as f64) <= 1.0, "{}", total.sum());
    assert_eq!(total.denominator().to_bits(), (shape[0] as f32).to_bits());
}

/// A count that no `f32` has goes into a total whole.
#[test]
fn odd_counts() {
    // Rows without classes need no memory.
    let total = |rows: usize| {
        let nothing = View::<f32, 2>::new(&[], [rows, 0]).expect("nothing");
        CrossEntropyLoss::new().total(nothing, nothing).expect("valid arguments")
    };
    let odd = total((1 << 24) + 1);
    assert_eq!(odd.merge(odd).merge(total(2)).denominator().to_bits(), 33_554_436_f32.to_bits());
    let rounded_up = total((1 << 24) + 3);
    assert_eq!(rounded_up.merge(rounded_up).merge(total(2)).denominator().to_bits(), 33_554_440_f32.to_bits());
}

/// Sums by integers have the bits of those by floats, with what they lose: numbers of all sizes and signs, of one of them, and
/// at the end of what there is.
#[test]
fn sums_by_integers() {
    let mut random = Random::new(51);
    let scale = |random: &mut Random| 2_f32.powi(i32::try_from(random.below(60)).expect("small") - 30);
    let mut assert_same = |what: &str, number: &mut dyn FnMut(&mut Random) -> f32| {
        for _ in 0..size(2_000) {
            let x: Vec<f32> = (0..=random.below(39)).map(|_| number(&mut random)).collect();
            let total = |backend: Backend| {
                let (logits, targets) = (View::new(&x, [x.len(), 1]), [0_u8; 40]);
                let targets = View::new(&targets[..x.len()], [x.len()]).expect("one for each");
                NllLoss::new().on(backend).total(logits.expect("rows of one class"), targets).expect("valid arguments")
            };
            let (by_integers, by_floats) = (total(Backend::INTEGER), total(Backend::SCALAR));
            assert_eq!(format!("{by_integers:?}"), format!("{by_floats:?}"), "{what}: {x:?}");
        }
    };
    assert_same("losses", &mut |random| -random.uniform(0.0, 10.0));
    assert_same("of one sign", &mut |random| random.uniform(0.5, 2.0) * scale(random));
    assert_same("near each other", &mut |random| -random.uniform(0.9, 1.1));
    assert_same("with ties", &mut |random| {
        let large = random.below(2) == 0;
        -(random.below(64) as f32) * if large { 16_777_216.0 } else { 1.0 }
    });
    assert_same("of both signs", &mut |random| random.uniform(-2.0, 2.0) * scale(random));
    assert_same("of all sizes", &mut |random| f32::from_bits(random.next() as u32 & 0x7fff_ffff | 1 << 31));
    assert_same("of all bits", &mut |random| f32::from_bits(random.next() as u32));
}
