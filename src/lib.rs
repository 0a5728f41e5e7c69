//! Classification losses, and the kernels under them, over `&[f32]` with explicit strides: no `std`, no allocation, no
//! panic, in SIMD lanes, and with the same bits on every machine.
//!
//! - [`CrossEntropyLoss`], [`NllLoss`], [`BceLoss`] and [`BceWithLogitsLoss`] have PyTorch's options and meaning. Their
//!   reductions are methods: `none` writes each loss to a buffer of yours, `sum` and `mean` return a number, and `total`
//!   a [`Total`] that merges with others.
//! - [`View`] and [`ViewMut`] say where the numbers are.
//! - [`kernels`] has what the losses are made of.
//! - [`Backend`] says which instructions run, and which arithmetic.
//!
//! ```
//! use losslanes::{CrossEntropyLoss, View};
//!
//! let logits = [1.0, 2.0, 1.0, 3.0, 1.0, 3.0];
//! let logits = View::new(&logits, [3, 2])?;
//! let targets = [0_i64, 1, 1];
//! let targets = View::new(&targets, [3])?;
//! let mean = CrossEntropyLoss::new().mean(logits, targets)?;
//! assert!((mean - 0.5224).abs() < 1e-4);
//! # Ok::<(), losslanes::Error>(())
//! ```
//!
//! The feature `rayon` adds `Backend::parallel`: batches on several threads, with the same bits. It needs `std`; nothing
//! else does.
#![no_std]
#![doc(test(attr(deny(warnings))))]
#![deny(unsafe_code)]

#[cfg(feature = "rayon")]
extern crate std;

#[macro_use]
mod bounds;
mod error;
pub mod kernels;
mod lanes;
mod loss;
#[allow(unsafe_code)]
mod simd;
mod total;
mod view;

pub use error::{Argument, Error};
pub use loss::{BceLoss, BceWithLogitsLoss, ClassIndex, CrossEntropyLoss, NllLoss, Target};
pub use simd::{Backend, Isa};
pub use total::Total;
pub use view::{View, ViewMut};

#[doc = include_str!("numerics.md")]
#[doc = worst_errors!()]
pub mod numerics {}

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
