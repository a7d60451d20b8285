//! A worker's idle HTTP/1.1 connections to one server.

use std::cell::RefCell;
use std::time::Duration;

use crate::clock::Monotonic;
use crate::upstream::http1::connection::Connection;

/// Idle connections, the oldest first.
#[derive(Debug, Default)]
pub(super) struct IdleConnections(RefCell<Vec<Idle>>);

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Monotonic,
}

impl IdleConnections {
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Takes the connection that was used last: it is the least likely to have been closed, and the others reach the timeout.
    pub(super) fn take_latest(&self, now: Monotonic, timeout: Duration) -> Option<Connection> {
        let mut idle = self.0.borrow_mut();
        while let Some(mut last) = idle.pop() {
            if now.since(last.since) >= timeout {
                // The others are older still.
                idle.clear();
                return None;
            }
            let is_avoided = last
                .connection
                .address()
                .is_some_and(|address| address.is_avoided(|| now));
            if !is_avoided && !last.connection.is_retired() && last.connection.is_ready() {
                return Some(last.connection);
            }
        }
        None
    }

    /// Keeps a connection, and `max` at most, which is not zero: the oldest is closed for it.
    pub(super) fn put(&self, connection: Connection, now: Monotonic, max: usize) {
        let mut idle = self.0.borrow_mut();
        if idle.len() >= max {
            idle.remove(0);
        }
        idle.push(Idle {
            connection,
            since: now,
        });
    }

    /// Closes connections that have been idle for `timeout`, that the server has closed or that lead to a retired address.
    pub(super) fn close_expired(&self, now: Monotonic, timeout: Duration) {
        self.0.borrow_mut().retain_mut(|idle| {
            !idle.connection.is_retired()
                && idle.connection.is_ready()
                && now.since(idle.since) < timeout
        });
    }

    /// Closes `count` connections, the oldest first, or all if they are fewer.
    pub(super) fn close_oldest(&self, count: usize) {
        let mut idle = self.0.borrow_mut();
        let count = count.min(idle.len());
        idle.drain(..count);
    }

    /// Closes the oldest until `max` are left.
    pub(super) fn shrink_to(&self, max: usize) {
        let surplus = self.0.borrow().len().saturating_sub(max);
        self.close_oldest(surplus);
    }
}
