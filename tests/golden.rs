//! The same bits on every machine: hashes of what every function gives, against those in `tests/data`.
//!
//! After an intended change of bits, `LOSSLANES_BLESS=1 cargo test --release --test golden` writes the hashes anew, on a
//! CPU that has both arithmetics. `git diff` then shows which functions changed.

mod common;

use std::{collections::BTreeMap, env, fs, path::Path};

use common::{
    array::Array,
    backends::{self, note},
    check::bits,
    kernels::{Map, Reduction},
    layouts::{CONTIGUOUS, Canvas, Laid, Order, Placement},
    random::Random,
};
use losslanes::{Backend, BceLoss, BceWithLogitsLoss, CrossEntropyLoss, Error, Isa, NllLoss, Total, ViewMut};

/// Class counts around the boundaries of lanes, tiles and panels.
const CLASSES: [usize; 15] = [1, 2, 3, 10, 15, 16, 17, 63, 64, 65, 1000, 1023, 1024, 1025, 3000];

/// Every number of rows, with few classes.
const ROWS: std::ops::RangeInclusive<usize> = 1..=70;

/// The layouts must not change a bit: all have the same hashes.
const LAYOUTS: [(&str, Placement); 3] = [
    ("contiguous", CONTIGUOUS),
    ("column-major", Placement { order: Order::ColumnMajor, ..CONTIGUOUS }),
    ("strided", Placement { step: 2, gap: 1, reversed: 0b01, margin: 5, ..CONTIGUOUS }),
];

const ELEMENTWISE: [(&str, Map); 5] = [
    ("exp", Map::Exp),
    ("ln", Map::Ln),
    ("sigmoid", Map::Sigmoid),
    ("log_sigmoid", Map::LogSigmoid),
    ("softplus", Map::Softplus),
];

const OF_ROWS: [(&str, Map); 2] = [("softmax", Map::Softmax(1)), ("log_softmax", Map::LogSoftmax(1))];

const REDUCTIONS: [(&str, Reduction); 4] = [
    ("row_max", Reduction::RowMax),
    ("exp_sum", Reduction::ExpSum(1.5)),
    ("exp_sum, large shift", Reduction::ExpSum(100.0)),
    ("log_sum_exp", Reduction::LogSumExp),
];

/// What comes in for the losses where `none` is differentiated, over and over.
const UPSTREAM: [f32; 5] = [1.0, -0.5, 0.3, 2.0, 0.0];

/// Records every function of a loss and its gradient, a line for each.
macro_rules! record_loss {
    ($run:expr, $name:expr, $loss:expr, $x:expr, $input:expr, $target:expr, $losses:expr) => {{
        let (loss, input, target, losses, at) = ($loss.on($run.backend), $input, $target, $losses, $run.at);
        let mut record = |function: &str, results: Numbers| $run.record(&format!("{}: {function}", $name), results);
        record("none", written(losses, at, |out| loss.none(input, target, out)));
        record("sum", numbers(loss.sum(input, target)));
        record("mean", numbers(loss.mean(input, target)));
        record("total", numbers(loss.total(input, target)));

        let shape = input.shape();
        record("sum_with_grad", written(shape, at, |grad| loss.sum_with_grad(input, target, grad)));
        record("sum_with_grad_in_place", replaced(shape, $x, at, |x| loss.sum_with_grad_in_place(x, target)));
        record("mean_with_grad", written(shape, at, |grad| loss.mean_with_grad(input, target, grad)));
        record("mean_with_grad_in_place", replaced(shape, $x, at, |x| loss.mean_with_grad_in_place(x, target)));
        let upstream = Laid::new(&upstream(&losses), at);
        let upstream = upstream.view::<1>();
        let mut out = Canvas::new(&losses, at);
        let grad = written(shape, at, |grad| loss.none_with_grad(input, target, upstream, out.view::<1>(), grad));
        record("none_with_grad", grad.map(|grad| [grad, out.finish()].concat()));
        let mut out = Canvas::new(&losses, at);
        let grad = replaced(shape, $x, at, |x| loss.none_with_grad_in_place(x, target, upstream, out.view::<1>()));
        record("none_with_grad_in_place", grad.map(|grad| [grad, out.finish()].concat()));
    }};
}

