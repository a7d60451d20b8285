//! A running gateway as its operator meets it: `health`, `status`, `reload`, `purge`, `explain`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use crate::common::{Client, Origin, await_that, reply};

const TOKEN: &str = "BOOKEND_ADMIN_TOKEN";

/// A `bookend run` with a file of its own, whose admin API is on a Unix socket beside it.
pub struct Program {
    pub child: Child,
    pub log: BufReader<ChildStderr>,
    pub addr: SocketAddr,
    pub folder: tempfile::TempDir,
}

impl Program {
    /// `admin` and `more` are lines of the file.
    pub fn start(origin: &Origin, admin: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = Self::text(folder.path(), origin, admin, more);
        Self::run(folder, &text)
    }

    /// `server` is a line of `[server]`.
    pub fn start_with(origin: &Origin, server: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = Self::text(folder.path(), origin, "", "");
        Self::run(
            folder,
            &text.replace("[server]", &format!("[server]\n{server}")),
        )
    }

    pub fn run(folder: tempfile::TempDir, text: &str) -> Self {
        std::fs::write(folder.path().join("config.toml"), text).expect("written");
        let mut child = command(folder.path(), &["run"])
            .env(TOKEN, "sesame")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut program = Self {
            log: BufReader::new(child.stderr.take().expect("piped")),
            child,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder,
        };
        let line = loop {
            let line = program.line();
            if line.contains(" listening ") {
                break line;
            }
        };
        let addr = line.split("127.0.0.1:").nth(1).expect("an address");
        let port: String = addr.chars().take_while(char::is_ascii_digit).collect();
        program.addr.set_port(port.parse().expect("a port"));
        program
    }

    pub fn text(folder: &Path, origin: &Origin, admin: &str, more: &str) -> String {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[admin]\nlisten = \"unix:{}\"\n{admin}\n[log]\n\
             access = \"off\"\n[upstream]\nservers = \"{}\"\n{more}\n",
            folder.join("admin.sock").display(),
            origin.url(),
        )
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.log.read_line(&mut line).expect("text"), 0, "it ended");
        line
    }

    pub fn await_line(&mut self, words: &str) {
        while !self.line().contains(words) {}
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Runs `bookend` with these arguments where its file is.
    pub fn bookend(&self, arguments: &[&str]) -> Output {
        command(self.folder.path(), arguments)
            .output()
            .expect("the program")
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bookend"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove(TOKEN)
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null());
    command
}

