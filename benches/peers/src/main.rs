//! One table of this crate beside other implementations: ns per element on one thread, the shortest of many calls, and
//! how many times the time of losslanes that is. `-`: it has no such function; `wrong`: its result is.
//!
//! ```text
//! cd benches/peers && taskset -c 1 cargo run --release --features burn         # burn takes ten minutes to compile
//! taskset -c 1 cargo run --release -- softmax --seconds 1                      # some cases, without burn, less noise
//! taskset -c 1 cargo run --release -- losslanes wide                           # some columns, by parts of their names
//! ```
//!
//! The cases `…_grad` are the loss with its gradient by the input. All of it, losslanes too, is compiled for the CPU of the machine (`.cargo/config.toml`).

#[path = "../../common/mod.rs"]
mod common;
mod peers;

use std::time::Duration;

use common::{Bench, Case, clock};
use peers::{Job, PEERS, Peer};

/// Those of the benchmarks' cases that others have as well.
const CASES: [&str; 28] = [
    "ce/1x1000",
    "ce/65536x2",
    "ce/65536x10",
    "ce/8192x100",
    "ce/4096x1000",
    "ce/256x32000",
    "ce/64x128256",
    "ce/nchw",
    "ce_grad/1x1000",
    "ce_grad/65536x2",
    "ce_grad/65536x10",
    "ce_grad/8192x100",
    "ce_grad/4096x1000",
    "ce_grad/256x32000",
    "ce_grad/64x128256",
    "ce_grad/nchw",
    "bce_logits/100000",
    "bce_logits_grad/100000",
    "bce/100000",
    "bce_grad/100000",
    "exp/100000",
    "sigmoid/100000",
    "softplus/100000",
    "log_sigmoid/100000",
    "softmax/1x1000",
    "softmax/100x1000",
    "log_softmax/1x1000",
    "log_softmax/100x1000",
];

struct Arguments {
    /// What is compared, and in which cases. The first is what the others are compared with.
    peers: Vec<&'static Peer>,
    cases: Vec<&'static str>,
    /// For each cell.
    budget: Duration,
}

impl Arguments {
    /// A word that is part of a column's name selects columns, any other word selects cases; several of a kind add up.
    fn parse() -> Self {
        let mut budget = Duration::from_millis(200);
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--seconds" {
                let seconds = words.next().and_then(|seconds| seconds.parse().ok());
                budget = Duration::from_secs_f64(seconds.expect("--seconds takes a number"));
            } else if PEERS.iter().any(|peer| peer.name.contains(&word)) {
                columns.push(word);
            } else {
                rows.push(word);
            }
        }
        let selected = |words: &[String], name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
        Self {
            peers: PEERS.iter().filter(|peer| selected(&columns, peer.name)).collect(),
            cases: CASES.into_iter().filter(|name| selected(&rows, name)).collect(),
            budget,
        }
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
    let named = |name: &str| cases.iter().find(|case| case.name == name).expect("a case of the benchmarks");

    println!("ns per element on one thread (× the time of {})\n", arguments.peers[0].name);
    print_cells("", arguments.peers.iter().map(|peer| peer.name.to_owned()));
    print_cells("---", arguments.peers.iter().map(|_| "---:".to_owned()));
    for case in arguments.cases.into_iter().map(named) {
        print_row(*case, &arguments.peers, &measure(*case, &arguments.peers, arguments.budget));
    }
}

/// A cell for each of `peers`.
fn measure(case: Case, peers: &[&Peer], budget: Duration) -> Vec<Cell> {
    let mut bench = Bench::new(case);
    let mut jobs: Vec<_> = peers.iter().map(|peer| (peer.start)(&bench)).collect();
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

fn print_row(case: Case, peers: &[&Peer], cells: &[Cell]) {
    let base = match cells[0] {
        Cell::Time(time) => time,
        _ => f64::NAN,
    };
    let texts = cells.iter().enumerate().map(|(column, cell)| match cell {
        Cell::Missing => "-".to_owned(),
        Cell::Wrong(_) => "wrong".to_owned(),
        Cell::Time(time) if column == 0 => format!("{time:.3}"),
        Cell::Time(time) => format!("{time:.3} ({:.1}×)", time / base),
    });
    print_cells(case.name, texts);
    for (peer, cell) in peers.iter().zip(cells) {
        if let Cell::Wrong(fault) = cell {
            eprintln!("{}: {fault}", peer.name);
        }
    }
}

/// A line of a table in Markdown, which `pytorch.py` goes on with.
fn print_cells(name: &str, cells: impl Iterator<Item = String>) {
    print!("| {name:22} |");
    cells.for_each(|cell| print!(" {cell:>15} |"));
    println!();
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}
