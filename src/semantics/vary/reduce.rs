//! Reduces Accept-Language and Accept-Encoding to a route's lists of known languages and codings, before these fields are
//! keyed and forwarded.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::normalise::joined;
use super::weighted::{Grammar, Weighted, parse};
use crate::semantics::policy::VaryPolicy;

/// A request field as a route keys and forwards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reduced {
    /// As the client sent it.
    AsIs,
    /// Replaced by this.
    To(HeaderValue),
    /// Not at all.
    Absent,
}

/// Reduces the request's field `name` to the route's list; [`Reduced::AsIs`] for every other field, without a list, without
/// the field, and where the field is not of its grammar.
pub fn reduce(name: &HeaderName, request: &HeaderMap, policy: &VaryPolicy) -> Reduced {
    let by_language = name == header::ACCEPT_LANGUAGE && !policy.languages.is_empty();
    let by_coding = name == header::ACCEPT_ENCODING && !policy.encodings.is_empty();
    if !by_language && !by_coding {
        return Reduced::AsIs;
    }
    let members = Grammar::of(name).and_then(|grammar| parse(grammar, &joined(name, request)?));
    let Some(members) = members else {
        return Reduced::AsIs;
    };
    if by_language {
        best_language(&members, &policy.languages)
    } else {
        best_codings(&members, &policy.encodings)
    }
}

/// The known language that the client prefers, the earlier in the route's list of several; none of them: the
/// origin's default.
fn best_language(members: &[Weighted], known: &[String]) -> Reduced {
    let mut best: Option<(u16, &String)> = None;
    for language in known {
        let weight = language_weight(members, language);
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, language));
        }
    }
    let value = best.and_then(|(_, language)| HeaderValue::from_str(language).ok());
    value.map_or(Reduced::Absent, Reduced::To)
}

/// The weight of a language: of the longest range that it falls under (RFC 4647 §3.3.1); else of a range that falls
/// under it, as a lookup would find it (§3.4); else of `*`.
pub(super) fn language_weight(members: &[Weighted], language: &str) -> u16 {
    let narrower = |a: &str, b: &str| {
        let rest = a
            .get(..b.len())
            .filter(|start| start.eq_ignore_ascii_case(b));
        rest.is_some() && matches!(a.as_bytes().get(b.len()), None | Some(b'-'))
    };
    let covering = members.iter().filter(|m| narrower(language, &m.item));
    if let Some(longest) = covering.max_by_key(|m| m.item.len()) {
        return longest.weight;
    }
    let within = members.iter().filter(|m| narrower(&m.item, language));
    if let Some(weight) = within.map(|m| m.weight).max() {
        return weight;
    }
    wildcard_weight(members).unwrap_or(0)
}

/// The known codings that the client prefers, in the route's order; none of them: no coding.
fn best_codings(members: &[Weighted], known: &[String]) -> Reduced {
    let weighted = known
        .iter()
        .map(|coding| (coding_weight(members, coding), coding));
    let weighted: Vec<_> = weighted.filter(|(weight, _)| *weight > 0).collect();
    let best = weighted.iter().map(|(weight, _)| *weight).max();
    let Some(best) = best else {
        // Where no coding at all is not acceptable either, the origin decides.
        return match coding_weight(members, "identity") {
            0 => Reduced::AsIs,
            _ => Reduced::To(HeaderValue::from_static("identity")),
        };
    };
    let liked = weighted.iter().filter(|(weight, _)| *weight == best);
    let liked: Vec<&str> = liked.map(|(_, coding)| coding.as_str()).collect();
    HeaderValue::from_str(&liked.join(", ")).map_or(Reduced::AsIs, Reduced::To)
}

/// The weight of a coding (RFC 9110 §12.5.3); a coding that is not named is acceptable only by `*`, but for `identity`.
pub(super) fn coding_weight(members: &[Weighted], coding: &str) -> u16 {
    let named = members.iter().find(|m| m.item.eq_ignore_ascii_case(coding));
    match named {
        Some(member) => member.weight,
        // It is acceptable by default, and any coding that the client names is preferred to it.
        None if coding.eq_ignore_ascii_case("identity") => wildcard_weight(members).unwrap_or(1),
        None => wildcard_weight(members).unwrap_or(0),
    }
}

/// The weight of `*`, where it is a member.
fn wildcard_weight(members: &[Weighted]) -> Option<u16> {
    let found = members.iter().find(|m| m.item == "*");
    found.map(|m| m.weight)
}
