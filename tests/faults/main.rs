//! An API that fails in every way at every point, seen by every kind of client: what the client gets, what is stored
//! after that, and that the next request is answered as if nothing had been.
//!
//! `cargo test --test faults -- --nocapture` prints the table.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod http2;
mod row;

use std::fmt::Write as _;

use faults::FAULTS;
use row::{Kind, Row};

/// Runs every fault against one kind of request, and prints what came of it.
#[track_caller]
fn run(kind: Kind) {
    let (mut table, mut wrong) = (String::new(), String::new());
    for fault in FAULTS {
        let row = Row::run(fault, kind);
        let _ = writeln!(table, "{row}");
        if let Some(why) = row.wrong() {
            let _ = writeln!(wrong, "{row}\n    {why}");
        }
    }
    print!("{table}");
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn there_are_enough_rows() {
    assert!(FAULTS.len() * Kind::ALL.len() >= 60);
    for (n, fault) in FAULTS.iter().enumerate() {
        let name = (fault.what, fault.point);
        assert!(
            FAULTS[..n]
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
fn a_client_of_http_1_0() {
    run(Kind::Http10);
}

#[test]
fn a_client_of_http_2() {
    run(Kind::Http2);
}
