//! What the gateway says of itself.

use super::super::common::{Client, Origin, await_that, post, reply};
use super::super::http2::program::Program;

#[test]
fn a_purge_and_a_drain_are_logged_once_and_in_plain_words() {
    let origin = Origin::answering(reply(200).body("1984"));
    for (format, purged) in [
        ("text", r#"named="url=/a%22b, group=x y""#),
        ("json", r#""named":"url=/a%22b, group=x y""#),
    ] {
        let mut program = Program::configured(
            ":",
            &format!(
                "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[upstream]\nservers = [\"{}\"]\n\
                 [admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\nformat = \"{format}\"\n",
                origin.url()
            ),
        );
        let admin = program.await_addr("admin API open");
        let purge = post("/purge?url=/a%2522b&group=x%20y", "");
        Client::to(admin).send(&purge).expect(200);
        await_that("the purge is logged", || {
            !program.lines("purged").is_empty()
        });
        let lines = program.lines("purged");
        assert!(lines[0].contains(purged), "{lines:?}");
        program.stop();
        await_that("the drain is logged", || {
            !program.lines("draining").is_empty()
        });
        let lines = program.lines("drain");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("30s"), "{lines:?}");
    }
}
