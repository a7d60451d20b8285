//! How many requests reach the API behind a fleet of gateways, with and without a shared tier: a simulation without sockets.
//!
//! `cargo run --release --example fleet -- --gateways 50 --keys 10000000` takes seconds, and prints the same for the same seed.

mod model;

use std::process::ExitCode;

use clap::Parser;
use model::{Counts, Fleet};

/// Simulates a fleet of gateways
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 50)]
    gateways: usize,
    #[arg(long, default_value_t = 10_000_000)]
    keys: usize,
    /// The n-th key is asked for as often as n to the power of minus this
    #[arg(long, default_value_t = 1.0)]
    zipf: f64,
    /// Requests a second, of all gateways together
    #[arg(long, default_value_t = 50_000.0)]
    rate: f64,
    /// Seconds for which what is fetched is fresh
    #[arg(long, default_value_t = 60.0)]
    ttl: f64,
    /// MiB of memory for the cache of a gateway
    #[arg(long, default_value_t = 256)]
    memory: u64,
    /// Bytes of a stored response, its head and its place in the index included
    #[arg(long, default_value_t = 2_048)]
    size: u64,
    /// MiB of the shared tier
    #[arg(long, default_value_t = 8_192)]
    shared_memory: u64,
    /// Purges a second, each of one key, chosen as requests are
    #[arg(long, default_value_t = 10.0)]
    purges: f64,
    /// Seconds that are counted, after one lifetime that is not
    #[arg(long, default_value_t = 60.0)]
    counted: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let given = Arguments::parse();
    if given.gateways == 0 || given.keys == 0 || given.keys >= u32::MAX as usize || given.rate < 1.0
    {
        eprintln!(
            "there must be gateways, fewer than 4 billion keys, and at least one request a second"
        );
        return ExitCode::FAILURE;
    }
    let keys = |mib: u64| (mib << 20).div_ceil(given.size.max(1)) as usize;
    let fleet = |is_shared| Fleet {
        gateways: given.gateways,
        keys: given.keys,
        zipf: given.zipf,
        rate: given.rate,
        ttl: given.ttl,
        room: keys(given.memory),
        purges: given.purges,
        is_shared,
        shared_room: keys(given.shared_memory),
        warm: given.ttl,
        counted: given.counted,
        seed: given.seed,
    };
    println!(
        "{} gateways with room for {} keys each, {} keys, {} requests/s, fresh for {} s, {} purges/s",
        given.gateways,
        fleet(false).room,
        given.keys,
        given.rate,
        given.ttl,
        given.purges
    );
    println!(
        "{:<22} {:>12} {:>14} {:>16} {:>14}",
        "", "hits, %", "shared, %", "to the API/s", "of all, %"
    );
    let each = [false, true].map(|is_shared| (is_shared, fleet(is_shared).run()));
    for (is_shared, counts) in each {
        let name = if is_shared {
            "with a shared tier"
        } else {
            "without a shared tier"
        };
        let part = |count: u64| 100.0 * count as f64 / counts.requests.max(1) as f64;
        println!(
            "{name:<22} {:>12.2} {:>14.2} {:>16.0} {:>14.2}",
            part(counts.hits),
            part(counts.shared),
            counts.upstream as f64 / given.counted,
            part(counts.upstream)
        );
    }
    let [
        (
            _,
            Counts {
                upstream: alone, ..
            },
        ),
        (
            _,
            Counts {
                upstream: shared, ..
            },
        ),
    ] = each;
    println!(
        "the API gets {:.1} times as many without it",
        alone as f64 / shared.max(1) as f64
    );
    ExitCode::SUCCESS
}
