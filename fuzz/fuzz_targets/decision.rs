//! A request and a response, written as field lines with an empty line between: what is decided about them stays within
//! bounds, and `no-store` never makes anything more reusable.

#![no_main]

use std::time::Duration;

use bookend::semantics::cache_control::{RequestDirectives, ResponseDirectives};
use bookend::semantics::freshness::{Freshness, Receipt};
use bookend::semantics::policy::Policy;
use bookend::semantics::reuse::{Reuse, Selection, decide};
use bookend::semantics::storability::{Credentials, Storability, StoreInput, assess};
use bookend::semantics::time::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use libfuzzer_sys::fuzz_target;

fn fields(text: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in text.split(|octet| *octet == b'\n').take(16) {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

fn storable(request: &HeaderMap, response: &HeaderMap, status: StatusCode, policy: &Policy) -> (bool, Freshness) {
    let directives = ResponseDirectives::parse(response, &policy.targeted_fields);
    let time = Timestamp::from_secs(1_795_593_600);
    let receipt = Receipt { request_time: time, response_time: time };
    let credentials = Credentials::of(request, policy);
    let freshness = Freshness::compute(status, response, &directives, receipt, credentials.any(), policy);
    let input = StoreInput {
        method: &Method::GET,
        request: RequestDirectives::parse(request),
        credentials,
        preconditioned: false,
        negotiated: false,
        content_location_is_target: false,
        status,
        headers: response,
        directives: &directives,
        freshness: &freshness,
        policy,
    };
    (matches!(assess(&input), Storability::Store(_)), freshness)
}

fuzz_target!(|octets: &[u8]| {
    let [high, low, resident, rest @ ..] = octets else { return };
    let code = 200 + (u16::from_be_bytes([*high, *low]) % 400);
    let Ok(status) = StatusCode::from_u16(code) else { return };
    let at = rest.windows(2).position(|pair| pair == b"\n\n").unwrap_or(rest.len());
    let (request, mut response) = (fields(&rest[..at]), fields(rest.get(at + 2..).unwrap_or_default()));
    let policy = Policy::default();

    let (stored, freshness) = storable(&request, &response, status, &policy);
    let resident = Duration::from_secs(u64::from(*resident) * 60);
    let (age, ttl) = (freshness.age(resident), freshness.ttl(resident));
    assert!(age.as_secs() <= 1 << 31);
    assert_eq!(ttl > 0, freshness.is_fresh(resident));
    let selection = Selection::Found { freshness: &freshness, resident };
    let reuse = decide(selection, &RequestDirectives::parse(&request));
    if let Reuse::Fresh { .. } = reuse {
        assert!(ttl > 0);
    }

    response.append(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.remove("cdn-cache-control");
    response.remove("bookend-cache-control");
    // RFC 9111 §5.2.2.3: must-understand overrules no-store where the status is understood.
    if !ResponseDirectives::parse(&response, &[]).must_understand {
        let (stored_after, _) = storable(&request, &response, status, &policy);
        assert!(!stored_after || stored);
    }
});
