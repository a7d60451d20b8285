//! `bookend run`: the gateway itself.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, environment, signal, tell};
use crate::clock::Clock;
use crate::config::{AdminAddr, Config, ListenAddr, Overrides, ServerUrl, Source};
use crate::instance::Instance;

/// The file that is read when no other is named.
const DEFAULT_FILE: &str = "config.toml";

#[derive(Debug, Args)]
pub struct Arguments {
    /// The configuration [default: config.toml, or none with --upstream]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// An address to listen on, instead of the file's (may be repeated): 127.0.0.1:8080, :8080, [::]:8080, unix:/path
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddr>,

    /// A server of the API, instead of the file's (may be repeated): http://host:port/base, https://host, unix:/path
    #[arg(long, value_name = "URL")]
    upstream: Vec<ServerUrl>,

    /// The admin listener's address, instead of the file's; or off
    #[arg(long, value_name = "ADDR")]
    admin: Option<AdminAddr>,
}

/// Runs until a signal ends it.
pub fn main(arguments: &Arguments) -> Exit {
    let source = arguments.source();
    match source.load(&environment) {
        Ok(config) => serve(config),
        Err(mistakes) => {
            tell(&mistakes);
            if arguments.is_default_missing() {
                eprintln!(
                    "give another with --config FILE, or just the API's address with --upstream URL"
                );
            }
            Exit::Mistake
        }
    }
}

fn serve(config: Config) -> Exit {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let served =
        Instance::bind(config, Clock::system()).and_then(|instance| instance.run(signal::end()));
    match served {
        Ok(_) => Exit::Success,
        Err(error) => {
            tracing::error!(%error, "cannot run");
            Exit::Failure
        }
    }
}

impl Arguments {
    /// Where the configuration comes from. An `--upstream` is enough: the default file is then not looked for, so that
    /// what runs does not hang on the folder it was started in.
    fn source(&self) -> Source {
        let default = self.upstream.is_empty().then(|| DEFAULT_FILE.into());
        Source {
            file: self.config.clone().or(default),
            overrides: Overrides {
                listen: self.listen.clone(),
                upstream: self.upstream.clone(),
                admin: self.admin.clone(),
            },
        }
    }

    fn is_default_missing(&self) -> bool {
        let file = self.source().file;
        self.config.is_none() && file.is_some_and(|file| !file.exists())
    }
}
