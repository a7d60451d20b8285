//! A gateway with a disk tier is killed under load again and again, and started again on the same directory.

pub mod books;
mod client;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::sleep;

use self::books::{Books, Kind};
use self::client::{Way, World};
use crate::kit::api::Api;
use crate::kit::child::Gateway;
use crate::kit::wire::{Head, Wire};
use crate::kit::{Random, Watch};
use crate::table::{Table, median, millis};

const CLIENTS: u64 = 24;

/// Load before the first kill, the last second of which is measured.
const WARM: Duration = Duration::from_secs(4);
const SECOND: Duration = Duration::from_secs(1);

/// After so many kills, one stop is in order.
const GRACEFUL: usize = 10;

/// Of what is read in the quiet, at least this part must be a hit from disk after a restart.
const FOUND_AGAIN: f64 = 0.95;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[upstream]
servers = ["http://ORIGIN"]
[cache]
memory = "MEMORY"
tag_fields = ["Cache-Tag"]
[disk]
path = "PATH"
size = "SIZE"
index_memory = "4MiB"
[admin]
listen = "127.0.0.1:0"
[log]
access = "off"
"#;

/// What the experiment runs with.
struct Lab {
    books: Rc<Books>,
    api: Api,
}

impl Lab {
    async fn new(count: usize) -> io::Result<Self> {
        let books = Books::new(count);
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let of = books.clone();
        let api = Api::start(any, async move |head: &Head, wire: &mut Wire| {
            of.answer(head, wire).await
        })
        .await?;
        Ok(Self { books, api })
    }

    fn gateway(&self, path: &Path, memory: &str, size: &str) -> Gateway {
        let config = CONFIG
            .replace("ORIGIN", &self.api.addr.to_string())
            .replace("MEMORY", memory)
            .replace("PATH", &path.display().to_string())
            .replace("SIZE", size);
        Gateway::start(&config)
    }
}

pub async fn run(table: &Table, kills: usize, keys: usize) -> io::Result<()> {
    let keys = keys.max(200);
    quiet(table, &Lab::new(keys).await?).await?;
    println!("killed under load:");
    killed(table, &Lab::new(keys).await?, kills, "1GiB").await?;
    println!("killed under load, with a disk tier of 16 MiB:");
    killed(table, &Lab::new(keys).await?, kills.div_ceil(5), "16MiB").await
}

/// Everything is read, the gateway stopped in order and started again, and everything read again.
async fn quiet(table: &Table, lab: &Lab) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(lab.books.clone());
    let mut gateway = lab.gateway(folder.path(), "256MiB", "1GiB");
    read_all(&world, &gateway).await?;
    let before = world.tally.hits.get();
    read_all(&world, &gateway).await?;
    let hits = world.tally.hits.get() - before;
    await_written(&gateway).await?;
    let (dropped, bytes) = (
        metric(&gateway, "bookend_disk_dropped_total").await?,
        metric(&gateway, "bookend_disk_bytes").await?,
    );
    let well = spawn_blocking(move || gateway.stop()).await?;
    let watch = Watch::start();
    let gateway = lab.gateway(folder.path(), "256MiB", "1GiB");
    let first = first_hit(&world, &gateway, &watch).await?;
    read_all(&world, &gateway).await?;
    let again = world.tally.from_disk.get();
    table.line("stopped in order: ends well", well, true, well);
    table.note("responses that the queue had no room for", dropped);
    table.note("bytes on disk, MiB", bytes >> 20);
    report_first_hit(table, first.into_iter().collect());
    table.note("hits of all books, before", hits);
    let part = again as f64 / hits.max(1) as f64;
    table.at_least("hits from disk after it, of these", part, FOUND_AGAIN, 3);
    report_faults(table, &world);
    Ok(())
}

