//! Purge and explain: a URL is read as a request's target is, everything is read before anything is done, and the answer
//! says what is wrong and what to write. And what /readyz and /metrics tell.

use crate::common::{
    Answer, Client, Gateway, Origin, Setup, await_that, get, post, reply, request,
};

fn setup() -> (Origin, Setup) {
    let origin = Origin::start(|request, conn| {
        let control = match request.target.contains("private") {
            true => "no-store",
            false => "max-age=600",
        };
        conn.reply(request, &reply(200).field("Cache-Control", control));
    });
    let setup = Gateway::before(&origin);
    (origin, setup)
}

fn read(gateway: &Gateway, host: &str, target: &str) -> Answer {
    gateway.send(&get(target).field("Host", host)).expect(200)
}

/// Whether it is stored; where it was not, it is now.
fn is_stored(gateway: &Gateway, host: &str, target: &str) -> bool {
    read(gateway, host, target).is_hit()
}

fn purge(gateway: &Gateway, query: &str) -> Answer {
    Client::to(gateway.admin_addr()).send(&request("POST", &format!("/purge?{query}")))
}

fn purged(answer: Answer) -> u64 {
    let text = answer.expect(200).text();
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    document["purged"].as_u64().expect("a number")
}

fn explain(gateway: &Gateway, query: &str) -> serde_json::Value {
    let answer = Client::to(gateway.admin_addr()).get(&format!("/explain?{query}"));
    serde_json::from_str(&answer.expect(200).text()).expect("JSON")
}

#[test]
fn a_url_is_read_as_a_request_would_be() {
    let (_origin, setup) = setup();
    let gateway = setup.start();
    for (target, url) in [
        ("/shop", "http://other.test/shop"),
        ("/shop", "http://OTHER.test/shop"),
        ("/shop", "http://other.test:80/shop"),
        ("/shop", "HTTP://Other.Test:080/shop"),
        ("/shop", "http://other.test/shop%23here"),
        ("/shop", "http%3A%2F%2Fother.test%2Fshop"),
        ("/shop", "/shop"),
        ("/shop", "/shop%23here"),
        ("/", "http://other.test"),
        ("/?a", "http://other.test?a"),
        ("/shop?a=1&b=2", "http://other.test/shop%3Fa=1%26b=2"),
        ("/shop?a=1", "/shop?a=1"),
        ("/shop?a+b", "/shop?a+b"),
        ("//shop", "//shop"),
    ] {
        read(&gateway, "other.test", target);
        let explained = explain(&gateway, &format!("url={url}"));
        let stored = explained["stored"].as_array().expect("a list");
        assert_eq!(stored.len(), 1, "{url}: {explained:#}");
        assert_eq!(purged(purge(&gateway, &format!("url={url}"))), 1, "{url}");
        assert!(!is_stored(&gateway, "other.test", target), "{url}");
        purge(&gateway, "all=true").expect(200);
    }
}

#[test]
fn a_prefix_ends_with_a_segment_and_an_authority_is_whole() {
    let (_origin, setup) = setup();
    let gateway = setup.start();
    let all = [
        ("h.test", "/"),
        ("h.test", "/books"),
        ("h.test", "/books?a"),
        ("h.test", "/books/1"),
        ("h.test", "/bookshop"),
        ("h.test.evil", "/books"),
        ("h.test:8080", "/books"),
        ("xh.test", "/books/1"),
    ];
    for (prefix, gone) in [
        ("http://h.test", &[0, 1, 2, 3, 4][..]),
        ("http://h.test/", &[0, 1, 2, 3, 4]),
        ("HTTP://H.test:80", &[0, 1, 2, 3, 4]),
        ("http://h.test:8080", &[6]),
        ("http://h.test/books", &[1, 2, 3]),
        ("http://h.test/books/", &[3]),
        ("http://h.test/book", &[]),
        ("http://h.tes", &[]),
        ("http://h", &[]),
        ("/books", &[1, 2, 3, 5, 6, 7]),
        ("/books/", &[3, 7]),
        ("/book", &[]),
        ("/%62ooks/1", &[3, 7]),
        ("/", &[0, 1, 2, 3, 4, 5, 6, 7]),
    ] {
        for (host, target) in all {
            read(&gateway, host, target);
        }
        let count = purged(purge(&gateway, &format!("prefix={prefix}")));
        assert_eq!(count, gone.len() as u64, "{prefix}");
        for (n, (host, target)) in all.into_iter().enumerate() {
            let stored = is_stored(&gateway, host, target);
            assert_eq!(stored, !gone.contains(&n), "{prefix}: {host}{target}");
        }
    }
}

