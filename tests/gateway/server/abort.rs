//! A response that breaks off never looks whole.

use std::io::ErrorKind;

use super::harness::{Gateway, config};

#[test]
fn a_close_delimited_response_that_breaks_off_ends_in_a_reset() {
    let gateway = Gateway::start(&config());
    for path in ["/breaks", "/panics-midway"] {
        let mut client = gateway.connect();
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        let (rest, ended) = client.rest();
        assert_eq!(
            ended.unwrap_err().kind(),
            ErrorKind::ConnectionReset,
            "{path}: {rest}"
        );
    }
}

#[test]
fn a_framed_response_that_breaks_off_ends_in_a_reset_too() {
    let gateway = Gateway::start(&config());
    for path in ["/breaks", "/panics-midway", "/short"] {
        let mut client = gateway.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let (rest, ended) = client.rest();
        assert_eq!(
            ended.unwrap_err().kind(),
            ErrorKind::ConnectionReset,
            "{path}: {rest}"
        );
        assert!(!rest.ends_with("0\r\n\r\n"), "{path}: {rest}");
    }
}

#[test]
fn a_whole_close_delimited_response_ends_in_order() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    client.send("GET /hello HTTP/1.0\r\n\r\n");
    let (rest, ended) = client.rest();
    assert!(rest.ends_with("hello"), "{rest}");
    ended.unwrap();
}
