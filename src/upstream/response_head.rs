//! The checks of a response's head that a gateway must make beside the parsers' (RFC 9112 §6).

use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Response, StatusCode, Version};

use super::framing::Framing;
use crate::error::{Error, ErrorKind};

/// The parts of a request that the framing of its response depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) head: bool,
    pub(super) upgrade: bool,
}

impl Asked {
    pub(super) fn of<B>(request: &http::Request<B>) -> Self {
        Self {
            head: *request.method() == Method::HEAD,
            upgrade: request.headers().contains_key(http::header::UPGRADE),
        }
    }
}

/// Returns how the content is framed, and leaves at most one Content-Length and no Transfer-Encoding in the head.
///
/// Fails with [`ErrorKind::ResponseProtocol`] where two readers of the same bytes could disagree about their end.
pub(super) fn inspect<B>(response: &mut Response<B>, asked: Asked) -> Result<Framing, Error> {
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS && !asked.upgrade {
        return Err(refuse("switched protocols without being asked"));
    }
    let fields = response.headers_mut();
    let length = content_length(fields)?;
    let chunked = is_chunked(fields)?;
    // RFC 9112 §6.3: this "ought to be handled as an error".
    if chunked && length.is_some() {
        return Err(refuse("has both Transfer-Encoding and Content-Length"));
    }
    fields.remove(TRANSFER_ENCODING);
    let without_content = asked.head
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    Ok(match length {
        _ if without_content => Framing::Empty,
        Some(0) => Framing::Empty,
        Some(length) => Framing::Length(length),
        None if chunked || response.version() == Version::HTTP_2 => Framing::Chunked,
        None => Framing::Close,
    })
}

/// The one value that all Content-Length members agree on (RFC 9110 §8.6), which is then the only one left.
fn content_length(fields: &mut HeaderMap) -> Result<Option<u64>, Error> {
    let mut members = 0;
    let mut agreed = None;
    for value in fields.get_all(CONTENT_LENGTH) {
        let text = value.to_str().unwrap_or_default();
        for member in text.split(',') {
            let digits = member.trim_matches([' ', '\t']);
            // `parse` alone accepts a sign.
            let length = match digits.bytes().all(|byte| byte.is_ascii_digit()) {
                true => digits.parse().ok(),
                false => None,
            };
            let length = length.ok_or_else(|| refuse("has an invalid Content-Length"))?;
            if agreed.is_some_and(|agreed| agreed != length) {
                return Err(refuse("has Content-Lengths that differ"));
            }
            agreed = Some(length);
            members += 1;
        }
    }
    if let (Some(length), 2..) = (agreed, members) {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(agreed)
}

/// Whether Transfer-Encoding is chunked, the only coding that a response may have: no other was requested (RFC 9112 §7.4), and
/// another would not be decoded.
fn is_chunked(fields: &HeaderMap) -> Result<bool, Error> {
    let mut lines = fields.get_all(TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(false),
        (Some(only), None)
            if only
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"chunked") =>
        {
            Ok(true)
        }
        _ => Err(refuse("has a Transfer-Encoding other than chunked")),
    }
}

fn refuse(what: &str) -> Error {
    Error::upstream(ErrorKind::ResponseProtocol).detail(format!("the upstream's response {what}"))
}