/// What cannot be meant so, and what the answer says.
#[test]
fn what_names_nothing_is_refused_before_anything_is_purged() {
    let (_origin, setup) = setup();
    let gateway = setup.start();
    read(&gateway, "h.test", "/books");
    for (query, cure) in [
        ("", "url=/books/123"),
        ("url=", "/books/123"),
        ("url=shop", "/books/123"),
        ("url=h.test/books", "http://host"),
        ("url=http://", "http://host"),
        ("url=ftp://h.test/", "http nor https"),
        ("url=http://me@h.test/", "http://host"),
        ("prefix=", "/books"),
        ("prefix=books", "/books"),
        ("prefix=http://", "http://host"),
        ("prefix=/books?a", "all queries"),
        ("group=", "Cache-Groups"),
        ("all=false", "all=true"),
        ("all", "all=true"),
        ("nope=1", "`nope`"),
        ("URL=/books", "`URL`"),
        ("dryrun", "`dryrun`"),
        // Each of these has something that could be done.
        ("url=/books&nope=1", "`nope`"),
        ("all=true&url=shop", "/books/123"),
        ("all=true&all=no", "all=true"),
        ("url=/books&prefix=", "/books"),
        // A URL that was not encoded.
        ("url=/books?a=1&b=2", "%26"),
        ("url=/books?a=1&group=2", "%26"),
        ("url=http://h.test/books?a=1&all=true", "%26"),
    ] {
        let answer = purge(&gateway, query);
        assert_eq!(answer.status, 400, "{query}: {answer:#?}");
        assert_eq!(
            answer.field("content-type"),
            Some("application/problem+json")
        );
        let text = answer.text();
        assert!(text.contains(cure), "{query}: {text}");
        assert!(is_stored(&gateway, "h.test", "/books"), "{query}");
    }
    for content in [
        "{\"all\": true, \"prefix\": 5}",
        "{\"all\": true, \"nope\": \"x\"}",
        "{\"url\": [\"/books\", 5]}",
        "{\"url\": [\"/books\", \"books\"]}",
        "{\"all\": true, \"group\": null}",
        "[\"/books\"]",
        "{\"all\": true",
    ] {
        let mut admin = Client::to(gateway.admin_addr());
        let answer = admin.send(&post("/purge", content));
        assert_eq!(answer.status, 400, "{content}: {answer:#?}");
        assert!(is_stored(&gateway, "h.test", "/books"), "{content}");
    }
    for (query, cure) in [
        ("", "url=/books/123"),
        ("url=", "/books/123"),
        ("url=shop", "/books/123"),
        ("url=/books?a=1&b=2", "%26"),
        ("url=/books&credentials=1", "`credentials`"),
        ("url=/books&url=/a", "more than once"),
    ] {
        let answer = Client::to(gateway.admin_addr()).get(&format!("/explain?{query}"));
        assert_eq!(answer.status, 400, "{query}: {answer:#?}");
        assert!(answer.text().contains(cure), "{query}: {}", answer.text());
    }
}

#[test]
fn a_purge_counts_resources_and_not_what_is_known_to_be_uncacheable() {
    let (_origin, setup) = setup();
    let gateway = setup.start();
    for query in ["url=/private", "prefix=/private", "all=true"] {
        read(&gateway, "h.test", "/private");
        assert_eq!(purged(purge(&gateway, query)), 0, "{query}");
        read(&gateway, "h.test", "/private");
        read(&gateway, "h.test", "/private/books");
        read(&gateway, "h.test", "/books");
        assert_eq!(purged(purge(&gateway, "all=true")), 1, "{query}");
    }
}

