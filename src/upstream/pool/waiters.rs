//! The requests of one worker that wait for a connection to one server.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::upstream::http1::connection::Connection;

/// A worker's part of the server's queue, in order of arrival.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: RefCell<VecDeque<Waiter>>,
    next_ticket: Cell<u64>,
    /// How many of them began to wait when the worker had no connection.
    pub(super) without_connection: Cell<usize>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    receiver: oneshot::Sender<Connection>,
}

impl Waiters {
    /// Joins the queue, until the ticket is dropped. A connection goes to `receiver`.
    pub(super) fn join(&self, receiver: oneshot::Sender<Connection>) -> Ticket<'_> {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        let waiter = Waiter { ticket, receiver };
        self.waiting.borrow_mut().push_back(waiter);
        Ticket {
            waiters: self,
            ticket,
        }
    }

    /// Gives the connection to the request that has waited longest; returns it when none waits.
    pub(super) fn hand_over(&self, mut connection: Connection) -> Option<Connection> {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(waiter) = next else {
                return Some(connection);
            };
            match waiter.receiver.send(connection) {
                Ok(()) => return None,
                Err(refused) => connection = refused,
            }
        }
    }
}

/// One request's place among them, until it is dropped.
pub(super) struct Ticket<'a> {
    waiters: &'a Waiters,
    ticket: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiters.waiting.borrow_mut();
        if let Ok(at) = waiting.binary_search_by_key(&self.ticket, |waiter| waiter.ticket) {
            waiting.remove(at);
        }
    }
}
