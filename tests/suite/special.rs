//! NaN, infinities, masked classes, confident rows, and nothing at all.

use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, NllLoss, Total, View, ViewMut, kernels};

use crate::common::{
    array::Array,
    backends,
    case::{Case, Loss, Target},
    check,
    generate::{Options, classes, size},
    random::Random,
};

const INF: f32 = f32::INFINITY;

fn view<T, const D: usize>(data: &[T], shape: [usize; D]) -> View<'_, T, D> {
    View::new(data, shape).expect("a slice of the shape's size")
}

/// The losses of rows of `classes` logits.
fn rows(loss: CrossEntropyLoss<'_>, logits: &[f32], classes: usize, targets: &[i64]) -> Vec<f32> {
    let mut out = vec![0.0; targets.len()];
    let to = ViewMut::new(&mut out, [targets.len()]).expect("a slice of the shape's size");
    loss.none(view(logits, [targets.len(), classes]), view(targets, [targets.len()]), to).expect("valid arguments");
    out
}

fn probabilities(loss: CrossEntropyLoss<'_>, logits: &[f32], targets: &[f32]) -> f32 {
    let shape = [1, logits.len()];
    loss.sum(view(logits, shape), view(targets, shape)).expect("valid arguments")
}

fn for_each_backend(test: impl Fn(Backend)) {
    backends::all().for_each(test);
}

#[test]
fn a_nan_stays_in_its_row() {
    for_each_backend(|backend| {
        let loss = CrossEntropyLoss::new().on(backend);
        for classes in [1, 2, 5, 16, 33, 100, 1500].map(size) {
            for bad in [f32::NAN, -f32::NAN, f32::from_bits(0x7fc0_0001), f32::from_bits(0xff80_0001), INF] {
                let mut logits = vec![0.5; 40 * classes];
                logits[17 * classes + classes / 2] = bad;
                let got = rows(loss, &logits, classes, &[0; 40]);
                let clean = rows(loss, &vec![0.5; classes], classes, &[0]);
                for (row, &x) in got.iter().enumerate() {
                    assert_eq!(x.is_nan(), row == 17, "{backend}: row {row} of {classes} classes, {bad}");
                    assert!(row == 17 || x.to_bits() == clean[0].to_bits());
                }
                // Unless the row is ignored.
                let mut targets = [0; 40];
                targets[17] = -100;
                let got = rows(loss, &logits, classes, &targets);
                assert_eq!(got[17].to_bits(), 0);
                assert!(got.iter().all(|x| x.is_finite()));
            }
        }
    });
}

#[test]
fn a_nan_stays_in_its_element() {
    for_each_backend(|backend| {
        for at in [0, 15, 16, 99] {
            let (mut x, t) = ([0.5; 100], [0.25; 100]);
            x[at] = f32::NAN;
            let (x, t) = (view(&x, [100]), view(&t, [100]));
            let mut out = [0.0; 100];
            BceLoss::new().on(backend).none(x, t, ViewMut::new(&mut out, [100]).expect("100")).expect("valid");
            assert!(out.iter().enumerate().all(|(i, x)| x.is_nan() == (i == at)), "{backend}");
            let loss = BceWithLogitsLoss::new().on(backend);
            loss.none(x, t, ViewMut::new(&mut out, [100]).expect("100")).expect("valid");
            assert!(out.iter().enumerate().all(|(i, x)| x.is_nan() == (i == at)), "{backend}");
        }
    });
}

