//! A worker's HTTP/2 connections to one server, which its requests share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::channel::{Channel, Reuse};
use crate::clock::Monotonic;
use crate::config;
use crate::error::Error;
use crate::upstream::http2::{Http2Connection, Stream};
use crate::upstream::limits::Http2Limits;

#[derive(Debug)]
pub(in crate::upstream) struct Http2Connections {
    protocol: config::Protocol,
    limits: Cell<Http2Limits>,
    /// The oldest first.
    connections: RefCell<Vec<Rc<Http2Connection>>>,
    /// Notified when a stream has become free, and when a connection was opened or could not be.
    freed: Rc<Notify>,
    /// Whether a connection is being opened that others can share.
    opening: Cell<bool>,
    /// Why the last one could not be opened, for the requests that waited for it.
    failure: RefCell<Option<Error>>,
    /// Whether the server has chosen HTTP/1.1 where it could choose.
    http1_chosen: Cell<bool>,
}

impl Http2Connections {
    pub(in crate::upstream) fn new(protocol: config::Protocol, limits: Http2Limits) -> Self {
        Self {
            protocol,
            limits: Cell::new(limits),
            connections: RefCell::default(),
            freed: Rc::default(),
            opening: Cell::new(false),
            failure: RefCell::default(),
            http1_chosen: Cell::new(false),
        }
    }

    pub(super) fn protocol(&self) -> config::Protocol {
        self.protocol
    }

    pub(super) fn limits(&self) -> Http2Limits {
        self.limits.get()
    }

    /// Puts other limits in force; those of a connection's windows stay as they were when it was opened.
    pub(super) fn set_limits(&self, limits: Http2Limits) {
        self.limits.set(limits);
        for connection in &*self.connections.borrow() {
            connection.set_limit(limits.streams);
        }
        self.freed.notify_waiters();
    }

    pub(super) fn freed(&self) -> &Rc<Notify> {
        &self.freed
    }

    /// Whether requests are to look for a connection to share before they open one of their own.
    pub(super) fn is_on(&self) -> bool {
        self.protocol != config::Protocol::Http1 && !self.http1_chosen.get()
    }

    /// Notes which protocol the server has chosen on a new connection.
    pub(super) fn set_http1_chosen(&self, http1_chosen: bool) {
        self.http1_chosen.set(http1_chosen);
    }

    pub(super) fn add(&self, connection: &Rc<Http2Connection>) {
        self.connections.borrow_mut().push(connection.clone());
    }

    /// A stream of the connection that was opened last and has room for one. Where an address has failed lately, only
    /// if `anywhere`.
    pub(super) fn open_stream(&self, reuse: Reuse, anywhere: bool) -> Option<Stream> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_ended());
        let fits = |connection: &&Rc<Http2Connection>| {
            connection.has_room()
                && (reuse == Reuse::Any || !connection.is_used())
                && (anywhere || !connection.is_avoided())
        };
        connections.iter().rev().find(fits).map(Stream::open)
    }

    /// Whether a request would find a stream.
    pub(super) fn has_room(&self) -> bool {
        let connections = self.connections.borrow();
        connections.iter().any(|connection| connection.has_room())
    }

    /// Whether the server has announced on a connection that it takes no request (RFC 9113 §6.5.2): another connection would
    /// not help.
    pub(super) fn allows_none(&self) -> bool {
        let connections = self.connections.borrow();
        let mut open = connections.iter().filter(|open| !open.is_ended());
        open.any(|connection| connection.allows_none())
    }

    /// Closes connections that have ended or been idle for `timeout`, and up to `surplus` more of the idle ones.
    /// Returns how many were closed as surplus, and whether any are left.
    pub(super) fn sweep(&self, now: Monotonic, timeout: Duration, surplus: usize) -> (usize, bool) {
        let mut connections = self.connections.borrow_mut();
        let mut closed = 0;
        connections.retain(|connection| match connection.idle_since() {
            _ if connection.is_ended() => false,
            None => true,
            Some(since) if now.since(since) >= timeout => false,
            Some(_) if closed < surplus => {
                closed += 1;
                false
            }
            Some(_) => true,
        });
        (closed, !connections.is_empty())
    }

    pub(super) fn is_opening(&self) -> bool {
        self.opening.get()
    }

    /// Why the last attempt to open one failed.
    pub(super) fn opening_failure(&self) -> Option<Error> {
        self.failure.borrow().as_ref().map(Error::share)
    }
}

/// One request opens a connection, and others wait to share it.
pub(super) struct Opening<'a>(&'a Http2Connections);

impl<'a> Opening<'a> {
    pub(super) fn begin(connections: &'a Http2Connections) -> Self {
        connections.opening.set(true);
        connections.failure.take();
        Self(connections)
    }

    pub(super) fn end(
        self,
        opened: Result<Option<Channel>, Error>,
    ) -> Result<Option<Channel>, Error> {
        opened.inspect_err(|error| *self.0.failure.borrow_mut() = Some(error.share()))
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(false);
        self.0.freed.notify_waiters();
    }
}
