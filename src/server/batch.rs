//! One send for all that an HTTP/2 connection writes while it is polled. h2 writes each frame by itself and flushes after
//! it: a system call for each response, where one wake-up answers many.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::BoxError;
use super::state::{State, Verdict};

/// A connection's bytes on their way out. hyper has one handle, and whoever polls hyper the other.
#[derive(Debug)]
pub(super) struct Batch<T>(Rc<RefCell<Outgoing<T>>>);

#[derive(Debug)]
struct Outgoing<T> {
    io: T,
    state: Rc<State>,
    /// Written by hyper and not sent yet, [`MOST`] bytes at most. The worker's own buffer as long as the client takes
    /// what comes, so that an idle connection has none.
    pending: Vec<u8>,
    /// What has been sent may still be in a buffer below.
    unflushed: bool,
    /// hyper waits for what waits here.
    refused: bool,
    /// The last write was not taken whole: hyper goes on in the middle of a frame.
    midway: bool,
}

/// The most bytes that wait, and so what a client that takes nothing holds of them. More are sent while hyper is polled.
const MOST: usize = 32 << 10;

/// Up to so many bytes are copied to be sent with others; more go from where they are.
const COPIED: usize = 4 << 10;

impl<T> Batch<T> {
    pub fn new(io: T, state: Rc<State>) -> Self {
        Self(Rc::new(RefCell::new(Outgoing {
            io,
            state,
            pending: Vec::new(),
            unflushed: false,
            refused: false,
            midway: false,
        })))
    }

    /// The same bytes, for hyper to write and read.
    pub fn handle(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A connection that is polled with its batch: nothing that it has written waits for another event but the client's.
#[derive(Debug)]
pub(super) struct Batched<'a, C, T> {
    connection: Pin<&'a mut C>,
    batch: Batch<T>,
}

impl<'a, C, T> Batched<'a, C, T> {
    pub fn new(connection: Pin<&'a mut C>, batch: Batch<T>) -> Self {
        Self { connection, batch }
    }

    pub fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }
}

impl<C, T, E> Future for Batched<'_, C, T>
where
    C: Future<Output = Result<(), E>>,
    T: AsyncWrite + Unpin,
    E: Into<BoxError>,
{
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            let polled = this.connection.as_mut().poll(cx);
            let mut outgoing = this.batch.0.borrow_mut();
            let sent = outgoing.poll_send(cx);
            if let Poll::Ready(ended) = polled {
                // In order, shutting down has sent all; else the connection's own error says more.
                return Poll::Ready(ended.map_err(Into::into));
            }
            if outgoing.state.verdict() == Verdict::Calm {
                outgoing.dismiss();
                return Poll::Ready(Err("the client reset more streams than it may".into()));
            }
            ready!(sent)?;
            if !std::mem::take(&mut outgoing.refused) {
                return Poll::Pending;
            }
        }
    }
}

/// RFC 9113 §6.8. hyper does not tell which stream was the last, and any may have been acted on.
const LAST_STREAM: u32 = (1 << 31) - 1;
const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

impl<T: AsyncWrite + Unpin> Outgoing<T> {
    /// Says that the connection ends since its client asks for too much (RFC 9113 §7), where a frame may stand. hyper has
    /// no word for it.
    fn dismiss(&mut self) {
        if self.midway {
            return;
        }
        self.pending.extend([0, 0, 8, GOAWAY, 0, 0, 0, 0, 0]);
        self.pending.extend(LAST_STREAM.to_be_bytes());
        self.pending.extend(ENHANCE_YOUR_CALM.to_be_bytes());
    }

    /// Sends all that waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.pending))?;
            self.has_sent(sent)?;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn has_sent(&mut self, sent: usize) -> io::Result<()> {
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.unflushed = true;
        if sent < self.pending.len() {
            self.pending.drain(..sent);
        } else if self.pending.capacity() > 0 {
            self.pending.clear();
            self.state.takes_back(std::mem::take(&mut self.pending));
        }
        Ok(())
    }

