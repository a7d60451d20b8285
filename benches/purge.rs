//! `purge [N]`: stores N responses, half of them with one tag, and tells how long purges of every kind take through the admin
//! API, and how long hits and misses of others take meanwhile, beside as many without a purge.

#![allow(
    clippy::disallowed_methods,
    reason = "a bench measures time, which the gateway reads in one place"
)]

#[allow(dead_code, reason = "shared with the benches of speed")]
mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Clients, Gateway, NUMBER, get};

/// How long what others get is watched without a purge.
const CALM: Duration = Duration::from_secs(2);

const ROUNDS: usize = 5;

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"));
    let responses: usize = args
        .next()
        .map_or(2_000, |n| n.parse().expect("a number of responses"));
    let gateway = Gateway::start();
    let mut store = [
        gateway.clients(16, &get(&format!("/tagged/{NUMBER}"), "")),
        gateway.clients(16, &get(&format!("/books/{NUMBER}"), "")),
    ];
    let mut fill = |which: &mut dyn FnMut(&mut Clients)| store.iter_mut().for_each(which);
    let half = responses / 2;
    for (kind, named) in [
        ("tag", "group=shelf"),
        ("prefix", "prefix=/tagged"),
        ("prefix of one resource", "prefix=/books/0000007"),
        ("URL on every host", "url=/books/0000008"),
        ("nothing", "group=none"),
        ("all", "all=true"),
    ] {
        for _ in 0..ROUNDS {
            fill(&mut |clients| clients.store_again(half));
            let calm = Others::watch(&gateway, || thread::sleep(CALM));
            let mut took = Duration::ZERO;
            let mut purged = String::new();
            let meanwhile = Others::watch(&gateway, || (took, purged) = purge(&gateway, named));
            println!(
                "{kind}: {took:.1?} {purged}; others' hits p99 {} (max {}) against {} (max {}), misses {} against {}",
                meanwhile.hits.at(0.99),
                meanwhile.hits.at(1.0),
                calm.hits.at(0.99),
                calm.hits.at(1.0),
                meanwhile.misses.at(0.99),
                calm.misses.at(0.99),
            );
        }
    }
}

/// Purges, and returns how long that took and what the answer says.
fn purge(gateway: &Gateway, named: &str) -> (Duration, String) {
    let mut socket = TcpStream::connect(gateway.admin()).expect("an admin API");
    let request = format!(
        "POST /purge?{named} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        gateway.admin()
    );
    let begun = Instant::now();
    socket
        .write_all(request.as_bytes())
        .expect("an admin API that reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    let body = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
    (begun.elapsed(), body.trim().to_owned())
}

/// What others get: a client of hits, and one of misses.
struct Others {
    hits: Times,
    misses: Times,
}

struct Times(Vec<Duration>);

impl Times {
    /// The time that this part of the requests took at most.
    fn at(&self, part: f64) -> String {
        let mut times = self.0.clone();
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        let time = times.get((last as f64 * part).round() as usize);
        format!("{:.2?}", time.copied().unwrap_or_default())
    }
}

impl Others {
    /// Watches them while `during` runs.
    fn watch(gateway: &Gateway, during: impl FnOnce()) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let watch = |request: String| {
            let (mut clients, done) = (gateway.clients(1, &request), done.clone());
            thread::spawn(move || {
                let mut times = Vec::new();
                while !done.load(Ordering::Relaxed) || times.len() < 100 {
                    let begun = Instant::now();
                    clients.turn();
                    times.push(begun.elapsed());
                }
                Times(times)
            })
        };
        let hits = watch(get("/other/1", ""));
        // Another path each time: none of it is stored.
        static NTH: AtomicUsize = AtomicUsize::new(0);
        let nth = NTH.fetch_add(1, Ordering::Relaxed);
        let misses = watch(get(&format!("/cold-{nth}/{NUMBER}"), ""));
        during();
        done.store(true, Ordering::Relaxed);
        Self {
            hits: hits.join().expect("hits"),
            misses: misses.join().expect("misses"),
        }
    }
}
