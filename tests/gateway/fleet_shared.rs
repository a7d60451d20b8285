//! What gateways of a fleet store for each other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use crate::common::{
    Answer, Client, Gate, Gateway, Origin, Reply, Request, Setup, Valkey, await_that, get, post,
    put, reply,
};

const LEASE: Duration = Duration::from_millis(1_500);

/// Of all requests: the port of a gateway is another one each time, and part of the URL.
const HOST: &str = "books.example";

fn at(path: &str) -> Request {
    get(path).field("Host", HOST)
}

/// An API whose answers say which request they are for.
fn counting(answer: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) -> Origin {
    let count = Arc::<AtomicUsize>::default();
    Origin::start(move |asked, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let body = format!("{} {number}", asked.target);
        conn.reply(asked, &answer(asked, reply(200).body(body)));
    })
}

fn setup(origin: &Origin, valkey: &Valkey) -> Setup {
    Gateway::before(origin).fleet(&valkey.url(), LEASE)
}

/// So many gateways that hear each other.
fn fleet(count: usize, setup: &Setup) -> Vec<Gateway> {
    let gateways: Vec<_> = (0..count).map(|_| setup.clone().start()).collect();
    for gateway in &gateways {
        gateway.await_metric("bookend_fleet_gateways", count as u64);
        await_that("a lease", || gateway.metric("bookend_fleet_connected") == 1);
    }
    purge(&gateways[0], "url=/nothing");
    gateways
}

/// Purges, and waits until that holds everywhere.
fn purge(gateway: &Gateway, query: &str) {
    let mut client = Client::to(gateway.admin_addr()).patience(Duration::from_secs(90));
    let answer = client.send(&post(&format!("/purge?{query}&wait=60s"), ""));
    answer.expect(200);
}

fn written(gateway: &Gateway, count: u64) {
    await_that("what is stored for the others", || {
        gateway.metric("bookend_shared_writes_total") >= count
    });
}

fn is_shared(answer: &Answer) -> bool {
    answer.is_hit() && answer.says("detail=shared")
}

#[test]
#[ignore = "needs redis-server"]
fn what_one_gateway_has_fetched_is_a_hit_at_the_others_and_after_a_restart() {
    let valkey = Valkey::start();
    let origin = counting(|_, answer| answer.field("Cache-Control", "max-age=600"));
    let setup = setup(&origin, &valkey);
    let mut gateways = fleet(2, &setup);
    let first = gateways[0].send(&at("/books/1")).expect(200);
    written(&gateways[0], 1);
    let second = gateways[1].send(&at("/books/1"));
    assert!(is_shared(&second), "{}", second.cache_status());
    assert_eq!(second.text(), first.text());
    let third = gateways[1].send(&at("/books/1"));
    assert!(
        third.is_hit() && !third.says("detail"),
        "it is in memory now"
    );
    gateways.pop().expect("a gateway").stop();
    let again = setup.start();
    again.await_metric("bookend_fleet_gateways", 2);
    let answer = again.send(&at("/books/1"));
    assert!(is_shared(&answer), "{}", answer.cache_status());
    assert_eq!(answer.text(), first.text());
    assert_eq!(origin.count(), 1);
}

#[test]
#[ignore = "needs redis-server"]
fn variants_and_long_bodies_are_shared_as_they_are() {
    let valkey = Valkey::start();
    let origin = counting(|asked, answer| {
        let language = asked
            .fields
            .get("accept-language")
            .unwrap_or("-")
            .to_owned();
        let answer = answer
            .field("Cache-Control", "max-age=600")
            .field("ETag", "\"1\"");
        match &*asked.target {
            "/long" => answer.body(vec![b'x'; 700_000]),
            "/empty" => answer.body(""),
            _ => answer.field("Vary", "Accept-Language").body(language),
        }
    });
    let gateways = fleet(2, &setup(&origin, &valkey));
    for path in ["/long", "/empty"] {
        let before = gateways[0].metric("bookend_shared_writes_total");
        let first = gateways[0].send(&at(path)).expect(200);
        await_that("what is stored for the others", || {
            gateways[0].metric("bookend_shared_writes_total") > before
        });
        let answer = gateways[1].send(&at(path));
        assert!(is_shared(&answer), "{}", answer.cache_status());
        assert!(answer.body == first.body);
    }
    let english = |gateway: &Gateway| gateway.send(&at("/v").field("Accept-Language", "en"));
    let german = |gateway: &Gateway| gateway.send(&at("/v").field("Accept-Language", "de"));
    // The response, and the fields that select it.
    let before = gateways[0].metric("bookend_shared_writes_total");
    assert_eq!(english(&gateways[0]).text(), "en");
    written(&gateways[0], before + 2);
    assert_eq!(german(&gateways[0]).text(), "de");
    written(&gateways[0], before + 3);
    let asked = origin.count();
    let answers = [english(&gateways[1]), german(&gateways[1])];
    assert_eq!(answers.each_ref().map(Answer::text), ["en", "de"]);
    for answer in &answers {
        assert!(is_shared(answer), "{}", answer.cache_status());
    }
    assert_eq!(origin.count(), asked);
    assert_eq!(
        gateways[1]
            .send(&at("/v").field("Accept-Language", "fr"))
            .text(),
        "fr"
    );
}

