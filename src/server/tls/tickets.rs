//! Session tickets (RFC 5077 §4, RFC 8446 §4.6.1), made by keys that a successor gets, so that clients resume their sessions
//! across a handover. The library's own ticketer does not give its keys away.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;

use crate::clock::{Clock, Monotonic};

/// For how long a key makes tickets; for as long again it opens them.
const ROTATE_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

const NAME: usize = 16;
const NONCE: usize = 12;

/// Makes and opens the tickets of one listener. A ticket is the name of its key, a nonce, and the encrypted session.
#[derive(Debug)]
pub(in crate::server) struct Tickets {
    clock: Clock,
    keys: ArcSwap<Keys>,
    rotating: Mutex<()>,
}

/// The keys of a [`Tickets`], for a successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct TicketKeys {
    pub current: Secret,
    /// Of which there may still be tickets.
    pub previous: Option<Secret>,
    /// For how long the current one has made tickets.
    pub age: Duration,
}

/// The name of a key, and the key.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::server) struct Secret([u8; Self::LENGTH]);

#[derive(Debug)]
struct Keys {
    current: Key,
    previous: Option<Key>,
    /// When the current key became this process's, and its age then.
    since: Monotonic,
    age_before: Duration,
}

#[derive(Debug)]
struct Key {
    secret: Secret,
    cipher: RandomizedNonceKey,
}

impl Tickets {
    /// With `keys`, or else with a new one.
    pub fn new(keys: Option<TicketKeys>, clock: Clock) -> Result<Arc<Self>, Unspecified> {
        let keys = match keys {
            Some(keys) => keys,
            None => TicketKeys {
                current: Secret::random()?,
                previous: None,
                age: Duration::ZERO,
            },
        };
        let keys = Keys {
            current: Key::new(keys.current)?,
            previous: keys.previous.map(Key::new).transpose()?,
            since: clock.now().mono,
            age_before: keys.age,
        };
        Ok(Arc::new(Self {
            clock,
            keys: ArcSwap::from_pointee(keys),
            rotating: Mutex::new(()),
        }))
    }

    /// The keys, for a successor.
    pub fn keys(&self) -> TicketKeys {
        let keys = self.fresh();
        TicketKeys {
            current: keys.current.secret.clone(),
            previous: keys.previous.as_ref().map(|key| key.secret.clone()),
            age: keys.age(self.clock.now().mono),
        }
    }

    /// The keys, of which the current one is not too old.
    fn fresh(&self) -> Arc<Keys> {
        let now = self.clock.now().mono;
        let keys = self.keys.load_full();
        if keys.age(now) < ROTATE_AFTER {
            return keys;
        }
        let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.load_full();
        // Another thread may have been first. Without random octets, the old key does.
        if keys.age(now) >= ROTATE_AFTER
            && let Ok(new) = keys.rotated(now)
        {
            self.keys.store(Arc::new(new));
        }
        self.keys.load_full()
    }
}

impl Keys {
    fn age(&self, now: Monotonic) -> Duration {
        self.age_before.saturating_add(now.since(self.since))
    }

    fn rotated(&self, now: Monotonic) -> Result<Self, Unspecified> {
        let has_tickets = self.age(now) < 2 * ROTATE_AFTER;
        let previous = has_tickets.then(|| Key::new(self.current.secret.clone()));
        Ok(Self {
            current: Key::new(Secret::random()?)?,
            previous: previous.transpose()?,
            since: now,
            age_before: Duration::ZERO,
        })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(2 * ROTATE_AFTER.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let keys = self.fresh();
        let Key { secret, cipher } = &keys.current;
        let mut sealed = session.to_vec();
        let nonce = cipher.seal_in_place_append_tag(Aad::from(secret.name()), &mut sealed);
        let nonce = nonce.ok()?;
        Some([secret.name(), nonce.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        let keys = self.fresh();
        let mut all = [&keys.current].into_iter().chain(&keys.previous);
        let Key { secret, cipher } = all.find(|key| key.secret.name() == name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = sealed.to_vec();
        let opened = cipher.open_in_place(nonce, Aad::from(secret.name()), &mut session);
        let length = opened.ok()?.len();
        session.truncate(length);
        Some(session)
    }
}

impl Key {
    fn new(secret: Secret) -> Result<Self, Unspecified> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, secret.key())?;
        Ok(Self { secret, cipher })
    }
}

impl Secret {
    pub const LENGTH: usize = NAME + 32;

    pub fn from_octets(octets: [u8; Self::LENGTH]) -> Self {
        Self(octets)
    }

    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    fn random() -> Result<Self, Unspecified> {
        let mut octets = [0; Self::LENGTH];
        rand::fill(&mut octets)?;
        Ok(Self(octets))
    }

    fn name(&self) -> &[u8] {
        &self.0[..NAME]
    }

    fn key(&self) -> &[u8] {
        &self.0[NAME..]
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::time::Timestamp;

    fn tickets(keys: Option<TicketKeys>, clock: &Clock) -> Arc<Tickets> {
        Tickets::new(keys, clock.clone()).unwrap()
    }

    #[test]
    fn a_ticket_is_opened_as_long_as_its_key_is_known_and_by_a_successor_too() {
        let (clock, manual) = Clock::manual(Timestamp::from_secs(1_700_000_000));
        let mut maker = tickets(None, &clock);
        let first = maker.encrypt(b"first").unwrap();
        manual.advance(ROTATE_AFTER / 2);
        // Its age goes on to count.
        maker = tickets(Some(maker.keys()), &clock);
        assert_eq!(maker.decrypt(&first).unwrap(), b"first");
        manual.advance(ROTATE_AFTER / 2);
        let second = maker.encrypt(b"second").unwrap();
        assert_ne!(first[..NAME], second[..NAME], "another key");
        maker = tickets(Some(maker.keys()), &clock);
        assert_eq!(maker.decrypt(&first).unwrap(), b"first");
        assert_eq!(maker.decrypt(&second).unwrap(), b"second");
        manual.advance(ROTATE_AFTER);
        assert_eq!(maker.decrypt(&first), None);
        assert_eq!(maker.decrypt(&second).unwrap(), b"second");
        // All are too old after a long silence.
        manual.advance(2 * ROTATE_AFTER);
        assert_eq!(maker.decrypt(&second), None);
    }

    #[test]
    fn what_is_no_ticket_of_its_own_is_not_opened() {
        let clock = Clock::system();
        let (own, other) = (tickets(None, &clock), tickets(None, &clock));
        let ticket = own.encrypt(b"a session").unwrap();
        assert_eq!(own.decrypt(&ticket).unwrap(), b"a session");
        assert_eq!(other.decrypt(&ticket), None);
        for at in 0..ticket.len() {
            assert_eq!(own.decrypt(&ticket[..at]), None, "{at}");
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(own.decrypt(&changed), None, "{at}");
        }
        let again = own.encrypt(b"a session").unwrap();
        assert_ne!(ticket[NAME..NAME + NONCE], again[NAME..NAME + NONCE]);
        let shown = format!("{:?}", own.keys());
        assert!(shown.contains("current: (secret)"), "{shown}");
    }
}
