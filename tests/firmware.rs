//! What the programs in `tests/firmware` print, from this machine: they are compared with it, bit for bit.
//!
//! `LOSSLANES_BLESS=1 cargo test --release --test firmware` writes the data of those programs anew.

#![allow(unreachable_pub, clippy::cast_possible_truncation, reason = "modules of another crate, of small numbers")]

#[path = "firmware/src/golden.rs"]
mod golden;
#[path = "firmware/src/random.rs"]
mod random;
#[path = "firmware/src/training.rs"]
mod training;

use std::{env, fmt::Write, fs, path::Path};

use golden::Hash;
use losslanes::Backend;

/// Fails unless `data` is what the file has.
fn check(file: &str, data: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firmware/data").join(file);
    if env::var_os("LOSSLANES_BLESS").is_some() {
        fs::write(&path, data).expect("a file that can be written");
    }
    assert!(fs::read(path).expect("a file") == data, "{file} is not what it should be");
}

/// The first digits of the data set.
#[cfg(not(golden_only))]
#[test]
fn digits() {
    use training::{DIGIT, PIXELS};

    let all = smartcore::dataset::digits::load_dataset();
    #[expect(clippy::cast_sign_loss, reason = "digits and pixels are not negative")]
    let digit = |i: usize| {
        let pixels = all.data[i * PIXELS..(i + 1) * PIXELS].iter();
        pixels.map(|&x| x as u8).chain([all.target[i] as u8]).collect::<Vec<_>>()
    };
    let digits: Vec<u8> = (0..training::DIGITS).flat_map(digit).collect();
    assert_eq!(digits.len(), training::DIGITS * DIGIT);
    check("digits.bin", &digits);
}

/// The backends of each arithmetic that a microcontroller has, and what its files are called.
fn arithmetics() -> [(&'static str, Vec<Backend>); 2] {
    let portable = Backend::available().filter(|backend| !backend.is_fused());
    [("portable", portable.collect()), ("integer", vec![Backend::INTEGER])]
}

#[test]
fn hashes() {
    for (arithmetic, backends) in arithmetics() {
        for backend in backends {
            let mut text = String::new();
            let line =
                |name: &str, function: &str, hash| writeln!(text, "{hash:08x} {name}: {function}").expect("memory");
            golden::run(|| backend, line).expect("valid arguments");
            check(&format!("golden_{arithmetic}.txt"), text.as_bytes());
        }
    }
}

#[test]
fn epoch_of_training() {
    for (arithmetic, backends) in arithmetics() {
        for backend in backends {
            let mut text = String::new();
            let loss = |loss: f32| writeln!(text, "{:08x} loss", loss.to_bits()).expect("memory");
            let model = training::epoch(backend, include_bytes!("firmware/data/digits.bin"), loss);
            let model = model.expect("valid arguments");
            writeln!(text, "{:08x} model", Hash::of(model.as_flattened())).expect("memory");
            check(&format!("train_digits_{arithmetic}.txt"), text.as_bytes());
        }
    }
}