#[test]
fn masked_classes() {
    for_each_backend(|backend| {
        let loss = CrossEntropyLoss::new().on(backend);
        for classes in [2, 7, 16, 40, 2000].map(size) {
            // One class is left: certain, or masked itself.
            let mut logits = vec![-INF; classes];
            logits[1] = 3.0;
            assert_eq!(rows(loss, &logits, classes, &[1]), [0.0], "{backend}");
            assert_eq!(rows(loss, &logits, classes, &[0]), [INF], "{backend}");
            // Two are left.
            logits[0] = 3.0;
            let got = rows(loss, &logits, classes, &[1])[0];
            assert!((got - std::f32::consts::LN_2).abs() < 1e-6, "{backend}: {got}");
            // Of a smoothing so small that nothing of it is left for each class, nothing is left for these either.
            let smallest = loss.label_smoothing(f32::from_bits(1));
            assert_eq!(rows(smallest, &logits, classes, &[1]), [got], "{backend}");
            // None, in a row alone and in rows that may share vectors.
            for count in [1, 70] {
                let (none, labels) = (vec![-INF; count * classes], vec![0; count]);
                for smoothing in [0.0, 0.1, 1.0] {
                    let got = rows(loss.label_smoothing(smoothing), &none, classes, &labels);
                    assert!(got.iter().all(|x| x.is_nan()), "{backend}: {got:?}");
                }
            }
            let none = vec![-INF; classes];
            for target in [0.0, 1.0] {
                assert!(probabilities(loss, &none, &vec![target; classes]).is_nan(), "{backend}");
                logits[0] = INF;
                assert!(probabilities(loss, &logits, &vec![target; classes]).is_nan(), "{backend}");
            }
        }
        // A whole tile of a long row is masked, before the rest and after it.
        let long = if cfg!(miri) { 60 } else { 6000 };
        for start in [long / 6, long * 2 / 3] {
            let mut logits = vec![-INF; long];
            logits[start..start + 2].fill(7.0);
            let got = rows(loss, &logits, long, &[i64::try_from(start).expect("small") + 1])[0];
            assert!((got - std::f32::consts::LN_2).abs() < 1e-6, "{backend}: {got}");
        }
    });
}

/// A masked class, or one that might as well be, has no probability, and no gradient.
#[test]
fn masked_classes_have_no_part() {
    for_each_backend(|backend| {
        for (classes, mask) in [3, 7, 16, 40, 2000].map(size).into_iter().flat_map(|n| [(n, -INF), (n, -1000.0)]) {
            let mut logits = vec![mask; classes];
            logits[..2].fill(3.0);
            let x = view(&logits, [1, classes]);
            let mut out = vec![f32::NAN; classes];
            let mut write = |run: &dyn Fn(ViewMut<'_, f32, 2>) -> Result<(), Error>| {
                run(ViewMut::new(&mut out, [1, classes]).expect("a row")).expect("valid arguments");
                (out[0], out[1], out[2..].to_vec())
            };
            let zeros = vec![0.0; classes - 2];
            let kernels = kernels::on(backend);
            assert_eq!(write(&|out| kernels.softmax(x, 1, out)), (0.5, 0.5, zeros.clone()), "{backend}");
            let (first, second, masked) = write(&|out| kernels.log_softmax(x, 1, out));
            assert!(first == second && masked.iter().all(|&x| x <= mask), "{backend}: {first}, {second}, {masked:?}");
            let loss = CrossEntropyLoss::new().on(backend);
            let got = write(&|out| loss.sum_with_grad(x, view(&[1_i64], [1]), out).map(drop));
            assert_eq!(got, (0.5, -0.5, zeros.clone()), "{backend}");
            let target = [&[0.0, 1.0], &*zeros].concat();
            let got = write(&|out| loss.sum_with_grad(x, view(&target, [1, classes]), out).map(drop));
            assert_eq!(got, (0.5, -0.5, zeros), "{backend}");
        }
    });
}

