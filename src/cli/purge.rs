//! `bookend purge`: removes stored responses of a running gateway.

use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::admin_client::{AdminArguments, Failure};
use super::report::{Exit, print};
use crate::printable::printable_json;

const LIMIT: Duration = Duration::from_secs(70);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    what: What,

    /// Keep what is stored, but have it validated before it is used again
    #[arg(long)]
    soft: bool,

    /// Change nothing: say how much would be removed
    #[arg(long)]
    dry_run: bool,

    /// Why, for the list of purges
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// In a fleet: how long to wait until no gateway serves any more what is purged, such as 30s; at most a minute
    #[arg(long, value_name = "DURATION")]
    wait: Option<String>,

    #[command(flatten)]
    admin: AdminArguments,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct What {
    /// A URL, or a path with its query on every host: http://host/books/123, /books/123 (may be repeated)
    #[arg(long, value_name = "URL")]
    url: Vec<String>,

    /// A path and everything below it, with all queries: /books (may be repeated)
    #[arg(long, value_name = "PATH")]
    prefix: Vec<String>,

    /// The responses with a tag, or of a cache group (RFC 9875; may be repeated)
    #[arg(long, value_name = "NAME", alias = "group")]
    tag: Vec<String>,

    /// The responses of a route, by its name as `bookend check --route` shows it: /books/{id} (may be repeated)
    #[arg(long, value_name = "NAME")]
    route: Vec<String>,

    /// Everything
    #[arg(long)]
    all: bool,
}

/// Prints the admin API's answer, `{"purged":1,…}`: how many resources were removed, and of how many bytes. It fails where it is not
/// acknowledged: some other gateway of the fleet may still serve what is purged, or the disk may not have it.
pub fn main(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut content = arguments.what.document();
    for (name, is_given) in [("soft", arguments.soft), ("dry_run", arguments.dry_run)] {
        if is_given {
            content[name] = json!(true);
        }
    }
    if let Some(reason) = &arguments.reason {
        content["reason"] = json!(reason);
    }
    if let Some(wait) = &arguments.wait {
        content["wait"] = json!(wait);
    }
    let client = arguments.admin.client(true)?;
    let answer = client
        .ask(Method::POST, "/purge", Some(&content), LIMIT)?
        .with_document()?;
    print(printable_json(
        String::from_utf8_lossy(&answer.content).trim_end(),
    ));
    if answer.status == StatusCode::ACCEPTED {
        eprintln!("bookend purge: it holds at this gateway, but is not acknowledged: see `why`");
        return Ok(Exit::Failure);
    }
    Ok(Exit::Success)
}

impl What {
    /// As the admin API reads it.
    fn document(&self) -> Value {
        let mut document = json!({});
        for (name, values) in [
            ("url", &self.url),
            ("prefix", &self.prefix),
            ("tag", &self.tag),
            ("route", &self.route),
        ] {
            if !values.is_empty() {
                document[name] = json!(values);
            }
        }
        if self.all {
            document["all"] = json!(true);
        }
        document
    }
}
