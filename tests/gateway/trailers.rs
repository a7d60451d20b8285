//! Trailers reach clients that asked for them; whoever did not gets the content without.

use crate::common::{Gateway, Origin, get};

fn with_trailers(cache_control: &'static str) -> Origin {
    Origin::start(move |_, conn| {
        conn.write(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: {cache_control}\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Books\r\n\r\n4\r\n1984\r\n0\r\nX-Books: 2\r\n\r\n"
        ));
    })
}

#[test]
fn a_client_that_asks_for_trailers_gets_those_of_a_response_that_passes() {
    let origin = with_trailers("no-store");
    let gateway = Gateway::before(&origin).start();
    let ask = get("/books")
        .field("TE", "trailers")
        .field("Connection", "TE");
    let answer = gateway.send(&ask).expect(200);
    assert_eq!(answer.text(), "1984");
    assert_eq!(answer.trailers.get("x-books"), Some("2"), "{answer:#?}");
}

#[test]
fn a_client_that_does_not_ask_gets_the_content_without() {
    for cache_control in ["no-store", "max-age=60"] {
        let origin = with_trailers(cache_control);
        let gateway = Gateway::before(&origin).start();
        for _ in 0..2 {
            let answer = gateway.get("/books").expect(200);
            assert_eq!(answer.text(), "1984", "{cache_control}");
            // RFC 9110 §6.5.1: trailers are never merged into the header section.
            assert!(!answer.trailers.has("x-books") && !answer.fields.has("x-books"));
        }
    }
}
