//! Every deadline that can be configured: what a client sees when it passes, and how the operator is told.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::common::{
    Answer, Client, Conn, End, Gateway, Origin, Request, await_that, get, post, reply,
};

/// How the operator is told.
enum Told {
    /// As `failure` of the request's line in the access log.
    Logged(&'static str),
    /// As that `deadline` of `bookend_client_timeouts_total`: no request was under way.
    Counted(&'static str),
}
use Told::{Counted, Logged};

/// A deadline, what makes it short, what the API does, and what a client does and sees then.
struct Row {
    key: &'static str,
    lines: &'static str,
    api: fn(&Request, &mut Conn),
    client: fn(&Gateway) -> Seen,
    sees: Seen,
    told: Told,
}

/// A status, and how the message or the connection ended.
type Seen = (u16, End);

#[rustfmt::skip]
const TABLE: [Row; 13] = [
    Row { key: "server.head_timeout", lines: "head_timeout = '200ms'", api: fine, client: sends_half_a_head, sees: (408, End::Complete), told: Counted("head") },
    Row { key: "server.idle_timeout", lines: "idle_timeout = '200ms'", api: fine, client: stays, sees: (0, End::Truncated), told: Counted("idle") },
    Row { key: "server.body_timeout", lines: "body_timeout = '200ms'", api: fine, client: sends_half, sees: (408, End::Complete), told: Logged("request_body_timeout") },
    Row { key: "server.min_body_rate", lines: "min_body_rate = '1MiB'\nbody_timeout = '200ms'", api: fine, client: dribbles, sees: (408, End::Complete), told: Logged("request_body_timeout") },
    Row { key: "server.exchange_timeout", lines: "exchange_timeout = '200ms'", api: silent, client: asks, sees: (504, End::Complete), told: Logged("exchange_timeout") },
    Row { key: "server.write_timeout", lines: "write_timeout = '200ms'", api: large, client: reads_nothing, sees: (200, End::Reset), told: Logged("client_write_timeout") },
    Row { key: "server.tunnel_timeout", lines: "tunnel_timeout = '200ms'", api: switches, client: switches_and_waits, sees: (101, End::Truncated), told: Counted("tunnel") },
    Row { key: "upstream.connect_timeout", lines: "connect_timeout = '200ms'", api: fine, client: asks, sees: (504, End::Complete), told: Logged("connection_timeout") },
    Row { key: "upstream.tls_timeout", lines: "tls_timeout = '200ms'", api: fine, client: asks, sees: (504, End::Complete), told: Logged("tls_timeout") },
    Row { key: "upstream.response_timeout", lines: "response_timeout = '200ms'", api: silent, client: asks, sees: (504, End::Complete), told: Logged("response_timeout") },
    Row { key: "upstream.body_timeout", lines: "body_timeout = '200ms'", api: half, client: asks, sees: (200, End::Reset), told: Logged("response_body_timeout") },
    Row { key: "upstream.queue_timeout", lines: "queue_timeout = '200ms'\nmax_connections = 1", api: silent, client: asks_after_another, sees: (503, End::Complete), told: Logged("connection_limit") },
    Row { key: "upstream.health.timeout", lines: "health = { path = '/health', interval = '50ms', timeout = '100ms', unhealthy = 1 }", api: well_but_for_its_checks, client: asks_until_503, sees: (503, End::Complete), told: Logged("destination_unavailable") },
];

/// Those that show nothing of that kind, and their tests.
const ELSEWHERE: [(&str, &str, &str); 7] = [
    (
        "cache.reader_timeout",
        "tests/gateway/streaming.rs",
        "who_reads_nothing_of_a_body_too_large_to_store_is_cut_off_and_the_others_get_all",
    ),
    (
        "server.drain_timeout",
        "tests/gateway/server/drain.rs",
        "what_is_left_at_the_deadline_is_cut_off_with_a_reset",
    ),
    (
        "upstream.idle_timeout",
        "src/upstream/tests/reuse.rs",
        "a_connection_idle_for_too_long_is_closed_by_itself",
    ),
    (
        "cache.fill_timeout",
        "tests/gateway/collapse.rs",
        "what_all_have_left_is_fetched_for_so_long_only",
    ),
    (
        "cache.follower_timeout",
        "tests/gateway/collapse.rs",
        "who_has_waited_for_long_enough_looks_again",
    ),
    (
        "cache.leader_timeout",
        "tests/gateway/collapse.rs",
        "newcomers_do_not_wait_for_one_that_has_no_answer_for_so_long",
    ),
    (
        "traces.timeout",
        "tests/gateway/traces.rs",
        "a_collector_that_does_not_answer_is_left_and_asked_again",
    ),
];

fn fine(request: &Request, conn: &mut Conn) {
    conn.reply(request, &reply(200).body("fine"));
}

fn silent(_: &Request, conn: &mut Conn) {
    conn.await_close();
}

fn large(request: &Request, conn: &mut Conn) {
    conn.reply(request, &reply(200).body(vec![b'x'; 12 << 20]));
}

fn half(_: &Request, conn: &mut Conn) {
    conn.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
    conn.await_close();
}

fn switches(_: &Request, conn: &mut Conn) {
    conn.switch("websocket");
    conn.await_close();
}

fn well_but_for_its_checks(request: &Request, conn: &mut Conn) {
    match request.target.as_str() {
        "/health" => conn.await_close(),
        _ => fine(request, conn),
    }
}

/// A request after which nothing goes on for the cache.
fn unstored() -> Request {
    get("/books").field("Cache-Control", "no-store")
}

fn seen(answer: &Answer) -> Seen {
    (answer.status, answer.end)
}

fn asks(gateway: &Gateway) -> Seen {
    seen(&gateway.send(&unstored()))
}

fn asks_after_another(gateway: &Gateway) -> Seen {
    let mut another = gateway.client();
    another.start(&unstored());
    gateway.await_sum(1, |counted| counted.upstream.requests.value());
    let seen = asks(gateway);
    another.reset();
    seen
}

fn asks_until_503(gateway: &Gateway) -> Seen {
    let mut seen = asks(gateway);
    await_that("the server is out", || {
        seen = asks(gateway);
        seen.0 != 200
    });
    seen
}

fn stays(gateway: &Gateway) -> Seen {
    let mut client = gateway.client();
    client.get("/books").expect(200);
    seen(&client.answer("GET").finish())
}

fn sends_half_a_head(gateway: &Gateway) -> Seen {
    let mut client = gateway.client();
    client.write("GET /books HTTP/1.1\r\nHost:");
    seen(&client.answer("GET").finish())
}

fn sends_half(gateway: &Gateway) -> Seen {
    let mut client = gateway.client();
    client.start(&post("/books", "").field("Content-Length", 8));
    client.write("half");
    seen(&client.answer("POST").finish())
}

fn dribbles(gateway: &Gateway) -> Seen {
    let mut client = gateway.client();
    client.start(&post("/books", "").field("Content-Length", 40));
    for _ in 0..40 {
        client.write("x");
        thread::park_timeout(Duration::from_millis(20));
    }
    seen(&client.answer("POST").finish())
}

fn reads_nothing(gateway: &Gateway) -> Seen {
    let mut client = gateway.client();
    client.start(&get("/books"));
    gateway.await_sum(1, |counted| counted.write_timeouts.value());
    gateway.await_sum(0, |counted| counted.connections.value());
    seen(&client.answer("GET").finish())
}

fn switches_and_waits(gateway: &Gateway) -> Seen {
    let mut client = gateway.client();
    client.start(
        &get("/books")
            .field("Connection", "upgrade")
            .field("Upgrade", "websocket"),
    );
    let status = client.answer("GET").so_far().status;
    (status, client.octets(1).expect_err("an end"))
}

/// A port that has taken as many connections as wait to be accepted, and accepts none.
struct Deaf {
    addr: SocketAddr,
    _socket: Socket,
    _waiting: Vec<TcpStream>,
}

impl Deaf {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a loopback port");
        socket.listen(0).expect("a bound socket");
        let addr = socket.local_addr().expect("an address").as_socket();
        let addr = addr.expect("an IP address");
        let connect = || TcpStream::connect_timeout(&addr, Duration::from_millis(50)).ok();
        let waiting = std::iter::from_fn(connect).collect();
        Self {
            addr,
            _socket: socket,
            _waiting: waiting,
        }
    }
}

#[test]
fn each_shows_its_own_status_and_tells_its_own_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    thread::scope(|scope| {
        for row in &TABLE {
            let log = folder.path().join(row.key);
            scope.spawn(move || row.check(&log));
        }
    });
}

