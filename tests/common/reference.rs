//! All losses and kernels in plain `f64`, one element at a time, as their definitions say.

use super::{
    array::Array,
    case::{Case, Ignore, Loss, Target},
};

/// What a case should give.
#[derive(Clone, Debug)]
pub struct Reference {
    pub each: Vec<f64>,
    pub denominator: f64,
}

impl Reference {
    pub fn of(case: &Case) -> Self {
        match (case.loss, &case.target) {
            (Loss::CrossEntropy, Target::Classes(labels)) => classes(case, labels, |row, class| {
                let smoothed = case.smoothing.into();
                smoothed_class_loss(row, class, case.class_weight.as_deref(), smoothed)
            }),
            (Loss::Nll, Target::Classes(labels)) => {
                classes(case, labels, |row, class| -case.weight_of(class) * f64::from(row[class]))
            }
            (Loss::CrossEntropy, Target::Probabilities(target)) => probabilities(case, target),
            (Loss::Bce, Target::Probabilities(target)) => elements(case, target, |p, t, _| bce(p, t)),
            (Loss::BceWithLogits, Target::Probabilities(target)) => elements(case, target, bce_with_logits),
            (_, Target::Classes(_)) | (Loss::Nll, _) => panic!("{:?} has no such target", case.loss),
        }
    }

    /// 0 if there is nothing.
    pub fn sum(&self) -> f64 {
        self.each.iter().fold(0.0, |sum, x| sum + x)
    }

    pub fn mean(&self) -> f64 {
        self.sum() / self.denominator
    }
}

/// Losses of rows with a target class; `loss` includes the weight.
fn classes(case: &Case, labels: &Array<i64>, loss: impl Fn(&[f32], usize) -> f64) -> Reference {
    let mut reference = Reference { each: Vec::new(), denominator: 0.0 };
    for (row, &label) in case.input.rows().zip(&labels.data) {
        if case.ignore.is(label) {
            reference.each.push(0.0);
            continue;
        }
        let class = usize::try_from(label).expect("a class");
        reference.each.push(loss(&row, class));
        reference.denominator += case.weight_of(class);
    }
    reference
}

fn smoothed_class_loss(row: &[f32], class: usize, weight: Option<&[f32]>, smoothing: f64) -> f64 {
    let losses = class_losses(row);
    let weighted = |c: usize| weight.map_or(1.0, |w| f64::from(w[c])) * losses[c];
    // Smoothed not at all or altogether, one of the two parts is not there, even where it is infinite.
    let own = if smoothing < 1.0 { (1.0 - smoothing) * weighted(class) } else { 0.0 };
    let even = if smoothing > 0.0 { (0..row.len()).map(weighted).sum::<f64>() } else { 0.0 };
    own + smoothing / row.len() as f64 * even
}

fn probabilities(case: &Case, target: &Array<f32>) -> Reference {
    let smoothing = f64::from(case.smoothing);
    let row_loss = |(row, target): (Vec<f32>, Vec<f32>)| {
        let floor = smoothing / row.len() as f64;
        let losses = class_losses(&row);
        let term = |(c, &t): (usize, &f32)| {
            let smoothed = f64::from(t) * (1.0 - smoothing) + floor;
            // A masked class adds nothing where its target is exactly 0. NaN stays.
            if smoothed == 0.0 && !losses[c].is_nan() { 0.0 } else { case.weight_of(c) * smoothed * losses[c] }
        };
        target.iter().enumerate().map(term).fold(0.0, |sum, x| sum + x)
    };
    let each: Vec<f64> = case.input.rows().zip(target.rows()).map(row_loss).collect();
    let denominator = each.len() as f64;
    Reference { each, denominator }
}

/// Losses of elements; `loss` gets the input, the target and the weight of positive targets.
fn elements(case: &Case, target: &Array<f32>, loss: impl Fn(f64, f64, f64) -> f64) -> Reference {
    let shape = &case.input.shape;
    let expand = |array: &Option<Array<f32>>| array.as_ref().map(|array| array.broadcast(shape));
    let (weight, pos_weight) = (expand(&case.weight), expand(&case.pos_weight));
    let at = |data: &Option<Vec<f32>>, i: usize| data.as_ref().map_or(1.0, |data| f64::from(data[i]));
    let each: Vec<f64> = (0..case.input.data.len())
        .map(|i| at(&weight, i) * loss(case.input.data[i].into(), target.data[i].into(), at(&pos_weight, i)))
        .collect();
    let denominator = each.len() as f64;
    Reference { each, denominator }
}

fn bce(p: f64, t: f64) -> f64 {
    // `f64::max` would lose a NaN.
    let floor = |x: f64| if x < -100.0 { -100.0 } else { x };
    -(t * floor(p.ln()) + (1.0 - t) * floor((-p).ln_1p()))
}

fn bce_with_logits(x: f64, t: f64, pos_weight: f64) -> f64 {
    let part = |target: f64, factor: f64, loss: f64| if target == 0.0 { 0.0 } else { factor * loss };
    part(t, pos_weight * t, softplus(-x)) + part(1.0 - t, 1.0 - t, softplus(x))
}

/// `lse - x_c` for each class, with all digits: the logarithm of 1 plus the *others*.
pub fn class_losses(row: &[f32]) -> Vec<f64> {
    let Some((max, log_others)) = partition(row) else {
        return vec![f64::NAN; row.len()];
    };
    row.iter().map(|&x| (max - f64::from(x)) + log_others).collect()
}

/// The largest logit and `ln(1 + Σ exp(x - max))` over all the others. `None` for a row that has a NaN or a `+∞`, or
/// nothing but `-∞`, or nothing.
fn partition(row: &[f32]) -> Option<(f64, f64)> {
    if row.iter().any(|x| x.is_nan()) {
        return None;
    }
    let leader = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]))?;
    let max = f64::from(row[leader]);
    if max.is_infinite() {
        return None;
    }
    let others = row.iter().enumerate().filter(|&(c, _)| c != leader);
    Some((max, others.map(|(_, &x)| (f64::from(x) - max).exp()).sum::<f64>().ln_1p()))
}

pub fn row_max(x: &[f32]) -> f64 {
    let max = |max: f32, &x: &f32| if max.is_nan() || x < max { max } else { x };
    x.iter().fold(f32::NEG_INFINITY, max).into()
}

pub fn exp_sum(x: &[f32], shift: f32) -> f64 {
    x.iter().fold(0.0, |sum, &x| sum + (f64::from(x) - f64::from(shift)).exp())
}

/// The two parts whose sum is the log-sum-exp, since their rounding errors do not depend on how they cancel.
pub fn log_sum_exp(x: &[f32]) -> (f64, f64) {
    partition(x).unwrap_or((row_max(x), 0.0))
}

pub fn softmax(row: &[f32]) -> Vec<f64> {
    class_losses(row).into_iter().map(|loss| (-loss).exp()).collect()
}

pub fn log_softmax(row: &[f32]) -> Vec<f64> {
    class_losses(row).into_iter().map(|loss| -loss).collect()
}

pub fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

pub fn softplus(x: f64) -> f64 {
    if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
}

pub fn log_sigmoid(x: f64) -> f64 {
    -softplus(-x)
}

impl Ignore {
    fn is(self, label: i64) -> bool {
        match self {
            Self::Default => label == -100,
            Self::Index(index) => label == index,
            Self::Nothing => false,
        }
    }
}

impl Case {
    /// The weight of a class, 1 without.
    fn weight_of(&self, class: usize) -> f64 {
        self.class_weight.as_ref().map_or(1.0, |weight| weight[class].into())
    }
}
