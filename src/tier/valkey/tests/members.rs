//! Gateways that share a ledger: what is acknowledged at one holds at all of them.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::server::{LONG, TestServer, runtime};
use crate::clock::{self, Clock, timer_now};
use crate::config::valkey_servers::Servers;
use crate::ledger::invalidation::{Invalidation, Matcher};
use crate::ledger::protocol::server::Limits;
use crate::ledger::protocol::timing::Timing;
use crate::tier::fleet::{Acknowledged, Epoch, Lease, Memory, Place, Stored, Use};
use crate::tier::valkey::keys::Namespace;
use crate::tier::valkey::ledger::Ledger;
use crate::tier::valkey::member::{Member, Settings};

/// Shorter than those of a fleet, so that a test can wait for their ends.
pub const TIMING: Timing = Timing {
    lease: 900,
    deaf: 0,
    asked: 300,
    registered: 3_000,
    replaced: 300,
    drift: 100,
};

/// Remembers what it was told to do.
#[derive(Debug, Default)]
pub struct Told(Mutex<Vec<String>>, Option<Duration>);

impl Told {
    fn push(&self, what: String) {
        self.0.lock().expect("no panic").push(what);
    }

    pub fn count(&self, what: &str) -> usize {
        let told = self.0.lock().expect("no panic");
        told.iter().filter(|told| *told == what).count()
    }
}

impl Memory for Told {
    fn apply(&self, invalidation: &Invalidation, _number: u64) {
        if let Some(takes) = self.1 {
            std::thread::sleep(takes);
        }
        self.push(invalidation.to_string());
    }

    fn begin_epoch(&self, _epoch: Epoch, stored: Stored) {
        self.push(format!("{stored:?}"));
    }

    fn raise_floor(&self, _floor: u64) {}

    fn validate_all(&self) {
        self.push("validate".to_owned());
    }
}

fn member(server: &TestServer, id: u64, limits: Limits) -> Member<Told> {
    member_of(&server.servers(), id, limits, 0)
}

pub fn member_of(servers: &Servers, id: u64, limits: Limits, replicas: u32) -> Member<Told> {
    let settings = Settings {
        servers: servers.clone(),
        ledger: Ledger {
            namespace: Namespace::new("books").expect("a name"),
            limits,
        },
        timing: TIMING,
        id,
        replicas,
    };
    let (told, lease) = (Told::default(), Arc::new(Lease::ended()));
    Member::new(settings, Clock::system(), told, lease)
}

pub const MANY: Limits = Limits {
    log: 100,
    ledger: 100,
};

pub fn url(number: u32) -> Invalidation {
    Invalidation::hard(vec![Matcher::target(format!("http://h/books/{number}"))])
}

/// Runs the member while the switch is on, beside a test.
async fn while_on(member: &Member<Told>, mut switch: watch::Receiver<bool>) {
    loop {
        let _ = switch.wait_for(|is_on| *is_on).await;
        let off = async {
            let _ = switch.wait_for(|is_on| !is_on).await;
        };
        tokio::select! {
            () = member.run() => {}
            () = off => {}
        }
    }
}

/// Runs two members and the test, which may switch the second one off.
fn with_two(
    limits: Limits,
    test: impl AsyncFnOnce(&mut TestServer, [&Member<Told>; 2], &watch::Sender<bool>),
) {
    let mut server = TestServer::start();
    let members = [1, 2].map(|id| member(&server, id, limits));
    runtime().block_on(async {
        // The server answers before anything is expected of it.
        drop(server.connection().await);
        run_two(&members, async |members, switch| {
            test(&mut server, members, switch).await;
        })
        .await;
    });
}

/// The same, with members that a test has made.
pub async fn run_two(
    [here, there]: &[Member<Told>; 2],
    test: impl AsyncFnOnce([&Member<Told>; 2], &watch::Sender<bool>),
) {
    let switch = watch::Sender::new(true);
    tokio::select! {
        () = here.run() => unreachable!("it does not end"),
        () = while_on(there, switch.subscribe()) => unreachable!("it does not end"),
        () = test([here, there], &switch) => {}
    }
}

