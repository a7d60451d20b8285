//! What a route changes of messages and of their limits.

use std::fs;

use proptest::prelude::*;

use crate::common::{
    Answer, Client, Gate, Gateway, Origin, get, head, http2, post, put, reply, request,
};

#[test]
fn a_route_has_limits_in_the_place_of_the_server_s_and_the_upstream_s() {
    let silent = Origin::start(|request, conn| match request.target.as_str() {
        "/silent" => conn.await_close(),
        _ => conn.reply(request, &reply(200)),
    });
    let gateway = Gateway::before(&silent)
        .server("max_body = '1KiB'")
        .route("/silent", "response_timeout = '100ms'")
        .route("/large", "max_body = '4KiB'")
        .route("/any", "max_body = 'off'")
        .start();
    assert_eq!(gateway.get("/silent").status, 504);
    // The size of the content, and the status on each route.
    for (kilobytes, statuses) in [
        (1, [200, 200, 200]),
        (2, [413, 200, 200]),
        (5, [413, 413, 200]),
    ] {
        let content = vec![b'x'; kilobytes << 10];
        for (target, status) in ["/other", "/large", "/any"].into_iter().zip(statuses) {
            let answer = gateway.send(&put(target, &content));
            assert_eq!(answer.status, status, "{target}: {kilobytes} KiB");
        }
    }
}

#[test]
fn a_route_says_on_how_many_other_servers_a_request_is_tried() {
    let broken = Origin::start(|_, conn| conn.close());
    let whole = Origin::answering(reply(200));
    let gateway = Gateway::before_all([broken.url(), whole.url()])
        .workers(1)
        .route("/once", "retries = { max = 0 }")
        .start();
    let statuses = |target: &str| {
        let mut statuses = [0; 2].map(|_| gateway.get(target).status);
        statuses.sort_unstable();
        statuses
    };
    assert_eq!(statuses("/once"), [200, 502]);
    assert_eq!(statuses("/books"), [200, 200]);
}

