//! Hostile calls: shapes, strides, offsets, labels, options and numbers all come from bytes that an attacker chose. The
//! fuzzer's targets and `tests/suite/properties.rs` are two ways to choose them.
//!
//! Each call is made on every backend and must do what the plain reference says: refuse exactly what has a fault, and
//! then leave every output as it was; otherwise give the same bits as the same numbers in a row, write nothing outside
//! of the views, and be as close to `f64` as promised.
#![allow(unreachable_pub, reason = "shared with the fuzzer's targets")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "small numbers, and sizes on purpose"
)]

mod call;
mod claim;
mod elements;
mod maps;
mod rows;
mod source;
mod views;

use core::fmt;

use arbitrary::{Result, Unstructured};

use source::Source;

pub use {
    elements::{bce, bce_with_logits},
    maps::kernels,
    rows::{cross_entropy, nll},
    views::views,
};

/// A call that bytes describe.
pub trait Attack: fmt::Debug {
    /// Makes the call in every way, and panics where something is not as it should be.
    fn check(&self);
}

/// Reads a call from bytes.
pub type Read = fn(&mut Source<'_>) -> Result<Box<dyn Attack>>;

/// The call that bytes describe: small and simple where these are few and small; `None` if there are too few.
pub fn call(read: Read, bytes: &[u8]) -> Option<Box<dyn Attack>> {
    read(&mut Unstructured::new(bytes).into()).ok()
}

/// Whether a call can be made in a short time. A stride of 0 makes an array of any size from one number, and the time
/// of a call is that of its elements.
fn is_small(shape: &[usize]) -> bool {
    claim::count(shape) <= 1 << 14
}

/// Whether the reference can go through all axes, the empty ones, too.
fn is_countable(shape: &[usize]) -> bool {
    shape.iter().map(|&extent| extent.max(1) as u128).fold(1, u128::saturating_mul) <= 1 << 14
}
