//! A call of a loss, with arguments of any rank, and the way to run it.

use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, NllLoss, Total, View};

use super::{
    array::Array,
    backends, check,
    layouts::{CONTIGUOUS, Canvas, Laid, PLACEMENTS, Placement},
    reference::Reference,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    CrossEntropy,
    Nll,
    Bce,
    BceWithLogits,
}

#[derive(Clone, Debug)]
pub enum Target {
    Classes(Array<i64>),
    Probabilities(Array<f32>),
}

#[derive(Clone, Copy, Debug)]
pub enum Ignore {
    Default,
    Index(i64),
    Nothing,
}

/// A loss with its options and arguments.
#[derive(Clone, Debug)]
pub struct Case {
    pub loss: Loss,
    pub input: Array<f32>,
    pub target: Target,
    pub class_weight: Option<Vec<f32>>,
    pub ignore: Ignore,
    pub smoothing: f32,
    /// Of the binary losses: broadcast to the input.
    pub weight: Option<Array<f32>>,
    pub pos_weight: Option<Array<f32>>,
    /// The gradient that comes in where `none` is differentiated; some numbers without.
    pub upstream: Option<Array<f32>>,
}

/// The integer type of class indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    U8,
    U16,
    U32,
    U64,
    Usize,
    I8,
    I16,
    I32,
    I64,
    Isize,
}

impl Label {
    pub const ALL: [Self; 10] = [
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::Usize,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::Isize,
    ];
}

/// Where a case runs, and where its arrays are.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub backend: Backend,
    pub label: Label,
    pub input: Placement,
    pub target: Placement,
    pub out: Placement,
    /// Whether `sum` and `mean` run, too, and not only `none` and `total`, with which they must agree.
    pub reductions: bool,
}

impl Setting {
    /// Everything in row-major order, class indices as `i64`.
    pub const fn on(backend: Backend) -> Self {
        let [input, target, out] = [CONTIGUOUS; 3];
        Self { backend, label: Label::I64, input, target, out, reductions: true }
    }

    /// Every placement of the input, together with various ones of the other arrays; the first is contiguous
    /// altogether.
    pub fn layouts(backend: Backend) -> impl Iterator<Item = Self> {
        let count = PLACEMENTS.len();
        PLACEMENTS.into_iter().enumerate().map(move |(i, input)| {
            let (target, out) = (PLACEMENTS[i * 2 % count], PLACEMENTS[i * 4 % count]);
            Self { input, target, out, ..Self::on(backend) }
        })
    }
}

/// What a case gives.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub each: Vec<f32>,
    pub total: Total,
    pub gradients: Gradients,
}

/// The gradient of each reduction.
#[derive(Clone, Debug)]
pub struct Gradients {
    pub none: Vec<f32>,
    pub sum: Vec<f32>,
    pub mean: Vec<f32>,
}

impl Outcome {
    #[track_caller]
    pub fn assert_close(&self, want: &Reference, tolerance: f64, what: impl Fn() -> String) {
        let Reference { each, denominator, .. } = want;
        check::all_close(&self.each, each, tolerance, || format!("none of {}", what()));
        check::close(self.total.sum(), want.sum(), tolerance, || format!("sum of {}", what()));
        check::close(self.total.mean(), want.mean(), tolerance, || format!("mean of {}", what()));
        check::close(self.total.denominator(), *denominator, tolerance, || format!("denominator of {}", what()));
        let Gradients { none, sum, mean } = &self.gradients;
        for (name, got, factor) in
            [("none", none, None), ("sum", sum, Some(1.0)), ("mean", mean, Some(1.0 / denominator))]
        {
            want.check_gradient(got, factor, || format!("gradient of {name} of {}", what()));
        }
    }

    #[track_caller]
    pub fn assert_same_bits(&self, want: &Self, what: impl Fn() -> String) {
        check::same_bits(&self.each, &want.each, || format!("none of {}", what()));
        let Gradients { none, sum, mean } = &self.gradients;
        let wanted = &want.gradients;
        check::same_bits(none, &wanted.none, || format!("gradient of none of {}", what()));
        check::same_bits(sum, &wanted.sum, || format!("gradient of sum of {}", what()));
        check::same_bits(mean, &wanted.mean, || format!("gradient of mean of {}", what()));
        // With the part of the total that its sum does not show.
        let total = |outcome: &Self| format!("{:?}", outcome.total);
        assert_eq!(total(self), total(want), "total of {}", what());
    }
}

/// Calls of a loss in memory: to its gradient, or from the input, in whose place that goes.
type InMemory<'a> = &'a dyn Fn(&mut Canvas) -> Result<f32, Error>;

/// The same, with the losses in the first one.
type InTwo<'a> = &'a dyn Fn(&mut Canvas, &mut Canvas) -> Result<(), Error>;

