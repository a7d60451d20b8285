//! The addresses of a server's name. The name is looked up again when its TTL is over; when that fails, the addresses
//! known before are still used. An address that is in the next answer, too, keeps its health.
//!
//! A look-up goes on whether or not a request waits for it, in a task of the worker that began it, one at a time for all
//! workers: its answer is stored however late it comes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use crate::clock::Monotonic;
use crate::config::Ejection;
use crate::upstream::deadline;
use crate::upstream::names::address::Address;
use crate::upstream::names::lookup::{LookUpAnswer, NameServers};

/// How long an outdated answer is used after a failed look-up before the next look-up.
const RETRY: Duration = Duration::from_secs(5);

/// How long to wait for a new answer where there is an old one.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// A look-up that takes longer has failed, so that another can begin.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// The addresses of one server, shared by all workers.
#[derive(Debug)]
pub(in crate::upstream) struct Resolver {
    host: Box<str>,
    port: u16,
    name_servers: NameServers,
    /// When an address is ejected.
    rules: ArcSwap<Ejection>,
    /// Set when `host` is an address itself.
    literal: Option<Arc<Address>>,
    latest: Mutex<Latest>,
    turn: AtomicUsize,
}

#[derive(Debug, Default)]
struct Latest {
    answer: Option<Answer>,
    /// The look-up that is going on.
    look_up: Option<PendingLookUp>,
}

#[derive(Debug)]
struct Answer {
    addresses: AddressList,
    valid_until: Instant,
}

type AddressList = Arc<[Arc<Address>]>;

/// The outcome of a look-up, once there is one.
type PendingLookUp = watch::Receiver<Option<Result<AddressList, Arc<io::Error>>>>;

/// In the order in which they should be tried; at least one in all.
#[derive(Debug)]
pub(in crate::upstream) struct Addresses {
    pub(in crate::upstream) in_use: Vec<Arc<Address>>,
    /// Those that have failed lately: for when no other can be reached.
    pub(in crate::upstream) ejected: Vec<Arc<Address>>,
}

impl Resolver {
    /// `host` may be a name or an address, an IPv6 address with or without its brackets.
    pub(in crate::upstream) fn new(
        host: &str,
        port: u16,
        name_servers: NameServers,
        rules: &Ejection,
    ) -> Arc<Self> {
        let host = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        Arc::new(Self {
            host: host.into(),
            port,
            name_servers,
            rules: ArcSwap::from_pointee(rules.clone()),
            literal: host.parse::<IpAddr>().ok().map(|address| {
                let never = Ejection {
                    failures: 0,
                    ..rules.clone()
                };
                Arc::new(Address::new(SocketAddr::new(address, port), &never))
            }),
            latest: Mutex::default(),
            turn: AtomicUsize::new(0),
        })
    }

    /// Puts other rules in force for all addresses; their health stays.
    pub(in crate::upstream) fn set_rules(&self, rules: &Ejection) {
        self.rules.store(Arc::new(rules.clone()));
        for address in self
            .lock()
            .answer
            .iter()
            .flat_map(|answer| &*answer.addresses)
        {
            address.set_rules(rules);
        }
    }

    /// The host as certificates name it: without brackets.
    pub(in crate::upstream) fn host(&self) -> &str {
        &self.host
    }

    /// All addresses of the server, by their health `now`.
    pub(in crate::upstream) async fn addresses(
        self: &Arc<Self>,
        now: Monotonic,
    ) -> io::Result<Addresses> {
        if let Some(address) = &self.literal {
            return Ok(Addresses {
                in_use: vec![address.clone()],
                ejected: Vec::new(),
            });
        }
        loop {
            let (known, look_up) = self.current();
            let found = match (known, look_up) {
                (known, None) => known,
                (None, Some(look_up)) => outcome_of(look_up).await.transpose()?,
                // Known addresses must not wait for a name server that hangs.
                (known, Some(look_up)) => match timeout(MAX_WAIT, outcome_of(look_up)).await {
                    Ok(Some(Ok(found))) => Some(found),
                    _ => known,
                },
            };
            if let Some(found) = found {
                return Ok(self.order(&found, now));
            }
        }
    }

