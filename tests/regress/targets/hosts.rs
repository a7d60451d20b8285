//! The API is told the host that the response is stored for, in the spelling that is in the key: what it makes of it
//! answers all clients that are given the response.

use http::Version;
use http_body_util::Full;

use crate::common::http2;
use crate::common::{Client, Gateway, Origin, Request, get, post, reply, request};

/// What is sent as the host, and what the API is told.
const HOSTS: [(&str, &str); 13] = [
    ("good.example", "good.example"),
    ("good.example:80", "good.example"),
    ("good.example:0080", "good.example"),
    ("good.example:", "good.example"),
    ("GOOD.example", "good.example"),
    ("Good.Example:80", "good.example"),
    ("good.example:8080", "good.example:8080"),
    ("GOOD.EXAMPLE:08080", "good.example:8080"),
    ("good.example:443", "good.example:443"),
    ("good.example.", "good.example."),
    ("[2001:DB8::1]:80", "[2001:db8::1]"),
    ("[2001:db8::1]:", "[2001:db8::1]"),
    ("192.0.2.1:80", "192.0.2.1"),
];

fn origin() -> Origin {
    Origin::start(|request, conn| {
        let host = request.fields.get("host").unwrap_or_default();
        let reply = reply(200).field("Cache-Control", "max-age=60");
        conn.reply(request, &reply.field("Link", format!("<//{host}/>")));
    })
}

/// The hosts of a request as the API sees it: Host, X-Forwarded-Host, and that of Forwarded.
fn told(request: &Request) -> [String; 3] {
    let field = |name| request.fields.get(name).unwrap_or_default().to_owned();
    let forwarded = field("forwarded");
    let element = forwarded
        .split(';')
        .find_map(|pair| pair.strip_prefix("host="));
    let element = element.unwrap_or_default().trim_matches('"').to_owned();
    [field("host"), field("x-forwarded-host"), element]
}

#[test]
fn the_host_sent_on_is_the_one_in_the_key() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    for (n, (host, expected)) in HOSTS.into_iter().enumerate() {
        let expected = [expected; 3];
        let requests = [
            ("GET", get(&format!("/{n}")).field("Host", host)),
            ("POST", post("/", "x").field("Host", host)),
            ("OPTIONS", request("OPTIONS", "*").field("Host", host)),
            (
                "upgrade",
                get("/")
                    .field("Host", host)
                    .field("Connection", "upgrade")
                    .field("Upgrade", "toy"),
            ),
            // RFC 9112 §3.2.2
            (
                "absolute",
                get(&format!("http://{host}/{n}/absolute")).field("Host", "other.example"),
            ),
            (
                "HTTP/1.0",
                get(&format!("/{n}/old"))
                    .version("HTTP/1.0")
                    .field("Host", host),
            ),
        ];
        for (kind, request) in requests {
            gateway.send(&request).expect(200);
            assert_eq!(told(&origin.last()), expected, "{kind} of {host}");
        }
        let uri = format!("http://{host}/{n}/h2");
        let mut request = http::Request::new(Full::default());
        *request.uri_mut() = uri.parse().expect("a URI");
        *request.version_mut() = Version::HTTP_2;
        http2::send(&gateway, request).expect("an answer");
        assert_eq!(told(&origin.last()), expected, "HTTP/2 of {host}");
    }
}

#[test]
fn what_one_spelling_of_a_host_stored_is_the_same_for_all() {
    let origin = origin();
    let gateway = Gateway::before(&origin).start();
    let mut client: Client = gateway.client();
    let same = [
        "GOOD.example:80",
        "good.example",
        "good.example:",
        "Good.example",
    ];
    for host in same {
        let answer = client.send(&get("/").field("Host", host)).expect(200);
        assert_eq!(answer.field("link"), Some("<//good.example/>"), "{host}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_trusted_proxys_host_is_told_in_the_same_form() {
    let origin = origin();
    let gateway = Gateway::before(&origin)
        .server("trusted_proxies = '127.0.0.1'")
        .start();
    for (n, (host, expected)) in HOSTS.into_iter().enumerate() {
        let request = get(&format!("/{n}")).field("Host", "proxy.example");
        let request = request.field("X-Forwarded-Host", host);
        gateway.send(&request).expect(200);
        assert_eq!(told(&origin.last()), [expected; 3], "{host}");
    }
}
