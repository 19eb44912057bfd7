//! The report as one HTML file.

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    Error, Result,
    escape::{escape, inline, prose},
    model::{Block, Report, Section},
};

impl Report {
    /// The whole report as one self-contained HTML page.
    pub fn to_html(&self) -> String {
        let mut out = String::new();
        let title = escape(&self.title);
        let _ = write!(out, "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><h1>{title}</h1>");
        for claim in &self.claims {
            let verdict = if claim.holds { "holds" } else { "fails" };
            let _ = write!(out, "<p>{verdict}: {}</p>", inline(&claim.text));
        }
        for section in self.all_sections() {
            write_section(&mut out, section);
        }
        out
    }

    /// Writes the page to a file.
    pub fn write_html(&self, path: &Path) -> Result<()> {
        fs::write(path, self.to_html()).map_err(|source| Error::Write { path: path.to_owned(), source })
    }
}

fn write_section(out: &mut String, section: &Section) {
    let _ = write!(out, "<h2>{}</h2>{}", inline(&section.title), prose(&section.text));
    for block in &section.blocks {
        match block {
            Block::Table(table) => {
                let _ = write!(out, "<pre>{}</pre>", escape(&table.to_markdown()));
            }
            Block::Text { text } => out.push_str(&prose(text)),
            Block::Details { summary, text } => {
                let _ =
                    write!(out, "<details><summary>{}</summary><pre>{}</pre></details>", inline(summary), escape(text));
            }
            Block::Line(_) | Block::Bar(_) | Block::Heatmap(_) => {}
        }
    }
}
