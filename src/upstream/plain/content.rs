//! Where a response's content ends (RFC 9112 §6 and §7).

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use httparse::{EMPTY_HEADER, Status};

use crate::error::{Error, ErrorKind};
use crate::upstream::response_body::Framing;

/// What the lines of chunk sizes of one content have beyond [`DIGITS`] each, together, in bytes at most.
const MAX_EXTENSIONS: usize = 16 << 10;
const MAX_TRAILERS: usize = 100;

/// As many has the largest size; more are zeros before it.
const DIGITS: usize = 16;

/// What of a content is still to come.
#[derive(Debug)]
pub(in crate::upstream) enum Content {
    Ended,
    /// So many bytes.
    Length(u64),
    /// All until the connection ends.
    Close,
    Chunked(Chunked),
}

#[derive(Debug)]
pub(in crate::upstream) struct Chunked {
    next: Next,
    /// Bytes of chunk extensions so far, and the like.
    extensions: usize,
}

/// What comes next of a chunked content.
#[derive(Clone, Copy, Debug)]
enum Next {
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The end of a chunk's line.
    DataEnd,
    Trailers,
}

/// What can be taken from what has been read.
pub(super) enum Step {
    Frame(Frame<Bytes>),
    End,
    /// Nothing before more is read.
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

    /// What is missing when the connection ends here; `None` where that is the end.
    pub(super) fn at_close(&mut self) -> Option<Error> {
        match std::mem::replace(self, Self::Ended) {
            Self::Ended | Self::Close => None,
            Self::Length(_) | Self::Chunked(_) => {
                Some(Error::upstream(ErrorKind::ResponseIncomplete).detail(
                    "the upstream closed the connection before the response's content was whole",
                ))
            }
        }
    }

    /// Takes the next part from `input`. Trailers have `max_trailers` bytes at most.
    pub(super) fn take(
        &mut self,
        input: &mut BytesMut,
        max_trailers: usize,
    ) -> Result<Step, Error> {
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
            Self::Chunked(chunked) => match chunked.take(input, max_trailers)? {
                Step::Frame(frame) if frame.is_trailers() => {
                    *self = Self::Ended;
                    frame
                }
                Step::Frame(frame) => {
                    // The end is read with the data before it, where it has come: nobody waits for it then.
                    if chunked.passes_end(input) {
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
    fn take(&mut self, input: &mut BytesMut, max_trailers: usize) -> Result<Step, Error> {
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
                Next::Trailers => return take_trailers(input, max_trailers),
                Next::Size | Next::DataEnd => {
                    if !self.pass_line(input)? {
                        return Ok(Step::More);
                    }
                }
            }
        }
    }

    /// Passes the end of the content, if all of it is there and no trailer is. What is wrong with what comes instead
    /// is found when it is its turn.
    fn passes_end(&mut self, input: &mut BytesMut) -> bool {
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
                    if !self.pass_line(input).unwrap_or(false) {
                        return false;
                    }
                }
            }
        }
    }

    /// Passes the line of a chunk's size, or the end of a chunk's; false while it is not whole.
    fn pass_line(&mut self, input: &mut BytesMut) -> Result<bool, Error> {
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

/// The size that a line begins with, and in how many digits. None at all are a mistake, once the line has begun.
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

/// What follows a chunk's size: white space, extensions, and a CR that the line's LF comes right after.
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
fn take_trailers(input: &mut BytesMut, max: usize) -> Result<Step, Error> {
    if input.starts_with(b"\r\n") {
        input.advance(2);
        return Ok(Step::End);
    }
    let mut lines = [EMPTY_HEADER; MAX_TRAILERS];
    let mut fields = HeaderMap::new();
    let length = match httparse::parse_headers(input, &mut lines) {
        Ok(Status::Complete((length, lines))) => {
            for line in lines {
                let name = HeaderName::from_bytes(line.name.as_bytes());
                let value = HeaderValue::from_bytes(line.value);
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err(refuse("has a malformed trailer field"));
                };
                fields.append(name, value);
            }
            length
        }
        Ok(Status::Partial) if input.len() >= max => {
            return Err(refuse("has trailers beyond the bound for heads"));
        }
        Ok(Status::Partial) => return Ok(Step::More),
        Err(error) => return Err(refuse("has malformed trailers").because(error)),
    };
    if length > max {
        return Err(refuse("has trailers beyond the bound for heads"));
    }
    input.advance(length);
    Ok(Step::Frame(Frame::trailers(fields)))
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
