//! Which backends run here.

use std::{io::Write, sync::Once};

use losslanes::{Backend, Isa};

const ISAS: [Isa; 4] = [Isa::Scalar, Isa::Wide, Isa::Avx2, Isa::Avx512];

/// Every backend of this CPU. The first call of a test binary prints which these are, and which sets of instructions
/// are missing.
pub fn all() -> impl Iterator<Item = Backend> + Clone {
    static REPORT: Once = Once::new();
    REPORT.call_once(|| {
        let ran: Vec<Backend> = Backend::available().collect();
        let missing: Vec<Isa> = missing().collect();
        note(&format!("backends: {ran:?}, not on this machine: {missing:?}"));
    });
    Backend::available()
}

/// Those, and the one of cores without an FPU, which runs everywhere.
pub fn with_integers() -> impl Iterator<Item = Backend> + Clone {
    all().chain([Backend::INTEGER])
}

/// The sets of instructions that this CPU or this build does not have.
pub fn missing() -> impl Iterator<Item = Isa> {
    ISAS.into_iter().filter(|&isa| Backend::available().all(|backend| backend.isa() != isa))
}

/// The backends of each arithmetic, portable and fused; all of one must give the same bits.
pub fn by_arithmetic() -> impl Iterator<Item = Vec<Backend>> {
    [false, true].into_iter().map(|fused| all().filter(|backend| backend.is_fused() == fused).collect())
}

/// Prints a line even from a test that passes.
pub fn note(line: &str) {
    // Unlike `eprintln`, not captured. Nothing is lost where there is no stderr.
    let _ = writeln!(std::io::stderr(), "{line}");
}
