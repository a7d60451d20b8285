//! An hour's traffic in a minute: a gateway in front of an API that fails now and then, clients of all kinds, more keys
//! than fit into memory, writes, slow readers. Every response tells its key, version and variant and is checked: never
//! older than the last completed write through the gateway, never mixed, never short and whole-looking.
//!
//! `cargo run --release --example soak -- --seconds 60 --seed 1`
//!
//! Ends with 1 where anything was wrong. `--sabotage` spoils one response in a hundred or so on its way, outside of the
//! gateway, to show that this would be seen.

#[path = "../kit/mod.rs"]
mod kit;

mod client;
mod library;
mod origin;
mod report;

use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use kit::child::Gateway;
use kit::{Random, Watch};
use library::Library;
use report::Report;

// As the gateway's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Clone, Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The gateway's memory, in MiB
    #[arg(long, default_value_t = 32)]
    memory: u64,
    /// What goes wrong outside of the gateway, for the checks to find
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
}

/// What to spoil.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sabotage {
    /// A write goes past the gateway.
    SkipInvalidation,
    /// A variant is answered with another's content.
    SwapVariants,
    /// A body lacks a piece in its middle and ends as if it were whole.
    DropChunk,
}

fn main() -> ExitCode {
    if let Some(exit) = kit::gateway_main() {
        return exit;
    }
    let arguments = Arguments::parse();
    kit::runtime().block_on(soak(&arguments))
}

async fn soak(arguments: &Arguments) -> ExitCode {
    let library = Rc::new(Library::new(arguments.seed, arguments.sabotage));
    let origin = origin::start(library.clone()).await;
    let mut gateway = Gateway::start(&config(origin, arguments.memory));
    println!(
        "{} keys, {:.0} MiB of content before a gateway of {} MiB; seed {}",
        library.len(),
        library.total_bytes() as f64 / f64::from(1 << 20),
        arguments.memory,
        arguments.seed
    );
    let watch = Watch::start();
    let report = Rc::new(Report::default());
    let end = Duration::from_secs(arguments.seconds);
    let mut clients = Vec::new();
    for (n, kind) in client::KINDS.iter().enumerate() {
        let client = client::Client {
            kind: *kind,
            gateway: gateway.addr(),
            origin,
            library: library.clone(),
            report: report.clone(),
            random: Random::new(arguments.seed * 1000 + n as u64),
            watch: watch.clone(),
            end,
        };
        clients.push(tokio::task::spawn_local(client.run()));
    }
    report.head();
    // Minute marks; tenths of shorter runs.
    let step = Duration::from_secs((arguments.seconds / 10).clamp(1, 60));
    let mut marks = 0;
    while watch.elapsed() < end {
        let next = step * (marks + 1);
        tokio::time::sleep(next.min(end).saturating_sub(watch.elapsed())).await;
        marks += 1;
        report.mark(watch.elapsed(), gateway.rss());
    }
    for client in clients {
        client.await.expect("a client that does not panic");
    }
    if !gateway.stop() {
        report.breach("the gateway did not end well");
    }
    report.conclude(arguments.memory << 20)
}

fn config(origin: std::net::SocketAddr, memory: u64) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n\
         [upstream]\nservers = [\"http://{origin}\"]\nresponse_timeout = \"2s\"\nbody_timeout = \"1s\"\n\
         [cache]\nmemory = \"{memory}MiB\"\nmax_stored_body = \"1MiB\"\n\
         [admin]\nlisten = \"off\"\n[log]\naccess = \"off\"\n"
    )
}
