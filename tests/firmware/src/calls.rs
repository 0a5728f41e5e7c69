//! The calls that are measured.

use losslanes::{BceWithLogitsLoss, CrossEntropyLoss, View, ViewMut, kernels};

/// Rows of ten classes, or one row; NaN for arguments that do not fit, as firmware without messages would do.
#[inline(never)]
pub fn cross_entropy_mean(logits: &[f32], classes: usize, labels: &[u8]) -> f32 {
    let call = || {
        let rows = labels.len();
        CrossEntropyLoss::new().mean(View::new(logits, [rows, classes])?, View::new(labels, [rows])?)
    };
    call().unwrap_or(f32::NAN)
}

/// As [`cross_entropy_mean`], with the gradient in place of the logits.
#[inline(never)]
pub fn cross_entropy_grad(logits: &mut [f32], classes: usize, labels: &[u8]) -> f32 {
    let mut call = || {
        let rows = labels.len();
        let logits = ViewMut::new(logits, [rows, classes])?;
        CrossEntropyLoss::new().mean_with_grad_in_place(logits, View::new(labels, [rows])?)
    };
    call().unwrap_or(f32::NAN)
}

#[inline(never)]
pub fn bce_with_logits_mean(logits: &[f32], targets: &[f32]) -> f32 {
    let call =
        || BceWithLogitsLoss::new().mean(View::new(logits, [logits.len()])?, View::new(targets, [targets.len()])?);
    call().unwrap_or(f32::NAN)
}

#[inline(never)]
pub fn log_sum_exp(x: &[f32]) -> f32 {
    View::new(x, [x.len()]).map_or(f32::NAN, kernels::log_sum_exp)
}

macro_rules! maps {
    ($($map:ident)*) => {$(
        #[inline(never)]
        pub fn $map(x: &[f32], out: &mut [f32]) {
            let (len, out_len) = ([x.len()], [out.len()]);
            if let (Ok(x), Ok(out)) = (View::new(x, len), ViewMut::new(out, out_len)) {
                let _ = kernels::$map(x, out);
            }
        }
    )*};
}

maps!(exp sigmoid softplus);
