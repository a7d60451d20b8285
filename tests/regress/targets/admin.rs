//! The admin API through a browser: a page whose own name leads to the admin listener (DNS rebinding) changes and reads
//! nothing.

use http::Version;
use http_body_util::Full;

use crate::common::http2;
use crate::common::{Answer, Client, Gateway, Origin, Request, get, reply, request};

const READS: [&str; 4] = ["/metrics", "/explain?url=/books", "/", "/nothing"];

fn gateway(lines: &str) -> (Origin, Gateway) {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60"));
    let gateway = Gateway::before(&origin).admin(lines).start();
    gateway.get("/books").expect(200);
    (origin, gateway)
}

fn ask(gateway: &Gateway, request: &Request) -> Answer {
    Client::to(gateway.admin_addr()).send(request)
}

#[test]
fn the_admin_api_answers_to_its_own_names_only() {
    let (_origin, gateway) = gateway("hosts = ['bookend.internal', 'Ops.Example.']");
    for (host, is_own) in [
        ("127.0.0.1", true),
        ("127.0.0.1:9090", true),
        ("192.0.2.7:1", true),
        ("[::1]:9090", true),
        ("[2001:db8::1]", true),
        ("localhost", true),
        ("LOCALHOST:9090", true),
        ("localhost.", true),
        ("bookend.internal", true),
        ("bookend.internal:9090", true),
        ("BOOKEND.internal.", true),
        ("ops.example", true),
        ("evil.example", false),
        ("evil.example:9090", false),
        ("localhost.evil.example", false),
        ("127.0.0.1.evil.example", false),
        ("127.0.0.1.nip.io:9090", false),
        ("1.2.3", false),
        ("0x7f.1", false),
        ("2130706433", false),
        ("bookend.internal.evil.example", false),
        ("xbookend.internal", false),
        ("internal", false),
    ] {
        for target in READS {
            let answer = ask(&gateway, &get(target).field("Host", host));
            assert_eq!(answer.status != 421, is_own, "{host} {target}: {answer:#?}");
            assert_eq!(answer.field("access-control-allow-origin"), None);
        }
        for target in ["/healthz", "/readyz"] {
            ask(&gateway, &get(target).field("Host", host)).expect(200);
        }
        let purge = request("POST", "/purge?url=/books").field("Host", host);
        let answer = ask(&gateway, &purge);
        assert_eq!(answer.status == 200, is_own, "{host}: {answer:#?}");
        if !is_own {
            assert_eq!(answer.status, 421);
            assert_eq!(
                answer.field("content-type"),
                Some("application/problem+json")
            );
            let name = host.split(':').next().unwrap_or_default();
            let text = answer.text();
            assert!(text.contains(name) && text.contains("hosts"), "{text}");
            assert!(gateway.get("/books").is_hit());
        }
        gateway.get("/books").expect(200);
    }
}

/// What is left of a page's own name in its request: in the target, in another version, in Origin.
#[test]
fn a_page_of_another_name_gets_nowhere() {
    let (_origin, gateway) = gateway("");
    let rebound = "evil.example:9090";
    let purge = || request("POST", "/purge?all=true");
    for request in [
        purge()
            .field("Host", rebound)
            .field("Origin", "http://evil.example:9090"),
        purge().field("Host", rebound),
        request("POST", "http://evil.example:9090/purge?all=true").field("Host", "localhost"),
        purge()
            .field("Host", rebound)
            .field("Sec-Fetch-Site", "same-origin"),
        purge()
            .field("Host", rebound)
            .field("Authorization", "Bearer guessed"),
    ] {
        assert_eq!(ask(&gateway, &request).status, 421, "{request:?}");
    }
    for (name, value) in [
        ("Origin", "http://evil.example"),
        ("Origin", "https://localhost"),
        ("Origin", "http://localhost:3000"),
        ("Origin", "null"),
        ("Origin", ""),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        let request = purge().field("Host", "localhost:9090").field(name, value);
        assert_eq!(ask(&gateway, &request).status, 403, "{name}: {value}");
    }
    let mut over_http2 = http::Request::new(Full::default());
    *over_http2.method_mut() = http::Method::POST;
    *over_http2.uri_mut() = "http://evil.example:9090/purge?all=true"
        .parse()
        .expect("a URI");
    *over_http2.version_mut() = Version::HTTP_2;
    let answer = http2::send_to(gateway.admin_addr(), over_http2).expect("an answer");
    assert_eq!(answer.status(), 421);
    assert!(gateway.get("/books").is_hit());

    for (name, value) in [
        ("Origin", "http://localhost:9090"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
    ] {
        let request = purge().field("Host", "localhost:9090").field(name, value);
        ask(&gateway, &request).expect(200);
    }
    // Before HTTP/1.1 a request need not name a host; browsers always do.
    ask(&gateway, &get("/metrics").version("HTTP/1.0")).expect(200);
}

#[test]
fn who_has_the_token_may_use_any_name() {
    let (_origin, gateway) = gateway("token = 'sesame'");
    for host in ["evil.example", "bookend:9090", "localhost"] {
        for target in ["/metrics", "/explain?url=/books"] {
            let request = get(target).field("Host", host);
            let request = request.field("Authorization", "Bearer sesame");
            ask(&gateway, &request).expect(200);
        }
        let request = request("POST", "/purge?url=/books").field("Host", host);
        let with = request.clone().field("Authorization", "Bearer sesame");
        ask(&gateway, &with).expect(200);
        let expected = if host == "localhost" { 401 } else { 421 };
        assert_eq!(ask(&gateway, &request).status, expected, "{host}");
        let wrong = request.field("Authorization", "Bearer sesam");
        assert_eq!(ask(&gateway, &wrong).status, expected, "{host}");
    }
    let metrics = get("/metrics").field("Host", "evil.example");
    assert_eq!(ask(&gateway, &metrics).status, 421);
}
