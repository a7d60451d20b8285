//! Responses of the admin API: JSON, problem documents, text.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

/// A JSON document.
pub fn json(status: StatusCode, document: &Value) -> Response<Bytes> {
    with_type(status, "application/json", format!("{document}\n"))
}

/// A problem document (RFC 9457).
pub fn problem(status: StatusCode, detail: &str) -> Response<Bytes> {
    let document = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    with_type(status, "application/problem+json", format!("{document}\n"))
}

/// Plain text.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Bytes> {
    with_type(status, "text/plain; charset=utf-8", text)
}

pub(super) fn with_type(
    status: StatusCode,
    media_type: &'static str,
    content: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(content.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
