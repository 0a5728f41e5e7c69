//! Cases of every loss, of any shape and with any options.

use super::{
    array::Array,
    case::{Case, Ignore, Loss, Target},
    random::Random,
};

/// Class counts around every boundary of the lanes and tiles; under Miri, which takes a thousand times as long, a few.
#[cfg(miri)]
pub const CLASSES: [usize; 3] = [1, 3, 17];
#[cfg(not(miri))]
pub const CLASSES: [usize; 17] = [1, 2, 3, 4, 8, 15, 16, 17, 31, 32, 33, 100, 1000, 1023, 1024, 1025, 5000];

/// Numbers of rows around the boundaries of the lanes and tiles.
#[cfg(miri)]
pub const ROWS: [usize; 3] = [0, 1, 17];
#[cfg(not(miri))]
pub const ROWS: [usize; 7] = [0, 1, 15, 16, 17, 1023, 1025];

/// A shape of each rank for this many classes, with few rows.
pub fn class_shapes(classes: usize) -> Vec<Vec<usize>> {
    if cfg!(miri) {
        return vec![vec![3, classes], vec![2, classes, 3]];
    }
    vec![vec![classes], vec![3, classes], vec![2, classes, 3], vec![2, classes, 1, 2], vec![1, classes, 2, 2, 2]]
}

/// As [`class_shapes`], but for many classes only one row, and two side by side, since every layout takes its time.
pub fn class_shapes_for_layouts(classes: usize) -> Vec<Vec<usize>> {
    if classes > 100 { vec![vec![1, classes], vec![1, classes, 2]] } else { class_shapes(classes) }
}

/// A size, which is cut off under Miri.
pub const fn size(len: usize) -> usize {
    if cfg!(miri) && len > 35 { 35 } else { len }
}

/// Which targets are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// There is no -100.
    None,
    /// Some rows are -100.
    Default,
    /// A valid class is.
    Class,
    /// No class is: `no_ignore_index`.
    Off,
}

/// The options of a loss over classes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub weight: bool,
    pub ignored: Ignored,
    pub smoothing: f32,
}

impl Options {
    pub const NONE: Self = Self { weight: false, ignored: Ignored::None, smoothing: 0.0 };

    /// Every combination of weights and ignored rows, with these smoothings.
    pub fn all(smoothings: &[f32]) -> impl Iterator<Item = Self> {
        let ignored = [Ignored::None, Ignored::Default, Ignored::Class, Ignored::Off];
        let ignored = ignored.into_iter().flat_map(|ignored| [false, true].map(|weight| (weight, ignored)));
        ignored.flat_map(move |(weight, ignored)| {
            smoothings.iter().map(move |&smoothing| Self { weight, ignored, smoothing })
        })
    }

    /// Those that go with class probabilities.
    pub fn of_probabilities(smoothings: &[f32]) -> impl Iterator<Item = Self> {
        Self::all(smoothings).filter(|options| matches!(options.ignored, Ignored::None | Ignored::Off))
    }

    /// The arguments of a loss over classes.
    fn case(self, random: &mut Random, loss: Loss, input: Array<f32>, target: Target) -> Case {
        let (_, classes, _) = input.class_axis();
        let ignore = match self.ignored {
            Ignored::None | Ignored::Default => Ignore::Default,
            Ignored::Class => Ignore::Index(classes as i64 / 2),
            Ignored::Off => Ignore::Nothing,
        };
        let class_weight = self.weight.then(|| random.uniforms(classes, 0.25, 2.0));
        Case { class_weight, ignore, smoothing: self.smoothing, ..Case::plain(loss, input, target) }
    }
}

impl Case {
    /// Without options.
    pub const fn plain(loss: Loss, input: Array<f32>, target: Target) -> Self {
        Self {
            loss,
            input,
            target,
            class_weight: None,
            ignore: Ignore::Default,
            smoothing: 0.0,
            weight: None,
            pos_weight: None,
            upstream: None,
        }
    }

