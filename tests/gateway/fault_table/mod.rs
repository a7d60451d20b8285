//! An API that fails in every way at every point, seen by every kind of client: what the client gets, what is stored
//! after that, and that the next request is answered as if nothing had been.
//!
//! `cargo test --test gateway fault_table -- --nocapture` prints the table.

mod checks;
mod fault;
mod http1_faults;
mod http2_client;
mod http2_faults;
mod http2_server;
mod row;

use std::fmt::Write as _;
use std::thread;

use fault::Fault;
use row::{Kind, Peer, Row};

/// Runs every fault of APIs of either protocol against one kind of request, and prints what came of it.
#[track_caller]
fn run(kind: Kind) {
    let mut wrong = rows(http1_faults::FAULTS, kind);
    wrong += &rows(http2_faults::FAULTS, kind);
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Prints the rows; those that are wrong, and why. Two at a time, since most of their time is a deadline's.
fn rows<C: Peer>(faults: &'static [Fault<C>], kind: Kind) -> String {
    let run = |faults: &'static [Fault<C>]| -> Vec<_> {
        let rows = faults.iter().map(|fault| Row::run(fault, kind));
        rows.collect()
    };
    let (first, second) = faults.split_at(faults.len() / 2);
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| run(second));
        (run(first), second.join().expect("rows"))
    });
    let mut wrong = String::new();
    for row in first.iter().chain(&second) {
        println!("{row}");
        if let Some(why) = row.wrong() {
            let _ = writeln!(wrong, "{row}\n    {why}");
        }
    }
    wrong
}

#[test]
fn there_are_enough_rows() {
    assert_rows(http1_faults::FAULTS);
    assert_rows(http2_faults::FAULTS);
}

fn assert_rows<C>(faults: &[Fault<C>]) {
    assert!(faults.len() * Kind::ALL.len() >= 60);
    for (n, fault) in faults.iter().enumerate() {
        let name = (fault.what, fault.point);
        assert!(
            faults[..n]
                .iter()
                .all(|before| (before.what, before.point) != name),
            "{name:?}"
        );
    }
}

#[test]
fn a_get_of_what_is_not_stored() {
    run(Kind::Cold);
}

#[test]
fn gets_that_wait_for_one_another() {
    run(Kind::Collapsed);
}

#[test]
fn a_validation() {
    run(Kind::Validation);
}

#[test]
fn a_validation_where_a_stale_response_may_stand_in() {
    run(Kind::StaleIfError);
}

#[test]
fn a_put() {
    run(Kind::Put);
}

#[test]
fn a_post() {
    run(Kind::Post);
}

#[test]
fn a_post_without_content() {
    run(Kind::BarePost);
}

#[test]
fn a_client_of_http_1_0() {
    run(Kind::Http10);
}

#[test]
fn a_client_of_http_2() {
    run(Kind::Http2);
}
