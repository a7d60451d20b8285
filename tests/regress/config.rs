//! Configuration that could be accepted and mean nothing: each is told with its place and with what to write. And the
//! signals and the variable by which operators reach a running gateway.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bookend::config::{Config, Mistake};

use crate::common::{Client, Gateway, Origin, await_that, get, post, put, reply};

const UPSTREAM: &str = "[upstream]\nservers = [\"http://api.example\"]\n";

/// What is told of a file: mistakes, or warnings where it is taken.
fn told(text: &str) -> (bool, Vec<Mistake>) {
    let lookup = |name: &str| (name == "TOKEN").then(|| "$dollar".to_owned());
    match Config::parse(text, "a.toml", &lookup) {
        Ok(config) => (true, config.warnings),
        Err(mistakes) => (false, mistakes),
    }
}

/// `what` is told at the line after [`UPSTREAM`]'s two, or at the one given, and contains each of the words.
#[track_caller]
fn assert_told(text: &str, is_taken: bool, line: usize, words: &[&str]) {
    let (taken, found) = told(text);
    assert_eq!(taken, is_taken, "{text}\n{found:#?}");
    let [one] = &found[..] else {
        panic!("{text}\n{found:#?}");
    };
    let shown = one.to_string();
    assert!(
        shown.starts_with(&format!("a.toml:{line}:")),
        "{text}\n{shown}"
    );
    for word in words {
        assert!(shown.contains(word), "{text}\n{shown}");
    }
}

#[test]
fn a_pattern_in_the_syntax_of_something_else_is_refused_with_the_cure() {
    for pattern in [
        "/books/*",
        "/books/**",
        "/*",
        "/books/*/reviews",
        "/books/*.json",
        "/books/<id>",
        "/books/<int:id>",
        "/books/<path:rest>",
        "/books/:id",
        "/books/:id/reviews",
        "/:kind",
        "/books/[0-9]+",
        "/books/[id]",
        "^/books",
        "/books/(a|b)",
        "/books/(.*)",
        "/books/.+",
        "/books/\\\\d+",
    ] {
        let route = format!("{UPSTREAM}[[route]]\nmatch = \"{pattern}\"\n");
        assert_told(&route, false, 4, &["{id}"]);
        if pattern.starts_with('/') {
            let list =
                format!("{UPSTREAM}[[route]]\nmatch = \"/\"\ninvalidates = [\"{pattern}\"]\n");
            assert_told(&list, false, 5, &["{id}"]);
        }
    }
    // What is the path's own.
    for pattern in [
        "/books/{id}:publish",
        "/Books({id})/$count",
        "/a+b/{*rest}",
        "/@{user}",
        "/~{user}",
        "/v1.0/{id}",
        "/a:b",
        "/2024-01-01T10:00",
        "/a,b=c&d!'",
    ] {
        let route = format!("{UPSTREAM}[[route]]\nmatch = \"{pattern}\"\n");
        assert_eq!(told(&route), (true, vec![]), "{pattern}");
    }
    // What some APIs read as another path.
    for pattern in ["/a,b;c=d&e!'", "/a//b", "/a/../b", "/a%2Fb"] {
        let route = format!("{UPSTREAM}[[route]]\nmatch = \"{pattern}\"\n");
        assert_told(&route, true, 4, &["some APIs read", "stays out"]);
    }
}

#[test]
fn an_upstream_that_is_the_gateway_itself_is_refused() {
    for (listen, server, is_own) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", true),
        ("127.0.0.1:8080", "http://localhost:8080/api", true),
        ("127.0.0.1:8080", "http://LOCALHOST:8080", true),
        ("127.0.0.1:8080", "https://127.0.0.1:8080", true),
        ("127.0.0.1:8080", "http://0.0.0.0:8080", true),
        (":8080", "http://127.0.0.1:8080", true),
        (":8080", "http://localhost:8080", true),
        ("[::]:8080", "http://[::1]:8080", true),
        ("[::]:8080", "http://127.0.0.1:8080", true),
        ("[::1]:80", "http://[::1]", true),
        ("10.0.0.1:8080", "http://10.0.0.1:8080", true),
        ("unix:/run/a.sock", "unix:/run/a.sock:/api", true),
        // The admin listener.
        ("127.0.0.1:8080", "http://127.0.0.1:9090", true),
        ("127.0.0.1:8080", "http://127.0.0.1:8081", false),
        ("127.0.0.1:8080", "http://127.0.0.2:8080", false),
        ("10.0.0.1:8080", "http://127.0.0.1:8080", false),
        ("10.0.0.1:8080", "http://localhost:8080", false),
        ("127.0.0.1:0", "http://127.0.0.1:5000", false),
        (":8080", "http://10.0.0.1:8080", false),
        ("unix:/run/a.sock", "unix:/run/b.sock", false),
    ] {
        let text = format!("[server]\nlisten = '{listen}'\n[upstream]\nservers = '{server}'\n");
        match is_own {
            true => assert_told(
                &text,
                false,
                4,
                &[&server.to_lowercase(), "the API's own address"],
            ),
            false => assert_eq!(told(&text), (true, vec![]), "{text}"),
        }
    }
}

