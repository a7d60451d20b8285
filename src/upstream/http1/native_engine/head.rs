//! Writes the heads of requests and reads those of responses (RFC 9112 §3 to §5).

use std::ops::Range;

use bytes::{Buf as _, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Version};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use hyper::ext::ReasonPhrase;
use smallvec::SmallVec;

use crate::error::{Error, ErrorKind};
use crate::semantics::field_line::write_lines;
use crate::upstream::limits::HeadLimits;

/// Nearly every response has no more fields than the first figure, and hardly any more than the second; for more, room is
/// allocated.
const USUAL_FIELDS: usize = 24;
const MANY_FIELDS: usize = 100;

/// Fields that the gateway adds to a response: with room for them its map need not grow.
const ADDED_FIELDS: usize = 4;

/// A field's name, and where its value is.
type Line = (HeaderName, Range<usize>);

/// Appends the head of `request`, whose target is in origin or asterisk form, to `output`.
pub(super) fn write<B>(request: &Request<B>, output: &mut Vec<u8>) {
    let target = request.uri().path_and_query();
    let target = target.map_or("/", PathAndQuery::as_str);
    output.extend_from_slice(request.method().as_str().as_bytes());
    output.push(b' ');
    output.extend_from_slice(target.as_bytes());
    output.extend_from_slice(b" HTTP/1.1\r\n");
    write_lines(request.headers(), output);
    output.extend_from_slice(b"\r\n");
}

/// Reads a head that may come in parts.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    /// Bytes that were found to have no end.
    seen: usize,
    /// With so many bytes, the input is parsed again, in case it is no head at all. It may come a byte at a time.
    parse_at: usize,
}

