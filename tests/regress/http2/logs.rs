//! What a client can make the log say.

use super::super::common::{Origin, await_that, reply};
use super::frames::{ACK, Client, PING, frame};
use super::program::Program;

/// So many frames, each of which a library has a word for.
const MANY: usize = 20_000;

fn flood(program: &Program) {
    let mut client = Client::at(program.addr());
    assert!(client.write(frame(PING, ACK, 0, [7; 8]).repeat(MANY)));
    client.expect_ok("/books");
}

#[test]
fn a_client_does_not_make_libraries_talk() {
    let origin = Origin::answering(reply(200).body("1984"));
    for level in [
        "",
        "level = \"info\"",
        "level = \"debug\"",
        "level = \"warn,bookend=info\"",
    ] {
        let mut program = Program::start(&origin, ":", "", level);
        flood(&program);
        program.stop();
        let lines = program.lines("h2");
        assert!(
            lines.is_empty(),
            "{level}: {} lines: {:?}",
            lines.len(),
            lines[0]
        );
    }
}

#[test]
fn what_a_client_makes_the_log_say_is_bounded_and_counted() {
    let origin = Origin::answering(reply(200).body("1984"));
    let mut program = Program::start(&origin, ":", "", "level = \"info,h2=warn\"");
    flood(&program);
    await_that("what was left out is counted", || {
        program.lines("left_out").len() == 1
    });
    program.stop();
    let lines = program.lines("h2::");
    assert!(lines.len() < 200, "{} lines", lines.len());
    let left_out = |line: &String| {
        let number = line.split("left_out=").nth(1)?;
        let number: String = number.chars().take_while(char::is_ascii_digit).collect();
        number.parse::<usize>().ok()
    };
    let told = lines
        .iter()
        .filter(|line| !line.contains("left_out="))
        .count();
    let left_out: usize = program.lines("left_out").iter().filter_map(left_out).sum();
    assert_eq!(told + left_out, MANY, "{lines:?}");
}
