//! `bookend completions`, `man` and `schema`: completions for shells and manual pages, made from the command line's definition,
//! and the JSON Schema of the configuration file.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::report::{Exit, print};
use crate::config::schema;

#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell that the completions are for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct ManArguments {
    /// A folder to write the pages of all commands to, in place of printing bookend(1)
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Prints the completions of `command`.
pub fn completions(arguments: &CompletionsArguments, mut command: clap::Command) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "bookend", &mut text);
    // A closed output is no mistake.
    let _ = io::stdout().write_all(&text);
    Exit::Success
}

/// Prints the JSON Schema of the configuration file.
pub fn schema() -> Exit {
    print(format_args!("{:#}", schema::document()));
    Exit::Success
}

/// Prints the manual page of `command`, or writes the pages of all its subcommands to a folder.
pub fn man(arguments: &ManArguments, command: clap::Command) -> Exit {
    let write = || match &arguments.folder {
        None => {
            // A closed output is no mistake.
            let _ = io::stdout().write_all(&page(command)?);
            Ok(())
        }
        // `bookend.1`, `bookend-run.1` and so on.
        Some(folder) => {
            fs::create_dir_all(folder)?;
            clap_mangen::generate_to(command.clone().disable_help_subcommand(true), folder)?;
            fs::write(folder.join("bookend.1"), page(command)?)
        }
    };
    match write() {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("bookend man: {error}");
            Exit::Failure
        }
    }
}

/// bookend(1). The lines of what follows the options stay as they are.
fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    // The help of a subcommand is its own page.
    let man = clap_mangen::Man::new(command.disable_help_subcommand(true));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    man.render_subcommands_section(&mut text)?;
    text.extend_from_slice(b".nf\n");
    man.render_extra_section(&mut text)?;
    text.extend_from_slice(b".fi\n");
    Ok(text)
}
