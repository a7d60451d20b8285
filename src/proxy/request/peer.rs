//! The peer at the other end of a connection.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::field_names::{CLIENT_CERT_CHAIN, X_FORWARDED_FOR};
use super::target::Target;
use crate::proxy::challenges::OwnAnswers;
use crate::proxy::interim::Interim;
use crate::semantics::authority::Scheme;
use crate::semantics::forwarded;
use crate::semantics::storability::CLIENT_CERT;
use crate::upstream::LatestWaiting;

/// A connection's client as it is known before its first byte; the same for all its requests.
#[derive(Clone, Debug)]
pub struct Peer {
    /// An IPv4 client of an IPv6 listener has its IPv4 address here. `None` behind a Unix socket.
    pub addr: Option<SocketAddr>,
    pub scheme: Scheme,
    /// The version of TLS that its connection speaks; `None` without TLS.
    pub tls: Option<&'static str>,
    /// Interim responses that its connection sends before the next response.
    pub interim: Interim,
    /// How far its latest request has come; on HTTP/1, where it has one at a time, its connection looks at it.
    pub waiting: LatestWaiting,
    /// What its listener answers itself; `None` where that is nothing.
    pub own_answers: Option<Arc<OwnAnswers>>,
    /// Client-Cert (RFC 9440), where the API is told the client's certificate.
    pub certificate: Option<HeaderValue>,
    /// Strict-Transport-Security, which its responses get.
    pub hsts: Option<HeaderValue>,
    told: RefCell<Option<Remembered>>,
}

/// The forwarding fields that tell the API about a request's client: the same for all of a connection's requests to one
/// origin.
#[derive(Debug)]
pub struct Told {
    /// X-Forwarded-For.
    pub address: HeaderValue,
    /// Forwarded (RFC 7239).
    pub element: HeaderValue,
    /// X-Forwarded-Host, where the request names a host.
    pub host: Option<HeaderValue>,
}

#[derive(Clone, Debug)]
struct Remembered {
    origin: Box<str>,
    told: Arc<Told>,
}

impl Peer {
    /// A client at `addr`.
    pub fn of(addr: Option<SocketAddr>, scheme: Scheme) -> Self {
        let addr = addr.map(|addr| SocketAddr::new(addr.ip().to_canonical(), addr.port()));
        Self {
            addr,
            scheme,
            tls: None,
            interim: Interim::default(),
            waiting: LatestWaiting::default(),
            own_answers: None,
            certificate: None,
            hsts: None,
            told: RefCell::default(),
        }
    }

    /// Whether its X-Forwarded-* and Forwarded fields are believed: one of `proxies` holds its address. A connection outlives
    /// settings, so that each request is judged by those that are in force for it. Whoever may open the Unix socket has been
    /// trusted by the file system: such a peer is always believed.
    pub fn is_trusted(&self, proxies: &[IpNet]) -> bool {
        self.addr.is_none_or(|addr| is_in(addr.ip(), proxies))
    }

    /// Has the fields of RFC 9440 tell the certificate of this client and no other (§2.4): only those of one of `proxies` are
    /// left as they came. Returns whether the request has one then.
    pub fn attest(&self, headers: &mut HeaderMap, proxies: &[IpNet]) -> bool {
        if self.certificate.is_some() || !self.is_trusted(proxies) {
            headers.remove(CLIENT_CERT);
            headers.remove(CLIENT_CERT_CHAIN);
        }
        if let Some(certificate) = &self.certificate {
            headers.insert(CLIENT_CERT, certificate.clone());
        }
        headers.contains_key(CLIENT_CERT)
    }

