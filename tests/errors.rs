//! Every error by its name, with outputs as they were; and views of every rank and of hostile shapes.

use losslanes::{Argument, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, Isa, NllLoss, View, ViewMut, kernels};

mod common;

use common::backends;

/// What an output holds before a call that must not touch it.
const BEFORE: f32 = 12.25;

fn view<T, const D: usize>(data: &[T], shape: [usize; D]) -> View<'_, T, D> {
    View::new(data, shape).expect("a slice of the shape's size")
}

/// Calls `run` with an output of `N` elements and expects this error, and the output as it was.
#[track_caller]
fn refused<const N: usize>(expected: Error, run: impl FnOnce(ViewMut<'_, f32, 1>) -> Result<(), Error>) {
    let mut out = [BEFORE; N];
    let got = run(ViewMut::new(&mut out, [N]).expect("a slice of the shape's size"));
    assert_eq!(got, Err(expected));
    assert_eq!(out.map(f32::to_bits), [BEFORE.to_bits(); N], "{expected}");
    assert!(!expected.to_string().is_empty());
}

#[test]
fn arguments_are_named() {
    use Argument::{Gradient, Input, Output, PosWeight, Target, Upstream, View, Weight};
    let names =
        [View, Input, Target, Output, Gradient, Upstream, Weight, PosWeight].map(|argument| argument.to_string());
    assert_eq!(names, ["view", "input", "target", "output", "gradient", "upstream gradient", "weight", "pos_weight"]);
}

#[test]
fn messages() {
    let argument = Argument::Target;
    let messages = [
        (Error::LengthMismatch { len: 5, expected: 6 }, "the slice has 5 elements, its shape has 6"),
        (Error::OutOfBounds { index: -1, len: 6 }, "the view reaches element -1 of a slice of 6"),
        (Error::TooLarge, "the view has more elements than a usize can count"),
        (Error::Overlap { axis: 1 }, "indices along axis 1 of a mutable view could meet in one element"),
        (Error::RankMismatch { argument, rank: 2, expected: 1 }, "the target has 2 axes, expected 1"),
        (
            Error::ShapeMismatch { argument, axis: 0, len: 3, expected: 2 },
            "axis 0 of the target has length 3, expected 2",
        ),
        (Error::WeightLength { len: 2, classes: 3 }, "2 class weights for 3 classes"),
        (Error::TargetOutOfRange { index: 1, target: -5, classes: 3 }, "target 1 is -5, but there are 3 classes"),
        (Error::LabelSmoothingOutOfRange { value: 1.5 }, "label smoothing is 1.5, expected a value in [0, 1]"),
        (Error::IgnoreIndexWithProbabilities, "an ignore_index was set, but the targets are probabilities"),
        (
            Error::ProbabilityOutOfRange { index: 4, value: -0.5 },
            "element 4 of the input is -0.5, expected a probability in [0, 1]",
        ),
        (Error::AxisOutOfRange { axis: 1, rank: 1 }, "axis 1 of an input with 1 axes"),
    ];
    for (error, message) in messages {
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn length_mismatch() {
    let error = Error::LengthMismatch { len: 5, expected: 6 };
    assert_eq!(View::new(&[0.0; 5], [2, 3]).err(), Some(error));
    assert_eq!(ViewMut::new(&mut [0.0; 5], [2, 3]).err(), Some(error));
}

#[test]
fn out_of_bounds() {
    let data = [0.0; 6];
    let high = Error::OutOfBounds { index: 6, len: 6 };
    assert_eq!(View::strided(&data, 1, [2, 3], [3, 1]).err(), Some(high));
    let low = Error::OutOfBounds { index: -1, len: 6 };
    assert_eq!(View::strided(&data, 4, [2, 3], [-3, -1]).err(), Some(low));
    assert!(View::strided(&data, 5, [2, 3], [-3, -1]).is_ok());
    assert!(View::strided(&data, 6, [1], [1]).is_err());
    assert!(View::strided(&data, usize::MAX, [2], [isize::MAX]).is_err());
    assert!(View::strided(&data, 0, [usize::MAX, 2], [isize::MIN, isize::MAX]).is_err());
    assert!(View::strided(&data, 0, [3], [isize::MIN]).is_err());
    // A reach beyond a machine word, most of which the offset makes up for.
    let far = Error::OutOfBounds { index: usize::MAX as i128 + 4 * isize::MIN as i128, len: 6 };
    assert_eq!(View::strided(&data, usize::MAX, [5], [isize::MIN]).err(), Some(far));
    assert!(View::<f32, 1>::strided(&[], 0, [1], [0]).is_err());
}

#[test]
fn too_large() {
    assert_eq!(View::new(&[0.0; 4], [usize::MAX, 2]).err(), Some(Error::TooLarge));
    assert_eq!(View::strided(&[0.0], 0, [usize::MAX, 2], [0, 0]).err(), Some(Error::TooLarge));
    assert_eq!(view(&[0.0], [1]).broadcast_to([usize::MAX, usize::MAX]).err(), Some(Error::TooLarge));
    // With a 0 it fits, on either side of what overflows.
    for shape in [[usize::MAX, 2, 0], [0, 2, usize::MAX]] {
        assert!(View::<f32, 3>::new(&[], shape).is_ok());
        assert!(View::<f32, 3>::strided(&[], 0, shape, [1; 3]).is_ok());
    }
    // The rows of an empty view may be too many to count.
    let hostile = View::strided(&[0.0], 0, [usize::MAX, 0, 4], [0, 0, 0]).expect("an empty view");
    let targets = View::strided(&[0_u8], 0, [usize::MAX, 1], [0, 0]).expect("a view that repeats");
    assert!(CrossEntropyLoss::new().sum(hostile, targets).is_err());
    let same = View::strided(&[0.0], 0, [usize::MAX, 0, 4], [0, 0, 0]).expect("an empty view");
    assert_eq!(CrossEntropyLoss::new().sum(hostile, same).err(), Some(Error::TooLarge));
}

#[test]
fn overlap() {
    let mut data = [0.0; 40];
    for (shape, strides, axis) in
        [([2, 3], [1, 1], 1), ([2, 3], [0, 1], 0), ([3, 4], [3, 1], 0), ([3, 2], [-1, 2], 1), ([2, 2], [4, -4], 1)]
    {
        let offset = 20;
        let got = ViewMut::strided(&mut data, offset, shape, strides).err();
        assert_eq!(got, Some(Error::Overlap { axis }), "{shape:?} {strides:?}");
    }
    for (shape, strides) in [([3, 4], [4, 1]), ([1, 3], [0, 2]), ([0, 3], [0, 0]), ([2, 3], [-6, 1])] {
        assert!(ViewMut::strided(&mut data, 20, shape, strides).is_ok());
    }
}

#[test]
fn rank_mismatch() {
    let logits = view(&[0.0; 6], [2, 3]);
    let error = |argument, rank, expected| Error::RankMismatch { argument, rank, expected };
    refused::<2>(error(Argument::Target, 2, 1), |out| {
        CrossEntropyLoss::new().none(logits, view(&[0_u8; 2], [2, 1]), out)
    });
    refused::<2>(error(Argument::Target, 1, 2), |out| CrossEntropyLoss::new().none(logits, view(&[0.0; 6], [6]), out));
    refused::<6>(error(Argument::Output, 1, 0), |out| {
        NllLoss::new().none(view(&[0.0; 6], [6]), view(&[0_u8], []), out)
    });
    let none = view(&[0.0], []);
    assert_eq!(CrossEntropyLoss::new().sum(none, view(&[0_u8], [])).err(), Some(error(Argument::Input, 0, 1)));
    assert_eq!(logits.broadcast_to([3]).err(), Some(error(Argument::View, 2, 1)));
}

#[test]
fn shape_mismatch() {
    let error = |argument, axis, len, expected| Error::ShapeMismatch { argument, axis, len, expected };
    let logits = view(&[0.0; 6], [2, 3]);
    refused::<2>(error(Argument::Target, 0, 3, 2), |out| {
        CrossEntropyLoss::new().none(logits, view(&[0_u8; 3], [3]), out)
    });
    refused::<3>(error(Argument::Output, 0, 3, 2), |out| {
        CrossEntropyLoss::new().none(logits, view(&[0_u8; 2], [2]), out)
    });
    refused::<2>(error(Argument::Target, 1, 2, 3), |out| {
        CrossEntropyLoss::new().none(logits, view(&[0.0; 4], [2, 2]), out)
    });
    let (x, short) = (view(&[0.5; 4], [4]), view(&[0.5; 3], [3]));
    refused::<4>(error(Argument::Target, 0, 3, 4), |out| BceLoss::new().none(x, short, out));
    refused::<4>(error(Argument::Weight, 0, 3, 4), |out| BceLoss::new().weight(short).none(x, x, out));
    refused::<4>(error(Argument::PosWeight, 0, 3, 4), |out| BceWithLogitsLoss::new().pos_weight(short).none(x, x, out));
    refused::<3>(error(Argument::Output, 0, 3, 4), |out| BceWithLogitsLoss::new().none(x, x, out));
    refused::<3>(error(Argument::Output, 0, 3, 4), |out| kernels::exp(x, out));
    refused::<3>(error(Argument::Output, 0, 3, 4), |out| kernels::softmax(x, 0, out));
    assert_eq!(short.broadcast_to([2, 4]).err(), Some(error(Argument::View, 0, 3, 4)));
}

#[test]
fn weight_length() {
    let logits = view(&[0.0; 6], [2, 3]);
    let error = Error::WeightLength { len: 2, classes: 3 };
    let targets = view(&[0_u8; 2], [2]);
    refused::<2>(error, |out| CrossEntropyLoss::new().weight(&[1.0; 2]).none(logits, targets, out));
    refused::<2>(error, |out| CrossEntropyLoss::new().weight(&[1.0; 2]).none(logits, logits, out));
    refused::<2>(error, |out| NllLoss::new().weight(&[1.0; 2]).none(logits, targets, out));
}

#[test]
fn target_out_of_range() {
    let logits = view(&[0.0; 6], [2, 3]);
    let error = |target| Error::TargetOutOfRange { index: 1, target, classes: 3 };
    for backend in backends::all() {
        let loss = CrossEntropyLoss::new().on(backend);
        refused::<2>(error(3), |out| loss.none(logits, view(&[0_u8, 3], [2]), out));
        refused::<2>(error(-1), |out| loss.none(logits, view(&[0_i8, -1], [2]), out));
        refused::<2>(error(i128::from(u64::MAX)), |out| loss.none(logits, view(&[0, u64::MAX], [2]), out));
        refused::<2>(error(i128::from(i64::MIN)), |out| loss.none(logits, view(&[0, i64::MIN], [2]), out));
        refused::<2>(error(-100), |out| loss.no_ignore_index().none(logits, view(&[0, -100], [2]), out));
        refused::<2>(error(-100), |out| loss.ignore_index(7).none(logits, view(&[7, -100], [2]), out));
        refused::<2>(error(156), |out| loss.none(logits, view(&[0_u8, 156], [2]), out));
        let nll = NllLoss::new().on(backend);
        refused::<2>(error(3), |out| nll.none(logits, view(&[0, 3], [2]), out));
        refused::<2>(error(-100), |out| nll.no_ignore_index().none(logits, view(&[0, -100], [2]), out));
        refused::<2>(error(-100), |out| nll.ignore_index(7).none(logits, view(&[7, -100], [2]), out));
        assert_eq!(loss.mean(logits, view(&[0, 3], [2])).err(), Some(error(3)));
        // The first of several, in any number of rows.
        let many = [0.0; 3000];
        // No label but -100 itself is ignored, whatever its bits.
        let mut labels = [0_u64; 1000];
        labels[777] = (-100_i64).cast_unsigned();
        let same_bits = Error::TargetOutOfRange { index: 777, target: i128::from(labels[777]), classes: 3 };
        assert_eq!(loss.mean(view(&many, [1000, 3]), view(&labels, [1000])).err(), Some(same_bits));
        let mut labels = [0_i16; 1000];
        (labels[777], labels[778], labels[900]) = (5, 6, 7);
        let first = Error::TargetOutOfRange { index: 777, target: 5, classes: 3 };
        assert_eq!(loss.sum(view(&many, [1000, 3]), view(&labels, [1000])).err(), Some(first), "{backend}");
    }
}

#[test]
fn label_smoothing_out_of_range() {
    let logits = view(&[0.0; 6], [2, 3]);
    for value in [-0.1, 1.1, f32::INFINITY] {
        let loss = CrossEntropyLoss::new().label_smoothing(value);
        refused::<2>(Error::LabelSmoothingOutOfRange { value }, |out| loss.none(logits, view(&[0, 1], [2]), out));
        refused::<2>(Error::LabelSmoothingOutOfRange { value }, |out| loss.none(logits, logits, out));
    }
    let got = CrossEntropyLoss::new().label_smoothing(f32::NAN).sum(logits, logits);
    assert!(matches!(got, Err(Error::LabelSmoothingOutOfRange { value }) if value.is_nan()));
}

#[test]
fn ignore_index_with_probabilities() {
    let logits = view(&[0.0; 6], [2, 3]);
    let loss = CrossEntropyLoss::new().ignore_index(-100);
    refused::<2>(Error::IgnoreIndexWithProbabilities, |out| loss.none(logits, logits, out));
    assert!(loss.no_ignore_index().sum(logits, logits).is_ok());
}

/// The only error that may leave the output partly written.
#[test]
fn probability_out_of_range() {
    let targets = [0.5; 100];
    for backend in backends::all() {
        let loss = BceLoss::new().on(backend);
        for (value, at) in [(-f32::MIN_POSITIVE, 3), (1.000_000_1, 99), (f32::INFINITY, 50), (-1e-45, 0)] {
            let mut input = [0.5; 100];
            (input[at], input[99]) = (value, value);
            let error = Error::ProbabilityOutOfRange { index: at, value };
            let target = view(&targets, [100]);
            assert_eq!(loss.mean(view(&input, [100]), target).err(), Some(error), "{backend}");
            // A gradient is not begun.
            refused::<100>(error, |grad| loss.sum_with_grad(view(&input, [100]), target, grad).map(drop));
            let mut replaced = input;
            let in_place = ViewMut::new(&mut replaced, [100]).expect("100");
            assert_eq!(loss.mean_with_grad_in_place(in_place, target), Err(error), "{backend}");
            assert_eq!(replaced.map(f32::to_bits), input.map(f32::to_bits), "{backend}");
        }
        // One alone, wherever it is in a group of vectors.
        for at in 0..100 {
            let mut input = [0.5; 100];
            input[at] = 1.5;
            let error = Error::ProbabilityOutOfRange { index: at, value: 1.5 };
            assert_eq!(loss.mean(view(&input, [100]), view(&targets, [100])).err(), Some(error), "{backend}");
        }
        let bounds = [0.0, 1.0, -0.0, f32::NAN];
        assert!(loss.sum(view(&bounds, [4]), view(&[0.0; 4], [4])).is_ok_and(f32::is_nan));
    }
}

#[test]
fn axis_out_of_range() {
    let x = view(&[0.0; 4], [4]);
    refused::<4>(Error::AxisOutOfRange { axis: 1, rank: 1 }, |out| kernels::softmax(x, 1, out));
    refused::<4>(Error::AxisOutOfRange { axis: 1, rank: 1 }, |out| kernels::log_softmax_in_place(out, 1));
    let scalar = ViewMut::new(&mut [0.0], []).expect("one element").shape();
    assert_eq!(scalar, []);
}

#[test]
fn views_of_every_rank() {
    fn rank<const D: usize>() {
        let mut data = vec![1.0; 1 << D];
        let (shape, mut strides) = ([2; D], [0_isize; D]);
        for (axis, stride) in strides.iter_mut().enumerate() {
            *stride = -(1 << axis);
        }
        let backwards = View::strided(&data, data.len() - 1, shape, strides).expect("inside of the slice");
        assert_eq!((backwards.shape(), backwards.strides()), (shape, strides));
        let loss = BceWithLogitsLoss::new();
        let forwards = view(&data, shape);
        assert_eq!(loss.sum(backwards, backwards), loss.sum(forwards, forwards));
        let last = data.len() - 1;
        let mut out = ViewMut::strided(&mut data, last, shape, strides).expect("disjoint");
        assert_eq!((out.shape(), out.strides()), (shape, strides));
        assert_eq!(
            kernels::on(losslanes::Backend::SCALAR)
                .exp(out.as_view(), ViewMut::new(&mut vec![0.0; last + 1], shape).expect("a slice")),
            Ok(())
        );
        kernels::exp_in_place(out.reborrow());
        assert!(data.iter().all(|x| (x - 1_f32.exp()).abs() < 1e-6));
    }
    rank::<0>();
    rank::<1>();
    rank::<2>();
    rank::<3>();
    rank::<4>();
    rank::<5>();
    rank::<6>();
    rank::<7>();
}

/// A set of instructions that is not here is told, not passed over.
#[test]
fn missing_backends_are_reported() {
    let missing: Vec<Isa> = backends::missing().collect();
    assert!(backends::all().all(|backend| !missing.contains(&backend.isa())));
    assert!(!missing.contains(&Isa::Scalar));
}
