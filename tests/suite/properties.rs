//! Properties of random calls, valid and not: see `attack`. When one fails, proptest looks for the smallest like it, and
//! prints its views: shape, strides, offset and numbers.

use core::fmt;

use crate::attack::{self, Attack, Read};
use proptest::{collection::vec, prelude::*, test_runner::RngSeed};

/// Bytes with the call that they describe; only the call is shown.
#[derive(Clone)]
struct Call {
    read: Read,
    bytes: Vec<u8>,
}

impl Call {
    fn get(&self) -> Option<Box<dyn Attack>> {
        attack::call(self.read, &self.bytes)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Calls of a function, from its bytes: fewer and smaller ones give a smaller and simpler call.
fn calls(read: Read) -> impl Strategy<Value = Call> {
    vec(any::<u8>(), 16..160).prop_map(move |bytes| Call { read, bytes })
}

macro_rules! properties {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let cases = if cfg!(miri) { 8 } else { 3000 };
            // The same calls each time; `PROPTEST_RNG_SEED` takes others.
            let rng_seed = ProptestConfig::default().rng_seed;
            let rng_seed = if rng_seed == RngSeed::Random { RngSeed::Fixed(7) } else { rng_seed };
            let config = ProptestConfig { cases, failure_persistence: None, rng_seed, ..ProptestConfig::default() };
            proptest!(config, |(call in calls(attack::$name))| {
                if let Some(call) = call.get() {
                    call.check();
                }
            });
        }
    )*};
}

properties! { cross_entropy nll bce bce_with_logits kernels views }

/// What the fuzzer found: a gradient that is multiplied with 3e-30, of a class that leads the target by 100.
#[test]
fn small_upstream() {
    let bytes = include_bytes!("../../fuzz/corpus/cross_entropy/small_upstream");
    let call = attack::call(attack::cross_entropy, bytes).expect("a call");
    call.check();
}
