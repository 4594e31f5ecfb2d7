//! Measures decoders across lineages: two lineages, two made-up people each, trained apart; every
//! decoder under both encoders, as it is and through a stitch, and one swap against the truth.
//!
//! `cargo run --release -p stockpot-eval --example interchange -- MODELS FOLDER STEPS SEED`: `MODELS`
//! holds the head data, `FOLDER` (new) takes the library, the page `matrix.html` and the cache.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has nothing to clean up"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use stockpot_convert::{Placement, cut, face_oval};
use stockpot_core::face::fill_polygon;
use stockpot_core::{
    Area, CancelToken, FaceLandmarks, PersonName, Pose, Progress, Rng, Size, TimeBase, Timestamp,
};
use stockpot_eval::calibration::{FACES, Renderer};
use stockpot_faceset::{FacesetWriter, NewFace, SourceInfo, WriterSettings, cut_crop};
use stockpot_jobs::compat::{matrix, passport, stitch};
use stockpot_jobs::{Context, init, person, train};
use stockpot_model::{Family, Network, Plan, weights_file};
use stockpot_synth::assets::HeadData;
use stockpot_synth::{Drawn, Moment, Performance, Person, draw};
use stockpot_train::loss::Comparison;
use stockpot_train::metrics::score_faces;

const FRAME: u32 = 256;
/// Moments of each person, five a second, in performances of eight seconds.
const MOMENTS: u64 = 200;
const EACH: u64 = 40;
/// Moments that the swap is measured on.
const SWAPPED: u64 = 48;
const PRESET: &str = "comb-s-64";
const SIDE: usize = 64;

fn name(text: &str) -> PersonName {
    text.parse().unwrap()
}

fn person_of(head: &HeadData, seed: u64, who: &str) -> Person {
    Person::new(head, Rng::stream(seed, who, 0).next_u64())
}

fn moment(seed: u64, who: &str, number: u64) -> Moment {
    let mut rng = Rng::stream(seed, &format!("{who} plays"), number / EACH);
    let performance = Performance {
        seed: rng.next_u64(),
    };
    performance.at((number % EACH) as f32 * 0.2)
}

fn seen(head: &HeadData, who: &Person, moment: &Moment) -> (Drawn, FaceLandmarks) {
    let mut drawn = draw(head, who, moment, Size::square(FRAME)).unwrap();
    drawn.landmarks.sort_by_key(|l| l.facemesh);
    let points = drawn.landmarks.iter();
    let points = points.map(|l| [l.place.x as f32, l.place.y as f32, 0.0]);
    let landmarks = FaceLandmarks::new(points.collect()).unwrap();
    (drawn, landmarks)
}

fn film(head: &HeadData, seed: u64, text: &str, folder: &Path) {
    let settings = WriterSettings {
        crop_side: FRAME,
        ..WriterSettings::default()
    };
    let source = SourceInfo {
        name: format!("{text}.mp4"),
        bytes: 1,
    };
    let mut writer = FacesetWriter::begin(folder, &name(text), &source, &settings).unwrap();
    let who = person_of(head, seed, text);
    let faces: Vec<_> = (0..MOMENTS)
        .into_par_iter()
        .map(|number| {
            let (drawn, landmarks) = seen(head, &who, &moment(seed, text, number));
            let aligned = landmarks.face_from_frame().unwrap();
            let (crop, _) = cut_crop(&drawn.rgb, &aligned, &settings).unwrap();
            (number, aligned, landmarks, crop)
        })
        .collect();
    for (number, face_from_frame, landmarks, crop) in faces {
        let [yaw_rad, pitch_rad, roll_rad] = moment(seed, text, number).turn_rad;
        let time = Timestamp {
            ticks: number as i64,
            base: TimeBase { num: 1, den: 5 },
        };
        let face = NewFace {
            frame_index: number,
            time,
            face_from_frame,
            landmarks: &landmarks,
            pose: Pose {
                yaw_rad,
                pitch_rad,
                roll_rad,
            },
            sharpness: 1.0,
            score: 1.0,
            track: 0,
            embedding: None,
            rejected: None,
            crop: Some(crop),
        };
        writer.add(face).unwrap();
    }
    writer.finish().unwrap();
}

/// Aligned faces as a network sees them, and the outline of each.
struct Faces {
    rgb: Vec<f32>,
    mask: Vec<f32>,
}

/// Person `who` playing moments that nobody learned from.
fn playing(head: &HeadData, seed: u64, who: &str) -> Faces {
    let person = person_of(head, seed, who);
    let drawn: Vec<(Vec<f32>, Vec<f32>)> = (0..SWAPPED)
        .into_par_iter()
        .map(|number| {
            let (drawn, landmarks) = seen(head, &person, &moment(seed, "unseen", 7 * number));
            let placement = Placement {
                face_from_frame: landmarks.face_from_frame().unwrap(),
                area: Area::Face,
                resolution: SIDE as u32,
            };
            let mut rgb = vec![0.0; placement.rgb_len()];
            cut(&drawn.rgb, &placement, &mut rgb).unwrap();
            let net_from_frame = placement.frame_from_net().unwrap().inverse().unwrap();
            let oval = face_oval(&landmarks).into_iter();
            let oval: Vec<_> = oval.map(|p| net_from_frame.apply(p)).collect();
            let mask = fill_polygon(Size::square(SIDE as u32), &oval);
            let mask = mask.data().iter().map(|v| f32::from(*v) / 255.0).collect();
            (rgb, mask)
        })
        .collect();
    Faces {
        rgb: drawn.iter().flat_map(|(rgb, _)| rgb.clone()).collect(),
        mask: drawn.iter().flat_map(|(_, mask)| mask.clone()).collect(),
    }
}

