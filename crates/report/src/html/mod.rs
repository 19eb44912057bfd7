//! The report as one HTML file: no scripts, no foreign requests.
//!
//! Order: headline, verdict, claims, what was run, then the sections and one page a stage. Navigation is a list of
//! links into the page (beside the text on a desktop, a row that scrolls on a phone), so it prints, works without
//! scripts, and a link to a stage can be sent.

mod claims;
mod style;

use std::{fmt::Write as _, fs, path::Path};

use crate::{
    Error, Result, Size,
    escape::{escape, inline, prose},
    model::{Block, Cell, Fact, Report, Section, Table},
    svg::Draw,
};

impl Report {
    /// The whole report as one self-contained HTML page.
    pub fn to_html(&self) -> String {
        let mut page = Writer { out: String::with_capacity(64 * 1024), plots: 0, headings: 0 };
        page.report(self);
        page.out
    }

    /// Writes [`Report::to_html`] to a file.
    pub fn write_html(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        fs::write(path, self.to_html()).map_err(|source| Error::Write { path: path.to_owned(), source })
    }
}

struct Writer {
    out: String,
    /// Plots so far; makes ids unique.
    plots: usize,
    /// Headings so far, likewise.
    headings: usize,
}

macro_rules! put {
    ($writer:expr, $($part:tt)*) => {{
        let _ = write!($writer.out, $($part)*);
    }};
}

impl Writer {
    fn report(&mut self, report: &Report) {
        let title = escape(&report.title);
        put!(self, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        put!(self, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        put!(
            self,
            "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"generator\" content=\"ashlar-report {}\">\n",
            env!("CARGO_PKG_VERSION")
        );
        put!(
            self,
            "<title>{title}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{}</style>\n</head>\n<body>\n",
            style::css()
        );
        put!(self, "<a class=\"skip\" href=\"#content\">Skip to the content</a>\n<div class=\"frame\">\n");
        self.navigation(report);
        put!(self, "<main id=\"content\">\n<header>\n<h1>{}</h1>\n", inline(&report.title));
        if !report.subtitle.is_empty() {
            put!(self, "<p class=\"lede\">{}</p>\n", inline(&report.subtitle));
        }
        put!(self, "</header>\n");
        claims::write(&mut self.out, &report.claims);
        if !report.facts.is_empty() {
            put!(self, "<section aria-labelledby=\"run\">\n<h2 id=\"run\">Run</h2>\n");
            self.facts(&report.facts);
            put!(self, "</section>\n");
        }
        for section in &report.sections {
            self.section(section, 2);
        }
        for (i, page) in report.pages.iter().enumerate() {
            let id = format!("stage-{}", i + 1);
            put!(
                self,
                "<section class=\"stage\" aria-labelledby=\"{id}\">\n<h2 id=\"{id}\"><span class=\"step\">Stage {}</span>{}</h2>\n",
                i + 1,
                inline(&page.title)
            );
            put!(self, "<div class=\"prose\">{}</div>\n", prose(&page.text));
            self.facts(&page.facts);
            for section in &page.sections {
                self.section(section, 3);
            }
            put!(self, "</section>\n");
        }
        put!(
            self,
            "<footer>Made by ashlar-report {}</footer>\n</main>\n</div>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION")
        );
    }

    /// Links to claims, run, sections and stages; left out where there are fewer than two places to go.
    fn navigation(&mut self, report: &Report) {
        let mut links: Vec<(String, String, &str)> = Vec::new();
        if !report.claims.is_empty() {
            links.push(("claims".to_owned(), "Claims".to_owned(), ""));
        }
        if !report.facts.is_empty() {
            links.push(("run".to_owned(), "Run".to_owned(), ""));
        }
        for (i, section) in report.sections.iter().enumerate().filter(|(_, s)| !s.title.is_empty()) {
            links.push((format!("s{}", i + 1), inline(&section.title), ""));
        }
        for (i, page) in report.pages.iter().enumerate() {
            links.push((format!("stage-{}", i + 1), inline(&page.title), " class=\"to-stage\""));
        }
        if links.len() < 2 {
            return;
        }
        put!(self, "<nav aria-label=\"Contents\"><ul>");
        for (id, text, class) in links {
            put!(self, "<li{class}><a href=\"#{id}\">{text}</a></li>");
        }
        put!(self, "</ul></nav>\n");
    }

    fn facts(&mut self, facts: &[Fact]) {
        if facts.is_empty() {
            return;
        }
        put!(self, "<dl class=\"facts\">\n");
        for fact in facts {
            put!(self, "<div><dt>{}</dt><dd>{}</dd></div>\n", inline(&fact.key), inline(&fact.value));
        }
        put!(self, "</dl>\n");
    }

    fn section(&mut self, section: &Section, level: usize) {
        self.headings += 1;
        let id = format!("s{}", self.headings);
        if section.title.is_empty() {
            put!(self, "<section>\n");
        } else {
            put!(
                self,
                "<section aria-labelledby=\"{id}\">\n<h{level} id=\"{id}\">{}</h{level}>\n",
                inline(&section.title)
            );
        }
        put!(self, "<div class=\"prose\">{}</div>\n", prose(&section.text));
        for block in &section.blocks {
            self.block(block);
        }
        put!(self, "</section>\n");
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Table(table) => self.table(table),
            Block::Line(plot) => self.plot(plot),
            Block::Bar(plot) => self.plot(plot),
            Block::Heatmap(plot) => self.plot(plot),
            Block::Text { text } => put!(self, "<div class=\"prose\">{}</div>\n", prose(text)),
            Block::Details { summary, text } => {
                put!(
                    self,
                    "<details><summary>{}</summary><pre tabindex=\"0\">{}</pre></details>\n",
                    inline(summary),
                    escape(text)
                );
            }
        }
    }

