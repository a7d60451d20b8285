//! Which protocol a connection speaks, and with what limits.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Uri};
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use super::request_line::encode_path;
use super::state::{Protocol, State};
use crate::config;
use crate::error::{Error, ErrorKind};

/// RFC 9113 §3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol that a connection's first bytes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    Http1,
    Http2,
    /// More bytes are needed.
    Unclear,
}

/// Tells HTTP/2 by its preface; all else is taken for HTTP/1.
pub(super) fn detect(bytes: &[u8]) -> Detected {
    let n = bytes.len().min(PREFACE.len());
    if bytes[..n] != PREFACE[..n] {
        Detected::Http1
    } else if n == PREFACE.len() {
        Detected::Http2
    } else {
        Detected::Unclear
    }
}

/// The most field lines that hyper reads without an allocation for each request.
const HYPER_FIELDS: usize = 100;

/// The least that hyper's HTTP/1 buffer may be.
const HYPER_BUFFER: usize = 8 << 10;

/// Bytes of content that a connection buffers in either direction, at most; a larger head still fits.
const CONTENT_BUFFER: usize = 64 << 10;

/// The settings of both protocols, made once a worker.
#[derive(Debug)]
pub(super) struct Protocols {
    pub http1: http1::Builder,
    pub http2: Http2Limits,
    max_uri: usize,
    max_fields: usize,
}

impl Protocols {
    pub fn new(config: &config::Server) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .keep_alive(true)
            // Else hyper takes a half-closed connection for one whose client has left, and drops the response. Probes
            // find clients that have left.
            .half_close(true)
            .max_buf_size(config.max_head.max(CONTENT_BUFFER).max(HYPER_BUFFER))
            .max_header_size(config.max_head)
            // A missing Date is added when a response is received (RFC 9110 §6.6.1).
            .auto_date_header(false)
            // It would copy content, and lift the limit of the write buffer.
            .pipeline_flush(false)
            // It would allocate a timer for each request; the worker's tick does its work.
            .header_read_timeout(None);
        if config.max_fields != HYPER_FIELDS {
            http1.max_headers(config.max_fields);
        }
        Self {
            http1,
            http2: Http2Limits::new(config),
            max_uri: config.max_uri,
            max_fields: config.max_fields,
        }
    }
}

impl Protocols {
    /// Why a request that hyper has read is refused. Percent-encodes an HTTP/2 request's target where it has to be.
    pub fn refusal(&self, head: &mut Parts, state: &State) -> Option<Error> {
        if let Some(fault) = state.target_fault.take() {
            return Some(Error::downstream(ErrorKind::BadRequest).detail(fault.to_string()));
        }
        let encoded = match state.protocol() {
            Protocol::Http2 => encode_path(&mut head.uri),
            _ => Ok(()),
        };
        let excess = || self.excess(&head.uri, &head.headers);
        encoded.err().or_else(excess).map(Error::downstream)
    }

    /// Which of our limits a request's head exceeds, where it does not exceed hyper's.
    fn excess(&self, uri: &Uri, fields: &HeaderMap) -> Option<ErrorKind> {
        let target = uri
            .path_and_query()
            .map_or(0, |target| target.as_str().len());
        if target > self.max_uri {
            Some(ErrorKind::UriTooLong)
        } else if fields.len() > self.max_fields {
            Some(ErrorKind::HeadTooLarge)
        } else {
            None
        }
    }
}

/// Limits of an HTTP/2 connection. hyper's builder holds the executor, which is one for each connection: so is the
/// builder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Http2Limits {
    streams: u32,
    stream_window: u32,
    connection_window: u32,
    header_list: u32,
    resets: u32,
}

/// Streams that a client may reset before hyper has accepted them, and streams that h2 may reset for the client's errors,
/// until the connection is closed (CVE-2023-44487, CVE-2025-8671).
const RESETS_PENDING: usize = 20;
const RESETS_OF_OURS: usize = 256;

/// How often a client is sent a PING, and how long it has to answer it.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

impl Http2Limits {
    fn new(config: &config::Server) -> Self {
        Self {
            streams: config.http2.max_concurrent_streams,
            stream_window: config.http2.stream_window,
            connection_window: config.http2.connection_window,
            header_list: u32::try_from(config.max_head).unwrap_or(u32::MAX),
            resets: config.http2.max_resets,
        }
    }

    pub fn builder(&self, state: &Rc<State>) -> http2::Builder<StreamTasks> {
        state.limit_resets(self.resets);
        let mut builder = http2::Builder::new(StreamTasks(state.clone()));
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .max_concurrent_streams(self.streams)
            .initial_stream_window_size(self.stream_window)
            .initial_connection_window_size(self.connection_window)
            .max_header_list_size(self.header_list)
            .max_send_buf_size(CONTENT_BUFFER)
            .max_pending_accept_reset_streams(RESETS_PENDING)
            .max_local_error_reset_streams(RESETS_OF_OURS)
            .auto_date_header(false);
        builder
    }
}

/// Spawns the tasks of one HTTP/2 connection's streams on its worker's thread.
#[derive(Clone, Debug)]
pub(super) struct StreamTasks(Rc<State>);

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, stream: F) {
        let task = tokio::task::spawn_local(stream);
        self.0.set_stream_task(task.abort_handle());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_show_the_protocol() {
        for (bytes, expected) in [
            (&b""[..], Detected::Unclear),
            (b"P", Detected::Unclear),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", Detected::Unclear),
            (PREFACE, Detected::Http2),
            (
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04",
                Detected::Http2,
            ),
            (b"PRI * HTTP/1.1\r\n", Detected::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nXX", Detected::Http1),
            (b"POST / HTTP/1.1\r\n", Detected::Http1),
            (b"G", Detected::Http1),
            (b"\x16\x03\x01", Detected::Http1),
        ] {
            assert_eq!(
                detect(bytes),
                expected,
                "{:?}",
                bytes.escape_ascii().to_string()
            );
        }
    }
}
