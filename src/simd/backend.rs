//! Which instructions and which arithmetic a call runs on.

use core::fmt;

use super::{Simd, scalar::SCALAR};

/// An algorithm with its arguments, written for any vector. It runs where it was made: a copy of what has just been stored word
/// by word, by wider loads, would wait until all of it has left the pipeline.
pub(crate) trait Kernel {
    type Output;
    /// `#[inline(always)]` in every implementation, and so must be all that it calls: a function that stays out of
    /// line is compiled without the backend's instructions, and each of them becomes a call.
    fn run<S: Simd>(&mut self, simd: S) -> Self::Output;
}

/// A kernel from a closure, which must be `#[inline(always)]`, for a part that is to be a function of its own. Not of an
/// `FnOnce`, which is called through a function without the backend's instructions.
pub(crate) struct Step<F>(pub(crate) F);

impl<T, F: FnMut() -> T> Kernel for Step<F> {
    type Output = T;

    #[inline(always)]
    fn run<S: Simd>(&mut self, _: S) -> T {
        (self.0)()
    }
}

/// A kernel of which this crate has the compiled code. Without this, each crate that calls it would compile all of its
/// backends again, for every rank and label type.
pub(crate) trait Compiled: Kernel {
    /// Not generic in any implementation, and `#[inline(never)]`.
    fn run_on(&mut self, backend: Backend) -> Self::Output;

    /// The same on several threads, where it can be shared out.
    #[cfg(feature = "rayon")]
    fn run_parallel(mut self, backend: Backend) -> Self::Output
    where
        Self: Sized,
    {
        self.run_on(backend)
    }

    /// On [`Backend::INTEGER`]: by itself, so that firmware has one of the two.
    fn run_in_integers(&mut self) -> Self::Output;
}

/// A set of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// One lane at a time in plain Rust: everywhere.
    Scalar,
    /// One lane at a time, exponentials by integers: the default of cores without floating point hardware. Its bits are its
    /// own, and the same everywhere.
    Integer,
    /// Four lanes in portable SIMD, chosen when the crate is compiled: SSE2, NEON or wasm's simd128.
    Wide,
    /// Eight lanes of AVX2 with FMA, found at run time.
    Avx2,
    /// Sixteen lanes of AVX-512 (F, VL, BW and DQ), found at run time.
    Avx512,
}

impl Isa {
    const ALL: [Self; 5] = [Self::Scalar, Self::Integer, Self::Wide, Self::Avx2, Self::Avx512];
}

/// Where a computation runs: a set of instructions that this CPU has, and an arithmetic.
///
/// Every backend of one arithmetic gives the same bits. The *portable* arithmetic rounds every multiplication and
/// every addition by itself and exists everywhere; the *fused* one rounds a multiplication with the addition after
/// it once, and is the faster default where the hardware has it.
///
/// Losses and kernels take a backend with `.on(backend)`; without, [`Backend::detect`] decides at each call.
///
/// ```
/// use losslanes::{Backend, BceWithLogitsLoss, View};
///
/// let logits = [0.5, -1.0];
/// let logits = View::new(&logits, [2])?;
/// let targets = [1.0, 0.0];
/// let targets = View::new(&targets, [2])?;
/// let first = BceWithLogitsLoss::new().on(Backend::SCALAR).mean(logits, targets)?;
/// for backend in Backend::available() {
///     // One arithmetic: the same bits, whatever the instructions.
///     assert_eq!(BceWithLogitsLoss::new().on(backend.portable()).mean(logits, targets)?, first);
/// }
/// # Ok::<(), losslanes::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backend {
    isa: Isa,
    fused: bool,
    #[cfg(feature = "rayon")]
    parallel: bool,
}

impl Backend {
    /// One lane at a time, in the portable arithmetic: exists on every target.
    pub const SCALAR: Self = Self::new(Isa::Scalar, false);

    const fn new(isa: Isa, fused: bool) -> Self {
        Self {
            isa,
            fused,
            #[cfg(feature = "rayon")]
            parallel: false,
        }
    }

