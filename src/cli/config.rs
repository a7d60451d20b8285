//! `bookend config`: the configuration that a file makes, each value with its origin.

use std::path::PathBuf;

use clap::Args;

use super::report::{Exit, environment, print, print_mistakes};
use crate::config::Config;
use crate::config::effective::effective;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The file to show
    #[arg(value_name = "FILE", default_value = "config.toml")]
    file: PathBuf,
    /// The same as FILE, under the name that `run` uses
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

/// Prints the file with all defaults spelt out, or every mistake of an invalid one.
pub fn main(arguments: &Arguments) -> Exit {
    let file = arguments.config.as_ref().unwrap_or(&arguments.file);
    if let Err(mistakes) = Config::load(file, &environment) {
        print_mistakes(&mistakes);
        return Exit::Mistake;
    }
    match std::fs::read_to_string(file) {
        Ok(text) => {
            print(effective(&text, &file.display().to_string()).trim_end());
            Exit::Success
        }
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            Exit::Failure
        }
    }
}
