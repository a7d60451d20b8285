//! The challenges of a certificate authority that are in flight, and what else a listener answers itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// What the listener of a connection answers itself.
#[derive(Debug, Default)]
pub struct OwnAnswers {
    /// The port of https to which each request is redirected.
    pub redirect: Option<u16>,
    pub challenges: Challenges,
}

impl OwnAnswers {
    /// Whether there may be any for a connection that begins now.
    pub fn are_expected(&self) -> bool {
        self.redirect.is_some() || self.challenges.0.are_expected.load(Ordering::Relaxed)
    }
}

/// The challenges http-01 (RFC 8555 §8.3) that are in flight. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    are_expected: AtomicBool,
    /// The key authorization by token.
    answers: Mutex<HashMap<Box<str>, Bytes>>,
}

/// RFC 8555 §8.3.
const PATH: &str = "/.well-known/acme-challenge/";

impl Challenges {
    /// Whether connections that begin from now on look for challenges.
    pub fn expect(&self, expected: bool) {
        self.0.are_expected.store(expected, Ordering::Relaxed);
    }

    /// Answers the challenge with this token until the returned value is dropped.
    pub fn publish(&self, token: &str, key_authorization: &str) -> Published {
        let answer = Bytes::copy_from_slice(key_authorization.as_bytes());
        self.answers(|answers| answers.insert(token.into(), answer));
        Published {
            challenges: self.clone(),
            token: token.into(),
        }
    }

    pub(super) fn find(&self, path: &str) -> Option<Bytes> {
        let token = path.strip_prefix(PATH)?;
        self.answers(|answers| answers.get(token).cloned())
    }

    fn answers<T>(&self, act: impl FnOnce(&mut HashMap<Box<str>, Bytes>) -> T) -> T {
        act(&mut self
            .0
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

/// A challenge that is answered until this is dropped.
#[derive(Debug)]
pub struct Published {
    challenges: Challenges,
    token: Box<str>,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.challenges
            .answers(|answers| answers.remove(&self.token));
    }
}
