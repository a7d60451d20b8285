//! Bodies that are filled and read, fills that are followed, and the store between a commit and an invalidation, in
//! every order in which their threads can meet.
//!
//! `RUSTFLAGS="--cfg bookend_loom" cargo test --test loom --profile compare`

#![cfg(bookend_loom)]

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bookend::cache::body::{Chunk, Reader, SharedBody, StoredBody, Window, Writer};
use bookend::cache::budget::{Budget, Token};
use bookend::cache::collapse::{Ask, Fill, Follower, FollowerEvent};
use bookend::cache::content::Content;
use bookend::cache::head::{Draft, Head};
use bookend::cache::key::Keyer;
use bookend::cache::outcome::{NotCommitted, Outcome, Settled};
use bookend::cache::store::{Count, Limits, Role, Sharing, Store};
use bookend::cache::stored::StoredResponse;
use bookend::clock::Monotonic;
use bookend::error::{Error, ErrorKind};
use bookend::ledger::invalidation::{Invalidation, Matcher};
use bookend::semantics::cache_control::ResponseDirectives;
use bookend::semantics::freshness::{Freshness, Receipt};
use bookend::semantics::no_vary_search::SearchVariance;
use bookend::semantics::policy::{Policy, VaryPolicy};
use bookend::semantics::selector::Selector;
use bookend::semantics::time::Timestamp;
use bookend::semantics::validation::Validators;
use bookend::semantics::vary::{VariantKey, Vary};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use loom::future::block_on;
use loom::thread;

fn budget() -> Arc<Budget> {
    Budget::new(1 << 20)
}

/// Every order with at most so many threads taken off their core in mid-course: two suffice for all known races here.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 100_000;
    builder.check(check);
}

fn window(each: u64) -> Window {
    Window { each, all: 1 << 20 }
}

/// All that a reader gets, and how it ends.
fn read(mut reader: Reader) -> (Vec<u8>, Result<(), ErrorKind>) {
    block_on(async move {
        let mut got = Vec::new();
        loop {
            match poll_fn(|cx| reader.poll_chunk(cx)).await {
                Some(Ok(Chunk::Data(data))) => got.extend_from_slice(&data),
                Some(Ok(Chunk::Trailers(_))) => {}
                Some(Err(error)) => return (got, Err(error.kind())),
                None => return (got, Ok(())),
            }
        }
    })
}

fn room(writer: &mut Writer) {
    block_on(poll_fn(|cx| writer.poll_room(cx)));
}

#[test]
fn a_reader_gets_every_byte_whenever_it_asks() {
    model(|| {
        let (body, mut writer) = SharedBody::new(&budget());
        let reader = body.reader().expect("a new body");
        let late = thread::spawn(move || body.reader().map(read));
        let reading = thread::spawn(move || read(reader));
        writer.push(b"one ").expect("room");
        writer.append(b"two").expect("room");
        let stored = writer.seal().expect("storable");
        writer.end(None);
        assert_eq!(stored.len(), 7);
        assert_eq!(reading.join().unwrap(), (b"one two".to_vec(), Ok(())));
        assert_eq!(late.join().unwrap(), Some((b"one two".to_vec(), Ok(()))));
    });
}

#[test]
fn a_writer_that_vanishes_is_never_taken_for_the_end() {
    model(|| {
        let (body, mut writer) = SharedBody::new(&budget());
        let reader = body.reader().expect("a new body");
        let reading = thread::spawn(move || read(reader));
        writer.push(b"half").expect("room");
        drop(writer);
        let (got, end) = reading.join().unwrap();
        assert_eq!(
            (&*got, end),
            (&b"half"[..], Err(ErrorKind::ResponseIncomplete))
        );
    });
}

