//! Spans of the requests that are recorded, as a collector gets them. With the feature `otlp` alone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bookend::telemetry::traces::otlp::message::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse, KeyValue,
    Span, SpanKind, StatusCode, any_value::Value,
};
use prost::Message as _;

use crate::common::{
    Answer, Client, End, Gate, Gateway, Origin, Reply, Request, Setup, await_that, get, http2,
    post, reply,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A collector that takes everything.
fn collector() -> Origin {
    Origin::answering(reply(200).field("Content-Type", "application/x-protobuf"))
}

/// A gateway that sends its spans to `collector`; `lines` are further ones of its section.
fn traced(origin: &Origin, collector: &Origin, lines: &str) -> Setup {
    let url = collector.url();
    let interval = if lines.contains("interval") {
        ""
    } else {
        "interval = '5ms'"
    };
    Gateway::before(origin)
        .route("/books/{id}", "")
        .more(&format!(
            "[traces]\nendpoint = '{url}'\n{interval}\n{lines}"
        ))
}

fn messages(collector: &Origin) -> Vec<ExportTraceServiceRequest> {
    let requests = collector.requests();
    let message = |request: &Request| {
        assert_eq!((&*request.method, &*request.target), ("POST", "/v1/traces"));
        let kind = request.fields.get("content-type");
        assert_eq!(kind, Some("application/x-protobuf"));
        ExportTraceServiceRequest::decode(&*request.body).expect("a message")
    };
    requests.iter().map(message).collect()
}

fn spans(collector: &Origin) -> Vec<Span> {
    let messages = messages(collector).into_iter();
    let resources = messages.flat_map(|message| message.resource_spans);
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// All spans, once there are `n`.
#[track_caller]
fn await_spans(collector: &Origin, n: usize) -> Vec<Span> {
    await_that(&format!("{n} spans"), || spans(collector).len() >= n);
    let spans = spans(collector);
    assert_eq!(spans.len(), n, "{spans:#?}");
    for span in &spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert!(span.start_time_unix_nano > 1_600_000_000_000_000_000);
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
    }
    spans
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == kind).collect()
}

#[track_caller]
fn one(spans: &[Span], kind: SpanKind) -> &Span {
    match of_kind(spans, kind)[..] {
        [span] => span,
        _ => panic!("not one {kind:?}: {spans:#?}"),
    }
}

fn value(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()?.value);
    match value {
        None => String::new(),
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
    }
}

