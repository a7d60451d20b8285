//! Requests that an API refuses by REFUSED_STREAM, which says that nothing was done (RFC 9113 §8.7).

use super::super::common::{Gateway, get, post, put};
use super::api::http2_api;
use super::frames::{CANCEL, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, block, frame};

const REFUSED_STREAM: u32 = 7;

fn latest(streams: &[u32]) -> u32 {
    *streams.last().expect("a request")
}

#[test]
fn a_refused_request_is_sent_again_with_its_content() {
    let content = "x".repeat(20_000);
    for request in [
        get("/books"),
        post("/books", "1984"),
        put("/books", &content),
    ] {
        let fine = block(&[(b":status", b"200"), (b"cache-control", b"no-store")]);
        let api = http2_api(move |count, streams| match count {
            1 => frame(RST_STREAM, 0, streams[0], REFUSED_STREAM.to_be_bytes()),
            _ => frame(HEADERS, END_HEADERS | END_STREAM, latest(streams), &fine),
        });
        let gateway = Gateway::before(&api)
            .workers(1)
            .upstream("protocol = \"h2c\"")
            .start();
        let answer = gateway.send(&request);
        assert_eq!(answer.status, 200, "{}: {}", request.method, answer.text());
        assert_eq!(gateway.sum(|counted| counted.upstream.requests.value()), 2);
    }
}

#[test]
fn a_reset_is_told_with_its_code() {
    for (code, told) in [
        (
            REFUSED_STREAM,
            "the upstream refused the request's stream (REFUSED_STREAM)",
        ),
        (CANCEL, "the upstream reset the request's stream (CANCEL)"),
    ] {
        let api =
            http2_api(move |_, streams| frame(RST_STREAM, 0, latest(streams), code.to_be_bytes()));
        let gateway = Gateway::before(&api)
            .workers(1)
            .upstream("protocol = \"h2c\"")
            .start();
        let answer = gateway.send(&post("/books", "1984")).expect(502);
        assert!(answer.text().contains(told), "{}", answer.text());
    }
}
