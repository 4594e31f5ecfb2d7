//! Exports that nobody wrote, or that somebody changed: refused, and nothing becomes visible.

use serde_json::{Value, json};
use stockpot_core::Rng;

use super::bundle::{import, plan, with_file};
use super::*;
use crate::objects::hash_of;
use crate::{Error, Selection};

/// An export with another header, as whoever means harm would write it.
fn forged(header: &Value, rest: &[u8]) -> Vec<u8> {
    let text = serde_json::to_vec(header).unwrap();
    let mut out = b"STOCKBDL".to_vec();
    out.extend(1u32.to_le_bytes());
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(&text);
    out.extend(hash_of(&text).0);
    out.extend(rest);
    out
}

fn taken_apart(bytes: &[u8]) -> (Value, Vec<u8>) {
    let len = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let header = serde_json::from_slice(&bytes[16..16 + len]).unwrap();
    (header, bytes[16 + len + 32..].to_vec())
}

/// Bytes, as much as there are, must be refused as no export, and leave no trace.
#[track_caller]
fn refused(library: &Library, bytes: &[u8], why: &str) {
    let file = library.root().join("cache/in.bundle");
    std::fs::write(&file, bytes).unwrap();
    let error = plan(library, &file, None).unwrap_err();
    assert!(
        matches!(
            error,
            Error::BadBundle { .. } | Error::NewerBundle { .. } | Error::SharingForbidden { .. }
        ),
        "{error}"
    );
    assert!(error.to_string().contains(why), "{error}");
    drop(writer(library)); // the first writer makes the lock file
    let before = files_below(library.root());
    assert!(import(library, &file, None).is_err());
    assert_eq!(files_below(library.root()), before);
}

#[test]
fn forged_headers_are_refused() {
    let (_dir, _from, file) = with_file(&Selection::Person(name("anna")));
    let good = std::fs::read(file).unwrap();
    let (header, rest) = taken_apart(&good);
    let (_other, to) = fresh();
    let forge = |change: &dyn Fn(&mut Value), why: &str| {
        let mut header = header.clone();
        change(&mut header);
        refused(&to, &forged(&header, &rest), why);
    };
    assert_eq!(forged(&header, &rest).len() + 1, good.len());
    forge(
        &|h| h["persons"][0]["name"] = json!("../anna"),
        "does not read",
    );
    forge(&|h| h["persons"][0]["name"] = json!(".."), "does not read");
    forge(
        &|h| h["persons"][0]["name"] = json!("/etc/anna"),
        "does not read",
    );
    forge(
        &|h| h["persons"][0]["name"] = json!("ben"),
        "does not belong",
    );
    forge(
        &|h| h["records"][0]["hash"] = json!("../../lock"),
        "does not read",
    );
    forge(&|h| h["more"] = json!(1), "unknown field");
    forge(&|h| h["kind"] = json!("disk"), "does not read");
    forge(&|h| h["kind"] = json!("encoder"), "one encoder and nobody");
    forge(&|h| h["family"] = json!("comb-s-96"), "does not belong");
    forge(
        &|h| h["encoder"] = json!("0".repeat(64)),
        "no encoder state",
    );
    forge(
        &|h| h["persons"][0]["consent"] = h["persons"][0]["person"].clone(),
        "no consent",
    );
    forge(
        &|h| h["persons"][0]["decoder"] = h["encoder"].clone(),
        "no decoder state",
    );
    // Lengths that would fill the memory or the disk, or wrap around.
    forge(&|h| h["objects"][0]["bytes"] = json!(u64::MAX), "too large");
    forge(
        &|h| h["objects"][0]["bytes"] = json!(4u64 << 30),
        "its header tells",
    );
    forge(&|h| h["records"][0]["bytes"] = json!(2 << 20), "too large");
    forge(&|h| h["objects"][0]["bytes"] = json!(-1), "does not read");
    forge(
        &|h| h["objects"][0]["bytes"] = json!(1e300),
        "does not read",
    );
    let many: Vec<Value> = (0..2000u64)
        .map(|i| json!({"hash": format!("{i:064x}"), "bytes": 1 << 20}))
        .collect();
    forge(&|h| h["records"] = json!(many), "too many");
    // Twice, or out of order.
    let twice = |list: &str, h: &mut Value| {
        let first = h[list][0].clone();
        h[list].as_array_mut().unwrap().insert(0, first);
    };
    forge(&|h| twice("records", h), "twice");
    forge(&|h| twice("objects", h), "twice");
    forge(&|h| twice("persons", h), "twice");
    forge(
        &|h| h["objects"].as_array_mut().unwrap().reverse(),
        "not in order",
    );
    // Left out, with its bytes: the file is whole, what it promises is not.
    let objects = header["objects"].as_array().unwrap();
    let mut less = header.clone();
    let last = objects.len() - 1;
    less["objects"].as_array_mut().unwrap().pop();
    let cut = rest.len() - objects[last]["bytes"].as_u64().unwrap() as usize;
    refused(&to, &forged(&less, &rest[..cut]), "is not in it");
    // Behind the end, and ends too early.
    let mut more = good.clone();
    more.push(0);
    refused(&to, &more, "its header tells");
    refused(&to, &good[..good.len() - 1], "its header tells");
    refused(&to, b"", "cut off");
    refused(&to, b"STOCKCKP", "cut off");
    refused(&to, &[0; 64], "does not begin");
    let mut newer = good.clone();
    newer[8] = 2;
    refused(&to, &newer, "version 2");
    newer[8] = 0;
    refused(&to, &newer, "version is 0");
    let mut long = good[..12].to_vec();
    long.extend(u32::MAX.to_le_bytes());
    refused(&to, &long, "at most");
    long.truncate(12);
    long.extend((16u32 << 20).to_le_bytes());
    refused(&to, &long, "cut off");
    // The untouched one is fine.
    let file = to.root().join("cache/in.bundle");
    std::fs::write(&file, &good).unwrap();
    import(&to, &file, None).unwrap();
    assert_clean(&to);
}

