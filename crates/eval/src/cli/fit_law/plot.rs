//! Figures.

use std::collections::BTreeMap;

use ashlar_cli::Failure;
use ashlar_report::{Axis, Bar, BarPlot, BarSeries, Curve, Format, LinePlot, Point, Reference, Size};
use ashlar_stats::quantiles;

use crate::law::{Envelope, Fit, Points, Resource, Variable, sweep::SweepRow};

/// Bins of a band.
const BINS: usize = 24;

/// Losses over compute, the frontier through them.
pub fn envelope(points: &Points, resource: Resource, envelope: &Envelope) -> Result<String, Failure> {
    let (points, _) = points.trained()?;
    let (spent, loss) = (points.resource(resource)?, points.loss()?);
    let rows: Vec<(f64, f64)> = spent.iter().map(|r| r.ln()).zip(loss).collect();
    let mut all = band("all rows, median and range", &rows, [0.0, 0.5, 1.0])?;
    all.points.iter_mut().for_each(|point| point.x = point.x.exp());
    let frontier = Curve::new("frontier", envelope.points.iter().map(|p| (p.resource, p.loss)));
    let unit = match resource {
        Resource::Flops => "training FLOPs",
        Resource::GpuHours => "GPU-hours",
    };
    let plot = LinePlot {
        title: "Loss over compute, and its frontier".to_owned(),
        x: Axis::new(unit).log(),
        y: Axis::new("loss (nats a token)").log(),
        curves: vec![all, frontier],
        note: format!(
            "{} of {} rows are on the frontier; the target grows as compute to the {:.3}.",
            envelope.points.len(),
            envelope.n_rows,
            envelope.coef
        ),
        ..LinePlot::default()
    };
    Ok(plot.to_svg(Size::Wide))
}

/// The law beside the measurements: over tokens for a few models where each has been measured along its training, else
/// the residuals over the law's loss.
pub fn parametric(fit: &Fit) -> Result<String, Failure> {
    let plot = match training_curves(fit) {
        Some(plot) => plot,
        None => residuals(fit)?,
    };
    Ok(plot.to_svg(Size::Wide))
}

fn training_curves(fit: &Fit) -> Option<LinePlot> {
    let tokens = fit.vars.iter().position(|&var| var == Variable::Tokens)?;
    // Rows of each model: whatever its variables but tokens are.
    let mut models: BTreeMap<Vec<u64>, Vec<usize>> = BTreeMap::new();
    for row in 0..fit.n {
        let others = fit.columns.iter().enumerate().filter(|(at, _)| *at != tokens);
        // Positive floats sort as their bits do.
        models.entry(others.map(|(_, column)| column[row].to_bits()).collect()).or_default().push(row);
    }
    let mut models: Vec<(Vec<u64>, Vec<usize>)> = models.into_iter().filter(|(_, rows)| rows.len() >= 5).collect();
    if models.len() < 2 {
        return None;
    }
    let last = models.len() - 1;
    let mut shown: Vec<usize> = vec![0, last / 2, last];
    shown.dedup();
    let mut curves = Vec::new();
    for at in shown {
        let (bits, rows) = &mut models[at];
        rows.sort_by(|&a, &b| fit.columns[tokens][a].total_cmp(&fit.columns[tokens][b]));
        let names = fit.vars.iter().filter(|&&var| var != Variable::Tokens).zip(bits.iter());
        let name: Vec<String> = names.map(|(var, bits)| format!("{var} {}", size(f64::from_bits(*bits)))).collect();
        let name = name.join(", ");
        let values = |row: usize| fit.columns.iter().map(|column| column[row]).collect::<Vec<_>>();
        let measured = rows.iter().map(|&row| (fit.columns[tokens][row], fit.losses[row]));
        curves.push(Curve::new(format!("{name}: measured"), measured));
        let law = rows.iter().map(|&row| (fit.columns[tokens][row], fit.predict(&values(row))));
        curves.push(Curve::new(format!("{name}: law"), law));
    }
    Some(LinePlot {
        title: "The law beside the measurements".to_owned(),
        x: Axis::new("tokens").log(),
        y: Axis::new("loss (nats a token)").log(),
        curves,
        note: format!("The smallest, middle and largest of {} models.", models.len()),
        ..LinePlot::default()
    })
}

