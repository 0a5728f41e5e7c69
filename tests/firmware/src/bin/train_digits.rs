//! Prints the losses of an epoch of training and a hash of the model, to be compared with those of the host.
#![no_std]
#![no_main]

use losslanes::Backend;
use losslanes_firmware::{entry, golden::Hash, training};
use semihosting::{println, process::ExitCode};

#[entry]
fn main() -> ! {
    let digits = include_bytes!("../../data/digits.bin");
    let model = training::epoch(Backend::detect(), digits, |loss| println!("{:08x} loss", loss.to_bits()));
    match model {
        Ok(model) => {
            println!("{:08x} model", Hash::of(model.as_flattened()));
            ExitCode::SUCCESS.exit_process()
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE.exit_process()
        }
    }
}
