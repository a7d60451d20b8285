//! Vary, validators, and which stored response answers a request.

mod connection;
mod cors;
mod counting;
mod octets;
mod readable;
mod validators;
mod vary;

use crate::common::{Request, request};

/// A request with these fields.
fn asking(method: &str, target: &str, lines: &[(&str, &str)]) -> Request {
    let plain = request(method, target);
    lines
        .iter()
        .fold(plain, |request, (name, value)| request.field(name, value))
}