/// Short rows that lie in several runs, in reverse, or apart: each as if it were alone, and what lies between is left as it was.
#[test]
fn short_rows_with_gaps() {
    const FREE: f32 = 12.25;
    for_each_backend(|backend| {
        let kernels = kernels::on(backend);
        for (classes, step) in [(1, 1_usize), (1, 2), (2, 2), (2, 3), (3, 3), (5, 5), (5, 6)] {
            for (inner, reversed) in [5, 40].into_iter().flat_map(|inner| [(inner, false), (inner, true)]) {
                let (shape, outer_step) = ([8, inner, classes], inner * step + 3);
                let x: Vec<f32> =
                    (0..8 * outer_step).map(|i| f32::from(u8::try_from(i * 7 % 11).expect("small"))).collect();
                let (offset, sign) = if reversed { ((inner - 1) * step, -1) } else { (0, 1) };
                let strides = [outer_step.cast_signed(), sign * step.cast_signed(), 1];
                let (mut out, mut want) = (vec![FREE; x.len()], vec![FREE; x.len()]);
                let from = View::strided(&x, offset, shape, strides).expect("inside");
                let to = ViewMut::strided(&mut out, offset, shape, strides).expect("inside");
                kernels.softmax(from, 2, to).expect("valid arguments");
                for start in (0..8).flat_map(|i| (0..inner).map(move |j| i * outer_step + j * step)) {
                    let row = start..start + classes;
                    let to = ViewMut::new(&mut want[row.clone()], [1, classes]).expect("a row");
                    kernels.softmax(view(&x[row], [1, classes]), 1, to).expect("valid arguments");
                }
                assert_eq!(out, want, "{backend}: {inner} rows of {classes}, {step} apart, reversed: {reversed}");
            }
        }
    });
}

#[test]
fn zero_times_infinity_is_zero_for_a_target_of_zero() {
    for_each_backend(|backend| {
        let loss = CrossEntropyLoss::new().on(backend);
        let got = probabilities(loss, &[0.0, -INF, 0.0], &[0.5, 0.0, 0.5]);
        assert!((got - std::f32::consts::LN_2).abs() < 1e-6, "{backend}: {got}");
        assert_eq!(probabilities(loss, &[0.0, -INF, 0.0], &[0.5, 0.5, 0.0]), INF, "{backend}");
        assert_eq!(probabilities(loss.label_smoothing(0.1), &[0.0, -INF], &[1.0, 0.0]), INF, "{backend}");
        let binary = |x: f32, t: f32| {
            BceWithLogitsLoss::new().on(backend).sum(view(&[x], [1]), view(&[t], [1])).expect("valid arguments")
        };
        assert_eq!([binary(INF, 1.0), binary(-INF, 0.0)], [0.0, 0.0], "{backend}");
        assert_eq!([binary(INF, 0.0), binary(-INF, 1.0), binary(INF, 0.5)], [INF; 3], "{backend}");
        let bce =
            |p: f32, t: f32| BceLoss::new().on(backend).sum(view(&[p], [1]), view(&[t], [1])).expect("valid arguments");
        assert_eq!([bce(0.0, 0.0), bce(1.0, 1.0), bce(0.0, 1.0), bce(1.0, 0.0)], [0.0, 0.0, 100.0, 100.0], "{backend}");
        assert_eq!([bce(-0.0, 0.0), bce(-0.0, 1.0)], [0.0, 100.0], "{backend}");
    });
}

/// Every other implementation gives 0 from a margin of 17 on.
#[test]
fn confident_predictions_keep_their_digits() {
    for_each_backend(|backend| {
        let loss = CrossEntropyLoss::new().on(backend);
        for margin in 0_u8..=86 {
            for offset in [0.0, -0.0, 1000.0, 10_000.0] {
                let margin = f32::from(margin);
                let exact = (2.0 * f64::from(-margin).exp()).ln_1p();
                let logits = [offset - margin, offset, offset - margin];
                let got = rows(loss, &logits, 3, &[1])[0];
                assert!((f64::from(got) - exact).abs() <= 4e-6 * exact, "{backend}: {got:e} for {exact:e}");
                let one_hot = probabilities(loss, &logits, &[0.0, 1.0, 0.0]);
                assert!((f64::from(one_hot) - exact).abs() <= 4e-6 * exact, "{backend}: {one_hot:e} for {exact:e}");
            }
        }
        // Down to the smallest float.
        let got = rows(loss, &[0.0, 100.0], 2, &[1])[0];
        assert_eq!(got.to_bits(), 27, "{backend}: {got:e} for 3.72e-44");
        let binary = BceWithLogitsLoss::new().on(backend).sum(view(&[-20.0], [1]), view(&[0.0], [1]));
        assert!(binary.is_ok_and(|x| (x - 2.061_153_6e-9).abs() < 1e-15), "{backend}");
    });
}

