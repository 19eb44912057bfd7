//! Texts in memory, and where they come from.

use std::{collections::BTreeMap, path::Path};

use crate::{
    DataSpec, Error, Place, Result, catalog, load, paths, procedural,
    read::{self, Row},
};

/// Texts, each with its author (speaker, user) and class where these are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextSet {
    texts: Vec<String>,
    labels: Option<(Vec<u32>, Vec<String>)>,
    groups: Option<(Vec<u32>, Vec<String>)>,
}

/// What a language model is trained and measured on.
#[derive(Clone, Debug)]
pub struct TextSplit {
    /// To train on.
    pub train: TextSet,
    /// To measure on.
    pub test: TextSet,
}

impl TextSet {
    /// Texts of which nothing else is known.
    pub fn new(texts: Vec<String>) -> Self {
        Self { texts, labels: None, groups: None }
    }

    /// Says who wrote each text.
    pub fn with_groups(mut self, of: Vec<u32>, names: Vec<String>) -> Result<Self> {
        check(&self.texts, "groups", &of, names.len())?;
        self.groups = Some((of, names));
        Ok(self)
    }

    /// Says which class each text has.
    pub fn with_labels(mut self, labels: Vec<u32>, classes: Vec<String>) -> Result<Self> {
        check(&self.texts, "labels", &labels, classes.len())?;
        self.labels = Some((labels, classes));
        Ok(self)
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The texts.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The class of each text, where known.
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_ref().map(|labels| labels.0.as_slice())
    }

    /// Names of the classes; empty where unknown.
    pub fn classes(&self) -> &[String] {
        self.labels.as_ref().map_or(&[], |labels| &labels.1)
    }

    /// Who wrote each text, where known: what the natural partition goes by.
    pub fn groups(&self) -> Option<&[u32]> {
        self.groups.as_ref().map(|groups| groups.0.as_slice())
    }

    /// Names of the authors; empty where unknown.
    pub fn group_names(&self) -> &[String] {
        self.groups.as_ref().map_or(&[], |groups| &groups.1)
    }

    /// A copy with these texts in this order (panics on an index beyond the end, as slices do).
    pub fn subset(&self, indices: &[u32]) -> Self {
        let pick = |of: &[u32]| indices.iter().map(|&index| of[index as usize]).collect();
        Self {
            texts: indices.iter().map(|&index| self.texts[index as usize].clone()).collect(),
            labels: self.labels.as_ref().map(|(of, names)| (pick(of), names.clone())),
            groups: self.groups.as_ref().map(|(of, names)| (pick(of), names.clone())),
        }
    }

    /// From a reader's rows; classes are sorted, groups in order of appearance.
    fn from_rows(rows: Vec<Row<String>>) -> Result<Self> {
        let (texts, labels, groups) = read::columns(rows);
        let mut set = Self::new(texts);
        if let Some((labels, classes)) = labels {
            set = set.with_labels(labels, classes)?;
        }
        if let Some((groups, names)) = groups {
            set = set.with_groups(groups, names)?;
        }
        Ok(set)
    }
}

fn check(texts: &[String], what: &'static str, of: &[u32], names: usize) -> Result<()> {
    if of.len() != texts.len() {
        return Err(Error::Length { what, found: of.len(), expected: texts.len() });
    }
    match of.iter().position(|&one| one as usize >= names) {
        None => Ok(()),
        Some(index) => Err(Error::Example { index, problem: format!("{what}: {}, but there are {names}", of[index]) }),
    }
}

/// Loads the text set that `spec` names: `procedural-text`, `tinyshakespeare` (a text a speech, by speaker), `names`,
/// or `csv`, `jsonl` and `text` with a path. Without a test part a random fifth is held out.
pub fn load_text(spec: &DataSpec) -> Result<TextSplit> {
    load::check_fields(spec)?;
    let all = match spec.name.as_str() {
        "procedural-text" => {
            let default = procedural::text::Config::default();
            let config = procedural::text::Config {
                train: spec.train.unwrap_or(default.train),
                test: spec.test.unwrap_or(default.test),
                users: spec.groups.unwrap_or(default.users),
                seed: spec.seed,
            };
            return procedural::text::generate(&config);
        }
        "tinyshakespeare" => speeches(&read_named(spec, "input.txt")?)?,
        "names" => lines(&read_named(spec, "names.txt")?)?,
        "csv" => TextSet::from_rows(read::table::texts(load::needs_path(spec)?, spec)?)?,
        "jsonl" => TextSet::from_rows(read::jsonl::texts(load::needs_path(spec)?, spec)?)?,
        "text" => folder_or_file(load::needs_path(spec)?)?,
        name => return Err(load::not_this_kind(name, catalog::Kind::Text)),
    };
    let strata = all.labels().map_or_else(|| vec![0; all.len()], <[u32]>::to_vec);
    let (train, test) = load::hold_out(&strata, spec)?;
    Ok(TextSplit { train: all.subset(&train), test: all.subset(&test) })
}

fn read_named(spec: &DataSpec, file: &str) -> Result<String> {
    let dirs = paths::set_dirs(&spec.name, spec.path.as_deref());
    // A path may name the file itself.
    let mut tried: Vec<_> = spec.path.clone().into_iter().chain(dirs.into_iter().map(|dir| dir.join(file))).collect();
    if let Some(path) = tried.iter().find(|path| path.is_file()) {
        return read::text(path);
    }
    tried.dedup();
    Err(load::missing(&spec.name, tried))
}

/// Every line that is not blank.
fn lines(text: &str) -> Result<TextSet> {
    let texts: Vec<String> =
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if texts.is_empty() {
        return Err(Error::value("path", "the file has no line of text"));
    }
    Ok(TextSet::new(texts))
}

/// Speeches are separated by blank lines and begin with `Speaker:`.
pub(crate) fn speeches(text: &str) -> Result<TextSet> {
    let rows = text.split("\n\n").filter_map(|speech| {
        let (speaker, words) = speech.trim_start_matches('\n').split_once('\n')?;
        let words = words.trim_end();
        (!words.is_empty()).then(|| Row {
            value: words.to_owned(),
            label: None,
            group: Some(speaker.trim_end().trim_end_matches(':').to_owned()),
        })
    });
    let set = TextSet::from_rows(rows.collect())?;
    if set.is_empty() {
        return Err(Error::value("path", "the file has no speech (`Speaker:` on a line of its own, then words)"));
    }
    Ok(set)
}

/// A file: a text a line. A folder: the `.txt` files in it, each a group.
fn folder_or_file(path: &Path) -> Result<TextSet> {
    if !path.is_dir() {
        return lines(&read::text(path)?);
    }
    let mut files = BTreeMap::new();
    for entry in path.read_dir().map_err(Error::io(path, "list"))? {
        let file = entry.map_err(Error::io(path, "list"))?.path();
        if file.extension().is_some_and(|extension| extension == "txt") {
            files.insert(file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), file);
        }
    }
    let mut rows = Vec::new();
    for (name, file) in files {
        let text = read::text(&file)?;
        rows.extend(text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(|line| Row {
            value: line.to_owned(),
            label: None,
            group: Some(name.clone()),
        }));
    }
    if rows.is_empty() {
        let remedy = "put a .txt file a writer into the folder";
        return Err(read::format_error(path, Place::File, "no .txt file with a line of text", remedy));
    }
    TextSet::from_rows(rows)
}