/// What a span says under each of these names, in a line.
fn says(span: &Span, keys: &[&str]) -> String {
    let values = keys.iter().map(|key| value(&span.attributes, key));
    values.collect::<Vec<_>>().join(" ")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn is_error(span: &Span) -> bool {
    let status = span.status.as_ref();
    status.is_some_and(|status| status.code() == StatusCode::Error)
}

/// The `traceparent` that is sent by this span.
fn parent_of(span: &Span) -> String {
    let flags = span.flags & 0xff;
    format!(
        "00-{}-{}-{flags:02x}",
        hex(&span.trace_id),
        hex(&span.span_id)
    )
}

fn books() -> Origin {
    Origin::start(|request, conn| {
        let answer = match &*request.target {
            "/books/404" => reply(404),
            "/books/500" => reply(500),
            _ => reply(200).field("Cache-Control", "max-age=60"),
        };
        conn.reply(request, &answer.body("text"));
    })
}

#[test]
fn a_miss_has_a_span_and_one_for_its_attempt_and_a_hit_has_one() {
    let (origin, collector) = (books(), collector());
    let gateway = traced(&origin, &collector, "sample = 1").start();
    let asked = get("/books/1?q=a&token=abc").field("User-Agent", "curl/8");
    gateway.send(&asked).expect(200);
    let missed = await_spans(&collector, 2);
    assert!(gateway.send(&asked).is_hit());
    let all = await_spans(&collector, 3);
    let (server, client) = (
        one(&missed, SpanKind::Server),
        one(&missed, SpanKind::Client),
    );
    // One trace: the API is asked by the span of the attempt, which is below that of the request.
    assert_eq!(client.trace_id, server.trace_id);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!((server.flags, client.flags), (0x103, 0x103));
    assert!(server.parent_span_id.is_empty() && server.links.is_empty());
    assert!(client.start_time_unix_nano >= server.start_time_unix_nano);
    let sent = origin.last();
    assert_eq!(sent.fields.get("traceparent"), Some(&*parent_of(client)));
    assert_eq!(server.name, "GET /books/{id}");
    assert_eq!(client.name, "GET");
    let (host, port) = (gateway.addr().ip(), gateway.addr().port());
    #[rustfmt::skip]
    let keys = [
        "http.request.method", "url.scheme", "url.path", "url.query", "http.route", "server.address", "server.port",
        "network.protocol.version", "client.address", "user_agent.original", "http.response.status_code",
        "http.response.body.size", "bookend.cache.result", "bookend.cache.reason", "error.type",
    ];
    let expected = format!(
        "GET http /books/1 q=a&token=*** /books/{{id}} {host} {port} 1.1 127.0.0.1 curl/8 200 4 miss uri-miss "
    );
    assert_eq!(says(server, &keys), expected);
    #[rustfmt::skip]
    let keys = [
        "http.request.method", "url.full", "server.address", "server.port", "network.protocol.version",
        "http.response.status_code", "http.request.resend_count", "error.type",
    ];
    let (url, port) = (origin.url(), origin.addr().port());
    let expected = format!("GET {url}/books/1?q=a&token=*** 127.0.0.1 {port} 1.1 200  ");
    assert_eq!(says(client, &keys), expected);
    let hit = all.last().expect("a span");
    assert_eq!(hit.kind(), SpanKind::Server);
    assert_ne!(hit.trace_id, server.trace_id);
    let keys = [
        "bookend.cache.result",
        "bookend.cache.reason",
        "bookend.cache.ttl",
    ];
    assert!(
        says(hit, &keys).starts_with("hit  "),
        "{}",
        says(hit, &keys)
    );
    assert!(all.iter().all(|span| !is_error(span)));
    // Who sends them.
    let message = &messages(&collector)[0].resource_spans[0];
    let resource = &message.resource.as_ref().expect("a resource").attributes;
    assert_eq!(value(resource, "service.name"), "bookend");
    assert_eq!(
        value(resource, "service.version"),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(value(resource, "service.instance.id").len(), 16);
    gateway.await_metric("bookend_spans_exported_total", 3);
}

#[test]
fn a_retry_is_a_span_of_its_own() {
    let broken = Origin::start(|_, conn| conn.close());
    let (whole, collector) = (books(), collector());
    let gateway = Gateway::before_all([broken.url(), whole.url()])
        .workers(1)
        .upstream("ejection.failures = 0")
        .more(&format!(
            "[traces]\nendpoint = '{}'\ninterval = '5ms'\nsample = 1",
            collector.url()
        ))
        .start();
    // One of two requests goes to the broken server first.
    for target in ["/a", "/b"] {
        gateway.get(target).expect(200);
    }
    let spans = await_spans(&collector, 5);
    let attempts = of_kind(&spans, SpanKind::Client);
    let failed: Vec<_> = attempts.iter().filter(|span| is_error(span)).collect();
    let [failed] = failed[..] else {
        panic!("{attempts:#?}")
    };
    let keys = ["error.type", "http.response.status_code", "server.port"];
    let port = broken.addr().port();
    let expected = format!("connection_terminated  {port}");
    assert_eq!(says(failed, &keys), expected);
    let resent = |span: &&&Span| says(span, &["http.request.resend_count"]) == "1";
    let again = attempts.iter().find(resent).expect("it was sent again");
    assert_eq!(again.parent_span_id, failed.parent_span_id);
    assert_ne!(again.span_id, failed.span_id);
    assert_eq!(
        says(again, &["server.port"]),
        whole.addr().port().to_string()
    );
    // Each server was told its own attempt.
    let told = |origin: &Origin, span: &Span| {
        let requests = origin.requests();
        let mut told = requests
            .iter()
            .map(|request| request.fields.get("traceparent"));
        told.any(|told| told == Some(&parent_of(span)))
    };
    assert!(told(&broken, failed) && told(&whole, again));
    assert!(
        of_kind(&spans, SpanKind::Server)
            .iter()
            .all(|span| !is_error(span))
    );
}

#[test]
fn who_waits_for_another_s_fill_links_to_its_span() {
    let gate = Gate::new();
    let (held, collector) = (gate.clone(), collector());
    let origin = Origin::start(move |request, conn| {
        held.pass();
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body("text"),
        );
    });
    let gateway = traced(&origin, &collector, "sample = 1").start();
    let mut leader = gateway.client();
    leader.start(&get("/books/1"));
    gate.await_arrivals(1);
    let mut follower = gateway.client();
    follower.start(&get("/books/1"));
    gateway.await_sum(1, |counted| counted.followers.value());
    gate.open();
    for client in [&mut leader, &mut follower] {
        client.answer("GET").finish().expect(200);
    }
    let spans = await_spans(&collector, 3);
    let client = one(&spans, SpanKind::Client);
    let (led, followed): (Vec<_>, Vec<_>) = of_kind(&spans, SpanKind::Server)
        .into_iter()
        .partition(|span| span.span_id == client.parent_span_id);
    let [(led, followed)] = led.into_iter().zip(followed).collect::<Vec<_>>()[..] else {
        panic!("{spans:#?}")
    };
    let links: Vec<_> = followed
        .links
        .iter()
        .map(|link| (&link.trace_id, &link.span_id))
        .collect();
    assert_eq!(links, [(&led.trace_id, &led.span_id)]);
    assert!(led.links.is_empty());
    assert_ne!(led.trace_id, followed.trace_id);
}

#[test]
fn a_refresh_behind_a_client_is_a_trace_that_links_to_its_request() {
    let (origin, collector) = (books(), collector());
    let gateway = traced(&origin, &collector, "sample = 1")
        .cache("stale_while_revalidate = '1h'")
        .manual_clock()
        .start();
    gateway.get("/books/1").expect(200);
    await_spans(&collector, 2);
    gateway.advance(Duration::from_secs(61));
    let asked = get("/books/1")
        .field("traceparent", format!("00-{TRACE}-{SPAN}-01"))
        .field("tracestate", "a=b");
    gateway.send(&asked).expect(200);
    origin.await_requests(2);
    let spans = await_spans(&collector, 5);
    let spans = &spans[2..];
    let (server, client) = (one(spans, SpanKind::Server), one(spans, SpanKind::Client));
    let refresh = one(spans, SpanKind::Internal);
    assert_eq!(says(server, &["bookend.cache.result"]), "stale");
    assert_eq!(refresh.name, "refresh GET /books/{id}");
    assert_eq!(client.parent_span_id, refresh.span_id);
    assert_eq!(client.trace_id, refresh.trace_id);
    assert_ne!(refresh.trace_id, server.trace_id);
    assert_eq!((refresh.links.len(), refresh.parent_span_id.len()), (1, 0));
    assert_eq!(refresh.links[0].span_id, server.span_id);
    assert_eq!(refresh.links[0].trace_id, server.trace_id);
    // It is no request of the client's trace.
    let sent = origin.last();
    assert_eq!(sent.fields.get("traceparent"), Some(&*parent_of(client)));
    assert_eq!(sent.fields.get("tracestate"), None);
}

#[test]
fn errors_are_those_of_the_conventions() {
    let (origin, collector) = (books(), collector());
    let gateway = traced(&origin, &collector, "sample = 1").start();
    let keys = ["http.response.status_code", "error.type"];
    let mut seen = 0;
    let mut look = |answer: Answer, status: u16| {
        answer.expect(status);
        let spans = await_spans(&collector, seen + 2);
        let spans = spans[seen..].to_vec();
        seen += 2;
        [SpanKind::Server, SpanKind::Client].map(|kind| {
            let span = one(&spans, kind);
            (is_error(span), says(span, &keys))
        })
    };
    // A 4xx is the client's fault, and the gateway is the API's client.
    let [server, client] = look(gateway.get("/books/404"), 404);
    assert_eq!(server, (false, "404 ".to_owned()));
    assert_eq!(client, (true, "404 404".to_owned()));
    for span in look(gateway.get("/books/500"), 500) {
        assert_eq!(span, (true, "500 500".to_owned()));
    }
    let dead = books();
    dead.stop();
    let gateway = traced(&dead, &collector, "sample = 1").start();
    let refused = "connection_refused".to_owned();
    let [server, client] = look(gateway.get("/books/9"), 502);
    assert_eq!(server, (true, format!("502 {refused}")));
    assert_eq!(client, (true, format!(" {refused}")));
    // A write goes another way.
    let [server, client] = look(gateway.send(&post("/books/9", "x")), 502);
    assert_eq!(server, (true, format!("502 {refused}")));
    assert_eq!(client, (true, format!(" {refused}")));
}

#[test]
fn a_client_that_leaves_and_a_response_that_breaks_off_are_errors() {
    let gate = Gate::new();
    let (held, collector) = (gate.clone(), collector());
    let origin = Origin::start(move |request, conn| match &*request.target {
        "/books/1" => {
            conn.write(
                "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: no-store\r\n\r\nshort",
            );
            conn.close();
        }
        _ => {
            held.pass();
            conn.reply(request, &reply(200));
        }
    });
    let gateway = traced(&origin, &collector, "sample = 1").start();
    let mut client = gateway.client();
    client.start(&get("/books/1"));
    assert_ne!(client.answer("GET").finish().end, End::Complete);
    let spans = await_spans(&collector, 2);
    for kind in [SpanKind::Server, SpanKind::Client] {
        let span = one(&spans, kind);
        let keys = ["http.response.status_code", "error.type"];
        assert!(is_error(span), "{span:#?}");
        assert_eq!(says(span, &keys), "200 response_incomplete");
    }
    client.start(&get("/books/2"));
    gate.await_arrivals(1);
    client.reset();
    let spans = await_spans(&collector, 3);
    let span = &spans[2];
    assert_eq!(span.kind(), SpanKind::Server);
    let keys = ["url.path", "http.response.status_code", "error.type"];
    assert_eq!(says(span, &keys), "/books/2  client_gone");
    gate.open();
    await_spans(&collector, 4);
}

#[test]
fn a_client_decides_for_its_own_trace() {
    let (origin, collector) = (books(), collector());
    let gateway = traced(&origin, &collector, "sample = 0").start();
    let sent = |target: &str, flags: &str| {
        let asked = get(target)
            .field("traceparent", format!("00-{TRACE}-{SPAN}-{flags}"))
            .field("tracestate", "a=b")
            .field("tracestate", "c=d");
        gateway.send(&asked).expect(200);
    };
    gateway.get("/books/1").expect(200);
    assert_eq!(origin.last().fields.get("traceparent"), None);
    // It does not record: nor do we, and the API is told the client's own span.
    sent("/books/2", "00");
    let unrecorded = format!("00-{TRACE}-{SPAN}-00");
    assert_eq!(origin.last().fields.get("traceparent"), Some(&*unrecorded));
    sent("/books/3", "01");
    sent("/books/3", "01");
    let spans = await_spans(&collector, 3);
    let client = one(&spans, SpanKind::Client);
    let fields = &origin.last().fields;
    assert_eq!(fields.get("traceparent"), Some(&*parent_of(client)));
    assert_eq!(fields.all("tracestate").collect::<Vec<_>>(), ["a=b", "c=d"]);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let servers = of_kind(&spans, SpanKind::Server);
    assert_eq!(servers.len(), 2);
    for server in servers {
        assert_eq!(hex(&server.parent_span_id), SPAN);
        assert_eq!((&*server.trace_state, server.flags), ("a=b,c=d", 0x301));
    }
    gateway.await_metric("bookend_spans_exported_total", 3);
}

#[test]
fn an_operator_may_decide_in_the_clients_place() {
    let (origin, collector) = (books(), collector());
    let lines = "sample = 1\nrespect_parent = false\nservice = 'edge'\nheaders = ['X-Key: sesame']";
    let gateway = traced(&origin, &collector, lines).start();
    let asked = |flags: &str| {
        let parent = format!("00-{TRACE}-{SPAN}-{flags}");
        gateway.send(&get("/books/1").field("traceparent", parent));
    };
    asked("00");
    let spans = await_spans(&collector, 2);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    assert_eq!(
        origin
            .last()
            .fields
            .get("traceparent")
            .map(|told| &told[53..]),
        Some("01")
    );
    let sent = collector.last();
    assert_eq!(sent.fields.get("x-key"), Some("sesame"));
    let resource = messages(&collector)[0].resource_spans[0].resource.clone();
    assert_eq!(
        value(&resource.expect("one").attributes, "service.name"),
        "edge"
    );
    // Nothing of a client's is recorded that an operator does not want recorded.
    gateway.reload(&traced(&origin, &collector, &lines.replace("= 1", "= 0")));
    asked("01");
    gateway.reload(&traced(&origin, &collector, lines));
    asked("00");
    await_spans(&collector, 3);
}

#[test]
fn a_trace_that_cannot_be_read_is_replaced() {
    let (origin, collector) = (books(), collector());
    let invalid = format!("00-{TRACE}-{}-01", "0".repeat(16));
    let asked = |target: &str| {
        get(target)
            .field("traceparent", &invalid)
            .field("tracestate", "a=b")
    };
    let off = Gateway::before(&origin).start();
    off.send(&asked("/books/1")).expect(200);
    let passed = origin.last().fields;
    assert_eq!(
        passed.get("traceparent"),
        Some(&*invalid),
        "who takes no part passes it on"
    );
    for (sample, flags) in [(0, "02"), (1, "03")] {
        let gateway = traced(&origin, &collector, &format!("sample = {sample}")).start();
        for request in [
            asked("/books/1"),
            post("/books/2", "x").field("traceparent", &invalid),
        ] {
            gateway.send(&request).expect(200);
            let told = origin.last().fields;
            assert_eq!(told.get("tracestate"), None);
            let told = told.get("traceparent").expect("another").to_owned();
            assert!(
                told.starts_with("00-") && told.ends_with(&format!("-{flags}")),
                "{told}"
            );
            assert!(!told.contains(TRACE), "{told}");
        }
        // Two fields are as good as none.
        let twice = get("/books/3")
            .field("traceparent", format!("00-{TRACE}-{SPAN}-01"))
            .field("traceparent", format!("00-{TRACE}-{SPAN}-01"));
        gateway.send(&twice).expect(200);
        let told = origin.last().fields;
        assert_eq!(told.all("traceparent").count(), 1);
        assert!(!told.get("traceparent").expect("another").contains(TRACE));
    }
    let spans = await_spans(&collector, 6);
    let traces: HashSet<_> = spans.iter().map(|span| &span.trace_id).collect();
    assert_eq!(traces.len(), 3);
}

#[test]
fn a_share_of_the_requests_is_recorded() {
    let (origin, collector) = (books(), collector());
    let gateway = traced(&origin, &collector, "sample = 0.25").start();
    let mut client = gateway.client();
    for _ in 0..400 {
        client.get("/books/1").expect(200);
    }
    // Ten standard deviations around a quarter.
    await_that("spans", || spans(&collector).len() > 13);
    let taken = || gateway.metric("bookend_spans_exported_total");
    await_that("an end", || taken() == spans(&collector).len() as u64);
    assert!(taken() < 190, "{}", taken());
}

#[test]
fn the_version_is_that_of_the_client_s_connection() {
    let (origin, collector) = (books(), collector());
    let gateway = traced(&origin, &collector, "sample = 1").start();
    let request = http::Request::get(format!("{}/books/1", gateway.url()));
    let request = request.body(Default::default()).expect("a request");
    http2::send(&gateway, request).expect("an answer");
    let spans = await_spans(&collector, 2);
    let keys = ["network.protocol.version", "network.peer.address"];
    assert_eq!(says(one(&spans, SpanKind::Server), &keys), "2 127.0.0.1");
}

/// A collector whose answers the test makes, one after another; the last goes on.
fn scripted(
    replies: impl IntoIterator<Item = Reply>,
) -> (Origin, Arc<Mutex<Vec<std::time::Duration>>>) {
    let times = Arc::new(Mutex::new(Vec::new()));
    let (seen, clock) = (times.clone(), bookend::clock::Clock::system());
    let began = clock.now().mono;
    let replies: Vec<_> = replies.into_iter().collect();
    let origin = Origin::start(move |request, conn| {
        let mut seen = seen.lock().expect("times");
        let reply = &replies[seen.len().min(replies.len() - 1)];
        seen.push(clock.now().mono.since(began));
        drop(seen);
        conn.reply(request, reply);
    });
    (origin, times)
}

#[test]
fn a_collector_that_asks_for_patience_gets_the_same_spans_later() {
    let origin = books();
    let busy = reply(503).field("Retry-After", "1");
    let (collector, times) = scripted([busy, reply(429), reply(200)]);
    let gateway = traced(&origin, &collector, "sample = 1").start();
    gateway.get("/books/1").expect(200);
    gateway.await_metric("bookend_spans_exported_total", 2);
    let bodies: Vec<_> = collector
        .requests()
        .into_iter()
        .map(|sent| sent.body)
        .collect();
    // Both spans may have gone apart.
    assert!(bodies.len() >= 3, "{}", bodies.len());
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2]);
    let times = times.lock().expect("times").clone();
    assert!(times[1] - times[0] >= Duration::from_secs(1), "{times:?}");
    assert_eq!(collector.connections(), 1, "the connection is kept");
    assert_eq!(gateway.metric("bookend_spans_failed_total"), 0);
}

