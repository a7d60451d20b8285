//! Verification of passwords. One takes up to a second of a core: it runs on threads of its own, a few at a time, so that no
//! worker stands still, and what has proved right is remembered.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::available_parallelism;

use tokio::sync::{Semaphore, watch};

use crate::proxy::limit::{Client, Full, Shares};
use crate::semantics::password::PasswordHash;

/// Passwords that are remembered; all are forgotten when there are more.
const MAX_KNOWN: usize = 16_384;

/// Verifications that run or wait for their turn, in all and for one client.
const MAX_WAITING: usize = 64;
const MAX_OF_CLIENT: usize = 4;

type Digest = [u8; 32];

/// Verifies passwords for all workers.
#[derive(Debug)]
pub struct Verifier {
    /// Keys the digests, so that they are of no use elsewhere.
    key: Digest,
    /// Of pairs of a hash and a password that belong together. A file that is read again with another hash has other digests.
    known: Arc<RwLock<HashSet<Digest>>>,
    running: Running,
    waiting: Arc<Shares>,
    turns: Arc<Semaphore>,
}

/// A password that is to be verified.
pub struct Trial {
    pub hash: PasswordHash,
    pub password: Vec<u8>,
    /// Whether the hash is that of a user; what comes of another's says nothing.
    pub is_of_user: bool,
}

/// The passwords that are being verified: a page sends its first requests all at once, and each has the same one.
#[derive(Clone, Debug, Default)]
struct Running(Arc<Mutex<HashMap<Of, Outcome>>>);

/// A pair of a hash and a password, and whether the hash is that of a user.
type Of = (Digest, bool);

/// `None` until it has been verified.
type Outcome = watch::Receiver<Option<bool>>;

/// The duty to verify a password; given up when it is dropped.
struct Lead {
    running: Running,
    of: Of,
    result: watch::Sender<Option<bool>>,
}

impl Running {
    /// `Err` has the outcome for which another one leads.
    fn lead(&self, digest: Digest, is_of_user: bool) -> Result<Lead, Outcome> {
        let of = (digest, is_of_user);
        match self.lock().entry(of) {
            Entry::Occupied(running) => Err(running.get().clone()),
            Entry::Vacant(free) => {
                let (result, outcome) = watch::channel(None);
                free.insert(outcome);
                let running = self.clone();
                Ok(Lead {
                    running,
                    of,
                    result,
                })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Of, Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.running.lock().remove(&self.of);
    }
}

impl Default for Verifier {
    fn default() -> Self {
        let random = RandomState::new();
        let mut key = Digest::default();
        for (at, word) in key.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&random.hash_one(at).to_le_bytes());
        }
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self {
            key,
            known: Arc::default(),
            running: Running::default(),
            waiting: Arc::default(),
            turns: Arc::new(Semaphore::new(cores.div_ceil(2))),
        }
    }
}