    /// Each connection begins with another address, so that all of them are used.
    fn order(&self, addresses: &[Arc<Address>], now: Monotonic) -> Addresses {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let is_ejected = |address: &&Arc<Address>| address.is_ejected(now);
        let (ejected, others): (Vec<_>, Vec<_>) = addresses.iter().partition(is_ejected);
        for address in &ejected {
            // Where all are ejected, open connections are as good as new ones.
            address.set_last_resort(others.is_empty());
        }
        let order = |addresses: Vec<&Arc<Address>>| {
            let addresses: Vec<_> = addresses.into_iter().cloned().collect();
            interleave(&addresses, turn, |address| address.at().is_ipv6())
        };
        Addresses {
            in_use: order(others),
            ejected: order(ejected),
        }
    }

    /// No address has answered: the next connection looks the name up again.
    pub(in crate::upstream) fn expire(&self) {
        if let Some(answer) = &mut self.lock().answer {
            answer.valid_until = deadline::timer_now();
        }
    }

    /// Looks the name up again if its TTL is over, without waiting for the answer.
    pub(in crate::upstream) fn refresh_if_due(self: &Arc<Self>) {
        if self.literal.is_none() {
            self.current();
        }
    }

    /// The known addresses, and the look-up to wait for, if there is one. The caller that finds the answer outdated begins
    /// the look-up and waits for it; other callers wait only where no address is known.
    fn current(self: &Arc<Self>) -> (Option<AddressList>, Option<PendingLookUp>) {
        let mut latest = self.lock();
        let known = match &latest.answer {
            Some(answer) if deadline::timer_now() < answer.valid_until => {
                return (Some(answer.addresses.clone()), None);
            }
            outdated => outdated.as_ref().map(|answer| answer.addresses.clone()),
        };
        let look_up = match &latest.look_up {
            Some(look_up) => known.is_none().then(|| look_up.clone()),
            None => {
                let (outcome, pending) = watch::channel(None);
                latest.look_up = Some(pending.clone());
                let mut look_up = LookUp {
                    resolver: Arc::downgrade(self),
                    outcome,
                    found: None,
                };
                let (name_servers, host) = (self.name_servers, self.host.clone());
                spawn_local(async move {
                    let found = timeout(LOOK_UP_TIMEOUT, name_servers.look_up(&host)).await;
                    let found =
                        found.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()));
                    look_up.found = Some(found);
                    drop(look_up);
                });
                Some(pending)
            }
        };
        (known, look_up)
    }

    fn store(&self, latest: &mut Latest, found: &LookUpAnswer) -> AddressList {
        let before = (latest.answer.as_ref()).map_or(&[][..], |answer| &answer.addresses);
        let known = |at| match before.iter().find(|address| address.at() == at) {
            Some(stays) => stays.clone(),
            None => Arc::new(Address::new(at, &self.rules.load())),
        };
        let addresses: AddressList = (found.addresses.iter())
            .map(|ip| known(SocketAddr::new(*ip, self.port)))
            .collect();
        for address in before {
            if !addresses.iter().any(|stays| Arc::ptr_eq(stays, address)) {
                address.retire();
            }
        }
        latest.answer = Some(Answer {
            addresses: addresses.clone(),
            valid_until: deadline::far(deadline::timer_now(), found.lifetime),
        });
        addresses
    }

    #[cfg(test)]
    pub(in crate::upstream) fn is_looking_up(&self) -> bool {
        self.lock().look_up.is_some()
    }

    /// Waits until the answer's TTL is over.
    #[cfg(test)]
    pub(in crate::upstream) async fn outdated(&self) {
        let until = self.lock().answer.as_ref().map(|answer| answer.valid_until);
        tokio::time::sleep_until(until.expect("an answer")).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outcome of a look-up; `None` when its worker stopped before it was done.
async fn outcome_of(mut look_up: PendingLookUp) -> Option<io::Result<AddressList>> {
    let outcome = look_up.wait_for(Option::is_some).await.ok()?;
    outcome.as_ref().map(|outcome| match outcome {
        Ok(known) => Ok(known.clone()),
        Err(error) => Err(io::Error::new(error.kind(), error.clone())),
    })
}

/// A look-up that is going on. It ends when this is dropped: done, or because its worker stops.
struct LookUp {
    resolver: Weak<Resolver>,
    outcome: watch::Sender<Option<Result<AddressList, Arc<io::Error>>>>,
    found: Option<io::Result<LookUpAnswer>>,
}

impl Drop for LookUp {
    fn drop(&mut self) {
        // `None` where the configuration has changed meanwhile.
        let Some(resolver) = self.resolver.upgrade() else {
            return;
        };
        let mut latest = resolver.lock();
        latest.look_up = None;
        let outcome = match self.found.take() {
            Some(Ok(found)) => Ok(resolver.store(&mut latest, &found)),
            Some(Err(error)) => {
                if let Some(answer) = &mut latest.answer {
                    answer.valid_until = deadline::far(deadline::timer_now(), RETRY);
                }
                Err(Arc::new(error))
            }
            None => return,
        };
        drop(latest);
        self.outcome.send_replace(Some(outcome));
    }
}

/// RFC 8305 §4: the families take turns, beginning with that of the resolver's first choice, so that a family without a
/// route costs one attempt. Within a family, each `turn` begins with the next address.
fn interleave<T: Clone>(found: &[T], turn: usize, is_v6: impl Fn(&T) -> bool) -> Vec<T> {
    let first_is_v6 = found.first().is_some_and(&is_v6);
    let (mut first, mut second): (Vec<_>, Vec<_>) = found
        .iter()
        .cloned()
        .partition(|address| is_v6(address) == first_is_v6);
    for family in [&mut first, &mut second] {
        let by = turn.checked_rem(family.len()).unwrap_or_default();
        family.rotate_left(by);
    }
    let mut turns = Vec::with_capacity(found.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    while turns.len() < found.len() {
        turns.extend(first.next());
        turns.extend(second.next());
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic::from_millis(0);

    #[test]
    fn families_take_turns_and_so_do_the_addresses_of_each() {
        let table: [(&[&str], usize, &[&str]); 5] = [
            (&["10.0.0.1:80"], 7, &["10.0.0.1:80"]),
            (
                &["[::1]:80", "[::2]:80", "10.0.0.1:80", "10.0.0.2:80"],
                0,
                &["[::1]:80", "10.0.0.1:80", "[::2]:80", "10.0.0.2:80"],
            ),
            (
                &["[::1]:80", "[::2]:80", "10.0.0.1:80", "10.0.0.2:80"],
                1,
                &["[::2]:80", "10.0.0.2:80", "[::1]:80", "10.0.0.1:80"],
            ),
            (
                &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "[::1]:80"],
                5,
                &["10.0.0.3:80", "[::1]:80", "10.0.0.1:80", "10.0.0.2:80"],
            ),
            (&[], 3, &[]),
        ];
        for (found, turn, expected) in table {
            let parse = |list: &[&str]| -> Vec<SocketAddr> {
                list.iter().filter_map(|text| text.parse().ok()).collect()
            };
            let order = interleave(&parse(found), turn, SocketAddr::is_ipv6);
            assert_eq!(order, parse(expected));
        }
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver_and_loses_its_brackets() {
        let resolver = Resolver::new("[::1]", 8080, NameServers::System, &Ejection::default());
        assert_eq!(resolver.host(), "::1");
        let addresses = resolver.addresses(NOW).await.expect("a literal");
        let [only] = &*addresses.in_use else {
            panic!("{addresses:?}");
        };
        assert_eq!(only.at(), "[::1]:8080".parse().expect("an address"));
    }

    #[tokio::test]
    async fn an_outdated_answer_is_looked_up_once_and_kept_until_a_new_one_comes() {
        let first_and_others = async {
            let resolver = Resolver::new(
                "name.invalid",
                80,
                NameServers::System,
                &Ejection::default(),
            );
            let (one, other) = (resolver.current().1, resolver.current().1);
            let (one, other) = (one.expect("a look-up"), other.expect("a look-up"));
            assert!(one.same_channel(&other), "all wait for the first");
            let found = LookUpAnswer {
                addresses: vec![IpAddr::from([10, 0, 0, 1])],
                lifetime: Duration::from_secs(30),
            };
            resolver.store(&mut resolver.lock(), &found);
            let known = || {
                let (known, look_up) = resolver.current();
                let known = known.expect("addresses");
                (known[0].at().ip(), look_up.is_some())
            };
            let at = found.addresses[0];
            assert_eq!(known(), (at, false));
            // As when the look-up has ended.
            resolver.lock().look_up = None;
            resolver.expire();
            assert_eq!(known(), (at, true), "the first looks up");
            assert_eq!(known(), (at, false), "the others do not");
            resolver
        };
        let tasks = tokio::task::LocalSet::new();
        let resolver = tasks.run_until(first_and_others).await;
        assert!(resolver.is_looking_up());
        drop(tasks);
        assert!(!resolver.is_looking_up(), "it ends with its worker");
    }
}
