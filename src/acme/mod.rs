//! The ACME client (RFC 8555): has certificates issued for the names that listeners want them for, and renewed in time. It
//! runs on the thread that supervises the server, not on workers. A certificate that works stays in use whatever fails here.
//!
//! - `schedule`: when to do what, as pure functions.
//! - `account`, `order`: the steps of the protocol.
//! - `http`: requests to the authority.
//! - `failure`: why a certificate was not issued, and what to do about it.
//! - `store`: the files.

mod account;
mod failure;
mod http;
mod order;
mod schedule;
mod store;

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use instant_acme::{CertificateIdentifier, Error};

use self::account::Accounts;
use self::failure::Failure;
use self::http::Authority;
use self::schedule::{Action, Known, Validity, Window};
use self::store::Store;
use crate::clock::{Clock, within};
use crate::config::acme::Challenge;
use crate::config::certificate::Identity;
use crate::config::units::show_duration;
use crate::proxy::Challenges;
use crate::server::{IssuedCertificate, TlsListeners, Wanted};

/// The longest sleep: a step of the wall clock is noticed after it.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long the issue of one certificate may take. Authorities answer within seconds, and may look at a name for minutes.
const ISSUE_WITHIN: Duration = Duration::from_secs(600);

/// How often an order is made again at once when the authority goes on refusing nonces that it gave (RFC 8555 §6.5).
const ORDERS_AGAIN: u32 = 2;

/// How long a question for renewal information may take.
const ASK_WITHIN: Duration = Duration::from_secs(60);

/// Has certificates issued and renewed, one at a time.
#[derive(Debug)]
pub struct Client {
    listeners: TlsListeners,
    challenges: Challenges,
    clock: Clock,
    /// What is known of each name; forgotten when it is not wanted any more.
    known: HashMap<Box<str>, Known>,
    /// Certificates that are in use, but could not be stored: the files and their content.
    unsaved: HashMap<Box<str>, (Wanted, String)>,
}

impl Client {
    /// For the names that `listeners` want certificates for, now and after each reload. `challenges` are answered on
    /// listeners without TLS.
    pub fn new(listeners: TlsListeners, challenges: Challenges, clock: Clock) -> Self {
        let client = Self {
            listeners,
            challenges,
            clock,
            known: HashMap::new(),
            unsaved: HashMap::new(),
        };
        client.wanted();
        client
    }

    /// Runs for ever. May be dropped at any time: what has been issued has been stored.
    pub async fn run(mut self) -> Infallible {
        loop {
            let wanted = self.wanted();
            self.known
                .retain(|name, _| wanted.iter().any(|wanted| wanted.name == *name));
            self.unsaved
                .retain(|name, _| wanted.iter().any(|wanted| wanted.name == *name));
            self.unsaved.retain(|name, (wanted, pem)| {
                let store = Store::open(&wanted.acme);
                let saved = store.and_then(|store| store.save_certificate(name, pem));
                if saved.is_ok() {
                    tracing::info!(%name, "certificate stored");
                }
                saved.is_err()
            });
            let now = self.now();
            let actions = wanted.iter().map(|wanted| (self.next(wanted, now), wanted));
            // Of those that are due, the first in the order of the file that has no certificate.
            let next = actions.min_by_key(|(action, _)| *action);
            let pause = match next {
                Some((Action::Issue, wanted)) => {
                    self.issue(wanted).await;
                    continue;
                }
                Some((Action::Ask, wanted)) => {
                    self.ask(wanted).await;
                    continue;
                }
                Some((Action::WaitUntil(at), _)) => {
                    Duration::from_secs(u64::try_from(at - now).unwrap_or(0)).min(LOOK_EVERY)
                }
                None => LOOK_EVERY,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The fault may have been mended: the delay after a failure does not apply.
                () = self.listeners.issued().wants_change() => {
                    for known in self.known.values_mut().filter(|known| known.failures > 0) {
                        known.retry_at = i64::MIN;
                    }
                }
            }
        }
    }

    /// The certificates that are to be issued.
    fn wanted(&self) -> Vec<Wanted> {
        let wanted = self.listeners.wanted();
        let is_by_http = |wanted: &Wanted| wanted.acme.challenge == Challenge::Http01;
        self.challenges.expect(wanted.iter().any(is_by_http));
        wanted
    }

    /// Seconds since 1970.
    fn now(&self) -> i64 {
        i64::try_from(self.clock.now().wall.as_secs()).unwrap_or(i64::MAX)
    }