#[test]
fn a_writer_that_waits_for_room_gets_it_when_its_reader_reads_or_leaves() {
    model(|| {
        let (body, mut writer) = SharedBody::new(&budget());
        let mut leaver = body.reader().expect("a new body");
        let reader = body.reader().expect("a new body");
        drop(body);
        let leaving = thread::spawn(move || {
            drop(leaver.poll_chunk(&mut Context::from_waker(Waker::noop())));
        });
        let reading = thread::spawn(move || read(reader));
        writer.push(b"12345").expect("room");
        writer.stop_storing(window(4));
        room(&mut writer);
        writer.push(b"678").expect("room");
        writer.end(None);
        leaving.join().unwrap();
        assert_eq!(reading.join().unwrap(), (b"12345678".to_vec(), Ok(())));
    });
}

#[test]
fn a_reader_that_comes_late_to_a_window_gets_all_or_is_told_so() {
    model(|| {
        let (body, mut writer) = SharedBody::new(&budget());
        let joining = thread::spawn(move || body.reader().map(read));
        writer.push(b"12345").expect("room");
        writer.stop_storing(window(4));
        room(&mut writer);
        writer.push(b"678").expect("room");
        writer.end(None);
        if let Some(read) = joining.join().unwrap() {
            assert_eq!(read, (b"12345678".to_vec(), Ok(())));
        }
    });
}

#[test]
fn a_reader_that_is_cut_off_never_sees_a_whole_body() {
    model(|| {
        let (body, mut writer) = SharedBody::new(&budget());
        let reader = body.reader().expect("a new body");
        drop(body);
        let reading = thread::spawn(move || read(reader));
        writer.push(b"1234").expect("room");
        writer.stop_storing(window(4));
        writer.push(b"5678").expect("room");
        writer.charge_slow_readers(Duration::from_secs(1), Duration::ZERO);
        writer.end(None);
        match reading.join().unwrap() {
            (got, Ok(())) => assert_eq!(got, b"12345678"),
            (_, Err(kind)) => assert_eq!(kind, ErrorKind::ReaderTooSlow),
        }
    });
}

fn ask() -> Ask {
    Ask {
        headers: HeaderMap::new(),
        digest: None,
        span: None,
    }
}

fn fill() -> Arc<Fill> {
    let key = Keyer::default().key("http://a/").to_key();
    Fill::new(key, ask(), true, Monotonic::default(), 0)
}

#[test]
fn every_follower_hears_how_a_fill_ended() {
    model(|| {
        let fill = fill();
        let hear = |follower: Follower| thread::spawn(move || block_on(follower.event()));
        let (one, gone) = (hear(fill.follow()), fill.follow());
        let leaving = thread::spawn(move || drop(gone));
        fill.settle(Settled::Abandoned);
        fill.settle(Settled::Failed(Error::internal()));
        let late = fill.follow();
        assert!(matches!(one.join().unwrap(), FollowerEvent::Abandoned));
        assert!(matches!(block_on(late.event()), FollowerEvent::Abandoned));
        leaving.join().unwrap();
    });
}

#[test]
fn a_follower_joins_a_stream_from_its_first_byte_or_not_at_all() {
    model(|| {
        let fill = fill();
        let follower = fill.follow();
        let following = thread::spawn(move || match block_on(follower.event()) {
            FollowerEvent::Streaming(_, reader) => Some(read(reader)),
            FollowerEvent::Unshared => None,
            news => panic!("{news:?}"),
        });
        let (body, mut writer) = SharedBody::new(&budget());
        fill.stream(Arc::new(head(&[], fill.stamp)), body);
        writer.push(b"1234").expect("room");
        writer.stop_storing(window(2));
        writer.push(b"5678").expect("room");
        writer.end(None);
        if let Some(read) = following.join().unwrap() {
            assert_eq!(read, (b"12345678".to_vec(), Ok(())));
        }
    });
}

