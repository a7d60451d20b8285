//! The JSON Schema of the configuration file, for editors.
//!
//! Which keys there are, and of which types, is asked of the readers themselves: each key is given a value of each type, and the
//! reader says whether it must be of another. What a key is for, and its default, stand in `config.toml`, which tests hold equal
//! to the code.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Config;
use super::load::known_keys;
use super::renamed::former_names;
use super::report::KnownKey;

pub(super) const DOCUMENTED: &str = include_str!("../../config.toml");

/// A JSON type, a value of it as TOML, and what a reader calls a value of a type that it does not take.
const TYPES: [(&str, &str, &str); 6] = [
    ("string", "\"x\"", ", not a string"),
    ("integer", "1", ", not a whole number"),
    ("number", "0.5", ", not a number with a point"),
    ("boolean", "true", ", not true or false"),
    ("array", "[\"x\"]", ", not a list"),
    ("object", "{}", ", not a section"),
];

/// The schema, in the dialect of draft 7, which editors read.
pub fn document() -> Value {
    let known = known_keys();
    let documented = Documented::read(DOCUMENTED);
    let mut root = table(&known, "", &documented);
    let upstreams = json!({
        "type": "object",
        "description": "Further APIs by name, each with the keys of [upstream].",
        "additionalProperties": root["properties"]["upstream"],
    });
    root["properties"]["upstreams"] = upstreams;
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    root["title"] = json!("Bookend's configuration");
    root
}

