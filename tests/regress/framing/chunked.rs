//! Chunked content ends where RFC 9112 §7.1 says, or the request is refused: what comes behind is neither executed nor
//! swallowed.

use super::recorder::Recorder;
use crate::common::{End, Gateway, Origin, get, post};

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Content of which some line does not end in CRLF, up to where it was found.
#[rustfmt::skip]
const MALFORMED: &[&str] = &[
    "0\r\n\n",
    "0\r\nX: a\n\n",
    "0\r\nX: a\n\r\n",
    "0\r\nX: a\r\nY: b\n\r\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello\r\n0\r\nX: a\n\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5;a=b\nhello\r\n0\r\n\r\n",
    "0\n\r\n",
    "0\r\n\r\r\n",
    "0\r\nX: a\rb\r\n\r\n",
];

#[test]
fn a_line_of_chunked_content_that_does_not_end_in_crlf_is_refused() {
    let recorder = Recorder::start();
    let gateway = Gateway::before(&recorder.origin).workers(1).start();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET", "HEAD"] {
        for content in MALFORMED {
            // The head with all, by itself, and both in two halves.
            for cut in [0, 1, 2] {
                let case = format!("{method} {content:?} {cut}");
                let head = format!(
                    "{method} /first HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                );
                let all = format!("{head}{content}{NEXT}");
                let cut = [all.len(), head.len(), head.len() - 9][cut];
                let mut client = gateway.client();
                client.write(&all[..cut]);
                client.write(&all[cut..]);
                let answer = client.answer(method).finish();
                assert_eq!(answer.status, 400, "{case}: {}", answer.text());
                assert_eq!(answer.field("connection"), Some("close"), "{case}");
            }
        }
    }
    assert!(recorder.lines().iter().all(|line| !line.contains("/next")));
}

#[test]
fn the_chunked_content_of_a_get_is_followed_too() {
    let recorder = Recorder::start();
    let gateway = Gateway::before(&recorder.origin).workers(1).start();
    // Its head looks like the whole of a request; the content comes in the same octets, or in others.
    let first = "GET /first HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (content, is_whole) in [
        ("0\r\n\r\n", true),
        ("0\r\n\n", false),
        ("0\r\nX: a\n\n", false),
    ] {
        for cut in [0, first.len()] {
            let before = recorder.lines().len();
            let mut client = gateway.client();
            let octets = format!("{first}{content}{NEXT}");
            client.write(&octets[..cut]);
            client.write(&octets[cut..]);
            let answer = client.answer("GET").finish();
            let closes = answer.field("connection") == Some("close");
            assert_eq!(closes, !is_whole, "{content:?} {cut}");
            if is_whole {
                client.answer("GET").finish().expect(200);
            }
            let has_next = recorder.lines()[before..]
                .iter()
                .any(|line| line.contains("/next"));
            assert_eq!(has_next, is_whole, "{content:?} {cut}");
        }
    }
}

