//! The life of one connection: its first bytes show the protocol, hyper speaks it, and what the worker decides in the
//! meantime is obeyed between two polls of hyper.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::batch::{Batch, Batched};
use super::deadline::Overdue;
use super::drive::{Driven, drive};
use super::exchange::exchange;
use super::io::Io;
use super::protocol::{Protocols, Sniffed, sniff};
use super::refusal;
use super::service::{BoxError, Service};
use super::state::{Ending, Orders, Protocol, State, Verdict};
use super::tunnel;
use crate::error::{Error, ErrorKind};
use crate::guard::Guarded;
use crate::proxy::Peer;

/// Serves one connection to its end.
pub(super) async fn serve<S: Service>(
    mut io: Io,
    peer: Rc<Peer>,
    service: Rc<S>,
    protocols: Rc<Protocols>,
) {
    let Ok(protocol) = choose(&mut io).await else {
        return;
    };
    let state = io.state().clone();
    state.speaks(protocol);
    let ended = match protocol {
        // Larger than the other by far, and rarer.
        Protocol::Http2 => {
            Box::pin(serve_http2(io, &state, peer.clone(), service, protocols)).await
        }
        Protocol::Http1 | Protocol::Unknown if is_tls(&io.sniffed()) => {
            let error = Error::downstream(ErrorKind::BadRequest)
                .detail("this is a TLS handshake, and no TLS is spoken on this address");
            refuse(io, &state, &peer, &service, error).await
        }
        Protocol::Http1 | Protocol::Unknown => {
            io.send_interim(peer.interim.clone());
            io.watch_queue(peer.waiting.clone());
            serve_http1(io, &state, &peer, &service, &protocols).await
        }
    };
    if let Err(error) = blame(&state, ended) {
        tracing::debug!(peer = ?peer.addr, %error, "connection ended");
    }
}

/// Whether a connection begins as TLS does: with a record of its handshake (RFC 8446 §5.1).
fn is_tls(first: &[u8]) -> bool {
    first.starts_with(&[0x16, 0x03])
}

/// What the connection ended of, its deadline first.
fn blame(state: &State, ended: Result<(), BoxError>) -> Result<(), BoxError> {
    let Verdict::Overdue(overdue) = state.verdict() else {
        return ended;
    };
    let Some(kind) = overdue.kind() else {
        return ended;
    };
    let mut error = Error::downstream(kind);
    if let Err(cause) = ended {
        error = error.because(cause);
    }
    Err(error.into())
}

