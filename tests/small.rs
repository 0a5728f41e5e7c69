//! Every loss and kernel at small sizes, for tools that make a program a thousand times slower: Miri, sanitizers, mutants.
//! The first backend of each arithmetic is near the reference, and all of them give its bits in every layout, beside the
//! input and in its place. Only one rank and one type of labels, so that it compiles fast.

mod common;

use common::{
    array::Array,
    backends,
    case::{Case, Gradients, Loss, Outcome, Target},
    check,
    generate::{Ignored, Options, binary, classes, soft_classes},
    kernels::{Map, Reduction},
    layouts::{CONTIGUOUS, Canvas, Laid, PLACEMENTS, Placement},
    random::Random,
    reference::Reference,
};
use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, NllLoss, View, ViewMut};

/// So many classes in rows and in planes, and so many rows of two and pixels of three classes: fewer than a vector has, as
/// many, and some left over.
const LENGTHS: [usize; 16] = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 31, 33, 64, 67];

/// Short rows, pixels, and rows of more classes than fit a lane.
const ROWS: [[usize; 3]; 3] = [[9, 5, 1], [1, 2, 9], [1, 65, 1]];

/// A vector of any backend, and more.
const ELEMENTS: [[usize; 3]; 1] = [[1, 19, 1]];

/// Rows before the classes, classes, and rows after them: these, and under Miri no more.
fn shapes(few: &[[usize; 3]]) -> impl Iterator<Item = [usize; 3]> {
    let of_length = |n: usize| [[1, n, 1], [3, n, 1], [2, n, 3], [n, 2, 1], [1, 3, n]];
    let all = few.iter().copied().chain(LENGTHS.into_iter().flat_map(of_length)).chain([[0, 3, 2]]);
    all.take(if cfg!(miri) { few.len() } else { usize::MAX })
}

/// All layouts; under Miri they take turns.
fn layouts(turn: &mut usize) -> impl Iterator<Item = Placement> + use<> {
    *turn += 1;
    let (skip, take) = if cfg!(miri) { (*turn % PLACEMENTS.len(), 1) } else { (0, usize::MAX) };
    PLACEMENTS.into_iter().skip(skip).take(take)
}

/// The backends of each arithmetic; under Miri only of the last.
fn arithmetics() -> impl Iterator<Item = Vec<Backend>> {
    let skipped = if cfg!(miri) { backends::by_arithmetic().count() - 1 } else { 0 };
    backends::by_arithmetic().skip(skipped)
}

/// All of them; under Miri not the first again, unless it is alone.
fn compared(backends: &[Backend]) -> &[Backend] {
    if cfg!(miri) && backends.len() > 1 { &backends[1..] } else { backends }
}

/// A loss of arrays in this layout, forward and with each gradient. `$losses` is the rank of the losses.
macro_rules! outcome {
    ($case:expr, $at:expr, $targets:literal, $losses:literal, $target:expr, $loss:expr) => {{
        let (case, at, loss) = ($case, $at, $loss);
        let (input, target) = (Laid::new(&case.input, at), Laid::new($target, at));
        let (input, target) = (input.view::<3>(), target.view::<$targets>());
        let shape = if $losses == 3 { case.input.shape.clone() } else { case.input.row_shape() };
        let upstream = Laid::new(&case.upstream(&shape), at);
        let total = loss.total(input, target).expect("valid");

        let new_out = || Canvas::new(&shape, at);
        let [mut out, mut beside, mut in_place] = [(); 3].map(|()| new_out());
        loss.none(input, target, out.view::<$losses>()).expect("valid");
        let each = out.finish();
        let (new, copy) = (|| Canvas::new(&case.input.shape, at), || Canvas::holding(&case.input, at));
        let (mut none, mut place) = (new(), copy());
        loss.none_with_grad(input, target, upstream.view::<$losses>(), beside.view(), none.view()).expect("valid");
        loss.none_with_grad_in_place(place.view::<3>(), target, upstream.view::<$losses>(), in_place.view())
            .expect("valid");
        let none = none.finish();
        check::same_bits(&beside.finish(), &each, || format!("losses with a gradient of {case:?}"));
        check::same_bits(&in_place.finish(), &each, || format!("losses with a gradient in place of {case:?}"));
        check::same_bits(&place.finish(), &none, || format!("gradient in place of {case:?}"));

        let (mut sum, mut mean) = (new(), copy());
        let numbers = [
            loss.sum_with_grad(input, target, sum.view()).expect("valid"),
            loss.mean_with_grad_in_place(mean.view::<3>(), target).expect("valid"),
        ];
        check::same_bits(&numbers, &[total.sum(), total.mean()], || format!("sum and mean of {case:?}"));
        Outcome { each, total, gradients: Gradients { none, sum: sum.finish(), mean: mean.finish() } }
    }};
}

