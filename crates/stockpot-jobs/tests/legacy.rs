//! Model folders of 2018 through the jobs: round trips to the bit, refusals, and folders of the real
//! Keras against its own outputs where they are at hand.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests too, clippy only knows functions marked as such"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stockpot_core::{CancelToken, PersonName, Progress};
use stockpot_jobs::{Context, init, legacy, person};
use stockpot_library::legacy::{LEGACY_FILES, LegacyNet, write_legacy};
use stockpot_model::{Family, Network, Params, Plan, weights_file};

fn name(text: &str) -> PersonName {
    text.parse().unwrap()
}

/// A library with these persons, in a folder of its own.
fn library(dir: &Path, persons: &[&str]) -> Context {
    let ctx = Context {
        library_dir: dir.into(),
        models_dir: dir.join("no-models"),
        identity_dir: dir.join("no-identity"),
        own_certificate: None,
        worker_exe: dir.join("no-worker"),
        progress: Arc::new(|_: Progress| {}),
        cancel: CancelToken::new(),
        seed: 0,
        project: None,
    };
    init::run(&ctx, &init::Settings {}).unwrap();
    for text in persons {
        let add = person::Add {
            name: name(text),
            consent: person::ConsentFrom::Synthetic,
            entered_by: "the tests".into(),
            note: String::new(),
            terms: person::Terms::default(),
        };
        person::add(&ctx, &add).unwrap();
    }
    ctx
}

fn settings(dir: PathBuf, a: &str, b: &str) -> legacy::Settings {
    legacy::Settings {
        dir,
        a: name(a),
        b: name(b),
    }
}

/// The smallest network, with numbers that are all different.
fn write_small(dir: &Path) {
    let net = LegacyNet::new(2, 16, 32).unwrap();
    let numbers = |shapes: &[Vec<usize>], seed: f32| -> Vec<f32> {
        let n: usize = shapes.iter().map(|s| s.iter().product::<usize>()).sum();
        (0..n).map(|i| seed + i as f32 / 1e6).collect()
    };
    let decoder = net.decoder_shapes();
    let (a, b) = (numbers(&decoder, 0.0), numbers(&decoder, 1.0));
    write_legacy(dir, net, &numbers(&net.encoder_shapes(), -1.0), [&a, &b]).unwrap();
}

#[test]
fn import_and_export_give_the_same_folder() {
    let home = tempfile::tempdir().unwrap();
    let ctx = library(&home.path().join("stock"), &["anna", "bert", "cleo"]);
    let (old, new) = (home.path().join("old"), home.path().join("new"));
    write_small(&old);
    let reply = legacy::import(&ctx, &settings(old.clone(), "anna", "bert")).unwrap();
    assert_eq!(reply.network, "classic-2x16d32");
    assert_eq!(
        reply.written_by.as_deref(),
        Some("Keras 2.1.2 on tensorflow")
    );
    assert!(reply.uncertain.iter().any(|text| text.contains("BGR")));
    assert_eq!(reply.decoders.len(), 2);
    let described = ctx
        .library_dir
        .join("runs")
        .join(&reply.run)
        .join("import.json");
    let described = std::fs::read_to_string(described).unwrap();
    assert!(described.contains("decoder_A.h5") && described.contains("\"A\": \"anna\""));

    legacy::export(&ctx, &settings(new.clone(), "anna", "bert")).unwrap();
    for file in LEGACY_FILES {
        assert!(
            std::fs::read(old.join(file)).unwrap() == std::fs::read(new.join(file)).unwrap(),
            "{file}"
        );
    }
    // A second folder of the lineage: A anew, and another person.
    let again = legacy::import(&ctx, &settings(new, "anna", "cleo")).unwrap();
    assert_eq!(again.with_earlier_encoder, [name("bert")]);
    let stock = ctx.library().unwrap();
    assert!(
        stock
            .verify(&*ctx.progress, &ctx.cancel)
            .unwrap()
            .is_sound()
    );
    let apart = legacy::export(&ctx, &settings(home.path().join("x"), "anna", "bert"));
    let apart = apart.unwrap_err();
    assert!(
        apart.message.contains("a folder holds one encoder"),
        "{apart}"
    );
    assert!(!home.path().join("x").exists());
}

#[test]
fn what_cannot_be_imported_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let ctx = library(&home.path().join("stock"), &["anna", "bert"]);
    let old = home.path().join("old");
    write_small(&old);
    let refused = |dir: &Path, a: &str, b: &str, word: &str| {
        let error = legacy::import(&ctx, &settings(dir.into(), a, b)).unwrap_err();
        assert!(error.message.contains(word), "{error}");
    };
    refused(&old, "anna", "dora", "`dora`");
    refused(&old, "anna", "anna", "two persons");
    refused(home.path(), "anna", "bert", "has no encoder.h5");
    let torn = home.path().join("torn");
    write_small(&torn);
    let bytes = std::fs::read(torn.join("decoder_B.h5")).unwrap();
    std::fs::write(torn.join("decoder_B.h5"), &bytes[..bytes.len() / 2]).unwrap();
    refused(&torn, "anna", "bert", "decoder_B.h5");
    let stock = ctx.library().unwrap();
    assert!(stock.current_encoder().unwrap().is_none());
    assert_eq!(std::fs::read_dir(stock.runs_dir()).unwrap().count(), 0);
    let nothing = legacy::export(&ctx, &settings(home.path().join("x"), "anna", "bert"));
    assert!(nothing.unwrap_err().message.contains("no decoder yet"));
}