fn mae(drawn: &[f32], channels: usize, truth: &Faces) -> f64 {
    let comparison = Comparison {
        side: SIDE,
        channels,
        prediction: drawn,
        target: &truth.rgb,
        mask: &truth.mask,
        weight: &[],
    };
    score_faces(&comparison).unwrap().mae
}

/// What the decoder state draws under the encoder state.
fn drawn(ctx: &Context, encoder: &str, decoder: &str, input: &Faces) -> Vec<f32> {
    let library = ctx.library().unwrap();
    let family: Family = PRESET.parse().unwrap();
    let network = Network::new(family);
    let find = |key: &str| library.find_record(key).unwrap();
    let objects = [
        library.encoder_state(&find(encoder)).unwrap().record.object,
        library.decoder_state(&find(decoder)).unwrap().record.object,
    ];
    let graphs = [network.encoder(), network.decoder()];
    let [mut encoder, mut decoder] =
        graphs.map(|graph| Plan::inference(graph.clone(), SWAPPED as usize));
    let layouts = [network.encoder_layout(), network.decoder_layout()];
    let mut plans = [&mut encoder, &mut decoder];
    for ((plan, layout), object) in plans.iter_mut().zip(layouts).zip(&objects) {
        let bytes = library.get_object(object).unwrap();
        plan.load(&weights_file::from_bytes(family, layout, &bytes).unwrap());
    }
    decoder.forward(encoder.forward(&input.rgb)).to_vec()
}

fn lineage(ctx: &Context, seed: u64, persons: [&str; 2], steps: u64) -> train::Reply {
    let begun = Instant::now();
    let settings = train::Settings {
        persons: persons.map(name).to_vec(),
        steps: Some(steps),
        batch: Some(16),
        preset: Some(PRESET.into()),
        from_scratch: true,
        more: serde_json::json!({
            "schedule": "cosine", "schedule_steps": steps, "ema_decay": 0.95,
            "evaluate_every": 0, "preview_every": 0, "save_every": steps,
        }),
        ..train::Settings::default()
    };
    let own = Context {
        seed,
        ..ctx.clone()
    };
    let reply = train::run(&own, &settings).unwrap();
    let secs = begun.elapsed().as_secs_f64();
    println!("{persons:?}: {steps} steps in {secs:.0} s");
    reply
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [models, folder, steps, seed] = arguments.as_slice() else {
        eprintln!("wanted: MODELS FOLDER STEPS SEED");
        std::process::exit(2);
    };
    let folder = PathBuf::from(folder);
    let (steps, seed): (u64, u64) = (steps.parse().unwrap(), seed.parse().unwrap());
    let ctx = Context {
        library_dir: folder.join("stock"),
        models_dir: models.into(),
        worker_exe: "no-worker".into(),
        progress: Arc::new(|p: Progress| {
            if let Progress::Warning(text) | Progress::Info(text) = p {
                eprintln!("{text}");
            }
        }),
        cancel: CancelToken::new(),
        seed,
    };
    let package = stockpot_faces::models::head_package(&ctx.models_dir).unwrap();
    let head = HeadData::from_package(&package).unwrap();
    init::run(&ctx, &init::Settings {}).unwrap();
    for who in ["a", "b", "c", "d"] {
        let add = person::Add {
            name: name(who),
            consent: person::ConsentFrom::Synthetic,
            entered_by: "interchange".into(),
            note: String::new(),
        };
        person::add(&ctx, &add).unwrap();
        let faces = ctx.library().unwrap().facesets_dir(&name(who));
        film(&head, seed, who, &faces);
    }
    let x = lineage(&ctx, 2 * seed, ["a", "b"], steps);
    let y = lineage(&ctx, 2 * seed + 1, ["c", "d"], steps);
    let faces = Renderer {
        cache_dir: folder.join("cache"),
        faces: FACES,
    };
    let begun = Instant::now();
    let passports = passport::run(&ctx, &faces, None).unwrap().passports;
    println!(
        "faces and passports in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    for row in &passports {
        println!("{}", serde_json::to_string(row).unwrap());
    }
    let page = folder.join("matrix.html");
    let reply = matrix::run(&ctx, &faces, &matrix::Settings { page }).unwrap();
    for cell in &reply.cells {
        println!("{}", serde_json::to_string(cell).unwrap());
    }
    // Person a in c's frames: the lineage that knows a, then the other one.
    let decoder_of_a = &x.persons[0].decoder;
    let (input, truth) = (playing(&head, seed, "c"), playing(&head, seed, "a"));
    let native = mae(&drawn(&ctx, &x.encoder, decoder_of_a, &input), 4, &truth);
    let crossed = mae(&drawn(&ctx, &y.encoder, decoder_of_a, &input), 4, &truth);
    let settings = stitch::Settings {
        person: name("a"),
        to: y.encoder.clone(),
    };
    let reply = stitch::run(&ctx, &faces, &settings).unwrap();
    println!("{}", serde_json::to_string(&reply).unwrap());
    let stitched = mae(&drawn(&ctx, &y.encoder, &reply.decoder, &input), 4, &truth);
    println!(
        "swap of c to a, mean difference from the truth over the face: no swap {:.4}, native {native:.4}, crossed {crossed:.4}, stitched {stitched:.4} ({:.3} times native)",
        mae(&input.rgb, 3, &truth),
        stitched / native
    );
}
