//! Where a response's content ends (RFC 9112 §6 and §7).

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use httparse::{EMPTY_HEADER, Header, Status};

use crate::error::{Error, ErrorKind};
use crate::upstream::response_body::Framing;
use crate::upstream::response_head::HeadLimits;

/// What the lines of chunk sizes of one content have beyond [`DIGITS`] each, together, in bytes at most.
const MAX_EXTENSIONS: usize = 16 << 10;

/// Trailer fields, which nearly always are no more than that.
const USUAL_TRAILERS: usize = 16;

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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1024;
    const MAX_TRAILERS: usize = 100;
    const LIMITS: HeadLimits = HeadLimits {
        bytes: MAX,
        fields: MAX_TRAILERS,
    };

    /// What becomes of a content.
    #[derive(Debug, Default, PartialEq)]
    struct Outcome {
        content: Vec<u8>,
        trailers: Option<HeaderMap>,
        ended: bool,
        /// What comes after it.
        rest: Vec<u8>,
    }

    /// Reads `octets`, which come `each` at a time, and then no more for now.
    fn read(framing: Framing, octets: &[u8], each: usize) -> Result<Outcome, ErrorKind> {
        let mut content = Content::framed(framing);
        let (mut input, mut outcome) = (BytesMut::new(), Outcome::default());
        let mut parts = octets.chunks(each);
        loop {
            match content
                .take(&mut input, LIMITS)
                .map_err(|error| error.kind())?
            {
                Step::Frame(frame) => match frame.into_data() {
                    Ok(data) => outcome.content.extend_from_slice(&data),
                    Err(frame) => outcome.trailers = frame.into_trailers().ok(),
                },
                Step::End => break,
                Step::More => match parts.next() {
                    Some(part) => input.extend_from_slice(part),
                    None => break,
                },
            }
        }
        outcome.ended = content.is_ended();
        outcome.rest = input.to_vec();
        outcome.rest.extend(parts.flatten());
        Ok(outcome)
    }

    fn complete(content: &str, rest: &str) -> Outcome {
        Outcome {
            content: content.into(),
            trailers: None,
            ended: true,
            rest: rest.into(),
        }
    }

    #[test]
    fn content_ends_where_its_framing_says() {
        let open = |content: &str| Outcome {
            ended: false,
            ..complete(content, "")
        };
        let table = [
            (Framing::Empty, "book", complete("", "book")),
            (Framing::Length(4), "bookmark", complete("book", "mark")),
            (Framing::Length(9), "bookmark", open("bookmark")),
            (Framing::Close, "bookmark", open("bookmark")),
            (Framing::Chunked, "0\r\n\r\nrest", complete("", "rest")),
            (
                Framing::Chunked,
                "4\r\nbook\r\n0\r\n\r\nrest",
                complete("book", "rest"),
            ),
            (
                Framing::Chunked,
                "4\r\nbook\r\n004\r\nmark\r\n0\r\n\r\n",
                complete("bookmark", ""),
            ),
            (
                Framing::Chunked,
                "4 \t;a=\"b\";c\r\nbook\r\n0;d\r\n\r\n",
                complete("book", ""),
            ),
            (
                Framing::Chunked,
                "A\r\n0123456789\r\n0\r\n\r\n",
                complete("0123456789", ""),
            ),
            (Framing::Chunked, "4\r\nbook\r\n", open("book")),
        ];
        for (framing, octets, outcome) in table {
            for each in 1..=octets.len() {
                let read = read(framing, octets.as_bytes(), each).unwrap();
                assert_eq!(read, outcome, "{octets:?}, {each} at a time");
            }
        }
    }

    #[test]
    fn trailers_come_after_the_content_and_are_its_end() {
        let octets = b"4\r\nbook\r\n0\r\nGrade: A\r\nNote: b\r\n\r\nrest";
        for each in 1..=octets.len() {
            let outcome = read(Framing::Chunked, octets, each).unwrap();
            let trailers = outcome.trailers.expect("trailers");
            assert_eq!(
                (&trailers["grade"], &trailers["note"]),
                (&"A".parse().unwrap(), &"b".parse().unwrap())
            );
            assert_eq!(
                (outcome.content.as_slice(), outcome.ended),
                (&b"book"[..], true)
            );
            assert_eq!(outcome.rest, b"rest");
        }
    }

    #[test]
    fn what_is_not_chunked_right_is_refused() {
        let extensions = format!("4;{}\r\nbook\r\n", "x".repeat(MAX_EXTENSIONS));
        let extensions_of_many = "1;xxxxxxx\r\nb\r\n".repeat(MAX_EXTENSIONS / 8 + 1);
        let zeros = "0".repeat(MAX_EXTENSIONS + 100);
        let trailers = format!("0\r\n{}", "x: y\r\n".repeat(MAX));
        let many = format!("0\r\n{}\r\n", "x:\r\n".repeat(MAX_TRAILERS + 1));
        let table = [
            "zz\r\n",
            "\r\n",
            "\n",
            ";a\r\n",
            " 4\r\nbook\r\n",
            "-4\r\nbook\r\n",
            "+4\r\nbook\r\n",
            "0x4\r\nbook\r\n",
            "4\nbook\r\n",
            "4\r\r\nbook\r\n",
            "4 4\r\nbook\r\n",
            "4;a\rb\r\nbook\r\n",
            "4;a\nbook\r\n",
            "4\r\nbooks\r\n",
            "4\r\nbook\n0\r\n",
            "4\r\nbook\rx",
            "10000000000000000\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n folded: a\r\n\r\n",
            &extensions,
            &extensions_of_many,
            &zeros,
            &trailers,
            &many,
        ];
        for octets in table {
            for each in [1, 3, octets.len()] {
                let refused = read(Framing::Chunked, octets.as_bytes(), each).err();
                assert_eq!(refused, Some(ErrorKind::ResponseProtocol), "{octets:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn chunks_of_any_sizes_in_any_pieces_are_their_content(
            chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..300), 0..4usize), 0..8),
            each in 1..400usize,
        ) {
            let (mut octets, mut content) = (Vec::new(), Vec::new());
            for (chunk, zeros) in &chunks {
                octets.extend_from_slice(format!("{}{:x};n\r\n", "0".repeat(*zeros), chunk.len()).as_bytes());
                octets.extend_from_slice(chunk);
                octets.extend_from_slice(b"\r\n");
                content.extend_from_slice(chunk);
            }
            octets.extend_from_slice(b"0\r\n\r\nHTTP/1.1");
            let outcome = read(Framing::Chunked, &octets, each).unwrap();
            prop_assert_eq!(outcome.content, content);
            prop_assert!(outcome.ended);
            prop_assert_eq!(outcome.rest, b"HTTP/1.1");
        }

        #[test]
        fn whatever_comes_is_read_or_refused(octets: Vec<u8>, each in 1..50usize) {
            for framing in [Framing::Length(20), Framing::Chunked, Framing::Close] {
                let _ = read(framing, &octets, each);
            }
        }
    }
}
