//! A request that is not sent, since no server is healthy, is told what went wrong last.

use crate::common::{Gateway, Origin, get, post, reply};

/// What the API does, the URL's scheme, and what the refused are told.
#[test]
fn a_request_that_is_refused_for_an_open_circuit_names_the_latest_failure() {
    let cases = [
        ("refuses", "http", "the upstream refused the connection"),
        ("speaks no TLS", "https", "does not speak TLS on this port"),
        ("hangs", "http", "did not answer within its deadline"),
    ];
    for (case, scheme, told) in cases {
        let origin = Origin::greeting(
            move |conn| {
                if case == "speaks no TLS" {
                    conn.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
                    conn.close();
                }
            },
            |_, conn| conn.await_close(),
        );
        origin.refuse(case == "refuses");
        let url = origin.url().replace("http", scheme);
        let gateway = Gateway::before_all([url])
            .upstream("response_timeout = '200ms'\ncircuit.failures = 2")
            .manual_clock()
            .start();
        for turn in 0..2 {
            let failed = gateway.get(&format!("/{turn}"));
            assert!(matches!(failed.status, 502 | 504), "{case}: {failed:?}");
        }
        for request in [get("/books"), post("/books", "1984")] {
            let refused = gateway.send(&request).expect(503);
            let said = refused.field("proxy-status").unwrap_or_default();
            assert!(
                said.contains("no upstream server is available; the latest failure: ")
                    && said.contains(told),
                "{case}: {said}"
            );
            assert!(refused.text().contains(told), "{case}: {}", refused.text());
        }
    }
}

#[test]
fn so_is_one_that_is_refused_for_a_failed_health_check() {
    let origin = Origin::start(|request, conn| {
        let status = if request.target == "/healthz" {
            500
        } else {
            200
        };
        conn.reply(request, &reply(status));
    });
    let gateway = Gateway::before(&origin)
        .more("[upstream.health]\npath = '/healthz'\ninterval = '100ms'\nunhealthy = 1")
        .start();
    crate::common::await_that("the check has failed", || gateway.get("/").status == 503);
    let refused = gateway.get("/").expect(503);
    assert!(
        refused.text().contains("its health check failed"),
        "{}",
        refused.text()
    );
}
