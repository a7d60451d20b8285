//! The terms on which a listener accepts connections: what it demands of a client before the first request, and so whom it
//! takes the client for. A reload may change them, and a new list of revoked certificates does. What was accepted before
//! takes no further request then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Changes of any listener's terms, for workers that look for them.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// How many changes there have been in this process.
pub(super) fn changes() -> u64 {
    CHANGES.load(Ordering::Acquire)
}

/// Those of one address.
#[derive(Debug, Default)]
pub(super) struct Terms {
    has_ended: AtomicBool,
    /// How often what TLS demands of clients has changed.
    tls: AtomicU64,
}

impl Terms {
    /// The address is gone, or has other terms.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        CHANGES.fetch_add(1, Ordering::AcqRel);
    }

    /// TLS demands something else of clients. To be called when it does.
    pub fn change_tls(&self) {
        self.tls.fetch_add(1, Ordering::AcqRel);
        CHANGES.fetch_add(1, Ordering::AcqRel);
    }

    /// A connection is accepted now. To be called before its handshake.
    pub fn accept(self: &Arc<Self>) -> AcceptedOn {
        AcceptedOn {
            tls: self.tls.load(Ordering::Acquire),
            terms: self.clone(),
        }
    }
}

/// The terms on which a connection was accepted.
#[derive(Debug)]
pub(super) struct AcceptedOn {
    terms: Arc<Terms>,
    tls: u64,
}

impl AcceptedOn {
    /// Whether its listener has others now.
    pub fn are_over(&self) -> bool {
        self.terms.has_ended.load(Ordering::Acquire)
            || self.terms.tls.load(Ordering::Acquire) != self.tls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_on_the_terms_that_it_was_accepted_on() {
        let terms = Arc::<Terms>::default();
        let first = terms.accept();
        assert!(!first.are_over());
        terms.change_tls();
        let second = terms.accept();
        assert!(first.are_over() && !second.are_over());
        terms.end();
        assert!(second.are_over() && terms.accept().are_over());
    }
}
