//! Spellings of a URI that RFC 3986 §6.2.2 calls equivalent are one key; what goes upstream is the client's own.

use crate::common::{
    Answer, Client, Gateway, Origin, Request, delete, get, head, http2, post, put, reply, request,
};
use http::Version;
use http_body_util::Full;

/// Two spellings of one URI.
const SAME: [(&str, &str); 12] = [
    ("/caf%C3%A9", "/caf%c3%a9"),
    ("/caf%c3%A9", "/caf%C3%A9"),
    ("/~a", "/%7Ea"),
    ("/%7ea", "/~a"),
    ("/books", "/%62ooks"),
    ("/books/a-b_c.d", "/b%6f%6Fks/a%2Db%5fc%2e%64"),
    ("/a?q=caf%C3%A9", "/a?q=caf%c3%a9"),
    ("/a?q=~&%62=1", "/a?q=%7e&b=1"),
    ("/a%2Fb", "/a%2fb"),
    ("/a%20b", "/%61%20b"),
    ("/100%2541", "/10%30%2541"),
    ("/?%41", "/?A"),
];

/// Two URIs.
const DIFFERENT: [(&str, &str); 9] = [
    ("/a%2Fb", "/a/b"),
    ("/a?b%26c", "/a?b&c"),
    ("/a+b", "/a%20b"),
    ("/a%2Bb", "/a+b"),
    ("/Books", "/books"),
    ("/%2541", "/%41"),
    ("/a%3Fb", "/a?b"),
    ("/a%3bb", "/a;b"),
    ("/%%41B", "/%AB"),
];

/// An API of which all may be stored, and whose answers to writes have the fields that the content says.
fn api() -> Origin {
    Origin::start(|request, conn| {
        let fresh = || reply(200).field("Cache-Control", "max-age=600");
        let reply = match &*request.method {
            "GET" => fresh().field("ETag", "\"1\"").body(&request.target),
            "HEAD" => fresh().field("ETag", "\"1\""),
            _ => match request.text().split_once(": ") {
                Some((name, value)) => reply(201).field(name, value),
                None => reply(200),
            },
        };
        conn.reply(request, &reply);
    })
}

fn at(host: &str, request: Request) -> Request {
    request.field("Host", host)
}

fn read(gateway: &Gateway, target: &str) -> Answer {
    gateway.send(&at("a.example", get(target))).expect(200)
}

#[test]
fn equivalent_spellings_share_what_is_stored() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    for (one, other) in SAME {
        read(&gateway, one);
        assert_eq!(origin.last().target, one);
        let answer = read(&gateway, other);
        assert!(answer.is_hit(), "{one} is not found as {other}");
        assert_eq!(answer.text(), one);
        let answer = gateway.send(&at("a.example", head(other))).expect(200);
        assert!(answer.is_hit(), "HEAD {other}");
        let absolute = format!("http://A.example:80{other}");
        assert!(read(&gateway, &absolute).is_hit(), "{absolute}");
        let mut request = http::Request::new(Full::default());
        let uri = format!("http://a.example{other}").parse();
        *request.uri_mut() = uri.expect("a URI");
        *request.version_mut() = Version::HTTP_2;
        let answer = http2::send(&gateway, request).expect("an answer");
        let said = answer.headers()["cache-status"].to_str().expect("a text");
        assert!(said.contains("; hit"), "{other} over HTTP/2: {said}");
        // So that the next row begins anew.
        gateway.send(&at("a.example", delete(one))).expect(200);
    }
    for (n, (one, other)) in DIFFERENT.into_iter().enumerate() {
        let host = format!("{n}.example");
        gateway.send(&at(&host, get(one))).expect(200);
        let answer = gateway.send(&at(&host, get(other))).expect(200);
        assert!(!answer.is_hit(), "{one} is not {other}");
    }
}

#[test]
fn what_goes_upstream_is_the_clients_own() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    for (one, other) in SAME {
        for target in [other, one] {
            for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST"] {
                let request = request(method, target).field("Cache-Control", "no-cache");
                gateway.send(&request);
                assert_eq!(origin.last().target, target, "{method}");
            }
        }
    }
    gateway.send(&get("http://a.example?%41").field("Host", "a.example"));
    assert_eq!(origin.last().target, "/?%41");
}

