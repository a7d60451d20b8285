use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::semantics::freshness::{MustValidate, take_age};
use crate::semantics::vary::Vary;

const START: Timestamp = Timestamp::from_secs(1_000_000);

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect(name);
        (name, HeaderValue::from_str(value).expect(value))
    };
    lines.iter().map(line).collect()
}

/// A response to a request with these fields that came a second after it was asked for.
fn draft(request: &[(&str, &str)], response: &[(&str, &str)], policy: &Policy) -> Draft {
    let (clock, _) = Clock::manual(START);
    let now = clock.now();
    let (request, mut headers) = (map(request), map(response));
    let receipt = Receipt {
        request_time: Timestamp::from_millis(START.as_millis() - 1_000),
        response_time: START,
    };
    let directives = ResponseDirectives::parse(&headers, &[]);
    let status = StatusCode::OK;
    let freshness = Freshness::compute(status, &headers, &directives, receipt, false, policy);
    let age = take_age(&mut headers);
    let variant = VariantKey::of(&Vary::parse(&headers), &request, &policy.vary);
    Draft {
        status,
        reason: None,
        origin_validators: Validators::of(&headers),
        freshness,
        received: now.mono,
        variant,
        digest: None,
        groups: Box::default(),
        tags: HeaderMap::new(),
        search: SearchVariance::parse(&headers).map(Box::new),
        content_length: Some(4),
        age,
        receipt,
        credentialed: false,
        epoch: 7,
        stamp: 0,
        headers,
    }
}

/// What another process that begins now, `later` than the response came, reads of it.
fn read_later(octets: &[u8], later: Duration, policy: &Policy) -> Option<(Draft, Now)> {
    let wall = Timestamp::from_millis(START.as_millis() + later.as_millis() as u64);
    let (clock, _) = Clock::manual(wall);
    let now = clock.now();
    let unpacked = unpack(octets, now, policy, 7)?;
    Some((unpacked.draft, now))
}

fn assert_same(read: &Draft, written: &Draft) {
    let shown = |draft: &Draft| {
        let mut draft = draft.clone();
        // It is the one thing that counts from another beginning.
        draft.received = Default::default();
        // Compared in its normal form.
        draft.variant = VariantKey::default();
        format!("{draft:?}")
    };
    assert_eq!(shown(read), shown(written));
    assert_eq!(read.variant, written.variant);
    assert_eq!(read.variant.origin(), written.variant.origin());
}

#[test]
fn a_head_is_read_as_it_was_written_and_has_aged_meanwhile() {
    let policy = Policy::default();
    let request = [("accept-language", "de, en;q=0.5"), ("x-none", "1")];
    let response = [
        (
            "cache-control",
            "max-age=60, immutable, stale-while-revalidate=5",
        ),
        ("vary", "Accept-Language, Accept"),
        ("age", "10"),
        ("etag", "W/\"1\""),
        ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("date", "Mon, 12 Jan 1970 13:46:40 GMT"),
        ("x-mine", "a"),
        ("x-mine", "b"),
    ];
    let mut written = draft(&request, &response, &policy);
    written.reason = Some((*b"Fine").into());
    written.digest = Some([9; 32]);
    written.tags = map(&[("surrogate-key", "a b")]);
    written.groups = ["a", "b", "book-1"].map(Box::from).into();
    written.origin_validators.etag = None;
    written.variant = written.variant.fetched_with(Some(b"https://page.example"));
    let head = written.clone().packed();
    let octets = pack(&head, &policy, false).octets;
    let later = Duration::from_millis(21_500);
    let (read, now) = read_later(&octets, later, &policy).expect("a head");
    assert_same(&read, &written);
    let read = read.packed();
    assert_eq!(read.resident(now), later);
    // It took a second, and came with an Age of ten.
    assert_eq!(read.freshness.age(read.resident(now)).as_secs(), 32);
    assert_eq!(
        now.mono.since(read.requested()),
        later + Duration::from_secs(1)
    );
    assert!(read.selected_by(&map(&request), Some(&[9; 32]), &policy.vary));
    assert!(!read.selected_by(&map(&request), None, &policy.vary));
    let other = map(&[("accept-language", "fr")]);
    assert!(!read.selected_by(&other, Some(&[9; 32]), &policy.vary));
}

#[test]
fn what_was_to_be_validated_still_is_and_immutable_is_trusted_as_it_was() {
    let policy = Policy::default();
    let response = [("cache-control", "max-age=60, immutable")];
    let written = draft(&[], &response, &policy);
    let second = Duration::from_secs(1);
    for (freshness, (is_fresh, immutable)) in [
        (written.freshness, (true, true)),
        (written.freshness.mutable(), (true, false)),
        (written.freshness.expired(), (false, true)),
    ] {
        let written = Draft {
            freshness,
            ..written.clone()
        };
        let octets = pack(&written.packed(), &policy, false).octets;
        let (read, now) = read_later(&octets, second, &policy).expect("a head");
        assert_eq!(read.freshness.immutable, immutable);
        let head = read.packed();
        assert_eq!(head.freshness.is_fresh(head.resident(now)), is_fresh);
        let no_cache = head.freshness.must_validate == Some(MustValidate::NoCache);
        assert_eq!(no_cache, !is_fresh);
    }
}