fn head(fields: &[(&'static str, &'static str)], stamp: u64) -> Head {
    let headers: HeaderMap = fields
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    let policy = Policy::default();
    let receipt = Receipt {
        request_time: Timestamp::from_millis(0),
        response_time: Timestamp::from_millis(0),
    };
    let directives = ResponseDirectives::parse(&headers, &[]);
    let status = StatusCode::OK;
    Draft {
        status,
        reason: None,
        origin_validators: Validators::of(&headers),
        freshness: Freshness::compute(status, &headers, &directives, receipt, false, &policy),
        received: Monotonic::default(),
        variant: VariantKey::of(&Vary::None, &HeaderMap::new(), &VaryPolicy::default()),
        digest: None,
        groups: Box::new(["books".into()]),
        tags: HeaderMap::new(),
        search: SearchVariance::parse(&headers).map(Box::new),
        content_length: None,
        age: None,
        receipt,
        credentialed: false,
        epoch: 0,
        stamp,
        headers,
    }
    .packed()
}

fn stored(fields: &[(&'static str, &'static str)], stamp: u64) -> Arc<StoredResponse> {
    let content = Content::Complete(StoredBody::new(&[], Token::empty(&budget())));
    let token = Token::take(&budget(), 1);
    Arc::new(StoredResponse::new(head(fields, stamp), content, token))
}

fn lead_or_follow(store: &Store, target: &str) -> Role {
    let vary = VaryPolicy::default();
    let sharing = Sharing {
        follow: true,
        lead: true,
        vary: &vary,
        limits: Limits {
            since: None,
            now: Monotonic::default(),
            leader_timeout: Duration::from_secs(60),
            max_followers: 8,
        },
    };
    let key = store.key(target);
    let seen = store.look_up(key);
    store.lead_or_follow(key, seen.as_ref(), ask(), sharing)
}

fn lead(store: &Store, target: &str) -> Arc<Fill> {
    match lead_or_follow(store, target) {
        Role::Lead(fill) => fill,
        role => panic!("{role:?}"),
    }
}

fn commit(
    store: &Store,
    fill: &Arc<Fill>,
    fields: &[(&'static str, &'static str)],
) -> Option<NotCommitted> {
    let outcome = Outcome::Stored(stored(fields, fill.stamp));
    store.finish(fill, outcome, &VaryPolicy::default())
}

/// A follower that is told of a stored response finds it in the store.
#[test]
fn a_fill_is_stored_before_those_who_wait_are_told() {
    model(|| {
        let store = Arc::new(Store::new(1 << 20, 4));
        let fill = lead(&store, PLAIN);
        let follower = fill.follow();
        let waiting = thread::spawn({
            let store = store.clone();
            move || match block_on(follower.event()) {
                FollowerEvent::Stored(_) => store.look_up(store.key(PLAIN)).is_some(),
                event => panic!("{event:?}"),
            }
        });
        assert_eq!(commit(&store, &fill, &[]), None);
        assert!(waiting.join().unwrap(), "told before it was stored");
    });
}

/// A fill that begins before an invalidation is acknowledged is neither stored nor joined after it.
fn overtaken(
    target: &'static str,
    home: &'static str,
    fields: &'static [(&'static str, &'static str)],
    matcher: Matcher,
) {
    let invalidation = Invalidation::hard(vec![matcher]);
    model(move || {
        let store = Arc::new(Store::new(1 << 20, 4));
        if home != target {
            // The rule that makes them one is known.
            let first = lead(&store, home);
            assert_eq!(commit(&store, &first, fields), None, "there is room");
            store.apply(&invalidation);
        }
        let fill = lead(&store, target);
        let committing = thread::spawn({
            let store = store.clone();
            move || {
                let _ = commit(&store, &fill, fields);
            }
        });
        store.apply(&invalidation);
        let found = store.look_up(store.key(home));
        assert!(
            found.is_none(),
            "an acknowledged invalidation was overtaken"
        );
        committing.join().unwrap();
        let found = store.look_up(store.key(home));
        assert!(found.is_none(), "an acknowledged invalidation was undone");
        assert!(matches!(lead_or_follow(&store, target), Role::Lead(_)));
    });
}

fn prefix(text: &str) -> Matcher {
    Matcher::Urls(Selector::prefix(text).expect("a prefix"))
}

const PLAIN: &str = "http://a/b";

#[test]
fn an_invalidation_wins_over_a_commit() {
    overtaken(PLAIN, PLAIN, &[], Matcher::target(PLAIN));
}

