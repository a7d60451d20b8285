use super::*;
use crate::config::renamed::RENAMED;

fn mistakes(text: &str) -> Vec<String> {
    match Config::parse(text, "c.toml", &|_| None) {
        Ok(config) => panic!("no mistake in {text:?}: {config:?}"),
        Err(mistakes) => mistakes.iter().map(Mistake::to_string).collect(),
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let text = "[server]\nworkers = \"many\"\n\n[upstream]\nservers = [\"http://a\"]\n\n[cache]\n  memroy = \"1GiB\"\n\
                window = 5MiB\n";
    assert_eq!(
        mistakes(text),
        [
            "c.toml:2:11: `workers` must be a whole number from 0 to 1024, not a string",
            "c.toml:8:3: unknown key `memroy` in [cache]; did you mean `memory`?",
            "c.toml:9:10: not a value; sizes, durations and all other text stand in quotes, like \"5m\"",
        ]
    );
}

#[test]
fn each_kind_of_mistake_has_its_place_and_its_words() {
    // In front of each: a valid [upstream] on lines 1 and 2.
    for (text, expected) in [
        (
            "[cach]\n",
            "3:2: unknown key `cach` at the top of the file; did you mean `cache`?",
        ),
        (
            "[routes]\n",
            "3:2: unknown key `routes` at the top of the file; did you mean `route`?",
        ),
        ("colour = 1\n", "3:1: unknown key `colour` in [upstream]"),
        (
            "memory = 1\n",
            "3:1: unknown key `memory` in [upstream]; it belongs in [cache]",
        ),
        (
            "[cache]\nmatch = 1\n",
            "4:1: unknown key `match` in [cache]; it belongs in [[route]]",
        ),
        (
            "[server]\npercent = 1\n",
            "4:1: unknown key `percent` in [server]; it belongs in [cache.heuristic] or [route.heuristic]",
        ),
        (
            "cache = 1\n[log]\n",
            "3:1: unknown key `cache` in [upstream]",
        ),
        ("[cache\n", "3:7: not TOML: unclosed table, expected `]`"),
        ("[log]\n[log]\n", "4:2: not TOML: duplicate key"),
        ("[log]\nlevel =\n", "4:8: a value is missing"),
        (
            "[log]\nlevel = loud\n",
            "4:9: not a value; sizes, durations and all other text stand in quotes, like \"5m\"",
        ),
        (
            "[log]\nlevel = \"loud\"\n",
            "4:9: `level`: \"loud\" is not a level (error, warn, info, debug, trace, off), nor levels by part, such as \"info,bookend::upstream=debug\"",
        ),
        (
            "[log]\nformat = \"xml\"\n",
            "4:10: `format`: \"xml\" is not one of \"text\", \"json\"",
        ),
        (
            "[log]\nformat = 1\n",
            "4:10: `format` must be one of \"text\", \"json\", not a whole number",
        ),
        (
            "[log]\naccess_file = \"\"\n",
            "4:15: `access_file`: \"\" is no path",
        ),
        (
            "[[log]]\n",
            "3:1: `log` must be a section, as [log] begins, not a list",
        ),
        (
            "[route]\nmatch = \"/\"\n",
            "3:1: each `route` begins with [[route]], in double brackets",
        ),
        (
            "[cache]\nmemory = \"1XB\"\n",
            "4:10: `memory`: \"1XB\" is not a size; write a number with B, KiB, MiB, GiB (1024s) or KB, MB, GB (1000s), such as \"256MiB\"",
        ),
        (
            "[cache]\nmemory = -1\n",
            "4:10: `memory`: \"-1\" is not a size; write a number of bytes, or one with its unit, such as \"256MiB\"",
        ),
        (
            "[cache]\nmemory = 4096\n",
            "4:10: `memory`: \"4096\" is not from 64KiB to 1024TiB",
        ),
        (
            "[cache]\nmax_variants = 0\n",
            "4:16: `max_variants`: \"0\" is not from 1 to 4096",
        ),
        (
            "[cache]\nmax_variants = 0x1_0000\n",
            "4:16: `max_variants`: \"0x1_0000\" is not from 1 to 4096",
        ),
        (
            "[cache]\nttl = 300\n",
            "4:7: `ttl`: \"300\" has no unit; write a duration such as \"30s\" or \"5m\"",
        ),
        (
            "[cache]\nttl = \"300\"\n",
            "4:7: `ttl`: \"300\" has no unit; write it with w, d, h, m, s or ms, such as \"30s\" or \"1h30m\"",
        ),
        (
            "[cache]\nttl = \"1500ms\"\n",
            "4:7: `ttl`: \"1500ms\" is not in whole seconds, as lifetimes in HTTP are",
        ),
        (
            "[cache]\nttl = true\n",
            "4:7: `ttl` must be a duration such as \"30s\" or \"1h30m\", not true or false",
        ),
        (
            "[cache]\nbypass = \"true\"\n",
            "4:10: `bypass` must be true or false, without quotes, not a string",
        ),
        (
            "[cache]\nstatuses = [200, 99, 304]\n",
            "4:18: `statuses`: \"99\" is not from 200 to 599\n4:22: `statuses`: \"304\" is not the status of a response that is stored",
        ),
        (
            "[cache]\nstatuses = []\n",
            "4:12: `statuses` must be a list with a member, not a list",
        ),
        (
            "[cache]\nignore = [\"private\", \"nostore\"]\n",
            "4:22: `ignore`: \"nostore\" is not one of \"no-store\", \"private\", \"set-cookie\", \"credentials\"",
        ),
        (
            "[cache]\ncredential_fields = \"X Key\"\n",
            "4:21: `credential_fields`: \"X Key\" is not a field's name, such as \"X-API-Key\"",
        ),
        (
            "[cache]\ntag_fields = [\"X Key\", \"Cache-Groups\", \"Vary\"]\n",
            "4:15: `tag_fields`: \"X Key\" is not a field's name, such as \"X-API-Key\"\n4:24: `tag_fields`: \"Cache-Groups\" is read for cache groups already (RFC 9875)\n4:40: `tag_fields`: \"Vary\" has a meaning of its own",
        ),
        (
            "[cache]\ninvalidate = \"all\"\n",
            "4:14: `invalidate`: \"all\" is not one of \"target\", \"hierarchy\"",
        ),
        (
            "[server]\npurge_from = [\"10.0.0.0/33\"]\n",
            "4:15: `purge_from`: \"10.0.0.0/33\" is not a network, such as \"10.0.0.0/8\" or \"fd00::/8\"",
        ),
        (
            "[[route]]\nmatch = \"/books/{id}\"\ntags = [\"books\", \"book-{isbn}\", \" \"]\n",
            "5:18: `tags`: \"book-{isbn}\" has a parameter that is not in the route's `match`\n5:33: `tags`: \" \" is no tag: write one such as \"books\" or \"book-{id}\"",
        ),
        (
            "[cache]\nvary = { languages = [\"e n\"], codings = 1 }\n",
            "4:23: `languages`: \"e n\" is not a language, such as \"en\" or \"pt-BR\"\n4:31: unknown key `codings` in [cache.vary]; did you mean `encodings`?",
        ),
        (
            "[server]\nidle_timeout = \"0s\"\n",
            "4:16: `idle_timeout`: \"0s\" is not from 1ms to 365d",
        ),
        (
            "[server]\nname = \"a b\"\n",
            "4:8: `name`: \"a b\" is not a letter followed by letters, digits, `-`, `_` or `.`",
        ),
        (
            "[server]\nlisten = [\":80\", \":80\"]\n",
            "4:18: `listen`: \":80\" is listed twice",
        ),
        (
            "[server]\nlisten = []\n",
            "4:10: `listen` must be a list with a member, not a list",
        ),
        (
            "[server]\ntrusted_proxies = [\"10.0.0.0/33\"]\n",
            "4:20: `trusted_proxies`: \"10.0.0.0/33\" is not a network, such as \"10.0.0.0/8\" or \"fd00::/8\"",
        ),
        (
            "ca_file = \"/no/such/file\"\n",
            "3:11: `ca_file`: \"/no/such/file\" cannot be used: I/O error: No such file or directory (os error 2)",
        ),
        (
            "[admin]\ntoken = \"${NONE}\"\n",
            "4:10: the environment variable `NONE` is not set",
        ),
        (
            "[admin]\ntoken = \"\"\n",
            "4:9: `token` must be of visible ASCII characters, without spaces",
        ),
        (
            "[admin]\nlisten = \":9090\"\n",
            "4:10: 0.0.0.0:9090 can be reached from other machines: give a `token`, so that not everybody may purge",
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:8080\"\n",
            "4:10: 127.0.0.1:8080 is where [server] listens; admin needs its own",
        ),
        (
            "[server]\nlisten = \"unix:/a\"\nhandover_socket = \"/a\"\n",
            "5:19: /a is where clients or the admin API connect; a handover needs a socket of its own",
        ),
        (
            "[[route]]\nttl = \"1s\"\n",
            "3:1: this route has no `match`; write `match = \"/books/{id}\"`",
        ),
        (
            "[[route]]\nmatch = 1\n",
            "4:9: `match` must be a pattern such as \"/books/{id}\", not a whole number",
        ),
        (
            "[[route]]\nmatch = \"books\"\n",
            "4:9: `match`: \"books\" does not begin with a slash",
        ),
        (
            "[[route]]\nmatch = \"/a?b\"\n",
            "4:9: `match`: \"/a?b\" has a query or fragment; routes match the path alone",
        ),
        (
            "[[route]]\nmatch = \"/a b\"\n",
            "4:9: `match`: \"/a b\" has white space, which paths have only as %20",
        ),
        (
            "[[route]]\nmatch = \"/{a}\"\n[[route]]\nmatch = \"/{b}\"\n",
            "6:9: `match`: \"/{b}\" matches the same paths as the route \"/{a}\" in line 3",
        ),
        (
            "[[route]]\nmatch = \"/a\"\n[[route]]\nmatch = \"/%61\"\n",
            "6:9: `match`: \"/%61\" matches the same paths as the route \"/a\" in line 3",
        ),
    ] {
        let text = format!("[upstream]\nservers = \"http://a\"\n{text}");
        let expected: Vec<_> = expected
            .lines()
            .map(|line| format!("c.toml:{line}"))
            .collect();
        assert_eq!(mistakes(&text), expected, "{text}");
    }
}

#[test]
fn the_upstream_must_be_known() {
    let words = "no upstream; write `servers = [\"http://127.0.0.1:5000\"]` in [upstream], or give --upstream";
    for (text, place) in [("", "1:1"), ("[log]\n[upstream]\n", "2:1")] {
        assert_eq!(mistakes(text), [format!("c.toml:{place}: {words}")]);
    }
    // What is wrong with it is said once.
    let mistaken = mistakes("[upstream]\nservers = [\"ftp://a\"]\n");
    assert_eq!(mistaken.len(), 1, "{mistaken:?}");
    // It may be on the broken line.
    assert_eq!(mistakes("[upstream\n").len(), 1);
    let source = Source::default();
    let mistake = &source.load(&|_| None).expect_err("no upstream")[0];
    assert_eq!(mistake.to_string(), words);
}

#[test]
fn the_command_line_goes_before_the_file() {
    let text = "[server]\nlisten = \":80\"\n[upstream]\nservers = \"http://a\"\n";
    let overrides = Overrides {
        listen: vec!["127.0.0.1:1".parse().expect("an address")],
        upstream: vec!["http://b".parse().expect("a URL")],
        admin: Some(AdminAddr::Off),
    };
    let config = parse(text, Some("c.toml"), &|_| None, &overrides).expect("valid");
    assert_eq!(config.server.listen, overrides.listen);
    assert_eq!(config.upstreams[0].upstream.servers, overrides.upstream);
    assert_eq!(config.admin, None);
}

#[test]
fn a_variable_s_value_is_never_shown() {
    let text = "[upstream]\nservers = \"${URL}\"\n[admin]\ntoken = \"${TOKEN}\"\n";
    let lookup = |name: &str| Some(format!("secret value of {name}"));
    for mistake in Config::parse(text, "c.toml", &lookup).expect_err("two mistakes") {
        assert!(!mistake.annotated().contains("secret"), "{mistake}");
    }
    let config =
        Config::parse(text, "c.toml", &|_| Some("http://sesame".to_owned())).expect("valid");
    assert!(!format!("{:?}", config.admin).contains("sesame"));
    assert!(
        config
            .admin
            .and_then(|admin| admin.token)
            .expect("a token")
            .matches(b"http://sesame")
    );
}

#[test]
fn files_that_cannot_be_read_are_told_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = folder.path().join("none.toml");
    let mistake = &Config::load(&none, &|_| None).expect_err("no file")[0];
    assert_eq!(
        mistake.to_string(),
        format!("{}: there is no such file", none.display())
    );

    let binary = folder.path().join("binary.toml");
    fs::write(&binary, b"[log]\n# \xff\n").expect("written");
    let mistake = &Config::load(&binary, &|_| None).expect_err("no text")[0];
    assert_eq!(
        mistake.to_string(),
        format!("{}:2:3: is not UTF-8 text from here on", binary.display())
    );
}

