//! An API that answers as it is told to.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpSocket;
use tokio::task::spawn_local;

use super::wire::{Head, Wire};

/// Connections that may wait to be accepted: where hundreds come at once, those beyond the usual 128 would be tried again
/// only after a second.
const BACKLOG: u32 = 4096;

/// A running API; it ends with its runtime.
#[derive(Debug)]
pub struct Api {
    pub addr: SocketAddr,
    requests: Rc<Cell<u64>>,
}

impl Api {
    /// Listens on `addr`, and answers each request with `answer`; the connection is closed where that fails.
    pub async fn start(
        addr: SocketAddr,
        answer: impl AsyncFn(&Head, &mut Wire) -> io::Result<()> + 'static,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        let listener = socket.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        let requests = Rc::new(Cell::new(0));
        let (answer, counted) = (Rc::new(answer), requests.clone());
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, counted) = (answer.clone(), counted.clone());
                spawn_local(async move {
                    let mut wire = Wire::new(stream);
                    while let Ok(head) = wire.head().await {
                        counted.set(counted.get() + 1);
                        let whole = wire.body(&head, &mut Vec::new()).await;
                        if whole.is_err() || answer(&head, &mut wire).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { addr, requests })
    }

    /// How many requests have come.
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }
}
