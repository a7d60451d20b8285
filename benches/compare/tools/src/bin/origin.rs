//! The origin behind every proxy: answers by path, at once, with one thread a connection, and counts the requests.
//!
//! `origin ADDR` listens there. `/__count` tells how many requests it has answered.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use compare_tools::gzip;

/// How long the answer to the herd takes: all of it has arrived by then.
const HERD_DELAY: Duration = Duration::from_millis(500);

struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
    uncacheable: Vec<u8>,
    plain: Vec<u8>,
    zipped: Vec<u8>,
    requests: AtomicU64,
}

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    let listener = TcpListener::bind(addr)?;
    println!("listening {}", listener.local_addr()?);
    let answers = Arc::new(Answers::new());
    loop {
        let (socket, _) = listener.accept()?;
        let answers = answers.clone();
        // A thread that fails takes its connection with it, and nothing else.
        let spawned = std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(move || answers.serve(socket));
        drop(spawned);
    }
}

impl Answers {
    fn new() -> Self {
        let cacheable = "Cache-Control: public, max-age=36000\r\n";
        let coded = "Cache-Control: public, max-age=36000\r\nVary: Accept-Encoding\r\n";
        let body = text(1024);
        let zipped = gzip::store(&body);
        Self {
            small: response(cacheable, &body),
            large: response(cacheable, &text(100 * 1024)),
            uncacheable: response("Cache-Control: no-store\r\n", &body),
            plain: response(coded, &body),
            zipped: response(&format!("{coded}Content-Encoding: gzip\r\n"), &zipped),
            requests: AtomicU64::new(0),
        }
    }

    fn serve(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(4096);
        let mut room = [0; 4096];
        loop {
            let end = loop {
                if let Some(at) = find(&buffer, b"\r\n\r\n") {
                    break at + 4;
                }
                let n = socket.read(&mut room)?;
                if n == 0 {
                    return Ok(());
                }
                buffer.extend_from_slice(&room[..n]);
            };
            let counted;
            let answer = match path(&buffer[..end]) {
                b"/__count" => {
                    let count = self.requests.load(Ordering::SeqCst).to_string();
                    counted = response("Cache-Control: no-store\r\n", count.as_bytes());
                    &counted
                }
                other => self.to(other, &buffer[..end]),
            };
            socket.write_all(answer)?;
            buffer.drain(..end);
        }
    }

    fn to(&self, path: &[u8], head: &[u8]) -> &[u8] {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if path.starts_with(b"/large") {
            &self.large
        } else if path.starts_with(b"/uncacheable") {
            &self.uncacheable
        } else if path.starts_with(b"/coded") {
            let head = head.to_ascii_lowercase();
            let wants = find(&head, b"\r\naccept-encoding:").is_some_and(|at| {
                let line = &head[at + 2..];
                let line = &line[..find(line, b"\r\n").unwrap_or(line.len())];
                find(line, b"gzip").is_some()
            });
            if wants { &self.zipped } else { &self.plain }
        } else {
            if path.starts_with(b"/herd") {
                std::thread::sleep(HERD_DELAY);
            }
            &self.small
        }
    }
}

/// Six fields beside the length, as an API has them.
fn response(cache: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nDate: {}\r\nServer: origin\r\nContent-Type: application/json\r\n{cache}\
         ETag: \"5f3a-1024\"\r\nLast-Modified: Sun, 01 Nov 2026 08:00:00 GMT\r\nContent-Length: {}\r\n\r\n",
        compare_tools::http_date_now(),
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// JSON that does not look the same everywhere.
fn text(length: usize) -> Vec<u8> {
    let mut text = String::from("{\"books\":[");
    let mut id = 0;
    while text.len() < length {
        id += 1;
        text.push_str(&format!(
            "{{\"id\":{id},\"title\":\"Book {}\"}},",
            id * 7919
        ));
    }
    text.truncate(length - 3);
    text.push_str("0]}");
    text.into_bytes()
}

fn path(head: &[u8]) -> &[u8] {
    head.split(|byte| *byte == b' ').nth(1).unwrap_or_default()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
