//! The faults of an API that speaks HTTP/2, one a line.

use super::fault::Act::{Accepting, Answering, Once, Overdoing, Refuse, Reusing};
use super::fault::Outcome::{Aborted, Error, Refused, Repeated, Uploading, Whole};
use super::fault::{BODY, Fault, GONE, LATE, Outcome, WRONG, fault};
use super::http2_server::*;

/// What is found to be no HTTP/2 may be found when its connection is closed.
const NO_HTTP2: Outcome = Error(
    502,
    "http_protocol_error|connection_terminated|connection_refused",
);
const REPEATED: Outcome = Repeated(502, "connection_terminated");

const STATUS: (&str, &str) = (":status", "200");
const FRESH: (&str, &str) = ("cache-control", "max-age=60");
const LENGTH: (&str, &str) = ("content-length", "12");

/// A head that promises content, and a part of it.
fn mid_body(server: &mut Server) {
    server.head(0, &[STATUS, FRESH]);
    server.data(0, "a whole");
}

fn whole(server: &mut Server) {
    server.head(0, &[STATUS, FRESH, ("etag", "\"1\"")]);
    server.data(END_STREAM, BODY);
}

/// A head without its end.
fn half_a_head(server: &mut Server) {
    let half = &block(&[STATUS, FRESH])[..20];
    server.frame(HEADERS, 0, server.stream, half);
}

/// A head that is all of the response.
fn head(server: &mut Server, fields: &[(&str, &str)]) {
    server.head(END_STREAM, fields);
}

fn half_close(server: &mut Server) {
    server.conn.half_close();
    server.await_close();
}

/// A frame that ends the connection, or the stream.
fn odd(server: &mut Server, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    server.frame(kind, flags, stream, payload);
    server.await_reset();
}

/// What the library sends before it closes in order, and counts on getting back.
const FAREWELL: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// Far more than any buffer holds, in octets; not without end, since each frame costs the gateway more than the API, the
/// more so in a build without optimization.
const FLOOD: usize = 1 << 20;

/// Writes as long as the gateway takes it, and then says nothing more.
fn flood(server: &mut Server, more: &[u8]) {
    let more = more.repeat(64);
    for _ in 0..FLOOD / more.len() {
        if !server.conn.write(&more) {
            return;
        }
    }
    server.await_reset();
}

