//! What hyper and the operating system say went wrong, in the gateway's own words.

use std::error::Error as _;
use std::io;

use super::request_body::Upload;
use crate::error::{Error, ErrorKind};

/// A failure before the response's head was read whole.
pub(super) fn before_head(error: hyper::Error, upload: Option<&Upload>) -> Error {
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
            Some(kind) if is_broken_off(kind) => ErrorKind::ConnectionTerminated,
            // hyper lost the task that drove the connection: it was closed under the request.
            None if error.is_user() => ErrorKind::ConnectionTerminated,
            _ => ErrorKind::ConnectionIo,
        }
    };
    Error::upstream(kind).because(error)
}

/// A failure while the response's content was read.
pub(super) fn within_body(error: hyper::Error, upload: Option<&Upload>) -> Error {
    if let Some(client) = upload.and_then(Upload::failure) {
        return client;
    }
    let kind = match cause(&error).map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
            ErrorKind::ResponseProtocol
        }
        Some(kind) if !is_broken_off(kind) => ErrorKind::ConnectionIo,
        _ => ErrorKind::ResponseIncomplete,
    };
    Error::upstream(kind).because(error)
}

fn is_broken_off(kind: io::ErrorKind) -> bool {
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
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        source = error.source();
    }
    None
}
