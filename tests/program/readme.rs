//! What the documents say can be done, can be done; what they name exists; and they name all that a user may meet.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use bookend::config::Config;
use bookend::config::traces::BUILT_IN;
use bookend::error::ErrorKind;
use bookend::semantics::reasons::{Kind, REASONS, Reason};

use crate::common::{Answer, Gateway, Origin, Request, get, put, reply};

/// All documents for people, by their path from the root.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "SECURITY.md",
    "benches/README.md",
    "docs/benchmarks.md",
    "docs/configuration.md",
    "docs/conformance.md",
    "docs/operations.md",
    "docs/rfc9111.md",
    "docs/security.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The blocks of a document in this language.
fn blocks(path: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let text = document(path);
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == fence {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

/// The part of a document below this heading, up to the next one of its level or above.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let level = |line: &str| line.find(|c| c != '#').filter(|level| *level > 0);
    let (mut at, mut start, mut fenced) = (0, None, false);
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        match start {
            None if line == heading => start = Some(at + line.len()),
            Some(start) if !fenced && level(line).is_some_and(|n| Some(n) <= level(heading)) => {
                return &text[start..at];
            }
            _ => {}
        }
        at += line.len() + 1;
    }
    &text[start.unwrap_or_else(|| panic!("no {heading}"))..]
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cells of the rows of all tables in `text`.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches(['|', ' ']).split(" | ").collect())
}

/// All of `src/` but its tests.
fn sources() -> String {
    fn collect(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let is_test = path.ends_with("tests") || path.ends_with("tests.rs");
            if path.is_dir() && !is_test {
                collect(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                *text += &fs::read_to_string(&path).expect("a source");
            }
        }
    }
    let mut text = String::new();
    collect(&root().join("src"), &mut text);
    text
}

/// The strings in double quotes in `text` that are of these characters alone.
fn strings(text: &str, is_of: fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split('"')
        .filter(move |text| !text.is_empty() && text.chars().all(is_of))
}

fn bookend(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bookend"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program")
}

