//! Cross entropy and negative log-likelihood.

use core::{fmt, marker::PhantomData};

use arbitrary::{Arbitrary, Result};
use losslanes::{Argument, ClassIndex, CrossEntropyLoss, Error, NllLoss, Target};

use super::{
    Attack,
    call::{Bounds, Call, Calls, misfit},
    claim::{Claim, count},
    source::{Fill, Source},
};
use crate::common::{
    array::Array,
    case::{self, Case, Ignore, Loss},
    check,
    random::Random,
    reference::Reference,
};

/// A call of a loss of rows; `L` names the loss.
#[derive(Debug)]
pub struct Rows<L, T: Copy, const D: usize, const E: usize, const R: usize> {
    call: Call<T, D, E, R>,
    options: Options,
    loss: PhantomData<L>,
}

#[derive(Debug)]
pub struct Options {
    weight: Option<Vec<f32>>,
    ignore: Ignore,
    smoothing: f32,
}

pub trait RowLoss<T, const D: usize, const E: usize, const R: usize>: fmt::Debug + 'static {
    const LOSS: Loss;
    type Loss<'a>: Calls<T, D, E, R>;
    fn new(options: &Options) -> Self::Loss<'_>;
}

macro_rules! row_loss {
    ($name:ident $loss:ident $target:ident $($smoothing:ident)?) => {
        #[derive(Debug)]
        pub struct $name;

        impl<T: $target, const D: usize, const E: usize, const R: usize> RowLoss<T, D, E, R> for $name {
            const LOSS: Loss = Loss::$name;
            type Loss<'a> = $loss<'a>;

            fn new(options: &Options) -> $loss<'_> {
                let mut loss = $loss::new()$(.$smoothing(options.smoothing))?;
                if let Some(weight) = &options.weight {
                    loss = loss.weight(weight);
                }
                match options.ignore {
                    Ignore::Default => loss,
                    Ignore::Index(index) => loss.ignore_index(index),
                    Ignore::Nothing => loss.no_ignore_index(),
                }
            }
        }
    };
}

row_loss! { CrossEntropy CrossEntropyLoss Target label_smoothing }
row_loss! { Nll NllLoss ClassIndex }

/// The element type of a target.
pub trait Label: Target + Default + fmt::Debug + 'static {
    /// Reads targets for rows of this many classes.
    fn fill(source: &mut Source<'_>, data: &mut [Self], classes: usize, ignore: Ignore) -> Result<()>;
    /// The class index; `None` for a probability.
    fn class(self) -> Option<i128>;
    /// Targets for the reference, all of which are valid.
    fn targets(array: Array<Self>) -> case::Target;
}

impl Label for f32 {
    fn fill(source: &mut Source<'_>, data: &mut [Self], _: usize, _: Ignore) -> Result<()> {
        source.fill(data, Fill::Unit)
    }

    fn class(self) -> Option<i128> {
        None
    }

    fn targets(array: Array<Self>) -> case::Target {
        case::Target::Probabilities(array)
    }
}

macro_rules! labels {
    ($($int:ident)*) => {$(
        impl Label for $int {
            fn fill(source: &mut Source<'_>, data: &mut [Self], classes: usize, ignore: Ignore) -> Result<()> {
                let mut random = Random::new(source.byte()? as u64);
                for label in data.iter_mut() {
                    *label = Self::try_from(random.below(classes.max(1))).unwrap_or(1);
                }
                if data.is_empty() {
                    return Ok(());
                }
                for _ in 0..source.byte()? / 64 {
                    let at = source.byte()? % data.len();
                    let ignored = match ignore {
                        Ignore::Index(index) => Self::try_from(index),
                        _ => Self::try_from(-100),
                    };
                    data[at] = match (source.byte()?, ignored) {
                        (..=191, Ok(ignored)) => ignored,
                        _ => source.integer()?,
                    };
                }
                Ok(())
            }

            fn class(self) -> Option<i128> {
                Some(self.into())
            }

            fn targets(array: Array<Self>) -> case::Target {
                // No valid label is larger; a mask of the ignored ones stays what it is.
                case::Target::Classes(array.map(|label| i64::try_from(label).unwrap_or(i64::MAX)))
            }
        }
    )*};
}

labels! { u8 i8 u32 i64 u64 }

