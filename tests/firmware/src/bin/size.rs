//! A program with nothing but the call that the variable CALL names when it is built, or none: what is more in it than in
//! a program without is what the call takes.
#![no_std]
#![no_main]

use core::hint::black_box;

use losslanes_firmware::{calls, entry};
// For its panic handler, which nothing reaches.
use semihosting as _;

#[entry]
fn main() -> ! {
    let mut out = [0.0; 10];
    let (x, out, labels) = (black_box(&[0.0; 10]), black_box(&mut out), black_box(&[0; 1]));
    match option_env!("CALL") {
        Some("cross_entropy_mean") => _ = black_box(calls::cross_entropy_mean(x, 10, labels)),
        Some("cross_entropy_grad") => _ = black_box(calls::cross_entropy_grad(out, 10, labels)),
        Some("bce_with_logits_mean") => _ = black_box(calls::bce_with_logits_mean(x, x)),
        Some("sigmoid") => calls::sigmoid(x, out),
        _ => {}
    }
    loop {
        core::hint::spin_loop();
    }
}
