//! Which of several stored responses that all match is used (RFC 9111 §4, §4.1).

use http::{HeaderMap, HeaderName, header};

use super::nominated::Vary;
use super::normalise::joined;
use super::reduce::{coding_weight, language_weight};
use super::weighted::{Grammar, Weighted, parse};
use crate::semantics::list;
use crate::semantics::time::Timestamp;

/// The position of the best of the stored responses that all match the request: one with a Vary before those that omit
/// it, then by the client's preference where a field that they nominate states one, then by the most recent Date. Each
/// comes with its Date, or where it has none the time of receipt. `None` when there are none.
pub fn prefer<'a>(
    request: &HeaderMap,
    matching: impl Iterator<Item = (&'a HeaderMap, Timestamp)>,
) -> Option<usize> {
    let matching: Vec<_> = matching.collect();
    if matching.len() <= 1 {
        return (!matching.is_empty()).then_some(0);
    }
    let varies: Vec<_> = matching
        .iter()
        .map(|(headers, _)| Vary::parse(headers))
        .collect();
    let preferences = Preferences::of(request, &varies);
    let rank = |&at: &usize| {
        let (headers, date) = matching[at];
        // §4.1: a default response that was sent without Vary stands back.
        let varies = varies[at] != Vary::None;
        (varies, preferences.of_response(headers), date)
    };
    (0..matching.len()).max_by_key(rank)
}

/// Whether a stored response that was selected by another value of `field` may be offered to the origin for this request:
/// by its own fields, the request accepts it and prefers nothing else. Validators are no help in that: many origins give
/// the same to all codings, or to all languages of a version (RFC 9110 §8.8.1 forbids it for strong ones), or ignore the
/// part that differs when they compare them.
pub fn suits(field: &HeaderName, request: &HeaderMap, response: &HeaderMap) -> bool {
    let about = match *field {
        header::ACCEPT => header::CONTENT_TYPE,
        header::ACCEPT_LANGUAGE => header::CONTENT_LANGUAGE,
        header::ACCEPT_ENCODING => header::CONTENT_ENCODING,
        _ => return false,
    };
    let value = joined(&about, response);
    let value = value
        .as_deref()
        .and_then(|value| std::str::from_utf8(value).ok());
    let preferences = joined(field, request);
    let members = preferences.and_then(|value| parse(Grammar::of(field)?, &value));
    let most = |members: &[Weighted]| members.iter().map(|m| m.weight).max().unwrap_or(0);
    let is_best = |weight: u16, best: u16| weight > 0 && weight >= best;
    match (value, members) {
        (coding, Some(members)) if *field == header::ACCEPT_ENCODING => {
            let weight = |coding| coding_weight(&members, coding);
            let best = most(&members).max(weight("identity"));
            is_best(weight(coding.unwrap_or("identity")), best)
        }
        // Without the field any coding is acceptable (RFC 9110 §12.5.3), but clients without it mostly decode none.
        (coding, None) if *field == header::ACCEPT_ENCODING => {
            coding.is_none_or(|coding| coding.eq_ignore_ascii_case("identity"))
        }
        // The response does not describe itself: the origin decides.
        (None, _) => true,
        (Some(_), None) => false,
        (Some(kind), Some(members)) if *field == header::ACCEPT => {
            is_best(media_weight(&members, kind), most(&members))
        }
        (Some(languages), Some(members)) => {
            let languages = list::split(languages.as_bytes());
            let languages = languages.filter_map(|tag| std::str::from_utf8(tag).ok());
            let weight = languages.map(|tag| language_weight(&members, tag)).max();
            is_best(weight.unwrap_or(0), most(&members))
        }
    }
}

/// The weighted fields that the stored responses nominate.
struct Preferences(Vec<(Grammar, HeaderName, Vec<Weighted>)>);

impl Preferences {
    fn of(request: &HeaderMap, varies: &[Vary]) -> Self {
        let fields = [
            (header::ACCEPT, header::CONTENT_TYPE),
            (header::ACCEPT_LANGUAGE, header::CONTENT_LANGUAGE),
            (header::ACCEPT_ENCODING, header::CONTENT_ENCODING),
        ];
        let stated = |(field, about): (HeaderName, HeaderName)| {
            let nominated = varies.iter().any(|vary| vary.nominates(&field));
            let grammar = Grammar::of(&field).filter(|_| nominated)?;
            let members = parse(grammar, &joined(&field, request)?)?;
            Some((grammar, about, members))
        };
        Self(fields.into_iter().filter_map(stated).collect())
    }

    /// The product of the weights, so that a response that one of the fields refuses comes last.
    fn of_response(&self, response: &HeaderMap) -> u64 {
        let weight = |(grammar, about, members): &(Grammar, HeaderName, Vec<Weighted>)| {
            let value = joined(about, response);
            let value = value.as_deref().and_then(|v| std::str::from_utf8(v).ok());
            u64::from(match grammar {
                Grammar::MediaRanges => value.map_or(1000, |kind| media_weight(members, kind)),
                Grammar::Languages => value.map_or(1000, |tag| language_weight(members, tag)),
                Grammar::Tokens => coding_weight(members, value.unwrap_or("identity")),
            })
        };
        self.0.iter().map(weight).product()
    }
}

/// The weight of a media type: of the most specific range that it falls under (RFC 9110 §12.5.1).
fn media_weight(members: &[Weighted], media_type: &str) -> u16 {
    let mut parts = list::parameters(media_type.as_bytes());
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let parameters: Vec<_> = parts.map(<[u8]>::to_ascii_lowercase).collect();
    let specificity = |range: &Weighted| {
        let item = range.item.as_bytes();
        let has = |(name, value): &(String, Vec<u8>)| {
            let mut parameter = format!("{name}=").into_bytes();
            parameter.extend(value.to_ascii_lowercase());
            parameters.contains(&parameter)
        };
        if item == b"*/*" {
            return Some(0);
        }
        if let Some(kind) = item.strip_suffix(b"*") {
            return essence.starts_with(kind).then_some(1);
        }
        let falls_under = item == essence && range.parameters.iter().all(has);
        falls_under.then_some(2 + range.parameters.len())
    };
    let applicable = members
        .iter()
        .filter_map(|m| Some((specificity(m)?, m.weight)));
    let most_specific = applicable.max_by_key(|(specificity, _)| *specificity);
    most_specific.map_or(0, |(_, weight)| weight)
}
