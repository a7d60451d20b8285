//! What is measured without an oracle: many clients that ask for what nobody has, and hits while the server is gone.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::task::spawn_local;
use tokio::time::{interval, sleep};

use super::world::operate;
use super::{GATEWAYS, Lab, quantile};
use crate::kit::Watch;
use crate::kit::wire::Wire;
use crate::restarts::books::{self, HOST};
use crate::table::{Table, median, millis};

/// Clients of a cold key, at all gateways together, and keys.
const CLIENTS: usize = 300;
const KEYS: usize = 20;

/// Of 300 clients at three gateways, all of which ask at once for what nobody has.
pub async fn cold(table: &Table, lab: &Lab) -> io::Result<()> {
    let world = &lab.world;
    let barrier = Rc::new(Barrier::new(CLIENTS));
    let shared = Rc::new(Cell::new(0_u64));
    // The slow ones: the others would be there before all have asked.
    let keys = (0..world.books.count()).filter(|book| book % 7 == 0 && book % 10 != 9);
    let keys: Rc<[usize]> = keys.take(KEYS).collect();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (world, barrier, keys) = (world.clone(), barrier.clone(), keys.clone());
            let shared = shared.clone();
            spawn_local(async move {
                let gateway = client % GATEWAYS;
                let (addr, _) = world.gateways[gateway].get().expect("a gateway");
                let mut wire = Wire::connect(addr).await?;
                let mut asked = Vec::new();
                for book in keys.iter() {
                    barrier.wait().await;
                    asked.push(world.upstream.fetched.get());
                    world.read(&mut wire, gateway, *book, None).await?;
                }
                barrier.wait().await;
                shared.set(world.seen.get().shared);
                asked.push(world.upstream.fetched.get());
                io::Result::Ok(asked)
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.push(client.await??);
    }
    // What the first one to ask saw, each time.
    let begun: Vec<_> = (0..=KEYS)
        .map(|turn| all.iter().map(|asked| asked[turn]).min())
        .collect();
    let each: Vec<_> = begun
        .windows(2)
        .map(|two| two[1].unwrap_or(0) - two[0].unwrap_or(0))
        .collect();
    let mean = each.iter().sum::<u64>() as f64 / each.len() as f64;
    let most = each.iter().max().copied().unwrap_or_default();
    let each: Vec<_> = each.into_iter().map(|asked| asked as f64).collect();
    let bound = if shared.get() > 0 { 1 } else { GATEWAYS };
    table.note("clients of one cold key, at three gateways", CLIENTS);
    table.at_most(
        "requests to the API for it, median of 20 keys",
        median(each),
        bound as f64,
        0,
    );
    table.note("  and their mean", format!("{mean:.2}"));
    // A gateway that does not hear from the server within 50 ms goes alone.
    let bound = GATEWAYS as u64;
    table.line(
        "  and the most",
        most,
        format!("at most {bound}"),
        most <= bound,
    );
    let seen = world.seen.get();
    table.exactly("wrong", seen.wrong, 0);
    table.exactly("errors of the gateways'", seen.errors, 0);
    Ok(())
}

/// How long calls of the server are counted while nothing is purged, and purges.
const IDLE: Duration = Duration::from_secs(6);
const PURGES: usize = 60;

/// What the fleet asks of its server.
pub async fn calls(table: &Table, mut lab: Lab) -> io::Result<()> {
    let counted = async |lab: &mut Lab| -> io::Result<(u64, u64)> {
        let server = lab.server();
        Ok((server.calls("evalsha").await?, server.calls("xread").await?))
    };
    let before = counted(&mut lab).await?;
    sleep(IDLE).await;
    let idle = counted(&mut lab).await?;
    let a_second = |from: u64, to: u64| (to - from) as f64 / IDLE.as_secs_f64();
    let scripts = a_second(before.0, idle.0);
    table.note(
        "calls of scripts a second, nothing purged",
        format!("{scripts:.1}"),
    );
    let reads = a_second(before.1, idle.1);
    table.note(
        "reads of the log a second, nothing purged",
        format!("{reads:.1}"),
    );
    let (watch, mut took) = (Watch::start(), Vec::new());
    let before = counted(&mut lab).await?;
    for purge in 0..PURGES {
        let (_, admin) = lab.world.gateways[purge % GATEWAYS]
            .get()
            .expect("a gateway");
        let mut wire = Wire::connect(admin).await?;
        let begun = watch.elapsed();
        let target = format!("/purge?url=http://{HOST}{}", books::target(purge));
        let answer = operate(&mut wire, &target).await?;
        let is_whole = answer.gateways == Some((GATEWAYS, GATEWAYS));
        took.push(if is_whole {
            millis(watch.elapsed() - begun)
        } else {
            f64::INFINITY
        });
        sleep(Duration::from_millis(100)).await;
    }
    let span = watch.elapsed().as_secs_f64();
    let after = counted(&mut lab).await?;
    let for_each =
        |idle: f64, from: u64, to: u64| ((to - from) as f64 - idle * span) / PURGES as f64;
    let scripts = for_each(scripts, before.0, after.0);
    table.note("calls of scripts for each purge", format!("{scripts:.1}"));
    let reads = for_each(reads, before.1, after.1);
    table.note("reads of the log for each purge", format!("{reads:.1}"));
    let [half, most, max] = [0.5, 0.99, 1.0].map(|part| quantile(&took, part));
    table.line(
        "one purge at a time, at three gateways, ms: p50/p99/max",
        format!("{half:.1} / {most:.1} / {max:.0}"),
        "all acknowledged",
        max.is_finite(),
    );
    Ok(())
}

/// Clients of hits, at all gateways together, how often each asks, and for how many books.
const STEADY: usize = 12;
const EVERY: Duration = Duration::from_millis(8);
const BOOKS: usize = 24;

/// Of before and while the server is gone, alternately.
const MEASURED: Duration = Duration::from_secs(6);
const ROUNDS: usize = 3;

/// Hits' 99th percentile may be so many times what it is with the server, or so many milliseconds.
const TIMES: f64 = 1.2;
const FLOOR: f64 = 1.0;

/// Hits while the server is gone, and after it has come back.
pub async fn gone(table: &Table, mut lab: Lab) -> io::Result<()> {
    let (mut before, mut without, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut first, mut back) = (Vec::new(), Vec::new());
    steady(&lab, Duration::from_secs(1)).await?;
    for _ in 0..ROUNDS {
        before.push(quantile(&steady(&lab, MEASURED).await?.0, 0.99));
        lab.server().kill();
        // While the leases are not over, all is as before; then each book is validated once a second.
        let (hits, _) = steady(&lab, Duration::from_secs(2)).await?;
        first.push(quantile(&hits, 0.99));
        let (hits, others) = steady(&lab, MEASURED).await?;
        parts.push(hits.len() as f64 / (hits.len() + others).max(1) as f64);
        without.push(quantile(&hits, 0.99));
        lab.server().start_again(&[]).await?;
        let watch = Watch::start();
        while steady(&lab, Duration::from_millis(250)).await?.1 > 0 {}
        back.push(watch.elapsed().as_secs_f64());
        lab.whole().await?;
        steady(&lab, Duration::from_millis(500)).await?;
    }
    let (quiet, lost) = (median(before), median(without));
    let wanted = format!("{quiet:.2} with it, at most {TIMES} times");
    let is_met = lost <= (quiet * TIMES).max(FLOOR);
    table.line(
        "without the server: hits' p99, ms",
        format!("{lost:.2}"),
        wanted,
        is_met,
    );
    table.note(
        "  in the first two seconds, ms",
        format!("{:.2}", median(first)),
    );
    table.note(
        "  hits, of all answers, after the leases",
        format!("{:.2}", median(parts)),
    );
    table.note(
        "  all are hits again after, s",
        format!("{:.1}", median(back)),
    );
    let seen = lab.world.seen.get();
    table.exactly("errors of the gateways'", seen.errors, 0);
    table.exactly("wrong", seen.wrong, 0);
    Ok(())
}

/// The latencies of hits, in milliseconds, and how many answers were none.
async fn steady(lab: &Lab, length: Duration) -> io::Result<(Vec<f64>, usize)> {
    let clients: Vec<_> = (0..STEADY)
        .map(|client| spawn_local(ask(lab.world.clone(), client, length)))
        .collect();
    let (mut all, mut others) = (Vec::new(), 0);
    for client in clients {
        let (hits, other) = client.await??;
        all.extend(hits);
        others += other;
    }
    Ok((all, others))
}

async fn ask(
    world: Rc<super::World>,
    client: usize,
    length: Duration,
) -> io::Result<(Vec<f64>, usize)> {
    let gateway = client % GATEWAYS;
    let (addr, _) = world.gateways[gateway].get().expect("a gateway");
    let mut wire = Wire::connect(addr).await?;
    let (watch, mut ticks) = (Watch::start(), interval(EVERY));
    sleep(Duration::from_micros(500 * client as u64)).await;
    // Those that are fresh for an hour.
    let fresh: Vec<_> = (0..)
        .filter(|book| book % 10 != 9 && book % 7 != 0)
        .take(BOOKS)
        .collect();
    let (mut hits, mut others) = (Vec::new(), 0);
    while watch.elapsed() < length {
        ticks.tick().await;
        let book = fresh[hits.len().wrapping_mul(7).wrapping_add(client) % fresh.len()];
        let begun = watch.elapsed();
        let target = books::target(book);
        wire.write(format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes())
            .await?;
        let head = wire.head().await?;
        wire.content(&head, &mut |_| {}).await?;
        let took = millis(watch.elapsed() - begun);
        if head.status() != 200 {
            world.count(|seen| seen.errors += 1);
        }
        match head
            .field("cache-status")
            .is_some_and(|status| status.contains("; hit"))
        {
            true => hits.push(took),
            false => others += 1,
        }
    }
    Ok((hits, others))
}