    fn plot(&mut self, plot: &impl Draw) {
        self.plots += 1;
        let id = format!("p{}", self.plots);
        put!(self, "<figure>\n");
        if !plot.title().is_empty() {
            put!(self, "<figcaption>{}</figcaption>\n", inline(plot.title()));
        }
        self.out.push_str(&plot.draw(Size::Wide, &format!("{id}w"), false));
        self.out.push_str(&plot.draw(Size::Narrow, &format!("{id}n"), false));
        let left_out = match plot.left_out() {
            0 => String::new(),
            1 => "1 value is not finite, or not positive on a logarithmic axis, and not shown.".to_owned(),
            n => format!("{n} values are not finite, or not positive on a logarithmic axis, and not shown."),
        };
        let note = [inline(plot.note()), left_out].join(" ");
        if !note.trim().is_empty() {
            put!(self, "\n<p class=\"note\">{}</p>", note.trim());
        }
        put!(self, "\n</figure>\n");
    }

    fn table(&mut self, table: &Table) {
        let numeric: Vec<&str> =
            (0..table.columns.len()).map(|i| if table.is_numeric(i) { " class=\"num\"" } else { "" }).collect();
        let name = if table.title.is_empty() { "Table" } else { &table.title };
        // The caption stays put while the table scrolls in its box; the box can be scrolled from the keyboard.
        put!(
            self,
            "<figure class=\"tabular\">\n<figcaption aria-hidden=\"true\">{}</figcaption>\n",
            inline(&table.title)
        );
        put!(self, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table>\n", escape(name));
        put!(self, "<caption>{}</caption>\n<thead><tr>", inline(name));
        for (column, class) in table.columns.iter().zip(&numeric) {
            put!(self, "<th scope=\"col\"{class}>{}</th>", inline(&column.name));
        }
        put!(self, "</tr></thead>\n<tbody>\n");
        for row in &table.rows {
            put!(self, "<tr>");
            for (i, column) in table.columns.iter().enumerate() {
                let cell = row.get(i).unwrap_or(&Cell::Empty);
                let class = numeric[i];
                match cell {
                    Cell::Verdict(holds) => put!(self, "<td>{}</td>", claims::badge(*holds)),
                    Cell::Text(text) if i == 0 => put!(self, "<th scope=\"row\">{}</th>", inline(text)),
                    Cell::Text(text) => put!(self, "<td{class}>{}</td>", inline(text)),
                    Cell::Range { value, low, high } => {
                        let value = escape(&column.format.show(*value));
                        let range = escape(&column.format.show_range(*low, *high));
                        put!(self, "<td{class}>{value} <span class=\"range\">{range}</span></td>");
                    }
                    other => put!(self, "<td{class}>{}</td>", escape(&other.show(column.format))),
                }
            }
            put!(self, "</tr>\n");
        }
        put!(self, "</tbody>\n</table>\n</div>\n");
        if !table.note.is_empty() {
            put!(self, "<p class=\"note\">{}</p>\n", inline(&table.note));
        }
        put!(self, "</figure>\n");
    }
}
