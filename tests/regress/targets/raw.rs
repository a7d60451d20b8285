//! What no URI has and clients send all the same is passed on percent-encoded: keyed, sent and logged so. What stays refused
//! is named. `PROPTEST_CASES` sets how many connections are tried.

use http::Version;
use http_body_util::Full;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseResult, TestRunner};

use crate::common::{Answer, Client, Gateway, Origin, Setup, await_that, http2, reply, request};

/// What a client sends, and what the API gets.
#[rustfmt::skip]
const RAW: [(&[u8], &str); 16] = [
    (b"/a?filter={\"a\":1}", "/a?filter=%7B%22a%22:1%7D"),
    (b"/\"a\"", "/%22a%22"),
    (b"/a<b>c", "/a%3Cb%3Ec"),
    (b"/a?b=<c>", "/a?b=%3Cc%3E"),
    (b"/`a`?`", "/%60a%60?%60"),
    (b"/{a}|^\\", "/%7Ba%7D%7C%5E%5C"),
    ("/caf\u{e9}?q=\u{1f4da}".as_bytes(), "/caf%C3%A9?q=%F0%9F%93%9A"),
    (b"/caf\xe9?\x80\xff", "/caf%E9?%80%FF"),
    (b"/%7b{%", "/%7b%7B%"),
    (b"/%zz\"%4", "/%zz%22%4"),
    // What is reserved stays as it is, and so does what is encoded.
    (b"/a?page[size]=1&c[]=2", "/a?page[size]=1&c[]=2"),
    (b"/:@!$&'()*+,;=-._~", "/:@!$&'()*+,;=-._~"),
    (b"/%23%20%0a", "/%23%20%0a"),
    (b"http://a.test/{b}", "/%7Bb%7D"),
    (b"HTTP://A.test:80?{b}", "/?%7Bb%7D"),
    (b"//{a}", "//%7Ba%7D"),
];

/// What is refused, and what the client is told.
#[rustfmt::skip]
const REFUSED: [(&[u8], &str); 11] = [
    (b"/a#b", "`#` at offset 2"),
    (b"/{\"#", "`#` at offset 3"),
    (b"http://a.test/#", "`#` at offset 14"),
    (b"/a b", "space at offset 2"),
    (b" /a", "space at offset 0"),
    (b"/a  ", "space at offset 2"),
    (b"/a\tb", "0x09 at offset 2"),
    (b"/a?\x00", "0x00 at offset 3"),
    (b"/\x7f", "0x7F at offset 1"),
    (b"/\xff\x1b", "0x1B at offset 2"),
    (b"/a\rb", "no HTTP version"),
];

fn setup() -> (Origin, Setup) {
    let origin = Origin::start(|request, conn| {
        let fresh = reply(200).field("Cache-Control", "max-age=600");
        conn.reply(request, &fresh.body(&request.target));
    });
    let setup = Gateway::before(&origin).workers(1);
    (origin, setup)
}

/// The answer to a request with these octets as its target.
fn send(gateway: &Gateway, method: &str, target: &[u8]) -> Answer {
    let line = [method.as_bytes(), b" ", target, b" HTTP/1.1\r\n"].concat();
    let fields =
        "Host: a.test\r\nX-Raw: {\"a\"}\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let mut client = gateway.client();
    client.write([&line, fields.as_bytes()].concat());
    client.answer(method).finish()
}

fn read(gateway: &Gateway, target: &[u8]) -> Answer {
    let mut client = gateway.client();
    let rest: &[u8] = b" HTTP/1.1\r\nHost: a.test\r\n\r\n";
    client.write([b"GET ", target, rest].concat());
    client.answer("GET").finish()
}

#[test]
fn what_no_uri_has_is_passed_on_encoded() {
    let (origin, setup) = setup();
    let gateway = setup.start();
    for (raw, encoded) in RAW {
        let shown = raw.escape_ascii();
        for method in ["PUT", "POST", "DELETE", "OPTIONS", "PATCH", "REPORT"] {
            send(&gateway, method, raw).expect(200);
            assert_eq!(origin.last().target, encoded, "{method} {shown}");
            assert_eq!(
                origin.last().fields.get("x-raw"),
                Some("{\"a\"}"),
                "{shown}"
            );
            assert_eq!(origin.last().body, b"{}", "{shown}");
        }
        assert_eq!(read(&gateway, raw).expect(200).text(), encoded, "{shown}");
        // Whatever the spelling, it is stored once, and a write is one to it.
        for target in [raw, encoded.as_bytes()] {
            assert!(read(&gateway, target).is_hit(), "{shown}");
        }
        send(&gateway, "DELETE", raw).expect(200);
        assert!(
            read(&gateway, encoded.as_bytes()).fwd("uri-miss"),
            "{shown}"
        );
    }
}

