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
