//! Holds the documented file, `config.toml`, equal to what the code does.

use toml::de::DeTable;

use super::Config;
use super::load::known_keys;

const FILE: &str = include_str!("../../config.toml");

/// Keys of a route that [cache] has not.
const ROUTE_ONLY: [&str; 14] = [
    "host",
    "match",
    "methods",
    "upstream",
    "strip_prefix",
    "rewrite",
    "invalidates",
    "tags",
    "rate_limit",
    "exchange_timeout",
    "min_body_rate",
    "response_timeout",
    "max_body",
    "retries",
];

/// The file with each default, `#key = …`, spelt out.
fn spelt_out() -> String {
    lines(|line| {
        let default = line.strip_prefix('#').filter(|rest| is_key(rest));
        default.unwrap_or(line)
    })
}

/// The file with each example, `# key = …`, spelt out instead.
fn examples() -> String {
    lines(|line| {
        let example = line.strip_prefix("# ").filter(|rest| is_key(rest));
        example.unwrap_or(line)
    })
}

fn lines(change: impl Fn(&'static str) -> &'static str) -> String {
    FILE.lines().map(change).collect::<Vec<_>>().join("\n")
}

fn is_key(text: &str) -> bool {
    let name = text.split_once(" = ").map_or("", |(name, _)| name);
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    let is_header = text == "[[route]]" || text.starts_with("[upstreams.") && !text.contains(' ');
    is_header || (!name.is_empty() && name.chars().all(is_name))
}

fn parse(text: &str) -> Config {
    let known = ["BOOKEND_ADMIN_TOKEN", "COLLECTOR_TOKEN"];
    let lookup = |name: &str| known.contains(&name).then(|| "sesame".to_owned());
    // The file shows where a certificate might be; there is none in tests.
    let text = text.replace("ca_file", "#ca_file");
    // A program without traces takes no endpoint for them.
    #[cfg(not(feature = "otlp"))]
    let text = text.replace("\nendpoint = ", "\n#endpoint = ");
    let text = text.replace("\ncert = \"", "\n#cert = \"");
    let text = text.replace("\nkey = \"", "\n#key = \"");
    let text = text.replace("\nauth = { basic_file", "\n#auth = { basic_file");
    Config::parse(&text, "config.toml", &lookup).unwrap_or_else(|mistakes| {
        panic!(
            "{}",
            mistakes
                .iter()
                .map(|m| m.annotated())
                .collect::<Vec<_>>()
                .join("\n")
        )
    })
}

#[test]
fn the_documented_defaults_are_the_code_s() {
    let servers = vec!["http://127.0.0.1:5000".parse().expect("a URL")];
    let defaults = Config::in_front_of(servers);
    assert_eq!(parse(FILE), defaults);
    let spelt_out = spelt_out();
    assert_ne!(spelt_out, FILE);
    assert_eq!(parse(&spelt_out), defaults);
}

#[test]
fn the_documented_examples_are_valid() {
    let config = parse(&examples());
    assert_eq!(config.server.name(), "edge-1");
    let shown = FILE.lines().filter(|line| *line == "# [[route]]").count();
    assert_eq!((config.routes.listed().len(), shown > 6), (shown, true));
}

#[test]
fn every_key_is_documented_and_every_documented_default_is_a_key() {
    // A key with both a default and an example stands once in each.
    let texts = [spelt_out(), examples()];
    let documented = texts.each_ref().map(|text| {
        let (root, errors) = DeTable::parse_recoverable(text);
        assert_eq!(errors, []);
        root.into_inner()
    });
    let is_documented = |section: &str, key: &str| {
        documented.iter().any(|root| {
            let mut names = section
                .trim_matches(['[', ']'])
                .split('.')
                .filter(|name| !name.is_empty());
            let table = names.try_fold(root, |table, name| table.get(name)?.get_ref().as_table());
            table.is_some_and(|table| table.contains_key(key))
        })
    };
    for known in known_keys() {
        // A route has the keys of [cache], and `match`.
        let section = match known.section.strip_prefix("[route.") {
            // Which it shares with [server] and [upstream].
            Some(inner) if inner == "rate_limit]" => format!("[server.{inner}"),
            Some(inner) if inner == "retries]" => format!("[upstream.{inner}"),
            Some(inner) => format!("[cache.{inner}"),
            None if known.section == "[[route]]" && !ROUTE_ONLY.contains(&known.key) => {
                "[cache]".to_owned()
            }
            None => known.section.clone(),
        };
        // The examples of a listener name files that tests do not have: they are no more than comments.
        let shown = [
            format!("{} = ", known.key),
            format!("[[{}]]", known.key),
            format!("[listener.{}]", known.key),
        ];
        let mut comments = FILE.lines().filter(|line| line.starts_with("#   "));
        let is_listener = (section.contains("listener") || section.is_empty())
            && comments.any(|line| shown.iter().any(|shown| line.contains(shown)));
        // Keys of a table that is written in one line, in whichever example of it.
        let name = section.trim_matches(['[', ']']).rsplit('.').next();
        let opening = format!("{} = {{ ", name.unwrap_or_default());
        let key = format!(" {} = ", known.key);
        let is_inline = FILE
            .lines()
            .any(|line| line.contains(&opening) && line.contains(&key));
        let is_route = section == "[[route]]" && FILE.contains(&format!("# {} = ", known.key));
        assert!(
            is_route || is_listener || is_inline || is_documented(&section, known.key),
            "{known:?} is not in config.toml"
        );
    }
}
