//! What becomes of spans when the gateway ends, and what the log says of a collector. With the feature `otlp` alone.

use bookend::clock::Clock;
use bookend::telemetry::traces::otlp::message::ExportTraceServiceRequest;
use prost::Message as _;
use std::time::Duration;

use crate::common::{Client, Gate, Origin, reply};
use crate::operated::Program;

fn books() -> Origin {
    Origin::answering(reply(200).field("Cache-Control", "max-age=60"))
}

/// Nothing is sent before the end, unless `lines` say so.
fn traced(origin: &Origin, collector: &Origin, lines: &str) -> Program {
    let more = format!(
        "[traces]\nendpoint = '{}'\nsample = 1\n{lines}",
        collector.url()
    );
    Program::start(origin, "", &more)
}

pub fn spans(collector: &Origin) -> usize {
    let requests = collector.requests();
    let message = |body: &[u8]| ExportTraceServiceRequest::decode(body).expect("a message");
    let messages = requests.iter().map(|request| message(&request.body));
    let scopes = messages.map(|message| message.resource_spans[0].scope_spans[0].spans.len());
    scopes.sum()
}

#[test]
fn what_waits_is_sent_when_the_gateway_ends() {
    let (origin, collector) = (books(), Origin::answering(reply(200)));
    let mut program = traced(&origin, &collector, "interval = '60s'");
    for _ in 0..3 {
        Client::to(program.addr).get("/").expect(200);
    }
    assert_eq!(collector.count(), 0);
    program.signal("-TERM");
    assert!(program.child.wait().expect("an end").success());
    assert_eq!(spans(&collector), 4);
}

#[test]
fn the_end_waits_for_a_collector_but_not_for_long() {
    let gate = Gate::new();
    let (origin, held) = (books(), gate.clone());
    let collector = Origin::start(move |request, conn| {
        held.pass();
        conn.reply(request, &reply(200));
    });
    let mut program = traced(&origin, &collector, "interval = '5ms'\ntimeout = '1h'");
    Client::to(program.addr).get("/").expect(200);
    gate.await_arrivals(1);
    let clock = Clock::system();
    let began = clock.now().mono;
    program.signal("-TERM");
    assert!(program.child.wait().expect("an end").success());
    let took = clock.now().mono.since(began);
    let bounds = Duration::from_secs(4)..Duration::from_secs(9);
    assert!(bounds.contains(&took), "{took:?}");
    gate.open();
}

#[test]
fn the_log_says_once_that_a_collector_is_away_and_once_that_it_is_back() {
    let origin = books();
    let collector = Origin::scripted([reply(503), reply(503), reply(503), reply(200)]);
    let mut program = traced(&origin, &collector, "interval = '5ms'");
    Client::to(program.addr).get("/").expect(200);
    let mut away = 0;
    loop {
        let line = program.line();
        away += usize::from(line.contains("traces cannot be exported"));
        if line.contains("traces are exported again") {
            break;
        }
    }
    assert_eq!(away, 1);
    assert!(collector.count() >= 4);
}
