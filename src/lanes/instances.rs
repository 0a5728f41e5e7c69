//! The kernels that are compiled: one instance of each on each backend, in this crate, however many ranks, label types and
//! crates call it.

use super::{
    classes::{ClassCrossEntropy, NegativeLogLikelihood},
    elements::{self, Binary, Derive, Map},
    pass::{BACKWARD, Backward, FORWARD, Forward},
    probabilities::{ProbabilityCrossEntropy, ProbabilityGradient},
    softmax::{ExpSum, LogSumExp, Max, Softmax},
};
use crate::simd::{Backend, Compiled, INTEGERS, Kernel};

/// Kernels, and the function of [`parallel`](super::parallel) that shares them out, if any.
macro_rules! instances {
    ($($kernel:ty $(: $share:ident)?;)*) => {$(
        impl Compiled for $kernel {
            #[inline(never)]
            fn run_on(self, backend: Backend) -> Self::Output {
                backend.dispatch(self)
            }

            $(
                #[cfg(feature = "rayon")]
                fn run_parallel(self, backend: Backend) -> Self::Output {
                    super::parallel::$share(self, backend)
                }
            )?

            #[inline(never)]
            fn run_in_integers(self) -> Self::Output {
                self.run(INTEGERS)
            }
        }
    )*};
}

instances! {
    ClassCrossEntropy<'_, Forward<'_>, FORWARD, false>: run;
    ClassCrossEntropy<'_, Forward<'_>, FORWARD, true>: run;
    ClassCrossEntropy<'_, Backward<'_>, BACKWARD, false>: run_rows;
    ClassCrossEntropy<'_, Backward<'_>, BACKWARD, true>: run_rows;
    NegativeLogLikelihood<'_, Forward<'_>, FORWARD>: run;
    NegativeLogLikelihood<'_, Backward<'_>, BACKWARD>: run_rows;
    ProbabilityCrossEntropy<'_, Forward<'_>, FORWARD>: run;
    ProbabilityCrossEntropy<'_, Backward<'_>, BACKWARD>: run_rows;
    ProbabilityGradient<'_, BACKWARD>: run_rows;
    Binary<'_, elements::Probabilities, { elements::FORWARD }>: run;
    Binary<'_, elements::Probabilities, { elements::BACKWARD }>: run;
    Binary<'_, elements::Logits, { elements::FORWARD }>: run;
    Binary<'_, elements::Logits, { elements::BACKWARD }>: run;
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
