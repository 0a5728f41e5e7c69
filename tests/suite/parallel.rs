//! With any number of threads, the bits of one: every loss, gradient and kernel, in every layout.

use crate::common::{
    array::Array,
    backends,
    case::{Case, Loss, Setting},
    check,
    generate::{Ignored, Options, binary, classes, soft_classes, weights_of_classes},
    kernels::Map,
    layouts::{CONTIGUOUS, Canvas, Laid, PLACEMENTS, Placement},
    random::Random,
};
use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, NllLoss, View, ViewMut};
use rayon::{ThreadPool, ThreadPoolBuilder};

const OPTIONS: Options = Options { weight: true, ignored: Ignored::Default, smoothing: 0.1 };

/// Pools of 1, 2, 3 and 8 threads.
fn pools() -> [ThreadPool; 4] {
    [1, 2, 3, 8].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("some threads"))
}

/// The widest backend of each arithmetic. That the others give the same bits is known from elsewhere.
fn widest() -> impl Iterator<Item = Backend> {
    backends::by_arithmetic().filter_map(|backends| backends.last().copied())
}

/// With the first layout, which is contiguous, every pool; with each other one of them, by turns.
fn of_layout(pools: &[ThreadPool], number: usize) -> &[ThreadPool] {
    let turn = number % pools.len();
    if number == 0 { pools } else { &pools[turn..=turn] }
}

/// Compares all reductions and gradients, in every layout, with those of one thread.
#[track_caller]
fn assert_same_bits(pools: &[ThreadPool], case: &Case) {
    for backend in widest() {
        let want = case.run(&Setting::on(backend)).expect("a valid case");
        for (number, setting) in layouts(backend.parallel()).enumerate() {
            for pool in of_layout(pools, number) {
                let got = pool.install(|| case.run(&setting)).expect("a valid case");
                got.assert_same_bits(&want, || format!("{case:?}, {setting:?} in {pool:?}"));
            }
        }
    }
}

/// Every layout of the test suite, all arrays with gaps, and rows in their order with their classes in reverse.
fn layouts(backend: Backend) -> impl Iterator<Item = Setting> {
    let others = [Placement { gap: 5, ..CONTIGUOUS }, Placement { reversed: 0b10, ..CONTIGUOUS }];
    let others = others.map(|at| Setting { input: at, target: at, out: at, ..Setting::on(backend) });
    Setting::layouts(backend).chain(others).map(|setting| Setting { reductions: false, ..setting })
}

/// More than one tile, and a last one that is not whole; for classes on the last axis, in planes, and in planes in
/// which no tile ends where an image does.
#[test]
fn losses_over_classes() {
    let (mut random, pools) = (Random::new(21), pools());
    for shape in
        [vec![2500, 3], vec![300, 1000], vec![5, 5000], vec![2, 3, 40, 64], vec![3, 5, 700], vec![2, 70, 3, 500]]
    {
        assert_same_bits(&pools, &classes(&mut random, Loss::CrossEntropy, &shape, Options::NONE));
        assert_same_bits(&pools, &classes(&mut random, Loss::CrossEntropy, &shape, OPTIONS));
        assert_same_bits(&pools, &classes(&mut random, Loss::Nll, &shape, Options { smoothing: 0.0, ..OPTIONS }));
        assert_same_bits(&pools, &soft_classes(&mut random, &shape, Options { ignored: Ignored::None, ..OPTIONS }));
    }
}

#[test]
fn binary_losses() {
    let (mut random, pools) = (Random::new(22), pools());
    for shape in [vec![4096], vec![4097], vec![20_000], vec![3, 50, 70]] {
        for loss in [Loss::Bce, Loss::BceWithLogits] {
            assert_same_bits(&pools, &binary(&mut random, loss, &shape, false, false));
            assert_same_bits(&pools, &binary(&mut random, loss, &shape, true, true));
        }
    }
}

#[test]
fn binary_losses_with_weights_of_classes() {
    let pools = pools();
    for case in weights_of_classes(&mut Random::new(26)) {
        assert_same_bits(&pools, &case);
    }
}

#[test]
fn parallel_backends() {
    for backend in backends::all() {
        let parallel = backend.parallel();
        assert_eq!((backend.is_parallel(), parallel.is_parallel()), (false, true));
        assert_eq!(parallel.to_string(), format!("{backend}, parallel"));
        assert_eq!(parallel.portable(), backend.portable().parallel());
    }
}

/// No tile, and one.
#[test]
fn small_batches() {
    let (mut random, pools) = (Random::new(23), pools());
    for shape in [vec![7], vec![0, 3], vec![1, 3], vec![2, 3, 5], vec![2, 0, 3]] {
        assert_same_bits(&pools, &binary(&mut random, Loss::BceWithLogits, &shape, true, true));
        if !shape.contains(&0) {
            assert_same_bits(&pools, &classes(&mut random, Loss::CrossEntropy, &shape, OPTIONS));
        }
    }
}

