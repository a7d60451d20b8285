//! Framing of multipart/byteranges (RFC 9110 §14.6), with the length of the whole known before its first octet.

use bytes::Bytes;
use http::HeaderValue;

use super::content_range::ContentRange;
use super::range::ByteRange;

/// The framing of a 206 with several parts. Its content is, for each part, [`Part::head`] and the octets of
/// [`Part::range`]; and at the end [`Multipart::tail`].
#[derive(Clone, Debug)]
pub struct Multipart {
    /// The Content-Type of the response, with the boundary.
    pub content_type: HeaderValue,
    pub parts: Vec<Part>,
    pub tail: Bytes,
}

/// One part.
#[derive(Clone, Debug)]
pub struct Part {
    pub head: Bytes,
    pub range: ByteRange,
}

impl Multipart {
    /// `content_type` is the representation's own, repeated in each part (§15.3.7.2). `boundary` must be unpredictable, so
    /// that no content can be made that holds it.
    pub fn new(
        ranges: &[ByteRange],
        complete_length: u64,
        content_type: Option<&HeaderValue>,
        boundary: u128,
    ) -> Self {
        // Without quotes: some recipients handle a quoted boundary wrongly (§14.6).
        let boundary = format!("{boundary:032x}");
        let part = |(at, range): (usize, &ByteRange)| Part {
            head: head(at == 0, &boundary, *range, complete_length, content_type),
            range: *range,
        };
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        Self {
            parts: ranges.iter().enumerate().map(part).collect(),
            tail: format!("\r\n--{boundary}--\r\n").into(),
            // Hexadecimal digits are always a field value.
            content_type: HeaderValue::try_from(content_type)
                .unwrap_or_else(|_| HeaderValue::from_static("multipart/byteranges")),
        }
    }

    /// The length of the whole content, in octets.
    pub fn content_length(&self) -> u64 {
        let part = |part: &Part| (part.head.len() as u64).saturating_add(part.range.len());
        let parts = self.parts.iter().map(part);
        parts.fold(self.tail.len() as u64, u64::saturating_add)
    }
}

fn head(
    first: bool,
    boundary: &str,
    range: ByteRange,
    complete_length: u64,
    content_type: Option<&HeaderValue>,
) -> Bytes {
    let content_range = ContentRange::Satisfied {
        range,
        complete: Some(complete_length),
    };
    let mut head = Vec::with_capacity(128);
    if !first {
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"--");
    head.extend_from_slice(boundary.as_bytes());
    if let Some(content_type) = content_type {
        head.extend_from_slice(b"\r\nContent-Type: ");
        head.extend_from_slice(content_type.as_bytes());
    }
    head.extend_from_slice(b"\r\nContent-Range: ");
    head.extend_from_slice(content_range.to_value().as_bytes());
    head.extend_from_slice(b"\r\n\r\n");
    head.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_framed_as_the_rfc_shows_and_the_length_is_known() {
        let ranges = [ByteRange::new(0, 2).unwrap(), ByteRange::new(7, 9).unwrap()];
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let content = b"0123456789";
        for (content_type, type_line) in [
            (Some(&text), "Content-Type: text/plain; charset=utf-8\r\n"),
            (None, ""),
        ] {
            let framing = Multipart::new(&ranges, 10, content_type, 0xab);
            let mut body = Vec::new();
            for part in &framing.parts {
                body.extend_from_slice(&part.head);
                body.extend_from_slice(
                    &content[part.range.first() as usize..part.range.end() as usize],
                );
            }
            body.extend_from_slice(&framing.tail);
            let b = "000000000000000000000000000000ab";
            let expected = format!(
                "--{b}\r\n{type_line}Content-Range: bytes 0-2/10\r\n\r\n012\
                 \r\n--{b}\r\n{type_line}Content-Range: bytes 7-9/10\r\n\r\n789\
                 \r\n--{b}--\r\n"
            );
            assert_eq!(String::from_utf8(body).unwrap(), expected);
            assert_eq!(framing.content_length(), expected.len() as u64);
            assert_eq!(
                framing.content_type,
                format!("multipart/byteranges; boundary={b}")
            );
        }
    }

    #[test]
    fn the_length_of_enormous_parts_does_not_overflow() {
        let most = ByteRange::new(0, u64::MAX - 1).unwrap();
        let framing = Multipart::new(&[most, most], u64::MAX, None, 0);
        assert_eq!(framing.content_length(), u64::MAX);
    }
}
