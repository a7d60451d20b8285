//! After a response `101 (Switching Protocols)`: bytes go both ways as they come (RFC 9110 §7.8).

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use super::BoxError;
use super::connection::{Driven, drive};
use super::io::Io;
use super::state::Ending;
use crate::proxy::Tunnel;

/// Joins a client's connection with the API's until both have ended. Each is read only as fast as the other takes it; an
/// end of one side is passed on while the other goes on; where one breaks, so does the other.
pub(super) async fn join(io: Io, mut tunnel: Box<Tunnel>) -> Result<(), BoxError> {
    let state = io.state().clone();
    let mut client = Client(io);
    let driven = {
        let joined = pin!(async {
            copy_bidirectional(&mut client, &mut *tunnel)
                .await
                .map(drop)
        });
        drive(&state, joined, |_| ()).await
    };
    match driven {
        Driven::Ended(Err(error)) => {
            state.ends(Ending::Reset);
            tunnel.reset();
            Err(error.into())
        }
        Driven::Ended(Ok(())) | Driven::Stopped | Driven::Asleep => Ok(()),
    }
}

/// A connection whose closing is not HTTP's.
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
