//! A crowd on a key whose response turns out not to be for storing.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::kit::Watch;
use crate::kit::api::Api;
use crate::kit::child::Gateway;
use crate::kit::wire::{Head, Wire};
use crate::table::{Table, median, millis};

const CLIENTS: usize = 200;
const DELAY: Duration = Duration::from_millis(100);
const ROUNDS: usize = 5;

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[upstream]
servers = ["http://ORIGIN"]
[admin]
listen = "off"
[log]
access = "off"
"#;

pub async fn run(table: &Table) -> io::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let api = Api::start(any, async |_: &Head, wire: &mut Wire| {
        sleep(DELAY).await;
        wire.write(
            b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 7\r\n\r\nsecret!",
        )
        .await
    })
    .await?;
    let gateway = Gateway::start(&CONFIG.replace("ORIGIN", &api.addr.to_string()));
    let (mut wires, mut direct_wires) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        wires.push(Wire::connect(gateway.addr()).await?);
        direct_wires.push(Wire::connect(api.addr).await?);
    }
    let (mut direct, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let took;
        (direct_wires, took, _) = burst(direct_wires, round).await;
        direct.push(millis(took));
        let mut asked = api.requests();
        for bursts in [&mut first, &mut second] {
            let (took, whole);
            (wires, took, whole) = burst(wires, round).await;
            bursts.push(millis(took));
            table.exactly(
                &format!("round {round}: right answers within {:.0} ms", millis(took)),
                whole,
                CLIENTS as u64,
            );
            let requests = api.requests() - asked;
            asked += requests;
            table.exactly("requests to the API", requests, CLIENTS as u64);
        }
    }
    let delay = millis(DELAY);
    let worst = |bursts: &[f64]| bursts.iter().copied().fold(0.0, f64::max);
    table.note("origin's delay, ms", format!("{delay:.0}"));
    table.note(
        "bursts without a gateway between, the median, ms",
        format!("{:.0}", median(direct)),
    );
    table.note(
        "first bursts, the worst, ms",
        format!("{:.0}", worst(&first)),
    );
    table.at_most(
        "first bursts, the median, ms",
        median(first),
        2.5 * delay,
        0,
    );
    table.note(
        "second bursts, the worst, ms",
        format!("{:.0}", worst(&second)),
    );
    table.at_most(
        "second bursts, the median, ms",
        median(second),
        1.5 * delay,
        0,
    );
    Ok(())
}

/// One request on each connection at once; how long until the last has its answer, and how many are right.
async fn burst(wires: Vec<Wire>, round: usize) -> (Vec<Wire>, Duration, u64) {
    let watch = Watch::start();
    let asks: Vec<_> = wires
        .into_iter()
        .map(|wire| spawn_local(ask(wire, round)))
        .collect();
    let (mut wires, mut whole) = (Vec::new(), 0);
    for ask in asks {
        if let Ok(Ok((wire, body))) = ask.await {
            whole += u64::from(body == b"secret!");
            wires.push(wire);
        }
    }
    (wires, watch.elapsed(), whole)
}

async fn ask(mut wire: Wire, round: usize) -> io::Result<(Wire, Vec<u8>)> {
    let request = format!("GET /me/{round} HTTP/1.1\r\nHost: lab\r\n\r\n");
    wire.write(request.as_bytes()).await?;
    let head = wire.head().await?;
    let mut body = Vec::new();
    wire.body(&head, &mut body).await?;
    Ok((wire, body))
}
