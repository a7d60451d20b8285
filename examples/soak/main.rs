//! An hour's traffic in a minute: a gateway in front of an API that fails now and then, clients of all kinds, more keys
//! than fit into memory, writes, slow readers. Every response tells its key, version and variant and is checked: never
//! older than the last completed write through the gateway, never mixed, never short and whole-looking. Beside them
//! uploads, streams of events and changes of protocol, each checked at both of its ends; and a second, smaller gateway
//! before an API that speaks HTTP/2.
//!
//! `cargo run --release --example soak -- --seconds 60 --seed 1`
//!
//! Ends with 1 where anything was wrong. `--sabotage` spoils one response in a hundred or so on its way, outside of the
//! gateway, to show that this would be seen.

#[path = "../kit/mod.rs"]
mod kit;

mod api;
mod client;
mod events;
mod exchange;
mod ledger;
mod library;
mod link;
mod report;
mod sending;
mod upgrades;
mod uploads;
mod world;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use api::Protocol;
use client::{Client, Kind};
use kit::child::Gateway;
use kit::{Random, Watch};
use library::Library;
use report::{Memory, Report};
use world::World;

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

/// Books, and memory in MiB, of the gateway before an API that speaks HTTP/1.1 are what the arguments say; these are
/// those of the other one.
const H2C_BOOKS: u64 = 900;
const H2C_MEMORY: u64 = 8;

const BOOKS: u64 = 4000;

async fn soak(arguments: &Arguments) -> ExitCode {
    let watch = Watch::start();
    let report = Rc::new(Report::default());
    let memories = [
        Memory {
            name: "memory",
            budget: arguments.memory << 20,
            growth: 1.05,
            marks: RefCell::default(),
        },
        Memory {
            name: "memory before h2c",
            budget: H2C_MEMORY << 20,
            // A few large bodies on their way are much of so little.
            growth: 1.1,
            marks: RefCell::default(),
        },
    ];
    let library = |books, seed| Library::new(books, seed, arguments.sabotage);
    let whole = library(BOOKS, arguments.seed);
    println!(
        "{} keys, {:.0} MiB of content before a gateway of {} MiB; seed {}",
        whole.len(),
        whole.total_bytes() as f64 / f64::from(1 << 20),
        arguments.memory,
        arguments.seed
    );
    let whole = World::new(Protocol::Http1, whole, &report, &watch);
    let small = library(H2C_BOOKS, !arguments.seed);
    let small = World::new(Protocol::H2c, small, &report, &watch);
    let end = Duration::from_secs(arguments.seconds);
    let mut clients = Vec::new();
    let mut gateways = Vec::new();
    let settings: [(_, _, &[Kind]); 2] = [
        (whole, Protocol::Http1, &client::HTTP1),
        (small, Protocol::H2c, &client::H2C),
    ];
    for ((world, protocol, kinds), memory) in settings.into_iter().zip(&memories) {
        let world = Rc::new(world);
        let api = api::start(world.clone(), protocol).await;
        let gateway = Gateway::start(&config(api, protocol, memory.budget));
        for kind in kinds {
            let client = Client {
                kind: *kind,
                gateway: gateway.addr(),
                api,
                world: world.clone(),
                random: Random::new(arguments.seed * 1000 + clients.len() as u64),
                end,
            };
            clients.push(tokio::task::spawn_local(client.run()));
        }
        gateways.push(gateway);
    }
    report.head();
    // Minute marks; tenths of shorter runs.
    let step = Duration::from_secs((arguments.seconds / 10).clamp(1, 60));
    report.is_long.set(step == Duration::from_secs(60));
    let mut marks = 0;
    while watch.elapsed() < end {
        let next = step * (marks + 1);
        tokio::time::sleep(next.min(end).saturating_sub(watch.elapsed())).await;
        marks += 1;
        let mut resident = [0; 2];
        for ((gateway, memory), resident) in gateways.iter().zip(&memories).zip(&mut resident) {
            *resident = gateway.anonymous();
            memory.marks.borrow_mut().push(*resident);
        }
        report.mark(watch.elapsed(), resident);
    }
    for client in clients {
        client.await.expect("a client that does not panic");
    }
    for mut gateway in gateways {
        if !gateway.stop() {
            report.wrong("a gateway did not end well");
        }
    }
    report.conclude(&memories)
}

fn config(api: std::net::SocketAddr, protocol: Protocol, memory: u64) -> String {
    let protocol = match protocol {
        Protocol::Http1 => "http1",
        Protocol::H2c => "h2c",
    };
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n\
         [upstream]\nservers = [\"http://{api}\"]\nprotocol = \"{protocol}\"\n\
         response_timeout = \"10s\"\nbody_timeout = \"5s\"\n\
         [cache]\nmemory = {memory}\nmax_stored_body = \"1MiB\"\n\
         [admin]\nlisten = \"off\"\n[log]\naccess = \"off\"\n"
    )
}
