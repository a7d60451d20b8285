//! `[log]`: what the gateway logs, and where.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use super::access_template::AccessTemplate;
use super::readers::{count, one_of, path};
use super::section::Section;
use super::value::Value;

/// The gateway's own log (standard error) and the access log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// A filter of tracing's: a level, or directives such as `info,bookend::upstream=debug`.
    pub level: String,
    pub format: LogFormat,
    pub access: AccessFormat,
    pub access_file: AccessTarget,
    /// One in so many hits has a line in the access log.
    pub access_hits: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::default(),
            access: AccessFormat::default(),
            access_file: AccessTarget::default(),
            access_hits: 1,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    Off,
    Json,
    /// Apache's combined format, with the cache's result, reason and the duration at its end.
    #[default]
    Combined,
    Template(AccessTemplate),
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessTarget {
    #[default]
    Stdout,
    File(PathBuf),
}

const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// What `access` may be.
const ACCESS_FORMATS: &str = "\"off\", \"json\", \"combined\", or a template such as \"{client} {method} {target} {status}\"";

impl Log {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut log = Self::default();
        section.set("level", &mut log.level, level);
        section.set("format", &mut log.format, one_of(&LOG_FORMATS));
        section.set("access", &mut log.access, access_format);
        section.set("access_file", &mut log.access_file, access_target);
        section.set("access_hits", &mut log.access_hits, count(1..=1_000_000));
        log
    }
}

fn level(value: Value<'_>) -> Option<String> {
    let text = value.text("a level such as \"info\"")?;
    match is_filter(&text) {
        true => Some(text.into_owned()),
        false => value.refuse_text(NO_FILTER),
    }
}

/// What is wrong with a text that is none: a clause that follows it.
pub const NO_FILTER: &str = "is not a level (error, warn, info, debug, trace, off), nor levels by part, such as \
     \"info,bookend::upstream=debug\"";

/// Whether `text` says what is logged.
pub fn is_filter(text: &str) -> bool {
    // The filter takes any other word as the name of a module: a misspelt level would turn everything off.
    let is_misspelt = |word: &str| {
        let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
        !word.contains(['=', '[', ':']) && !is_level && word != "bookend"
    };
    !text.is_empty()
        && !text.split(',').map(str::trim).any(is_misspelt)
        && EnvFilter::builder().parse(text).is_ok()
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

fn access_format(value: Value<'_>) -> Option<AccessFormat> {
    let text = value.text(ACCESS_FORMATS)?;
    match &*text {
        "off" => Some(AccessFormat::Off),
        "json" => Some(AccessFormat::Json),
        "combined" => Some(AccessFormat::Combined),
        text if text.contains(['{', '}']) => match AccessTemplate::parse(text) {
            Ok(template) => Some(AccessFormat::Template(template)),
            Err(fault) => value.refuse_text(fault),
        },
        _ => value.refuse_text(format_args!("is not one of {ACCESS_FORMATS}")),
    }
}

fn access_target(value: Value<'_>) -> Option<AccessTarget> {
    let path = path(value)?;
    let cure = match path.to_str() {
        Some("stderr") => {
            Some("\"/dev/stderr\" for standard error, where the gateway's own log goes")
        }
        Some("-" | "STDOUT") => Some("\"stdout\" for standard output"),
        Some("off" | "none") => Some("`access = \"off\"` for no access log"),
        _ => None,
    };
    if let Some(cure) = cure {
        value.warn_text(format!("is the name of a file here; write {cure}"));
    }
    Some(match path.as_os_str() == "stdout" {
        true => AccessTarget::Stdout,
        false => AccessTarget::File(path),
    })
}
