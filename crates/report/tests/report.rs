//! The page as a whole: a snapshot of the gallery, hostile text, exports, the round trip through JSON.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too")]

use std::fmt::Write as _;

use ashlar_report::{
    Axis, Bar, BarPlot, BarSeries, Block, Cell, Claim, Column, Curve, Error, Fact, Format, Heatmap, LinePlot, Op, Page,
    Reference, Report, Section, Table,
};
use proptest::prelude::*;

#[allow(dead_code)]
#[path = "../examples/gallery.rs"]
mod gallery;

/// The page without its style sheet and without what plots draw, a tag a line: stable on every platform.
fn outline(html: &str) -> String {
    let (head, rest) = html.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    let mut out = String::from(head);
    let mut rest = body;
    while let Some((before, svg)) = rest.split_once("<svg") {
        out.push_str(before);
        let (svg, after) = svg.split_once("</svg>").unwrap();
        let class = svg.split("class=\"").nth(1).and_then(|c| c.split('"').next()).unwrap_or("");
        let _ = write!(out, "<svg {class}>");
        if let Some((_, title)) = svg.split_once("<title id=") {
            let title = title.split_once('>').unwrap().1.split("</title>").next().unwrap();
            let _ = writeln!(out, "{title}</svg>");
        }
        rest = after;
    }
    out.push_str(rest);
    out.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

#[test]
fn the_gallery_looks_as_it_did() {
    let report = gallery::report().unwrap();
    insta::assert_snapshot!("gallery", outline(&report.to_html()));
    let table = report.tables().next().unwrap();
    insta::assert_snapshot!("gallery_markdown", table.to_markdown());
    insta::assert_snapshot!("gallery_csv", table.to_csv().replace("\r\n", "\n"));
}

#[test]
fn a_report_survives_json() {
    let report = gallery::report().unwrap();
    let text = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    // NaN differs from itself; the text does not.
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    assert_eq!(back.to_html(), report.to_html());
    let claim = Claim::new("x", f64::NAN, Op::AtLeast, f64::INFINITY);
    let back: Claim = serde_json::from_str(&serde_json::to_string(&claim).unwrap()).unwrap();
    assert!(back.measured.is_nan() && back.threshold == f64::INFINITY && !back.holds && back.op == Op::AtLeast);
}

#[test]
fn the_page_needs_nothing_else() {
    let html = gallery::report().unwrap().to_html();
    let without_namespace = html.replace("http://www.w3.org/2000/svg", "");
    for foreign in ["http://", "https://", "<script", "@import", "url(", "<iframe", " src="] {
        assert!(!without_namespace.contains(foreign), "{foreign}");
    }
    let ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|s| s.split('"').next()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "ids repeat");
    for target in html.split("href=\"#").skip(1).filter_map(|s| s.split('"').next()) {
        assert!(ids.contains(&target), "a link leads to #{target}, which is nowhere");
    }
    for target in
        html.split("aria-labelledby=\"").skip(1).filter_map(|s| s.split('"').next()).flat_map(|s| s.split(' '))
    {
        assert!(ids.contains(&target), "a label refers to #{target}, which is nowhere");
    }
}

const HOSTILE: &str = "\"><img src=x onerror=alert(1)></title></style><script>alert(2)</script> ' onload='x & `<b>` \0";

/// A report with the same text in every place that takes text.
fn everywhere(text: &str, v: f64) -> Report {
    let t = || text.to_owned();
    let mut table = Table::new(t(), [Column::from(text), Column::new(t(), Format::Percent(1))]).note(t());
    table.push([Cell::from(text), Cell::Range { value: v, low: v, high: v }]).unwrap();
    table.push([Cell::from(true), Cell::from(text)]).unwrap();
    let axis = || Axis::new(t());
    let line = LinePlot {
        title: t(),
        x: axis(),
        y: axis(),
        curves: vec![Curve::new(t(), [(0.0, v), (1.0, 1.0)])],
        references: vec![Reference::X { at: v, label: t() }, Reference::Y { at: v, label: t() }],
        note: t(),
    };
    let bar = BarPlot {
        title: t(),
        value: axis(),
        categories: vec![t()],
        series: vec![BarSeries { name: t(), bars: vec![Bar::from(v)] }, BarSeries { name: t(), bars: vec![] }],
        references: vec![],
        note: t(),
    };
    let map = Heatmap {
        title: t(),
        row_label: t(),
        column_label: t(),
        rows: vec![t()],
        columns: vec![t()],
        values: vec![vec![v]],
        note: t(),
        ..Heatmap::default()
    };
    let section = Section::new(t(), t()).block(table).block(line).block(bar).block(map).text(t()).details(t(), t());
    let claim = Claim::new(t(), v, Op::AtMost, v).detail(t());
    Report::new(t(), t())
        .fact(t(), t())
        .claim(claim)
        .section(section.clone())
        .page(Page { facts: vec![Fact::new(t(), t())], ..Page::new(t(), t()).section(section) })
}

