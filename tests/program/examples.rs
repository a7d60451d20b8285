//! Every configuration that the repository shows is one that the gateway takes.

use std::fs;
use std::path::Path;

use bookend::config::Config;

#[test]
fn every_configuration_that_is_shown_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join("examples")).expect("the examples");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an example").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    files.push(root.join("config.toml"));
    for file in files {
        if let Err(mistakes) = Config::load(&file, &|_| Some("a secret".to_owned())) {
            panic!("{}: {mistakes:#?}", file.display());
        }
    }
}
