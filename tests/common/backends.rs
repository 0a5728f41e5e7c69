//! Which backends run here.

use std::{io::Write, sync::Once};

use losslanes::{Backend, Isa};

const ISAS: [Isa; 4] = [Isa::Scalar, Isa::Wide, Isa::Avx2, Isa::Avx512];

/// Every backend of this CPU, and the one of cores without an FPU, which runs everywhere. The first call of a test binary
/// prints which these are, and which sets of instructions are missing.
pub fn all() -> impl Iterator<Item = Backend> + Clone {
    static REPORT: Once = Once::new();
    let all = Backend::available().chain([Backend::INTEGER]);
    REPORT.call_once(|| {
        let ran: Vec<Backend> = all.clone().collect();
        let missing: Vec<Isa> = missing().collect();
        note(&format!("backends: {ran:?}, not on this machine: {missing:?}"));
    });
    all
}

/// The sets of instructions that this CPU or this build does not have.
pub fn missing() -> impl Iterator<Item = Isa> {
    ISAS.into_iter().filter(|&isa| Backend::available().all(|backend| backend.isa() != isa))
}

/// The backends of each arithmetic that runs here: by integers, portable, and fused. All of one must give the same bits.
pub fn by_arithmetic() -> impl Iterator<Item = Vec<Backend>> {
    let arithmetic = |backend: Backend| (backend.is_fused(), backend.isa() == Isa::Integer);
    let of = move |wanted| all().filter(|&backend| arithmetic(backend) == wanted).collect::<Vec<_>>();
    [(false, true), (false, false), (true, false)].into_iter().map(of).filter(|backends| !backends.is_empty())
}

/// Prints a line even from a test that passes.
pub fn note(line: &str) {
    // Unlike `eprintln`, not captured. Nothing is lost where there is no stderr.
    let _ = writeln!(std::io::stderr(), "{line}");
}
