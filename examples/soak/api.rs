//! The API: right but for the faults that it is made to have.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use crate::Sabotage;
use crate::exchange::{Exchange, Framing, Then};
use crate::kit::wire::{Head, Wire};
use crate::library::{Book, Edition, LANGUAGES};
use crate::world::World;
use crate::{events, upgrades, uploads};

/// What the API speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// HTTP/2 by prior knowledge, and nothing else.
    H2c,
}

/// Starts the API on a free port.
pub async fn start(world: Rc<World>, protocol: Protocol) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("a bound listener");
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let world = world.clone();
            match protocol {
                Protocol::Http1 => spawn_local(serve_1(world, stream)),
                Protocol::H2c => spawn_local(serve_2(world, stream)),
            };
        }
    });
    addr
}

async fn serve_1(world: Rc<World>, stream: TcpStream) {
    let mut wire = Wire::new(stream);
    while let Ok(head) = wire.head().await {
        let mut exchange = Exchange::http1(&mut wire, &head);
        match answer(&world, &head, &mut exchange).await {
            Ok(Then::Next) => {}
            Ok(Then::Reset) => return wire.reset(),
            Ok(Then::Close) | Err(_) => return,
        }
    }
}

async fn serve_2(world: Rc<World>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let shaken = h2::server::Builder::new()
        // Crumbs are what is sent.
        .data_frame_budget(1 << 30)
        .handshake::<_, Bytes>(stream)
        .await;
    let Ok(mut connection) = shaken else {
        return;
    };
    let broken: Rc<Cell<bool>> = Rc::default();
    while let Some(Ok((request, respond))) = connection.accept().await {
        match world.library.below(2_000) {
            0 => connection.graceful_shutdown(),
            1 => {
                broken.set(true);
                connection.abrupt_shutdown(Reason::INTERNAL_ERROR);
            }
            2 => {
                broken.set(true);
                return;
            }
            _ => {}
        }
        let (parts, content) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut head = Head {
            first_line: format!("{} {target} HTTP/2", parts.method),
            fields: Vec::new(),
        };
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            head.fields.push((name.to_string(), value));
        }
        let (world, broken) = (world.clone(), broken.clone());
        spawn_local(async move {
            let mut exchange = Exchange::http2(content, respond, broken);
            // What is wrong with an exchange is its own affair.
            let _ = answer(&world, &head, &mut exchange).await;
        });
    }
}

async fn answer(world: &World, head: &Head, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    let (method, target) = head.request();
    match target.split('/').nth(1) {
        Some("uploads") => return uploads::answer(world, head, exchange).await,
        Some("events") => return events::answer(world, head, exchange).await,
        Some("chat") => return upgrades::answer(world, head, exchange).await,
        _ => {}
    }
    exchange.content(None, &mut |_| ()).await?;
    let library = &world.library;
    let id = target.rsplit('/').next().and_then(|id| id.parse().ok());
    let Some(book) = id.and_then(|id| library.book(id)) else {
        return exchange.reply(404, &[], "").await;
    };
    if method == "PUT" {
        return write(world, book, exchange).await;
    }
    if library.chance(4) {
        return Ok(exchange.break_off(&mut world.random()));
    }
    if library.chance(2)
        && let Some(wire) = exchange.wire()
    {
        wire.write(b"HTTP/1.1 200 OK\r\nnot a field\r\n\r\n")
            .await?;
        return Ok(Then::Close);
    }
    if library.chance(50) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    read(world, book, head, exchange).await
}

async fn write(world: &World, book: &Book, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    let library = &world.library;
    if library.chance(20) {
        return exchange.reply(409, &[], "").await;
    }
    // The gateway has been told, and has invalidated: done now, the write would come after that.
    if exchange.broken.get() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let unsure = library.chance(20);
    if unsure && library.chance(500) {
        return Ok(exchange.break_off(&mut world.random()));
    }
    book.version.set(book.version.get() + 1);
    if unsure {
        return Ok(exchange.break_off(&mut world.random()));
    }
    exchange.reply(204, &[], "").await
}

async fn read(
    world: &World,
    book: &Book,
    head: &Head,
    exchange: &mut Exchange<'_>,
) -> io::Result<Then> {
    let library = &world.library;
    let mut variant = if book.is_personal() {
        let user = head.field("authorization").unwrap_or("nobody");
        user.rsplit(' ').next().unwrap_or("nobody").to_owned()
    } else if book.varies() {
        head.field("accept-language").unwrap_or("en").to_owned()
    } else {
        "one".to_owned()
    };
    if book.varies() && library.spoils(Sabotage::SwapVariants) {
        let other = LANGUAGES.iter().find(|other| **other != variant);
        variant = other.expect("another language").to_string();
    }
    let edition = Edition {
        id: book.id,
        version: book.version.get(),
        variant,
    };
    let tag = edition.tag();
    let mut fields = vec![("etag", tag.clone())];
    if book.is_unstored() {
        fields.push(("cache-control", "no-store".to_owned()));
        fields.push(("x-serial", world.serial().to_string()));
    } else {
        let lifetime = 1 + book.id % 20;
        fields.push(("cache-control", format!("max-age={lifetime}")));
    }
    if book.varies() {
        fields.push(("vary", "Accept-Language".to_owned()));
    }
    let known = head.field("if-none-match").unwrap_or("");
    if known.split(',').any(|known| known.trim() == tag) {
        return exchange.reply(304, &fields, "").await;
    }
    send(world, book, &fields, edition.content(book.size), exchange).await
}

async fn send(
    world: &World,
    book: &Book,
    fields: &[(&str, String)],
    mut content: Vec<u8>,
    exchange: &mut Exchange<'_>,
) -> io::Result<Then> {
    let library = &world.library;
    if library.spoils(Sabotage::DropChunk) {
        let third = content.len() / 3;
        content.drain(third..2 * third);
    }
    let cut = library.chance(5).then_some(content.len() / 2);
    let sent = &content[..cut.unwrap_or(content.len())];
    let framing = match book.is_chunked() {
        true => Framing::Chunked,
        false => Framing::Length(content.len()),
    };
    exchange.head(200, fields, framing).await?;
    if book.is_crumbled() {
        exchange.crumbs(sent, &mut world.random()).await?;
    } else {
        for some in sent.chunks(20_000) {
            exchange.data(some).await?;
        }
    }
    if cut.is_some() {
        return Ok(exchange.break_off(&mut world.random()));
    }
    exchange.end().await?;
    Ok(Then::Next)
}
