//! Ranges (RFC 9110 §14), and incomplete responses in the store (RFC 9111 §3.3, §3.4).

use super::before;
use crate::common::{Gateway, Origin, get, reply};

const TEN: &str = "0123456789";

fn ten(lines: &'static [(&'static str, &'static str)]) -> (Origin, Gateway) {
    let origin = Origin::answering(super::with(reply(200), lines).body(TEN));
    let gateway = Gateway::before(&origin).start();
    gateway.get("/a").expect(200);
    (origin, gateway)
}

#[test]
fn parts_of_a_complete_stored_response_are_served() {
    // RFC 9110 §14.1.2, §14.2, §15.3.7, §15.5.17: (Range, status, Content-Range, content)
    let table = [
        ("bytes=0-4", 206, Some("bytes 0-4/10"), "01234"),
        ("bytes=5-", 206, Some("bytes 5-9/10"), "56789"),
        ("bytes=-3", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=-30", 206, Some("bytes 0-9/10"), TEN),
        ("bytes=9-99", 206, Some("bytes 9-9/10"), "9"),
        ("bytes= 0-1", 206, Some("bytes 0-1/10"), "01"),
        ("BYTES=0-1", 206, Some("bytes 0-1/10"), "01"),
        ("bytes=10-", 416, Some("bytes */10"), ""),
        ("bytes=-0", 416, Some("bytes */10"), ""),
        // ignored: another unit, nonsense, backwards
        ("chapters=1-2", 200, None, TEN),
        ("bytes=4-2", 200, None, TEN),
        ("bytes=a-b", 200, None, TEN),
        ("bytes=", 200, None, TEN),
        ("0-4", 200, None, TEN),
    ];
    let (origin, gateway) = ten(&[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")]);
    for (range, status, content_range, content) in table {
        let answer = gateway.send(&get("/a").field("Range", range));
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.field("content-range"), content_range, "{range}");
        assert_eq!(answer.text(), content, "{range}");
        assert!(answer.is_hit(), "{range}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn several_ranges_come_as_multipart() {
    // RFC 9110 §14.6
    let (_origin, gateway) = ten(&[
        ("Cache-Control", "max-age=60"),
        ("Content-Type", "text/plain"),
    ]);
    let answer = gateway
        .send(&get("/a").field("Range", "bytes=0-1,4-5"))
        .expect(206);
    let kind = answer.field("content-type").unwrap().to_owned();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary");
    let text = answer.text();
    assert_eq!(text.matches(boundary).count(), 3, "{text}");
    for part in [
        "Content-Range: bytes 0-1/10\r\n\r\n01\r\n",
        "Content-Range: bytes 4-5/10\r\n\r\n45\r\n",
        "Content-Type: text/plain\r\n",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    // §14.2: too many, or overlapping, are answered whole or joined, never in full multiplicity
    let many = (0..200)
        .map(|n| format!("{}-{}", n % 10, n % 10))
        .collect::<Vec<_>>()
        .join(",");
    let answer = gateway.send(&get("/a").field("Range", format!("bytes={many}")));
    assert!(answer.body.len() < 4096, "{}", answer.body.len());
}

#[test]
fn if_range_wants_a_strong_match() {
    // RFC 9110 §13.1.5
    let date = "Sun, 01 Nov 2020 08:00:00 GMT";
    let table = [
        ("\"v1\"", "\"v1\"", 206),
        ("\"v1\"", "\"v2\"", 200),
        ("\"v1\"", "W/\"v1\"", 200),
        ("W/\"v1\"", "W/\"v1\"", 200),
        ("\"v1\"", date, 206),
        ("\"v1\"", "Mon, 01 Nov 2021 08:00:00 GMT", 200),
    ];
    for (tag, condition, status) in table {
        let origin = Origin::answering(
            reply(200)
                .field("Cache-Control", "max-age=60")
                .field("ETag", tag)
                .field("Last-Modified", date)
                .body(TEN),
        );
        let gateway = Gateway::before(&origin).start();
        gateway.get("/a").expect(200);
        let answer = gateway.send(
            &get("/a")
                .field("Range", "bytes=0-1")
                .field("If-Range", condition),
        );
        assert_eq!(answer.status, status, "{tag}: {condition}");
    }
}

/// An origin that answers 206 to whatever has a Range, as it is asked; blindly with `part` otherwise.
fn in_parts(tag: &'static str, blindly: Option<(usize, usize)>) -> Origin {
    Origin::start(move |request, conn| {
        let asked = request.fields.get("range").and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            let first = first.parse().ok()?;
            Some((first, last.parse().unwrap_or(9)))
        });
        let plain = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("ETag", tag);
        let answer = match asked.or(blindly) {
            Some((first, last)) => {
                let range = format!("bytes {first}-{last}/10");
                let part = reply(206)
                    .field("Cache-Control", "max-age=60")
                    .field("ETag", tag);
                part.field("Content-Range", range).body(&TEN[first..=last])
            }
            None => plain.body(TEN),
        };
        conn.reply(request, &answer);
    })
}

#[test]
fn a_206_is_stored_served_from_combined_and_completed() {
    // RFC 9111 §3.3, §3.4. Too large to be stored whole, so that the client's Range goes to the origin.
    let origin = in_parts("\"v1\"", Some((0, 3)));
    let gateway = Gateway::before(&origin).start();
    let ranged = |range: &str| gateway.send(&get("/a").field("Range", range));
    let first = ranged("bytes=0-3");
    assert_eq!((first.status, first.text().as_str()), (206, "0123"));
    let within = ranged("bytes=1-2");
    assert_eq!(
        (within.status, within.text().as_str(), within.is_hit()),
        (206, "12", true),
        "{}",
        within.cache_status()
    );
    assert_eq!(within.field("content-range"), Some("bytes 1-2/10"));
    // The rest of what is asked for is fetched, and only that.
    let wider = ranged("bytes=2-5");
    assert_eq!(
        (wider.status, wider.text().as_str()),
        (206, "2345"),
        "{}",
        wider.cache_status()
    );
    assert_eq!(origin.last().fields.get("range"), Some("bytes=4-5"));
    assert_eq!(origin.last().fields.get("if-range"), Some("\"v1\""));
    // So is the rest of the whole.
    let whole = gateway.get("/a");
    assert_eq!(
        (whole.status, whole.text().as_str()),
        (200, TEN),
        "{}",
        whole.cache_status()
    );
    assert_eq!(origin.last().fields.get("range"), Some("bytes=6-9"));
    assert!(gateway.get("/a").is_hit());
    assert_eq!(origin.count(), 3);
}

#[test]
fn a_stored_part_never_passes_for_the_whole() {
    let origin = in_parts("W/\"v1\"", Some((0, 3)));
    let gateway = Gateway::before(&origin).start();
    gateway.send(&get("/a").field("Range", "bytes=0-3"));
    let whole = gateway.get("/a");
    assert!(
        whole.status == 206 || whole.text() == TEN,
        "{} {}",
        whole.status,
        whole.text()
    );
    assert!(!whole.is_hit());
}

#[test]
fn a_range_on_a_cold_key_fetches_the_whole_once() {
    let (origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    let part = gateway.send(&get("/a").field("Range", "bytes=0-1"));
    assert_eq!((part.status, part.text().as_str()), (206, "19"));
    assert!(gateway.get("/a").is_hit());
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_range_of_something_too_large_is_the_origin_s_to_cut() {
    let origin = in_parts("\"v1\"", None);
    let gateway = Gateway::before(&origin)
        .cache("max_stored_body = 8")
        .start();
    let part = gateway.send(&get("/a").field("Range", "bytes=2-4"));
    assert_eq!(
        (part.status, part.text().as_str()),
        (206, "234"),
        "{}",
        part.cache_status()
    );
    assert_eq!(origin.last().fields.get("range"), Some("bytes=2-4"));
    let again = gateway.send(&get("/a").field("Range", "bytes=3-4"));
    assert_eq!(
        (again.text().as_str(), again.is_hit()),
        ("34", true),
        "{}",
        again.cache_status()
    );
    assert_eq!(gateway.get("/a").expect(200).text(), TEN);
}
