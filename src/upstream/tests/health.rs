//! Health checks, as the servers see them and as requests feel them.

use super::*;

#[test]
fn health_checks_make_a_server_unhealthy_and_healthy_again() {
    run(async {
        let (checked, other) = (Origin::start().await, Origin::start().await);
        let mut config = config(vec![checked.url(), other.url()]);
        config.servers[0].base_path = "/api".to_owned();
        config.health.path = Some("/healthz".to_owned());
        config.health.interval = Duration::from_millis(5);
        config.health.unhealthy = 2;
        config.health.healthy = 2;
        config.ejection.slow_start = Duration::ZERO;
        let shared = shared(&config);
        let worker = Worker::of(shared.clone());
        worker.upstreams.start();
        let check = async |origin: &Origin, status: &str| {
            let mut peer = origin.accept().await;
            let head = peer.head().await;
            peer.send(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"))
                .await;
            peer.closed().await;
            head
        };
        let availability =
            |at: usize| shared.servers()[at].availability(crate::clock::Monotonic::default());
        let head = check(&checked, "500 Broken").await;
        assert!(head.starts_with("GET /api/healthz HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("host: 127.0.0.1:"), "{head}");
        assert!(
            availability(0) != Availability::Unhealthy,
            "one failure is not enough"
        );
        while availability(0) != Availability::Unhealthy {
            check(&checked, "500 Broken").await;
        }
        while availability(1) != Availability::Unhealthy {
            check(&other, "404 Not LookUpAnswer").await;
        }
        assert_eq!(
            kind(worker.get("/").await),
            Some(ErrorKind::DestinationUnavailable)
        );
        assert!(!shared.is_available(crate::clock::Monotonic::default()));
        while availability(0) == Availability::Unhealthy {
            check(&checked, "200 OK").await;
        }
        let script = async {
            loop {
                let mut peer = checked.accept().await;
                let head = peer.answer("well").await;
                if head.starts_with("GET /api/books ") {
                    return;
                }
            }
        };
        let (_, answer) = exchange(script, worker.get("/books")).await;
        assert_eq!(
            read(answer.expect("a response")).await.expect("content"),
            "well"
        );
    });
}

#[test]
fn health_checks_end_with_their_upstream() {
    run(async {
        let (origin, worker) = start(|config| {
            config.health.path = Some("/".to_owned());
            config.health.interval = Duration::from_millis(5);
        })
        .await;
        worker.upstreams.start();
        origin.accept().await.answer("").await;
        drop(worker);
        // One may be on its way.
        while origin.is_called().await {}
    });
}
