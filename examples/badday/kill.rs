//! `kill -9` of one of three upstreams under load, and its return.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::kit::api::Api;
use crate::kit::child::{Gateway, Process};
use crate::kit::wire::{Head, Wire};
use crate::kit::{Random, Watch};
use crate::table::{Table, millis};

/// Requests a second, whether or not earlier ones have been answered.
const RATE: f64 = 2_000.0;

/// When things happen, in seconds from the start.
const KILLED: u64 = 3;
const RESTARTED: u64 = 8;
const END: u64 = 20;
/// Over how long the shares are counted at the end.
const COUNTED: u64 = 4;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[upstream]
servers = [SERVERS]
# For the whole to fit into twenty seconds; all else is as it comes.
[upstream.ejection]
time = "2s"
slow_start = "4s"
[admin]
listen = "127.0.0.1:0"
[log]
access = "off"
"#;

pub async fn run(table: &Table) -> io::Result<()> {
    let start = |addr: &str| {
        let mut process = Process::start(&["upstream", addr]);
        let addr = process.first_line();
        (process, addr)
    };
    let mut servers: Vec<(Process, String)> = (0..3).map(|_| start("127.0.0.1:0")).collect();
    let urls: Vec<String> = servers
        .iter()
        .map(|(_, addr)| format!("\"http://{addr}\""))
        .collect();
    let mut gateway = Gateway::start(&CONFIG.replace("SERVERS", &urls.join(", ")));
    let load = Rc::new(Load {
        gateway: gateway.addr(),
        watch: Watch::start(),
        idle: RefCell::default(),
        tally: Tally::default(),
    });
    let sender = spawn_local(load.clone().send());

    load.until(KILLED).await;
    let before = gateway.metrics().await?;
    let (mut victim, addr) = servers.remove(0);
    victim.kill();
    let killed = load.watch.elapsed();
    while gateway.logged("ejected") == 0 && load.watch.elapsed() < killed + Duration::from_secs(3) {
        sleep(Duration::from_millis(1)).await;
    }
    let ejected = load.watch.elapsed().saturating_sub(killed);
    load.until(RESTARTED).await;
    let after = gateway.metrics().await?;
    servers.push(start(&addr));
    load.until(END).await;
    sender.await?;
    while load.tally.open() > 0 && load.watch.elapsed() < Duration::from_secs(END + 10) {
        sleep(Duration::from_millis(20)).await;
    }

    load.tally.report(table);
    let delta = |name| value(&after, name).saturating_sub(value(&before, name));
    table.note(
        "upstream requests that failed while it was away",
        delta("bookend_upstream_errors_total"),
    );
    table.note(
        "tried again on another server",
        delta("bookend_upstream_retries_total"),
    );
    table.at_most(
        "ejected, ms after the kill (5 failures in a row)",
        millis(ejected),
        250.0,
        0,
    );
    let back = load.tally.share_at_end(servers[2].0.id());
    table.at_least("its share at the end, of a third", back * 3.0, 0.8, 2);
    let well = gateway.stop();
    table.line("the gateway ends well", well, true, well);
    Ok(())
}

