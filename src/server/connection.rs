//! The life of one connection: its first bytes show the protocol, then hyper speaks it.

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
use super::deadline::Timeout;
use super::drive::{Driven, drive};
use super::exchange;
use super::io::Io;
use super::protocol::{Detected, Protocols, detect};
use super::refusal;
use super::service::{BoxError, Service};
use super::state::{Action, Closing, Decision, Protocol, State};
use super::tunnel;
use crate::error::{Error, ErrorKind};
use crate::guard::Guarded;
use crate::proxy::Peer;

/// How a connection begins that speaks TLS: with a record of its handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: [u8; 2] = [0x16, 0x03];

/// Serves one connection to its end.
pub(super) async fn serve<S: Service>(
    mut io: Io,
    peer: Rc<Peer>,
    service: Rc<S>,
    protocols: Rc<Protocols>,
) {
    let Ok(protocol) = detect_protocol(&mut io).await else {
        return;
    };
    let state = io.state().clone();
    state.set_protocol(protocol);
    let ended = match protocol {
        // Its future is far larger than the other, and rarer.
        Protocol::Http2 => {
            Box::pin(serve_http2(io, &state, peer.clone(), service, protocols)).await
        }
        Protocol::Http1 | Protocol::Unknown if io.first_bytes().starts_with(&TLS_HANDSHAKE) => {
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
    if let Err(error) = cause_of_end(&state, ended) {
        let peer = peer.addr.map(tracing::field::display);
        tracing::debug!(peer, %error, "connection ended");
    }
}

/// Tells a client that its listener speaks TLS, and closes.
pub(super) async fn demand_tls<S: Service>(io: Io, peer: Rc<Peer>, service: Rc<S>) {
    let state = io.state().clone();
    let error = Error::downstream(ErrorKind::BadRequest)
        .detail("this address speaks TLS: write https:// in the URL");
    // A client that has left cannot be told.
    let _ = refuse(io, &state, &peer, &service, error).await;
}

/// Why the connection ended: its deadline, if one has passed.
fn cause_of_end(state: &State, ended: Result<(), BoxError>) -> Result<(), BoxError> {
    let Decision::TimedOut(overdue) = state.decision() else {
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
/// decided to end the connection.
async fn detect_protocol(io: &mut Io) -> io::Result<Protocol> {
    poll_fn(|cx| {
        io.state().register_waker(cx);
        loop {
            if io.state().decision() != Decision::Keep {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let grown = ready!(io.poll_first_bytes(cx))?;
            match detect(&io.first_bytes()) {
                Detected::Http2 => return Poll::Ready(Ok(Protocol::Http2)),
                Detected::Unclear if grown => {}
                Detected::Unclear if io.first_bytes().is_empty() => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                // The client may have closed within its first bytes: they are refused as HTTP/1.
                Detected::Http1 | Detected::Unclear => return Poll::Ready(Ok(Protocol::Http1)),
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
        // In a box, which is freed while the connection is parked.
        let speaking = Box::pin(run_http1(io, state, peer, service, protocols));
        let (driven, returned, unread) = speaking.await;
        io = returned;
        match driven {
            Driven::Ended(Ok(())) if let Some(tunnel) = state.take_tunnel() => {
                io.unread(&unread);
                drop(unread);
                return Box::pin(tunnel::join(io, tunnel)).await;
            }
            Driven::Ended(ended) => {
                return Box::pin(answer_unread_head(io, state, peer, service, ended)).await;
            }
            Driven::Stopped => return Ok(()),
            Driven::Parked => {
                io.unread(&unread);
                drop(unread);
                if !wait_while_parked(&mut io).await {
                    return Ok(());
                }
            }
        }
    }
}

/// Speaks HTTP/1 until the connection ends, is parked or becomes a tunnel. Returns the I/O, and what hyper has read of it
/// and not used.
async fn run_http1<S: Service>(
    io: Io,
    state: &Rc<State>,
    peer: &Rc<Peer>,
    service: &Rc<S>,
    protocols: &Protocols,
) -> (Driven<hyper::Error>, Io, Bytes) {
    let answer = service_fn(|request| exchange::answer(request, state, peer, service, protocols));
    let mut connection = protocols.http1.serve_connection(TokioIo::new(io), answer);
    let driven = drive(state, Pin::new(&mut connection), |connection| {
        connection.graceful_shutdown();
    })
    .await;
    let parts = connection.into_parts();
    (driven, parts.io.into_inner(), parts.read_buf)
}

/// Waits for the next byte of a parked connection, without hyper and its buffers. Returns false when it is to end.
async fn wait_while_parked(io: &mut Io) -> bool {
    poll_fn(|cx| {
        io.state().register_waker(cx);
        if !io.first_bytes().is_empty() {
            return Poll::Ready(true);
        }
        match io.poll_first_bytes(cx) {
            Poll::Ready(read) => Poll::Ready(read.unwrap_or(false)),
            Poll::Pending if io.state().action() == Action::Continue => Poll::Pending,
            Poll::Pending => Poll::Ready(false),
        }
    })
    .await
}

/// Answers a head that hyper could not read or that did not arrive in time; closes the connection in any case.
async fn answer_unread_head<S: Service>(
    mut io: Io,
    state: &State,
    peer: &Rc<Peer>,
    service: &Rc<S>,
    ended: hyper::Result<()>,
) -> Result<(), BoxError> {
    let kind = match (state.closing(), state.decision()) {
        (Closing::Refusal(status), _) => refusal::kind_of(status),
        (_, Decision::TimedOut(Timeout::Head)) if ended.is_err() => ErrorKind::RequestTimeout,
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

/// Sends the service's response to a request that could not be read, and closes.
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
    state.begin_final_response();
    let final_response = pin!(async {
        io.write_all(&message).await?;
        io.flush().await
    });
    if let Driven::Ended(written) = drive(state, final_response, |_| ()).await {
        written?;
        close(&mut io, state).await?;
    }
    Ok(())
}

/// Closes with a lingering close where that has not been done: after a refusal, and after a request with an Upgrade field,
/// where hyper leaves it to us.
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
        exchange::answer(request, &of_streams, &peer, &service, &protocols)
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
    if state.decision() == Decision::ResetFlood {
        // Its streams have ended with it. A reset could make the client lose the GOAWAY frame.
        state.begin_lingering();
        let _ = drive(state, pin!(batch.shutdown()), |_| ()).await;
    }
    match ended {
        Driven::Ended(ended) => ended,
        Driven::Stopped | Driven::Parked => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::shared::WorkerShared;

    #[test]
    fn a_connection_ends_for_its_deadline_first_and_then_for_what_broke_it() {
        let broken = || Err::<(), BoxError>("broken pipe".into());
        #[rustfmt::skip]
        let table = [
            (Decision::Keep, Ok(()), None),
            (Decision::Keep, broken(), Some("broken pipe")),
            (Decision::CutOff, Ok(()), None),
            (Decision::TimedOut(Timeout::Idle), Ok(()), None),
            (Decision::TimedOut(Timeout::Linger), Ok(()), None),
            (Decision::TimedOut(Timeout::Head), Ok(()), Some("the request did not arrive within its deadline")),
            (Decision::TimedOut(Timeout::Content), broken(), Some("the request content did not arrive within its deadline: broken pipe")),
            (Decision::TimedOut(Timeout::Write), broken(), Some("the client took nothing of the response within its deadline (write_timeout): broken pipe")),
            (Decision::TimedOut(Timeout::Tunnel), Ok(()), Some("neither side sent anything within the deadline (tunnel_timeout)")),
        ];
        for (decision, ended, said) in table {
            let state = State::new(Rc::<WorkerShared>::default());
            state.decide(decision);
            let error = cause_of_end(&state, ended)
                .err()
                .map(|error| error.to_string());
            assert_eq!(error.as_deref(), said, "{decision:?}");
        }
    }
}
