//! Hashes of what every function gives on fixed inputs: the same code on a microcontroller and on the host.

use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, NllLoss, Total, View, ViewMut, kernels};

use super::random::Random;

/// The most numbers of a case.
const MOST: usize = 170;
/// A row beyond a tile of 1024 classes, of which the logits alone have room.
const LONG: usize = 1030;
/// The most rows, or elements of a binary loss.
const ROWS: usize = 48;

/// Rows and classes, around the boundaries of lanes and tiles.
const SHAPES: [[usize; 2]; 10] =
    [[1, 1], [3, 2], [5, 10], [33, 4], [4, 15], [2, 16], [3, 17], [2, 65], [1, 100], [1, MOST]];

/// Numbers of elements.
const LENGTHS: [[usize; 2]; 6] = [[1, 1], [7, 1], [16, 1], [17, 1], [33, 1], [ROWS, 1]];

/// FNV-1a with 32 bits, of the bits of numbers; every NaN is the same.
pub struct Hash(u32);

impl Hash {
    const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    /// Of some numbers alone.
    pub fn of(numbers: &[f32]) -> u32 {
        let mut hash = Self::new();
        hash.all(numbers);
        hash.0
    }

    fn add(&mut self, x: f32) {
        let bits = if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
        for byte in bits.to_le_bytes() {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }

    fn all(&mut self, numbers: &[f32]) {
        numbers.iter().for_each(|&x| self.add(x));
    }

    fn total(&mut self, total: Total) {
        self.all(&[total.sum(), total.mean(), total.denominator()]);
    }
}

/// The arguments of a function, and room for its results.
struct Case {
    rows: usize,
    classes: usize,
    x: [f32; LONG],
    /// Probabilities and weights: of the classes, of the rows, of all elements.
    y: [f32; MOST],
    labels: [i16; ROWS],
    out: [f32; ROWS],
    grad: [f32; MOST],
}

impl Case {
    fn new() -> Self {
        Self {
            rows: 0,
            classes: 0,
            x: [0.0; LONG],
            y: [0.0; MOST],
            labels: [0; ROWS],
            out: [0.0; ROWS],
            grad: [0.0; MOST],
        }
    }

    /// Fills in the arguments for a shape.
    fn fill(&mut self, rows: usize, classes: usize, x: fn(&mut Random) -> f32) {
        (self.rows, self.classes) = (rows, classes);
        let random = &mut Random::new(1 + (rows * 2048 + classes) as u32);
        self.x.fill_with(|| x(random));
        self.y.fill_with(|| random.probability());
        self.labels.fill_with(|| if random.below(5) == 0 { -100 } else { random.below(classes as u32) as i16 });
    }
}

/// What the cases of a function are like.
struct Cases {
    /// Rows and classes; of single elements, their number and 1.
    shapes: &'static [[usize; 2]],
    x: fn(&mut Random) -> f32,
}

const CLASSES: Cases = Cases { shapes: &SHAPES, x: Random::logit };
const LONG_ROW: Cases = Cases { shapes: &[[1, LONG]], x: Random::logit };
const ELEMENTS: Cases = Cases { shapes: &LENGTHS, x: Random::any };
const LOGITS: Cases = Cases { shapes: &LENGTHS, x: Random::logit };
const PROBABILITIES: Cases = Cases { shapes: &LENGTHS, x: Random::probability };

/// What is recorded, and where to.
struct Record<'a, B, F> {
    /// A function, so that firmware has the code of one backend.
    backend: B,
    case: &'a mut Case,
    line: F,
}

impl<B: Fn() -> Backend, F: FnMut(&str, &str, u32)> Record<'_, B, F> {
    /// Calls some functions with every case, and hashes what each gives.
    fn each<const N: usize>(
        &mut self,
        name: &str,
        functions: [&str; N],
        cases: &Cases,
        mut call: impl FnMut(Backend, &mut Case, &mut [Hash; N]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut hashes = [const { Hash::new() }; N];
        for &[rows, classes] in cases.shapes {
            self.case.fill(rows, classes, cases.x);
            call((self.backend)(), self.case, &mut hashes)?;
        }
        for (function, hash) in functions.into_iter().zip(hashes) {
            (self.line)(name, function, hash.0);
        }
        Ok(())
    }
}