/// The schema of the table with this path, `server.http2`; empty for the file.
fn table(known: &[KnownKey], path: &str, documented: &Documented) -> Value {
    let mut properties = Map::new();
    for key in known.iter().filter(|key| path_of(&key.section) == path) {
        let inner = match path {
            "" => key.key.to_owned(),
            outer => format!("{outer}.{}", key.key),
        };
        let section = known.iter().find(|known| path_of(&known.section) == inner);
        let schema = match section {
            Some(section) => {
                let table = table(known, &inner, documented);
                match section.section.starts_with("[[") {
                    true => json!({ "type": "array", "items": table }),
                    // One that can be "off".
                    false if said_of(key, "\"off\"").is_empty() => {
                        let (purpose, _) = documented.of(key);
                        json!({ "anyOf": [table, { "const": "off" }], "description": purpose })
                    }
                    false => table,
                }
            }
            None => value(key, documented),
        };
        for former in former_names(&key.section, key.key) {
            let mut schema = schema.clone();
            schema["deprecated"] = json!(true);
            schema["description"] = json!(format!("The former name of `{}`.", key.key));
            properties.insert(former.to_owned(), schema);
        }
        properties.insert(key.key.to_owned(), schema);
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// The schema of a key that is no section.
fn value(key: &KnownKey, documented: &Documented) -> Value {
    let (taken, what) = asked(key);
    let mut schema = match taken.contains(&"array") {
        false => one(&taken, &what),
        // One value alone counts as a list of one.
        true => {
            let scalars: Vec<_> = taken
                .iter()
                .copied()
                .filter(|name| *name != "array")
                .collect();
            let one = one(&scalars, &what);
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
    };
    let (purpose, default) = documented.of(key);
    let what = match what.as_str() {
        "" => String::new(),
        what => format!("The value is {what}."),
    };
    let description = [purpose, what].join("\n\n");
    if !description.trim().is_empty() {
        schema["description"] = json!(description.trim());
    }
    if let Some(default) = default {
        schema["default"] = default;
    }
    schema
}

/// The types that the reader of `key` takes, and what it says that the value must be.
fn asked(key: &KnownKey) -> (Vec<&'static str>, String) {
    let (mut taken, mut what) = (Vec::new(), String::new());
    for (name, sample, not) in TYPES {
        let said = said_of(key, sample);
        let refused = said.iter().find(|message| message.ends_with(not));
        if let Some(message) = refused
            && let Some((_, rest)) = message.split_once(" must be ")
        {
            rest.trim_end_matches(not).clone_into(&mut what);
        }
        // A duration is a number with its unit.
        let has_no_unit = said.iter().any(|message| message.contains("has no unit"));
        if refused.is_none() && !has_no_unit {
            taken.push(name);
        }
    }
    // A number that can be "off".
    if !taken.contains(&"string") && said_of(key, "\"off\"").is_empty() {
        taken.push("string");
    }
    (taken, what)
}

/// The schema of one value of these types, as far as `what` says more of it.
fn one(types: &[&str], what: &str) -> Value {
    if let Some(words) = what.strip_prefix("one of ")
        && types == ["string"]
    {
        let words: Vec<_> = words.split('"').skip(1).step_by(2).collect();
        // A variable may stand for one of them.
        return json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": "[$][{]" }] });
    }
    let mut schema = json!({ "type": types });
    if let Some(bounds) = what.strip_prefix("a whole number from ")
        && let Some((low, high)) = bounds.split_once(" to ")
        && let (Ok(low), Ok(high)) = (low.parse::<u64>(), high.parse::<u64>())
    {
        schema["minimum"] = json!(low);
        schema["maximum"] = json!(high);
    }
    schema
}

/// `[[a.b]]` as `a.b`.
fn path_of(title: &str) -> &str {
    title.trim_matches(['[', ']'])
}

/// What is said of `sample` as the value of `key`.
fn said_of(key: &KnownKey, sample: &str) -> Vec<String> {
    // A table inside of one that there may be several of needs one of them.
    let outer = match path_of(&key.section).split_once('.') {
        Some(("route", _)) => "[[route]]\nmatch = \"/\"\n",
        Some(("listener", _)) => "[[listener]]\n",
        _ => "",
    };
    let text = format!("{outer}{}\n{} = {sample}", key.section, key.key);
    let last = text.lines().count();
    let said = Config::parse(&text, "", &|_| None).err();
    let said = said.into_iter().flatten();
    let here = said.filter(|mistake| {
        mistake
            .place
            .as_ref()
            .is_some_and(|place| place.line == last)
    });
    here.map(|mistake| mistake.message).collect()
}

/// What `config.toml` says of keys, by section path and name: its purpose, and its default.
struct Documented(BTreeMap<(String, String), (String, Option<Value>)>);

impl Documented {
    fn read(text: &str) -> Self {
        let (mut all, mut section) = (BTreeMap::new(), String::new());
        let mut purpose: Vec<&str> = Vec::new();
        for line in text.lines() {
            if line.starts_with('[') {
                path_of(line).clone_into(&mut section);
                purpose.clear();
            } else if line.is_empty() {
                purpose.clear();
            } else if let Some((name, value, is_default)) = documented_key(line) {
                let default = Some(value).filter(|_| is_default).and_then(read);
                let entry = all.entry((section.clone(), name.to_owned()));
                let entry = entry.or_insert_with(|| (purpose.join(" "), None));
                entry.1 = entry.1.take().or(default);
            } else if let Some(comment) = line.strip_prefix("# ") {
                purpose.push(comment);
            }
        }
        Self(all)
    }

    fn of(&self, key: &KnownKey) -> (String, Option<Value>) {
        let path = path_of(&key.section);
        let find = |path: String| self.0.get(&(path, key.key.to_owned()));
        // A route has the keys of [cache], and some of [server] and [upstream].
        let rest = path.strip_prefix("route");
        let shared = |outer: &str| find(format!("{outer}{}", rest?));
        let found = find(path.to_owned());
        match found
            .or_else(|| shared("cache"))
            .or_else(|| shared("server"))
            .or_else(|| shared("upstream"))
        {
            None => (String::new(), None),
            // What is not said in a route is as [cache] says, whatever its own default is.
            Some((purpose, _)) if rest.is_some() => (purpose.clone(), None),
            Some((purpose, default)) => (purpose.clone(), default.clone()),
        }
    }
}

/// The key of a line of `config.toml`, its value as it is written, and whether that is its default, `#key = value`, and no
/// example, `# key = value`.
pub(super) fn documented_key(line: &str) -> Option<(&str, &str, bool)> {
    let (is_default, text) = match line.strip_prefix('#') {
        None => (false, line),
        Some(text) => match text.strip_prefix(' ') {
            Some(text) => (false, text),
            None => (true, text),
        },
    };
    let (name, value) = text.split_once(" = ")?;
    let is_of = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_key = !name.is_empty() && name.chars().all(is_of) && read(value).is_some();
    is_key.then_some((name, value, is_default))
}

/// A value as it is written in TOML.
fn read(value: &str) -> Option<Value> {
    let mut table: Value = toml::from_str(&format!("v = {value}")).ok()?;
    Some(table["v"].take())
}

#[cfg(test)]
mod tests;
