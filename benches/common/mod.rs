//! What the benchmarks share: the cases with their data and targets, the loops to compare with, and the clock.
//!
//! - [`Case`]: one line of the table, and how fast it should be.
//! - [`Bench`]: a case with its data; runs it on a backend, as a plain loop, or as a read of its input.
//! - [`clock`]: the shortest time of several functions, measured in turns.
#![allow(dead_code, reason = "not every benchmark uses everything")]

pub(crate) mod clock;
mod data;
mod plain;

use std::hint::black_box;

pub(crate) use data::Aligned;
use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, Isa, View, ViewMut, kernels};

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Work {
    /// Cross entropy with class indices, mean.
    Classes { weight: bool, smoothing: f32 },
    /// The same, with every seventh label ignored.
    ClassesIgnored,
    /// Cross entropy with class indices, the loss of each row.
    ClassesEach,
    /// Cross entropy with class probabilities, mean.
    Probabilities,
    /// Binary cross entropy of logits, mean.
    BceWithLogits { pos_weight: bool },
    /// The same with a weight for each row.
    BceWithLogitsRows,
    /// Binary cross entropy of logits, the loss of each element.
    BceWithLogitsEach,
    /// Binary cross entropy of probabilities, mean.
    Bce,
    /// A function of each element.
    Map(Function),
    /// Softmax along axis 1, or its logarithm.
    Softmax { log: bool },
    /// All elements to one number.
    Reduce(Reduction),
    /// Cross entropy with class indices, mean, with its gradient.
    ClassesGrad,
    /// Binary cross entropy of logits, mean, with its gradient.
    BceWithLogitsGrad,
    /// Binary cross entropy of probabilities, mean, with its gradient.
    BceGrad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Exp,
    Ln,
    Sigmoid,
    Softplus,
    LogSigmoid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    Max,
    ExpSum,
    LogSumExp,
}

/// How the input lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    RowMajor,
    /// Every row is followed by a gap of 24 elements.
    Padded,
    /// Axis 0 is the contiguous one.
    Transposed,
    /// Every second element.
    Step2,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// The group of the criterion benchmarks: `cross_entropy`, `binary` or `kernels`.
    pub(crate) group: &'static str,
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    /// Rows, classes, height and width. Where there are no classes, all elements are in one row.
    pub(crate) shape: [usize; 4],
    pub(crate) layout: Layout,
    /// Nanoseconds per element on one Zen 4 core with AVX-512: what the project has set itself.
    pub(crate) target: Option<f64>,
}

impl Case {
    pub(crate) const fn elements(&self) -> usize {
        let [n, c, h, w] = self.shape;
        n * c * h * w
    }

    /// The number of rows, which is the number of losses.
    pub(crate) const fn rows(&self) -> usize {
        let [n, _, h, w] = self.shape;
        n * h * w
    }

    /// What this backend may take: AVX2 1.8 times the target and the portable build 8 times; the arithmetic with two
    /// roundings 1.5 times the one with FMA.
    pub(crate) fn allowed(&self, backend: Backend) -> Option<f64> {
        let width = match backend.isa() {
            Isa::Avx512 => 1.0,
            Isa::Avx2 => 1.8,
            Isa::Wide => return self.target.map(|target| target * 8.0),
            _ => return None,
        };
        self.target.map(|target| target * width * if backend.is_fused() { 1.0 } else { 1.5 })
    }
}