/// All functions of a loss: with its name, its cases, the loss from the backend, the case and the weights `y`, the shape of
/// its input, its targets and the shape of its losses.
macro_rules! loss {
    ($record:ident, $name:literal, $cases:ident, |$backend:ident, $case:ident, $y:ident| $loss:expr,
     $shape:expr, $target:expr, $losses:expr) => {
        $record.each(
            $name,
            ["none", "sum, mean, total", "with_grad", "with_grad_in_place"],
            &$cases,
            |$backend, $case, [none, sum, with_grad, in_place]| {
                let len = $case.rows * $case.classes;
                let (input, out, grad) = (&$case.x[..len], &mut $case.out[..$case.rows], &mut $case.grad[..len]);
                let $y: &[f32] = &$case.y;
                let (loss, target, upstream) = ($loss, $target, View::new(&$y[..$case.rows], $losses)?);
                let x = View::new(input, $shape)?;

                loss.none(x, target, ViewMut::new(out, $losses)?)?;
                none.all(out);

                sum.add(loss.sum(x, target)?);
                sum.add(loss.mean(x, target)?);
                let total = loss.total(x, target)?;
                sum.total(total);
                sum.total(total.merge(total));

                with_grad.add(loss.sum_with_grad(x, target, ViewMut::new(grad, $shape)?)?);
                with_grad.all(grad);
                with_grad.add(loss.mean_with_grad(x, target, ViewMut::new(grad, $shape)?)?);
                with_grad.all(grad);
                let (outs, grads) = (ViewMut::new(out, $losses)?, ViewMut::new(grad, $shape)?);
                loss.none_with_grad(x, target, upstream, outs, grads)?;
                with_grad.all(out);
                with_grad.all(grad);

                grad.copy_from_slice(input);
                in_place.add(loss.sum_with_grad_in_place(ViewMut::new(grad, $shape)?, target)?);
                in_place.all(grad);
                grad.copy_from_slice(input);
                in_place.add(loss.mean_with_grad_in_place(ViewMut::new(grad, $shape)?, target)?);
                in_place.all(grad);
                grad.copy_from_slice(input);
                let (outs, grads) = (ViewMut::new(out, $losses)?, ViewMut::new(grad, $shape)?);
                loss.none_with_grad_in_place(grads, target, upstream, outs)?;
                in_place.all(out);
                in_place.all(grad);
                Ok(())
            },
        )
    };
}

/// Runs everything, and gives each function's name and hash to `line`.
pub fn run(backend: impl Fn() -> Backend, line: impl FnMut(&str, &str, u32)) -> Result<(), Error> {
    let mut case = Case::new();
    let mut record = Record { backend, case: &mut case, line };
    elementwise(&mut record)?;
    of_rows(&mut record)?;
    cross_entropy(&mut record)?;
    nll(&mut record)?;
    binary(&mut record)
}

fn elementwise(record: &mut Record<'_, impl Fn() -> Backend, impl FnMut(&str, &str, u32)>) -> Result<(), Error> {
    macro_rules! maps {
        ($($map:ident $in_place:ident),*) => {$(
            record.each("kernels", [stringify!($map), stringify!($in_place)], &ELEMENTS, |backend, case, [map, in_place]| {
                let shape = [case.rows];
                let (x, out) = (&mut case.x[..case.rows], &mut case.out[..case.rows]);
                kernels::on(backend).$map(View::new(x, shape)?, ViewMut::new(out, shape)?)?;
                map.all(out);
                kernels::on(backend).$in_place(ViewMut::new(x, shape)?);
                in_place.all(x);
                Ok(())
            })?;
        )*};
    }
    maps!(exp exp_in_place, ln ln_in_place, sigmoid sigmoid_in_place, log_sigmoid log_sigmoid_in_place,
        softplus softplus_in_place);
    Ok(())
}