impl Row {
    fn check(&self, log: &Path) {
        let key = self.key;
        let origin = Origin::start(self.api);
        let deaf = (key == "upstream.connect_timeout").then(Deaf::new);
        let url = match key {
            _ if let Some(deaf) = &deaf => format!("http://{}", deaf.addr),
            "upstream.tls_timeout" => format!("https://{}", origin.addr()),
            _ => origin.url(),
        };
        let setup = Gateway::before_all([url]).access_log(log).workers(1);
        let gateway = match key.split_once('.') {
            Some(("server", _)) => setup.server(self.lines),
            _ => setup.upstream(self.lines),
        }
        .start();
        assert_eq!((self.client)(&gateway), self.sees, "{key}");
        match self.told {
            Counted(deadline) => {
                let count = format!("bookend_client_timeouts_total{{deadline=\"{deadline}\"}} 1\n");
                let mut admin = Client::to(gateway.admin_addr());
                await_that(&count, || admin.get("/metrics").text().contains(&count));
            }
            Logged(kind) => {
                let members = [
                    format!("\"failure\":\"{kind}\""),
                    format!("\"status\":{},", self.sees.0),
                ];
                let has_both = |line: &str| members.iter().all(|member| line.contains(member));
                await_that(&format!("{key}: {members:?}"), || {
                    read(log).lines().any(has_both)
                });
            }
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The keys of `config.toml` that say how long something may take.
fn keys() -> BTreeSet<String> {
    let text = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml"));
    let mut section = "";
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let default = line
            .strip_prefix('#')
            .and_then(|line| line.split_once(" = "));
        if let Some((name, _)) = default
            && (name.ends_with("timeout") || name == "min_body_rate")
            && !name.starts_with(' ')
        {
            keys.insert(format!("{section}.{name}"));
        }
    }
    keys
}

#[test]
fn each_that_can_be_configured_has_a_test() {
    let elsewhere = ELSEWHERE.map(|(key, file, test)| {
        let text = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
        assert!(text.contains(&format!("fn {test}(")), "{file}: {test}");
        key
    });
    let tested = TABLE.iter().map(|row| row.key).chain(elsewhere);
    assert_eq!(tested.map(str::to_owned).collect::<BTreeSet<_>>(), keys());
}
