//! Three gateways that share what is invalidated by a server of Redis, under load, while one thing after another goes wrong. Each
//! answer carries its version, and none may be older than a write or purge of it that was acknowledged before the request was sent.
//!
//! `cargo run --release --features valkey --example badday -- fleet`. That it would find what it looks for is shown by a build with
//! `RUSTFLAGS="--cfg bookend_sabotage"`, in which `BOOKEND_SABOTAGE=lease`, `acknowledge`, `apply` or `epoch` has the gateways make
//! a mistake on purpose (`src/tier/sabotage.rs`): then there must be wrong answers.

mod api;
mod faults;
mod link;
mod load;
mod servers;
mod world;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::{sleep, timeout};

use self::faults::{ALONE, Fault, GUARDED, Happened};
use self::link::Link;
use self::servers::{Guarded, NAME, Server};
use self::world::{World, operate};
use crate::kit::Random;
use crate::kit::api::Api;
use crate::kit::child::Gateway;
use crate::kit::wire::{Head, Wire};
use crate::table::{Table, millis};

const GATEWAYS: usize = 3;

/// At each gateway.
const READERS: u64 = 14;
const WRITERS: u64 = 3;
const PURGERS: u64 = 2;

/// In which, when nothing is wrong, everything must be acknowledged again: a new epoch takes 18 seconds.
const RECOVERY: Duration = Duration::from_secs(45);

/// Of the answers, at least this part must be hits: an experiment without any would find nothing.
const HITS: f64 = 0.3;

/// Names what a gateway is to do wrong, in a build with `--cfg bookend_sabotage`.
const SABOTAGE: &str = "BOOKEND_SABOTAGE";

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
workers = 1
[upstream]
servers = ["http://ORIGIN"]
[cache]
memory = "64MiB"
tag_fields = ["Cache-Tag"]
receipts = true
[valkey]
url = "redis://SERVER"
namespace = "badday"
MORE
[admin]
listen = "127.0.0.1:0"
[log]
access = "off"
"#;

#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How long things go wrong; half as long again with a Sentinel
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    #[arg(long, default_value_t = 4_000)]
    keys: usize,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// One part alone
    #[arg(long)]
    only: Option<Part>,
    /// These faults alone
    #[arg(long)]
    fault: Vec<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One server
    Alone,
    /// A primary, a replica and a Sentinel
    Sentinel,
    /// Many clients ask for what nobody has
    Cold,
    /// How often the server is called
    Calls,
    /// The server is gone for a while
    Gone,
}

#[derive(Debug)]
enum Servers {
    Alone(Server),
    Guarded(Guarded),
}

/// What the experiment runs with.
#[derive(Debug)]
pub struct Lab {
    world: Rc<World>,
    servers: Servers,
    links: Vec<Link>,
    gateways: Vec<Gateway>,
    configs: Vec<String>,
    _api: Api,
}

impl Lab {
    /// Starts everything, and waits until the gateways hear each other and purges are acknowledged.
    async fn start(keys: usize, is_guarded: bool) -> io::Result<Self> {
        let world = World::new(keys, GATEWAYS);
        let upstream = world.upstream.clone();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let api = Api::start(any, async move |head: &Head, wire: &mut Wire| {
            upstream.answer(head, wire).await
        })
        .await?;
        let servers = match is_guarded {
            true => Servers::Guarded(Guarded::start().await?),
            false => Servers::Alone(Server::start(&[]).await?),
        };
        let (mut links, mut configs, mut gateways) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..GATEWAYS {
            let (server, more) = match &servers {
                Servers::Alone(server) => {
                    links.push(Link::to(server.addr).await?);
                    (links[links.len() - 1].addr, String::new())
                }
                Servers::Guarded(guarded) => (guarded.addr, format!("sentinel = \"{NAME}\"")),
            };
            let config = CONFIG
                .replace("ORIGIN", &api.addr.to_string())
                .replace("SERVER", &server.to_string())
                .replace("MORE", &more);
            configs.push(config.clone());
            gateways.push(spawn_blocking(move || Gateway::start(&config)).await?);
        }
        let lab = Self {
            world,
            servers,
            links,
            gateways,
            configs,
            _api: api,
        };
        (0..GATEWAYS).for_each(|gateway| lab.admit(gateway));
        lab.whole().await?;
        Ok(lab)
    }

    /// From now on, clients use this gateway.
    fn admit(&self, gateway: usize) {
        let running = &self.gateways[gateway];
        self.world.gateways[gateway].set(Some((running.addr(), running.admin())));
    }

    fn server(&mut self) -> &mut Server {
        match &mut self.servers {
            Servers::Alone(server) => server,
            Servers::Guarded(guarded) => guarded.primary(),
        }
    }