#[test]
fn nothing() {
    let is_nothing = |total: Total| total.sum().to_bits() == 0 && total.mean().is_nan() && total.denominator() == 0.0;
    for_each_backend(|backend| {
        let loss = CrossEntropyLoss::new().on(backend);
        let no_labels: [i64; 0] = [];
        for shape in [[0, 3], [0, 0]] {
            let got = loss.total(view(&[], shape), view(&no_labels, [0])).expect("valid arguments");
            assert!(is_nothing(got), "{backend}");
        }
        let images = view(&[], [2, 3, 0, 5]);
        assert!(loss.total(images, view(&no_labels, [2, 0, 5])).is_ok_and(is_nothing));
        assert!(loss.total(images, images).is_ok_and(is_nothing));
        assert!(NllLoss::new().on(backend).total(images, view(&no_labels, [2, 0, 5])).is_ok_and(is_nothing));
        assert!(BceLoss::new().on(backend).total(images, images).is_ok_and(is_nothing));
        assert!(BceWithLogitsLoss::new().on(backend).total(images, images).is_ok_and(is_nothing));
        // All ignored.
        let logits = view(&[1.0; 6], [2, 3]);
        assert!(loss.total(logits, view(&[-100, -100], [2])).is_ok_and(is_nothing));
        // Rows without classes, more than four of the widest vectors: no loss, but rows.
        let mut out = [1.0; 70];
        let empty = view::<f32, 2>(&[], [70, 0]);
        loss.none(empty, empty, ViewMut::new(&mut out, [70]).expect("70")).expect("valid");
        assert_eq!(out, [0.0; 70]);
        assert_eq!(loss.mean(empty, empty), Ok(0.0));
        assert!(loss.sum(empty, view(&[0; 70], [70])).is_err());
        assert!(loss.total(empty, view(&[-100; 70], [70])).is_ok_and(is_nothing));
    });
}

/// Rows without classes need no memory, and so there may be more of them than anyone can wait for.
#[test]
fn any_number_of_rows_without_classes() {
    for_each_backend(|backend| {
        let (loss, on) = (CrossEntropyLoss::new().on(backend), kernels::on(backend));
        let shape = [usize::MAX / 2, 0];
        let empty = view::<f32, 2>(&[], shape);
        let total = loss.total(empty, empty).expect("valid");
        assert_eq!(
            (total.sum(), total.mean(), total.denominator()),
            (0.0, 0.0, 2_f32.powi(usize::BITS.cast_signed() - 1))
        );
        let (mut x, mut y) = ([], []);
        let mut nothing = ViewMut::new(&mut x, shape).expect("nothing");
        let mut nowhere = ViewMut::new(&mut y, shape).expect("nothing");
        assert_eq!(loss.sum_with_grad(empty, empty, nothing.reborrow()), Ok(0.0));
        assert_eq!(loss.mean_with_grad_in_place(nothing.reborrow(), empty), Ok(0.0));
        let ones = View::strided(&[1.0], 0, [shape[0]], [0]).expect("a repeated number");
        assert_eq!(loss.target_grad(empty, ones, nothing.reborrow()), Ok(()));
        for axis in [0, 1] {
            assert_eq!(on.softmax(empty, axis, nothing.reborrow()), Ok(()));
            assert_eq!(on.log_softmax_in_place(nowhere.reborrow(), axis), Ok(()));
        }
        // Not even their number need fit.
        let mut nothing = ViewMut::new(&mut x, [usize::MAX, 0, 2]).expect("nothing");
        assert_eq!(on.softmax_in_place(nothing.reborrow(), 1), Ok(()));
        let many = nothing.as_view();
        assert_eq!(loss.total(many, many).map(Total::sum), Err(Error::TooLarge));
    });
}