#[test]
fn an_age_that_cannot_be_told_makes_it_unreadable() {
    let policy = Policy::default();
    let octets = pack(&draft(&[], &[], &policy).packed(), &policy, false).octets;
    let before = Timestamp::from_millis(START.as_millis() - 1);
    assert!(unpack(&octets, Clock::manual(before).0.now(), &policy, 7).is_none());
    let year = Duration::from_secs(365 * 86_400);
    assert!(read_later(&octets, year, &policy).is_some());
    assert!(read_later(&octets, year + Duration::from_millis(1), &policy).is_none());
}

#[test]
fn two_variants_differ_and_a_newer_response_for_the_same_requests_does_not() {
    let policy = Policy::default();
    let vary = |language, etag| {
        let request = [("accept-language", language)];
        let response = [("vary", "accept-language"), ("etag", etag)];
        pack(
            &draft(&request, &response, &policy).packed(),
            &policy,
            false,
        )
        .variant
    };
    assert_eq!(vary("de", "\"1\""), vary("de", "\"2\""));
    assert_ne!(vary("de", "\"1\""), vary("en", "\"1\""));
    let plain = pack(&draft(&[], &[], &policy).packed(), &policy, false).variant;
    assert_ne!(plain, vary("de", "\"1\""));
}

#[test]
fn a_head_with_several_lines_of_age_is_as_old_when_it_is_read() {
    let policy = Policy::default();
    for lines in [["", "1"], ["7", "1"], [" , ", "30"], ["x", "5"]] {
        let response = lines.map(|line| ("age", line));
        let written = draft(&[], &response, &policy);
        let octets = pack(&written.clone().packed(), &policy, false).octets;
        let (read, _) = read_later(&octets, Duration::ZERO, &policy).expect("a head");
        assert_same(&read, &written);
    }
}

#[test]
fn octets_of_another_version_or_of_other_tables_are_not_read() {
    let policy = Policy::default();
    let octets = pack(&draft(&[], &[], &policy).packed(), &policy, false).octets;
    let now = Clock::manual(START).0.now();
    assert!(unpack(&octets, now, &policy, 7).is_some());
    for at in 0..9 {
        let mut other = octets.to_vec();
        other[at] ^= 1;
        assert!(unpack(&other, now, &policy, 7).is_none(), "{at}");
    }
}

#[test]
fn what_is_for_all_by_other_settings_is_not_read() {
    let policy = Policy::default();
    let octets = pack(&draft(&[], &[], &policy).packed(), &policy, false).octets;
    let now = Clock::manual(START).0.now();
    let listed = vec![HeaderName::from_static("x-api-key")];
    let mut others = vec![policy.clone(); 4];
    others[0].credential_fields = listed;
    others[1].ignore.private = !policy.ignore.private;
    others[2].set_cookie = SetCookie::Strip;
    others[3].targeted_fields = Vec::new();
    for other in &others {
        assert!(unpack(&octets, now, other, 7).is_none(), "{other:?}");
    }
    assert!(unpack(&octets, now, &policy, 7).is_some());
}

proptest! {
    #[test]
    fn every_head_comes_out_again_and_no_part_of_one_does(
        request in proptest::collection::vec(("a|b|cookie|accept", "[ -~]{0,20}"), 0..4),
        response in proptest::collection::vec(
            ("etag|cache-control|age|x-mine|last-modified|no-vary-search", "[ -~]{0,40}"), 0..6
        ),
        vary in proptest::option::of("a|b, accept|cookie|[*]"),
    ) {
        let policy = Policy::default();
        let lines = |lines: &[(String, String)]| {
            let lines = lines.iter().map(|(name, value)| (name.clone(), value.trim().to_owned()));
            lines.collect::<Vec<_>>()
        };
        let (request, mut response) = (lines(&request), lines(&response));
        response.extend(vary.map(|vary| ("vary".to_owned(), vary)));
        let request: Vec<_> = request.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let response: Vec<_> = response.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let written = draft(&request, &response, &policy);
        let octets = pack(&written.clone().packed(), &policy, false).octets;
        let (read, _) = read_later(&octets, Duration::ZERO, &policy).expect("a head");
        assert_same(&read, &written);
        for length in 0..octets.len() {
            prop_assert!(read_later(&octets[..length], Duration::ZERO, &policy).is_none());
        }
    }
}