    /// One lane at a time, exponentials by integers: what [`Backend::detect`] gives on Cortex-M without an FPU and on bare
    /// RV32. Runs on every target, as a twin whose bits are the same, but only there it is fast; [`Backend::available`] does
    /// not list it elsewhere.
    pub const INTEGER: Self = Self::new(Isa::Integer, false);

    /// The fastest backend of this CPU. Cheap enough for every call.
    #[inline]
    #[must_use]
    pub fn detect() -> Self {
        let isa = if has(Isa::Avx512) {
            Isa::Avx512
        } else if has(Isa::Avx2) {
            Isa::Avx2
        } else if has(Isa::Wide) {
            Isa::Wide
        } else if has(Isa::Integer) {
            Isa::Integer
        } else {
            Isa::Scalar
        };
        Self::new(isa, has_fma(isa))
    }

    /// All that this CPU can run: every set of instructions, in the arithmetics that it has.
    pub fn available() -> impl Iterator<Item = Self> + Clone {
        Isa::ALL
            .into_iter()
            .filter(|&isa| has(isa))
            .flat_map(|isa| core::iter::once(Self::new(isa, false)).chain(has_fma(isa).then_some(Self::new(isa, true))))
    }

    /// The same instructions in the portable arithmetic, which gives the same bits on every CPU.
    #[inline]
    #[must_use]
    pub const fn portable(mut self) -> Self {
        if matches!(self.isa, Isa::Integer) {
            self.isa = Isa::Scalar;
        }
        self.fused = false;
        self
    }

    /// The same on several threads: those of the pool that the caller is in, or else of rayon's global one. Only with the
    /// feature `rayon`.
    ///
    /// A batch is cut at places that depend on its shape alone, and the totals of its parts are merged in order: neither
    /// the number of threads nor this option changes a bit of any result. Errors are the same, too, and leave outputs as
    /// they do without. This allocates a little.
    ///
    /// A part has 4096 elements, 1024 rows, or fewer rows of more than 64 classes: as many as have some 65536 logits. What
    /// is smaller than two parts runs on the calling thread, and so do the reductions of a single vector and calls whose
    /// results do not lie in memory in the order of their rows or elements, such as reversed ones. Results in planes, as
    /// those of NCHW, are fine: each part has a buffer of its own and is copied to them.
    ///
    /// ```
    /// use losslanes::{Backend, CrossEntropyLoss, View};
    ///
    /// let logits = vec![0.5; 10_000 * 10];
    /// let logits = View::new(&logits, [10_000, 10])?;
    /// let targets = vec![3; 10_000];
    /// let targets = View::new(&targets, [10_000])?;
    /// let loss = CrossEntropyLoss::new();
    /// assert_eq!(loss.on(Backend::detect().parallel()).mean(logits, targets)?, loss.mean(logits, targets)?);
    /// # Ok::<(), losslanes::Error>(())
    /// ```
    #[cfg(feature = "rayon")]
    #[inline]
    #[must_use]
    pub const fn parallel(self) -> Self {
        Self { parallel: true, ..self }
    }

    /// Whether large batches run on several threads. Only with the feature `rayon`.
    #[cfg(feature = "rayon")]
    #[inline]
    #[must_use]
    pub const fn is_parallel(self) -> bool {
        self.parallel
    }

    /// The set of instructions.
    #[inline]
    #[must_use]
    pub const fn isa(self) -> Isa {
        self.isa
    }

    /// Whether a multiplication and the addition after it round once (fused) or twice (portable).
    #[inline]
    #[must_use]
    pub const fn is_fused(self) -> bool {
        self.fused
    }

    /// Runs a kernel on this backend.
    #[inline(always)]
    pub(crate) fn run<K: Compiled>(self, mut kernel: K) -> K::Output {
        if self.isa == Isa::Integer {
            return kernel.run_in_integers();
        }
        #[cfg(feature = "rayon")]
        if self.parallel {
            return kernel.run_parallel(self);
        }
        kernel.run_on(self)
    }

