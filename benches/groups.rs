//! The criterion benchmarks, in the groups `cross_entropy`, `binary` and `kernels`. Every case has this crate on each
//! backend, the plain loop over `std`, and the floor: only reading the input.
//!
//! ```text
//! cargo bench --bench groups                             # all of it takes about ten minutes
//! cargo bench --bench groups -- cross_entropy/ce/4096    # a part, by the beginning or any other part of the name
//! ```
//!
//! `table.rs` has the same cases in one table, in less time; criterion compares with its last run and shows the spread.

mod common;

use std::time::Duration;

use common::{Bench, Runner, cases};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

fn run(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group(name);
    group
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20);
    for case in cases().into_iter().filter(|case| case.group == name) {
        group.throughput(Throughput::Elements(case.elements() as u64));
        // Made when the first benchmark that the filter lets through asks for it.
        let mut bench = None;
        for runner in Runner::all() {
            group.bench_function(BenchmarkId::new(case.name, runner.name()), |bencher| {
                let bench = bench.get_or_insert_with(|| Bench::new(case));
                if let Err(fault) = runner.check(bench) {
                    panic!("{fault}");
                }
                bencher.iter(|| runner.run(bench));
            });
        }
    }
    group.finish();
}

fn cross_entropy(criterion: &mut Criterion) {
    run(criterion, "cross_entropy");
}

fn binary(criterion: &mut Criterion) {
    run(criterion, "binary");
}

fn kernels(criterion: &mut Criterion) {
    run(criterion, "kernels");
}

criterion_group!(groups, cross_entropy, binary, kernels);
criterion_main!(groups);
