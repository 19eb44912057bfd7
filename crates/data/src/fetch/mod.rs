//! Downloading named sets into the cache folder.
//!
//! A file is written beside its place with the ending `.part`, continued after a break (HTTP `Range`), compared with
//! the size and SHA-256 of the [catalog], synced and then renamed: what has its final name is whole.
//! Archives are unpacked the same way and kept. Needs the feature `http`; `https` addresses need `tls`.

mod download;
mod unpack;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use download::download;

use crate::{Error, Result, catalog, paths};

/// What a fetch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The folder that holds the set now.
    pub folder: PathBuf,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// Bytes that came over the network; 0 if all was there.
    pub bytes_down: u64,
}

/// Brings a named set into `folder`, or into the cache folder; `progress` hears of (file, bytes so far, bytes in all).
pub fn fetch(name: &str, folder: Option<&Path>, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<Fetched> {
    let set = catalog::find(name).filter(|set| !set.files.is_empty()).ok_or_else(|| {
        let known = catalog::SETS.iter().filter(|set| !set.files.is_empty()).map(|set| set.name).collect();
        Error::UnknownSet { name: name.to_owned(), known }
    })?;
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => paths::cache_dir()
            .ok_or_else(|| Error::value("ASHLAR_CACHE", "no cache folder: neither it nor a home folder is set"))?
            .join(name),
    };
    fs::create_dir_all(&folder).map_err(Error::io(&folder, "create"))?;
    let (mut files, mut bytes_down) = (Vec::new(), 0);
    for file in set.files {
        let to = folder.join(file.name);
        bytes_down +=
            download(file.url, file.sha256, file.bytes, &to, &mut |done| progress(file.name, done, file.bytes))?;
        if file.name.ends_with(".tar.gz") {
            files.extend(unpack::unpack(&to, &folder)?);
        }
        files.push(to);
    }
    Ok(Fetched { folder, files, bytes_down })
}