    /// The certificate that this authority has issued for the name.
    fn current(&self, wanted: &Wanted) -> Option<std::sync::Arc<IssuedCertificate>> {
        let file = wanted.acme.certificate(&wanted.name).cert;
        let current = self.listeners.issued().find(&wanted.name);
        current.filter(|current| current.file == file)
    }

    fn next(&self, wanted: &Wanted, now: i64) -> Action {
        let validity = self
            .current(wanted)
            .map(|current| validity(&current.identity));
        let known = self.known.get(&wanted.name).copied().unwrap_or_default();
        schedule::next(now, validity, &known, seed(wanted, validity))
    }

    /// Has a certificate issued, and puts it in use.
    async fn issue(&mut self, wanted: &Wanted) {
        let name = &*wanted.name;
        let result = {
            let steps = self.issue_and_store(wanted);
            within(ISSUE_WITHIN, pin!(Box::pin(steps))).await
        };
        let result = result.unwrap_or_else(|_late| Err(Failure::late(ISSUE_WITHIN)));
        let now = self.now();
        let known = self.known.entry(wanted.name.clone()).or_default();
        match result {
            Ok(Outcome::Busy) => {
                known.retry_at = now.saturating_add(BUSY);
                tracing::info!(
                    name,
                    "another process that shares the folder has a certificate issued: waiting for it"
                );
            }
            Ok(Outcome::Found) => {
                *known = Known::default();
                tracing::info!(
                    name,
                    "certificate found that another process has stored: new connections get it"
                );
            }
            Ok(Outcome::Issued(validity)) => {
                self.listeners.issued().count(true);
                let due = schedule::renewal(validity, None, seed(wanted, Some(validity)));
                *known = known.after_success(now, validity, due);
                tracing::info!(
                    name,
                    expires_in = until(validity.not_after, now),
                    renewal_in = until(due, now),
                    "certificate issued: new connections get it"
                );
                if due <= now {
                    tracing::error!(
                        name,
                        "a certificate is issued that would have to be renewed at once: set this machine's clock"
                    );
                }
            }
            Err(failure) => {
                self.listeners.issued().count(false);
                known.failures = known.failures.saturating_add(1);
                let pause = schedule::pause(known.failures, seed(wanted, None));
                let pause = pause.max(failure.retry_after.unwrap_or_default());
                let secs = i64::try_from(pause.as_secs()).unwrap_or(i64::MAX);
                known.retry_at = now.saturating_add(secs);
                let current = self.current(wanted);
                let expires = current.map(|current| until(current.identity.not_after, now));
                tracing::error!(
                    name,
                    error = failure.what,
                    cure = failure.cure,
                    next_try_in = show_duration(pause),
                    present_certificate_expires_in = expires,
                    "certificate not issued"
                );
            }
        }
    }

    async fn issue_and_store(&mut self, wanted: &Wanted) -> Result<Outcome, Failure> {
        let store = Store::open(&wanted.acme).map_err(Failure::store)?;
        // Processes that share the folder take turns, and each looks whether another has done it meanwhile.
        let Some(_lock) = store.lock().map_err(Failure::store)? else {
            return Ok(Outcome::Busy);
        };
        self.listeners.issued().read_stored(&wanted.acme);
        if self.next(wanted, self.now()) != Action::Issue {
            return Ok(Outcome::Found);
        }
        let authority = Authority::new(&wanted.acme, &self.clock)?;
        let replaced = self.current(wanted);
        let replaced = replaced.as_ref().and_then(|current| {
            let certificate = current.identity.key.cert.first()?;
            CertificateIdentifier::try_from(certificate).ok()
        });
        let accounts = Accounts {
            authority: &authority,
            store: &store,
            acme: &wanted.acme,
        };
        let places = order::Places {
            challenges: &self.challenges,
            issued: self.listeners.issued(),
        };
        let mut issued = order::issue(&accounts, wanted, replaced.clone(), &places).await;
        for _ in 0..ORDERS_AGAIN {
            if issued.as_ref().is_err_and(Failure::is_bad_nonce) {
                issued = order::issue(&accounts, wanted, replaced.clone(), &places).await;
            }
        }
        let pem = issued.map_err(|failure| failure.or_retry_after(authority.retry_after()))?;
        let files = wanted.acme.certificate(&wanted.name);
        let identity = files.parse(pem.as_bytes()).map_err(Failure::unusable)?;
        if !identity.names.iter().any(|of| **of == *wanted.name) {
            return Err(Failure::other_name(&identity.names));
        }
        let validity = validity(&identity);
        let saved = store.save_certificate(&wanted.name, &pem);
        let certificate = IssuedCertificate {
            identity,
            file: files.cert,
        };
        let issued = self.listeners.issued();
        issued.install(&wanted.name, certificate.into());
        if let Err(error) = saved {
            tracing::error!(
                folder = %wanted.acme.folder().display(),
                %error,
                "a certificate that is in use could not be stored, and is tried to be stored each minute: it would be lost with a restart"
            );
            let unsaved = (wanted.clone(), pem);
            self.unsaved.insert(wanted.name.clone(), unsaved);
        }
        Ok(Outcome::Issued(validity))
    }

