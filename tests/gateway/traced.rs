//! What an operator sees of one request in its answer (`Cache-Debug`), and what a trace of the client's own is passed on by.

use std::time::Duration;

use crate::common::{Client, Gateway, Origin, Request, get, post, reply};

const TOKEN: &str = "sesame-7f3a9c";

fn books() -> Origin {
    Origin::start(|request, conn| {
        let answer = match &*request.target {
            "/private" => reply(200).field("Cache-Control", "private"),
            "/old" => reply(200).field("Cache-Control", "max-age=1"),
            _ => reply(200)
                .field("Cache-Control", "s-maxage=60")
                .field("Vary", "Accept-Language"),
        };
        conn.reply(request, &answer.body("text"));
    })
}

fn asked(target: &str) -> Request {
    get(target).field("Cache-Debug", TOKEN)
}

#[test]
fn the_admin_token_gets_the_trace_in_the_answer() {
    let origin = books();
    let gateway = Gateway::before(&origin)
        .admin(&format!("token = '{TOKEN}'"))
        .route("/books/{id}", "stale_if_error = '1m'")
        .manual_clock()
        .start();
    let host = gateway.addr();
    let trace = |request: &Request| {
        let answer = gateway.send(request);
        gateway.await_no_fills();
        answer
            .field("cache-debug")
            .map(str::to_owned)
            .expect("a trace")
    };
    let german = asked("/books/1").field("Accept-Language", "de");
    let told = trace(&german);
    let key = format!("key=\"http://{host}/books/1\", route=\"/books/{{id}}\";at=\"");
    assert!(told.starts_with(&key), "{told}");
    let rest = ", reason=\"uri-miss\"";
    assert!(told.contains(&format!(", result=miss{rest}")), "{told}");
    assert!(
        told.contains(", tier=upstream, lifetime=60;from=s-maxage, age=0, ttl=60"),
        "{told}"
    );
    gateway.advance(Duration::from_secs(7));
    let told = trace(&german);
    let rest = ", result=hit, tier=memory, lifetime=60;from=s-maxage, age=7, ttl=53, variant=\"accept-language: de\"";
    assert!(told.ends_with(rest), "{told}");
    let told = trace(&asked("/private"));
    assert!(
        told.contains(
            ", route=\"(default)\", result=miss, reason=\"private\";section=\"RFC 9111 section 5"
        ),
        "{told}"
    );
    let told = trace(&post("/books/1", "x").field("Cache-Debug", TOKEN));
    assert!(told.contains(", result=pass, reason=\"method\""), "{told}");
}

#[test]
fn the_token_is_neither_forwarded_nor_stored_nor_logged_and_others_get_no_trace() {
    let origin = books();
    let setup = Gateway::before(&origin).admin(&format!("token = '{TOKEN}'"));
    let gateway = setup.route("/books/{id}", "").start();
    let mut client = Client::to(gateway.admin_addr());
    let mut tail = client.open(&get("/tail").field("Authorization", format!("Bearer {TOKEN}")));
    assert_eq!(tail.so_far().status, 200);
    for request in [
        asked("/books/1"),
        asked("/books/1"),
        asked("/private"),
        post("/books/2", "x").field("Cache-Debug", TOKEN),
        asked("/bad path"),
    ] {
        gateway.send(&request);
        gateway.await_no_fills();
    }
    // One response is stored for those with the field and those without it, and nobody else gets the trace.
    let plain = gateway.get("/books/1");
    assert!(plain.is_hit());
    assert_eq!(plain.field("cache-debug"), None);
    for wrong in ["sesame", "", "Bearer sesame-7f3a9c", "sesame-7f3a9c2"] {
        for target in ["/books/1", "/private"] {
            let answer = gateway.send(&get(target).field("Cache-Debug", wrong));
            assert_eq!(answer.field("cache-debug"), None, "{wrong:?}");
        }
    }
    let twice = asked("/books/1").field("Cache-Debug", TOKEN);
    assert_eq!(gateway.send(&twice).field("cache-debug"), None);
    for request in origin.requests() {
        assert_eq!(
            request.fields.get("cache-debug"),
            None,
            "{}",
            request.target
        );
    }
    let mut seen = String::new();
    while !seen.contains("\"POST\"") {
        let more = tail.more().expect("a line");
        seen.push_str(&String::from_utf8(more).expect("text"));
    }
    assert!(!seen.contains(TOKEN), "{seen}");
    let explained = Client::to(gateway.admin_addr())
        .send(&get("/explain?url=/books/1").field("Authorization", format!("Bearer {TOKEN}")))
        .expect(200)
        .text();
    assert!(
        !explained.contains(TOKEN) && !explained.contains("cache-debug"),
        "{explained}"
    );
}

#[test]
fn without_a_token_nobody_gets_the_trace_and_the_field_goes_nowhere() {
    let origin = books();
    let gateway = Gateway::before(&origin).start();
    for value in ["", "x"] {
        let answer = gateway.send(&get("/private").field("Cache-Debug", value));
        assert_eq!(answer.field("cache-debug"), None);
    }
    assert!(
        origin
            .requests()
            .iter()
            .all(|request| request.fields.get("cache-debug").is_none())
    );
}

#[test]
fn the_clients_trace_is_passed_on_and_selects_nothing() {
    let origin = books();
    let gateway = Gateway::before(&origin).start();
    let traced = |request: Request, id: u8| {
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e47{id:02x}-00f067aa0ba902b7-01");
        let request = request
            .field("traceparent", &parent)
            .field("tracestate", "a=b");
        gateway.send(&request);
        gateway.await_no_fills();
        parent
    };
    let sent = [
        traced(get("/books/1"), 1),
        traced(get("/private"), 2),
        traced(post("/books/2", "x"), 3),
    ];
    let requests = origin.requests();
    let passed: Vec<_> = requests
        .iter()
        .filter_map(|request| request.fields.get("traceparent"))
        .collect();
    assert_eq!(passed, sent);
    assert!(
        requests
            .iter()
            .all(|request| request.fields.get("tracestate") == Some("a=b"))
    );
    traced(get("/books/1"), 4);
    assert_eq!(
        origin.count(),
        3,
        "another trace is answered from the store"
    );
}
