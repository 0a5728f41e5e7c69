//! One table of this crate beside other implementations: ns per element on one thread, the shortest of many calls, and
//! how many times the time of losslanes that is. `-`: it has no such function; `wrong`: its result is.
//!
//! ```text
//! cd benches/peers && taskset -c 1 cargo run --release --features burn         # burn takes ten minutes to compile
//! taskset -c 1 cargo run --release -- softmax --seconds 1                      # some cases, without burn, less noise
//! ```
//!
//! All of it, losslanes too, is compiled for the CPU of the machine (`.cargo/config.toml`).

#[path = "../../common/mod.rs"]
mod common;
mod peers;

use std::time::Duration;

use common::{Bench, Case, clock};
use peers::{Job, PEERS};

/// Those of the benchmarks' cases that others have as well.
const CASES: [&str; 17] = [
    "ce/1x1000",
    "ce/65536x2",
    "ce/65536x10",
    "ce/8192x100",
    "ce/4096x1000",
    "ce/256x32000",
    "ce/64x128256",
    "ce/nchw",
    "bce_logits/100000",
    "bce/100000",
    "exp/100000",
    "sigmoid/100000",
    "softplus/100000",
    "softmax/1x1000",
    "softmax/100x1000",
    "log_softmax/1x1000",
    "log_softmax/100x1000",
];

struct Arguments {
    /// Parts of names; none selects every case.
    words: Vec<String>,
    /// For each cell.
    budget: Duration,
}

impl Arguments {
    fn parse() -> Self {
        let mut arguments = Self { words: Vec::new(), budget: Duration::from_millis(200) };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--seconds" {
                let seconds = words.next().and_then(|seconds| seconds.parse().ok());
                arguments.budget = Duration::from_secs_f64(seconds.expect("--seconds takes a number"));
            } else {
                arguments.words.push(word);
            }
        }
        arguments
    }

    fn select(&self, name: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()))
    }
}

/// How an implementation did in a case.
enum Cell {
    Missing,
    Wrong(String),
    /// ns per element.
    Time(f64),
}

fn main() {
    let arguments = Arguments::parse();
    // candle's kernels go to this pool: it has no thread but this one.
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().expect("the first pool");
    let cases = common::cases();
    let named = |name| cases.iter().find(|case| case.name == name).expect("a case of the benchmarks");

    println!("ns per element, and how many times that of losslanes; one thread\n");
    print!("{:22}", "");
    for peer in PEERS {
        print!(" {:>16}", peer.name);
    }
    println!();
    for case in CASES.into_iter().filter(|name| arguments.select(name)).map(named) {
        print_row(*case, &measure(*case, arguments.budget));
    }
}

/// A cell for each of `PEERS`.
fn measure(case: Case, budget: Duration) -> Vec<Cell> {
    let mut bench = Bench::new(case);
    let mut jobs: Vec<_> = PEERS.iter().map(|peer| (peer.start)(&bench)).collect();
    let faults: Vec<_> =
        jobs.iter_mut().map(|job| job.as_mut().and_then(|job| fault(&mut **job, &mut bench))).collect();
    let mut functions: Vec<_> = jobs
        .iter_mut()
        .zip(&faults)
        .filter(|(_, fault)| fault.is_none())
        .filter_map(|(job, _)| job.as_mut())
        .map(|job| Box::new(|bench: &mut Bench| job.run(bench)) as Box<dyn FnMut(&mut Bench)>)
        .collect();
    let mut times = clock::shortest(&mut bench, &mut functions, budget).into_iter();
    drop(functions);

    let mut cell = |(job, fault): (Option<_>, Option<String>)| match (job, fault) {
        (None, _) => Cell::Missing,
        (_, Some(fault)) => Cell::Wrong(fault),
        _ => Cell::Time(times.next().expect("a time for each function") / count(case.elements())),
    };
    jobs.into_iter().zip(faults).map(&mut cell).collect()
}

/// What is wrong with the results: not within 1e-3 of those in f64.
fn fault(job: &mut dyn Job, bench: &mut Bench) -> Option<String> {
    let results = bench.out.len();
    bench.out.fill(f32::NAN);
    job.results(bench);
    assert_eq!(bench.out.len(), results, "as many results as are compared");
    bench.check(1e-3).err()
}

fn print_row(case: Case, cells: &[Cell]) {
    let ours = match cells[0] {
        Cell::Time(time) => time,
        _ => f64::NAN,
    };
    print!("{:22}", case.name);
    for cell in cells {
        match cell {
            Cell::Missing => print!(" {:>16}", "-"),
            Cell::Wrong(_) => print!(" {:>16}", "wrong"),
            Cell::Time(time) => print!(" {:>8}{:>7}x", digits(*time), digits(time / ours)),
        }
    }
    println!();
    for (peer, cell) in PEERS.iter().zip(cells) {
        if let Cell::Wrong(fault) = cell {
            println!("    {}: {fault}", peer.name);
        }
    }
}

/// Three digits.
fn digits(x: f64) -> String {
    match x {
        x if x < 10.0 => format!("{x:.2}"),
        x if x < 100.0 => format!("{x:.1}"),
        x => format!("{x:.0}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}
