//! Deadlines run while a peer keeps us waiting, not while the task has had its turn.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream as Std;
use std::time::Duration;

use tokio::io::duplex;
use tokio::net::UnixStream;

use super::*;
use crate::config;
use crate::semantics::authority::Scheme;
use crate::server::deadline::{Deadlines, Timeout};
use crate::server::shared::WorkerShared;
use crate::server::state::Protocol;
use crate::turn::tests::late;

/// A connection on which a request is being answered, and its client.
struct Scene {
    io: Io,
    client: Std,
    /// The socket of `io`, without the runtime's view of it.
    bare: Std,
    shared: Rc<WorkerShared>,
}

impl Scene {
    fn new() -> Self {
        let (ours, client) = Std::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let shared = Rc::<WorkerShared>::default();
        let state = Rc::new(State::new(shared.clone()));
        state.set_protocol(Protocol::Http1);
        state.begin_exchange();
        let bare = ours.try_clone().unwrap();
        let socket = Socket::Unix(UnixStream::from_std(ours).unwrap());
        let io = Io::new(socket, state);
        Self {
            io,
            client,
            bare,
            shared,
        }
    }

    /// Which deadline has passed a minute later.
    fn overdue(&self) -> Option<Timeout> {
        let minute = Duration::from_secs(60);
        self.shared.now.update(|now| now + 60_000);
        let deadlines = Deadlines::new(&config::Server {
            write_timeout: minute / 2,
            body_timeout: minute / 2,
            ..config::Server::default()
        });
        // It ends at the second look only.
        let first = self.io.state.check_deadlines(&deadlines);
        first.or_else(|| self.io.state.check_deadlines(&deadlines))
    }

    /// Fills what is between us and the client.
    fn stuff(&mut self) {
        while self.bare.write(&[b'x'; 1024]).is_ok() {}
    }

    /// Writes in a turn of which nothing is left; whether that was done.
    async fn writes_late(&mut self) -> bool {
        let io = &mut self.io;
        late(|cx| Pin::new(&mut *io).poll_write(cx, b"x"))
            .await
            .is_ready()
    }
}

#[tokio::test]
async fn a_write_that_the_turn_has_no_room_for_is_not_held_against_the_client() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        assert!(!scene.writes_late().await, "it is put off");
        assert_eq!(scene.overdue(), None);
        assert!(scene.writes_late().await, "not twice");
        assert_eq!(scene.overdue(), None);
    }
    scene.client.read_exact(&mut [0; 3]).unwrap();
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_found_out_in_the_next_turn_however_full_that_is() {
    let mut scene = Scene::new();
    scene.stuff();
    assert!(!scene.writes_late().await);
    assert_eq!(scene.overdue(), None);
    assert!(!scene.writes_late().await);
    assert_eq!(scene.overdue(), Some(Timeout::Write));
}

#[tokio::test]
async fn a_client_that_takes_all_leaves_others_their_turn() {
    let (stream, _client) = duplex(1 << 20);
    let state = Rc::new(State::new(Rc::default()));
    state.set_protocol(Protocol::Http1);
    state.begin_exchange();
    let scheme = Scheme::Http;
    let mut io = Io::new(Socket::Memory { stream, scheme }, state);
    let octets = vec![b'x'; 60 << 10];
    let mut turns = Vec::new();
    while turns.iter().sum::<usize>() < 1 << 20 {
        let written = poll_fn(|cx| {
            let mut written = 0;
            while let Poll::Ready(n) = Pin::new(&mut io).poll_write(cx, &octets) {
                written += n.unwrap();
            }
            Poll::Ready(written)
        });
        turns.push(written.await);
    }
    // A write is not cut short.
    assert_eq!(turns, [300 << 10, 300 << 10, 300 << 10, 124 << 10]);
}

#[tokio::test]
async fn content_that_the_turn_has_no_room_for_is_not_missing() {
    let mut scene = Scene::new();
    scene.client.write_all(b"content").unwrap();
    let mut room = [0; 16];
    let io = &mut scene.io;
    let late = late(|cx| Pin::new(&mut *io).poll_read(cx, &mut ReadBuf::new(&mut room)));
    assert!(late.await.is_pending());
    assert_eq!(scene.overdue(), None);
    // Whereas this is a client that sends nothing.
    let mut read = ReadBuf::new(&mut room);
    let io = &mut scene.io;
    poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, &mut read))
        .await
        .unwrap();
    assert_eq!(read.filled(), b"content");
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *io).poll_read(cx, &mut read).is_pending())).await;
    assert_eq!(scene.overdue(), Some(Timeout::Content));
}
