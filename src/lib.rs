//! Classification losses and the kernels under them.
#![no_std]
#![deny(unsafe_code)]

mod error;
pub mod kernels;
mod lanes;
mod loss;
#[allow(unsafe_code)]
mod simd;
mod total;
mod view;

pub use error::{Argument, Error};
pub use loss::{BceLoss, BceWithLogitsLoss, CrossEntropyLoss, NllLoss, Target};
pub use simd::{Backend, Isa};
pub use total::Total;
pub use view::{View, ViewMut};
