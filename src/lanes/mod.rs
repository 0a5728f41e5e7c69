//! The algorithms, written once for any vector.
#![forbid(unsafe_code)]

pub(crate) mod arrays;
pub(crate) mod classes;
mod columns;
pub(crate) mod cross;
mod direct;
pub(crate) mod elements;
pub(crate) mod gradient;
pub(crate) mod grid;
mod instances;
mod integer;
pub(crate) mod labels;
pub(crate) mod layout;
pub(crate) mod map;
pub(crate) mod math;
pub(crate) mod others;
mod packed;
mod panel;
#[cfg(feature = "rayon")]
mod parallel;
pub(crate) mod partition;
pub(crate) mod pass;
pub(crate) mod probabilities;
mod rows;
mod side_by_side;
pub(crate) mod softmax;
mod strided;
pub(crate) mod sum;
