//! The command line: one file a subcommand.

pub mod check;
pub mod demo;
pub mod run;
mod signal;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, Mistake};
use crate::huge_pages;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or drained after a signal.
    Success,
    /// 1: it could not start, or ended before it was told to.
    Failure,
    /// 2: the command line or the configuration has mistakes.
    Mistake,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Mistake => 2,
        })
    }
}

const EXAMPLES: &str = "\
Examples:
  bookend --upstream http://127.0.0.1:5000    a cache on 127.0.0.1:8080 in front of that API
  bookend run --config /etc/bookend.toml      with a configuration file
  bookend demo --tour                         see what it does
  bookend check /etc/bookend.toml             look for mistakes in it, without running

Signals:
  SIGTERM, SIGINT, SIGQUIT
                   drain: take nothing new, answer what is in flight, then end
  SIGHUP           read the configuration again and reopen the access log
  SIGUSR1          reopen the access log

Environment:
  BOOKEND_LOG      goes before the configured [log] level

Exit status:
  0  all went well; also after the drain that SIGTERM or SIGINT asks for
  1  the gateway could not start, or failed
  2  mistakes in the arguments or the configuration";

/// A caching gateway for REST APIs.
///
/// Stands in front of an API, answers what it may from its cache, validates what it must, and forwards the rest.
/// Without a subcommand it does what `run` does.
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
    /// Show what it does, before a book API of its own: with curl lines to try, or by a tour
    Demo(demo::Arguments),
    /// Tell every mistake in a configuration file
    Check(check::Arguments),
}

/// Does what `arguments`, the program's own name first, ask for.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    huge_pages::avoid();
    let arguments = match CommandLine::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and the version are errors to clap, for standard output. A closed output is nobody's mistake.
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

/// What `${NAME}` in a configuration stands for.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Says so when more connections are allowed than this process may open files; it raises its limit as far as it may.
fn too_few_files(config: &Config) -> Option<String> {
    let (_, most) = rlimit::Resource::NOFILE.get().ok()?;
    let wanted = config.server.max_connections as u64;
    (wanted > most).then(|| {
        format!(
            "[server] max_connections is {wanted}, but this process may open {most} files: raise the limit \
             (`ulimit -Hn`, LimitNOFILE in systemd), or lower max_connections"
        )
    })
}

/// Tells mistakes on standard error, one a line; people are shown the lines of the file, too.
fn tell(mistakes: &[Mistake]) {
    let is_terminal = std::io::stderr().is_terminal();
    for mistake in mistakes {
        match is_terminal {
            true => eprintln!("{}\n", mistake.annotated()),
            false => eprintln!("{mistake}"),
        }
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
