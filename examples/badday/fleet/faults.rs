//! What goes wrong, and what it costs.

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::Lab;
use super::link::State;
use super::servers::freeze;
use super::world::Seen;
use crate::kit::Random;
use crate::kit::child::Gateway;

/// A gateway may serve for so long after its latest heartbeat.
const LEASE: Duration = Duration::from_secs(3);

/// Between two faults.
const CALM: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// Nothing of one gateway reaches the server any more, for longer than its lease
    BlackHole,
    /// The connections of one gateway are reset
    Reset,
    /// A gateway is stopped for less than its lease
    Pause,
    /// A gateway is stopped for longer than its lease
    LongPause,
    /// A gateway is killed, and another one started
    Kill,
    /// The server is stopped for less than the lease
    ServerPause,
    /// The server is stopped for longer than the lease
    LongServerPause,
    /// One gateway is cut off while the API takes its time; meanwhile, the server is restarted
    CutAndLost,
    /// The server is killed, and another one started
    ServerKill,
    /// The primary is killed; it comes back as a replica
    Failover,
    /// The primary is stopped until the replica has become the primary, and goes on
    PausedFailover,
}

/// What is done to one server alone, those that it forgets by last; and to one that a Sentinel looks after.
pub const ALONE: [Fault; 9] = [
    Fault::BlackHole,
    Fault::Reset,
    Fault::Pause,
    Fault::LongPause,
    Fault::Kill,
    Fault::ServerPause,
    Fault::LongServerPause,
    Fault::CutAndLost,
    Fault::ServerKill,
];
pub const GUARDED: [Fault; 4] = [
    Fault::Failover,
    Fault::LongPause,
    Fault::PausedFailover,
    Fault::Kill,
];

/// One that has happened.
#[derive(Clone, Copy, Debug)]
pub struct Happened {
    pub fault: Fault,
    pub begun: Duration,
    pub healed: Duration,
    /// What was seen from its begin to the end of the calm after it, and of how long.
    pub seen: Seen,
    pub fetched: u64,
    pub validated: u64,
    pub span: Duration,
}

/// One fault after another until so much time has passed, in an order that `random` gives.
pub async fn happen(
    lab: &mut Lab,
    faults: &[Fault],
    length: Duration,
    random: &mut Random,
) -> io::Result<Vec<Happened>> {
    let end = lab.world.watch.elapsed() + length;
    let mut all = Vec::new();
    let mut deck = Vec::new();
    // For what is measured of a fleet that nothing is wrong with.
    sleep((length / 6).clamp(CALM, CALM * 5)).await;
    lab.world.upstream.quiet_ends();
    while lab.world.watch.elapsed() < end {
        if deck.is_empty() {
            deck = shuffled(faults, random);
        }
        let fault = deck.pop().expect("a fault");
        all.push(one(lab, fault, random).await?);
    }
    Ok(all)
}

/// The first of the result comes last.
fn shuffled(faults: &[Fault], random: &mut Random) -> Vec<Fault> {
    let mut deck = faults.to_vec();
    // After those that the server forgets by, nothing is acknowledged for a while.
    let forgets = |fault: &Fault| matches!(fault, Fault::CutAndLost | Fault::ServerKill);
    let mut keys: Vec<_> = deck
        .iter()
        .map(|fault| (forgets(fault), random.next()))
        .collect();
    for at in 1..deck.len() {
        let mut to = at;
        while to > 0 && keys[to - 1] > keys[to] {
            keys.swap(to - 1, to);
            deck.swap(to - 1, to);
            to -= 1;
        }
    }
    deck.reverse();
    deck
}

async fn one(lab: &mut Lab, fault: Fault, random: &mut Random) -> io::Result<Happened> {
    let world = lab.world.clone();
    let gateway = random.below(lab.gateways.len() as u64) as usize;
    let (begun, before) = (world.watch.elapsed(), world.seen.get());
    let upstream = || (world.upstream.fetched.get(), world.upstream.validated.get());
    let asked = upstream();
    let name = fault.to_possible_value().expect("a name");
    let event = format!(
        "{} of gateway {gateway} since {:.3} s",
        name.get_name(),
        begun.as_secs_f64()
    );
    println!("{event}");
    world.event.replace(event);
    inflict(lab, fault, gateway, random).await?;
    let healed = world.watch.elapsed();
    let healed_in_words = format!(", over since {:.3} s", healed.as_secs_f64());
    world.event.borrow_mut().push_str(&healed_in_words);
    sleep(CALM).await;
    let (fetched, validated) = upstream();
    Ok(Happened {
        fault,
        begun,
        healed,
        seen: difference(before, world.seen.get()),
        fetched: fetched - asked.0,
        validated: validated - asked.1,
        span: world.watch.elapsed() - begun,
    })
}

