//! Exports of an imported network, the smallest there is: what is in the files, and what is refused.

use std::path::Path;
use std::sync::Arc;

use stockpot_core::{CancelToken, Progress};
use stockpot_library::legacy::{LegacyNet, write_legacy};

use super::*;
use crate::{init, legacy, person};

fn name(text: &str) -> PersonName {
    text.parse().unwrap()
}

/// A library in which anna and bert have decoders, and dora has none.
fn library(home: &Path) -> Context {
    let ctx = Context {
        library_dir: home.join("stock"),
        models_dir: home.join("no-models"),
        identity_dir: home.join("no-identity"),
        own_certificate: None,
        worker_exe: home.join("no-worker"),
        progress: Arc::new(|_: Progress| {}),
        cancel: CancelToken::new(),
        seed: 0,
        project: None,
    };
    init::run(&ctx, &init::Settings {}).unwrap();
    for text in ["anna", "bert", "dora"] {
        let add = person::Add {
            name: name(text),
            consent: person::ConsentFrom::Synthetic,
            entered_by: "the tests".into(),
            note: String::new(),
            terms: person::Terms::default(),
        };
        person::add(&ctx, &add).unwrap();
    }
    let net = LegacyNet::new(2, 16, 32).unwrap();
    let numbers = |shapes: &[Vec<usize>], seed: f32| -> Vec<f32> {
        let n: usize = shapes.iter().map(|s| s.iter().product::<usize>()).sum();
        (0..n).map(|i| seed + i as f32 / 1e6).collect()
    };
    let decoder = net.decoder_shapes();
    let decoders = [numbers(&decoder, 0.0), numbers(&decoder, 1.0)];
    let encoder = numbers(&net.encoder_shapes(), -1.0);
    let old = home.join("old");
    write_legacy(&old, net, &encoder, [&decoders[0], &decoders[1]]).unwrap();
    let import = legacy::Settings {
        dir: old,
        a: name("anna"),
        b: name("bert"),
    };
    let nothing = Err("none here".to_owned());
    legacy::import(&ctx, nothing, &import, legacy::Corrections::default()).unwrap();
    ctx
}

fn settings(person: &str, format: Format, file: PathBuf) -> Settings {
    Settings {
        person: name(person),
        format,
        file,
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[test]
fn every_format_says_whose_it_is_and_what_it_owes() {
    let home = tempfile::tempdir().unwrap();
    let ctx = library(home.path());
    let stock = ctx.library().unwrap();
    let decoder = stock.current_decoder(&name("anna")).unwrap().unwrap();
    let consent = stock.consent_on_record(&name("anna")).unwrap();
    for (format, file, own) in [
        // The network of 2018 doubles by shuffling pixels.
        (Format::Onnx, "anna.onnx", "DepthToSpace"),
        (Format::Dfm, "anna.dfm", "out_celeb_face_mask:0"),
        (
            Format::Safetensors,
            "anna.safetensors",
            "decoder.up64.weight",
        ),
    ] {
        let path = home.path().join(file);
        let reply = run(&ctx, &settings("anna", format, path.clone())).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(reply.size_bytes, bytes.len() as u64);
        assert_eq!(reply.network, "classic-2x16d32");
        for text in [
            own,
            CREDENTIALS,
            "stockpot.person",
            "anna",
            &consent.hash.to_string(),
            &decoder.hash.to_string(),
            &decoder.record.encoder_state.to_string(),
        ] {
            assert!(holds(&bytes, text), "{file} has no {text}");
        }
        assert!(!holds(&bytes, "bert"));
        let again = run(&ctx, &settings("anna", format, path)).unwrap_err();
        assert!(again.message.contains("a file already"), "{again}");
    }
    assert_eq!(
        std::fs::read_dir(home.path()).unwrap().count(),
        5,
        "stock, old, three files and nothing half written"
    );
}

#[test]
fn arrays_are_those_of_the_states() {
    let home = tempfile::tempdir().unwrap();
    let ctx = library(home.path());
    let path = home.path().join("bert.safetensors");
    run(&ctx, &settings("bert", Format::Safetensors, path.clone())).unwrap();
    let both = std::fs::read(&path).unwrap();
    let stock = ctx.library().unwrap();
    let decoder = stock.current_decoder(&name("bert")).unwrap().unwrap();
    let encoder = stock.encoder_state(&decoder.record.encoder_state).unwrap();
    for object in [decoder.record.object, encoder.record.object] {
        let bytes = stock.get_object(&object).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let numbers = &bytes[8 + header..];
        assert!(numbers.len() > 1000);
        assert!(
            both.windows(numbers.len()).any(|w| w == numbers),
            "the arrays of a state lie in one piece"
        );
    }
}

#[test]
fn what_may_not_leave_does_not() {
    let home = tempfile::tempdir().unwrap();
    let ctx = library(home.path());
    let path = home.path().join("x.onnx");
    let refused = |person: &str, word: &str| {
        let wanted = settings(person, Format::Onnx, path.clone());
        let error = run(&ctx, &wanted).unwrap_err();
        assert!(error.message.contains(word), "{error}");
        assert!(error.hint.is_some(), "{error}");
        assert!(!path.exists());
    };
    refused("dora", "no decoder yet");
    refused("emil", "`emil`");
    let forbidden = person::Sharing::Forbidden;
    person::set_sharing(&ctx, &name("anna"), forbidden, "the tests").unwrap();
    refused("anna", "forbids");
    person::set_sharing(&ctx, &name("anna"), person::Sharing::Allowed, "the tests").unwrap();
    run(&ctx, &settings("anna", Format::Onnx, path.clone())).unwrap();
}
