//! The faults of an API that speaks HTTP/1.1, one a line.

use super::fault::Act::{Accepting, Answering, Overdoing, Refuse, Reusing};
use super::fault::Outcome::{Aborted, Error, Repeated, Superseded, Unverified, Whole};
use super::fault::{Fault, GONE, LARGE, LATE, WRONG, fault};
use crate::common::Conn;

const STATUS: &str = "HTTP/1.1 2";
const HALF_A_HEAD: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-";
const LENGTH: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 12\r\n\r\n";
const MID_BODY: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 12\r\n\r\na whole";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
const MID_CHUNK: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\nc\r\na whole";
const A_CHUNK: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n7\r\na whole\r\n";
const NO_LAST_CHUNK: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\nc\r\na whole book\r\n";
const HALF_A_LAST_CHUNK: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\nc\r\na whole book\r\n0\r\n";
const MID_TRAILERS: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\nc\r\na whole book\r\n0\r\nGrade: A\r\n";
const UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\na whole book";
const WHOLE: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nContent-Length: 12\r\n\r\na whole book";

fn reset(conn: &mut Conn, octets: &str) {
    conn.write(octets);
    conn.reset();
}

fn close(conn: &mut Conn, octets: &str) {
    conn.write(octets);
    conn.close();
}

fn stall(conn: &mut Conn, octets: &str) {
    conn.write(octets);
    conn.await_close();
}

/// Writes until nobody takes it any more.
fn flood(conn: &mut Conn, start: &str, more: &str) {
    conn.write(start);
    let more = more.repeat(64);
    while conn.write(&more) {}
}

