//! File descriptors that run out.

use std::time::Duration;

use super::super::common::{Client, Gate, Origin, PATIENCE, await_that, get, reply};
use super::program::Program;

/// Well under what it took.
const SOON: Duration = Duration::from_secs(8);

fn api() -> Origin {
    Origin::answering(reply(200).field("Cache-Control", "no-store").body("1984"))
}

#[test]
fn connections_that_say_nothing_keep_no_new_client_out() {
    let origin = api();
    for (limit, server) in [("ulimit -n 64", ""), (":", "max_connections = 64")] {
        for said in ["", "GET / HT"] {
            let program = Program::start(&origin, limit, server, "");
            let silent: Vec<_> = (0..164)
                .map(|_| {
                    let mut client = Client::to(program.addr());
                    client.write(said);
                    client
                })
                .collect();
            let answer = Client::to(program.addr()).patience(SOON).get("/books");
            assert_eq!(answer.status, 200, "{limit} {server} {said:?}: {answer:?}");
            drop(silent);
        }
    }
}

#[test]
fn the_limit_of_connections_follows_that_of_descriptors_and_says_so() {
    let origin = api();
    let program = Program::start(&origin, "ulimit -n 64", "", "");
    let lines = program.lines("max_connections");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for word in ["WARN", "limit=64", "configured=16384", "LimitNOFILE"] {
        assert!(lines[0].contains(word), "{word}: {lines:?}");
    }
    let program = Program::start(&origin, "ulimit -n 64", "max_connections = 8", "");
    assert_eq!(program.lines("max_connections"), [""; 0]);
}

#[test]
fn idle_clients_leave_descriptors_to_the_api() {
    let origin = Origin::start(|request, conn| {
        let fresh = reply(200).field("Cache-Control", "max-age=60");
        match request.target.as_str() {
            "/stored" => conn.reply(request, &fresh),
            // Each of these takes a connection of its own.
            _ => conn.reply(request, &reply(200).field("Connection", "close")),
        }
    });
    let program = Program::start(&origin, "ulimit -n 40", "", "");
    let mut clients: Vec<_> = (0..60).map(|_| Client::to(program.addr())).collect();
    for client in &mut clients {
        assert_eq!(client.get("/stored").status, 200);
    }
    let last = clients.last_mut().expect("a client");
    for n in 0..5 {
        let answer = last.get(&format!("/books/{n}"));
        assert_eq!(answer.status, 200, "{n}: {answer:?}");
    }
}

#[test]
fn a_shortage_of_descriptors_is_named_with_its_cure() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        held.pass();
        conn.reply(request, &reply(200).field("Cache-Control", "no-store"));
    });
    let program = Program::start(&origin, "ulimit -n 120", "", "");
    // Each is under way, and needs a connection to the API.
    let mut clients: Vec<_> = (0..80)
        .map(|n| {
            // Sent at once: a connection that is silent for half a second may be evicted.
            let mut client = Client::to(program.addr());
            client.start(&get(&format!("/slow/{n}")));
            client
        })
        .collect();
    let said = || program.lines("EMFILE");
    await_that("the shortage is told", || !said().is_empty());
    for word in ["ERROR", "LimitNOFILE", "max_connections"] {
        assert!(said()[0].contains(word), "{word}: {:?}", said());
    }
    assert!(said().len() < 5, "{:?}", said());
    gate.open();
    // Some have waited long enough for one, the others have it now.
    let mut evicted = 0;
    for client in &mut clients {
        let mut answer = client.answer("GET").finish();
        if answer.status == 0 {
            // This thread was held up between connecting and sending: the connection was an idle one.
            evicted += 1;
            answer = client.get("/slow/again");
        }
        assert!(matches!(answer.status, 200 | 503), "{answer:?}");
        if answer.status == 503 {
            assert!(
                answer.text().contains("file descriptor"),
                "{}",
                answer.text()
            );
        }
    }
    assert!(evicted < 8, "{evicted} of 80");
    assert_eq!(
        Client::to(program.addr())
            .patience(PATIENCE)
            .get("/")
            .status,
        200
    );
}
