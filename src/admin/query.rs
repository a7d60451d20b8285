//! The query of a request to the admin API, in the encoding of HTML forms.

/// A parameter, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    pub name: String,
    pub value: String,
    /// Whether the value has a question mark as it is: a URL that was not encoded, of which an ampersand would have been
    /// taken for the end.
    pub is_raw_url: bool,
}

/// The parameters of a query. In a URL a plus sign is itself, since there are no spaces that it could stand for.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = Parameter> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name, true);
            let is_url = matches!(&*name, "url" | "prefix");
            Parameter {
                value: decode(value, !is_url),
                is_raw_url: is_url && value.contains('?'),
                name,
            }
        })
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) if plus_is_space => octets.push(b' '),
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
        let read = |query| -> Vec<_> {
            parameters(query)
                .map(|parameter| (parameter.name, parameter.value, parameter.is_raw_url))
                .collect()
        };
        for (query, expected) in [
            (
                "url=%2Fbooks%3Fa%3Db&all",
                &[("url", "/books?a=b", false), ("all", "", false)][..],
            ),
            ("url=/a?b=1+2", &[("url", "/a?b=1+2", true)]),
            (
                "group=1+2&&b=%zz%",
                &[("group", "1 2", false), ("b", "%zz%", false)],
            ),
            ("", &[]),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|&(name, value, raw)| (name.to_owned(), value.to_owned(), raw))
                .collect();
            assert_eq!(read(query), expected, "{query}");
        }
    }
}
