//! All losses and kernels in plain `f64`, one element at a time, as their definitions say.

use super::{
    array::Array,
    case::{Case, Ignore, Loss, Target},
    check,
};

/// What a case should give.
#[derive(Clone, Debug)]
pub struct Reference {
    pub each: Vec<f64>,
    pub denominator: f64,
    /// The derivative of each element's loss, or of its row's.
    pub gradient: Vec<Slope>,
    /// For each element of the input what comes in for its loss.
    pub upstream: Vec<f64>,
}

/// One element of a gradient, and the size of the parts whose sum or difference it is.
#[derive(Clone, Copy, Debug)]
pub struct Slope {
    pub value: f64,
    pub size: f64,
    /// Of a confident class: the sum of the row's targets, from which its own is subtracted.
    pub mass: f64,
}

impl Slope {
    pub const ZERO: Self = Self::of(0.0);

    const fn of(value: f64) -> Self {
        Self { value, size: value.abs(), mass: 0.0 }
    }

    fn difference(a: f64, b: f64) -> Self {
        Self { value: a - b, size: a.abs() + b.abs(), mass: 0.0 }
    }

    fn plus(self, other: Self) -> Self {
        Self { value: self.value + other.value, size: self.size + other.size, mass: self.mass + other.mass }
    }

    fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, size: self.size * factor.abs(), mass: self.mass * factor.abs() }
    }
}

impl Reference {
    pub fn of(case: &Case) -> Self {
        match (case.loss, &case.target) {
            (Loss::CrossEntropy, Target::Classes(labels)) => classes(case, labels, |row, class| {
                let smoothed = case.smoothing.into();
                let loss = smoothed_class_loss(row, class, case.class_weight.as_deref(), smoothed);
                let own = (1.0 - smoothed) * case.weight_of(class);
                let floor = smoothed / row.len() as f64;
                let spread: Vec<f64> = (0..row.len()).map(|c| floor * case.weight_of(c)).collect();
                (loss, row_slopes(row, &spread, Some((class, own))))
            }),
            (Loss::Nll, Target::Classes(labels)) => classes(case, labels, |row, class| {
                let weight = case.weight_of(class);
                let slope = |c| if c == class { Slope::of(-weight) } else { Slope::ZERO };
                (-weight * f64::from(row[class]), (0..row.len()).map(slope).collect())
            }),
            (Loss::CrossEntropy, Target::Probabilities(target)) => probabilities(case, target),
            (Loss::Bce, Target::Probabilities(target)) => {
                elements(case, target, |p, t, _| (bce(p, t), Slope::of((p - t) / f64::max(p * (1.0 - p), 1e-12))))
            }
            (Loss::BceWithLogits, Target::Probabilities(target)) => elements(case, target, |x, t, pos| {
                let slope = Slope::difference((1.0 - t) * sigmoid(x), pos * t * sigmoid(-x));
                (bce_with_logits(x, t, pos), slope)
            }),
            (_, Target::Classes(_)) | (Loss::Nll, _) => panic!("{:?} has no such target", case.loss),
        }
    }

    /// With the derivatives by the targets in place of those by the input, and no losses.
    pub fn by_target(case: &Case) -> Self {
        match (case.loss, &case.target) {
            (Loss::CrossEntropy, _) => {
                let keep = 1.0 - f64::from(case.smoothing);
                let slope = |(c, loss): (usize, f64)| Slope::of(keep * case.weight_of(c) * loss);
                let slopes = |row: Vec<f32>| class_losses(&row).into_iter().enumerate().map(slope).collect();
                of_rows(case, Vec::new(), &case.input.rows().map(slopes).collect::<Vec<_>>(), 0.0)
            }
            (Loss::Bce, Target::Probabilities(target)) => {
                elements(case, target, |p, _, _| (0.0, Slope::difference(floored((-p).ln_1p()), floored(p.ln()))))
            }
            (Loss::BceWithLogits, Target::Probabilities(target)) => {
                elements(case, target, |x, _, pos| (0.0, Slope::difference(pos * softplus(-x), softplus(x))))
            }
            (_, Target::Classes(_)) | (Loss::Nll, _) => panic!("{:?} has no such derivative", case.loss),
        }
    }

    /// With the second derivatives by the logits in place of the losses, and no gradient.
    pub fn twice(case: &Case) -> Self {
        match (case.loss, &case.target) {
            (Loss::BceWithLogits, Target::Probabilities(target)) => {
                elements(case, target, |x, t, pos| (sigmoid(x) * sigmoid(-x) * (1.0 - t + pos * t), Slope::ZERO))
            }
            _ => panic!("{:?} has no such derivative", case.loss),
        }
    }

    /// 0 if there is nothing.
    pub fn sum(&self) -> f64 {
        self.each.iter().fold(0.0, |sum, x| sum + x)
    }

    pub fn mean(&self) -> f64 {
        self.sum() / self.denominator
    }

