//! One slow reader among ten of a large body whose length is not known beforehand.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use crate::kit::api::Api;
use crate::kit::child::Gateway;
use crate::kit::wire::{Head, Pace, Wire};
use crate::kit::{Random, Watch};
use crate::table::{Table, median, mib};

const FAST: usize = 9;
const ROUNDS: usize = 5;
const CHUNK: usize = 64 << 10;

/// 10 KB a second.
const SLOWLY: Pace = Pace {
    pause: Duration::from_millis(100),
    most: 1_000,
};

/// What the gateway may hold of the body: what it keeps until it knows that the body is too large to be stored, then the
/// window.
const STORABLE: u64 = 8 << 20;
const WINDOW: u64 = 1 << 20;
/// What a connection may hold: hyper's write buffer, 400 KiB, and the read buffer of the one upstream.
const BUFFERS: u64 = 512 << 10;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[upstream]
servers = ["http://ORIGIN"]
[cache]
max_stored_body = "8MiB"
window = "1MiB"
[admin]
listen = "off"
[log]
access = "off"
"#;

pub async fn run(table: &Table, size: usize) -> io::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let pattern: Rc<[u8]> = {
        let mut random = Random::new(3);
        (0..CHUNK).map(|_| random.next() as u8).collect()
    };
    let sent = pattern.clone();
    let api = Api::start(any, async move |_: &Head, wire: &mut Wire| {
        // Time for all ten to have asked.
        sleep(Duration::from_millis(500)).await;
        send(wire, &sent, size).await
    })
    .await?;
    let gateway = Gateway::start(&CONFIG.replace("ORIGIN", &api.addr.to_string()));
    let lab = Lab {
        gateway,
        pattern,
        size,
    };
    lab.round(0, false).await?;
    let mut asked = api.requests();
    let before = lab.gateway.rss();
    let (mut ratios, mut most) = (Vec::new(), 0);
    for round in 1..=ROUNDS {
        let alone = lab.round(2 * round, false).await?;
        let beside = lab.round(2 * round + 1, true).await?;
        let slow = beside.slow.as_ref().expect("a slow reader");
        table.note(
            &format!("round {round}: nine without a slow one, s"),
            format!("{:.2}", alone.took.as_secs_f64()),
        );
        table.note(
            &format!("round {round}: nine beside a slow one, s"),
            format!("{:.2}", beside.took.as_secs_f64()),
        );
        for (round, what) in [(&alone, "without"), (&beside, "beside")] {
            table.exactly(
                &format!("whole and right, {what} it"),
                round.whole,
                FAST as u64,
            );
        }
        let aborted = slow.is_aborted && slow.bytes < size as u64;
        table.line(
            &format!("the slow one, after {} bytes", slow.bytes),
            if aborted { "aborted" } else { "not aborted" },
            "aborted",
            aborted,
        );
        let requests = api.requests() - asked;
        asked += requests;
        table.exactly("requests to the API, of both runs", requests, 2);
        ratios.push(beside.took.as_secs_f64() / alone.took.as_secs_f64());
        most = beside.rss.max(most);
    }
    table.at_most(
        "the nine, times that without the slow one (median)",
        median(ratios),
        1.2,
        2,
    );
    table.at_most(
        "RSS grown by, MiB",
        mib(most.saturating_sub(before)),
        mib(STORABLE + WINDOW + (FAST as u64 + 2) * BUFFERS),
        1,
    );
    Ok(())
}

async fn send(wire: &mut Wire, pattern: &[u8], size: usize) -> io::Result<()> {
    wire.write(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    .await?;
    let mut left = size;
    while left > 0 {
        let some = left.min(CHUNK);
        wire.write(format!("{some:x}\r\n").as_bytes()).await?;
        wire.write(&pattern[..some]).await?;
        wire.write(b"\r\n").await?;
        left -= some;
    }
    wire.write(b"0\r\n\r\n").await
}

struct Lab {
    gateway: Gateway,
    pattern: Rc<[u8]>,
    size: usize,
}

/// What became of one run.
struct Round {
    /// Until the last of the fast ones was through.
    took: Duration,
    /// Fast ones who got all of it, and nothing else.
    whole: u64,
    slow: Option<Read>,
    /// The most that was resident.
    rss: u64,
}

/// What a reader got.
struct Read {
    bytes: u64,
    is_right: bool,
    is_aborted: bool,
}

impl Lab {
    async fn round(&self, key: usize, with_slow: bool) -> io::Result<Round> {
        let watch = Watch::start();
        let pace = Rc::new(Cell::new(Some(SLOWLY)));
        let slow = with_slow.then(|| self.read(key, pace.clone()));
        let mut fast: Vec<_> = (0..FAST).map(|_| self.read(key, Rc::default())).collect();
        let mut rss = 0;
        while fast.iter().any(|reader| !reader.is_finished()) {
            sleep(Duration::from_millis(10)).await;
            rss = self.gateway.rss().max(rss);
        }
        let took = watch.elapsed();
        let mut whole = 0;
        for reader in fast.drain(..) {
            let read = reader.await??;
            let is_whole = read.is_right && !read.is_aborted && read.bytes == self.size as u64;
            whole += u64::from(is_whole);
        }
        // What is still on its way to the slow one need not be waited for at its pace.
        pace.set(None);
        let slow = match slow {
            Some(slow) => Some(slow.await??),
            None => None,
        };
        Ok(Round {
            took,
            whole,
            slow,
            rss,
        })
    }

    fn read(&self, key: usize, pace: Rc<Cell<Option<Pace>>>) -> JoinHandle<io::Result<Read>> {
        let (addr, pattern) = (self.gateway.addr(), self.pattern.clone());
        spawn_local(async move {
            let socket = TcpSocket::new_v4()?;
            if pace.get().is_some() {
                // The system would take megabytes for it, minutes at its pace.
                socket.set_recv_buffer_size(16 << 10)?;
            }
            let mut wire = Wire::new(socket.connect(addr).await?);
            wire.pace = pace;
            wire.write(format!("GET /exports/{key} HTTP/1.1\r\nHost: lab\r\n\r\n").as_bytes())
                .await?;
            let head = wire.head().await?;
            let (mut bytes, mut is_right) = (0, true);
            let end = wire
                .content(&head, &mut |some| {
                    is_right &= fits(&pattern, bytes, some);
                    bytes += some.len() as u64;
                })
                .await;
            Ok(Read {
                bytes,
                is_right,
                is_aborted: end.is_err(),
            })
        })
    }
}

/// Whether `some` is what comes after `from` bytes.
fn fits(pattern: &[u8], from: u64, mut some: &[u8]) -> bool {
    let mut at = (from % CHUNK as u64) as usize;
    while !some.is_empty() {
        let length = some.len().min(CHUNK - at);
        if some[..length] != pattern[at..at + length] {
            return false;
        }
        some = &some[length..];
        at = 0;
    }
    true
}
