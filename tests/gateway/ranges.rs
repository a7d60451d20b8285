//! Parts of what is stored, and what is stored in parts (RFC 9110 §14, RFC 9111 §3.3, §3.4).

use std::time::Duration;

use crate::common::{Answer, Gateway, Origin, Reply, Request, get, head, reply};

const WHOLE: &str = "0123456789abcdefghij";

fn book() -> Reply {
    reply(200)
        .field("ETag", "\"a\"")
        .field("Cache-Control", "max-age=60")
        .field("Content-Type", "text/plain")
        .body(WHOLE)
}

fn range(value: &str) -> Request {
    get("/books").field("Range", value)
}

fn warmed() -> (Origin, Gateway) {
    let origin = Origin::answering(book());
    let gateway = Gateway::before(&origin).start();
    gateway.get("/books").expect(200);
    (origin, gateway)
}

#[test]
fn a_single_range_of_a_stored_response_is_a_206() {
    let (origin, gateway) = warmed();
    for (value, text, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/20"),
        ("bytes=2-4", "234", "bytes 2-4/20"),
        ("bytes=18-", "ij", "bytes 18-19/20"),
        ("bytes=-2", "ij", "bytes 18-19/20"),
        ("bytes=-200", WHOLE, "bytes 0-19/20"),
        ("bytes=18-99999999999999999999999", "ij", "bytes 18-19/20"),
        ("bytes=0-4,3-5", "012345", "bytes 0-5/20"),
        ("bytes=0-1,20-", "01", "bytes 0-1/20"),
    ] {
        let part = gateway.send(&range(value)).expect(206);
        assert!(part.is_hit());
        assert_eq!(part.text(), text, "{value}");
        assert_eq!(part.field("content-range"), Some(content_range), "{value}");
        assert_eq!(
            part.field("content-length"),
            Some(text.len().to_string().as_str())
        );
        assert_eq!(part.field("content-type"), Some("text/plain"));
        assert_eq!(part.field("etag"), Some("\"a\""));
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn several_ranges_are_a_multipart_206() {
    let (_origin, gateway) = warmed();
    let parts = gateway.send(&range("bytes=15-16, 2-3")).expect(206);
    assert_eq!(parts.field("content-range"), None);
    let kind = parts.field("content-type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let expected = format!(
        "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 15-16/20\r\n\r\nfg\
         \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 2-3/20\r\n\r\n23\
         \r\n--{boundary}--\r\n"
    );
    assert_eq!(parts.text(), expected);
    assert_eq!(
        parts.field("content-length"),
        Some(expected.len().to_string().as_str())
    );
}

#[test]
fn an_unsatisfiable_range_is_a_416_with_the_length() {
    let (_origin, gateway) = warmed();
    for value in ["bytes=20-", "bytes=-0", "bytes=99999999999999999999-"] {
        let answer = gateway.send(&range(value)).expect(416);
        assert_eq!(answer.field("content-range"), Some("bytes */20"), "{value}");
        assert_eq!(answer.field("etag"), Some("\"a\""));
    }
}

#[test]
fn what_is_no_range_is_answered_whole() {
    let (_origin, gateway) = warmed();
    for value in [
        "bytes=3-2",
        "bytes=x",
        "bytes",
        "items=0-1",
        "bytes=0-9,5-12,9-14",
    ] {
        assert_eq!(
            gateway.send(&range(value)).expect(200).text(),
            WHOLE,
            "{value}"
        );
    }
    let head = gateway
        .send(&head("/books").field("Range", "bytes=0-1"))
        .expect(200);
    assert_eq!(head.field("content-length"), Some("20"));
    assert_eq!(head.field("content-range"), None);
}

#[test]
fn preconditions_come_before_ranges() {
    let (_origin, gateway) = warmed();
    let part = range("bytes=0-1");
    gateway
        .send(&part.clone().field("If-None-Match", "\"a\""))
        .expect(304);
    let other = gateway
        .send(&part.field("If-None-Match", "\"b\""))
        .expect(206);
    assert_eq!(other.text(), "01");
}

#[test]
fn a_miss_for_a_range_fetches_the_whole_and_sends_the_part() {
    let origin = Origin::answering(book());
    let gateway = Gateway::before(&origin).start();
    let part = gateway.send(&range("bytes=2-4")).expect(206);
    assert_eq!(part.text(), "234");
    assert!(!origin.last().fields.has("range"));
    assert!(gateway.get("/books").expect(200).is_hit());
}

/// An origin of something too large for the store, which cuts out what it is asked for.
fn large(tag: &'static str) -> Origin {
    Origin::start(move |request, conn| {
        let cut = request.fields.get("range").and_then(cut);
        let matches = request
            .fields
            .get("if-range")
            .is_none_or(|if_range| if_range == tag);
        let answer = match cut {
            Some((first, last)) if matches => reply(206)
                .field("Content-Range", format!("bytes {first}-{last}/5000"))
                .body(&large_text()[first..=last]),
            _ => reply(200).body(large_text()),
        };
        let answer = answer
            .field("ETag", tag)
            .field("Cache-Control", "max-age=600");
        conn.reply(request, &answer);
    })
}

fn large_text() -> String {
    (0..1250).map(|n| format!("{n:04}")).collect()
}

fn cut(range: &str) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().unwrap_or(4999)))
}