/// The calls of a loss with its arguments, whatever their ranks and types. Those with a gradient are beside the input and in
/// its place.
struct Calls<'a> {
    total: &'a dyn Fn() -> Result<Total, Error>,
    sum: &'a dyn Fn() -> Result<f32, Error>,
    mean: &'a dyn Fn() -> Result<f32, Error>,
    none: &'a dyn Fn(&mut Canvas) -> Result<(), Error>,
    sum_with_grad: [InMemory<'a>; 2],
    mean_with_grad: [InMemory<'a>; 2],
    none_with_grad: [InTwo<'a>; 2],
}

/// Every reduction of a loss, with its gradient, beside the input and in its place. The arguments of the macro are those of
/// [`Case::outcome`], with the loss, its arguments, and their ranks.
macro_rules! outcome {
    ($case:expr, $setting:expr, $loss:expr, $input:expr, $target:expr, $shape:expr, $input_rank:ident, $rank:ident) => {{
        let (case, setting, loss, input, target, shape) = ($case, $setting, $loss, $input, $target, $shape);
        let loss = loss.on(setting.backend);
        let upstream = Laid::new(&case.upstream(&shape), setting.target);
        let upstream = upstream.view::<$rank>();
        case.outcome(
            setting,
            &shape,
            &Calls {
                total: &|| loss.total(input, target),
                sum: &|| loss.sum(input, target),
                mean: &|| loss.mean(input, target),
                none: &|out| loss.none(input, target, out.view::<$rank>()),
                sum_with_grad: [&|grad| loss.sum_with_grad(input, target, grad.view()), &|input| {
                    loss.sum_with_grad_in_place(input.view::<$input_rank>(), target)
                }],
                mean_with_grad: [&|grad| loss.mean_with_grad(input, target, grad.view()), &|input| {
                    loss.mean_with_grad_in_place(input.view::<$input_rank>(), target)
                }],
                none_with_grad: [
                    &|out, grad| loss.none_with_grad(input, target, upstream, out.view(), grad.view()),
                    &|out, input| {
                        loss.none_with_grad_in_place(input.view::<$input_rank>(), target, upstream, out.view())
                    },
                ],
            },
        )
    }};
}

impl Case {
    pub fn run(&self, setting: &Setting) -> Result<Outcome, Error> {
        match self.input.shape.len() {
            1 => self.run_ranks::<1, 0>(setting),
            2 => self.run_ranks::<2, 1>(setting),
            3 => self.run_ranks::<3, 2>(setting),
            4 => self.run_ranks::<4, 3>(setting),
            5 => self.run_ranks::<5, 4>(setting),
            rank => panic!("no case has rank {rank}"),
        }
    }

    /// All calls, to which it gives memory for losses of this shape.
    fn outcome(&self, setting: &Setting, shape: &[usize], calls: &Calls<'_>) -> Result<Outcome, Error> {
        let total = (calls.total)()?;
        if setting.reductions {
            let (sum, mean) = ((calls.sum)()?, (calls.mean)()?);
            check::same_bits(&[sum, mean], &[total.sum(), total.mean()], || "sum and mean against total".into());
        }
        let new_out = || Canvas::new(shape, setting.out);
        // Where the gradient goes.
        let memory = || [Canvas::new(&self.input.shape, setting.out), Canvas::holding(&self.input, setting.input)];
        let both = |what: &str, [gradient, in_place]: [Vec<f32>; 2]| {
            check::same_bits(&in_place, &gradient, || format!("{what} in place"));
            gradient
        };
        let reduced = |what: &str, calls: [InMemory<'_>; 2], want: f32| {
            let [mut beside, mut instead] = memory();
            let got = [calls[0](&mut beside)?, calls[1](&mut instead)?];
            check::same_bits(&got, &[want; 2], || format!("{what} with a gradient"));
            Ok(both(what, [beside.finish(), instead.finish()]))
        };

        let mut out = new_out();
        (calls.none)(&mut out)?;
        let each = out.finish();
        let sum = reduced("sum", calls.sum_with_grad, total.sum())?;
        let mean = reduced("mean", calls.mean_with_grad, total.mean())?;

        let ([mut beside, mut instead], mut out, mut out_in_place) = (memory(), new_out(), new_out());
        calls.none_with_grad[0](&mut out, &mut beside)?;
        calls.none_with_grad[1](&mut out_in_place, &mut instead)?;
        let none = both("none", [beside.finish(), instead.finish()]);
        check::same_bits(&out.finish(), &each, || "losses with a gradient".into());
        check::same_bits(&out_in_place.finish(), &each, || "losses with a gradient in place".into());

        Ok(Outcome { each, total, gradients: Gradients { none, sum, mean } })
    }

    fn run_ranks<const D: usize, const E: usize>(&self, setting: &Setting) -> Result<Outcome, Error> {
        let input = Laid::new(&self.input, setting.input);
        let input = input.view::<D>();
        match &self.target {
            Target::Classes(labels) => self.run_classes::<D, E>(setting, input, labels),
            Target::Probabilities(target) => {
                let target = Laid::new(target, setting.target);
                self.run_probabilities::<D, E>(setting, input, target.view())
            }
        }
    }

    fn run_classes<const D: usize, const R: usize>(
        &self,
        setting: &Setting,
        input: View<'_, f32, D>,
        labels: &Array<i64>,
    ) -> Result<Outcome, Error> {
        macro_rules! with_labels {
            ($($label:ident $int:ident)*) => {
                match setting.label {
                    $(Label::$label => {
                        let labels = labels.map(|label| $int::try_from(label).expect("a label that fits"));
                        let labels = Laid::new(&labels, setting.target);
                        let shape = self.input.row_shape();
                        match self.loss {
                            Loss::Nll => outcome!(self, setting, self.nll(), input, labels.view::<R>(), shape, D, R),
                            _ => outcome!(self, setting, self.cross_entropy(), input, labels.view::<R>(), shape, D, R),
                        }
                    })*
                }
            };
        }
        with_labels! { U8 u8 U16 u16 U32 u32 U64 u64 Usize usize I8 i8 I16 i16 I32 i32 I64 i64 Isize isize }
    }

    fn run_probabilities<const D: usize, const R: usize>(
        &self,
        setting: &Setting,
        input: View<'_, f32, D>,
        target: View<'_, f32, D>,
    ) -> Result<Outcome, Error> {
        if self.loss == Loss::CrossEntropy {
            let shape = self.input.row_shape();
            return outcome!(self, setting, self.cross_entropy(), input, target, shape, D, R);
        }
        self.run_binary::<D>(setting, input, target)
    }

    fn run_binary<const R: usize>(
        &self,
        setting: &Setting,
        input: View<'_, f32, R>,
        target: View<'_, f32, R>,
    ) -> Result<Outcome, Error> {
        let lay =
            |array: &Option<Array<f32>>| array.as_ref().map(|array| Laid::new(&array.with_rank(R), setting.target));
        let (weight, pos_weight) = (lay(&self.weight), lay(&self.pos_weight));
        let shape = self.input.shape.clone();
        if self.loss == Loss::Bce {
            let mut loss = BceLoss::new();
            if let Some(weight) = &weight {
                loss = loss.weight(weight.view::<R>().broadcast_to(input.shape())?);
            }
            return outcome!(self, setting, loss, input, target, shape, R, R);
        }
        let mut loss = BceWithLogitsLoss::new();
        if let Some(weight) = &weight {
            loss = loss.weight(weight.view::<R>().broadcast_to(input.shape())?);
        }
        if let Some(pos_weight) = &pos_weight {
            loss = loss.pos_weight(pos_weight.view::<R>().broadcast_to(input.shape())?);
        }
        outcome!(self, setting, loss, input, target, shape, R, R)
    }

    /// What comes in where `none` is differentiated, for losses of this shape.
    pub fn upstream(&self, shape: &[usize]) -> Array<f32> {
        self.upstream.clone().unwrap_or_else(|| Array::from_fn(shape, |i| (i * 7 % 11) as f32 / 4.0 - 1.125))
    }

    fn cross_entropy(&self) -> CrossEntropyLoss<'_> {
        let mut loss = CrossEntropyLoss::new().label_smoothing(self.smoothing);
        if let Some(weight) = &self.class_weight {
            loss = loss.weight(weight);
        }
        match self.ignore {
            Ignore::Default => loss,
            Ignore::Index(index) => loss.ignore_index(index),
            Ignore::Nothing => loss.no_ignore_index(),
        }
    }

    fn nll(&self) -> NllLoss<'_> {
        let loss = NllLoss::new();
        let loss = self.class_weight.as_ref().map_or(loss, |weight| loss.weight(weight));
        match self.ignore {
            Ignore::Default => loss,
            Ignore::Index(index) => loss.ignore_index(index),
            Ignore::Nothing => loss.no_ignore_index(),
        }
    }

    /// Runs on every backend, in row-major order, and compares with the reference.
    #[track_caller]
    pub fn assert_close(&self, tolerance: f64) {
        let want = Reference::of(self);
        for backend in backends::all() {
            let got = self.run(&Setting::on(backend)).unwrap_or_else(|error| panic!("{error} on {backend}: {self:?}"));
            got.assert_close(&want, tolerance, || format!("{self:?} on {backend}"));
        }
    }

    /// Runs in every layout on every backend; those of one arithmetic must give the same bits.
    #[track_caller]
    pub fn assert_same_bits(&self) {
        for backends in backends::by_arithmetic() {
            let want = self.run(&Setting::on(backends[0])).expect("a valid case");
            for setting in backends.into_iter().flat_map(Setting::layouts) {
                let setting = Setting { reductions: false, ..setting };
                let got = self.run(&setting).expect("a valid case");
                got.assert_same_bits(&want, || format!("{self:?}, {setting:?}"));
            }
        }
    }
}
