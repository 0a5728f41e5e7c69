//! The algorithms, written once for any vector.
#![forbid(unsafe_code)]

pub(crate) mod classes;
pub(crate) mod elements;
pub(crate) mod grid;
pub(crate) mod math;
pub(crate) mod partition;
pub(crate) mod softmax;
pub(crate) mod sum;
