//! Content that the API codes as it goes, whose length nobody knows before its end: ranges of it, and what is said to
//! be stored (RFC 9211 §2.5).

use crate::common::{Gateway, Origin, Reply, Request, get, reply};

const LARGE: usize = 200_000;
const LIMIT: usize = 64 << 10;

fn coded(size: usize) -> Reply {
    let line = format!("{}\n", "x".repeat(if size < 2_000 { 15 } else { 1_023 }));
    reply(200)
        .field("Content-Encoding", "gzip")
        .field("ETag", "W/\"a\"")
        .body(line.repeat(size / line.len()))
        .chunked()
}

/// Codes as it goes, but for requests with a Range.
fn origin(size: usize) -> Origin {
    Origin::start(move |request, conn| {
        let answer = match request.fields.has("range") {
            true => reply(206)
                .field("ETag", "\"a\"")
                .field("Content-Range", format!("bytes 0-9/{size}"))
                .body("0123456789"),
            false => coded(size),
        };
        let answer = answer
            .field("Cache-Control", "max-age=60")
            .field("Vary", "Accept-Encoding");
        conn.reply(request, &answer);
    })
}

fn before(origin: &Origin) -> Gateway {
    Gateway::before(origin)
        .cache(&format!("max_stored_body = {LIMIT}"))
        .manual_clock()
        .start()
}

fn part() -> Request {
    get("/a")
        .field("Range", "bytes=0-9")
        .field("Accept-Encoding", "gzip")
}

#[test]
fn a_range_of_what_is_coded_on_the_way_is_that_range_each_time() {
    let origin = origin(LARGE);
    let gateway = before(&origin);
    for nth in 1..5 {
        let answer = gateway.send(&part()).expect(206);
        assert_eq!(answer.text(), "0123456789");
        gateway.await_no_fills();
        // Once for the whole, which did not prove storable.
        assert!(origin.count() <= nth + 1, "{}", origin.count());
    }
}

#[test]
fn a_whole_response_is_not_replaced_by_a_part_in_another_coding() {
    let origin = origin(2_000);
    let gateway = before(&origin);
    let whole = get("/a").field("Accept-Encoding", "gzip");
    gateway.send(&part());
    gateway.await_no_fills();
    gateway.send(&whole).expect(200);
    gateway.await_no_fills();
    let answer = gateway.send(&whole).expect(200);
    assert!(answer.is_hit(), "{}", answer.cache_status());
    assert_eq!(answer.field("content-encoding"), Some("gzip"));
}

#[test]
fn parts_without_a_coding_do_not_become_the_whole_for_who_takes_one() {
    let origin = origin(2_000);
    let gateway = before(&origin);
    gateway.send(&part());
    let answer = gateway
        .send(&get("/a").field("Accept-Encoding", "gzip"))
        .expect(200);
    assert_eq!(
        answer.field("content-encoding"),
        Some("gzip"),
        "{}",
        answer.cache_status()
    );
}

#[test]
fn what_is_too_large_without_saying_so_is_remembered() {
    let origin = origin(LARGE);
    let gateway = before(&origin);
    let whole = get("/a").field("Accept-Encoding", "gzip");
    for _ in 0..3 {
        let answer = gateway.send(&whole).expect(200);
        assert!(!answer.says("stored"), "{}", answer.cache_status());
        gateway.await_no_fills();
    }
    assert!(gateway.send(&whole).expect(200).says("detail=too-large"));
}

#[test]
fn what_is_said_to_be_stored_is_a_hit_for_the_next() {
    let plain = |size: usize| reply(200).field("ETag", "\"a\"").body("x".repeat(size));
    let answers: [(&str, Reply); 7] = [
        ("small", plain(10)),
        ("of several reads", plain(LIMIT - 1)),
        ("too large", plain(LIMIT + 1)),
        ("small, of unknown length", coded(160)),
        ("of several reads, of unknown length", coded(LIMIT - 1_024)),
        ("too large, of unknown length", coded(LARGE)),
        ("of unknown end", plain(10).until_close()),
    ];
    let befores: [&[(&str, &str)]; 4] = [
        &[],
        &[("Authorization", "Bearer x")],
        &[("Cookie", "a=b"), ("If-None-Match", "\"x\"")],
        &[("Cookie", "a=b"), ("Range", "bytes=0-9")],
    ];
    let firsts: [&[(&str, &str)]; 5] = [
        &[],
        &[("If-None-Match", "\"a\"")],
        &[("If-None-Match", "W/\"a\"")],
        &[("If-None-Match", "\"b\"")],
        &[("Range", "bytes=0-4")],
    ];
    let with = |fields: &[(&str, &str)]| {
        let fields = fields.iter();
        fields.fold(get("/a"), |request, (name, value)| {
            request.field(name, value)
        })
    };
    for (what, answer) in answers {
        for before_it in befores {
            for first in firsts {
                let answer = answer.clone().field("Cache-Control", "max-age=60");
                let origin = Origin::answering(answer);
                let gateway = before(&origin);
                if !before_it.is_empty() {
                    gateway.send(&with(before_it));
                }
                let told = gateway.send(&with(first));
                gateway.await_no_fills();
                let next = gateway.get("/a").expect(200);
                assert!(
                    !told.says("stored") || next.is_hit(),
                    "{what}, after {before_it:?}, {first:?}: {}, then {}",
                    told.cache_status(),
                    next.cache_status()
                );
            }
        }
    }
}