pub fn said(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// What the command printed, which must have ended with this status.
#[track_caller]
pub fn expect(output: Output, status: i32) -> String {
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    match status {
        0 => out,
        _ => err,
    }
}

pub fn books() -> Origin {
    Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"))
}

#[test]
fn a_running_gateway_is_asked_over_the_socket_that_its_file_names() {
    let origin = books();
    let program = Program::start(&origin, "", "");
    let get = |target| Client::to(program.addr).get(target).expect(200);
    assert_eq!(expect(program.bookend(&["health"]), 0), "ok\n");
    assert_eq!(
        expect(program.bookend(&["health", "--ready"]), 0),
        "ready\n"
    );

    for target in ["/books?a=1&b=2", "/books/1", "/films"] {
        get(target);
        assert!(get(target).is_hit());
    }
    let status = expect(program.bookend(&["status"]), 0);
    for words in [
        concat!("bookend    ", env!("CARGO_PKG_VERSION"), ", ready, up "),
        "requests   6: 3 hit, 0 stale, 0 validated, 3 miss, 0 pass, 0 direct, 0 error (50.0 % answered by the cache)\n",
        "for 3 resources; ",
        "0 reloads, 0 more failed\n",
        &format!("upstream   {} gets requests; ", origin.url()),
    ] {
        assert!(status.contains(words), "{words:?} is not in {status}");
    }

    let explained = expect(program.bookend(&["explain", "/books?a=1&b=2"]), 0);
    for words in [
        "\n  \"url\": \"/books?a=1&b=2\"",
        "\"lifetime_from\": \"max-age\"",
    ] {
        assert!(explained.contains(words), "{words:?} is not in {explained}");
    }

    let words = expect(program.bookend(&["explain", "--text", "/books/1"]), 0);
    assert!(words.starts_with("cached: It is fresh for "), "{words}");

    let purged = program.bookend(&["purge", "--url", "/books?a=1&b=2", "--url", "/films"]);
    let counted = |purged| {
        let told: serde_json::Value = serde_json::from_str(&expect(purged, 0)).expect("JSON");
        assert!(told["bytes"].as_u64() > Some(100), "{told}");
        (
            told["purged"].as_u64(),
            told["sequence"].as_u64(),
            told["would_purge"].as_u64(),
        )
    };
    assert_eq!(counted(purged), (Some(2), Some(1), None));
    let preview = program.bookend(&["purge", "--prefix", "/books", "--dry-run"]);
    assert_eq!(counted(preview), (None, None, Some(1)));
    let purged = program.bookend(&["purge", "--prefix", "/books", "--reason", "new prices"]);
    assert_eq!(counted(purged), (Some(1), Some(2), None));
    get("/books/1");
    let unknown = program.bookend(&["purge", "--route", "/books"]);
    let told = expect(unknown, 2);
    assert!(told.contains("\"(default)\""), "{told}");
    let preview = [
        "purge",
        "--route",
        "(default)",
        "--tag",
        "a",
        "--tag",
        "b",
        "--dry-run",
    ];
    assert_eq!(counted(program.bookend(&preview)), (None, None, Some(1)));
    let purged = program.bookend(&["purge", "--all", "--soft"]);
    assert_eq!(counted(purged), (Some(1), Some(3), None));
    assert!(!get("/books/1").is_hit(), "it is validated first");
    let purges = expect(program.bookend(&["purges", "--limit", "2"]), 0);
    let lines: Vec<_> = purges.lines().collect();
    assert_eq!(lines.len(), 2, "{purges}");
    for (line, words) in [
        (
            lines[0],
            [
                "  #3  1 resources, ",
                " bytes  everything (soft)  by the Unix socket",
            ],
        ),
        (
            lines[1],
            [
                "  #2  1 resources, ",
                " bytes  /books and all below it on every host  by the Unix socket: \"new prices\"",
            ],
        ),
    ] {
        assert!(words.iter().all(|words| line.contains(words)), "{line}");
    }
}

#[test]
fn a_token_comes_from_the_environment_a_file_or_the_configuration() {
    let origin = books();
    let program = Program::start(&origin, "token = \"${BOOKEND_ADMIN_TOKEN}\"", "");
    let purge = ["purge", "--all"];
    // Without the variable the file has a mistake, which matters where the token is needed, and there alone.
    let told = expect(program.bookend(&purge), 2);
    assert!(
        told.contains("the environment variable `BOOKEND_ADMIN_TOKEN` is not set"),
        "{told}"
    );
    expect(program.bookend(&["health"]), 0);
    expect(program.bookend(&["status"]), 0);

    let with = |token: &str, arguments: &[&str]| {
        let mut command = command(program.folder.path(), arguments);
        command.env(TOKEN, token).output().expect("the program")
    };
    expect(with("sesame", &purge), 0);
    let told = expect(with("wrong", &purge), 2);
    assert!(told.contains("401"), "{told}");

    std::fs::write(program.folder.path().join("token"), "sesame\n").expect("written");
    let from_file = ["purge", "--all", "--token-file", "token"];
    expect(program.bookend(&from_file), 0);
    // A file that is named precedes the environment.
    expect(with("wrong", &from_file), 0);
    let told = expect(
        program.bookend(&["purge", "--all", "--token-file", "none"]),
        2,
    );
    assert!(told.starts_with("bookend purge: none: "), "{told}");

    let written =
        Program::text(program.folder.path(), &origin, "token = \"sesame\"", "").into_bytes();
    std::fs::write(program.file(), written).expect("written");
    expect(program.bookend(&purge), 0);
}

#[test]
fn a_reload_tells_its_outcome_and_is_counted() {
    let origin = books();
    let mut program = Program::start(&origin, "", "");
    let change = |more: &str| {
        let text = Program::text(program.folder.path(), &origin, "", more);
        std::fs::write(program.file(), text).expect("written");
    };
    let reloads = || {
        let status = expect(program.bookend(&["status"]), 0);
        let line = status.lines().find(|line| line.starts_with("config"));
        let (_, counts) = line.and_then(|line| line.split_once("; ")).expect("counts");
        counts.to_owned()
    };

    change("[[route]]\nmatch = \"/books\"\nbypass = true");
    Client::to(program.addr).get("/books").expect(200);
    let reloaded = program.bookend(&["reload"]);
    assert_eq!(said(&reloaded.stderr), "");
    assert_eq!(expect(reloaded, 0), "configuration reloaded\n");
    let answer = Client::to(program.addr).get("/books").expect(200);
    assert!(answer.fwd("bypass"), "{}", answer.cache_status());
    assert_eq!(reloads(), "1 reloads, 0 more failed");

    change("memroy = 1\n[cache]\nttl = 5");
    let told = expect(program.bookend(&["reload"]), 2);
    let mut lines = told.lines();
    for start in [
        "config.toml:11:1: unknown key `memroy` in [upstream]",
        "config.toml:13:7: ",
        "bookend reload: the configuration has 2 mistakes: the configuration before stays in force",
    ] {
        let line = lines.next().unwrap_or_default();
        assert!(line.starts_with(start), "{start:?}: {told}");
    }
    // The gateway is no less healthy for it, and another reload by the signal is counted, too.
    expect(program.bookend(&["health"]), 0);
    assert_eq!(reloads(), "1 reloads, 1 more failed");
    program.signal("-HUP");
    program.await_line("configuration not reloaded");
    program.await_line("configuration not reloaded");
    await_that("it is counted", || {
        let status = said(&program.bookend(&["status"]).stdout);
        status.contains("1 reloads, 2 more failed")
    });

    let text = Program::text(
        program.folder.path(),
        &origin,
        "",
        "[cache]\nmemory = \"1GiB\"",
    );
    std::fs::write(program.file(), text).expect("written");
    let reloaded = program.bookend(&["reload"]);
    assert_eq!(
        said(&reloaded.stderr),
        "warning: [cache] memory has changed: restart the gateway to put it in force\n"
    );
    assert_eq!(expect(reloaded, 0), "configuration reloaded\n");
}

#[test]
fn a_gateway_that_is_not_there_is_told_with_1_and_arguments_that_are_wrong_with_2() {
    let origin = books();
    let mut program = Program::start(&origin, "", "");
    let bad = program.bookend(&["purge", "--url", "/books", "--prefix", "books"]);
    let told = expect(bad, 2);
    assert!(told.contains("prefix=books"), "{told}");
    for arguments in [
        &["purge"][..],
        &["explain"],
        &["status", "--admin", "9090"],
        &["reload", "--config", "none.toml"],
    ] {
        expect(program.bookend(arguments), 2);
    }
    // A container engine knows 0 and 1 alone.
    expect(program.bookend(&["health", "--config", "none.toml"]), 1);

    program.signal("-TERM");
    assert!(program.child.wait().expect("an end").success());
    for arguments in [
        &["health"][..],
        &["status"],
        &["reload"],
        &["purge", "--all"],
        &["explain", "/books"],
    ] {
        let told = expect(program.bookend(arguments), 1);
        let start = format!(
            "bookend {}: no answer from the admin API on unix:",
            arguments[0]
        );
        assert!(told.starts_with(&start), "{told}");
    }

    std::fs::write(
        program.file(),
        "[admin]\nlisten = \"off\"\n[upstream]\nservers = \"http://a\"",
    )
    .expect("written");
    let told = expect(program.bookend(&["status"]), 2);
    assert!(
        told.contains("the admin API is off in config.toml: name its address with --admin"),
        "{told}"
    );
}

/// As systemd reads it from a service of `Type=notify` or `Type=notify-reload` (sd_notify(3)).
#[test]
fn a_service_manager_is_told_when_the_gateway_is_ready_reloads_and_stops() {
    let origin = books();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .expect("a deadline");
    let next = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).expect("a notification");
        said(&buffer[..length])
    };
    let text = Program::text(folder.path(), &origin, "", "");
    std::fs::write(folder.path().join("config.toml"), text).expect("written");
    let mut command = command(folder.path(), &["run"]);
    command.env("NOTIFY_SOCKET", &path);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("the program");
    let pid = child.id().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill").success());
    };
    assert_eq!(next(), "READY=1\n");
    signal("-HUP");
    let reloading = next();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let time = time.unwrap_or_else(|| panic!("{reloading}"));
    assert!(time.trim_end().parse::<u64>().expect("a time") > 0);
    assert_eq!(next(), "READY=1\n");
    // One with mistakes is over, too.
    std::fs::write(folder.path().join("config.toml"), "mistake = 1").expect("written");
    signal("-HUP");
    assert!(next().starts_with("RELOADING=1\n"));
    assert_eq!(next(), "READY=1\n");
    signal("-TERM");
    assert_eq!(next(), "STOPPING=1\n");
    assert!(child.wait().expect("an end").success());
}

