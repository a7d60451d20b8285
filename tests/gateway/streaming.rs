//! Content reaches clients as it comes, and several clients from one upstream request.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use crate::common::{End, Gateway, Origin, get};

const LINES: usize = 6;

fn line(number: usize) -> String {
    format!("{{\"line\": {number}}}\n")
}

/// An origin of a chunked list whose next line is made only when somebody says so.
fn on_demand(cacheable: bool) -> (Origin, mpsc::Sender<()>) {
    let (demand, demanded) = mpsc::channel::<()>();
    let demanded = Mutex::new(demanded);
    let origin = Origin::start(move |_, conn| {
        let field = if cacheable { "max-age=60" } else { "no-store" };
        conn.write(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: {field}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        for number in 0..LINES {
            conn.chunk(line(number));
            let demanded = demanded.lock().unwrap_or_else(PoisonError::into_inner);
            if demanded.recv_timeout(crate::common::PATIENCE).is_err() {
                return conn.close();
            }
        }
        conn.last_chunk();
    });
    (origin, demand)
}

#[test]
fn two_clients_read_one_list_line_by_line_the_second_having_come_late() {
    let (origin, demand) = on_demand(true);
    let gateway = Gateway::before(&origin).start();
    let (mut early, mut late) = (gateway.client(), gateway.client());
    let mut first = early.open(&get("/books/stream"));
    let mut wanted = line(0);
    first.until(wanted.len());
    demand.send(()).expect("an origin that listens");
    wanted += &line(1);
    first.until(wanted.len());

    let mut second = late.open(&get("/books/stream"));
    for number in 2..=LINES {
        // Line n + 1 is made only after both have line n.
        assert_eq!(first.until(wanted.len()), wanted.as_bytes());
        assert_eq!(second.until(wanted.len()), wanted.as_bytes());
        demand.send(()).expect("an origin that listens");
        if number < LINES {
            wanted += &line(number);
        }
    }
    let answers = [first.finish().expect(200), second.finish().expect(200)];
    assert!(answers.iter().all(|answer| answer.text() == wanted));
    assert!(
        answers[1].says("collapsed"),
        "{}",
        answers[1].cache_status()
    );
    assert_eq!(origin.count(), 1);
    assert!(gateway.get("/books/stream").is_hit());
}

#[test]
fn a_list_that_is_not_stored_reaches_its_client_line_by_line() {
    let (origin, demand) = on_demand(false);
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    let mut list = client.open(&get("/books/stream"));
    let mut wanted = String::new();
    for number in 0..LINES {
        wanted += &line(number);
        assert_eq!(list.until(wanted.len()), wanted.as_bytes());
        demand.send(()).expect("an origin that listens");
    }
    assert_eq!(list.finish().expect(200).text(), wanted);
}

#[test]
fn a_list_that_breaks_off_is_aborted_for_every_reader_and_not_stored() {
    let (origin, demand) = on_demand(true);
    let gateway = Gateway::before(&origin).start();
    let (mut one, mut two) = (gateway.client(), gateway.client());
    let mut first = one.open(&get("/books/stream"));
    first.until(line(0).len());
    let mut second = two.open(&get("/books/stream"));
    second.until(line(0).len());
    drop(demand);
    for reader in [first, second] {
        let answer = reader.finish();
        assert!(
            matches!(answer.end, End::Truncated | End::Reset),
            "{answer:?}"
        );
    }
    gateway.await_no_fills();
    assert_eq!(gateway.stored(), 0);
}

#[test]
fn who_reads_nothing_of_a_body_too_large_to_store_is_cut_off_and_the_others_get_all() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 400;
    let (demand, demanded) = mpsc::channel::<()>();
    let demanded = Mutex::new(demanded);
    let origin = Origin::start(move |_, conn| {
        conn.write(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        conn.chunk("#");
        let demanded = demanded.lock().unwrap_or_else(PoisonError::into_inner);
        if demanded.recv_timeout(crate::common::PATIENCE).is_err() {
            return conn.close();
        }
        for _ in 0..PIECES {
            conn.chunk([b'x'; PIECE]);
        }
        conn.last_chunk();
    });
    let gateway = Gateway::before(&origin)
        // Long enough for readers that are kept from their core now and then.
        .cache("max_stored_body = \"64KiB\"\nwindow = \"64KiB\"\nreader_timeout = \"1s\"")
        .start();
    let mut clients = [gateway.client(), gateway.client(), gateway.client()];
    let [slow, one, other] = &mut clients;
    let mut slow = slow.open(&get("/books/export"));
    let (mut one, mut other) = (
        one.open(&get("/books/export")),
        other.open(&get("/books/export")),
    );
    for reader in [&mut slow, &mut one, &mut other] {
        reader.until(1);
    }
    demand.send(()).expect("an origin that listens");
    for piece in 1..=PIECES {
        // By turns, so that neither falls behind.
        one.until(1 + piece * PIECE);
        other.until(1 + piece * PIECE);
    }
    for reader in [one, other] {
        assert_eq!(reader.finish().expect(200).body.len(), 1 + PIECES * PIECE);
    }
    let cut = slow.finish();
    assert!(
        matches!(cut.end, End::Truncated | End::Reset),
        "{:?}",
        cut.end
    );
    assert!(cut.body.len() < PIECES * PIECE);
    assert_eq!(origin.count(), 1);
    gateway.await_no_fills();
    assert_eq!(gateway.stored(), 0);
}
