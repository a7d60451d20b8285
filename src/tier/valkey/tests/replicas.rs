//! Invalidations that replicas have to have taken before they are acknowledged.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::time::sleep;

use super::connections::linked;
use super::members::{
    MANY, Told, acknowledged, invalidate, may_use, member_of, run_two, until_all_serve, url,
};
use super::server::{TestServer, runtime, until};
use crate::clock::timer_now;
use crate::tier::fleet::Use;
use crate::tier::valkey::member::Member;

#[test]
#[ignore = "needs redis-server"]
fn without_its_replica_no_invalidation_is_acknowledged_and_everything_else_goes_on() {
    let (primary, replica) = (TestServer::start(), TestServer::start());
    let servers = primary.servers();
    let members = [1, 2].map(|id| member_of(&servers, id, MANY, 1));
    runtime().block_on(async {
        drop(primary.connection().await);
        replica.follow(&primary).await;
        run_two(&members, async |members, _| {
            until_all_serve(members).await;
            acknowledged(members[0], &url(0)).await;
            until_all_serve(members).await;
            let link = linked(members[0].connection()).await;
            replica.signal("STOP");
            let invalidations = (1..=40).map(url).collect::<Vec<_>>();
            let purges = invalidations.iter();
            let purges = purges.map(|url| Box::pin(invalidate(members[0], url)));
            let mut purges = purges.collect::<Vec<_>>();
            let counters = members[0].connection().counters();
            let late = counters.late.load(Ordering::Relaxed);
            let began = timer_now();
            while began.elapsed() < Duration::from_millis(2_500) {
                for purge in &mut purges {
                    let polled = poll_fn(|context| Poll::Ready(purge.as_mut().poll(context)));
                    assert!(polled.await.is_pending(), "it is acknowledged");
                }
                let serves = |member: &&Member<Told>| may_use(member) == Use::AsTheyAre;
                assert!(members.iter().all(serves));
                assert!(link.epoch_in_force().await.is_ok());
                sleep(Duration::from_millis(5)).await;
            }
            // All others have taken them over meanwhile.
            for invalidation in &invalidations {
                let told = members[1].memory().count(&invalidation.to_string());
                assert_eq!(told, 1, "{invalidation}");
            }
            assert_eq!(counters.late.load(Ordering::Relaxed), late);
            assert_eq!(counters.given_up.load(Ordering::Relaxed), 0);
            replica.signal("CONT");
            for purge in purges {
                assert!(purge.await.is_some());
            }
            assert!(
                members[0]
                    .connection()
                    .link()
                    .is_some_and(|now| now.is(&link))
            );
            until(async || primary.info("connected_slaves").await == "1").await;
        })
        .await;
    });
}
