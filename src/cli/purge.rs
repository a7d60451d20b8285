//! `bookend purge`: removes stored responses of a running gateway.

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::admin_client::{AdminArguments, Answer, Failure};
use super::report::{Exit, print};

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    what: What,

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

    /// The members of a cache group (RFC 9875; may be repeated)
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,

    /// Everything
    #[arg(long)]
    all: bool,
}

/// Prints the admin API's answer, `{"purged":1}`: how many resources were removed.
pub fn main(arguments: &Arguments) -> Exit {
    match purge(arguments) {
        Ok(answer) => {
            print(answer.text().trim_end());
            Exit::Success
        }
        Err(failure) => failure.report("purge"),
    }
}

fn purge(arguments: &Arguments) -> Result<Answer, Failure> {
    let content = arguments.what.document();
    let client = arguments.admin.client(true)?;
    client
        .ask(Method::POST, "/purge", Some(&content), LIMIT)?
        .successful()
}

impl What {
    /// As the admin API reads it.
    fn document(&self) -> Value {
        let mut document = json!({});
        for (name, values) in [
            ("url", &self.url),
            ("prefix", &self.prefix),
            ("group", &self.group),
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