#[test]
#[ignore = "needs redis-server"]
fn a_cold_url_is_asked_for_once_by_all_gateways_together() {
    let valkey = Valkey::start();
    let gate = Arc::new(Gate::new());
    let (held, count) = (gate.clone(), Arc::<AtomicUsize>::default());
    let counted = count.clone();
    let origin = Origin::start(move |asked, conn| {
        if asked.target == "/cold" {
            counted.fetch_add(1, Ordering::SeqCst);
            held.pass();
        }
        let answer = reply(200).field("Cache-Control", "max-age=600");
        conn.reply(asked, &answer.body("a book"));
    });
    let gateways = fleet(3, &setup(&origin, &valkey));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..60)
            .map(|n| {
                let gateway = &gateways[n % 3];
                scope.spawn(move || gateway.send(&at("/cold")).expect(200).text())
            })
            .collect();
        // All of them have asked their gateways, and the others' fills wait for the one that asks the API.
        await_that("those that wait", || {
            let followed = |gateway: &Gateway| gateway.metric("bookend_shared_followed_total");
            gateways.iter().map(followed).sum::<u64>() == 2
        });
        gate.open();
        for client in clients {
            assert_eq!(client.join().expect("a client"), "a book");
        }
    });
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
#[ignore = "needs redis-server"]
fn three_hundred_clients_of_three_gateways_cost_the_api_one_request_for_each_cold_url() {
    const ROUNDS: usize = 8;
    let valkey = Valkey::start();
    let counts: Arc<[AtomicUsize; ROUNDS]> = Arc::default();
    let counted = counts.clone();
    let origin = Origin::start(move |asked, conn| {
        if let Some(round) = asked.target.strip_prefix("/cold/") {
            let round: usize = round.parse().expect("a round");
            counted[round].fetch_add(1, Ordering::SeqCst);
            // So long the others have to ask again and again whether something is there.
            thread::sleep(Duration::from_millis(150));
        }
        let answer = reply(200).field("Cache-Control", "max-age=600");
        let body = vec![b'x'; 400 * asked.target.len() * asked.target.len()];
        conn.reply(asked, &answer.body(body));
    });
    // A lease that a machine with much else to do keeps.
    let setup = Gateway::before(&origin).fleet(&valkey.url(), 2 * LEASE);
    let gateways = fleet(3, &setup);
    for gateway in &gateways {
        gateway.wait_for_tiers(Duration::from_secs(5));
    }
    let together = Barrier::new(300);
    thread::scope(|scope| {
        for n in 0..300 {
            let (gateway, together) = (&gateways[n % 3], &together);
            scope.spawn(move || {
                let mut client = gateway.client();
                client.send(&at("/warm")).expect(200);
                for round in 0..ROUNDS {
                    together.wait();
                    client.send(&at(&format!("/cold/{round}"))).expect(200);
                }
            });
        }
    });
    let counts = counts.each_ref().map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [1; ROUNDS]);
}

