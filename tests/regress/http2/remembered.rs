//! Lines of field sections that are remembered for later ones (RFC 7541 §2.3.2), malformed ones among them: what refers to
//! those is malformed too, and an error of its stream (RFC 9113 §8.1.1).

use super::super::common::{Gateway, Origin, post, reply};
use super::api::http2_api;
use super::frames::{
    Client, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PROTOCOL_ERROR, RST_STREAM, block,
    fields, frame, integer, string,
};

/// The first index of what was remembered, of which it is the latest (RFC 7541 §2.3.3).
const LATEST: usize = 62;
const REMEMBERED: u8 = 0x40;

struct Section(Vec<u8>);

impl Section {
    /// The fields of a GET, none of them remembered.
    fn get() -> Self {
        Self(block(&fields("GET", "/books")))
    }

    /// The same without one of its fields.
    fn without(name: &[u8]) -> Self {
        let mut all = fields("GET", "/books").to_vec();
        all.retain(|(field, _)| *field != name);
        Self(block(&all))
    }

    fn remembered(mut self, name: &[u8], value: &[u8]) -> Self {
        self.0.push(REMEMBERED);
        string(&mut self.0, name);
        string(&mut self.0, value);
        self
    }

    /// The whole line with this index.
    fn line(mut self, index: usize) -> Self {
        integer(&mut self.0, 0x80, 7, index);
        self
    }

    /// A line with the name of that index, remembered or not.
    fn named(mut self, flags: u8, index: usize, value: &[u8]) -> Self {
        let bits = if flags == REMEMBERED { 6 } else { 4 };
        integer(&mut self.0, flags, bits, index);
        string(&mut self.0, value);
        self
    }
}

struct Harness {
    origin: Origin,
    client: Client,
    _gateway: Gateway,
}

impl Harness {
    fn start() -> Self {
        let origin = Origin::answering(reply(200).field("Cache-Control", "no-store"));
        let gateway = Gateway::before(&origin).workers(1).start();
        Self {
            client: Client::to(&gateway),
            origin,
            _gateway: gateway,
        }
    }

    #[track_caller]
    fn refused(&mut self, what: &str, section: Section) {
        let before = self.origin.count();
        let stream = self.client.block(END_STREAM, section.0);
        let is_answer = |frame: &Frame| frame.kind == GOAWAY || frame.stream == stream;
        let answer = self.client.until(is_answer);
        assert_eq!(answer.kind, RST_STREAM, "{what}: {answer:?}");
        let told = (answer.stream, answer.code());
        assert_eq!(told, (stream, PROTOCOL_ERROR), "{what}");
        assert_eq!(self.origin.count(), before, "{what}");
    }

    /// Sends what is well-formed; what the API gets of this field.
    #[track_caller]
    fn taken(&mut self, what: &str, section: Section, field: &str) -> Option<String> {
        let before = self.origin.count();
        let stream = self.client.block(END_STREAM, section.0);
        let is_answer = |frame: &Frame| frame.kind == GOAWAY || frame.stream == stream;
        let answer = self.client.until(is_answer);
        assert!(answer.is_ok(), "{what}: {answer:?}");
        assert_eq!(self.origin.count(), before + 1, "{what}");
        self.origin.last().fields.get(field).map(str::to_owned)
    }
}

#[test]
fn what_refers_to_a_malformed_line_is_malformed() {
    let table: [(&str, &[u8], &[u8]); 9] = [
        ("upper case", b"X-Books", b"1"),
        ("a space", b"x books", b"1"),
        ("no name", b"", b"12"),
        ("neither name nor value", b"", b""),
        ("an unknown pseudo-field", b":books", b"1"),
        ("a line end", b"x-other", b"1\r\n2"),
        ("a method", b":method", b"G T"),
        ("no method", b":method", b""),
        ("a status", b":status", b"20"),
    ];
    for (what, name, value) in table {
        let mut peer = Harness::start();
        let good = Section::get().remembered(b"x-books", b"1984");
        assert_eq!(peer.taken(what, good, "x-books").as_deref(), Some("1984"));
        peer.refused(what, Section::get().remembered(name, value));
        for turn in 0..2 {
            let at = LATEST + turn;
            let case = format!("{what}, {turn} lines later");
            peer.refused(&case, Section::get().line(at));
            if name != b"x-other" {
                peer.refused(&case, Section::get().named(0, at, b"GET"));
                peer.refused(&case, Section::get().named(0x10, at, b"200"));
            }
            let good = Section::get().line(at + 1);
            assert_eq!(peer.taken(&case, good, "x-books").as_deref(), Some("1984"));
            let good = Section::get().remembered(b"x-more", b"1");
            assert_eq!(peer.taken(&case, good, "x-more").as_deref(), Some("1"));
            let good = Section::get().line(LATEST);
            assert_eq!(peer.taken(&case, good, "x-more").as_deref(), Some("1"));
        }
    }
}