/// Every case.
pub(crate) fn cases() -> Vec<Case> {
    use Layout::{Padded, RowMajor, Step2, Transposed};
    let (classes, each) = (Work::Classes { weight: false, smoothing: 0.0 }, Work::ClassesEach);
    let (weight, smoothing, both) = (
        Work::Classes { weight: true, smoothing: 0.0 },
        Work::Classes { weight: false, smoothing: 0.1 },
        Work::Classes { weight: true, smoothing: 0.1 },
    );
    let (logits, probabilities) = (Work::BceWithLogits { pos_weight: false }, Work::Probabilities);
    let [exp, ln, sigmoid, softplus, log_sigmoid] =
        [Function::Exp, Function::Ln, Function::Sigmoid, Function::Softplus, Function::LogSigmoid].map(Work::Map);
    let (softmax, log_softmax) = (Work::Softmax { log: false }, Work::Softmax { log: true });
    let [max, exp_sum, lse] = [Reduction::Max, Reduction::ExpSum, Reduction::LogSumExp].map(Work::Reduce);

    let mut cases = Vec::new();
    let mut add = |group, name, work, [n, c]: [usize; 2], layout, target: f64| {
        let target = (target > 0.0).then_some(target);
        cases.push(Case { group, name, work, shape: [n, c, 1, 1], layout, target });
    };

    // The speed that is asked for, in ns per element; 0 where nothing is.
    let group = "cross_entropy";
    add(group, "ce/1x10", classes, [1, 10], RowMajor, 0.0);
    add(group, "ce/1x1000", classes, [1, 1000], RowMajor, 0.17);
    add(group, "ce/32x10", classes, [32, 10], RowMajor, 0.0);
    add(group, "ce/65536x2", classes, [65536, 2], RowMajor, 0.60);
    add(group, "ce/65536x10", classes, [65536, 10], RowMajor, 0.35);
    add(group, "ce/8192x100", classes, [8192, 100], RowMajor, 0.22);
    add(group, "ce/4096x1000", classes, [4096, 1000], RowMajor, 0.17);
    add(group, "ce/256x32000", classes, [256, 32000], RowMajor, 0.15);
    add(group, "ce/64x128256", classes, [64, 128_256], RowMajor, 0.15);
    add(group, "ce/nchw", classes, [2, 21], RowMajor, 0.25);
    add(group, "ce_each/65536x10", each, [65536, 10], RowMajor, 0.0);
    add(group, "ce_each/4096x1000", each, [4096, 1000], RowMajor, 0.0);
    add(group, "ce_ignored/65536x2", Work::ClassesIgnored, [65536, 2], RowMajor, 0.0);
    add(group, "ce_ignored/65536x10", Work::ClassesIgnored, [65536, 10], RowMajor, 0.0);
    add(group, "ce_weight/65536x2", weight, [65536, 2], RowMajor, 0.0);
    add(group, "ce_weight/65536x10", weight, [65536, 10], RowMajor, 0.0);
    add(group, "ce_weight/4096x1000", weight, [4096, 1000], RowMajor, 0.0);
    add(group, "ce_smoothing/65536x2", smoothing, [65536, 2], RowMajor, 0.0);
    add(group, "ce_smoothing/65536x10", smoothing, [65536, 10], RowMajor, 0.0);
    add(group, "ce_smoothing/4096x1000", smoothing, [4096, 1000], RowMajor, 0.0);
    add(group, "ce_smoothing/nchw", smoothing, [2, 21], RowMajor, 0.0);
    add(group, "ce_weight_smoothing/65536x10", both, [65536, 10], RowMajor, 0.0);
    add(group, "ce_weight_smoothing/4096x1000", both, [4096, 1000], RowMajor, 0.0);
    add(group, "ce_probabilities/32x10", probabilities, [32, 10], RowMajor, 0.0);
    add(group, "ce_probabilities/65536x2", probabilities, [65536, 2], RowMajor, 0.0);
    add(group, "ce_probabilities/65536x10", probabilities, [65536, 10], RowMajor, 0.0);
    add(group, "ce_probabilities/4096x1000", probabilities, [4096, 1000], RowMajor, 0.0);
    add(group, "ce_behind/65536x10", classes, [65536, 10], RowMajor, 0.0);
    add(group, "ce_behind/4096x1000", classes, [4096, 1000], RowMajor, 0.0);
    add(group, "ce_padded/8192x100", classes, [8192, 100], Padded, 0.0);
    add(group, "ce_transposed/8192x100", classes, [8192, 100], Transposed, 0.0);
    add(group, "ce_step2/8192x100", classes, [8192, 100], Step2, 0.0);
    add(group, "ce_step2/65536x10", classes, [65536, 10], Step2, 0.0);
    let grad = Work::ClassesGrad;
    add(group, "ce_grad/1x10", grad, [1, 10], RowMajor, 0.0);
    add(group, "ce_grad/1x1000", grad, [1, 1000], RowMajor, 0.30);
    add(group, "ce_grad/32x10", grad, [32, 10], RowMajor, 0.0);
    add(group, "ce_grad/65536x2", grad, [65536, 2], RowMajor, 1.0);
    add(group, "ce_grad/65536x10", grad, [65536, 10], RowMajor, 0.60);
    add(group, "ce_grad/8192x100", grad, [8192, 100], RowMajor, 0.40);
    add(group, "ce_grad/4096x1000", grad, [4096, 1000], RowMajor, 0.33);
    add(group, "ce_grad/256x32000", grad, [256, 32000], RowMajor, 0.40);
    add(group, "ce_grad/64x128256", grad, [64, 128_256], RowMajor, 0.40);
    add(group, "ce_grad/nchw", grad, [2, 21], RowMajor, 0.50);
    add(group, "ce_grad_transposed/8192x100", grad, [8192, 100], Transposed, 0.0);
    add(group, "ce_grad_step2/65536x10", grad, [65536, 10], Step2, 0.0);

    let group = "binary";
    add(group, "bce_logits/10", logits, [1, 10], RowMajor, 0.0);
    add(group, "bce_logits/1000", logits, [1, 1000], RowMajor, 0.0);
    add(group, "bce_logits/100000", logits, [1, 100_000], RowMajor, 0.40);
    add(group, "bce_logits/10000000", logits, [1, 10_000_000], RowMajor, 0.0);
    add(group, "bce_logits_each/100000", Work::BceWithLogitsEach, [1, 100_000], RowMajor, 0.0);
    add(group, "bce_logits_pos_weight/5000x20", Work::BceWithLogits { pos_weight: true }, [5000, 20], RowMajor, 0.0);
    add(group, "bce_logits_row_weight/1000x100", Work::BceWithLogitsRows, [1000, 100], RowMajor, 0.0);
    add(group, "bce_logits_row_weight/5000x20", Work::BceWithLogitsRows, [5000, 20], RowMajor, 0.0);
    add(group, "bce_logits_padded/1000x100", logits, [1000, 100], Padded, 0.0);
    add(group, "bce_logits_step2/100000", logits, [1, 100_000], Step2, 0.0);
    add(group, "bce_logits_transposed/100000", logits, [1000, 100], Transposed, 0.0);
    add(group, "bce/10", Work::Bce, [1, 10], RowMajor, 0.0);
    add(group, "bce/100000", Work::Bce, [1, 100_000], RowMajor, 0.60);
    add(group, "bce_step2/100000", Work::Bce, [1, 100_000], Step2, 0.0);
    add(group, "bce_logits_grad/10", Work::BceWithLogitsGrad, [1, 10], RowMajor, 0.0);
    add(group, "bce_logits_grad/100000", Work::BceWithLogitsGrad, [1, 100_000], RowMajor, 0.60);
    add(group, "bce_logits_grad_step2/100000", Work::BceWithLogitsGrad, [1, 100_000], Step2, 0.0);
    add(group, "bce_grad/10", Work::BceGrad, [1, 10], RowMajor, 0.0);
    add(group, "bce_grad/100000", Work::BceGrad, [1, 100_000], RowMajor, 0.80);

    let group = "kernels";
    add(group, "exp/10", exp, [1, 10], RowMajor, 0.0);
    add(group, "exp/100000", exp, [1, 100_000], RowMajor, 0.17);
    add(group, "ln/100000", ln, [1, 100_000], RowMajor, 0.0);
    add(group, "sigmoid/10", sigmoid, [1, 10], RowMajor, 0.0);
    add(group, "sigmoid/100000", sigmoid, [1, 100_000], RowMajor, 0.18);
    add(group, "sigmoid_padded/1000x100", sigmoid, [1000, 100], Padded, 0.0);
    add(group, "sigmoid_step2/100000", sigmoid, [1, 100_000], Step2, 0.0);
    add(group, "softplus/100000", softplus, [1, 100_000], RowMajor, 0.40);
    add(group, "log_sigmoid/100000", log_sigmoid, [1, 100_000], RowMajor, 0.40);
    add(group, "softmax/1x10", softmax, [1, 10], RowMajor, 0.0);
    add(group, "softmax/32x10", softmax, [32, 10], RowMajor, 0.0);
    add(group, "softmax/1x1000", softmax, [1, 1000], RowMajor, 0.21);
    add(group, "softmax/100x1000", softmax, [100, 1000], RowMajor, 0.21);
    add(group, "softmax/10000x10", softmax, [10_000, 10], RowMajor, 0.0);
    add(group, "softmax_transposed/100x1000", softmax, [100, 1000], Transposed, 0.0);
    add(group, "log_softmax/1x10", log_softmax, [1, 10], RowMajor, 0.0);
    add(group, "log_softmax/1x1000", log_softmax, [1, 1000], RowMajor, 0.20);
    add(group, "log_softmax/100x1000", log_softmax, [100, 1000], RowMajor, 0.20);
    add(group, "log_softmax/10000x10", log_softmax, [10_000, 10], RowMajor, 0.0);
    add(group, "row_max/1000", max, [1, 1000], RowMajor, 0.0);
    add(group, "exp_sum/1000", exp_sum, [1, 1000], RowMajor, 0.0);
    add(group, "log_sum_exp/10", lse, [1, 10], RowMajor, 0.0);
    add(group, "log_sum_exp/1000", lse, [1, 1000], RowMajor, 0.0);
    add(group, "log_sum_exp/100000", lse, [1, 100_000], RowMajor, 0.0);
    add(group, "log_sum_exp_step2/1000", lse, [1, 1000], Step2, 0.0);

    for case in &mut cases {
        if case.name.ends_with("nchw") {
            case.shape = [2, 21, 256, 256];
        }
    }
    cases
}

