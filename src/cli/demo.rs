//! `bookend demo`: a book API and the gateway in front of it, to try with curl, or by the tour.

use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use super::report::{Exit, environment};
use super::signal;
use crate::clock::Clock;
use crate::config::listener::Tls;
use crate::config::{AccessFormat, Certificate, Config, Disk, ListenAddr, Listener, ServerUrl};
use crate::demo::tour::{self, Place, Tour};
use crate::demo::{BookApi, Options, Seen, TemporaryCertificate, TemporaryFolder};
use crate::instance::{self, Instance};
use crate::telemetry::log;

/// The port that is tried first where no address is given.
const FIRST_PORT: u16 = 8080;
/// The last port that is tried.
const LAST_PORT: u16 = FIRST_PORT + 99;

/// Bytes that the demo's gateway may keep on disk.
const DISK: u64 = 64 << 20;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Send the tour's requests, show and check the answers; exit 0 only if each is as expected
    #[arg(long)]
    tour: bool,

    /// The gateway's address [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// An API to use instead of the embedded one. It needs the same resources (/books, /books/123, /books/456); the tour
    /// adds, changes and deletes books
    #[arg(long, value_name = "URL")]
    upstream: Option<ServerUrl>,

    /// Speak HTTPS, with a certificate that is made on the spot and removed at the end
    #[arg(long)]
    tls: bool,

    /// Make the embedded API send `no-store` with every response: the tour must then fail
    #[arg(long, conflicts_with = "upstream")]
    no_store: bool,
}

/// Runs until the tour is over, or a signal ends it.
pub fn main(arguments: &Arguments) -> Exit {
    match run(arguments) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("bookend demo: {error}");
            Exit::Failure
        }
    }
}

fn run(arguments: &Arguments) -> Result<Exit, Box<dyn std::error::Error>> {
    let (api, upstream) = match &arguments.upstream {
        Some(url) => (None, url.clone()),
        None => {
            let api = BookApi::start(Options {
                no_store: arguments.no_store,
            })?;
            let url = format!("http://{}", api.addr()).parse()?;
            (Some(api), url)
        }
    };
    // Kept to the end, which removes it.
    let kept = TemporaryFolder::make()?;
    let config = config(upstream.clone(), arguments.tour, &kept);
    let filter = environment(log::VARIABLE);
    let _guard = log::init(&config.log, filter.as_deref())?;
    let address = arguments
        .listen
        .map_or(Ipv4Addr::LOCALHOST.into(), |addr| addr.ip());
    // Kept to the end, which removes its files.
    let certificate = match arguments.tls {
        true => Some(TemporaryCertificate::make(address)?),
        false => None,
    };
    let (instance, addr) = bind(config.clone(), arguments.listen, certificate.as_ref())?;
    let gateway = match &certificate {
        Some(certificate) => Place::secure(addr, &certificate.certificate())?,
        None => Place::plain(addr),
    };
    let url = gateway.url();
    println!("The book API is {upstream}, the gateway in front of it {url}.");
    if !arguments.tour {
        println!("{}", tour::describe(&gateway));
        if let Some(admin) = instance.admin_addr() {
            println!("Its dashboard: http://{admin}/, its metrics: curl http://{admin}/metrics");
        }
        println!("Try them while this runs: each request is logged here. Ctrl-C ends it.");
        instance.run(signal::end())?;
        return Ok(Exit::Success);
    }
    let seen = api.as_ref().map(|api| api.seen().clone());
    // The same again, at the same address.
    let restart = || bind(config, Some(addr), certificate.as_ref());
    run_tour(instance, gateway, seen, restart)
}

/// The gateway's defaults, but it keeps what it stores in a folder, logs warnings only, and its admin API takes any free port.
fn config(upstream: ServerUrl, tour: bool, kept: &TemporaryFolder) -> Config {
    let mut config = Config::in_front_of(vec![upstream]);
    let mut disk = Disk::at(kept.path().to_owned());
    disk.size = DISK;
    config.disk = Some(disk);
    config.log.level = "warn".to_owned();
    if tour {
        config.admin = None;
        config.log.access = AccessFormat::Off;
    } else if let Some(admin) = &mut config.admin {
        admin.listen = ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 0).into());
    }
    config
}

/// Runs the gateway until the tour is over, or a signal ends it; before its last step, the gateway is started anew.
fn run_tour(
    instance: Instance,
    gateway: Place,
    seen: Option<Seen>,
    restart: impl FnOnce() -> Result<(Instance, SocketAddr), instance::Error>,
) -> Result<Exit, Box<dyn std::error::Error>> {
    let mut out = io::stdout();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut tour = Tour::of(gateway, seen, &mut out, colour);
    let mut taken = Ok(None);
    instance.run(async {
        taken = signal::unless_ended(tour.run()).await.transpose();
    })?;
    if let Ok(Some(())) = taken {
        let (instance, _) = restart()?;
        let restarted = instance.gateway().clone();
        instance.run(async {
            // A response whose place is not loaded yet is a miss.
            while restarted.disk().is_some_and(|disk| disk.is_loading()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            taken = signal::unless_ended(tour.run_after_restart())
                .await
                .transpose();
        })?;
    }
    if taken?.is_none() {
        drop(tour);
        writeln!(out, "\nThe tour was interrupted.")?;
        return Ok(Exit::Failure);
    }
    match tour.close()?.is_empty() {
        true => Ok(Exit::Success),
        false => Ok(Exit::Failure),
    }
}

/// Binds the given address, else the first free port from [`FIRST_PORT`] on, and prints which if it is another. Returns the
/// gateway's address.
fn bind(
    mut config: Config,
    asked: Option<SocketAddr>,
    certificate: Option<&TemporaryCertificate>,
) -> Result<(Instance, SocketAddr), instance::Error> {
    let mut addr = asked.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, FIRST_PORT).into());
    loop {
        match certificate {
            None => config.server.listen = vec![ListenAddr::Tcp(addr)],
            Some(certificate) => {
                let mut listener = Listener::at(vec![ListenAddr::Tcp(addr)]);
                listener.tls = Some(Tls::with(vec![Certificate {
                    cert: certificate.certificate(),
                    key: certificate.key(),
                }]));
                config.server.listen.clear();
                config.server.listeners = vec![listener];
            }
        }
        match Instance::bind(config.clone(), Clock::system()) {
            Ok(instance) => {
                if asked.is_none() && addr.port() != FIRST_PORT {
                    println!("Port {FIRST_PORT} is taken, using {}.", addr.port());
                }
                // Where port 0 was asked for, the system chose one.
                if let [ListenAddr::Tcp(taken)] = instance.addrs()[..] {
                    addr = taken;
                }
                return Ok((instance, addr));
            }
            Err(error) if asked.is_none() && error.is_addr_in_use() && addr.port() < LAST_PORT => {
                addr.set_port(addr.port() + 1);
            }
            Err(error) => return Err(error),
        }
    }
}
