//! What the programs in `tests/firmware` print, from this machine: they are compared with it, bit for bit.
//!
//! `LOSSLANES_BLESS=1 cargo test --release --test firmware` writes the data of those programs anew.

#![allow(unreachable_pub, reason = "the modules are those of another crate")]

#[path = "firmware/src/golden.rs"]
mod golden;
#[path = "firmware/src/random.rs"]
mod random;
#[path = "firmware/src/training.rs"]
mod training;

use std::{env, fmt::Write, fs, path::Path};

use golden::Hash;
use losslanes::Backend;
use smartcore::dataset::digits;
use training::{DIGIT, DIGITS, PIXELS};

/// Fails unless `data` is what the file has.
fn check(file: &str, data: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firmware/data").join(file);
    if env::var_os("LOSSLANES_BLESS").is_some() {
        fs::write(&path, data).expect("a file that can be written");
    }
    assert!(fs::read(path).expect("a file") == data, "{file} is not what it should be");
}

/// The first digits of the data set.
fn some_digits() -> [u8; DIGITS * DIGIT] {
    let all = digits::load_dataset();
    let mut digits = [0; DIGITS * DIGIT];
    for (i, digit) in digits.chunks_mut(DIGIT).enumerate() {
        let (label, pixels) = digit.split_last_mut().expect("a label");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "digits from 0 to 9")]
        let of = all.target[i] as u8;
        *label = of;
        for (to, &from) in pixels.iter_mut().zip(&all.data[i * PIXELS..]) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels from 0 to 16")]
            let pixel = from as u8;
            *to = pixel;
        }
    }
    digits
}

#[test]
fn digits() {
    check("digits.bin", &some_digits());
}

#[test]
fn hashes() {
    for backend in Backend::available().filter(|backend| !backend.is_fused()) {
        let mut text = String::new();
        let line = |name: &str, function: &str, hash| writeln!(text, "{hash:08x} {name}: {function}").expect("memory");
        golden::run(backend, line).expect("valid arguments");
        check("golden.txt", text.as_bytes());
    }
}

#[test]
fn epoch_of_training() {
    let mut text = String::new();
    let loss = |loss: f32| writeln!(text, "{:08x} loss", loss.to_bits()).expect("memory");
    let model = training::epoch(Backend::detect().portable(), &some_digits(), loss).expect("valid arguments");
    writeln!(text, "{:08x} model", Hash::of(model.as_flattened())).expect("memory");
    check("train_digits.txt", text.as_bytes());
}
