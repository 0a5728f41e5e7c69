//! The algorithms, written once for any vector.
#![forbid(unsafe_code)]

pub(crate) mod classes;
mod columns;
mod direct;
pub(crate) mod elements;
pub(crate) mod grid;
pub(crate) mod math;
mod packed;
mod panel;
pub(crate) mod partition;
mod rows;
pub(crate) mod softmax;
mod strided;
pub(crate) mod sum;
