//! What the server does for one variant of a resource: its scripts as functions over two keys in one slot, the stored response and
//! the fill lease. Collapsing saves requests and decides nothing about what may be served: that is done by stamps, when a response
//! is read. So these may read the server's clock, which may step.

use super::timing::Time;

/// A fill, by a number that no other has.
pub type Nonce = u64;

/// For how long a fill is awaited that does not renew its lease, in milliseconds.
pub const LEASE: Time = 2_000;

/// For how long it is remembered that responses are not for sharing, in milliseconds.
pub const HIT_FOR_MISS: Time = 10_000;

/// A stored response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<R> {
    /// The fill that has brought it.
    pub nonce: Nonce,
    /// The number of its stamp: the epoch is part of the keys.
    pub number: u64,
    pub response: R,
}

/// Who fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lease {
    Fill { nonce: Nonce, until: Time },
    HitForMiss { until: Time },
}

/// The two keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot<R> {
    stored: Option<Stored<R>>,
    lease: Option<Lease>,
}

/// What a fill does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun<R> {
    /// It uses this response, if it is valid for it.
    Stored(Stored<R>),
    /// It asks upstream, and stores what comes.
    Lead,
    /// It waits for another one to store something.
    Follow,
    /// It asks upstream alone, and stores nothing.
    HitForMiss,
}

/// How a fill ended that stores nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// Another one may succeed.
    Failed,
    /// The response is not for sharing.
    NotShared,
    /// Nor is it, and what is stored is outdated by it.
    Outdated,
}

impl<R> Default for Slot<R> {
    fn default() -> Self {
        let (stored, lease) = (None, None);
        Self { stored, lease }
    }
}

impl<R: Clone> Slot<R> {
    /// A fill begins, or renews its lease. `unfit` is a stored response that was read, and that cannot be used.
    pub fn begin(&mut self, now: Time, nonce: Nonce, unfit: Option<Nonce>) -> Begun<R> {
        let stored = self.stored.as_ref();
        if let Some(stored) = stored.filter(|stored| Some(stored.nonce) != unfit) {
            return Begun::Stored(stored.clone());
        }
        match self.lease {
            Some(Lease::HitForMiss { until }) if now < until => Begun::HitForMiss,
            Some(Lease::Fill {
                nonce: other,
                until,
            }) if now < until && other != nonce => Begun::Follow,
            _ => {
                let until = now + LEASE;
                self.lease = Some(Lease::Fill { nonce, until });
                Begun::Lead
            }
        }
    }

    /// A fill stores its response. Whether it did: not if its lease is not its own any more, nor over a younger response.
    pub fn commit(&mut self, new: Stored<R>) -> bool {
        let stored = self.stored.as_ref();
        let is_younger = stored.is_some_and(|stored| stored.number > new.number);
        if !self.is_held_by(new.nonce) || is_younger {
            return false;
        }
        self.lease = None;
        self.stored = Some(new);
        true
    }

    /// A fill ends without a response to be stored; those that follow it go on.
    pub fn release(&mut self, now: Time, nonce: Nonce, how: Released) {
        if self.is_held_by(nonce) {
            self.lease = match how {
                Released::Failed => None,
                Released::NotShared | Released::Outdated => Some(Lease::HitForMiss {
                    until: now + HIT_FOR_MISS,
                }),
            };
            if how == Released::Outdated {
                self.stored = None;
            }
        }
    }

    /// A lease that has run out is still held while nobody has taken it.
    fn is_held_by(&self, nonce: Nonce) -> bool {
        matches!(self.lease, Some(Lease::Fill { nonce: holder, .. }) if holder == nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(nonce: Nonce, number: u64) -> Stored<&'static str> {
        let response = "a response";
        Stored {
            nonce,
            number,
            response,
        }
    }

    #[test]
    fn one_fill_leads_and_the_others_get_what_it_stores() {
        let mut slot = Slot::default();
        assert_eq!(slot.begin(0, 1, None), Begun::Lead);
        assert_eq!(slot.begin(1, 2, None), Begun::Follow);
        assert!(!slot.commit(response(2, 7)), "it does not lead");
        assert!(slot.commit(response(1, 7)));
        assert_eq!(slot.begin(2, 2, None), Begun::Stored(response(1, 7)));
        assert!(!slot.commit(response(1, 8)), "its lease has ended");
    }

    #[test]
    fn a_stored_response_that_cannot_be_used_is_replaced_but_not_by_an_older_one() {
        let mut slot = Slot::default();
        assert_eq!(slot.begin(0, 1, None), Begun::Lead);
        assert!(slot.commit(response(1, 7)));
        assert_eq!(slot.begin(1, 2, Some(1)), Begun::Lead);
        assert_eq!(slot.begin(1, 3, Some(1)), Begun::Follow);
        assert!(!slot.commit(response(2, 6)));
        assert!(slot.commit(response(2, 7)));
        assert_eq!(slot.begin(2, 3, Some(1)), Begun::Stored(response(2, 7)));
    }

    #[test]
    fn a_leader_that_died_is_awaited_for_the_time_of_its_lease() {
        let mut slot = Slot::<&str>::default();
        assert_eq!(slot.begin(0, 1, None), Begun::Lead);
        assert_eq!(slot.begin(LEASE / 2, 1, None), Begun::Lead, "it is renewed");
        assert_eq!(slot.begin(LEASE, 2, None), Begun::Follow);
        assert_eq!(slot.begin(LEASE / 2 + LEASE, 2, None), Begun::Lead);
        assert!(!slot.commit(response(1, 7)));
        slot.release(LEASE, 1, Released::NotShared);
        assert_eq!(slot.begin(2 * LEASE, 3, None), Begun::Follow);
    }

    #[test]
    fn a_response_that_is_not_for_sharing_releases_all() {
        let mut slot = Slot::<&str>::default();
        assert_eq!(slot.begin(0, 1, None), Begun::Lead);
        slot.release(1, 1, Released::NotShared);
        assert_eq!(slot.begin(2, 2, None), Begun::HitForMiss);
        assert_eq!(slot.begin(1 + HIT_FOR_MISS, 2, None), Begun::Lead);
        slot.release(1 + HIT_FOR_MISS, 2, Released::Failed);
        assert_eq!(slot.begin(2 + HIT_FOR_MISS, 3, None), Begun::Lead);
    }

    #[test]
    fn a_response_that_is_not_for_sharing_may_outdate_what_is_stored() {
        for (how, expected) in [
            (Released::NotShared, Begun::Stored(response(1, 7))),
            (Released::Outdated, Begun::HitForMiss),
        ] {
            let mut slot = Slot::default();
            slot.begin(0, 1, None);
            slot.commit(response(1, 7));
            slot.begin(1, 2, Some(1));
            slot.release(2, 2, how);
            assert_eq!(slot.begin(3, 3, None), expected);
        }
    }
}
