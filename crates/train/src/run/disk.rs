//! Writing files so that a crash leaves the old or the new one.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use crate::{Error, Result};

/// Prefix of whatever is being written.
pub const ASIDE: &str = ".tmp-";

/// Writes a file and syncs it to the disk.
pub fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes renames and removals within `dir` last.
pub fn sync_dir(dir: &Path) -> Result<()> {
    // Only Unix can open a folder for this; elsewhere the file system's journal has to do.
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync the folder", dir))?;
    }
    Ok(())
}

/// Replaces `path` by a file of these bytes, as a whole.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = path.with_file_name(format!("{ASIDE}{name}"));
    write_synced(&aside, bytes).map_err(Error::io("write", &aside))?;
    fs::rename(&aside, path).map_err(Error::io("rename to", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}
