//! The command line: one file a subcommand.

pub mod check;
pub mod demo;
mod report;
pub mod run;
mod signal;

pub use self::report::Exit;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::huge_pages;

const EXAMPLES: &str = "\
Examples:
  bookend --upstream http://127.0.0.1:5000    a cache on 127.0.0.1:8080 in front of that API
  bookend run --config /etc/bookend.toml      with a configuration file
  bookend demo --tour                         see what it does
  bookend check /etc/bookend.toml             report every mistake in the file

Signals:
  SIGTERM, SIGINT, SIGQUIT
                   drain: accept no new connections, answer requests in flight, then exit;
                   a second one exits at once
  SIGHUP           read the configuration again and reopen the access log
  SIGUSR1          reopen the access log

Environment:
  BOOKEND_LOG      overrides the level in [log]: debug, or info,bookend::upstream=debug

Exit status:
  0  success, also after a drain
  1  the gateway could not start, failed, or was ended by a second signal
  2  the arguments or the configuration have mistakes";

/// A caching gateway for REST APIs.
///
/// It stands in front of an API, answers what it may from its cache, validates what it must, and forwards the rest.
/// Without a command it does the same as `run`.
#[derive(Debug, Parser)]
#[command(name = "bookend", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Run(run::Arguments),
    /// Run the gateway in front of a small book API, with curl lines to try, or take a tour of them
    Demo(demo::Arguments),
    /// Report every mistake in a configuration file
    Check(check::Arguments),
}

/// Runs the command that `arguments` name; the first of them is the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    huge_pages::avoid();
    let arguments = match CommandLine::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap reports help and version as errors that go to standard output. A closed output is no mistake.
            drop(error.print());
            return match error.use_stderr() {
                true => Exit::Mistake,
                false => Exit::Success,
            };
        }
    };
    match arguments.command {
        None => run::main(&arguments.run),
        Some(Command::Run(arguments)) => run::main(&arguments),
        Some(Command::Demo(arguments)) => demo::main(&arguments),
        Some(Command::Check(arguments)) => check::main(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn run_is_what_is_done_without_a_subcommand() {
        let bare = parse("bookend --upstream http://a --listen :80 --listen unix:/s --admin off");
        let bare = bare.expect("arguments").run;
        let named =
            parse("bookend run --upstream http://a --listen :80 --listen unix:/s --admin off");
        let Some(Command::Run(named)) = named.expect("arguments").command else {
            panic!("not the subcommand");
        };
        assert_eq!(format!("{bare:?}"), format!("{named:?}"));
    }

    #[test]
    fn mistakes_on_the_command_line_are_refused() {
        for (line, words) in [
            ("bookend --upstream a:80", "is not a URL; write \"http://\""),
            ("bookend --listen 8080", "is a port alone"),
            ("bookend run --admin none", "is not an address"),
            ("bookend --upstreams http://a", "--upstream"),
            ("bookend serve", "unrecognized subcommand"),
            ("bookend --upstream http://a check", "cannot be used with"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.use_stderr());
            assert!(error.to_string().contains(words), "{line}: {error}");
        }
    }
}
