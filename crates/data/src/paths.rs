//! Where data is looked for.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The folder of real data that tests and `load` read: `ASHLAR_DATA`, else `../shared/data` from the current folder or
/// from the workspace around it. `None` if it is not there.
pub fn shared_data_dir() -> Option<PathBuf> {
    data_dirs().into_iter().find(|path| path.is_dir())
}

/// Folders that [`shared_data_dir`] considers; `ASHLAR_DATA` replaces the defaults.
pub(crate) fn data_dirs() -> Vec<PathBuf> {
    if let Some(path) = env::var_os("ASHLAR_DATA").filter(|path| !path.is_empty()) {
        return vec![path.into()];
    }
    let Ok(here) = env::current_dir() else { return Vec::new() };
    let mut dirs = vec![beside(&here)];
    if let Some(root) = workspace_root(&here) {
        dirs.push(beside(root));
    }
    dirs.dedup();
    dirs
}

fn beside(folder: &Path) -> PathBuf {
    folder.parent().unwrap_or(folder).join("shared").join("data")
}

fn workspace_root(here: &Path) -> Option<&Path> {
    here.ancestors().find(|folder| folder.join("Cargo.lock").is_file())
}

/// Where `ashlar data fetch` keeps sets: `ASHLAR_CACHE`, else the platform's cache folder (`~/.cache/ashlar`,
/// `~/Library/Caches/ashlar`, `%LOCALAPPDATA%\ashlar`). `None` if the environment names no home.
pub fn cache_dir() -> Option<PathBuf> {
    let from = |name: &str| env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = from("ASHLAR_CACHE") {
        return Some(path);
    }
    let base = if cfg!(windows) {
        from("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        from("HOME").map(|home| home.join("Library").join("Caches"))
    } else {
        from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("ashlar"))
}

/// Folders in which a set called `name` may lie, in the order they are tried.
pub(crate) fn set_dirs(name: &str, path: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = path {
        return vec![path.to_owned()];
    }
    data_dirs().into_iter().chain(cache_dir()).map(|folder| folder.join(name)).collect()
}
