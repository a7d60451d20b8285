//! Changes of protocol as WebSocket makes them, and what both sides do with the connection then: they talk, end one
//! direction or both, or break it.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::Sabotage;
use crate::client::Client;
use crate::exchange::{Exchange, Then};
use crate::kit::Random;
use crate::kit::wire::{Head, Wire};
use crate::ledger::{ID, comes_to};
use crate::link::PATIENCE;
use crate::report::{Row, count};
use crate::uploads::content;
use crate::world::World;

/// RFC 6455 §1.3: the octets that follow are no frames, for they are nobody's business between the two ends.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Octets that tell whose connection this is.
const GREETING: usize = 16;

/// One such connection, as both ends see it.
#[derive(Debug)]
pub struct Talk {
    manner: Manner,
    /// Octets that are said in one go, at most.
    length: usize,
    /// What the API has read up to an end of what the client sends.
    heard: RefCell<Option<blake3::Hash>>,
    fate: Cell<Fate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// What the client says comes back; then it ends its direction, and the API its own.
    Echoes,
    /// The client says all and ends its direction; then the API says what it heard.
    ClientEnds,
    /// The API says all and ends its direction; then the client does.
    ApiEnds,
    ClientResets,
    ApiResets,
    /// It does not come to it.
    Refused,
}

/// How it ended for the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Unasked,
    Running,
    Ended,
    Broken,
}

/// The API's end.
pub async fn answer(world: &World, head: &Head, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    exchange.content(None, &mut |_| ()).await?;
    let asks = head.field("upgrade") == Some("websocket")
        && head.field("connection") == Some("upgrade")
        && head.field("sec-websocket-key") == Some(KEY)
        && head.field("sec-websocket-version") == Some("13");
    let found = world.upgrades.find(head).filter(|_| asks);
    let (Some((id, talk)), Some(wire)) = (found, exchange.wire()) else {
        return exchange.reply(400, &[], "no").await;
    };
    if world.library.chance(5) {
        return Ok(Then::Reset);
    }
    if talk.manner == Manner::Refused {
        talk.fate.set(Fate::Ended);
        let field = ("cache-control", "no-store".to_owned());
        return exchange.reply(403, &[field], "no").await;
    }
    talk.fate.set(Fate::Running);
    let spoken = speak(world, id, &talk, wire).await;
    talk.fate.set(match &spoken {
        Ok(_) => Fate::Ended,
        Err(_) => Fate::Broken,
    });
    spoken
}

async fn speak(world: &World, id: u64, talk: &Talk, wire: &mut Wire) -> io::Result<Then> {
    let mut first = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
    .into_bytes();
    first.extend_from_slice(&content(id, GREETING));
    wire.write(&first).await?;
    match talk.manner {
        Manner::Echoes | Manner::ClientResets => {
            while let Some(mut piece) = wire.piece().await? {
                if world.library.spoils(Sabotage::DropChunk) {
                    piece[0] ^= 1;
                }
                wire.write(&piece).await?;
            }
        }
        Manner::ClientEnds => {
            let heard = hear(wire).await?;
            talk.heard.replace(Some(heard));
            wire.write(heard.as_bytes()).await?;
        }
        Manner::ApiEnds => {
            wire.write(&content(id, talk.length)).await?;
            wire.half_close().await?;
            let heard = hear(wire).await?;
            talk.heard.replace(Some(heard));
        }
        Manner::ApiResets => {
            wire.write(&content(id, talk.length)).await?;
            return Ok(Then::Reset);
        }
        Manner::Refused => {}
    }
    Ok(Then::Close)
}

/// All that comes, up to an end in order.
async fn hear(wire: &mut Wire) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    wire.rest(&mut |some| {
        hasher.update(some);
    })
    .await?;
    Ok(hasher.finalize())
}

/// Makes one such connection after the other.
pub async fn run(mut client: Client) {
    while client.goes_on() {
        let world = client.world.clone();
        let row = &*world.rows.upgrades;
        count(&row.tried);
        let random = &mut client.random;
        let (id, talk) = world.upgrades.enter(Talk {
            manner: match random.below(20) {
                0..=8 => Manner::Echoes,
                9..=11 => Manner::ClientEnds,
                12..=14 => Manner::ApiEnds,
                15..=16 => Manner::ClientResets,
                17..=18 => Manner::ApiResets,
                _ => Manner::Refused,
            },
            length: 1 + random.below(100_000) as usize,
            heard: RefCell::default(),
            fate: Cell::default(),
        });
        let held = async {
            let mut wire = Wire::connect(client.gateway).await.map_err(said)?;
            converse(row, id, &talk, &mut wire, random).await
        };
        let held = timeout(PATIENCE, held).await;
        let mut verdict = held.unwrap_or_else(|_| Err("stalled".to_owned()));
        if !comes_to(|| talk.fate.get() != Fate::Running).await {
            verdict = verdict.and(Err("the API never hears of the end".to_owned()));
        }
        let verdict = verdict.and_then(|()| compare(id, &talk));
        match verdict {
            Ok(()) => {}
            Err(wrong) => {
                let wrong = format!("upgrade {id}: {wrong}; {talk:?}");
                world.report.breach(row, &wrong);
            }
        }
        world.upgrades.leave(id);
        sleep(Duration::from_millis(client.random.below(20))).await;
    }
}