fn of_rows(record: &mut Record<'_, impl Fn() -> Backend, impl FnMut(&str, &str, u32)>) -> Result<(), Error> {
    macro_rules! maps {
        ($($map:ident $in_place:ident),*) => {$(
            record.each("kernels", [stringify!($map), stringify!($in_place)], &CLASSES, |backend, case, [map, in_place]| {
                let (shape, len) = ([case.rows, case.classes], case.rows * case.classes);
                let (x, out) = (&mut case.x[..len], &mut case.grad[..len]);
                for axis in [0, 1] {
                    kernels::on(backend).$map(View::new(x, shape)?, axis, ViewMut::new(out, shape)?)?;
                    map.all(out);
                }
                kernels::on(backend).$in_place(ViewMut::new(x, shape)?, 1)?;
                in_place.all(x);
                Ok(())
            })?;
        )*};
    }
    maps!(softmax softmax_in_place, log_softmax log_softmax_in_place);
    record.each("kernels", ["row_max", "exp_sum", "log_sum_exp"], &CLASSES, |backend, case, [max, sum, log]| {
        let len = case.rows * case.classes;
        let x = &case.x[..len];
        // All, and every other element in reverse.
        for x in [View::new(x, [len])?, View::strided(x, (len - 1) / 2 * 2, [len.div_ceil(2)], [-2])?] {
            max.add(kernels::on(backend).row_max(x));
            sum.add(kernels::on(backend).exp_sum(x, 1.5));
            log.add(kernels::on(backend).log_sum_exp(x));
        }
        Ok(())
    })
}

fn cross_entropy(record: &mut Record<'_, impl Fn() -> Backend, impl FnMut(&str, &str, u32)>) -> Result<(), Error> {
    loss!(
        record,
        "cross_entropy",
        CLASSES,
        |backend, case, _y| CrossEntropyLoss::new().on(backend),
        [case.rows, case.classes],
        View::new(&case.labels[..case.rows], [case.rows])?,
        [case.rows]
    )?;
    loss!(
        record,
        "cross_entropy, ignore_index",
        CLASSES,
        |backend, case, _y| CrossEntropyLoss::new().ignore_index(0).on(backend),
        [case.rows, case.classes],
        View::new(&[0_u8], [1])?.broadcast_to([case.rows])?,
        [case.rows]
    )?;
    loss!(
        record,
        "cross_entropy, weight, smoothing",
        CLASSES,
        |backend, case, y| CrossEntropyLoss::new().weight(&y[..case.classes]).label_smoothing(0.1).on(backend),
        [case.rows, case.classes],
        View::new(&case.labels[..case.rows], [case.rows])?,
        [case.rows]
    )?;
    loss!(
        record,
        "cross_entropy, probabilities, weight, smoothing",
        CLASSES,
        |backend, case, y| CrossEntropyLoss::new().weight(&y[..case.classes]).label_smoothing(0.1).on(backend),
        [case.rows, case.classes],
        View::new(&case.y[..case.rows * case.classes], [case.rows, case.classes])?,
        [case.rows]
    )?;
    let functions = ["target_grad", "mean_with_grad, columns"];
    record.each("cross_entropy", functions, &CLASSES, |backend, case, [target_grad, columns]| {
        let (rows, shape, len) = (case.rows, [case.rows, case.classes], case.rows * case.classes);
        let (x, grad) = (&case.x[..len], &mut case.grad[..len]);
        let (upstream, labels) = (View::new(&case.y[..rows], [rows])?, View::new(&case.labels[..rows], [rows])?);

        let loss = CrossEntropyLoss::new().label_smoothing(0.1).on(backend);
        loss.target_grad(View::new(x, shape)?, upstream, ViewMut::new(grad, shape)?)?;
        target_grad.all(grad);

        // Neighbouring rows are neighbours in memory, and the gradient lies otherwise.
        let x = View::strided(x, 0, shape, [1, rows.cast_signed()])?;
        columns.add(loss.mean_with_grad(x, labels, ViewMut::new(grad, shape)?)?);
        columns.all(grad);
        Ok(())
    })?;
    record.each("long row", ["log_sum_exp", "cross_entropy"], &LONG_ROW, |backend, case, [log, mean]| {
        log.add(kernels::on(backend).log_sum_exp(View::new(&case.x, [LONG])?));
        let labels = View::new(&case.labels[..1], [1])?;
        let loss = CrossEntropyLoss::new().on(backend);
        mean.add(loss.mean(View::new(&case.x, [1, LONG])?, labels)?);
        Ok(())
    })
}

