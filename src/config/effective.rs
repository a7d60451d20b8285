//! The configuration that a file makes, each value with its origin: a line of the file, or the default.

use std::fmt::Write as _;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::Place;
use super::renamed::former_names;
use super::schema::{DOCUMENTED, documented_key};

/// The file `name` with this text, with all its defaults spelt out, in the order of `config.toml`: TOML that means the same. Each
/// value is as it is written, so that a variable is not replaced; a secret that is written out is left out.
pub fn effective(text: &str, name: &str) -> String {
    let (root, _) = DeTable::parse_recoverable(text);
    let root = root.get_ref();
    let mut shown = Shown {
        text,
        name,
        credential_fields: credential_fields(root),
        out: String::new(),
    };
    let has_listeners = root.contains_key("listener");
    for (path, keys) in documented() {
        // Where there are listeners, that of [server] has no default.
        let has_default = |key: &str| !(has_listeners && path == "server" && key == "listen");
        let keys = keys.into_iter();
        let keys: Keys = keys
            .map(|(key, default)| (key, default.filter(|_| has_default(key))))
            .collect();
        match path.strip_prefix("upstream") {
            Some(rest) => {
                if root.contains_key("upstream") {
                    shown.section(path, lookup(root, path), &keys);
                }
                let named = root
                    .get("upstreams")
                    .and_then(|all| all.get_ref().as_table());
                for name in named.into_iter().flat_map(|named| named.keys()) {
                    let path = format!("upstreams.{}{rest}", name.get_ref());
                    shown.section(&path, lookup(root, &path), &keys);
                }
            }
            None => shown.section(path, lookup(root, path), &keys),
        }
    }
    for array in ["listener", "route"] {
        if let Some(value) = root.get(array) {
            shown.written(array, value);
        }
    }
    shown.out
}

/// The keys of a section, each with its default as it is written, where it has one.
type Keys = Vec<(&'static str, Option<&'static str>)>;

/// The sections of `config.toml`, in its order.
fn documented() -> Vec<(&'static str, Keys)> {
    let mut sections: Vec<(_, Keys)> = Vec::new();
    for line in DOCUMENTED.lines() {
        if let Some(path) = line.strip_prefix('[') {
            sections.push((path.trim_end_matches(']'), Vec::new()));
        } else if line.starts_with("# [") && line.ends_with(']') {
            // Examples of further sections, to the end of this one.
            sections.push(("", Vec::new()));
        } else if let Some((key, value, is_default)) = documented_key(line)
            && let Some((_, keys)) = sections.last_mut()
        {
            let default = Some(value).filter(|_| is_default);
            match keys.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = known.or(default),
                None => keys.push((key, default)),
            }
        }
    }
    sections.retain(|(path, _)| !path.is_empty());
    sections
}

/// The table of the file with this path.
fn lookup<'a>(root: &'a DeTable<'a>, path: &str) -> Option<&'a DeTable<'a>> {
    path.split('.')
        .try_fold(root, |table, name| table.get(name)?.get_ref().as_table())
}

struct Shown<'a> {
    text: &'a str,
    name: &'a str,
    /// All that the file names, in lower case.
    credential_fields: Vec<String>,
    out: String,
}

