//! From a file and a command line to a [`Config`], or to all the mistakes in them.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::de::DeTable;

use super::env::Lookup;
use super::listener::Listener;
use super::matched::ALL_PATHS;
use super::mistake::{Mistake, Place};
use super::report::{KnownKey, Report};
use super::route::Draft;
use super::route_tiers::RouteTiers;
use super::section::Section;
use super::units::show_size;
use super::upstreams::{self, Destination};
use super::{
    Admin, Cache, Config, Disk, ListenAddr, Log, Routes, Server, ServerUrl, Traces, Valkey,
};

/// Where a configuration comes from. It can be asked again, after the file has changed.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// `None` for the defaults.
    pub file: Option<PathBuf>,
    pub overrides: Overrides,
}

/// Values of the command line, which take precedence over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Empty: as the file says.
    pub listen: Vec<ListenAddr>,
    /// Empty: as the file says.
    pub upstream: Vec<ServerUrl>,
    pub admin: Option<AdminAddr>,
}

/// Where the admin listener is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddr {
    Off,
    At(ListenAddr),
}

/// `off`, or an address as [`ListenAddr`] reads it.
impl FromStr for AdminAddr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            addr => addr.parse().map(Self::At),
        }
    }
}

impl Source {
    /// Reads the file. Fails with all mistakes, in the order of their places.
    pub fn load(&self, lookup: Lookup<'_>) -> Result<Config, Vec<Mistake>> {
        let Some(path) = &self.file else {
            return parse("", None, lookup, &self.overrides);
        };
        let name = path.display().to_string();
        let text = read(path, &name).map_err(|mistake| vec![mistake])?;
        parse(&text, Some(&name), lookup, &self.overrides)
    }
}

impl Config {
    /// Reads `path`. Fails with all mistakes, in the order of their places.
    pub fn load(path: &Path, lookup: Lookup<'_>) -> Result<Self, Vec<Mistake>> {
        let source = Source {
            file: Some(path.to_owned()),
            overrides: Overrides::default(),
        };
        source.load(lookup)
    }

    /// Reads `[admin]` of `path` alone, `None` where it is off: a program that talks to a running gateway needs no more, and the
    /// file may have mistakes elsewhere. Fails with those of `[admin]`.
    pub fn load_admin(path: &Path, lookup: Lookup<'_>) -> Result<Option<Admin>, Vec<Mistake>> {
        let name = path.display().to_string();
        let text = read(path, &name).map_err(|mistake| vec![mistake])?;
        let (root, _) = DeTable::parse_recoverable(&text);
        let report = Report::new(&text, lookup, known_keys);
        let (admin, mistakes) = Section::read_root(&report, &root, |root| {
            let admin = root.section("admin", Admin::read);
            (admin, report.take_mistakes())
        });
        match mistakes.is_empty() {
            true => Ok(admin),
            false => Err(in_order(Some(&name), placed(&text, mistakes).collect())),
        }
    }

    /// Reads `text`, which is in the file `name`. Fails like [`Config::load`].
    pub fn parse(text: &str, name: &str, lookup: Lookup<'_>) -> Result<Self, Vec<Mistake>> {
        parse(text, Some(name), lookup, &Overrides::default())
    }
}

/// All keys, with their sections.
pub(super) fn known_keys() -> Vec<KnownKey> {
    let text = "[[route]]\nmatch = \"/\"\n[[listener]]\n[[listener.tls.certificates]]";
    let (root, _) = DeTable::parse_recoverable(text);
    let report = Report::new(text, &|_| None, Vec::new);
    Section::read_root(&report, &root, |root| read_all(root, &[]));
    report.known()
}

fn read(path: &Path, name: &str) -> Result<String, Mistake> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Mistake::about(name, "there is no such file"),
        _ => Mistake::about(name, format!("cannot be read: {error}")),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        Mistake {
            file: Some(name.into()),
            place: Some(Place::of(&text, at..at + 1)),
            message: "is not UTF-8 text from here on".to_owned(),
        }
    })
}

fn parse(
    text: &str,
    name: Option<&str>,
    lookup: Lookup<'_>,
    overrides: &Overrides,
) -> Result<Config, Vec<Mistake>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let syntax: Vec<_> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(0..0);
            let message = syntax_message(error.message(), span.is_empty());
            (Place::of(text, span), message)
        })
        .collect();

    let report = Report::new(text, lookup, known_keys).of_file(name);
    let mut config = Section::read_root(&report, &root, |root| {
        let mut config = read_all(root, &overrides.upstream);
        overrides.apply(&mut config);
        // A key that seems to be missing may be where the syntax is broken.
        if syntax.is_empty() {
            check_whole(root, &config);
        }
        config
    });

    let [mistakes, warnings, notes] = report.into_findings();
    // The value on a line with broken syntax is a guess of the parser's: only the syntax is to blame.
    let broken: Vec<usize> = syntax.iter().map(|(place, _)| place.line).collect();
    let found = placed(text, mistakes)
        .filter(|(place, _)| !broken.contains(&place.line))
        .chain(syntax);
    let mistakes = in_order(name, found.collect());
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    config.warnings = in_order(name, placed(text, warnings).collect());
    config.notes = in_order(name, placed(text, notes).collect());
    Ok(config)
}

