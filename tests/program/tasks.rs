//! The tasks of `docs/operations.md`: each block of configuration does what its heading says.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bookend::config::Config;
use bookend::config::traces::BUILT_IN;

use crate::common::{Answer, Client, Gateway, Origin, Setup, get, put, reply};

/// The blocks below a heading of `## Tasks`.
fn blocks(heading: &str) -> Vec<String> {
    let page = page();
    let (_, rest) = page
        .split_once(&format!("\n### {heading}\n"))
        .unwrap_or_else(|| panic!("no task {heading:?}"));
    let end = rest.find("\n### ").unwrap_or(rest.len());
    let fenced = rest[..end].split("```toml\n").skip(1);
    fenced
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// The tasks' part of the page.
fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(path).expect("the page");
    let (_, tasks) = page.split_once("\n## Tasks\n").expect("the tasks");
    let end = tasks.find("\n## ").unwrap_or(tasks.len());
    format!("\n{}", &tasks[..end])
}

/// A gateway before `origin` with such a block.
fn before(origin: &Origin, block: &str) -> Setup {
    let (mut server, mut cache, mut more) = (String::new(), String::new(), String::new());
    let mut table = &mut more;
    for line in block.lines() {
        match line {
            "[server]" => table = &mut server,
            "[cache]" => table = &mut cache,
            line => {
                if line.starts_with('[') {
                    table = &mut more;
                }
                *table += &format!("{line}\n");
            }
        }
    }
    Gateway::before(origin)
        .server(&server)
        .cache(&cache)
        .more(&more)
}

/// An API that tells what it was asked, and stores nothing by itself.
fn api() -> Origin {
    Origin::start(|request, conn| {
        let status = match request.target.starts_with("/books/404") {
            true => 404,
            false => 200,
        };
        let told = ["x-gateway", "x-debug", "x-forwarded-for", "cookie"]
            .map(|name| request.fields.get(name).unwrap_or("-").to_owned());
        let said = format!("{} {} {}", request.method, request.target, told.join(" "));
        let answer = reply(status)
            .field("Server", "api/1")
            .field("X-Powered-By", "books");
        conn.reply(request, &answer.body(said));
    })
}

fn is_hit(gateway: &Gateway, target: &str) -> bool {
    gateway.get(target);
    gateway.get(target).is_hit()
}

#[test]
fn a_404_has_a_lifetime_of_its_own() {
    let [block] = &blocks("Another lifetime for 404")[..] else {
        panic!("one block");
    };
    let origin = api();
    let gateway = before(&origin, block).start();
    for (target, lifetime) in [("/books/1", 300), ("/books/404", 30)] {
        gateway.get(target);
        let again = gateway.get(target);
        assert!(again.is_hit(), "{target}");
        let left = again.number("ttl").expect("a ttl");
        assert!(lifetime - 20 <= left && left <= lifetime, "{target} {left}");
    }
    assert!(!is_hit(&gateway, "/films/1"));
}

#[test]
fn parameters_of_campaigns_do_not_matter() {
    let block = blocks("Ignore what campaigns add to URLs").concat();
    let origin = api();
    let gateway = before(&origin, &format!("[cache]\nttl = '1m'\n{block}")).start();
    gateway.get("/books?page=1&utm_source=mail&fbclid=3");
    assert!(gateway.get("/books?page=1&gclid=9").is_hit());
    assert!(!gateway.get("/books?page=2").is_hit());
}

#[test]
fn the_cookie_of_a_language_has_its_own_response() {
    let block = blocks("A stored response for each language of a cookie").concat();
    let origin = api();
    let gateway = before(&origin, &block).start();
    let ask = |cookie: &str| gateway.send(&get("/books/1").field("Cookie", cookie));
    ask("lang=en");
    assert!(ask("lang=en").is_hit());
    assert!(!ask("lang=de").is_hit());
    assert!(ask("lang=de").is_hit());
    // Another cookie is a credential.
    ask("lang=pt; session=1");
    assert!(!ask("lang=pt; session=1").is_hit());
}

