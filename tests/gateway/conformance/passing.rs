//! What passes through, and how: fields, statuses, lengths, Via, Max-Forwards (RFC 9110), each by the name that
//! `docs/rfc9111.md` gives it.

use super::{before, secs, with};
use crate::common::{Gateway, Origin, delete, get, head, post, put, reply, request};

#[test]
fn cache_directives_pass_in_both_directions() {
    // RFC 9111 §5.2
    let says = "max-age=60, public, x-own=\"a, b\"";
    let (origin, gateway) = before(&[("Cache-Control", says)]);
    let asks = "max-stale=5, x-mine";
    let answer = gateway.send(&get("/a").field("Cache-Control", asks));
    assert_eq!(answer.field("cache-control"), Some(says));
    assert_eq!(origin.last().fields.get("cache-control"), Some(asks));
    assert_eq!(
        gateway.get("/a").field("cache-control"),
        Some(says),
        "from the store too"
    );
}

#[test]
fn targeted_fields_pass_untouched() {
    // RFC 9213 §2.1
    let (_origin, gateway) = before(&[
        ("CDN-Cache-Control", "max-age=60"),
        ("Cache-Control", "no-store"),
    ]);
    for _ in 0..2 {
        let answer = gateway.get("/a");
        assert_eq!(answer.field("cdn-cache-control"), Some("max-age=60"));
        assert_eq!(answer.field("cache-control"), Some("no-store"));
    }
}

#[test]
fn a_routes_client_ttl_is_written_as_a_token() {
    // RFC 9111 §5.2.2.1: and never an Age beyond it
    let origin = Origin::answering(
        reply(200)
            .field("Cache-Control", "max-age=3600")
            .body("1984"),
    );
    let gateway = Gateway::before(&origin)
        .route("/{*all}", "client_ttl = \"30s\"")
        .manual_clock()
        .start();
    assert_eq!(gateway.get("/a").field("cache-control"), Some("max-age=30"));
    gateway.advance(secs(100));
    let hit = gateway.get("/a");
    assert_eq!(
        (hit.field("cache-control"), hit.age()),
        (Some("max-age=130"), Some(100))
    );
}

#[test]
fn a_hit_has_an_age_and_a_stale_one_shows_it() {
    let (_origin, gateway) = before(&[("Cache-Control", "max-age=10, stale-while-revalidate=60")]);
    gateway.get("/a").expect(200);
    gateway.advance(secs(5));
    assert_eq!(gateway.get("/a").age(), Some(5));
    gateway.advance(secs(10));
    assert_eq!(gateway.get("/a").age(), Some(15));
}

