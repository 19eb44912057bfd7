use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

use crate::{Error, Result};

pub const NAME: &str = "LOCK";

/// The system's advisory lock on `LOCK`; it ends with the process.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "open for as long as the lock is held")] File);

impl Lock {
    /// Takes the lock of a folder, and writes this process's id into it for whoever meets it.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(Error::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = file.read_to_string(&mut pid);
                let pid = read.ok().map(|_| pid.trim().to_owned()).filter(|pid| !pid.is_empty());
                return Err(Error::Locked { path: folder.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &path)(source)),
        }
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(Error::io("write", &path))?;
        Ok(Self(file))
    }
}
