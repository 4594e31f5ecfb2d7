//! Model folders of 2018 through the jobs: round trips to the bit, refusals, and folders of the real
//! Keras against its own outputs where they are at hand.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests too, clippy only knows functions marked as such"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stockpot_core::rng::Rng;
use stockpot_core::{Area, CancelToken, PersonName, Progress};
use stockpot_jobs::compat::{CalibrationFaces, CalibrationSource, Verdict};
use stockpot_jobs::{Context, JobError, init, legacy, person};
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

/// Faces of noise, always the same.
struct Noise;

impl CalibrationSource for Noise {
    fn faces(
        &self,
        _: &Context,
        area: Area,
        resolution: u32,
    ) -> Result<CalibrationFaces, JobError> {
        let mut rng = Rng::stream(3, "noise", 0);
        let rgb = (0..40 * 3 * resolution.pow(2)).map(|_| rng.next_u64() as u8);
        CalibrationFaces::new(area, resolution, rgb.collect())
    }

    fn at_hand(&self, _: &Context, _: Area, _: u32) -> Result<bool, JobError> {
        Ok(true)
    }
}

fn import(ctx: &Context, settings: &legacy::Settings) -> Result<legacy::ImportReply, JobError> {
    legacy::import(ctx, Ok(&Noise), settings, legacy::Corrections::default())
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
    let reply = import(&ctx, &settings(old.clone(), "anna", "bert")).unwrap();
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
    let again = import(&ctx, &settings(new, "anna", "cleo")).unwrap();
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

/// A folder whose encoder has these numbers.
fn write_with(dir: &Path, encoder: &[f32]) {
    let net = LegacyNet::new(2, 16, 32).unwrap();
    let n: usize = net
        .decoder_shapes()
        .iter()
        .map(|s| s.iter().product::<usize>())
        .sum();
    let decoder = vec![0.01; n];
    write_legacy(dir, net, encoder, [&decoder, &decoder]).unwrap();
}

#[test]
fn a_line_is_recognised_by_measurement() {
    let home = tempfile::tempdir().unwrap();
    let ctx = library(
        &home.path().join("stock"),
        &["anna", "bert", "cleo", "dora"],
    );
    let network = Network::new("classic-2x16d32".parse::<Family>().unwrap());
    let init = |seed| Params::init(network.encoder_layout().clone(), seed).data;
    let (first, foreign) = (init(1), init(2));
    // Trained on a little.
    let mixed = first.iter().zip(&foreign);
    let second: Vec<f32> = mixed.map(|(a, b)| 0.97 * a + 0.03 * b).collect();
    let dirs = ["ab", "ac", "xy", "again"].map(|name| home.path().join(name));
    for (dir, encoder) in dirs.iter().zip([&first, &second, &foreign, &first]) {
        write_with(dir, encoder);
    }
    let reply = |i: usize, a, b| import(&ctx, &settings(dirs[i].clone(), a, b)).unwrap();
    let ab = reply(0, "anna", "bert");
    assert!(ab.related.is_empty());
    let ac = reply(1, "anna", "cleo");
    let [kin] = ac.related.as_slice() else {
        panic!("{ac:#?}");
    };
    assert!(
        kin.encoder == ab.encoder && kin.verdict == Verdict::Kin,
        "{kin:?}"
    );
    assert!(kin.agreement.unwrap() > 0.5 && kin.means.contains("one line"));
    let xy = reply(2, "anna", "dora");
    assert_eq!(xy.related.len(), 2);
    for other in &xy.related {
        assert!(other.verdict == Verdict::Foreign, "{other:?}");
        assert!(other.agreement.unwrap() < 0.5 && other.means.contains("stitch"));
    }
    // Without faces it is said that nothing was measured, and the import stands.
    let nothing = Err("no renderer".to_owned());
    let again = settings(dirs[3].clone(), "cleo", "dora");
    let again = legacy::import(&ctx, nothing, &again, legacy::Corrections::default()).unwrap();
    assert!(again.related.is_empty());
}

#[test]
fn corrections_are_made_and_kept_in_the_record() {
    let home = tempfile::tempdir().unwrap();
    let ctx = library(&home.path().join("stock"), &["anna", "bert"]);
    let old = home.path().join("old");
    write_small(&old);
    let corrections = legacy::Corrections {
        rgb: true,
        channels_first: true,
        half_pixel: true,
    };
    let settings = settings(old.clone(), "anna", "bert");
    let reply = legacy::import(&ctx, Ok(&Noise), &settings, corrections).unwrap();
    assert!(reply.uncertain.iter().all(|text| !text.contains("BGR")));
    let stock = ctx.library().unwrap();
    let encoder = stock.current_encoder().unwrap().unwrap().record.object;
    let bytes = stock.get_object(&encoder).unwrap();
    assert!(
        !weights_file::metadata(&bytes)
            .unwrap()
            .contains_key("shift_px")
    );
    let network = Network::new("classic-2x16d32".parse::<Family>().unwrap());
    let found = weights_file::from_bytes(network.family(), network.encoder_layout(), &bytes);
    let mut wanted = stockpot_library::legacy::read_legacy(&old).unwrap();
    let plain = wanted.encoder.clone();
    wanted.keep_colours();
    wanted.flatten_by_rows();
    let found = found.unwrap().data;
    assert!(found == wanted.encoder && found != plain);
    let state = stock.current_decoder(&name("bert")).unwrap().unwrap();
    let bytes = stock.get_object(&state.record.object).unwrap();
    assert_eq!(weights_file::metadata(&bytes).unwrap()["shift_px"], "0.5");
    let described = ctx
        .library_dir
        .join("runs")
        .join(&reply.run)
        .join("import.json");
    let described = std::fs::read_to_string(described).unwrap();
    assert!(described.contains("\"half_pixel\": true"), "{described}");
}

#[test]
fn what_cannot_be_imported_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let ctx = library(&home.path().join("stock"), &["anna", "bert"]);
    let old = home.path().join("old");
    write_small(&old);
    let refused = |dir: &Path, a: &str, b: &str, word: &str| {
        let error = import(&ctx, &settings(dir.into(), a, b)).unwrap_err();
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
        let reply = import(&ctx, &settings(dir.clone(), "anna", "bert")).unwrap();
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
        import(&second, &settings(out, "anna", "bert")).unwrap();
        let first = stockpot_library::legacy::read_legacy(&dir).unwrap();
        let back = stockpot_library::legacy::read_legacy(&home.path().join("out")).unwrap();
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(bits(&first.encoder) == bits(&back.encoder), "{folder}");
        for (a, b) in first.decoders.iter().zip(&back.decoders) {
            assert!(bits(a) == bits(b), "{folder}");
        }
    }
}