fn said(error: io::Error) -> String {
    error.to_string()
}

/// Whether the API saw the same end.
fn compare(id: u64, talk: &Talk) -> Result<(), String> {
    let right = match (talk.manner, talk.fate.get()) {
        (_, Fate::Unasked) => true,
        (Manner::ClientResets, fate) => fate == Fate::Broken,
        (Manner::ClientEnds | Manner::ApiEnds, Fate::Ended) => {
            let wanted = blake3::hash(&content(!id, talk.length));
            *talk.heard.borrow() == Some(wanted)
        }
        (_, fate) => fate == Fate::Ended,
    };
    right
        .then_some(())
        .ok_or_else(|| "the API saw something else".to_owned())
}

/// The client's end.
async fn converse(
    row: &Row,
    id: u64,
    talk: &Talk,
    wire: &mut Wire,
    random: &mut Random,
) -> Result<(), String> {
    let target = random.below(3);
    let request = format!(
        "GET /chat/{target} HTTP/1.1\r\nHost: soak\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
         {ID}: {id}\r\n\r\n"
    );
    wire.write(request.as_bytes()).await.map_err(said)?;
    let head = wire.head().await.map_err(said)?;
    if head.status() >= 500 && head.field("proxy-status").is_some() {
        count(&row.errors);
        return Ok(());
    }
    if talk.manner == Manner::Refused {
        let mut body = Vec::new();
        wire.body(&head, &mut body).await.map_err(said)?;
        count(&row.right);
        return match (head.status(), &body[..]) {
            (403, b"no") => Ok(()),
            _ => Err(format!("not refused: {head:?}")),
        };
    }
    let right = head.status() == 101
        && head.field("upgrade") == Some("websocket")
        && head.field("connection") == Some("upgrade")
        && head.field("sec-websocket-accept") == Some(ACCEPT);
    if !right {
        return Err(format!("no change of protocol: {head:?}"));
    }
    if wire.octets(GREETING).await.map_err(said)? != content(id, GREETING) {
        return Err("another's connection".to_owned());
    }
    let spoken = match talk.manner {
        Manner::Echoes => echo(wire, id, talk, random).await,
        Manner::ClientEnds => {
            let own = content(!id, talk.length);
            say(wire, &own).await?;
            let wanted = blake3::hash(&own);
            all(wire, wanted.as_bytes()).await
        }
        Manner::ApiEnds => {
            all(wire, &content(id, talk.length)).await?;
            say(wire, &content(!id, talk.length)).await
        }
        Manner::ClientResets => {
            let own = content(!id, talk.length);
            wire.write(&own).await.map_err(said)?;
            if random.chance(500) {
                wire.octets(1).await.map_err(said)?;
            }
            wire.will_reset();
            Ok(())
        }
        Manner::ApiResets => {
            let mut came = Vec::new();
            let end = wire.rest(&mut |some| came.extend_from_slice(some)).await;
            match end {
                Ok(()) => Err("a reset that looks like an end".to_owned()),
                Err(_) if content(id, talk.length).starts_with(&came) => Ok(()),
                Err(_) => Err("other octets before the reset".to_owned()),
            }
        }
        Manner::Refused => Ok(()),
    };
    row.add_bytes(talk.length);
    if spoken.is_ok() {
        count(&row.right);
    }
    spoken
}

async fn echo(wire: &mut Wire, id: u64, talk: &Talk, random: &mut Random) -> Result<(), String> {
    let own = content(!id, talk.length);
    let mut rest = &own[..];
    while !rest.is_empty() {
        let n = (1 + random.below(30_000) as usize).min(rest.len());
        let (some, after) = rest.split_at(n);
        rest = after;
        wire.write(some).await.map_err(said)?;
        if wire.octets(n).await.map_err(said)? != some {
            return Err("other octets than were said".to_owned());
        }
    }
    wire.half_close().await.map_err(said)?;
    all(wire, b"").await
}

/// Says that, and no more.
async fn say(wire: &mut Wire, octets: &[u8]) -> Result<(), String> {
    wire.write(octets).await.map_err(said)?;
    wire.half_close().await.map_err(said)
}

/// Exactly that comes, and then an end in order.
async fn all(wire: &mut Wire, wanted: &[u8]) -> Result<(), String> {
    let mut came = Vec::new();
    let end = wire.rest(&mut |some| came.extend_from_slice(some)).await;
    match end {
        Ok(()) if came == wanted => Ok(()),
        Ok(()) => Err(format!(
            "{} octets or others, for {}",
            came.len(),
            wanted.len()
        )),
        Err(error) => Err(format!("no end in order: {error}")),
    }
}
