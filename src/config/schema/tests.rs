use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{DOCUMENTED, document, documented_key};

static SCHEMA: LazyLock<Value> = LazyLock::new(document);

/// What of `value` does not follow `schema`: as much of JSON Schema as ours uses.
fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = |choice: &Value| faults(choice, value, at).is_empty();
        return match choices.iter().any(fits) {
            true => Vec::new(),
            false => vec![format!("{at}: {value} is none of {choices:?}")],
        };
    }
    if let Some(words) = schema["enum"].as_array() {
        return match words.contains(value) {
            true => Vec::new(),
            false => vec![format!("{at}: {value} is not among {words:?}")],
        };
    }
    if let Some(only) = schema.get("const") {
        return match only == value {
            true => Vec::new(),
            false => vec![format!("{at}: {value} is not {only}")],
        };
    }
    if schema["pattern"].is_string() {
        return match value.as_str().is_some_and(|text| text.contains("${")) {
            true => Vec::new(),
            false => vec![format!("{at}: {value} has no variable")],
        };
    }
    let kind = match value {
        Value::String(_) => "string",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        _ => "object",
    };
    let takes = match &schema["type"] {
        Value::Array(kinds) => kinds.contains(&json!(kind)),
        only => *only == json!(kind),
    };
    if !takes {
        return vec![format!("{at}: {value} is not {}", schema["type"])];
    }
    match value {
        Value::Number(number) if schema["minimum"].is_u64() => {
            let range = schema["minimum"].as_u64()..=schema["maximum"].as_u64();
            match range.contains(&number.as_u64()) {
                true => Vec::new(),
                false => vec![format!("{at}: {value} is not in {range:?}")],
            }
        }
        Value::Object(members) if schema["properties"].is_object() => members
            .iter()
            .flat_map(|(name, member)| match &schema["properties"][name] {
                Value::Null => vec![format!("{at}: there is no {name}")],
                known => faults(known, member, &format!("{at}.{name}")),
            })
            .collect(),
        Value::Object(members) if schema["additionalProperties"].is_object() => members
            .iter()
            .flat_map(|(name, member)| {
                faults(
                    &schema["additionalProperties"],
                    member,
                    &format!("{at}.{name}"),
                )
            })
            .collect(),
        Value::Array(members) if schema["items"].is_object() => members
            .iter()
            .flat_map(|member| faults(&schema["items"], member, at))
            .collect(),
        _ => Vec::new(),
    }
}

fn faults_of(toml: &str) -> Vec<String> {
    let value: Value = toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}: {error}"));
    faults(&SCHEMA, &value, "")
}

#[test]
fn the_documented_file_follows_the_schema_with_its_defaults_and_its_examples() {
    assert_eq!(faults_of(DOCUMENTED), [""; 0]);
    for spelt_out in ["#", "# "] {
        let line = |line: &'static str| match line.strip_prefix(spelt_out) {
            Some(rest) if documented_key(rest).is_some() || is_header(rest) => rest,
            _ => line,
        };
        let text: Vec<_> = DOCUMENTED.lines().map(line).collect();
        assert_eq!(faults_of(&text.join("\n")), [""; 0]);
    }
}

fn is_header(text: &str) -> bool {
    text == "[[route]]" || text.starts_with("[upstreams.") && !text.contains(' ')
}

#[test]
fn what_check_refuses_by_its_type_or_name_the_schema_refuses_too() {
    for (toml, fault) in [
        ("[server]\nworkers = 'many'", "workers"),
        ("[server]\nworkers = 5000", "workers"),
        ("[server]\nlisten = ':80'", ""),
        ("[server]\nlisten = [80]", "listen"),
        ("[cache]\nignore = ['private', 'all']", "ignore"),
        ("[server]\nmin_body_rate = 'off'", ""),
        ("[server]\nmin_body_rate = 100", ""),
        ("[server]\ndrain_timeout = 30", "drain_timeout"),
        ("[cache]\nmemroy = '1GiB'", "there is no memroy"),
        ("[cache]\nmemory = 1000000", ""),
        ("[cache]\nbypass = 'yes'", "bypass"),
        ("[cache]\nttl_mode = 'capp'", "ttl_mode"),
        ("[cache]\nttl_mode = '${MODE}'", ""),
        ("[cache.heuristic]\npercent = 10", ""),
        ("[upstreams.films]\nservers = 'http://a'", ""),
        (
            "[upstreams.films]\nserver = 'http://a'",
            "there is no server",
        ),
        ("[upstream.ejection]\nslow_return = '3s'", ""),
        ("[[route]]\nmatch = '/a'\nttl = '5m'", ""),
        (
            "[[route]]\nmatch = '/a'\nrate_limit = { requests = 1, per = '1s' }",
            "",
        ),
        ("[route]\nmatch = '/a'", ".route"),
        (
            "[[listener]]\nlisten = ':443'\n[[listener.tls.certificates]]\ncert = 'a'\nkey = 'b'",
            "",
        ),
        ("[[listener]]\ntls = 1", "tls"),
    ] {
        let found = faults_of(toml);
        match fault {
            "" => assert_eq!(found, [""; 0], "{toml}"),
            fault => assert!(
                found.iter().any(|found| found.contains(fault)),
                "{toml}: {found:?}"
            ),
        }
    }
}

#[test]
fn a_key_has_its_purpose_and_its_default() {
    let schema = &*SCHEMA;
    let drain = &schema["properties"]["server"]["properties"]["drain_timeout"];
    assert_eq!(drain["default"], "30s");
    let described = drain["description"].as_str().unwrap_or_default();
    assert!(
        described.contains("SIGTERM") && described.contains("a duration such as"),
        "{described}"
    );
    let properties = |section: &Value| {
        section["properties"]
            .as_object()
            .cloned()
            .unwrap_or_default()
    };
    for section in ["server", "cache", "admin", "log", "upstream"] {
        for (name, key) in properties(&schema["properties"][section]) {
            let is_told = key["description"].is_string() || key["properties"].is_object();
            assert!(is_told, "[{section}] {name} has no description");
        }
    }
}
