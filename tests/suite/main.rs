//! Everything public, on every backend: one binary, since each would compile the calls of every rank and label type anew.
//! A part of it: `cargo test --test suite special::`.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "small numbers, and rounding on purpose"
)]

#[cfg(not(golden_only))]
#[path = "../attack/mod.rs"]
mod attack;
#[path = "../common/mod.rs"]
mod common;

mod accuracy;
mod bits;
mod derivatives;
mod kernels;
mod losses;
#[cfg(feature = "rayon")]
mod parallel;
#[cfg(not(golden_only))]
mod properties;
mod special;
#[cfg(not(golden_only))]
mod torch;
mod total;
