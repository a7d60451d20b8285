//! `bookend run`: the gateway, until SIGTERM, SIGINT or SIGQUIT. SIGHUP reloads its configuration, SIGUSR1 reopens its
//! access log.

use std::path::PathBuf;

use clap::Args;

use super::report::{Exit, environment, print_mistakes};
use super::{service_manager, signal};
use crate::admin::{Phase, ReloadSource};
use crate::clock::Clock;
use crate::config::{
    AdminAddr, Config, ListenAddr, NO_FILTER, Overrides, ServerUrl, Source, is_filter,
};
use crate::huge_pages;
use crate::instance::{Error, Instance};
use crate::server::Inherited;
use crate::telemetry::log;

/// The file that is read when no other is named.
const DEFAULT_FILE: &str = "config.toml";

#[derive(Debug, Args)]
pub struct Arguments {
    /// The configuration file [default: config.toml, or none with --upstream]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// An address to listen on, in place of the file's (may be repeated): 127.0.0.1:8080, :8080, [::]:8080, unix:/path
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddr>,

    /// A server of the API, in place of the file's (may be repeated): http://host:port/base, https://host, unix:/path
    #[arg(long, value_name = "URL")]
    upstream: Vec<ServerUrl>,

    /// The address of the admin API, in place of the file's; or off
    #[arg(long, value_name = "ADDR")]
    admin: Option<AdminAddr>,
}

/// Runs until a signal ends it.
pub fn main(arguments: &Arguments) -> Exit {
    let source = arguments.source();
    match source.load(&environment) {
        Ok(config) => serve(&source, config),
        Err(mistakes) => {
            print_mistakes(&mistakes);
            let is_missing = source.file.as_ref().is_some_and(|file| !file.exists());
            if arguments.config.is_none() && is_missing {
                eprintln!(
                    "give another with --config FILE, or only the API's address with --upstream URL"
                );
            }
            Exit::Mistake
        }
    }
}

/// Runs the gateway until a signal ends it, and reloads `source` at each SIGHUP.
fn serve(source: &Source, config: Config) -> Exit {
    // Before any thread is started.
    let inherited = Inherited::from_service_manager().map_err(Error::Server);
    let filter = environment(log::VARIABLE).filter(|filter| !filter.is_empty());
    if let Some(filter) = filter.as_deref().filter(|filter| !is_filter(filter)) {
        eprintln!("{}: \"{filter}\" {NO_FILTER}", log::VARIABLE);
        return Exit::Mistake;
    }
    // Kept to the end: dropping it writes the buffered lines.
    let _guard = match log::init(&config.log, filter.as_deref()) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Mistake;
        }
    };
    match &source.file {
        Some(file) => tracing::info!(file = %file.display(), "configuration read"),
        None => tracing::info!("no configuration file: the defaults and the command line apply"),
    }
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if config.cache.uses_huge_pages() {
        huge_pages::allow();
    }
    let origin = ReloadSource {
        source: source.clone(),
        lookup: environment,
        notify: |phase| match phase {
            Phase::Began => service_manager::reloading(),
            Phase::Ended => service_manager::ready(),
        },
    };
    let bind = |inherited| Instance::bind_from(config, Some(origin), inherited, Clock::system());
    let outcome = inherited.and_then(bind).and_then(|instance| {
        let (gateway, reloader) = (instance.gateway().clone(), instance.reloader());
        let reopen = || {
            gateway.reopen_log();
            tracing::info!("access log reopened");
        };
        // The outcome is in the log.
        let reload = || drop(reloader.reload());
        let signals = signal::at_each(reload, reopen);
        instance.run(async {
            // Polled when all workers are ready. In this order: who is told so may send a signal at once, which before it is
            // waited for would end the process.
            let ready = async {
                service_manager::ready();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = signal::end() => {}
                () = signals => {}
                () = ready => {}
            }
            service_manager::stopping();
        })
    });
    match outcome {
        Ok(_) => Exit::Success,
        Err(error) => {
            tracing::error!(%error, "cannot run");
            Exit::Failure
        }
    }
}

impl Arguments {
    /// Where the configuration comes from. With `--upstream` the default file is not read, so that the result does not
    /// depend on the current folder.
    fn source(&self) -> Source {
        let default = self.upstream.is_empty().then(|| DEFAULT_FILE.into());
        Source {
            file: self.config.clone().or(default),
            overrides: Overrides {
                listen: self.listen.clone(),
                upstream: self.upstream.clone(),
                admin: self.admin.clone(),
            },
        }
    }
}
