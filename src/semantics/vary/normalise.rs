//! The form in which a selecting field is compared: without the differences that its definition calls insignificant
//! (RFC 9111 §4.1).

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};

use super::weighted::{Grammar, Weighted, parse};
use crate::semantics::list;

/// The field's lines as one value (RFC 9110 §5.2); `None` when the request does not have it.
pub(super) fn joined<'a>(name: &HeaderName, request: &'a HeaderMap) -> Option<Cow<'a, [u8]>> {
    let mut lines = request.get_all(name).iter();
    let first = list::trim(lines.next()?.as_bytes());
    let mut value = Cow::Borrowed(first);
    for line in lines {
        // RFC 9113 §8.2.3: HTTP/2 may carry a cookie in several lines.
        let separator: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
        let value = value.to_mut();
        value.extend_from_slice(separator);
        value.extend_from_slice(list::trim(line.as_bytes()));
    }
    Some(value)
}

/// The normal form of a value that [`joined`] gave. Two requests' fields match if and only if these are equal.
pub(super) fn normal_form<'a>(name: &HeaderName, value: &'a [u8]) -> Cow<'a, [u8]> {
    if let Some(grammar) = Grammar::of(name) {
        // Not of its grammar: compared as a list that nothing is known of.
        return match parse(grammar, value) {
            Some(members) if !contradicts_itself(&members) => Cow::Owned(sorted(members)),
            _ => without_space_around_commas(value),
        };
    }
    if name == header::HOST {
        return Cow::Owned(value.to_ascii_lowercase());
    }
    if NO_LISTS.contains(name) {
        return Cow::Borrowed(value);
    }
    without_space_around_commas(value)
}

/// Fields whose commas and spaces are content.
const NO_LISTS: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::FROM,
    header::ORIGIN,
    header::REFERER,
    header::USER_AGENT,
];

/// White space around the commas of a list is optional (RFC 9110 §5.6.1). Empty members and order stay: for a field
/// that is not known they may have a meaning.
fn without_space_around_commas(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b',') {
        return Cow::Borrowed(value);
    }
    let mut normal = Vec::with_capacity(value.len());
    let mut quoted = false;
    let mut escaped = false;
    let mut after_comma = false;
    for &byte in value {
        match byte {
            b' ' | b'\t' if after_comma => continue,
            b',' if !quoted => {
                while let Some(b' ' | b'\t') = normal.last() {
                    normal.pop();
                }
            }
            _ => {}
        }
        after_comma = byte == b',' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        normal.push(byte);
    }
    Cow::Owned(normal)
}

/// Whether something is listed with two weights: which of them counts, the RFC does not say.
fn contradicts_itself(members: &[Weighted]) -> bool {
    members.iter().enumerate().any(|(at, member)| {
        members[..at].iter().any(|other| {
            other.item == member.item
                && other.parameters == member.parameters
                && other.weight != member.weight
        })
    })
}

/// The order of these lists has no meaning: the weights have (RFC 9110 §12.4.2; for Accept-Language, §12.5.4 says that
/// an order of members with the same weight cannot be relied upon). The result is a value of the same grammar, so that
/// no value that is none can be equal to it.
fn sorted(mut members: Vec<Weighted>) -> Vec<u8> {
    members.sort_unstable();
    members.dedup();
    let mut value = Vec::new();
    for member in &members {
        if !value.is_empty() {
            value.push(b',');
        }
        value.extend_from_slice(member.item.as_bytes());
        for (name, content) in &member.parameters {
            value.extend([b";", name.as_bytes(), b"=\""].concat());
            for &octet in content {
                if matches!(octet, b'"' | b'\\') {
                    value.push(b'\\');
                }
                value.push(octet);
            }
            value.push(b'"');
        }
        if member.weight < 1000 {
            value.extend_from_slice(format!(";q=0.{:03}", member.weight).as_bytes());
        }
    }
    value
}