    /// The address of the client that a request of this peer is for: the last one in X-Forwarded-For, or else in Forwarded
    /// (RFC 7239), that is none of `proxies`, as far as each is named by one of them. `None` where nobody says it, or what
    /// the nearest proxy says cannot be read.
    ///
    /// X-Forwarded-For goes first where both are there: nearly all proxies write it, and most of them pass on a Forwarded
    /// that the client has made up.
    pub fn client(&self, headers: &HeaderMap, proxies: &[IpNet]) -> Option<IpAddr> {
        let own = self.addr.map(|addr| addr.ip());
        if !self.is_trusted(proxies) {
            return own;
        }
        if headers.contains_key(X_FORWARDED_FOR) {
            let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
            let members = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
            let named = members.map(|member| {
                let member = std::str::from_utf8(member.trim_ascii()).ok();
                member.and_then(forwarded::address)
            });
            return nearest_stranger(named, proxies);
        }
        if headers.contains_key(FORWARDED) {
            let lines = headers.get_all(FORWARDED).iter();
            return nearest_stranger(forwarded::named(lines.map(HeaderValue::as_bytes)), proxies);
        }
        own
    }

    /// The forwarding fields of this client's request for `target`.
    pub fn told(&self, target: &Target) -> Arc<Told> {
        let mut remembered = self.told.borrow_mut();
        match &*remembered {
            Some(before) if *before.origin == *target.origin() => before.told.clone(),
            _ => {
                let told = Arc::new(Told::of(self, target));
                *remembered = Some(Remembered {
                    origin: target.origin().into(),
                    told: told.clone(),
                });
                told
            }
        }
    }
}

impl Told {
    fn of(peer: &Peer, target: &Target) -> Self {
        let value = |text: String| {
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unknown"))
        };
        let address = peer.addr.map(|addr| addr.ip());
        let node = match address {
            Some(IpAddr::V4(ip)) => format!("for={ip}"),
            Some(IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
            None => "for=unknown".to_owned(),
        };
        let (host, proto) = (target.authority(), target.scheme().as_str());
        let element = match host {
            "" => format!("{node};proto={proto}"),
            host => format!("{node};host=\"{host}\";proto={proto}"),
        };
        Self {
            address: value(address.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string())),
            element: value(element),
            host: HeaderValue::from_str(host)
                .ok()
                .filter(|_| !host.is_empty()),
        }
    }
}

/// The last of those that trusted proxies name, `named` with the nearest first. What names nobody, or cannot be read, ends
/// the chain: the proxy that sent it stands for its client, if another one has named it. Our own peer does not: a network
/// that may ask would let all of its clients in.
fn nearest_stranger(
    named: impl Iterator<Item = Option<IpAddr>>,
    proxies: &[IpNet],
) -> Option<IpAddr> {
    let mut client = None;
    for address in named {
        let Some(address) = address else { break };
        client = Some(address);
        if !is_in(address, proxies) {
            break;
        }
    }
    client
}

