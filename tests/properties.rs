//! Properties of random views: whatever the layout, a loss is that of the same numbers in a row.

use approx::assert_relative_eq;
use losslanes::{BceWithLogitsLoss, CrossEntropyLoss, View, ViewMut, kernels};
use proptest::{collection::vec, prelude::*};

/// A view of rank 2 into a buffer: what a person needs to see when a case fails.
#[derive(Clone, Debug)]
struct Layout {
    shape: [usize; 2],
    strides: [isize; 2],
    offset: usize,
    data: Vec<f32>,
}

impl Layout {
    fn view(&self) -> View<'_, f32, 2> {
        View::strided(&self.data, self.offset, self.shape, self.strides).expect("inside of the buffer")
    }

    fn at(&self, row: usize, class: usize) -> f32 {
        let [rows, classes] = self.strides;
        let at = row.cast_signed() * rows + class.cast_signed() * classes;
        self.data[self.offset.checked_add_signed(at).expect("inside of the buffer")]
    }

    /// The same numbers, row-major.
    fn packed(&self) -> Vec<f32> {
        let [rows, classes] = self.shape;
        (0..rows).flat_map(|row| (0..classes).map(move |class| self.at(row, class))).collect()
    }
}

/// Any strides from -40 to 40, overlapping and repeating ones too, and a buffer that just holds them.
fn layouts() -> impl Strategy<Value = Layout> {
    ([1_usize..70, 1_usize..70], [-40_isize..=40, -40_isize..=40], 0_usize..4).prop_flat_map(
        |(shape, strides, margin)| {
            let reach = |axis: usize| (shape[axis] - 1) * strides[axis].unsigned_abs();
            let backwards = |axis: usize| if strides[axis] < 0 { reach(axis) } else { 0 };
            let offset = margin + backwards(0) + backwards(1);
            let len = 2 * margin + reach(0) + reach(1) + 1;
            vec(-20.0_f32..20.0, len).prop_map(move |data| Layout { shape, strides, offset, data })
        },
    )
}

proptest! {
    #[test]
    fn cross_entropy_of_any_layout(layout in layouts(), seed in any::<u16>()) {
        let [rows, classes] = layout.shape;
        let labels: Vec<usize> = (0..rows).map(|row| (row * 7 + usize::from(seed)) % classes).collect();
        let labels = View::new(&labels, [rows]).expect("one label a row");
        let packed = layout.packed();
        let contiguous = View::new(&packed, layout.shape).expect("row-major");
        let loss = CrossEntropyLoss::new();
        let (mut strided, mut plain) = (vec![0.0; rows], vec![0.0; rows]);
        loss.none(layout.view(), labels, ViewMut::new(&mut strided, [rows]).expect("one loss a row")).expect("valid");
        loss.none(contiguous, labels, ViewMut::new(&mut plain, [rows]).expect("one loss a row")).expect("valid");
        prop_assert_eq!(&strided, &plain);
        let sum: f64 = plain.iter().map(|&x| f64::from(x)).sum();
        assert_relative_eq!(f64::from(loss.sum(layout.view(), labels).expect("valid")), sum, max_relative = 1.2e-7);
        // Without weights no loss is negative.
        prop_assert!(plain.iter().all(|&x| x >= 0.0));
    }

    #[test]
    fn softmax_of_any_layout_adds_up_to_one(layout in layouts()) {
        let [rows, classes] = layout.shape;
        let mut out = vec![0.0; rows * classes];
        kernels::softmax(layout.view(), 1, ViewMut::new(&mut out, layout.shape).expect("row-major")).expect("valid");
        for row in out.chunks(classes) {
            assert_relative_eq!(row.iter().map(|&x| f64::from(x)).sum::<f64>(), 1.0, max_relative = 2e-6);
        }
    }

    #[test]
    fn binary_losses_of_any_layout(layout in layouts(), target in 0.0_f32..=1.0) {
        let packed = layout.packed();
        let contiguous = View::new(&packed, layout.shape).expect("row-major");
        let target = [target];
        let targets = View::new(&target, [1, 1]).and_then(|view| view.broadcast_to(layout.shape)).expect("repeats");
        let loss = BceWithLogitsLoss::new();
        let got = loss.total(layout.view(), targets).expect("valid");
        prop_assert_eq!(got, loss.total(contiguous, targets).expect("valid"));
        prop_assert!(got.sum() >= 0.0);
    }

    /// A mutable view is refused exactly where two of its indices meet or one lies outside, or, to be simple, where the
    /// sorted strides leave no room.
    #[test]
    fn mutable_views_never_alias(shape in [1_usize..5, 1_usize..5, 1_usize..5], strides in [-20_isize..=20, -20_isize..=20, -20_isize..=20]) {
        let mut data = vec![0.0_f32; 400];
        if let Ok(view) = ViewMut::strided(&mut data, 200, shape, strides) {
            kernels::exp_in_place(view);
            // Each element was 0 and is 1 exactly once: e^1 would show a second visit.
            prop_assert_eq!(data.iter().filter(|&&x| x == 1.0).count(), shape.iter().product::<usize>());
            prop_assert!(data.iter().all(|&x| x == 0.0 || x == 1.0));
        }
    }
}
