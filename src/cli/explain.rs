//! `bookend explain`: what a running gateway knows of a URL.

use std::time::Duration;

use clap::Args;
use http::Method;

use super::admin_client::{AdminArguments, Answer, Failure};
use super::report::{Exit, print};
use crate::semantics::percent;

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct Arguments {
    /// A URL, or a path with its query on every host: http://host/books/123, /books/123
    #[arg(value_name = "URL")]
    url: String,

    #[command(flatten)]
    admin: AdminArguments,
}

/// Prints the admin API's document: the route, what is stored, and which responses proved uncacheable and why.
pub fn main(arguments: &Arguments) -> Exit {
    match explain(arguments) {
        Ok(answer) => {
            print(format_args!("{:#}", answer.document()));
            Exit::Success
        }
        Err(failure) => failure.report("explain"),
    }
}

fn explain(arguments: &Arguments) -> Result<Answer, Failure> {
    let client = arguments.admin.client(true)?;
    let target = format!("/explain?url={}", encoded(&arguments.url));
    client.ask(Method::GET, &target, None, LIMIT)?.successful()
}

/// The value of a parameter: all octets but unreserved ones and slashes are encoded.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for octet in value.bytes() {
        match percent::is_unreserved(octet) || octet == b'/' {
            true => text.push(char::from(octet)),
            false => text.push_str(&format!("%{octet:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_parameter_whatever_is_in_it() {
        for (url, parameter) in [
            ("/books/123", "/books/123"),
            ("/books?a=b&c=%20", "/books%3Fa%3Db%26c%3D%2520"),
            ("http://h/é#", "http%3A//h/%C3%A9%23"),
        ] {
            assert_eq!(encoded(url), parameter);
        }
    }
}
