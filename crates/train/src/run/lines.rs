use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::disk;
use crate::{Error, Result};

/// A file of one JSON value a line, open for appending.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Lines {
    /// Opens the file, made if need be, and cuts it to `len` bytes, or to its last whole line if it is shorter.
    pub fn open(path: PathBuf, len: u64) -> Result<Self> {
        let file = open(&path)?;
        let found = file.metadata().map_err(Error::io("read", &path))?.len();
        let len = if found >= len {
            len
        } else {
            tracing::warn!(path = %path.display(), found, expected = len, "the file has lost lines");
            let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
            bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at as u64 + 1)
        };
        file.set_len(len).map_err(Error::io("cut", &path))?;
        let mut lines = Self { path, file, len };
        lines.seek_end()?;
        Ok(lines)
    }

    fn seek_end(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(self.len)).map_err(Error::io("read", &self.path))?;
        Ok(())
    }

    /// Appends a line in one write, so that a killed process leaves no half of it.
    pub fn append(&mut self, value: &Value) -> Result<()> {
        let line = format!("{value}\n");
        if let Err(source) = self.file.write_all(line.as_bytes()) {
            // Takes back the half of a line that a full disk may have accepted.
            let _ = self.file.set_len(self.len);
            let _ = self.seek_end();
            return Err(Error::io("write", &self.path)(source));
        }
        self.len += line.len() as u64;
        Ok(())
    }

    /// Syncs to the disk; gives the length.
    pub fn sync(&mut self) -> Result<u64> {
        self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        Ok(self.len)
    }

    /// Rewrites the file with those values that `keep` wants; lines that are no JSON go.
    pub fn retain(&mut self, keep: impl Fn(&Value) -> bool) -> Result<()> {
        let text = fs::read_to_string(&self.path).map_err(Error::io("read", &self.path))?;
        let kept: String = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n') && serde_json::from_str(line).is_ok_and(|value| keep(&value)))
            .collect();
        disk::replace(&self.path, kept.as_bytes())?;
        self.file = open(&self.path)?;
        self.len = kept.len() as u64;
        self.seek_end()
    }
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    file.map_err(Error::io("open", path))
}
