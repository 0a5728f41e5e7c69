//! Every backend of one arithmetic, in every layout, gives the same bits.

use crate::common::{
    array::Array,
    backends,
    case::{Case, Loss, Setting},
    check,
    generate::{
        CLASSES, Ignored, Options, ROWS, binary, class_shapes_for_layouts, classes, size, soft_classes,
        weights_of_classes,
    },
    kernels,
    random::Random,
};
use losslanes::{Backend, CrossEntropyLoss, Isa, Total, View, ViewMut};

const OPTIONS: Options = Options { weight: true, ignored: Ignored::Default, smoothing: 0.1 };

/// Without weights, smoothing goes another way. So much of it that the bits of what it adds show in those of the loss.
const SMOOTHED: Options = Options { weight: false, smoothing: 0.5, ..OPTIONS };

/// Shapes with one long axis. Every layout takes its time, so a very long one stands alone.
fn shapes(len: usize) -> Vec<Vec<usize>> {
    let len = size(len);
    if len > 100 { vec![vec![len]] } else { vec![vec![len], vec![3, len], vec![2, len, 3], vec![2, 1, len, 2]] }
}

#[test]
fn losses_over_classes() {
    let mut random = Random::new(11);
    for count in CLASSES {
        for shape in class_shapes_for_layouts(count) {
            for options in [Options::NONE, OPTIONS, SMOOTHED] {
                classes(&mut random, Loss::CrossEntropy, &shape, options).assert_same_bits();
            }
            classes(&mut random, Loss::Nll, &shape, Options { smoothing: 0.0, ..OPTIONS }).assert_same_bits();
            soft_classes(&mut random, &shape, Options { ignored: Ignored::None, ..OPTIONS }).assert_same_bits();
        }
    }
}

#[test]
fn losses_over_rows() {
    let mut random = Random::new(12);
    for rows in ROWS {
        for shape in [vec![rows, 2], vec![rows, 3], vec![1, 5, rows], vec![2, 3, rows, 1]] {
            classes(&mut random, Loss::CrossEntropy, &shape, OPTIONS).assert_same_bits();
            classes(&mut random, Loss::CrossEntropy, &shape, SMOOTHED).assert_same_bits();
            classes(&mut random, Loss::Nll, &shape, Options { smoothing: 0.0, ..OPTIONS }).assert_same_bits();
            soft_classes(&mut random, &shape, Options::NONE).assert_same_bits();
        }
    }
}

#[test]
fn binary_losses() {
    let mut random = Random::new(13);
    for len in CLASSES.into_iter().chain(ROWS).chain([4096, 4097]) {
        for shape in shapes(len) {
            for loss in [Loss::Bce, Loss::BceWithLogits] {
                binary(&mut random, loss, &shape, false, false).assert_same_bits();
                binary(&mut random, loss, &shape, true, true).assert_same_bits();
            }
        }
    }
}

/// Many pixels of more classes than fit the cache's share of four vectors, or of one.
#[test]
fn losses_over_deep_planes() {
    let mut random = Random::new(18);
    for classes_in_planes in [64, 65, 100, 200, 257] {
        let shape = [1, classes_in_planes, 70];
        for options in [Options::NONE, OPTIONS, SMOOTHED] {
            classes(&mut random, Loss::CrossEntropy, &shape, options).assert_same_bits();
        }
        kernels::assert_same_bits(&Array::from_fn(&shape, |_| random.uniform(-20.0, 20.0)));
    }
}

/// Rows that are long enough for a lane to each class and short enough to be taken side by side, and the first that are not.
#[test]
fn losses_over_rows_side_by_side() {
    let mut random = Random::new(19);
    for shape in [[70, 64], [70, 65], [37, 100], [20, size(255)], [20, size(256)], [20, size(257)], [20, size(513)]] {
        for options in [Options::NONE, OPTIONS, SMOOTHED] {
            classes(&mut random, Loss::CrossEntropy, &shape, options).assert_same_bits();
        }
        kernels::assert_same_bits(&Array::from_fn(&shape, |_| random.uniform(-20.0, 20.0)));
    }
}

/// Logits of every size, in rows where the maximum comes early or late.
#[test]
fn wide_logits() {
    let mut random = Random::new(14);
    for shape in [vec![40, 7], vec![20, 33], vec![3, size(1100)], vec![1, 40, 17]] {
        for scale in [1e-3, 10.0, 1e4, 1e38] {
            for options in [OPTIONS, SMOOTHED] {
                let mut case = classes(&mut random, Loss::CrossEntropy, &shape, options);
                case.input = case.input.map(|_| random.uniform(-scale, scale));
                case.assert_same_bits();
            }
        }
    }
}

#[test]
fn merged_totals() {
    let mut random = Random::new(15);
    let parts = [1, 16, 1000, 5000, 0, 3].map(size).map(|rows| {
        let options = Options { smoothing: 0.0, ..OPTIONS };
        classes(&mut random, Loss::CrossEntropy, &[rows, 5], options)
    });
    for backends in backends::by_arithmetic() {
        let totals = backends.into_iter().map(|backend| {
            let total = |case: &Case| case.run(&Setting::on(backend)).expect("a valid case").total;
            format!("{:?}", parts.iter().map(total).fold(Total::default(), Total::merge))
        });
        let totals: Vec<String> = totals.collect();
        assert!(totals.iter().all(|total| *total == totals[0]), "{totals:?}");
    }
}