fn upstream(losses: &[usize]) -> Array<f32> {
    Array::from_fn(losses, |i| UPSTREAM[i % UPSTREAM.len()])
}

#[test]
fn portable() {
    check(false, "golden_portable.txt", include_str!("data/golden_portable.txt"));
}

#[test]
fn fused() {
    check(true, "golden_fused.txt", include_str!("data/golden_fused.txt"));
}

/// Runs everything in one arithmetic, on every backend and in every layout, and compares with the file.
fn check(fused: bool, file: &str, text: &str) {
    let backends = backends::all().filter(|backend| backend.is_fused() == fused && backend.isa() != Isa::Integer);
    let backends: Vec<Backend> = backends.collect();
    note(&format!("{file}: ran on {backends:?}"));
    let inputs = Inputs::new();
    let golden = match env::var_os("LOSSLANES_BLESS").and(if fused { backends.last() } else { backends.first() }) {
        Some(&backend) => bless(file, Run::of(&inputs, backend, CONTIGUOUS)),
        None => text.lines().map(parse).collect(),
    };
    let mut differences = Vec::new();
    for backend in backends {
        for (layout, at) in LAYOUTS {
            let hashes = Run::of(&inputs, backend, at);
            for name in golden.keys().chain(hashes.keys().filter(|&name| !golden.contains_key(name))) {
                let [expected, got] = [&golden, &hashes].map(|hashes| hashes.get(name).map_or("none", |hash| hash));
                if expected != got {
                    differences.push(format!("{name}, {backend}, {layout}: expected {expected}, got {got}"));
                }
            }
        }
    }
    assert!(differences.is_empty(), "other bits than in {file}:\n{}", differences.join("\n"));
}

/// Hashes by name.
type Hashes = BTreeMap<String, String>;

fn parse(line: &str) -> (String, String) {
    let (hash, name) = line.split_once(' ').expect("a hash and a name");
    (name.into(), hash.into())
}

fn bless(file: &str, hashes: Hashes) -> Hashes {
    let lines: Vec<String> = hashes.iter().map(|(name, hash)| format!("{hash} {name}\n")).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    fs::write(path, lines.concat()).expect("a file that can be written");
    hashes
}

/// FNV-1a with 64 bits, of the bits of numbers.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(self, x: f32) -> Self {
        let bytes = bits(x).to_le_bytes();
        Self(bytes.iter().fold(self.0, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }
}

/// What a call gives.
type Numbers = Result<Vec<f32>, Error>;

fn numbers(result: Result<impl Results, Error>) -> Numbers {
    result.map(Results::numbers)
}

