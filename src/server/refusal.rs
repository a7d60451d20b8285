//! Responses to HTTP/1 heads that could not be read. hyper's own response to them has neither content nor fields: the
//! service's response is sent in its place, and written here.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;

use crate::error::ErrorKind;
use crate::semantics::field_line::write_line;

/// The error for which hyper answers with `status`.
pub(super) fn kind_of(status: StatusCode) -> ErrorKind {
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ErrorKind::HeadTooLarge,
        StatusCode::URI_TOO_LONG => ErrorKind::UriTooLong,
        _ => ErrorKind::BadRequest,
    }
}

/// The whole message, as HTTP/1.1; `None` when its content breaks off.
pub(super) async fn message<B: Body<Data = Bytes>>(response: Response<B>) -> Option<Vec<u8>> {
    let (head, body) = response.into_parts();
    let content = body.collect().await.ok()?.to_bytes();
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut message = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_str()).into_bytes();
    for (name, value) in &head.headers {
        // These are written below.
        if !matches!(
            *name,
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION
        ) {
            write_line(name.as_str(), value.as_bytes(), &mut message);
        }
    }
    let length = content.len().to_string();
    write_line("content-length", length.as_bytes(), &mut message);
    write_line("connection", b"close", &mut message);
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(&content);
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    #[tokio::test]
    async fn a_refusal_is_a_whole_message_that_closes() {
        let response = Response::builder()
            .status(StatusCode::BAD_REQUEST)
            .header("content-type", "application/problem+json")
            .header("content-length", "999")
            .header("connection", "keep-alive")
            .body(Full::new(Bytes::from_static(b"{}")))
            .unwrap();
        let message = message(response).await.unwrap();
        assert_eq!(
            String::from_utf8(message).unwrap(),
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n\
             content-length: 2\r\nconnection: close\r\n\r\n{}"
        );
    }
}