/// A folder with the files that the documents name in `/etc/bookend`.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().expect("a folder");
    let names = vec!["api.example.org".to_owned()];
    let signed = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let (cert, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let user = "alice:$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW".to_owned();
    for (name, text) in [
        ("cert.pem", &cert),
        ("key.pem", &key),
        ("clients.pem", &cert),
        ("staff.htpasswd", &user),
    ] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

#[test]
fn every_configuration_in_the_documents_is_valid() {
    let mut valid = 0;
    let files = certificates();
    for path in DOCUMENTS {
        for block in blocks(path, "toml") {
            let (of_upstream, _) = block.split_once("[upstreams.").unwrap_or((&block, ""));
            let servers = match of_upstream.contains("servers =") {
                true => "",
                false => "upstream.servers = [\"http://127.0.0.1:5000\"]\n",
            };
            let text = format!("{servers}{block}");
            let text = text.replace("/etc/bookend/", &format!("{}/", files.path().display()));
            let read = Config::parse(&text, path, &|_| Some("a-token".to_owned()));
            let mut mistakes = read.err().unwrap_or_default();
            if !BUILT_IN {
                // A program without them says so, and has no other mistake to tell.
                mistakes.retain(|mistake| !mistake.message.contains("built without traces"));
            }
            assert!(mistakes.is_empty(), "{path}\n{text}\n{mistakes:#?}");
            valid += 1;
        }
    }
    assert!(valid >= 15, "{valid} blocks");
}

#[test]
fn a_mistake_is_reported_as_the_documents_show() {
    let text = "[cache]\nmemroy = \"1GiB\"\n[upstream]\nservers = [\"http://127.0.0.1:5000\"]\n";
    let mistakes = Config::parse(text, "config.toml", &|_| None).expect_err("a mistake");
    let [mistake] = mistakes.as_slice() else {
        panic!("{mistakes:?}")
    };
    let shown = blocks("docs/configuration.md", "console");
    let mistake = mistake.to_string();
    assert!(
        shown.iter().any(|block| block.contains(&mistake)),
        "{mistake}"
    );
}

/// The README's configuration of the API that says nothing about caching.
fn example() -> String {
    let blocks = blocks("README.md", "toml");
    assert_eq!(blocks.len(), 1, "{blocks:?}");
    blocks.into_iter().next().unwrap_or_default()
}

#[test]
fn check_prints_what_the_readme_shows() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("config.toml"), example()).expect("a file");
    let output = bookend(&folder, &["check", "config.toml"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(document("README.md").contains(said.trim()), "{said}");
}

/// A line of output without what differs from run to run.
fn settled(line: &str) -> String {
    let mut line = line.trim().to_owned();
    for before in ["http://127.0.0.1:", "age: ", "ttl="] {
        if let Some(at) = line.find(before).map(|at| at + before.len()) {
            let end = line[at..].find(|c: char| !c.is_ascii_digit());
            line.replace_range(at..end.map_or(line.len(), |end| at + end), "…");
        }
    }
    line
}

#[test]
fn the_tour_prints_what_the_readme_shows() {
    let shown = blocks("README.md", "console");
    let shown = shown.iter().find(|block| block.contains("demo --tour"));
    let output = bookend(root(), &["demo", "--tour", "--listen", "127.0.0.1:0"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    let mut said = said.lines().map(settled);
    let mut compared = 0;
    for line in shown.expect("a tour").lines().skip(1).map(settled) {
        if line != "…" {
            assert!(said.any(|said| said == line), "{line}");
            compared += 1;
        }
    }
    assert!(compared > 15, "{compared} lines");
}

/// Follows the README with an API that says nothing about caching, before and after it is configured.
#[test]
fn an_api_that_says_nothing_becomes_cached_as_the_readme_shows() {
    let readme = document("README.md");
    let mut shown = section(&readme, "## In front of your API")
        .lines()
        .filter(|line| line.starts_with("cache-status: "))
        .map(settled);
    let origin = Origin::answering(
        reply(200)
            .field("Content-Type", "application/json")
            .body("{}"),
    );
    let mut same = |answer: Answer| {
        let status = settled(&format!("cache-status: {}", answer.cache_status()));
        assert_eq!(Some(status), shown.next());
    };
    let bare = Gateway::before(&origin).start();
    same(bare.get("/books"));
    let example = example();
    let (_, routes) = example.split_once("\n\n").expect("routes");
    let gateway = Gateway::before(&origin).more(routes).start();
    same(gateway.get("/books"));
    same(gateway.get("/books"));
    gateway.client().send(&put("/books/123", "{}")).expect(200);
    same(gateway.get("/books"));
    assert_eq!(shown.next(), None);
}

/// Sends the requests that the page shows to a gateway with the page's configuration, before two APIs that say what they got.
#[test]
fn two_apis_are_behind_one_gateway_as_the_page_shows() {
    let api = |name: &'static str| {
        Origin::start(move |request, conn| {
            let got = format!("`{name}` {} `{}`", request.method, request.target);
            conn.reply(request, &reply(200).body(got));
        })
    };
    let (books, films) = (api("[upstream]"), api("films"));
    let page = document("docs/configuration.md");
    let page = section(&page, "## Two APIs behind one gateway");
    let block = |language: &str| {
        let (_, rest) = page
            .split_once(&format!("```{language}\n"))
            .expect("a block");
        rest.split_once("```").expect("its end").0
    };
    let shown = block("toml");
    let (_, tables) = shown.split_once("\n\n").expect("further tables");
    let tables = tables.replace("http://127.0.0.1:7000", &films.url());
    let gateway = Gateway::before(&books).more(&tables).start();
    let mut sent = 0;
    for row in rows(page).filter(|row| row[0].starts_with('`')) {
        let (method, url) = row[0].trim_matches('`').split_once(' ').expect("a method");
        let (host, path) = url.split_at(url.find('/').expect("a path"));
        let request = Request {
            method: method.to_owned(),
            ..get(path).field("Host", host)
        };
        let got = gateway.send(&request).expect(200).text();
        assert_eq!(got, format!("{} {method} {}", row[1], row[2]));
        sent += 1;
    }
    assert_eq!(sent, 7);

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("two-apis");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("config.toml"), shown).expect("a file");
    let (command, printed) = block("console").split_once('\n').expect("its output");
    let arguments: Vec<_> = command.split(' ').skip(2).collect();
    let output = bookend(&folder, &arguments);
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
}

/// The anchors that GitHub gives to the headings of a document.
fn anchors(text: &str) -> Vec<String> {
    let headings = text
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|rest| rest.trim_start_matches('#').trim());
    let slug = |heading: &str| {
        let kept = heading.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        });
        kept.collect()
    };
    headings.map(slug).collect()
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut followed = 0;
    for path in DOCUMENTS {
        let text = document(path);
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(path).parent().expect("a file is in a folder");
            let file = match file {
                "" => root().join(path),
                file => root().join(folder).join(file),
            };
            assert!(file.exists(), "{path} links to {link}");
            if !anchor.is_empty() {
                let anchors = anchors(&fs::read_to_string(file).expect("a document"));
                assert!(
                    anchors.iter().any(|known| known == anchor),
                    "{path} links to {link}: {anchors:?}"
                );
            }
            followed += 1;
        }
    }
    assert!(followed >= 20, "{followed} links");
}

