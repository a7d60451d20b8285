//! Balancers that tell the client's address by the PROXY protocol.

use crate::common::{Client, End, Gateway, Origin, get, reply};

const REQUEST: &str = "GET /books HTTP/1.1\r\nHost: books.test\r\n\r\n";

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend((rest.len() as u16).to_be_bytes());
    header.extend(rest);
    header
}

/// For a client at 192.0.2.1.
fn headers() -> [Vec<u8>; 2] {
    [
        b"PROXY TCP4 192.0.2.1 127.0.0.1 12345 80\r\n".to_vec(),
        v2(0x21, 0x11, &[192, 0, 2, 1, 127, 0, 0, 1, 0x30, 0x39, 0, 80]),
    ]
}

fn api() -> Origin {
    Origin::answering(reply(200).field("Cache-Control", "no-store").body("1984"))
}

fn listener(balancers: &str, more: &str) -> String {
    format!("[[listener]]\nlisten = '127.0.0.1:0'\nproxy_protocol = {balancers}\n{more}")
}

#[test]
fn the_client_is_the_one_that_the_header_names() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .more(&listener("['127.0.0.0/8']", ""))
        .start();
    let [v1, v2_header] = headers();
    #[rustfmt::skip]
    let table = [
        (v1, "192.0.2.1"),
        (v2_header, "192.0.2.1"),
        // The balancer's own connection, and a client that it does not know.
        (v2(0x20, 0x00, &[]), "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ];
    for (header, client) in table {
        // At once, and with a pause at each border.
        for cut in [0, 1, 6, 13, header.len() - 1, header.len()] {
            let cut = cut.min(header.len());
            let accepted = gateway.sum(|counted| counted.connections_accepted.value());
            let mut connection = Client::to(gateway.listener());
            connection.write(&header[..cut]);
            // The gateway reads the first piece, whatever comes behind it.
            gateway.await_sum(accepted + 1, |counted| counted.connections_accepted.value());
            connection.write([&header[cut..], REQUEST.as_bytes()].concat());
            connection.answer("GET").finish().expect(200);
            let last = origin.last();
            assert_eq!(
                last.fields.get("x-forwarded-for"),
                Some(client),
                "{header:?} {cut}"
            );
            let forwarded = last.fields.get("forwarded").unwrap_or_default();
            assert!(forwarded.contains(&format!("for={client}")), "{forwarded}");
            // The connection is kept, and its client the same.
            connection
                .send(&get("/books").field("X-Forwarded-For", "198.51.100.9"))
                .expect(200);
            let last = origin.last();
            let list = last.fields.get("x-forwarded-for").unwrap_or_default();
            assert!(list.ends_with(client), "{list}");
        }
    }
}

#[test]
fn a_connection_without_a_valid_header_or_from_elsewhere_is_closed() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .more(&listener("['127.0.0.1', '10.0.0.0/8']", ""))
        .start();
    for octets in [
        REQUEST.as_bytes(),
        b"PROXY TCP4 192.0.2.256 127.0.0.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\r\x21\x11\0\0",
        b"\x16\x03\x01\x02\0\x01",
        // Nothing within the deadline.
        b"",
        b"PROXY TCP4 192.0.2.1",
    ] {
        let mut connection = Client::to(gateway.listener());
        connection.write(octets);
        let end = connection.await_close();
        assert_ne!(end, End::Stalled, "{}", octets.escape_ascii());
    }
    let strict = Gateway::before(&origin)
        .more(&listener("['10.0.0.0/8']", ""))
        .start();
    for header in headers() {
        let mut connection = Client::to(strict.listener());
        connection.write([&header, REQUEST.as_bytes()].concat());
        assert_ne!(connection.await_close(), End::Stalled);
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn limits_are_those_of_the_client_behind_the_balancer() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .server("rate_limit = { requests = 1, per = '1h' }")
        .more(&listener("'127.0.0.1'", ""))
        .start();
    let ask = |client: &str| {
        let mut connection = Client::to(gateway.listener());
        let header = format!("PROXY TCP4 {client} 127.0.0.1 12345 80\r\n");
        connection.write([header.as_bytes(), REQUEST.as_bytes()].concat());
        connection.answer("GET").finish().status
    };
    let statuses = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2"].map(ask);
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[test]
fn connections_are_counted_for_the_client_that_the_header_names() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .server("max_connections_per_client = 1")
        .more(&listener("['127.0.0.0/8']", ""))
        .start();
    let connect = |client: &str| {
        let mut connection = Client::to(gateway.listener());
        connection.write(format!(
            "PROXY TCP4 {client} 127.0.0.1 12345 80\r\n{REQUEST}"
        ));
        connection
    };
    let mut first = connect("192.0.2.1");
    first.answer("GET").finish().expect(200);
    connect("192.0.2.2").answer("GET").finish().expect(200);
    let mut second = connect("192.0.2.1");
    assert_ne!(second.await_close(), End::Stalled, "one too many");
    first.write(REQUEST);
    first.answer("GET").finish().expect(200);
}
