//! The program as a shell sees it: what it prints where, and its exit status.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in `folder`.
fn bookend(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bookend"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("BOOKEND_ADMIN_TOKEN")
        .output()
        .expect("the program starts")
}

fn folder(file: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(file), text).expect("written");
    folder
}

#[test]
fn check_tells_each_of_three_mistakes_with_its_place_and_exits_2() {
    let folder = folder(
        "bad.toml",
        "[server]\nworkers = \"many\"\n\n[cache]\nmemroy = \"1GiB\"\n\n[admin]\ntoken = \"${BOOKEND_ADMIN_TOKEN}\"\n\
         [upstream]\nservers = [\"http://127.0.0.1:5000\"]\n",
    );
    let output = bookend(folder.path(), &["check", "--config", "bad.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "bad.toml:2:11: `workers` must be a whole number from 0 to 1024, not a string\n\
         bad.toml:5:1: unknown key `memroy` in [cache]; did you mean `memory`?\n\
         bad.toml:8:10: the environment variable `BOOKEND_ADMIN_TOKEN` is not set\n"
    );
}

#[test]
fn check_says_in_a_line_that_a_file_is_good_and_exits_0() {
    let folder = folder("config.toml", include_str!("../../config.toml"));
    for arguments in [
        &["check"][..],
        &["check", "config.toml"],
        &["check", "--config", "config.toml"],
    ] {
        let output = bookend(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let line = String::from_utf8_lossy(&output.stdout);
        assert!(
            line.starts_with("config.toml: ok: 127.0.0.1:8080 in front of http://127.0.0.1:5000"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }
}

#[test]
fn check_notes_keys_under_their_former_names_and_exits_0() {
    const RATE: &str = "requests = 1\nper = \"1s\"\ntell = false\n";
    #[rustfmt::skip]
    let table = [
        ("[upstream.ejection]", "slow_return = \"3s\"\n", "old.toml:4:1: note: `slow_return` is called `slow_start` now"),
        ("[server.rate_limit]", RATE, "old.toml:6:1: note: `tell` is called `send_fields` now"),
        ("[[route]]\nmatch = \"/a\"\n[route.rate_limit]", RATE, "old.toml:8:1: note: `tell` is called `send_fields` now"),
    ];
    for (section, lines, note) in table {
        let toml = format!("[upstream]\nservers = \"http://127.0.0.1:5000\"\n{section}\n{lines}");
        let folder = folder("old.toml", &toml);
        let output = bookend(folder.path(), &["check", "old.toml"]);
        assert_eq!(output.status.code(), Some(0), "{toml}");
        // A machine that allows few open files is warned of, too.
        let said = String::from_utf8_lossy(&output.stderr);
        let note = format!("{note}; the former name still works");
        assert!(said.lines().any(|line| line == note), "{said}");
    }
}

#[test]
fn a_missing_file_is_told_by_name_and_exits_2() {
    let folder = folder("other.toml", "");
    for (arguments, words) in [
        (
            &["run"][..],
            "config.toml: there is no such file\ngive another with --config FILE",
        ),
        (&[], "config.toml: there is no such file\n"),
        (&["check"], "config.toml: there is no such file\n"),
        (
            &["run", "--config", "none.toml", "--upstream", "http://a"],
            "none.toml: there is no such file\n",
        ),
        (
            &["run", "--config", "other.toml"],
            "other.toml:1:1: no upstream",
        ),
    ] {
        let output = bookend(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.starts_with(words), "{arguments:?}: {told}");
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let folder = folder("other.toml", "");
    let names: Vec<_> = bookend::cli::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for arguments in [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["man"],
    ] {
        let output = bookend(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        for name in &names {
            let escaped = name.replace('-', "\\-");
            assert!(
                text.contains(name.as_str()) || text.contains(&escaped),
                "{name}: {text}"
            );
        }
    }
    let output = bookend(folder.path(), &["man", "--folder", "pages"]);
    assert_eq!(output.status.code(), Some(0));
    for name in &names {
        let page = format!("pages/bookend-{name}.1");
        let page = std::fs::read_to_string(folder.path().join(&page));
        assert!(page.expect(name).contains(".TH "), "{name}");
    }
    // What is typed wrongly is no shell.
    let output = bookend(folder.path(), &["completions", "bsh"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn config_shows_each_value_with_its_origin() {
    let folder = folder(
        "config.toml",
        "[server]\nworkers = 3\n[upstream]\nservers = \"http://127.0.0.1:5000\"\n",
    );
    for arguments in [
        &["config"][..],
        &["config", "config.toml"],
        &["config", "--config", "config.toml"],
    ] {
        let output = bookend(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let shown = String::from_utf8_lossy(&output.stdout);
        for line in [
            "workers = 3  # config.toml:2",
            "memory = \"256MiB\"  # default",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
        }
    }
    std::fs::write(folder.path().join("config.toml"), "[server]\nworkers = -1").expect("written");
    let output = bookend(folder.path(), &["config"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

#[test]
fn the_schema_is_a_json_document_with_every_section() {
    let folder = folder("other.toml", "");
    let output = bookend(folder.path(), &["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for section in [
        "server",
        "listener",
        "upstream",
        "upstreams",
        "cache",
        "route",
        "admin",
        "log",
    ] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[test]
fn arguments_that_are_wrong_exit_2_and_help_exits_0() {
    let folder = folder("other.toml", "");
    for (arguments, status) in [
        (&["--listen", "8080"][..], 2),
        (&["check", "--upstream", "http://a"], 2),
        (&["--help"], 0),
        (&["run", "--help"], 0),
        (&["--version"], 0),
    ] {
        let output = bookend(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let (said, silent) = match status {
            0 => (output.stdout, output.stderr),
            _ => (output.stderr, output.stdout),
        };
        assert!(!said.is_empty() && silent.is_empty(), "{arguments:?}");
    }
}

#[test]
fn check_shows_which_route_takes_a_request() {
    let folder = folder(
        "two.toml",
        "[upstream]\nservers = 'http://127.0.0.1:5000'\n[upstreams.films]\nservers = 'http://127.0.0.1:7000/api'\n\
         [[route]]\nhost = '*.example.org'\nmatch = '/films/{*rest}'\nupstream = 'films'\nstrip_prefix = '/films'\n\
         ttl = '5m'\n",
    );
    let show = |arguments: &[&str]| bookend(folder.path(), &[&["check"], arguments].concat());
    let url = "https://gw.example.org/films/7?a=b";
    for arguments in [
        ["--route", "GET", url, "two.toml"],
        ["two.toml", "--route", "GET", url],
    ] {
        let output = show(&arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "route: *.example.org/films/{*rest} (two.toml:5)\n\
             upstream: [upstreams.films], http://127.0.0.1:7000/api\n\
             sent as: GET /api/7?a=b, Host: gw.example.org\n\
             cache: where the API says nothing, for 5m (status 200, 203, 301, 308, 410)\n"
        );
    }
    let output = show(&["two.toml", "--route", "GET", "films/7"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is no URL"));
}