/// A long batch is summed in tiles of 1024 rows, or of fewer with some 65536 logits: their totals, merged in order, have the bits
/// of the whole.
#[test]
fn totals_of_tiles() {
    let mut random = Random::new(21);
    let shapes = [(2, 1024), (64, 1024), (65, 1024), (127, 1024), (128, 512), (1000, 128), (4096, 16), (4097, 1)];
    for (count, tile) in shapes {
        let len = 2 * tile + 3;
        let logits: Vec<f32> = (0..len * count).map(|_| random.uniform(-20.0, 20.0)).collect();
        let labels: Vec<usize> = (0..len).map(|_| random.below(count)).collect();
        for backend in backends::all() {
            let total = |rows: std::ops::Range<usize>| {
                let shape = [rows.len(), count];
                let logits = View::new(&logits[rows.start * count..rows.end * count], shape).expect("rows");
                let labels = View::new(&labels[rows], [shape[0]]).expect("labels");
                CrossEntropyLoss::new().on(backend).total(logits, labels).expect("valid")
            };
            let tiles = (0..len).step_by(tile).map(|start| total(start..len.min(start + tile)));
            let merged = tiles.fold(Total::default(), Total::merge);
            assert_eq!(format!("{:?}", total(0..len)), format!("{merged:?}"), "{count} classes on {backend}");
        }
    }
}

/// Rows that overlap, as windows that slide along a series: as if each had numbers of its own.
#[test]
fn overlapping_rows() {
    const ROWS: usize = 70;
    let mut random = Random::new(20);
    let series: Vec<f32> = (0..400).map(|_| random.uniform(-20.0, 20.0)).collect();
    for (classes, step) in [(2, 1), (3, 2), (5, 2), (20, 3), (70, 1)] {
        let windows: Vec<f32> = (0..ROWS).flat_map(|row| &series[row * step..][..classes]).copied().collect();
        let labels: Vec<u8> = (0..ROWS).map(|row| (row % classes) as u8).collect();
        let shape = [ROWS, classes];
        for backend in backends::all() {
            let run = |x: View<'_, f32, 2>| {
                let mut results = vec![0.0; ROWS * classes];
                let labels = View::new(&labels, [ROWS]).expect("a label for each row");
                let gradient = ViewMut::new(&mut results, shape).expect("one for each logit");
                let loss = CrossEntropyLoss::new().on(backend).sum_with_grad(x, labels, gradient);
                results.push(loss.expect("valid labels"));
                results
            };
            let overlapping = View::strided(&series, 0, shape, [step.cast_signed(), 1]).expect("inside of the series");
            let apart = View::new(&windows, shape).expect("all windows");
            check::same_bits(&run(overlapping), &run(apart), || format!("{backend}: {classes} classes, step {step}"));
        }
    }
}

#[test]
fn all_kernels() {
    let mut random = Random::new(16);
    for len in CLASSES.into_iter().chain(ROWS) {
        for shape in shapes(len) {
            let x = Array::from_fn(&shape, |_| random.uniform(-20.0, 20.0));
            kernels::assert_same_bits(&x);
        }
    }
}

/// Bit patterns of every kind, with NaN, infinities and subnormals.
#[test]
fn kernels_of_any_bits() {
    let mut random = Random::new(17);
    kernels::assert_same_bits(&Array::from_fn(&[size(3000)], |_| f32::from_bits(random.next() as u32)));
    kernels::assert_same_bits(&Array::from_fn(&[50, 3], |_| f32::from_bits(random.next() as u32)));
}

#[test]
fn binary_losses_with_weights_of_classes() {
    for case in weights_of_classes(&mut Random::new(18)) {
        case.assert_same_bits();
    }
}

/// More runs than fit a copy of some elements, and runs that go on from one copy to the next.
#[test]
fn many_short_runs() {
    let mut random = Random::new(19);
    for shape in [vec![size(700), 3], vec![size(60), 40], vec![7, 2, size(130)], vec![3, 5, 11, 7]] {
        for loss in [Loss::Bce, Loss::BceWithLogits] {
            binary(&mut random, loss, &shape, false, false).assert_same_bits();
            binary(&mut random, loss, &shape, true, true).assert_same_bits();
        }
        kernels::assert_same_bits(&Array::from_fn(&shape, |_| random.uniform(-20.0, 20.0)));
    }
}

/// What `portable` gives is one of the backends of that arithmetic, on the same instructions.
#[test]
fn portable_backends() {
    for backend in Backend::available() {
        let portable = backend.portable();
        assert!(Backend::available().any(|available| available == portable), "{portable}");
        assert_eq!((portable.isa(), portable.is_fused()), (backend.isa(), false));
    }
    assert_eq!(Backend::INTEGER.portable(), Backend::SCALAR);
    assert_eq!((Backend::INTEGER.isa(), Backend::INTEGER.to_string()), (Isa::Integer, "integer".into()));
    assert_eq!(format!("{:?}", Backend::SCALAR), "scalar (portable)");
}

/// The widest set of instructions is detected, in the fused arithmetic where it has that.
#[test]
fn detected_backend() {
    assert_eq!(Backend::available().last(), Some(Backend::detect()));
    for backend in backends::all().filter(|backend| matches!(backend.isa(), Isa::Avx2 | Isa::Avx512)) {
        let arithmetics = backends::all().filter(|other| other.isa() == backend.isa());
        assert!(arithmetics.map(Backend::is_fused).eq([false, true]), "{backend}");
    }
    assert!(backends::all().all(|backend| backend.to_string().contains("fused") == backend.is_fused()));
}
