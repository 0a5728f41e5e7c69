//! 510 cases with PyTorch's results in `f64`.

use std::{fs::File, io::Read, path::Path, sync::LazyLock};

use crate::common::{
    array::Array,
    backends,
    case::{Case, Ignore, Loss, Setting, Target},
    check,
    reference::Reference,
};
use flate2::read::GzDecoder;
use serde_json::Value;

/// The reductions of the three cases that share their arguments.
const REDUCTIONS: [&str; 3] = ["none", "sum", "mean"];

/// Arguments, with what PyTorch gives for each reduction of them.
struct TorchCase {
    name: String,
    case: Case,
    results: [Vec<f64>; 3],
}

static CASES: LazyLock<Vec<TorchCase>> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch_cases.json.gz");
    let mut text = String::new();
    GzDecoder::new(File::open(path).expect("the file")).read_to_string(&mut text).expect("gzip");
    let root: Value = serde_json::from_str(&text).expect("JSON");
    root["cases"].as_array().expect("cases").chunks(3).map(TorchCase::parse).collect()
});

impl TorchCase {
    fn parse(cases: &[Value]) -> Self {
        let first = &cases[0];
        let results = [0, 1, 2].map(|i| {
            assert_eq!(text(&cases[i]["reduction"]), REDUCTIONS[i]);
            assert_eq!(cases[i]["input"], first["input"]);
            numbers(&cases[i]["loss_f64"], number).data
        });
        Self { name: text(&first["name"]).into(), case: parse_case(first), results }
    }

    /// The numbers that each reduction should give: those of PyTorch, but those of the reference where PyTorch cancels
    /// even in `f64`: what is left of numbers of the size of the input has lost as many digits as it is smaller.
    fn wanted(&self) -> [Vec<f64>; 3] {
        let finite = self.case.input.data.iter().filter(|x| x.is_finite());
        let size = finite.fold(1.0, |size, x| f64::max(size, x.abs().into()));
        let mut wanted = results(&self.case);
        for (wanted, torch) in wanted.iter_mut().flatten().zip(self.results.iter().flatten()) {
            if torch.abs() >= 1e-9 * size || torch.is_nan() {
                *wanted = *torch;
            }
        }
        wanted
    }
}

/// Each reduction of the reference.
fn results(case: &Case) -> [Vec<f64>; 3] {
    let reference = Reference::of(case);
    let (sum, mean) = (reference.sum(), reference.mean());
    [reference.each, vec![sum], vec![mean]]
}

fn parse_case(value: &Value) -> Case {
    let loss = match text(&value["op"]) {
        "cross_entropy" => Loss::CrossEntropy,
        "nll_loss" => Loss::Nll,
        "binary_cross_entropy" => Loss::Bce,
        "binary_cross_entropy_with_logits" => Loss::BceWithLogits,
        other => panic!("unknown loss {other}"),
    };
    let binary = matches!(loss, Loss::Bce | Loss::BceWithLogits);
    let target = match text(&value["target_kind"]) {
        "class" => Target::Classes(numbers(&value["target"], |x| x.as_i64().expect("a label"))),
        _ => Target::Probabilities(floats(&value["target"])),
    };
    let options = &value["options"];
    let optional = |name: &str| options.get(name).map(floats);
    Case {
        class_weight: optional("weight").filter(|_| !binary).map(|weight| weight.data),
        ignore: options["ignore_index"].as_i64().map_or(Ignore::Default, Ignore::Index),
        smoothing: options["label_smoothing"].as_f64().unwrap_or(0.0) as f32,
        weight: optional("weight").filter(|_| binary),
        pos_weight: optional("pos_weight"),
        ..Case::plain(loss, floats(&value["input"]), target)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| text(value).parse().expect("nan or an infinity"))
}

fn numbers<T: Copy>(value: &Value, number: impl Fn(&Value) -> T) -> Array<T> {
    let list = |value: &Value| value.as_array().expect("an array").clone();
    let shape: Vec<usize> = list(&value["shape"]).iter().map(|len| len.as_u64().expect("a length") as usize).collect();
    Array::new(&shape, list(&value["data"]).iter().map(number).collect())
}

fn floats(value: &Value) -> Array<f32> {
    numbers(value, |x| number(x) as f32)
}

/// Runs all cases of a loss on every backend and in every layout.
fn run(loss: Loss, expected: usize) {
    let cases: Vec<&TorchCase> = CASES.iter().filter(|case| case.case.loss == loss).collect();
    assert_eq!(cases.len() * REDUCTIONS.len(), expected);
    let settings: Vec<Setting> = backends::all().flat_map(Setting::layouts).collect();
    for case in &cases {
        let wanted = case.wanted();
        for setting in &settings {
            let got = case.case.run(setting).expect("a valid case");
            let got = [got.each, vec![got.total.sum()], vec![got.total.mean()]];
            for ((got, wanted), reduction) in got.iter().zip(&wanted).zip(REDUCTIONS) {
                check::all_close(got, wanted, check::LOSS, || format!("{reduction} of {}, {setting:?}", case.name));
            }
        }
    }
    let (backends, settings) = (backends::all().count(), settings.len());
    let layouts = settings / backends;
    backends::note(&format!("{loss:?}: {expected} cases x {layouts} layouts x {backends} backends"));
}

#[test]
fn cross_entropy() {
    run(Loss::CrossEntropy, 240);
}

#[test]
fn nll() {
    run(Loss::Nll, 90);
}

#[test]
fn bce() {
    run(Loss::Bce, 90);
}

#[test]
fn bce_with_logits() {
    run(Loss::BceWithLogits, 90);
}

/// The reference, which the other tests rely on, agrees with PyTorch.
#[test]
fn reference() {
    for case in &*CASES {
        let results = results(&case.case);
        for (own, torch) in results.iter().flatten().zip(case.results.iter().flatten()) {
            let error = (own - torch).abs();
            let fine = error <= 1e-7 * torch.abs() + 1e-13 || own.is_nan() && torch.is_nan();
            assert!(fine, "{own:e} differs from {torch:e} in {}", case.name);
        }
    }
}
