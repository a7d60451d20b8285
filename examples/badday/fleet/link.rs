//! A gateway's way to the server, which can be cut.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;

/// How a connection treats the octets that are sent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// Nothing arrives, and nothing is refused. Once it is open again, what was sent arrives.
    BlackHole,
    /// Connections are reset, those that are made as well.
    Reset,
}

/// It ends with its runtime.
#[derive(Debug)]
pub struct Link {
    pub addr: SocketAddr,
    state: watch::Sender<State>,
}

impl Link {
    pub async fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let (state, watched) = watch::channel(State::Open);
        spawn_local(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut watched = watched.clone();
                spawn_local(async move {
                    let state = *watched.borrow_and_update();
                    if state != State::Reset
                        && let Ok(upstream) = TcpStream::connect(server).await
                    {
                        carry_both(client, upstream, &watched).await;
                    } else {
                        reset(&client);
                    }
                });
            }
        });
        Ok(Self { addr, state })
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Until one of both has ended, or the link is reset.
async fn carry_both(
    mut client: TcpStream,
    mut upstream: TcpStream,
    state: &watch::Receiver<State>,
) {
    for stream in [&client, &upstream] {
        let _ = stream.set_nodelay(true);
    }
    {
        let ((from_client, to_client), (from_upstream, to_upstream)) =
            (client.split(), upstream.split());
        let mut watched = state.clone();
        tokio::select! {
            () = carry(from_client, to_upstream, state.clone()) => return,
            () = carry(from_upstream, to_client, state.clone()) => return,
            _ = watched.wait_for(|state| *state == State::Reset) => {}
        }
    }
    reset(&client);
}

async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut state: watch::Receiver<State>) {
    let mut octets = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut octets).await {
        let opened = state.wait_for(|state| *state != State::BlackHole).await;
        if opened.is_err() || to.write_all(&octets[..read]).await.is_err() {
            break;
        }
    }
}
