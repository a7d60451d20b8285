//! Requests with malformed fields: each is an error of its stream, and the connection goes on (RFC 9113 §8.1.1).

use super::super::common::{Gate, Gateway, Origin, await_that, post, reply};
use super::api::http2_api;
use super::frames::{
    Client, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PROTOCOL_ERROR, RST_STREAM,
    block, fields, frame, integer, string,
};

/// An API that holds `/held` back until the gate opens.
fn api(gate: &Gate) -> Origin {
    let held = gate.clone();
    Origin::start(move |request, conn| {
        if request.target == "/held" {
            held.pass();
        }
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body("1984"),
        );
    })
}

type Fields<'a> = Vec<(&'a [u8], &'a [u8])>;

/// A GET with these fields more.
fn also<'a>(more: &[(&'a [u8], &'a [u8])]) -> Fields<'a> {
    [&fields("GET", "/books")[..], more].concat()
}

/// A GET without one of its pseudo-fields.
fn without(name: &[u8]) -> Fields<'static> {
    let mut all = fields("GET", "/books").to_vec();
    all.retain(|(field, _)| *field != name);
    all
}

/// A GET with another value of one of its pseudo-fields.
fn with<'a>(name: &[u8], value: &'a [u8]) -> Fields<'a> {
    let mut all: Fields<'a> = fields("GET", "/books").to_vec();
    for field in &mut all {
        if field.0 == name {
            field.1 = value;
        }
    }
    all
}

#[track_caller]
fn expect_refusal(client: &mut Client, stream: u32, what: &str) {
    let refused = |frame: &Frame| frame.kind == GOAWAY || frame.stream == stream;
    let frame = client.until(refused);
    assert_eq!(frame.kind, RST_STREAM, "{what}: {frame:?}");
    assert_eq!(
        (frame.stream, frame.code()),
        (stream, PROTOCOL_ERROR),
        "{what}"
    );
}

#[test]
fn a_malformed_field_ends_its_stream_and_not_the_others() {
    #[rustfmt::skip]
    let table: Vec<(&str, Fields)> = vec![
        // Names (§8.2.1).
        ("upper case", also(&[(b"X-Books", b"1")])),
        ("no name", also(&[(b"", b"1")])),
        ("neither name nor value", also(&[(b"", b"")])),
        ("a space", also(&[(b"x books", b"1")])),
        ("a colon", also(&[(b"x:books", b"1")])),
        ("a control", also(&[(b"x\0books", b"1")])),
        ("a line end", also(&[(b"x\r\nbooks", b"1")])),
        ("above ASCII", also(&[("caf\u{e9}".as_bytes(), b"1")])),
        ("a delimiter", also(&[(b"x(books)", b"1")])),
        // Values.
        ("NUL", also(&[(b"x-books", b"1\x009")])),
        ("CR", also(&[(b"x-books", b"1\r9")])),
        ("LF", also(&[(b"x-books", b"1\n9")])),
        ("a smuggled field", also(&[(b"x-books", b"1\r\nx-other: 9")])),
        ("DEL", also(&[(b"x-books", b"\x7f")])),
        ("a value of a known name", also(&[(b"cookie", b"a=1\n")])),
        // Pseudo-fields (§8.3).
        ("unknown", also(&[(b":books", b"1")])),
        ("of responses", also(&[(b":status", b"200")])),
        ("of responses, and no status", also(&[(b":status", b"fine")])),
        ("twice", also(&[(b":path", b"/other")])),
        ("behind a field", [&[(&b"x-books"[..], &b"1"[..])][..], &fields("GET", "/books")].concat()),
        ("no method", without(b":method")),
        ("no path", without(b":path")),
        ("no scheme", without(b":scheme")),
        ("an empty method", with(b":method", b"")),
        ("a method with a space", with(b":method", b"GET /other")),
        ("an empty path", with(b":path", b"")),
        ("a path with a space", with(b":path", b"/a b")),
        ("a path with a fragment", with(b":path", b"/a#b")),
        ("a path with a line end", with(b":path", b"/ HTTP/1.1\r\nx: 1")),
        ("an authority that is no text", with(b":authority", b"\xff")),
        ("a scheme that is no text", with(b":scheme", b"\xff")),
        // Of one hop (§8.2.2).
        ("connection", also(&[(b"connection", b"close")])),
        ("keep-alive", also(&[(b"keep-alive", b"1")])),
        ("proxy-connection", also(&[(b"proxy-connection", b"close")])),
        ("transfer-encoding", also(&[(b"transfer-encoding", b"chunked")])),
        ("upgrade", also(&[(b"upgrade", b"websocket")])),
        ("te", also(&[(b"te", b"gzip")])),
        ("length without content", also(&[(b"content-length", b"5")])),
    ];
    let gate = Gate::new();
    let origin = api(&gate);
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut client = Client::to(&gateway);
    let held = client.get("/held");
    for (what, fields) in &table {
        let stream = client.head(END_STREAM, fields);
        expect_refusal(&mut client, stream, what);
    }
    client.expect_ok("/books");
    gate.open();
    let answer = client.until(|frame| frame.stream == held);
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(origin.count(), 2, "nothing malformed has reached the API");
}

/// `name` and `value` as a line that is remembered, behind those of a GET that are not.
fn remembered(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut section = block(&fields("GET", "/books"));
    section.push(0x40);
    string(&mut section, name);
    string(&mut section, value);
    section
}