#[test]
fn one_class_one_row_one_element() {
    for_each_backend(|backend| {
        let loss = CrossEntropyLoss::new().on(backend);
        assert_eq!(loss.mean(view(&[5.0], [1]), view(&[0_u8], [])), Ok(0.0));
        assert_eq!(loss.mean(view(&[-5.0], [1, 1]), view(&[0_u8], [1])), Ok(0.0));
        assert_eq!(loss.mean(view(&[-5.0], [1, 1]), view(&[1.0], [1, 1])), Ok(0.0));
        let scalar = view(&[0.0], []);
        let half = BceWithLogitsLoss::new().on(backend).mean(scalar, view(&[0.5], []));
        assert!(half.is_ok_and(|x| (x - std::f32::consts::LN_2).abs() < 1e-7));
    });
}

/// Subnormal logits are nothing special, and differences of huge ones are exact.
#[test]
fn extreme_logits() {
    for_each_backend(|backend| {
        let loss = CrossEntropyLoss::new().on(backend);
        let tiny = f32::from_bits(1);
        let got = rows(loss, &[tiny, -tiny, 0.0, -0.0], 4, &[2])[0];
        assert!((got - 4_f32.ln()).abs() < 2e-7, "{backend}: {got}");
        assert_eq!(rows(loss, &[f32::MAX, f32::MIN], 2, &[0]), [0.0], "{backend}");
        assert_eq!(rows(loss, &[f32::MAX, f32::MIN], 2, &[1]), [INF], "{backend}");
        let got = rows(loss, &[f32::MAX, f32::MAX], 2, &[1])[0];
        assert!((got - std::f32::consts::LN_2).abs() < 1e-7, "{backend}: {got}");
    });
}

/// Where a class has all of the probability, its gradient is the sum of the other targets: the row's less its own, which is
/// right to the rounding of the row's sum. That of another class has all digits.
#[test]
fn gradients_of_a_certain_class_and_probabilities() {
    let (logits, targets, weight) = ([-18.7, 36.1], [0.010_801_733, 0.907_319_8], [0.137_695_2, 1.174_436_1]);
    let [other, own] = [0, 1].map(|c| f64::from(weight[c]) * f64::from(targets[c]));
    for_each_backend(|backend| {
        let mut grad = [0.0; 2];
        let loss = CrossEntropyLoss::new().weight(&weight).on(backend);
        let to = ViewMut::new(&mut grad, [1, 2]).expect("2");
        loss.sum_with_grad(view(&logits, [1, 2]), view(&targets, [1, 2]), to).expect("valid arguments");
        let [first, second] = grad.map(f64::from);
        assert!((first + other).abs() <= 2e-7 * other, "{backend}: {first}");
        assert!((second - other).abs() <= 2.0 * f64::from(f32::EPSILON) * (own + other), "{backend}: {second}");
    });
}

/// Where rows of several tiles rise: from the height of the first classes by less and by more than a sum of exponentials can
/// take, once or in every tile, with the first classes masked or all alike.
#[test]
fn rows_that_rise() {
    // The last tile has more classes than give a reference, or fewer.
    for classes in [size(2600), size(2200)] {
        assert_rising_rows(classes);
    }
}

