use proptest::prelude::*;

use super::*;
use crate::semantics::percent::encoded_octets;

/// A head that arrives in pieces of so many octets: the octets that hyper is given, where the head ends, and its fault.
fn passed(octets: &[u8], size: usize) -> (Vec<u8>, Option<usize>, Option<Fault>) {
    let (mut head, mut seen) = (Head::default(), Vec::new());
    let mut at = 0;
    while at < octets.len() {
        let piece = &octets[at..octets.len().min(at + size)];
        let (ends, taken) = match head.pass(piece) {
            Pass::Unchanged(n) => (false, n),
            Pass::End(n) => (true, n),
            Pass::Encoded(n) => {
                seen.extend(encoded_octets(&piece[..n]));
                at += n;
                continue;
            }
        };
        assert!(taken > 0);
        seen.extend_from_slice(&piece[..taken]);
        at += taken;
        if ends {
            return (seen, Some(at), head.fault());
        }
    }
    (seen, None, head.fault())
}

#[test]
fn a_head_ends_where_hyper_sees_its_end() {
    for (octets, length) in [
        ("GET / HTTP/1.1\r\n\r\nrest", Some(18)),
        ("\r\n\r\nGET / HTTP/1.1\r\n\r\nrest", Some(22)),
        ("GET / HTTP/1.1\nA: b\n\nrest\r\n\r\n", Some(21)),
        ("GET / HTTP/1.1\nA: b\r\n\nrest\r\n\r\n", Some(22)),
        ("GET / HTTP/1.1\nA: b\n\r\nrest\r\n\r\n", Some(22)),
        ("POST /a HTTP/1.1\r\nA: {\"b\"}\r\n\r\nrest", Some(30)),
        ("GET / HTTP/1.1\r\nA: b\r\n", None),
        ("GET / HTTP/1.1\r\nA: b\r\n\r", None),
        ("GET /", None),
    ] {
        for size in [1, 2, 3, 100] {
            let (seen, end, fault) = passed(octets.as_bytes(), size);
            assert_eq!((end, fault), (length, None), "{octets:?}");
            assert_eq!(seen, &octets.as_bytes()[..length.unwrap_or(octets.len())]);
        }
        if octets.starts_with(char::is_alphabetic) {
            assert_eq!(plain_head(octets.as_bytes()), length, "{octets:?}");
        }
    }
}

#[test]
fn a_head_with_two_framings_is_seen_however_it_comes() {
    for (fields, twice, plain) in [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            true,
            false,
        ),
        (
            "transfer-encoding:x\r\nA: b\r\nCONTENT-LENGTH:0\r\n",
            true,
            false,
        ),
        (
            "Transfer-Encoding: chunked\nContent-Length: 5\n",
            true,
            false,
        ),
        ("Transfer-Encoding: chunked\r\n", false, false),
        (
            "Content-Length: 5\r\nTE: trailers\r\nTransfer-Encodings: x\r\n",
            false,
            true,
        ),
        (
            "Content-Length: 5\r\nX: Transfer-Encoding: chunked\r\n",
            false,
            true,
        ),
        (
            "Content-Lengths: 5\r\nTransfer-Encoding: chunked\r\n",
            false,
            false,
        ),
    ] {
        let octets = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        for size in [1, 2, 7, 100] {
            let mut head = Head::default();
            for piece in octets.chunks(size) {
                let _ = head.pass(piece);
            }
            assert_eq!(head.has_two_framings(), twice, "{fields:?} {size}");
        }
        assert_eq!(plain_head(&octets).is_some(), plain, "{fields:?}");
    }
}

#[test]
fn only_the_target_is_encoded() {
    #[rustfmt::skip]
    let table: [(&[u8], &[u8]); 5] = [
        (b"GET /?a={\"b\":1} HTTP/1.1\r\nA: {\"}\r\n\r\n", b"GET /?a=%7B%22b%22:1%7D HTTP/1.1\r\nA: {\"}\r\n\r\n"),
        (b"\r\nGET {} HTTP/1.0\n\n", b"\r\nGET %7B%7D HTTP/1.0\n\n"),
        (b"GET /\xff%<%3c HTTP/1.1\r\n\r\n", b"GET /%FF%%3C%3c HTTP/1.1\r\n\r\n"),
        (b"GET http://a{b/|?\\ HTTP/1.1\r\n\r\n", b"GET http://a%7Bb/%7C?%5C HTTP/1.1\r\n\r\n"),
        (b"G{T /[] HTTP/{.1\r\n{}\r\n\r\n", b"G{T /[] HTTP/{.1\r\n{}\r\n\r\n"),
    ];
    for (sent, expected) in table {
        for size in [1, 2, 3, 100] {
            let (seen, end, fault) = passed(sent, size);
            assert_eq!(
                seen.escape_ascii().to_string(),
                expected.escape_ascii().to_string()
            );
            assert_eq!((end, fault), (Some(sent.len()), None));
        }
        assert_eq!(plain_head(sent), None);
    }
}