    /// Asks the authority when the certificate is to be renewed (ARI, RFC 9773).
    async fn ask(&mut self, wanted: &Wanted) {
        let Some(current) = self.current(wanted) else {
            return;
        };
        let steps = Box::pin(renewal_information(wanted, &current.identity, &self.clock));
        let answer = within(ASK_WITHIN, pin!(steps)).await;
        let now = self.now();
        let validity = validity(&current.identity);
        let known = self.known.entry(wanted.name.clone()).or_default();
        match answer {
            Ok(Ok((window, again))) => {
                if known.window != window {
                    known.window = window;
                    let due = schedule::renewal(validity, window, seed(wanted, Some(validity)));
                    tracing::info!(
                        name = &*wanted.name,
                        renewal_in = until(due, now),
                        "the authority says when to renew"
                    );
                }
                known.ask_at = now.saturating_add(schedule::ask_again(again));
            }
            failed => {
                if let Ok(Err(failure)) = failed {
                    let name = &*wanted.name;
                    tracing::debug!(name, error = failure.what, "no renewal information");
                }
                known.ask_at = now.saturating_add(schedule::ask_again_after_failure(validity));
            }
        }
    }
}

/// The outcome of an attempt to have a certificate issued.
enum Outcome {
    Issued(Validity),
    /// Another process has done it.
    Found,
    /// Another process is doing it.
    Busy,
}

/// Seconds until it is looked again whether another process has finished.
const BUSY: i64 = 10;

/// The time from `now` to `at` as operators write it, to the minute from an hour on, to the hour from a day on.
fn until(at: i64, now: i64) -> String {
    let secs = at.saturating_sub(now).max(0).unsigned_abs();
    let unit = match secs {
        0..3600 => 1,
        3600..86_400 => 60,
        _ => 3600,
    };
    show_duration(Duration::from_secs(secs / unit * unit))
}

/// `None` where the authority gives none, and when it may be asked again.
async fn renewal_information(
    wanted: &Wanted,
    identity: &Identity,
    clock: &Clock,
) -> Result<(Option<Window>, Duration), Failure> {
    const TOMORROW: Duration = Duration::from_secs(24 * 60 * 60);
    let store = Store::open(&wanted.acme).map_err(Failure::store)?;
    let authority = Authority::new(&wanted.acme, clock)?;
    let accounts = Accounts {
        authority: &authority,
        store: &store,
        acme: &wanted.acme,
    };
    let certificate = identity.key.cert.first();
    let id = certificate.and_then(|first| CertificateIdentifier::try_from(first).ok());
    let (Some(id), Some(account)) = (id, accounts.stored().await?) else {
        return Ok((None, TOMORROW));
    };
    match account.renewal_info(&id).await {
        Ok((info, again)) => {
            let window = info.suggested_window;
            let window = Window {
                start: window.start.unix_timestamp(),
                end: window.end.unix_timestamp(),
            };
            Ok((Some(window), again))
        }
        Err(Error::Unsupported(_)) => Ok((None, TOMORROW)),
        Err(error) => Err(Failure::of(&error, &wanted.acme)),
    }
}

fn validity(identity: &Identity) -> Validity {
    Validity {
        not_before: identity.not_before,
        not_after: identity.not_after,
    }
}

/// A number that is another for each certificate, and the same after a restart: it spreads what many gateways do.
fn seed(wanted: &Wanted, validity: Option<Validity>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(wanted.name.as_bytes());
    let folder: PathBuf = wanted.acme.folder();
    hasher.update(folder.as_os_str().as_encoded_bytes());
    let not_after = validity.map_or(0, |validity| validity.not_after);
    hasher.update(&not_after.to_le_bytes());
    let digest = hasher.finalize();
    let first = digest.as_bytes().first_chunk().copied();
    first.map_or(0, u64::from_le_bytes)
}
