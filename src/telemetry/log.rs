//! The gateway's own log: `tracing`'s events as lines of text or JSON on standard error, written by a thread of their
//! own so that a full pipe stops no worker. A peer can cause many events, and few lines: see `telemetry::throttle`.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::panic;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::throttle::{Reporting, Throttle};
use crate::config::{self, LogFormat};

/// The environment variable that goes before the configured level.
pub const VARIABLE: &str = "BOOKEND_LOG";

/// Lines that may wait to be written; those beyond are lost.
const LINES: usize = 8 * 1024;

/// What libraries say unless the filter names them: a peer can make them say much, which says little to an operator.
const LIBRARIES: &str = "error";

/// Sends all events from here on, and panics too, to standard error. `filter` is what [`VARIABLE`] holds, if it is
/// set. What waits to be written is written when the guard is dropped.
///
/// # Errors
/// When `filter` or the configured level is no filter, or when events are sent somewhere already.
pub fn init(config: &config::Log, filter: Option<&str>) -> Result<LogGuard, Error> {
    let filter = directives(filter.unwrap_or(&config.level));
    let filter = EnvFilter::builder().parse(filter)?;
    let (throttle, reporter) = Throttle::new();
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES)
        .thread_name("log")
        .finish(stderr());
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(true);
    match config.format {
        LogFormat::Text => events
            .with_ansi(stderr().is_terminal())
            .finish()
            .with(throttle)
            .try_init()?,
        LogFormat::Json => {
            let events = events.json().flatten_event(true).finish();
            events.with(throttle).try_init()?
        }
    }
    panic::set_hook(Box::new(report_panic));
    Ok(LogGuard {
        _reporter: reporter.start(),
        _guard: guard,
    })
}

/// `filter` with its levels for all parts taken for those of this program: libraries are named by who wants to hear more
/// of them (`h2=debug`).
fn directives(filter: &str) -> String {
    let is_level = |directive: &str| directive.parse::<LevelFilter>().is_ok();
    let own = |directive: &str| match directive.trim() {
        "off" => "off".to_owned(),
        level if is_level(level) => format!("{LIBRARIES},bookend={level}"),
        other => other.to_owned(),
    };
    filter.split(',').map(own).collect::<Vec<_>>().join(",")
}

/// A panic costs one request or connection; it must show in the log as what it is, a fault of ours.
fn report_panic(panic: &panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let location = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        message_of_panic = message,
        location = location.as_deref().unwrap_or_default(),
        thread = thread.name().unwrap_or_default(),
        "panic: a fault of the gateway's own"
    );
}

/// Writes what waits to be written when it is dropped.
#[derive(Debug)]
#[must_use = "events are lost once this is dropped"]
pub struct LogGuard {
    /// Dropped first: it may have something to write.
    _reporter: Reporting,
    _guard: WorkerGuard,
}

/// Why the log could not be set up.
#[derive(Debug)]
pub enum Error {
    Filter(ParseError),
    /// Somebody else has set up a log in this process.
    Taken(TryInitError),
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Self::Filter(error)
    }
}

impl From<TryInitError> for Error {
    fn from(error: TryInitError) -> Self {
        Self::Taken(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(error) => write!(f, "not a log filter: {error}"),
            Self::Taken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Filter(error) => Some(error),
            Self::Taken(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_for_this_program_and_libraries_are_named() {
        for (filter, expected) in [
            ("info", "error,bookend=info"),
            ("warn", "error,bookend=warn"),
            ("off", "off"),
            ("trace", "error,bookend=trace"),
            (
                "info,bookend::upstream=debug",
                "error,bookend=info,bookend::upstream=debug",
            ),
            ("info, h2=warn", "error,bookend=info,h2=warn"),
            ("hyper=debug", "hyper=debug"),
        ] {
            assert_eq!(directives(filter), expected, "{filter}");
            assert!(EnvFilter::builder().parse(directives(filter)).is_ok());
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let config = config::Log::default();
        let error = init(&config, Some("bookend=loud")).unwrap_err().to_string();
        assert!(error.starts_with("not a log filter: "), "{error}");
    }
}
