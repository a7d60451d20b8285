//! Whom a request is counted for.

use std::net::IpAddr;

use crate::proxy::request::Request;

/// One client, as limits count it: an IPv4 address, or the network of 64 bits that one client has for itself (RFC 6177
/// §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Client {
    /// The client that a request is for, as a trusted proxy names it. `None` where the proxy names nobody, or another
    /// proxy: the clients of all are not one client.
    pub fn behind_proxies(request: &Request) -> Option<Self> {
        let proxies = &request.epoch.settings.config.server.trusted_proxies;
        let address = request.peer.client(request.headers(), proxies)?;
        let is_proxy = proxies.iter().any(|net| net.contains(&address));
        (!is_proxy).then(|| address.into())
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}
