//! Fails when an intrinsic is left out of line: `cargo bench --bench inlining --profile release`.
//!
//! A function that misses its `#[inline(always)]` is compiled without the instructions of its backend. The intrinsics in
//! it, which have them, cannot be inlined there: each addition becomes a call, and a loop takes ten to a hundred times as
//! long. Nothing else goes wrong, so that no test of results sees it. Two things do:
//!
//! 1. the disassembly of this very program, which holds every kernel on every backend: no function of `core::arch` may
//!    be left in it (needs `objdump`);
//! 2. the clock: no backend may be slower than the plain loop over `std`. It should take a half to a thirtieth of that
//!    time, and takes several times as long with the fault, which is more than any noise.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, ExitCode},
    time::Duration,
};

use common::{Bench, Case, Layout, Reduction, Runner, Work, cases, clock};
use losslanes::Isa;

fn main() -> ExitCode {
    let faults = [disassembly(), time()].concat();
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        println!("every intrinsic is inlined");
    }
    ExitCode::from(u8::from(!faults.is_empty()))
}

/// The functions that call an intrinsic instead of containing it.
fn disassembly() -> Vec<String> {
    if !cfg!(all(unix, any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64"))) {
        println!("the disassembly is read on Unix and on x86 and aarch64 only");
        return Vec::new();
    }
    let program = std::env::current_exe().expect("the path of this program");
    let output =
        match Command::new("objdump").args(["--disassemble", "--demangle", "--no-show-raw-insn"]).arg(program).output()
        {
            Ok(output) if output.status.success() => output.stdout,
            failed => return vec![format!("objdump (of binutils) cannot be run: {failed:?}")],
        };

    // `0000000000012340 <name>:` starts a function; `call 12340 <name>`, also `jmp` and on ARM `bl` and `b`, leaves it.
    let (mut function, mut functions, mut kernels) = (String::new(), 0, 0);
    let mut callers = BTreeMap::<String, BTreeSet<String>>::new();
    for line in String::from_utf8_lossy(&output).lines() {
        let Some((before, symbol)) =
            line.split_once('<').map(|(before, name)| (before, name.trim_end_matches(['>', ':'])))
        else {
            continue;
        };
        if line.ends_with(">:") {
            symbol.clone_into(&mut function);
            functions += 1;
            kernels += usize::from(symbol.contains("vectorize"));
            if is_intrinsic(symbol) {
                callers.entry(symbol.to_owned()).or_default();
            }
        } else if is_intrinsic(symbol) && !is_intrinsic(&function) && !before.contains('#') {
            callers.entry(symbol.to_owned()).or_default().insert(function.clone());
        }
    }
    println!("{functions} functions in this program, {kernels} of them for the instructions of one backend");
    let mut faults = Vec::new();
    // An empty list proves nothing where there was nothing to look at.
    if functions < 100 || (cfg!(target_arch = "x86_64") && kernels == 0) {
        faults.push("objdump has not shown the functions of this program: is it stripped?".to_owned());
    }
    for (intrinsic, callers) in callers {
        faults.push(format!("out of line: {intrinsic}"));
        faults.extend(callers.into_iter().map(|caller| format!("    called by {caller}")));
    }
    faults
}

/// `core::core_arch::x86::avx::_mm256_add_ps`, in whatever way it is mangled. What asks which CPU this is may be called.
fn is_intrinsic(symbol: &str) -> bool {
    symbol.contains("core_arch") && !symbol.contains("cpuid") && !symbol.contains("xgetbv")
}

/// The cases that take longer on a backend than in a plain loop.
fn time() -> Vec<String> {
    let is_vectorised = |case: &Case| {
        // The compiler makes vectors of the plain maximum by itself.
        let trivial = case.work == Work::Reduce(Reduction::Max);
        case.elements() >= 1000 && case.elements() < 1_000_000 && case.layout == Layout::RowMajor && !trivial
    };
    let runners: Vec<Runner> = Runner::all()
        .into_iter()
        .filter(|runner| match runner {
            Runner::Ours(backend) => backend.isa() != Isa::Scalar,
            Runner::Plain => true,
            Runner::Floor => false,
        })
        .collect();

    let mut faults = Vec::new();
    for case in cases().into_iter().filter(is_vectorised) {
        let mut bench = Bench::new(case);
        faults.extend(runners.iter().filter_map(|runner| runner.check(&mut bench).err()));
        let mut functions: Vec<_> = runners
            .iter()
            .map(|runner| Box::new(|bench: &mut Bench| runner.run(bench)) as Box<dyn FnMut(&mut Bench)>)
            .collect();
        let times = clock::shortest(&mut bench, &mut functions, Duration::from_millis(20));
        let Some((&plain, times)) = times.split_last() else { continue };
        for (runner, time) in runners.iter().zip(times) {
            let (name, ratio) = (runner.name(), time / plain);
            println!("{:30} {name:16} {ratio:6.2} of the plain loop's time", case.name);
            if ratio > 1.0 {
                faults.push(format!("{}: {name} takes {ratio:.1} times as long as a plain loop", case.name));
            }
        }
    }
    faults
}
