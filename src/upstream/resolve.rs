//! Where a server's name leads. An answer is asked for again when its lifetime is over; when that fails, the addresses
//! known before are still used. An address that is in the next answer, too, stands as it did.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::address::Address;
use super::deadline;
use super::names::Names;
use crate::clock::Monotonic;
use crate::config::Ejection;

/// How long after a failure an outdated answer is used before it is asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// How long a better answer is waited for where there is an old one.
const PATIENCE: Duration = Duration::from_millis(250);

/// The addresses of one server, shared by all workers.
#[derive(Debug)]
pub(super) struct Resolver {
    host: Box<str>,
    port: u16,
    names: Names,
    /// How an address fares that fails.
    rules: Ejection,
    /// Set when `host` is an address itself.
    literal: Option<Arc<Address>>,
    latest: Mutex<Option<Answer>>,
    turn: AtomicUsize,
}

#[derive(Clone, Debug)]
struct Answer {
    addresses: Known,
    believed_until: Instant,
}

type Known = Arc<[Arc<Address>]>;

/// In the order in which they should be tried; at least one in all.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) in_use: Vec<Arc<Address>>,
    /// Those that have failed lately: for when no other can be reached.
    pub(super) left_out: Vec<Arc<Address>>,
}

impl Resolver {
    /// `host` may be a name or an address, an IPv6 address with or without its brackets.
    pub(super) fn new(host: &str, port: u16, names: Names, rules: &Ejection) -> Self {
        let host = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        Self {
            host: host.into(),
            port,
            names,
            rules: rules.clone(),
            literal: host.parse::<IpAddr>().ok().map(|address| {
                let never = Ejection {
                    failures: 0,
                    ..rules.clone()
                };
                Arc::new(Address::new(SocketAddr::new(address, port), &never))
            }),
            latest: Mutex::new(None),
            turn: AtomicUsize::new(0),
        }
    }

    /// The host as certificates name it: without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// All addresses of the server, as they stand `now`.
    pub(super) async fn addresses(&self, now: Monotonic) -> io::Result<Addresses> {
        if let Some(address) = &self.literal {
            return Ok(Addresses {
                in_use: vec![address.clone()],
                left_out: Vec::new(),
            });
        }
        let known = match self.believed() {
            Ok(addresses) => return Ok(self.order(&addresses, now)),
            Err(outdated) => outdated,
        };
        let asked = match known {
            // What is known must not wait for a resolver that hangs.
            Some(_) => timeout(PATIENCE, self.ask())
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            None => self.ask().await,
        };
        match asked {
            Ok((addresses, lifetime)) => {
                let addresses = self.remember(&addresses, lifetime);
                Ok(self.order(&addresses, now))
            }
            Err(error) => known.map(|known| self.order(&known, now)).ok_or(error),
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
    pub(super) fn doubt(&self) {
        if let Some(answer) = &mut *self.lock() {
            answer.believed_until = deadline::timer_now();
        }
    }

    /// The current answer, or else the outdated one. Of those who find it outdated only the first asks again; the
    /// others go on with what is known meanwhile.
    fn believed(&self) -> Result<Known, Option<Known>> {
        let now = deadline::timer_now();
        let mut latest = self.lock();
        let Some(answer) = &mut *latest else {
            return Err(None);
        };
        if now < answer.believed_until {
            return Ok(answer.addresses.clone());
        }
        answer.believed_until = deadline::far(now, RETRY);
        Err(Some(answer.addresses.clone()))
    }

    async fn ask(&self) -> io::Result<(Vec<SocketAddr>, Duration)> {
        let found = self.names.look_up(&self.host).await?;
        let with_port = |address: &IpAddr| SocketAddr::new(*address, self.port);
        let addresses = found.addresses.iter().map(with_port).collect();
        Ok((addresses, found.lifetime))
    }

    fn remember(&self, found: &[SocketAddr], lifetime: Duration) -> Known {
        let mut latest = self.lock();
        let before = latest.as_ref().map_or(&[][..], |answer| &answer.addresses);
        let stays = |at: &SocketAddr| before.iter().find(|address| address.at() == *at).cloned();
        let addresses: Known = (found.iter())
            .map(|at| stays(at).unwrap_or_else(|| Arc::new(Address::new(*at, &self.rules))))
            .collect();
        *latest = Some(Answer {
            addresses: addresses.clone(),
            believed_until: deadline::far(deadline::timer_now(), lifetime),
        });
        addresses
    }

    /// Waits until the answer's time is over.
    #[cfg(test)]
    pub(super) async fn outdated(&self) {
        let until = self.lock().as_ref().map(|answer| answer.believed_until);
        tokio::time::sleep_until(until.expect("an answer")).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Answer>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
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
        let resolver = Resolver::new("name.invalid", 80, Names::System, &Ejection::default());
        let at = ["10.0.0.1:80".parse().expect("an address")];
        resolver.remember(&at, Duration::from_secs(30));
        assert!(resolver.believed().is_ok());
        resolver.doubt();
        let first = resolver.believed();
        assert!(
            first.is_err_and(|known| known.is_some_and(|known| known[0].at() == at[0])),
            "the first asks"
        );
        assert!(resolver.believed().is_ok(), "the others do not");
    }
}