#[test]
fn an_invalidation_of_a_path_wins_over_a_commit() {
    overtaken("http://a/b?q", "http://a/b?q", &[], Matcher::path(PLAIN));
}

#[test]
fn a_purge_of_a_prefix_wins_over_a_commit() {
    overtaken(PLAIN, PLAIN, &[], prefix("http://a"));
}

#[test]
fn a_purge_of_a_prefix_on_every_host_wins_over_a_commit() {
    overtaken("http://a/b/c", "http://a/b/c", &[], prefix("/b"));
}

#[test]
fn a_purge_of_everything_wins_over_a_commit() {
    overtaken(PLAIN, PLAIN, &[], Matcher::All);
}

#[test]
fn a_purge_of_a_group_wins_over_a_commit() {
    overtaken(PLAIN, PLAIN, &[], Matcher::tag("http://a", "books"));
}

/// A query that is the same but for what does not matter.
const IGNORED: (&str, &str) = ("no-vary-search", "params=(\"utm\")");

#[test]
fn an_invalidation_wins_over_the_commit_of_a_query_that_is_the_same_but_for_what_does_not_matter() {
    let matcher = Matcher::target("http://a/b?q=1");
    overtaken(
        "http://a/b?q=1&utm=2",
        "http://a/b?q=1",
        &[IGNORED],
        matcher,
    );
}

#[test]
fn a_purge_of_a_path_wins_over_such_a_commit_too() {
    let matcher = Matcher::path(PLAIN);
    overtaken(
        "http://a/b?q=1&utm=2",
        "http://a/b?q=1",
        &[IGNORED],
        matcher,
    );
}

#[test]
fn a_purge_of_a_group_wins_over_such_a_commit_too() {
    let matcher = Matcher::tag("http://a", "books");
    overtaken(
        "http://a/b?q=1&utm=2",
        "http://a/b?q=1",
        &[IGNORED],
        matcher,
    );
}

/// A purge that holds before what it covers is removed.
#[test]
fn a_published_purge_wins_over_a_commit_and_what_comes_after_it_stays() {
    let purge = Invalidation::hard(vec![Matcher::tag("http://a", "books")]);
    model(move || {
        let store = Arc::new(Store::new(1 << 20, 4));
        store.publish_from(0);
        let fill = lead(&store, PLAIN);
        let committing = thread::spawn({
            let store = store.clone();
            move || {
                let _ = commit(&store, &fill, &[]);
            }
        });
        let (_, removal) = store.begin(&purge, Count::All);
        let found = store.look_up(store.key(PLAIN));
        assert!(found.is_none(), "an acknowledged purge was overtaken");
        committing.join().unwrap();
        let removing = thread::spawn({
            let store = store.clone();
            move || {
                if let Some(removal) = removal {
                    store.remove(removal);
                }
            }
        });
        let found = store.look_up(store.key(PLAIN));
        assert!(found.is_none(), "an acknowledged purge was undone");
        removing.join().unwrap();
        assert!(store.look_up(store.key(PLAIN)).is_none());
    });
}

/// What is stored is looked up while it is removed behind a purge that was acknowledged.
#[test]
fn a_look_up_beside_the_removal_finds_nothing_older() {
    let purge = Invalidation::hard(vec![Matcher::tag("http://a", "books")]);
    model(move || {
        let store = Arc::new(Store::new(1 << 20, 4));
        store.publish_from(1);
        let fill = lead(&store, PLAIN);
        assert_eq!(commit(&store, &fill, &[]), None);
        let (applied, removal) = store.begin(&purge, Count::All);
        assert_eq!(applied.resources, 1);
        let removing = thread::spawn({
            let store = store.clone();
            move || store.remove(removal.expect("something to be removed"))
        });
        let found = store.look_up(store.key(PLAIN));
        assert!(found.is_none(), "an acknowledged purge was undone");
        removing.join().unwrap();
        assert!(store.look_up(store.key(PLAIN)).is_none());
    });
}
