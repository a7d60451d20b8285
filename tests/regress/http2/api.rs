//! An API that speaks HTTP/2 by prior knowledge.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::common::{Conn, Origin};
use super::frames::{ACK, DATA, END_STREAM, HEADERS, PING, SETTINGS, frame};

/// An API whose n-th request, once it has come whole, is answered with the frames that `answer` makes: of n, and of the
/// streams of its connection so far.
pub fn http2_api(answer: impl Fn(usize, &[u32]) -> Vec<u8> + Send + Sync + 'static) -> Origin {
    let requests = AtomicUsize::new(0);
    let serve = move |conn: &mut Conn| {
        let mut conn = conn.take();
        if conn.octets(24).is_err() {
            return;
        }
        conn.write(frame(SETTINGS, 0, 0, []));
        let mut streams = Vec::new();
        while let Ok(head) = conn.octets(9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let Ok(payload) = conn.octets(length as usize) else {
                return;
            };
            match (head[3], head[4] & ACK) {
                (SETTINGS, 0) => drop(conn.write(frame(SETTINGS, ACK, 0, []))),
                (PING, 0) => drop(conn.write(frame(PING, ACK, 0, payload))),
                (HEADERS | DATA, _) if head[4] & END_STREAM != 0 => {
                    streams.push(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
                    let count = requests.fetch_add(1, Ordering::SeqCst) + 1;
                    conn.write(answer(count, &streams));
                }
                _ => {}
            }
        }
    };
    Origin::greeting(serve, |_, _| unreachable!("the connection has been served"))
}