#[test]
fn foreign_records_do_not_come_in() {
    let (_dir, from, file) = with_file(&Selection::Person(name("anna")));
    let (header, rest) = taken_apart(&std::fs::read(file).unwrap());
    let (_other, to) = fresh();
    let smuggle = |bytes: &[u8], why: &str| {
        let mut header = header.clone();
        let hash = hash_of(bytes).to_string();
        let list = header["records"].as_array_mut().unwrap();
        let at = list
            .iter()
            .position(|e| e["hash"].as_str().unwrap() > hash.as_str())
            .unwrap_or(list.len());
        let before: u64 = list[..at]
            .iter()
            .map(|e| e["bytes"].as_u64().unwrap())
            .sum();
        list.insert(at, json!({"hash": hash, "bytes": bytes.len()}));
        let (head, tail) = rest.split_at(before as usize);
        refused(&to, &forged(&header, &[head, bytes, tail].concat()), why);
    };
    let of_ben = from.consent_on_record(&name("ben")).unwrap().hash;
    smuggle(
        &std::fs::read(from.layout.record(&of_ben)).unwrap(),
        "does not belong",
    );
    smuggle(b"not a record", "does not read");
    smuggle(b"", "does not read");
    let excuse = r#"{"kind":"absence","version":1,"parents":[],"objects":[],"body":{"reason":"lost","created_secs":1,"software":"x"}}"#;
    smuggle(excuse.as_bytes(), "does not belong");
    let newer = excuse.replace("\"version\":1", "\"version\":9");
    smuggle(newer.as_bytes(), "does not know");
}

#[test]
fn no_flip_no_cut_and_no_noise_gets_in() {
    let (_dir, _from, file) = with_file(&Selection::Person(name("anna")));
    let good = std::fs::read(file).unwrap();
    let (_other, to) = fresh();
    let file = to.root().join("cache/in.bundle");
    let untouched = files_below(to.root());
    let mut tried = 0u32;
    let mut try_bytes = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let result = plan(&to, &file, None);
        assert!(result.is_err(), "taken: {bytes:.60?}");
        tried += 1;
    };
    // Every byte flipped, every length.
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        try_bytes(&bad);
        try_bytes(&good[..at]);
    }
    // Headers that are damaged but carry the right hash.
    let mut rng = Rng::stream(5, "bundle", 0);
    let len = u32::from_le_bytes(good[12..16].try_into().unwrap()) as usize;
    for _ in 0..3000 {
        let mut text = good[16..16 + len].to_vec();
        for _ in 0..=rng.below(3) {
            match rng.below(3) {
                0 => {
                    let at = rng.below(text.len());
                    text[at] ^= 1 << rng.below(8);
                }
                1 => {
                    let at = rng.below(text.len());
                    text.remove(at);
                }
                _ => {
                    let at = rng.below(text.len());
                    text.insert(at, text[rng.below(text.len())]);
                }
            }
        }
        if text == good[16..16 + len] {
            continue;
        }
        let mut bytes = good[..12].to_vec();
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(&text);
        bytes.extend(hash_of(&text).0);
        bytes.extend(&good[16 + len + 32..]);
        std::fs::write(&file, &bytes).unwrap();
        // A changed time or software text is as good as the old one; all else is refused.
        if let Ok(report) = plan(&to, &file, None) {
            assert_eq!(report.new_objects, 5, "{}", String::from_utf8_lossy(&text));
        }
        tried += 1;
    }
    // Noise, with and without the right beginning.
    for _ in 0..3000 {
        let mut noise: Vec<u8> = (0..rng.below(600)).map(|_| rng.below(256) as u8).collect();
        if rng.below(2) == 0 {
            noise.splice(0..noise.len().min(12), good[..12].iter().copied());
        }
        std::fs::write(&file, &noise).unwrap();
        assert!(plan(&to, &file, None).is_err());
        tried += 1;
    }
    eprintln!("{tried} exports tried");
    assert!(tried > 10_000, "{tried}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(files_below(to.root()), untouched);
}