impl<L, T, const D: usize, const E: usize, const R: usize> Rows<L, T, D, E, R>
where
    T: Label,
    L: RowLoss<T, D, E, R>,
{
    fn read(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
        let shape = source.shape::<D>()?;
        let input = source.array(shape, Fill::Logits)?;
        let (rows, classes) = split(&shape);
        let ignore = match source.below(8)? {
            0..6 => Ignore::Default,
            6 => Ignore::Nothing,
            _ if source.rarely()? => Ignore::Index(source.integer()?),
            _ => Ignore::Index(source.below(classes.max(1))? as i64),
        };
        let of_target = if T::default().class().is_some() { &rows } else { &shape[..] };
        let of_target = source.nearly(resize(of_target))?;
        let mut target: Claim<T, E> = source.layout(of_target, T::default(), true)?;
        T::fill(source, &mut target.data, classes, ignore)?;
        let weights = classes + usize::from(source.rarely()?);
        let weight = source.maybe(|source| source.numbers(weights, Fill::Weights))?;
        let smoothing = match source.byte()? {
            ..=127 => 0.0,
            byte @ 128..=229 => (byte - 128) as f32 / 100.0,
            _ => source.number()?,
        };
        let call = Call::read(source, L::LOSS, input, target, shape, resize(&rows))?;
        Ok(Box::new(Self { call, options: Options { weight, ignore, smoothing }, loss: PhantomData::<L> }))
    }

    fn faults(&self) -> Vec<Error> {
        let Self { call, options, .. } = self;
        if D == 0 {
            return vec![Error::RankMismatch { argument: Argument::Input, rank: 0, expected: 1 }];
        }
        let (rows, classes) = split(&call.input.shape);
        let mut faults = call.faults(&rows);
        if count(&rows) > usize::MAX as u128 {
            faults.push(Error::TooLarge);
        }
        if let Some(weight) = options.weight.as_ref().filter(|weight| weight.len() != classes) {
            faults.push(Error::WeightLength { len: weight.len(), classes });
        }
        if L::LOSS == Loss::CrossEntropy && !(0.0..=1.0).contains(&options.smoothing) {
            faults.push(Error::LabelSmoothingOutOfRange { value: options.smoothing });
        }
        if call.method.has_target() {
            faults.extend(self.faults_of_targets(&rows, classes));
        }
        faults
    }

    fn faults_of_targets(&self, rows: &[usize], classes: usize) -> Vec<Error> {
        let Self { call, options, .. } = self;
        let is_class = T::default().class().is_some();
        let expected = if is_class { rows } else { &call.input.shape[..] };
        let misfit = misfit(Argument::Target, &call.target.shape, expected);
        let mut faults = Vec::from_iter(misfit);
        if !is_class && matches!(options.ignore, Ignore::Index(_)) {
            faults.push(Error::IgnoreIndexWithProbabilities);
        }
        let labels = if misfit.is_none() && is_class { call.target.elements() } else { Vec::new() };
        let is_bad = |label: i128| !is_ignored(options.ignore, label) && !(0..classes as i128).contains(&label);
        let bad = labels.into_iter().filter_map(T::class).enumerate().find(|&(_, label)| is_bad(label));
        faults.extend(bad.map(|(index, target)| Error::TargetOutOfRange { index, target, classes }));
        faults
    }

    /// The reference, and its bounds where weights and targets are such that no intermediate result overflows or vanishes.
    fn reference(&self) -> Option<(Reference, Bounds)> {
        let Self { call, options, .. } = self;
        if !super::is_countable(&call.input.shape) {
            return None;
        }
        let input = call.input.array();
        let target = T::targets(call.targets());
        let is_tame = |x: &f32| *x == 0.0 || (1e-3..=4.0).contains(&x.abs());
        let are_tame = match &target {
            case::Target::Probabilities(target) => target.data.iter().all(|x| is_tame(x) && *x >= 0.0),
            case::Target::Classes(_) => true,
        };
        let weights = options.weight.iter().flatten();
        if !are_tame || !weights.clone().all(|x| is_tame(x) && *x >= 0.0) || options.smoothing.is_subnormal() {
            return None;
        }
        let finite = || input.data.iter().filter(|x| x.is_finite());
        // The difference of such logits overflows, and a weight of 0 makes NaN of that.
        if finite().any(|x| x.abs() > f32::MAX / 4.0) {
            return None;
        }
        let spread = finite().fold(f32::MIN, |a, &b| a.max(b)) - finite().fold(f32::MAX, |a, &b| a.min(b));
        let each = match spread {
            ..=5.0 => check::NEAR,
            ..=80.0 => check::CONFIDENT,
            _ => check::LOSS,
        };
        // One that does not fit is not used, and may have any number of elements.
        let fits = call.upstream.shape[..] == input.row_shape()[..] && call.upstream.check_view();
        let upstream = fits.then(|| call.upstream.array());
        let case = Case {
            class_weight: options.weight.clone(),
            ignore: options.ignore,
            smoothing: if L::LOSS == Loss::Nll { 0.0 } else { options.smoothing },
            upstream,
            ..Case::plain(L::LOSS, input, target)
        };
        Some((call.method.reference(&case), Bounds { each, scale: 64.0 }))
    }
}

