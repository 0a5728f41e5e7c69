//! What the programs share.
#![no_std]

pub mod calls;
pub mod golden;
#[cfg(target_os = "none")]
pub mod measure;
pub mod peers;
pub mod random;
pub mod training;

/// The start of a program.
#[cfg(all(target_arch = "arm", target_os = "none"))]
pub use cortex_m_rt::entry;
#[cfg(all(target_arch = "riscv32", target_os = "none"))]
pub use riscv_rt::entry;