impl Shown<'_> {
    /// The section's keys: those that the file has, and those that have a default.
    fn section(
        &mut self,
        path: &str,
        table: Option<&DeTable<'_>>,
        keys: &[(&'static str, Option<&'static str>)],
    ) {
        let title = format!("[{path}]");
        self.header(&title);
        for &(key, default) in keys {
            let mut names = std::iter::once(key).chain(former_names(&title, key));
            let given = table.and_then(|table| names.find_map(|name| table.get(name)));
            match (given, default) {
                (Some(given), _) => self.given(path, key, key, given),
                (None, Some(default)) => self.line(key, default, "default"),
                (None, None) => {}
            }
        }
    }

    /// A table that has no defaults of its own, as it is written, with the tables in it.
    fn written(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => {
                self.header(&format!("[{path}]"));
                self.members(path, table);
            }
            DeValue::Array(items) => {
                for table in items.iter().filter_map(|item| item.get_ref().as_table()) {
                    self.header(&format!("[[{path}]]"));
                    self.members(path, table);
                }
            }
            _ => {}
        }
    }

    fn members(&mut self, path: &str, table: &DeTable<'_>) {
        let is_section = |value: &DeValue<'_>| match value {
            DeValue::Table(_) => true,
            DeValue::Array(items) => {
                !items.is_empty() && items.iter().all(|item| item.get_ref().is_table())
            }
            _ => false,
        };
        let (inner, own): (Vec<_>, Vec<_>) = table
            .iter()
            .partition(|(_, value)| is_section(value.get_ref()));
        for (key, value) in own {
            let written = &self.text[key.span()];
            self.given(path, key.get_ref(), written, value);
        }
        for (key, value) in inner {
            let path = format!("{path}.{}", &self.text[key.span()]);
            self.written(&path, value);
        }
    }

    fn header(&mut self, title: &str) {
        let gap = if self.out.is_empty() { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{gap}{title}");
    }

    /// `key`: `name` as it is written.
    fn given(&mut self, path: &str, name: &str, key: &str, value: &Spanned<DeValue<'_>>) {
        let line = Place::of(self.text, value.span()).line;
        let origin = format!("{}:{line}", self.name);
        let text = &self.text[value.span()];
        let value = value.get_ref();
        let is_secret_field = match path.replace(['"', '\''], "").rsplit_once(".request_fields") {
            // The tables `set` and `add`, or a field in one.
            Some((_, "")) => {
                let mut lines = value.as_table().into_iter().flatten();
                lines.any(|(name, value)| self.is_secret_field(name.get_ref(), value.get_ref()))
            }
            Some(_) => self.is_secret_field(name, value),
            // Those of requests to a collector are there for its credentials.
            None => (path, name) == ("traces", "headers") && is_written_out(value),
        };
        match is_secret_field || is_secret(name, value) {
            true => self.line(&format!("# {key}"), "(set)", &origin),
            false => self.line(key, text, &origin),
        }
    }

    /// Whether a request field of this name has a secret that is no variable.
    fn is_secret_field(&self, name: &str, value: &DeValue<'_>) -> bool {
        let name = name.to_ascii_lowercase();
        let is_known = ["authorization", "proxy-authorization", "cookie"].contains(&&*name)
            || ["key", "token", "secret"]
                .iter()
                .any(|part| name.contains(part))
            || self.credential_fields.contains(&name);
        is_known && is_written_out(value)
    }

    fn line(&mut self, key: &str, value: &str, origin: &str) {
        let _ = writeln!(self.out, "{key} = {value}  # {origin}");
    }
}

/// Whether a value has a secret that is no variable: it must not be printed.
fn is_secret(key: &str, value: &DeValue<'_>) -> bool {
    match (key, value) {
        ("token" | "bearer" | "eab_hmac_key", DeValue::String(text)) => !text.contains("${"),
        ("bearer", DeValue::Array(tokens)) => {
            let mut tokens = tokens.iter();
            tokens.any(|token| is_secret(key, token.get_ref()))
        }
        ("auth", DeValue::Table(table)) => {
            let mut keys = table.iter();
            keys.any(|(key, value)| is_secret(key.get_ref(), value.get_ref()))
        }
        _ => false,
    }
}

/// Whether the value of a field has text of its own, or one of its values has, without a variable in it.
fn is_written_out(value: &DeValue<'_>) -> bool {
    match value {
        // `$${` stands for `${`.
        DeValue::String(text) => !text.replace("$${", "").contains("${"),
        DeValue::Array(values) => values.iter().any(|value| is_written_out(value.get_ref())),
        _ => true,
    }
}