#[test]
fn readiness_fails_before_the_gateway_stops_to_accept() {
    let origin = books();
    let mut program = Program::start_with(&origin, "shutdown_delay = \"1h\"");
    expect(program.bookend(&["health", "--ready"]), 0);
    program.signal("-TERM");
    program.await_line("shutting down");
    await_that("readiness fails", || {
        let told = program.bookend(&["health", "--ready"]);
        told.status.code() == Some(1) && said(&told.stderr).contains("shutting down")
    });
    expect(program.bookend(&["health"]), 0);
    let status = expect(program.bookend(&["status"]), 0);
    assert!(status.contains(", shutting down, up "), "{status}");
    // On connections that begin only now.
    Client::to(program.addr).get("/books").expect(200);
    assert!(Client::to(program.addr).get("/books").expect(200).is_hit());
    // It is operated as before, too.
    program.signal("-USR1");
    program.await_line("access log reopened");
    program.signal("-HUP");
    program.await_line("configuration reloaded");
    // A second signal does not wait.
    program.signal("-TERM");
    assert_eq!(program.child.wait().expect("an end").code(), Some(1));
}

#[test]
fn the_drain_follows_the_delay_of_a_shutdown() {
    let origin = books();
    let mut program = Program::start_with(&origin, "shutdown_delay = \"50ms\"");
    program.signal("-TERM");
    program.await_line("shutting down");
    program.await_line("draining");
    assert_eq!(program.child.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_status_and_a_reload_look_as_the_documents_show() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let document = std::fs::read_to_string(document).expect("the document");
    let origin = books();
    let program = Program::start(&origin, "", "");
    Client::to(program.addr).get("/books").expect(200);

    // Without numbers, addresses and units.
    let words = |line: &str| -> Vec<String> {
        let words = line.split(|c: char| !c.is_ascii_alphabetic());
        let words = words.filter(|word| word.len() > 2 && !word.ends_with("iB"));
        words.map(str::to_owned).collect()
    };
    let status = expect(program.bookend(&["status"]), 0);
    let (_, shown) = document
        .split_once("$ bookend status --config /etc/bookend/config.toml\nbookend ")
        .expect("a status");
    let shown = format!("bookend {}", shown.split("\n```").next().expect("its end"));
    let lines = |text: &str| text.lines().map(words).collect::<Vec<_>>();
    assert_eq!(lines(&status), lines(&shown));

    let text = Program::text(
        program.folder.path(),
        &origin,
        "",
        "[cache]\nmemroy = \"1GiB\"",
    );
    std::fs::write(program.file(), text).expect("written");
    let told = expect(program.bookend(&["reload"]), 2);
    for line in told.lines() {
        let line = line.split_once(":1: ").map_or(line, |(_, message)| message);
        assert!(document.contains(line), "{line}");
    }
    assert_eq!(told.lines().count(), 2);
}

#[test]
fn an_explanation_looks_as_the_document_shows() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "private").body("1984"));
    let program = Program::start(
        &origin,
        "",
        "[[route]]\nmatch = \"/books/{id}\"\nttl = \"5m\"",
    );
    Client::to(program.addr).get("/books/1").expect(200);
    let told = expect(program.bookend(&["explain", "--text", "/books/1"]), 0);
    let told = told.replace(&program.addr.to_string(), "127.0.0.1:8080");
    let document = std::fs::read_to_string("docs/operations.md").expect("the document");
    let (_, block) = document
        .split_once("$ bookend explain /books/1\nnot cached")
        .expect("the block");
    let block = format!("not cached{block}");
    let (block, _) = block.split_once("\n```").expect("its end");
    // Times differ.
    let plain = |text: &str| -> Vec<String> {
        let words = |line: &str| line.replace(|c: char| c.is_ascii_digit(), "");
        text.trim_end().lines().map(words).collect()
    };
    assert_eq!(plain(block), plain(&told), "{told}");
}

