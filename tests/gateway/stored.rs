//! The list of what is stored, and of the URLs that are asked for most.

use serde_json::Value;

use crate::common::{Client, Gateway, Origin, reply};

fn admin(gateway: &Gateway, target: &str) -> Value {
    let answer = Client::to(gateway.admin_addr()).get(target).expect(200);
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// The paths of the URLs that are listed.
fn paths(gateway: &Gateway, list: &Value) -> Vec<String> {
    let rows = list.as_array().expect("a list").iter();
    let urls = rows.map(|row| row["url"].as_str().expect("a URL"));
    let path = |url: &str| {
        url.strip_prefix(&gateway.url())
            .expect("of the gateway")
            .to_owned()
    };
    urls.map(path).collect()
}

fn books() -> Origin {
    Origin::start(|request, conn| {
        let answer = match &*request.target {
            "/private" => reply(200).field("Cache-Control", "private"),
            _ => reply(200).field("Cache-Control", "max-age=60"),
        };
        let (_, number) = request.target.rsplit_once('/').expect("a path");
        let length = 100 * number.parse::<usize>().unwrap_or(1);
        let answer = answer
            .field("Cache-Groups", "\"books\"")
            .body("x".repeat(length));
        conn.reply(request, &answer);
    })
}

#[test]
fn what_is_stored_is_listed_by_prefix_route_and_tag_in_the_order_that_is_asked_for() {
    let origin = books();
    let gateway = Gateway::before(&origin)
        .manual_clock()
        .route("/books/{id}", "etag = 'off'")
        .start();
    for (target, hits) in [
        ("/books/1", 3),
        ("/books/2", 5),
        ("/books/3", 0),
        ("/films/9", 1),
        ("/private", 1),
    ] {
        for _ in 0..=hits {
            gateway.get(target).expect(200);
        }
    }
    gateway.await_no_fills();
    let listed = |query: &str| {
        paths(
            &gateway,
            &admin(&gateway, &format!("/stored?{query}"))["stored"],
        )
    };
    for (query, expected) in [
        (
            "sort=hits",
            &["/books/2", "/books/1", "/films/9", "/books/3"][..],
        ),
        ("sort=hits&limit=1", &["/books/2"]),
        (
            "sort=size&prefix=/books",
            &["/books/3", "/books/2", "/books/1"],
        ),
        (
            "sort=size&route=/books/%7Bid%7D&limit=2",
            &["/books/3", "/books/2"],
        ),
        ("route=(default)", &["/films/9"]),
        ("prefix=/films&tag=books", &["/films/9"]),
        ("tag=other", &[]),
        ("prefix=/private", &[]),
    ] {
        assert_eq!(listed(query), expected, "{query}");
    }
    let most = &admin(&gateway, "/stored?sort=hits&limit=1")["stored"][0];
    assert_eq!(most["hits"], 5, "{most:#}");
    assert_eq!(most["route"], "/books/{id}", "{most:#}");
    assert_eq!(
        (&most["age"], &most["ttl"], &most["status"]),
        (&0.into(), &60.into(), &200.into())
    );
    assert_eq!(most["tags"][0], "books");

    // Page by page, each is there once.
    let (mut all, mut page) = (Vec::new(), "0".to_owned());
    loop {
        let document = admin(&gateway, &format!("/stored?limit=1&page={page}"));
        all.extend(paths(&gateway, &document["stored"]));
        match document["next"].as_str() {
            Some(next) => page = next.to_owned(),
            None => break,
        }
    }
    all.sort();
    assert_eq!(all, ["/books/1", "/books/2", "/books/3", "/films/9"]);
}

#[test]
fn the_urls_that_are_asked_for_most_are_known_and_why_they_miss() {
    let origin = books();
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut client = gateway.client();
    for _ in 0..800 {
        client.get("/books/1").expect(200);
    }
    for _ in 0..30 {
        client.get("/private").expect(200);
    }
    client.get("/books/2").expect(200);
    let top = admin(&gateway, "/top?by=requests");
    assert_eq!(paths(&gateway, &top["urls"])[0], "/books/1", "{top:#}");
    // One hit of about sixteen is counted for sixteen.
    let sum = top["urls"][0]["sum"].as_u64().expect("a sum");
    assert!((500..1_200).contains(&sum), "{top:#}");
    let misses = admin(&gateway, "/top?by=misses&limit=2");
    assert_eq!(
        paths(&gateway, &misses["urls"])[0],
        "/private",
        "{misses:#}"
    );
    assert_eq!(misses["urls"][0]["sum"], 30, "{misses:#}");
    assert_eq!(misses["urls"][0]["reason"], "private", "{misses:#}");
    assert!(
        misses["urls"][0]["cure"]
            .as_str()
            .is_some_and(|cure| cure.contains("`public`"))
    );
    let bytes = admin(&gateway, "/top?by=bytes&limit=1");
    assert_eq!(paths(&gateway, &bytes["urls"]), ["/books/1"], "{bytes:#}");
}
