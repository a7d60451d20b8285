//! What is on disk when the process is killed: nothing torn comes back, nor anything that was purged or overwritten.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{Answer, Client, Origin, await_that, get, reply, request};
use crate::operated::Program;

/// Of all requests: the port of a gateway is part of the URL, and another one each time.
const HOST: &str = "books.example";

/// Books, by their number.
const BOOKS: u64 = 40;

/// An API of books, each of which has a version that a PUT raises. Returns it, and the version of each.
fn books() -> (Origin, Arc<Mutex<HashMap<String, u64>>>) {
    let versions = Arc::<Mutex<HashMap<String, u64>>>::default();
    let of = versions.clone();
    let origin = Origin::start(move |asked, conn| {
        let mut versions = of.lock().expect("no panic");
        let version = versions.entry(asked.target.clone()).or_insert(1);
        if asked.method == "PUT" {
            *version += 1;
        }
        // Whatever is cut off of it shows.
        let body = format!("{} {version} ", asked.target).repeat(200);
        let answer = reply(200).field("Cache-Control", "max-age=3600");
        conn.reply(asked, &answer.body(body));
    });
    (origin, versions)
}

fn version_of(answer: &Answer, path: &str) -> u64 {
    let text = answer.text();
    let version = text
        .split(' ')
        .nth(1)
        .and_then(|version| version.parse().ok());
    let version = version.unwrap_or_else(|| panic!("{path}: {text:?}"));
    assert_eq!(text, format!("{path} {version} ").repeat(200));
    version
}

fn ask(client: &mut Client, path: &str) -> Answer {
    client.send(&get(path).field("Host", HOST)).expect(200)
}

fn kept_in(folder: &Path) -> String {
    format!("[disk]\npath = {:?}", folder.join("kept"))
}

/// Waits until nothing waits to be written.
fn await_written(program: &Program) {
    await_that("all is written", || {
        let output = program.bookend(&["status"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains("; 0 B wait to be written")
    });
}

#[test]
fn a_gateway_that_is_killed_again_and_again_never_answers_with_anything_older_or_torn() {
    let (origin, versions) = books();
    let folder = tempfile::tempdir().expect("a folder");
    let hits = AtomicU64::new(0);
    for round in 0..6 {
        let own = tempfile::tempdir().expect("a folder");
        let text = Program::text(own.path(), &origin, "", &kept_in(folder.path()));
        let mut program = Program::run(own, &text);
        let mut client = Client::to(program.addr);
        for book in 0..BOOKS {
            let path = format!("/books/{book}");
            let answer = ask(&mut client, &path);
            let now = versions.lock().expect("no panic")[&path];
            assert_eq!(version_of(&answer, &path), now, "round {round}: {answer:?}");
            if answer.says("detail=disk") {
                hits.fetch_add(1, Ordering::Relaxed);
            }
        }
        if round % 2 == 0 {
            await_written(&program);
        }
        // Some change, and the writes are acknowledged.
        for book in (round..BOOKS).step_by(7) {
            let put = request("PUT", &format!("/books/{book}")).field("Host", HOST);
            client.send(&put.body("new")).expect(200);
        }
        let _ = program.child.kill();
        let _ = program.child.wait();
    }
    assert!(hits.load(Ordering::Relaxed) > 0, "nothing came back");
}
