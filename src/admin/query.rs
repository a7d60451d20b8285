//! The query of a request to the desk, as forms write it.

/// Name and value of each parameter, decoded.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
}

fn decode(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => octets.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    octets.push(high * 16 + low);
                    rest = tail;
                }
                _ => octets.push(b'%'),
            },
            (octet, _) => octets.push(*octet),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let read = |query| pairs(query).collect::<Vec<_>>();
        assert_eq!(
            read("url=%2Fbooks%3Fa%3Db&all"),
            [("url", "/books?a=b"), ("all", "")].map(|(a, b)| (a.into(), b.into()))
        );
        assert_eq!(
            read("a=1+2&&b=%zz%"),
            [("a", "1 2"), ("b", "%zz%")].map(|(a, b)| (a.into(), b.into()))
        );
        assert!(read("").is_empty());
    }
}
