//! The documentation cannot rot: every command that it shows parses, and the methods table is the code's.

use std::{fs, path::PathBuf};

use ashlar_runner::{command::Cli, papers};
use clap::Parser;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    let mut folders = vec![root().join("docs/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        found.push(entry.unwrap().path().join("README.md"));
    }
    found
}

/// Lines of ```sh blocks that call `ashlar`, as words; comments and redirections cut off.
fn commands(page: &str) -> Vec<Vec<String>> {
    let mut shell = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            shell = !shell && language.trim() == "sh";
            continue;
        }
        let line = line.split(" #").next().unwrap_or_default().split(" > ").next().unwrap_or_default().trim();
        let line =
            line.strip_prefix("cargo run --release --").map_or_else(|| line.to_owned(), |rest| format!("ashlar{rest}"));
        if shell && line.starts_with("ashlar ") {
            found.push(line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect());
        }
    }
    found
}

#[test]
fn every_documented_command_parses() {
    let mut seen = 0;
    for path in pages() {
        for words in commands(&fs::read_to_string(&path).unwrap()) {
            seen += 1;
            if let Err(error) = Cli::try_parse_from(&words) {
                assert_eq!(error.exit_code(), 0, "{}: `{}`: {error}", path.display(), words.join(" "));
            }
        }
    }
    assert!(seen >= 15, "only {seen} commands found: did the blocks lose their language?");
}

#[test]
fn a_wrong_command_would_be_found() {
    let words = commands("```sh\nashlar fl-core train --mode sketch --colls 4\n```\n").remove(0);
    assert_eq!(Cli::try_parse_from(words).unwrap_err().exit_code(), 2);
}

#[test]
fn the_methods_table_is_the_codes() {
    let path = root().join("docs/src/methods.md");
    let table = papers::methods_page();
    if std::env::var_os("ASHLAR_BLESS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, table, "run `ASHLAR_BLESS=1 cargo test --release -p ashlar-runner --test it documented`");
}
