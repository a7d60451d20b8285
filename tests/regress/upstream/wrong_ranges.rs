//! A 206 whose Content-Range is not that of its content: it passes as it came, and is never stored or combined.

use crate::common::{Gateway, Origin, Reply, get, reply};

const SIZE: usize = 4 << 10;

fn file() -> Vec<u8> {
    (b'a'..=b'z').cycle().take(SIZE).collect()
}

/// The whole file, which is too large to be stored.
fn whole() -> Reply {
    reply(200)
        .field("Cache-Control", "max-age=60")
        .field("ETag", "\"1\"")
        .field("Accept-Ranges", "bytes")
        .body(file())
}

fn part(content_range: &str, body: &[u8]) -> Reply {
    reply(206)
        .field("Cache-Control", "max-age=60")
        .field("ETag", "\"1\"")
        .field("Content-Range", content_range)
        .body(body)
}

#[test]
fn a_part_of_another_length_than_it_says_passes_and_is_not_stored() {
    let file = file();
    let table: [(&str, &[u8]); 5] = [
        ("bytes 0-9/4096", &file[..5]),
        ("bytes 0-9/4096", &file[..15]),
        ("bytes 0-9/4096", &file),
        ("bytes 0-9/4096", b""),
        ("bytes 0-99/4096", &file[..10]),
    ];
    for (content_range, body) in table {
        for chunked in [false, true] {
            let part = part(content_range, body);
            let part = if chunked { part.chunked() } else { part };
            let origin = Origin::start(move |request, conn| match request.fields.has("range") {
                true => conn.reply(request, &part),
                false => conn.reply(request, &whole()),
            });
            let gateway = Gateway::before(&origin)
                .cache("max_stored_body = '1KiB'")
                .start();
            let case = format!("{content_range}, {}, {chunked}", body.len());
            gateway.get("/file").expect(200);
            for turn in 0..3 {
                let answer = gateway.send(&get("/file").field("Range", "bytes=0-9"));
                assert_eq!(
                    (answer.status, answer.field("content-range")),
                    (206, Some(content_range)),
                    "{case}, {turn}: {answer:?}"
                );
                assert!(answer.body == body, "{case}, {turn}: {answer:?}");
                assert!(!answer.says("stored"), "{case}, {turn}: {answer:?}");
                assert_eq!(origin.count(), turn + 2, "{case}");
            }
        }
    }
}

#[test]
fn a_missing_part_that_comes_wrong_is_not_used() {
    for (first, last) in [(10, 14), (10, 39)] {
        let origin = Origin::start(move |request, conn| {
            let file = file();
            let answer = match request.fields.get("range") {
                Some("bytes=0-9") => part("bytes 0-9/4096", &file[..10]),
                Some("bytes=0-19") => part("bytes 0-19/4096", &file[..20]),
                Some(_) => part("bytes 10-19/4096", &file[first..=last]),
                None => whole(),
            };
            conn.reply(request, &answer);
        });
        let gateway = Gateway::before(&origin)
            .cache("max_stored_body = '1KiB'")
            .start();
        gateway.get("/file").expect(200);
        for range in ["bytes=0-9", "bytes=0-19", "bytes=0-19"] {
            let answer = gateway.send(&get("/file").field("Range", range));
            let file = file();
            let right = match answer.status {
                200 => file,
                206 if range == "bytes=0-9" => file[..10].to_vec(),
                _ => file[..20].to_vec(),
            };
            assert!(
                matches!(answer.status, 200 | 206) && answer.body == right,
                "{range} of {first}-{last}: {answer:?}"
            );
        }
    }
}
