//! One table of everything: ns per element of this crate on each backend, of the plain loop over `std`, and of only
//! reading the input (the floor), all from one run.
//!
//! ```text
//! taskset -c 1 cargo bench --bench table                        # everything, about a minute
//! taskset -c 1 cargo bench --bench table -- ce/65536x2 avx512   # cases and columns by parts of their names
//! taskset -c 1 cargo bench --bench table -- ce/ --seconds 1     # longer for each cell, less noise
//! ```
//!
//! A word that is part of a column's name selects columns, any other word selects cases; several of a kind add up.

mod common;

use std::{process::ExitCode, time::Duration};

use common::{Bench, Case, Runner, cases, clock};

struct Arguments {
    words: Vec<String>,
    budget: Duration,
}

impl Arguments {
    fn parse() -> Self {
        let mut arguments = Self { words: Vec::new(), budget: Duration::from_millis(100) };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--seconds" {
                let seconds = words.next().and_then(|seconds| seconds.parse().ok());
                arguments.budget = Duration::from_secs_f64(seconds.expect("--seconds takes a number"));
            } else if !word.starts_with("--") {
                // cargo itself adds `--bench`.
                arguments.words.push(word);
            }
        }
        arguments
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let all = Runner::all();
    let (columns, rows): (Vec<String>, Vec<String>) =
        arguments.words.into_iter().partition(|word| all.iter().any(|runner| runner.name().contains(word)));
    let runners: Vec<Runner> =
        all.into_iter().filter(|r| columns.is_empty() || columns.iter().any(|word| r.name().contains(word))).collect();
    let cases: Vec<Case> = cases()
        .into_iter()
        .filter(|case| rows.is_empty() || rows.iter().any(|word| case.name.contains(word.as_str())))
        .collect();

    println!("ns per element, the shortest of many calls; pin it to one core: taskset -c 1 cargo bench --bench table");
    println!("`!`: over what DESIGN §5 allows this backend; last column: the fastest backend / target\n");
    print!("{:30} {:>7}", "", "target");
    for runner in &runners {
        print!(" {:>15}", runner.name());
    }
    println!(" {:>7}", "ratio");

    let mut wrong = false;
    for case in cases {
        let mut bench = Bench::new(case);
        let (mut measured, mut faults) = (Vec::new(), Vec::new());
        for runner in &runners {
            match runner.check(&mut bench) {
                Ok(()) => measured.push(runner),
                Err(fault) => faults.push(fault),
            }
        }
        let mut functions: Vec<_> = measured
            .iter()
            .map(|runner| Box::new(|bench: &mut Bench| runner.run(bench)) as Box<dyn FnMut(&mut Bench)>)
            .collect();
        let times = clock::shortest(&mut bench, &mut functions, arguments.budget);
        drop(functions);

        print!("{:30} {:>7}", case.name, case.target.map_or_else(String::new, number));
        let mut measured = measured.into_iter().zip(times).peekable();
        let mut fastest = f64::INFINITY;
        for runner in &runners {
            let Some((_, time)) = measured.next_if(|(measured, _)| core::ptr::eq(*measured, runner)) else {
                print!(" {:>15} ", "wrong");
                continue;
            };
            let time = time / count(case.elements());
            let mut mark = ' ';
            if let Runner::Ours(backend) = runner {
                fastest = fastest.min(time);
                if case.allowed(*backend).is_some_and(|allowed| time > allowed) {
                    mark = '!';
                }
            }
            print!(" {:>14}{mark}", number(time));
        }
        match case.target {
            Some(target) if fastest.is_finite() => println!(" {:>7.2}", fastest / target),
            _ => println!(),
        }
        for fault in faults {
            println!("    wrong: {fault}");
            wrong = true;
        }
    }
    ExitCode::from(u8::from(wrong))
}

/// Three digits.
fn number(x: f64) -> String {
    match x {
        x if x < 10.0 => format!("{x:.3}"),
        x if x < 100.0 => format!("{x:.2}"),
        x => format!("{x:.1}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn count(n: usize) -> f64 {
    n as f64
}
