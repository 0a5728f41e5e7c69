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

macro_rules! instances {
    ($($kernel:ty;)*) => {$(
        impl Compiled for $kernel {
            #[inline(never)]
            fn run_on(self, backend: Backend) -> Self::Output {
                backend.dispatch(self)
            }

            #[inline(never)]
            fn run_in_integers(self) -> Self::Output {
                self.run(INTEGERS)
            }
        }
    )*};
}

instances! {
    ClassCrossEntropy<'_, Forward<'_>, FORWARD, false>;
    ClassCrossEntropy<'_, Forward<'_>, FORWARD, true>;
    ClassCrossEntropy<'_, Backward<'_>, BACKWARD, false>;
    ClassCrossEntropy<'_, Backward<'_>, BACKWARD, true>;
    NegativeLogLikelihood<'_, Forward<'_>, FORWARD>;
    NegativeLogLikelihood<'_, Backward<'_>, BACKWARD>;
    ProbabilityCrossEntropy<'_, Forward<'_>, FORWARD>;
    ProbabilityCrossEntropy<'_, Backward<'_>, BACKWARD>;
    ProbabilityGradient<'_, BACKWARD>;
    Binary<'_, elements::Probabilities, { elements::FORWARD }>;
    Binary<'_, elements::Probabilities, { elements::BACKWARD }>;
    Binary<'_, elements::Logits, { elements::FORWARD }>;
    Binary<'_, elements::Logits, { elements::BACKWARD }>;
    Derive<'_, elements::ProbabilitiesByTarget>;
    Derive<'_, elements::LogitsByTarget>;
    Derive<'_, elements::LogitsTwice>;
    Map<'_, elements::Exp>;
    Map<'_, elements::Ln>;
    Map<'_, elements::Sigmoid>;
    Map<'_, elements::LogSigmoid>;
    Map<'_, elements::Softplus>;
    Softmax<'_>;
    Max<'_>;
    ExpSum<'_>;
    LogSumExp<'_>;
}
