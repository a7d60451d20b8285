//! Downloads that go on where they broke off: `curl -C -`, `wget -c`, and a part before the whole.

use super::file::{File, KINDS, Kind, LIMITS, files};
use crate::common::{Gateway, Origin, get, head, reply};

fn file(kind: Kind, size: usize, name: &str) -> File {
    File {
        limit: LIMITS[0],
        kind,
        size,
        name: name.to_owned(),
    }
}

#[test]
fn a_download_goes_on_where_it_broke_off_whatever_is_stored_of_it() {
    // (what was asked for before, how it goes on)
    let table: [(&[&str], &str); 8] = [
        (&["bytes=0-9"], "bytes=0-"),
        (&["bytes=-5"], "bytes=0-"),
        (&["bytes=-5"], "bytes=100-"),
        (&["bytes=0-9"], "bytes=5-"),
        (&["bytes=100-199", "bytes=300-399"], "bytes=50-"),
        (&["bytes=100-199", "bytes=8900-8999"], "bytes=0-8999"),
        (&["bytes=0-4000"], "bytes=-8999"),
        (&["bytes=0-4000"], "bytes=0-9,4000-8999"),
    ];
    let (_origin, gateway, _) = files();
    for kind in KINDS {
        for (at, (before, then)) in table.iter().enumerate() {
            let file = file(kind, 9_000, &format!("download-{at}"));
            let ask = |range: &str| gateway.send(&get(&file.path()).field("Range", range));
            for range in before.iter().chain([then]) {
                file.check(Some(range), &ask(range), 0).unwrap();
            }
            let whole = gateway.get(&file.path()).expect(200);
            assert!(whole.body == file.content(0), "{file:?}");
            let size = gateway.send(&head(&file.path())).expect(200);
            if kind != Kind::Chunked {
                assert_eq!(size.field("content-length"), Some("9000"), "{file:?}");
            }
            // It is whole already: `curl -C -` and `wget -c` understand 416.
            let beyond = ask("bytes=9000-");
            file.check(Some("bytes=9000-"), &beyond, 0).unwrap();
        }
    }
}

#[test]
fn the_missing_part_is_asked_for_only_where_it_can_be_kept() {
    let (origin, gateway, _) = files();
    let file = file(Kind::Plain, 9_000, "kept");
    let ask = |range: &str| {
        gateway
            .send(&get(&file.path()).field("Range", range))
            .expect(206)
    };
    ask("bytes=0-999");
    ask("bytes=500-1999");
    assert_eq!(origin.last().fields.get("range"), Some("bytes=1000-1999"));
    assert!(ask("bytes=0-1999").is_hit());
    // With what is stored it would be more than is stored of one response.
    let asked = origin.count();
    file.check(Some("bytes=0-"), &ask("bytes=0-"), 0).unwrap();
    assert_eq!(origin.last().fields.get("range"), Some("bytes=0-"));
    assert_eq!(origin.count(), asked + 1);
    assert!(ask("bytes=0-1999").is_hit(), "what was stored stays");
}

#[test]
fn what_was_asked_for_in_our_name_is_never_told_to_the_client() {
    // What comes in answer to the request for the missing part: none of these is what the client asked for.
    let part = |tag: &str, first: usize, last: usize, says: &str| {
        reply(206)
            .field("ETag", tag)
            .field("Cache-Control", says)
            .field("Content-Range", format!("bytes {first}-{last}/10"))
            .body(&"0123456789"[first..=last])
    };
    let table = [
        ("not to be stored any more", part("\"a\"", 4, 9, "no-store")),
        ("private by now", part("\"a\"", 4, 9, "private, max-age=60")),
        (
            "with a cookie",
            part("\"a\"", 4, 9, "no-cache").field("Set-Cookie", "a=b"),
        ),
        ("of another version", part("\"b\"", 4, 9, "max-age=60")),
        ("of an unknown version", part("W/\"a\"", 4, 9, "max-age=60")),
        ("another part", part("\"a\"", 6, 9, "max-age=60")),
        ("a smaller part", part("\"a\"", 4, 6, "max-age=60")),
        ("not modified", reply(304).field("ETag", "\"a\"")),
        ("not there", reply(416).field("Content-Range", "bytes */10")),
        (
            "in several parts",
            reply(206)
                .field("ETag", "\"a\"")
                .field("Cache-Control", "max-age=60")
                .field("Content-Type", "multipart/byteranges; boundary=x")
                .body("--x\r\nContent-Range: bytes 4-9/10\r\n\r\n456789\r\n--x--\r\n"),
        ),
    ];
    for (what, missing) in table {
        let origin = Origin::start(move |request, conn| {
            let answer = match (request.fields.get("if-range"), request.fields.get("range")) {
                (Some(_), _) => missing.clone(),
                (None, Some("bytes=0-9")) => part("\"a\"", 0, 9, "no-store"),
                (None, Some(_)) => part("\"a\"", 0, 3, "max-age=60"),
                (None, None) => reply(200)
                    .field("ETag", "\"a\"")
                    .field("Cache-Control", "max-age=60")
                    .body("0123456789"),
            };
            conn.reply(request, &answer);
        });
        let gateway = Gateway::before(&origin)
            .cache("max_stored_body = 9")
            .start();
        let ask = |range: &str| gateway.send(&get("/a").field("Range", range));
        assert_eq!(ask("bytes=0-3").expect(206).text(), "0123", "{what}");
        for round in 0..3 {
            let answer = ask("bytes=2-9");
            let told = answer.field("content-range");
            let right = match answer.status {
                200 => answer.text() == "0123456789",
                206 => {
                    answer.text().starts_with('2')
                        && told.is_some_and(|told| told.starts_with("bytes 2-"))
                }
                // The origin's own answer to the client's own range.
                _ => false,
            };
            assert!(
                right || origin.last().fields.get("range") == Some("bytes=2-9"),
                "{what}, {round}: {} {told:?} {:?} {}",
                answer.status,
                answer.text(),
                answer.cache_status()
            );
        }
    }
}

#[test]
fn conditions_come_before_ranges_for_what_is_stored_in_parts_too() {
    // RFC 9110 §13.2.2
    let (origin, gateway, _) = files();
    let file = file(Kind::Plain, 9_000, "conditions");
    let part = get(&file.path()).field("Range", "bytes=0-99");
    gateway.send(&part).expect(206);
    let asked = origin.count();
    let same = part.clone().field("If-None-Match", "\"0\"");
    assert!(gateway.send(&same).expect(304).is_hit());
    let whole = get(&file.path()).field("If-None-Match", "\"0\"");
    assert!(gateway.send(&whole).expect(304).is_hit());
    let other = part.field("If-None-Match", "\"1\"");
    file.check(Some("bytes=0-99"), &gateway.send(&other), 0)
        .unwrap();
    assert_eq!(origin.count(), asked);
}

#[test]
fn a_part_never_takes_the_place_of_the_whole() {
    let (origin, gateway, _) = files();
    let file = File {
        limit: LIMITS[1],
        ..file(Kind::Plain, 9_000, "whole")
    };
    gateway.get(&file.path()).expect(200);
    // A request for validation with a Range: what comes of it is the whole, validated, or that part.
    let part = get(&file.path())
        .field("Range", "bytes=0-99")
        .field("Cache-Control", "no-cache");
    gateway.send(&part).expect(206);
    let asked = origin.count();
    assert!(gateway.get(&file.path()).expect(200).is_hit());
    assert_eq!(origin.count(), asked);
}
