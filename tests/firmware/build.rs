//! How the programs are linked: all but the gate with a start-up code, into the memory of the machine that QEMU has for
//! the target.

use std::{env, fs, path::Path};

fn main() {
    let variable = |name: &str| env::var(name).expect("Cargo sets it");
    let target = variable("TARGET");
    if variable("CARGO_CFG_TARGET_OS") != "none" {
        return;
    }
    println!("cargo:rustc-link-arg=--gc-sections");
    let memory = if target.starts_with("riscv32") { "riscv32" } else { &*target };
    let (from, out) = (format!("memory/{memory}.x"), variable("OUT_DIR"));
    fs::copy(&from, Path::new(&out).join("memory.x")).expect("a target with a machine");
    println!("cargo:rerun-if-changed={from}");
    println!("cargo:rerun-if-changed=src/bin");
    println!("cargo:rustc-link-search={out}");
    for entry in fs::read_dir("src/bin").expect("programs") {
        let path = entry.expect("a program").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let arguments: &[_] = match name {
            "gate" => &["--entry=gate"],
            // The script of riscv-rt does not include the memory by itself.
            _ if memory == "riscv32" => &["-Tmemory.x", "-Tlink.x"],
            _ => &["-Tlink.x"],
        };
        for argument in arguments {
            println!("cargo:rustc-link-arg-bin={name}={argument}");
        }
    }
}