#[test]
fn hostile_text_never_becomes_markup() {
    let html = everywhere(HOSTILE, 0.5).to_html();
    assert!(!html.contains("<img") && !html.contains("<script") && !html.contains('\0'));
    assert_eq!(html.matches("</style>").count(), 1);
    assert_eq!(html.matches("</title>").count(), html.matches("<title").count());
    // Every quote that HOSTILE brings is escaped, so no attribute can end early.
    assert!(!html.contains("\"><img") && !html.contains("' onload="));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_text_and_number_render(text: String, v: f64) {
        let report = everywhere(&text, v);
        let html = report.to_html();
        prop_assert!(html.ends_with("</html>\n"));
        for tag in ["section", "figure", "table", "svg", "p", "dl", "dd", "li", "td"] {
            let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            prop_assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{}", tag);
        }
        for table in report.tables() {
            let _ = (table.to_markdown(), table.to_json());
        }
    }

    #[test]
    fn csv_reads_back(rows in prop::collection::vec(prop::collection::vec(any::<String>(), 3), 0..5)) {
        let mut table = Table::new("t", ["a,b", "c\"d", "e\r\nf"]);
        for row in &rows {
            table.push(row.iter().map(|s| Cell::from(s.as_str()))).unwrap();
        }
        let mut expected = vec![vec!["a,b".to_owned(), "c\"d".to_owned(), "e\r\nf".to_owned()]];
        expected.extend(rows);
        prop_assert_eq!(read_csv(&table.to_csv()), expected);
    }
}

/// A reader of RFC 4180.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut field)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {
                chars.next();
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            c => field.push(c),
        }
    }
    records
}

#[test]
fn tables_export_numbers_in_full() {
    let mut table =
        Table::new("t", [Column::from("mode"), Column::new("accuracy", Format::Percent(1)), Column::from("ok")]);
    table
        .push([Cell::from("a|b"), Cell::Range { value: 0.1 + 0.2, low: 0.25, high: f64::NAN }, Cell::from(true)])
        .unwrap();
    table.push([Cell::from("c"), Cell::Empty, Cell::from(false)]).unwrap();
    assert_eq!(
        table.to_csv(),
        "mode,accuracy,accuracy_low,accuracy_high,ok\r\na|b,0.30000000000000004,0.25,NaN,true\r\nc,,,,false\r\n"
    );
    let markdown = "\
| mode |           accuracy | ok  |
|------|-------------------:|-----|
| a\\|b | 30.0 % [25.0, NaN] | ✓   |
| c    |                  – | ✗   |
";
    assert_eq!(table.to_markdown(), markdown);
    assert_eq!(table.to_json()[0]["accuracy"]["value"], 0.1 + 0.2);
    assert!(table.to_json()[0]["accuracy"]["high"].is_null() && table.to_json()[1]["accuracy"].is_null());
}

#[test]
fn mistakes_are_typed() {
    let mut table = Table::new("modes", ["a", "b"]);
    let error = table.push(["1"]).unwrap_err();
    assert!(matches!(&error, Error::Row { expected: 2, found: 1, .. }) && error.is_input());
    assert_eq!(error.to_string(), "a row of table 'modes' has 1 cells, its columns need 2");
    let error = "=<".parse::<Op>().unwrap_err();
    assert_eq!(error.to_string(), "unknown comparison '=<': use one of <, <=, >, >=, ==, !=");
    let folder = tempfile::tempdir().unwrap();
    let error = Report::new("t", "").write_html(folder.path()).unwrap_err();
    assert!(matches!(&error, Error::Write { .. }) && !error.is_input());
    Report::new("t", "").write_html(folder.path().join("r.html")).unwrap();
}

#[test]
fn verdicts_follow_the_numbers() {
    let holds = |op: Op| [op.holds(1.0, 2.0), op.holds(2.0, 2.0), op.holds(3.0, 2.0), op.holds(f64::NAN, 2.0)];
    assert_eq!(holds(Op::Less), [true, false, false, false]);
    assert_eq!(holds(Op::AtMost), [true, true, false, false]);
    assert_eq!(holds(Op::Greater), [false, false, true, false]);
    assert_eq!(holds(Op::AtLeast), [false, true, true, false]);
    assert_eq!(holds(Op::Equal), [false, true, false, false]);
    assert_eq!(holds(Op::NotEqual), [true, false, true, false]);
    for text in ["<", "<=", ">", ">=", "==", "!="] {
        assert_eq!(text.parse::<Op>().unwrap().to_string(), text);
    }
    assert!(Report::default().holds());
    assert!(matches!(Block::from(Table::default()), Block::Table(_)));
}
