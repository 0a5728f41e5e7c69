//! Batches on several threads.
//!
//! A batch is cut between the tiles of its sum (see [`super::sum::total`]), which depend on its shape alone. Each tile is
//! computed by itself, and the totals are merged in their order, as one thread merges them: the bits are the same with any
//! number of threads, and without.
//!
//! What is written is cut along with the items, so that no two threads have the same memory. That takes results that lie in
//! the order of the items. The planes of the classes in NCHW do not; [`planes`] has them.

mod parts;
mod planes;

use std::vec::Vec;

pub(crate) use planes::run_rows;

use crate::simd::{Backend, Compiled};

/// A kernel whose items can be shared out, in parts that are kernels of the same kind.
pub(crate) trait Parts: Compiled<Output: Join> + Send + Sized {
    /// How many items there are, and how many are in a tile.
    fn items(&self) -> (usize, usize);

    /// Whether all results lie in memory in the order of the items.
    fn is_ascending(&self) -> bool;

    /// The result, if it is known before anything is written.
    fn refused(&self) -> Option<Self::Output> {
        None
    }

    /// The items before `middle`, and the others.
    fn split_at(self, middle: usize) -> (Self, Self);
}

/// A result that is made of those of the tiles.
pub(crate) trait Join: Send + Sized {
    /// The result for `len` items from those of the tiles, in their order.
    fn join(len: usize, tiles: impl Iterator<Item = Self>) -> Self;
}

/// Work that can be cut between any two items.
trait Job: Send + Sized {
    type Output: Send;

    fn split_at(self, middle: usize) -> (Self, Self);
    fn run(self, backend: Backend) -> Self::Output;
}

/// A kernel on its own memory.
struct Whole<K>(K);

impl<K: Parts> Job for Whole<K> {
    type Output = K::Output;

    fn split_at(self, middle: usize) -> (Self, Self) {
        let (left, right) = self.0.split_at(middle);
        (Self(left), Self(right))
    }

    fn run(mut self, backend: Backend) -> K::Output {
        self.0.run_on(backend)
    }
}

/// Runs a kernel tile by tile; on the calling thread where there is only one, or where memory cannot be cut.
pub(crate) fn run<K: Parts>(mut kernel: K, backend: Backend) -> K::Output {
    let (len, tile) = kernel.items();
    if len <= tile || !kernel.is_ascending() {
        return kernel.run_on(backend);
    }
    if let Some(refused) = kernel.refused() {
        return refused;
    }
    K::Output::join(len, each_tile(Whole(kernel), backend, len, tile))
}

/// The results of all tiles, in their order.
fn each_tile<J: Job>(job: J, backend: Backend, len: usize, tile: usize) -> impl Iterator<Item = J::Output> {
    let mut results: Vec<_> = (0..len.div_ceil(tile)).map(|_| None).collect();
    share(job, backend, tile, &mut results);
    results.into_iter().flatten()
}

/// Halves the tiles until one is left, and lets other threads take a half.
fn share<J: Job>(job: J, backend: Backend, tile: usize, results: &mut [Option<J::Output>]) {
    let half = results.len() / 2;
    if half == 0 {
        results.fill_with({
            let mut job = Some(job);
            move || job.take().map(|job| job.run(backend))
        });
        return;
    }
    let (left, right) = job.split_at(half.saturating_mul(tile));
    let (left_results, right_results) = results.split_at_mut(half);
    rayon::join(|| share(left, backend, tile, left_results), || share(right, backend, tile, right_results));
}
