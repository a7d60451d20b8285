//! Just enough of HTTP/1.1 to know where a response ends.

/// A response at the beginning of what was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub status: u16,
    /// Where the content begins.
    pub head: usize,
    /// Bytes, framing included.
    pub length: usize,
}

/// The response at the beginning of `bytes`; `Ok(None)` while it is not complete, `Err` when its end cannot be told.
pub fn parse(bytes: &[u8]) -> Result<Option<Message>, ()> {
    let Some(head) = find(bytes, b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..head]).map_err(drop)?;
    let status = text
        .get(9..12)
        .and_then(|digits| digits.parse().ok())
        .ok_or(())?;
    let length = match field(text, "content-length") {
        _ if matches!(status, 204 | 304) => Some(head),
        Some(length) => Some(head + length.parse::<usize>().map_err(drop)?),
        None if field(text, "transfer-encoding").is_some() => chunked(bytes, head)?,
        None => return Err(()),
    };
    let complete = length.filter(|length| *length <= bytes.len());
    Ok(complete.map(|length| Message {
        status,
        head,
        length,
    }))
}

/// The requests without content of which `bytes` are the octets.
pub fn requests(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some(at) = find(bytes, b"\r\n\r\n") {
        let (request, rest) = bytes.split_at(at + 4);
        found.push(request);
        bytes = rest;
    }
    found
}

fn chunked(bytes: &[u8], mut at: usize) -> Result<Option<usize>, ()> {
    loop {
        let Some(line) = find(&bytes[at.min(bytes.len())..], b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[at..at + line]).map_err(drop)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(drop)?;
        at += line + 2 + size + 2;
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (own, value) = line.split_once(':')?;
        own.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let (first, second) = (
            b"GET /1 HTTP/1.1\r\nA: b\r\n\r\n",
            b"GET /2 HTTP/1.1\r\n\r\n",
        );
        let both = [&first[..], &second[..]].concat();
        assert_eq!(requests(&both), [&first[..], &second[..]]);
        assert!(requests(b"GET / HTTP/1.1\r\n").is_empty());
    }

    #[test]
    fn a_response_ends_where_its_framing_says() {
        for (bytes, expected) in [
            ("HTTP/1.1 200 OK\r\n", Ok(None)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", Ok(None)),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nxyz",
                Ok(Some((200, 40))),
            ),
            ("HTTP/1.1 304 Not Modified\r\n\r\n", Ok(Some((304, 29)))),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
                Ok(None),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
                Ok(Some((200, 58))),
            ),
            ("HTTP/1.1 200 OK\r\n\r\nxyz", Err(())),
        ] {
            let found =
                parse(bytes.as_bytes()).map(|message| message.map(|m| (m.status, m.length)));
            assert_eq!(found, expected, "{bytes:?}");
        }
    }
}
