//! An origin that records which requests it was sent, and answers some before it has read their content; and the moment
//! at which the gateway's connections between two messages give up their buffers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::common::{Client, Conn, End, Gateway, Origin, Request, Setup, await_that};

/// A request as the origin got it: its line, and its content once that was there as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub line: String,
    pub content: Option<Vec<u8>>,
}

type Log = Arc<Mutex<Vec<Received>>>;

/// Each request whose head says `Early: <response>` gets those octets before its content is read (`^` stands for CR LF), and
/// then its content is read all the same; each other one gets `200` once it is whole.
pub struct Recorder {
    pub origin: Origin,
    log: Log,
}

impl Recorder {
    pub fn start() -> Self {
        let log = Log::default();
        let shared = log.clone();
        let origin = Origin::greeting(move |conn| record(conn, &shared), |_, _| {});
        Self { origin, log }
    }

    pub fn received(&self) -> Vec<Received> {
        let log = self.log.lock();
        log.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.received().into_iter().map(|one| one.line).collect()
    }
}

fn record(conn: &mut Conn, log: &Log) {
    while let Some(mut request) = conn.request_head() {
        let at = {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(Received {
                line: format!("{} {}", request.method, request.target),
                content: None,
            });
            log.len() - 1
        };
        let early = request
            .fields
            .get("early")
            .map(|early| early.replace('^', "\r\n"));
        let answered = early
            .as_ref()
            .is_some_and(|early| !early.starts_with("HTTP/1.1 1") || early.contains("HTTP/1.1 2"));
        if let Some(early) = &early {
            conn.write(early);
        }
        if answered {
            // It asks for no content that it has not been sent.
            request
                .fields
                .0
                .retain(|(name, _)| !name.eq_ignore_ascii_case("expect"));
        }
        let Some(content) = conn.content_of(&request) else {
            return;
        };
        log.lock().unwrap_or_else(PoisonError::into_inner)[at].content = Some(content);
        if !answered {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    }
}

/// A gateway of one worker whose deadlines pass by hand, and in a few milliseconds after that.
pub fn with_manual_deadlines(origin: &Origin) -> Setup {
    Gateway::before(origin)
        .workers(1)
        .manual_deadlines()
        // The shortest deadline sets how often connections are compared with theirs; nothing here is a tunnel.
        .server("tunnel_timeout = \"20ms\"\nhead_timeout = \"500ms\"")
}

/// Lets 1.1 s pass for the gateway, and waits until it has compared all its connections with their deadlines: those that
/// are between two messages have given up their buffers then, and a head that is not whole has become overdue.
pub fn let_sleep(gateway: &Gateway) {
    let accepted = || gateway.sum(|counted| counted.connections_accepted.value());
    let before = accepted();
    let mut witness = Client::to(gateway.addr()).patience(Duration::from_millis(500));
    witness.write("");
    await_that("the witness is accepted", || accepted() > before);
    // Where it was another connection that was accepted just then, the witness saw nothing of it.
    let closed = (0..10).any(|_| {
        gateway.advance_deadlines(Duration::from_millis(1_100));
        witness.await_close() == End::Complete
    });
    assert!(closed, "a silent connection is closed");
}

/// The same request in octets, `Host` included.
pub fn head_of(request: &Request) -> String {
    let mut head = format!(
        "{} {} {}\r\nHost: a.test\r\n",
        request.method, request.target, request.version
    );
    for (name, value) in &request.fields.0 {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n"
}
