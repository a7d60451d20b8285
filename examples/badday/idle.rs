//! Thousands of connections that are kept open and idle.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::kit::Watch;
use crate::kit::api::Api;
use crate::kit::child::{Gateway, Process};
use crate::kit::wire::{Head, Wire};
use crate::peer::Nginx;
use crate::table::{Table, median, mib};

/// Processes that the idle clients are spread over: each may have so many files open.
const PROCESSES: usize = 2;
const ROUNDS: usize = 5;
const BUSY: usize = 32;
const MEASURED: Duration = Duration::from_secs(2);
/// After connections came or went: until the ones are idle, and the ends of the others have been seen.
const SETTLED: Duration = Duration::from_secs(3);

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
workers = 1
idle_timeout = "10m"
[upstream]
servers = ["http://ORIGIN"]
[cache]
memory = "64MiB"
[admin]
listen = "off"
[log]
access = "off"
"#;

const REQUEST: &[u8] = b"GET /books/1 HTTP/1.1\r\nHost: lab\r\n\r\n";

pub async fn run(table: &Table, connections: usize) -> io::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let api = Api::start(any, async |_: &Head, wire: &mut Wire| {
        let content = "x".repeat(1024);
        wire.write(
            format!(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 1024\r\n\r\n{content}"
            )
            .as_bytes(),
        )
        .await
    })
    .await?;
    let gateway = Gateway::start(&CONFIG.replace("ORIGIN", &api.addr.to_string()));
    rate(gateway.addr()).await?;
    let before = gateway.rss();
    let (mut rates, mut costs, mut each) = (Vec::new(), Vec::new(), 0.0);
    for round in 0..ROUNDS {
        let crowd = Crowd::gather(gateway.addr(), connections)?;
        sleep(SETTLED).await;
        if round == 0 {
            each = (gateway.rss() - before) as f64 / connections as f64 / 1024.0;
        }
        let with = measure(&gateway).await?;
        drop(crowd);
        sleep(SETTLED).await;
        let without = measure(&gateway).await?;
        table.note(
            &format!("round {round}: hits a second with them, and without"),
            format!("{:.0}, {:.0}", with.rate, without.rate),
        );
        table.note(
            "processor time of a hit, µs",
            format!("{:.2}, {:.2}", with.cost, without.cost),
        );
        rates.push(with.rate / without.rate);
        costs.push(with.cost / without.cost);
    }
    table.note("idle connections", connections);
    table.note("RSS before, MiB", format!("{:.1}", mib(before)));
    table.at_most("RSS a connection, KiB", each, 24.0, 1);
    match Nginx::start(api.addr).await? {
        None => table.note("nginx's RSS a connection", "not installed"),
        Some(nginx) => {
            rate(nginx.addr).await?;
            let before = nginx.rss();
            let crowd = Crowd::gather(nginx.addr, connections)?;
            sleep(SETTLED).await;
            let each = nginx.rss().saturating_sub(before) as f64 / connections as f64 / 1024.0;
            table.note("nginx's RSS a connection, KiB", format!("{each:.1}"));
            drop(crowd);
        }
    }
    table.at_least(
        "rate of hits with them, of that without",
        median(rates),
        0.9,
        2,
    );
    Ok(())
}

/// What hits cost.
struct Hits {
    /// A second.
    rate: f64,
    /// Microseconds of the gateway's processor time each.
    cost: f64,
}

async fn measure(gateway: &Gateway) -> io::Result<Hits> {
    let before = gateway.cpu();
    let rate = rate(gateway.addr()).await?;
    let cpu = gateway.cpu().saturating_sub(before).as_secs_f64();
    Ok(Hits {
        rate,
        cost: cpu * 1e6 / (rate * MEASURED.as_secs_f64()),
    })
}

/// Hits a second over a few busy connections.
async fn rate(addr: SocketAddr) -> io::Result<f64> {
    let watch = Rc::new(Watch::start());
    let busy: Vec<_> = (0..BUSY)
        .map(|_| {
            let watch = watch.clone();
            spawn_local(async move {
                let mut wire = Wire::connect(addr).await?;
                let mut count = 0;
                while watch.elapsed() < MEASURED {
                    exchange(&mut wire).await?;
                    count += 1;
                }
                io::Result::Ok(count)
            })
        })
        .collect();
    let mut hits = 0;
    for connection in busy {
        hits += connection.await??;
    }
    Ok(f64::from(hits) / watch.elapsed().as_secs_f64())
}

async fn exchange(wire: &mut Wire) -> io::Result<()> {
    wire.write(REQUEST).await?;
    let head = wire.head().await?;
    wire.content(&head, &mut |_| {}).await?;
    match head.status() {
        200 => Ok(()),
        status => Err(io::Error::other(format!("a status {status}"))),
    }
}

/// Idle clients, in processes of their own; gone when dropped.
struct Crowd {
    _processes: Vec<Process>,
}

impl Crowd {
    /// Returns when each has had an answer.
    fn gather(addr: SocketAddr, connections: usize) -> io::Result<Self> {
        let count = (connections / PROCESSES).to_string();
        let start = |_| Process::start(&["clients", &addr.to_string(), &count]);
        let mut processes: Vec<Process> = (0..PROCESSES).map(start).collect();
        for process in &mut processes {
            if process.first_line() != "idle" {
                return Err(io::Error::other("clients that do not all get an answer"));
            }
        }
        Ok(Self {
            _processes: processes,
        })
    }
}

/// The process that is many clients: each asks once, and stays.
pub async fn clients(addr: SocketAddr, count: usize) -> io::Result<()> {
    let enough = count as u64 + 64;
    rlimit::increase_nofile_limit(enough)?;
    let mut wires = Vec::with_capacity(count);
    for _ in 0..count {
        let mut wire = Wire::connect(addr).await?;
        exchange(&mut wire).await?;
        wires.push(wire);
    }
    println!("idle");
    // It is ended before.
    sleep(Duration::from_secs(120)).await;
    Ok(())
}
