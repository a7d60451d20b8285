//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::interim::Interim;
use crate::semantics::authority::Scheme;

/// What is known of a connection's client before its first byte; the same for all its requests.
#[derive(Clone, Debug)]
pub struct Peer {
    /// An IPv4 client of an IPv6 listener has its IPv4 address here. `None` behind a Unix socket.
    pub addr: Option<SocketAddr>,
    pub scheme: Scheme,
    /// Whether its X-Forwarded-* and Forwarded fields are believed.
    pub trusted: bool,
    /// What its connection sends before the next response.
    pub interim: Interim,
}

impl Peer {
    /// A client at `addr`, trusted when one of `proxies` holds its address. Whoever may open the Unix socket has been
    /// trusted by the file system: such a peer is always believed.
    pub fn of(addr: Option<SocketAddr>, scheme: Scheme, proxies: &[IpNet]) -> Self {
        let addr = addr.map(|addr| SocketAddr::new(addr.ip().to_canonical(), addr.port()));
        Self {
            addr,
            scheme,
            trusted: addr.is_none_or(|addr| is_in(addr.ip(), proxies)),
            interim: Interim::default(),
        }
    }
}

fn is_in(ip: IpAddr, nets: &[IpNet]) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let peer = Peer::of(Some(addr.parse().unwrap()), Scheme::Http, &nets);
            assert_eq!(peer.trusted, trusted, "{addr}");
        }
        assert!(!Peer::of("10.1.2.3:4".parse().ok(), Scheme::Http, &[]).trusted);
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_listener_has_its_ipv4_address() {
        let peer = Peer::of("[::ffff:10.1.2.3]:4".parse().ok(), Scheme::Http, &[]);
        assert_eq!(peer.addr, "10.1.2.3:4".parse().ok());
    }

    #[test]
    fn a_peer_behind_a_unix_socket_is_trusted() {
        assert!(Peer::of(None, Scheme::Http, &[]).trusted);
    }
}