#[test]
fn a_write_in_another_spelling_invalidates() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    for (one, other) in SAME {
        for (stored, written) in [(one, other), (other, one)] {
            let location = |name: &str, target: &str| post("/w", format!("{name}: {target}"));
            let absolute = format!("http://A.example{written}");
            let writes = [
                ("PUT", put(written, "x")),
                ("DELETE", delete(written)),
                ("POST", post(written, "x")),
                ("PATCH", request("PATCH", written).body("x")),
                ("absolute", put(&absolute, "x")),
                ("Location", location("Location", written)),
                ("Content-Location", location("Content-Location", written)),
                ("an absolute Location", location("Location", &absolute)),
            ];
            for (kind, write) in writes {
                read(&gateway, stored);
                assert!(read(&gateway, stored).is_hit());
                gateway.send(&at("a.example", write));
                let answer = read(&gateway, stored);
                assert!(
                    answer.fwd("uri-miss"),
                    "{stored} is old after {kind} of {written}"
                );
            }
        }
    }
}

#[test]
fn what_a_route_invalidates_is_found_in_any_spelling() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .route(
            "/caf\u{e9}/{id}",
            "invalidates = ['/caf\u{e9}', '/caf%c3%a9/{id}/a%7e']",
        )
        .route(
            "/b%c3%bccher-{id}",
            "invalidates = ['/b%C3%BCcher', '/%62/{id}']",
        )
        .start();
    let rows = [
        ("/caf%c3%a9/7", "/caf%C3%A9"),
        ("/caf%C3%A9/7", "/caf%c3%a9"),
        ("/caf%C3%A9/7", "/caf%c3%a9?page=2"),
        ("/caf%C3%A9/7", "/%63af%C3%A9?page=2"),
        ("/caf%C3%A9/%37", "/caf%C3%A9/7/a~"),
        ("/caf%C3%A9/%c3%a9", "/caf%C3%A9/%C3%A9/%61~?a"),
        ("/b%c3%bccher-1", "/b%C3%BCcher"),
        ("/b%C3%BCcher-1", "/b%c3%bccher?a"),
        ("/b%C3%BCcher-%31", "/b/1"),
    ];
    for (written, stored) in rows {
        read(&gateway, stored);
        assert!(read(&gateway, stored).is_hit());
        gateway.send(&at("a.example", put(written, "x")));
        let answer = read(&gateway, stored);
        assert!(
            answer.fwd("uri-miss"),
            "{stored} is old after PUT {written}"
        );
    }
}

#[test]
fn the_operator_finds_every_spelling() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    let mut admin = Client::to(gateway.admin_addr());
    for (one, other) in SAME {
        for (stored, asked) in [(one, other), (other, one)] {
            for named in [asked.to_owned(), format!("http://a.example{asked}")] {
                read(&gateway, stored);
                let value = encoded(&named);
                let explained = admin.get(&format!("/explain?url={value}")).expect(200);
                assert!(
                    explained.text().contains("\"status\":200"),
                    "{named}: {}",
                    explained.text()
                );
                let purge = request("POST", &format!("/purge?url={value}"));
                let purged = admin.send(&purge).expect(200);
                assert!(
                    purged.text().contains("\"purged\":1"),
                    "{stored} is not purged by {named}"
                );
                assert!(read(&gateway, stored).fwd("uri-miss"));
                // One that has a query is not all of its path's.
                let (path, _) = asked.split_once('?').unwrap_or((asked, ""));
                let purge = request("POST", &format!("/purge?prefix={}", encoded(path)));
                let purged = admin.send(&purge).expect(200).text();
                assert!(
                    purged.contains("\"purged\":1") || path == "/",
                    "{stored} is not purged by the prefix {path}: {purged}"
                );
                admin.send(&request("POST", "/purge?all=true")).expect(200);
            }
        }
    }
}

#[test]
fn parameters_that_do_not_matter_are_left_out_in_any_spelling() {
    let origin = Origin::start(|request, conn| {
        let reply = reply(200)
            .field("Cache-Control", "max-age=600")
            .field("No-Vary-Search", "params=(\"utm\")");
        conn.reply(request, &reply);
    });
    let gateway = Gateway::before(&origin).start();
    read(&gateway, "/caf%C3%A9?a=~&utm=1");
    for same in [
        "/caf%c3%a9?a=~&utm=2",
        "/%63af%C3%A9?a=%7E",
        "/caf%C3%A9?%75tm=3&a=%7e",
    ] {
        assert!(read(&gateway, same).is_hit(), "{same}");
    }
    gateway.send(&at("a.example", put("/caf%c3%a9?a=%7e&utm=9", "x")));
    assert!(read(&gateway, "/caf%C3%A9?a=~").fwd("uri-miss"));
}

/// As the value of a parameter in a query.
fn encoded(text: &str) -> String {
    let octet = |octet: u8| match octet.is_ascii_alphanumeric() || b"/:._-~".contains(&octet) {
        true => char::from(octet).to_string(),
        false => format!("%{octet:02X}"),
    };
    text.bytes().map(octet).collect()
}
