use std::cell::Cell;
use std::convert::Infallible;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};

use super::*;
use crate::server::shared::WorkerShared;

/// Counts the writes that reach the other side.
struct Counted {
    stream: DuplexStream,
    writes: Rc<Cell<usize>>,
    flushes: Rc<Cell<usize>>,
    /// Each write whose number is a multiple of this is refused; its task is not woken once another has been tried.
    refuses_each: Option<usize>,
    refused: Rc<RefCell<Option<Waker>>>,
}

impl Counted {
    fn new(room: usize) -> (Self, DuplexStream) {
        let (ours, theirs) = duplex(room);
        let counted = Self {
            stream: ours,
            writes: Rc::default(),
            flushes: Rc::default(),
            refuses_each: None,
            refused: Rc::default(),
        };
        (counted, theirs)
    }

    fn refuses(&self, cx: &Context<'_>) -> bool {
        self.writes.set(self.writes.get() + 1);
        let refuses = self
            .refuses_each
            .is_some_and(|times| self.writes.get().is_multiple_of(times));
        *self.refused.borrow_mut() = refuses.then(|| cx.waker().clone());
        refuses
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.refuses(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.refuses(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes.set(self.flushes.get() + 1);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, stream: F) {
        spawn_local(stream);
    }
}

fn batch<T>(io: T) -> Batch<T> {
    Batch::new(io, Rc::new(State::new(Rc::<WorkerShared>::default())))
}

fn run(test: impl Future<Output = ()> + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(LocalSet::new().run_until(async {
        // In a task of its own: it is polled only where it has been woken.
        tokio::time::timeout(Duration::from_secs(10), spawn_local(test))
            .await
            .expect("nothing is held back")
            .unwrap();
    }));
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[test]
fn responses_of_one_wake_up_leave_in_one_write() {
    const REQUESTS: u32 = 20;
    run(async {
        let (counted, mut client) = Counted::new(1 << 20);
        let (writes, flushes) = (counted.writes.clone(), counted.flushes.clone());
        let service = service_fn(async |_| {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&[b'x'; 1_000]))))
        });
        spawn_local(async move {
            let batch = batch(counted);
            let connection =
                http2::Builder::new(Local).serve_connection(TokioIo::new(batch.handle()), service);
            let connection = std::pin::pin!(connection);
            let _ = Batched::new(connection, batch).await;
        });
        let mut requests = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        requests.extend(frame(4, 0, 0, &[]));
        for at in 0..REQUESTS {
            requests.extend(frame(1, 0x5, 2 * at + 1, b"\x82\x86\x84\x01\x01a"));
        }
        client.write_all(&requests).await.unwrap();
        let mut ended = 0;
        while ended < REQUESTS {
            let mut head = [0; 9];
            client.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            client.read_exact(&mut payload).await.unwrap();
            ended += u32::from(head[3] <= 1 && head[4] & 1 == 1);
        }
        // The settings, and the responses.
        assert!(writes.get() <= 3, "{} writes", writes.get());
        assert!(flushes.get() <= writes.get(), "{} flushes", flushes.get());
    });
}

/// Pieces of all sizes, those beyond what is copied too.
fn pieces() -> Vec<Vec<u8>> {
    let sizes = [
        9,
        1,
        3_000,
        MAX_COPIED,
        MAX_COPIED + 1,
        100,
        16 << 10,
        9,
        40_000,
    ];
    (0..60)
        .map(|at| vec![b'a' + u8::try_from(at % 26).unwrap(); sizes[at % sizes.len()]])
        .collect()
}

/// Sends all pieces through a batch; what has arrived.
async fn through(counted: Counted, mut client: DuplexStream) -> Vec<u8> {
    let reading = spawn_local(async move {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        all
    });
    let batch = batch(counted);
    let mut writer = batch.handle();
    let connection = std::pin::pin!(async move {
        for piece in pieces() {
            let (head, rest) = piece.split_at(piece.len() / 3);
            let parts = [IoSlice::new(head), IoSlice::new(rest)];
            let written = writer.write_vectored(&parts).await?;
            writer.write_all(&piece[written..]).await?;
            writer.flush().await?;
            let waiting = writer.0.borrow().pending.len();
            assert!(waiting <= MAX_PENDING, "{waiting} bytes wait");
        }
        writer.shutdown().await
    });
    Batched::new(connection, batch).await.unwrap();
    reading.await.unwrap()
}

#[test]
fn a_client_of_any_pace_gets_all_in_order() {
    for room in [7, 100, 5_000, 70_000, 1 << 20] {
        run(async move {
            let (counted, client) = Counted::new(room);
            assert!(
                through(counted, client).await == pieces().concat(),
                "{room}"
            );
        });
    }
}

#[test]
fn room_that_comes_after_a_refusal_is_used() {
    for times in [2, 3, 5] {
        run(async move {
            let (mut counted, client) = Counted::new(1 << 20);
            counted.refuses_each = Some(times);
            let refused = counted.refused.clone();
            spawn_local(async move {
                loop {
                    if let Some(waker) = refused.take() {
                        waker.wake();
                    }
                    tokio::task::yield_now().await;
                }
            });
            assert!(
                through(counted, client).await == pieces().concat(),
                "{times}"
            );
        });
    }
}

#[test]
fn what_is_written_leaves_although_the_connection_waits() {
    run(async {
        let (counted, mut client) = Counted::new(1 << 20);
        spawn_local(async move {
            let batch = batch(counted);
            let mut writer = batch.handle();
            let connection = std::pin::pin!(async move {
                writer.write_all(b"now").await?;
                std::future::pending::<io::Result<()>>().await
            });
            let _ = Batched::new(connection, batch).await;
        });
        let mut read = [0; 3];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"now");
    });
}

#[test]
fn a_connection_whose_bytes_cannot_be_sent_ends() {
    run(async {
        let (counted, client) = Counted::new(1 << 20);
        drop(client);
        let batch = batch(counted);
        let mut writer = batch.handle();
        let connection = std::pin::pin!(async move {
            writer.write_all(b"in vain").await?;
            std::future::pending::<io::Result<()>>().await
        });
        let ended = Batched::new(connection, batch).await;
        let error = ended.unwrap_err().downcast::<io::Error>().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_connection_without_bytes_to_send_has_no_buffer() {
    run(async {
        let (counted, mut client) = Counted::new(1 << 20);
        let state = Rc::new(State::new(Rc::<WorkerShared>::default()));
        // Octets that another connection has left in the buffer are not sent.
        drop(state.gather(&[IoSlice::new(b"of HTTP/1")]));
        let batch = Batch::new(counted, state.clone());
        let mut writer = batch.handle();
        let connection = std::pin::pin!(async move {
            writer.write_all(b"hello").await?;
            // Until it has been sent.
            tokio::task::yield_now().await;
            assert_eq!(writer.0.borrow().pending.capacity(), 0);
            Ok::<_, io::Error>(())
        });
        Batched::new(connection, batch).await.unwrap();
        assert_eq!(state.lend_buffer(5).capacity(), MAX_PENDING);
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"hello");
    });
}