#[test]
fn what_stays_refused_is_named_with_its_place() {
    let (origin, setup) = setup();
    let gateway = setup.start();
    for (target, told) in REFUSED {
        for method in ["GET", "POST"] {
            let answer = send(&gateway, method, target);
            let shown = target.escape_ascii();
            assert_eq!(answer.status, 400, "{shown}: {answer:#?}");
            assert!(answer.text().contains(told), "{shown}: {}", answer.text());
        }
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn limits_count_what_is_sent_on() {
    let (origin, setup) = setup();
    let gateway = setup.server("max_uri = '64B'").start();
    let target = |raw: usize| format!("/{}", "{".repeat(raw));
    read(&gateway, target(21).as_bytes()).expect(200);
    read(&gateway, target(22).as_bytes()).expect(414);
    assert_eq!(origin.count(), 1);
}

#[test]
fn http_2_has_the_same_key() {
    let (origin, setup) = setup();
    let gateway = setup.start();
    for (raw, encoded) in [
        ("/a?filter={'a':|^\\}", "/a?filter=%7B'a':%7C%5E%5C%7D"),
        ("/{\"a\"}", "/%7B%22a%22%7D"),
        ("/caf\u{e9}?\u{e9}", "/caf%C3%A9?%C3%A9"),
    ] {
        let mut request = http::Request::new(Full::default());
        *request.uri_mut() = format!("http://a.test{raw}").parse().expect("a URI");
        *request.version_mut() = Version::HTTP_2;
        let answer = http2::send(&gateway, request).expect("an answer");
        assert_eq!(answer.body(), encoded);
        assert_eq!(origin.last().target, encoded);
        assert!(read(&gateway, raw.as_bytes()).is_hit(), "{raw}");
    }
}

#[test]
fn routes_and_operators_read_it_as_requests_do() {
    let origin = Origin::start(|request, conn| conn.reply(request, &reply(200)));
    let gateway = Gateway::before(&origin)
        .workers(1)
        .route("/a`b/{id}", "ttl = '1h'")
        .start();
    let mut admin = Client::to(gateway.admin_addr());
    let mut purge = |named: &str| {
        let value: String = named.bytes().map(|octet| format!("%{octet:02X}")).collect();
        let explained = admin.get(&format!("/explain?url={value}")).expect(200);
        assert!(
            explained.text().contains("\"status\":200"),
            "{named}: {}",
            explained.text()
        );
        let purged = admin.send(&request("POST", &format!("/purge?url={value}")));
        assert!(
            purged.expect(200).text().contains("\"purged\":1"),
            "{named}"
        );
    };
    let spellings = [
        "/a`b/{\"7|\"}",
        "/a%60b/%7B%227%7C%22%7D",
        "/a%60b/%7b\"7%7c\"}",
    ];
    for asked in spellings {
        for named in spellings {
            assert!(
                read(&gateway, asked.as_bytes()).expect(200).fwd("uri-miss"),
                "{asked}"
            );
            assert!(
                read(&gateway, named.as_bytes()).is_hit(),
                "the route's ttl is for {named}"
            );
            purge(named);
            read(&gateway, asked.as_bytes()).expect(200);
            purge(&format!("http://A.test{named}"));
        }
    }
    assert!(!read(&gateway, b"/a|b/7").says("stored"));
    // As a parameter is written by hand.
    read(&gateway, b"/a`b/{x}").expect(200);
    let octets = b"POST /purge?url=/a`b/{x} HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut client = Client::to(gateway.admin_addr());
    client.write(octets);
    let purged = client.answer("POST").finish().expect(200).text();
    assert!(purged.contains("\"purged\":1"), "{purged}");
}

/// One request: its method, the octets of its target behind the slash, and its content.
#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    target: Vec<u8>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    None,
    Length(usize),
    Chunked(Vec<usize>),
}

/// Content that reads as requests, which are not to be touched.
fn tempting(length: usize) -> Vec<u8> {
    let request = b"GET /{<\"\xff\">} HTTP/1.1\r\nHost: a.test\r\n\r\n";
    request.iter().copied().cycle().take(length).collect()
}

impl Sent {
    fn strategy() -> impl Strategy<Value = Self> {
        let octet = prop_oneof![
            select(&b"abc/?&=%[]@:"[..]),
            select(&b"{}|\\^`<>\"\x80\xc3\xff"[..]),
        ];
        let content = prop_oneof![
            Just(Content::None),
            (1..300usize).prop_map(Content::Length),
            vec(1..90usize, 0..4).prop_map(Content::Chunked),
        ];
        let method = select(&["GET", "POST", "PUT", "OPTIONS"][..]);
        (method, vec(octet, 0..24), content).prop_map(|(method, target, content)| Self {
            method,
            target,
            content,
        })
    }

    fn octets(&self, n: usize) -> Vec<u8> {
        let head = [
            self.method.as_bytes(),
            format!(" /{n}/").as_bytes(),
            &self.target,
        ]
        .concat();
        let fields: &[u8] =
            b" HTTP/1.1\r\nHost: a.test\r\nCache-Control: no-store\r\nX-Raw: {\"<\r\n";
        let (framing, content) = match &self.content {
            Content::None => (String::new(), Vec::new()),
            Content::Length(length) => (format!("Content-Length: {length}\r\n"), tempting(*length)),
            Content::Chunked(sizes) => {
                let chunk = |size: &usize| {
                    [
                        format!("{size:x}\r\n").as_bytes(),
                        &tempting(*size),
                        b"\r\n",
                    ]
                    .concat()
                };
                let mut chunks: Vec<u8> = sizes.iter().flat_map(chunk).collect();
                chunks.extend(b"0\r\n\r\n");
                ("Transfer-Encoding: chunked\r\n".to_owned(), chunks)
            }
        };
        [&head, fields, framing.as_bytes(), b"\r\n", &content].concat()
    }

    /// Method, target and content, as the API is to get them.
    fn expected(&self, n: usize) -> (String, String, Vec<u8>) {
        let encoded = self.target.iter().map(|octet| match octet {
            0x80.. | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                format!("%{octet:02X}")
            }
            octet => char::from(*octet).to_string(),
        });
        let content = match &self.content {
            Content::None => Vec::new(),
            Content::Length(length) => tempting(*length),
            Content::Chunked(sizes) => sizes.iter().flat_map(|size| tempting(*size)).collect(),
        };
        let target = format!("/{n}/{}", encoded.collect::<String>());
        (self.method.to_owned(), target, content)
    }
}

