//! Results in planes, one for each class, as in NCHW: each tile is computed in a buffer of its own and copied to them.

use std::{vec, vec::Vec};

use super::{Job, Join, Parts, each_tile, run};
use crate::{
    Error,
    lanes::{
        classes::{ClassKernel, OUT},
        grid::Axis,
        layout::Rows,
        map::Memory,
        pass::{BACKWARD, Backward, GRADIENT},
        probabilities::{ProbabilityCrossEntropy, ProbabilityGradient},
        softmax::{self, Softmax},
    },
    simd::{Backend, Compiled},
    total::Total,
};

/// Fewer rows are not worth a slice for each class.
const FEWEST: usize = 64;

/// A kernel that writes all classes of its rows.
pub(crate) trait WriteRows<'a, const K: usize>: Parts {
    fn rows(&self) -> Rows<'_, K>;

    /// Where the rows are written: the array of the grid, and the distance of neighbouring classes.
    fn written(&self) -> (usize, isize);

    /// Whether they are also read there.
    fn is_in_place(&self) -> bool;

    /// Whether what is written besides lies in the order of the rows.
    fn is_rest_ascending(&self) -> bool {
        true
    }

    /// Takes out the memory of the written rows.
    fn take(&mut self) -> &'a mut [f32];

    /// Runs with the rows in this memory: class after class, and in each the rows.
    fn run_in(self, backend: Backend, buffer: &mut [f32]) -> Self::Output;
}

/// As [`run`], also for rows in planes.
pub(crate) fn run_rows<'a, const K: usize, W: WriteRows<'a, K>>(mut kernel: W, backend: Backend) -> W::Output {
    let (len, tile) = kernel.items();
    if len <= tile || tile < FEWEST || kernel.is_ascending() || !kernel.is_rest_ascending() {
        return run(kernel, backend);
    }
    let (rows, (array, stride)) = (kernel.rows(), kernel.written());
    let Some((runs, run_len)) = rows.grid.runs(array).filter(|&(_, run_len)| run_len >= FEWEST) else {
        return run(kernel, backend);
    };
    let mut starts: Vec<_> = runs
        .flat_map(|(first, offset)| {
            let start = move |class: usize| offset.wrapping_add_signed(stride.wrapping_mul(class.cast_signed()));
            (0..rows.classes).map(move |class| (start(class), first, class))
        })
        .collect();
    starts.sort_unstable();

    // No two elements of an output meet, so that none of the planes does.
    let (mut rest, mut at) = (kernel.take(), 0);
    let mut planes = Vec::with_capacity(starts.len());
    for (start, first, class) in starts {
        let (_, from) = rest.split_at_mut_checked(start.saturating_sub(at)).unwrap_or_default();
        let (data, behind) = from.split_at_mut_checked(run_len).unwrap_or_default();
        planes.push(Plane { class, first, data });
        (rest, at) = (behind, start.saturating_add(run_len));
    }
    W::Output::join(len, each_tile(InPlanes { kernel, planes }, backend, len, tile))
}

/// One class of consecutive rows, from number `first` on.
struct Plane<'a> {
    class: usize,
    first: usize,
    data: &'a mut [f32],
}

/// A kernel that has its memory in planes.
struct InPlanes<'a, W, const K: usize> {
    kernel: W,
    planes: Vec<Plane<'a>>,
}

impl<'a, W: WriteRows<'a, K>, const K: usize> Job for InPlanes<'a, W, K> {
    type Output = W::Output;

    fn split_at(self, middle: usize) -> (Self, Self) {
        let row = self.kernel.rows().grid.first().saturating_add(middle);
        let (left, right) = self.kernel.split_at(middle);
        let (mut left_planes, mut right_planes) = (Vec::new(), Vec::new());
        for Plane { class, first, data } in self.planes {
            let before = row.saturating_sub(first).min(data.len());
            let (above, below) = data.split_at_mut(before);
            if !above.is_empty() {
                left_planes.push(Plane { class, first, data: above });
            }
            if !below.is_empty() {
                right_planes.push(Plane { class, first: first.saturating_add(before), data: below });
            }
        }
        (Self { kernel: left, planes: left_planes }, Self { kernel: right, planes: right_planes })
    }

    fn run(mut self, backend: Backend) -> W::Output {
        let Rows { grid, classes, .. } = self.kernel.rows();
        let (first, len) = (grid.first(), grid.len);
        let mut buffer = vec![0.0; len.saturating_mul(classes)];
        let place = |plane: &Plane<'_>| {
            let start = plane.class.wrapping_mul(len).wrapping_add(plane.first.wrapping_sub(first));
            start..start.wrapping_add(plane.data.len())
        };
        if self.kernel.is_in_place() {
            for plane in &self.planes {
                let to = buffer.get_mut(place(plane)).unwrap_or_default();
                to.iter_mut().zip(&*plane.data).for_each(|(to, from)| *to = *from);
            }
        }
        let result = self.kernel.run_in(backend, &mut buffer);
        for plane in &mut self.planes {
            let from = buffer.get(place(plane)).unwrap_or_default();
            plane.data.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        result
    }
}

