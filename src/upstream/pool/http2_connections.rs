//! The part of the pool where requests share connections: those that speak HTTP/2.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::clock::Monotonic;
use crate::config;
use crate::error::Error;
use crate::upstream::http2::{self, Shared, Stream};
use crate::upstream::pool::{Grant, Held, Pool, Want, overfull};

/// A worker's HTTP/2 connections to one server.
#[derive(Debug)]
pub(in crate::upstream) struct Sharing {
    protocol: config::Protocol,
    limits: Cell<http2::Limits>,
    /// The oldest first.
    connections: RefCell<Vec<Rc<Shared>>>,
    /// Rung when a stream has become free, or a connection is there or is not.
    pub(in crate::upstream) freed: Rc<Notify>,
    /// Whether a connection is being opened that others can share.
    opening: Cell<bool>,
    /// Why the last one could not be opened, for those who waited for it.
    failure: RefCell<Option<Error>>,
    /// Whether the server has chosen HTTP/1.1 where it could choose.
    refused: Cell<bool>,
}

impl Sharing {
    pub(in crate::upstream) fn new(protocol: config::Protocol, limits: http2::Limits) -> Self {
        Self {
            protocol,
            limits: Cell::new(limits),
            connections: RefCell::default(),
            freed: Rc::default(),
            opening: Cell::new(false),
            failure: RefCell::default(),
            refused: Cell::new(false),
        }
    }

    pub(in crate::upstream) fn protocol(&self) -> config::Protocol {
        self.protocol
    }

    pub(in crate::upstream) fn limits(&self) -> http2::Limits {
        self.limits.get()
    }

    /// Puts other limits in force; those of a connection's windows stay as they were when it was opened.
    pub(in crate::upstream) fn set_limits(&self, limits: http2::Limits) {
        self.limits.set(limits);
        for connection in &*self.connections.borrow() {
            connection.set_limit(limits.streams);
        }
        self.freed.notify_waiters();
    }

    /// Whether requests are to look for a connection to share before they open one of their own.
    pub(in crate::upstream) fn is_on(&self) -> bool {
        self.protocol != config::Protocol::Http1 && !self.refused.get()
    }

    pub(in crate::upstream) fn refused(&self, refused: bool) {
        self.refused.set(refused);
    }

    pub(in crate::upstream) fn add(&self, connection: &Rc<Shared>) {
        self.connections.borrow_mut().push(connection.clone());
    }

    /// A stream of the connection that was opened last and has room for one. Where an address has failed lately, only
    /// if `anywhere`.
    fn join(&self, want: Want, anywhere: bool) -> Option<Stream> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_ended());
        let fits = |connection: &&Rc<Shared>| {
            connection.has_room()
                && (want == Want::Any || !connection.is_used())
                && (anywhere || !connection.is_left_out())
        };
        connections.iter().rev().find(fits).map(Shared::open_stream)
    }

    /// Whether a request would find a stream.
    fn has_room(&self) -> bool {
        let connections = self.connections.borrow();
        connections.iter().any(|connection| connection.has_room())
    }

    /// Whether the server has said on a connection that it takes no request (RFC 9113 §6.5.2): another connection would
    /// not help.
    fn grants_none(&self) -> bool {
        let connections = self.connections.borrow();
        let mut open = connections.iter().filter(|open| !open.is_ended());
        open.any(|connection| connection.grants_none())
    }

    /// Closes what has ended, what has been idle for too long, and `in_the_way` more of the idle; how many were closed
    /// for that, and whether any are left.
    pub(in crate::upstream) fn sweep(
        &self,
        now: Monotonic,
        idle: Duration,
        in_the_way: usize,
    ) -> (usize, bool) {
        let mut connections = self.connections.borrow_mut();
        let mut closed = 0;
        connections.retain(|connection| match connection.idle_since() {
            _ if connection.is_ended() => false,
            None => true,
            Some(since) if now.since(since) >= idle => false,
            Some(_) if closed < in_the_way => {
                closed += 1;
                false
            }
            Some(_) => true,
        });
        (closed, !connections.is_empty())
    }
}

/// One request opens a connection, and others wait to share it.
struct Opening<'a>(&'a Sharing);

impl<'a> Opening<'a> {
    fn begin(sharing: &'a Sharing) -> Self {
        sharing.opening.set(true);
        sharing.failure.take();
        Self(sharing)
    }

    fn end(self, opened: Result<Option<Held>, Error>) -> Result<Option<Held>, Error> {
        opened.inspect_err(|error| *self.0.failure.borrow_mut() = Some(error.share()))
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.freed.notify_waiters();
    }
}

impl Pool {
    /// A stream of a connection that is there, or leave to open one, if either is there at once.
    pub(in crate::upstream) fn grant_shared(&self, want: Want) -> Option<Grant> {
        let sharing = self.sharing();
        if let Some(stream) = sharing.join(want, false) {
            return Some(Grant::Held(Held::Stream(stream)));
        }
        if self.may_open()
            && let Some(slot) = self.server().cap().try_take()
        {
            return Some(Grant::Slot(slot));
        }
        let stream = sharing.join(want, true);
        stream.map(|stream| Grant::Held(Held::Stream(stream)))
    }

    /// Whether the server has said that it takes no request for now, and another may take it.
    fn grants_none(&self) -> bool {
        !self.server().is_alone() && self.sharing().grants_none()
    }

    fn may_open(&self) -> bool {
        !self.sharing().opening.get() && !self.grants_none()
    }

    /// See [`Pool::has_room`].
    pub(in crate::upstream) fn has_shared_room(&self) -> bool {
        let sharing = self.sharing();
        sharing.has_room() || (!self.grants_none() && self.server().cap().has_room())
    }

    /// See [`Pool::await_grant`].
    pub(in crate::upstream) async fn await_shared_grant(
        &self,
        mut want: Want,
    ) -> Result<Grant, Error> {
        let sharing = self.sharing();
        loop {
            let freed = sharing.freed.notified();
            if let Some(grant) = self.grant_shared(want) {
                return Ok(grant);
            }
            let opening = sharing.opening.get();
            // Neither waits for the end of a connection.
            let _place = match opening || self.grants_none() {
                true => None,
                false => Some(self.enter_queue().ok_or_else(overfull)?),
            };
            tokio::select! {
                () = freed => {
                    if opening && let Some(error) = &*sharing.failure.borrow() {
                        return Err(error.share());
                    }
                }
                slot = self.server().cap().take(), if self.may_open() => {
                    return slot.map(Grant::Slot).ok_or_else(Error::internal);
                }
            }
            // What has come meanwhile is fresh enough, and better than none.
            if want == Want::Fresh || !self.server().cap().has_room() {
                want = Want::Any;
            }
            if !sharing.is_on() {
                return self.await_own_grant(want).await;
            }
        }
    }

    /// Opens a connection that other requests share; one of the request's own, where the server turns out not to speak
    /// HTTP/2.
    pub(in crate::upstream) async fn open_to_share(
        self: &Rc<Self>,
        slot: OwnedSemaphorePermit,
    ) -> Result<Option<Held>, Error> {
        let opening = Opening::begin(self.sharing());
        opening.end(self.open(slot).await)
    }
}
