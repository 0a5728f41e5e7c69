//! Prints the hashes of what every function gives, to be compared with those of the host.
#![no_std]
#![no_main]

use losslanes::Backend;
use losslanes_firmware::{entry, golden};
use semihosting::{println, process::ExitCode};

#[entry]
fn main() -> ! {
    let line = |name: &str, function: &str, hash| println!("{hash:08x} {name}: {function}");
    match golden::run(Backend::detect, line) {
        Ok(()) => ExitCode::SUCCESS.exit_process(),
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE.exit_process()
        }
    }
}
