//! Reads the configuration of a running gateway again: for SIGHUP and for `POST /reload` alike.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::limits::limits;
use crate::config::effective::effective;
use crate::config::{Config, Mistake, Source};
use crate::proxy::Gateway;
use crate::server::{self, Renewer};
use crate::telemetry::log::LevelHandle;

/// Where a configuration can be read again.
#[derive(Clone, Debug)]
pub struct ReloadSource {
    pub source: Source,
    /// The value of an environment variable; `None` when it is not set.
    pub lookup: fn(&str) -> Option<String>,
    /// Called when a reload begins and when it has ended, for a service manager.
    pub notify: fn(Phase),
    /// Changes the level of the log; `None` where it does not follow the configuration.
    pub level: Option<LevelHandle>,
}

/// Reads one gateway's configuration again, and counts how that went.
#[derive(Debug)]
pub struct Reloader {
    /// `None`: there is nothing to read again.
    origin: Option<ReloadSource>,
    /// With which the gateway was started.
    started: Config,
    gateway: Arc<Gateway>,
    server: Renewer,
    /// `None` where the admin API is off.
    admin: Option<Renewer>,
    /// One reload at a time.
    running: Mutex<()>,
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// When the configuration in force was read, in seconds since 1970.
    loaded: AtomicU64,
}

/// The phases of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Began,
    /// With or without success.
    Ended,
}

/// A configuration that was put in force.
#[derive(Debug)]
pub struct Reloaded {
    pub warnings: Vec<Mistake>,
    /// The changed sections that take effect when the gateway is started again, such as `[log]`.
    pub bound: Vec<&'static str>,
}

/// Why the configuration before stays in force.
#[derive(Debug)]
pub enum NotReloaded {
    /// The gateway was started without a configuration that could be read again.
    NoSource,
    /// All mistakes of the file.
    Mistakes(Vec<Mistake>),
    /// The file is valid, but something that it names cannot be used.
    Unusable(String),
}

/// What is known of all reloads so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reloads {
    pub succeeded: u64,
    pub failed: u64,
    pub loaded: u64,
}

impl Reloader {
    /// For a gateway that was started with `started`, which came from `origin`.
    pub fn new(
        origin: Option<ReloadSource>,
        started: Config,
        gateway: Arc<Gateway>,
        server: Renewer,
        admin: Option<Renewer>,
    ) -> Self {
        let loaded = gateway.clock().now().wall.as_secs();
        Self {
            origin,
            started,
            gateway,
            server,
            admin,
            running: Mutex::new(()),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            loaded: AtomicU64::new(loaded),
        }
    }

    /// Opens the access log anew, reads the configuration again and puts it in force; one that cannot be used changes
    /// nothing else. The outcome is logged, too.
    pub fn reload(&self) -> Result<Reloaded, NotReloaded> {
        let _one = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = self.origin.as_ref().ok_or(NotReloaded::NoSource)?;
        (origin.notify)(Phase::Began);
        // First and in any case: log rotation depends on it.
        self.gateway.reopen_log();
        let outcome = self.read_again(origin);
        match &outcome {
            Ok(_) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                let now = self.gateway.clock().now().wall.as_secs();
                self.loaded.store(now, Ordering::Relaxed);
            }
            Err(_) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        log(&outcome);
        (origin.notify)(Phase::Ended);
        outcome
    }

    fn read_again(&self, origin: &ReloadSource) -> Result<Reloaded, NotReloaded> {
        let config = origin.source.load(&origin.lookup);
        let config = config.map_err(NotReloaded::Mistakes)?;
        let reloaded = Reloaded {
            warnings: config.warnings.clone(),
            bound: self.started.bound_changes(&config),
        };
        // All or nothing: what can fail comes before what cannot.
        let unusable = |error: server::Error| NotReloaded::Unusable(error.to_string());
        let server = self.server.prepare(&config.server).map_err(unusable)?;
        let admin = self.admin.as_ref().zip(config.admin.as_ref());
        let admin = admin.map(|(renewer, admin)| renewer.prepare(&limits(admin.listen.clone())));
        let admin = admin.transpose().map_err(unusable)?;
        let level = config.log.level.clone();
        let gateway = self.gateway.reload(config);
        gateway.map_err(|error| NotReloaded::Unusable(error.to_string()))?;
        server.put_in_force();
        if let Some(admin) = admin {
            admin.put_in_force();
        }
        if let Some(handle) = &origin.level {
            handle.set(&level);
        }
        Ok(reloaded)
    }

    /// The configuration with all its defaults, as `bookend config` prints it, from the file as it is now; `None` where
    /// there is no source. Fails with a sentence where the file cannot be read.
    pub(super) fn configuration(&self) -> Option<Result<Value, String>> {
        let Source { file, overrides } = &self.origin.as_ref()?.source;
        let options = [
            ("--listen", !overrides.listen.is_empty()),
            ("--upstream", !overrides.upstream.is_empty()),
            ("--admin", overrides.admin.is_some()),
        ];
        let options = options.iter().filter(|(_, is_given)| *is_given);
        let options: Vec<_> = options.map(|(name, _)| *name).collect();
        let (name, text, is_newer) = match file {
            None => (None, String::new(), false),
            Some(path) => {
                let name = path.display().to_string();
                let text = match std::fs::read_to_string(path) {
                    Ok(text) => text,
                    Err(error) => return Some(Err(format!("{name} cannot be read: {error}"))),
                };
                (Some(name), text, self.is_newer(path))
            }
        };
        Some(Ok(json!({
            "file": name,
            "changed_since_read": is_newer,
            "overridden_by": options,
            "text": effective(&text, name.as_deref().unwrap_or_default()),
        })))
    }

    /// Whether the file was changed after it was read.
    fn is_newer(&self, path: &Path) -> bool {
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
        let modified = modified
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        modified.is_some_and(|time| time.as_secs() > self.loaded.load(Ordering::Relaxed))
    }

    pub(super) fn reloads(&self) -> Reloads {
        Reloads {
            succeeded: self.succeeded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            loaded: self.loaded.load(Ordering::Relaxed),
        }
    }
}

fn log(outcome: &Result<Reloaded, NotReloaded>) {
    const KEPT: &str = "configuration not reloaded: the one before stays in force";
    match outcome {
        Ok(Reloaded { warnings, bound }) => {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            for what in bound {
                tracing::warn!("{what} has changed: restart the gateway to put it in force");
            }
            tracing::info!("configuration reloaded");
        }
        Err(NotReloaded::NoSource) => {}
        Err(NotReloaded::Mistakes(mistakes)) => {
            for mistake in mistakes {
                tracing::error!("{mistake}");
            }
            tracing::error!(mistakes = mistakes.len(), "{KEPT}");
        }
        Err(NotReloaded::Unusable(fault)) => tracing::error!(%fault, "{KEPT}"),
    }
}