fn value(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// What has become of the requests.
#[derive(Debug, Default)]
struct Tally {
    sent: Cell<u64>,
    right: Cell<u64>,
    hits: Cell<u64>,
    /// No head came.
    unanswered: Cell<u64>,
    /// The gateway had nothing better.
    errors: Cell<u64>,
    /// Begun, and broken off so that it shows.
    aborted: Cell<u64>,
    /// Whole to look at, but not what it should be.
    wrong: Cell<u64>,
    slowest: Cell<Duration>,
    /// Of the last seconds, by upstream process.
    shares: RefCell<BTreeMap<u32, u64>>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

impl Tally {
    fn open(&self) -> u64 {
        let ended = [
            &self.right,
            &self.unanswered,
            &self.errors,
            &self.aborted,
            &self.wrong,
        ];
        self.sent.get() - ended.iter().map(|cell| cell.get()).sum::<u64>()
    }

    fn share_at_end(&self, server: u32) -> f64 {
        let shares = self.shares.borrow();
        let all: u64 = shares.values().sum();
        shares.get(&server).copied().unwrap_or(0) as f64 / all.max(1) as f64
    }

    fn report(&self, table: &Table) {
        table.note("requests", self.sent.get());
        table.note("of these hits", self.hits.get());
        table.note(
            "slowest answer, ms",
            format!("{:.0}", millis(self.slowest.get())),
        );
        table.exactly("not answered at all", self.unanswered.get(), 0);
        table.exactly(
            "answered with an error of the gateway's",
            self.errors.get(),
            0,
        );
        table.exactly("short or wrong and whole to look at", self.wrong.get(), 0);
        table.exactly("still open", self.open(), 0);
        let aborted = self.aborted.get();
        table.line(
            "begun before the kill, and aborted for all to see",
            aborted,
            "at least 1",
            aborted > 0,
        );
    }
}

/// An open loop of requests.
struct Load {
    gateway: SocketAddr,
    watch: Watch,
    idle: RefCell<Vec<Wire>>,
    tally: Tally,
}

impl Load {
    async fn until(&self, second: u64) {
        sleep(Duration::from_secs(second).saturating_sub(self.watch.elapsed())).await;
    }

    async fn send(self: Rc<Self>) {
        let mut random = Random::new(7);
        while self.watch.elapsed() < Duration::from_secs(END) {
            let due = (self.watch.elapsed().as_secs_f64() * RATE) as u64;
            while self.tally.sent.get() < due {
                count(&self.tally.sent);
                let class = if random.chance(500) { "books" } else { "loans" };
                let target = format!("/{class}/{}", random.below(400));
                spawn_local(self.clone().request(target));
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn request(self: Rc<Self>, target: String) {
        let begun = self.watch.elapsed();
        let tally = &self.tally;
        let kept = self.idle.borrow_mut().pop();
        let wire = match kept {
            Some(wire) => Ok(wire),
            None => Wire::connect(self.gateway).await,
        };
        let Ok(mut wire) = wire else {
            return count(&tally.unanswered);
        };
        let request = format!("GET {target} HTTP/1.1\r\nHost: lab\r\n\r\n");
        let head = match wire.write(request.as_bytes()).await {
            Ok(()) => wire.head().await,
            Err(error) => Err(error),
        };
        let Ok(head) = head else {
            return count(&tally.unanswered);
        };
        let mut body = Vec::new();
        if wire.body(&head, &mut body).await.is_err() {
            return count(&tally.aborted);
        }
        if head.status() >= 500 {
            eprintln!(
                "{} for {target}: {:?}",
                head.first_line,
                head.field("proxy-status")
            );
            count(&tally.errors);
        } else if head.status() != 200 || body != content(&target) {
            count(&tally.wrong);
        } else {
            count(&tally.right);
        }
        self.note_server(&head);
        let took = self.watch.elapsed().saturating_sub(begun);
        tally.slowest.set(tally.slowest.get().max(took));
        self.idle.borrow_mut().push(wire);
    }

    fn note_server(&self, head: &Head) {
        let is_hit = head
            .field("cache-status")
            .is_some_and(|status| status.contains("; hit"));
        if is_hit {
            return count(&self.tally.hits);
        }
        let server = head.field("x-server").and_then(|pid| pid.parse().ok());
        if let Some(server) = server
            && self.watch.elapsed() > Duration::from_secs(END - COUNTED)
        {
            *self.tally.shares.borrow_mut().entry(server).or_default() += 1;
        }
    }
}

/// What is right for a target.
fn content(target: &str) -> Vec<u8> {
    let seed = target.bytes().fold(7, |sum: u64, octet| {
        sum * 131 % 1_000_003 + u64::from(octet)
    });
    let mut random = Random::new(seed);
    let words = 40 + seed % 2_000;
    (0..words)
        .flat_map(|_| random.next().to_le_bytes())
        .collect()
}

/// The process that is one of the three: some of its answers are thought about, some take their time to come.
pub async fn upstream(addr: SocketAddr) -> io::Result<()> {
    let api = Api::start(addr, async |head: &Head, wire: &mut Wire| {
        let (_, target) = head.request();
        let content = content(target);
        let number: u64 = target.rsplit('/').next().map_or(Ok(0), str::parse).unwrap_or(0);
        if number % 10 < 3 {
            sleep(Duration::from_millis(20)).await;
        }
        let pieces = if number % 10 > 7 { 10 } else { 1 };
        let cache = match target.starts_with("/books") {
            true => "max-age=2",
            false => "no-store",
        };
        let chunked = number.is_multiple_of(2);
        let framing = match chunked {
            true => "Transfer-Encoding: chunked".to_owned(),
            false => format!("Content-Length: {}", content.len()),
        };
        let server = std::process::id();
        wire.write(
            format!(
                "HTTP/1.1 200 OK\r\nCache-Control: {cache}\r\nX-Server: {server}\r\n{framing}\r\n\r\n"
            )
            .as_bytes(),
        )
        .await?;
        for piece in content.chunks(content.len().div_ceil(pieces)) {
            if pieces > 1 {
                sleep(Duration::from_millis(10)).await;
            }
            if chunked {
                wire.write(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            }
            wire.write(piece).await?;
            if chunked {
                wire.write(b"\r\n").await?;
            }
        }
        if chunked {
            wire.write(b"0\r\n\r\n").await?;
        }
        Ok(())
    })
    .await?;
    println!("{}", api.addr);
    // It is killed before.
    sleep(Duration::from_secs(120)).await;
    Ok(())
}
