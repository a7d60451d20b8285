//! `bookend run`: the gateway, until SIGTERM, SIGINT or SIGQUIT, or until a successor serves. SIGHUP reloads its configuration,
//! SIGUSR1 reopens its access log, SIGUSR2 starts a successor.

use std::convert::Infallible;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use super::report::{Exit, environment, print_mistakes};
use super::signal::at_each;
use super::{handover, service_manager, signal};
use crate::admin::{Phase, ReloadSource};
use crate::clock::Clock;
use crate::config::{
    AdminAddr, Config, ListenAddr, NO_FILTER, Overrides, ServerUrl, Source, is_filter,
};
use crate::huge_pages;
use crate::instance::{Error, Instance};
use crate::proxy::Gateway;
use crate::server::{HandoverSocket, Inherited, Shutdown};
use crate::telemetry::by_route::Outcome;
use crate::telemetry::log;

/// How long the end waits for the collector of traces.
const TRACES_WITHIN: Duration = Duration::from_secs(5);

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

    /// Take the place of the running gateway whose handover_socket this is, without a gap: it gives its listening sockets,
    /// and drains once this one serves
    #[arg(long, value_name = "SOCKET", overrides_with = "takeover")]
    takeover: Option<PathBuf>,
}

/// Runs until a signal ends it.
pub fn main(arguments: &Arguments) -> Exit {
    let source = arguments.source();
    match source.load(&environment) {
        Ok(config) => serve(&source, config, arguments.takeover.as_deref()),
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

/// Runs the gateway until a signal ends it, or a successor serves.
fn serve(source: &Source, config: Config, takeover: Option<&Path>) -> Exit {
    // Before any thread is started.
    let inherited = Inherited::from_service_manager();
    let filter = environment(log::VARIABLE).filter(|filter| !filter.is_empty());
    if let Some(filter) = filter.as_deref().filter(|filter| !is_filter(filter)) {
        eprintln!("{}: \"{filter}\" {NO_FILTER}", log::VARIABLE);
        return Exit::Mistake;
    }
    // Kept to the end: dropping it writes the buffered lines.
    let guard = match log::init(&config.log, filter.as_deref()) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Mistake;
        }
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        apis = config.upstreams.len(),
        routes = config.routes.listed().len(),
        memory = config.cache.memory,
        "starting"
    );
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
        level: guard.level(),
    };
    let handover_socket = config.server.handover_socket.clone();
    let inherited = match takeover {
        None => inherited,
        Some(socket) => Inherited::from_predecessor(socket),
    };
    let inherited = inherited.map_err(Error::Server);
    let bind = |inherited| Instance::bind_from(config, Some(origin), inherited, Clock::system());
    let run = |instance| run(instance, handover_socket.as_deref());
    match inherited.and_then(bind).and_then(run) {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!(%error, "cannot run");
            Exit::Failure
        }
    }
}

/// Why a successor ends.
const TOO_LATE: &str = "the process before goes on: this one was too late";

fn run(mut instance: Instance, handover_socket: Option<&Path>) -> Result<Exit, Error> {
    let mut takeover = instance.take_takeover();
    let handover = instance.handover();
    let bind = |path| HandoverSocket::bind(path, false);
    // That of the process before is replaced when this one serves.
    let first = handover_socket.filter(|_| takeover.is_none());
    let mut socket = first.map(bind).transpose().map_err(Error::Server)?;
    let (gateway, reloader) = (instance.gateway().clone(), instance.reloader());
    if let Some(takeover) = &mut takeover {
        gateway.begin_handover();
        if !takeover.may_serve() {
            tracing::error!("{TOO_LATE}");
            return Ok(Exit::Failure);
        }
    }
    let shared = gateway.clone();
    let mut exit = Exit::Success;
    // Both to the end of this process: a successor waits for it, and it waits for the one before.
    let (mut before, mut successor) = (None, None);
    let (served, clock) = (instance.gateway().clone(), Clock::system());
    let began = clock.now().mono;
    let outcome = instance.run(async {
        // Polled when all workers are ready. All signals are waited for before anybody is told so, who may send one at once.
        let reload = move || drop(reloader.reload());
        let reopen = move || {
            gateway.reopen_log();
            tracing::info!("access log reopened");
        };
        tokio::spawn(at_each(SignalKind::hangup(), "SIGHUP", reload));
        tokio::spawn(at_each(SignalKind::user_defined1(), "SIGUSR1", reopen));
        let starts = signal(SignalKind::user_defined2());
        let serves = async {
            if let Some(takeover) = takeover.take() {
                // Clients are served as soon as this is polled again.
                tokio::task::yield_now().await;
                let Some(draining) = handover::complete(takeover).await else {
                    return false;
                };
                tracing::info!("the process before has handed over: it drains, and the cache is not used until it has ended");
                before = handover::use_cache_after(draining, shared.clone());
                socket = handover_socket.and_then(handover::replace_socket);
            }
            service_manager::ready();
            successor = Some(handover::served(&handover, &shared, socket.as_ref(), starts).await);
            // Further successors are refused.
            drop(socket.take());
            true
        };
        // It may take as long as it likes: what ends the process ends it, too. Names that were asked for meanwhile are looked up
        // to the end, since workers may wait for them.
        let local = LocalSet::new();
        let told = local.run_until(async {
            served.tell_reachable_upstreams().await;
            pending::<Infallible>().await
        });
        tokio::select! {
            biased;
            () = signal::end() => {
                service_manager::stopping();
                Shutdown::Stop
            }
            is_served = serves => {
                if is_served {
                    // It ends by itself: a signal has it end no sooner, and a second one at once.
                    tokio::spawn(signal::end());
                } else {
                    tracing::error!("{TOO_LATE}");
                    exit = Exit::Failure;
                }
                Shutdown::HandedOver
            }
            never = told => match never {},
        }
    });
    if let Some(before) = before
        && successor.is_some()
    {
        let _ = before.join();
    }
    // The successor waits for none of it.
    drop(successor);
    served.finish_traces(TRACES_WITHIN);
    tell_end(&served, clock.now().mono.since(began));
    outcome.map(|_| exit)
}

/// The last line of the log.
fn tell_end(gateway: &Gateway, served_for: Duration) {
    let metrics = gateway.metrics();
    let answered = |outcome| metrics.sum(|counters| counters.of_outcome(outcome).value());
    // In whole seconds; what lasted for less, in milliseconds.
    let after = match served_for.as_secs() {
        0 => Duration::from_millis(u64::from(served_for.subsec_millis())),
        seconds => Duration::from_secs(seconds),
    };
    tracing::info!(
        ?after,
        requests = Outcome::ALL.into_iter().map(answered).sum::<u64>(),
        hits = answered(Outcome::Hit),
        errors = answered(Outcome::Error),
        "stopped"
    );
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