/// One request for each book, a few at a time.
async fn read_all(world: &Rc<World>, gateway: &Gateway) -> io::Result<()> {
    let addr = gateway.addr();
    for part in 0..world.books.count().div_ceil(PART) {
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let world = world.clone();
                spawn_local(async move {
                    let mut wire = Wire::connect(addr).await?;
                    let end = ((part + 1) * PART).min(world.books.count());
                    for book in (part * PART..end).skip(client).step_by(8) {
                        // Those that are fresh for a second are not hits the next time.
                        if books::kind(book) != Kind::Validated {
                            let variant = books::variant(book, &mut Random::new(book as u64));
                            world.read(&mut wire, book, &variant, Way::Plain).await?;
                        }
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        for client in clients {
            client.await??;
        }
        await_written(gateway).await?;
    }
    Ok(())
}

/// Books that are read before what they have to be written is waited for.
const PART: usize = 200;

/// Kills under load; some stops are in order.
async fn killed(table: &Table, lab: &Lab, kills: usize, size: &str) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let world = World::new(lab.books.clone());
    let start = || lab.gateway(folder.path(), "64MiB", size);
    let mut random = Random::new(5);
    let mut gateway = start();
    let admit = |gateway: &Gateway| world.gateway.set(Some((gateway.addr(), gateway.admin())));
    admit(&gateway);
    let mut tasks: Vec<_> = (0..CLIENTS)
        .map(|seed| spawn_local(world.clone().client(seed)))
        .collect();
    tasks.push(spawn_local(world.clone().purger()));
    let asked = || (world.tally.answers.get(), lab.api.requests());
    let share = |from: (u64, u64)| {
        let to = asked();
        (to.1 - from.1) as f64 / (to.0 - from.0).max(1) as f64
    };
    sleep(WARM.saturating_sub(SECOND)).await;
    let mark = asked();
    sleep(SECOND).await;
    let share_before = share(mark);

    let (mut after, mut firsts) = ((0, 0), Vec::new());
    let (mut graceful, mut ended_well) = (0, 0);
    let (mut copied, mut evicted, mut dropped, mut corrupt) = (0, 0, 0, 0);
    for stop in 1..=kills + kills / GRACEFUL {
        copied += metric(&gateway, "bookend_disk_copied_bytes_total").await?;
        evicted += metric(&gateway, "bookend_disk_evictions_total").await?;
        dropped += metric(&gateway, "bookend_disk_dropped_total").await?;
        corrupt += metric(&gateway, "bookend_disk_corrupt_total").await?;
        world.gateway.set(None);
        if stop.is_multiple_of(GRACEFUL + 1) {
            graceful += 1;
            let mut old = gateway;
            ended_well += u64::from(spawn_blocking(move || old.stop()).await?);
        } else {
            // As `kill -9` does.
            drop(gateway);
        }
        let watch = Watch::start();
        gateway = start();
        firsts.extend(first_hit(&world, &gateway, &watch).await?);
        admit(&gateway);
        let mark = asked();
        sleep(Duration::from_millis(50 + random.below(350))).await;
        let now = asked();
        after = (after.0 + now.0 - mark.0, after.1 + now.1 - mark.1);
    }
    world.is_over.set(true);
    for task in tasks {
        task.await?;
    }
    table.note("kills", kills);
    table.exactly("stops in order that end well", ended_well, graceful);
    let tally = &world.tally;
    table.note("answers", tally.answers.get());
    table.note("writes acknowledged", tally.writes.get());
    table.note("purges acknowledged", tally.purges.get());
    table.note("hits", tally.hits.get());
    let from_disk = tally.from_disk.get();
    table.line("hits from disk", from_disk, "at least 1", from_disk > 0);
    report_faults(table, &world);
    let share_after = after.1 as f64 / after.0.max(1) as f64;
    table.note(
        "requests to the API for each answer, before the first kill",
        format!("{share_before:.3}"),
    );
    table.note("after restarts", format!("{share_after:.3}"));
    report_first_hit(table, firsts);
    table.note("evicted from disk, responses", evicted);
    table.note("copied within the disk tier, KiB", copied >> 10);
    table.note("not written, for the queue was full", dropped);
    table.note("records that failed their checksum", corrupt);
    Ok(())
}

fn report_faults(table: &Table, world: &World) {
    let tally = &world.tally;
    table.exactly("wrong", tally.wrong.get(), 0);
    table.exactly("torn", tally.torn.get(), 0);
    table.exactly("older than acknowledged", tally.older.get(), 0);
    table.exactly("shared, though no-store", tally.unstorable.get(), 0);
    table.exactly("errors of the gateway's", tally.errors.get(), 0);
    table.exactly("broken off while it ran", tally.broken.get(), 0);
}

/// How long after its start until the first hit from disk, at most.
const FIRST_HIT: f64 = 200.0;

fn report_first_hit(table: &Table, firsts: Vec<f64>) {
    let worst = firsts.iter().copied().fold(0.0, f64::max);
    if firsts.len() > 1 {
        table.note("start to first hit, the slowest, ms", format!("{worst:.0}"));
    }
    match firsts.is_empty() {
        true => table.line("start to first hit, ms", "none", "a hit", false),
        false => table.at_most(
            "start to first hit, median, ms",
            median(firsts),
            FIRST_HIT,
            0,
        ),
    }
}

/// Milliseconds since `watch` was started, when a popular book is a hit from disk; `None` where none of them is.
async fn first_hit(world: &World, gateway: &Gateway, watch: &Watch) -> io::Result<Option<f64>> {
    let mut wire = Wire::connect(gateway.addr()).await?;
    let plain = (0..world.books.count()).filter(|book| books::kind(*book) == Kind::Plain);
    for book in plain {
        if world.read(&mut wire, book, "-", Way::Plain).await? {
            return Ok(Some(millis(watch.elapsed())));
        }
    }
    Ok(None)
}

/// Waits until nothing waits to be written.
async fn await_written(gateway: &Gateway) -> io::Result<()> {
    while metric(gateway, "bookend_disk_queued_bytes").await? > 0 {
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn metric(gateway: &Gateway, name: &str) -> io::Result<u64> {
    let page = gateway.metrics().await?;
    let value = page.lines().find_map(|line| line.strip_prefix(name));
    Ok(value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0))
}
