//! `bookend check`: is this configuration one that `run` would take?

use std::path::PathBuf;

use clap::Args;

use super::{Exit, environment, tell, too_few_files};
use crate::config::units::show_size;
use crate::config::{Config, Source};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The file to look through
    #[arg(value_name = "FILE", default_value = "config.toml")]
    file: PathBuf,
    /// The same, as `run` has it
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

/// Says that the file is good, and what in it cannot mean what it seems to; or tells all its mistakes.
pub fn main(arguments: &Arguments) -> Exit {
    let file = arguments.config.as_ref().unwrap_or(&arguments.file);
    let source = Source {
        file: Some(file.clone()),
        ..Source::default()
    };
    match source.load(&environment) {
        Ok(config) => {
            for warning in &config.warnings {
                eprintln!("{}", warning.as_warning());
            }
            if let Some(warning) = too_few_files(&config) {
                eprintln!("warning: {warning}");
            }
            println!("{}: ok: {}", file.display(), summary(&config));
            Exit::Success
        }
        Err(mistakes) => {
            tell(&mistakes);
            Exit::Mistake
        }
    }
}

/// The configuration in a line.
fn summary(config: &Config) -> String {
    let admin = match &config.admin {
        Some(admin) => format!("on {}", admin.listen),
        None => "off".to_owned(),
    };
    let routes = match config.routes.listed().len() {
        0 => "no routes".to_owned(),
        1 => "1 route".to_owned(),
        n => format!("{n} routes"),
    };
    format!(
        "{} in front of {}, {} of memory, {routes}, admin {admin}",
        join(&config.server.listen),
        join(&config.upstream.servers),
        show_size(config.cache.memory),
    )
}

fn join(items: &[impl ToString]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_who_stands_in_front_of_whom() {
        let text = "[server]\nlisten = [\":80\", \"unix:/s\"]\n[upstream]\nservers = [\"http://a:1\"]\n\
                    [[route]]\nmatch = \"/\"\n[admin]\nlisten = \"off\"";
        let config = Config::parse(text, "test", &|_| None).expect("a valid file");
        assert_eq!(
            summary(&config),
            "0.0.0.0:80, unix:/s in front of http://a:1, 256MiB of memory, 1 route, admin off"
        );
    }
}
