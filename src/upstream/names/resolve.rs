//! Where a server's name leads. An answer is asked for again when its lifetime is over; when that fails, the addresses
//! known before are still used. An address that is in the next answer, too, stands as it did.
//!
//! A look-up goes on whether or not anybody waits for it, in a task of the worker that began it, one at a time for all
//! workers: what it finds is remembered however late it comes.

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
use crate::upstream::names::lookup::{Found, Names};

/// How long after a failure an outdated answer is used before it is asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// How long a better answer is waited for where there is an old one.
const PATIENCE: Duration = Duration::from_millis(250);

/// A look-up that takes longer has failed, so that another can begin.
const LONGEST: Duration = Duration::from_secs(30);

/// The addresses of one server, shared by all workers.
#[derive(Debug)]
pub(in crate::upstream) struct Resolver {
    host: Box<str>,
    port: u16,
    names: Names,
    /// How an address fares that fails.
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
    asking: Option<Asking>,
}

#[derive(Debug)]
struct Answer {
    addresses: Known,
    believed_until: Instant,
}

type Known = Arc<[Arc<Address>]>;

/// Where a look-up tells what it has found.
type Asking = watch::Receiver<Option<Result<Known, Arc<io::Error>>>>;

/// In the order in which they should be tried; at least one in all.
#[derive(Debug)]
pub(in crate::upstream) struct Addresses {
    pub(in crate::upstream) in_use: Vec<Arc<Address>>,
    /// Those that have failed lately: for when no other can be reached.
    pub(in crate::upstream) left_out: Vec<Arc<Address>>,
}

