//! Prints the bytes of stack of some calls.
#![no_std]
#![no_main]

use core::hint::black_box;

use losslanes_firmware::{calls, entry, measure::stack};
use semihosting::{println, process::ExitCode};

const CLASSES: usize = 10;
const ROWS: usize = 5;
const LEN: usize = CLASSES * ROWS;

fn row(name: &str, call: &mut dyn FnMut()) {
    println!("{name} {}", stack(call));
}

#[entry]
fn main() -> ! {
    let (x, labels) = (black_box(&[0.5; LEN]), black_box(&[3; ROWS]));
    let mut buffer = [0.5; LEN];
    let out = black_box(&mut buffer);
    row("nothing", &mut || {});
    row("cross_entropy_mean", &mut || _ = black_box(calls::cross_entropy_mean(x, CLASSES, labels)));
    row("cross_entropy_grad", &mut || _ = black_box(calls::cross_entropy_grad(out, CLASSES, labels)));
    row("bce_with_logits_mean", &mut || _ = black_box(calls::bce_with_logits_mean(x, x)));
    row("sigmoid", &mut || calls::sigmoid(x, out));
    ExitCode::SUCCESS.exit_process()
}