#[test]
fn derivatives() {
    let (mut random, pools) = (Random::new(24), pools());
    for shape in [[3, 5, 700], [2500, 3, 1]] {
        let logits = Array::from_fn(&shape, |_| random.uniform(-5.0, 5.0));
        let upstream = Array::from_fn(&[shape[0], shape[2]], |_| random.uniform(-1.0, 1.0));
        let run = |backend: Backend, at: Placement| {
            let (logits, upstream) = (Laid::new(&logits, CONTIGUOUS), Laid::new(&upstream, CONTIGUOUS));
            let (logits, upstream) = (logits.view::<3>(), upstream.view::<2>());
            let [mut rows, mut elements] = [0; 2].map(|_| Canvas::new(&shape, at));
            let (by_rows, by_elements) = (CrossEntropyLoss::new().on(backend), BceWithLogitsLoss::new().on(backend));
            by_rows.target_grad(logits, upstream, rows.view()).expect("valid arguments");
            by_elements.hessian(logits, logits, elements.view::<3>()).expect("valid arguments");
            [rows.finish(), elements.finish()].concat()
        };
        for backend in widest() {
            let want = run(backend, CONTIGUOUS);
            for (number, at) in PLACEMENTS.into_iter().enumerate() {
                for pool in of_layout(&pools, number) {
                    let got = pool.install(|| run(backend.parallel(), at));
                    check::same_bits(&got, &want, || format!("{shape:?} on {backend} at {at:?} in {pool:?}"));
                }
            }
        }
    }
}

#[test]
fn kernels() {
    let (mut random, pools) = (Random::new(25), pools());
    for shape in [vec![20_000], vec![2500, 3], vec![300, 1000], vec![2, 3, 40, 64], vec![3, 5, 700]] {
        let x = Array::from_fn(&shape, |_| random.uniform(-20.0, 20.0));
        for (backend, map) in widest().flat_map(|backend| Map::all(shape.len()).map(move |map| (backend, map))) {
            let want = map.run(backend, &x, CONTIGUOUS, CONTIGUOUS);
            for (i, from) in PLACEMENTS.into_iter().enumerate() {
                let to = PLACEMENTS[i * 4 % PLACEMENTS.len()];
                for pool in of_layout(&pools, i) {
                    let what = || format!("{map:?} on {backend} from {from:?} to {to:?} in {pool:?}: {x:?}");
                    let backend = backend.parallel();
                    check::same_bits(&pool.install(|| map.run(backend, &x, from, to)), &want, what);
                    let in_place = pool.install(|| map.run_in_place(backend, &x, from));
                    check::same_bits(&in_place, &want, || format!("in place, {}", what()));
                }
            }
        }
    }
}

/// What an output holds before a call that must not touch it.
const BEFORE: f32 = 12.25;

/// Several tiles have an error: the first one counts, and nothing is written.
#[test]
fn errors() {
    const ROWS: usize = 5000;
    let logits = vec![0.5; ROWS * 3];
    let mut labels = vec![1_i64; ROWS];
    for row in [1500, 2600, 4999] {
        labels[row] = 3;
    }
    let expected = Some(Error::TargetOutOfRange { index: 1500, target: 3, classes: 3 });
    let (x, targets) = (View::new(&logits, [ROWS, 3]).expect("valid"), View::new(&labels, [ROWS]).expect("valid"));
    let ones = View::strided(&[1.0], 0, [ROWS], [0]).expect("valid");
    let backend = Backend::detect().parallel();
    let (ce, nll) = (CrossEntropyLoss::new().on(backend), NllLoss::new().on(backend));

    let mut probabilities = vec![0.5; ROWS * 3];
    // Two in each tile, of which neither may undo the other.
    for element in [4500, 4501, 9000, 9001] {
        probabilities[element] = 1.5;
    }
    let p = View::new(&probabilities, [ROWS * 3]).expect("valid");
    let refused = Some(Error::ProbabilityOutOfRange { index: 4500, value: 1.5 });
    let bce = BceLoss::new().on(backend);

    for pool in pools() {
        pool.install(|| {
            assert_eq!(ce.sum(x, targets).err(), expected);
            assert_eq!(nll.total(x, targets).err(), expected);
            let (mut out_data, mut grad_data) = (vec![BEFORE; ROWS], vec![BEFORE; ROWS * 3]);
            let mut out = ViewMut::new(&mut out_data, [ROWS]).expect("valid");
            let mut grad = ViewMut::new(&mut grad_data, [ROWS, 3]).expect("valid");
            assert_eq!(ce.none(x, targets, out.reborrow()).err(), expected);
            assert_eq!(ce.mean_with_grad(x, targets, grad.reborrow()).err(), expected);
            assert_eq!(nll.sum_with_grad_in_place(grad.reborrow(), targets).err(), expected);
            let done = ce.none_with_grad(x, targets, ones, out.reborrow(), grad.reborrow());
            assert_eq!(done.err(), expected);

            assert_eq!(bce.mean(p, p).err(), refused);
            let grad = ViewMut::new(&mut grad_data, [ROWS * 3]).expect("valid");
            assert_eq!(bce.mean_with_grad(p, p, grad).err(), refused);
            let grad = ViewMut::new(&mut grad_data, [ROWS * 3]).expect("valid");
            let same = View::strided(&[1.5], 0, [ROWS * 3], [0]).expect("valid");
            let first = Some(Error::ProbabilityOutOfRange { index: 0, value: 1.5 });
            assert_eq!(bce.mean_with_grad(same, p, grad).err(), first);
            assert!(out_data.iter().chain(&grad_data).all(|&x| x == BEFORE));
            // Every second element, so that the inputs are not one slice.
            let mut memory: Vec<f32> = probabilities.iter().flat_map(|&p| [p, BEFORE]).collect();
            let before = memory.clone();
            let input = ViewMut::strided(&mut memory, 0, [ROWS * 3], [2]).expect("valid");
            assert_eq!(bce.sum_with_grad_in_place(input, p).err(), refused);
            assert_eq!(memory, before);
        });
    }
}
