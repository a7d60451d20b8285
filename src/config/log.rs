//! `[log]`: what the gateway tells, and where.

use std::path::PathBuf;

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
