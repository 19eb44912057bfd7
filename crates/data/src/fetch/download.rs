//! One file over HTTP.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use ureq::{Agent, http::StatusCode};

use crate::{Error, Result};

/// How often a broken connection is taken up again before giving up; the part stays for the next call.
const TRIES: usize = 4;

/// Downloads `url` to `to` unless a file with this checksum is there, and returns the bytes that came over the network.
///
/// `bytes` and `sha256` (hexadecimal) are what the file must be. `progress` hears of the bytes so far.
pub fn download(url: &str, sha256: &str, bytes: u64, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<u64> {
    if to.metadata().is_ok_and(|there| there.len() == bytes) && checksum(to)? == sha256 {
        progress(bytes);
        return Ok(0);
    }
    if url.starts_with("https:") && !cfg!(feature = "tls") {
        let problem = "this build has no TLS";
        return Err(failed(url, problem, "build with the feature `tls`, or put the file into place yourself"));
    }
    let part = aside(to);
    // Kept open to the end: the lock keeps a second process off the same part.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part);
    let mut file = file.map_err(Error::io(&part, "open"))?;
    if file.try_lock().is_err() {
        return Err(failed(url, format!("another process is writing {}", part.display()), "wait for it"));
    }
    let agent = Agent::new_with_config(
        Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .build(),
    );
    let transfer = Transfer { url, bytes, part: &part, agent: &agent };
    let mut down = 0;
    let mut tries = 0;
    loop {
        tries += 1;
        match transfer.go_on(&mut file, &mut down, progress)? {
            Outcome::Whole => break,
            Outcome::Broken(why) if tries >= TRIES => {
                let have = file.metadata().map_err(Error::io(&part, "read"))?.len();
                let problem = format!("the transfer broke off at byte {have} of {bytes} ({why})");
                return Err(failed(url, problem, "run it again: it goes on from there"));
            }
            Outcome::Broken(why) => tracing::warn!(url, why, "transfer broke off; going on"),
        }
    }
    file.sync_all().map_err(Error::io(&part, "write"))?;
    let found = checksum(&part)?;
    if found != sha256 {
        // What is left behind must not be continued or taken for the set.
        fs::remove_file(&part).map_err(Error::io(&part, "remove"))?;
        let problem = format!("SHA-256 is {found}, expected {sha256}");
        return Err(failed(
            url,
            problem,
            "the server sends another file (a proxy page, a new version): try another network",
        ));
    }
    fs::rename(&part, to).map_err(Error::io(to, "rename"))?;
    Ok(down)
}

fn aside(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    to.with_file_name(name)
}

fn failed(url: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::Fetch { url: url.to_owned(), problem: problem.into(), remedy: remedy.into() }
}

enum Outcome {
    Whole,
    Broken(String),
}

struct Transfer<'a> {
    url: &'a str,
    bytes: u64,
    part: &'a Path,
    agent: &'a Agent,
}

impl Transfer<'_> {
    /// Asks for what is missing and appends it.
    fn go_on(&self, file: &mut File, down: &mut u64, progress: &mut dyn FnMut(u64)) -> Result<Outcome> {
        let mut have = file.metadata().map_err(Error::io(self.part, "read"))?.len();
        if have > self.bytes {
            have = 0;
        }
        if have == self.bytes {
            return Ok(Outcome::Whole);
        }
        let mut request = self.agent.get(self.url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Outcome::Broken(error.to_string())),
        };
        let status = response.status();
        let starts_at =
            response.headers().get("content-range").and_then(|range| range.to_str().ok()).and_then(range_start);
        match status {
            StatusCode::PARTIAL_CONTENT if starts_at == Some(have) => {}
            // The server ignores ranges (or sends another one): from the beginning.
            StatusCode::OK => have = 0,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                file.set_len(0).map_err(Error::io(self.part, "truncate"))?;
                return Ok(Outcome::Broken(format!("the server answers {status} to a range from byte {have}")));
            }
            _ if status.is_server_error() => return Ok(Outcome::Broken(format!("the server answers {status}"))),
            _ => {
                let remedy = "the address may have changed: put the file into place yourself, or report it";
                return Err(failed(self.url, format!("the server answers {status}"), remedy));
            }
        }
        file.set_len(have).map_err(Error::io(self.part, "truncate"))?;
        file.seek(SeekFrom::Start(have)).map_err(Error::io(self.part, "write"))?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) if have < self.bytes => {
                    return Ok(Outcome::Broken("the server closed the connection".to_owned()));
                }
                Ok(0) => return Ok(Outcome::Whole),
                Ok(count) => count,
                Err(error) => return Ok(Outcome::Broken(error.to_string())),
            };
            have += count as u64;
            *down += count as u64;
            if have > self.bytes {
                file.set_len(0).map_err(Error::io(self.part, "truncate"))?;
                let problem = format!("the server sends more than the {} bytes expected", self.bytes);
                return Err(failed(
                    self.url,
                    problem,
                    "the file may have changed: put it into place yourself, or report it",
                ));
            }
            file.write_all(&buffer[..count]).map_err(Error::io(self.part, "write"))?;
            progress(have);
        }
    }
}

/// The first byte of `bytes 100-199/200`.
fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

fn checksum(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path, "open"))?;
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).map_err(Error::io(path, "read"))?;
    Ok(hash.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}