#[rustfmt::skip]
pub const FAULTS: &[Fault<Server>] = &[
    fault("refuses", "connect", Refuse, Error(502, "connection_refused")),

    fault("resets", "accept", Accepting(|s| s.conn.reset()), NO_HTTP2),
    fault("resets", "after the request", Answering(|s| s.conn.reset()), GONE),
    fault("resets", "mid head", Answering(|s| { half_a_head(s); s.conn.reset(); }), GONE),
    fault("resets", "after the head", Answering(|s| { s.head(0, &[STATUS, FRESH]); s.conn.reset(); }), Aborted),
    fault("resets", "mid body", Answering(|s| { mid_body(s); s.conn.reset(); }), Aborted),
    fault("resets", "before END_STREAM", Answering(|s| { mid_body(s); s.data(0, " book"); s.conn.reset(); }), Aborted),
    fault("resets", "at the next request", Reusing(|s| s.conn.reset()), REPEATED),
    fault("resets", "after its response", Overdoing(|s| s.conn.reset()), Whole),

    fault("closes", "accept", Accepting(|s| s.conn.close()), NO_HTTP2),
    fault("closes", "after its settings", Accepting(|s| { s.greet(&[]); s.conn.close(); }), GONE),
    fault("closes", "after the request", Answering(|s| s.conn.close()), GONE),
    fault("closes", "mid frame", Answering(|s| { s.conn.write(&frame(HEADERS, 4, s.stream, block(&[STATUS]))[..12]); s.conn.close(); }), GONE),
    fault("closes", "mid head", Answering(|s| { half_a_head(s); s.conn.close(); }), GONE),
    fault("closes", "after the head", Answering(|s| { s.head(0, &[STATUS, FRESH]); s.conn.close(); }), Aborted),
    fault("closes", "mid body", Answering(|s| { mid_body(s); s.conn.close(); }), Aborted),
    fault("closes", "before END_STREAM", Answering(|s| { mid_body(s); s.data(0, " book"); s.conn.close(); }), Aborted),
    fault("closes", "at the next request", Reusing(|s| s.conn.close()), REPEATED),
    fault("closes", "after its response", Overdoing(|s| s.conn.close()), Whole),

    fault("half-closes", "after the request", Answering(half_close), GONE),
    fault("half-closes", "mid body", Answering(|s| { mid_body(s); half_close(s); }), Aborted),
    fault("half-closes", "after the response", Answering(|s| { whole(s); half_close(s); }), Whole),

    fault("GOAWAY", "that leaves the request out", Once(|s| { s.go_away(0, NO_ERROR); s.await_close(); }), Refused),
    fault("GOAWAY", "that leaves it out for an error", Once(|s| { s.go_away(0, ENHANCE_YOUR_CALM); s.await_close(); }), Refused),
    fault("GOAWAY", "that leaves it out, and a FIN", Once(|s| { s.go_away(0, NO_ERROR); s.conn.close(); }), Refused),
    fault("GOAWAY", "that leaves every request out", Answering(|s| { s.go_away(0, NO_ERROR); s.await_close(); }), GONE),
    fault("GOAWAY", "that leaves a later one out", Reusing(|s| { s.go_away(s.stream - 2, NO_ERROR); s.await_close(); }), Refused),
    fault("GOAWAY", "that takes it up, and a FIN", Answering(|s| { s.go_away(s.stream, NO_ERROR); s.conn.close(); }), GONE),
    fault("GOAWAY", "that takes it up, and a reset", Answering(|s| { s.go_away(s.stream, NO_ERROR); s.conn.reset(); }), GONE),
    fault("GOAWAY", "of an error that takes it up", Answering(|s| { s.go_away(s.stream, INTERNAL_ERROR); s.conn.close(); }), GONE),
    fault("GOAWAY", "that takes up more, and a FIN", Answering(|s| { s.go_away(s.stream + 2, NO_ERROR); s.conn.close(); }), GONE),
    fault("GOAWAY", "that takes up a later one, and a FIN", Reusing(|s| { s.go_away(s.stream, NO_ERROR); s.conn.close(); }), REPEATED),
    fault("GOAWAY", "that takes it up, and the answer", Answering(|s| { s.go_away(s.stream, NO_ERROR); whole(s); s.await_close(); }), Whole),
    fault("GOAWAY", "mid head", Answering(|s| { half_a_head(s); s.go_away(s.stream, NO_ERROR); s.await_close(); }), WRONG),
    fault("GOAWAY", "mid body, and the rest", Answering(|s| { mid_body(s); s.go_away(s.stream, NO_ERROR); s.data(END_STREAM, " book"); s.await_close(); }), Whole),
    fault("GOAWAY", "mid body, and a FIN", Answering(|s| { mid_body(s); s.go_away(s.stream, NO_ERROR); s.conn.close(); }), Aborted),
    fault("GOAWAY", "mid body that leaves it out", Answering(|s| { mid_body(s); s.go_away(0, NO_ERROR); s.conn.close(); }), Aborted),
    fault("GOAWAY", "too short", Answering(|s| odd(s, GOAWAY, 0, 0, &[0; 7])), WRONG),
    fault("GOAWAY", "after its response", Overdoing(|s| { s.go_away(s.stream, NO_ERROR); s.await_close(); }), Whole),

    fault("RST_STREAM", "REFUSED_STREAM", Once(|s| s.reset_stream(REFUSED_STREAM)), Refused),
    fault("RST_STREAM", "REFUSED_STREAM, to a later request", Reusing(|s| s.reset_stream(REFUSED_STREAM)), Refused),
    fault("RST_STREAM", "REFUSED_STREAM, to every request", Answering(|s| s.reset_stream(REFUSED_STREAM)), GONE),
    fault("RST_STREAM", "CANCEL before the head", Answering(|s| s.reset_stream(CANCEL)), GONE),
    fault("RST_STREAM", "INTERNAL_ERROR before the head", Answering(|s| s.reset_stream(INTERNAL_ERROR)), GONE),
    fault("RST_STREAM", "PROTOCOL_ERROR before the head", Answering(|s| s.reset_stream(PROTOCOL_ERROR)), GONE),
    fault("RST_STREAM", "HTTP_1_1_REQUIRED before the head", Answering(|s| s.reset_stream(HTTP_1_1_REQUIRED)), GONE),
    fault("RST_STREAM", "NO_ERROR before the head", Answering(|s| s.reset_stream(NO_ERROR)), GONE),
    fault("RST_STREAM", "NO_ERROR mid body", Answering(|s| { mid_body(s); s.reset_stream(NO_ERROR); }), Aborted),
    fault("RST_STREAM", "CANCEL mid body", Answering(|s| { mid_body(s); s.reset_stream(CANCEL); }), Aborted),
    fault("RST_STREAM", "INTERNAL_ERROR mid body", Answering(|s| { mid_body(s); s.reset_stream(INTERNAL_ERROR); }), Aborted),
    fault("RST_STREAM", "REFUSED_STREAM mid body", Answering(|s| { mid_body(s); s.reset_stream(REFUSED_STREAM); }), Aborted),
    fault("RST_STREAM", "NO_ERROR after the response", Answering(|s| { whole(s); s.reset_stream(NO_ERROR); }), Whole),
    fault("RST_STREAM", "of no stream", Answering(|s| odd(s, RST_STREAM, 0, 0, &[0; 4])), WRONG),
    fault("RST_STREAM", "of a stream that nobody opened", Answering(|s| odd(s, RST_STREAM, 0, 99, &[0; 4])), WRONG),
    fault("RST_STREAM", "too short", Answering(|s| odd(s, RST_STREAM, 0, s.stream, &[0; 3])), WRONG),

    fault("stalls", "accept", Accepting(|s| s.await_close()), Error(504, "connection_timeout")),
    fault("stalls", "after the request", Answering(|s| s.await_reset()), LATE),
    fault("stalls", "mid head", Answering(|s| { half_a_head(s); s.await_reset(); }), LATE),
    fault("stalls", "mid frame", Answering(|s| { s.conn.write([0, 0, 9, HEADERS]); s.await_reset(); }), LATE),
    fault("stalls", "after the head", Answering(|s| { s.head(0, &[STATUS, FRESH]); s.await_reset(); }), Aborted),
    fault("stalls", "mid body", Answering(|s| { mid_body(s); s.await_reset(); }), Aborted),
    fault("stalls", "before END_STREAM", Answering(|s| { mid_body(s); s.data(0, " book"); s.await_reset(); }), Aborted),
    fault("stalls", "with no window for content", Accepting(|s| s.greet(&[(INITIAL_WINDOW_SIZE, 0)])), Uploading(504, "http_response_timeout")),

    fault("garbage", "for settings", Accepting(|s| { s.conn.write("unasked for\r\n\r\n"); s.await_close(); }), NO_HTTP2),
    fault("garbage", "HTTP/1.1 for settings", Accepting(|s| { s.conn.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"); s.await_close(); }), NO_HTTP2),
    fault("stalls", "with PING for settings", Accepting(|s| { s.frame(PING, 0, 0, [0; 8]); s.await_close(); }), LATE),
    fault("garbage", "PING that nobody sent, acknowledged", Answering(|s| { s.frame(PING, ACK, 0, [0; 8]); whole(s); }), Whole),
    fault("garbage", "PING of a farewell, acknowledged", Answering(|s| { s.frame(PING, ACK, 0, FAREWELL); whole(s); }), Whole),
    fault("garbage", "settings of no length", Accepting(|s| { s.frame(SETTINGS, 0, 0, [0; 5]); s.await_close(); }), NO_HTTP2),
    fault("garbage", "settings of no sense", Accepting(|s| { s.settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)]); s.await_close(); }), NO_HTTP2),
    fault("garbage", "settings of a stream", Answering(|s| odd(s, SETTINGS, 0, s.stream, &[])), WRONG),
    fault("garbage", "settings that nobody sent, acknowledged", Answering(|s| odd(s, SETTINGS, ACK, 0, &[0; 6])), WRONG),
    fault("garbage", "frames of unknown types, ignored", Answering(|s| {
        s.frame(0xfa, 0xff, 0, "what");
        s.frame(0xfb, 0, s.stream, "ever");
        s.frame(0xfc, 0, 98, "");
        whole(s);
    }), Whole),
    fault("garbage", "priorities, ignored", Answering(|s| { s.frame(PRIORITY, 0, s.stream, [0, 0, 0, 0, 9]); whole(s); }), Whole),
    fault("garbage", "a stream that depends on itself", Answering(|s| { let itself = [&s.stream.to_be_bytes()[..], &[9]].concat(); s.frame(PRIORITY, 0, s.stream, itself); s.await_reset(); }), WRONG),
    fault("garbage", "a frame too large", Answering(|s| odd(s, DATA, 0, s.stream, &[0; (1 << 14) + 1])), WRONG),
    fault("garbage", "a frame of unknown type too large", Answering(|s| odd(s, 0xfa, 0, 0, &[0; (1 << 14) + 1])), WRONG),
    fault("garbage", "DATA of no stream", Answering(|s| odd(s, DATA, 0, 0, b"a whole book")), WRONG),
    fault("garbage", "DATA of a stream that nobody opened", Answering(|s| odd(s, DATA, 0, 99, b"a whole book")), WRONG),
    fault("garbage", "DATA before the head", Answering(|s| odd(s, DATA, END_STREAM, s.stream, b"a whole book")), WRONG),
    fault("garbage", "DATA after an interim head", Answering(|s| { s.head(0, &[(":status", "103")]); odd(s, DATA, END_STREAM, s.stream, b"a whole book"); }), WRONG),
    fault("garbage", "DATA padded with more than there is", Answering(|s| odd(s, DATA, PADDED, s.stream, &[9, 0, 0])), WRONG),
    fault("garbage", "HEADERS of no stream", Answering(|s| odd(s, HEADERS, END_HEADERS, 0, &block(&[STATUS]))), WRONG),
    fault("garbage", "HEADERS of a stream that nobody opened", Answering(|s| odd(s, HEADERS, END_HEADERS, 99, &block(&[STATUS]))), WRONG),
    fault("garbage", "HEADERS of a stream of the API's", Answering(|s| odd(s, HEADERS, END_HEADERS, 2, &block(&[STATUS]))), WRONG),
    fault("garbage", "CONTINUATION of nothing", Answering(|s| odd(s, CONTINUATION, END_HEADERS, s.stream, &block(&[STATUS]))), WRONG),
    fault("garbage", "CONTINUATION of another stream", Answering(|s| { half_a_head(s); odd(s, CONTINUATION, END_HEADERS, 99, &block(&[STATUS])); }), WRONG),
    fault("garbage", "a push that was refused", Answering(|s| { let push = [&2_u32.to_be_bytes()[..], &block(&[(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")])].concat(); odd(s, PUSH_PROMISE, END_HEADERS, s.stream, &push); }), WRONG),
    fault("garbage", "PING too long", Answering(|s| odd(s, PING, 0, 0, &[0; 9])), WRONG),
    fault("garbage", "PING of a stream", Answering(|s| odd(s, PING, 0, s.stream, &[0; 8])), WRONG),
    fault("garbage", "a window of nothing more", Answering(|s| odd(s, WINDOW_UPDATE, 0, 0, &[0; 4])), WRONG),
    fault("garbage", "a window beyond all bounds", Answering(|s| odd(s, WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())), WRONG),
    // Of a stream that has sent all.
    fault("garbage", "a stream's window beyond all bounds, ignored", Answering(|s| { s.frame(WINDOW_UPDATE, 0, s.stream, 0x7fff_ffff_u32.to_be_bytes()); whole(s); }), Whole),
    fault("garbage", "a window too short", Answering(|s| odd(s, WINDOW_UPDATE, 0, 0, &[0; 3])), WRONG),
    fault("garbage", "a head of no table", Answering(|s| odd(s, HEADERS, END_HEADERS, s.stream, &[0xff, 0xff, 0xff, 0x7f])), WRONG),
    fault("garbage", "a head that ends mid field", Answering(|s| odd(s, HEADERS, END_HEADERS, s.stream, &[0, 7, b':'])), WRONG),
    fault("garbage", "mid body, a frame too large", Answering(|s| { mid_body(s); odd(s, DATA, 0, s.stream, &[0; (1 << 14) + 1]); }), Aborted),
    fault("garbage", "mid body, another head", Answering(|s| { mid_body(s); s.head(0, &[STATUS]); s.await_reset(); }), Aborted),
    fault("garbage", "a status among trailers, dropped", Answering(|s| { mid_body(s); s.data(0, " book"); s.head(END_STREAM, &[STATUS]); }), Whole),

    fault("malformed head", "without a status", Answering(|s| head(s, &[FRESH])), WRONG),
    fault("malformed head", "with a status of no number", Answering(|s| head(s, &[(":status", "2x0")])), WRONG),
    fault("malformed head", "with two statuses", Answering(|s| head(s, &[STATUS, STATUS])), WRONG),
    fault("malformed head", "with a status after a field", Answering(|s| head(s, &[FRESH, STATUS])), WRONG),
    fault("malformed head", "with a pseudo-field of requests, dropped", Answering(|s| { s.head(0, &[STATUS, (":path", "/"), FRESH]); s.data(END_STREAM, BODY); }), Whole),
    fault("malformed head", "with an unknown pseudo-field", Answering(|s| head(s, &[STATUS, (":grade", "a")])), WRONG),
    fault("malformed head", "101", Answering(|s| { s.head(0, &[(":status", "101")]); s.await_reset(); }), WRONG),
    fault("malformed head", "304 unasked, with a tag of nothing", Answering(|s| s.head(END_STREAM, &[(":status", "304"), ("etag", "\"never\"")])), WRONG),
    fault("malformed head", "an interim one that ends the stream", Answering(|s| head(s, &[(":status", "103")])), WRONG),
    fault("malformed head", "a name in capitals", Answering(|s| head(s, &[STATUS, ("Grade", "a")])), WRONG),
    fault("malformed head", "a name with a space", Answering(|s| head(s, &[STATUS, ("a grade", "a")])), WRONG),
    fault("malformed head", "a name of nothing", Answering(|s| head(s, &[STATUS, ("", "a")])), WRONG),
    fault("malformed head", "a line within a value", Answering(|s| head(s, &[STATUS, ("grade", "a\r\nset-cookie: a=b")])), WRONG),
    fault("malformed head", "a NUL within a value", Answering(|s| head(s, &[STATUS, ("grade", "a\0b")])), WRONG),
    fault("malformed head", "Connection", Answering(|s| head(s, &[STATUS, ("connection", "close")])), WRONG),
    fault("malformed head", "Keep-Alive", Answering(|s| head(s, &[STATUS, ("keep-alive", "timeout=5")])), WRONG),
    fault("malformed head", "Proxy-Connection", Answering(|s| head(s, &[STATUS, ("proxy-connection", "close")])), WRONG),
    fault("malformed head", "Transfer-Encoding", Answering(|s| head(s, &[STATUS, ("transfer-encoding", "chunked")])), WRONG),
    fault("malformed head", "Upgrade", Answering(|s| head(s, &[STATUS, ("upgrade", "websocket")])), WRONG),

    fault("wrong length", "two that differ", Answering(|s| head(s, &[STATUS, LENGTH, ("content-length", "11")])), WRONG),
    fault("wrong length", "negative", Answering(|s| head(s, &[STATUS, ("content-length", "-1")])), WRONG),
    fault("wrong length", "no number", Answering(|s| head(s, &[STATUS, ("content-length", "a few")])), WRONG),
    fault("wrong length", "beyond 64 bits", Answering(|s| head(s, &[STATUS, ("content-length", "99999999999999999999999")])), WRONG),
    fault("wrong length", "of a head that is all", Answering(|s| head(s, &[STATUS, LENGTH])), WRONG),
    fault("wrong length", "longer than the body", Answering(|s| { s.head(0, &[STATUS, FRESH, LENGTH]); s.data(END_STREAM, "a whole"); }), Aborted),
    fault("wrong length", "shorter than the body", Answering(|s| { s.head(0, &[STATUS, FRESH, LENGTH]); s.data(END_STREAM, "a whole book and more"); }), Aborted),
    fault("wrong length", "longer than the body before trailers", Answering(|s| { s.head(0, &[STATUS, FRESH, LENGTH]); s.data(0, "a whole"); s.head(END_STREAM, &[("grade", "a")]); }), Aborted),
    fault("wrong length", "of a frame of DATA, which ends mid way", Answering(|s| { mid_body(s); s.conn.write(&frame(DATA, END_STREAM, s.stream, " book")[..12]); s.conn.close(); }), Aborted),

    fault("flood", "of a head, an octet a frame", Answering(|s| { half_a_head(s); flood(s, &frame(CONTINUATION, 0, s.stream, [0])); }), WRONG),
    fault("flood", "of a head, nothing a frame", Answering(|s| { half_a_head(s); flood(s, &frame(CONTINUATION, 0, s.stream, [])); }), WRONG),
    fault("flood", "fields", Answering(|s| { s.frame(HEADERS, 0, s.stream, block(&[STATUS])); flood(s, &frame(CONTINUATION, 0, s.stream, block(&[("grade", "a field of some length")]).repeat(100))); }), WRONG),
    // Not LARGE: to the library one malformed head is like another.
    fault("flood", "fields beyond the bound, but with an end", Answering(|s| {
        s.frame(HEADERS, 0, s.stream, block(&[STATUS]));
        let fields = block(&[("grade", "a field of some length")]).repeat(400);
        for _ in 0..10 {
            s.frame(CONTINUATION, 0, s.stream, &fields);
        }
        s.frame(CONTINUATION, END_HEADERS, s.stream, []);
        s.await_reset();
    }), WRONG),
    fault("flood", "trailers", Answering(|s| { mid_body(s); s.frame(HEADERS, END_STREAM, s.stream, []); flood(s, &frame(CONTINUATION, 0, s.stream, block(&[("grade", "a field of some length")]).repeat(100))); }), Aborted),
    fault("flood", "content of nothing", Answering(|s| { mid_body(s); flood(s, &frame(DATA, 0, s.stream, [])); }), Aborted),
    fault("flood", "content of padding", Answering(|s| { mid_body(s); flood(s, &frame(DATA, PADDED, s.stream, [3, 0, 0, 0])); }), Aborted),
    fault("flood", "PING", Answering(|s| flood(s, &frame(PING, 0, 0, [0; 8]))), LATE),
    fault("flood", "PING mid body", Answering(|s| { mid_body(s); flood(s, &frame(PING, 0, 0, [0; 8])); }), Aborted),
    fault("flood", "settings", Answering(|s| flood(s, &frame(SETTINGS, 0, 0, []))), LATE),
    fault("flood", "settings that differ", Answering(|s| flood(s, &[frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 9]), frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0xff, 0xff])].concat())), LATE),
    fault("flood", "frames of unknown types", Answering(|s| flood(s, &frame(0xfa, 0, 0, "whatever"))), LATE),
    fault("flood", "priorities", Answering(|s| flood(s, &frame(PRIORITY, 0, s.stream, [0, 0, 0, 0, 9]))), LATE),
    fault("flood", "resets of a stream that has ended", Overdoing(|s| { for _ in 0..5_000 { s.reset_stream(CANCEL); } s.conn.close(); }), Whole),

    fault("1xx", "a hundred, then the answer", Answering(|s| { for _ in 0..100 { s.head(0, &[(":status", "103"), ("link", "</x>")]); } whole(s); }), Whole),
    fault("1xx", "and nothing after that", Answering(|s| { s.head(0, &[(":status", "103")]); s.await_reset(); }), LATE),
    fault("1xx", "a flood", Answering(|s| flood(s, &frame(HEADERS, END_HEADERS, s.stream, block(&[(":status", "102")])))), LATE),

    fault("idle connection", "sends another response unasked", Overdoing(|s| { s.stream += 2; s.head(0, &[STATUS]); s.data(END_STREAM, "evil"); s.await_close(); }), Whole),
    fault("idle connection", "answers once more", Overdoing(|s| { s.head(END_STREAM, &[STATUS]); s.conn.close(); }), Whole),
    fault("idle connection", "sends garbage", Overdoing(|s| { s.conn.write("unasked for\r\n\r\n"); s.await_close(); }), Whole),
];