/// The tokens that the `token` functions of these types return.
fn tokens(sources: &str, kinds: &[&str]) -> BTreeSet<String> {
    let mut tokens = BTreeSet::new();
    for kind in kinds {
        let at = sources.find(&format!("\nimpl {kind} {{"));
        let body = &sources[at.unwrap_or_else(|| panic!("no impl {kind}"))..];
        let body = &body[body.find("fn token(self)").expect("its tokens")..];
        let body = &body[..body.find("\n    }\n").expect("its end")];
        tokens.extend(strings(body, |c| c.is_ascii_lowercase() || c == '-').map(str::to_owned));
    }
    tokens
}

/// The tokens of the table's reasons of these kinds.
fn reasons(kinds: &[Kind]) -> BTreeSet<String> {
    let reasons = REASONS.iter().filter(|reason| kinds.contains(&reason.kind));
    reasons.map(|reason| reason.token.to_owned()).collect()
}

#[test]
fn the_table_of_reasons_has_every_reason_that_the_code_gives() {
    let sources = sources();
    let of = |kinds: &[&str]| tokens(&sources, kinds);
    assert_eq!(reasons(&[Kind::Forward]), of(&["ForwardReason"]));
    let mut not_stored = of(&["NoStoreReason", "Unshared", "NotCommitted"]);
    // Of fills that fail.
    not_stored.extend(["broken-off", "server-error"].map(str::to_owned));
    assert_eq!(reasons(&[Kind::NotStored]), not_stored);
    let mut reuse = of(&["StaleReason", "ValidateReason", "MustValidate"]);
    // `fwd` says the same as these.
    for unspoken in ["stale", "request"] {
        assert!(reuse.remove(unspoken));
    }
    let others = sources.split("Detail::Other(\"").skip(1);
    let others: BTreeSet<String> = others
        .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
        .collect();
    assert!(others.len() >= 8, "{others:?}");
    reuse.extend(others);
    assert_eq!(reasons(&[Kind::Reuse, Kind::Own]), reuse);
}

