//! `[log]`: what the gateway tells, and where.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use super::value::{one_of, path};
use super::walk::{Section, Value};

/// The gateway's own log (standard error) and the access log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// A filter of tracing's: a level, or directives such as `info,bookend::upstream=debug`.
    pub level: String,
    pub format: LogFormat,
    pub access: AccessFormat,
    pub access_file: AccessTarget,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::default(),
            access: AccessFormat::default(),
            access_file: AccessTarget::default(),
        }
    }
}

/// How the gateway's own log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// How the access log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    Off,
    Json,
    /// Apache's combined format, with the cache's result, reason and the duration at its end.
    #[default]
    Combined,
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessTarget {
    #[default]
    Stdout,
    File(PathBuf),
}

const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const ACCESS_FORMATS: [(&str, AccessFormat); 3] = [
    ("off", AccessFormat::Off),
    ("json", AccessFormat::Json),
    ("combined", AccessFormat::Combined),
];

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut log = Self::default();
        section.set("level", &mut log.level, level);
        section.set("format", &mut log.format, one_of(&LOG_FORMATS));
        section.set("access", &mut log.access, one_of(&ACCESS_FORMATS));
        section.set("access_file", &mut log.access_file, access_target);
        log
    }
}

fn level(value: Value<'_>) -> Option<String> {
    let text = value.text("a level such as \"info\"")?;
    // The filter takes any word for the name of a part of the program: a misspelt level would turn all off.
    let bare = |word: &str| !word.contains(['=', '[', ':']) && !LEVELS.contains(&word);
    match EnvFilter::builder().parse(&text) {
        Ok(_) if !text.is_empty() && !text.split(',').any(bare) => Some(text.into_owned()),
        _ => value.refuse_text(
            "is not a level (error, warn, info, debug, trace, off), nor levels by part, such as \
             \"info,bookend::upstream=debug\"",
        ),
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

fn access_target(value: Value<'_>) -> Option<AccessTarget> {
    let path = path(value)?;
    Some(match path.as_os_str() == "stdout" {
        true => AccessTarget::Stdout,
        false => AccessTarget::File(path),
    })
}
