//! Changed and made-up HDF5 files by the tens of thousands: each ends in an answer, soon, and within
//! a fixed amount of memory.
//!
//! The memory is bounded by the system: the test runs itself again in a process that may not have
//! more. `STOCKPOT_TEST_FUZZ=SECONDS` goes on for longer than the usual number of files.

use std::process::Command;
use std::time::{Duration, Instant};

use stockpot_core::Rng;

use super::hdf5;
use super::tests::good_files;

/// Set in the process that may not have more memory.
const INSIDE: &str = "STOCKPOT_TEST_FUZZ_INSIDE";
/// All that it may have: the program itself needs a few hundred MiB of addresses for its threads.
const LIMIT_KIB: u64 = 2 << 20;
/// Files that are tried at least.
const FILES: u64 = 20_000;
/// The largest array that is read: what is larger is refused by its shape in `read_legacy`.
const MOST_NUMBERS: usize = 1 << 20;

#[test]
fn whatever_a_file_says_there_is_an_answer_within_bounds() {
    if std::env::var_os(INSIDE).is_some() {
        return try_files();
    }
    let exe = std::env::current_exe().unwrap();
    let test = std::thread::current().name().unwrap().to_owned();
    let out = Command::new("sh")
        .args([
            "-c",
            &format!("ulimit -v {LIMIT_KIB} && exec \"$0\" \"$@\""),
        ])
        .arg(exe)
        .args(["--exact", &test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    eprintln!("{said}");
    assert!(out.status.success(), "{} {said}", out.status);
    assert!(said.contains("files tried"), "{said}");
}

fn try_files() {
    let seeds = good_files();
    let seconds = std::env::var("STOCKPOT_TEST_FUZZ").map_or(0, |s| s.parse().unwrap());
    let mut rng = Rng::stream(5, "hdf5", 0);
    let (mut tried, mut read, mut longest) = (0u64, 0u64, Duration::ZERO);
    let begun = Instant::now();
    while tried < FILES || begun.elapsed().as_secs() < seconds {
        let bytes = changed(&mut rng, &seeds);
        let started = Instant::now();
        if let Ok(weights) = hdf5::open(bytes) {
            let sizes = weights.shapes().into_iter();
            let numbers: usize = sizes.map(|s| s.iter().product::<usize>()).sum();
            if numbers <= MOST_NUMBERS && weights.read_all().is_ok() {
                read += 1;
            }
        }
        tried += 1;
        longest = longest.max(started.elapsed());
    }
    eprintln!("{tried} files tried, {read} read, longest {longest:?}");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    assert!(read > 0, "some changes do no harm");
}

/// One of the seeds with a few changes, or noise behind a true beginning.
fn changed(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[rng.below(seeds.len())].clone();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len());
        match rng.below(7) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5)],
            2 => {
                let extreme = [u64::MAX, u64::MAX - 7, 1 << 63, 1 << 40, 1 << 31, 0, 8];
                let word = extreme[rng.below(extreme.len())].to_le_bytes();
                let end = (at + 8).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            3 => bytes.truncate(at.max(1)),
            4 => {
                // A piece of a file where another piece belongs: true structures at wrong places.
                let other = &seeds[rng.below(seeds.len())];
                let from = rng.below(other.len());
                let len = rng.below(64).min(other.len() - from).min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&other[from..from + len]);
            }
            5 => drop(bytes.remove(at)),
            _ => {
                let keep = 8 + rng.below(88);
                bytes.truncate(keep.min(bytes.len()));
                let noise = rng.below(600);
                bytes.extend((0..noise).map(|_| rng.below(256) as u8));
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}
