//! The fields that a route changes: of requests, and of responses; which of them are part of a key.

mod cookies;
mod key;

use std::fs;

use crate::common::{Answer, Gateway, Origin, get, head, put, reply, request};

/// An origin whose responses are fresh for a minute and have its request's fields of these names as their content.
fn echo(names: &'static [&'static str]) -> Origin {
    Origin::start(move |request, conn| {
        let lines = names.iter().map(|name| {
            let values: Vec<_> = request.fields.all(name).collect();
            format!("{name}={}", values.join("|"))
        });
        let lines: Vec<_> = lines.collect();
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("Server", "flask")
            .body(lines.join(" "));
        conn.reply(request, &answer);
    })
}

#[test]
fn the_api_gets_the_fields_that_the_route_says() {
    let origin = echo(&[
        "x-tenant",
        "x-tag",
        "x-host",
        "cookie",
        "authorization",
        "x-brace",
    ]);
    let gateway = Gateway::before(&origin)
        .cache("request_fields = { set = { X-Host = '{host}' }, remove = ['Cookie'] }")
        .route(
            "/tenants/{tenant}/{*rest}",
            "request_fields = { set = { X-Tenant = 't-{tenant}', X-Brace = '{{a}}$' }, add = { X-Tag = ['a', '{rest}'] } }",
        )
        .route(
            "/keyed",
            "request_fields = { set = { Authorization = 'Bearer sesame', Cookie = 'a=b' } }",
        )
        .start();
    let ask = |target: &str| {
        let request = get(target)
            .field("Host", "api.example")
            .field("X-Tenant", "forged")
            .field("X-Tag", "own")
            .field("Cookie", "session=1");
        gateway.send(&request).expect(200)
    };
    for (target, sent) in [
        (
            "/other",
            "x-tenant=forged x-tag=own x-host=api.example cookie= authorization= x-brace=",
        ),
        (
            "/tenants/%61%20b/books/1?x",
            "x-tenant=t-a%20b x-tag=own|a|books/1 x-host=api.example cookie= authorization= x-brace={a}$",
        ),
        (
            "/keyed",
            "x-tenant=forged x-tag=own x-host=api.example cookie=a=b authorization=Bearer sesame x-brace=",
        ),
    ] {
        assert_eq!(ask(target).text(), sent, "{target}");
        // What the route puts in is no client's credential, and the removed cookie is not one any more.
        assert!(ask(target).is_hit(), "{target}");
    }
}

#[test]
fn no_spelling_of_a_path_has_the_api_believe_the_client() {
    let origin = echo(&["x-tenant", "x-all", "cookie"]);
    let gateway = Gateway::before(&origin)
        .cache("request_fields = { set = { X-All = 'all' } }")
        .route(
            "/tenants/{tenant}/{*rest}",
            "request_fields = { set = { X-Tenant = '{tenant}' }, remove = ['Cookie'] }",
        )
        .start();
    for (target, sent) in [
        ("/tenants/a/b", "x-tenant=a x-all=all cookie="),
        ("/tenants/a/b%2Fc", "x-tenant=a x-all=all cookie="),
        ("/tenants/a%2Fb/c", "x-tenant= x-all=all cookie="),
        ("//tenants/a/b", "x-tenant= x-all=all cookie="),
        ("/tenants%2Fa/b", "x-tenant= x-all=all cookie="),
        ("/x//y", "x-tenant=forged x-all=all cookie=a=b"),
    ] {
        let request = get(target)
            .field("X-Tenant", "forged")
            .field("Cookie", "a=b");
        assert_eq!(gateway.send(&request).text(), sent, "{target}");
    }
}