    /// Finds the instructions. Called for each kernel in one place: see [`Compiled`].
    #[inline(always)]
    pub(crate) fn dispatch<K: Kernel>(self, kernel: &mut K) -> K::Output {
        #[cfg(any(
            target_feature = "sse2",
            all(target_feature = "neon", target_arch = "aarch64"),
            target_feature = "simd128"
        ))]
        match self.isa {
            Isa::Scalar | Isa::Integer => {}
            #[cfg(any(target_feature = "fma", target_arch = "aarch64"))]
            Isa::Wide if self.fused => return kernel.run(super::wide::Wide::FUSED),
            Isa::Wide => return kernel.run(super::wide::Wide::PORTABLE),
            #[cfg(target_feature = "sse2")]
            Isa::Avx2 | Isa::Avx512 => return self.run_avx(kernel),
            #[cfg(not(target_feature = "sse2"))]
            Isa::Avx2 | Isa::Avx512 => {}
        }
        kernel.run(SCALAR)
    }

    #[cfg(target_feature = "sse2")]
    #[inline]
    fn run_avx<K: Kernel>(self, kernel: &mut K) -> K::Output {
        use super::{
            arithmetic::{Fused, Portable},
            avx2::Avx2,
            avx512::Avx512,
        };

        // SAFETY: `detect` and `available`, the only functions that make a `Backend` with these sets of instructions,
        // do so only after `has` found them on this CPU.
        unsafe {
            match (self.isa, self.fused) {
                (Isa::Avx512, true) => Avx512::<Fused>::new().vectorize(kernel),
                (Isa::Avx512, false) => Avx512::<Portable>::new().vectorize(kernel),
                (_, true) => Avx2::<Fused>::new().vectorize(kernel),
                (_, false) => Avx2::<Portable>::new().vectorize(kernel),
            }
        }
    }
}

#[cfg(target_feature = "sse2")]
cpufeatures::new!(avx2_and_fma, "avx2", "fma");
#[cfg(target_feature = "sse2")]
cpufeatures::new!(avx512_f_vl_bw_dq, "avx512f", "avx512vl", "avx512bw", "avx512dq", "avx2", "fma");

/// Whether this build has any backend of more than one lane.
pub(crate) const SIMD: bool = cfg!(any(
    target_feature = "sse2",
    all(target_feature = "neon", target_arch = "aarch64"),
    target_feature = "simd128"
));

/// Whether floats are computed by routines. Of bare RV32 with an FPU nothing tells.
pub(crate) const SOFT: bool =
    cfg!(all(target_os = "none", any(all(target_arch = "arm", target_abi = "eabi"), target_arch = "riscv32")));

/// Whether this CPU and this build have these instructions.
#[inline]
fn has(isa: Isa) -> bool {
    match isa {
        Isa::Scalar => true,
        Isa::Integer => SOFT,
        Isa::Wide => SIMD,
        #[cfg(target_feature = "sse2")]
        Isa::Avx2 => avx2_and_fma::get(),
        #[cfg(target_feature = "sse2")]
        Isa::Avx512 => avx512_f_vl_bw_dq::get(),
        #[cfg(not(target_feature = "sse2"))]
        Isa::Avx2 | Isa::Avx512 => false,
    }
}

/// Whether these instructions include a fused multiplication and addition.
#[inline]
const fn has_fma(isa: Isa) -> bool {
    match isa {
        Isa::Scalar | Isa::Integer => false,
        Isa::Wide => cfg!(any(target_feature = "fma", target_arch = "aarch64")),
        Isa::Avx2 | Isa::Avx512 => true,
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// For example `avx512 (fused)`.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.isa {
            Isa::Scalar => "scalar",
            Isa::Integer => "integer",
            Isa::Wide => "wide",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })?;
        f.write_str(match self.isa {
            Isa::Integer => "",
            _ if self.fused => " (fused)",
            _ => " (portable)",
        })?;
        #[cfg(feature = "rayon")]
        if self.parallel {
            f.write_str(", parallel")?;
        }
        Ok(())
    }
}