#[test]
fn a_token_that_looks_like_a_variable_is_refused() {
    for (token, is_one) in [
        ("$TOKEN", true),
        ("$BOOKEND_ADMIN_TOKEN", true),
        ("$x", true),
        ("${TOKEN}", false),
        ("sesame$1", false),
        ("$!secret", false),
    ] {
        let text = format!("{UPSTREAM}[admin]\ntoken = \"{token}\"\n");
        let cure = format!("\"${{{}}}\"", token.trim_start_matches('$'));
        match is_one {
            true => assert_told(&text, false, 4, &[&cure]),
            false => assert_eq!(told(&text), (true, vec![]), "{token}"),
        }
    }
}

/// What is taken as before, and told.
#[test]
fn what_cannot_mean_what_it_seems_to_is_warned_of() {
    let cases: &[(&str, usize, &[&str])] = &[
        ("[log]\naccess_file = 'stderr'", 4, &["/dev/stderr"]),
        ("[log]\naccess_file = '-'", 4, &["\"stdout\""]),
        ("[log]\naccess_file = 'off'", 4, &["access = \"off\""]),
        (
            "[cache]\nmemory = '1MiB'\nwindow = '2MiB'",
            5,
            &["`window`", "`memory`", "1MiB"],
        ),
        (
            "[cache]\nmemory = '1MiB'\nmax_stored_body = '2MiB'",
            5,
            &["`max_stored_body`", "`memory`"],
        ),
        (
            "[cache]\nttl_mode = 'override'",
            4,
            &["`ttl_mode`", "`ttl`"],
        ),
        (
            "[cache]\nttl_mode = 'cap'\nttl = 'off'",
            4,
            &["`ttl_mode`", "`ttl`"],
        ),
        ("[cache]\nstatuses = [404]", 4, &["`statuses`", "`ttl`"]),
        (
            "[[route]]\nmatch = '/'\nttl_mode = 'cap'",
            5,
            &["`ttl_mode`", "`ttl`"],
        ),
        (
            "[server]\ntrusted_proxies = '10.1.2.3/8'",
            4,
            &["10.0.0.0/8", "\"10.1.2.3\""],
        ),
        (
            "[server]\ntrusted_proxies = ['::1', 'fd00::1/64']",
            4,
            &["fd00::/64"],
        ),
    ];
    for (text, line, words) in cases {
        assert_told(&format!("{UPSTREAM}{text}\n"), true, *line, words);
    }
    let twice = "[upstream]\nservers = ['http://a:80', 'http://b', 'http://a']\n";
    assert_told(twice, true, 2, &["http://a", "twice"]);
    for silent in [
        "[cache]\nttl_mode = 'cap'\nttl = '1m'",
        "[cache]\nttl_mode = 'cap'\n[[route]]\nmatch = '/'\nttl = '1m'",
        "[cache]\nttl = '1m'\n[[route]]\nmatch = '/'\nttl_mode = 'cap'",
        "[cache]\nmemory = '64KiB'",
        "[log]\naccess_file = './stderr'",
        "[log]\naccess_file = '/dev/stderr'",
        "[server]\ntrusted_proxies = ['10.0.0.0/8', '10.1.2.3', '10.1.2.3/32']",
    ] {
        assert_eq!(
            told(&format!("{UPSTREAM}{silent}\n")),
            (true, vec![]),
            "{silent}"
        );
    }
}

fn bookend(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bookend"));
    command.current_dir(folder).env_remove("BOOKEND_LOG");
    command
}

#[test]
fn check_takes_a_file_with_warnings_and_tells_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("{UPSTREAM}[cache]\nttl_mode = 'cap'\n");
    fs::write(folder.path().join("config.toml"), text).expect("written");
    let output = bookend(folder.path())
        .arg("check")
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.starts_with("config.toml:4:12: warning: `ttl_mode`"),
        "{told}"
    );
    assert!(output.stdout.starts_with(b"config.toml: ok: "));
}

#[test]
fn check_tells_that_connections_need_more_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("{UPSTREAM}[server]\nmax_connections = 1000\n");
    fs::write(folder.path().join("config.toml"), text).expect("written");
    let mut limited = Command::new("sh");
    let check = format!(
        "ulimit -n 256; exec {} check",
        env!("CARGO_BIN_EXE_bookend")
    );
    let output = limited
        .current_dir(folder.path())
        .args(["-c", &check])
        .output();
    let output = output.expect("a shell");
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("max_connections is 1000") && told.contains("256 files"),
        "{told}"
    );
}