fn run(case: &Case, backend: Backend, at: Placement) -> Outcome {
    let class_weight = case.class_weight.as_deref();
    let cross_entropy = || {
        let loss = CrossEntropyLoss::new().label_smoothing(case.smoothing).on(backend);
        class_weight.map_or(loss, |weight| loss.weight(weight))
    };
    let of_element = |weight: &Option<Array<f32>>| {
        let weight = weight.as_ref().expect("a weight").broadcast(&case.input.shape);
        Laid::new(&Array::new(&case.input.shape, weight), at)
    };
    match (case.loss, &case.target) {
        (Loss::CrossEntropy, Target::Classes(labels)) => {
            outcome!(case, at, 2, 2, labels, cross_entropy())
        }
        (Loss::CrossEntropy, Target::Probabilities(target)) => {
            outcome!(case, at, 3, 2, target, cross_entropy())
        }
        (Loss::Nll, Target::Classes(labels)) => {
            let loss = NllLoss::new().on(backend);
            outcome!(case, at, 2, 2, labels, class_weight.map_or(loss, |weight| loss.weight(weight)))
        }
        (Loss::Bce, Target::Probabilities(target)) => {
            let weight = of_element(&case.weight);
            outcome!(case, at, 3, 3, target, BceLoss::new().weight(weight.view::<3>()).on(backend))
        }
        (Loss::BceWithLogits, Target::Probabilities(target)) => {
            let (weight, pos) = (of_element(&case.weight), of_element(&case.pos_weight));
            let loss = BceWithLogitsLoss::new().weight(weight.view::<3>()).pos_weight(pos.view()).on(backend);
            outcome!(case, at, 3, 3, target, loss)
        }
        _ => panic!("no such loss"),
    }
}

fn verify(turn: &mut usize, case: &Case) {
    for backends in arithmetics() {
        let want = run(case, backends[0], CONTIGUOUS);
        want.assert_close(&Reference::of(case), check::LOSS, || format!("{case:?} on {}", backends[0]));
        for &backend in compared(&backends) {
            for at in layouts(turn) {
                run(case, backend, at).assert_same_bits(&want, || format!("{case:?} on {backend} at {at:?}"));
            }
        }
    }
}

fn options(smoothing: f32, ignored: Ignored) -> Options {
    Options { weight: true, ignored, smoothing }
}

#[test]
fn cross_entropy() {
    let (mut random, mut turn) = (Random::new(41), 0);
    for (i, shape) in shapes(&ROWS).enumerate() {
        let cases = [
            classes(&mut random, Loss::CrossEntropy, &shape, options(0.1, Ignored::Default)),
            soft_classes(&mut random, &shape, options(0.1, Ignored::None)),
            classes(&mut random, Loss::CrossEntropy, &shape, Options { ignored: Ignored::Default, ..Options::NONE }),
            classes(&mut random, Loss::CrossEntropy, &shape, options(0.0, Ignored::None)),
        ];
        // Under Miri, one for each shape.
        let (first, count) = if cfg!(miri) { (i % cases.len(), 1) } else { (0, cases.len()) };
        cases.iter().skip(first).take(count).for_each(|case| verify(&mut turn, case));
    }
}

#[test]
fn nll() {
    let (mut random, mut turn) = (Random::new(42), 0);
    for shape in shapes(&ELEMENTS) {
        verify(&mut turn, &classes(&mut random, Loss::Nll, &shape, options(0.0, Ignored::Default)));
        verify(&mut turn, &classes(&mut random, Loss::Nll, &shape, Options::NONE));
    }
}

