//! A trusted proxy's Forwarded tells clients apart as its X-Forwarded-For does (issue 11, point 37).

use crate::common::{Gateway, Origin, get, reply};

#[test]
fn clients_behind_a_proxy_that_sends_forwarded_have_limits_of_their_own() {
    let origin = Origin::answering(reply(200).body("well"));
    for (first, same, other) in [
        (
            &[("Forwarded", "for=198.51.100.1")][..],
            &[("Forwarded", "for=\"198.51.100.1:4711\";proto=http")][..],
            &[("Forwarded", "for=198.51.100.2")][..],
        ),
        (
            &[("Forwarded", "for=\"[2001:db8:1::1]\"")],
            // One network of IPv6 is one client.
            &[("Forwarded", "For=\"[2001:db8:1::2]:80\"")],
            &[("Forwarded", "for=\"[2001:db8:2::1]\"")],
        ),
        (
            &[(
                "Forwarded",
                "for=203.0.113.9, for=198.51.100.1, for=127.0.0.9",
            )],
            &[
                ("Forwarded", "for=198.51.100.1"),
                ("Forwarded", "for=127.0.0.9"),
            ],
            &[("Forwarded", "for=198.51.100.1, for=203.0.113.9")],
        ),
        (
            &[("Forwarded", "for=unknown")],
            &[("Forwarded", "for=198.51.100.1, for=_hidden")],
            &[("Forwarded", "for=198.51.100.1")],
        ),
        (
            &[
                ("X-Forwarded-For", "198.51.100.1"),
                ("Forwarded", "for=198.51.100.7"),
            ],
            &[
                ("X-Forwarded-For", "198.51.100.1"),
                ("Forwarded", "for=198.51.100.8"),
            ],
            &[("Forwarded", "for=198.51.100.7")],
        ),
    ] {
        let gateway = Gateway::before(&origin)
            .workers(1)
            .server("trusted_proxies = ['127.0.0.0/8']\nrate_limit = { requests = 1, per = '1h' }")
            .start();
        let status = |fields: &[(&str, &str)]| {
            let request = get("/").field("Cache-Control", "no-store");
            let request =
                (fields.iter()).fold(request, |request, (name, value)| request.field(name, value));
            gateway.send(&request).status
        };
        assert_eq!(status(first), 200, "{first:?}");
        assert_eq!(status(same), 429, "{same:?}");
        assert_eq!(status(other), 200, "{other:?}");
        assert_eq!(status(other), 429, "{other:?}");
    }
}