/// A case with its data.
pub(crate) struct Bench {
    pub(crate) case: Case,
    /// The input, in the case's layout.
    pub(crate) x: Aligned,
    /// The step along each axis, in elements.
    pub(crate) strides: [isize; 4],
    /// The class of each row.
    pub(crate) classes: Vec<i64>,
    /// Class probabilities in the input's layout, or the targets of the binary losses; empty otherwise.
    pub(crate) targets: Aligned,
    /// A weight, or `pos_weight`, for each class or row; empty otherwise.
    pub(crate) weight: Vec<f32>,
    /// The results of the last run, without gaps: one for each element, each row, or the whole input; with a gradient the
    /// loss after it.
    pub(crate) out: Aligned,
    /// What they should be, computed in f64.
    expected: Vec<f64>,
}

impl Bench {
    pub(crate) fn new(case: Case) -> Self {
        let mut bench = data::bench(case);
        bench.expected = plain::expected(&bench);
        bench
    }

    /// This crate.
    pub(crate) fn ours(&mut self, backend: Backend) -> Result<(), Error> {
        let [n, c, h, w] = self.case.shape;
        let [sn, sc, sh, sw] = self.strides;
        if h * w == 1 {
            self.ours_of_rank(backend, [n, c], [sn, sc], [n])
        } else {
            self.ours_of_rank(backend, [n, c, h, w], [sn, sc, sh, sw], [n, h, w])
        }
    }

