//! The data of the cases: the same in every run.

use core::ops::{Deref, DerefMut};

use super::{Bench, Case, Function, Layout, Work};

/// Numbers that start with a line of the cache, as those of most libraries do.
#[derive(Default)]
pub(crate) struct Aligned {
    numbers: Vec<f32>,
    start: usize,
}

impl Aligned {
    pub(crate) fn new(x: &[f32]) -> Self {
        const LINE: usize = 64;
        let mut numbers: Vec<f32> = Vec::with_capacity(x.len() + LINE);
        let start = numbers.as_ptr().align_offset(LINE);
        numbers.resize(start, 0.0);
        numbers.extend_from_slice(x);
        Self { numbers, start }
    }

    /// Without any numbers, to append others.
    pub(crate) fn cleared(&mut self) -> &mut Vec<f32> {
        self.numbers.truncate(self.start);
        &mut self.numbers
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[self.start..]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.start..]
    }
}

/// Sebastiano Vigna's `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0 and below 1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit")]
    fn uniform(&mut self) -> f32 {
        ((self.next() >> 41) as f32 + 0.5) / 8_388_608.0
    }

    /// Two numbers of the standard normal distribution.
    fn normal(&mut self) -> [f32; 2] {
        let (sin, cos) = (core::f32::consts::TAU * self.uniform()).sin_cos();
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        [radius * cos, radius * sin]
    }

    #[expect(clippy::cast_possible_truncation, reason = "below `end`")]
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

pub(super) fn bench(case: Case) -> Bench {
    let mut random = Random(case.elements() as u64);
    let [_, c, h, w] = case.shape;
    let (strides, len) = layout(case);

    // Logits are N(0, 1) * 3, or so far apart that most targets are too far behind to be what their rows are relative to.
    let spread = if case.name.starts_with("ce_behind") { 100.0 } else { 3.0 };
    let mut x: Vec<f32> = (0..len.div_ceil(2)).flat_map(|_| random.normal()).map(|x| spread * x).collect();
    x.truncate(len);
    let mut targets = Vec::new();
    let mut weight = Vec::new();
    match case.work {
        Work::Classes { weight: true, .. } => weight = (0..c).map(|_| 0.5 + random.uniform()).collect(),
        Work::Classes { .. } | Work::ClassesIgnored | Work::ClassesEach | Work::ClassesGrad | Work::Softmax { .. } => {}
        Work::Probabilities => {
            assert!(matches!(case.layout, Layout::RowMajor) && h * w == 1, "the rows are normalised in place");
            targets = (0..len).map(|_| random.uniform()).collect();
            for row in targets.chunks_exact_mut(c) {
                let sum: f32 = row.iter().sum();
                row.iter_mut().for_each(|t| *t /= sum);
            }
        }
        Work::BceWithLogits { .. } | Work::BceWithLogitsRows | Work::BceWithLogitsEach | Work::BceWithLogitsGrad => {
            targets = (0..len).map(|_| random.uniform().round()).collect();
            let weights = if case.work == Work::BceWithLogitsRows { case.rows() } else { c };
            weight = (0..weights).map(|_| 0.5 + random.uniform()).collect();
        }
        Work::Bce | Work::BceGrad => {
            x.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
            targets = (0..len).map(|_| random.uniform().round()).collect();
        }
        Work::Map(Function::Ln) => x.iter_mut().for_each(|x| *x = x.exp()),
        Work::Map(_) => {}
        Work::Reduce(_) => weight = vec![x.iter().copied().fold(f32::NEG_INFINITY, f32::max)],
    }
    let ignored = |row: usize| case.work == Work::ClassesIgnored && row.is_multiple_of(7);
    let mut class = |row| if ignored(row) { -100 } else { i64::try_from(random.below(c)).expect("a class") };
    let classes = (0..case.rows()).map(&mut class).collect();
    let results = match case.work {
        Work::Map(_) | Work::Softmax { .. } | Work::BceWithLogitsEach => case.elements(),
        Work::ClassesGrad | Work::BceWithLogitsGrad | Work::BceGrad => case.elements() + 1,
        Work::ClassesEach => case.rows(),
        _ => 1,
    };
    Bench {
        case,
        x: Aligned::new(&x),
        strides,
        classes,
        targets: Aligned::new(&targets),
        weight,
        out: Aligned::new(&vec![0.0; results]),
        expected: Vec::new(),
    }
}

/// The strides of a case, and how many elements they span.
fn layout(case: Case) -> ([isize; 4], usize) {
    let [n, c, h, w] = case.shape;
    let (strides, len) = match case.layout {
        Layout::RowMajor => ([c * h * w, h * w, w, 1], n * c * h * w),
        Layout::Padded => ([c * h * w + 24, h * w, w, 1], n * (c * h * w + 24)),
        Layout::Transposed => ([1, n, n * c, n * c * h], n * c * h * w),
        Layout::Step2 => ([2 * c * h * w, 2 * h * w, 2 * w, 2], 2 * n * c * h * w),
    };
    (strides.map(usize::cast_signed), len)
}
