//! Trailers of an API that speaks HTTP/2, which announces none (RFC 9113 §8.1).

use http::HeaderMap;
use http_body_util::Full;

use super::super::common::{Gateway, get, http2, post};
use super::api::http2_api;
use super::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, block, frame};

#[test]
fn trailers_of_an_http_2_api_reach_clients_of_both_versions() {
    for cache_control in [&b"no-store"[..], b"max-age=60"] {
        let api = http2_api(move |_, streams| {
            let stream = streams[streams.len() - 1];
            let head = block(&[(b":status", b"200"), (b"cache-control", cache_control)]);
            let trailers = block(&[(b"grpc-status", b"0"), (b"x-sum", b"7")]);
            [
                frame(HEADERS, END_HEADERS, stream, head),
                frame(DATA, 0, stream, b"1984"),
                frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers),
            ]
            .concat()
        });
        let gateway = Gateway::before(&api)
            .workers(1)
            .upstream("protocol = \"h2c\"")
            .start();
        for request in [get("/1"), post("/2", "b")] {
            let answer = gateway
                .send(&request.clone().field("TE", "trailers"))
                .expect(200);
            let got = ["grpc-status", "x-sum"].map(|name| answer.trailers.get(name));
            assert_eq!(got, [Some("0"), Some("7")], "{}", request.method);
            assert_eq!(answer.text(), "1984");
        }
        let request = http::Request::get("http://a.test/3").header("te", "trailers");
        let answer = http2::send(&gateway, request.body(Full::default()).expect("a request"));
        let answer = answer.expect("an answer");
        let trailers = answer.extensions().get::<HeaderMap>().expect("trailers");
        assert_eq!(
            (&trailers["grpc-status"], &trailers["x-sum"]),
            (
                &"0".parse().expect("a value"),
                &"7".parse().expect("a value")
            )
        );
    }
}
