//! Tunnels: after a response 101 (Switching Protocols), bytes are passed on in both directions (RFC 9110 §7.8).

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy, split};

use super::drive::{Driven, drive};
use super::io::Io;
use super::service::BoxError;
use super::state::Closing;
use crate::proxy::Tunnel;

/// Joins a client's connection with the API's until both have ended. Each is read only as fast as the other takes it. The end
/// of one direction is passed on while the other continues; when one connection breaks, the other is reset.
pub(super) async fn join(io: Io, mut tunnel: Box<Tunnel>) -> Result<(), BoxError> {
    let state = io.state().clone();
    let mut client = Client(io);
    let driven = {
        let joined = pin!(copy_both_ways(&mut client, &mut *tunnel));
        drive(&state, joined, |_| ()).await
    };
    match driven {
        Driven::Ended(Err(error)) => {
            state.set_closing(Closing::Reset);
            tunnel.reset();
            Err(error.into())
        }
        Driven::Ended(Ok(())) | Driven::Stopped | Driven::Parked => Ok(()),
    }
}

/// Copies in both directions until both have ended, or one has failed.
///
/// A peer that floods uses up the whole turn of the task. So the directions take turns at being polled first, as `try_join`
/// has it and `copy_bidirectional` does not: else nothing would be copied in the other direction while the flood lasts.
async fn copy_both_ways<A, B>(a: &mut A, b: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let ((from_a, to_a), (from_b, to_b)) = (split(a), split(b));
    tokio::try_join!(pass_on(from_a, to_b), pass_on(from_b, to_a)).map(drop)
}

/// Copies all that is read, and then its end.
async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    copy(&mut from, &mut to).await?;
    to.shutdown().await
}

/// A client's connection that does not speak HTTP: its end is passed on as it is.
struct Client(Io);

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.poll_half_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};

    use tokio::io::{AsyncReadExt as _, duplex, join, repeat, sink};
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn while_one_side_floods_the_other_is_still_copied() {
        let (heard, mut hears) = duplex(64);
        let (mut flood, mut other) = (join(repeat(b'x'), heard), join(&b"hello"[..], sink()));
        {
            let mut copying = pin!(copy_both_ways(&mut flood, &mut other));
            for _turn in 0..2 {
                let ended = poll_fn(|cx| Poll::Ready(copying.as_mut().poll(cx)));
                assert!(ended.await.is_pending());
                yield_now().await;
            }
        }
        drop(flood);
        let mut said = String::new();
        hears.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
    }
}