#[test]
fn a_path_with_two_readings_has_the_api_get_what_both_routes_put_in_alone() {
    let origin = echo(&["authorization", "x-all", "x-own"]);
    let gateway = Gateway::before(&origin)
        .cache(
            "request_fields = { set = { Authorization = 'Bearer upstream-secret', X-All = 'all', X-Own = 'default' } }",
        )
        .route(
            "/films/{id}",
            "request_fields = { set = { X-Own = 'films' }, remove = ['Authorization'] }",
        )
        .route("/books/{id}", "request_fields = { add = { X-Own = 'default' } }")
        .start();
    let bearer = "authorization=Bearer upstream-secret x-all=all";
    for (target, sent) in [
        (
            "/films/x",
            "authorization= x-all=all x-own=films".to_owned(),
        ),
        ("/films%2Fx", "authorization= x-all=all x-own=".to_owned()),
        ("//films/x", "authorization= x-all=all x-own=".to_owned()),
        ("/other", format!("{bearer} x-own=default")),
        ("//other/x", format!("{bearer} x-own=default")),
        // One of the routes keeps what the client says, and the other does not.
        ("//books/x", format!("{bearer} x-own=")),
    ] {
        let request = get(target)
            .field("X-Own", "forged")
            .field("Authorization", "forged");
        assert_eq!(gateway.send(&request).text(), sent, "{target}");
    }
}

#[test]
fn an_api_that_answers_trace_tells_no_client_what_the_route_puts_in() {
    let origin = Origin::start(|request, conn| {
        let lines = request.fields.0.iter();
        let lines: Vec<_> = lines
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        conn.reply(request, &reply(200).body(lines.join("\n").to_lowercase()));
    });
    let gateway = Gateway::before(&origin)
        .cache(
            "request_fields = { set = { Authorization = 'Bearer upstream-secret' }, \
             add = { X-Api-Key = 'upstream-secret' }, remove = ['X-Debug'] }",
        )
        .start();
    let ask = |method: &str| {
        let request = request(method, "/a")
            .field("Authorization", "forged")
            .field("X-Debug", "1");
        gateway.send(&request).expect(200).text()
    };
    assert!(ask("GET").contains("authorization: bearer upstream-secret"));
    let told = ask("TRACE");
    for left_out in ["upstream-secret", "forged", "x-debug"] {
        assert!(!told.contains(left_out), "{told}");
    }
    assert!(told.contains("via: "), "{told}");
}

#[test]
fn the_access_log_has_the_id_by_which_others_know_a_request() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60"));
    let folder = tempfile::tempdir().expect("a folder");
    let (json, own) = (folder.path().join("json"), folder.path().join("own"));
    let named = |target: &str| {
        let id = "request_fields = { set = { X-Request-Id = '{request_id}' } }";
        Gateway::before(&origin).route(target, id)
    };
    let gateway = named("/named").access_log(&json).start();
    let forged = |target: &str| get(target).field("X-Request-Id", "mine");
    for target in ["/named", "/named", "/plain"] {
        gateway.send(&forged(target)).expect(200);
        gateway.await_no_fills();
    }
    drop(gateway);
    let lines = fs::read_to_string(&json).expect("a log");
    let id = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("an object");
        line["request_id"].as_str().map(str::to_owned)
    };
    let ids: Vec<_> = lines.lines().map(id).collect();
    let sent = origin.requests()[0]
        .fields
        .get("x-request-id")
        .map(str::to_owned);
    assert_eq!([&ids[0], &ids[2]], [&sent, &None], "{lines}");
    assert!(
        ids[1].is_some() && ids[1] != ids[0],
        "a hit has its own: {lines}"
    );
    // A line of one's own; and one that a trusted proxy has sent, which the API gets as it came.
    let log = format!("access_file = {own:?}");
    let mut setup = named("/named")
        .log(&log)
        .server("trusted_proxies = ['127.0.0.1']");
    setup = setup.access("'{request_id} {target}'");
    let gateway = setup.start();
    for target in ["/named", "/plain"] {
        gateway.send(&forged(target)).expect(200);
    }
    gateway.get("/plain").expect(200);
    drop(gateway);
    let lines = fs::read_to_string(&own).expect("a log");
    assert_eq!(lines, "mine /named\nmine /plain\n- /plain\n");
}