fn size(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.2} B", v / 1e9),
        v if v >= 1e6 => format!("{:.0} M", v / 1e6),
        v => format!("{v}"),
    }
}

fn residuals(fit: &Fit) -> Result<LinePlot, Failure> {
    let values = |row: usize| fit.columns.iter().map(|column| column[row]).collect::<Vec<_>>();
    let rows: Vec<(f64, f64)> = (0..fit.n)
        .map(|row| {
            let law = fit.predict(&values(row));
            (law, fit.losses[row] / law - 1.0)
        })
        .collect();
    Ok(LinePlot {
        title: "Measured loss over the law's".to_owned(),
        x: Axis::new("the law's loss (nats a token)"),
        y: Axis::new("measured / law − 1").format(Format::Percent(1)),
        curves: vec![band("median, and 90 % of the rows", &rows, [0.05, 0.5, 0.95])?],
        references: vec![Reference::Y { at: 0.0, label: "the law".to_owned() }],
        note: String::new(),
    })
}

/// Rows in bins of x: quantiles low, middle and high of y in each.
fn band(name: &str, rows: &[(f64, f64)], quantile: [f64; 3]) -> Result<Curve, Failure> {
    let low = rows.iter().map(|row| row.0).fold(f64::INFINITY, f64::min);
    let high = rows.iter().map(|row| row.0).fold(f64::NEG_INFINITY, f64::max);
    let width = (high - low) / BINS as f64;
    let mut bins: Vec<Vec<f64>> = vec![Vec::new(); BINS];
    for (x, y) in rows {
        let bin = if width > 0.0 { ((x - low) / width) as usize } else { 0 };
        bins[bin.min(BINS - 1)].push(*y);
    }
    let mut points = Vec::new();
    for (at, bin) in bins.iter().enumerate().filter(|(_, bin)| !bin.is_empty()) {
        let q = quantiles(bin, &quantile).map_err(crate::Error::from)?;
        points.push(Point { x: low + (at as f64 + 0.5) * width, y: q[1], band: Some((q[0], q[2])) });
    }
    Ok(Curve { name: name.to_owned(), points })
}

/// The exponents of every table of a folder.
pub fn sweep(rows: &[SweepRow], resource: &str, target: &str) -> String {
    let fitted: Vec<&SweepRow> = rows.iter().filter(|row| row.envelope.is_ok()).collect();
    let bars = |value: &dyn Fn(&SweepRow) -> Option<f64>| -> Vec<Bar> {
        fitted.iter().map(|row| Bar::from(value(row).unwrap_or(f64::NAN))).collect()
    };
    let mut series = vec![BarSeries {
        name: "all parameters".to_owned(),
        bars: bars(&|row| row.envelope.as_ref().ok().map(|e| e.coef)),
    }];
    if target != "tokens" && fitted.iter().any(|row| row.no_embeds.is_some()) {
        let bars = bars(&|row| row.no_embeds.as_ref().map(|e| e.coef));
        series.push(BarSeries { name: "without embeddings".to_owned(), bars });
    }
    let plot = BarPlot {
        title: format!("Exponent of {target} over {resource}, by table"),
        value: Axis::new("exponent").format(Format::Fixed(3)),
        categories: fitted.iter().map(|row| short(&row.file).to_owned()).collect(),
        series,
        references: vec![Reference::Y { at: 0.5, label: "½: Chinchilla's rule".to_owned() }],
        note: String::new(),
    };
    plot.to_svg(Size::Wide)
}

/// A file's name without what all of Gemstones' share.
pub fn short(file: &str) -> &str {
    let name = file.strip_prefix("wandb_df_for_fitting_").unwrap_or(file);
    name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".csv")).unwrap_or(name)
}
