//! Frames that cost their sender little: each kind ends the connection, or costs no more than the connection does.

use super::super::common::{Gateway, Origin, PATIENCE, reply};
use super::frames::{
    ACK, CONTINUATION, Client, DATA, END_HEADERS, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING,
    PRIORITY, PROTOCOL_ERROR, SETTINGS, WINDOW_UPDATE, block, fields, frame,
};

/// So many of each frame.
const MANY: usize = 20_000;

#[test]
fn a_flood_of_frames_ends_the_connection_or_leaves_it_as_it_is() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let gateway = Gateway::before(&origin).workers(1).start();
    Client::to(&gateway).expect_ok("/books");
    let begun = frame(HEADERS, 0, 1, block(&fields("GET", "/books")));
    let post = frame(HEADERS, END_HEADERS, 1, block(&fields("POST", "/books")));
    let settings = [&[0, 4][..], &70_000_u32.to_be_bytes()].concat();
    let line = block(&[(b"x", &[b'x'; 8_000])]);
    let line = frame(CONTINUATION, 0, 1, line);
    let cookie = frame(CONTINUATION, 0, 1, block(&[(b"cookie", b"a")]));
    let calm = Some(ENHANCE_YOUR_CALM);
    // What comes before, the frame that is sent again and again, and the code that ends the connection; none where it
    // goes on.
    #[rustfmt::skip]
    let table: [(&str, &[u8], Vec<u8>, Option<u32>); 12] = [
        ("settings", &[], frame(SETTINGS, 0, 0, &settings), None),
        ("settings acknowledged unasked", &[], frame(SETTINGS, ACK, 0, []), Some(PROTOCOL_ERROR)),
        ("pings", &[], frame(PING, 0, 0, [7; 8]), None),
        ("pings acknowledged unasked", &[], frame(PING, ACK, 0, [7; 8]), None),
        ("priorities", &[], frame(PRIORITY, 0, 99, [0, 0, 0, 0, 9]), None),
        ("unknown frames", &[], frame(0xfa, 0, 0, [7; 100]), None),
        ("windows", &[], frame(WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes()), None),
        ("windows of nothing", &[], frame(WINDOW_UPDATE, 0, 0, [0; 4]), Some(PROTOCOL_ERROR)),
        ("empty content", &post, frame(DATA, 0, 1, []), calm),
        ("empty continuations", &begun, frame(CONTINUATION, 0, 1, []), calm),
        ("lines without end", &begun, line, calm),
        ("small lines without end", &begun, cookie, calm),
    ];
    for (what, before, flood, expected) in table {
        let mut client = Client::to(&gateway);
        let heard = client.listen();
        client.write(before);
        let some = 1_000;
        let batch = flood.repeat(some);
        let mut left = MANY / some;
        while left > 0 && client.write(&batch) {
            left -= 1;
        }
        if expected.is_none() {
            client.get("/books");
        }
        let heard = heard.recv_timeout(PATIENCE);
        let heard = heard.unwrap_or_else(|_| panic!("{what}: the connection ended without a word"));
        match expected {
            None => assert!(heard.is_ok(), "{what}: {heard:?}"),
            Some(code) => {
                assert_eq!(
                    (heard.kind, heard.code()),
                    (GOAWAY, code),
                    "{what}: {heard:?}"
                );
            }
        }
        // Others are served meanwhile.
        Client::to(&gateway).expect_ok("/books");
    }
}
