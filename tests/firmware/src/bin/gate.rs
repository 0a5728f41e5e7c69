//! Calls every public function with arguments that the compiler knows nothing about. A panic ends in a call of a function
//! that is nowhere: if any can be reached, from anywhere in the library, this does not link.
//!
//! `cargo build --release --target thumbv7em-none-eabihf`, and with `--profile small`.
#![no_std]
#![no_main]

use core::{hint::black_box, panic::PanicInfo};

use losslanes::{BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, NllLoss, Target, Total, View, ViewMut, kernels};

unsafe extern "C" {
    fn a_panic_can_be_reached() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never runs: a program with a call of it does not link.
    unsafe { a_panic_can_be_reached() }
}

/// Memory that anything may have written.
struct Memory<'a> {
    x: &'a [f32],
    y: &'a [f32],
    out: &'a mut [f32],
    grad: &'a mut [f32],
    labels: &'a [i64],
    bytes: &'a [u8],
}

#[unsafe(no_mangle)]
extern "C" fn gate() {
    let (mut out, mut grad) = ([0.0; 24], [0.0; 24]);
    let mut memory = Memory {
        x: black_box(&[0.0; 24]),
        y: black_box(&[0.0; 24]),
        out: black_box(&mut out),
        grad: black_box(&mut grad),
        labels: black_box(&[0; 24]),
        bytes: black_box(&[0; 24]),
    };
    black_box(everything(&mut memory).is_ok());
}

fn everything(m: &mut Memory<'_>) -> Result<(), Error> {
    rows::<1, 0>(m)?;
    rows::<2, 1>(m)?;
    rows::<4, 3>(m)?;
    elements::<1>(m)?;
    elements::<3>(m)?;
    reductions(m)
}

/// Any layout.
fn view<'a, T, const D: usize>(data: &'a [T]) -> Result<View<'a, T, D>, Error> {
    View::strided(data, black_box(0), black_box([1; D]), black_box([1; D]))?.broadcast_to(black_box([1; D]))
}

fn view_mut<const D: usize>(data: &mut [f32]) -> Result<ViewMut<'_, f32, D>, Error> {
    ViewMut::strided(data, black_box(0), black_box([1; D]), black_box([1; D]))
}

fn rows<const D: usize, const R: usize>(m: &mut Memory<'_>) -> Result<(), Error> {
    let (labels, bytes) = (view::<_, R>(m.labels)?, view::<_, R>(m.bytes)?);
    cross_entropy::<i64, D, R, R>(m, labels)?;
    cross_entropy::<u8, D, R, R>(m, bytes)?;
    let probabilities = view::<_, D>(m.y)?;
    cross_entropy::<f32, D, D, R>(m, probabilities)?;
    let loss = CrossEntropyLoss::new().weight(m.y).label_smoothing(black_box(0.1));
    loss.target_grad(view::<_, D>(m.x)?, view::<_, R>(m.y)?, view_mut(m.grad)?)?;
    nll::<D, R>(m, labels)
}

/// All functions of a loss.
macro_rules! all_functions {
    ($m:expr, $loss:expr, $input:expr, $target:expr, $rank:ident, $rows:ident) => {{
        let (m, loss, input, target) = ($m, $loss, $input, $target);
        loss.none(input, target, view_mut::<$rows>(m.out)?)?;
        black_box(loss.sum(input, target)?);
        black_box(loss.mean(input, target)?);
        let total: Total = loss.total(input, target)?;
        black_box((total.merge(total).mean(), total.denominator()));
        black_box(loss.sum_with_grad(input, target, view_mut::<$rank>(m.grad)?)?);
        black_box(loss.mean_with_grad(input, target, view_mut::<$rank>(m.grad)?)?);
        let upstream = view::<_, $rows>(m.y)?;
        loss.none_with_grad(input, target, upstream, view_mut(m.out)?, view_mut::<$rank>(m.grad)?)?;
        black_box(loss.sum_with_grad_in_place(view_mut::<$rank>(m.grad)?, target)?);
        black_box(loss.mean_with_grad_in_place(view_mut::<$rank>(m.grad)?, target)?);
        loss.none_with_grad_in_place(view_mut::<$rank>(m.grad)?, target, upstream, view_mut(m.out)?)?;
    }};
}

fn cross_entropy<T: Target, const D: usize, const E: usize, const R: usize>(
    m: &mut Memory<'_>,
    target: View<'_, T, E>,
) -> Result<(), Error> {
    let loss = CrossEntropyLoss::new().weight(m.y).label_smoothing(black_box(0.1));
    let loss = if black_box(true) { loss.ignore_index(black_box(1)) } else { loss.no_ignore_index() };
    let input = view::<_, D>(m.x)?;
    all_functions!(m, loss, input, target, D, R);
    Ok(())
}

fn nll<const D: usize, const R: usize>(m: &mut Memory<'_>, target: View<'_, i64, R>) -> Result<(), Error> {
    let loss = NllLoss::new().weight(m.y).ignore_index(black_box(1));
    let input = view::<_, D>(m.x)?;
    all_functions!(m, loss, input, target, D, R);
    Ok(())
}

fn elements<const D: usize>(m: &mut Memory<'_>) -> Result<(), Error> {
    let (x, y) = (view::<_, D>(m.x)?, view::<_, D>(m.y)?);
    let bce = BceLoss::new().weight(y);
    all_functions!(&mut *m, bce, x, y, D, D);
    bce.target_grad(x, y, view_mut(m.grad)?)?;
    let logits = BceWithLogitsLoss::new().weight(y).pos_weight(y);
    all_functions!(&mut *m, logits, x, y, D, D);
    logits.target_grad(x, y, view_mut(m.grad)?)?;
    logits.hessian(x, y, view_mut(m.out)?)?;

    kernels::exp(x, view_mut(m.out)?)?;
    kernels::ln(x, view_mut(m.out)?)?;
    kernels::sigmoid(x, view_mut(m.out)?)?;
    kernels::log_sigmoid(x, view_mut(m.out)?)?;
    kernels::softplus(x, view_mut(m.out)?)?;
    kernels::softmax(x, black_box(0), view_mut(m.out)?)?;
    kernels::log_softmax(x, black_box(0), view_mut(m.out)?)?;
    kernels::exp_in_place(view_mut::<D>(m.out)?);
    kernels::ln_in_place(view_mut::<D>(m.out)?);
    kernels::sigmoid_in_place(view_mut::<D>(m.out)?);
    kernels::log_sigmoid_in_place(view_mut::<D>(m.out)?);
    kernels::softplus_in_place(view_mut::<D>(m.out)?);
    kernels::softmax_in_place(view_mut::<D>(m.out)?, black_box(0))?;
    kernels::log_softmax_in_place(view_mut::<D>(m.out)?, black_box(0))
}

fn reductions(m: &Memory<'_>) -> Result<(), Error> {
    let x = view(m.x)?;
    black_box((kernels::row_max(x), kernels::exp_sum(x, black_box(1.0)), kernels::log_sum_exp(x)));
    Ok(())
}