fn assert_rising_rows(classes: usize) {
    let mut random = Random::new(61);
    let peaks = [
        &[260][..],
        &[1023],
        &[1024],
        &[1030, 2599],
        // Twice without the target, each almost as much as a float can hold.
        &[400, 1500, 2500],
        &[300, 301, 302, 303, 1500, 1501, 1502, 2400, 2500],
        &[2048],
        &[2100],
    ];
    let rises = [10.0, 27.0, 29.0, 46.7, 47.5, 90.0, 200.0, 1e5];
    let heads = [0, 16, 256, 257, 1024, 1025, 2048];
    // Without optimisation all of them take five minutes: only the one close to the limit, in all layouts.
    let turns = if cfg!(debug_assertions) { 3..4 } else { 0..rises.len() };
    for turn in turns {
        let rise = rises[turn];
        let shape = [peaks.len(), classes];
        let mut logits = Array::from_fn(&shape, |_| random.uniform(-5.0, 0.0));
        let mut labels = Array::filled(&[peaks.len()], 0);
        for (row, (logits, peaks)) in logits.data.chunks_mut(classes).zip(peaks).enumerate() {
            logits[0] = 0.0;
            let masked = heads[(row + turn) % heads.len()];
            logits[..masked.min(classes)].fill(f32::NEG_INFINITY);
            for &peak in peaks {
                logits[peak % classes] = rise + if row % 2 == 0 { 0.0 } else { random.uniform(-1.0, 0.0) };
            }
            // The target is the peak, one of several, or a class behind them all.
            let target = if (row + turn) % 3 == 0 { classes - 2 } else { peaks[0] % classes };
            labels.data[row] = i64::try_from(target).expect("a class");
        }
        let case = Case::plain(Loss::CrossEntropy, logits, Target::Classes(labels));
        case.assert_close(check::LOSS);
        let planes = Array::from_fn(&[1, classes, peaks.len()], |at| {
            case.input.data[at % peaks.len() * classes + at / peaks.len()]
        });
        let Target::Classes(labels) = &case.target else { unreachable!() };
        let labels = Array::new(&[1, peaks.len()], labels.data.clone());
        let in_planes = Case::plain(Loss::CrossEntropy, planes, Target::Classes(labels));
        in_planes.assert_close(check::LOSS);
        // In all layouts where it is close to the limit, and far beyond.
        if turn % 4 == 3 {
            case.assert_same_bits();
            in_planes.assert_same_bits();
        }
    }
}

/// Targets behind the others by less and by more than their logit can be a reference for, next to each other in one group of rows
/// with such as have none: one row in four is far behind, and some are masked, infinite or not a number. With more than half of the
/// label spread over all classes, no target's logit is a reference.
#[test]
fn targets_behind() {
    let mut random = Random::new(63);
    let behind = [20.0, 30.0, 40.0, 44.0, 45.0, 46.0, 46.5, 47.0, 47.5, 48.0, 60.0, 86.0, 100.0, 1e4, 1e38];
    let special = [f32::NEG_INFINITY, f32::NAN, f32::INFINITY];
    for shape in [
        vec![70, 2],
        vec![140, 3],
        vec![70, 10],
        vec![70, 40],
        vec![37, 100],
        vec![20, size(300)],
        vec![20, size(1100)],
        vec![2, 3, 40],
        vec![1, 21, 140],
        vec![1, 65, 70],
        vec![2, size(300), 5],
    ] {
        for (specials, smoothing) in [(false, 0.0), (true, 0.0), (true, 0.1), (true, 0.9)] {
            let options = Options { smoothing, ..Options::NONE };
            let mut case = classes(&mut random, Loss::CrossEntropy, &shape, options);
            let (_, count, inner) = case.input.class_axis();
            let Target::Classes(labels) = &mut case.target else { unreachable!() };
            for (row, label) in labels.data.iter_mut().enumerate() {
                let class = usize::try_from(*label).expect("a class");
                let target = &mut case.input.data[(row / inner * count + class) * inner + row % inner];
                match row % 4 {
                    0 => *target -= behind[row / 4 % behind.len()],
                    1 if specials && row % 3 == 0 => *target = special[row / 12 % special.len()],
                    // Ignored, with any logits.
                    1 if specials => (*target, *label) = (special[row / 8 % special.len()], -100),
                    _ => {}
                }
            }
            case.assert_close(check::LOSS);
            case.assert_same_bits();
        }
    }
}