    fn guarded(&mut self) -> &mut Guarded {
        match &mut self.servers {
            Servers::Guarded(guarded) => guarded,
            Servers::Alone(_) => panic!("a fault for a server with a Sentinel"),
        }
    }

    async fn metric(&self, gateway: usize, name: &str) -> io::Result<u64> {
        let page = self.gateways[gateway].metrics().await?;
        let value = page.lines().find_map(|line| line.strip_prefix(name));
        Ok(value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(0))
    }

    /// Until a purge at each gateway is carried out by all. Returns how long that took.
    async fn whole(&self) -> io::Result<Duration> {
        let begun = self.world.watch.elapsed();
        let waits = async {
            for gateway in &self.gateways {
                let mut wire = Wire::connect(gateway.admin()).await?;
                loop {
                    let answer = operate(&mut wire, "/purge?url=http://nowhere/&wait=20s").await?;
                    // One that was killed is known for a while, and carries out nothing.
                    if answer
                        .gateways
                        .is_some_and(|(applied, _)| applied >= GATEWAYS)
                    {
                        break;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }
            io::Result::Ok(())
        };
        timeout(RECOVERY, waits).await??;
        Ok(self.world.watch.elapsed() - begun)
    }
}

pub async fn run(table: &Table, options: Options) -> io::Result<()> {
    if !cfg!(feature = "valkey") {
        return Err(io::Error::other(
            "it needs a build with `--features valkey`",
        ));
    }
    let sabotage = std::env::var(SABOTAGE).ok();
    if sabotage.is_some() && !cfg!(bookend_sabotage) {
        let needs = format!("{SABOTAGE} needs a build with RUSTFLAGS=\"--cfg bookend_sabotage\"");
        return Err(io::Error::other(needs));
    }
    let is_wanted = |part| options.only.is_none_or(|only| only == part);
    if is_wanted(Part::Alone) {
        println!("one server:");
        let lab = Lab::start(options.keys, false).await?;
        oracle(table, lab, &options, &ALONE, options.seconds).await?;
    }
    if is_wanted(Part::Sentinel) && sabotage.is_none() {
        println!("a primary, a replica and a Sentinel:");
        let lab = Lab::start(options.keys, true).await?;
        oracle(table, lab, &options, &GUARDED, options.seconds / 2).await?;
    }
    if is_wanted(Part::Cold) && sabotage.is_none() {
        load::cold(table, &Lab::start(options.keys, false).await?).await?;
    }
    if is_wanted(Part::Calls) && sabotage.is_none() {
        load::calls(table, Lab::start(options.keys, false).await?).await?;
    }
    if is_wanted(Part::Gone) && sabotage.is_none() {
        load::gone(table, Lab::start(options.keys, false).await?).await?;
    }
    Ok(())
}

async fn oracle(
    table: &Table,
    mut lab: Lab,
    options: &Options,
    faults: &[Fault],
    seconds: u64,
) -> io::Result<()> {
    let world = lab.world.clone();
    let mut tasks = Vec::new();
    for gateway in 0..GATEWAYS {
        let seed =
            |kind: u64, client| options.seed * 1_000 + gateway as u64 * 100 + kind * 30 + client;
        for client in 0..READERS {
            tasks.push(spawn_local(world.clone().reader(gateway, seed(0, client))));
        }
        for client in 0..WRITERS {
            tasks.push(spawn_local(world.clone().writer(gateway, seed(1, client))));
        }
        for client in 0..PURGERS {
            tasks.push(spawn_local(world.clone().purger(gateway, seed(2, client))));
        }
    }
    let chosen: Vec<_> = faults
        .iter()
        .filter(|fault| options.fault.is_empty() || options.fault.contains(fault))
        .copied()
        .collect();
    let mut random = Random::new(options.seed);
    let begun = world.watch.elapsed();
    let all = match chosen.is_empty() {
        true => {
            sleep(Duration::from_secs(seconds)).await;
            Vec::new()
        }
        false => {
            faults::happen(&mut lab, &chosen, Duration::from_secs(seconds), &mut random).await?
        }
    };
    let under_load = world.watch.elapsed() - begun;
    let recovered = lab.whole().await;
    world.is_over.set(true);
    for task in tasks {
        task.await?;
    }
    report(table, &world, &all, under_load);
    // A gateway that makes a mistake on purpose need not recover.
    let is_whole = recovered.is_ok() || std::env::var(SABOTAGE).is_ok();
    let after = recovered.map_or("never".to_owned(), |after| {
        format!("{:.1}", after.as_secs_f64())
    });
    table.line(
        "acknowledged by all again after the last one, s",
        after,
        "at most 45",
        is_whole,
    );
    Ok(())
}

fn report(table: &Table, world: &World, all: &[Happened], under_load: Duration) {
    let (seen, upstream) = (world.seen.get(), &world.upstream);
    costs(world, all);
    table.note(
        "seconds under load",
        format!("{:.0}", under_load.as_secs_f64()),
    );
    table.note("answers", seen.answers);
    if std::env::var(SABOTAGE).is_ok() {
        let wanted = "at least 1, by the sabotage";
        return table.line(
            "wrong: older than acknowledged, or garbled",
            seen.wrong,
            wanted,
            seen.wrong > 0,
        );
    }
    table.exactly("wrong: older than acknowledged, or garbled", seen.wrong, 0);
    table.exactly("errors of the gateways'", seen.errors, 0);
    table.exactly("broken off while the gateway ran", seen.broken, 0);
    let part = seen.hits as f64 / seen.answers.max(1) as f64;
    table.at_least("hits, of all answers", part, HITS, 3);
    table.note("  of these from a shared tier", seen.shared);
    table.note("answers that were validated", seen.validated);
    let asked = upstream.fetched.get() + upstream.validated.get();
    table.note("requests to the API: whole answers", upstream.fetched.get());
    table.note("requests to the API: validations", upstream.validated.get());
    table.note(
        "requests to the API for each answer",
        format!("{:.3}", asked as f64 / seen.answers.max(1) as f64),
    );
    let [(quiet, few), (each, spans)] = upstream.fetched_each_span();
    // A gateway carries its own invalidation out at once, and again when it has its number: responses that it fetches in between are
    // fetched twice.
    let most = if seen.shared > 0 {
        2.0
    } else {
        GATEWAYS as f64 + 1.0
    };
    let what = format!("fetches a change of what all three answer with, {few} changes");
    table.at_most(&what, quiet, most, 2);
    let what = format!("  with all faults, {spans} changes");
    table.note(&what, format!("{each:.2}"));
    table.line(
        "writes acknowledged",
        seen.written,
        "at least 1",
        seen.written > 0,
    );
    table.note(
        "writes pending when they were answered",
        seen.writes_pending,
    );
    table.line(
        "purges acknowledged",
        seen.purged,
        "at least 1",
        seen.purged > 0,
    );
    table.note(
        "purges pending when they were answered",
        seen.purges_pending,
    );
    let purges = world.purges.borrow();
    let quiet = all.first().map_or(Duration::MAX, |one| one.begun);
    let calm = purges
        .iter()
        .filter(|purge| purge.begun + purge.took < quiet);
    let latency = |purges: Vec<f64>| {
        let [half, most, max] = [0.5, 0.99, 1.0].map(|part| quantile(&purges, part));
        format!("{half:.1} / {most:.1} / {max:.0}")
    };
    table.note(
        "purge before the first fault, ms: p50/p99/max",
        latency(calm.map(|purge| millis(purge.took)).collect()),
    );
    table.note(
        "purge acknowledged at any time, ms: p50/p99/max",
        latency(purges.iter().map(|purge| millis(purge.took)).collect()),
    );
}

/// What each fault cost.
fn costs(world: &World, all: &[Happened]) {
    if all.is_empty() {
        return;
    }
    println!(
        "{:<18} {:>6} {:>6} {:>8} {:>7} {:>12} {:>14} {:>9}",
        "fault",
        "at, s",
        "for, s",
        "answers",
        "hits, %",
        "to the API/s",
        "pending/acked",
        "whole, s"
    );
    let purges = world.purges.borrow();
    for one in all {
        let name = one.fault.to_possible_value().expect("a name");
        // When a purge began first after it that all gateways carried out.
        let whole = purges
            .iter()
            .filter(|purge| purge.is_whole && purge.begun >= one.healed);
        let whole = whole.map(|purge| purge.begun - one.healed).min();
        let whole = whole.map_or("-".to_owned(), |after| {
            format!("{:.1}", after.as_secs_f64())
        });
        let seen = &one.seen;
        println!(
            "{:<18} {:>6.1} {:>6.1} {:>8} {:>7.1} {:>12.0} {:>14} {:>9}",
            name.get_name(),
            one.begun.as_secs_f64(),
            (one.healed - one.begun).as_secs_f64(),
            seen.answers,
            100.0 * seen.hits as f64 / seen.answers.max(1) as f64,
            (one.fetched + one.validated) as f64 / one.span.as_secs_f64(),
            format!(
                "{}/{}",
                seen.writes_pending + seen.purges_pending,
                seen.written + seen.purged
            ),
            whole,
        );
    }
}

/// The value below which this part of them is; 0 where there are none.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * part) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or_default()
}