    #[inline]
    fn ours_of_rank<const D: usize, const E: usize>(
        &mut self,
        backend: Backend,
        shape: [usize; D],
        strides: [isize; D],
        rows: [usize; E],
    ) -> Result<(), Error> {
        let x = View::strided(black_box(&self.x), 0, shape, strides)?;
        let targets = || View::strided(&self.targets, 0, shape, strides);
        let classes = || View::new(&self.classes, rows);
        let ce = CrossEntropyLoss::new().on(backend);
        let kernels = kernels::on(backend);
        match self.case.work {
            Work::Classes { weight: false, smoothing } => {
                self.out[0] = ce.label_smoothing(smoothing).mean(x, classes()?)?;
            }
            Work::Classes { weight: true, smoothing } => {
                self.out[0] = ce.weight(&self.weight).label_smoothing(smoothing).mean(x, classes()?)?;
            }
            Work::ClassesIgnored => self.out[0] = ce.mean(x, classes()?)?,
            Work::ClassesEach => ce.none(x, classes()?, ViewMut::new(&mut self.out, rows)?)?,
            Work::Probabilities => self.out[0] = ce.mean(x, targets()?)?,
            Work::BceWithLogits { pos_weight } => {
                let mut loss = BceWithLogitsLoss::new().on(backend);
                if pos_weight {
                    loss = loss.pos_weight(View::new(&self.weight, [self.weight.len()])?.broadcast_to(shape)?);
                }
                self.out[0] = loss.mean(x, targets()?)?;
            }
            Work::BceWithLogitsRows => {
                let mut ones = shape;
                ones[1..].fill(1);
                let weight = View::new(&self.weight, ones)?.broadcast_to(shape)?;
                self.out[0] = BceWithLogitsLoss::new().weight(weight).on(backend).mean(x, targets()?)?;
            }
            Work::BceWithLogitsEach => {
                let out = ViewMut::new(&mut self.out, shape)?;
                BceWithLogitsLoss::new().on(backend).none(x, targets()?, out)?;
            }
            Work::Bce => self.out[0] = BceLoss::new().on(backend).mean(x, targets()?)?,
            Work::ClassesGrad | Work::BceWithLogitsGrad | Work::BceGrad => {
                let (loss, grad) = self.out.split_last_mut().expect("a loss after the gradient");
                let grad = ViewMut::new(grad, shape)?;
                *loss = match self.case.work {
                    Work::ClassesGrad => ce.mean_with_grad(x, classes()?, grad)?,
                    Work::BceGrad => BceLoss::new().on(backend).mean_with_grad(x, targets()?, grad)?,
                    _ => BceWithLogitsLoss::new().on(backend).mean_with_grad(x, targets()?, grad)?,
                };
            }
            Work::Map(function) => {
                let out = ViewMut::new(&mut self.out, shape)?;
                match function {
                    Function::Exp => kernels.exp(x, out)?,
                    Function::Ln => kernels.ln(x, out)?,
                    Function::Sigmoid => kernels.sigmoid(x, out)?,
                    Function::Softplus => kernels.softplus(x, out)?,
                    Function::LogSigmoid => kernels.log_sigmoid(x, out)?,
                }
            }
            Work::Softmax { log: false } => kernels.softmax(x, 1, ViewMut::new(&mut self.out, shape)?)?,
            Work::Softmax { log: true } => kernels.log_softmax(x, 1, ViewMut::new(&mut self.out, shape)?)?,
            Work::Reduce(reduction) => {
                let x = View::strided(black_box(&self.x), 0, [self.case.elements()], [self.strides[1]])?;
                self.out[0] = match reduction {
                    Reduction::Max => kernels.row_max(x),
                    Reduction::ExpSum => kernels.exp_sum(x, self.weight[0]),
                    Reduction::LogSumExp => kernels.log_sum_exp(x),
                };
            }
        }
        Ok(())
    }

