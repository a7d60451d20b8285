//! The API: right but for the faults that it is made to have.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::Sabotage;
use crate::kit::wire::{Head, Wire};
use crate::library::{Book, Edition, LANGUAGES, Library};

/// Starts the API on a free port.
pub async fn start(library: Rc<Library>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("a bound listener");
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let library = library.clone();
            tokio::task::spawn_local(async move {
                let mut wire = Wire::new(stream);
                while let Ok(head) = wire.head().await {
                    if wire.body(&head, &mut Vec::new()).await.is_err() {
                        return;
                    }
                    match answer(&library, &head, &mut wire).await {
                        Ok(Then::Next) => {}
                        Ok(Then::Reset) => return wire.reset(),
                        Ok(Then::Close) | Err(_) => return,
                    }
                }
            });
        }
    });
    addr
}

/// What becomes of the connection.
enum Then {
    Next,
    Close,
    Reset,
}

async fn answer(library: &Library, head: &Head, wire: &mut Wire) -> io::Result<Then> {
    let (method, target) = head.request();
    let id = target.rsplit('/').next().and_then(|id| id.parse().ok());
    let Some(book) = id.and_then(|id| library.book(id)) else {
        wire.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            .await?;
        return Ok(Then::Next);
    };
    if method == "PUT" {
        return write(library, book, wire).await;
    }
    if library.chance(4) {
        return Ok(Then::Reset);
    }
    if library.chance(2) {
        wire.write(b"HTTP/1.1 200 OK\r\nnot a field\r\n\r\n")
            .await?;
        return Ok(Then::Close);
    }
    if library.chance(50) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    read(library, book, head, wire).await
}

async fn write(library: &Library, book: &Book, wire: &mut Wire) -> io::Result<Then> {
    if library.chance(20) {
        wire.write(b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n")
            .await?;
        return Ok(Then::Next);
    }
    let unsure = library.chance(20);
    if unsure && library.chance(500) {
        return Ok(Then::Reset);
    }
    book.version.set(book.version.get() + 1);
    if unsure {
        return Ok(Then::Reset);
    }
    wire.write(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    Ok(Then::Next)
}

async fn read(library: &Library, book: &Book, head: &Head, wire: &mut Wire) -> io::Result<Then> {
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
    let lifetime = 1 + book.id % 20;
    let fields = format!(
        "Cache-Control: max-age={lifetime}\r\nETag: {tag}\r\n{}",
        if book.varies() {
            "Vary: Accept-Language\r\n"
        } else {
            ""
        }
    );
    let known = head.field("if-none-match").unwrap_or("");
    if known.split(',').any(|known| known.trim() == tag) {
        wire.write(format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n").as_bytes())
            .await?;
        return Ok(Then::Next);
    }
    send(library, book, &fields, edition.content(book.size), wire).await
}

async fn send(
    library: &Library,
    book: &Book,
    fields: &str,
    mut content: Vec<u8>,
    wire: &mut Wire,
) -> io::Result<Then> {
    if library.spoils(Sabotage::DropChunk) {
        let third = content.len() / 3;
        content.drain(third..2 * third);
    }
    let cut = library.chance(5).then_some(content.len() / 2);
    let whole = cut.is_none();
    let sent = &content[..cut.unwrap_or(content.len())];
    if book.is_chunked() {
        wire.write(
            format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
        )
        .await?;
        for chunk in sent.chunks(20_000) {
            wire.write(format!("{:x}\r\n", chunk.len()).as_bytes())
                .await?;
            wire.write(chunk).await?;
            wire.write(b"\r\n").await?;
        }
        if whole {
            wire.write(b"0\r\n\r\n").await?;
        }
    } else {
        let length = content.len();
        wire.write(
            format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n").as_bytes(),
        )
        .await?;
        wire.write(sent).await?;
    }
    Ok(match whole {
        true => Then::Next,
        false if library.chance(500) => Then::Reset,
        false => Then::Close,
    })
}