fn is_in(ip: IpAddr, nets: &[IpNet]) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_peer_is_trusted_when_a_listed_network_holds_its_canonical_address() {
        let nets: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"]
            .map(|net| net.parse().unwrap())
            .to_vec();
        for (addr, trusted) in [
            ("10.1.2.3:4", true),
            ("[::ffff:10.1.2.3]:4", true),
            ("[fd00::1]:4", true),
            ("11.1.2.3:4", false),
            ("[::1]:4", false),
            ("[::ffff:11.1.2.3]:4", false),
        ] {
            let peer = Peer::of(Some(addr.parse().unwrap()), Scheme::Http);
            assert_eq!(peer.is_trusted(&nets), trusted, "{addr}");
        }
        assert!(!Peer::of("10.1.2.3:4".parse().ok(), Scheme::Http).is_trusted(&[]));
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_listener_has_its_ipv4_address() {
        let peer = Peer::of("[::ffff:10.1.2.3]:4".parse().ok(), Scheme::Http);
        assert_eq!(peer.addr, "10.1.2.3:4".parse().ok());
    }

    #[test]
    fn the_client_is_whom_the_last_trusted_proxy_names() {
        let proxies: Vec<IpNet> =
            ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()].into();
        for (peer, lines, client) in [
            (
                Some("192.0.2.1:5"),
                &["198.51.100.1"][..],
                Some("192.0.2.1"),
            ),
            (Some("10.0.0.1:5"), &[], Some("10.0.0.1")),
            (Some("10.0.0.1:5"), &["198.51.100.1"], Some("198.51.100.1")),
            // The client's own members come before the one that its proxy added.
            (
                Some("10.0.0.1:5"),
                &["203.0.113.9", "198.51.100.1, 10.0.0.2"],
                Some("198.51.100.1"),
            ),
            (Some("10.0.0.1:5"), &["10.0.0.3,10.0.0.2"], Some("10.0.0.3")),
            (Some("10.0.0.1:5"), &["198.51.100.1, unknown"], None),
            (Some("10.0.0.1:5"), &["198.51.100.1, "], None),
            (
                Some("10.0.0.1:5"),
                &["198.51.100.1, unknown, 10.0.0.2"],
                Some("10.0.0.2"),
            ),
            (
                Some("10.0.0.1:5"),
                &["198.51.100.1:99"],
                Some("198.51.100.1"),
            ),
            (Some("10.0.0.1:5"), &["2001:db8::1"], Some("2001:db8::1")),
            (
                Some("[fd00::1]:5"),
                &["[2001:db8::1]:9"],
                Some("2001:db8::1"),
            ),
            (Some("[fd00::1]:5"), &["[2001:db8::1]"], Some("2001:db8::1")),
            (
                Some("10.0.0.1:5"),
                &["::ffff:198.51.100.1"],
                Some("198.51.100.1"),
            ),
            (None, &["198.51.100.1"], Some("198.51.100.1")),
            (None, &[], None),
        ] {
            let addr = peer.map(|peer| peer.parse().unwrap());
            let peer = Peer::of(addr, Scheme::Http);
            let lines = lines
                .iter()
                .map(|line| (X_FORWARDED_FOR, HeaderValue::from_static(line)));
            let mut headers = HeaderMap::new();
            headers.extend(lines.map(|(name, value)| (Some(name), value)));
            let client = client.map(|client| client.parse().unwrap());
            assert_eq!(peer.client(&headers, &proxies), client, "{headers:?}");
        }
    }

    #[test]
    fn forwarded_names_the_client_where_x_forwarded_for_does_not() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8".parse().unwrap()].into();
        for (peer, fields, client) in [
            (
                "10.0.0.1:5",
                &[(FORWARDED, "for=198.51.100.1")][..],
                "198.51.100.1",
            ),
            // Only a trusted proxy's word counts.
            (
                "192.0.2.1:5",
                &[(FORWARDED, "for=198.51.100.1")],
                "192.0.2.1",
            ),
            (
                "10.0.0.1:5",
                &[
                    (FORWARDED, "for=203.0.113.9, for=\"198.51.100.1:80\""),
                    (FORWARDED, "for=10.0.0.2;proto=http"),
                ],
                "198.51.100.1",
            ),
            (
                "10.0.0.1:5",
                &[(FORWARDED, "for=198.51.100.1, for=_hidden, for=10.0.0.3")],
                "10.0.0.3",
            ),
            (
                "10.0.0.1:5",
                &[(FORWARDED, "for=198.51.100.1, for=unknown")],
                "",
            ),
            (
                "10.0.0.1:5",
                &[
                    (FORWARDED, "for=203.0.113.9"),
                    (X_FORWARDED_FOR, "198.51.100.1"),
                ],
                "198.51.100.1",
            ),
            (
                "10.0.0.1:5",
                &[(FORWARDED, "for=203.0.113.9"), (X_FORWARDED_FOR, "unknown")],
                "",
            ),
        ] {
            let peer = Peer::of(peer.parse().ok(), Scheme::Http);
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, HeaderValue::from_static(value));
            }
            let expected = client.parse().ok();
            assert_eq!(peer.client(&headers, &proxies), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_peer_behind_a_unix_socket_is_trusted() {
        assert!(Peer::of(None, Scheme::Http).is_trusted(&[]));
    }
}
