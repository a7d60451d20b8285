//! Far more is stored than there is memory for.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::kit::api::Api;
use crate::kit::child::Gateway;
use crate::kit::wire::{Head, Wire};
use crate::kit::{Random, Watch};
use crate::table::{Table, mib};

const MEMORY: u64 = 64 << 20;
const CLIENTS: u64 = 16;

/// Beside the budget: 8 MiB of program text and data, 2 MiB for the runtime and a worker, and read and write buffers of
/// connections, upstream and down, of which each may take some hundred KiB while a large body passes.
const BASE: u64 = 16 << 20;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
workers = 1
[upstream]
servers = ["http://ORIGIN"]
[cache]
memory = "64MiB"
[admin]
listen = "off"
[log]
access = "off"
"#;

pub async fn run(table: &Table, seconds: u64) -> io::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let api = Api::start(any, answer).await?;
    let gateway = Gateway::start(&CONFIG.replace("ORIGIN", &api.addr.to_string()));
    let idle = gateway.rss();
    let watch = Watch::start();
    let end = Duration::from_secs(seconds);
    let (keys, bytes) = (Rc::<Cell<u64>>::default(), Rc::<Cell<u64>>::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|seed| {
            let (keys, bytes) = (keys.clone(), bytes.clone());
            let (watch, addr) = (watch.clone(), gateway.addr());
            spawn_local(async move {
                let mut random = Random::new(seed);
                let mut wire = Wire::connect(addr).await?;
                while watch.elapsed() < end {
                    let size = size_of_body(&mut random);
                    let fetched = fetch(&mut wire, random.next(), size).await?;
                    if fetched != size as u64 {
                        return Err(io::Error::other("a body of another size"));
                    }
                    keys.set(keys.get() + 1);
                    bytes.set(bytes.get() + fetched);
                }
                io::Result::Ok(())
            })
        })
        .collect();
    let mut marks = Vec::new();
    while watch.elapsed() < end {
        sleep(Duration::from_millis(200)).await;
        marks.push(gateway.rss());
    }
    for client in clients {
        client.await??;
    }
    let most = marks.iter().copied().max().unwrap_or(0);
    table.note("keys asked for", keys.get());
    table.note("their content, MiB", format!("{:.0}", mib(bytes.get())));
    table.note("budget, MiB", format!("{:.0}", mib(MEMORY)));
    table.note("RSS before, MiB", format!("{:.1}", mib(idle)));
    table.at_most(
        "RSS at most, MiB (1.3 times the budget, and a base of 16)",
        mib(most),
        mib(MEMORY) * 1.3 + mib(BASE),
        1,
    );
    let (half, last) = (marks[marks.len() / 2], marks[marks.len() - 1]);
    table.at_most(
        "RSS at the end, of that at half time",
        last as f64 / half as f64,
        1.05,
        3,
    );
    Ok(())
}

/// From a hundred bytes to two MiB, each order of magnitude as often as any other.
fn size_of_body(random: &mut Random) -> usize {
    let doublings = random.below(14);
    (128 << doublings) + random.below(128 << doublings) as usize
}

async fn fetch(wire: &mut Wire, key: u64, size: usize) -> io::Result<u64> {
    let request = format!("GET /books/{key}/{size} HTTP/1.1\r\nHost: lab\r\n\r\n");
    wire.write(request.as_bytes()).await?;
    let head = wire.head().await?;
    let mut count = 0;
    wire.content(&head, &mut |some| count += some.len() as u64)
        .await?;
    Ok(count)
}

/// A body of the size that the target names; every other one in chunks.
async fn answer(head: &Head, wire: &mut Wire) -> io::Result<()> {
    let (_, target) = head.request();
    let size = target.rsplit('/').next().unwrap_or("");
    let size: usize = size.parse().map_err(io::Error::other)?;
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"1\"\r\n";
    if size.is_multiple_of(2) {
        let content = vec![b'x'; size];
        wire.write(format!("{head}Content-Length: {size}\r\n\r\n").as_bytes())
            .await?;
        return wire.write(&content).await;
    }
    wire.write(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())
        .await?;
    let mut left = size;
    while left > 0 {
        let some = left.min(6_000);
        let mut chunk = format!("{some:x}\r\n").into_bytes();
        chunk.resize(chunk.len() + some, b'x');
        chunk.extend_from_slice(b"\r\n");
        wire.write(&chunk).await?;
        left -= some;
    }
    wire.write(b"0\r\n\r\n").await
}
