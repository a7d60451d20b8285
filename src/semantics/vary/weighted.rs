//! Lists whose members may have a weight: Accept, Accept-Charset, Accept-Encoding, Accept-Language (RFC 9110 §12.4.2,
//! §12.5).

use http::{HeaderName, header};

use crate::semantics::list;

/// A member of such a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weighted {
    /// The media range, coding, charset or language range, in lower case.
    pub item: String,
    /// Parameters of a media range other than its weight, names in lower case, values without quotes.
    pub parameters: Vec<(String, Vec<u8>)>,
    /// The weight in thousandths; 0 means "not acceptable".
    pub weight: u16,
}

/// Which of the four grammars a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    MediaRanges,
    Tokens,
    Languages,
}

impl Grammar {
    /// `None` for any other field.
    pub(super) fn of(name: &HeaderName) -> Option<Self> {
        if name == header::ACCEPT {
            Some(Self::MediaRanges)
        } else if name == header::ACCEPT_LANGUAGE {
            Some(Self::Languages)
        } else if name == header::ACCEPT_ENCODING || name == header::ACCEPT_CHARSET {
            Some(Self::Tokens)
        } else {
            None
        }
    }

    fn allows(self, item: &[u8]) -> bool {
        match self {
            Self::Tokens => list::is_token(item),
            // RFC 4647 §2.1: subtags of one to eight letters or digits.
            Self::Languages => {
                let is_subtag = |subtag: &[u8]| {
                    matches!(subtag.len(), 1..=8) && subtag.iter().all(u8::is_ascii_alphanumeric)
                };
                item == b"*" || item.split(|&byte| byte == b'-').all(is_subtag)
            }
            Self::MediaRanges => {
                let mut halves = item.split(|&byte| byte == b'/');
                let (Some(kind), Some(subtype), None) =
                    (halves.next(), halves.next(), halves.next())
                else {
                    return false;
                };
                let wild = kind == b"*" && subtype != b"*";
                !wild && list::is_token(kind) && list::is_token(subtype)
            }
        }
    }
}

/// The members of a field value. `None` when one of them is not of the field's grammar: the meaning is not known then.
pub(super) fn parse(grammar: Grammar, value: &[u8]) -> Option<Vec<Weighted>> {
    list::split(value)
        .map(|member| parse_member(grammar, member))
        .collect()
}

fn parse_member(grammar: Grammar, member: &[u8]) -> Option<Weighted> {
    let mut parts = list::parameters(member);
    let item = parts.next().filter(|item| grammar.allows(item))?;
    // A member that begins with its parameters has no item.
    if member.first() == Some(&b';') {
        return None;
    }
    let mut parameters = Vec::new();
    let mut weight = None;
    for part in parts {
        let (name, value) = parse_parameter(part)?;
        // §12.5.1: any parameter named "q" is the weight, whatever its place.
        if name == "q" {
            let repeated = weight.replace(parse_weight(&value)?).is_some();
            if repeated {
                return None;
            }
        } else if grammar == Grammar::MediaRanges {
            parameters.push((name, value));
        } else {
            return None;
        }
    }
    let mut item = std::str::from_utf8(item).ok()?.to_ascii_lowercase();
    // §8.4.1.3: x-gzip and x-compress are other names of gzip and compress.
    if grammar == Grammar::Tokens && matches!(item.as_str(), "x-gzip" | "x-compress") {
        item.drain(..2);
    }
    Some(Weighted {
        item,
        parameters,
        weight: weight.unwrap_or(1000),
    })
}

fn parse_parameter(parameter: &[u8]) -> Option<(String, Vec<u8>)> {
    let equals = parameter.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
    if !list::is_token(name) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    let mut value = match value.strip_prefix(b"\"") {
        Some(quoted) => list::unquote(quoted.strip_suffix(b"\"")?)?,
        None if list::is_token(value) => value.to_vec(),
        None => return None,
    };
    // §8.3.2: charset names have no case.
    if name == "charset" {
        value.make_ascii_lowercase();
    }
    Some((name, value))
}

/// A weight in thousandths (§12.4.2): at most three digits after the point, and at most 1.
fn parse_weight(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole] => (*whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths = thousandths * 10 + u16::from(digit - b'0');
    }
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}