#[test]
fn chunked_content_behind_the_head_of_a_get_keeps_its_connection() {
    let recorder = Recorder::start();
    let gateway = Gateway::before(&recorder.origin).workers(1).start();
    let get = "GET /plain HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let head = |method: &str| {
        format!("{method} /chunked HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    };
    let mut client = gateway.client();
    for method in ["GET", "HEAD", "POST", "PUT", "REPORT"] {
        // Each content looks like the end of a head.
        for content in ["0\r\n\r\n", "4\r\n\r\n\r\n\r\n0\r\nX: a\r\n\r\n"] {
            let (head, both) = (head(method), format!("{}{content}", head(method)));
            let pieces: &[&[&str]] = &[
                &[&both],
                &[&head, content],
                &[get, &both, NEXT],
                &[&format!("{get}{both}{NEXT}")],
                &[&format!("{get}{head}"), content, NEXT],
                &[&format!("{get}{get}{both}"), &format!("{NEXT}{both}")],
            ];
            for pieces in pieces {
                let case = format!("{pieces:?}");
                for piece in *pieces {
                    client.write(piece);
                }
                let all = pieces.concat();
                let mut methods: Vec<_> = all
                    .match_indices(" HTTP/1.1")
                    .map(|(at, _)| all[..at].rsplit('\n').next().unwrap_or_default())
                    .collect();
                for line in methods.drain(..) {
                    let method = line.split(' ').next().unwrap_or_default();
                    let answer = client.answer(method).finish();
                    assert_eq!(answer.status, 200, "{case}: {line}");
                    assert_eq!(answer.field("connection"), None, "{case}: {line}");
                }
            }
        }
    }
    assert_eq!(client.connects(), 1);
}

#[test]
fn chunked_requests_keep_their_connection_and_their_trailers() {
    let recorder = Recorder::start();
    let gateway = Gateway::before(&recorder.origin).workers(1).start();
    let chunked = |content: &str| {
        format!(
            "POST /chunked HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{content}"
        )
    };
    let mut client = gateway.client();
    for content in [
        "0\r\n\r\n",
        "5;a=\"b c\"\r\nhello\r\n0\r\nX: a\r\nY: b\r\n\r\n",
        "1 ;x\r\n\n\r\n00\r\n\r\n",
    ] {
        // Alone, between others, and octet by octet.
        client.write(chunked(content));
        assert_eq!(client.answer("POST").finish().status, 200, "{content:?}");
        client.write(format!(
            "PUT /length HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n\r\n\r\n{}{NEXT}",
            chunked(content)
        ));
        for method in ["PUT", "POST", "GET"] {
            assert_eq!(client.answer(method).finish().status, 200, "{content:?}");
        }
        for octet in chunked(content).bytes() {
            client.write([octet]);
        }
        assert_eq!(client.answer("POST").finish().status, 200, "{content:?}");
    }
    assert_eq!(client.connects(), 1);
}

#[test]
fn heads_that_frame_content_twice_or_not_at_all_are_refused() {
    let recorder = Recorder::start();
    let gateway = Gateway::before(&recorder.origin).workers(1).start();
    #[rustfmt::skip]
    let table = [
        ("HTTP/1.0", "Transfer-Encoding: chunked\r\n"),
        ("HTTP/1.0", "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n"),
        ("HTTP/1.1", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("HTTP/1.1", "Content-Length: 5, 6\r\n"),
        ("HTTP/1.1", "Content-Length: +5\r\n"),
        ("HTTP/1.1", "Content-Length: 0x5\r\n"),
        ("HTTP/1.1", "Content-Length: -5\r\n"),
        ("HTTP/1.1", "Content-Length: 5 5\r\n"),
        ("HTTP/1.1", "Content-Length:\r\n"),
        ("HTTP/1.1", "Transfer-Encoding: chunked, chunked\r\n"),
        ("HTTP/1.1", "Transfer-Encoding: chunked, identity\r\n"),
        ("HTTP/1.1", "Transfer-Encoding: xchunked\r\n"),
    ];
    for (version, fields) in table {
        let mut client = gateway.client();
        client.write(format!(
            "POST /first {version}\r\nHost: a.test\r\n{fields}\r\n0\r\n\r\n{NEXT}"
        ));
        let answer = client.answer("POST").finish();
        assert!(
            matches!(answer.status, 400 | 501),
            "{fields:?}: {}",
            answer.status
        );
        assert_eq!(answer.field("connection"), Some("close"), "{fields:?}");
    }
    assert_eq!(recorder.lines(), [""; 0]);
}

#[test]
fn a_request_with_two_framings_is_refused() {
    // RFC 9112 §6.1
    let recorder = Recorder::start();
    let gateway = Gateway::before(&recorder.origin).workers(1).start();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "content-length:0\r\nA: b\r\nTRANSFER-ENCODING:Chunked\r\n",
        ] {
            // In one piece, and with the content by itself.
            for together in [true, false] {
                let mut client = gateway.client();
                let head = format!("{method} /first HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
                let behind = format!("0\r\n\r\n{NEXT}");
                match together {
                    true => client.write(head + &behind),
                    false => client.write(head),
                };
                let answer = client.answer(method).finish();
                assert_eq!(answer.status, 400, "{method} {fields:?}");
                assert_eq!(answer.field("connection"), Some("close"), "{fields:?}");
            }
        }
    }
    assert_eq!(recorder.lines(), [""; 0]);
}

#[test]
fn a_response_whose_trailers_end_in_a_bare_lf_swallows_no_other() {
    for content in ["0\r\n\n", "0\r\nX: a\n\n", "0\r\nX: a\n\r\n"] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
        let octets = format!("{head}{content}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother");
        let origin = Origin::start(move |_, conn| {
            conn.write(&octets);
        });
        let gateway = Gateway::before(&origin).workers(1).start();
        for request in [get("/a"), get("/a"), post("/a", "b"), post("/a", "b")] {
            let answer = gateway.send(&request);
            assert_ne!(answer.text(), "other", "{content:?}");
            assert!(
                request.method == "POST" || answer.end != End::Complete,
                "{content:?}"
            );
        }
        assert_eq!(origin.connections(), origin.count(), "{content:?}");
    }
}
