//! Fields that are part of a key, and what is stored under it.

use proptest::prelude::*;

use super::echo;
use crate::common::{Client, Gate, Gateway, Origin, get, put, reply, request};

#[test]
fn vary_selects_by_what_the_api_got() {
    let origin = Origin::start(|request, conn| {
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("Vary", "X-Tenant, X-Real-IP")
            .body(request.fields.get("x-tenant").unwrap_or("none"));
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .server("trusted_proxies = ['127.0.0.1']")
        .route("/set", "request_fields = { set = { X-Tenant = 'books' } }")
        .route("/removed", "request_fields = { remove = ['X-Tenant'] }")
        .route(
            "/client",
            "request_fields = { set = { X-Real-IP = '{client_ip}' } }",
        )
        .start();
    let ask = |target: &str, tenant: &str, address: &str| {
        let request = get(target)
            .field("X-Tenant", tenant)
            .field("X-Forwarded-For", address);
        gateway.send(&request).expect(200)
    };
    for (target, body) in [("/set", "books"), ("/removed", "none")] {
        assert_eq!(ask(target, "a", "192.0.2.1").text(), body);
        let other = ask(target, "b", "192.0.2.2");
        assert!(other.is_hit() && other.text() == body, "{target}");
    }
    ask("/client", "a", "192.0.2.1");
    assert_eq!(origin.last().fields.get("x-real-ip"), Some("192.0.2.1"));
    assert!(ask("/client", "a", "192.0.2.1").is_hit());
    assert!(ask("/client", "a", "192.0.2.2").fwd("vary-miss"));
    assert_eq!(origin.last().fields.get("x-real-ip"), Some("192.0.2.2"));
}

#[test]
fn what_was_stored_under_other_request_fields_is_not_used_after_a_reload() {
    let origin = echo(&["x-tenant"]);
    let setup = |lines: &str| Gateway::before(&origin).route("/books", lines);
    let books = "request_fields = { set = { X-Tenant = 'books' } }";
    let gateway = setup("").start();
    assert_eq!(gateway.get("/books").text(), "x-tenant=");
    for (lines, is_hit, text) in [
        ("ttl = '1h'", true, "x-tenant="),
        (books, false, "x-tenant=books"),
        (&format!("{books}\nttl = '1h'"), true, "x-tenant=books"),
        (
            "request_fields = { set = { X-Tenant = 'films' } }",
            false,
            "x-tenant=films",
        ),
        (books, true, "x-tenant=books"),
        ("", true, "x-tenant="),
    ] {
        gateway.reload(&setup(lines));
        let answer = gateway.get("/books");
        assert_eq!(
            (answer.is_hit(), &*answer.text()),
            (is_hit, text),
            "{lines}"
        );
    }
    // A write covers all of them.
    gateway.send(&put("/books", ""));
    for lines in ["", books] {
        gateway.reload(&setup(lines));
        assert!(!gateway.get("/books").is_hit(), "{lines}");
    }
}

#[test]
fn fields_that_are_part_of_the_key_keep_responses_apart() {
    let origin = echo(&["x-tenant", "accept-language"]);
    let gateway = Gateway::before(&origin)
        .cache("key_fields = ['X-Tenant', 'Accept-Language']\nvary = { languages = ['en', 'de'] }\ndebug = true")
        .start();
    let ask = |target: &str, lines: &[(&str, &str)]| {
        let request = lines.iter().fold(get(target), |request, (name, value)| {
            request.field(name, value)
        });
        gateway.send(&request.field("Host", "h")).expect(200)
    };
    type Lines = &'static [(&'static str, &'static str)];
    // Whether each is a hit, and the key.
    #[rustfmt::skip]
    let table: [(&str, Lines, bool, &str); 10] = [
        ("/b", &[], false, "http://h/b#x-tenant&accept-language"),
        ("/b", &[("X-Tenant", "a")], false, "http://h/b#x-tenant=a&accept-language"),
        ("/b", &[("X-Tenant", "b"), ("X-Other", "1")], false, "http://h/b#x-tenant=b&accept-language"),
        ("/b", &[("X-Tenant", " a")], true, "http://h/b#x-tenant=a&accept-language"),
        ("/b", &[("Connection", "x-tenant"), ("X-Tenant", "a")], true, "http://h/b#x-tenant=a&accept-language"),
        ("/b?c", &[("X-Tenant", "a")], false, "http://h/b?c#x-tenant=a&accept-language"),
        ("/b?", &[("X-Tenant", "a")], false, "http://h/b?#x-tenant=a&accept-language"),
        ("/b", &[("Accept-Language", "de-AT, en;q=0.5")], false, "http://h/b#x-tenant&accept-language=de"),
        ("/b", &[("Accept-Language", "de")], true, "http://h/b#x-tenant&accept-language=de"),
        ("/b", &[("X-Tenant", "a"), ("X-Tenant", "b")], false, "http://h/b#x-tenant=a,b&accept-language"),
    ];
    for (target, lines, is_hit, key) in table {
        let answer = ask(target, lines);
        let said = answer.cache_status();
        assert_eq!(answer.is_hit(), is_hit, "{target} {lines:?}: {said}");
        assert!(
            said.contains(&format!("key=\"{key}\"")),
            "{lines:?}: {said}"
        );
    }
    // One URL covers all that is stored for it, and nothing else.
    let admin = |method: &str, target: &str| {
        let mut client = Client::to(gateway.admin_addr());
        client.send(&request(method, target)).expect(200).text()
    };
    let explained = admin("GET", "/explain?url=/b");
    assert_eq!(explained.matches("\"key\":").count(), 5, "{explained}");
    for key in [
        "http://h/b#x-tenant=a&accept-language",
        "http://h/b#x-tenant&accept-language=de",
    ] {
        assert!(
            explained.contains(&format!("\"key\":\"{key}\"")),
            "{explained}"
        );
    }
    for (purge, purged) in [
        ("/purge?url=/b?c", 1),
        ("/purge?url=http://h/b", 5),
        ("/purge?url=http://h/b", 0),
        ("/purge?prefix=/b", 1),
    ] {
        let said = admin("POST", purge);
        assert!(
            said.contains(&format!("\"purged\":{purged},")),
            "{purge}: {said}"
        );
    }
    for lines in [&[("X-Tenant", "a")], &[("X-Tenant", "b")]] {
        ask("/b", lines);
        assert!(ask("/b", lines).is_hit());
    }
    gateway.send(&put("/b", "").field("Host", "h").field("X-Tenant", "c"));
    for lines in [&[("X-Tenant", "a")], &[("X-Tenant", "b")]] {
        assert!(!ask("/b", lines).is_hit(), "a write covers all of them");
    }
}

#[test]
fn what_was_asked_for_before_a_write_is_not_stored_under_any_key_of_its_url() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        if request.method == "GET" {
            held.pass();
        }
        conn.reply(request, &reply(200).field("Cache-Control", "max-age=60"));
    });
    let gateway = Gateway::before(&origin)
        .cache("key_fields = 'X-Tenant'")
        .start();
    let asked = ["a", "b"].map(|tenant| get("/books/1?x").field("X-Tenant", tenant));
    let early = asked.each_ref().map(|request| {
        let mut client = gateway.client();
        client.start(request);
        client
    });
    gate.await_arrivals(2);
    gateway.send(&put("/books/1?x", "")).expect(200);
    gate.open();
    for mut client in early {
        client.answer("GET").finish().expect(200);
    }
    gateway.await_no_fills();
    for request in &asked {
        assert!(!gateway.send(request).expect(200).is_hit());
        assert!(gateway.send(request).expect(200).is_hit());
    }
}