#[test]
fn a_collector_that_is_down_delays_nobody_and_gets_the_spans_when_it_is_back() {
    let (origin, gate) = (books(), Gate::new());
    let is_back = gate.clone();
    let collector = Origin::greeting(
        move |conn| {
            if !is_back.is_open() {
                conn.close();
            }
        },
        |request, conn| conn.reply(request, &reply(200)),
    );
    let gateway = traced(&origin, &collector, "sample = 1").start();
    for _ in 0..3 {
        gateway.get("/books/1").expect(200);
    }
    await_that("an attempt", || collector.connections() > 0);
    gate.open();
    await_spans(&collector, 4);
    gateway.await_metric("bookend_spans_exported_total", 4);
    assert_eq!(gateway.metric("bookend_spans_dropped_total"), 0);
}

#[test]
fn what_finds_the_queue_full_is_dropped_and_counted() {
    let gate = Gate::new();
    let (origin, held) = (books(), gate.clone());
    let collector = Origin::start(move |request, conn| {
        held.pass();
        conn.reply(request, &reply(200));
    });
    let gateway = traced(&origin, &collector, "sample = 1\nqueue = 2\ntimeout = '1h'").start();
    let mut client = gateway.client();
    client.get("/books/1").expect(200);
    gate.await_arrivals(1);
    for _ in 0..10 {
        assert!(client.get("/books/1").is_hit());
    }
    // The first two may have gone together or not.
    let dropped = gateway.metric("bookend_spans_dropped_total");
    assert!((8..=9).contains(&dropped), "{dropped}");
    gate.open();
    gateway.await_metric("bookend_spans_exported_total", 12 - dropped);
    assert_eq!(spans(&collector).len() as u64, 12 - dropped);
}

