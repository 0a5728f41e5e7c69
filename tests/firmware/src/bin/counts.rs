//! Prints the names of some calls; QEMU's plugin prints the number of their instructions beside them.
#![no_std]
#![no_main]

use core::hint::black_box;

use losslanes_firmware::{
    calls, entry, measure,
    peers::{self, Libm, Micromath},
    random::Random,
};
use semihosting::{print, process::ExitCode};

const MOST: usize = 1000;
const CLASSES: usize = 10;
const ROWS: usize = MOST / CLASSES;

/// A column of the table: who computes.
macro_rules! column {
    ($who:literal, $x:ident, $labels:ident, $out:ident, $len:ident, $module:ident $(::<$peer:ty>)?) => {{
        let (rows, len) = ($len / CLASSES, $len);
        row($who, "log_sum_exp", len, &mut || {
            black_box($module::log_sum_exp$(::<$peer>)?(black_box(&$x[..len])));
        });
        row($who, "cross_entropy", len, &mut || {
            black_box($module::cross_entropy_mean$(::<$peer>)?(black_box(&$x[..len]), CLASSES, &$labels[..rows]));
        });
        row($who, "cross_entropy_row", len, &mut || {
            black_box($module::cross_entropy_mean$(::<$peer>)?(black_box(&$x[..len]), len, &$labels[..1]));
        });
        $out.copy_from_slice(&$x);
        row($who, "cross_entropy_grad", len, &mut || {
            black_box($module::cross_entropy_grad$(::<$peer>)?(black_box(&mut $out[..len]), CLASSES, &$labels[..rows]));
        });
        $out.copy_from_slice(&$x);
        row($who, "cross_entropy_row_grad", len, &mut || {
            black_box($module::cross_entropy_grad$(::<$peer>)?(black_box(&mut $out[..len]), len, &$labels[..1]));
        });
        row($who, "bce_with_logits", len, &mut || {
            black_box($module::bce_with_logits_mean$(::<$peer>)?(black_box(&$x[..len]), black_box(&$x[..len])));
        });
        row($who, "sigmoid", len, &mut || $module::sigmoid$(::<$peer>)?(black_box(&$x[..len]), black_box(&mut $out[..len])));
        row($who, "softplus", len, &mut || $module::softplus$(::<$peer>)?(black_box(&$x[..len]), black_box(&mut $out[..len])));
        row($who, "exp", len, &mut || $module::exp$(::<$peer>)?(black_box(&$x[..len]), black_box(&mut $out[..len])));
    }};
}

fn row(who: &str, name: &str, len: usize, call: &mut dyn FnMut()) {
    print!("{who} {name} {len} ");
    measure::count(call);
}

#[entry]
fn main() -> ! {
    let mut random = Random::new(1);
    let mut x = [0.0; MOST];
    x.fill_with(|| random.logit());
    let mut labels = [0_u8; ROWS];
    labels.fill_with(|| random.below(CLASSES as u32) as u8);
    let mut out = [0.0; MOST];
    row("-", "nothing", 0, &mut || {});
    for len in [CLASSES, MOST] {
        column!("losslanes", x, labels, out, len, calls);
        column!("libm", x, labels, out, len, peers::<Libm>);
        column!("micromath", x, labels, out, len, peers::<Micromath>);
    }
    ExitCode::SUCCESS.exit_process()
}
