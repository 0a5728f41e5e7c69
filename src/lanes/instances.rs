//! The kernels that are compiled: one instance of each on each backend, in this crate, however many ranks, label types and
//! crates call it.

use super::{
    arrays,
    classes::{ClassKernel, CrossEntropy, NegativeLogLikelihood},
    elements::{self, Binary, Derive, Map},
    pass::{BACKWARD, Backward, FORWARD, Forward},
    probabilities::{ProbabilityCrossEntropy, ProbabilityGradient},
    softmax::{ExpSum, LogSumExp, Max, Softmax},
};
use crate::simd::{Backend, Compiled, INTEGERS, Kernel};

/// Kernels, and the function of `parallel` that shares them out, if any.
macro_rules! instances {
    ($($kernel:ty $(: $share:ident)?;)*) => {$(
        impl Compiled for $kernel {
            #[inline(never)]
            fn run_on(&mut self, backend: Backend) -> Self::Output {
                backend.dispatch(self)
            }

            $(
                #[cfg(feature = "rayon")]
                fn run_parallel(self, backend: Backend) -> Self::Output {
                    super::parallel::$share(self, backend)
                }
            )?

            #[inline(never)]
            fn run_in_integers(&mut self) -> Self::Output {
                self.run(INTEGERS)
            }
        }
    )*};
}

instances! {
    ClassKernel<'_, Forward<'_>, CrossEntropy<false>, FORWARD>: run;
    ClassKernel<'_, Forward<'_>, CrossEntropy<true>, FORWARD>: run;
    ClassKernel<'_, Backward<'_>, CrossEntropy<false>, BACKWARD>: run_rows;
    ClassKernel<'_, Backward<'_>, CrossEntropy<true>, BACKWARD>: run_rows;
    ClassKernel<'_, Forward<'_>, NegativeLogLikelihood, FORWARD>: run;
    ClassKernel<'_, Backward<'_>, NegativeLogLikelihood, BACKWARD>: run_rows;
    ProbabilityCrossEntropy<'_, Forward<'_>, FORWARD>: run;
    ProbabilityCrossEntropy<'_, Backward<'_>, BACKWARD>: run_rows;
    ProbabilityGradient<'_, BACKWARD>: run_rows;
    Binary<'_, elements::Probabilities, { arrays::FORWARD }>: run;
    Binary<'_, elements::Probabilities, { arrays::BACKWARD }>: run;
    Binary<'_, elements::Logits, { arrays::FORWARD }>: run;
    Binary<'_, elements::Logits, { arrays::BACKWARD }>: run;
    Derive<'_, elements::ProbabilitiesByTarget>: run;
    Derive<'_, elements::LogitsByTarget>: run;
    Derive<'_, elements::LogitsTwice>: run;
    Map<'_, elements::Exp>: run;
    Map<'_, elements::Ln>: run;
    Map<'_, elements::Sigmoid>: run;
    Map<'_, elements::LogSigmoid>: run;
    Map<'_, elements::Softplus>: run;
    Softmax<'_>: run_rows;
    Max<'_>;
    ExpSum<'_>;
    LogSumExp<'_>;
}
