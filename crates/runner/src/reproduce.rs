//! `ashlar reproduce`: the papers, and the experiment that repeats each in small.

use ashlar_cli::{Answer, Failure, Format, config::Source, stage::StageCommand, suggest::nearest};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    library,
    papers::{self, PAPERS, Paper},
    run::{How, Started, start},
};

/// Arguments of `ashlar reproduce`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  ashlar reproduce --list\n  ashlar reproduce fetchsgd\n  \
ashlar reproduce sparsefed --format json")]
pub struct ReproduceCommand {
    /// A paper's name.
    #[arg(value_name = "NAME", required_unless_present = "list", conflicts_with = "list")]
    pub paper: Option<String>,
    /// List the papers: title, crate, claim, and whether the experiment is built.
    #[arg(long)]
    pub list: bool,
    /// How to run it.
    #[command(flatten)]
    pub how: How,
}

/// Runs `ashlar reproduce`.
///
/// # Errors
/// Exit code 2 for an unknown paper, one without an experiment, or missing data.
pub fn run(command: &ReproduceCommand, format: Format, commands: &[StageCommand]) -> Result<Answer, Failure> {
    let Some(name) = command.paper.as_deref().filter(|_| !command.list) else { return Ok(list()) };
    let paper = papers::find(name).ok_or_else(|| unknown(name))?;
    let Some(embedded) = library::find(paper.name) else { return Err(not_built(paper)) };
    let source = Source { origin: format!("{name}.toml (embedded)"), text: embedded.text.to_owned() };
    let finished = match start(&source, &command.how, commands)? {
        Started::Printed(toml) => return Ok(Answer::plain(toml)),
        Started::Finished(finished) => finished,
    };
    if format == Format::Json
        && let Some(report) = finished.json["report"].as_str()
    {
        tracing::info!("report: {report}");
    }
    let (mut measured, mut threshold) = (Map::new(), Map::new());
    for verdict in &finished.verdicts {
        let key = free_key(&measured, &verdict.claim.metric);
        measured.insert(key.clone(), json!(verdict.measured));
        if verdict.claim.gate {
            threshold.insert(key, json!(verdict.threshold));
        }
    }
    let json = json!({
        "paper": paper.name, "claim": paper.claim, "measured": measured, "threshold": threshold,
        "holds": finished.holds(), "wall_s": finished.wall_s,
    });
    let exit = finished.exit();
    Ok(Answer::new(json, finished.text).with_exit(exit))
}

/// The metric, numbered where several claims are about it.
fn free_key(taken: &Map<String, Value>, metric: &str) -> String {
    let taken_by = taken.keys().filter(|key| *key == metric || key.starts_with(&format!("{metric} ("))).count();
    if taken_by == 0 { metric.to_owned() } else { format!("{metric} ({})", taken_by + 1) }
}

fn list() -> Answer {
    let json: Vec<Value> = PAPERS
        .iter()
        .map(|paper| {
            json!({
                "paper": paper.name, "title": paper.title, "crate": paper.krate, "claim": paper.claim,
                "ready": paper.ready(),
            })
        })
        .collect();
    let mut text = String::new();
    for paper in PAPERS {
        let state = if paper.ready() { "ready" } else { "not built yet" };
        text.push_str(&format!(
            "{:<22} {:<13} {state}\n    {}\n    {}\n",
            paper.name, paper.krate, paper.title, paper.claim
        ));
        if paper.ready() {
            let name = paper.name;
            text.push_str(&format!("    experiments/{name}.toml; differs from the paper: {}\n", paper.differs));
        }
    }
    Answer::new(Value::Array(json), text)
}

fn ready() -> String {
    PAPERS.iter().filter(|paper| paper.ready()).map(|paper| paper.name).collect::<Vec<_>>().join(", ")
}

fn unknown(name: &str) -> Failure {
    let near = nearest(name, PAPERS.iter().map(|paper| paper.name));
    Failure::usage(format!("there is no paper `{name}`")).help(match near {
        Some(near) => format!("did you mean `{near}`? `ashlar reproduce --list` lists them"),
        None => "`ashlar reproduce --list` lists them".to_owned(),
    })
}

fn not_built(paper: &Paper) -> Failure {
    Failure::usage(format!("the experiment of `{}` ({}) is not built yet", paper.name, paper.title))
        .help(format!("ready: {}", ready()))
}
