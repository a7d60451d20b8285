//! The ops desk: health, metrics, purge and explain, on a listener of its own. It goes through the same door as
//! clients do, with one worker and tighter limits, so that it answers while the gateway is busy or drains.

mod answer;
mod clerk;
mod desk;
mod metrics;
mod page;
mod process;
mod purge;

mod query;

use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::sync::oneshot;

pub use self::answer::{json, problem};
pub use self::desk::GatewayDesk;
pub use self::page::{Kind, Page};

use self::clerk::Clerk;
use crate::clock::Clock;
use crate::config::{self, ListenAddr};
use crate::server::{Error, Outcome, Server};
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::Stage;

/// What the desk asks of the gateway. Called on the desk's thread.
pub trait Desk: Send + Sync + 'static {
    /// Whether the gateway takes requests.
    fn stage(&self) -> Stage;

    /// Whether any server of the API is thought to be able to answer.
    fn is_upstream_available(&self) -> bool {
        true
    }

    /// The counters of its workers.
    fn metrics(&self) -> &Metrics;

    /// Adds what is no counter of a worker's: the store's size, the health of upstream servers.
    fn gauges(&self, page: &mut Page) {
        let _ = page;
    }

    /// `POST /purge`, from someone who may.
    fn purge(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let _ = request;
        problem(StatusCode::NOT_IMPLEMENTED, "this gateway cannot purge")
    }

    /// `GET /explain`, from someone who may.
    fn explain(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let _ = request;
        problem(StatusCode::NOT_IMPLEMENTED, "this gateway cannot explain")
    }
}

/// A desk whose address is taken, and which waits to be opened.
#[derive(Debug)]
pub struct Admin {
    server: Server,
    config: config::Admin,
}

impl Admin {
    /// Takes the configured address; port 0 means a free one.
    pub fn bind(config: &config::Admin) -> Result<Self, Error> {
        let server = Server::bind(&limits(config.listen.clone()))?;
        Ok(Self {
            server: server.announced_as("admin desk open"),
            config: config.clone(),
        })
    }

    /// The address taken, with the real port where port 0 was asked for.
    pub fn addr(&self) -> &ListenAddr {
        self.server
            .local_addrs()
            .first()
            .unwrap_or(&self.config.listen)
    }

    /// Opens the desk on a thread of its own, until it is told to stop.
    pub fn open(self, desk: Arc<dyn Desk>, clock: Clock) -> Result<OpenDesk, Error> {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                let make = {
                    let (config, clock) = (self.config, clock.clone());
                    move |_| Rc::new(Clerk::new(desk.clone(), config.clone(), clock.clone()))
                };
                // One that is dropped says so as well.
                let stopped = async { stopped.await.unwrap_or(()) };
                self.server.run(clock, &Metrics::new(1), make, stopped)
            })
            .map_err(Error::Start)?;
        Ok(OpenDesk { stop, thread })
    }
}

/// A desk that answers.
#[derive(Debug)]
pub struct OpenDesk {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<Outcome, Error>>,
}

impl OpenDesk {
    /// Answers what has been asked, then closes.
    pub fn close(self) -> Result<Outcome, Error> {
        // It may have ended of itself.
        let _ = self.stop.send(());
        self.thread
            .join()
            .unwrap_or(Err(Error::WorkerDied { index: 0 }))
    }
}

/// The desk has few visitors, who ask for little and are not to be waited for.
fn limits(listen: ListenAddr) -> config::Server {
    config::Server {
        listen: vec![listen],
        workers: 1,
        drain_timeout: Duration::from_secs(2),
        head_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(60),
        body_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(10),
        max_connections: 64,
        max_head: 16 << 10,
        ..config::Server::default()
    }
}
