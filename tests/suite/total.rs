//! Compensated sums, and totals that merge.

use crate::common::check::ulps;
use losslanes::{CrossEntropyLoss, View};

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
