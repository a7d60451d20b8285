//! Shared by the subcommands: exit statuses, environment variables, and how mistakes are printed.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::config::{Config, Mistake};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: success, also after a drain.
    Success,
    /// 1: the gateway could not start, or failed.
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

/// The value of `${NAME}` in a configuration.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A warning where `max_connections` is more than the hard limit of open files, up to which the gateway raises its own.
pub(super) fn too_few_files(config: &Config) -> Option<String> {
    let (_, most) = rlimit::Resource::NOFILE.get().ok()?;
    let wanted = config.server.max_connections as u64;
    (wanted > most).then(|| {
        format!(
            "[server] max_connections is {wanted}, but this process may open {most} files: raise the limit \
             (`ulimit -Hn`, LimitNOFILE in systemd), or lower max_connections"
        )
    })
}

/// Prints `text` and the end of its line to standard output. A closed output is no mistake.
pub(super) fn print(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints mistakes to standard error, one per line; on a terminal with the lines of the file.
pub(super) fn print_mistakes(mistakes: &[Mistake]) {
    let is_terminal = std::io::stderr().is_terminal();
    for mistake in mistakes {
        match is_terminal {
            true => eprintln!("{}\n", mistake.annotated()),
            false => eprintln!("{mistake}"),
        }
    }
}