    fn poll_append(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
        length: usize,
    ) -> Poll<io::Result<usize>> {
        if self.pending.len() + length > MOST {
            ready!(self.poll_send(cx))?;
        }
        if self.pending.capacity() == 0 {
            self.pending = self.state.lends(MOST);
        }
        for piece in pieces {
            self.pending.extend_from_slice(piece);
        }
        Poll::Ready(Ok(length))
    }

    /// Sends `pieces` behind what waits; how much of them.
    fn poll_through(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while !self.pending.is_empty() {
            // A frame's head and its content; what does not fit in here is for the next write.
            let mut all = [IoSlice::new(&self.pending); 4];
            let some = pieces.len().min(all.len() - 1);
            all[1..=some].copy_from_slice(&pieces[..some]);
            let waited = self.pending.len();
            let io = Pin::new(&mut self.io);
            let sent = ready!(io.poll_write_vectored(cx, &all[..=some]))?;
            self.has_sent(sent)?;
            if sent > waited {
                return Poll::Ready(Ok(sent - waited));
            }
        }
        let sent = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, pieces))?;
        self.unflushed = true;
        Poll::Ready(Ok(sent))
    }

    /// What hyper is told. Where it has to wait for what waits here, [`Batched`] sees to it: the socket may take that
    /// before hyper asks again, and wakes nobody then.
    fn told<V>(&mut self, outcome: Poll<V>) -> Poll<V> {
        self.refused |= outcome.is_pending() && (self.unflushed || !self.pending.is_empty());
        outcome
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Batch<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Batch<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut outgoing = self.0.borrow_mut();
        let length: usize = bufs.iter().map(|buf| buf.len()).sum();
        let written = if length <= COPIED {
            outgoing.poll_append(cx, bufs, length)
        } else {
            outgoing.poll_through(cx, bufs)
        };
        outgoing.midway = !matches!(written, Poll::Ready(Ok(taken)) if taken == length);
        outgoing.told(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Left to whoever polls the connection: see [`Batched`].
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outgoing = self.0.borrow_mut();
        let sent = outgoing.poll_send(cx);
        ready!(outgoing.told(sent))?;
        Pin::new(&mut outgoing.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
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
    use crate::server::beat::Beat;

    /// Counts the writes that reach the other side.
    struct Counted {
        stream: DuplexStream,
        writes: Rc<Cell<usize>>,
        flushes: Rc<Cell<usize>>,
        /// Refuses each so-manieth write, and wakes nobody whose next try has come before.
        fitful: Option<usize>,
        refused: Rc<RefCell<Option<Waker>>>,
    }

    impl Counted {
        fn new(room: usize) -> (Self, DuplexStream) {
            let (ours, theirs) = duplex(room);
            let counted = Self {
                stream: ours,
                writes: Rc::default(),
                flushes: Rc::default(),
                fitful: None,
                refused: Rc::default(),
            };
            (counted, theirs)
        }

        fn refuses(&self, cx: &Context<'_>) -> bool {
            self.writes.set(self.writes.get() + 1);
            let refuses = self
                .fitful
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
        Batch::new(io, Rc::new(State::new(Rc::<Beat>::default())))
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
                let connection = http2::Builder::new(Local)
                    .serve_connection(TokioIo::new(batch.handle()), service);
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
        let sizes = [9, 1, 3_000, COPIED, COPIED + 1, 100, 16 << 10, 9, 40_000];
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
                assert!(waiting <= MOST, "{waiting} bytes wait");
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
                counted.fitful = Some(times);
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
            let state = Rc::new(State::new(Rc::<Beat>::default()));
            // What another connection has left there is not sent.
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
            assert_eq!(state.lends(5).capacity(), MOST);
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, b"hello");
        });
    }
}