impl Verifier {
    /// Whether the password has proved right before.
    pub fn knows(&self, trial: &Trial) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        trial.is_of_user && known.contains(&self.digest(trial))
    }

    /// Whether the password is right. One that several requests have at once is verified once for all of them.
    ///
    /// # Errors
    /// [`Full`] where too many are being verified, or too many of this client's.
    pub async fn verify(&self, trial: Trial, client: Option<Client>) -> Result<bool, Full> {
        let digest = self.digest(&trial);
        loop {
            let mut running = match self.running.lead(digest, trial.is_of_user) {
                Ok(lead) => return self.verify_alone(trial, client, lead).await,
                Err(running) => running,
            };
            // Where its client has left before its turn, or it had none, the next one leads.
            if let Ok(is_right) = running.wait_for(Option::is_some).await {
                return Ok(is_right.unwrap_or(false));
            }
        }
    }

    async fn verify_alone(
        &self,
        trial: Trial,
        client: Option<Client>,
        lead: Lead,
    ) -> Result<bool, Full> {
        let share = self.waiting.enter(client, MAX_WAITING, MAX_OF_CLIENT)?;
        // The semaphore is never closed.
        let Ok(turn) = self.turns.clone().acquire_owned().await else {
            return Err(Full::All);
        };
        let known = self.known.clone();
        let verified = tokio::task::spawn_blocking(move || {
            let is_right = trial.hash.is_of(&trial.password) && trial.is_of_user;
            if is_right {
                let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
                if known.len() >= MAX_KNOWN {
                    known.clear();
                }
                known.insert(lead.of.0);
            }
            lead.result.send_replace(Some(is_right));
            // A client that leaves gives no turn to another before the core is free.
            drop((lead, turn, share));
            is_right
        });
        Ok(verified.await.unwrap_or(false))
    }

    fn digest(&self, trial: &Trial) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // A hash has no octet 0.
        hasher.update(trial.hash.as_bytes()).update(&[0]);
        *hasher.update(&trial.password).finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::task::{Context, Waker};

    use tokio::join;

    use super::*;

    fn trial(password: &str, is_of_user: bool) -> Trial {
        let hash = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
        Trial {
            hash: PasswordHash::parse(hash).expect("a hash"),
            password: password.into(),
            is_of_user,
        }
    }

    #[tokio::test]
    async fn what_has_proved_right_is_remembered_and_nothing_else() {
        let verifier = Verifier::default();
        assert!(!verifier.knows(&trial("sesame", true)));
        for (password, is_of_user, is_right) in [
            ("wrong", true, false),
            ("sesame", false, false),
            ("sesame", true, true),
        ] {
            let verified = verifier.verify(trial(password, is_of_user), None).await;
            assert_eq!(verified, Ok(is_right), "{password} {is_of_user}");
            assert_eq!(verifier.knows(&trial(password, is_of_user)), is_right);
        }
        assert!(!verifier.knows(&trial("wrong", true)));
        assert!(!verifier.knows(&trial("sesame", false)));
    }

    #[tokio::test]
    async fn one_client_s_passwords_do_not_take_all_turns() {
        let verifier = Verifier::default();
        let client = |ip: &str| ip.parse::<IpAddr>().ok().map(Client::from);
        let of = |ip, password| verifier.verify(trial(password, true), client(ip));
        let (a, b, c, d, e, other) = join!(
            of("10.0.0.1", "a"),
            of("10.0.0.1", "b"),
            of("10.0.0.1", "c"),
            of("10.0.0.1", "d"),
            of("10.0.0.1", "e"),
            of("10.0.0.2", "sesame")
        );
        assert_eq!([a, b, c, d], [Ok(false); MAX_OF_CLIENT]);
        assert_eq!((e, other), (Err(Full::Client), Ok(true)));
        assert_eq!(verifier.waiting.held(), 0);
    }

    #[tokio::test]
    async fn a_password_that_many_requests_have_at_once_is_verified_once() {
        let verifier = Verifier::default();
        let client = "10.0.0.1".parse::<IpAddr>().ok().map(Client::from);
        let verify = |is_of_user| verifier.verify(trial("sesame", is_of_user), client);
        let (a, b, c, d, e, f, other) = join!(
            verify(true),
            verify(true),
            verify(true),
            verify(true),
            verify(true),
            verify(true),
            verify(false)
        );
        assert_eq!([a, b, c, d, e, f], [Ok(true); MAX_OF_CLIENT + 2]);
        assert_eq!(other, Ok(false));
        assert!(verifier.running.lock().is_empty());
        assert_eq!(verifier.waiting.held(), 0);
    }

    #[tokio::test]
    async fn the_next_one_leads_where_a_leader_is_gone() {
        let verifier = Verifier::default();
        let verify = || verifier.verify(trial("sesame", true), None);
        let all_turns = verifier.turns.clone();
        let turns = all_turns.acquire_many(all_turns.available_permits() as u32);
        let turns = turns.await.expect("the semaphore is open");
        let (mut leader, mut follower) = (Box::pin(verify()), Box::pin(verify()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(leader.as_mut().poll(&mut context).is_pending());
        assert!(follower.as_mut().poll(&mut context).is_pending());
        drop(leader);
        drop(turns);
        assert_eq!(follower.await, Ok(true));
    }
}