#[test]
fn a_request_has_one_id_wherever_it_goes() {
    let broken = Origin::start(|_, conn| conn.close());
    let whole = Origin::answering(reply(200).field("Cache-Control", "max-age=60"));
    let setup = Gateway::before_all([broken.url(), whole.url()])
        .workers(1)
        .upstream("ejection.failures = 0")
        .cache(
            "request_fields = { set = { X-Request-Id = '{request_id}' } }\n\
             response_fields = { set = { X-Request-Id = '{request_id}' } }",
        );
    let gateway = setup.clone().start();
    let forged = |target: &str| get(target).field("X-Request-Id", "mine");
    let mut ids = std::collections::BTreeSet::new();
    for target in ["/a", "/b", "/a"] {
        let answer = gateway.send(&forged(target)).expect(200);
        let id = answer.field("x-request-id").expect("an id").to_owned();
        assert!(id.len() == 32 && ids.insert(id.clone()), "{target}: {id}");
        if !answer.is_hit() {
            let sent = [broken.requests(), whole.requests()].concat();
            let same = |request: &&crate::common::Request| {
                request.target == target && request.fields.get("x-request-id") == Some(&id)
            };
            let all = sent
                .iter()
                .filter(|request| request.target == target)
                .count();
            assert_eq!(sent.iter().filter(same).count(), all, "{target}: {sent:?}");
        }
    }
    assert!(broken.count() > 0, "one was sent twice");
    // A trusted proxy has made one already.
    let gateway = setup.server("trusted_proxies = ['127.0.0.1']").start();
    for (sent, is_kept) in [("mine", true), ("not mine", false)] {
        let answer = gateway
            .send(&get("/c").field("X-Request-Id", sent))
            .expect(200);
        assert_eq!(
            answer.field("x-request-id") == Some(sent),
            is_kept,
            "{sent}"
        );
    }
}

#[test]
fn a_gate_reads_what_the_client_sent_and_the_api_gets_what_the_route_says() {
    let origin = echo(&["authorization", "x-path"]);
    let gateway = Gateway::before(&origin)
        .cache("request_fields = { set = { X-Path = '/{rest}' } }")
        .route(
            "/books/{id}",
            "auth = { bearer = 'sesame' }\nrequest_fields = { set = { Authorization = 'Bearer own' } }",
        )
        .route(
            "/open/{id}",
            "auth = { bearer = 'sesame' }\nrequest_fields = { remove = ['Authorization'] }",
        )
        .route(
            "/page/{id}",
            "cors = { origins = ['https://a.example'] }\nrequest_fields = { remove = ['Origin'] }",
        )
        .start();
    let page = get("/page/1").field("Origin", "https://a.example");
    let granted = gateway.send(&page).expect(200);
    let origin_of = |answer: &Answer| {
        answer
            .field("access-control-allow-origin")
            .map(str::to_owned)
    };
    assert_eq!(origin_of(&granted).as_deref(), Some("https://a.example"));
    for (target, authorization) in [("/books/1", "Bearer own"), ("/open/1", "")] {
        assert_eq!(gateway.get(target).status, 401, "{target}");
        let request = get(target).field("Authorization", "Bearer sesame");
        let answer = gateway.send(&request).expect(200);
        let sent = format!("authorization={authorization} x-path={target}");
        assert_eq!(answer.text(), sent);
        assert!(gateway.send(&request).expect(200).is_hit(), "{target}");
        let wrong = get(target).field("Authorization", "Bearer own");
        assert_eq!(gateway.send(&wrong).status, 401, "{target}");
    }
}

#[test]
fn connection_does_not_name_what_the_route_speaks_of() {
    let origin = echo(&["x-tenant", "x-set", "x-own"]);
    let gateway = Gateway::before(&origin)
        .cache("key_fields = 'X-Tenant'\nrequest_fields = { set = { X-Set = 'a' } }")
        .start();
    let request = get("/books")
        .field("Connection", "x-tenant, x-set, x-own")
        .field("X-Tenant", "a")
        .field("X-Own", "b");
    assert_eq!(gateway.send(&request).text(), "x-tenant=a x-set=a x-own=");
}

