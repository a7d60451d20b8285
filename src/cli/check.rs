//! `bookend check`: whether `run` would accept this configuration.

use std::path::PathBuf;

use clap::Args;

use super::report::{Exit, environment, print_mistakes, too_few_files};
use super::route;
use crate::config::units::show_size;
use crate::config::{Config, NamedUpstream, Source};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The file to check
    #[arg(value_name = "FILE", default_value = "config.toml")]
    file: PathBuf,
    /// The same as FILE, under the name that `run` uses
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,

    /// Show which route takes a request, which API gets it as what, and how the response is cached
    #[arg(long, num_args = 2, value_names = ["METHOD", "URL"])]
    route: Option<Vec<String>>,
}

/// Prints a summary of a valid file and its warnings and notes, or every mistake of an invalid one.
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
            for note in &config.notes {
                eprintln!("{}", note.as_note());
            }
            if let Some(warning) = too_few_files(&config) {
                eprintln!("warning: {warning}");
            }
            if let Some([method, url]) = arguments.route.as_deref() {
                return match route::describe(&config, file, method, url) {
                    Ok(lines) => {
                        lines.iter().for_each(|line| println!("{line}"));
                        Exit::Success
                    }
                    Err(fault) => {
                        eprintln!("--route: {fault}");
                        Exit::Mistake
                    }
                };
            }
            println!("{}: ok: {}", file.display(), summary(&config));
            Exit::Success
        }
        Err(mistakes) => {
            print_mistakes(&mistakes);
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
    let upstream = |named: &NamedUpstream| {
        let servers = join(&named.upstream.servers);
        match &named.name {
            None => servers,
            Some(name) => format!("{name}: {servers}"),
        }
    };
    let upstreams: Vec<_> = config.upstreams.iter().map(upstream).collect();
    format!(
        "{} in front of {}, {} of memory, {routes}, admin {admin}",
        join(&config.server.addrs().collect::<Vec<_>>()),
        upstreams.join("; "),
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
    fn the_summary_names_the_addresses_the_servers_and_the_admin_api() {
        let text = "[server]\nlisten = [\":80\", \"unix:/s\"]\n[upstream]\nservers = [\"http://a:1\"]\n\
                    [[route]]\nmatch = \"/\"\n[admin]\nlisten = \"off\"";
        let config = Config::parse(text, "test", &|_| None).expect("a valid file");
        assert_eq!(
            summary(&config),
            "0.0.0.0:80, unix:/s in front of http://a:1, 256MiB of memory, 1 route, admin off"
        );
    }
}