#[test]
fn what_a_write_names_is_invalidated_as_its_own_route_stores_it() {
    let origin = Origin::start(|request, conn| {
        let answer = match (request.method.as_str(), request.target.as_str()) {
            ("POST", _) => reply(201).field("Location", "/lists/a?utm_source=api&page=2&x=1"),
            ("PUT", _) => reply(200).field("Content-Location", "/books/7?y=1&fbclid=3"),
            _ => reply(200).field("Cache-Control", "max-age=60"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .route("/lists/{*rest}", "query = { keep = ['page'] }")
        .route("/books/{id}", "query = { ignore = ['fbclid'] }")
        .start();
    for (write, target) in [
        (post("/orders", ""), "/lists/a?page=2"),
        (put("/orders/1", ""), "/books/7?y=1"),
    ] {
        gateway.get(target).expect(200);
        assert!(gateway.get(target).is_hit(), "{target}");
        gateway.send(&write);
        assert!(!gateway.get(target).is_hit(), "{target}");
    }
}

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
fn cookies_of_http2_in_lines_of_their_own_are_those_of_one_line() {
    let origin = echo(&["cookie"]);
    let gateway = Gateway::before(&origin)
        .cache("key_cookies = ['lang', 'theme']")
        .start();
    let request = http::Request::get(format!("http://{}/books", gateway.addr()))
        .header("cookie", "lang=de")
        .header("cookie", "theme=a")
        .body(http_body_util::Full::default())
        .expect("a request");
    let answer = http2::send(&gateway, request).expect("an answer");
    assert_eq!(answer.body(), "cookie=lang=de; theme=a");
    let same = get("/books").field("Cookie", "lang=de; theme=a");
    assert!(gateway.send(&same).expect(200).is_hit());
}

#[test]
fn a_cookie_that_is_part_of_the_key_is_no_credential_and_others_still_are() {
    let origin = echo(&["cookie"]);
    let gateway = Gateway::before(&origin)
        .route("/books", "key_cookies = ['lang', 'theme']")
        .route("/plain", "")
        .start();
    let ask = |target: &str, cookie: &str| gateway.send(&get(target).field("Cookie", cookie));
    #[rustfmt::skip]
    let table = [
        ("/plain", "lang=de", false),
        ("/plain", "lang=de", false),
        ("/books", "lang=de", false),
        ("/books", "lang=de", true),
        ("/books", " lang=de ;", true),
        ("/books", "lang=en", false),
        ("/books", "theme=a; lang=en", false),
        ("/books", "lang=en; theme=a", true),
        // What has been stored without credentials answers those with some, but what these fetch is not stored.
        ("/books", "lang=en; session=1", true),
        ("/books", "lang=fr; session=1", false),
        ("/books", "lang=fr; session=1", false),
        ("/books", "lang=fr", false),
        ("/books", "lang=fr; session=2", true),
        // An API may take either.
        ("/books", "lang=fr; lang=de", false),
        ("/books", "lang=de; lang=fr", false),
        ("/books", "lang=de; lang=fr", true),
        ("/books", "Lang=de", false),
        ("/books", "Lang=de", false),
    ];
    for (target, cookie, is_hit) in table {
        let answer = ask(target, cookie).expect(200);
        assert_eq!(
            answer.is_hit(),
            is_hit,
            "{target} {cookie}: {}",
            answer.cache_status()
        );
        if !is_hit {
            assert_eq!(answer.text(), format!("cookie={cookie}"));
        }
    }
}

#[test]
fn no_white_space_in_a_cookie_has_the_default_stored_for_others() {
    // As Go's `readCookies` reads Cookie: the white space around a name is trimmed, that before a value is not.
    let go = |line: &str| {
        let pairs = line
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(name, _)| name.trim() == "lang");
        values.next().map(|(_, value)| value.to_owned())
    };
    // As much of what is written by hand reads it.
    let by_hand = |line: &str| {
        let pairs = line.split("; ").filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(name, _)| *name == "lang");
        values.next().map(|(_, value)| value.to_owned())
    };
    let readers: [fn(&str) -> Option<String>; 2] = [go, by_hand];
    let lifetimes = ["max-age=60", "public, max-age=60"];
    for (read, lifetime) in readers
        .into_iter()
        .flat_map(|read| lifetimes.map(|lifetime| (read, lifetime)))
    {
        let origin = Origin::start(move |request, conn| {
            let lang = read(request.fields.get("cookie").unwrap_or_default());
            let known = lang.filter(|lang| ["de", "fr"].contains(&&**lang));
            let answer = reply(200).field("Cache-Control", lifetime);
            conn.reply(
                request,
                &answer.body(known.unwrap_or_else(|| "en".to_owned())),
            );
        });
        for (at, odd) in [
            "lang= de",
            "lang=\tde",
            "lang =de",
            "lang = de",
            "theme=a;lang=de",
            "theme=a;  lang=de",
            "theme=a; lang=de ",
            "lang= de; theme=a",
            "lang=de ; theme=a",
            "; lang=de",
            "lang=fr; lang =de",
        ]
        .into_iter()
        .enumerate()
        {
            let gateway = Gateway::before(&origin)
                .cache("key_cookies = ['lang', 'theme']")
                .start();
            let target = format!("/books/{at}");
            let ask = |cookie: &str| gateway.send(&get(&target).field("Cookie", cookie));
            ask(odd).expect(200);
            for (cookie, lang) in [
                ("lang=de", "de"),
                ("theme=a; lang=de", "de"),
                ("lang=fr", "fr"),
                ("theme=a", "en"),
                ("", "en"),
            ] {
                let answer = ask(cookie).expect(200);
                assert_eq!(answer.text(), lang, "{odd:?}, then {cookie}");
                assert!(ask(cookie).is_hit(), "{odd:?}, then {cookie}");
            }
        }
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