impl HeadReader {
    /// Takes a head from `input`; `None` while it is not whole.
    ///
    /// Fails with [`ErrorKind::ResponseProtocol`], or [`ErrorKind::ResponseHeadTooLarge`] beyond `limits`.
    pub(super) fn take(
        &mut self,
        input: &mut BytesMut,
        limits: HeadLimits,
    ) -> Result<Option<Response<()>>, Error> {
        let max = limits.bytes;
        // An empty line before a head is ignored, as in requests (RFC 9112 §2.2).
        let blank = input
            .iter()
            .take_while(|octet| matches!(octet, b'\r' | b'\n'));
        input.advance(blank.count());
        if input.len() < self.parse_at && !self.may_have_end(input) {
            return check_size(input.len(), max).map(|()| None);
        }
        let mut lines = SmallVec::new();
        let mut fields = [EMPTY_HEADER; USUAL_FIELDS];
        let parsed = match parse(input, &mut fields, &mut lines) {
            Err(httparse::Error::TooManyHeaders) => parse_many(input, limits.fields, &mut lines),
            parsed => parsed,
        };
        let parsed = parsed.map_err(|error| {
            let too_large = match error {
                httparse::Error::TooManyHeaders => limits.check_fields(usize::MAX),
                _ => check_size(input.len(), max),
            };
            too_large.err().unwrap_or_else(|| protocol(error))
        })?;
        let Some((length, status, reason, version)) = parsed else {
            self.seen = input.len();
            self.parse_at = input.len() * 2;
            return check_size(input.len(), max).map(|()| None);
        };
        check_size(length, max)?;
        limits.check_fields(lines.len())?;
        let head = input.split_to(length).freeze();
        let mut fields = HeaderMap::with_capacity(lines.len() + ADDED_FIELDS);
        for (name, value) in lines {
            let value = HeaderValue::from_maybe_shared(head.slice(value)).map_err(protocol)?;
            fields.append(name, value);
        }
        // RFC 9112 §6.1: its framing is faulty.
        if version == Version::HTTP_10 && fields.contains_key(TRANSFER_ENCODING) {
            return Err(Error::upstream(ErrorKind::ResponseProtocol)
                .detail("the upstream's response has a Transfer-Encoding in HTTP/1.0"));
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.version_mut() = version;
        *response.headers_mut() = fields;
        if let Some(reason) = reason {
            response.extensions_mut().insert(reason);
        }
        Ok(Some(response))
    }

    /// Whether there is an empty line in the octets that have come since the last call.
    fn may_have_end(&mut self, input: &[u8]) -> bool {
        let from = self.seen.saturating_sub(3);
        self.seen = input.len();
        let new = &input[from..];
        memchr::memchr_iter(b'\n', new)
            .any(|at| matches!(&new[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
    }
}

/// The length of a head, its status, its reason phrase where that is not the usual one, and its version.
type StatusLine = (usize, StatusCode, Option<ReasonPhrase>, Version);

/// Reads a whole head. `None` while it is not whole.
fn parse<'a>(
    input: &'a [u8],
    fields: &mut [Header<'a>],
    lines: &mut SmallVec<[Line; USUAL_FIELDS]>,
) -> Result<Option<StatusLine>, httparse::Error> {
    let mut response = httparse::Response::new(fields);
    let mut config = ParserConfig::default();
    // RFC 9112 §5.1: a proxy removes white space between a field's name and its colon.
    config.allow_spaces_after_header_name_in_responses(true);
    let Status::Complete(length) = config.parse_response(&mut response, input)? else {
        return Ok(None);
    };
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(httparse::Error::Status)?;
    let version = match response.version {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| httparse::Error::HeaderName)?;
        let start = field.value.as_ptr().addr() - input.as_ptr().addr();
        lines.push((name, start..start + field.value.len()));
    }
    let reason = response
        .reason
        .filter(|reason| status.canonical_reason() != Some(reason))
        .and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    Ok(Some((length, status, reason, version)))
}

/// Reads a whole head with more fields than usual, `max` at most. It is a function of its own for its large arrays' sake.
fn parse_many(
    input: &[u8],
    max: usize,
    lines: &mut SmallVec<[Line; USUAL_FIELDS]>,
) -> Result<Option<StatusLine>, httparse::Error> {
    match parse(input, &mut [EMPTY_HEADER; MANY_FIELDS], lines) {
        Err(httparse::Error::TooManyHeaders) if max > MANY_FIELDS => {
            parse(input, &mut vec![EMPTY_HEADER; max], lines)
        }
        parsed => parsed,
    }
}

fn check_size(length: usize, max: usize) -> Result<(), Error> {
    if length > max {
        return Err(Error::upstream(ErrorKind::ResponseHeadTooLarge));
    }
    Ok(())
}

fn protocol(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::upstream(ErrorKind::ResponseProtocol).because(error)
}

#[cfg(test)]
mod tests {
    use http::{Method, Uri};

    use super::*;

    const MAX: usize = 4096;
    const MAX_FIELDS: usize = 300;
    const LIMITS: HeadLimits = HeadLimits {
        bytes: MAX,
        fields: MAX_FIELDS,
    };

    /// The head that `octets` begin with, and what is left of them, fed `each` at a time.
    fn read(octets: &[u8], each: usize) -> Result<Option<(Response<()>, BytesMut)>, ErrorKind> {
        let (mut reader, mut input) = (HeadReader::default(), BytesMut::new());
        for part in octets.chunks(each) {
            input.extend_from_slice(part);
            if let Some(head) = reader
                .take(&mut input, LIMITS)
                .map_err(|error| error.kind())?
            {
                return Ok(Some((head, input)));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_head_is_written_as_it_is() {
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from_static("/books?page=2");
        for (name, value) in [("host", "api"), ("via", "1.1 a"), ("via", "1.1 b")] {
            request
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        let mut output = Vec::new();
        write(&request, &mut output);
        assert_eq!(
            String::from_utf8_lossy(&output),
            "GET /books?page=2 HTTP/1.1\r\nhost: api\r\nvia: 1.1 a\r\nvia: 1.1 b\r\n\r\n"
        );
        let mut request = Request::new(());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = Uri::from_static("*");
        output.clear();
        write(&request, &mut output);
        assert_eq!(output, b"OPTIONS * HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn a_head_is_the_same_in_whatever_pieces_it_comes() {
        let octets =
            b"HTTP/1.1 203 Whatever it is\r\nETag: \"1\"\r\nVia : a\r\nVia:b  \r\nX:\r\n\r\nrest";
        for each in 1..=octets.len() {
            let (head, rest) = read(octets, each).unwrap().expect("a head");
            assert_eq!(
                (head.status().as_u16(), head.version()),
                (203, Version::HTTP_11)
            );
            let fields = head.headers();
            assert_eq!(fields["etag"], "\"1\"");
            assert_eq!(fields["x"], "");
            let vias: Vec<_> = fields.get_all("via").iter().collect();
            assert_eq!(vias, ["a", "b"]);
            assert!(b"rest".starts_with(&rest), "{rest:?}");
        }
        for whole in 1..octets.len() - 4 {
            assert!(read(&octets[..whole], 7).unwrap().is_none());
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        let many = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "x: y\r\n".repeat(MAX_FIELDS + 1)
        );
        let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(MAX));
        #[rustfmt::skip]
        let table: [(&str, ErrorKind); 13] = [
            ("garbage\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/1.1 2x0 OK\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/1.1 099 OK\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/3.7 200 OK\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/2 200 OK\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/1.1 200 OK\r\n: a\r\n\r\n", ErrorKind::ResponseProtocol),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ErrorKind::ResponseProtocol),
            (&many, ErrorKind::ResponseHeadTooLarge),
            (&large, ErrorKind::ResponseHeadTooLarge),
        ];
        for (octets, kind) in table {
            for each in [1, 5, octets.len()] {
                assert_eq!(read(octets.as_bytes(), each).err(), Some(kind), "{octets}");
            }
        }
    }

    #[test]
    fn as_many_fields_as_are_allowed_come_through() {
        for count in [
            0,
            1,
            USUAL_FIELDS,
            USUAL_FIELDS + 1,
            MANY_FIELDS,
            MANY_FIELDS + 1,
            MAX_FIELDS,
        ] {
            let octets = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(count));
            let (head, _) = read(octets.as_bytes(), MAX).unwrap().expect("a head");
            assert_eq!(head.headers().len(), count);
        }
    }

    #[test]
    fn what_has_no_end_is_refused_without_waiting_for_one() {
        let without_end = [
            format!("HTTP/1.1 200 {}", "very ".repeat(MAX)),
            format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(MAX)),
        ];
        for octets in without_end {
            let refused = read(octets.as_bytes(), 1000).err();
            assert_eq!(refused, Some(ErrorKind::ResponseHeadTooLarge));
        }
        let (mut reader, mut input) = (HeadReader::default(), BytesMut::new());
        let refused = (0..64).find(|_| {
            input.extend_from_slice(b"?");
            reader.take(&mut input, LIMITS).is_err()
        });
        assert!(refused.is_some(), "it cannot become a head any more");
    }
}
