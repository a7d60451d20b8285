//! `density [N]`: stores N responses of 1 KB with six fields, and tells the bytes of memory that each has taken, index
//! included. Then it has a ledger remember N invalidations, each of one URL, and tells the same of them.

#[allow(dead_code, reason = "shared with the benches of speed")]
mod common;

use bookend::ledger::invalidation::{Invalidation, Matcher};
use bookend::ledger::remembered::Remembered;

/// Of a million at least: the octets that docs and `src/ledger` name, with what an allocation rounds up.
const MATCHER: f64 = 64.0;

fn main() {
    bookend::huge_pages::avoid();
    let mut args = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"));
    let responses: usize = args
        .next()
        .map_or(1_000, |n| n.parse().expect("a number of responses"));
    let gateway = common::Gateway::start();
    let request = format!(
        "GET /small/density-0/{} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
        common::NUMBER
    );
    // What comes first is not the responses': connections, pools, tables.
    let mut clients = gateway.clients(16, &request);
    let before = resident();
    clients.store(responses);
    let each = (resident() - before) / responses as f64;
    println!("{responses} responses: {each:.0} bytes of resident memory each");
    remember(responses);
}

/// Fails where a matcher takes more than it should; a few do not tell.
fn remember(matchers: usize) {
    let before = resident();
    let remembered = Remembered::new(matchers);
    remembered.begin(1);
    for number in 1..=matchers {
        let target = Matcher::target(format!("http://h/books/{number}"));
        remembered.apply(&Invalidation::hard(vec![target]), number as u64);
    }
    let each = (resident() - before) / matchers as f64;
    println!("{matchers} invalidations of a URL: {each:.0} bytes of resident memory each");
    assert!(
        matchers < 1_000_000 || each < MATCHER,
        "more than {MATCHER}"
    );
    drop(remembered);
}

/// Bytes of this process's memory that are resident.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process of Linux");
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kilobytes| kilobytes.parse::<f64>().ok());
    kilobytes.expect("a number of kilobytes") * 1024.0
}
