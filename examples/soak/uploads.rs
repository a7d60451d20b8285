//! Uploads of up to some MB, and the API's word for what it got of each. Some are broken off by their client, some read
//! slowly, some answered before they have come.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::exchange::{Exchange, Then};
use crate::kit::Random;
use crate::kit::wire::{Head, Pace};
use crate::ledger::comes_to;
use crate::link::{Link, PATIENCE, Speech};
use crate::report::{Report, Row, count};
use crate::sending;
use crate::world::{Rows, World};

const SLOWLY: Pace = Pace {
    pause: Duration::from_millis(2),
    most: 16 << 10,
};

/// How long an API that has refused an upload still takes what comes of it.
const LINGERS: Duration = Duration::from_secs(2);

/// One upload, as both ends see it.
#[derive(Debug)]
pub struct Upload {
    pub length: usize,
    pub chunked: bool,
    /// Whether the client asks first whether it may (RFC 9110 §10.1.1).
    pub expects: bool,
    pub cut: Option<Cut>,
    manner: Manner,
    got: RefCell<Got>,
    broken: RefCell<Rc<Cell<bool>>>,
}

/// Where the client breaks off.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub at: usize,
    /// With an end of what it sends, as if that were all; else with a reset.
    pub in_order: bool,
}

/// What the API does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Reads,
    ReadsSlowly,
    /// Answers 413 after so many octets, and closes: at once, or when the client has heard it.
    Refuses {
        after: usize,
        abruptly: bool,
    },
    /// Breaks off after so many octets.
    Fails {
        after: usize,
    },
}

/// What the API has got.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    Nothing,
    Some,
    Whole(String),
    Broken,
    Enough,
}

/// What became of an upload for its client.
pub enum Sent {
    Answered(Head, Vec<u8>),
    /// Broken off as was meant.
    Cut,
}

impl Upload {
    fn plan(random: &mut Random) -> Self {
        let length = match random.below(20) {
            0 => random.below(4 << 20),
            1..=6 => random.below(200 << 10),
            _ => random.below(10 << 10),
        };
        let mut length = length as usize;
        let some = random.below(length as u64 + 1) as usize;
        let mut cut = None;
        let manner = match random.below(100) {
            0..=19 => {
                length = length.max(1);
                cut = Some(Cut {
                    at: some.min(length - 1),
                    in_order: random.chance(500),
                });
                Manner::Reads
            }
            20..=34 => {
                length = length.min(256 << 10);
                Manner::ReadsSlowly
            }
            35..=49 => Manner::Refuses {
                after: some,
                abruptly: random.chance(300),
            },
            50..=51 => Manner::Fails { after: some },
            _ => Manner::Reads,
        };
        Self {
            length,
            chunked: random.chance(500),
            expects: random.chance(100),
            cut,
            manner,
            got: RefCell::new(Got::Nothing),
            broken: RefCell::default(),
        }
    }

    fn row<'a>(&self, rows: &'a Rows) -> &'a Row {
        match self.manner {
            _ if self.cut.is_some() => &rows.cut_uploads,
            Manner::ReadsSlowly => &rows.slow_uploads,
            Manner::Refuses { .. } => &rows.refused_uploads,
            Manner::Reads | Manner::Fails { .. } => &rows.uploads,
        }
    }

    /// Whether something has gone wrong that the gateway cannot mend.
    fn may_fail(&self, upstream_is_2: bool) -> bool {
        let fails = matches!(
            self.manner,
            Manner::Fails { .. } | Manner::Refuses { abruptly: true, .. }
        );
        // A connection that many share may have broken before this one was seen on it.
        let unseen = upstream_is_2 && *self.got.borrow() == Got::Nothing;
        fails || unseen || self.broken.borrow().get()
    }
}

/// Octets of one upload like those of no other.
pub fn content(id: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(id ^ 0x0075_706c_6f61_6473);
    let mut content = Vec::with_capacity(length + 8);
    while content.len() < length {
        content.extend_from_slice(&random.next().to_le_bytes());
    }
    content.truncate(length);
    content
}

/// What the API says of what it got.
fn word(length: usize, hash: blake3::Hash) -> String {
    format!("{length} octets, {hash}")
}

/// The API's end.
pub async fn answer(world: &World, head: &Head, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    let Some((_, upload)) = world.uploads.find(head) else {
        exchange.content(None, &mut |_| ()).await?;
        return exchange.reply(404, &[], "").await;
    };
    upload.broken.replace(exchange.broken.clone());
    upload.got.replace(Got::Some);
    let answered = take(world, &upload, exchange).await;
    if answered.is_err() && *upload.got.borrow() == Got::Some {
        upload.got.replace(Got::Broken);
    }
    answered
}

