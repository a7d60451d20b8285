//! The command line: one file a subcommand.

mod admin_answer;
mod admin_client;
pub mod check;
pub mod config;
pub mod demo;
pub mod documents;
pub mod explain;
pub mod fields;
mod gate;
mod handover;
mod health;
pub mod purge;
pub mod purges;
pub mod reload;
mod report;
mod route;
pub mod run;
mod samples;
mod service_manager;
mod signal;
pub mod status;
pub mod stored;
mod style;
pub mod tail;
pub mod top;

pub use self::report::Exit;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};

use self::admin_answer::Failure;
use crate::huge_pages;

const EXAMPLES: &str = "\
Examples:
  bookend --upstream http://127.0.0.1:5000  a cache on 127.0.0.1:8080 in front of that API
  bookend run --config FILE                 with a configuration file
  bookend demo --tour                       see what it does
  bookend check FILE                        report every mistake in the file
  bookend check --route GET URL             show which route takes a request
  bookend status                            what the running gateway does
  bookend reload --config FILE              have it read its configuration again
  bookend top                               the same live, with routes, misses and their cures
  bookend tail --result miss                the misses of the running gateway, as they happen
  bookend explain /books/1                  why it is, or is not, answered from the cache
  bookend purge --prefix /books             remove what it has stored of /books and below

Signals:
  SIGTERM, SIGINT, SIGQUIT
                   after shutdown_delay, drain: accept no new connections, answer requests in flight, then exit;
                   a second one exits at once
  SIGHUP           read the configuration again and reopen the access log
  SIGUSR1          reopen the access log
  SIGUSR2          start a successor by the same command line; drain and exit once it serves

Environment:
  BOOKEND_LOG      overrides the level in [log]: debug, or info,bookend::upstream=debug
  BOOKEND_ADMIN_TOKEN
                   the token that purge, explain and reload send to the admin API

Exit status:
  0  success, also after a drain
  1  the gateway could not start, failed, or was ended by a second signal; or the running gateway gave no answer
  2  the arguments or the configuration have mistakes, or the running gateway refuses the request";

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
    /// Show the configuration that a file makes: every value, and the line that it comes from, or that it is the default
    Config(config::Arguments),
    /// Ask a running gateway whether it is alive, or ready: exit 0 if it is, 1 if not
    Health(health::Arguments),
    /// Show what a running gateway does: requests by result, memory, the API's servers
    Status(status::Arguments),
    /// Have a running gateway read its configuration again: exit 0, or 2 with every mistake, which change nothing
    Reload(reload::Arguments),
    /// Remove stored responses of a running gateway
    Purge(purge::Arguments),
    /// List the latest purges of a running gateway: what each covered and did, who asked for it, and why
    Purges(purges::Arguments),
    /// Show what a running gateway would do with a request, why it is or is not cached, and what to change
    Explain(explain::Arguments),
    /// List what a running gateway has stored: hits, bytes, age, seconds of freshness left, status, URL
    Stored(stored::Arguments),
    /// List the URLs that a running gateway is asked for most, or that miss most, with the latest reason
    Urls(stored::UrlArguments),
    /// Show live in the terminal what a running gateway does: requests, times, routes, misses with their cures, upstreams, storage
    Top(top::Arguments),
    /// Show the requests to a running gateway as they are answered
    Tail(tail::Arguments),
    /// Print completions for a shell
    Completions(documents::CompletionsArguments),
    /// Print the manual page, or write those of all commands to a folder
    Man(documents::ManArguments),
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
}

/// The command line's definition.
pub fn command() -> clap::Command {
    CommandLine::command()
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
        Some(Command::Config(arguments)) => config::main(&arguments),
        Some(Command::Health(arguments)) => health::main(&arguments),
        Some(Command::Status(arguments)) => reported("status", status::main(&arguments)),
        Some(Command::Reload(arguments)) => reported("reload", reload::main(&arguments)),
        Some(Command::Purge(arguments)) => reported("purge", purge::main(&arguments)),
        Some(Command::Purges(arguments)) => reported("purges", purges::main(&arguments)),
        Some(Command::Explain(arguments)) => reported("explain", explain::main(&arguments)),
        Some(Command::Stored(arguments)) => stored::main(&arguments),
        Some(Command::Urls(arguments)) => stored::urls(&arguments),
        Some(Command::Top(arguments)) => top::main(&arguments),
        Some(Command::Tail(arguments)) => tail::main(&arguments),
        Some(Command::Completions(arguments)) => documents::completions(&arguments, command()),
        Some(Command::Man(arguments)) => documents::man(&arguments, command()),
        Some(Command::Schema) => documents::schema(),
    }
}

/// Prints the failure of the subcommand `name`, where it has one.
fn reported(name: &str, done: Result<Exit, Failure>) -> Exit {
    done.unwrap_or_else(|failure| failure.report(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        command().debug_assert();
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