#[test]
fn a_refresh_has_what_the_key_says_and_no_credentials() {
    let origin = echo(&["cookie", "x-tenant", "authorization", "x-id"]);
    let gateway = Gateway::before(&origin)
        .cache(
            "key_cookies = ['lang']\nkey_fields = ['X-Tenant']\ncredential_fields = ['X-Tenant']\nstale_while_revalidate = '1h'\n\
             request_fields = { set = { Authorization = 'Bearer own' } }",
        )
        .manual_clock()
        .start();
    let stale = get("/books").field("Cookie", "lang=de");
    assert_eq!(
        gateway.send(&stale).text(),
        "cookie=lang=de x-tenant= authorization=Bearer own x-id="
    );
    gateway.advance(std::time::Duration::from_secs(61));
    let request = get("/books")
        .field("Cookie", "a=1; lang=de; session=2")
        .field("Authorization", "Basic YTpi");
    assert!(gateway.send(&request).says("detail=stale-while-revalidate"));
    origin.await_requests(2);
    gateway.await_no_fills();
    let sent = origin.last().fields;
    assert_eq!(sent.get("cookie"), Some("lang=de"));
    assert_eq!(sent.get("authorization"), Some("Bearer own"));
    assert!(gateway.send(&stale).is_hit());
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_query_that_does_not_matter_and_a_field_that_does_meet_in_a_key() {
    let origin = Origin::start(|request, conn| {
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("No-Vary-Search", "params=(\"utm\")")
            .body(request.fields.get("x-tenant").unwrap_or_default());
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .cache("key_fields = 'X-Tenant'")
        .start();
    let ask = |target: &str, tenant: &str| {
        let answer = gateway
            .send(&get(target).field("X-Tenant", tenant))
            .expect(200);
        assert_eq!(answer.text(), tenant, "{target}");
        answer.is_hit()
    };
    for (target, tenant, is_hit) in [
        ("/b?utm=1", "a", false),
        ("/b?utm=2", "a", true),
        ("/b", "a", true),
        ("/b?utm=3", "b", false),
        ("/b?utm=4", "b", true),
        ("/b?c=1&utm=4", "b", false),
    ] {
        assert_eq!(ask(target, tenant), is_hit, "{target} {tenant}");
    }
    gateway.send(&put("/b?utm=9", ""));
    assert!(!ask("/b", "a") && !ask("/b?utm=1", "b") && ask("/b?c=1", "b"));
}

/// What one of the clients of a property sends.
#[derive(Clone, Debug)]
struct Sent {
    address: u8,
    tenant: Option<u8>,
    lang: Option<u8>,
    session: Option<u8>,
    method: u8,
    target: u8,
}

fn sent() -> impl Strategy<Value = Sent> {
    let few = || prop::option::of(0..3_u8);
    (1..4_u8, few(), few(), few(), 0..8_u8, 0..4_u8).prop_map(
        |(address, tenant, lang, session, method, target)| Sent {
            address,
            tenant,
            lang,
            session,
            method,
            target,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The API's content is all that it got of its client. A route gives it the client's address in a field that the API's Vary
    /// names, or that is part of the key; and the tenant, the language and the session from fields and cookies.
    #[test]
    fn no_client_gets_what_another_sent(requests in prop::collection::vec(sent(), 1..40)) {
        const NAMES: [&str; 4] = ["x-real-ip", "x-address", "x-tenant", "cookie"];
        let origin = Origin::start(|request, conn| {
            let line = |name: &&str| {
                format!("{name}={}", request.fields.get(name).unwrap_or("none"))
            };
            let lines: Vec<_> = NAMES.iter().map(line).collect();
            let answer = reply(200)
                .field("Cache-Control", "max-age=60, stale-while-revalidate=60")
                .field("Vary", "X-Real-IP")
                .body(lines.join(" "));
            conn.reply(request, &answer);
        });
        let gateway = Gateway::before(&origin)
            .server("trusted_proxies = ['127.0.0.1']")
            .cache(
                "key_fields = ['X-Tenant', 'X-Address']\nkey_cookies = ['lang']\n\
                 response_fields = { set = { X-For = '{client_ip}' } }\n\
                 request_fields = { set = { X-Real-IP = '{client_ip}', X-Address = '{client_ip}' } }",
            )
            .route(
                "/own/{id}",
                "key_fields = []\nkey_cookies = []\n\
                 request_fields = { set = { X-Tenant = '{id}', X-Address = 'none' }, remove = ['Cookie'] }",
            )
            .manual_clock()
            .start();
        for sent in &requests {
            let Sent { address, tenant, lang, session, method, target } = sent;
            let address = format!("192.0.2.{address}");
            let (target, is_own) = match target {
                0 | 1 => (format!("/books/{target}"), false),
                n => (format!("/own/{n}"), true),
            };
            let mut request = request(if *method == 0 { "PUT" } else { "GET" }, &target)
                .field("X-Forwarded-For", &address)
                .field("X-Real-IP", "forged");
            if let Some(tenant) = tenant {
                request = request.field("X-Tenant", tenant);
            }
            let cookie = |(name, value): (&str, &Option<u8>)| Some(format!("{name}={}", (*value)?));
            let cookies = [("lang", lang), ("session", session)].into_iter().filter_map(cookie);
            let cookies: Vec<_> = cookies.collect();
            if !cookies.is_empty() {
                request = request.field("Cookie", cookies.join("; "));
            }
            if *method == 1 {
                gateway.advance(std::time::Duration::from_secs(61));
            }
            let answer = gateway.send(&request).expect(200);
            prop_assert_eq!(answer.field("x-for"), Some(&*address));
            let none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
            // What has been fetched without the session may answer who has one.
            let expected: Vec<String> = match is_own {
                true => vec![format!("x-real-ip={address} x-address=none x-tenant={} cookie=none", &target[5..])],
                false => [cookies.join("; "), cookies.iter().filter(|pair| pair.starts_with("lang")).cloned().collect()]
                    .into_iter()
                    .map(|cookies| {
                        let tenant = none(tenant.map(|tenant| tenant.to_string()));
                        let cookies = none(Some(cookies).filter(|cookies| !cookies.is_empty()));
                        format!("x-real-ip={address} x-address={address} x-tenant={tenant} cookie={cookies}")
                    })
                    .collect(),
            };
            prop_assert!(expected.contains(&answer.text()), "{:?}: {}", sent, answer.text());
        }
    }
}