#[test]
fn fields_are_set_and_removed() {
    let block = blocks("Set and remove fields").concat();
    let origin = api();
    let gateway = before(&origin, &block).start();
    let answer = gateway.send(&get("/books/1").field("X-Debug", "1"));
    assert_eq!(answer.text(), "GET /books/1 bookend - 127.0.0.1 -");
    assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.field("server"), None);
    assert_eq!(answer.field("x-powered-by"), None);
}

#[test]
fn another_api_has_its_prefix_and_a_host_its_policy() {
    let block = blocks("Two APIs by prefix, and a policy for a host").concat();
    let (books, films) = (api(), api());
    let block = block.replace("http://127.0.0.1:7000", &films.url());
    let gateway = before(&books, &block).start();
    assert!(gateway.get("/films/7").text().starts_with("GET /7 "));
    assert_eq!((books.count(), films.count()), (0, 1));
    assert!(!is_hit(&gateway, "/books/1"));
    let ask = || gateway.send(&get("/logo").field("Host", "static.example.org"));
    ask();
    assert!(ask().is_hit());
}

#[test]
fn clients_speak_tls_and_others_are_redirected_to_it() {
    let block = blocks("TLS, and a redirect to it").concat();
    let folder = tempfile::tempdir().expect("a folder");
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let signed = signed.expect("a certificate");
    for (file, text) in [
        ("cert.pem", signed.cert.pem()),
        ("key.pem", signed.signing_key.serialize_pem()),
    ] {
        fs::write(folder.path().join(file), text).expect("a file");
    }
    let at = format!("{}/", folder.path().display());
    let block = block
        .replace("/etc/bookend/", &at)
        .replace("\":443\"", "\"127.0.0.1:0\"")
        .replace("\":80\"", "\"127.0.0.1:0\"");
    let origin = api();
    let gateway = before(&origin, &block).start();
    let [tls, plain] = gateway.listeners()[..] else {
        panic!("two listeners");
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(signed.cert.der().clone()).expect("a root");
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let client = rustls::ClientConnection::new(config.into(), name).expect("a client");
    let socket = std::net::TcpStream::connect(tls).expect("a listener");
    let mut stream = rustls::StreamOwned::new(client, socket);
    let request = b"GET /books/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request).expect("written");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let redirected = Client::to(plain).get("/books/1").expect(301);
    let location = redirected.field("location").expect("a location");
    assert!(location.starts_with("https://"), "{location}");
}

#[test]
fn a_password_is_asked_for() {
    let block = blocks("Ask for a password").concat();
    let folder = tempfile::tempdir().expect("a folder");
    let user = "alice:$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW\n";
    fs::write(folder.path().join("staff.htpasswd"), user).expect("a file");
    let block = block.replace("/etc/bookend/", &format!("{}/", folder.path().display()));
    let origin = api();
    let gateway = before(&origin, &block).start();
    let refused = gateway.get("/staff/1").expect(401);
    assert_eq!(
        refused.field("www-authenticate"),
        Some("Basic realm=\"Staff\", charset=\"UTF-8\"")
    );
    let wrong = STANDARD.encode("alice:wrong");
    let wrong = get("/staff/1").field("Authorization", format!("Basic {wrong}"));
    gateway.send(&wrong).expect(401);
    gateway.get("/books/1").expect(200);
    assert_eq!(origin.count(), 1);
}

#[test]
fn maintenance_and_blocked_paths_are_answered_without_the_api() {
    let block = blocks("Maintenance, and a blocked path").concat();
    let origin = api();
    let gateway = before(&origin, &block).start();
    let answer = gateway.get("/books/1").expect(503);
    assert_eq!(answer.text(), "Back at noon.");
    assert_eq!(answer.field("retry-after"), Some("300"));
    gateway.get("/internal/keys").expect(404);
    assert_eq!(origin.count(), 0);
}

#[test]
fn clients_are_kept_out_by_their_network() {
    let block = blocks("Keep clients out by their network").concat();
    let origin = api();
    let setup = before(&origin, &block).server("trusted_proxies = ['127.0.0.0/8']");
    let gateway = setup.start();
    let ask = |client: &str, target: &str| -> Answer {
        gateway.send(&get(target).field("X-Forwarded-For", client))
    };
    ask("192.0.2.7", "/books/1").expect(403);
    ask("198.51.100.7", "/books/1").expect(200);
    ask("198.51.100.7", "/metrics/all").expect(403);
    gateway.get("/metrics/all").expect(200);
}

#[test]
fn pages_of_another_origin_may_read() {
    let block = blocks("Let the pages of another origin read").concat();
    let origin = api();
    let gateway = before(&origin, &block).start();
    for (page, allowed) in [
        ("https://app.example.org", Some("https://app.example.org")),
        ("https://evil.example", None),
    ] {
        let answer = gateway.send(&get("/books/1").field("Origin", page));
        assert_eq!(answer.field("access-control-allow-origin"), allowed);
    }
}

#[test]
fn uploads_have_their_limit() {
    let block = blocks("A limit for uploads").concat();
    let origin = api();
    let gateway = before(&origin, &block).start();
    let content = vec![b'x'; (1 << 20) + 1];
    gateway.send(&put("/books/1", &content)).expect(413);
    gateway.send(&put("/covers/1", &content)).expect(200);
}

#[test]
fn the_client_behind_a_balancer_has_its_own_address() {
    let [fields, header] = &blocks("The client's address behind a balancer")[..] else {
        panic!("two blocks");
    };
    let origin = api();
    let local = |block: &str| block.replace("10.0.0.0/8", "127.0.0.0/8");
    let gateway = before(&origin, &local(fields)).start();
    gateway.send(&get("/books/1").field("X-Forwarded-For", "192.0.2.7"));
    let told = |origin: &Origin| {
        origin
            .last()
            .fields
            .get("x-forwarded-for")
            .map(str::to_owned)
    };
    assert_eq!(told(&origin).as_deref(), Some("192.0.2.7, 127.0.0.1"));
    let block = local(header).replace("\":8080\"", "\"127.0.0.1:0\"");
    let gateway = before(&origin, &block).start();
    let mut client = Client::to(gateway.listener());
    client.write("PROXY TCP4 192.0.2.9 127.0.0.1 1234 80\r\n");
    client.get("/books/1").expect(200);
    assert_eq!(told(&origin).as_deref(), Some("192.0.2.9"));
}

#[test]
fn requests_are_recorded_in_traces() {
    let [block] = &blocks("Traces")[..] else {
        panic!("one block");
    };
    let collector = Origin::answering(reply(200));
    let block = block.replace("http://127.0.0.1:4318", &collector.url());
    if !BUILT_IN {
        let text = format!("[upstream]\nservers = \"{}\"\n{block}", collector.url());
        let mistakes = Config::parse(&text, "the task", &|_| None).expect_err("it has none");
        let cure = "build it with `cargo build --release --features otlp`";
        assert!(mistakes[0].to_string().contains(cure), "{mistakes:?}");
        return;
    }
    let origin = api();
    let gateway = before(&origin, &block).start();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    gateway
        .send(&get("/books/1").field("traceparent", parent))
        .expect(200);
    collector.await_requests(1);
    assert_eq!(collector.last().target, "/v1/traces");
}

/// A task without configuration is held by other tests.
#[test]
fn each_task_has_its_test() {
    let page = page();
    let tasks = page.split("\n### ").skip(1);
    let source = include_str!("tasks.rs");
    let mut count = 0;
    for task in tasks {
        let (heading, text) = task.split_once('\n').expect("text");
        let is_tested = source.contains(&format!("blocks(\"{heading}\")"));
        assert_eq!(is_tested, text.contains("```toml"), "{heading}");
        count += 1;
    }
    assert!(count >= 14, "{count} tasks");
}