impl<L, T, const D: usize, const E: usize, const R: usize> Attack for Rows<L, T, D, E, R>
where
    T: Label,
    L: RowLoss<T, D, E, R>,
{
    fn check(&self) {
        let Self { call, options, .. } = self;
        if call.check_views() && super::is_small(&call.input.shape) && super::is_small(&call.target.shape) {
            let loss = L::new(options);
            call.check([loss; 2], &self.faults(), || self.reference(), &|| format!("{self:?}"));
        }
    }
}

/// The shape of the rows, and the number of classes.
fn split(shape: &[usize]) -> (Vec<usize>, usize) {
    if shape.is_empty() {
        return (Vec::new(), 0);
    }
    let mut rows = shape.to_vec();
    let classes = rows.remove(usize::from(shape.len() > 1));
    (rows, classes)
}

/// The shape at another rank, if need be.
fn resize<const E: usize>(shape: &[usize]) -> [usize; E] {
    core::array::from_fn(|axis| shape.get(axis).copied().unwrap_or(1))
}

fn is_ignored(ignore: Ignore, label: i128) -> bool {
    match ignore {
        Ignore::Default => label == -100,
        Ignore::Index(index) => label == i128::from(index),
        Ignore::Nothing => false,
    }
}

/// Of any rank; rarely, the arguments have ranks that do not fit.
fn of_labels<L, T>(source: &mut Source<'_>) -> Result<Box<dyn Attack>>
where
    T: Label + for<'b> Arbitrary<'b>,
    L: RowLoss<T, 0, 0, 0>
        + RowLoss<T, 1, 0, 0>
        + RowLoss<T, 2, 1, 1>
        + RowLoss<T, 3, 2, 2>
        + RowLoss<T, 4, 3, 3>
        + RowLoss<T, 5, 4, 4>
        + RowLoss<T, 2, 2, 1>
        + RowLoss<T, 2, 1, 2>,
{
    match source.byte()? {
        byte @ ..=249 => match byte % 5 {
            0 => Rows::<L, T, 2, 1, 1>::read(source),
            1 => Rows::<L, T, 1, 0, 0>::read(source),
            2 => Rows::<L, T, 3, 2, 2>::read(source),
            3 => Rows::<L, T, 4, 3, 3>::read(source),
            _ => Rows::<L, T, 5, 4, 4>::read(source),
        },
        250..=251 => Rows::<L, T, 0, 0, 0>::read(source),
        252..=253 => Rows::<L, T, 2, 2, 1>::read(source),
        _ => Rows::<L, T, 2, 1, 2>::read(source),
    }
}

fn of_probabilities(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
    match source.byte()? {
        byte @ ..=249 => match byte % 5 {
            0 => Rows::<CrossEntropy, f32, 2, 2, 1>::read(source),
            1 => Rows::<CrossEntropy, f32, 1, 1, 0>::read(source),
            2 => Rows::<CrossEntropy, f32, 3, 3, 2>::read(source),
            3 => Rows::<CrossEntropy, f32, 4, 4, 3>::read(source),
            _ => Rows::<CrossEntropy, f32, 5, 5, 4>::read(source),
        },
        250..=252 => Rows::<CrossEntropy, f32, 2, 1, 1>::read(source),
        _ => Rows::<CrossEntropy, f32, 2, 2, 2>::read(source),
    }
}

pub fn cross_entropy(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
    match source.below(8)? {
        0..3 => of_labels::<CrossEntropy, i64>(source),
        3 => of_labels::<CrossEntropy, u8>(source),
        4 => of_labels::<CrossEntropy, u64>(source),
        _ => of_probabilities(source),
    }
}

pub fn nll(source: &mut Source<'_>) -> Result<Box<dyn Attack>> {
    match source.below(4)? {
        0 => of_labels::<Nll, i64>(source),
        1 => of_labels::<Nll, i8>(source),
        2 => of_labels::<Nll, u32>(source),
        _ => of_labels::<Nll, u64>(source),
    }
}
