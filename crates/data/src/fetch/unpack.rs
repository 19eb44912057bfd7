//! Taking the data files out of a `.tar.gz` whose checksum has been compared.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;

use crate::{Error, Place, Result, read::format_error};

/// Largest file that is taken out.
const MAX_ENTRY: u64 = 1 << 30;

/// Writes the `.bin` and `.txt` files of an archive into `folder`, without the folders they lie in.
pub(super) fn unpack(archive: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let broken = |error: io::Error| {
        format_error(archive, Place::File, format!("damaged archive ({error})"), "delete it and fetch again")
    };
    let mut tar = tar::Archive::new(GzDecoder::new(File::open(archive).map_err(Error::io(archive, "open"))?));
    let mut written = Vec::new();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        // Only the last part of the name is used, so that no entry lands outside the folder.
        let name = entry.path().map_err(broken)?.file_name().map(PathBuf::from);
        let Some(name) = name.filter(|_| entry.header().entry_type().is_file()) else { continue };
        let wanted = name.extension().is_some_and(|extension| extension == "bin" || extension == "txt");
        if !wanted || entry.size() > MAX_ENTRY {
            continue;
        }
        let (to, size) = (folder.join(&name), entry.size());
        if to.metadata().is_ok_and(|there| there.len() == size) {
            written.push(to);
            continue;
        }
        let aside = folder.join(format!("{}.part", name.display()));
        let mut file = File::create(&aside).map_err(Error::io(&aside, "create"))?;
        io::copy(&mut entry, &mut file).map_err(Error::io(&aside, "write"))?;
        file.sync_all().map_err(Error::io(&aside, "write"))?;
        fs::rename(&aside, &to).map_err(Error::io(&to, "rename"))?;
        written.push(to);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_files_come_out_without_their_folders_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("set.tar.gz");
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            File::create(&archive).unwrap(),
            flate2::Compression::default(),
        ));
        for (name, content) in [("inner/a.bin", "pixels"), ("inner/classes.txt", "cat"), ("inner/run.sh", "echo")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let files = unpack(&archive, folder.path()).unwrap();
        assert_eq!(files, [folder.path().join("a.bin"), folder.path().join("classes.txt")]);
        assert_eq!(fs::read(&files[0]).unwrap(), b"pixels");
        assert!(!folder.path().join("run.sh").exists());
        fs::write(&archive, &fs::read(&archive).unwrap()[..60]).unwrap();
        assert!(unpack(&archive, folder.path()).unwrap_err().to_string().contains("damaged archive"));
    }
}