fn before(origin: &Origin) -> Gateway {
    Gateway::before(origin)
        .cache("max_stored_body = \"4KiB\"")
        .manual_clock()
        .start()
}

fn expect_part(answer: Answer, first: usize, last: usize) -> Answer {
    let answer = answer.expect(206);
    assert_eq!(answer.text(), large_text()[first..=last]);
    let content_range = format!("bytes {first}-{last}/5000");
    assert_eq!(answer.field("content-range"), Some(content_range.as_str()));
    answer
}

#[test]
fn parts_are_stored_combined_and_completed() {
    let origin = large("\"a\"");
    let gateway = before(&origin);
    let ask = |value: &str| gateway.send(&range(value));
    expect_part(ask("bytes=0-99"), 0, 99);
    assert!(expect_part(ask("bytes=10-19"), 10, 19).is_hit());
    expect_part(ask("bytes=200-299"), 200, 299);
    let asked = origin.count();
    // What lies between is fetched, and no more.
    expect_part(ask("bytes=50-249"), 50, 249);
    assert_eq!(origin.last().fields.get("range"), Some("bytes=100-199"));
    assert_eq!(origin.last().fields.get("if-range"), Some("\"a\""));
    assert_eq!(origin.count(), asked + 1);
    assert!(expect_part(ask("bytes=0-299"), 0, 299).is_hit());
    assert_eq!(gateway.get("/books").expect(200).text(), large_text());
}

#[test]
fn parts_of_what_has_no_strong_validator_are_never_combined() {
    let origin = large("W/\"a\"");
    let gateway = before(&origin);
    let ask = |value: &str| gateway.send(&range(value));
    for (first, last) in [(0, 99), (100, 199), (0, 199)] {
        expect_part(ask(&format!("bytes={first}-{last}")), first, last);
        assert!(!origin.last().fields.has("if-range"));
    }
    gateway.advance(Duration::from_secs(11));
    assert_eq!(gateway.get("/books").expect(200).text(), large_text());
}

#[test]
fn a_part_with_more_content_than_it_says_passes_as_it_comes_and_is_not_kept() {
    const PIECE: usize = 64 << 10;
    const PIECES: usize = 64;
    let origin = Origin::start(|_, conn| {
        conn.write(
            "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\n\
             Content-Range: bytes 0-99/1000\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for _ in 0..PIECES {
            conn.chunk("x".repeat(PIECE));
        }
        conn.last_chunk();
    });
    let gateway = Gateway::before(&origin).start();
    for nth in 1..3 {
        let answer = gateway.send(&range("bytes=0-99")).expect(206);
        assert_eq!(answer.body.len(), PIECES * PIECE);
        assert_eq!(origin.count(), nth, "{}", answer.cache_status());
    }
    assert_eq!(gateway.stored(), 0);
}
