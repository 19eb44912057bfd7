//! Any data, however odd, gives a well-formed picture whose text stays inside it.

use proptest::prelude::*;

use super::{Draw, Size, text};
use crate::{
    Format,
    model::{Axis, Bar, BarPlot, BarSeries, Better, Curve, Heatmap, LinePlot, Point, Reference, Scale},
};

/// Checks tags, attributes, entities and characters, and hands every text element to `seen` as (attributes, text).
fn well_formed(svg: &str, mut seen: impl FnMut(&str, &str)) -> Result<(), String> {
    let mut stack: Vec<(&str, &str)> = Vec::new();
    let mut rest = svg;
    if let Some(c) = svg.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(format!("control character {c:?}"));
    }
    while let Some(at) = rest.find('<') {
        let (content, tail) = rest.split_at(at);
        if content.contains('>') && !stack.iter().any(|s| s.0 == "style") {
            return Err(format!("stray > in {content:?}"));
        }
        for entity in content.split('&').skip(1) {
            let name = entity.split(';').next().unwrap_or("");
            if !["amp", "lt", "gt", "quot", "#39"].contains(&name) {
                return Err(format!("entity {name:?}"));
            }
        }
        if let Some(("text", attributes)) = stack.last() {
            seen(attributes, content);
        }
        let end = tail.find('>').ok_or("no end of tag")?;
        let tag = &tail[1..end];
        rest = &tail[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            match stack.pop() {
                Some((open, _)) if open == name => {}
                open => return Err(format!("{open:?} closed by {name}")),
            }
            continue;
        }
        let closed = tag.ends_with('/');
        let tag = tag.trim_end_matches('/');
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        if attributes.matches('"').count() % 2 != 0 || attributes.contains("NaN") || attributes.contains("inf") {
            return Err(format!("attributes {attributes:?}"));
        }
        if !closed {
            stack.push((name, attributes));
        }
    }
    if stack.is_empty() { Ok(()) } else { Err(format!("left open: {stack:?}")) }
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = attributes.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

fn check(plot: &impl Draw) {
    for size in [Size::Wide, Size::Narrow] {
        let (w, font) = (size.width(), size.font());
        let svg = plot.draw(size, "p", true);
        let turned = svg.contains("rotate(-90)");
        let inside = |attributes: &str, words: &str| {
            let Some(x) =
                attribute(attributes, " x").or_else(|| attribute(attributes, "x")).and_then(|x| x.parse::<f64>().ok())
            else {
                return;
            };
            let width = text::width(&unescaped(words), font);
            let start = match attribute(attributes, "text-anchor") {
                Some("middle") => x - width / 2.0,
                Some("end") => x - width,
                _ => x,
            };
            assert!(
                start >= -3.0 && (turned || start + width <= w + 3.0),
                "{words:?} spans {start}..{} of {w}",
                start + width
            );
        };
        if let Err(why) = well_formed(&svg, inside) {
            panic!("{why}\n{svg}");
        }
        assert!(svg.contains("role=\"img\"") && svg.contains("<desc id=\"p-d\">"));
    }
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0f64,
        2 => 0.0..1e9f64,
        1 => any::<f64>(),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, f64::MAX, f64::MIN, 5e-324, 1e300, 1.0])
    ]
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-zA-Z ]{0,12}",
        2 => any::<String>(),
        1 => "[\\x00-\\x7f]{60,200}",
        1 => prop::sample::select(vec!["</svg><script>alert(1)</script>", "a & b \"c\" 'd'", "]]>", "数据集的名字很长很长很长", "\u{fffe}\u{0}"]).prop_map(String::from)
    ]
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![
        Just(Format::Auto),
        (0u8..30).prop_map(Format::Fixed),
        (0u8..6).prop_map(Format::Percent),
        Just(Format::Count),
        Just(Format::Bytes),
        Just(Format::Seconds),
        Just(Format::Factor)
    ]
}