/// Reads until the first bytes show the protocol. Fails when the client closes without a byte, or when the worker has
/// decided against the connection.
async fn choose(io: &mut Io) -> io::Result<Protocol> {
    poll_fn(|cx| {
        io.state().watch(cx);
        loop {
            if io.state().verdict() != Verdict::Carry {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let grown = ready!(io.poll_sniff(cx))?;
            match sniff(&io.sniffed()) {
                Sniffed::Http2 => return Poll::Ready(Ok(Protocol::Http2)),
                Sniffed::Unclear if grown => {}
                Sniffed::Unclear if io.sniffed().is_empty() => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                // Where the client closed early, HTTP/1 says what is wrong with what it left.
                Sniffed::Http1 | Sniffed::Unclear => return Poll::Ready(Ok(Protocol::Http1)),
            }
        }
    })
    .await
}

async fn serve_http1<S: Service>(
    mut io: Io,
    state: &Rc<State>,
    peer: &Rc<Peer>,
    service: &Rc<S>,
    protocols: &Protocols,
) -> Result<(), BoxError> {
    loop {
        // What hyper needs is given back while the connection sleeps.
        let conversation = Box::pin(converse(io, state, peer, service, protocols));
        let (driven, parted, unread) = conversation.await;
        io = parted;
        match driven {
            Driven::Ended(Ok(())) if let Some(tunnel) = state.tunnels() => {
                io.unread(&unread);
                drop(unread);
                return Box::pin(tunnel::join(io, tunnel)).await;
            }
            Driven::Ended(ended) => {
                return Box::pin(refuse_if_asked(io, state, peer, service, ended)).await;
            }
            Driven::Stopped => return Ok(()),
            Driven::Asleep => {
                io.unread(&unread);
                drop(unread);
                if !wakes_up(&mut io).await {
                    return Ok(());
                }
            }
        }
    }
}

/// Speaks HTTP/1 until there is a reason not to; gives back the socket and what was read of it too early.
async fn converse<S: Service>(
    io: Io,
    state: &Rc<State>,
    peer: &Rc<Peer>,
    service: &Rc<S>,
    protocols: &Protocols,
) -> (Driven<hyper::Error>, Io, Bytes) {
    let answer = service_fn(|request| exchange(request, state, peer, service, protocols));
    let mut connection = protocols.http1.serve_connection(TokioIo::new(io), answer);
    let driven = drive(state, Pin::new(&mut connection), |connection| {
        connection.graceful_shutdown();
    })
    .await;
    let parts = connection.into_parts();
    (driven, parts.io.into_inner(), parts.read_buf)
}

/// Waits for the next byte of an idle connection, without hyper and its buffers; false when it is to end instead.
async fn wakes_up(io: &mut Io) -> bool {
    poll_fn(|cx| {
        io.state().watch(cx);
        if !io.sniffed().is_empty() {
            return Poll::Ready(true);
        }
        match io.poll_sniff(cx) {
            Poll::Ready(read) => Poll::Ready(read.unwrap_or(false)),
            Poll::Pending if io.state().orders() == Orders::GoOn => Poll::Pending,
            Poll::Pending => Poll::Ready(false),
        }
    })
    .await
}

/// Answers a head that hyper could not read, or that did not come in time.
async fn refuse_if_asked<S: Service>(
    mut io: Io,
    state: &State,
    peer: &Rc<Peer>,
    service: &Rc<S>,
    ended: hyper::Result<()>,
) -> Result<(), BoxError> {
    let kind = match (state.ending(), state.verdict()) {
        (Ending::Refusal(status), _) => refusal::kind_of(status),
        (_, Verdict::Overdue(Overdue::Head)) if ended.is_err() => ErrorKind::RequestTimeout,
        _ => {
            ended?;
            return close(&mut io, state).await;
        }
    };
    let mut error = Error::downstream(kind);
    if kind == ErrorKind::BadRequest
        && let Some(fault) = state.target_fault.take()
    {
        error = error.detail(fault.to_string());
    }
    if let Err(cause) = ended {
        error = error.because(cause);
    }
    refuse(io, state, peer, service, error).await
}

/// Answers what is no request that could be read, and closes.
async fn refuse<S: Service>(
    mut io: Io,
    state: &State,
    peer: &Rc<Peer>,
    service: &Rc<S>,
    error: Error,
) -> Result<(), BoxError> {
    let Some(message) = refusal::message(service.refuse(peer, error, None)).await else {
        return Ok(());
    };
    state.refuses();
    let farewell = pin!(async {
        io.write_all(&message).await?;
        io.flush().await
    });
    if let Driven::Ended(written) = drive(state, farewell, |_| ()).await {
        written?;
        close(&mut io, state).await?;
    }
    Ok(())
}

/// Closes in stages where that has not been done: after our own words, and after a request with an Upgrade field, for
/// which hyper leaves it to us.
async fn close(io: &mut Io, state: &State) -> Result<(), BoxError> {
    if !state.is_lingering()
        && let Driven::Ended(ended) = drive(state, pin!(io.shutdown()), |_| ()).await
    {
        ended?;
    }
    Ok(())
}

async fn serve_http2<S: Service>(
    io: Io,
    state: &Rc<State>,
    peer: Rc<Peer>,
    service: Rc<S>,
    protocols: Rc<Protocols>,
) -> Result<(), BoxError> {
    let builder = protocols.http2.builder(state);
    let of_streams = state.clone();
    let answer = service_fn(move |request| {
        let (peer, service) = (peer.clone(), service.clone());
        exchange(request, &of_streams, peer, service, &protocols)
    });
    let mut batch = Batch::new(Guarded::from_client(io), state.clone());
    let ended = {
        let handle = TokioIo::new(batch.handle());
        let connection = pin!(builder.serve_connection(handle, answer));
        let batched = pin!(Batched::new(connection, batch.handle()));
        drive(state, batched, |batched| {
            batched.get_mut().connection().graceful_shutdown();
        })
        .await
    };
    if state.verdict() == Verdict::Calm {
        // Its streams have ended with it. What it was told is not to be overtaken by a reset.
        state.lingers();
        let _ = drive(state, pin!(batch.shutdown()), |_| ()).await;
    }
    match ended {
        Driven::Ended(ended) => ended,
        Driven::Stopped | Driven::Asleep => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::beat::Beat;

    #[test]
    fn a_connection_ends_of_its_deadline_first_and_then_of_what_broke_it() {
        let broken = || Err::<(), BoxError>("broken pipe".into());
        #[rustfmt::skip]
        let table = [
            (Verdict::Carry, Ok(()), None),
            (Verdict::Carry, broken(), Some("broken pipe")),
            (Verdict::Cut, Ok(()), None),
            (Verdict::Overdue(Overdue::Idle), Ok(()), None),
            (Verdict::Overdue(Overdue::Linger), Ok(()), None),
            (Verdict::Overdue(Overdue::Head), Ok(()), Some("the request did not arrive within its deadline")),
            (Verdict::Overdue(Overdue::Content), broken(), Some("the request content did not arrive within its deadline: broken pipe")),
            (Verdict::Overdue(Overdue::Write), broken(), Some("the client took nothing of the response within its deadline (write_timeout): broken pipe")),
            (Verdict::Overdue(Overdue::Tunnel), Ok(()), Some("neither side sent anything within the deadline (tunnel_timeout)")),
        ];
        for (verdict, ended, said) in table {
            let state = State::new(Rc::<Beat>::default());
            state.decide(verdict);
            let error = blame(&state, ended).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), said, "{verdict:?}");
        }
    }
}