/// What is written to an output of this shape, and what is returned.
fn written<const D: usize, R: Results>(
    shape: [usize; D],
    at: Placement,
    call: impl FnOnce(ViewMut<'_, f32, D>) -> Result<R, Error>,
) -> Numbers {
    let mut out = Canvas::new(&shape, at);
    let returned = call(out.view())?.numbers();
    Ok([out.finish(), returned].concat())
}

/// What takes the place of these numbers, and what is returned.
fn replaced<const D: usize, R: Results>(
    _shape: [usize; D],
    x: &Array<f32>,
    at: Placement,
    call: impl FnOnce(ViewMut<'_, f32, D>) -> Result<R, Error>,
) -> Numbers {
    let mut place = Canvas::holding(x, at);
    let returned = call(place.view())?.numbers();
    Ok([place.finish(), returned].concat())
}

trait Results {
    fn numbers(self) -> Vec<f32>;
}

impl Results for () {
    fn numbers(self) -> Vec<f32> {
        Vec::new()
    }
}

impl Results for f32 {
    fn numbers(self) -> Vec<f32> {
        vec![self]
    }
}

impl Results for Total {
    fn numbers(self) -> Vec<f32> {
        vec![self.sum(), self.mean(), self.denominator()]
    }
}

/// Everything on one backend in one layout.
struct Run {
    backend: Backend,
    at: Placement,
    hashes: BTreeMap<String, Fnv>,
}

impl Run {
    fn of(inputs: &Inputs, backend: Backend, at: Placement) -> Hashes {
        let mut run = Self { backend, at, hashes: BTreeMap::new() };
        inputs.elements.iter().for_each(|x| run.maps(&ELEMENTWISE, x));
        inputs.rows.iter().for_each(|row| run.reductions(row));
        for case in &inputs.classes {
            run.maps(&OF_ROWS, &case.logits);
            run.cross_entropy(case);
            run.nll(case);
        }
        for case in &inputs.binary {
            run.bce(case);
            run.bce_with_logits(case);
        }
        run.merged_totals(&inputs.classes);
        run.hashes.into_iter().map(|(name, Fnv(hash))| (name, format!("{hash:016x}"))).collect()
    }

    fn record(&mut self, name: &str, results: Numbers) {
        let results = results.unwrap_or_else(|error| panic!("{name} on {}: {error}", self.backend));
        let hash = self.hashes.entry(name.into()).or_default();
        *hash = results.into_iter().fold(*hash, Fnv::add);
    }

    fn maps(&mut self, maps: &[(&str, Map)], x: &Array<f32>) {
        for (name, map) in maps {
            self.record(name, Ok(map.run(self.backend, x, self.at, self.at)));
            self.record(&format!("{name}_in_place"), Ok(map.run_in_place(self.backend, x, self.at)));
        }
    }

    fn reductions(&mut self, row: &Array<f32>) {
        for (name, reduction) in REDUCTIONS {
            self.record(name, Ok(vec![reduction.run(self.backend, row, self.at)]));
        }
    }

    fn cross_entropy(&mut self, case: &Classes) {
        let [logits, target] = [&case.logits, &case.target].map(|x| Laid::new(x, self.at));
        let (logits, target) = (logits.view::<2>(), target.view::<2>());
        let (labels, ignored) = (Laid::new(&case.labels, self.at), Laid::new(&case.ignored, self.at));
        let (labels, ignored) = (labels.view::<1>(), ignored.view::<1>());
        let [rows, classes] = logits.shape();
        let loss = CrossEntropyLoss::new();
        let class = i64::try_from(classes / 2).expect("a small number");
        record_loss!(self, "cross_entropy", loss, &case.logits, logits, ignored, [rows]);
        for (options, loss) in [
            ("ignore_index", loss.ignore_index(class)),
            ("no_ignore_index", loss.no_ignore_index()),
            ("weight", loss.weight(&case.weight)),
            ("smoothing", loss.label_smoothing(0.1)),
            ("smoothing of most", loss.label_smoothing(0.9)),
            ("weight, smoothing", loss.weight(&case.weight).label_smoothing(0.1)),
        ] {
            record_loss!(self, format!("cross_entropy, {options}"), loss, &case.logits, logits, labels, [rows]);
        }
        for (options, loss) in [
            ("probabilities", loss),
            ("probabilities, weight, smoothing", loss.weight(&case.weight).label_smoothing(0.1)),
        ] {
            record_loss!(self, format!("cross_entropy, {options}"), loss, &case.logits, logits, target, [rows]);
            let (loss, upstream) = (loss.on(self.backend), Laid::new(&upstream(&[rows]), self.at));
            let grad = written(logits.shape(), self.at, |grad| loss.target_grad(logits, upstream.view::<1>(), grad));
            self.record(&format!("cross_entropy, {options}: target_grad"), grad);
        }
    }

    fn nll(&mut self, case: &Classes) {
        let input = Laid::new(&case.logits, self.at);
        let input = input.view::<2>();
        let (labels, ignored) = (Laid::new(&case.labels, self.at), Laid::new(&case.ignored, self.at));
        let [rows, classes] = input.shape();
        let loss = NllLoss::new();
        let class = i64::try_from(classes / 2).expect("a small number");
        record_loss!(self, "nll", loss, &case.logits, input, ignored.view::<1>(), [rows]);
        for (options, loss) in [("ignore_index", loss.ignore_index(class)), ("weight", loss.weight(&case.weight))] {
            record_loss!(self, format!("nll, {options}"), loss, &case.logits, input, labels.view::<1>(), [rows]);
        }
    }

    fn bce(&mut self, case: &Binary) {
        let [input, target, weight, _] = case.laid(&case.probabilities, self.at);
        let (input, target) = (input.view::<1>(), target.view());
        for (name, loss) in [("bce", BceLoss::new()), ("bce, weight", BceLoss::new().weight(weight.view()))] {
            record_loss!(self, name, loss, &case.probabilities, input, target, input.shape());
            let (loss, upstream) = (loss.on(self.backend), Laid::new(&upstream(&input.shape()), self.at));
            let grad = written(input.shape(), self.at, |grad| loss.target_grad(input, upstream.view(), grad));
            self.record(&format!("{name}: target_grad"), grad);
        }
    }

    fn bce_with_logits(&mut self, case: &Binary) {
        let [logits, target, weight, pos_weight] = case.laid(&case.logits, self.at);
        let (logits, target, weight, pos_weight) =
            (logits.view::<1>(), target.view(), weight.view(), pos_weight.view());
        let loss = BceWithLogitsLoss::new();
        for (name, loss) in [
            ("bce_with_logits", loss),
            ("bce_with_logits, weight", loss.weight(weight)),
            ("bce_with_logits, pos_weight", loss.pos_weight(pos_weight)),
            ("bce_with_logits, weight, pos_weight", loss.weight(weight).pos_weight(pos_weight)),
        ] {
            record_loss!(self, name, loss, &case.logits, logits, target, logits.shape());
            let (loss, upstream) = (loss.on(self.backend), Laid::new(&upstream(&logits.shape()), self.at));
            let grad = written(logits.shape(), self.at, |grad| loss.target_grad(logits, upstream.view(), grad));
            self.record(&format!("{name}: target_grad"), grad);
            let hessian = written(logits.shape(), self.at, |out| loss.hessian(logits, target, out));
            self.record(&format!("{name}: hessian"), hessian);
        }
    }

    /// Merges the totals of batches of every size, one after the other.
    fn merged_totals(&mut self, cases: &[Classes]) {
        let mut merged = Total::default();
        for case in cases.iter().filter(|case| case.logits.data.iter().all(|x| x.is_finite())) {
            let (logits, labels) = (Laid::new(&case.logits, self.at), Laid::new(&case.labels, self.at));
            let total = CrossEntropyLoss::new().on(self.backend).total(logits.view::<2>(), labels.view::<1>());
            merged = merged.merge(total.expect("valid arguments"));
            self.record("merged totals", Ok(merged.numbers()));
        }
    }
}

/// What everything runs on: the same on every machine.
struct Inputs {
    elements: Vec<Array<f32>>,
    rows: Vec<Array<f32>>,
    classes: Vec<Classes>,
    binary: Vec<Binary>,
}

impl Inputs {
    fn new() -> Self {
        let mut floats = Floats(Random::new(18));
        let lengths = || ROWS.chain(CLASSES.into_iter().filter(|len| !ROWS.contains(len)));
        let rows_and_classes = ROWS
            .map(|rows| [rows, [2, 3, 10][rows % 3]])
            .chain(CLASSES.into_iter().flat_map(|classes| [[1, classes], [2, classes]]))
            .chain([2, 3, 10, 16, 64].into_iter().flat_map(|classes| [15, 16, 17, 65].map(|rows| [rows, classes])));
        // Sums of the two arithmetics seldom differ: only many show which one it was.
        let near = ROWS.flat_map(|len| [(Kind::Near, len); 20]);
        Self {
            elements: lengths().map(|len| Array::from_fn(&[2, len], |_| floats.any())).collect(),
            rows: lengths()
                .flat_map(|len| KINDS.map(|kind| (kind, len)))
                .chain(near)
                .map(|(kind, len)| floats.row(kind, len))
                .collect(),
            classes: rows_and_classes.map(|shape| Classes::new(&mut floats, shape)).collect(),
            binary: lengths().map(|len| Binary::new(&mut floats, len)).collect(),
        }
    }
}

/// The arguments of losses over classes.
struct Classes {
    logits: Array<f32>,
    labels: Array<i64>,
    /// The labels, but some are -100.
    ignored: Array<i64>,
    target: Array<f32>,
    weight: Vec<f32>,
}

impl Classes {
    fn new(floats: &mut Floats, shape: [usize; 2]) -> Self {
        let [rows, classes] = shape;
        let kind = floats.kind();
        let logits = Array::from_fn(&shape, |_| floats.of_kind(kind));
        let labels = Array::from_fn(&[rows], |_| i64::try_from(floats.0.below(classes)).expect("a small number"));
        let ignored = labels.map(|label| if floats.0.below(4) == 0 { -100 } else { label });
        let target = Array::from_fn(&shape, |_| floats.probability());
        let weight = (0..classes).map(|_| floats.weight()).collect();
        Self { logits, labels, ignored, target, weight }
    }
}

/// The arguments of binary losses.
struct Binary {
    logits: Array<f32>,
    probabilities: Array<f32>,
    target: Array<f32>,
    weight: Array<f32>,
    pos_weight: Array<f32>,
}

impl Binary {
    fn new(floats: &mut Floats, len: usize) -> Self {
        let kind = floats.kind();
        let logits = floats.row(kind, len);
        let mut array = |f: fn(&mut Floats) -> f32| Array::from_fn(&[len], |_| f(floats));
        Self {
            logits,
            probabilities: array(match kind {
                Kind::Special => Floats::probability_or_nan,
                _ => Floats::probability,
            }),
            target: array(Floats::probability),
            weight: array(Floats::weight),
            pos_weight: array(Floats::weight),
        }
    }

    fn laid(&self, input: &Array<f32>, at: Placement) -> [Laid<f32>; 4] {
        [input, &self.target, &self.weight, &self.pos_weight].map(|x| Laid::new(x, at))
    }
}

/// What all numbers of a case are like: one of another kind would be most of a sum, or spoil it.
#[derive(Clone, Copy)]
enum Kind {
    /// Below 8.
    Near,
    /// From 2^-20 to 2^7.
    Wide,
    /// From 1 to 2^24.
    Large,
    /// As `Wide`, but with special values among them.
    Special,
}

const KINDS: [Kind; 4] = [Kind::Near, Kind::Wide, Kind::Large, Kind::Special];

const SPECIAL: [f32; 12] = [
    0.0,
    -0.0,
    f32::from_bits(1),
    -f32::from_bits(1),
    f32::from_bits(0x007f_ffff),
    f32::from_bits(0x8012_3456),
    f32::MIN_POSITIVE,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// Random floats made by integer arithmetic alone, which no machine can round differently.
struct Floats(Random);

impl Floats {
    fn bits(&mut self) -> u32 {
        u32::try_from(self.0.next() >> 32).expect("32 bits")
    }

    /// Of either sign, and at least 2^low but below 2^high.
    fn between(&mut self, low: i32, high: i32) -> f32 {
        let exponents = usize::try_from(high - low).expect("a range");
        let exponent = u32::try_from(self.0.below(exponents)).expect("a small number") + (low + 127).cast_unsigned();
        f32::from_bits(self.bits() & 0x807f_ffff | exponent << 23)
    }

    fn special(&mut self) -> f32 {
        SPECIAL[self.0.below(SPECIAL.len())]
    }

    fn kind(&mut self) -> Kind {
        KINDS[self.0.below(KINDS.len())]
    }

    fn of_kind(&mut self, kind: Kind) -> f32 {
        match kind {
            Kind::Near => self.between(-4, 3),
            Kind::Large => self.between(0, 24),
            Kind::Special if self.0.below(16) == 0 => self.special(),
            Kind::Wide | Kind::Special => self.between(-20, 7),
        }
    }

    fn row(&mut self, kind: Kind, len: usize) -> Array<f32> {
        Array::from_fn(&[len], |_| self.of_kind(kind))
    }

    /// Of every kind, or any bits at all.
    fn any(&mut self) -> f32 {
        match self.0.below(5) {
            4 => f32::from_bits(self.bits()),
            kind => self.of_kind(KINDS[kind]),
        }
    }

    /// From 0 to 1, often near one of the ends.
    fn probability(&mut self) -> f32 {
        match self.0.below(8) {
            0 => [0.0, 1.0][self.0.below(2)],
            1 => f32::from_bits(self.bits() % (1 << 23)),
            2 => f32::from_bits(1.0_f32.to_bits() - self.bits() % (1 << 12)),
            3 => self.between(-126, 0).abs(),
            _ => self.between(-6, 0).abs(),
        }
    }

    fn probability_or_nan(&mut self) -> f32 {
        if self.0.below(16) == 0 { f32::NAN } else { self.probability() }
    }

    fn weight(&mut self) -> f32 {
        self.between(-3, 3).abs()
    }
}
