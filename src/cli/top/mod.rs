//! `bookend top`: what a running gateway does, live in a terminal. Built in with the feature `top` alone.

#[cfg(feature = "top")]
mod app;
#[cfg(feature = "top")]
mod feed;
#[cfg(feature = "top")]
mod frame;
#[cfg(feature = "top")]
mod once;
mod options;
#[cfg(feature = "top")]
mod snapshot;
#[cfg(feature = "top")]
mod table;
#[cfg(feature = "top")]
mod tabs;
#[cfg(feature = "top")]
mod terminal;
#[cfg(all(test, feature = "top"))]
mod tests;
#[cfg(feature = "top")]
mod theme;

use clap::Args;

use self::options::{Size, Tab};
use super::admin_client::AdminArguments;
use super::report::Exit;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Print one picture as plain text, and exit
    #[arg(long)]
    once: bool,

    /// What to show first
    #[arg(long, default_value = "routes")]
    tab: Tab,

    /// The size of the picture of --once [default: that of the terminal, or 100x30]
    #[arg(long, value_name = "COLUMNSxROWS", requires = "once")]
    size: Option<Size>,

    #[command(flatten)]
    admin: AdminArguments,
}

#[cfg(feature = "top")]
pub fn main(arguments: &Arguments) -> Exit {
    use std::io::{IsTerminal as _, Write as _};

    let client = match arguments.admin.client(true) {
        Ok(client) => client,
        Err(failure) => return failure.report("top"),
    };
    if arguments.once {
        return match once::picture(&client, arguments.tab, arguments.size) {
            Ok(picture) => {
                super::report::print(picture.trim_end());
                Exit::Success
            }
            Err(failure) => failure.report("top"),
        };
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        eprintln!("bookend top: it needs a terminal; --once prints one picture as text");
        return Exit::Mistake;
    }
    match terminal::run(client, arguments.tab) {
        Ok(()) => Exit::Success,
        Err(error) => {
            // It may be gone, and this with it.
            let _ = writeln!(
                std::io::stderr(),
                "bookend top: the terminal cannot be used: {error}"
            );
            Exit::Failure
        }
    }
}

#[cfg(not(feature = "top"))]
pub fn main(arguments: &Arguments) -> Exit {
    let Arguments {
        once: _,
        tab: _,
        size: _,
        admin: _,
    } = arguments;
    eprintln!(
        "bookend top: this program was built without it: build it with `cargo build --release --features top`, or take a \
         package or an image, which have it; `bookend status` and the dashboard of the admin API show the same"
    );
    Exit::Mistake
}