#[test]
fn a_misspelt_level_in_the_environment_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for filter in ["verbose", "infos", "info,verbose", "bookend=loud", "3x"] {
        let mut run = bookend(folder.path());
        run.args([
            "run",
            "--upstream",
            "http://127.0.0.1:1",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "off",
        ]);
        let output = run.env("BOOKEND_LOG", filter).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2), "{filter}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            told.contains("BOOKEND_LOG") && told.contains("info"),
            "{filter}: {told}"
        );
    }
    for filter in [
        "",
        "info",
        "WARN",
        "info,bookend::upstream=debug",
        "bookend",
    ] {
        let running = Running::start(folder.path(), filter);
        assert_eq!(Client::to(running.addr).get("/").status, 502, "{filter}");
    }
}

/// The program while it runs.
struct Running {
    child: Child,
    addr: std::net::SocketAddr,
}

impl Running {
    fn start(folder: &Path, filter: &str) -> Self {
        let mut run = bookend(folder);
        // Its port is asked for here, since its log may say nothing.
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = free.local_addr().expect("an address");
        drop(free);
        let config = format!(
            "[server]\nlisten = '{addr}'\nworkers = 1\n[upstream]\nservers = 'http://127.0.0.1:1'\n[admin]\nlisten = 'off'\n\
             [log]\naccess_file = 'access.log'\n"
        );
        fs::write(folder.join("run.toml"), config).expect("written");
        run.args(["run", "--config", "run.toml"])
            .env("BOOKEND_LOG", filter);
        let mut child = run.stderr(Stdio::piped()).spawn().expect("it starts");
        let log = child.stderr.take().expect("a pipe");
        std::thread::spawn(move || BufReader::new(log).lines().for_each(drop));
        await_that("it listens", || std::net::TcpStream::connect(addr).is_ok());
        Self { child, addr }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn usr1_reopens_the_access_log_and_quit_drains() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(folder.path(), "info");
    let log = folder.path().join("access.log");
    let old = folder.path().join("access.log.1");
    let lines = |path: &Path| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    assert_eq!(Client::to(running.addr).get("/a").status, 502);
    await_that("a line", || lines(&log) == 1);
    let text = fs::read_to_string(&log).expect("a log");
    let duration = text
        .split_whitespace()
        .find_map(|word| word.strip_suffix("ms"));
    assert!(
        duration.is_some_and(|number| number.parse::<f64>().is_ok()),
        "{text}"
    );
    fs::rename(&log, &old).expect("moved");
    running.signal("USR1");
    await_that("a new file", || log.exists());
    assert_eq!(Client::to(running.addr).get("/b").status, 502);
    await_that("a line in the new file", || lines(&log) == 1);
    assert_eq!(lines(&old), 1);
    running.signal("QUIT");
    assert!(running.child.wait().expect("an end").success());
}

/// The routes of examples/fastapi.toml, before an API like the one it is for.
#[test]
fn the_fastapi_example_leaves_no_list_stale() {
    let origin = Origin::start(|request, conn| {
        let fresh = reply(200).field("Cache-Control", "public, max-age=60");
        let reply = match (&*request.method, &*request.target) {
            ("GET", _) => fresh,
            ("POST", "/books") => reply(201).field("Location", "/books/1"),
            ("POST", _) => reply(201).field("Location", "/books/1/reviews/2"),
            _ => reply(200),
        };
        conn.reply(request, &reply);
    });
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fastapi.toml");
    let example = fs::read_to_string(example).expect("the example");
    let (_, routes) = example.split_once("[[route]]").expect("routes");
    let gateway = Gateway::before(&origin)
        .more(&format!("[[route]]{routes}"))
        .start();
    for (write, stale) in [
        (
            put("/books/1", "{}"),
            &["/books", "/books?page=2", "/books/1"][..],
        ),
        (
            crate::common::delete("/books/1"),
            &["/books", "/books/1", "/books/1/reviews/"],
        ),
        (post("/books", "{}"), &["/books", "/books/1"]),
        (
            post("/books/1/reviews/", "{}"),
            &["/books/1/reviews/", "/books/1/reviews/2"],
        ),
        (
            put("/books/1/reviews/2", "{}"),
            &["/books/1/reviews/", "/books/1/reviews/2"],
        ),
    ] {
        for &target in stale {
            gateway.send(&get(target)).expect(200);
        }
        gateway.send(&write);
        for &target in stale {
            let answer = gateway.send(&get(target));
            assert!(
                !answer.is_hit(),
                "{target} is old after {} {}",
                write.method,
                write.target
            );
        }
    }
}
