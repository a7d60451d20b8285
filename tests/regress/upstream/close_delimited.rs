//! Responses that end when their connection does: stored only where the operator says so, and it was closed in order.

use crate::common::{Conn, End, Gateway, Origin, get};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    Fin,
    OurSideOnly,
    Reset,
}

impl Close {
    fn play(self, conn: &mut Conn) {
        match self {
            Self::Fin => conn.close(),
            Self::OurSideOnly => {
                conn.half_close();
                conn.await_close();
            }
            Self::Reset => conn.reset(),
        }
    }
}

#[test]
fn a_close_delimited_response_is_stored_where_the_key_says_so_and_it_ended_in_order() {
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        for close in [Close::Fin, Close::OurSideOnly, Close::Reset] {
            for size in [0, 4, 300_000] {
                for key in [false, true] {
                    let case = format!("{version}, {close:?}, {size}, {key}");
                    let origin = Origin::start(move |_, conn| {
                        let head = "200 OK\r\nCache-Control: max-age=60\r\nConnection: close";
                        conn.write(format!("{version} {head}\r\n\r\n"));
                        conn.write("x".repeat(size));
                        close.play(conn);
                    });
                    let gateway = Gateway::before(&origin)
                        .cache(&format!("store_close_delimited = {key}"))
                        .start();
                    let stored = key && close != Close::Reset;
                    for turn in 0..2 {
                        let answer = gateway.get("/old");
                        if close == Close::Reset {
                            // Its end may have overtaken its head.
                            let is_cut = answer.end != End::Complete || answer.status == 502;
                            assert!(is_cut, "{case}, {turn}: {answer:?}");
                            continue;
                        }
                        let answer = answer.expect(200);
                        assert_eq!(answer.body.len(), size, "{case}");
                        assert_eq!(answer.is_hit(), stored && turn == 1, "{case}, {turn}");
                        let says = answer.says("detail=unverified-end");
                        assert_eq!(says, !key, "{case}, {turn}: {}", answer.cache_status());
                    }
                    assert_eq!(origin.count(), if stored { 1 } else { 2 }, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_route_may_say_so_for_itself() {
    let origin = Origin::start(|_, conn| {
        conn.write("HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\nold");
        conn.close();
    });
    let gateway = Gateway::before(&origin)
        .route("/old/{id}", "store_close_delimited = true")
        .start();
    for (path, requests) in [("/old/1", 1), ("/new", 2)] {
        let before = origin.count();
        for _ in 0..2 {
            assert_eq!(gateway.send(&get(path)).expect(200).text(), "old");
        }
        assert_eq!(origin.count() - before, requests, "{path}");
    }
}
