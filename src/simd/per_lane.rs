//! A value for each virtual lane.

use core::{mem::MaybeUninit, slice};

use super::LANES;

/// The values of the first virtual lanes. The others are not initialised: short rows never use most of them, and to set all would
/// take longer than all else.
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

    /// The value of `lane` modulo 16, if it has one.
    #[inline(always)]
    pub(crate) fn get(&self, lane: usize) -> Option<T> {
        let lane = lane % LANES;
        // SAFETY: all values below `len` are initialised.
        if lane < self.len { Some(unsafe { self.values[lane].assume_init() }) } else { None }
    }

    /// Sets the value of `lane` modulo 16, which must have one, or be the first that has none.
    #[inline(always)]
    pub(crate) fn set(&mut self, lane: usize, value: T) {
        let lane = lane % LANES;
        if lane <= self.len {
            self.values[lane].write(value);
            self.len = self.len.max(lane + 1);
        }
    }

    /// All values there are.
    #[inline(always)]
    pub(crate) const fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: the first `len` values, at most 16, are initialised, and `MaybeUninit<T>` lies in memory as `T` does. They are
        // borrowed as long as the slice, and what is written to it leaves them initialised.
        unsafe { slice::from_raw_parts_mut(self.values.as_mut_ptr().cast(), self.len) }
    }
}