fn difference(from: Seen, to: Seen) -> Seen {
    Seen {
        answers: to.answers - from.answers,
        hits: to.hits - from.hits,
        shared: to.shared - from.shared,
        validated: to.validated - from.validated,
        written: to.written - from.written,
        writes_pending: to.writes_pending - from.writes_pending,
        purged: to.purged - from.purged,
        purges_pending: to.purges_pending - from.purges_pending,
        wrong: to.wrong - from.wrong,
        errors: to.errors - from.errors,
        broken: to.broken - from.broken,
    }
}

async fn inflict(
    lab: &mut Lab,
    fault: Fault,
    gateway: usize,
    random: &mut Random,
) -> io::Result<()> {
    let short = Duration::from_millis(500 + random.below(1_500));
    let long = LEASE + Duration::from_millis(1_000 + random.below(2_000));
    match fault {
        Fault::BlackHole => {
            lab.links[gateway].set(State::BlackHole);
            sleep(long).await;
            lab.links[gateway].set(State::Open);
        }
        Fault::Reset => {
            lab.links[gateway].set(State::Reset);
            sleep(short).await;
            lab.links[gateway].set(State::Open);
        }
        Fault::Pause | Fault::LongPause => {
            let pid = lab.gateways[gateway].id();
            freeze(pid, true)?;
            sleep(if fault == Fault::Pause { short } else { long }).await;
            freeze(pid, false)?;
        }
        Fault::Kill => {
            lab.world.gateways[gateway].set(None);
            lab.gateways[gateway].kill();
            let config = lab.configs[gateway].clone();
            lab.gateways[gateway] = spawn_blocking(move || Gateway::start(&config)).await?;
            lab.admit(gateway);
        }
        Fault::ServerPause | Fault::LongServerPause => {
            let server = lab.server();
            server.freeze(true)?;
            sleep(if fault == Fault::ServerPause {
                short
            } else {
                long
            })
            .await;
            lab.server().freeze(false)?;
        }
        Fault::CutAndLost => cut_and_lost(lab, gateway).await?,
        Fault::ServerKill => {
            lab.server().kill();
            sleep(short).await;
            lab.server().start_again(&[]).await?;
        }
        Fault::Failover => {
            let guarded = lab.guarded();
            guarded.primary().kill();
            guarded.failed_over().await?;
            guarded.restore().await?;
            guarded.replicates().await?;
        }
        Fault::PausedFailover => {
            let guarded = lab.guarded();
            guarded.primary().freeze(true)?;
            guarded.failed_over().await?;
            guarded.thaw_the_other()?;
            guarded.replicates().await?;
        }
    }
    Ok(())
}

/// A gateway does not hear of a write, and the server then loses the ledger that has it; meanwhile an older response is on its way.
async fn cut_and_lost(lab: &mut Lab, gateway: usize) -> io::Result<()> {
    let upstream = lab.world.upstream.clone();
    let epochs = lab.metric(gateway, "bookend_fleet_epochs_total").await?;
    upstream.hold();
    sleep(Duration::from_millis(300)).await;
    lab.links[gateway].set(State::BlackHole);
    // Until its lease is over, and then writes and purges are acknowledged without it.
    sleep(LEASE * 2).await;
    lab.server().kill();
    lab.server().start_again(&[]).await?;
    lab.links[gateway].set(State::Open);
    let begins = async {
        while lab.metric(gateway, "bookend_fleet_epochs_total").await? == epochs {
            sleep(Duration::from_millis(20)).await;
        }
        io::Result::Ok(())
    };
    let begun = timeout(Duration::from_secs(10), begins).await;
    upstream.release();
    begun?
}
