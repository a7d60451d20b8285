//! Verification of passwords. One takes up to a second of a core: it runs on threads of its own, a few at a time, so that no
//! worker stands still, and what has proved right is remembered.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZero;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

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
    known: RwLock<HashSet<Digest>>,
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
            known: RwLock::default(),
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

    /// Whether the password is right.
    ///
    /// # Errors
    /// [`Full`] where too many are being verified, or too many of this client's.
    pub async fn verify(&self, trial: Trial, client: Option<Client>) -> Result<bool, Full> {
        let share = self.waiting.enter(client, MAX_WAITING, MAX_OF_CLIENT)?;
        // The semaphore is never closed.
        let Ok(turn) = self.turns.clone().acquire_owned().await else {
            return Err(Full::All);
        };
        let digest = self.digest(&trial);
        let verified = tokio::task::spawn_blocking(move || {
            let is_right = trial.hash.is_of(&trial.password) && trial.is_of_user;
            // A client that leaves gives no turn to another before the core is free.
            drop((turn, share));
            is_right
        });
        let is_right = verified.await.unwrap_or(false);
        if is_right {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(digest);
        }
        Ok(is_right)
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
        let of = |ip| verifier.verify(trial("sesame", true), client(ip));
        let (a, b, c, d, e, other) = join!(
            of("10.0.0.1"),
            of("10.0.0.1"),
            of("10.0.0.1"),
            of("10.0.0.1"),
            of("10.0.0.1"),
            of("10.0.0.2")
        );
        assert_eq!([a, b, c, d], [Ok(true); MAX_OF_CLIENT]);
        assert_eq!((e, other), (Err(Full::Client), Ok(true)));
        assert_eq!(verifier.waiting.held(), 0);
    }
}
