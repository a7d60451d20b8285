//! Every parser of a field, fed with arbitrary octets: the first says which, the rest are field lines.

#![no_main]

use bookend::semantics::cache_control::{RequestDirectives, ResponseDirectives};
use bookend::semantics::content_range::ContentRange;
use bookend::semantics::etag::{Comparison, EntityTag, list_names};
use bookend::semantics::no_vary_search::SearchVariance;
use bookend::semantics::policy::{Policy, VaryPolicy};
use bookend::semantics::time::Timestamp;
use bookend::semantics::validation::Validators;
use bookend::semantics::vary::{VariantKey, Vary};
use bookend::semantics::{groups, hop_by_hop, range};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

fn lines(name: HeaderName, octets: &[u8]) -> HeaderMap {
    let values = octets.split(|octet| *octet == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    let mut fields = HeaderMap::new();
    for value in values.take(8) {
        fields.append(name.clone(), value);
    }
    fields
}

fuzz_target!(|octets: &[u8]| {
    let Some((which, octets)) = octets.split_first() else { return };
    let policy = Policy::default();
    match which % 11 {
        0 => {
            RequestDirectives::parse(&lines(header::CACHE_CONTROL, octets));
        }
        1 => {
            ResponseDirectives::parse(&lines(header::CACHE_CONTROL, octets), &policy.targeted_fields);
        }
        2 => {
            let name = HeaderName::from_static("cdn-cache-control");
            ResponseDirectives::parse(&lines(name, octets), &policy.targeted_fields);
        }
        3 => {
            Timestamp::parse_http_date(octets);
        }
        4 => {
            let fields = lines(header::ETAG, octets);
            if let Some(tag) = EntityTag::of(&fields) {
                assert!(tag.weak_eq(&tag));
                assert_eq!(tag.strong_eq(&tag), tag.is_strong());
            }
            Validators::of(&fields);
        }
        5 => {
            let tag = EntityTag::new(HeaderValue::from_static("\"a\""));
            let fields = lines(header::IF_NONE_MATCH, octets);
            list_names(&fields, &header::IF_NONE_MATCH, tag.as_ref(), Comparison::Weak);
        }
        6 => {
            if let Some(set) = range::requested(&lines(header::RANGE, octets)) {
                range::satisfy(&set, u64::from(*which) * 97);
            }
        }
        7 => {
            if let Some(read) = ContentRange::of(&lines(header::CONTENT_RANGE, octets)) {
                let written = HeaderMap::from_iter([(header::CONTENT_RANGE, read.to_value())]);
                assert_eq!(ContentRange::of(&written), Some(read));
            }
        }
        8 => {
            let vary = Vary::parse(&lines(header::VARY, b"accept-language, accept-encoding, accept"));
            for name in [header::ACCEPT_LANGUAGE, header::ACCEPT_ENCODING, header::ACCEPT] {
                let request = lines(name, octets);
                let key = VariantKey::of(&vary, &request, &VaryPolicy::default());
                assert!(key.matches(&request, &VaryPolicy::default()));
            }
            Vary::parse(&lines(header::VARY, octets));
        }
        9 => {
            groups::memberships(&lines(HeaderName::from_static("cache-groups"), octets));
            let fields = lines(HeaderName::from_static("no-vary-search"), octets);
            if let Some(rule) = SearchVariance::parse(&fields) {
                let query = String::from_utf8_lossy(octets);
                let canonical = rule.canonical_query(Some(&query));
                assert_eq!(rule.canonical_query(Some(&canonical)), canonical);
            }
        }
        _ => {
            let mut fields = lines(header::CONNECTION, octets);
            hop_by_hop::strip(&mut fields);
            assert!(!fields.contains_key(header::CONNECTION));
        }
    }
});
