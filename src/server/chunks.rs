//! Finds where chunked content ends (RFC 9112 §7.1). hyper decodes it, but accepts a bare LF as the end of a trailer line,
//! and reads what follows as more trailers: so it would skip a request that others see after such content.

/// Bytes of all chunk extensions of one content, and of its trailers.
const MAX_EXTENSIONS: usize = 16 << 10;
const MAX_TRAILERS: usize = 64 << 10;

/// A position in chunked content.
#[derive(Debug)]
pub(super) struct Chunks {
    next: Next,
    /// Of the current chunk: its size so far, and then what is left of it.
    size: u64,
    extensions: usize,
    trailers: usize,
}

/// The octet that is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    FirstDigit,
    Digit,
    /// White space after a chunk size.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first octet of a trailer line, or of the empty line that ends the content.
    Line,
    InLine,
    LineLf,
    EndLf,
}

/// The content does not match the grammar of RFC 9112 §7.1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Chunks {
    pub fn new() -> Self {
        Self {
            next: Next::FirstDigit,
            size: 0,
            extensions: 0,
            trailers: 0,
        }
    }

    /// Takes the next octets. Returns how many of them belong to the content, if it ends within them.
    pub fn follow(&mut self, octets: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut at = 0;
        while let Some(octet) = octets.get(at) {
            if self.next == Next::Data {
                let rest = (octets.len() - at) as u64;
                let skipped = self.size.min(rest);
                self.size -= skipped;
                // No more than the length of `octets`.
                at += skipped as usize;
                if self.size == 0 {
                    self.next = Next::DataCr;
                }
                continue;
            }
            at += 1;
            if self.next == Next::EndLf {
                return match octet {
                    b'\n' => Ok(Some(at)),
                    _ => Err(Malformed),
                };
            }
            self.next = self.step(*octet)?;
        }
        Ok(None)
    }

    fn step(&mut self, octet: u8) -> Result<Next, Malformed> {
        match (self.next, octet) {
            (Next::FirstDigit | Next::Digit, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(octet).to_digit(16).unwrap_or_default();
                let size = self.size.checked_mul(16).ok_or(Malformed)?;
                self.size = size | u64::from(digit);
                Ok(Next::Digit)
            }
            (Next::Digit | Next::Space, b' ' | b'\t') => self.extended(Next::Space),
            (Next::Digit | Next::Space, b';') => self.extended(Next::Extension),
            (Next::Digit | Next::Space | Next::Extension, b'\r') => Ok(Next::SizeLf),
            (Next::Extension, octet) if octet != b'\n' && octet != 0 => {
                self.extended(Next::Extension)
            }
            (Next::SizeLf, b'\n') if self.size == 0 => Ok(Next::Line),
            (Next::SizeLf, b'\n') => Ok(Next::Data),
            (Next::DataCr, b'\r') => Ok(Next::DataLf),
            (Next::DataLf, b'\n') => Ok(Next::FirstDigit),
            (Next::Line, b'\r') => Ok(Next::EndLf),
            (Next::InLine, b'\r') => Ok(Next::LineLf),
            (Next::LineLf, b'\n') => Ok(Next::Line),
            (Next::Line | Next::InLine, octet) if octet != b'\n' && octet != 0 => {
                self.trailers += 1;
                match self.trailers <= MAX_TRAILERS {
                    true => Ok(Next::InLine),
                    false => Err(Malformed),
                }
            }
            _ => Err(Malformed),
        }
    }

    fn extended(&mut self, next: Next) -> Result<Next, Malformed> {
        self.extensions += 1;
        match self.extensions <= MAX_EXTENSIONS {
            true => Ok(next),
            false => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one piece, and octet by octet.
    fn followed(octets: &[u8]) -> Result<Option<usize>, Malformed> {
        let whole = Chunks::new().follow(octets);
        let (mut chunks, mut single) = (Chunks::new(), Ok(None));
        for (at, octet) in octets.iter().enumerate() {
            single = chunks.follow(&[*octet]).map(|end| end.map(|_| at + 1));
            if single != Ok(None) {
                break;
            }
        }
        assert_eq!(whole, single, "{}", octets.escape_ascii());
        whole
    }

    #[test]
    fn content_ends_after_its_last_chunk_and_its_trailers() {
        for content in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A;name=\"a;b\"\r\n0123456789\r\n00 ;x\r\n\r\n",
            "2\r\n\r\n\r\n0\r\n\r\n",
            "0\r\nX: a\r\nY:\r\n\r\n",
        ] {
            assert_eq!(
                followed(content.as_bytes()),
                Ok(Some(content.len())),
                "{content:?}"
            );
            let more = format!("{content}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(
                followed(more.as_bytes()),
                Ok(Some(content.len())),
                "{content:?}"
            );
            for end in 0..content.len() {
                assert_eq!(
                    followed(&content.as_bytes()[..end]),
                    Ok(None),
                    "{content:?}"
                );
            }
        }
    }

    #[test]
    fn every_line_ends_in_crlf() {
        for content in [
            "0\n\r\n",
            "0\r\n\n",
            "0\r\n\r\r\n",
            "0\r\nX: a\n\r\n",
            "0\r\nX: a\n\n",
            "0\r\nX: a\rb\r\n\r\n",
            "0\r\nX: a\0\r\n\r\n",
            "1\nx\r\n",
            "1\rx\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nx\r0\r\n\r\n",
            "1\r\nxy\r\n",
            "1;a\nb\r\nx",
            "1;a\rb\r\nx",
            "1 2\r\nx",
            ";a\r\n",
            "\r\n",
            "-1\r\n",
            "0x1\r\n",
            "10000000000000000\r\n",
        ] {
            assert_eq!(followed(content.as_bytes()), Err(Malformed), "{content:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let extended = format!("0;{}\r\n\r\n", "x".repeat(MAX_EXTENSIONS));
        assert_eq!(followed(extended.as_bytes()), Err(Malformed));
        let trailed = format!("0\r\n{}\r\n\r\n", "x".repeat(MAX_TRAILERS + 1));
        assert_eq!(followed(trailed.as_bytes()), Err(Malformed));
    }
}
