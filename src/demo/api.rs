//! The embedded book API as a server: a thread of its own, HTTP/1.1 on a free loopback port.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::answer::{answer, problem};
use super::library::Library;
use super::lines::Content;

/// Octets of request content that are read at most.
const MAX_CONTENT: usize = 8 * 1024;
/// Octets of content too large to keep that are read nevertheless.
const MAX_DRAINED: usize = 1024 * 1024;
/// The longest pause that a request may ask for with `?pause_ms=`.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How the API behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Every answer says `Cache-Control: no-store`.
    pub no_store: bool,
}

/// Counts the requests that the API has received; can be read from any thread.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<AtomicU64>);

impl Seen {
    /// Requests received since the start.
    pub fn requests(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The running API. Stops when dropped.
#[derive(Debug)]
pub struct BookApi {
    addr: SocketAddr,
    seen: Seen,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl BookApi {
    /// Starts the API on a free port of 127.0.0.1. Fails when no port or thread is to be had.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let seen = Seen::default();
        let (stop, stopped) = oneshot::channel();
        let (report, started) = mpsc::channel();
        let origin = Origin {
            options,
            seen: seen.clone(),
            library: RefCell::new(Library::new()),
        };
        let thread = thread::Builder::new()
            .name("book-api".to_owned())
            .spawn(move || run(listener, origin, stopped, &report))?;
        started.recv().map_err(io::Error::other)??;
        Ok(Self {
            addr,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl Drop for BookApi {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

/// The state that all connections share; they are all on one thread.
struct Origin {
    options: Options,
    seen: Seen,
    library: RefCell<Library>,
}

/// The thread: reports whether it started, then serves until `stopped`. Open connections end with it.
fn run(
    listener: std::net::TcpListener,
    origin: Origin,
    stopped: oneshot::Receiver<Infallible>,
    report: &mpsc::Sender<io::Result<()>>,
) {
    let started = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .and_then(|runtime| {
            let context = runtime.enter();
            let listener = TcpListener::from_std(listener)?;
            drop(context);
            Ok((runtime, listener))
        });
    let (outcome, parts) = match started {
        Ok(parts) => (Ok(()), Some(parts)),
        Err(error) => (Err(error), None),
    };
    // `BookApi::start` waits for the report.
    let _ = report.send(outcome);
    if let Some((runtime, listener)) = parts {
        runtime.block_on(async {
            tokio::select! {
                () = accept(listener, Rc::new(origin)) => {}
                _ = stopped => {}
            }
        });
    }
}

async fn accept(listener: TcpListener, origin: Rc<Origin>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptor is left: wait until a connection is closed.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Where this fails, only the last small write of a response waits.
        let _ = stream.set_nodelay(true);
        let origin = origin.clone();
        let service = service_fn(move |request| {
            let origin = origin.clone();
            async move { Ok::<_, Infallible>(origin.respond(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::task::spawn_local(async move {
            // An error concerns this connection alone.
            let _ = connection.await;
        });
    }
}

impl Origin {
    async fn respond(&self, request: Request<Incoming>) -> Response<Content> {
        self.seen.0.fetch_add(1, Ordering::AcqRel);
        let (parts, content) = request.into_parts();
        let Some(content) = read_content(content).await else {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "The content is too large");
        };
        if let Some(pause) = pause(parts.uri.query()) {
            sleep(pause).await;
        }
        let mut library = self.library.borrow_mut();
        answer(&mut library, &parts, &content.into(), self.options.no_store)
    }
}

/// The content; `None` when it is too large or not complete. Content that is too large is read up to [`MAX_DRAINED`] all the
/// same: a connection that is closed with octets unread is reset, and the client may lose the response.
async fn read_content(mut content: Incoming) -> Option<Vec<u8>> {
    let (mut kept, mut received) = (Vec::new(), 0);
    while let Some(frame) = content.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        received += data.len();
        if received <= MAX_CONTENT {
            kept.extend_from_slice(&data);
        } else if received > MAX_DRAINED {
            return None;
        }
    }
    (received <= MAX_CONTENT).then_some(kept)
}

/// `?pause_ms=300` makes the API wait for that long before it answers, so that requests can be seen to collapse.
fn pause(query: Option<&str>) -> Option<Duration> {
    let millis = query?
        .split('&')
        .find_map(|pair| pair.strip_prefix("pause_ms="))?;
    Some(Duration::from_millis(millis.parse().ok()?).min(MAX_PAUSE))
}