#[test]
fn what_stays_refused_is_named() {
    for (line, fault) in [
        ("GET /a#b HTTP/1.1", "has a `#` at offset 2"),
        ("GET /{}\u{e9}#b HTTP/1.1", "has a `#` at offset 5"),
        ("GET /a b HTTP/1.1", "has a space at offset 2"),
        ("GET /a b", "has a space at offset 2"),
        ("GET  /a HTTP/1.1", "has a space at offset 0"),
        (
            "GET /a\x07b# HTTP/1.1",
            "the control character 0x07 at offset 2",
        ),
        (
            "GET /\x7f HTTP/1.1",
            "the control character 0x7F at offset 1",
        ),
        ("GET /\t HTTP/1.1", "the control character 0x09 at offset 1"),
        ("GET /a", "no HTTP version"),
    ] {
        for end in ["\r\n\r\n", "\n\n"] {
            let head = format!("{line}{end}");
            for size in [1, 2, 100] {
                let (_, length, found) = passed(head.as_bytes(), size);
                let found = found.expect(line).to_string();
                assert!(found.contains(fault), "{line:?}: {found}");
                assert_eq!(length, Some(head.len()), "{line:?}");
            }
            assert_eq!(plain_head(head.as_bytes()), None, "{line:?}");
        }
    }
}

#[test]
fn the_path_of_a_uri_is_encoded_and_nothing_else() {
    for (given, expected) in [
        ("http://a.test/{b}?c=|", "http://a.test/%7Bb%7D?c=%7C"),
        ("/caf\u{e9}", "/caf%C3%A9"),
        ("/a?b[]=%7b", "/a?b[]=%7b"),
        ("*", "*"),
    ] {
        let mut uri: Uri = given.parse().unwrap();
        assert_eq!(encode_path(&mut uri), Ok(()));
        assert_eq!(uri.to_string(), expected);
    }
    let mut uri: Uri = format!("/{}", "{".repeat(30_000)).parse().unwrap();
    assert_eq!(encode_path(&mut uri), Err(ErrorKind::UriTooLong));
}

proptest! {
    /// What is given to hyper without being tracked is what would be given to it if it were, and is one head alone.
    #[test]
    fn a_plain_head_is_one_that_need_not_be_tracked(
        method in prop_oneof![4 => "GET ", 1 => "[A-Z]{0,4} "],
        target in prop_oneof![4 => "/[a-z?=&%]{0,20}", 1 => "/[a-z {\"|#]{0,6}"],
        version in prop_oneof![4 => " HTTP/1\\.1", 1 => "| HTTP/1\\.[01]| HTTP"],
        pieces in proptest::collection::vec(prop_oneof![
            3 => "\r\n",
            1 => "\r|\n|\x0b|\r\n\r\n",
            3 => "[a-zA-Z-]{1,12}: [ -~]{0,20}",
            1 => "(t|T)ransfer-(e|E)ncoding:chunked|te: trailers|Content-Length: 1",
        ], 0..12),
    ) {
        let head = [&*method, &target, &version, "\r\n", &pieces.concat(), "\r\n\r\n"].concat();
        for length in 0..=head.len() {
            let octets = &head.as_bytes()[..length];
            let Some(end) = plain_head(octets) else { continue };
            let mut tracked = Head::default();
            prop_assert_eq!(tracked.pass(octets), Pass::End(end));
            prop_assert_eq!((tracked.fault(), tracked.is_encoded), (None, false));
        }
        // Most of those that hold nothing unusual are plain, too.
        if method == "GET " && target.bytes().all(|octet| Octet::of(octet) == Octet::Allowed) && version == " HTTP/1.1" {
            let mut tracked = Head::default();
            if let Pass::End(end) = tracked.pass(head.as_bytes()) && !tracked.is_encoded {
                prop_assert_eq!(plain_head(head.as_bytes()), Some(end));
            }
        }
    }
}
