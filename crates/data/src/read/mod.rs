//! Readers of file formats.
//!
//! Each takes a path and has a `parse` on bytes beside it. What a header claims is checked against the length of the
//! file before memory is taken for it, and compressed data may not grow past what its header announces.

pub mod cifar;
pub mod idx;
pub mod images;
pub mod jsonl;
pub mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{Error, Result, error::Place};

/// Largest file that is read into memory: 4 GiB.
pub const MAX_FILE: u64 = 4 << 30;

/// Reads a whole file, unless it is larger than [`MAX_FILE`].
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut file = File::open(path).map_err(Error::io(path, "open"))?;
    let len = file.metadata().map_err(Error::io(path, "read"))?.len();
    if len > MAX_FILE {
        let problem = format!("{len} bytes are more than the {MAX_FILE} this reader takes");
        return Err(format_error(path, Place::File, problem, "split the file"));
    }
    // A pipe or device has no length, and a file may grow while it is read: the bound holds all the same.
    let mut bytes = Vec::with_capacity(len as usize);
    file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format_error(path, Place::File, format!("more than {MAX_FILE} bytes"), "split the file"));
    }
    Ok(bytes)
}

/// Reads a whole file as UTF-8; the error names the first byte that is not.
pub fn text(path: &Path) -> Result<String> {
    utf8(path, bytes(path)?)
}

pub(crate) fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to() as u64;
        format_error(path, Place::Byte(at), "not UTF-8", "save the file as UTF-8")
    })
}

pub(crate) fn format_error(path: &Path, place: Place, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::Format { path: path.to_owned(), place, problem: problem.into(), remedy: remedy.into() }
}

/// The first of `names` (each also with `.gz`) that is a file in `folder`.
pub(crate) fn find(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]).find(|path| path.is_file())
}

/// An example as a reader of tables or lines finds it, before class names are numbered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row<T> {
    pub value: T,
    pub label: Option<String>,
    pub group: Option<String>,
}

/// Numbers and the names they stand for.
pub(crate) type Named = Option<(Vec<u32>, Vec<String>)>;

/// Rows as columns. Classes are in order (of numbers if all are whole numbers, else of text); groups in order of
/// appearance. A column that some row lacks is left out.
pub(crate) fn columns<T>(rows: Vec<Row<T>>) -> (Vec<T>, Named, Named) {
    let (mut values, mut labels, mut groups) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
    for row in rows {
        values.push(row.value);
        labels.extend(row.label);
        groups.extend(row.group);
    }
    let whole = |names: &Vec<String>| names.len() == values.len() && !names.is_empty();
    let labels = whole(&labels).then(|| {
        let mut names: Vec<String> = labels.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        if names.iter().all(|name| name.parse::<i64>().is_ok()) {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or(0));
        }
        number(labels, names)
    });
    let groups = whole(&groups).then(|| {
        let mut seen = BTreeSet::new();
        let names = groups.iter().filter(|name| seen.insert(name.as_str())).cloned().collect();
        number(groups, names)
    });
    (values, labels, groups)
}

fn number(of: Vec<String>, names: Vec<String>) -> (Vec<u32>, Vec<String>) {
    let places: BTreeMap<&str, u32> = names.iter().map(String::as_str).zip(0u32..).collect();
    let numbers = of.iter().map(|name| places[name.as_str()]).collect();
    (numbers, names)
}