    /// Compares a gradient: with the one for this factor, or for the case's upstream.
    #[track_caller]
    pub fn check_gradient(&self, got: &[f32], factor: Option<f64>, what: impl Fn() -> String) {
        assert_eq!(got.len(), self.gradient.len(), "{}", what());
        for (i, ((&got, slope), &upstream)) in got.iter().zip(&self.gradient).zip(&self.upstream).enumerate() {
            // An ignored row has gradient 0 even where the mean's denominator is 0.
            let Slope { value, size, .. } =
                if slope.size == 0.0 { *slope } else { slope.times(factor.unwrap_or(upstream)) };
            let fine = if value.is_nan() {
                got.is_nan()
            } else {
                (f64::from(got) - value).abs() <= check::LOSS * size + f64::from(f32::MIN_POSITIVE)
            };
            assert!(fine, "got {got:e}, expected {value:e} of size {size:e}: element {i} of {}", what());
        }
    }
}

/// The gradient of a row: `T p - q` with `q = spread`, and for a target class its own part, `-own (1 - p)`.
fn row_slopes(row: &[f32], spread: &[f64], target: Option<(usize, f64)>) -> Vec<Slope> {
    let losses = class_losses(row);
    let mass: f64 = spread.iter().sum();
    let own = target.map_or(0.0, |(_, own)| own);
    let slope = |c: usize, total: f64| {
        let (p, rest) = ((-losses[c]).exp(), -(-losses[c]).exp_m1());
        // For a confident class the difference of the small parts.
        if p > 0.5 {
            Slope { mass: total.abs(), ..Slope::difference(total - spread[c], total * rest) }
        } else {
            Slope::difference(total * p, spread[c])
        }
    };
    let each = |c: usize| match target {
        Some((class, own)) if c == class => Slope::of((-losses[c]).exp_m1() * own).plus(slope(c, mass)),
        _ => slope(c, own + mass),
    };
    (0..row.len()).map(each).collect()
}

/// Losses and gradients of rows with a target class, weights included.
fn classes(case: &Case, labels: &Array<i64>, loss: impl Fn(&[f32], usize) -> (f64, Vec<Slope>)) -> Reference {
    let (mut each, mut slopes, mut denominator) = (Vec::new(), Vec::new(), 0.0);
    for (row, &label) in case.input.rows().zip(&labels.data) {
        if case.ignore.is(label) {
            each.push(0.0);
            slopes.push(vec![Slope::ZERO; row.len()]);
            continue;
        }
        let class = usize::try_from(label).expect("a class");
        let (loss, row) = loss(&row, class);
        each.push(loss);
        slopes.push(row);
        denominator += case.weight_of(class);
    }
    of_rows(case, each, &slopes, denominator)
}

/// Puts the gradients of rows in the place of their elements.
fn of_rows(case: &Case, each: Vec<f64>, slopes: &[Vec<Slope>], denominator: f64) -> Reference {
    let upstream = case.upstream(&case.input.row_shape()).data;
    let (_, classes, inner) = case.input.class_axis();
    let place = |at: usize| (at / (classes * inner) * inner + at % inner, at / inner % classes);
    let places: Vec<(usize, usize)> = (0..case.input.data.len()).map(place).collect();
    Reference {
        each,
        denominator,
        gradient: places.iter().map(|&(row, class)| slopes[row][class]).collect(),
        upstream: places.iter().map(|&(row, _)| upstream[row].into()).collect(),
    }
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
    let slopes = |(row, target): (Vec<f32>, Vec<f32>)| {
        let floor = smoothing / row.len() as f64;
        let smoothed = target.iter().enumerate();
        let spread = smoothed.map(|(c, &t)| case.weight_of(c) * (f64::from(t) * (1.0 - smoothing) + floor));
        row_slopes(&row, &spread.collect::<Vec<_>>(), None)
    };
    let each: Vec<f64> = case.input.rows().zip(target.rows()).map(row_loss).collect();
    let slopes: Vec<Vec<Slope>> = case.input.rows().zip(target.rows()).map(slopes).collect();
    let denominator = each.len() as f64;
    of_rows(case, each, &slopes, denominator)
}

/// Losses of elements and their slopes; `loss` gets the input, the target and the weight of positive targets.
fn elements(case: &Case, target: &Array<f32>, loss: impl Fn(f64, f64, f64) -> (f64, Slope)) -> Reference {
    let shape = &case.input.shape;
    let expand = |array: &Option<Array<f32>>| array.as_ref().map(|array| array.broadcast(shape));
    let (weight, pos_weight) = (expand(&case.weight), expand(&case.pos_weight));
    let at = |data: &Option<Vec<f32>>, i: usize| data.as_ref().map_or(1.0, |data| f64::from(data[i]));
    let element = |i: usize| {
        let (loss, slope) = loss(case.input.data[i].into(), target.data[i].into(), at(&pos_weight, i));
        (at(&weight, i) * loss, slope.times(at(&weight, i)))
    };
    let (each, gradient): (Vec<f64>, Vec<Slope>) = (0..case.input.data.len()).map(element).unzip();
    let denominator = each.len() as f64;
    let upstream = case.upstream(shape).data.into_iter().map(f64::from).collect();
    Reference { each, denominator, gradient, upstream }
}

fn bce(p: f64, t: f64) -> f64 {
    -(t * floored(p.ln()) + (1.0 - t) * floored((-p).ln_1p()))
}

/// A logarithm of at least -100. `f64::max` would lose a NaN.
fn floored(x: f64) -> f64 {
    if x < -100.0 { -100.0 } else { x }
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
