//! The public losses: what they take, what they refuse, and which layout runs.

mod backward;
mod bce;
mod bce_with_logits;
mod binary;
mod cross_entropy;
mod forward;
mod nll;
pub(crate) mod shape;
mod target;

pub use bce::BceLoss;
pub use bce_with_logits::BceWithLogitsLoss;
pub use cross_entropy::CrossEntropyLoss;
pub use nll::NllLoss;
pub use target::{ClassIndex, Target};
