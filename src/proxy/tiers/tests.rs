//! Fills beside a fleet whose server answers as a test says, at the times that it says.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, yield_now};
use tokio::time::{sleep, timeout};

use super::consult::{Consulted, How, Reads};
use super::shared::{Counts, Shared};
use super::wanted::Wanted;
use crate::cache::body::StoredBody;
use crate::cache::collapse::{Ask, Fill};
use crate::cache::content::Content;
use crate::cache::key::Keyer;
use crate::cache::store::Store;
use crate::cache::stored::StoredResponse;
use crate::cache::stored::tests::head;
use crate::clock::{Clock, Monotonic, Now, timer_now};
use crate::config::Config;
use crate::ledger::invalidation::Invalidation;
use crate::ledger::remembered::Remembered;
use crate::semantics::policy::Policy;
use crate::semantics::time::Timestamp;
use crate::tier::Record;
use crate::tier::fleet::{
    Announced, AnnouncedId, Begun, Brought, Fleet, Found, GatewayId, Nonce, Place, Released, Slot,
    Status, Use, Work,
};

/// What a request waits for the server.
const LONGEST: Duration = Duration::from_millis(50);

/// The server of a fleet, as a script: how long each question takes, and its answer.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<VecDeque<(Duration, Begun)>>,
    told: Mutex<Vec<String>>,
}

impl Scripted {
    fn tell(&self, what: String) {
        self.told.lock().expect("no panic").push(what);
    }
}

impl Fleet for Scripted {
    fn may_use(&self, _now: Monotonic) -> Use {
        Use::AsTheyAre
    }

    fn announce(&self, _invalidation: &Invalidation) -> Announced {
        Announced {
            id: 0,
            is_heard: false,
            acknowledged: oneshot::channel().1,
        }
    }

    fn waits_for(&self, _announced: AnnouncedId) -> Vec<GatewayId> {
        Vec::new()
    }

    fn answers(&self, _receipt: Place) -> bool {
        true
    }

    fn status(&self) -> Status {
        Status::default()
    }

    fn stamp(&self) -> Option<Place> {
        let (epoch, number) = (1, 7);
        Some(Place { epoch, number })
    }

    fn may_read(&self, _now: Monotonic) -> bool {
        true
    }

    fn begin(
        &self,
        _slot: Slot,
        _fill: Nonce,
        unfit: Option<Nonce>,
        limit: Duration,
    ) -> Work<'_, Begun> {
        Box::pin(async move {
            self.tell(format!("begin {unfit:?} within {limit:?}"));
            let next = self.answers.lock().expect("no panic").pop_front();
            let (takes, answer) = next.expect("an answer to one more question");
            let answer = timeout(limit, async {
                sleep(takes).await;
                answer
            });
            answer.await.unwrap_or(Begun::Away)
        })
    }

    fn peek(&self, _slot: Slot, _limit: Duration) -> Work<'_, Option<Found>> {
        Box::pin(async { None })
    }

    fn commit(&self, _slot: Slot, fill: Nonce, brought: Brought) -> Work<'_, bool> {
        self.tell(format!("commit of {fill} with {}", brought.record.stamp));
        Box::pin(async { true })
    }

    fn release(&self, _slot: Slot, fill: Nonce, how: Released) -> Work<'_, ()> {
        self.tell(format!("release of {fill}: {how:?}"));
        Box::pin(async {})
    }

    fn leave(&self) {}
}

/// A fill of its own number 3, and the fleet that it asks.
struct Asking {
    fleet: Arc<Scripted>,
    shared: Shared,
    store: Arc<Store>,
    wanted: Wanted,
    fill: Arc<Fill>,
}

impl Asking {
    fn new(answers: impl IntoIterator<Item = (u64, Begun)>) -> Self {
        let key = Keyer::default().key("http://h/books/1").to_key();
        let ask = Ask {
            headers: HeaderMap::new(),
            digest: None,
            span: None,
        };
        let fleet = Arc::new(Scripted::default());
        let of = |(takes, answer)| (Duration::from_millis(takes), answer);
        *fleet.answers.lock().expect("no panic") = answers.into_iter().map(of).collect();
        Self {
            shared: Shared {
                fleet: fleet.clone(),
                remembered: Arc::new(Remembered::new(100)),
                counts: Arc::<Counts>::default(),
                writing: Arc::<AtomicU64>::default(),
            },
            fleet,
            store: Arc::new(Store::new(1 << 20, 4)),
            wanted: Wanted {
                key: key.clone(),
                route: Config::in_front_of(Vec::new())
                    .routes
                    .default_route()
                    .clone(),
                path_and_query: "/books/1".to_owned(),
                epoch: 0,
            },
            fill: Fill::new(key, ask, true, Monotonic::default(), 0),
        }
    }

