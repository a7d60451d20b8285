//! Whole requests over loopback TCP, sixteen connections in step: the time of one, kernel and client included.

#[allow(dead_code, reason = "shared with the benches of purges and of memory")]
mod common;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const CONNECTIONS: usize = 16;

fn whole_requests(criterion: &mut Criterion) {
    let gateway = common::Gateway::start();
    let mut group = criterion.benchmark_group("whole");
    group
        .throughput(Throughput::Elements(CONNECTIONS as u64))
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for (name, request) in common::requests() {
        let mut clients = gateway.clients(CONNECTIONS, &request);
        group.bench_function(name, |bencher| bencher.iter(|| clients.turn()));
    }
    group.finish();
}

criterion_group!(benches, whole_requests);
criterion_main!(benches);
