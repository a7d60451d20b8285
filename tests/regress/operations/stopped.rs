//! The process is stopped for longer than its deadlines, and goes on: what came meanwhile came in time.

use std::thread;
use std::time::Duration;

use super::super::common::{Client, Gate, Origin, await_that, reply};
use super::super::http2::program::Program;

#[test]
fn what_came_while_the_process_was_stopped_came_in_time() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        if request.target == "/held" {
            held.pass();
        }
        conn.reply(request, &reply(200).body(&request.body));
    });
    let client = "head_timeout = \"3s\"\nbody_timeout = \"3s\"\nidle_timeout = \"3s\"";
    let upstream = "response_timeout = \"3s\"\nbody_timeout = \"3s\"";
    let program = Program::start_with(&origin, ":", client, upstream, "");
    let connect = || Client::to(program.addr());

    let mut idle = connect();
    assert_eq!(idle.get("/idle").status, 200);
    let mut waits = connect();
    waits.write("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
    gate.await_arrivals(1);
    let mut head = connect();
    head.write("GET /head HTTP/1.1\r\nHost: ");
    let mut content = connect();
    content.write("POST /content HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\n\r\nhalf");
    // What came before this has been read: there is one worker.
    assert_eq!(connect().get("/after").status, 200);

    program.signal("-STOP");
    await_that("the process is stopped", || program.is_stopped());
    gate.open();
    idle.write("GET /idle HTTP/1.1\r\nHost: a.test\r\n\r\n");
    head.write("a.test\r\n\r\n");
    content.write("half");
    // The deadlines are to pass while the process is stopped: time itself is the state, and nobody announces it.
    thread::sleep(Duration::from_secs(4));
    program.signal("-CONT");

    for (what, client, method) in [
        ("response", &mut waits, "GET"),
        ("head", &mut head, "GET"),
        ("content", &mut content, "POST"),
        ("idle", &mut idle, "GET"),
    ] {
        let answer = client.answer(method).finish();
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    }
}