async fn take(world: &World, upload: &Upload, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    let pace = (upload.manner == Manner::ReadsSlowly).then_some(SLOWLY);
    let enough_at = match upload.manner {
        Manner::Refuses { after, .. } | Manner::Fails { after } => Some(after),
        Manner::Reads | Manner::ReadsSlowly => None,
    };
    let enough = Notify::new();
    if enough_at == Some(0) {
        enough.notify_one();
    }
    let (mut length, mut hasher) = (0, blake3::Hasher::new());
    let mut take = |some: &[u8]| {
        length += some.len();
        hasher.update(some);
        if enough_at.is_some_and(|enough| length >= enough) {
            enough.notify_one();
        }
    };
    let whole = tokio::select! {
        biased;
        () = enough.notified() => false,
        read = exchange.content(pace, &mut take) => {
            read?;
            true
        }
    };
    let no_store = ("cache-control", "no-store".to_owned());
    match upload.manner {
        Manner::Fails { .. } => {
            upload.got.replace(Got::Enough);
            Ok(exchange.break_off(&mut world.random()))
        }
        Manner::Refuses { abruptly, .. } => {
            upload.got.replace(Got::Enough);
            let close = ("connection", "close".to_owned());
            exchange.reply(413, &[no_store, close], "enough").await?;
            if let Some(wire) = exchange.wire()
                && !abruptly
                && !whole
            {
                // RFC 9112 §9.6: what is not read would make the close a reset, and that undo the answer.
                wire.half_close().await?;
                let _ = timeout(LINGERS, wire.rest(&mut |_| ())).await;
            }
            Ok(Then::Close)
        }
        Manner::Reads | Manner::ReadsSlowly => {
            let word = word(length, hasher.finalize());
            upload.got.replace(Got::Whole(word.clone()));
            exchange.reply(200, &[no_store], &word).await
        }
    }
}

/// Sends one upload after the other.
pub async fn run(mut client: Client, speech: Speech) {
    let mut link = Link::None;
    while client.goes_on() {
        let upload = Upload::plan(&mut client.random);
        if !send(&mut client, speech, &mut link, upload).await {
            link = Link::None;
        }
        sleep(Duration::from_millis(client.random.below(20))).await;
    }
}

/// Whether the connection is of further use.
async fn send(client: &mut Client, speech: Speech, link: &mut Link, upload: Upload) -> bool {
    let world = client.world.clone();
    let (id, upload) = world.uploads.enter(upload);
    let row = upload.row(&world.rows);
    count(&row.tried);
    let mut octets = content(id, upload.length);
    let hash = blake3::hash(&octets);
    if world.library.spoils(crate::Sabotage::DropChunk) && !octets.is_empty() {
        let middle = octets.len() / 2;
        octets[middle] ^= 1;
    }
    let method = ["PUT", "POST"][client.random.below(2) as usize];
    let target = format!("/uploads/{}", client.random.below(50));
    let request = sending::Request {
        method,
        target,
        id,
        upload: &upload,
        octets,
    };
    let sent = async {
        link.open(speech, client.gateway).await?;
        match link {
            Link::Http1(wire) => sending::http1(wire, request, &mut client.random).await,
            Link::Http2(sender) => sending::http2(sender, request, &mut client.random).await,
            Link::None => Err(io::ErrorKind::NotConnected.into()),
        }
    };
    let sent: io::Result<Sent> = timeout(PATIENCE, sent)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    row.add_bytes(upload.length);
    let keeps = match (&sent, speech) {
        (Ok(_), Speech::Http2) => true,
        (Ok(Sent::Answered(head, _)), _) => {
            head.field("connection") != Some("close") && head.status() == 200
        }
        _ => false,
    };
    if !keeps {
        *link = Link::None;
    }
    // What the API does not hear of it, it waits for.
    if !comes_to(|| *upload.got.borrow() != Got::Some).await && !upload.broken.borrow().get() {
        let wrong = format!("upload {id}: the API still waits for it: {upload:?}");
        world.report.breach(row, &wrong);
    }
    world.uploads.leave(id);
    let wanted = word(upload.length, hash);
    let judged = judge(row, &upload, &wanted, sent, world.upstream_is_2);
    if let Err(wrong) = judged {
        complain(&world.report, row, id, &wrong, &upload);
    }
    keeps
}

fn complain(report: &Report, row: &Row, id: u64, wrong: &str, upload: &Upload) {
    report.breach(row, &format!("upload {id}: {wrong}; {upload:?}"));
}

fn judge(
    row: &Row,
    upload: &Upload,
    wanted: &str,
    sent: io::Result<Sent>,
    upstream_is_2: bool,
) -> Result<(), String> {
    let got = upload.got.borrow().clone();
    let (head, content) = match sent {
        Ok(Sent::Cut) => {
            if let Got::Whole(_) = got {
                return Err("broken off, and whole to the API".to_owned());
            }
            count(&row.right);
            return Ok(());
        }
        Ok(Sent::Answered(head, content)) => (head, content),
        Err(error) => return Err(format!("no answer: {error}")),
    };
    let said = head.field("cache-status").unwrap_or("");
    if said.contains("; hit") || said.contains("stored") {
        return Err(format!("answered by the cache: {said}"));
    }
    let content = String::from_utf8_lossy(&content).into_owned();
    match (head.status(), upload.manner) {
        (200, Manner::Reads | Manner::ReadsSlowly) if content == wanted => {}
        (413, Manner::Refuses { .. }) if content == "enough" => {}
        (500.., _) if head.field("proxy-status").is_some() && upload.may_fail(upstream_is_2) => {
            count(&row.errors);
            return Ok(());
        }
        _ => return Err(format!("{head:?} with {content:?}, not {wanted:?}")),
    }
    count(&row.right);
    Ok(())
}
