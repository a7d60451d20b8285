//! A request with content on a kept connection that its server closes instead of answering: it is sent once more where
//! twice is as good as once and its content is still at hand (RFC 9110 §9.2.2), and otherwise it is an error.

use crate::common::{Conn, Gateway, Origin, Reply, get, reply, request};

/// How a kept connection ends when the next request comes on it.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Before anything of it is read.
    UnreadReset,
    HeadReadReset,
    HeadReadClosed,
    PartReadReset,
}

impl Death {
    fn play(self, conn: &mut Conn) {
        match self {
            // It has come when its first octet can be read.
            Self::UnreadReset => {
                conn.await_octet();
                conn.reset();
            }
            Self::HeadReadReset => {
                conn.read_head();
                conn.reset();
            }
            Self::HeadReadClosed => {
                conn.read_head();
                conn.close();
            }
            Self::PartReadReset => {
                conn.read_head();
                conn.read_content(3);
                conn.reset();
            }
        }
    }
}

/// An origin whose connections answer one request each and die of the next, and that answers PUT and POST otherwise.
fn dying(death: Death) -> Origin {
    Origin::start(move |request, conn| {
        let answer: Reply = reply(200).field("Cache-Control", "no-store").body("done");
        conn.reply(request, &answer);
        if request.method == "GET" {
            death.play(conn);
        }
    })
}

#[test]
fn content_at_hand_is_sent_again_where_twice_is_as_good_as_once() {
    let deaths = [
        Death::UnreadReset,
        Death::HeadReadReset,
        Death::HeadReadClosed,
        Death::PartReadReset,
    ];
    let contents = ["1984".to_owned(), "war is peace ".repeat(3_000)];
    for death in deaths {
        for method in [
            "PUT", "DELETE", "QUERY", "PROPFIND", "SEARCH", "POST", "PATCH",
        ] {
            for content in &contents {
                for chunked in [false, true] {
                    let case = format!("{death:?}, {method}, {}, {chunked}", content.len());
                    let origin = dying(death);
                    let gateway = Gateway::before(&origin).workers(1).start();
                    let mut client = gateway.client();
                    client.send(&get("/first")).expect(200);
                    let write = request(method, "/books/1");
                    let write = match chunked {
                        false => write.body(content),
                        true => write
                            .field("Transfer-Encoding", "chunked")
                            .body(format!("{:x}\r\n{content}\r\n0\r\n\r\n", content.len())),
                    };
                    let answer = client.send(&write);
                    let mut seen = origin.requests().into_iter().skip(1);
                    if matches!(method, "POST" | "PATCH") {
                        assert_eq!(answer.status, 502, "{case}: {answer:?}");
                        assert!(seen.next().is_none(), "{case}: it was sent twice");
                    } else {
                        assert_eq!(answer.status, 200, "{case}: {answer:?}");
                        let seen = seen.next().expect("the second attempt");
                        assert_eq!((&*seen.method, seen.text() == *content), (method, true));
                        assert_eq!(origin.connections(), 2, "{case}");
                    }
                }
            }
        }
    }
}

/// What is larger than what is kept of it is never sent in part.
#[test]
fn content_that_is_gone_is_an_error_and_never_sent_in_part() {
    for death in [Death::HeadReadReset, Death::PartReadReset] {
        let origin = dying(death);
        let gateway = Gateway::before(&origin).workers(1).start();
        let mut client = gateway.client();
        client.send(&get("/first")).expect(200);
        let answer = client.send(&request("PUT", "/books/1").body(vec![b'x'; 20 << 20]));
        assert_eq!(answer.status, 502, "{death:?}: {answer:?}");
        assert_eq!(origin.count(), 1, "{death:?}");
    }
}