#[test]
fn a_collector_that_does_not_answer_is_left_and_asked_again() {
    let (origin, asked) = (books(), Mutex::new(0));
    let collector = Origin::start(move |request, conn| {
        let turn = {
            let mut asked = asked.lock().expect("a count");
            *asked += 1;
            *asked
        };
        match turn {
            1 => conn.await_close(),
            _ => conn.reply(request, &reply(200)),
        }
    });
    let gateway = traced(
        &origin,
        &collector,
        "sample = 1\ntimeout = '50ms'\ninterval = '100ms'",
    )
    .start();
    gateway.get("/books/1").expect(200);
    gateway.await_metric("bookend_spans_exported_total", 2);
    // That of the answer which was late is closed; on a busy machine, there may have been more than one.
    assert!(collector.connections() >= 2);
}

#[test]
fn what_the_collector_refuses_is_counted() {
    let origin = books();
    let rejected = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "no more".to_owned(),
        }),
    };
    let partial = reply(200).body(rejected.encode_to_vec());
    let (collector, _) = scripted([reply(400), partial, reply(200)]);
    let gateway = traced(&origin, &collector, "sample = 1\ninterval = '100ms'").start();
    let mut client = gateway.client();
    let failed = |value| gateway.await_metric("bookend_spans_failed_total", value);
    client.get("/books/1").expect(200);
    failed(2);
    client.get("/books/1").expect(200);
    failed(3);
    client.get("/books/1").expect(200);
    gateway.await_metric("bookend_spans_exported_total", 1);
}

#[test]
fn a_reload_may_name_another_collector() {
    let (origin, first, second) = (books(), collector(), collector());
    let slowly = "sample = 1\ninterval = '50s'";
    let gateway = traced(&origin, &first, slowly).start();
    gateway.get("/books/1").expect(200);
    // What waits goes to the one before as soon as nobody records for it.
    gateway.reload(&traced(&origin, &second, "sample = 1"));
    gateway.get("/books/1").expect(200);
    await_spans(&second, 1);
    await_spans(&first, 2);
    gateway.reload(&Gateway::before(&origin));
    gateway.get("/books/1").expect(200);
    assert_eq!(Client::to(gateway.addr()).get("/books/1").status, 200);
    gateway.await_metric("bookend_spans_exported_total", 3);
}