#[test]
fn the_log_is_read_live_until_a_signal_comes_or_the_gateway_stops() {
    let origin = Origin::start(|request, conn| conn.reply(request, &reply(200)));
    let mut program = Program::start(&origin, "", "");
    let tail = |arguments: &[&str]| {
        let mut tail = command(program.folder.path(), &[&["tail"], arguments].concat())
            .env(TOKEN, "sesame")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let lines = BufReader::new(tail.stdout.take().expect("piped"));
        (tail, lines)
    };
    let (mut first, mut lines) = tail(&["--result", "miss,pass", "--url", "/books"]);
    let (second, mut objects) = tail(&["--json"]);
    // Both listen once each has a line.
    let (mut line, mut object) = (String::new(), String::new());
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            lines.read_line(&mut line).expect("text");
            objects.read_line(&mut object).expect("text");
        });
        await_that("a line for each", || {
            let mut client = Client::to(program.addr);
            client.get("/films");
            client.get("/books/1");
            reading.is_finished()
        });
    });
    assert!(line.contains("  200  miss "), "{line}");
    assert!(
        line.contains(&format!("GET http://{}/books/1  ", program.addr)),
        "{line}"
    );
    let object: serde_json::Value = serde_json::from_str(&object).expect("JSON");
    assert_eq!(object["method"], "GET");

    let pid = first.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.expect("kill").success());
    assert_eq!(first.wait().expect("ended").code(), Some(0));

    program.signal("-TERM");
    assert!(program.child.wait().expect("ended").success());
    let reading = std::thread::spawn(move || objects.lines().count());
    let second = second.wait_with_output().expect("ended");
    reading.join().expect("read");
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(said(&second.stderr), "bookend tail: the gateway stops\n");
    let gone = program.bookend(&["tail"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        said(&gone.stderr).contains("no answer from the admin API"),
        "{}",
        said(&gone.stderr)
    );

    let wrong = program.bookend(&["tail", "--status"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn purges_are_followed_until_the_gateway_stops() {
    let origin = Origin::start(|request, conn| conn.reply(request, &reply(200)));
    let mut program = Program::start(&origin, "", "");
    let purge = |path: &str| expect(program.bookend(&["purge", "--url", path]), 0);
    purge("/books/1");
    let mut following = command(program.folder.path(), &["purges", "--follow"])
        .env(TOKEN, "sesame")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(following.stdout.take().expect("piped"));
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).expect("text");
        line
    };
    let first = next();
    assert!(
        first.contains("  #1  0 resources, 0 bytes  /books/1 on"),
        "{first}"
    );
    purge("/books/2");
    let second = next();
    assert!(
        second.contains("  #2  0 resources, 0 bytes  /books/2 on"),
        "{second}"
    );
    program.signal("-TERM");
    assert!(program.child.wait().expect("ended").success());
    let ended = following.wait_with_output().expect("the program");
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(said(&ended.stderr), "bookend purges: the gateway stops\n");
}

/// `bookend top` is built in with the feature `top` alone; where it is not, it says how to get it.
#[test]
fn the_live_picture_is_printed_once_as_text_or_said_to_be_missing() {
    let origin = Origin::start(|request, conn| {
        conn.reply(request, &reply(200).field("Cache-Control", "private"));
    });
    let program = Program::start(&origin, "", "[[route]]\nmatch = \"/books/{id}\"");
    let once = |tab: &str, size: &str| {
        let arguments = ["top", "--once", "--tab", tab, "--size", size];
        let output = command(program.folder.path(), &arguments)
            .env(TOKEN, "sesame")
            .output();
        output.expect("the program")
    };
    if !cfg!(feature = "top") {
        let output = once("routes", "80x24");
        assert_eq!(output.status.code(), Some(2));
        let words = "built without it: build it with `cargo build --release --features top`";
        assert!(
            said(&output.stderr).contains(words),
            "{}",
            said(&output.stderr)
        );
        return;
    }
    for _ in 0..3 {
        Client::to(program.addr).get("/books/1").expect(200);
    }
    await_that("the route", || {
        let output = once("routes", "60x15");
        assert_eq!(output.status.code(), Some(0), "{}", said(&output.stderr));
        said(&output.stdout).contains(" /books/{id} ")
    });
    let misses = said(&once("misses", "100x30").stdout);
    assert!(misses.contains(" private "), "{misses}");
    assert!(
        misses.contains(" Cure: Have the API say `public`"),
        "{misses}"
    );
    // Standard output is no terminal here.
    let output = program.bookend(&["top"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output.stderr).contains("--once prints one picture"),
        "{}",
        said(&output.stderr)
    );
    let output = program.bookend(&["top", "--once", "--admin", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output.stderr).contains("no answer from the admin API"),
        "{}",
        said(&output.stderr)
    );
}

#[test]
fn it_is_told_at_the_start_which_servers_can_be_connected_to_and_why_others_cannot() {
    let origin = Origin::start(|request, conn| conn.reply(request, &reply(200)));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = closed.local_addr().expect("an address");
    drop(closed);
    let more = format!(
        "[upstreams.films]\nservers = \"http://{addr}\"\n[[route]]\nmatch = \"/films\"\nupstream = \"films\""
    );
    let mut program = Program::start(&origin, "", &more);
    let (mut reachable, mut other) = (String::new(), String::new());
    while reachable.is_empty() || other.is_empty() {
        let line = program.line();
        match line {
            line if line.contains("upstream reachable") => reachable = line,
            line if line.contains("upstream not reachable yet") => other = line,
            _ => {}
        }
    }
    assert!(reachable.contains(" INFO "), "{reachable}");
    assert!(
        reachable.contains(&format!(" server={} within=", origin.url())),
        "{reachable}"
    );
    let words = format!(
        " upstream=\"films\" server=http://{addr} error=the upstream refused the connection"
    );
    assert!(
        other.contains(" WARN ") && other.contains(&words),
        "{other}"
    );
    // It does not wait for them, and serves.
    Client::to(program.addr).get("/books").expect(200);
}
