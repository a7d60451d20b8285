//! The door: listeners, workers, the choice of a protocol, limits and deadlines, drain.
//!
//! A [`Server`] takes its addresses once, then runs one thread a worker. Each worker is a runtime of its own with its
//! own listeners, connections and [`Service`]; nothing on the path of a request is shared between two workers.
//!
//! ```text
//!  accept ──> sniff ─┬─ HTTP/1 ─> request ─> Service ─> response ─┐   a coarse deadline on every state:
//!                    │      ├────────── keep-alive ──────────────┘   head, idle, body, write, linger
//!                    │      └─ 101 ─> bytes, both ways
//!                    └─ HTTP/2 (prior knowledge)
//! ```
//!
//! What a service answers with an error in the body is aborted so that no client can take it for whole: an HTTP/1
//! connection is reset, an HTTP/2 stream is.

mod batch;
mod beat;
mod chunks;
mod connection;
mod deadline;
mod exchange;
mod io;
mod listen;
mod protocol;
mod refusal;
mod registry;
mod request_line;
mod run;
mod service;
mod state;
mod tunnel;
mod worker;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io as std_io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;

pub use self::run::Outcome;

use self::listen::Listeners;
use crate::clock::Clock;
use crate::config;
use crate::config::ListenAddr;
use crate::error::{self, ErrorKind};
pub use crate::proxy::{Peer, RequestContent};
pub use crate::semantics::authority::Scheme;
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::Readiness;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The content of a response, as the door sends it.
pub trait ResponseContent: Body<Data = Bytes, Error: Into<BoxError>> + Unpin {
    /// The client is sent no more of it, for this reason; it is dropped then.
    fn cut_off(&mut self, _why: ErrorKind) {}
}

impl ResponseContent for Full<Bytes> {}

/// What answers the requests of one worker. It lives on the worker's thread and is made there.
pub trait Service: 'static {
    /// The content of responses. An error in it aborts the message: see the module's words.
    type Body: ResponseContent + 'static;

    /// Answers one request. When the client leaves, the future is dropped where it stands.
    ///
    /// The response carries neither Content-Length nor Transfer-Encoding unless it answers HEAD or is a 304: the
    /// body's size hint decides the framing.
    fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        request: Request<RequestContent>,
    ) -> impl Future<Output = Response<Self::Body>>;

    /// The response to a request that never got as far as [`Service::handle`]: a malformed or oversized head, or one
    /// that did not arrive in time; `parts` is what is known of it. On HTTP/1 the connection closes after it.
    fn refuse(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        error: error::Error,
        parts: Option<&Parts>,
    ) -> Response<Self::Body>;

    /// Done when nothing runs any more that a connection does not wait for, such as fills and invalidations.
    fn drained(self: &Rc<Self>) -> impl Future<Output = ()>;
}

/// Listeners that are bound and wait to be run.
#[derive(Debug)]
pub struct Server {
    listeners: Listeners,
    config: Arc<config::Server>,
    workers: usize,
    readiness: Readiness,
    announcement: &'static str,
}

impl Server {
    /// Takes all addresses of `config.listen`. A port that another process has is an error, even if that process
    /// would share it; port 0 takes a free one, the same for all workers. Raises the limit of open files to its hard
    /// limit.
    pub fn bind(config: &config::Server) -> Result<Self, Error> {
        run::raise_file_limit();
        let workers = worker_count(config);
        Ok(Self {
            listeners: Listeners::bind(&config.listen, workers)?,
            config: Arc::new(config.clone()),
            workers,
            readiness: Readiness::default(),
            announcement: "listening",
        })
    }

    /// Says `announcement` in the log, instead of `listening`, when the server is ready.
    pub fn announced_as(mut self, announcement: &'static str) -> Self {
        self.announcement = announcement;
        self
    }

    /// The addresses taken, with the real port where port 0 was asked for.
    pub fn local_addrs(&self) -> &[ListenAddr] {
        self.listeners.addrs()
    }

    /// The number of workers that will run.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Whether clients are served now; clones follow the server's life.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Serves until `shutdown` is done and everything in flight has been answered, or the drain deadline has passed.
    /// `make` is called once on each worker's thread, inside its runtime, with the worker's index; `metrics` has
    /// counters for [`Server::workers`] workers.
    ///
    /// Blocks the calling thread, which polls `shutdown` in a runtime of its own: must not be called from a task.
    /// Fails when a thread or runtime cannot be made, or when a worker dies; the others are drained then, too.
    pub fn run<S, F>(
        self,
        clock: Clock,
        metrics: &Metrics,
        make: F,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Outcome, Error>
    where
        S: Service,
        F: Fn(usize) -> Rc<S> + Send + Sync + 'static,
    {
        run::run(self, clock, metrics, make, shutdown)
    }
}

/// How many workers `config` asks for: one a core when it leaves that open.
pub fn worker_count(config: &config::Server) -> usize {
    match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// Why a server could not start, or did not end well.
#[derive(Debug)]
pub enum Error {
    /// An address could not be taken.
    Listen {
        addr: ListenAddr,
        source: std_io::Error,
    },
    /// The system gave no thread or no runtime.
    Start(std_io::Error),
    /// A worker's thread ended before it was told to.
    WorkerDied { index: usize },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { addr, source } if source.kind() == std_io::ErrorKind::AddrInUse => {
                write!(f, "cannot listen on {addr}: another process already does")
            }
            Self::Listen { addr, source } => write!(f, "cannot listen on {addr}: {source}"),
            Self::Start(source) => write!(f, "cannot start a worker: {source}"),
            Self::WorkerDied { index } => write!(f, "worker {index} died"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Listen { source, .. } | Self::Start(source) => Some(source),
            Self::WorkerDied { .. } => None,
        }
    }
}