fn placed(text: &str, found: Vec<(Range<usize>, String)>) -> impl Iterator<Item = (Place, String)> {
    let placed = |(span, message)| (Place::of(text, span), message);
    found.into_iter().map(placed)
}

fn in_order(name: Option<&str>, mut found: Vec<(Place, String)>) -> Vec<Mistake> {
    found.sort_by_key(|(place, _)| (place.line, place.column));
    let mistake = |(place, message)| Mistake {
        file: name.map(Into::into),
        place: name.map(|_| place),
        message,
    };
    found.into_iter().map(mistake).collect()
}

impl Overrides {
    fn apply(&self, config: &mut Config) {
        if !self.listen.is_empty() {
            config.server.listen = self.listen.clone();
            config.server.listeners.clear();
        }
        match &self.admin {
            None => {}
            Some(AdminAddr::Off) => config.admin = None,
            Some(AdminAddr::At(listen)) => {
                let admin = config.admin.get_or_insert_with(Admin::default);
                admin.listen = listen.clone();
            }
        }
    }
}

/// `servers` are those of `[upstream]` that the command line gives.
fn read_all(root: &mut Section<'_>, servers: &[ServerUrl]) -> Config {
    let listeners = Listener::read_all(root);
    let server = root.section("server", |section| Server::read(section, listeners));
    let upstreams = upstreams::read(root, servers);
    let (cache, default) = root.section("cache", |section| {
        let cache = Cache::read(section);
        (cache, Draft::default().read(section, ALL_PATHS))
    });
    let disk = root.section("disk", Disk::read);
    let valkey = root.section("valkey", Valkey::read);
    let admin = root.section("admin", Admin::read);
    let log = root.section("log", Log::read);
    let traces = root.section("traces", Traces::read);
    let configured = RouteTiers {
        disk: disk.is_some(),
        shared: valkey.is_some(),
    };
    let routes = Routes::read(root, &default, &upstreams, configured);
    let tiers = routes.default_route().tiers;
    if let Some(given) = root.given_in("cache", "tiers")
        && tiers != RouteTiers::default()
    {
        tiers.warn(root, &given, configured);
    }
    Config {
        server,
        upstreams,
        cache,
        disk,
        valkey,
        admin,
        log,
        traces,
        routes,
        warnings: Vec::new(),
        notes: Vec::new(),
    }
}

/// Checks that concern more than one value.
fn check_whole(root: &Section<'_>, config: &Config) {
    let admin = config.admin.iter().map(|admin| &admin.listen);
    let own: Vec<_> = config.server.addrs().chain(admin).collect();
    upstreams::check(root, &config.upstreams, &own, |upstream| {
        let mut routes = config.routes.listed().iter();
        routes.any(|route| route.destination == Destination::Upstream(upstream))
    });
    warn_of_cache(root, config);
    if let Some(socket) = &config.server.handover_socket
        && own.contains(&&ListenAddr::Unix(socket.clone()))
    {
        root.mistake(
            root.place("server", "handover_socket"),
            format!(
                "{} is where clients or the admin API connect; a handover needs a socket of its own",
                socket.display()
            ),
        );
    }
    if let Some(disk) = &config.disk
        && disk.index_memory > config.cache.memory / 4
    {
        root.mistake(
            root.place("disk", "index_memory"),
            format!(
                "{} is more than a quarter of `memory` in [cache], of which it is taken: lower it, or raise that",
                show_size(disk.index_memory)
            ),
        );
    }
    if config.valkey.is_some() && !cfg!(feature = "valkey") {
        root.warning(
            root.place("valkey", "url"),
            "this program was built without the shared tier, and does not start with it: build it with `cargo build --release --features valkey`, or take a package",
        );
    }
    if let Some(admin) = &config.admin {
        if admin.is_open() {
            root.mistake(
                root.place("admin", "listen"),
                format!(
                    "{} can be reached from other machines: give a `token`, so that not everybody may purge",
                    admin.listen
                ),
            );
        }
        if !admin.listen.is_free_port() && config.server.addrs().any(|addr| *addr == admin.listen) {
            root.mistake(
                root.place("admin", "listen"),
                format!(
                    "{} is where [server] listens; admin needs its own",
                    admin.listen
                ),
            );
        }
    }
}

fn warn_of_cache(root: &Section<'_>, config: &Config) {
    let memory = config.cache.memory;
    for (key, size, what) in [
        (
            "window",
            config.cache.window,
            "one shared body could take more than all that is stored",
        ),
        (
            "max_stored_body",
            config.routes.default_route().max_stored_body,
            "bodies larger than that are not stored",
        ),
    ] {
        if let Some(span) = root.given_in("cache", key)
            && size > memory
        {
            let memory = show_size(memory);
            root.warning(
                span,
                format!("`{key}` is larger than `memory`, which is {memory}: {what}"),
            );
        }
    }
}

/// The parser's message, or a better one for common mistakes.
fn syntax_message(message: &str, is_empty: bool) -> String {
    let unquoted = [
        "string values must be quoted",
        "invalid float",
        "invalid integer",
    ];
    match unquoted.iter().any(|start| message.starts_with(start)) {
        true if is_empty => "a value is missing".to_owned(),
        true => "not a value; sizes, durations and all other text stand in quotes, like \"5m\""
            .to_owned(),
        false => format!("not TOML: {message}"),
    }
}

#[cfg(test)]
mod tests;
