//! The fields that a response's Vary nominates (RFC 9110 §12.5.5).

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

use crate::semantics::list;

/// The fields that a response's Vary nominates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// Nothing: every request matches.
    None,
    /// `*`, a member that is no field name, too many names, or a field with the client's address, which a gateway writes anew
    /// for each request. No request matches.
    Any,
    /// Sorted, each once.
    Fields(SmallVec<[HeaderName; 4]>),
}

/// More nominated fields than this count as `*`: they would only fill memory.
pub(super) const MOST_FIELDS: usize = 32;

/// Fields in which the gateway sends the client's address to the origin: their values are never those that a client
/// presents.
const IDENTIFY_THE_CLIENT: [HeaderName; 2] = [
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
];

impl Vary {
    pub fn parse(response: &HeaderMap) -> Self {
        let mut names: SmallVec<[HeaderName; 4]> = SmallVec::new();
        for member in list::members(response, &header::VARY) {
            match HeaderName::from_bytes(member) {
                // A token, and so it would be taken for a name.
                Ok(_) if member == b"*" => return Self::Any,
                Ok(name) if IDENTIFY_THE_CLIENT.contains(&name) => return Self::Any,
                Ok(name) if names.len() < MOST_FIELDS => names.push(name),
                _ => return Self::Any,
            }
        }
        if names.is_empty() {
            return Self::None;
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self::Fields(names)
    }

    /// Whether it nominates the field.
    pub fn nominates(&self, name: &HeaderName) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::Fields(names) => names.contains(name),
        }
    }
}

/// The members of a stored Vary that the Vary of an update does not name, without regard to case.
pub fn not_nominated(stored: &HeaderMap, update: &HeaderMap) -> Vec<HeaderValue> {
    let named: SmallVec<[&[u8]; 4]> = list::members(update, &header::VARY).collect();
    let is_new = |member: &&[u8]| !named.iter().any(|name| name.eq_ignore_ascii_case(member));
    let missing = list::members(stored, &header::VARY).filter(is_new);
    missing
        .filter_map(|member| HeaderValue::from_bytes(member).ok())
        .collect()
}
