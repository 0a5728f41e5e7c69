//! A value for each virtual lane.

use core::{mem::MaybeUninit, slice};

use super::LANES;

/// The values of the first virtual lanes, which are initialised when they are used first: of short rows most never are, and to set
/// them would take longer than all else.
pub(crate) struct PerLane<T> {
    values: [MaybeUninit<T>; LANES],
    /// So many are initialised.
    len: usize,
}

impl<T: Copy> PerLane<T> {
    /// No value yet.
    #[inline(always)]
    pub(crate) const fn empty() -> Self {
        Self { values: [const { MaybeUninit::uninit() }; LANES], len: 0 }
    }

    /// The same value for all lanes.
    #[inline(always)]
    pub(crate) const fn filled(value: T) -> Self {
        Self { values: [MaybeUninit::new(value); LANES], len: LANES }
    }

    /// The value of `lane` modulo 16, to be changed; `first` if it has none yet.
    #[inline(always)]
    pub(crate) fn get_mut(&mut self, lane: usize, first: T) -> &mut T {
        let lane = lane % LANES;
        while self.len <= lane {
            self.values[self.len % LANES].write(first);
            self.len += 1;
        }
        // SAFETY: `lane` is below `len`, and all values below `len` are initialised.
        unsafe { self.values[lane].assume_init_mut() }
    }

    /// All values there are.
    #[inline(always)]
    pub(crate) const fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: the first `len` values, at most 16, are initialised, and `MaybeUninit<T>` lies in memory as `T` does. They are
        // borrowed as long as the slice, and what is written to it leaves them initialised.
        unsafe { slice::from_raw_parts_mut(self.values.as_mut_ptr().cast(), self.len) }
    }
}
