//! Compensated sums, and totals that merge.
#![allow(clippy::cast_precision_loss, reason = "a number that both types have")]

mod common;

use common::check::ulps;
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