#[test]
fn the_name_of_a_line_with_a_malformed_value_can_be_used() {
    let mut peer = Harness::start();
    peer.refused("value", Section::get().remembered(b"x-books", b"19\n84"));
    peer.refused("line", Section::get().line(LATEST));
    let good = Section::get().named(0, LATEST, b"1984");
    assert_eq!(peer.taken("name", good, "x-books").as_deref(), Some("1984"));
    let good = Section::get().named(REMEMBERED, LATEST, b"1984");
    assert_eq!(peer.taken("name", good, "x-books").as_deref(), Some("1984"));
    let good = Section::get().line(LATEST);
    assert_eq!(peer.taken("line", good, "x-books").as_deref(), Some("1984"));
    peer.refused("behind", Section::get().line(LATEST + 1));
}

#[test]
fn a_malformed_name_that_is_used_again_is_remembered_as_malformed() {
    for name in [&b"X"[..], b""] {
        let mut peer = Harness::start();
        let good = Section::get().remembered(b"x-books", b"1984");
        peer.taken("good", good, "x-books");
        peer.refused("line", Section::get().remembered(name, b"1"));
        peer.refused("name", Section::get().named(REMEMBERED, LATEST, b"2"));
        peer.refused("line", Section::get().line(LATEST));
        let good = Section::get().line(LATEST + 2);
        let seen = peer.taken("good", good, "x-books");
        assert_eq!(seen.as_deref(), Some("1984"));
    }
}

#[test]
fn the_name_of_a_pseudo_field_is_known_from_a_remembered_line_too() {
    let mut peer = Harness::start();
    // RFC 7541, appendix A: 2 is `:method`, 4 is `:path`, 8 is `:status`.
    let path = Section::without(b":path").named(REMEMBERED, 4, b"/books");
    peer.taken("path", path, "host");
    let path = Section::without(b":path").named(0, LATEST, b"/<a>\xff");
    peer.taken("path", path, "host");
    assert_eq!(peer.origin.last().target, "/%3Ca%3E%FF");
    let path = Section::without(b":path").named(REMEMBERED, LATEST, b"/\xff");
    peer.refused("path", path);
    let path = Section::without(b":path").named(0, LATEST, b"/again");
    peer.taken("path", path, "host");

    let method = Section::without(b":method").named(REMEMBERED, 2, b"PURGE");
    peer.taken("method", method, "host");
    for bad in [&b""[..], b"G T", b"\xff"] {
        let method = Section::without(b":method").named(REMEMBERED, LATEST, bad);
        peer.refused("method", method);
        let good = Section::without(b":method").named(REMEMBERED, 2, b"PURGE");
        peer.taken("method", good, "host");
    }
    let method = Section::without(b":method").named(REMEMBERED, 2, b"");
    peer.refused("no method", method);
    peer.refused("status", Section::get().named(REMEMBERED, 8, b"20"));
    peer.refused("status", Section::get().named(REMEMBERED, LATEST, b"200"));
}

#[test]
fn a_malformed_line_that_is_out_of_memory_refuses_nothing() {
    let mut peer = Harness::start();
    peer.refused("line", Section::get().remembered(b"X", b"1"));
    // The table has room for 4,096 octets, of which a line takes 32 and its own (RFC 7541 §4.1, RFC 9113 §6.5.2).
    for _ in 0..2 {
        let good = Section::get().remembered(b"x-books", &[b'1'; 4_000]);
        peer.taken("large", good, "x-books");
    }
    let good = Section::get().line(LATEST);
    assert!(peer.taken("large", good, "x-books").is_some());
}

#[test]
fn what_a_response_refers_to_is_malformed_too() {
    let fine = block(&[(b":status", b"200"), (b"cache-control", b"no-store")]);
    let bad = [&fine[..], &[REMEMBERED, 1, b'X', 1, b'1']].concat();
    let mut refers = fine.clone();
    integer(&mut refers, 0x80, 7, LATEST);
    let sections = [fine.clone(), bad, refers, fine];
    let api = http2_api(move |count, streams| {
        let section = &sections[(count - 1).min(sections.len() - 1)];
        frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            streams[count - 1],
            section,
        )
    });
    let gateway = Gateway::before(&api)
        .workers(1)
        .upstream("protocol = \"h2c\"\nretries = { max = 0 }")
        .start();
    for (turn, status) in [200, 502, 502, 200].into_iter().enumerate() {
        let answer = gateway.send(&post("/books", ""));
        assert_eq!(answer.status, status, "{turn}: {}", answer.text());
        assert!(answer.field("x").is_none());
    }
    assert_eq!(api.connections(), 1);
}
