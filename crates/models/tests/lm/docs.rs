//! The page on hooks has the code's table of sites.

use std::{fmt::Write, fs, path::PathBuf};

use ashlar_models::lm::SITES;

#[test]
fn the_table_of_sites_is_the_codes() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/models/hooks.md");
    // A packaged crate comes without the book.
    let Ok(page) = fs::read_to_string(&path) else { return };
    let mut table = "\n| name | shape | where |\n| --- | --- | --- |\n".to_owned();
    for info in SITES {
        let prefix = if info.layered { "blocks.{l}." } else { "" };
        writeln!(table, "| `{prefix}{}` | `{}` | {} |", info.name, info.shape, info.place).unwrap();
    }
    let start =
        page.find("--test lm docs` -->\n").expect("the comment before the table") + "--test lm docs` -->\n".len();
    let end = page.find("<!-- end of sites -->").expect("the comment after the table");
    if std::env::var_os("ASHLAR_BLESS").is_some() {
        fs::write(&path, format!("{}{table}\n{}", &page[..start], &page[end..])).unwrap();
        return;
    }
    let help = "run `ASHLAR_BLESS=1 cargo test --release -p ashlar-models --test lm docs`";
    assert_eq!(page[start..end].trim(), table.trim(), "{help}");
}
