//! What the README says can be done, can be done.

use bookend::config::Config;

const README: &str = include_str!("../README.md");

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

#[test]
fn every_file_that_the_readme_links_to_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
        let file = link.split('#').next().unwrap_or(link);
        assert!(root.join(file).exists(), "{link}");
    }
}
