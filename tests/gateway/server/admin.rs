//! The admin API.

use std::collections::HashSet;
use std::net::TcpStream;
use std::sync::Arc;

use bookend::admin::{Admin, Kind, Operations, Page, Reply, RunningAdmin, json};
use bookend::clock::Clock;
use bookend::config::{Admin as Config, ListenAddr, Secret};
use bookend::server::Outcome;
use bookend::telemetry::counters::Metrics;
use bookend::telemetry::readiness::{Readiness, Stage};
use bytes::Bytes;
use http::{Request, StatusCode};

use super::harness::{Answer, Client};

struct ToyGateway {
    readiness: Readiness,
    metrics: Metrics,
}

impl Operations for ToyGateway {
    fn stage(&self) -> Stage {
        self.readiness.stage()
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn gauges(&self, page: &mut Page) {
        page.single("bookend_store_bytes", Kind::Gauge, "Bytes stored.", 42);
    }

    fn purge(&self, request: &Request<Bytes>) -> Reply {
        let order = String::from_utf8_lossy(request.body());
        let outcome = serde_json::json!({ "order": order });
        Reply::Now(json(StatusCode::OK, &outcome))
    }
}

struct Running {
    addr: ListenAddr,
    readiness: Readiness,
    metrics: Metrics,
    admin: RunningAdmin,
}

fn start(token: Option<&str>) -> Running {
    let admin = Admin::bind(&Config {
        listen: ListenAddr::Tcp(([127, 0, 0, 1], 0).into()),
        token: token.map(Secret::new),
        ..Config::default()
    })
    .unwrap();
    let (readiness, metrics) = (Readiness::default(), Metrics::new(3));
    let addr = admin.addr().clone();
    let operations = Arc::new(ToyGateway {
        readiness: readiness.clone(),
        metrics: metrics.clone(),
    });
    Running {
        addr,
        readiness,
        metrics,
        admin: admin.start(operations, Clock::system()).unwrap(),
    }
}

impl Running {
    fn connect(&self) -> Client<TcpStream> {
        let ListenAddr::Tcp(addr) = self.addr else {
            panic!("no port");
        };
        Client::new(TcpStream::connect(addr).unwrap())
    }

    fn ask(&self, line: &str, fields: &str, content: &str) -> Answer {
        let mut client = self.connect();
        client.send(format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{fields}\r\n{content}",
            self.addr,
            content.len(),
        ));
        client.answer()
    }
}

#[test]
fn health_is_told_always_and_readiness_as_it_is() {
    let running = start(None);
    for (stage, status) in [
        (Stage::Starting, 503),
        (Stage::Ready, 200),
        (Stage::ShuttingDown, 503),
        (Stage::Draining, 503),
    ] {
        running.readiness.set(stage);
        assert_eq!(running.ask("GET /healthz", "", "").status(), 200);
        assert_eq!(running.ask("GET /readyz", "", "").status(), status);
    }
    let answer = running.ask("GET /readyz", "", "");
    assert_eq!(answer.body, "draining\n");
    assert_eq!(answer.field("cache-control"), Some("no-store"));
    assert!(answer.field("date").is_some());
    assert_eq!(running.admin.stop().unwrap(), Outcome::Drained);
}

