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
pub(crate) trait Pass<'m> {
    /// The map for a target class, and the one where every class has a part in the loss.
    type Plain: RowMap;
    type Cross: RowMap;

    /// Whether anything is written.
    const WRITES: bool;

    /// Where the rows are read and written: in place, since a copy of what the caller has just stored word by word would wait
    /// until all of it has left the pipeline.
    fn memory(&mut self) -> &mut Memory<'m>;
    fn upstream(&self) -> Option<Upstream<'_>>;
}

/// Nothing.
pub(crate) struct Forward<'a>(pub(crate) Memory<'a>);

impl<'a> Forward<'a> {
    #[inline(always)]
    pub(crate) fn new(input: &'a [f32]) -> Self {
        Self(Memory::read_only(input))
    }
}

impl<'m> Pass<'m> for Forward<'m> {
    type Plain = Unmapped;
    type Cross = Unmapped;
    const WRITES: bool = false;

    #[inline(always)]
    fn memory(&mut self) -> &mut Memory<'m> {
        &mut self.0
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

impl<'m> Pass<'m> for Backward<'m> {
    type Plain = Softmax;
    type Cross = Difference;
    const WRITES: bool = true;

    #[inline(always)]
    fn memory(&mut self) -> &mut Memory<'m> {
        &mut self.rows
    }

    #[inline(always)]
    fn upstream(&self) -> Option<Upstream<'_>> {
        Some(self.upstream)
    }
}
