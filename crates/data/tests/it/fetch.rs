//! Downloading from a server that behaves, and from ones that do not.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use ashlar_data::fetch::download;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// What a server does with the request number `n` (from 0) for the bytes from `range` on.
type Behaviour = fn(n: usize, range: Option<usize>, content: &[u8]) -> Vec<u8>;

struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Option<usize>>>>,
}

fn content() -> Vec<u8> {
    (0..100_000u32).map(|at| (at * 7 % 251) as u8).collect()
}

fn serve(behaviour: Behaviour) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut range = None;
            for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
                if let Some(from) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                    range = from.trim_end_matches('-').parse().ok();
                }
            }
            let n = {
                let mut seen = seen.lock().unwrap();
                seen.push(range);
                seen.len() - 1
            };
            let _ = stream.write_all(&behaviour(n, range, &content()));
        }
    });
    Server { url, requests }
}

fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut reply = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").into_bytes();
    reply.extend(body);
    reply
}

fn whole(content: &[u8]) -> Vec<u8> {
    reply("200 OK", &format!("Content-Length: {}\r\n", content.len()), content)
}

/// Honest: all of it, or the part asked for; `most` bytes before the connection drops.
fn honest(range: Option<usize>, content: &[u8], most: usize) -> Vec<u8> {
    let from = range.unwrap_or(0);
    let body = &content[from..content.len().min(from.saturating_add(most))];
    let length = format!("Content-Length: {}\r\n", content.len() - from);
    match range {
        None => reply("200 OK", &length, body),
        Some(from) => {
            let last = content.len() - 1;
            reply(
                "206 Partial Content",
                &format!("{length}Content-Range: bytes {from}-{last}/{}\r\n", content.len()),
                body,
            )
        }
    }
}

struct Place {
    _folder: TempDir,
    to: PathBuf,
    part: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let (to, part) = (folder.path().join("file"), folder.path().join("file.part"));
    Place { _folder: folder, to, part }
}

fn get(server: &Server, place: &Place) -> ashlar_data::Result<u64> {
    let sum: String = Sha256::digest(content()).iter().map(|byte| format!("{byte:02x}")).collect();
    download(&server.url, &sum, content().len() as u64, &place.to, &mut |_| {})
}

#[test]
fn a_file_comes_once_and_is_then_there() {
    let (server, place) = (serve(|_, range, content| honest(range, content, usize::MAX)), place());
    assert_eq!(get(&server, &place).unwrap(), 100_000);
    assert_eq!(fs::read(&place.to).unwrap(), content());
    assert!(!place.part.exists());
    assert_eq!(get(&server, &place).unwrap(), 0);
    assert_eq!(*server.requests.lock().unwrap(), [None]);
    // A damaged file is fetched again.
    fs::write(&place.to, "damaged").unwrap();
    assert_eq!(get(&server, &place).unwrap(), 100_000);
}

#[test]
fn a_part_is_continued() {
    let (server, place) = (serve(|_, range, content| honest(range, content, usize::MAX)), place());
    fs::write(&place.part, &content()[..60_000]).unwrap();
    assert_eq!(get(&server, &place).unwrap(), 40_000);
    assert_eq!(fs::read(&place.to).unwrap(), content());
    assert_eq!(*server.requests.lock().unwrap(), [Some(60_000)]);
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_the_beginning() {
    let (server, place) = (serve(|_, _, content| whole(content)), place());
    fs::write(&place.part, &content()[..60_000]).unwrap();
    assert_eq!(get(&server, &place).unwrap(), 100_000);
    assert_eq!(fs::read(&place.to).unwrap(), content());
}

#[test]
fn a_refused_range_starts_over() {
    let behaviour: Behaviour = |_, range, content| match range {
        Some(_) => reply("416 Range Not Satisfiable", "Content-Length: 0\r\n", b""),
        None => whole(content),
    };
    let (server, place) = (serve(behaviour), place());
    fs::write(&place.part, &content()[..60_000]).unwrap();
    get(&server, &place).unwrap();
    assert_eq!(*server.requests.lock().unwrap(), [Some(60_000), None]);
}

#[test]
fn broken_transfers_are_taken_up_again_and_later_calls_go_on() {
    let (server, place) = (serve(|_, range, content| honest(range, content, 15_000)), place());
    let error = get(&server, &place).unwrap_err();
    assert!(!error.is_input());
    let message = error.to_string();
    assert!(message.contains("broke off at byte 60000 of 100000") && message.contains("run it again"), "{message}");
    assert!(!place.to.exists());
    assert_eq!(get(&server, &place).unwrap(), 40_000);
    assert_eq!(fs::read(&place.to).unwrap(), content());
}

#[test]
fn a_wrong_checksum_leaves_nothing_behind() {
    let behaviour: Behaviour = |_, _, content| {
        let mut other = content.to_vec();
        other[50_000] ^= 1;
        whole(&other)
    };
    let (server, place) = (serve(behaviour), place());
    let message = get(&server, &place).unwrap_err().to_string();
    assert!(message.contains("SHA-256 is") && message.contains("expected"), "{message}");
    assert!(!place.to.exists() && !place.part.exists());
}

#[test]
fn a_longer_file_than_expected_is_stopped() {
    let (server, place) = (serve(|_, _, content| whole(&[content, content].concat())), place());
    let message = get(&server, &place).unwrap_err().to_string();
    assert!(message.contains("more than the 100000 bytes expected"), "{message}");
    assert!(!place.to.exists());
}

#[test]
fn a_missing_file_is_not_asked_for_twice_and_a_server_error_is() {
    let (server, place) = (serve(|_, _, _| reply("404 Not Found", "Content-Length: 0\r\n", b"")), place());
    let message = get(&server, &place).unwrap_err().to_string();
    assert!(message.contains(&server.url) && message.contains("404"), "{message}");
    assert_eq!(server.requests.lock().unwrap().len(), 1);
    let behaviour: Behaviour = |n, range, content| match n {
        0 => reply("503 Service Unavailable", "Content-Length: 0\r\n", b""),
        _ => honest(range, content, usize::MAX),
    };
    get(&serve(behaviour), &place).unwrap();
}

#[test]
fn a_second_process_does_not_write_the_same_part() {
    let (server, place) = (serve(|_, range, content| honest(range, content, usize::MAX)), place());
    let other = fs::File::create(&place.part).unwrap();
    other.lock().unwrap();
    let message = get(&server, &place).unwrap_err().to_string();
    assert!(message.contains("another process is writing"), "{message}");
}

#[test]
fn an_unknown_set_lists_what_can_be_fetched() {
    let error = ashlar_data::fetch::fetch("procedural-images", None, &mut |_, _, _| {}).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("say one of mnist, mnist10k"), "{error}");
}
