//! Every kind of block on invented federated-learning figures: `cargo run -p ashlar-report --example gallery -- OUT.html`.
//!
//! The curves are formulas with a little pseudo-random noise, not measurements.

use std::process::ExitCode;

use ashlar_report::{
    Axis, Band, Bar, BarPlot, BarSeries, Better, Cell, Claim, Column, Curve, Format, Heatmap, LinePlot, Op, Page,
    Reference, Report, Result, Section, Table,
};
use ashlar_stats::Interval;

fn main() -> ExitCode {
    let path = std::env::args().nth(1).unwrap_or_else(|| "gallery.html".to_owned());
    match report().and_then(|r| r.write_html(&path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The report that this example writes and the snapshot test checks.
pub fn report() -> Result<Report> {
    Ok(Report::new(
        "FetchSGD and SparseFed on the procedural images",
        "Federated training of an image classifier, compressed and attacked. The figures on this page are invented: it shows what a report looks like.",
    )
    .claim(
        Claim::new("FetchSGD ends within 0.05 of uncompressed training", 0.021, Op::AtMost, 0.05)
            .interval(Interval { low: 0.012, high: 0.03, confidence: 0.95 })
            .detail("`uncompressed.accuracy` − `sketch.accuracy`, mean of 5 seeds, bootstrap over paired seeds"),
    )
    .claim(
        Claim::new("FetchSGD downloads fewer bytes", 6.4, Op::AtLeast, 6.0)
            .format(Format::Factor)
            .detail("`download_factor`, the lowest of 5 seeds"),
    )
    .claim(
        Claim::new("SparseFed keeps the backdoor below clipping alone by at least 10 points", 0.284, Op::AtLeast, 0.1)
            .interval(Interval { low: 0.207, high: 0.361, confidence: 0.95 })
            .format(Format::Percent(1))
            .detail("`clip.backdoor` − `sparsefed.backdoor`, mean of 5 seeds"),
    )
    .claim(
        Claim::new("Neurotoxin's backdoor outlives the baseline's", -3.2, Op::Greater, 0.0)
            .interval(Interval { low: -9.1, high: 2.4, confidence: 0.95 })
            .format(Format::Fixed(1))
            .detail("Difference of mean lifespans in rounds at matched strength. No gain shows at this scale."),
    )
    .fact("data", "procedural-images, 8,000 train, 2,000 test")
    .fact("model", "small CNN, d = 50,890")
    .fact("clients", "1,600, 100 a round")
    .fact("seeds", "1 2 3 4 5")
    .fact("device", "cpu, 2 threads")
    .fact("wall time", Format::Seconds.show(94.0))
    .fact("ashlar", "0.1.0")
    .fact("config", "sha256 9f2c…41aa")
    .page(compression()?)
    .page(defence())
    .page(durability()))
}

fn compression() -> Result<Page> {
    let modes = [
        ("uncompressed", 0.93, 1.0),
        ("true top-k", 0.92, 0.93),
        ("sketch", 0.91, 0.86),
        ("local top-k", 0.885, 0.8),
        ("FedAvg", 0.84, 0.55),
    ];
    let accuracy = LinePlot {
        title: "Test accuracy".to_owned(),
        x: Axis::new("round"),
        y: Axis::new("accuracy").format(Format::Percent(0)).include([0.0, 1.0]),
        curves: modes
            .iter()
            .map(|(name, end, speed)| Curve::over_seeds(*name, &seeds(*end, *speed), Band::Range))
            .collect(),
        references: vec![
            Reference::Y { at: 0.1, label: "chance".to_owned() },
            Reference::X { at: 40.0, label: "peak learning rate".to_owned() },
        ],
        note: "Mean of 5 seeds; bands span the lowest to the highest seed.".to_owned(),
    };
    let loss = LinePlot {
        title: "Training loss against bytes uploaded by one client".to_owned(),
        x: Axis::new("bytes uploaded").log().format(Format::Bytes),
        y: Axis::new("cross-entropy").log(),
        curves: [("uncompressed", 2.0e5), ("sketch", 3.2e4), ("local top-k", 8.0e3)]
            .iter()
            .enumerate()
            .map(|(i, (name, bytes))| {
                let point =
                    |t: u32| (f64::from(t) * bytes, 2.3 * (-f64::from(t) / (30.0 + 8.0 * i as f64)).exp() + 0.03);
                Curve::new(*name, (1..=160).map(point))
            })
            .collect(),
        ..LinePlot::default()
    };
    let mut table = Table::new(
        "Modes at their best learning rate",
        [
            Column::from("mode"),
            Column::new("learning rate", Format::Auto),
            Column::new("accuracy", Format::Percent(1)),
            Column::new("upload", Format::Bytes),
            Column::new("download", Format::Bytes),
            Column::new("upload factor", Format::Factor),
            Column::new("download factor", Format::Factor),
            Column::from("within 0.05"),
        ],
    );
    for (i, (name, end, _)) in modes.iter().enumerate() {
        let up = [1.0, 1.0, 6.25, 24.4, 1.0][i];
        let down = [1.0, 6.4, 6.4, 4.1, 1.0][i];
        let bytes = 203_560.0 * 160.0;
        table.push([
            Cell::from(*name),
            [0.1, 0.1, 0.3, 0.1, 0.05][i].into(),
            Cell::Range { value: *end, low: end - 0.012, high: end + 0.009 },
            (bytes / up).into(),
            (bytes / down).into(),
            up.into(),
            down.into(),
            (0.93 - end <= 0.05).into(),
        ])?;
    }
    let table =
        table.note("Intervals are bootstrap, 95 %, over seeds. Bytes are for one client over the whole run, as sent.");
    Ok(Page::new("Compression", "Uncompressed training against FetchSGD and its relatives, with one learning-rate grid for all.")
        .fact("command", "`fl-core train`")
        .fact("grid", "server.lr ∈ {0.05, 0.1, 0.3}")
        .section(Section::new("Accuracy", "").block(accuracy).block(loss))
        .section(
            Section::new("All modes", "What this does not show: at this scale no mode beats `local_topk` in total bytes.")
                .block(table)
                .details("config.toml", "[data]\nname = \"procedural-images\"\n\n[model]\narch = \"small-cnn\"\n\n[server]\nmode = \"sketch\"\nrows = 5\ncols = 4000\nk = 500\n"),
        ))
}

fn defence() -> Page {
    let attacks = ["none", "baseline", "model replacement", "PGD", "Neurotoxin"];
    let defences = ["none", "clipping", "weak DP", "SparseFed", "median", "trimmed mean", "Multi-Krum"];
    let success = [
        [0.02, 0.02, 0.03, 0.01, 0.02, 0.02, 0.02],
        [0.94, 0.51, 0.48, 0.22, 0.31, 0.37, 0.04],
        [0.99, 0.56, 0.50, 0.25, 0.33, 0.41, 0.05],
        [0.91, 0.60, 0.57, 0.31, 0.44, 0.49, 0.09],
        [0.93, 0.58, 0.55, 0.34, f64::NAN, 0.47, 0.12],
    ];
    let matrix = Heatmap {
        title: "Attack success by defence".to_owned(),
        row_label: "attack".to_owned(),
        column_label: "defence".to_owned(),
        rows: attacks.map(str::to_owned).to_vec(),
        columns: defences.map(str::to_owned).to_vec(),
        values: success.iter().map(|r| r.to_vec()).collect(),
        format: Format::Fixed(2),
        range: Some((0.0, 1.0)),
        better: Better::Low,
        note: "Share of backdoored test images that the model gives the attacker's label. One cell did not finish."
            .to_owned(),
    };
    let bars = BarPlot {
        title: "Backdoor and main accuracy, setting B".to_owned(),
        value: Axis::new("accuracy").format(Format::Percent(1)).include([1.0]),
        categories: ["clipping alone", "SparseFed, k = 200", "SparseFed, k = 1,000", "Multi-Krum"]
            .map(str::to_owned)
            .to_vec(),
        series: vec![
            series("backdoor", &[(0.506, 0.05), (0.222, 0.06), (0.395, 0.07), (0.04, 0.02)]),
            series("main task", &[(0.913, 0.006), (0.901, 0.008), (0.909, 0.007), (0.887, 0.011)]),
        ],
        references: vec![Reference::Y { at: 0.1, label: "chance".to_owned() }],
        note: "Means of 5 seeds with 95 % bootstrap intervals.".to_owned(),
    };
    let time = BarPlot {
        title: "Time of one aggregation".to_owned(),
        value: Axis::new("time").format(Format::Seconds),
        categories: ["mean", "median", "trimmed mean", "Multi-Krum"].map(str::to_owned).to_vec(),
        series: vec![BarSeries { name: String::new(), bars: [0.0007, 0.041, 0.046, 0.019].map(Bar::from).to_vec() }],
        ..BarPlot::default()
    };
    Page::new("Defences", "A semantic backdoor by 5 % of the clients, in every round.\n\nMulti-Krum beats SparseFed here, and the table says so.")
        .section(Section::new("Matrix", "").block(matrix))
        .section(Section::new("Setting B", "").block(bars).block(time))
}

fn durability() -> Page {
    let decay = |name: &str, life: f64, seed: u32| {
        let runs: Vec<Vec<(f64, f64)>> = (0..5)
            .map(|s| {
                (0..=60)
                    .map(|t| (f64::from(t * 2), 0.9 * (-f64::from(t * 2) / life).exp() + noise(seed + s, t) * 0.12))
                    .collect()
            })
            .collect();
        Curve::over_seeds(name, &runs, Band::Mean95)
    };
    let plot = LinePlot {
        title: "Backdoor accuracy after the attack stops".to_owned(),
        x: Axis::new("rounds since the last poisoned update"),
        y: Axis::new("backdoor accuracy").include([0.0, 1.0]),
        curves: vec![decay("baseline", 60.0, 10), decay("Neurotoxin", 54.0, 20)],
        references: vec![Reference::Y { at: 0.5, label: "lifespan ends".to_owned() }],
        note: "Bands are Student's 95 % intervals of the mean over 5 seeds.".to_owned(),
    };
    Page::new("Durability", "").section(Section::new("Lifespan", "").block(plot))
}

fn seeds(end: f64, speed: f64) -> Vec<Vec<(f64, f64)>> {
    let at = |seed: u32, t: u32| {
        let progress = 1.0 - (-f64::from(t) * speed / 28.0).exp();
        let wobble = noise(seed, t) * 0.05 * (1.0 - 0.6 * progress);
        (f64::from(t), (0.1 + (end - 0.1) * progress + wobble).clamp(0.0, 1.0))
    };
    (0..5).map(|seed| (0..=160).step_by(4).map(|t| at(seed + (end * 1000.0) as u32, t)).collect()).collect()
}

fn series(name: &str, values: &[(f64, f64)]) -> BarSeries {
    let bar = |(value, half): &(f64, f64)| Bar { value: *value, error: Some((value - half, value + half)) };
    BarSeries { name: name.to_owned(), bars: values.iter().map(bar).collect() }
}

/// Uniform in [-0.5, 0.5), the same everywhere.
fn noise(seed: u32, t: u32) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9) ^ t.wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    f64::from(x ^ (x >> 16)) / f64::from(u32::MAX) - 0.5
}
