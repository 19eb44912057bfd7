//! Readers of file formats.
//!
//! Each takes a path and has a `parse` on bytes beside it. What a header claims is checked against the length of the
//! file before memory is taken for it, and compressed data may not grow past what its header announces.

pub mod cifar;
pub mod idx;

use std::{
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
