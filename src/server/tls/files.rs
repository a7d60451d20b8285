//! Watches the files of certificates: they are replaced by other programs, which tell nobody.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::listeners::{Seen, Tls, TlsListeners};
use super::settings::{InUse, Settings, fingerprint};
use crate::clock::Clock;

/// How often the files are looked at. Kubernetes replaces a symbolic link, others rename or write in place: the content
/// decides. A change is taken over once two looks in a row find the same.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A certificate that expires within this time is warned of, once a day.
const WARN_WITHIN: i64 = 14 * DAY;
const DAY: i64 = 24 * 60 * 60;

/// Replaces certificates whose files change, and warns of those that expire, for ever.
pub(in crate::server) async fn watch(listeners: TlsListeners, clock: &Clock) {
    let mut files = Files {
        listeners,
        warned: HashMap::new(),
    };
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        for (_, tls) in files.listeners.all.load().iter() {
            look(
                tls,
                &mut tls.seen.lock().unwrap_or_else(PoisonError::into_inner),
            );
        }
        let now = clock.now().wall.as_secs();
        files.warn_of_expiry(i64::try_from(now).unwrap_or(i64::MAX));
    }
}

/// The files of all listeners.
struct Files {
    listeners: TlsListeners,
    /// When each certificate was last warned of.
    warned: HashMap<String, i64>,
}

impl Files {
    fn warn_of_expiry(&mut self, now: i64) {
        for certificate in self.listeners.certificates() {
            let InUse {
                file,
                not_after,
                is_renewed,
            } = certificate;
            let is_due = |last: &i64| now - last >= DAY;
            // Of a renewal that fails the ACME client says more.
            let warn_within = if is_renewed { 0 } else { WARN_WITHIN };
            if not_after - now > warn_within || !self.warned.get(&file).is_none_or(is_due) {
                continue;
            }
            self.warned.insert(file.clone(), now);
            match not_after - now {
                left if left > 0 => {
                    tracing::warn!(
                        file,
                        days_left = left / DAY,
                        "a certificate expires: replace its files"
                    );
                }
                over => tracing::error!(
                    file,
                    days_ago = -over / DAY,
                    "a certificate has expired: clients refuse it until it is replaced"
                ),
            }
        }
    }
}

/// Takes the files over where they have changed and are no longer being written.
fn look(tls: &Arc<Tls>, seen: &mut Seen) {
    let current = tls.current.load();
    let now = fingerprint(&current.source);
    let is_settled = seen.last.replace(now) == Some(now);
    if now == current.fingerprint || !is_settled || seen.refused == Some(now) {
        return;
    }
    match Settings::new(&current.source, &tls.tickets, &tls.issued) {
        Ok(settings) => {
            tls.put_in_force(Arc::new(settings));
            tracing::info!("certificates replaced: new connections get them");
        }
        Err(fault) => {
            seen.refused = Some(now);
            tracing::error!(%fault, "certificates not replaced: those before stay in use");
        }
    }
}
