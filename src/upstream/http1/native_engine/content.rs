//! Reads a response's content up to its end (RFC 9112 §6 and §7).

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use httparse::{EMPTY_HEADER, Header, Status};

use crate::error::{Error, ErrorKind};
use crate::upstream::framing::Framing;
use crate::upstream::limits::HeadLimits;

/// How many bytes the chunk-size lines of one content may have beyond [`DIGITS`] each, in all.
const MAX_EXTENSIONS: usize = 16 << 10;

/// Trailer fields: nearly always no more than that.
const USUAL_TRAILERS: usize = 16;

/// The largest chunk size has so many digits; more are leading zeros.
const DIGITS: usize = 16;

/// How much of the content is still to come.
#[derive(Debug)]
pub(in crate::upstream) enum Content {
    Ended,
    /// So many bytes.
    Length(u64),
    /// All bytes until the connection ends.
    Close,
    Chunked(Chunked),
}

#[derive(Debug)]
pub(in crate::upstream) struct Chunked {
    next: Next,
    /// Bytes beyond the sizes in chunk-size lines so far: extensions, white space, zeros.
    extensions: usize,
}

/// The part of chunked content that comes next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The end of a chunk's line.
    DataEnd,
    Trailers,
}

/// The result of parsing the bytes read so far.
pub(super) enum Step {
    Frame(Frame<Bytes>),
    End,
    /// More bytes are needed.
    More,
}

impl Content {
    pub(in crate::upstream) fn framed(framing: Framing) -> Self {
        match framing {
            Framing::Empty | Framing::Length(0) => Self::Ended,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked {
                next: Next::Size,
                extensions: 0,
            }),
            Framing::Close => Self::Close,
        }
    }

    /// Whether the end has been read.
    pub(in crate::upstream) fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// The error when the connection ends here; `None` where that is the content's end.
    pub(super) fn error_at_close(&mut self) -> Option<Error> {
        match std::mem::replace(self, Self::Ended) {
            Self::Ended | Self::Close => None,
            Self::Length(_) | Self::Chunked(_) => {
                Some(Error::upstream(ErrorKind::ResponseIncomplete).detail(
                    "the upstream closed the connection before the response's content was whole",
                ))
            }
        }
    }

    /// Takes the next part from `input`. Trailers may be as large as a head.
    pub(super) fn take(&mut self, input: &mut BytesMut, limits: HeadLimits) -> Result<Step, Error> {
        let frame = match self {
            Self::Ended => return Ok(Step::End),
            _ if input.is_empty() => return Ok(Step::More),
            Self::Close => Frame::data(input.split().freeze()),
            Self::Length(left) => {
                let data = split(input, *left);
                *left -= data.len() as u64;
                if *left == 0 {
                    *self = Self::Ended;
                }
                Frame::data(data)
            }
            Self::Chunked(chunked) => match chunked.take(input, limits)? {
                Step::Frame(frame) if frame.is_trailers() => {
                    *self = Self::Ended;
                    frame
                }
                Step::Frame(frame) => {
                    // Where the end has come with the data, it is read with them: the exchange need not wait for it.
                    if chunked.take_end(input) {
                        *self = Self::Ended;
                    }
                    frame
                }
                Step::End => {
                    *self = Self::Ended;
                    return Ok(Step::End);
                }
                Step::More => return Ok(Step::More),
            },
        };
        Ok(Step::Frame(frame))
    }
}

impl Chunked {
    fn take(&mut self, input: &mut BytesMut, limits: HeadLimits) -> Result<Step, Error> {
        loop {
            match self.next {
                Next::Data(_) if input.is_empty() => return Ok(Step::More),
                Next::Data(left) => {
                    let data = split(input, left);
                    self.next = match left - data.len() as u64 {
                        0 => Next::DataEnd,
                        left => Next::Data(left),
                    };
                    return Ok(Step::Frame(Frame::data(data)));
                }
                Next::Trailers => return take_trailers(input, limits),
                Next::Size | Next::DataEnd => {
                    if !self.take_line(input)? {
                        return Ok(Step::More);
                    }
                }
            }
        }
    }

    /// Takes the end of the content, if it is there in full and without trailers. The next call of [`Chunked::take`] reports
    /// the errors in other octets.
    fn take_end(&mut self, input: &mut BytesMut) -> bool {
        loop {
            match self.next {
                Next::Data(_) => return false,
                Next::Trailers => {
                    let ends = input.starts_with(b"\r\n");
                    if ends {
                        input.advance(2);
                    }
                    return ends;
                }
                Next::Size | Next::DataEnd => {
                    if !self.take_line(input).unwrap_or(false) {
                        return false;
                    }
                }
            }
        }
    }

