//! Forward alone, or forward and backward in one.

use super::{
    gradient::{Difference, Softmax, Upstream},
    map::{RowMap, RowsOut, Unmapped},
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

    fn logits(&self) -> &[f32];
    fn gradient(&mut self) -> Option<(RowsOut<'_>, Upstream<'_>)>;
}

/// Nothing.
pub(crate) struct Forward<'a>(pub(crate) &'a [f32]);

impl Pass for Forward<'_> {
    type Plain = Unmapped;
    type Cross = Unmapped;
    const WRITES: bool = false;

    #[inline(always)]
    fn logits(&self) -> &[f32] {
        self.0
    }

    #[inline(always)]
    fn gradient(&mut self) -> Option<(RowsOut<'_>, Upstream<'_>)> {
        None
    }
}

/// The gradient is written.
pub(crate) struct Backward<'a> {
    pub(crate) rows: RowsOut<'a>,
    pub(crate) upstream: Upstream<'a>,
}

impl Pass for Backward<'_> {
    type Plain = Softmax;
    type Cross = Difference;
    const WRITES: bool = true;

    #[inline(always)]
    fn logits(&self) -> &[f32] {
        self.rows.logits()
    }

    #[inline(always)]
    fn gradient(&mut self) -> Option<(RowsOut<'_>, Upstream<'_>)> {
        Some((self.rows.reborrow(), self.upstream))
    }
}
