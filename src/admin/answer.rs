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
    problem_with(status, detail, None)
}

/// A problem document with an extension member, its name and its value (RFC 9457 §3.2).
pub(super) fn problem_with(
    status: StatusCode,
    detail: &str,
    extension: Option<(&str, Value)>,
) -> Response<Bytes> {
    let mut document = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    if let Some((name, value)) = extension {
        document[name] = value;
    }
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
