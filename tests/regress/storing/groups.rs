//! Cache groups cost memory, which is counted and given back; and all of a response's groups count.

use crate::common::{Client, Gateway, Origin, get, post, reply, request};

/// Groups of each response.
const GROUPS: usize = 10;

/// An API whose responses have `field`, a list of strings that differ from URL to URL but for one.
fn api(field: &'static str) -> Origin {
    Origin::start(move |request, conn| {
        let own = (1..GROUPS).map(|n| format!("\"{}-{n}\"", &request.target[1..]));
        let groups: Vec<_> = std::iter::once("\"all\"".to_owned()).chain(own).collect();
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field(field, groups.join(", "));
        conn.reply(request, &answer.body("1984"));
    })
}

fn fill(gateway: &Gateway, count: usize) {
    let mut client = gateway.client();
    for n in 0..count {
        client.get(&format!("/books/{n:05}")).expect(200);
    }
}

#[test]
fn groups_are_counted_within_memory_and_leave_with_what_is_purged() {
    let count = 2_000;
    let origin = api("Cache-Groups");
    let gateway = Gateway::before(&origin).cache("memory = '2MiB'").start();
    fill(&gateway, count);
    let of = |name: &str| gateway.metric(name);
    let limit = of("bookend_memory_limit_bytes");
    assert!(of("bookend_stored_bytes") <= limit && of("bookend_memory_used_bytes") <= limit);
    let (stored, members) = (of("bookend_stored_resources"), of("bookend_group_members"));
    assert!(0 < stored && stored < count as u64, "{stored} of {count}");
    assert_eq!(members, stored * GROUPS as u64);
    let mut admin = Client::to(gateway.admin_addr());
    let purge = request("POST", "/purge?all=true");
    admin.send(&purge).expect(200);
    for name in [
        "bookend_stored_resources",
        "bookend_stored_bytes",
        "bookend_memory_used_bytes",
        "bookend_groups",
        "bookend_group_members",
    ] {
        assert_eq!(of(name), 0, "{name}");
    }
}

#[test]
fn a_response_with_groups_counts_for_its_place_in_each_of_them() {
    let count = 50;
    let [with, without] = ["Cache-Groups", "X-My-Group-s"].map(|field| {
        let origin = api(field);
        let gateway = Gateway::before(&origin).start();
        fill(&gateway, count);
        gateway.metric("bookend_stored_bytes") / count as u64
    });
    // Of each: its name with its place in a list, and two numbers in a tree, which has room for as many again.
    let least = GROUPS as u64 * (16 + 16 + 2 * 16);
    assert!(with - without >= least, "{with} with, {without} without");
}

#[test]
fn groups_that_a_response_does_not_have_any_more_are_forgotten() {
    let origin = Origin::start(|request, conn| {
        static NTH: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let nth = NTH.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("Cache-Groups", format!("\"all\", \"version-{nth}\""));
        conn.reply(request, &answer.body("1984"));
    });
    let gateway = Gateway::before(&origin).start();
    for _ in 0..20 {
        let anew = get("/books").field("Cache-Control", "no-cache");
        gateway.send(&anew).expect(200);
        gateway.await_no_fills();
    }
    let sizes = ["bookend_groups", "bookend_group_members"].map(|name| gateway.metric(name));
    assert_eq!(sizes, [2, 2]);
}

#[test]
fn every_group_of_a_response_is_invalidated_by_its_name() {
    let long = "x".repeat(500);
    let names: Vec<_> = (0..200).map(|n| n.to_string()).chain([long]).collect();
    let list: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let list = list.join(", ");
    let origin = Origin::start(move |request, conn| {
        let answer = match &*request.method {
            "GET" => reply(200)
                .field("Cache-Control", "max-age=60")
                .field("Cache-Groups", &list),
            _ => reply(204).field(
                "Cache-Group-Invalidation",
                request.fields.get("x-group").expect("a group"),
            ),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    for name in &names {
        gateway.get("/books").expect(200);
        assert!(gateway.get("/books").is_hit(), "{name}");
        let write = post("/orders", "").field("X-Group", format!("\"none\", \"{name}\""));
        gateway.send(&write).expect(204);
        assert!(gateway.get("/books").fwd("uri-miss"), "{name}");
    }
}