async fn until(what: impl Fn() -> bool) {
    let began = timer_now();
    while !what() {
        assert!(began.elapsed() < LONG, "it does not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn until_all_serve(members: [&Member<Told>; 2]) {
    until(|| {
        members
            .iter()
            .all(|member| may_use(member) == Use::AsTheyAre)
    })
    .await;
}

pub fn may_use(member: &Member<Told>) -> Use {
    member.may_use(member.clock().now().mono)
}

/// Carries an invalidation out at a member, and waits for the fleet.
pub async fn invalidate(
    member: &Member<Told>,
    invalidation: &Invalidation,
) -> Option<Acknowledged> {
    member.memory().apply(invalidation, 0);
    let announced = member.announce(invalidation);
    let acknowledged = clock::within(LONG, pin!(announced.acknowledged)).await;
    acknowledged.ok().and_then(Result::ok)
}

pub async fn acknowledged(member: &Member<Told>, invalidation: &Invalidation) -> Place {
    let acknowledged = invalidate(member, invalidation).await;
    acknowledged.expect("it is acknowledged").place
}

#[test]
#[ignore = "needs redis-server"]
fn a_purge_is_acknowledged_once_the_other_gateway_has_taken_it_over() {
    with_two(MANY, async |_, members, _| {
        until_all_serve(members).await;
        // In a young epoch, gateways may serve of which nobody knows.
        acknowledged(members[0], &url(0)).await;
        let mut took = Vec::new();
        for number in 1..=50 {
            let (here, there) = (number as usize % 2, 1 - number as usize % 2);
            let began = timer_now();
            let place = acknowledged(members[here], &url(number)).await;
            took.push(began.elapsed());
            assert_eq!(place.number, u64::from(number) + 1);
            assert_eq!(members[there].memory().count(&url(number).to_string()), 1);
            assert!(members[there].answers(place), "a receipt holds everywhere");
            // Its own one a second time, when its number came.
            assert_eq!(members[here].memory().count(&url(number).to_string()), 2);
        }
        took.sort();
        println!("acknowledged after {:?}, at most {:?}", took[25], took[49]);
        assert!(took[25] < Duration::from_millis(300), "{:?}", took[25]);
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_purge_is_not_acknowledged_while_another_gateway_may_serve_that_has_not_taken_it_over() {
    with_two(MANY, async |_, members, switch| {
        until_all_serve(members).await;
        acknowledged(members[0], &url(0)).await;
        until_all_serve(members).await;
        switch.send_replace(false);
        let invalidation = url(1);
        let mut purge = pin!(invalidate(members[0], &invalidation));
        tokio::select! {
            place = &mut purge => panic!("acknowledged: {place:?}"),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        let told = || members[1].memory().count(&url(1).to_string());
        assert_eq!(told(), 0);
        switch.send_replace(true);
        assert!(purge.await.is_some());
        assert_eq!(told(), 1);
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_gateway_that_has_gone_is_waited_for_until_its_lease_has_ended() {
    with_two(MANY, async |_, members, switch| {
        until_all_serve(members).await;
        acknowledged(members[0], &url(0)).await;
        switch.send_replace(false);
        let invalidation = url(1);
        let mut purge = pin!(invalidate(members[0], &invalidation));
        // Until it is acknowledged, the other one may serve; afterwards it may not.
        let mut served = false;
        let place = loop {
            served |= may_use(members[1]) == Use::AsTheyAre;
            tokio::select! {
                place = &mut purge => break place.expect("it is acknowledged").place,
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        };
        assert!(served);
        assert_ne!(may_use(members[1]), Use::AsTheyAre);
        assert!(!members[1].answers(place));
        switch.send_replace(true);
        until_all_serve(members).await;
        assert_eq!(members[1].memory().count(&url(1).to_string()), 1);
        assert!(members[1].answers(place));
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_purge_outlives_the_server_and_a_new_epoch_begins() {
    with_two(MANY, async |server, members, _| {
        until_all_serve(members).await;
        for number in 10..15 {
            acknowledged(members[0], &url(number)).await;
        }
        let before = acknowledged(members[0], &url(0)).await;
        server.restart();
        let after = acknowledged(members[1], &url(1)).await;
        assert_ne!(before.epoch, after.epoch);
        // Numbers begin anew. One whose answer was late has two of them.
        assert!(after.number < before.number, "{after:?} {before:?}");
        assert_ne!(members[0].memory().count(&url(1).to_string()), 0);
        assert!(
            !members[0].answers(before),
            "receipts of another epoch hold no more"
        );
    });
}

#[test]
#[ignore = "needs redis-server"]
fn what_the_log_does_not_tell_any_more_is_read_from_the_ledger() {
    let few = Limits { log: 2, ledger: 4 };
    with_two(few, async |_, members, switch| {
        until_all_serve(members).await;
        acknowledged(members[0], &url(0)).await;
        until_all_serve(members).await;
        switch.send_replace(false);
        for number in 1..=4 {
            acknowledged(members[0], &url(number)).await;
        }
        switch.send_replace(true);
        until_all_serve(members).await;
        for number in 1..=4 {
            assert_eq!(
                members[1].memory().count(&url(number).to_string()),
                1,
                "{number}"
            );
        }
        assert_eq!(members[1].memory().count("validate"), 0);
        switch.send_replace(false);
        for number in 5..=12 {
            acknowledged(members[0], &url(number)).await;
        }
        switch.send_replace(true);
        until_all_serve(members).await;
        assert_eq!(members[1].memory().count(&url(12).to_string()), 1);
        assert_eq!(
            members[1].memory().count("validate"),
            1,
            "not all are remembered"
        );
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_gateway_that_takes_long_to_join_reads_the_log_all_the_same() {
    let server = TestServer::start();
    let limits = Limits {
        log: 100,
        ledger: 10_000,
    };
    let here = member(&server, 1, limits);
    let mut there = member(&server, 2, limits);
    // The ledger comes in several parts, each of which takes a while.
    there.memory_mut().1 = Some(Duration::from_micros(100));
    let covers = (0..3_000).map(|number| Matcher::target(format!("http://h/{number}")));
    let many = Invalidation::hard(covers.collect());
    runtime().block_on(async {
        let mut connection = server.connection().await;
        let readers = async |connection: &mut redis::aio::MultiplexedConnection| {
            let clients = redis::cmd("CLIENT")
                .arg("LIST")
                .query_async(connection)
                .await;
            let clients: String = clients.expect("the clients");
            clients.matches("cmd=xread").count()
        };
        tokio::select! {
            () = here.run() => unreachable!("it does not end"),
            () = async {
                acknowledged(&here, &many).await;
                tokio::select! {
                    () = there.run() => unreachable!("it does not end"),
                    () = async {
                        until(|| there.stamp().is_some()).await;
                        let began = timer_now();
                        while readers(&mut connection).await < 2 {
                            assert!(began.elapsed() < LONG, "it does not read the log");
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    } => {}
                }
            } => {}
        }
    });
}

#[test]
fn invalidations_that_cannot_be_sent_are_bounded() {
    let servers = Servers::at("unix:///nothing/is/here").expect("a URL");
    let settings = Settings {
        servers,
        ledger: Ledger {
            namespace: Namespace::new("books").expect("a name"),
            limits: MANY,
        },
        timing: TIMING,
        id: 1,
        replicas: 0,
    };
    let (told, lease) = (Told::default(), Arc::new(Lease::ended()));
    let member = Member::new(settings, Clock::system(), told, lease);
    // Nobody waits for these.
    for number in 0..20_000 {
        drop(member.announce(&url(number)));
    }
    let pending = member.status().pending;
    assert_eq!(pending, 4_097, "one of everything stands for the rest");
    assert_eq!(member.waiting(), pending, "those who do not wait are gone");
}
