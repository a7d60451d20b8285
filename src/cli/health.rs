//! `bookend health`: whether a gateway is alive, or ready; for container engines and scripts.

use std::time::Duration;

use clap::Args;
use http::Method;

use super::admin_client::AdminArguments;
use super::report::{Exit, print};

const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Ask whether it takes requests (/readyz), not only whether it runs (/healthz)
    #[arg(long)]
    ready: bool,

    #[command(flatten)]
    admin: AdminArguments,
}

/// Fails with 1 whatever the reason: a container engine knows no other status.
pub fn main(arguments: &Arguments) -> Exit {
    let path = match arguments.ready {
        true => "/readyz",
        false => "/healthz",
    };
    let client = arguments.admin.client(false);
    let answer = client.and_then(|client| client.ask(Method::GET, path, None, LIMIT));
    match answer {
        Ok(answer) if answer.status.is_success() => {
            print(answer.text().trim_end());
            Exit::Success
        }
        Ok(answer) => {
            eprintln!(
                "bookend health: {}: {}",
                answer.status,
                answer.text().trim_end()
            );
            Exit::Failure
        }
        Err(failure) => {
            failure.report("health");
            Exit::Failure
        }
    }
}