/// So many classes are far above the target that their sum is out of hand, though none of them is by itself.
#[test]
fn many_classes_far_above() {
    const CLASSES: usize = if cfg!(miri) { 100 } else { 20_000 };
    let mut random = Random::new(65);
    let shape = [3, CLASSES];
    let logits = Array::from_fn(&shape, |at| if at % CLASSES == 7 { 0.0 } else { random.uniform(37.4, 37.8) });
    for smoothing in [0.0, 0.1] {
        let labels = Target::Classes(Array::new(&[3], vec![7, 9, 7]));
        let case = Case { smoothing, ..Case::plain(Loss::CrossEntropy, logits.clone(), labels) };
        case.assert_close(check::LOSS);
        case.assert_same_bits();
    }
}

/// Rows that rise with a weighted sum, which moves along with the maximum: each tile is above the one before.
#[test]
fn weighted_rows_that_rise() {
    const CLASSES: usize = size(2600);
    let mut random = Random::new(62);
    for rise in [1.0, 5.0, 90.0] {
        let shape = [3, CLASSES];
        let logits = Array::from_fn(&shape, |at| {
            let tile = u8::try_from(at % CLASSES / 1024).expect("a few");
            random.uniform(-5.0, 0.0) + rise * f32::from(tile)
        });
        let labels = [0, CLASSES / 2, CLASSES - 1].map(|class| i64::try_from(class).expect("a class"));
        let labels = Target::Classes(Array::new(&[3], labels.to_vec()));
        let shares = Target::Probabilities(Array::from_fn(&shape, |_| random.uniform(0.0, 1e-3)));
        let weight = random.uniforms(CLASSES, 0.25, 2.0);
        for (target, class_weight, smoothing) in [
            (&labels, None, 0.1),
            (&labels, None, 0.6),
            (&labels, Some(&weight), 0.1),
            (&shares, None, 0.1),
            (&shares, Some(&weight), 0.1),
        ] {
            let case = Case::plain(Loss::CrossEntropy, logits.clone(), target.clone());
            Case { smoothing, class_weight: class_weight.cloned(), ..case }.assert_close(check::LOSS);
        }
    }
}

/// A later tile leads by so much that what came before is scaled with less than the smallest normal float, and still is a part of
/// the loss that counts.
#[test]
fn tiles_far_below_the_next() {
    const CLASSES: usize = 1200;
    const LEADER: usize = 1150;
    let case = |lead: f32, peaks: &[(usize, f32)], target: Target| {
        let mut logits = Array::filled(&[1, CLASSES], 0.0);
        logits.data[LEADER] = lead;
        for &(class, peak) in peaks {
            logits.data[class] = peak;
        }
        Case::plain(Loss::CrossEntropy, logits, target)
    };
    let all_of_it = Array::from_fn(&[1, CLASSES], |at| f32::from(u8::from(at == LEADER)));
    for lead in [85.5, 86.0, 87.0, 90.0, 93.0] {
        // By class probabilities, all exponentials are relative to the largest logit.
        let by_probabilities = case(lead, &[], Target::Probabilities(all_of_it.clone()));
        by_probabilities.assert_close(check::LOSS);
        by_probabilities.assert_same_bits();
    }
    for lead in [80.0, 95.0, 100.0, 105.0, 110.0] {
        // By class indices, they are relative to the target: far above all others, or so far below the leader that they are taken again.
        for (target, peaks) in
            [(LEADER, &[(300, 27.0)][..]), (LEADER, &[(300, 27.0), (1100, 28.5)]), (0, &[(300, 27.0)])]
        {
            let label = Array::new(&[1], vec![i64::try_from(target).expect("a class")]);
            let by_class = case(lead, peaks, Target::Classes(label));
            by_class.assert_close(check::LOSS);
            by_class.assert_same_bits();
        }
    }
}

/// A step of the compensated sum overflows in one order of its numbers, and not in the other.
#[test]
fn sums_near_the_largest_float() {
    let logits = Array::new(&[4, 1], vec![8.507_318e37, 104.0, -f32::MAX, 1.0]);
    let case = Case::plain(Loss::Nll, logits, Target::Classes(Array::filled(&[4], 0)));
    case.assert_close(check::LOSS);
    case.assert_same_bits();
}
