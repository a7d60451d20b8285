//! Fields that say what the content's octets are: those of another message do not get into a response, nor a length into one
//! that has none.

use std::time::Duration;

use super::asking;
use crate::common::{Gateway, Origin, reply};

#[test]
fn a_304_or_a_head_never_relabels_stored_octets() {
    // (the stored response's coding, the update's)
    let table = [
        (Some("gzip"), "br"),
        (Some("gzip"), "identity"),
        (None, "gzip"),
        (Some("gzip"), ""),
    ];
    for (stored, update) in table {
        for method in ["GET", "HEAD"] {
            let origin = Origin::start(move |request, conn| {
                let conditional = request.fields.has("if-none-match");
                let later = conditional || request.method == "HEAD";
                let answer = reply(if conditional { 304 } else { 200 })
                    .field("ETag", "\"a\"")
                    .field("X-New", if later { "1" } else { "0" })
                    .field("Cache-Control", "max-age=10");
                let answer = match (later, stored) {
                    (true, _) => answer.field("Content-Encoding", update),
                    (false, Some(coding)) => {
                        answer.field("Content-Encoding", coding).body("octets")
                    }
                    (false, None) => answer.body("octets"),
                };
                conn.reply(request, &answer);
            });
            let gateway = Gateway::before(&origin).manual_clock().start();
            gateway.get("/a").expect(200);
            gateway.advance(Duration::from_secs(11));
            gateway.send(&asking(method, "/a", &[])).expect(200);
            for _ in 0..2 {
                let answer = gateway.get("/a").expect(200);
                assert_eq!(answer.text(), "octets");
                let coding = answer.field("content-encoding");
                assert_eq!(coding, stored, "{stored:?} {update} {method}");
            }
        }
    }
}

#[test]
fn a_204_has_no_content_length_by_any_method() {
    // RFC 9110 §8.6
    for length in [None, Some("0"), Some("5")] {
        for lifetime in ["max-age=60", "no-store"] {
            let origin = Origin::start(move |_, conn| {
                let length = length.map_or_else(String::new, |length| {
                    format!("Content-Length: {length}\r\n")
                });
                conn.write(format!(
                    "HTTP/1.1 204 No Content\r\n{length}Cache-Control: {lifetime}\r\n\r\n"
                ));
            });
            let gateway = Gateway::before(&origin).start();
            for method in ["HEAD", "GET", "HEAD", "OPTIONS", "DELETE", "PUT"] {
                let answer = gateway.send(&asking(method, "/a", &[])).expect(204);
                let has = answer.field("content-length");
                assert_eq!(has, None, "{method} {length:?} {lifetime}");
            }
        }
    }
}
