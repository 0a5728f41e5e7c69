//! Forward alone, or forward and backward in one.

use super::{
    gradient::{Difference, Softmax, Upstream},
    map::{Memory, RowMap, Unmapped},
};

/// The arrays of a grid of rows: logits, targets and losses.
pub(crate) const FORWARD: usize = 3;

/// With these, the gradient and what comes in from above.
pub(crate) const BACKWARD: usize = 5;
pub(crate) const GRADIENT: usize = 3;
pub(crate) const UPSTREAM: usize = 4;

/// What happens to the rows besides their loss.
pub(crate) trait Pass {
    /// The map for a target class, and the one where every class has a part in the loss.
    type Plain: RowMap;
    type Cross: RowMap;

    /// Whether anything is written.
    const WRITES: bool;

    fn memory(&mut self) -> Memory<'_>;
    fn upstream(&self) -> Option<Upstream<'_>>;
}

/// Nothing.
pub(crate) struct Forward<'a>(pub(crate) &'a [f32]);

impl Pass for Forward<'_> {
    type Plain = Unmapped;
    type Cross = Unmapped;
    const WRITES: bool = false;

    #[inline(always)]
    fn memory(&mut self) -> Memory<'_> {
        Memory::read_only(self.0)
    }

    #[inline(always)]
    fn upstream(&self) -> Option<Upstream<'_>> {
        None
    }
}

/// The gradient is written.
pub(crate) struct Backward<'a> {
    pub(crate) rows: Memory<'a>,
    pub(crate) upstream: Upstream<'a>,
}

impl Pass for Backward<'_> {
    type Plain = Softmax;
    type Cross = Difference;
    const WRITES: bool = true;

    #[inline(always)]
    fn memory(&mut self) -> Memory<'_> {
        self.rows.reborrow()
    }

    #[inline(always)]
    fn upstream(&self) -> Option<Upstream<'_>> {
        Some(self.upstream)
    }
}
