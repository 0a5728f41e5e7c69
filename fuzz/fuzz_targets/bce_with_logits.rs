#![no_main]

use losslanes_fuzz::attack;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(call) = attack::call(attack::bce_with_logits, bytes) {
        call.check();
    }
});
