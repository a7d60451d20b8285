//! The log of purges as a stream, and what a purge is said to cost before it is made.

use std::time::Duration;

use serde_json::Value;

use crate::common::{Client, Gateway, Incoming, Origin, await_that, get, post, reply};

fn books() -> Origin {
    Origin::start(|request, conn| {
        let answer = reply(200).field("Cache-Control", "max-age=600");
        conn.reply(request, &answer.body("text"));
    })
}

fn purge(gateway: &Gateway, query: &str) -> Value {
    let answer = Client::to(gateway.admin_addr()).send(&post(&format!("/purge?{query}"), ""));
    serde_json::from_str(&answer.expect(200).text()).expect("JSON")
}

/// Reads until `count` objects are there.
fn objects(incoming: &mut Incoming<'_>, count: usize) -> Vec<Value> {
    assert_eq!(incoming.so_far().status, 200);
    let mut seen = String::new();
    loop {
        let objects: Vec<_> = seen.lines().filter(|line| !line.is_empty()).collect();
        if objects.len() >= count && seen.ends_with('\n') {
            let objects = objects.into_iter().map(serde_json::from_str);
            return objects.collect::<Result<_, _>>().expect("JSON");
        }
        let more = incoming.more().expect("a line");
        seen.push_str(&String::from_utf8(more).expect("text"));
    }
}

#[test]
fn purges_are_streamed_as_they_are_made_after_the_latest_ones() {
    let origin = books();
    let gateway = Gateway::before(&origin).start();
    for n in 1..=3 {
        purge(&gateway, &format!("url=/books/{n}&reason=r{n}"));
    }
    let mut client = Client::to(gateway.admin_addr());
    let mut stream = client.open(&get("/purges?follow=true&limit=2"));
    let told = |objects: &[Value]| -> Vec<String> {
        let words = objects.iter().map(|object| {
            let text = |name: &str| object[name].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {}",
                object["sequence"],
                text("covers"),
                text("reason")
            )
        });
        words.collect()
    };
    assert_eq!(
        told(&objects(&mut stream, 2)),
        ["2 /books/2 on every host r2", "3 /books/3 on every host r3"]
    );
    purge(&gateway, "prefix=/books&soft=true");
    let next = objects(&mut stream, 1);
    assert_eq!(told(&next), ["4 /books and all below it on every host -"]);
    assert_eq!(
        (&next[0]["soft"], &next[0]["purged"]),
        (&true.into(), &0.into())
    );
}

#[test]
fn followers_of_the_purges_are_bounded_and_parameters_checked() {
    let origin = books();
    let gateway = Gateway::before(&origin).start();
    let mut clients: Vec<_> = (0..8).map(|_| Client::to(gateway.admin_addr())).collect();
    for client in &mut clients {
        assert_eq!(
            client.open(&get("/purges?follow=true")).so_far().status,
            200
        );
    }
    let ask = |query: &str| Client::to(gateway.admin_addr()).get(&format!("/purges?{query}"));
    let mut one_more = Client::to(gateway.admin_addr());
    let refused = one_more.open(&get("/purges?follow=true"));
    assert_eq!(refused.so_far().status, 503);
    clients.pop();
    await_that("a place", || {
        let mut client = Client::to(gateway.admin_addr());
        client.open(&get("/purges?follow=true")).so_far().status == 200
    });
    for query in [
        "follow=yes",
        "follow=true&follow=true",
        "limit=x",
        "tail=true",
    ] {
        assert_eq!(ask(query).status, 400, "{query}");
    }
}

#[test]
fn a_dry_run_estimates_the_requests_a_second_that_the_api_would_get() {
    let origin = books();
    let gateway = Gateway::before(&origin).manual_clock().start();
    for (target, times) in [
        ("/books/1", 21),
        ("/books/2", 6),
        ("/books/3", 1),
        ("/films", 11),
    ] {
        for _ in 0..times {
            gateway.get(target);
            gateway.await_no_fills();
        }
    }
    gateway.advance(Duration::from_secs(10));
    let told = purge(&gateway, "prefix=/books&dry_run=true");
    assert_eq!(told["requests_a_second"], 2.5, "{told}");
    let top: Vec<_> = told["top"].as_array().expect("a list").iter().collect();
    let path = |one: &Value| {
        let key = one["key"].as_str().unwrap_or_default().to_owned();
        key.rsplit_once("/books").map(|(_, path)| path.to_owned())
    };
    // What is not asked for again is in the list of the largest alone.
    assert_eq!(top.len(), 2, "{told}");
    assert_eq!(path(top[0]).as_deref(), Some("/1"));
    assert_eq!(top[0]["requests_a_second"], 2.0);
    assert_eq!(top[1]["requests_a_second"], 0.5);
    assert_eq!(told["largest"].as_array().map(Vec::len), Some(3));
}

#[test]
fn purges_are_counted_by_matcher_and_strength_and_variants_one_by_one() {
    let origin = Origin::start(|request, conn| {
        let answer = reply(200).field("Cache-Control", "max-age=600");
        let answer = answer.field("Vary", "Accept-Language");
        conn.reply(request, &answer.body("text"));
    });
    let gateway = Gateway::before(&origin).start();
    for language in ["de", "fr", "de"] {
        gateway.send(&get("/books").field("Accept-Language", language));
        gateway.await_no_fills();
    }
    gateway.get("/films");
    gateway.await_no_fills();
    assert_eq!(gateway.metric("bookend_stored_variants"), 3);
    assert_eq!(gateway.metric("bookend_stored_resources"), 2);
    for query in [
        "url=/books/1",
        "url=/books/2&url=/books/3",
        "prefix=/films",
        "tag=a&soft=true",
        "url=/a&tag=b",
        "all=true",
        "all=true&dry_run=true",
    ] {
        purge(&gateway, query);
    }
    let count = |matcher: &str, strength: &str| {
        let labels = format!("{{matcher=\"{matcher}\",strength=\"{strength}\"}}");
        gateway.metric(&format!("bookend_purges_total{labels}"))
    };
    assert_eq!(count("url", "hard"), 2);
    assert_eq!((count("prefix", "hard"), count("prefix", "soft")), (1, 0));
    assert_eq!((count("tag", "soft"), count("several", "hard")), (1, 1));
    assert_eq!((count("all", "hard"), count("route", "hard")), (1, 0));
    assert_eq!(gateway.metric("bookend_stored_variants"), 0);
}

#[test]
fn what_a_background_fill_does_not_store_is_counted_with_its_reason() {
    let origin = Origin::scripted([
        reply(200).field("Cache-Control", "max-age=1, stale-while-revalidate=60"),
        reply(200).field("Cache-Control", "private"),
    ]);
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/books");
    gateway.await_no_fills();
    gateway.advance(Duration::from_secs(5));
    gateway.get("/books");
    gateway.await_no_fills();
    await_that("the count", || {
        gateway.metric("bookend_not_stored_total{reason=\"private\"}") == 1
    });
}
