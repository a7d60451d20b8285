//! The whole of the upstream side against origins that are scripted byte by byte, on a runtime like a worker's.

mod balance;
mod bodies;
mod circuit;
mod engines;
mod errors;
mod heads;
mod health;
mod http2;
mod moves;
mod name_server;
mod names;
mod origin;
mod paused;
mod queue;
mod reuse;
mod taken;
mod tls;
mod uploads;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;

use self::origin::{Origin, Peer};
use super::{
    Availability, Outgoing, RequestBody, RequestStream, UpstreamBody, UpstreamShared, Upstreams,
};
use crate::clock::{Clock, ManualClock};
use crate::config::{NamedUpstream, ServerUrl, Upstream};
use crate::error::{Error, ErrorKind};
use crate::semantics::time::Timestamp;
use crate::telemetry::counters::{Counters, UpstreamCounters};

/// Long enough for anything that works, on any machine.
const HANG: Duration = Duration::from_secs(20);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(HANG, test)
            .await
            .expect("the test hangs");
    });
}

/// A worker in front of an origin.
struct Worker {
    upstreams: Upstreams,
    counters: Arc<UpstreamCounters>,
    time: ManualClock,
}

impl Worker {
    fn new(config: &Upstream) -> Self {
        Self::of(shared(config))
    }

    fn of(shared: Arc<UpstreamShared>) -> Self {
        let (clock, time) = Clock::manual(Timestamp::from_secs(1_700_000_000));
        let counters = Counters::default();
        Self {
            upstreams: Upstreams::new(&[shared], &clock, &counters, None),
            counters: counters.upstream.clone(),
            time,
        }
    }

    async fn get(&self, path: &str) -> Result<Response<UpstreamBody>, Error> {
        self.send(get(path)).await
    }

    async fn upload(
        &self,
        method: Method,
        stream: RequestStream,
    ) -> Result<Response<UpstreamBody>, Error> {
        self.send(request(method, "/", RequestBody::Stream(stream)))
            .await
    }

    async fn send(&self, request: Request<RequestBody>) -> Result<Response<UpstreamBody>, Error> {
        let idempotent = matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::PUT | Method::DELETE
        );
        self.upstreams
            .send(Outgoing {
                upstream: Some(0),
                request,
                idempotent,
                response_timeout: None,
                max_retries: None,
                hash: None,
                waiting: None,
                trace: None,
            })
            .await
    }
}

/// What the workers of an API share.
fn shared(config: &Upstream) -> Arc<UpstreamShared> {
    try_shared(config).expect("a valid upstream")
}

fn try_shared(config: &Upstream) -> Result<Arc<UpstreamShared>, Error> {
    let config = NamedUpstream {
        name: None,
        upstream: config.clone(),
    };
    UpstreamShared::of_all(&[config], &[]).map(|all| all[0].clone())
}

/// An origin, and a worker in front of it with what `change` changes of the defaults.
async fn start(change: impl FnOnce(&mut Upstream)) -> (Origin, Worker) {
    let origin = Origin::start().await;
    let worker = worker(&origin, change);
    (origin, worker)
}

/// A worker in front of `origin`, with what `change` changes of the defaults.
fn worker(origin: &Origin, change: impl FnOnce(&mut Upstream)) -> Worker {
    let mut config = config(vec![origin.url()]);
    change(&mut config);
    Worker::new(&config)
}

fn config(servers: Vec<ServerUrl>) -> Upstream {
    Upstream::in_front_of(servers)
}

fn get(path: &str) -> Request<RequestBody> {
    request(Method::GET, path, RequestBody::Empty)
}

fn request(method: Method, path: &str, body: RequestBody) -> Request<RequestBody> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "books.example")
        .body(body)
        .expect("a valid request")
}

/// Plays the origin's `script` and the client's part side by side, to the end of both.
async fn exchange<S, C>(
    script: impl Future<Output = S>,
    client: impl Future<Output = C>,
) -> (S, C) {
    tokio::join!(script, client)
}

/// The content of a response that came, and that came in full.
async fn content(response: Result<Response<UpstreamBody>, Error>) -> Bytes {
    let response = response.expect("a response");
    read(response).await.expect("content")
}

async fn read(response: Response<UpstreamBody>) -> Result<Bytes, Error> {
    Ok(response.into_body().collect().await?.to_bytes())
}

/// Lets the runtime go on until `is_so`.
async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}