fn axis() -> impl Strategy<Value = Axis> {
    (label(), any::<bool>(), format(), prop::collection::vec(number(), 0..3)).prop_map(
        |(label, log, format, include)| Axis {
            label,
            scale: if log { Scale::Log } else { Scale::Linear },
            format,
            include,
        },
    )
}

fn references() -> impl Strategy<Value = Vec<Reference>> {
    let one = (any::<bool>(), number(), label())
        .prop_map(|(x, at, label)| if x { Reference::X { at, label } } else { Reference::Y { at, label } });
    prop::collection::vec(one, 0..4)
}

fn point() -> impl Strategy<Value = Point> {
    (number(), number(), prop::option::of((number(), number()))).prop_map(|(x, y, band)| Point { x, y, band })
}

#[test]
fn a_heatmap_of_infinities_alone() {
    check(&Heatmap {
        title: String::new(),
        rows: vec!["row".to_owned()],
        columns: vec!["column".to_owned(); 2],
        values: vec![vec![f64::INFINITY, f64::NEG_INFINITY]],
        format: Format::Auto,
        range: None,
        better: Better::Neither,
        row_label: String::new(),
        column_label: String::new(),
        note: String::new(),
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn line_plots(title in label(), x in axis(), y in axis(), references in references(),
                  curves in prop::collection::vec((label(), prop::collection::vec(point(), 0..12)), 0..12)) {
        let curves = curves.into_iter().map(|(name, points)| Curve { name, points }).collect();
        check(&LinePlot { title, x, y, curves, references, note: String::new() });
    }

    #[test]
    fn bar_plots(title in label(), value in axis(), references in references(), categories in prop::collection::vec(label(), 0..6),
                 series in prop::collection::vec((label(), prop::collection::vec((number(), prop::option::of((number(), number()))), 0..8)), 0..4)) {
        let series = series.into_iter().map(|(name, bars)| BarSeries { name, bars: bars.into_iter().map(|(value, error)| Bar { value, error }).collect() }).collect();
        check(&BarPlot { title, value, categories, series, references, note: String::new() });
    }

    #[test]
    fn heatmaps(title in label(), rows in prop::collection::vec(label(), 0..6), columns in prop::collection::vec(label(), 0..12),
                values in prop::collection::vec(prop::collection::vec(number(), 0..14), 0..8), format in format(),
                range in prop::option::of((number(), number())),
                better in prop::sample::select(vec![Better::Neither, Better::High, Better::Low]), row_label in label(), column_label in label()) {
        check(&Heatmap { title, row_label, column_label, rows, columns, values, format, range, better, note: String::new() });
    }
}

#[test]
fn nothing_to_draw_says_so() {
    let line = LinePlot { curves: vec![Curve::new("a", [(0.0, f64::NAN)])], ..LinePlot::default() };
    check(&line);
    assert!(line.to_svg(Size::Wide).contains("no data"));
    assert_eq!(line.left_out(), 1);
    check(&LinePlot::default());
    check(&BarPlot::default());
    check(&Heatmap::default());
}

#[test]
fn a_gap_breaks_the_line_and_long_curves_are_thinned() {
    let gap = LinePlot {
        curves: vec![Curve::new("a", [(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 2.0)])],
        ..LinePlot::default()
    };
    assert_eq!(gap.to_svg(Size::Wide).matches("class=\"curve").count(), 2);
    let long = LinePlot {
        curves: vec![Curve::new("a", (0..200_000).map(|i| (f64::from(i), f64::from(i).sin())))],
        ..LinePlot::default()
    };
    check(&long);
    let len = long.to_svg(Size::Wide).len();
    assert!(len < 60_000, "{len} bytes");
}

#[test]
fn log_axes_leave_out_and_count_what_is_not_positive() {
    let plot = LinePlot {
        y: Axis::new("loss").log(),
        curves: vec![Curve::new("a", [(0.0, 1.0), (1.0, 0.0), (2.0, -1.0)])],
        ..LinePlot::default()
    };
    assert_eq!(plot.left_out(), 2);
    check(&plot);
}