#[test]
fn parameters_that_do_not_matter_are_known_to_the_operator() {
    let origin = Origin::answering(
        reply(200)
            .field("Cache-Control", "max-age=600")
            .field("No-Vary-Search", "key-order, params=(\"utm\")"),
    );
    let gateway = Gateway::before(&origin).start();
    for url in [
        "/books?a=1%26b=2",
        "/books?utm=9%26b=2%26a=1",
        "http://h.test/books?b=2%26a=1",
        "http://h.test/books?utm=9%26a=1%26b=2",
    ] {
        read(&gateway, "h.test", "/books?utm=1&a=1&b=2");
        let explained = explain(&gateway, &format!("url={url}"));
        let stored = &explained["stored"][0];
        let said = stored["no_vary_search"].as_str().unwrap_or_default();
        assert!(
            said.contains("utm") && said.contains("any order"),
            "{url}: {explained:#}"
        );
        assert_eq!(purged(purge(&gateway, &format!("url={url}"))), 1, "{url}");
        assert!(!is_stored(&gateway, "h.test", "/books?b=2&a=1"), "{url}");
    }
    assert_eq!(purged(purge(&gateway, "url=/books?a=2")), 0);
}

#[test]
fn explain_knows_credentials_and_ambiguous_paths() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "public, max-age=600"));
    let gateway = Gateway::before(&origin)
        .cache("credential_fields = ['X-API-Key']")
        .route("/books", "ttl = '5m'")
        .start();
    let request = get("/books")
        .field("Host", "h.test")
        .field("Authorization", "Basic YTpi");
    gateway.send(&request).expect(200);
    let explained = explain(&gateway, "url=/books");
    let credentials = &explained["credentials"];
    let fields = serde_json::json!(["authorization", "cookie", "x-api-key"]);
    assert_eq!(credentials["fields"], fields, "{explained:#}");
    assert_eq!(credentials["ignored"], false);
    assert!(
        credentials["why"]
            .as_str()
            .is_some_and(|why| why.contains("public"))
    );
    let variant = &explained["stored"][0]["variants"][0];
    assert_eq!(variant["fetched_with_credentials"], true, "{explained:#}");
    assert!(explained.get("ambiguous").is_none());

    for url in [
        "//books",
        "http://h.test//books",
        "/x/../books",
        "/books%253Bx",
    ] {
        let explained = explain(&gateway, &format!("url={url}"));
        assert_eq!(explained["bypass"], true, "{explained:#}");
        let routes = serde_json::json!(["(default)", "/books"]);
        assert_eq!(explained["ambiguous"]["routes"], routes, "{explained:#}");
    }
}

#[test]
fn readyz_tells_that_the_circuit_is_open() {
    let (origin, setup) = setup();
    let gateway = setup
        .upstream("circuit = { failures = 1, time = '1h', max_time = '1h' }")
        .start();
    let ready = || {
        Client::to(gateway.admin_addr())
            .get("/readyz")
            .expect(200)
            .text()
    };
    read(&gateway, "h.test", "/");
    assert_eq!(ready(), "ready\n");
    origin.stop();
    await_that("an open circuit", || {
        gateway.get("/private");
        ready().contains("no upstream server")
    });
}

#[test]
fn the_memory_used_is_no_less_than_what_is_stored() {
    let (_origin, setup) = setup();
    let gateway = setup.start();
    for n in 0..200 {
        read(&gateway, "h.test", &format!("/{n}/{}", "long".repeat(100)));
        read(&gateway, "h.test", &format!("/private/{n}"));
    }
    let (used, stored) = (
        gateway.metric("bookend_memory_used_bytes"),
        gateway.metric("bookend_stored_bytes"),
    );
    assert!(used >= stored && stored > 0, "{used} used, {stored} stored");
}