#[test]
fn the_document_has_the_table_of_reasons() {
    let operations = document("docs/operations.md");
    let section = section(&operations, "### Cache-Status");
    let mut told = 0;
    for Reason {
        kind,
        token,
        sentence,
        cure,
        section: rule,
    } in &REASONS
    {
        let name = match kind {
            Kind::Forward => format!("fwd={token}"),
            _ => (*token).to_owned(),
        };
        let row = format!("| `{name}` | {sentence} | {cure} | {rule} |");
        // Empty cells.
        let row = row.replace("|  |", "| |").replace("|  |", "| |");
        assert!(section.contains(&row), "not in docs/operations.md: {row}");
        told += 1;
    }
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| `") && line.matches(" |").count() == 4);
    let heads = section
        .lines()
        .filter(|line| line.ends_with("| what to change | rule |"));
    assert_eq!(rows.count() - heads.count(), told);
}

#[test]
fn every_error_is_explained_with_its_status() {
    let operations = document("docs/operations.md");
    let rows: Vec<_> = rows(section(&operations, "### Errors")).collect();
    for kind in ErrorKind::ALL {
        let token = kind.token();
        let row = rows
            .iter()
            .find(|row| quoted(row[0]).any(|name| name == token));
        let row = row.unwrap_or_else(|| panic!("{token} is not explained"));
        let status = kind.status().as_u16().to_string();
        assert!(
            row[1] == "–" || row[1].contains(&status),
            "{token}: {row:?}"
        );
    }
    for row in rows.iter().skip(1).filter(|row| row[0].starts_with('`')) {
        let known =
            |name: &str| name == "error" || ErrorKind::ALL.iter().any(|kind| kind.token() == name);
        assert!(quoted(row[0]).all(known), "{row:?}");
    }
}

#[test]
fn every_metric_is_explained_and_every_explained_metric_exists() {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let is_metric = |name: &&str| {
        ["bookend_", "process_"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    let sources = sources();
    let exist: BTreeSet<&str> = strings(&sources, is_name).filter(is_metric).collect();
    // What the samples of a histogram are called.
    let family = |name| {
        let parts = ["_bucket", "_sum", "_count"].iter();
        let mut whole = parts.filter_map(|part| str::strip_suffix(name, part));
        whole.find(|whole| exist.contains(whole)).unwrap_or(name)
    };
    assert!(exist.len() > 45, "{exist:?}");
    let operations = document("docs/operations.md");
    let words = operations.split(|c: char| !is_name(c));
    let explained: BTreeSet<&str> = words.filter(is_metric).map(family).collect();
    assert_eq!(explained, exist);
}

#[test]
fn every_log_message_that_is_explained_exists() {
    let operations = document("docs/operations.md");
    let watch = section(&operations, "## Watch");
    let (_, table) = watch.split_once("| message |").expect("the messages");
    let sources = sources();
    let mut found = 0;
    for row in rows(table) {
        for message in quoted(row[0]) {
            assert!(sources.contains(&format!("\"{message}")), "{message}");
            found += 1;
        }
    }
    assert!(found > 15, "{found} messages");
}

/// Keys are named in the documents as `code`: those with an underscore can be told from other words.
#[test]
fn every_key_that_the_documents_name_exists() {
    let file = document("config.toml");
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let keys: BTreeSet<&str> = file
        .lines()
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once(" = "))
        .map(|(key, _)| key)
        .collect();
    let sources = sources();
    // Tokens and fields of ours, and directives of nginx.
    let others: BTreeSet<&str> = strings(&sources, is_name)
        .chain(["proxy_cache", "gzip_proxied"])
        .collect();
    let mut named = 0;
    for path in [
        "README.md",
        "docs/configuration.md",
        "docs/operations.md",
        "docs/security.md",
    ] {
        let text = document(path);
        for name in quoted(&text) {
            let name = name.split(" = ").next().unwrap_or(name);
            let is_key = name.contains('_') && name.chars().all(is_name);
            if is_key && !keys.contains(name) {
                assert!(others.contains(name), "{path}: there is no `{name}`");
            }
            named += usize::from(is_key && keys.contains(name));
        }
    }
    assert!(named > 50, "{named} keys");
    let readme = document("README.md");
    for row in rows(section(&readme, "## Configuration by task")).skip(1) {
        for key in quoted(row[1]) {
            assert!(keys.contains(key), "there is no key `{key}`");
        }
    }
}
