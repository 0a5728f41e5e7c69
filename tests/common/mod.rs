//! What all test binaries share: a case with its reference, the layouts and backends to run it in, and the bounds.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of this")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "f64 to f32 and sizes, on purpose"
)]

pub mod array;
pub mod backends;
pub mod case;
pub mod check;
pub mod generate;
pub mod kernels;
pub mod layouts;
pub mod random;
pub mod reference;
