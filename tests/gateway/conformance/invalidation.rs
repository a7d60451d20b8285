//! What writes make invalid (RFC 9111 §4.4, RFC 9875).

use crate::common::{Gateway, Origin, get, post, put, reply, request};

/// GETs are storable; anything else is answered with `status` and `fields`.
fn shelf(status: u16, fields: Vec<(&'static str, String)>) -> Origin {
    Origin::start(move |request, conn| {
        let answer = match &*request.method {
            "GET" => {
                let group = if request.target.starts_with("/books") {
                    "\"books\""
                } else {
                    "\"other\""
                };
                reply(200)
                    .field("Cache-Control", "max-age=60")
                    .field("Cache-Groups", group)
                    .body("1984")
            }
            _ => fields.iter().fold(reply(status), |answer, (name, value)| {
                answer.field(name, value)
            }),
        };
        conn.reply(request, &answer);
    })
}

#[test]
fn unsafe_and_unknown_methods_invalidate_when_they_succeed() {
    for method in ["PUT", "POST", "DELETE", "PATCH", "M-SEARCH", "FROB"] {
        for (status, invalidates) in [
            (200, true),
            (204, true),
            (303, true),
            (404, false),
            (500, false),
        ] {
            let origin = shelf(status, vec![]);
            let gateway = Gateway::before(&origin).start();
            gateway.get("/books/1").expect(200);
            gateway.send(&request(method, "/books/1"));
            assert_eq!(
                !gateway.get("/books/1").is_hit(),
                invalidates,
                "{method} {status}"
            );
        }
    }
    for method in ["OPTIONS", "TRACE", "PROPFIND"] {
        let origin = shelf(200, vec![]);
        let gateway = Gateway::before(&origin).start();
        gateway.get("/books/1").expect(200);
        gateway.send(&request(method, "/books/1"));
        assert!(gateway.get("/books/1").is_hit(), "{method} is safe");
    }
}

#[test]
fn location_and_content_location_are_invalidated_in_the_same_origin_only() {
    for name in ["Location", "Content-Location"] {
        for (value, invalidated) in [
            ("/books/2", true),
            ("2", true),
            ("http://gateway.example/books/2", true),
            ("http://GATEWAY.example:80/books/2", true),
            ("http://other.example/books/2", false),
            ("https://gateway.example/books/2", false),
            ("//other.example/books/2", false),
        ] {
            let origin = shelf(201, vec![(name, value.to_owned())]);
            let gateway = Gateway::before(&origin).start();
            let at = |target: &str| get(target).field("Host", "gateway.example");
            gateway.send(&at("/books/2")).expect(200);
            gateway.send(&post("/books/1", "x").field("Host", "gateway.example"));
            assert_eq!(
                !gateway.send(&at("/books/2")).is_hit(),
                invalidated,
                "{name}: {value}"
            );
        }
    }
}

#[test]
fn the_upstream_s_own_authority_means_this_gateway() {
    let origin = Origin::start(|request, conn| {
        let answer = match &*request.method {
            "GET" => reply(200).field("Cache-Control", "max-age=60").body("1984"),
            _ => reply(201).field(
                "Location",
                request.fields.get("x-location").unwrap_or_default(),
            ),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    gateway.get("/books/2").expect(200);
    let location = format!("{}/books/2", origin.url());
    gateway.send(&post("/books", "x").field("X-Location", location));
    assert!(!gateway.get("/books/2").is_hit());
}

#[test]
fn groups_are_invalidated_by_those_who_name_them() {
    // RFC 9875 §2, §3
    let origin = shelf(
        200,
        vec![("Cache-Group-Invalidation", "\"books\"".to_owned())],
    );
    let gateway = Gateway::before(&origin).start();
    for target in ["/books/1", "/books/2", "/authors/1"] {
        gateway.get(target).expect(200);
    }
    gateway.send(&put("/anything", "x")).expect(200);
    assert!(!gateway.get("/books/1").is_hit());
    assert!(!gateway.get("/books/2").is_hit());
    assert!(gateway.get("/authors/1").is_hit());
}

#[test]
fn a_route_invalidates_what_it_lists_with_all_queries() {
    let origin = shelf(200, vec![]);
    let gateway = Gateway::before(&origin)
        .route(
            "/books/{id}",
            "invalidates = [\"/books\", \"/books/{id}/reviews/\"]",
        )
        .start();
    let kept = ["/books/2", "/books/2/reviews/", "/authors"];
    let gone = [
        "/books",
        "/books?page=2",
        "/books/1",
        "/books/1/reviews/",
        "/books/1/reviews/?sort=new",
    ];
    for target in kept.iter().chain(&gone) {
        gateway.get(target).expect(200);
        assert!(gateway.get(target).is_hit(), "{target}");
    }
    gateway.send(&put("/books/1", "x")).expect(200);
    for target in gone {
        assert!(!gateway.get(target).is_hit(), "{target}");
    }
    for target in kept {
        assert!(gateway.get(target).is_hit(), "{target}");
    }
}
