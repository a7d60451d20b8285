//! The header by which a balancer in front tells the client's address (PROXY protocol, versions 1 and 2).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use proxy_header::{Error, ParseConfig, Protocol, ProxiedAddress, ProxyHeader};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// A header is at most so long, with all that balancers add to it.
const MAX_HEADER: usize = 536;

/// A header of version 1 is at most so long, with its line end.
const MAX_LINE: usize = 107;

/// How long a balancer has for it: it sends it with the first octets of the connection.
const WITHIN: Duration = Duration::from_secs(3);

const ADDRESSES: ParseConfig = ParseConfig {
    include_tlvs: false,
    allow_v1: true,
    allow_v2: true,
};

/// Reads the header, and nothing behind it. Returns the client's address: `from`, where the balancer speaks for itself.
///
/// # Errors
/// When `from` is in none of `balancers`, or no valid header comes in time.
pub(super) async fn read(
    socket: &mut TcpStream,
    from: SocketAddr,
    balancers: &[IpNet],
) -> io::Result<SocketAddr> {
    let ip: IpAddr = from.ip().to_canonical();
    if !balancers.iter().any(|net| net.contains(&ip)) {
        return Err(invalid(
            "it comes from an address that is not in `proxy_protocol`",
        ));
    }
    let header = tokio::time::timeout(WITHIN, header(socket)).await;
    let client = header.map_err(|_| invalid("no PROXY header came within 3 s"))??;
    Ok(client.unwrap_or(from))
}

/// `None` where it is for the balancer's own connection, or for a client whose address it does not know.
async fn header(socket: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut octets = [0; MAX_HEADER];
    let mut read = 0;
    loop {
        let seen = read + socket.peek(&mut octets[read..]).await?;
        if seen == read {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match parse(&octets[..seen]) {
            Ok((client, length)) => {
                socket.read_exact(&mut octets[read..length]).await?;
                return Ok(client);
            }
            Err(Error::BufferTooShort) if seen < MAX_HEADER => {
                // All that came belongs to it.
                socket.read_exact(&mut octets[read..seen]).await?;
                read = seen;
            }
            Err(_) => return Err(invalid("it begins with no valid PROXY header")),
        }
    }
}

/// The client that a header names, and the header's length. `octets` may go on behind it.
fn parse(octets: &[u8]) -> Result<(Option<SocketAddr>, usize), Error> {
    let (header, length) = match octets.first() {
        Some(b'P') => parse_line(octets)?,
        _ => ProxyHeader::parse(octets, ADDRESSES)?,
    };
    let client = match header.proxied_address() {
        Some(ProxiedAddress {
            protocol: Protocol::Stream,
            source,
            ..
        }) => Some(*source),
        _ => None,
    };
    Ok((client, length))
}

/// A header of version 1. The library looks for its parts beyond the line's end, too.
fn parse_line(octets: &[u8]) -> Result<(ProxyHeader<'_>, usize), Error> {
    let longest = &octets[..octets.len().min(MAX_LINE)];
    let end = longest.iter().position(|octet| *octet == b'\n');
    let line = &longest[..end.map_or(longest.len(), |end| end + 1)];
    if !line.starts_with(b"PROXY ") && !b"PROXY ".starts_with(line) {
        return Err(Error::Invalid);
    }
    match ProxyHeader::parse(line, ADDRESSES) {
        Err(Error::BufferTooShort) if end.is_some() => Err(Error::Invalid),
        parsed => parsed,
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([command, family]);
        header.extend((rest.len() as u16).to_be_bytes());
        header.extend(rest);
        header
    }

    #[test]
    fn headers_of_both_versions_are_read_at_every_length() {
        let four = [192, 0, 2, 1, 127, 0, 0, 1, 0x30, 0x39, 0, 80];
        let mut six = vec![0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        six.extend([0; 16]);
        six.extend([0x30, 0x39, 0, 80]);
        // With an additional field: a unique id.
        let with_more: Vec<u8> = four.iter().copied().chain([5, 0, 2, 1, 2]).collect();
        #[rustfmt::skip]
        let table = [
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 12345 80\r\n".to_vec(), Some("192.0.2.1:12345")),
            (b"PROXY TCP6 2001:db8::1 ::1 12345 80\r\n".to_vec(), Some("[2001:db8::1]:12345")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(), None),
            (v2(0x21, 0x11, &four), Some("192.0.2.1:12345")),
            (v2(0x21, 0x21, &six), Some("[2001:db8::1]:12345")),
            (v2(0x21, 0x11, &with_more), Some("192.0.2.1:12345")),
            // The balancer's own connection, and one that is no TCP.
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &four), None),
            (v2(0x21, 0x00, &[]), None),
        ];
        for (header, client) in table {
            let client = client.map(|client| client.parse().expect("an address"));
            for length in 0..header.len() {
                assert_eq!(
                    parse(&header[..length]),
                    Err(Error::BufferTooShort),
                    "{header:?}"
                );
            }
            let behind = [header.as_slice(), b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(parse(&behind), Ok((client, header.len())), "{header:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
        #[rustfmt::skip]
        let table = [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PUT / HTTP/1.1\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 12345\r\n12345",
            b"PROXY TCP4 192.0.2.256 127.0.0.1 1 2\r\n",
            b"PROXYXTCP4 192.0.2.1 127.0.0.1 1 2\r\n",
            b"PROXY TCP5 192.0.2.1 127.0.0.1 1 2\r\n",
            long.as_bytes(),
            b"\r\n\r\n\0\r\nQUIT\r\x21\x11\x00\x0c",
        ];
        for octets in table {
            let parsed = parse(octets);
            assert_eq!(parsed, Err(Error::Invalid), "{}", octets.escape_ascii());
        }
    }
}