/// Arrays of a `.npz` by name: stored members, each a little-endian f32 `.npy` of version 1.
fn read_npz(path: &Path) -> Vec<(String, Vec<f32>)> {
    let bytes = std::fs::read(path).unwrap();
    let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (mut at, mut out) = (0, Vec::new());
    while bytes[at..].starts_with(b"PK\x03\x04") {
        let name_len = word(at + 26);
        let name = String::from_utf8(bytes[at + 30..at + 30 + name_len].to_vec()).unwrap();
        let npy = at + 30 + name_len + word(at + 28);
        assert!(bytes[npy..].starts_with(b"\x93NUMPY\x01"), "{name}");
        let data = npy + 10 + word(npy + 8);
        let header = std::str::from_utf8(&bytes[npy + 10..data]).unwrap();
        assert!(
            header.contains("'<f4'") && header.contains("False"),
            "{header}"
        );
        let (_, shape) = header.split_once('(').unwrap();
        let (shape, _) = shape.split_once(')').unwrap();
        let dims = shape
            .split(',')
            .filter_map(|n| n.trim().parse::<usize>().ok());
        let end = data + 4 * dims.product::<usize>();
        let numbers = bytes[data..end].as_chunks::<4>().0;
        let numbers = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
        out.push((name.trim_end_matches(".npy").to_owned(), numbers));
        at = end;
    }
    out
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// BGR pixels to RGB or back.
fn swapped(pixels: &[f32]) -> Vec<f32> {
    pixels
        .chunks_exact(3)
        .flat_map(|p| [p[2], p[1], p[0]])
        .collect()
}

/// The folders `root/MODEL/PAIR` that have reference outputs.
fn reference_folders(root: &Path) -> Vec<PathBuf> {
    let inside = |dir: PathBuf| -> Vec<PathBuf> {
        let listing = std::fs::read_dir(dir).into_iter().flatten();
        listing.map(|entry| entry.unwrap().path()).collect()
    };
    let mut found: Vec<PathBuf> = inside(root.into())
        .into_iter()
        .flat_map(inside)
        .filter(|dir| dir.join("ref.npz").is_file())
        .collect();
    found.sort();
    found
}

/// Folders of the real Keras 2, with its outputs in `ref.npz`. They are megabytes, so they are not
/// in the repository; `STOCKPOT_LEGACY` names a folder that holds them, as `small8/AB`.
#[test]
fn folders_of_keras_give_its_outputs() {
    let Some(root) = std::env::var_os("STOCKPOT_LEGACY") else {
        eprintln!("skipped: STOCKPOT_LEGACY does not name a folder of reference models");
        return;
    };
    let folders = reference_folders(Path::new(&root));
    assert!(
        !folders.is_empty(),
        "no ref.npz two levels below STOCKPOT_LEGACY"
    );
    for dir in folders {
        let folder = dir.strip_prefix(&root).unwrap().display();
        let home = tempfile::tempdir().unwrap();
        let ctx = library(&home.path().join("stock"), &["anna", "bert"]);
        let reply = legacy::import(&ctx, &settings(dir.clone(), "anna", "bert")).unwrap();
        eprintln!("{folder}: {}, {}", reply.network, reply.found);
        let stock = ctx.library().unwrap();
        let network = Network::new(reply.network.parse::<Family>().unwrap());
        let arrays = read_npz(&dir.join("ref.npz"));
        let array = |name: &str| &arrays.iter().find(|(n, _)| n == name).unwrap().1;
        let run = |graph, params: &Params, input: &[f32]| {
            let mut plan = Plan::inference(graph, 4);
            plan.load(params);
            plan.forward(input).to_vec()
        };
        let load = |layout, object| {
            let bytes = stock.get_object(&object).unwrap();
            weights_file::from_bytes(network.family(), layout, &bytes).unwrap()
        };
        let encoder = stock.current_encoder().unwrap().unwrap().record.object;
        let encoder = load(network.encoder_layout(), encoder);
        let codes = run(
            network.encoder().clone(),
            &encoder,
            &swapped(array("input")),
        );
        let far = largest_difference(&codes, array("encoder"));
        eprintln!("{folder}: encoder {far:.2e}");
        assert!(far <= 5e-5, "{folder} encoder {far}");
        for (person, output) in [("anna", "decoder_A"), ("bert", "decoder_B")] {
            let state = stock.current_decoder(&name(person)).unwrap().unwrap();
            let decoder = load(network.decoder_layout(), state.record.object);
            let pictures = run(network.decoder().clone(), &decoder, &codes);
            let far = largest_difference(&swapped(&pictures), array(output));
            eprintln!("{folder}: {output} {far:.2e}");
            assert!(far <= 2e-6, "{folder} {output} {far}");
        }
        // Out and in again: the same numbers, to the bit.
        let out = home.path().join("out");
        legacy::export(&ctx, &settings(out.clone(), "anna", "bert")).unwrap();
        let second = library(&home.path().join("second"), &["anna", "bert"]);
        legacy::import(&second, &settings(out, "anna", "bert")).unwrap();
        let first = stockpot_library::legacy::read_legacy(&dir).unwrap();
        let back = stockpot_library::legacy::read_legacy(&home.path().join("out")).unwrap();
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(bits(&first.encoder) == bits(&back.encoder), "{folder}");
        for (a, b) in first.decoders.iter().zip(&back.decoders) {
            assert!(bits(a) == bits(b), "{folder}");
        }
    }
}