#[test]
fn what_is_remembered_stays_as_the_client_has_it() {
    let gate = Gate::new();
    gate.open();
    let origin = api(&gate);
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut client = Client::to(&gateway);
    let good = client.block(END_STREAM, remembered(b"x-books", b"1984"));
    client.until(|frame| frame.stream == good && frame.flags & END_STREAM != 0);
    // `A` in Huffman code has seven bits.
    let huffman = [
        &block(&fields("GET", "/books"))[..],
        &[0x40, 0x81, 0x87, 1, b'1'],
    ]
    .concat();
    for section in [
        remembered(b"X-Books", b"1"),
        remembered(b"x-other", b"1\n2"),
        remembered(b"", b"12"),
        huffman,
    ] {
        let stream = client.block(END_STREAM, section);
        expect_refusal(&mut client, stream, "remembered");
    }
    // The first is the oldest of five now: 62 is the latest (RFC 7541 §2.3.3).
    let mut section = block(&fields("GET", "/other"));
    integer(&mut section, 0x80, 7, 62 + 4);
    let stream = client.block(END_STREAM, section);
    let head = client.until(|frame| frame.stream == stream);
    assert!(head.is_ok(), "{head:?}");
    assert_eq!(origin.last().fields.get("x-books"), Some("1984"));
}

#[test]
fn malformed_trailers_and_sections_in_parts_are_errors_of_their_stream_too() {
    let gate = Gate::new();
    gate.open();
    let origin = api(&gate);
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut client = Client::to(&gateway);
    let post = client.head(0, &fields("POST", "/books"));
    client.frame(DATA, 0, post, b"1984");
    client.frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        post,
        block(&[(b"X-Sum", b"1")]),
    );
    expect_refusal(&mut client, post, "trailers");
    client.expect_ok("/books");

    let section = block(&also(&[(b"X-Books", &[b'x'; 20_000])]));
    let (first, rest) = section.split_at(9_000);
    let stream = client.parts(END_STREAM, &[first, &rest[..10_000], &rest[10_000..]]);
    expect_refusal(&mut client, stream, "parts");
    client.expect_ok("/books");
}

#[test]
fn a_malformed_field_of_a_response_ends_its_stream_and_not_the_others() {
    let fine: &[(&[u8], &[u8])] = &[(b":status", b"200"), (b"cache-control", b"no-store")];
    #[rustfmt::skip]
    let table: [&[(&[u8], &[u8])]; 7] = [
        &[(b":status", b"200"), (b"X-Books", b"1")],
        &[(b":status", b"200"), (b"x-books", b"1\n2")],
        &[(b":status", b"200"), (b"", b"1")],
        &[(b":status", b"fine")],
        &[(b":status", b"200"), (b":books", b"1")],
        &[(b":status", b"200"), (b"connection", b"close")],
        &[(b"x-books", b"1")],
    ];
    for fields in table {
        let (bad, good) = (block(fields), block(fine));
        // The first waits until the second has been answered with what is malformed.
        let api = http2_api(move |count, streams| match count {
            1 => Vec::new(),
            2 => {
                let bad = frame(HEADERS, END_HEADERS | END_STREAM, streams[1], &bad);
                let good = frame(HEADERS, END_HEADERS | END_STREAM, streams[0], &good);
                [bad, good].concat()
            }
            _ => frame(HEADERS, END_HEADERS | END_STREAM, streams[count - 1], &good),
        });
        let gateway = Gateway::before(&api)
            .workers(1)
            .upstream("protocol = \"h2c\"\nretries = { max = 0 }")
            .start();
        let mut first = gateway.client();
        first.start(&post("/first", ""));
        await_that("the first has been sent", || {
            gateway.sum(|counted| counted.upstream.requests.value()) == 1
        });
        let what = String::from_utf8_lossy(fields[fields.len() - 1].0);
        let refused = gateway.send(&post("/second", ""));
        assert_eq!(refused.status, 502, "{what}: {}", refused.text());
        let answer = first.answer("POST").finish();
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        gateway.send(&post("/third", "")).expect(200);
        assert_eq!(api.connections(), 1, "{what}");
    }
}

/// A GET of `path`, whose line begins with these bits.
fn get_of(client: &mut Client, flags: u8, path: &[u8]) -> u32 {
    let mut section = block(&without(b":path"));
    // RFC 7541, appendix A: `:path` has index 4.
    section.push(flags | 4);
    string(&mut section, path);
    client.block(END_STREAM, section)
}

#[test]
fn a_path_with_what_no_uri_has_is_encoded_where_its_line_is_not_remembered() {
    let gate = Gate::new();
    gate.open();
    let origin = api(&gate);
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut client = Client::to(&gateway);
    for (path, encoded) in [
        (&b"/<a>?\"b\""[..], "/%3Ca%3E?%22b%22"),
        (b"/caf\xe9`", "/caf%E9%60"),
        (b"/{a}?b=|", "/%7Ba%7D?b=%7C"),
    ] {
        for flags in [0, 0x10] {
            let stream = get_of(&mut client, flags, path);
            client.until(|frame| frame.stream == stream && frame.flags & END_STREAM != 0);
            assert_eq!(origin.last().target, encoded);
        }
    }
    // What `http` takes is encoded, whether or not it is remembered; of the rest, the error is the stream's.
    let stream = get_of(&mut client, 0x40, "/{\u{e9}}".as_bytes());
    client.until(|frame| frame.stream == stream && frame.flags & END_STREAM != 0);
    assert_eq!(origin.last().target, "/%7B%C3%A9%7D");
    let before = origin.count();
    for (flags, path) in [
        (0x40, &b"/<a>"[..]),
        (0x40, b"/\xff"),
        (0, b"/a#b"),
        (0, b"/a b"),
        (0x10, b"/\x07"),
        (0x40, b"/a#b"),
    ] {
        let stream = get_of(&mut client, flags, path);
        expect_refusal(&mut client, stream, &path.escape_ascii().to_string());
    }
    client.expect_ok("/books");
    assert_eq!(origin.count(), before + 1);
}