fn nll(record: &mut Record<'_, impl Fn() -> Backend, impl FnMut(&str, &str, u32)>) -> Result<(), Error> {
    loss!(
        record,
        "nll",
        CLASSES,
        |backend, case, _y| NllLoss::new().on(backend),
        [case.rows, case.classes],
        View::new(&case.labels[..case.rows], [case.rows])?,
        [case.rows]
    )?;
    loss!(
        record,
        "nll, weight",
        CLASSES,
        |backend, case, y| NllLoss::new().weight(&y[..case.classes]).on(backend),
        [case.rows, case.classes],
        View::new(&case.labels[..case.rows], [case.rows])?,
        [case.rows]
    )
}

fn binary(record: &mut Record<'_, impl Fn() -> Backend, impl FnMut(&str, &str, u32)>) -> Result<(), Error> {
    loss!(
        record,
        "bce",
        PROBABILITIES,
        |backend, case, _y| BceLoss::new().on(backend),
        [case.rows],
        View::new(&case.y[..case.rows], [case.rows])?,
        [case.rows]
    )?;
    loss!(
        record,
        "bce, weight",
        PROBABILITIES,
        |backend, case, y| BceLoss::new().weight(View::new(&y[1..][..case.rows], [case.rows])?).on(backend),
        [case.rows],
        View::new(&case.y[..case.rows], [case.rows])?,
        [case.rows]
    )?;
    loss!(
        record,
        "bce_with_logits",
        LOGITS,
        |backend, case, _y| BceWithLogitsLoss::new().on(backend),
        [case.rows],
        View::new(&case.y[..case.rows], [case.rows])?,
        [case.rows]
    )?;
    loss!(
        record,
        "bce_with_logits, weight, pos_weight",
        LOGITS,
        |backend, case, y| {
            let [weight, pos_weight] = [1, 2].map(|from| View::new(&y[from..][..case.rows], [case.rows]));
            BceWithLogitsLoss::new().weight(weight?).pos_weight(pos_weight?).on(backend)
        },
        [case.rows],
        View::new(&case.y[..case.rows], [case.rows])?,
        [case.rows]
    )?;
    record.each("bce", ["target_grad"], &PROBABILITIES, |backend, case, [target_grad]| {
        let (x, y, grad) = (&case.x[..case.rows], &case.y[..case.rows], &mut case.grad[..case.rows]);
        let (x, upstream) = (View::new(x, [x.len()])?, View::new(y, [y.len()])?);
        BceLoss::new().on(backend).target_grad(x, upstream, ViewMut::new(grad, x.shape())?)?;
        target_grad.all(grad);
        Ok(())
    })?;
    record.each("bce_with_logits", ["target_grad", "hessian"], &LOGITS, |backend, case, [target_grad, hessian]| {
        let (x, y, grad) = (&case.x[..case.rows], &case.y[..case.rows], &mut case.grad[..case.rows]);
        let (x, y, loss) = (View::new(x, [x.len()])?, View::new(y, [y.len()])?, BceWithLogitsLoss::new().on(backend));
        loss.target_grad(x, y, ViewMut::new(grad, x.shape())?)?;
        target_grad.all(grad);
        loss.hessian(x, y, ViewMut::new(grad, x.shape())?)?;
        hessian.all(grad);
        Ok(())
    })
}
