//! `tiers` of a route: where its responses are kept, and where they are looked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::common::{Answer, Gateway, Origin, Request, Setup, get, reply};

/// Of all requests: the port of a gateway is another one each time, and part of the URL.
const HOST: &str = "books.example";

fn ask(gateway: &Gateway, path: &str) -> Answer {
    let asked: Request = get(path).field("Host", HOST);
    gateway.send(&asked).expect(200)
}

/// An API whose answers say which request they are for.
fn counting() -> Origin {
    let count = Arc::<AtomicUsize>::default();
    Origin::start(move |asked, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = reply(200).field("Cache-Control", "max-age=600");
        conn.reply(asked, &answer.body(format!("{} {number}", asked.target)));
    })
}

fn on_disk(origin: &Origin, directory: &TempDir) -> Setup {
    let disk = format!("[disk]\npath = {:?}", directory.path());
    Gateway::before(origin).more(&disk)
}

/// Waits until the loading of what is on disk has ended.
fn loaded(gateway: Gateway) -> Gateway {
    gateway.await_metric("bookend_disk_loading", 0);
    // However much else the machine has to do.
    gateway.wait_for_tiers(Duration::from_secs(60));
    gateway
}

#[test]
fn a_route_of_memory_alone_keeps_nothing_on_disk_and_another_does() {
    let (origin, directory) = (counting(), tempfile::tempdir().expect("a folder"));
    let setup = || {
        on_disk(&origin, &directory)
            .route("/prices/{id}", "tiers = []")
            .route("/shared/{id}", "tiers = ['shared']")
            .start()
    };
    let paths = ["/prices/1", "/shared/1", "/books/1"];
    let gateway = setup();
    for path in paths {
        ask(&gateway, path);
        assert!(ask(&gateway, path).is_hit(), "it is in memory");
    }
    drop(gateway);
    let gateway = loaded(setup());
    for path in ["/prices/1", "/shared/1"] {
        let answer = ask(&gateway, path);
        assert!(answer.fwd("uri-miss"), "{}", answer.cache_status());
    }
    let answer = ask(&gateway, "/books/1");
    assert!(
        answer.is_hit() && answer.says("detail=disk"),
        "{}",
        answer.cache_status()
    );
    drop(gateway);
    for file in std::fs::read_dir(directory.path()).expect("a folder") {
        let octets = std::fs::read(file.expect("a file").path()).expect("its content");
        for path in [&b"/prices/1"[..], b"/shared/1"] {
            assert!(!octets.windows(path.len()).any(|at| at == path));
        }
    }
}

#[test]
fn nothing_is_raised_for_a_route_that_a_reload_has_taken_the_tier_from() {
    let (origin, directory) = (counting(), tempfile::tempdir().expect("a folder"));
    let with = || on_disk(&origin, &directory);
    let without = || with().route("/prices/{id}", "tiers = []");
    let paths = ["/prices/1", "/prices/2"];
    let gateway = with().start();
    let first = paths.map(|path| ask(&gateway, path).text());
    ask(&gateway, "/books/1");
    drop(gateway);
    let gateway = loaded(with().start());
    gateway.reload(&without());
    let second = ask(&gateway, paths[0]);
    assert!(second.fwd("uri-miss"), "{}", second.cache_status());
    assert_ne!(second.text(), first[0]);
    assert!(ask(&gateway, "/books/1").says("detail=disk"));
    drop(gateway);
    // Given back, the tier has what was not replaced meanwhile, and not what was.
    let gateway = loaded(with().start());
    let replaced = ask(&gateway, paths[0]);
    assert!(replaced.fwd("uri-miss"), "{}", replaced.cache_status());
    let untouched = ask(&gateway, paths[1]);
    assert!(
        untouched.says("detail=disk"),
        "{}",
        untouched.cache_status()
    );
    assert_eq!(untouched.text(), first[1]);
}

#[cfg(feature = "valkey")]
mod shared {
    use super::*;
    use crate::common::{Valkey, await_that};

    /// Two gateways that hear each other.
    fn fleet(setup: &Setup) -> [Gateway; 2] {
        let gateways = [(); 2].map(|()| setup.clone().start());
        for gateway in &gateways {
            gateway.await_metric("bookend_fleet_gateways", 2);
            gateway.await_metric("bookend_fleet_connected", 1);
            gateway.wait_for_tiers(Duration::from_secs(60));
        }
        gateways
    }

    fn written(gateway: &Gateway, count: u64) {
        await_that("what is stored for the others", || {
            gateway.metric("bookend_shared_writes_total") >= count
        });
    }

    #[test]
    #[ignore = "needs redis-server"]
    fn a_route_without_the_shared_tier_stores_and_finds_nothing_there() {
        let (valkey, origin) = (Valkey::start(), counting());
        let all = Gateway::before(&origin).fleet(&valkey.url(), Duration::from_millis(1_500));
        let setup = all
            .clone()
            .route("/prices/{id}", "tiers = []")
            .route("/kept/{id}", "tiers = ['disk']");
        let gateways = fleet(&setup);
        for path in ["/prices/1", "/kept/1", "/books/1"] {
            ask(&gateways[0], path);
        }
        written(&gateways[0], 1);
        for path in ["/prices/1", "/kept/1"] {
            let answer = ask(&gateways[1], path);
            assert!(answer.fwd("uri-miss"), "{}", answer.cache_status());
        }
        let answer = ask(&gateways[1], "/books/1");
        assert!(answer.says("detail=shared"), "{}", answer.cache_status());
        assert_eq!(gateways[0].metric("bookend_shared_writes_total"), 1);
        assert_eq!(gateways[1].metric("bookend_shared_writes_total"), 0);
        // A reload takes the tier away from another route, and what lies there is not looked for.
        ask(&gateways[0], "/books/2");
        ask(&gateways[0], "/films/2");
        written(&gateways[0], 3);
        gateways[1].reload(&all.route("/books/{id}", "tiers = []"));
        let answer = ask(&gateways[1], "/books/2");
        assert!(answer.fwd("uri-miss"), "{}", answer.cache_status());
        assert!(ask(&gateways[1], "/films/2").says("detail=shared"));
    }
}
