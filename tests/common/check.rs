//! Bounds, and comparisons with them.

/// The relative error that every loss keeps, whatever its input.
pub const LOSS: f64 = 6e-6;

/// `none`, for rows whose logits lie within 5 of each other.
pub const NEAR: f64 = 5e-7;

/// `none`, for margins up to 80, at any common offset up to 1e4.
pub const CONFIDENT: f64 = 4e-6;

/// The relative error of a softmax of logits within 20 of each other, and of sums of exponentials.
pub const SOFTMAX: f64 = 1.5e-6;

/// The distance of neighbouring subnormal floats.
const SUBNORMAL: f64 = 1.401_298_464_324_817e-45;

/// Whether the relative error is within the tolerance. NaN equals NaN, what overflows `f32` is infinite, and a
/// subnormal result may be one step off.
pub fn is_close(got: f32, want: f64, tolerance: f64) -> bool {
    if want.is_nan() {
        return got.is_nan();
    }
    if (want as f32).is_infinite() {
        return f64::from(got) == f64::from(want as f32);
    }
    (f64::from(got) - want).abs() <= (tolerance * want.abs()).max(SUBNORMAL)
}

pub fn relative_error(got: f32, want: f64) -> f64 {
    (f64::from(got) - want).abs() / want.abs()
}

#[track_caller]
pub fn close(got: f32, want: f64, tolerance: f64, what: impl FnOnce() -> String) {
    if !is_close(got, want, tolerance) {
        let error = relative_error(got, want);
        panic!("got {got:e}, expected {want:e}, relative error {error:.2e} > {tolerance:e}: {}", what());
    }
}

#[track_caller]
pub fn all_close(got: &[f32], want: &[f64], tolerance: f64, what: impl Fn() -> String) {
    assert_eq!(got.len(), want.len(), "{}", what());
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        close(got, want, tolerance, || format!("element {i} of {}", what()));
    }
}

/// The error in units of the last place of an `f32` of the size of `want`.
pub fn ulps(got: f32, want: f64) -> f64 {
    let rounded = want as f32;
    if want.is_nan() || rounded.is_infinite() {
        let same = if want.is_nan() { got.is_nan() } else { bits(got) == bits(rounded) };
        return if same { 0.0 } else { f64::INFINITY };
    }
    let exponent = (want.abs().to_bits() >> 52) as i32 - 1023;
    (f64::from(got) - want).abs() / f64::powi(2.0, exponent.max(-126) - 23)
}

/// The bits, with one NaN for all.
pub fn bits(x: f32) -> u32 {
    if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
}

#[track_caller]
pub fn same_bits(got: &[f32], want: &[f32], what: impl FnOnce() -> String) {
    let differs = |(got, want): (&f32, &f32)| bits(*got) != bits(*want);
    if got.len() != want.len() || got.iter().zip(want).any(differs) {
        let i = got.iter().zip(want).position(differs);
        let pair = i.map(|i| (got[i], want[i]));
        panic!("element {i:?} differs, got and expected: {pair:?} of {} and {}: {}", got.len(), want.len(), what());
    }
}
