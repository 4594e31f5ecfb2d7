//! Tens of thousands of changed records: each is read or refused, and never reads as something that
//! its envelope hides.

use stockpot_core::Rng;

use super::*;
use crate::record::{BadRecord, parse};

#[test]
fn changed_records_are_read_or_refused() {
    let (_dir, library) = with_persons(&["anna"]);
    for mark in 1..=2 {
        let commit = run_of(&library, &["anna"], mark);
        writer(&library).commit_run(commit).unwrap();
    }
    writer(&library).erase_person(&name("anna"), NOW).unwrap();
    let consent = crate::Record::Consent(crate::ConsentRecord {
        person: name("anna"),
        basis: crate::ConsentBasis::File {
            name: "a.pdf".into(),
            object: crate::objects::hash_of(b"a"),
        },
        entered_by: "x".into(),
        note: "y".into(),
        sharing: Some(crate::Sharing::Allowed),
        original: Some(crate::objects::hash_of(b"b")),
        agreed_by: Some("w".into()),
        uses: crate::Allowed::all(),
        projects: vec!["v".into()],
        until_secs: Some(2),
        withdrawn_secs: None,
        original_key: None,
        created_secs: 1,
        software: "z".into(),
        signed: None,
    });
    let mut good: Vec<Vec<u8>> = files_below(&library.root().join("records"))
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    good.push(consent.to_bytes().unwrap());
    let mut rng = Rng::stream(4, "records", 0);
    let (mut tried, mut read) = (0u32, 0u32);
    let mut look = |bytes: &[u8]| {
        tried += 1;
        match parse(bytes) {
            Ok((envelope, record)) => {
                read += 1;
                assert!(
                    record
                        .parents()
                        .iter()
                        .all(|h| envelope.parents.contains(h))
                );
                assert!(
                    record
                        .objects()
                        .iter()
                        .all(|h| envelope.objects.contains(h))
                );
            }
            Err(BadRecord::Newer(envelope)) => assert!(envelope.version > 0),
            Err(BadRecord::Damaged(reason)) => assert!(!reason.is_empty()),
        }
    };
    for record in &good {
        look(record);
        for at in 0..record.len() {
            look(&record[..at]);
            let mut bad = record.clone();
            bad[at] ^= 1 << (at % 8);
            look(&bad);
        }
        for _ in 0..2000 {
            let mut bad = record.clone();
            for _ in 0..=rng.below(5) {
                let at = rng.below(bad.len());
                match rng.below(4) {
                    0 => bad[at] = b"0123456789[]{}\",:-eEnull"[rng.below(24)],
                    1 => drop(bad.remove(at)),
                    2 => bad.insert(at, bad[rng.below(bad.len())]),
                    _ => {
                        // A piece of another record.
                        let other = &good[rng.below(good.len())];
                        let from = rng.below(other.len());
                        let to = (from + rng.below(80)).min(other.len());
                        bad.splice(at..at, other[from..to].iter().copied());
                    }
                }
            }
            look(&bad);
        }
    }
    eprintln!("{tried} records tried, {read} read");
    assert!(tried > 15_000 && read > 5, "{tried} {read}");
}