/// The same rows, written to a buffer instead: see [`WriteRows::run_in`]. The axes are those of `Grid::axes`.
fn in_buffer<'s, const K: usize>(
    rows: &Rows<'s, K>,
    input: Option<&'s [f32]>,
    array: usize,
    buffer: &'s mut [f32],
    axes: &'s mut (Vec<Axis<K>>, Axis<K>),
) -> (Rows<'s, K>, Memory<'s>) {
    let out = Memory { input, data: buffer, array, stride: rows.grid.len.cast_signed() };
    let grid = rows.grid.pack(out.arrays(), axes);
    let stride = if input.is_some() { rows.stride } else { out.stride };
    (Rows { grid, stride, ..*rows }, out)
}

/// The same for a gradient.
fn gradient_in_buffer<'s>(
    rows: &Rows<'s, BACKWARD>,
    backward: &Backward<'s>,
    buffer: &'s mut [f32],
    axes: &'s mut (Vec<Axis<BACKWARD>>, Axis<BACKWARD>),
) -> (Rows<'s, BACKWARD>, Backward<'s>) {
    let (rows, out) = in_buffer(rows, backward.rows.input, GRADIENT, buffer, axes);
    (rows, Backward { rows: out, upstream: backward.upstream })
}

impl<'a, L: Send> WriteRows<'a, BACKWARD> for ClassKernel<'_, Backward<'a>, L, BACKWARD>
where
    for<'k, 'p> ClassKernel<'k, Backward<'p>, L, BACKWARD>: Compiled<Output = Result<Total, Error>>,
{
    fn rows(&self) -> Rows<'_, BACKWARD> {
        self.rows
    }

    fn written(&self) -> (usize, isize) {
        (GRADIENT, self.pass.rows.stride)
    }

    fn is_in_place(&self) -> bool {
        self.pass.rows.input.is_none()
    }

    fn is_rest_ascending(&self) -> bool {
        self.out.is_none() || self.rows.grid.is_ascending(OUT, 0)
    }

    fn take(&mut self) -> &'a mut [f32] {
        core::mem::take(&mut self.pass.rows.data)
    }

    fn run_in(self, backend: Backend, buffer: &mut [f32]) -> Self::Output {
        let Self { rows, targets, out, pass, loss } = self;
        let mut axes = rows.grid.axes();
        let (rows, pass) = gradient_in_buffer(&rows, &pass, buffer, &mut axes);
        ClassKernel { rows, targets, out, pass, loss }.run_on(backend)
    }
}

impl<'a> WriteRows<'a, BACKWARD> for ProbabilityCrossEntropy<'_, Backward<'a>, BACKWARD> {
    fn rows(&self) -> Rows<'_, BACKWARD> {
        self.rows
    }

    fn written(&self) -> (usize, isize) {
        (GRADIENT, self.pass.rows.stride)
    }

    fn is_in_place(&self) -> bool {
        self.pass.rows.input.is_none()
    }

    fn is_rest_ascending(&self) -> bool {
        self.out.is_none() || self.rows.grid.is_ascending(OUT, 0)
    }

    fn take(&mut self) -> &'a mut [f32] {
        core::mem::take(&mut self.pass.rows.data)
    }

    fn run_in(self, backend: Backend, buffer: &mut [f32]) -> Total {
        let Self { rows, out, pass } = self;
        let mut axes = rows.grid.axes();
        let (rows, pass) = gradient_in_buffer(&rows, &pass, buffer, &mut axes);
        ProbabilityCrossEntropy { rows, out, pass }.run_on(backend)
    }
}

impl<'a> WriteRows<'a, BACKWARD> for ProbabilityGradient<'a, BACKWARD> {
    fn rows(&self) -> Rows<'_, BACKWARD> {
        self.rows
    }

    fn written(&self) -> (usize, isize) {
        (GRADIENT, self.backward.rows.stride)
    }

    fn is_in_place(&self) -> bool {
        self.backward.rows.input.is_none()
    }

    fn take(&mut self) -> &'a mut [f32] {
        core::mem::take(&mut self.backward.rows.data)
    }

    fn run_in(self, backend: Backend, buffer: &mut [f32]) {
        let Self { rows, backward } = self;
        let mut axes = rows.grid.axes();
        let (rows, backward) = gradient_in_buffer(&rows, &backward, buffer, &mut axes);
        ProbabilityGradient { rows, backward }.run_on(backend);
    }
}

impl<'a> WriteRows<'a, 2> for Softmax<'a> {
    fn rows(&self) -> Rows<'_, 2> {
        self.rows
    }

    fn written(&self) -> (usize, isize) {
        (softmax::OUT, self.memory.stride)
    }

    fn is_in_place(&self) -> bool {
        self.memory.input.is_none()
    }

    fn take(&mut self) -> &'a mut [f32] {
        core::mem::take(&mut self.memory.data)
    }

    fn run_in(self, backend: Backend, buffer: &mut [f32]) {
        let Self { rows, memory, log } = self;
        let mut axes = rows.grid.axes();
        let (rows, memory) = in_buffer(&rows, memory.input, softmax::OUT, buffer, &mut axes);
        Softmax { rows, memory, log }.run_on(backend);
    }
}
