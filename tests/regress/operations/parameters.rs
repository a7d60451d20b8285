//! Parameters of the admin API that nobody means: `/tail?status=200%0a` was taken for 200, and `prefix=/books%20` found nothing
//! (issue 13).

use crate::common::{Client, Gateway, Origin, reply, request};

#[test]
fn no_parameter_has_control_characters_or_white_space_around_its_value() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60"));
    let gateway = Gateway::before(&origin).start();
    gateway.get("/books").expect(200);
    #[rustfmt::skip]
    let endpoints = [
        ("GET", "/purges", &[("limit", "5"), ("follow", "false")][..]),
        ("GET", "/explain", &[("url", "/books"), ("method", "GET"), ("header", "A:b")]),
        ("GET", "/stored", &[("prefix", "/books"), ("tag", "a"), ("sort", "age"), ("limit", "5")]),
        ("GET", "/top", &[("by", "bytes"), ("limit", "5")]),
        ("POST", "/purge", &[
            ("url", "/books"), ("prefix", "/books"), ("tag", "a"), ("group", "a"), ("route", "a"), ("all", "true"), ("soft", "true"),
            ("dry_run", "true"), ("reason", "why"),
        ]),
        // The last one: where it answers, it does not end.
        ("GET", "/tail", &[("status", "200"), ("route", "(none)"), ("result", "hit"), ("method", "GET"), ("prefix", "/books")]),
    ];
    for (method, path, parameters) in endpoints {
        for (name, value) in parameters {
            for wrong in [
                format!("{value}%0a"),
                format!("%0d{value}"),
                format!("{value}%00"),
                format!("{value}%1b[2J"),
                format!("{value}%20"),
                format!("%20{value}"),
                format!("{value}%C2%85"),
                format!("{value}%ff"),
            ] {
                let target = format!("{path}?{name}={wrong}");
                let answer = Client::to(gateway.admin_addr()).send(&request(method, &target));
                assert_eq!(answer.status, 400, "{target}: {}", answer.text());
                let problem: serde_json::Value =
                    serde_json::from_str(&answer.text()).expect("a problem");
                let detail = problem["detail"].as_str().expect("a detail");
                assert!(detail.contains(&format!("`{name}`")), "{target}: {detail}");
                assert!(!detail.contains(char::is_control), "{target}: {detail:?}");
            }
        }
    }
    let content = r#"{"url": "/books\n"}"#;
    let purge = request("POST", "/purge").body(content);
    let told = Client::to(gateway.admin_addr()).send(&purge).expect(400);
    assert!(told.text().contains("`url`"), "{}", told.text());
    assert!(
        gateway.get("/books").expect(200).is_hit(),
        "nothing was purged"
    );
}