impl Resolver {
    /// `host` may be a name or an address, an IPv6 address with or without its brackets.
    pub(in crate::upstream) fn new(
        host: &str,
        port: u16,
        names: Names,
        rules: &Ejection,
    ) -> Arc<Self> {
        let host = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        Arc::new(Self {
            host: host.into(),
            port,
            names,
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

    /// Puts other rules in force for all addresses; what is known of them stays.
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

    /// All addresses of the server, as they stand `now`.
    pub(in crate::upstream) async fn addresses(
        self: &Arc<Self>,
        now: Monotonic,
    ) -> io::Result<Addresses> {
        if let Some(address) = &self.literal {
            return Ok(Addresses {
                in_use: vec![address.clone()],
                left_out: Vec::new(),
            });
        }
        loop {
            let (known, asking) = self.known();
            let found = match (known, asking) {
                (known, None) => known,
                (None, Some(asking)) => told(asking).await.transpose()?,
                // What is known must not wait for a resolver that hangs.
                (known, Some(asking)) => match timeout(PATIENCE, told(asking)).await {
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
        let is_out = |address: &&Arc<Address>| address.is_ejected(now);
        let (out, others): (Vec<_>, Vec<_>) = addresses.iter().partition(is_out);
        for address in &out {
            // Where none is better, connections that are there are as good as new ones.
            address.set_needed(others.is_empty());
        }
        let order = |addresses: Vec<&Arc<Address>>| {
            let addresses: Vec<_> = addresses.into_iter().cloned().collect();
            interleave(&addresses, turn, |address| address.at().is_ipv6())
        };
        Addresses {
            in_use: order(others),
            left_out: order(out),
        }
    }

    /// To be called when no address answered: the next connection asks again.
    pub(in crate::upstream) fn doubt(&self) {
        if let Some(answer) = &mut self.lock().answer {
            answer.believed_until = deadline::timer_now();
        }
    }

    /// Asks again if that is due, for who goes on with the connections that he has.
    pub(in crate::upstream) fn freshen(self: &Arc<Self>) {
        if self.literal.is_none() {
            self.known();
        }
    }

    /// What is known, and the look-up to wait for, if there is one: whoever finds an answer outdated begins it, and of
    /// the others only those wait that have no answer at all.
    fn known(self: &Arc<Self>) -> (Option<Known>, Option<Asking>) {
        let mut latest = self.lock();
        let known = match &latest.answer {
            Some(answer) if deadline::timer_now() < answer.believed_until => {
                return (Some(answer.addresses.clone()), None);
            }
            outdated => outdated.as_ref().map(|answer| answer.addresses.clone()),
        };
        let asking = match &latest.asking {
            Some(asking) => known.is_none().then(|| asking.clone()),
            None => Some(self.ask(&mut latest)),
        };
        (known, asking)
    }

    fn ask(self: &Arc<Self>, latest: &mut Latest) -> Asking {
        let (tell, asking) = watch::channel(None);
        latest.asking = Some(asking.clone());
        let look_up = LookUp {
            resolver: Arc::downgrade(self),
            tell,
            found: None,
        };
        let (names, host) = (self.names, self.host.clone());
        spawn_local(async move {
            let found = timeout(LONGEST, names.look_up(&host)).await;
            look_up.end(found.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into())));
        });
        asking
    }

    fn remember(&self, latest: &mut Latest, found: &Found) -> Known {
        let before = (latest.answer.as_ref()).map_or(&[][..], |answer| &answer.addresses);
        let known = |at| match before.iter().find(|address| address.at() == at) {
            Some(stays) => stays.clone(),
            None => Arc::new(Address::new(at, &self.rules.load())),
        };
        let addresses: Known = (found.addresses.iter())
            .map(|ip| known(SocketAddr::new(*ip, self.port)))
            .collect();
        for address in before {
            if !addresses.iter().any(|stays| Arc::ptr_eq(stays, address)) {
                address.leave();
            }
        }
        latest.answer = Some(Answer {
            addresses: addresses.clone(),
            believed_until: deadline::far(deadline::timer_now(), found.lifetime),
        });
        addresses
    }

    #[cfg(test)]
    pub(in crate::upstream) fn is_asking(&self) -> bool {
        self.lock().asking.is_some()
    }

    /// Waits until the answer's time is over.
    #[cfg(test)]
    pub(in crate::upstream) async fn outdated(&self) {
        let until = self
            .lock()
            .answer
            .as_ref()
            .map(|answer| answer.believed_until);
        tokio::time::sleep_until(until.expect("an answer")).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a look-up finds; `None` when its worker stopped before it was done.
async fn told(mut asking: Asking) -> Option<io::Result<Known>> {
    let outcome = asking.wait_for(Option::is_some).await.ok()?;
    outcome.as_ref().map(|outcome| match outcome {
        Ok(known) => Ok(known.clone()),
        Err(error) => Err(io::Error::new(error.kind(), error.clone())),
    })
}

/// A look-up on its way. Its end is where it is dropped: done, or because its worker stops.
struct LookUp {
    resolver: Weak<Resolver>,
    tell: watch::Sender<Option<Result<Known, Arc<io::Error>>>>,
    found: Option<io::Result<Found>>,
}

impl LookUp {
    fn end(mut self, found: io::Result<Found>) {
        self.found = Some(found);
    }
}

impl Drop for LookUp {
    fn drop(&mut self) {
        // Else the configuration has changed meanwhile.
        let Some(resolver) = self.resolver.upgrade() else {
            return;
        };
        let mut latest = resolver.lock();
        latest.asking = None;
        let outcome = match self.found.take() {
            Some(Ok(found)) => Ok(resolver.remember(&mut latest, &found)),
            Some(Err(error)) => {
                if let Some(answer) = &mut latest.answer {
                    answer.believed_until = deadline::far(deadline::timer_now(), RETRY);
                }
                Err(Arc::new(error))
            }
            None => return,
        };
        drop(latest);
        self.tell.send_replace(Some(outcome));
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
        let resolver = Resolver::new("[::1]", 8080, Names::System, &Ejection::default());
        assert_eq!(resolver.host(), "::1");
        let addresses = resolver.addresses(NOW).await.expect("a literal");
        let [only] = &*addresses.in_use else {
            panic!("{addresses:?}");
        };
        assert_eq!(only.at(), "[::1]:8080".parse().expect("an address"));
    }

    #[tokio::test]
    async fn an_outdated_answer_is_asked_for_once_and_kept_until_a_better_one_comes() {
        let first_and_others = async {
            let resolver = Resolver::new("name.invalid", 80, Names::System, &Ejection::default());
            let (one, other) = (resolver.known().1, resolver.known().1);
            let (one, other) = (one.expect("a look-up"), other.expect("a look-up"));
            assert!(one.same_channel(&other), "all wait for the first");
            let found = Found {
                addresses: vec![IpAddr::from([10, 0, 0, 1])],
                lifetime: Duration::from_secs(30),
            };
            resolver.remember(&mut resolver.lock(), &found);
            let known = || {
                let (known, asking) = resolver.known();
                let known = known.expect("addresses");
                (known[0].at().ip(), asking.is_some())
            };
            let at = found.addresses[0];
            assert_eq!(known(), (at, false));
            // As when that has ended.
            resolver.lock().asking = None;
            resolver.doubt();
            assert_eq!(known(), (at, true), "the first asks");
            assert_eq!(known(), (at, false), "the others do not");
            resolver
        };
        let tasks = tokio::task::LocalSet::new();
        let resolver = tasks.run_until(first_and_others).await;
        assert!(resolver.is_asking());
        drop(tasks);
        assert!(!resolver.is_asking(), "it ends with its worker");
    }
}
