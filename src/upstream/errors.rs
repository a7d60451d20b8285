//! Maps errors of hyper, h2 and sockets to the gateway's own.

use std::error::Error as _;
use std::io;

use h2::Reason;

use super::outcome::Resend;
use crate::error::{Error, ErrorKind};
use crate::upstream::request_body::Upload;

/// A failure before the response's head was read whole.
pub(in crate::upstream) fn before_head(error: hyper::Error, upload: Option<&Upload>) -> Error {
    if let Some(client) = upload.and_then(Upload::failure) {
        return client;
    }
    if error.is_body_write_aborted() {
        // The content ended before the length that the client had declared.
        return Error::downstream(ErrorKind::ClientGone).because(error);
    }
    let kind = if error.is_parse_too_large() {
        ErrorKind::ResponseHeadTooLarge
    } else if error.is_parse() {
        ErrorKind::ResponseProtocol
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        ErrorKind::ConnectionTerminated
    } else {
        match cause(&error).map(io::Error::kind) {
            Some(kind) if is_disconnect(kind) => ErrorKind::ConnectionTerminated,
            // hyper lost the task that drove the connection: it was closed under the request.
            None if error.is_user() => ErrorKind::ConnectionTerminated,
            _ => ErrorKind::ConnectionIo,
        }
    };
    Error::upstream(kind).because(error)
}

/// A failure of the socket before the response's head was read whole.
pub(in crate::upstream) fn before_head_io(error: io::Error) -> Error {
    let kind = match error.kind() {
        kind if is_disconnect(kind) => ErrorKind::ConnectionTerminated,
        _ => ErrorKind::ConnectionIo,
    };
    Error::upstream(kind).because(error)
}

/// A failure of the socket while the response's content was read.
pub(in crate::upstream) fn within_body_io(error: io::Error) -> Error {
    let kind = match error.kind() {
        kind if is_disconnect(kind) => ErrorKind::ResponseIncomplete,
        _ => ErrorKind::ConnectionIo,
    };
    Error::upstream(kind).because(error)
}

/// A failure of a stream before the response's head.
pub(in crate::upstream) fn of_stream(error: h2::Error, upload: Option<&Upload>) -> Error {
    if let Some(client) = upload.and_then(Upload::failure) {
        return client;
    }
    let kind = match error.get_io().map(io::Error::kind) {
        Some(kind) if !is_disconnect(kind) => ErrorKind::ConnectionIo,
        // The library reports violations of the protocol by the server; the server itself only resets or ends.
        None if error.is_library() => ErrorKind::ResponseProtocol,
        _ => ErrorKind::ConnectionTerminated,
    };
    let failure = Error::upstream(kind);
    match (error.is_remote(), error.reason()) {
        (true, Some(Reason::REFUSED_STREAM)) if error.is_reset() => {
            failure.detail("the upstream refused the request's stream (REFUSED_STREAM)")
        }
        (true, Some(reason)) if error.is_reset() => failure.detail(format!(
            "the upstream reset the request's stream ({reason:?})"
        )),
        (true, Some(reason)) if error.is_go_away() => failure.detail(format!(
            "the upstream ended its connection (GOAWAY, {reason:?})"
        )),
        _ => failure,
    }
    .because(error)
}

/// Whether a request may be sent again whose stream ended before the response's head.
pub(in crate::upstream) fn resend_after_stream_error(error: &h2::Error) -> Resend {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // Only the streams beyond the last that the server has taken up end like this (RFC 9113 §6.8); the others go on,
    // or break with the connection.
    let unprocessed = error.is_go_away();
    if error.is_remote() && (refused || unprocessed) {
        Resend::Always
    } else if error.is_io() {
        Resend::IfIdempotent
    } else {
        Resend::Never
    }
}

/// A failure of a stream while the response's content was read.
pub(in crate::upstream) fn within_stream(error: h2::Error, upload: Option<&Upload>) -> Error {
    if let Some(client) = upload.and_then(Upload::failure) {
        return client;
    }
    let kind = match error.get_io().map(io::Error::kind) {
        Some(kind) if !is_disconnect(kind) => ErrorKind::ConnectionIo,
        None if error.is_library() => ErrorKind::ResponseProtocol,
        _ => ErrorKind::ResponseIncomplete,
    };
    Error::upstream(kind).because(error)
}

/// A failure while the response's content was read.
pub(in crate::upstream) fn within_body(error: hyper::Error, upload: Option<&Upload>) -> Error {
    if let Some(client) = upload.and_then(Upload::failure) {
        return client;
    }
    let kind = match cause(&error).map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
            ErrorKind::ResponseProtocol
        }
        Some(kind) if !is_disconnect(kind) => ErrorKind::ConnectionIo,
        _ => ErrorKind::ResponseIncomplete,
    };
    Error::upstream(kind).because(error)
}

fn is_disconnect(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::WriteZero
    )
}

fn cause(error: &hyper::Error) -> Option<&io::Error> {
    // An error of HTTP/2 holds the one of its socket without naming it as its source.
    in_chain(error).or_else(|| in_chain::<h2::Error>(error)?.get_io())
}

fn in_chain<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