    /// The same as a plain loop over the functions of `std`, as one writes it without this crate.
    pub(crate) fn plain(&mut self) {
        plain::run(black_box(self));
    }

    /// Reads the input, and the targets that are floats, and does nothing else: no loss can be faster.
    pub(crate) fn floor(&self) -> f32 {
        plain::sum(black_box(&self.x)) + plain::sum(black_box(&self.targets))
    }

    /// Compares the results with those of the same sums in f64.
    ///
    /// # Errors
    ///
    /// Says where they differ by more than `relative` of the expected result.
    pub(crate) fn check(&self, relative: f64) -> Result<(), String> {
        for (i, (&got, expected)) in self.out.iter().zip(&self.expected).enumerate() {
            // 1e-6 of it for results near 0. A NaN is not `<=`.
            let close = (f64::from(got) - expected).abs() <= relative * expected.abs().max(1e-6);
            if !close {
                return Err(format!("{}: result {i} is {got}, expected {expected}", self.case.name));
            }
        }
        Ok(())
    }
}

/// One function to measure.
pub(crate) enum Runner {
    Ours(Backend),
    Plain,
    Floor,
}

impl Runner {
    /// Those of every benchmark: this crate on each backend, with `rayon` on several threads, too; the plain loop, and the
    /// floor.
    pub(crate) fn all() -> Vec<Self> {
        #[cfg(feature = "rayon")]
        let parallel = [Self::Ours(Backend::detect().parallel())];
        #[cfg(not(feature = "rayon"))]
        let parallel = [];
        Backend::available().map(Self::Ours).chain(parallel).chain([Self::Plain, Self::Floor]).collect()
    }

    pub(crate) fn name(&self) -> String {
        match self {
            // The arithmetic is told where it is not the natural one.
            Self::Ours(backend) => {
                let name = backend.to_string().replace(", ", "_");
                name.replace(" (fused)", "").replace(" (portable)", "_portable")
            }
            Self::Plain => "std_loop".to_owned(),
            Self::Floor => "floor".to_owned(),
        }
    }

    pub(crate) fn run(&self, bench: &mut Bench) {
        match self {
            Self::Ours(backend) => bench.ours(*backend).expect("the arguments of a benchmark fit"),
            Self::Plain => bench.plain(),
            Self::Floor => {
                black_box(bench.floor());
            }
        }
    }

    /// Runs once and compares the results with f64.
    ///
    /// # Errors
    ///
    /// Says which result is wrong.
    pub(crate) fn check(&self, bench: &mut Bench) -> Result<(), String> {
        // The plain loop subtracts a result from a larger one, and its running sum of 10 million losses is 2 % off.
        let relative = match self {
            Self::Ours(_) => 5e-6,
            Self::Plain => 3e-2,
            Self::Floor => return Ok(()),
        };
        bench.out.fill(f32::NAN);
        self.run(bench);
        bench.check(relative).map_err(|error| format!("{}: {error}", self.name()))
    }
}