    async fn consult(&self) -> Option<Consulted> {
        let how = How {
            reads: Reads::Together,
            fill: 3,
            unfit: None,
            longest: LONGEST,
        };
        let memory = (&self.store, &Clock::system());
        let wanted = (&self.wanted, &*self.fill);
        self.shared.consult(memory, wanted, how).await
    }

    fn told(&self) -> Vec<String> {
        self.fleet.told.lock().expect("no panic").clone()
    }
}

/// Runs a test whose time passes by itself.
fn run(test: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), test);
}

/// A record that is none of a response.
fn unreadable(fill: Nonce) -> Begun {
    let record = Record {
        target: "http://h/books/1".into(),
        variant: [0; 16],
        stamp: 7,
        stored: Timestamp::from_secs(1),
        until: Timestamp::from_secs(2),
        head: Bytes::new(),
        body: Vec::new(),
    };
    Begun::Stored(Found { fill, record })
}

#[test]
fn the_wait_for_another_gateway_is_not_one_for_the_server() {
    run(async {
        let mut answers = vec![(20, Begun::Follow); 20];
        answers.push((20, Begun::Lead));
        let asking = Asking::new(answers);
        let Some(Consulted::Ask(intent)) = asking.consult().await else {
            panic!("nothing is stored");
        };
        let counts = &asking.shared.counts;
        assert_eq!(counts.misses.value(), 1, "it has the lease");
        assert_eq!((counts.followed.value(), counts.passed.value()), (1, 0));
        assert_eq!(
            asking.told(),
            vec![format!("begin None within {LONGEST:?}"); 21]
        );
        drop(intent);
    });
}

#[test]
fn a_fill_that_follows_nobody_waits_for_the_server_no_longer_than_it_may_all_in_all() {
    run(async {
        let asking = Asking::new([(30, unreadable(1)), (30, Begun::Lead)]);
        let began = timer_now();
        let consulted = asking.consult().await;
        assert!(matches!(consulted, Some(Consulted::Ask(_))));
        assert!(began.elapsed() < LONGEST + Duration::from_millis(5));
        assert_eq!(
            asking.told(),
            ["begin None within 50ms", "begin Some(1) within 20ms"]
        );
    });
}

#[test]
fn a_fill_that_waits_for_another_gateway_in_vain_asks_itself_and_stores_nothing() {
    run(async {
        let asking = Asking::new(vec![(1, Begun::Follow); 1_000]);
        let began = timer_now();
        let Some(Consulted::Ask(intent)) = asking.consult().await else {
            panic!("nothing is stored");
        };
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(2), "{waited:?}");
        assert!(waited < Duration::from_millis(2_100), "{waited:?}");
        let asked = asking.told().len();
        intent.store(&asking.store, &asking.fill, &response(), by_now());
        settle().await;
        assert_eq!(asking.told().len(), asked);
    });
}

#[test]
fn a_fill_that_was_not_told_of_its_lease_in_time_marks_nothing() {
    for how in [Released::NotShared, Released::Failed] {
        run(async {
            let asking = Asking::new([(80, Begun::Lead)]);
            let Some(Consulted::Ask(intent)) = asking.consult().await else {
                panic!("nothing is stored");
            };
            assert_eq!(asking.shared.counts.passed.value(), 1);
            intent.release(how);
            settle().await;
            assert_eq!(asking.told()[1..], ["release of 3: Failed"]);
        });
    }
}

#[test]
fn a_fill_that_was_not_told_of_its_lease_in_time_stores_what_others_wait_for() {
    run(async {
        let asking = Asking::new([(80, Begun::Lead), (300, Begun::Lead)]);
        let Some(Consulted::Ask(intent)) = asking.consult().await else {
            panic!("nothing is stored");
        };
        intent.store(&asking.store, &asking.fill, &response(), by_now());
        // Behind the response, the server may take longer.
        sleep(Duration::from_millis(400)).await;
        settle().await;
        assert_eq!(
            asking.told()[1..],
            ["begin None within 1s", "commit of 3 with 7"]
        );
    });
}

#[test]
fn a_fill_that_leads_tells_that_its_response_is_not_for_the_others() {
    run(async {
        let asking = Asking::new([(1, Begun::Lead)]);
        let Some(Consulted::Ask(intent)) = asking.consult().await else {
            panic!("nothing is stored");
        };
        intent.release(Released::NotShared);
        settle().await;
        assert_eq!(asking.told()[1..], ["release of 3: NotShared"]);
    });
}

/// Lets what goes on behind come to its end.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn response() -> Arc<StoredResponse> {
    let body = Store::new(1 << 20, 4).token(4).expect("room");
    let body = StoredBody::new(&[Bytes::from_static(b"book")], body);
    Arc::new(StoredResponse::new(head(), Content::Complete(body), None))
}

fn by_now() -> (&'static Policy, Now) {
    let policy = Box::leak(Box::<Policy>::default());
    (policy, Clock::system().now())
}