/// Tools read these words: they are none of the code's own names.
#[test]
fn explain_says_why_in_words_of_its_own() {
    let origin = Origin::start(|request, conn| {
        let (control, more) = match &*request.target {
            "/max-age" => ("max-age=600, must-revalidate", ("X", "y")),
            "/s-maxage" => ("s-maxage=600", ("X", "y")),
            "/proxy" => ("max-age=600, proxy-revalidate", ("X", "y")),
            "/no-cache" => ("no-cache, max-age=600", ("ETag", "\"a\"")),
            "/expires" => ("public", ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT")),
            "/heuristic" => ("public", ("Last-Modified", "Fri, 01 Jan 2010 00:00:00 GMT")),
            "/operator" => ("public", ("X", "y")),
            "/private" => ("private", ("X", "y")),
            "/large" => ("max-age=600, public", ("X", "y")),
            _ => ("no-store", ("X", "y")),
        };
        let answer = reply(200)
            .field("Cache-Control", control)
            .field(more.0, more.1);
        let answer = match &*request.target {
            "/large" => answer.body("x".repeat(2_000)),
            "/close" => reply(200)
                .field("Cache-Control", "max-age=600")
                .body("x")
                .until_close(),
            _ => answer.body("x"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .cache("max_stored_body = 1000")
        .route("/operator", "ttl = '5m'")
        .start();
    #[rustfmt::skip]
    let stored: &[(&str, &str, Option<&str>)] = &[
        ("/max-age", "max-age", Some("must-revalidate")),
        ("/s-maxage", "s-maxage", Some("s-maxage")),
        ("/proxy", "max-age", Some("proxy-revalidate")),
        ("/no-cache", "max-age", Some("no-cache")),
        ("/expires", "expires", None),
        ("/heuristic", "heuristic", None),
        ("/operator", "operator", None),
    ];
    for (path, source, must_validate) in stored {
        gateway.get(path).expect(200);
        gateway.await_no_fills();
        let explained = explain(&gateway, &format!("url={path}"));
        let variant = &explained["stored"][0]["variants"][0];
        assert_eq!(variant["lifetime_from"], *source, "{explained:#}");
        assert_eq!(
            variant["must_validate"].as_str(),
            *must_validate,
            "{explained:#}"
        );
    }
    for (path, why) in [
        ("/private", "private"),
        ("/no-store", "no-store"),
        ("/large", "too-large"),
        ("/close", "unverified-end"),
    ] {
        gateway.get(path).expect(200);
        gateway.await_no_fills();
        let explained = explain(&gateway, &format!("url={path}"));
        let marker = &explained["stored"][0]["markers"][0];
        assert_eq!(marker["why"], why, "{explained:#}");
        assert!(marker["cure"].as_str().is_some_and(|cure| cure.len() > 20));
    }
}

fn purges(gateway: &Gateway, query: &str) -> serde_json::Value {
    let answer = Client::to(gateway.admin_addr()).get(&format!("/purges{query}"));
    serde_json::from_str(&answer.expect(200).text()).expect("JSON")
}

#[test]
fn a_dry_run_tells_what_a_purge_would_do_and_changes_nothing() {
    let (_origin, setup) = setup();
    let gateway = setup.start();
    for target in ["/books/1", "/books/2?a", "/films/1"] {
        read(&gateway, "a.test", target);
    }
    for (query, would) in [
        ("prefix=/books", 2),
        ("url=/books/1&prefix=/books", 2),
        ("url=/books/3", 0),
        ("all=true", 3),
        ("all=true&soft=true", 3),
    ] {
        let told = purge(&gateway, &format!("{query}&dry_run=true")).expect(200);
        let told: serde_json::Value = serde_json::from_str(&told.text()).expect("JSON");
        assert_eq!(told["would_purge"], would, "{query}");
        assert_eq!(told["purged"], serde_json::Value::Null);
        // Those that take most memory come first, and ten at most.
        let largest = told["largest"].as_array().expect("a list");
        let bytes: Vec<_> = largest.iter().map(|one| one["bytes"].as_u64()).collect();
        assert!(bytes.is_sorted_by(|one, next| one >= next), "{told}");
        assert_eq!(largest.len(), would, "{told}");
        let all = bytes.into_iter().flatten().sum::<u64>();
        assert_eq!(told["bytes"], all, "{told}");
        let is_url = |one: &serde_json::Value| {
            let key = one["key"].as_str();
            key.is_some_and(|key| key.starts_with("http://a.test/"))
        };
        assert!(largest.iter().all(is_url), "{told}");
        assert!(is_stored(&gateway, "a.test", "/books/1"), "{query}");
        // The purge itself counts the same, and takes as much.
        if query == "prefix=/books" {
            let done = purge(&gateway, query).expect(200);
            let done: serde_json::Value = serde_json::from_str(&done.text()).expect("JSON");
            assert_eq!(
                (&done["purged"], &done["bytes"]),
                (&told["would_purge"], &told["bytes"])
            );
            read(&gateway, "a.test", "/books/1");
            read(&gateway, "a.test", "/books/2?a");
        }
    }
    assert_eq!(
        purges(&gateway, "")["purges"].as_array().map(Vec::len),
        Some(1)
    );
    for n in 0..12 {
        read(&gateway, "a.test", &format!("/films/{n}"));
    }
    let told = purge(&gateway, "all=true&dry_run=true").expect(200).text();
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let count = |name: &str| told[name].as_array().map_or(0, Vec::len);
    assert_eq!(count("largest"), 10, "{told}");
    assert!(count("top") <= 10, "{told}");
}

#[test]
fn what_was_purged_softly_is_validated_before_it_is_used() {
    let origin = Origin::start(|request, conn| {
        let answer = match request.fields.get("if-none-match") {
            Some(_) => reply(304),
            None => reply(200).body("1984"),
        };
        let answer = answer.field("Cache-Control", "max-age=600");
        conn.reply(request, &answer.field("ETag", "\"1\""));
    });
    let gateway = Gateway::before(&origin).start();
    gateway.get("/books/1");
    assert!(gateway.get("/books/1").is_hit());
    assert_eq!(
        purged(purge(&gateway, "tag=none&url=/books/1&soft=true")),
        1
    );
    let validated = gateway.get("/books/1");
    assert!(validated.fwd("stale") && validated.number("fwd-status") == Some(304));
    assert_eq!(validated.text(), "1984");
    assert!(gateway.get("/books/1").is_hit());
    // Softly again: what need not be validated any more counts.
    assert_eq!(purged(purge(&gateway, "all=true&soft=true")), 1);
    assert_eq!(purged(purge(&gateway, "all=true&soft=true")), 0);
}

#[test]
fn purges_are_listed_with_their_reasons_the_latest_first() {
    let (_origin, setup) = setup();
    let gateway = setup.start();
    read(&gateway, "a.test", "/books/1");
    purge(&gateway, "url=/books/1&reason=new+price").expect(200);
    purge(&gateway, "prefix=http://a.test/films&soft=true").expect(200);
    let listed = purges(&gateway, "");
    let told = |nth: usize, name: &str| listed["purges"][nth][name].clone();
    for (nth, name, expected) in [
        (
            0,
            "covers",
            serde_json::json!("http://a.test/films and all below it"),
        ),
        (0, "soft", true.into()),
        (0, "purged", 0.into()),
        (0, "reason", serde_json::Value::Null),
        (0, "sequence", 2.into()),
        (1, "covers", "/books/1 on every host".into()),
        (1, "soft", false.into()),
        (1, "purged", 1.into()),
        (1, "reason", "new price".into()),
        (1, "actor", "127.0.0.1".into()),
    ] {
        assert_eq!(told(nth, name), expected, "{nth} {name}");
    }
    assert_eq!(
        purges(&gateway, "?limit=1")["purges"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    for query in [
        "url=/books/1&soft=yes",
        "url=/books/1&dry_run=1",
        "url=/books/1&reason=a&reason=b",
        "url=/books/1&reason=a%0Ab",
        "url=/books/1&dry_run=true&dry_run=false",
        "url=/books/1&soft=true&soft=true",
        &format!("url=/books/1&reason={}", "a".repeat(201)),
        "soft=true",
        "reason=why",
        "tag=",
    ] {
        purge(&gateway, query).expect(400);
    }
    let mut admin = Client::to(gateway.admin_addr());
    for query in ["?limit=many", "?limit=1&limit=2", "?last=1"] {
        admin.get(&format!("/purges{query}")).expect(400);
    }
    assert_eq!(
        purges(&gateway, "")["purges"].as_array().map(Vec::len),
        Some(2)
    );
}
