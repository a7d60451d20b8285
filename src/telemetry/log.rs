//! The gateway's own log: the events of `tracing` as lines of text or JSON on standard error. A thread of its own writes
//! them, so that a full pipe stops no worker. `telemetry::throttle` bounds the lines that a peer can cause.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::panic;
use std::sync::Arc;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::throttle::{SummaryThread, Throttle};
use crate::config::{self, LogFormat};

/// The environment variable that overrides the configured level.
pub const VARIABLE: &str = "BOOKEND_LOG";

/// Lines that may wait to be written; further ones are lost.
const LINES: usize = 8 * 1024;

/// The level of libraries that the filter does not name: a peer can cause many of their events, of little use to an
/// operator.
const LIBRARIES: &str = "error";

/// Writes all events, and panics, to standard error from now on. `filter` is the value of [`VARIABLE`], if it is set. Lines
/// that wait are written when the guard is dropped.
///
/// # Errors
/// When `filter` or the configured level is not a valid filter, or when this process has a log already.
pub fn init(config: &config::Log, filter: Option<&str>) -> Result<LogGuard, Error> {
    let is_overridden = filter.is_some();
    let filter = parse(filter.unwrap_or(&config.level))?;
    let (throttle, summary) = Throttle::new();
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES)
        .thread_name("log")
        .finish(stderr());
    let events = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(true);
    let level = match config.format {
        LogFormat::Text => {
            let events = events
                .with_ansi(stderr().is_terminal())
                .with_filter_reloading();
            let handle = events.reload_handle();
            events.finish().with(throttle).try_init()?;
            LevelHandle::new(move |filter| handle.reload(filter).is_ok())
        }
        LogFormat::Json => {
            let events = events.json().flatten_event(true).with_filter_reloading();
            let handle = events.reload_handle();
            events.finish().with(throttle).try_init()?;
            LevelHandle::new(move |filter| handle.reload(filter).is_ok())
        }
    };
    // A panic ends one request or connection. It is logged, since it is a bug.
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(
            message_of_panic = message,
            location = location.as_deref().unwrap_or_default(),
            thread = thread.name().unwrap_or_default(),
            "panic: a fault of the gateway's own"
        );
    }));
    Ok(LogGuard {
        level: (!is_overridden).then_some(level),
        _summary: summary.start(),
        _guard: guard,
    })
}

fn parse(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(directives(filter))
}

/// Changes the level of a log that runs.
#[derive(Clone)]
pub struct LevelHandle(Arc<dyn Fn(EnvFilter) -> bool + Send + Sync>);

impl LevelHandle {
    fn new(reload: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(reload))
    }

    /// Returns whether `filter` is in force: not where it is no valid filter.
    pub fn set(&self, filter: &str) -> bool {
        parse(filter).is_ok_and(|filter| (self.0)(filter))
    }
}

impl fmt::Debug for LevelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LevelHandle").finish_non_exhaustive()
    }
}

/// `filter`, with a level that names no target applied to this program only. Directives with a target (`h2=debug`) stay as
/// they are.
fn directives(filter: &str) -> String {
    let is_level = |directive: &str| directive.parse::<LevelFilter>().is_ok();
    let own = |directive: &str| match directive.trim() {
        "off" => "off".to_owned(),
        level if is_level(level) => format!("{LIBRARIES},bookend={level}"),
        other => other.to_owned(),
    };
    filter.split(',').map(own).collect::<Vec<_>>().join(",")
}

/// Dropping it writes the lines that wait.
#[derive(Debug)]
#[must_use = "events are lost once this is dropped"]
pub struct LogGuard {
    level: Option<LevelHandle>,
    /// Dropped first: it may write a line.
    _summary: SummaryThread,
    _guard: WorkerGuard,
}

impl LogGuard {
    /// Changes the level; `None` where [`VARIABLE`] decides about it.
    pub fn level(&self) -> Option<LevelHandle> {
        self.level.clone()
    }
}

/// Why the log could not be set up.
#[derive(Debug)]
pub enum Error {
    Filter(ParseError),
    /// This process has a log already.
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