#[test]
fn metrics_are_a_page_that_prometheus_can_read() {
    let running = start(Some("secret"));
    running.metrics.workers[0].hits.add(2);
    running.metrics.workers[2].hits.add(3);
    running.metrics.workers[1].connections.add(7);
    let answer = running.ask("GET /metrics", "", "");
    assert_eq!(
        answer.field("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let samples = read_page(&answer.body);
    for (name, value) in [
        ("bookend_requests_total{result=\"hit\"}", 5),
        ("bookend_requests_total{result=\"miss\"}", 0),
        ("bookend_connections", 7),
        ("bookend_workers", 3),
        ("bookend_store_bytes", 42),
    ] {
        assert!(samples.contains(&(name.to_owned(), value)), "{name}");
    }
    let resident = samples
        .iter()
        .find(|(name, _)| name == "process_resident_memory_bytes");
    assert!(resident.is_some_and(|(_, bytes)| *bytes > 1 << 20));
}

/// Every sample, if each belongs to the metric announced before it and none comes twice.
fn read_page(page: &str) -> Vec<(String, u64)> {
    assert!(page.ends_with('\n'));
    let (mut samples, mut names) = (Vec::new(), HashSet::new());
    let (mut helped, mut current, mut kind) = ("", "", "");
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split_once(' ').expect("a help text").0;
            assert!(names.insert(helped.to_owned()), "{helped} twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            (current, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(current, helped);
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a sample");
            let name = sample.split('{').next().unwrap();
            let parts = ["_bucket", "_sum", "_count"].iter();
            let part = parts.filter_map(|part| name.strip_suffix(part));
            let is_part = kind == "histogram" && part.clone().any(|name| name == current);
            assert!(is_part || name == current, "{line}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            assert!(names.insert(sample.to_owned() + " "), "{sample} twice");
            let value: f64 = value.parse().expect("a number");
            samples.push((sample.to_owned(), value as u64));
        }
    }
    samples
}

#[test]
fn who_may_change_something_carries_the_token() {
    let running = start(Some("sesame"));
    for (fields, status) in [
        ("", 401),
        ("Authorization: Bearer sesam\r\n", 401),
        ("Authorization: Bearer sesame2\r\n", 401),
        ("Authorization: Basic sesame\r\n", 401),
        ("Authorization: Bearer\r\n", 401),
        ("Authorization: Bearer sesame\r\n", 200),
        ("Authorization: bearer  sesame\r\n", 200),
    ] {
        let answer = running.ask("POST /purge", fields, "all");
        assert_eq!(answer.status(), status, "{fields:?}");
        if status == 401 {
            assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
            assert!(!answer.body.contains("sesam"));
        } else {
            assert_eq!(answer.body, "{\"order\":\"all\"}\n");
        }
    }
    assert_eq!(running.ask("GET /explain?url=/", "", "").status(), 401);
    assert_eq!(running.ask("GET /metrics", "", "").status(), 200);
}

#[test]
fn without_a_token_everyone_may_but_no_other_sites_page() {
    let running = start(None);
    assert_eq!(running.ask("POST /purge", "", "all").status(), 200);
    let own = format!("Origin: http://{}\r\n", running.addr);
    for (fields, status) in [
        (own.as_str(), 200),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        let answer = running.ask("POST /purge", fields, "all");
        assert_eq!(answer.status(), status, "{fields:?}");
    }
}

#[test]
fn the_dashboard_needs_no_token_and_has_a_policy_but_the_configuration_needs_one() {
    let running = start(Some("secret"));
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard/style.css", "text/css; charset=utf-8"),
        ("/dashboard/main.js", "text/javascript; charset=utf-8"),
        ("/dashboard/icon.svg", "image/svg+xml"),
    ] {
        let answer = running.ask(&format!("GET {path}"), "", "");
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.field("content-type"), Some(media_type));
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.field("referrer-policy"), Some("no-referrer"));
        let policy = answer.field("content-security-policy").expect("a policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }
    assert_eq!(running.ask("GET /config", "", "").status(), 401);
    let token = "Authorization: Bearer secret\r\n";
    assert_eq!(running.ask("GET /config", token, "").status(), 501);
    // A page that made its own name lead here gets nothing.
    let mut client = running.connect();
    client.send("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    let (rest, _) = client.rest();
    assert!(rest.starts_with("HTTP/1.1 421 "), "{rest}");
}

#[test]
fn what_is_not_there_is_a_problem_document() {
    let running = start(None);
    for (line, status, allow) in [
        ("GET /dashboard/", 404, None),
        ("GET /healthz/", 404, None),
        ("POST /", 405, Some("GET, HEAD")),
        ("GET /config", 501, None),
        ("POST /healthz", 405, Some("GET, HEAD")),
        ("GET /purge", 405, Some("POST")),
        ("DELETE /purge", 405, Some("POST")),
        ("GET /explain?url=/", 501, None),
    ] {
        let answer = running.ask(line, "", "");
        assert_eq!(answer.status(), status, "{line}");
        assert_eq!(answer.field("allow"), allow, "{line}");
        assert_eq!(
            answer.field("content-type"),
            Some("application/problem+json")
        );
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["status"], status, "{line}");
    }
    let mut client = running.connect();
    client.send("HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (rest, _) = client.rest();
    assert!(
        rest.starts_with("HTTP/1.1 200 ") && rest.ends_with("\r\n\r\n"),
        "{rest}"
    );
}

#[test]
fn too_much_is_refused() {
    let running = start(None);
    let content = "x".repeat(300 << 10);
    assert_eq!(running.ask("POST /purge", "", &content).status(), 413);
    let field = format!("X-Long: {}\r\n", &content[..20 << 10]);
    let answer = running.ask("GET /healthz", &field, "");
    assert_eq!(answer.status(), 431);
    assert_eq!(
        answer.field("content-type"),
        Some("application/problem+json")
    );
}
