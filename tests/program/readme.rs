//! What the README says can be done, can be done.

use std::fs;
use std::path::Path;

use bookend::config::Config;

const README: &str = include_str!("../../README.md");

/// The blocks of the README in this language.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if line == fence {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

#[test]
fn every_configuration_in_the_readme_is_valid() {
    let blocks = blocks("toml");
    assert!(blocks.len() >= 8, "{} blocks", blocks.len());
    for block in blocks {
        let servers = match block.contains("servers =") {
            true => "",
            false => "upstream.servers = [\"http://127.0.0.1:5000\"]\n",
        };
        let text = format!("{servers}{block}");
        if let Err(mistakes) = Config::parse(&text, "README.md", &|_| None) {
            panic!("{text}\n{mistakes:#?}");
        }
    }
}

#[test]
fn a_mistake_is_reported_as_the_readme_shows() {
    let text = "[cache]\nmemroy = \"1GiB\"\n[upstream]\nservers = [\"http://127.0.0.1:5000\"]\n";
    let mistakes = Config::parse(text, "config.toml", &|_| None).expect_err("a mistake");
    let [mistake] = mistakes.as_slice() else {
        panic!("{mistakes:?}")
    };
    assert!(
        blocks("console")
            .iter()
            .any(|block| block.contains(&mistake.to_string())),
        "{mistake}"
    );
}

/// All documents for people, by their path from the root.
const DOCUMENTS: [&str; 4] = [
    "README.md",
    "benches/README.md",
    "docs/benchmarks.md",
    "docs/rfc9111.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
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
    assert!(followed >= 5, "{followed} links");
}