/// The names that `credential_fields` of [cache] and of routes list.
fn credential_fields(root: &DeTable<'_>) -> Vec<String> {
    let routes = root.get("route").and_then(|all| all.get_ref().as_array());
    let routes = routes.into_iter().flat_map(|routes| routes.iter());
    let tables = root.get("cache").into_iter().chain(routes);
    let mut names = Vec::new();
    for listed in tables.filter_map(|table| table.get_ref().get("credential_fields")) {
        let listed = match listed.get_ref() {
            DeValue::Array(listed) => listed.iter().collect(),
            _ => vec![listed],
        };
        let listed = listed
            .into_iter()
            .filter_map(|name| name.get_ref().as_str());
        names.extend(listed.map(str::to_ascii_lowercase));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const FILE: &str = "\
[server]
name = 'edge-1'
workers = 2
rate_limit = { requests = 5, per = '1s', tell = false }
[upstream]
servers = [
    'http://127.0.0.1:1', # the first
    'http://127.0.0.1:2',
]
[upstream.ejection]
slow_return = '3s'
[upstreams.films]
servers = 'http://127.0.0.1:3'
http2.max_concurrent_streams = 5
[cache]
ttl = { 200 = '5m', 404 = '30s' }
[admin]
token = '${TOKEN}'
[[listener]]
listen = '127.0.0.1:8443'
[[route]]
match = '/books/{id}'
bypass = true
[[route]]
match = '/films'
upstream = 'films'
[route.rate_limit]
requests = 1
per = '1m'
[[route]]
match = '/flicks/{id}'
deny = ['10.0.0.0/8']
respond = { status = 308, location = '/films/{id}' }
";

    #[test]
    fn what_is_shown_means_the_same_as_the_file() {
        let lookup = |name: &str| (name == "TOKEN").then(|| "sesame".to_owned());
        let parse = |text: &str| {
            let config = Config::parse(text, "test", &lookup);
            config.unwrap_or_else(|mistakes| panic!("{text}\n{mistakes:#?}"))
        };
        let shown = effective(FILE, "config.toml");
        let (mut before, mut after) = (parse(FILE), parse(&shown));
        let routes = [&before, &after].map(|config| config.routes.listed().len());
        assert_eq!(routes, [3, 3]);
        // Former names are shown as they are now, and a route knows its line, as what is said of it does.
        before.notes.clear();
        assert_eq!(before.warnings.len(), after.warnings.len());
        after.warnings = before.warnings.clone();
        after.routes = before.routes.clone();
        assert_eq!(before, after);
        for line in [
            "workers = 2  # config.toml:3",
            "shutdown_delay = \"0s\"  # default",
            "send_fields = false  # config.toml:4",
            "slow_start = '3s'  # config.toml:11",
            "token = '${TOKEN}'  # config.toml:18",
            "bypass = true  # config.toml:23",
            "requests = 1  # config.toml:28",
        ] {
            assert!(
                shown.lines().any(|shown| shown == line),
                "{line} is not in\n{shown}"
            );
        }
        assert!(!shown.contains("listen = [\"127.0.0.1:8080\"]"), "{shown}");
    }

    #[test]
    fn a_token_that_is_written_out_is_not_shown() {
        let inline = "[[listener]]\ntls.acme = { domains = 'a.test', eab_hmac_key = 'sesame' }\n";
        assert!(!effective(inline, "config.toml").contains("sesame"));
        let shown = effective("[admin]\ntoken = 'sesame'\n", "config.toml");
        assert!(
            shown.contains("\n# token = (set)  # config.toml:2\n"),
            "{shown}"
        );
        assert!(!shown.contains("sesame"));
    }

    #[test]
    fn fields_for_a_collector_that_are_written_out_are_not_shown() {
        let written = "[traces]\nheaders = ['Authorization: Bearer sesame', 'X-A: ${KEY}']\n";
        let shown = effective(written, "config.toml");
        assert!(!shown.contains("sesame"), "{shown}");
        assert!(shown.contains("\n# headers = (set)"), "{shown}");
        let shown = effective("[traces]\nheaders = ['X-A: ${KEY}']\n", "config.toml");
        assert!(shown.contains("headers = ['X-A: ${KEY}']"), "{shown}");
    }

    #[test]
    fn bearer_tokens_that_are_written_out_are_not_shown() {
        for auth in [
            "[cache]\nauth = { bearer = ['sesame'], realm = 'a' }\n",
            "[cache.auth]\nbearer = 'sesame'\n",
            "[[route]]\nauth.bearer = ['${TOKEN}', 'sesame']\n",
            "[[route]]\nauth = { bearer = 'sesame' }\n",
        ] {
            let shown = effective(auth, "config.toml");
            assert!(!shown.contains("sesame"), "{shown}");
            assert!(shown.contains(" = (set)"), "{shown}");
        }
        let shown = effective("[[route]]\nauth.bearer = ['${TOKEN}']\n", "config.toml");
        assert!(shown.contains("bearer = ['${TOKEN}']"), "{shown}");
    }

    #[test]
    fn secrets_of_request_fields_that_are_written_out_are_not_shown() {
        for file in [
            "[cache]\nrequest_fields = { set = { Authorization = 'Bearer sesame', X-A = 'a' } }\n",
            "[cache]\nrequest_fields.set.Cookie = 'a=sesame'\n",
            "[cache.request_fields]\nadd = { X-Api-Key = ['${KEY}', 'sesame'] }\n",
            "[cache.request_fields.set]\n'PROXY-authorization' = 'sesame'\n",
            "[cache]\ncredential_fields = ['X-Own']\nrequest_fields = { set = { x-own = 'sesame' } }\n",
            "[[route]]\nrequest_fields = { set = { X-Auth-Token = 'sesame' } }\n",
            "[[route]]\ncredential_fields = 'X-Own'\nrequest_fields.add.X-Own = 'sesame'\n",
            "[[route]]\n[route.request_fields.set]\n\"Authorization\" = 'Bearer sesame'\n",
            "[[route]]\n'request_fields' = { add = { X-Key = 'sesame' } }\n",
            "[[route]]\n[route.request_fields]\nset = { Client-Secret = 'sesame$${' }\n",
        ] {
            let shown = effective(file, "config.toml");
            assert!(!shown.contains("sesame"), "{shown}");
            assert!(shown.contains(" = (set)"), "{shown}");
        }
        for (file, line) in [
            (
                "[cache]\nrequest_fields = { set = { Authorization = '${KEY}' } }\n",
                "\nset = { Authorization = '${KEY}' }",
            ),
            (
                "[[route]]\nrequest_fields = { set = { X-A = 'a', Cookie = 'sesame' }, remove = ['X-Key'] }\n",
                "X-A = 'a'",
            ),
            (
                "[[route]]\nrequest_fields = { remove = ['Authorization'] }\n",
                "remove = ['Authorization']",
            ),
        ] {
            let shown = effective(file, "config.toml");
            assert!(shown.contains(line) && !shown.contains("sesame"), "{shown}");
        }
    }

    #[test]
    fn what_is_shown_of_a_file_with_one_server_is_all_defaults() {
        let text = "[upstream]\nservers = 'http://127.0.0.1:1'\n";
        let parse = |text: &str| Config::parse(text, "test", &|_| None).expect("a valid file");
        let shown = effective(text, "config.toml");
        assert_eq!(parse(&shown), parse(text));
        let given = shown
            .lines()
            .filter(|line| line.contains("  # config.toml:"));
        assert_eq!(given.count(), 1);
        let defaults = DOCUMENTED.lines().filter_map(documented_key);
        for (key, value, _) in defaults.filter(|(_, _, is_default)| *is_default) {
            let line = format!("{key} = {value}  # default");
            assert!(shown.lines().any(|shown| shown == line), "{line}");
        }
    }
}
