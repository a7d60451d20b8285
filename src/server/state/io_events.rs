//! The events that a connection's I/O reports to its state, and the questions that it asks of it.

use super::State;
use super::machines::{ClientSide, Closing, Decision, Protocol};
use crate::server::deadline::{Phase, Timeout};
use crate::turn;

/// Probes, a second apart, that a client which has closed its side may take no byte of its response: one that left looks
/// the same as one that only half-closed, until we write to it.
const HALF_CLOSE_GRACE: u32 = 5;

impl State {
    /// So many octets have been read; 0 at the client's end.
    pub fn on_read(&self, n: usize) {
        // The task has been woken for it: others have had their turn.
        self.written.set(0);
        if n == 0 {
            self.client.set(ClientSide::Closed);
        }
        self.awaiting_content.set(None);
        match self.phase.get() {
            Phase::Tunnel => self.since.set(self.now()),
            Phase::Accepted => self.phase.set(Phase::Head),
            Phase::Idle if self.protocol.get() == Protocol::Http1 => self.enter(Phase::Head),
            _ => {}
        }
    }

    /// A read found nothing. While an HTTP/1 exchange is in flight, hyper reads only for the request's content: since
    /// half-closed connections are allowed, it does not look for the client's end in between. Where the task's turn is
    /// over, the socket has not been looked at.
    pub fn on_read_pending(&self) {
        if self.phase.get() == Phase::Busy
            && self.protocol.get() == Protocol::Http1
            && self.awaiting_content.get().is_none()
            && !turn::is_over()
        {
            self.awaiting_content.set(Some(self.now()));
        }
    }

    /// The client has taken some octets.
    pub fn on_written(&self, written: usize) {
        self.written.set(self.written.get() + written);
        self.write_deferred.set(false);
        self.write_blocked.set(None);
        if let ClientSide::HalfClosed { .. } = self.client.get() {
            self.client.set(ClientSide::HalfClosed { probes: 0 });
        }
        if matches!(self.phase.get(), Phase::Lingering | Phase::Tunnel) {
            // An HTTP/2 exchange ends when its last content is in h2's buffer; some may not be sent yet.
            self.since.set(self.now());
        }
    }

    /// Whether so much has been written that others have their turn before the next write; then counting begins anew. Turns
    /// that end by themselves are not known here: at worst there is one more.
    pub fn has_written_its_share(&self) -> bool {
        let is_over = self.written.get() >= turn::WRITTEN;
        if is_over {
            self.written.set(0);
        }
        is_over
    }

    /// Whether a write may be deferred to the task's next turn: not twice in a row.
    pub fn defer_write(&self) -> bool {
        !self.write_deferred.replace(true)
    }

    /// The socket takes nothing more now.
    pub fn on_write_pending(&self) {
        self.write_deferred.set(false);
        if self.write_blocked.get().is_none() {
            self.write_blocked.set(Some(self.now()));
        }
    }

    /// hyper's buffer is empty.
    pub fn on_flushed(&self) {
        if self.in_flight.get() == 0 {
            self.unflushed.set(false);
        }
    }

    /// Whether reading must fail now.
    pub fn has_read_timed_out(&self) -> bool {
        matches!(
            self.decision.get(),
            Decision::TimedOut(Timeout::Head | Timeout::Content)
        )
    }

    /// Whether writing must fail now.
    pub fn has_write_timed_out(&self) -> bool {
        self.decision.get() == Decision::TimedOut(Timeout::Write)
    }

    /// Whether the client has closed its side, or has had its time to.
    pub fn is_linger_over(&self) -> bool {
        self.client.get() == ClientSide::Closed
            || matches!(
                self.decision.get(),
                Decision::TimedOut(Timeout::Linger) | Decision::Evicted
            )
    }

    /// Whether what is written now is a response of hyper's own, to a head that it could not read: no other is in flight.
    pub fn is_hyper_answering(&self) -> bool {
        self.protocol.get() == Protocol::Http1
            && self.in_flight.get() == 0
            && !self.unflushed.get()
            && !matches!(self.phase.get(), Phase::Lingering | Phase::Tunnel)
    }

    pub fn is_lingering(&self) -> bool {
        self.phase.get() == Phase::Lingering
    }

    /// Our side has been shut down.
    pub fn begin_lingering(&self) {
        if self.phase.get() != Phase::Lingering {
            self.lingering_since.set(self.now());
            self.enter(Phase::Lingering);
        }
    }

    /// Whether the I/O is to look now whether the client is still there; true once a probe.
    pub fn take_probe(&self) -> bool {
        self.probe.replace(false)
    }

    /// A probe has found the client's side closed while it waits for a response. Returns whether it has taken no byte for
    /// too long.
    pub fn is_half_closed_too_long(&self) -> bool {
        match self.client.get() {
            ClientSide::HalfClosed { probes } => {
                let probes = probes.saturating_add(1);
                self.client.set(ClientSide::HalfClosed { probes });
                probes >= HALF_CLOSE_GRACE
            }
            ClientSide::Open => {
                self.client.set(ClientSide::HalfClosed { probes: 0 });
                false
            }
            ClientSide::Closed => false,
        }
    }

    pub fn closing(&self) -> Closing {
        self.closing.get()
    }

    pub fn set_closing(&self, closing: Closing) {
        self.closing.set(closing);
    }

    /// A response is written that belongs to no exchange; the connection closes after it.
    pub fn begin_final_response(&self) {
        self.closing.set(Closing::Lingering);
        self.unflushed.set(true);
    }

    /// Whether the connection must be reset: a regular close could be taken for the end of a message.
    pub fn must_reset(&self) -> bool {
        self.closing.get() == Closing::Reset || self.in_flight.get() > 0 || self.unflushed.get()
    }

    /// Whether no message is under way in either direction.
    pub fn is_idle(&self) -> bool {
        self.phase.get() == Phase::Idle
    }
}