/// What the origin gets of one connection, written in pieces that end at these thousandths.
fn try_connection(
    gateway: &Gateway,
    origin: &Origin,
    sent: &[Sent],
    cuts: &[(usize, bool)],
) -> TestCaseResult {
    let before = origin.count();
    let octets: Vec<u8> = sent
        .iter()
        .enumerate()
        .flat_map(|(n, one)| one.octets(n))
        .collect();
    let mut cuts: Vec<_> = cuts
        .iter()
        .map(|(cut, waits)| (cut * octets.len() / 1_000, *waits))
        .collect();
    cuts.sort_unstable();
    let mut client = Client::to(gateway.addr());
    let (mut from, mut read) = (
        0,
        gateway.sum(|counted| counted.connections_accepted.value()),
    );
    for (cut, waits) in cuts {
        client.write(&octets[from..cut]);
        from = cut;
        if waits {
            // Another exchange takes longer than the gateway needs to read what has come.
            gateway.client().write("");
            read += 1;
            let accepted = || gateway.sum(|counted| counted.connections_accepted.value());
            await_that("another client is accepted", || accepted() >= read);
        }
    }
    client.write(&octets[from..]);
    for one in sent {
        let answer = client.answer(one.method).finish();
        prop_assert_eq!(answer.status, 200, "{:?}", answer);
    }
    let got: Vec<_> = origin.requests()[before..]
        .iter()
        .map(|got| (got.method.clone(), got.target.clone(), got.body.clone()))
        .collect();
    let expected: Vec<_> = sent
        .iter()
        .enumerate()
        .map(|(n, one)| one.expected(n))
        .collect();
    prop_assert_eq!(got, expected);
    Ok(())
}

#[test]
fn the_api_gets_each_target_encoded_and_all_else_as_it_was_sent() {
    let origin = Origin::answering(reply(200));
    let gateway = Gateway::before(&origin).workers(1).start();
    let cases = std::env::var("PROPTEST_CASES").ok();
    let config = ProptestConfig {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(64),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let connection = (
        vec(Sent::strategy(), 1..5),
        vec((0..1_000usize, any::<bool>()), 0..8),
    );
    let outcome = TestRunner::new(config).run(&connection, |(sent, cuts)| {
        try_connection(&gateway, &origin, &sent, &cuts)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