#[test]
fn binary_losses() {
    let (mut random, mut turn) = (Random::new(43), 0);
    for shape in shapes(&ELEMENTS) {
        verify(&mut turn, &binary(&mut random, Loss::Bce, &shape, true, false));
        verify(&mut turn, &binary(&mut random, Loss::BceWithLogits, &shape, true, true));
    }
}

#[test]
fn kernels() {
    let (mut random, mut turn) = (Random::new(44), 0);
    let map_to = |map: Map, backend, x: &Array<f32>, at| {
        let (x, mut out) = (Laid::new(x, at), Canvas::new(&x.shape, at));
        map.call::<3>(losslanes::kernels::on(backend), x.view(), out.view()).expect("valid");
        out.finish()
    };
    let map_in_place = |map: Map, backend, x: &Array<f32>, at| {
        let mut x = Canvas::holding(x, at);
        map.call_in_place::<3>(losslanes::kernels::on(backend), x.view()).expect("valid");
        x.finish()
    };
    for shape in shapes(&ELEMENTS) {
        let x = Array::from_fn(&shape, |_| random.uniform(-5.0, 5.0));
        let row = Array::new(&[x.data.len()], x.data.clone());
        for backends in arithmetics() {
            for map in Map::all(3) {
                let want = map_to(map, backends[0], &x, CONTIGUOUS);
                check::all_close(&want, &map.reference(&x), check::LOSS, || format!("{map:?}: {x:?}"));
                for &backend in compared(&backends) {
                    for at in layouts(&mut turn) {
                        let what = || format!("{map:?} on {backend} at {at:?}: {x:?}");
                        check::same_bits(&map_to(map, backend, &x, at), &want, what);
                        check::same_bits(&map_in_place(map, backend, &x, at), &want, what);
                    }
                }
            }
            for reduction in Reduction::ALL {
                let want = reduction.run(backends[0], &row, CONTIGUOUS);
                reduction.assert_close(want, &row.data, || format!("{reduction:?}: {row:?}"));
                for &backend in compared(&backends) {
                    for at in layouts(&mut turn) {
                        let got = reduction.run(backend, &row, at);
                        check::same_bits(&[got], &[want], || format!("{reduction:?} on {backend} at {at:?}: {row:?}"));
                    }
                }
            }
        }
    }
}

/// Outputs that lie otherwise in memory than the logits, which are contiguous.
#[test]
fn outputs_in_other_places() {
    const ROWS: usize = if cfg!(miri) { 9 } else { 37 };
    let (mut random, mut turn) = (Random::new(45), 0);
    for classes in [5, 65, 2, 20, 100, 300, 1030].into_iter().take(if cfg!(miri) { 1 } else { usize::MAX }) {
        let shape = [ROWS, classes];
        let x = random.uniforms(ROWS * classes, -5.0, 5.0);
        let x = View::new(&x, shape).expect("valid");
        let labels: Vec<usize> = (0..ROWS).map(|row| row * 7 % classes).collect();
        let labels = View::new(&labels, [ROWS]).expect("valid");
        let mut check = |what: String, call: &dyn Fn(ViewMut<'_, f32, 2>)| {
            let at = |placement| {
                let mut out = Canvas::new(&shape, placement);
                call(out.view());
                out.finish()
            };
            let want = at(CONTIGUOUS);
            for placement in layouts(&mut turn) {
                check::same_bits(&at(placement), &want, || format!("{what} at {placement:?}, {classes} classes"));
            }
        };
        for backend in backends::all() {
            for smoothing in [0.0, 0.1] {
                let loss = CrossEntropyLoss::new().label_smoothing(smoothing).on(backend);
                check(format!("gradient on {backend}"), &|out| {
                    loss.mean_with_grad(x, labels, out).expect("valid");
                });
            }
            let kernels = losslanes::kernels::on(backend);
            check(format!("softmax on {backend}"), &|out| kernels.softmax(x, 1, out).expect("valid"));
            check(format!("log_softmax on {backend}"), &|out| kernels.log_softmax(x, 1, out).expect("valid"));
        }
    }
}