    /// Takes a chunk-size line, or the end of a chunk's line; false while it is not whole.
    fn take_line(&mut self, input: &mut BytesMut) -> Result<bool, Error> {
        if let Next::DataEnd = self.next {
            match input.as_ref() {
                [] | [b'\r'] => return Ok(false),
                [b'\r', b'\n', ..] => {
                    input.advance(2);
                    self.next = Next::Size;
                    return Ok(true);
                }
                _ => return Err(refuse("has a chunk that does not end where it should")),
            }
        }
        let line = memchr::memchr(b'\n', input);
        let seen = &input[..line.unwrap_or(input.len())];
        let (size, digits) = chunk_size(seen)?;
        let beyond = self.extensions + seen.len() - digits.min(DIGITS);
        if beyond > MAX_EXTENSIONS {
            return Err(refuse("has too many chunk extensions"));
        }
        let Some(end) = line else {
            return Ok(false);
        };
        check_size_line(&seen[digits..])?;
        // Without the CR.
        self.extensions = beyond - 1;
        input.advance(end + 1);
        self.next = match size {
            0 => Next::Trailers,
            size => Next::Data(size),
        };
        Ok(true)
    }
}

/// The size that a line begins with, and its number of digits. No digit at all is an error, once the line has begun.
fn chunk_size(line: &[u8]) -> Result<(u64, usize), Error> {
    let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit());
    let digits = digits.count();
    if digits == 0 && !line.is_empty() {
        return Err(refuse("has a chunk without a size"));
    }
    let mut size: u64 = 0;
    for octet in &line[..digits] {
        let digit = char::from(*octet).to_digit(16).unwrap_or_default();
        size = size
            .checked_mul(16)
            .map(|size| size | u64::from(digit))
            .ok_or_else(|| refuse("has a chunk that is too large"))?;
    }
    Ok((size, digits))
}

/// Checks the rest of a line after the chunk's size: white space, extensions, and a CR before the line's LF.
fn check_size_line(rest: &[u8]) -> Result<(), Error> {
    let Some((b'\r', rest)) = rest.split_last() else {
        return Err(refuse("has a chunk size whose line does not end in CRLF"));
    };
    let spaces = rest
        .iter()
        .take_while(|octet| matches!(octet, b' ' | b'\t'));
    match rest.get(spaces.count()) {
        None | Some(b';') if !rest.contains(&b'\r') => Ok(()),
        _ => Err(refuse("has a chunk size that is no number")),
    }
}

/// The trailer section (RFC 9112 §7.1.2), once it is whole.
fn take_trailers(input: &mut BytesMut, limits: HeadLimits) -> Result<Step, Error> {
    if input.starts_with(b"\r\n") {
        input.advance(2);
        return Ok(Step::End);
    }
    let too_large = || refuse("has trailers beyond the bound for heads");
    let parsed = match parse_trailers(input, &mut [EMPTY_HEADER; USUAL_TRAILERS]) {
        Err(httparse::Error::TooManyHeaders) => {
            parse_trailers(input, &mut vec![EMPTY_HEADER; limits.fields])
        }
        parsed => parsed,
    };
    let (length, fields) = match parsed {
        Ok(Some(parsed)) => parsed,
        Ok(None) if input.len() >= limits.bytes => return Err(too_large()),
        Ok(None) => return Ok(Step::More),
        Err(error) => return Err(refuse("has malformed trailers").because(error)),
    };
    // httparse takes a bare LF for the end of a line; RFC 9112 §7.1.2 does not.
    let section = &input[..length];
    if memchr::memchr_iter(b'\n', section).any(|at| at == 0 || section[at - 1] != b'\r') {
        return Err(refuse("has trailers whose lines do not end in CRLF"));
    }
    if length > limits.bytes || fields.len() > limits.fields {
        return Err(too_large());
    }
    input.advance(length);
    Ok(Step::Frame(Frame::trailers(fields)))
}

/// A whole trailer section and its length; `None` while it is not whole.
fn parse_trailers<'a>(
    input: &'a [u8],
    lines: &mut [Header<'a>],
) -> Result<Option<(usize, HeaderMap)>, httparse::Error> {
    let Status::Complete((length, lines)) = httparse::parse_headers(input, lines)? else {
        return Ok(None);
    };
    let mut fields = HeaderMap::new();
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes())
            .map_err(|_| httparse::Error::HeaderName)?;
        let value =
            HeaderValue::from_bytes(line.value).map_err(|_| httparse::Error::HeaderValue)?;
        fields.append(name, value);
    }
    Ok(Some((length, fields)))
}

/// The first bytes of `input`, `most` if there are so many.
fn split(input: &mut BytesMut, most: u64) -> Bytes {
    let all = input.len();
    let length = usize::try_from(most).map_or(all, |most| most.min(all));
    input.split_to(length).freeze()
}

fn refuse(what: &str) -> Error {
    Error::upstream(ErrorKind::ResponseProtocol).detail(format!("the upstream's response {what}"))
}

#[cfg(test)]
mod tests;