#[test]
fn a_credential_that_the_api_gets_is_one_and_one_that_it_does_not_get_is_none() {
    let origin = echo(&["cookie", "authorization"]);
    let gateway = Gateway::before(&origin)
        .route("/plain", "")
        .route(
            "/removed",
            "request_fields = { remove = ['Cookie', 'Authorization'] }",
        )
        .route("/set", "request_fields = { set = { Cookie = 'site=a' } }")
        .route("/added", "request_fields = { add = { Cookie = 'site=a' } }")
        .start();
    // Whether the second of two requests that have this line each is a hit.
    let cookie = ("Cookie", "session=1");
    let basic = ("Authorization", "Basic YTpi");
    for (target, line, is_hit, sent) in [
        ("/plain", cookie, false, "cookie=session=1 authorization="),
        ("/removed", cookie, true, "cookie= authorization="),
        ("/removed", basic, true, "cookie= authorization="),
        ("/set", cookie, true, "cookie=site=a authorization="),
        (
            "/set",
            basic,
            false,
            "cookie=site=a authorization=Basic YTpi",
        ),
        (
            "/added",
            cookie,
            false,
            "cookie=session=1; site=a authorization=",
        ),
        (
            "/added",
            basic,
            false,
            "cookie=site=a authorization=Basic YTpi",
        ),
    ] {
        let gateway_asked =
            |value: &str| gateway.send(&get(target).field(line.0, value)).expect(200);
        assert_eq!(gateway_asked(line.1).text(), sent, "{target} {line:?}");
        let other = line.1.replace('1', "2").replace("YTpi", "YTpj");
        let answer = gateway_asked(&other);
        assert_eq!(
            answer.is_hit(),
            is_hit,
            "{target} {line:?}: {}",
            answer.cache_status()
        );
        gateway.send(&put(target, ""));
    }
}

#[test]
fn clients_get_the_fields_that_the_route_says_and_the_store_keeps_the_api_s() {
    let origin = Origin::start(|request, conn| match request.target.as_str() {
        "/gone" => conn.close(),
        "/missing" => conn.reply(
            request,
            &reply(404).field("Cache-Control", "max-age=5").body("no"),
        ),
        _ => conn.reply(
            request,
            &reply(200)
                .field("Cache-Control", "max-age=60")
                .field("Content-Type", "text/plain")
                .field("ETag", "\"a\"")
                .field("Server", "flask")
                .field("Link", "</a>")
                .body("0123456789"),
        ),
    });
    let lines = "response_fields = { remove = ['Server'], set = { X-Id = '{request_id}', Cache-Control = 'max-age=1', \
                 Content-Type = 'text/x' }, add = { Link = '</b>' } }";
    let gateway = Gateway::before(&origin)
        .upstream("retries = { max = 0 }")
        .cache(lines)
        .start();
    let fields = |request: &crate::common::Request, status: u16| {
        let answer = gateway.send(request).expect(status);
        let id = answer.field("x-id").expect("an id").to_owned();
        assert!(!answer.fields.has("server") && id.len() == 32, "{answer:?}");
        assert!(answer.fields.has("via") && answer.fields.has("cache-status"));
        let seen = ["cache-control", "content-type", "link"].map(|name| answer.list(name));
        (id, seen)
    };
    let book = get("/book");
    let own = ["max-age=1", "text/x", "</a>, </b>"];
    let range = book.clone().field("Range", "bytes=0-1");
    let ranges = book.clone().field("Range", "bytes=0-1,4-5");
    let condition = book.clone().field("If-None-Match", "\"a\"");
    let (first, seen) = fields(&book, 200);
    assert_eq!(seen, own);
    // A 304 has no Content-Type but the operator's.
    for (request, status) in [
        (&book, 200),
        (&head("/book"), 200),
        (&range, 206),
        (&condition, 304),
    ] {
        let (id, mut seen) = fields(request, status);
        assert_ne!(id, first);
        if status == 304 {
            own[2].clone_into(&mut seen[2]);
        }
        assert_eq!(seen, own, "{status}");
    }
    let (_, parts) = fields(&ranges, 206);
    assert!(parts[1].starts_with("multipart/byteranges; boundary="));
    assert_eq!(origin.count(), 1, "all of these come from the store");
    // Errors keep their own lifetime, and those of the gateway their type.
    assert_eq!(
        fields(&get("/missing"), 404).1,
        ["max-age=5", "text/x", "</b>"]
    );
    assert_eq!(
        fields(&get("/gone"), 502).1,
        ["no-store", "application/problem+json", "</b>"]
    );
}
