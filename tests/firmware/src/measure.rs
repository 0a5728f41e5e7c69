//! Measures a call: its instructions and its stack.

use core::{
    arch::asm,
    hint::black_box,
    ptr::{read_volatile, write_volatile},
};

/// Where QEMU's plugin starts to count.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_begin() {
    // SAFETY: does nothing, but is an instruction that nobody knows.
    unsafe { asm!("nop") };
}

/// Where the plugin prints how many instructions came after [`count_begin`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_end() {
    // SAFETY: as in `count_begin`.
    unsafe { asm!("nop", "nop") };
}

/// Lets the plugin count the instructions of `call`, and of its call through a pointer.
#[inline(never)]
pub fn count(call: &mut dyn FnMut()) {
    count_begin();
    black_box(call)();
    count_end();
}

/// As much stack is painted.
const PAINTED: usize = 2048;
const PAINT: u8 = 0xa5;

/// The bytes of stack that `call` takes, with its return address. The stack must have room for [`PAINTED`] bytes.
#[inline(never)]
pub fn stack(call: &mut dyn FnMut()) -> usize {
    let top: usize;
    // SAFETY: reads the stack pointer.
    #[cfg(target_arch = "arm")]
    unsafe {
        asm!("mov {}, sp", out(reg) top);
    }
    #[cfg(target_arch = "riscv32")]
    // SAFETY: reads the stack pointer.
    unsafe {
        asm!("mv {}, sp", out(reg) top);
    }
    let bottom = top.wrapping_sub(PAINTED);
    for at in bottom..top {
        // SAFETY: below the stack pointer there is nothing but free stack.
        unsafe { write_volatile(at as *mut u8, PAINT) };
    }
    black_box(call)();
    // SAFETY: as above; the call has left its traces there.
    let untouched = (bottom..top).take_while(|&at| unsafe { read_volatile(at as *const u8) } == PAINT).count();
    PAINTED - untouched
}
