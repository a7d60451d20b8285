//! Which clients may ask, by their address.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Whether a client may ask: `deny` precedes `allow`, and an empty `allow` is for all. A client whose address nobody says is
/// in no network.
pub fn is_admitted(allow: &[IpNet], deny: &[IpNet], client: Option<IpAddr>) -> bool {
    let client = client.map(|client| client.to_canonical());
    let is_in =
        |nets: &[IpNet]| client.is_some_and(|client| nets.iter().any(|net| net.contains(&client)));
    !is_in(deny) && (allow.is_empty() || is_in(allow))
}

/// A network of IPv4 addresses that are written as IPv6 (RFC 4291 §2.5.5.2) as one of IPv4.
pub fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let IpNet::V6(six) = network else {
        return network;
    };
    let four = six.addr().to_ipv4_mapped();
    let length = six.prefix_len().checked_sub(MAPPED);
    let four = four.zip(length);
    match four.and_then(|(address, length)| Ipv4Net::new(address, length).ok()) {
        Some(four) => IpNet::V4(four),
        None => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(text: &str) -> Vec<IpNet> {
        let words = text.split_whitespace();
        words
            .map(|net| canonical(net.parse().expect("a network")))
            .collect()
    }

    #[test]
    fn deny_precedes_allow_and_an_empty_allow_is_for_all() {
        #[rustfmt::skip]
        let table = [
            // allow, deny, client, admitted
            ("", "", "192.0.2.1", true),
            ("", "", "", true),
            ("10.0.0.0/8", "", "10.1.2.3", true),
            ("10.0.0.0/8", "", "11.1.2.3", false),
            ("10.0.0.0/8", "", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "", "::10.1.2.3", false),
            ("10.0.0.0/8", "", "", false),
            ("", "10.0.0.0/8", "10.1.2.3", false),
            ("", "10.0.0.0/8", "::ffff:10.1.2.3", false),
            ("", "10.0.0.0/8", "192.0.2.1", true),
            ("", "10.0.0.0/8", "", true),
            ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", false),
            ("10.0.0.0/8", "10.1.0.0/16", "10.2.2.3", true),
            ("10.1.2.3/32", "10.0.0.0/8", "10.1.2.3", false),
            ("::ffff:10.0.0.0/104", "", "10.1.2.3", true),
            ("2001:db8::/32", "", "2001:db8:1::2", true),
            ("2001:db8::/32", "", "10.1.2.3", false),
            // Each family has its own whole.
            ("0.0.0.0/0", "", "2001:db8::1", false),
            ("::/0", "", "10.1.2.3", false),
        ];
        for (allow, deny, client, admitted) in table {
            let client = client.parse().ok();
            let found = is_admitted(&nets(allow), &nets(deny), client);
            assert_eq!(found, admitted, "allow {allow}, deny {deny}: {client:?}");
        }
    }
}
