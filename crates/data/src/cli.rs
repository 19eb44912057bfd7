//! `ashlar data`: list, fetch and look at data sets.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use ashlar_cli::{Answer, Failure, GlobalArgs, config, suggest};
use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use crate::{
    DataSpec, Error, LabelledSet, TextSet,
    catalog::{self, Kind},
    load, load_text, paths, procedural,
};

/// The command `ashlar data`.
#[derive(Args, Clone, Debug)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// List the sets that have names, and the formats that files can have.
    #[command(after_help = "Example:\n  ashlar data list --format json")]
    List,
    /// Download a set into the cache folder: checked against its SHA-256, continued after a break.
    #[command(after_help = "Example:\n  ashlar data fetch mnist\n  ASHLAR_CACHE=/big/disk ashlar data fetch cifar10")]
    Fetch(FetchArgs),
    /// Say what is in a set: shape, classes, sizes.
    #[command(
        after_help = "Examples:\n  ashlar data info procedural-images\n  ashlar data info flowers.csv --set label=species\n  \
                      ashlar data info pictures/ --set size=32\n  ashlar data info chats.jsonl --set 'text=[\"question\"]'"
    )]
    Info(InfoArgs),
}

#[derive(Args, Clone, Debug)]
struct FetchArgs {
    /// A set's name, as `ashlar data list` shows it.
    name: String,
    /// Folder for its files [default: NAME in the cache folder].
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
struct InfoArgs {
    /// A set's name, or a file or folder (its format is guessed; `--set name=csv` says it).
    #[arg(value_name = "NAME|PATH")]
    set: String,
    /// Set a key of `[data]`, for instance `--set label=species`; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

#[derive(Parser, Debug)]
#[command(name = "ashlar-data", version, about = "List, fetch and look at data sets")]
struct Program {
    #[command(flatten)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

/// `main` of the binary `ashlar-data`.
pub fn main() -> ExitCode {
    ashlar_cli::main(|program: &Program| &program.global, |program| run(&program.command, &program.global))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::from_error(&error, error.is_input());
        match &error {
            Error::UnknownSet { name, known } => match suggest::nearest(name, known.iter().copied()) {
                Some(near) => failure.help(format!("did you mean `{near}`?")),
                None => failure,
            },
            _ => failure,
        }
    }
}

/// Runs the command.
pub fn run(command: &Command, _global: &GlobalArgs) -> Result<Answer, Failure> {
    match &command.action {
        Action::List => Ok(list()),
        Action::Fetch(args) => fetch(args),
        Action::Info(args) => info(args),
    }
}

fn list() -> Answer {
    let mut lines = vec!["Sets:".to_owned()];
    let mut sets = Vec::new();
    for set in catalog::SETS {
        let bytes: u64 = set.files.iter().map(|file| file.bytes).sum();
        let found = set.files.is_empty() || holding_folder(set).is_some();
        let state = match (set.files.is_empty(), found) {
            (true, _) => "made here".to_owned(),
            (false, true) => "on disk".to_owned(),
            (false, false) => format!("fetch {:.1} MB", bytes as f64 / 1e6),
        };
        lines.push(format!("  {:<18} {:<15} {}", set.name, state, set.about));
        sets.push(json!({
            "name": set.name, "kind": kind(set.kind), "about": set.about, "licence": set.licence,
            "bytes_down": bytes, "present": found,
        }));
    }
    lines.push("Formats (with a path):".to_owned());
    for (name, about) in catalog::FORMATS {
        lines.push(format!("  {name:<18} {about}"));
    }
    let formats: Vec<Value> =
        catalog::FORMATS.iter().map(|(name, about)| json!({ "name": name, "about": about })).collect();
    Answer::new(json!({ "sets": sets, "formats": formats }), lines.join("\n"))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Labelled => "labelled",
        Kind::Text => "text",
    }
}

/// The folder that holds a set's files, where there is one.
fn holding_folder(set: &catalog::Set) -> Option<PathBuf> {
    let holds = |folder: &Path| {
        set.files.iter().all(|file| {
            let plain = file.name.trim_end_matches(".gz");
            // What archives unpack to stands for them.
            crate::read::find(folder, &[plain]).is_some()
                || plain.strip_suffix(".tar").is_some()
                    && crate::read::find(folder, &["data_batch_1.bin", "train.bin"]).is_some()
        })
    };
    paths::set_dirs(set.name, None).into_iter().find(|folder| holds(folder))
}

#[cfg(feature = "http")]
fn fetch(args: &FetchArgs) -> Result<Answer, Failure> {
    let mut bar: Option<(String, ashlar_cli::progress::Progress)> = None;
    let mut progress = |file: &str, done: u64, total: u64| {
        if bar.as_ref().is_none_or(|(name, _)| name != file)
            && let Some((_, old)) = bar.replace((file.to_owned(), ashlar_cli::progress::Progress::new(file, total)))
        {
            old.finish();
        }
        if let Some((_, bar)) = &mut bar {
            bar.set(done, "bytes");
        }
    };
    let fetched = crate::fetch::fetch(&args.name, args.to.as_deref(), &mut progress)?;
    if let Some((_, bar)) = bar {
        bar.finish();
    }
    let files: Vec<String> = fetched.files.iter().map(|file| file.display().to_string()).collect();
    let licence = catalog::find(&args.name).map_or("", |set| set.licence);
    let text = format!(
        "{}: {} files in {} ({} bytes came over the network)\nlicence: {licence}",
        args.name,
        files.len(),
        fetched.folder.display(),
        fetched.bytes_down
    );
    let json = json!({
        "name": args.name, "folder": fetched.folder.display().to_string(), "files": files,
        "bytes_down": fetched.bytes_down, "licence": licence,
    });
    Ok(Answer::new(json, text))
}

#[cfg(not(feature = "http"))]
fn fetch(args: &FetchArgs) -> Result<Answer, Failure> {
    Err(Failure::usage(format!("cannot fetch {}: this binary was built without the feature `http`", args.name)))
}

fn info(args: &InfoArgs) -> Result<Answer, Failure> {
    let mut table = toml::Table::new();
    if catalog::names().contains(&args.set.as_str()) || !Path::new(&args.set).exists() {
        table.insert("name".to_owned(), args.set.clone().into());
    } else {
        let path = PathBuf::from(&args.set);
        table.insert("name".to_owned(), guess(&path)?.into());
        table.insert("path".to_owned(), args.set.clone().into());
    }
    for set in &args.sets {
        config::apply_set(&mut table, set)?;
    }
    let spec: DataSpec = config::from_table(&table, None)?;
    let text_kind = catalog::find(&spec.name).is_some_and(|set| set.kind == Kind::Text);
    if text_kind || matches!(spec.name.as_str(), "jsonl" | "text") || !spec.text.is_empty() {
        return info_text(&spec);
    }
    let split = load(&spec)?;
    let [channels, height, width] = split.train.shape();
    let mut lines = Vec::new();
    lines.push(format!("{}: {channels} × {height} × {width}, {} classes", spec.name, split.train.classes().len()));
    let mut parts = serde_json::Map::new();
    let validation = split.validation.as_ref().map(|set| ("validation", set));
    for (name, set) in [("train", &split.train)].into_iter().chain(validation).chain([("test", &split.test)]) {
        lines.push(format!("{name:<10} {:>8} examples, {}", set.len(), counts_line(set)));
        parts.insert(name.to_owned(), json!({ "examples": set.len(), "class_counts": set.class_counts() }));
    }
    if !split.train.group_names().is_empty() {
        lines.push(format!("groups     {:>8}", split.train.group_names().len()));
    }
    let json = json!({
        "name": spec.name, "kind": "labelled", "shape": split.train.shape(), "classes": split.train.classes(),
        "groups": split.train.group_names().len(), "parts": parts,
    });
    Ok(Answer::new(json, lines.join("\n")))
}

fn counts_line(set: &LabelledSet) -> String {
    let counts = set.class_counts();
    let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    let share = most as f64 / set.len().max(1) as f64;
    format!("{least} to {most} a class (commonest {:.1} %)", 100.0 * share)
}

fn info_text(spec: &DataSpec) -> Result<Answer, Failure> {
    let split = load_text(spec)?;
    let mut lines = vec![spec.name.clone()];
    let mut parts = serde_json::Map::new();
    for (name, set) in [("train", &split.train), ("test", &split.test)] {
        let characters: usize = set.texts().iter().map(|text| text.chars().count()).sum();
        lines.push(format!("{name:<10} {:>8} texts, {characters} characters", set.len()));
        parts.insert(name.to_owned(), json!({ "texts": set.len(), "characters": characters }));
    }
    lines.push(format!("alphabet   {:>8} different characters", alphabet(&split.train)));
    for (what, count) in [("groups", split.train.group_names().len()), ("classes", split.train.classes().len())] {
        if count > 0 {
            lines.push(format!("{what:<10} {count:>8}"));
        }
    }
    let mut json = json!({
        "name": spec.name, "kind": "text", "alphabet": alphabet(&split.train),
        "classes": split.train.classes(), "groups": split.train.group_names().len(), "parts": parts,
    });
    if spec.name == "procedural-text" {
        let users = spec.groups.unwrap_or(procedural::text::Config::default().users);
        let source = procedural::text::Source::new(users, spec.seed)?;
        let known = (0..users).map(|user| source.bits_per_char(user)).sum::<f64>() / users as f64;
        let pooled = source.pooled_bits_per_char();
        lines.push(format!("entropy    {known:.4} bits a character if the user is known (mean), {pooled:.4} if not"));
        json["bits_per_char_known_user"] = known.into();
        json["bits_per_char_pooled"] = pooled.into();
    }
    Ok(Answer::new(json, lines.join("\n")))
}

fn alphabet(set: &TextSet) -> usize {
    set.texts().iter().flat_map(|text| text.chars()).collect::<std::collections::BTreeSet<_>>().len()
}

/// The format of a file or folder, by its name and content.
fn guess(path: &Path) -> Result<&'static str, Failure> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let has = |name: &str| crate::read::find(path, &[name]).is_some();
    Ok(match extension.as_deref() {
        _ if has("train-images-idx3-ubyte") => "idx",
        _ if has("t10k-images-idx3-ubyte") => "mnist10k",
        _ if has("data_batch_1.bin") => "cifar-binary",
        Some("csv") => "csv",
        Some("jsonl" | "ndjson") => "jsonl",
        Some("txt") => "text",
        _ if path.is_dir() => "image-folder",
        _ => {
            let names = catalog::FORMATS.map(|format| format.0).join(", ");
            return Err(Failure::usage(format!("{}: the format of this file is not known", path.display()))
                .help(format!("say it with `--set name=…`: {names}")));
        }
    })
}
