//! Memory on the stack of which only as much is initialised as is used: to clear all of it would take ten times as long as a
//! small batch.

use core::{mem::MaybeUninit, slice};

use super::{Block, LANES};

/// Up to `B` blocks, each a line of the cache.
#[repr(C, align(64))]
pub(crate) struct Scratch<const B: usize> {
    blocks: [MaybeUninit<Block>; B],
    /// So many blocks are initialised and in use.
    len: usize,
}

impl<const B: usize> Scratch<B> {
    /// No block in use.
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self { blocks: [const { MaybeUninit::uninit() }; B], len: 0 }
    }

    /// Puts at least `len` blocks in use, but no more than `B`. Those that are new hold nothing of meaning.
    #[inline(always)]
    pub(crate) fn make_room(&mut self, len: usize) {
        /// Not 0, for which the compiler would call `memset`, whose start takes longer than what is to be done.
        const EMPTY: Block = [f32::NAN; LANES];
        let len = len.min(B);
        for block in self.blocks.get_mut(self.len..len).unwrap_or(&mut []) {
            block.write(EMPTY);
        }
        self.len = self.len.max(len);
    }

    /// The numbers of the blocks in use.
    #[inline(always)]
    pub(crate) const fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: the first `len` blocks, at most `B`, are initialised, and `MaybeUninit<Block>` lies in memory as `Block` does.
        // They are borrowed as long as the slice, and what is written to it leaves them initialised.
        let blocks: &mut [Block] = unsafe { slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), self.len) };
        blocks.as_flattened_mut()
    }

    /// The first `len` numbers, at most `16 B`.
    #[inline(always)]
    pub(crate) fn first(&mut self, len: usize) -> &mut [f32] {
        self.make_room(len.div_ceil(LANES));
        self.as_mut_slice().get_mut(..len).unwrap_or(&mut [])
    }
}
