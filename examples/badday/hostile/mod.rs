//! Clients that mean harm, one kind after another, and what they cost all others: the latency of hits, misses that fail, and
//! the gateway's memory.

pub mod attack;
mod frames;

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use clap::ValueEnum as _;
use tokio::task::spawn_local;
use tokio::time::{interval, sleep};

use crate::kit::Watch;
use crate::kit::api::Api;
use crate::kit::child::{Gateway, Process};
use crate::kit::wire::{Head, Wire};
use crate::table::{Table, median, mib, millis};
use attack::Attack;

/// Connections of clients that mean no harm, and how often each asks.
const CLIENTS: usize = 8;
const EVERY: Duration = Duration::from_millis(4);
/// Of so many requests of theirs one is a miss.
const MISS: u32 = 10;
const MEASURED: Duration = Duration::from_secs(2);
/// Time between the start of an attack and its measurement.
const BEGUN: Duration = Duration::from_secs(1);
const ROUNDS: usize = 3;

/// The 99th percentile of hits, and of misses, may be so many times what it is without an attack,
const TIMES: f64 = 2.0;
/// or so many milliseconds: the attacker, the clients and the API share the gateway's two cores.
const FLOOR: f64 = 5.0;
/// Resident memory, in MiB, whatever an attack does.
const MEMORY: f64 = 160.0;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
workers = 1
[upstream]
servers = ["http://ORIGIN"]
[cache]
memory = "32MiB"
[admin]
listen = "off"
[log]
access = "off"
"#;

/// What clients saw.
#[derive(Debug, Default)]
struct Seen {
    /// Milliseconds each.
    hits: Vec<f64>,
    misses: Vec<f64>,
    failed: u64,
}

/// The 99th percentiles of each round, in milliseconds.
#[derive(Debug, Default)]
struct Percentiles {
    hits: Vec<f64>,
    misses: Vec<f64>,
}

impl Percentiles {
    fn add(&mut self, seen: Seen) {
        self.hits.push(p99(seen.hits));
        self.misses.push(p99(seen.misses));
    }
}

pub async fn run(table: &Table, only: Option<Attack>) -> io::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let api = Api::start(any, answer).await?;
    for attack in Attack::value_variants() {
        if only.is_some_and(|only| only != *attack) {
            continue;
        }
        let gateway = Gateway::start(&CONFIG.replace("ORIGIN", &api.addr.to_string()));
        let serial = Rc::new(Cell::new(0));
        measure(gateway.addr(), &serial).await?;
        let (mut quiet, mut attacked) = (Percentiles::default(), Percentiles::default());
        let (mut misses, mut failed, mut most, mut busy) = (0, 0, 0, Vec::new());
        for _ in 0..ROUNDS {
            quiet.add(measure(gateway.addr(), &serial).await?);
            let name = attack.to_possible_value().expect("a name");
            let mut attacker =
                Process::start(&["attack", name.get_name(), &gateway.addr().to_string()]);
            if attacker.first_line() != "begun" {
                return Err(io::Error::other("an attack that does not begin"));
            }
            sleep(BEGUN).await;
            let before = gateway.cpu();
            let seen = measure(gateway.addr(), &serial).await?;
            let cpu = gateway.cpu().saturating_sub(before).as_secs_f64();
            busy.push(100.0 * cpu / MEASURED.as_secs_f64());
            most = most.max(gateway.rss());
            misses += seen.misses.len();
            failed += seen.failed;
            attacked.add(seen);
        }
        let what = attack.what();
        for (kind, quiet, attacked) in [
            (format!("{what}: hits"), quiet.hits, attacked.hits),
            ("  misses".to_owned(), quiet.misses, attacked.misses),
        ] {
            let (quiet, attacked) = (median(quiet), median(attacked));
            table.line(
                &format!("{kind}' p99 beside it, ms"),
                format!("{attacked:.2}"),
                format!("{quiet:.2} without it"),
                attacked <= (quiet * TIMES).max(FLOOR),
            );
        }
        table.exactly(&format!("  failed, of {misses} misses"), failed, 0);
        table.at_most("  resident memory, MiB", mib(most), MEMORY, 1);
        table.note(
            "  the gateway's processor time, %",
            format!("{:.0}", median(busy)),
        );
    }
    Ok(())
}

/// The API: a small answer for its own time, or a large one.
async fn answer(head: &Head, wire: &mut Wire) -> io::Result<()> {
    let (_, target) = head.request();
    let length = match target {
        "/large" => 4 << 20,
        _ => 1024,
    };
    if target.starts_with("/miss") {
        sleep(Duration::from_millis(5)).await;
    }
    let content = "x".repeat(length);
    wire.write(
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: {length}\r\n\r\n{content}")
            .as_bytes(),
    )
    .await
}

fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() * 99 / 100)
        .copied()
        .unwrap_or(f64::INFINITY)
}

async fn measure(addr: SocketAddr, serial: &Rc<Cell<u64>>) -> io::Result<Seen> {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| spawn_local(ask(addr, serial.clone())))
        .collect();
    let mut all = Seen::default();
    for client in clients {
        let seen = client.await?;
        all.hits.extend(seen.hits);
        all.misses.extend(seen.misses);
        all.failed += seen.failed;
    }
    Ok(all)
}

/// One client that asks again and again, at its own pace.
async fn ask(addr: SocketAddr, serial: Rc<Cell<u64>>) -> Seen {
    let mut seen = Seen::default();
    let watch = Watch::start();
    let mut ticks = interval(EVERY);
    let mut wire = None;
    let mut count = 0;
    while watch.elapsed() < MEASURED {
        ticks.tick().await;
        count += 1;
        let is_miss = count % MISS == 0;
        let target = match is_miss {
            true => format!("/miss/{}", serial.replace(serial.get() + 1)),
            false => "/hit".to_owned(),
        };
        let begun = watch.elapsed();
        let done = exchange(&mut wire, addr, &target).await;
        let took = millis(watch.elapsed() - begun);
        match is_miss {
            true => seen.misses.push(took),
            false => seen.hits.push(took),
        }
        if done.is_err() {
            seen.failed += 1;
            wire = None;
        }
    }
    seen
}

async fn exchange(wire: &mut Option<Wire>, addr: SocketAddr, target: &str) -> io::Result<()> {
    let wire = match wire {
        Some(wire) => wire,
        None => wire.insert(Wire::connect(addr).await?),
    };
    wire.write(format!("GET {target} HTTP/1.1\r\nHost: lab\r\n\r\n").as_bytes())
        .await?;
    let head = wire.head().await?;
    wire.content(&head, &mut |_| {}).await?;
    match head.status() {
        200 => Ok(()),
        status => Err(io::Error::other(format!("a status {status}"))),
    }
}