#[test]
fn of_several_variants_the_most_recent_answers() {
    // RFC 9111 §4: both answer a request without an Origin. What a page of another origin was told of CORS, no other may
    // have, so that neither takes the place of the other.
    let origin = Origin::start(|request, conn| {
        let answer = reply(200).field("Cache-Control", "max-age=60");
        let answer = match request.fields.has("origin") {
            true => answer
                .field("Access-Control-Expose-Headers", "X-Total")
                .body("second"),
            false => answer.body("first"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(2));
    let page = get("/a").field("Origin", "https://app.test");
    assert_eq!(gateway.send(&page).text(), "second");
    let hit = gateway.get("/a");
    assert_eq!((hit.is_hit(), &*hit.text()), (true, "second"));
}

#[test]
fn writes_are_always_forwarded_and_their_answers_never_stored() {
    // RFC 9111 §4, RFC 9110 §9.3.4, §9.3.5
    for write in [put("/a", "x"), delete("/a"), post("/a", "x")] {
        let (origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
        gateway.get("/a").expect(200);
        for n in 2..4 {
            assert!(gateway.send(&write).expect(200).fwd("method"));
            assert_eq!(origin.count(), n, "{}", write.method);
        }
        assert!(!gateway.get("/a").is_hit(), "{}", write.method);
    }
}

#[test]
fn what_is_not_stored_leaves_no_stored_bytes() {
    // RFC 9111 §5.2.1.5
    let (_origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    gateway
        .send(&get("/a").field("Cache-Control", "no-store"))
        .expect(200);
    gateway.await_no_fills();
    assert_eq!(gateway.metric("bookend_stored_resources"), 0);
}

#[test]
fn statuses_fields_and_content_pass_untouched() {
    // RFC 9110 §5.3, §7.7, §15: errors and redirects too
    for status in [
        200, 203, 301, 302, 304, 307, 400, 404, 418, 422, 500, 503, 599,
    ] {
        let origin = Origin::answering(
            reply(status)
                .field("X-Two", "b")
                .field("X-Two", "a")
                .field("Location", "/else")
                .body("as it is"),
        );
        let gateway = Gateway::before(&origin).start();
        let request = get("/a")
            .field("If-None-Match", "\"x\"")
            .field("Cache-Control", "no-store");
        let answer = gateway.send(&request);
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.fields.all("x-two").collect::<Vec<_>>(),
            ["b", "a"],
            "{status}"
        );
        if status != 304 {
            assert_eq!(
                (answer.text().as_str(), answer.field("content-length")),
                ("as it is", Some("8")),
                "{status}"
            );
        }
        assert_eq!(answer.field("location"), Some("/else"));
    }
}

#[test]
fn lengths_are_told_where_there_is_content() {
    // RFC 9110 §8.6
    let (_origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    for _ in 0..2 {
        assert_eq!(gateway.get("/a").field("content-length"), Some("4"));
        assert_eq!(gateway.send(&head("/a")).field("content-length"), Some("4"));
    }
    let origin = Origin::answering(reply(204));
    let gateway = Gateway::before(&origin).start();
    assert_eq!(gateway.get("/a").field("content-length"), None);
}

#[test]
fn a_wrong_length_is_not_forwarded() {
    // RFC 9110 §8.6
    for octets in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n1984",
        "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n1984",
        "HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\n1984",
    ] {
        let origin = Origin::start(move |_, conn| {
            conn.write(octets);
            conn.close();
        });
        let gateway = Gateway::before(&origin).start();
        let answer = gateway.get("/a");
        assert_eq!(answer.status, 502, "{octets}");
        assert!(answer.text().contains("\"status\":502") && answer.field("proxy-status").is_some());
    }
}

#[test]
fn max_forwards_counts_for_options_and_trace_only() {
    // RFC 9110 §7.6.2
    let (origin, gateway) = before(&[]);
    gateway.send(&get("/a").field("Max-Forwards", "0"));
    assert_eq!(origin.last().fields.get("max-forwards"), Some("0"));
    gateway.send(&request("OPTIONS", "/a"));
    assert!(!origin.last().fields.has("max-forwards"), "never added");
}

#[test]
fn group_invalidation_is_of_one_origin_by_writes_alone_and_does_not_spread() {
    // RFC 9875 §2.2, §3
    let origin = Origin::start(|request, conn| {
        let groups = if request.target == "/both" {
            "\"one\", \"two\""
        } else {
            "\"two\""
        };
        let plain = reply(200).field("Cache-Group-Invalidation", "\"one\"");
        conn.reply(
            request,
            &plain
                .field("Cache-Control", "max-age=60")
                .field("Cache-Groups", groups)
                .body("1984"),
        );
    });
    let gateway = Gateway::before(&origin).start();
    let at = |host: &str, target: &str| gateway.send(&get(target).field("Host", host));
    for (host, target) in [("a", "/both"), ("a", "/two"), ("b", "/both")] {
        at(host, target).expect(200);
    }
    assert!(
        at("a", "/both").is_hit(),
        "a GET's answer invalidates nothing"
    );
    gateway
        .send(&put("/write", "x").field("Host", "a"))
        .expect(200);
    assert!(!at("a", "/both").is_hit());
    assert!(at("a", "/two").is_hit(), "its other group is left alone");
    assert!(at("b", "/both").is_hit(), "another origin's is left alone");
}

#[test]
fn interim_responses_are_not_final_and_none_reaches_http_1_0() {
    let origin = Origin::start(|request, conn| {
        conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "no-store").body("1984"),
        );
    });
    let gateway = Gateway::before(&origin).start();
    let old = gateway.send(&get("/a").version("HTTP/1.0"));
    assert_eq!((old.status, old.interim.len()), (200, 0));
    assert_eq!(gateway.get("/a").expect(200).text(), "1984");
}

#[test]
fn the_content_of_a_query_is_never_logged() {
    // RFC 10008 §5
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[upstream]\nservers = [\"{}\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess_file = {:?}\n",
        origin.url(),
        file
    );
    let config = bookend::config::Config::parse(&config, "the test", &|_| None).expect("valid");
    let instance = bookend::instance::Instance::bind(config, bookend::clock::Clock::system())
        .expect("free ports");
    let bookend::config::ListenAddr::Tcp(addr) = instance.addrs()[0].clone() else {
        panic!("TCP was asked for")
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let gateway = std::thread::spawn(move || instance.run(async { drop(stopped.await) }).map(drop));
    let query = request("QUERY", "/books")
        .body("the-secret")
        .field("Content-Type", "text/plain");
    crate::common::Client::to(addr).send(&query).expect(200);
    drop(stop);
    gateway
        .join()
        .expect("a thread")
        .expect("a gateway that ends well");
    let log = std::fs::read_to_string(&file).expect("a log");
    assert!(
        log.contains("QUERY /books") && !log.contains("the-secret"),
        "{log}"
    );
}

#[test]
fn a_query_that_the_api_refuses_is_not_stored() {
    let origin = Origin::answering(reply(415).body("no"));
    let gateway = Gateway::before(&origin).start();
    let query = request("QUERY", "/books")
        .body("x")
        .field("Content-Type", "text/plain");
    gateway.send(&query).expect(415);
    assert!(!gateway.send(&query).is_hit());
}

#[test]
fn the_latest_no_vary_search_of_a_path_counts() {
    let origin = Origin::start(|request, conn| {
        let answer = reply(200).field("Cache-Control", "max-age=60").body("1984");
        let rule = if request.target.contains("rule") {
            answer.field("No-Vary-Search", "params=(\"utm\")")
        } else {
            answer
        };
        conn.reply(request, &rule);
    });
    let gateway = Gateway::before(&origin).start();
    gateway.get("/a?rule&utm=1").expect(200);
    assert!(gateway.get("/a?rule&utm=2").is_hit());
    gateway.get("/a?plain").expect(200);
    assert!(
        !gateway.get("/a?rule&utm=3").is_hit(),
        "the path's rule has ended"
    );
}

#[test]
fn vary_is_passed_on_as_it_came() {
    let (_origin, gateway) = before(&[
        ("Cache-Control", "max-age=60"),
        ("Vary", "Accept-Encoding,  X-A"),
    ]);
    for _ in 0..2 {
        assert_eq!(
            gateway.get("/a").field("vary"),
            Some("Accept-Encoding,  X-A")
        );
    }
}

#[test]
fn a_304_reaches_the_client_whose_condition_it_answers() {
    // RFC 9111 §4.3.3
    let origin = Origin::start(|request, conn| {
        let known = request.fields.get("if-none-match") == Some("\"v1\"");
        let answer = with(
            if known { reply(304) } else { reply(200) },
            &[("ETag", "\"v1\""), ("Cache-Control", "max-age=5")],
        );
        conn.reply(request, &if known { answer } else { answer.body("1984") });
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(6));
    let answer = gateway.send(&get("/a").field("If-None-Match", "\"v1\""));
    assert!(
        answer.status == 304 && answer.says("fwd-status=304"),
        "{}",
        answer.cache_status()
    );
}

#[test]
fn a_head_too_large_is_refused() {
    let (origin, gateway) = before(&[]);
    gateway
        .send(&get("/a").field("X-Large", "x".repeat(64 << 10)))
        .expect(431);
    gateway
        .send(&get(&format!("/{}", "a".repeat(9 << 10))))
        .expect(414);
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_tunnel_is_refused() {
    // RFC 9110 §9.3.6
    let (origin, gateway) = before(&[]);
    let answer =
        gateway.send(&request("CONNECT", "books.example:443").field("Host", "books.example:443"));
    assert!(matches!(answer.status, 400 | 405), "{}", answer.status);
    assert_eq!(origin.count(), 0);
}

#[test]
fn trailers_are_not_stored_nor_merged_into_fields() {
    // RFC 9111 §3.1, RFC 9110 §6.5.1
    let origin = Origin::start(|_, conn| {
        conn.write("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\nTrailer: ETag, X-Sum\r\n\r\n4\r\n1984\r\n0\r\nETag: \"t\"\r\nX-Sum: 22\r\n\r\n");
    });
    let gateway = Gateway::before(&origin).start();
    gateway.get("/a").expect(200);
    let hit = gateway.get("/a").expect(200);
    assert!(hit.is_hit());
    assert_eq!(
        (hit.text().as_str(), hit.field("etag"), hit.field("x-sum")),
        ("1984", None, None)
    );
}

#[test]
fn nothing_is_forwarded_before_the_head_is_complete() {
    // RFC 9110 §5.3
    let (origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    let mut client = gateway.client();
    client.write("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n");
    gateway.get("/b").expect(200);
    assert_eq!(origin.count(), 1, "only the other request");
    client.write("\r\n");
    assert_eq!(client.answer("PUT").finish().status, 200);
    assert_eq!(origin.count(), 2);
}

#[test]
fn te_is_named_by_connection_and_upgrade_is_not_passed_on() {
    // RFC 9110 §7.6.1, §7.8, §10.1.4
    let (origin, gateway) = before(&[("Cache-Control", "no-store")]);
    gateway.send(&get("/a").field("TE", "trailers").field("Connection", "te"));
    let asked = origin.last();
    assert_eq!(asked.fields.get("te"), Some("trailers"));
    assert!(
        asked
            .fields
            .all("connection")
            .any(|value| value.eq_ignore_ascii_case("te"))
    );
    // Without its option in Connection it is for nobody; with it, the next hop is asked anew (`tests/streams`).
    gateway
        .send(&get("/a").field("Upgrade", "websocket"))
        .expect(200);
    assert!(!origin.last().fields.has("upgrade"));
    let offer = get("/a").field("Upgrade", "websocket");
    gateway
        .send(&offer.field("Connection", "upgrade"))
        .expect(200);
    let asked = origin.last().fields;
    assert_eq!(asked.get("upgrade"), Some("websocket"));
    assert_eq!(asked.get("connection"), Some("upgrade"));
}

#[test]
fn a_post_is_never_sent_twice() {
    // RFC 9110 §9.2.2
    let origin = Origin::start(|request, conn| match &*request.method {
        "POST" => conn.close(),
        _ => conn.reply(
            request,
            &reply(200).field("Cache-Control", "no-store").body("1984"),
        ),
    });
    let gateway = Gateway::before(&origin).start();
    // On one connection, and so by one worker: the POST finds the GET's connection to the origin.
    let mut client = gateway.client();
    client.get("/a").expect(200);
    client.send(&post("/a", "x")).expect(502);
    let posts = origin
        .requests()
        .iter()
        .filter(|request| request.method == "POST")
        .count();
    assert_eq!(posts, 1);
}

#[test]
fn a_status_out_of_range_is_a_bad_gateway() {
    // RFC 9110 §15
    for line in [
        "HTTP/1.1 099 Low",
        "HTTP/1.1 1000 High",
        "HTTP/1.1 two hundred",
    ] {
        let octets = format!("{line}\r\nContent-Length: 0\r\n\r\n");
        let origin = Origin::start(move |_, conn| {
            conn.write(&octets);
            conn.close();
        });
        let gateway = Gateway::before(&origin).start();
        let answer = gateway.get("/a");
        assert!(answer.status == 502, "{line}: {}", answer.status);
    }
}
