//! How the end of a message's content is known.

/// How the end of a response's content is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no content: HEAD, 204, 304, or a length of zero.
    Empty,
    /// Content-Length, in bytes.
    Length(u64),
    /// An end that the message states after its content: the last chunk, or END_STREAM in HTTP/2.
    Chunked,
    /// Content ends when the connection does: a broken connection and a complete response can look alike.
    Close,
}