proptest::proptest! {
    #[test]
    fn no_file_makes_the_walk_panic(lines in proptest::collection::vec(line(), 0..12), cut in 0usize..400) {
        let text = lines.join("\n");
        let cut = (0..=cut.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        for text in [text.as_str(), &text[..cut]] {
            if let Err(mistakes) = Config::parse(text, "c.toml", &|_| None) {
                for mistake in mistakes {
                    let place = mistake.place.clone().expect("a place in the file");
                    let shown = text.split('\n').nth(place.line - 1).expect("a line of the file");
                    proptest::prop_assert_eq!(shown.trim_end_matches('\r'), place.text);
                    proptest::prop_assert!(place.column <= shown.chars().count() + 1);
                    mistake.annotated();
                }
            }
        }
    }
}

/// Lines that look like those of a configuration, and some that look like nothing.
fn line() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let keys: Vec<_> = known_keys().into_iter().map(|known| known.key).collect();
    let values = [
        "\"5m\"",
        "\"64KiB\"",
        "5",
        "-1",
        "1.5",
        "true",
        "[]",
        "[1, \"é\"]",
        "{ percent = 3 }",
        "\"${X}\"",
        "\"${\"",
        "'''",
        "\"\"\"a\nb\"\"\"",
        "2026-01-01",
        "\"/{a}\"",
        "é",
        "",
    ];
    let headers = [
        "[cache]",
        "[server.http2]",
        "[[route]]",
        "[route]",
        "[x",
        "[[server]]",
        "[a.b]",
    ];
    prop_oneof![
        8 => (prop::sample::select(keys), prop::sample::select(values.to_vec()))
            .prop_map(|(key, value)| format!("{key} = {value}")),
        3 => prop::sample::select(headers.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

#[test]
fn a_key_under_its_former_name_works_and_is_noted() {
    const API: &str = "[upstream]\nservers = 'http://a'\n";
    let known = known_keys();
    for (table, former, name) in RENAMED {
        let of_table = |section: &str| {
            section
                .trim_matches(['[', ']'])
                .split('.')
                .any(|part| part == table)
        };
        let is_known = |key: &str| known.iter().any(|k| of_table(&k.section) && k.key == key);
        assert!(is_known(name) && !is_known(former), "{former}");
    }
    let parse = |keys: &str| {
        let text = format!("{API}[upstream.ejection]\n{keys}");
        Config::parse(&text, "c.toml", &|_| None)
    };
    let config = parse("slow_return = '3s'\n").expect("a valid file");
    assert_eq!(
        config.upstreams[0].upstream.ejection.slow_start.as_secs(),
        3
    );
    let notes: Vec<_> = config.notes.iter().map(Mistake::as_note).collect();
    let expected =
        "c.toml:4:1: note: `slow_return` is called `slow_start` now; the former name still works";
    assert_eq!(
        (config.warnings.len(), notes),
        (0, vec![expected.to_owned()])
    );
    let config = parse("slow_start = '4s'\n").expect("a valid file");
    assert_eq!(
        config.upstreams[0].upstream.ejection.slow_start.as_secs(),
        4
    );
    assert_eq!(config.notes, []);
    for (keys, expected) in [
        (
            "slow_start = '4s'\nslow_return = '3s'\n",
            "c.toml:5:1: `slow_return` is the former name of `slow_start`, which has a value too: remove `slow_return`",
        ),
        // A mistake in the value names the key as the file does.
        (
            "slow_return = 3\n",
            "c.toml:4:15: `slow_return`: \"3\" has no unit; write a duration such as \"30s\" or \"5m\"",
        ),
    ] {
        let mistakes = parse(keys).expect_err(keys);
        let mistakes: Vec<_> = mistakes.iter().map(Mistake::to_string).collect();
        assert_eq!(mistakes, [expected]);
    }
}
