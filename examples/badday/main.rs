//! The laboratory for a bad day: what becomes of clients when an upstream is killed, a reader is slow, thousands of
//! connections are idle, a crowd asks for what may not be stored, far more is asked for than there is memory, the
//! gateway itself is killed, some clients mean harm, or gateways that share what is invalidated lose each other.
//!
//! `cargo run --release --example badday -- kill | slow-reader | idle | no-store | churn | restarts | hostile | fleet`, each bounded, on loopback
//! alone, and with a table of what was seen beside what was wanted; it exits with an error where they differ. The gateway,
//! upstreams that are killed and clients in great number are processes of their own: this program again.

#[path = "../kit/mod.rs"]
mod kit;

mod churn;
mod fleet;
mod hostile;
mod idle;
mod kill;
mod no_store;
mod peer;
mod restarts;
mod slow_reader;
mod table;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hostile::attack::{Attack, attack};
use table::Table;

// As the program itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bookend on a bad day
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    experiment: Experiment,
}

#[derive(Debug, Subcommand)]
enum Experiment {
    /// One of three upstreams is killed under load, and started again
    Kill,
    /// One of ten readers of a large body is slow
    SlowReader {
        /// Bytes of the body
        #[arg(long, default_value_t = 200_000_000)]
        size: usize,
    },
    /// Thousands of idle connections are kept open
    Idle {
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
    },
    /// A crowd asks for what turns out not to be for storing
    NoStore,
    /// Far more is stored than there is memory for
    Churn {
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// A gateway with a disk tier is killed again and again
    Restarts {
        #[arg(long, default_value_t = 100)]
        kills: usize,
        /// Books that are asked for
        #[arg(long, default_value_t = 4_000)]
        keys: usize,
    },
    /// Clients that mean harm, beside others
    Hostile {
        /// One attack alone
        only: Option<Attack>,
    },
    /// Three gateways with a common server of Redis, of which one thing after another goes wrong
    Fleet(fleet::Options),
    /// The process that attacks
    #[command(hide = true)]
    Attack { kind: Attack, addr: SocketAddr },
    /// The process that is an upstream
    #[command(hide = true)]
    Upstream { addr: SocketAddr },
    /// The process that is many clients
    #[command(hide = true)]
    Clients { addr: SocketAddr, count: usize },
}

fn main() -> ExitCode {
    if let Some(exit) = kit::gateway_main() {
        return exit;
    }
    let experiment = Arguments::parse().experiment;
    let table = Table::default();
    let done = kit::runtime().block_on(async {
        match experiment {
            Experiment::Kill => kill::run(&table).await,
            Experiment::SlowReader { size } => slow_reader::run(&table, size).await,
            Experiment::Idle { connections } => idle::run(&table, connections).await,
            Experiment::NoStore => no_store::run(&table).await,
            Experiment::Churn { seconds } => churn::run(&table, seconds).await,
            Experiment::Restarts { kills, keys } => restarts::run(&table, kills, keys).await,
            Experiment::Hostile { only } => hostile::run(&table, only).await,
            Experiment::Fleet(options) => fleet::run(&table, options).await,
            Experiment::Attack { kind, addr } => attack(kind, addr).await,
            Experiment::Upstream { addr } => kill::upstream(addr).await,
            Experiment::Clients { addr, count } => idle::clients(addr, count).await,
        }
    });
    if let Err(error) = done {
        eprintln!("the experiment came to no end: {error}");
        return ExitCode::FAILURE;
    }
    table.verdict()
}