#[rustfmt::skip]
pub const FAULTS: &[Fault<Conn>] = &[
    fault("refuses", "connect", Refuse, Error(502, "connection_refused")),

    fault("resets", "accept", Accepting(Conn::reset), Error(502, "connection_terminated|connection_refused")),
    fault("resets", "after the request's head", Accepting(|conn| { conn.read_head(); conn.reset(); }), GONE),
    fault("resets", "after the request", Answering(Conn::reset), GONE),
    fault("resets", "mid status line", Answering(|conn| reset(conn, STATUS)), GONE),
    fault("resets", "mid head", Answering(|conn| reset(conn, HALF_A_HEAD)), GONE),
    fault("resets", "after the head", Answering(|conn| reset(conn, LENGTH)), Aborted),
    fault("resets", "after a chunked head", Answering(|conn| reset(conn, CHUNKED)), Aborted),
    fault("resets", "mid body", Answering(|conn| reset(conn, MID_BODY)), Aborted),
    fault("resets", "mid chunk", Answering(|conn| reset(conn, MID_CHUNK)), Aborted),
    fault("resets", "between chunks", Answering(|conn| reset(conn, A_CHUNK)), Aborted),
    fault("resets", "before the last chunk", Answering(|conn| reset(conn, NO_LAST_CHUNK)), Aborted),
    fault("resets", "in the last chunk", Answering(|conn| reset(conn, HALF_A_LAST_CHUNK)), Aborted),
    fault("resets", "in the trailers", Answering(|conn| reset(conn, MID_TRAILERS)), Aborted),
    fault("resets", "where a FIN would be the end", Answering(|conn| reset(conn, UNTIL_CLOSE)), Superseded),

    fault("closes", "accept", Accepting(Conn::close), GONE),
    fault("closes", "after the request's head", Accepting(|conn| { conn.read_head(); conn.close(); }), GONE),
    fault("closes", "after the request", Answering(Conn::close), GONE),
    fault("closes", "mid status line", Answering(|conn| close(conn, STATUS)), GONE),
    fault("closes", "mid head", Answering(|conn| close(conn, HALF_A_HEAD)), GONE),
    fault("closes", "after the head", Answering(|conn| close(conn, LENGTH)), Aborted),
    fault("closes", "after a chunked head", Answering(|conn| close(conn, CHUNKED)), Aborted),
    fault("closes", "mid body", Answering(|conn| close(conn, MID_BODY)), Aborted),
    fault("closes", "mid chunk", Answering(|conn| close(conn, MID_CHUNK)), Aborted),
    fault("closes", "between chunks", Answering(|conn| close(conn, A_CHUNK)), Aborted),
    fault("closes", "before the last chunk", Answering(|conn| close(conn, NO_LAST_CHUNK)), Aborted),
    fault("closes", "in the last chunk", Answering(|conn| close(conn, HALF_A_LAST_CHUNK)), Aborted),
    fault("closes", "in the trailers", Answering(|conn| close(conn, MID_TRAILERS)), Aborted),
    fault("closes", "as the end of the body", Answering(|conn| close(conn, UNTIL_CLOSE)), Unverified),

    fault("half-closes", "after the request", Answering(|conn| { conn.half_close(); conn.await_close(); }), GONE),
    fault("half-closes", "mid body", Answering(|conn| { conn.write(MID_BODY); conn.half_close(); conn.await_close(); }), Aborted),
    fault("half-closes", "after the response", Answering(|conn| { conn.write(WHOLE); conn.half_close(); conn.await_close(); }), Whole),

    fault("stalls", "accept", Accepting(Conn::await_close), LATE),
    fault("stalls", "after the request", Answering(Conn::await_close), LATE),
    fault("stalls", "mid status line", Answering(|conn| stall(conn, STATUS)), LATE),
    fault("stalls", "mid head", Answering(|conn| stall(conn, HALF_A_HEAD)), LATE),
    fault("stalls", "after the head", Answering(|conn| stall(conn, LENGTH)), Aborted),
    fault("stalls", "mid body", Answering(|conn| stall(conn, MID_BODY)), Aborted),
    fault("stalls", "mid chunk", Answering(|conn| stall(conn, MID_CHUNK)), Aborted),
    fault("stalls", "between chunks", Answering(|conn| stall(conn, A_CHUNK)), Aborted),
    fault("stalls", "before the last chunk", Answering(|conn| stall(conn, NO_LAST_CHUNK)), Aborted),
    fault("stalls", "in the trailers", Answering(|conn| stall(conn, MID_TRAILERS)), Aborted),
    fault("stalls", "before the end of the connection", Answering(|conn| stall(conn, UNTIL_CLOSE)), Superseded),

    fault("garbage", "for a status line", Answering(|conn| stall(conn, "garbage\r\n\r\n")), WRONG),
    fault("garbage", "before the request", Accepting(|conn| { conn.write("\0\x01\x02 unasked\r\n\r\n"); conn.await_close(); }), Error(502, "http_protocol_error|connection_terminated")),
    fault("garbage", "for a status", Answering(|conn| stall(conn, "HTTP/1.1 2x0 OK\r\n\r\n")), WRONG),
    fault("garbage", "for a version", Answering(|conn| stall(conn, "HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n")), WRONG),
    fault("garbage", "for a field", Answering(|conn| stall(conn, "HTTP/1.1 200 OK\r\nno colon\r\n\r\n")), WRONG),
    fault("garbage", "a NUL in a field", Answering(|conn| stall(conn, "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n")), WRONG),
    fault("garbage", "for a chunk's size", Answering(|conn| { conn.write(A_CHUNK); stall(conn, "xyz\r\n"); }), Aborted),
    fault("garbage", "after a chunk", Answering(|conn| { conn.write(MID_CHUNK); stall(conn, " book??"); }), Aborted),
    fault("garbage", "101 unasked", Answering(|conn| stall(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")), WRONG),
    fault("garbage", "304 unasked, with a tag of nothing", Answering(|conn| { conn.write("HTTP/1.1 304 Not Modified\r\nETag: \"never\"\r\n\r\n"); }), WRONG),

    fault("wrong length", "two that differ", Answering(|conn| stall(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")), WRONG),
    fault("wrong length", "negative", Answering(|conn| stall(conn, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")), WRONG),
    fault("wrong length", "no number", Answering(|conn| stall(conn, "HTTP/1.1 200 OK\r\nContent-Length: a few\r\n\r\n")), WRONG),
    fault("wrong length", "beyond 64 bits", Answering(|conn| stall(conn, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n")), WRONG),
    fault("wrong length", "beside Transfer-Encoding", Answering(|conn| stall(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")), WRONG),
    fault("wrong length", "of a chunk, beyond 64 bits", Answering(|conn| { conn.write(A_CHUNK); stall(conn, "fffffffffffffffff\r\n"); }), Aborted),
    fault("wrong length", "shorter than the body", Answering(|conn| stall(conn, &format!("{WHOLE} and more"))), Whole),

    fault("endless", "status line", Answering(|conn| flood(conn, "HTTP/1.1 200 ", "very ")), LARGE),
    fault("endless", "field", Answering(|conn| flood(conn, "HTTP/1.1 200 OK\r\nX: ", "very ")), LARGE),
    fault("endless", "fields", Answering(|conn| flood(conn, "HTTP/1.1 200 OK\r\n", "X: a field of some length\r\n")), LARGE),
    fault("endless", "chunk extension", Answering(|conn| flood(conn, &format!("{CHUNKED}5;"), "very ")), Aborted),
    fault("endless", "trailers", Answering(|conn| flood(conn, HALF_A_LAST_CHUNK, "X: a field of some length\r\n")), Aborted),

    fault("1xx", "a hundred, then the answer", Answering(|conn| { conn.write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(100)); conn.write(WHOLE); }), Whole),
    fault("1xx", "and nothing after that", Answering(|conn| stall(conn, "HTTP/1.1 103 Early Hints\r\n\r\n")), LATE),
    fault("1xx", "without end", Answering(|conn| flood(conn, "", "HTTP/1.1 102 Processing\r\n\r\n")), LATE),

    fault("idle connection", "closes at the next request", Reusing(Conn::close), Repeated(502, "connection_terminated")),
    fault("idle connection", "resets at the next request", Reusing(Conn::reset), Repeated(502, "connection_terminated")),
    fault("idle connection", "closes after its response", Overdoing(Conn::close), Whole),
    fault("idle connection", "resets after its response", Overdoing(Conn::reset), Whole),
    fault("idle connection", "sends another response unasked", Overdoing(|conn| { conn.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"); conn.await_close(); }), Whole),
    fault("idle connection", "sends half a response unasked", Overdoing(|conn| { conn.write("HTTP/1.1 200 OK\r\nContent-"); conn.await_close(); }), Whole),
];