#[test]
#[ignore = "needs redis-server"]
fn what_was_purged_does_not_come_back_from_the_others() {
    let valkey = Valkey::start();
    let origin = counting(|_, answer| {
        answer
            .field("Cache-Control", "max-age=600")
            .field("Cache-Groups", "\"books\"")
    });
    let gateways = fleet(2, &setup(&origin, &valkey));
    let mut written_before = gateways[0].metric("bookend_shared_writes_total");
    for query in ["url=/books/1", "prefix=/books", "tag=books", "all=true"] {
        let first = gateways[0].send(&at("/books/1")).expect(200).text();
        written_before += 1;
        written(&gateways[0], written_before);
        // The other one has nothing in memory, and purges what it does not know.
        purge(&gateways[1], query);
        let answer = gateways[1].send(&at("/books/1"));
        assert!(!answer.is_hit(), "{query}: {}", answer.cache_status());
        assert_ne!(answer.text(), first, "{query}");
        purge(&gateways[1], "all=true");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn what_is_written_again_and_again_does_not_fill_the_server() {
    let valkey = Valkey::start();
    let origin = counting(|asked, answer| match &*asked.method {
        "PUT" => reply(204),
        _ => answer
            .field("Cache-Control", "max-age=600")
            .field("ETag", "\"1\"")
            .body(vec![b'x'; 300_000]),
    });
    let gateways = fleet(2, &setup(&origin, &valkey));
    let before = valkey.keys();
    for change in 0..30 {
        let (here, there) = (&gateways[change % 2], &gateways[1 - change % 2]);
        let written = here.metric("bookend_shared_writes_total");
        here.send(&at("/books/1")).expect(200);
        await_that("what is stored for the others", || {
            here.metric("bookend_shared_writes_total") > written
        });
        there
            .send(&put("/books/1", "new").field("Host", HOST))
            .expect(204);
    }
    // Three would be those of one response.
    await_that("few keys", || valkey.keys() <= before + 3);
}

#[test]
#[ignore = "needs redis-server"]
fn what_is_not_for_sharing_is_not_shared_nor_waited_for() {
    let valkey = Valkey::start();
    let origin = counting(|asked, answer| match &*asked.target {
        "/private" => answer.field("Cache-Control", "private, max-age=600"),
        _ => answer.field("Cache-Control", "max-age=600"),
    });
    let gateways = fleet(2, &setup(&origin, &valkey));
    let own = |gateway: &Gateway, user: &str, path: &str| {
        gateway
            .send(&at(path).field("Authorization", user))
            .expect(200)
            .text()
    };
    for path in ["/private", "/books/1"] {
        let first = own(&gateways[0], "Basic YTpi", path);
        let second = own(&gateways[1], "Basic Yzpk", path);
        assert_ne!(first, second, "{path}");
    }
    let first = gateways[0].send(&at("/private")).expect(200).text();
    let second = gateways[1].send(&at("/private")).expect(200).text();
    assert_ne!(first, second);
    assert_eq!(gateways[0].metric("bookend_shared_writes_total"), 0);
}

#[test]
#[ignore = "needs redis-server"]
fn nobody_waits_for_a_request_with_credentials() {
    let valkey = Valkey::start();
    let gate = Arc::new(Gate::new());
    let held = gate.clone();
    let origin = Origin::start(move |asked, conn| {
        if asked.fields.get("authorization") == Some("Basic YTpi") {
            held.pass();
        }
        conn.reply(
            asked,
            &reply(200).field("Cache-Control", "private").body("own"),
        );
    });
    let gateways = fleet(2, &setup(&origin, &valkey));
    let own = |user: &str| at("/own").field("Authorization", user);
    thread::scope(|scope| {
        let first = scope.spawn(|| gateways[0].send(&own("Basic YTpi")).expect(200));
        gate.await_arrivals(1);
        gateways[1].send(&own("Basic Yzpk")).expect(200);
        gate.open();
        first.join().expect("a client");
    });
}

#[test]
#[ignore = "needs redis-server"]
fn without_the_server_misses_go_on() {
    let mut valkey = Valkey::start();
    let origin = counting(|_, answer| answer.field("Cache-Control", "max-age=600"));
    let gateways = fleet(1, &setup(&origin, &valkey));
    valkey.end();
    gateways[0].await_metric("bookend_fleet_connected", 0);
    for n in 0..20 {
        let answer = gateways[0].send(&at(&format!("/books/{n}"))).expect(200);
        assert!(answer.fwd("uri-miss"), "{}", answer.cache_status());
    }
    valkey.start_again();
    gateways[0].await_metric("bookend_fleet_connected", 1);
}

#[test]
#[ignore = "needs redis-server"]
fn what_was_purged_while_a_gateway_was_down_does_not_come_back_from_its_disk() {
    let valkey = Valkey::start();
    let origin = counting(|_, answer| answer.field("Cache-Control", "max-age=600"));
    let plain = setup(&origin, &valkey);
    let here = plain.clone().start();
    let kept = tempfile::tempdir().expect("a folder");
    let there = plain.more(&format!("[disk]\npath = {:?}", kept.path()));
    for turn in 0..4 {
        let gateway = there.clone().start();
        gateway.await_metric("bookend_fleet_gateways", 2);
        let first = gateway.send(&at("/books/1")).expect(200).text();
        await_that("what is kept", || {
            gateway.metric("bookend_disk_stored_total") > 0
        });
        gateway.stop();
        purge(&here, "url=/books/1");
        let gateway = there.clone().start();
        gateway.await_metric("bookend_fleet_gateways", 2);
        let answer = gateway.send(&at("/books/1")).expect(200);
        assert_ne!(answer.text(), first, "{turn}: {}", answer.cache_status());
        gateway.stop();
        purge(&here, "url=/books/1");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_gateway_that_cannot_reach_the_api_keeps_the_others_waiting_for_two_seconds_at_most() {
    let valkey = Valkey::start();
    let gate = Arc::new(Gate::new());
    let (held, count) = (gate.clone(), Arc::<AtomicUsize>::default());
    let counted = count.clone();
    let origin = Origin::start(move |asked, conn| {
        if asked.target == "/cold" && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            held.pass();
        }
        let answer = reply(200).field("Cache-Control", "max-age=600");
        conn.reply(asked, &answer.body("a book"));
    });
    let gateways = fleet(2, &setup(&origin, &valkey));
    thread::scope(|scope| {
        let first = scope.spawn(|| gateways[0].send(&at("/cold")).expect(200));
        gate.await_arrivals(1);
        // It renews its lease all the time.
        let second = gateways[1].send(&at("/cold")).expect(200);
        assert_eq!(second.text(), "a book");
        gate.open();
        first.join().expect("a client");
    });
    assert_eq!(count.load(Ordering::SeqCst), 2);
}
