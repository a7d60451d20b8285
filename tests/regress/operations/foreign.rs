//! Where another server listens on the admin address, its answer was printed as it came, into the terminal (issue 13).

use std::process::Command;

use crate::common::{Origin, reply};

#[test]
fn a_server_that_is_no_gateway_is_named_so_and_cannot_write_to_the_terminal() {
    let escape = "\u{1b}]0;owned\u{7}\u{9b}2J\r<html>";
    let json = format!("{{\"detail\":{}}}", serde_json::json!(escape));
    let metrics = "# HELP up\nup 1\n";
    for (status, content) in [
        (200, escape),
        (404, escape),
        (200, metrics),
        (500, "[]"),
        (403, &json),
    ] {
        let origin = Origin::answering(reply(status).body(content));
        let addr = origin.url();
        for command in [
            &["status"][..],
            &["reload"],
            &["explain", "/books"],
            &["stored"],
            &["urls"],
            &["purges"],
            &["purge", "--all"],
            &["health"],
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_bookend"))
                .args(command)
                .args(["--admin", &addr])
                .output()
                .expect("the program");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).expect("text");
            let is_raw = |c: char| c.is_control() && c != '\n' && c != '\t';
            assert!(!said.contains(is_raw), "{command:?}: {said:?}");
            if command == ["health"] {
                assert_eq!(output.status.success(), status == 200, "{said}");
                continue;
            }
            assert!(!output.status.success(), "{command:?} {status}: {said}");
            if status != 403 {
                assert!(
                    said.contains("is not the admin API of a gateway"),
                    "{command:?}: {said}"
                );
                assert!(said.contains(&status.to_string()), "{command:?}: {said}");
            }
        }
    }
}