    /// Cross entropy of row-major logits with class indices.
    pub fn of_classes(shape: &[usize], logits: Vec<f32>, labels: Vec<i64>) -> Self {
        let input = Array::new(shape, logits);
        let labels = Array::new(&input.row_shape(), labels);
        Self::plain(Loss::CrossEntropy, input, Target::Classes(labels))
    }

    /// Cross entropy of row-major logits with class probabilities.
    pub fn of_probabilities(shape: &[usize], logits: Vec<f32>, target: Vec<f32>) -> Self {
        let target = Target::Probabilities(Array::new(shape, target));
        Self::plain(Loss::CrossEntropy, Array::new(shape, logits), target)
    }

    /// A binary loss of one axis.
    pub fn of_elements(loss: Loss, input: Vec<f32>, target: Vec<f32>) -> Self {
        let shape = [input.len()];
        Self::plain(loss, Array::new(&shape, input), Target::Probabilities(Array::new(&shape, target)))
    }
}

/// Cross entropy or negative log-likelihood of class indices, with logits, or log-probabilities, within 5.
pub fn classes(random: &mut Random, loss: Loss, shape: &[usize], options: Options) -> Case {
    let low = if loss == Loss::Nll { -5.0 } else { 0.0 };
    let input = Array::from_fn(shape, |_| random.uniform(low, low + 5.0));
    let (_, classes, _) = input.class_axis();
    let labels = Array::from_fn(&input.row_shape(), |_| {
        let ignored = options.ignored == Ignored::Default && random.below(4) == 0;
        if ignored { -100 } else { random.below(classes) as i64 }
    });
    options.case(random, loss, input, Target::Classes(labels))
}

/// Cross entropy of class probabilities, with logits within 5. Some probabilities are 0.
pub fn soft_classes(random: &mut Random, shape: &[usize], options: Options) -> Case {
    let input = Array::from_fn(shape, |_| random.uniform(0.0, 5.0));
    let target = Array::from_fn(shape, |_| random.uniform(-0.25, 1.0).max(0.0));
    options.case(random, Loss::CrossEntropy, input, Target::Probabilities(target))
}

/// Rows with weights for each class, as many rows as it takes for more elements than a tile has: of classes that vectors take in
/// several rows, and of so many that weights are not copied any more.
pub fn weights_of_classes(random: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    for classes in [2, 3, 7, 16, 63, 64, 65, 100, 1023, 1024, 1025] {
        let shape = [size(4500) / classes + 2, classes];
        for loss in [Loss::Bce, Loss::BceWithLogits] {
            let mut weights = || Some(Array::from_fn(&[classes], |_| random.uniform(0.25, 2.0)));
            let (weight, pos_weight) = (weights(), weights().filter(|_| loss == Loss::BceWithLogits));
            cases.push(Case { weight, pos_weight, ..binary(random, loss, &shape, false, false) });
        }
    }
    cases
}

/// A binary loss, with weights whose shape broadcasts to that of the input, in various ways.
pub fn binary(random: &mut Random, loss: Loss, shape: &[usize], weight: bool, pos_weight: bool) -> Case {
    let (low, high) = if loss == Loss::Bce { (0.0, 1.0) } else { (-10.0, 10.0) };
    let input = Array::from_fn(shape, |_| random.uniform(low, high));
    let target = Array::from_fn(shape, |_| random.uniform(-0.5, 1.5).clamp(0.0, 1.0));
    let mut weights = |wanted: bool| {
        wanted.then(|| {
            let own = &shape[random.below(shape.len())..];
            let own: Vec<usize> = own.iter().map(|&len| if random.below(3) == 0 { 1 } else { len }).collect();
            Array::from_fn(&own, |_| random.uniform(0.25, 2.0))
        })
    };
    let (weight, pos_weight) = (weights(weight), weights(pos_weight && loss == Loss::BceWithLogits));
    Case { weight, pos_weight, ..Case::plain(loss, input, Target::Probabilities(target)) }
}
