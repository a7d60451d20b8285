//! What is superseded or purged leaves the server, from which nothing may be evicted.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::members::{MANY, Told, acknowledged, member_of, run_two, until_all_serve, url};
use super::server::{LONG, TestServer, runtime, until};
use crate::ledger::protocol::fills::{Nonce, Released};
use crate::semantics::time::Timestamp;
use crate::tier::Record;
use crate::tier::fleet::{Begun, Brought, Epoch, Slot};
use crate::tier::valkey::member::Member;

const TARGET: &str = "http://h/books/1";

/// The length of a body that has two chunks.
const LONG_BODY: usize = 300_000;

/// Runs a test beside two members of a fleet that all serve.
fn beside_two(test: impl AsyncFnOnce(&TestServer, [&Member<Told>; 2])) {
    let server = TestServer::start();
    let members = [1, 2].map(|id| member_of(&server.servers(), id, MANY, 0));
    runtime().block_on(async {
        drop(server.connection().await);
        run_two(&members, async |members, _| {
            until_all_serve(members).await;
            test(&server, members).await;
        })
        .await;
    });
}

/// The keys of what is stored, without those of the ledger.
async fn keys(server: &TestServer) -> Vec<String> {
    let mut keys: Vec<String> = server.command("KEYS bk:books:*").await;
    keys.sort();
    keys
}

fn epoch_of(member: &Member<Told>) -> Epoch {
    member.stamp().expect("a ledger").epoch
}

fn slot(member: &Member<Told>, variant: u8) -> Slot {
    Slot {
        epoch: epoch_of(member),
        target: TARGET.into(),
        variant: [variant; 16],
    }
}

fn brought(member: &Member<Told>, body: usize, selectors: &str) -> Brought {
    Brought {
        record: Record {
            target: TARGET.into(),
            variant: [9; 16],
            stamp: member.stamp().expect("a ledger").number,
            stored: Timestamp::from_secs(1_800_000_000),
            until: Timestamp::from_secs(1_800_003_600),
            head: Bytes::from_static(b"a head"),
            body: vec![Bytes::from(vec![b'x'; body])],
        },
        selectors: selectors.into(),
        keep: LONG,
    }
}

/// A fill of its own number begins, whatever is stored.
async fn lead(member: &Member<Told>, variant: u8) -> Nonce {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let fill = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut unfit = None;
    loop {
        match member
            .begin_fill(slot(member, variant), fill, unfit, LONG)
            .await
        {
            Begun::Stored(found) => unfit = Some(found.fill),
            Begun::Lead => return fill,
            other => panic!("{other:?}"),
        }
    }
}

async fn store(member: &Member<Told>, variant: u8, body: usize, selectors: &str) {
    let fill = lead(member, variant).await;
    let brought = brought(member, body, selectors);
    let stored = member.commit_fill(slot(member, variant), fill, brought);
    assert!(stored.await);
}

#[test]
#[ignore = "needs redis-server"]
fn five_hundred_changes_of_a_url_with_a_long_body_leave_the_latest_alone() {
    beside_two(async |server, members| {
        for change in 0..500 {
            let member = members[change % 2];
            store(member, 0, LONG_BODY + change, "").await;
            if change % 50 == 0 {
                // The entry, and the two chunks of its body.
                let keys = keys(server).await;
                assert_eq!(keys.len(), 3, "after {change}: {keys:?}");
            }
        }
        let keys = keys(server).await;
        assert_eq!(keys.len(), 3, "{keys:?}");
        let found = members[0].peek(slot(members[0], 0), LONG).await;
        let body = found.expect("the latest").record.body.concat();
        assert_eq!(body.len(), LONG_BODY + 499);
    });
}

#[test]
#[ignore = "needs redis-server"]
fn what_other_fields_have_selected_is_deleted_when_the_first_slot_names_others() {
    beside_two(async |server, [member, _]| {
        for variant in [1, 2] {
            store(member, variant, LONG_BODY, "accept-language").await;
        }
        store(member, 0, 0, "accept-language").await;
        assert_eq!(keys(server).await.len(), 5, "the variants stay");
        // As after a change of the API: the response comes first, and then what names its fields.
        store(member, 3, LONG_BODY, "accept-encoding").await;
        store(member, 0, 0, "accept-encoding").await;
        let keys = keys(server).await;
        assert_eq!(keys.len(), 3, "{keys:?}");
        assert!(member.peek(slot(member, 3), LONG).await.is_some());
        assert!(member.peek(slot(member, 1), LONG).await.is_none());
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_body_whose_response_is_not_stored_does_not_stay() {
    beside_two(async |server, [member, _]| {
        let (fill, brought) = (99, brought(member, LONG_BODY, ""));
        // It has no lease.
        assert!(!member.commit_fill(slot(member, 0), fill, brought).await);
        assert_eq!(keys(server).await, [""; 0]);
    });
}

#[test]
#[ignore = "needs redis-server"]
fn what_an_uncacheable_response_outdates_is_deleted() {
    beside_two(async |server, [member, _]| {
        store(member, 0, LONG_BODY, "").await;
        let fill = lead(member, 0).await;
        member
            .release_fill(slot(member, 0), fill, Released::Outdated)
            .await;
        let keys = keys(server).await;
        assert_eq!(keys.len(), 1, "the mark alone: {keys:?}");
    });
}

#[test]
#[ignore = "needs redis-server"]
fn what_was_purged_by_its_url_leaves_the_server_and_what_came_later_stays() {
    beside_two(async |server, members| {
        store(members[0], 0, LONG_BODY, "").await;
        let old = brought(members[0], LONG_BODY, "");
        acknowledged(members[1], &url(1)).await;
        until(async || keys(server).await.is_empty()).await;
        // Fetched before, and stored after: it is dead, and goes with the next purge.
        let fill = lead(members[0], 1).await;
        assert!(members[0].commit_fill(slot(members[0], 1), fill, old).await);
        acknowledged(members[0], &url(2)).await;
        store(members[0], 0, 10, "").await;
        let kept = keys(server).await;
        assert_eq!(kept.len(), 3, "{kept:?}");
        // A repetition of the first purge would take nothing that is not older.
        let number = members[0].stamp().expect("a ledger").number;
        let epoch = epoch_of(members[0]);
        members[0].delete_behind(epoch, number, &url(1));
        until(async || keys(server).await.len() == 1).await;
        assert!(members[1].peek(slot(members[1], 0), LONG).await.is_some());
    });
}
