//! Made-up people for the measurements: their films, moments that nobody learned from, and what a
//! decoder draws of them, against the truth.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use stockpot_convert::{Placement, cut, face_oval};
use stockpot_core::face::fill_polygon;
use stockpot_core::{
    Area, CancelToken, FaceLandmarks, PersonName, Pose, Progress, Rng, Size, TimeBase, Timestamp,
};
use stockpot_faceset::{FacesetWriter, NewFace, SourceInfo, WriterSettings, cut_crop};
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
/// The network of lineages that begin with fresh weights.
pub(crate) const FRESH: &str = "comb-s-64";

/// A person's name.
pub(crate) fn name(text: &str) -> PersonName {
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

fn film(head: &HeadData, seed: u64, text: &str, folder: &Path, moments: &[u64]) {
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
    let faces: Vec<_> = moments
        .par_iter()
        .map(|number| {
            let number = *number;
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
pub(crate) struct Faces {
    pub(crate) side: usize,
    pub(crate) rgb: Vec<f32>,
    pub(crate) mask: Vec<f32>,
}

/// Person `who` playing moments that nobody learned from.
pub(crate) fn playing(head: &HeadData, seed: u64, who: &str, preset: &str) -> Faces {
    let family: Family = preset.parse().unwrap();
    let side = family.resolution();
    let person = person_of(head, seed, who);
    let drawn: Vec<(Vec<f32>, Vec<f32>)> = (0..SWAPPED)
        .into_par_iter()
        .map(|number| {
            let (drawn, landmarks) = seen(head, &person, &moment(seed, "unseen", 7 * number));
            let placement = Placement {
                face_from_frame: landmarks.face_from_frame().unwrap(),
                area: Area::Face,
                resolution: side,
            };
            let mut rgb = vec![0.0; placement.rgb_len()];
            cut(&drawn.rgb, &placement, &mut rgb).unwrap();
            let net_from_frame = placement.frame_from_net().unwrap().inverse().unwrap();
            let oval = face_oval(&landmarks).into_iter();
            let oval: Vec<_> = oval.map(|p| net_from_frame.apply(p)).collect();
            let mask = fill_polygon(Size::square(side), &oval);
            let mask = mask.data().iter().map(|v| f32::from(*v) / 255.0).collect();
            (rgb, mask)
        })
        .collect();
    Faces {
        side: side as usize,
        rgb: drawn.iter().flat_map(|(rgb, _)| rgb.clone()).collect(),
        mask: drawn.iter().flat_map(|(_, mask)| mask.clone()).collect(),
    }
}

/// Mean difference from the truth over the face.
pub(crate) fn mae(drawn: &[f32], channels: usize, truth: &Faces) -> f64 {
    let comparison = Comparison {
        side: truth.side,
        channels,
        prediction: drawn,
        target: &truth.rgb,
        mask: &truth.mask,
        weight: &[],
    };
    score_faces(&comparison).unwrap().mae
}

/// A state of a library.
#[derive(Clone, Copy)]
pub(crate) struct State<'a> {
    pub(crate) library: &'a Context,
    pub(crate) hash: &'a str,
}

/// What the decoder state draws under the encoder state.
pub(crate) fn drawn(encoder: State<'_>, decoder: State<'_>, input: &Faces) -> Vec<f32> {
    let family = encoder
        .library
        .library()
        .unwrap()
        .family()
        .unwrap()
        .unwrap();
    let family: Family = family.parse().unwrap();
    let network = Network::new(family);
    let load = |state: State<'_>, is_encoder: bool| {
        let library = state.library.library().unwrap();
        let record = library.find_record(state.hash).unwrap();
        let (graph, params) = if is_encoder {
            let object = library.encoder_state(&record).unwrap().record.object;
            let bytes = library.get_object(&object).unwrap();
            let layout = network.encoder_layout();
            let params = weights_file::from_bytes(family, layout, &bytes).unwrap();
            (network.encoder(), params)
        } else {
            let record = library.decoder_state(&record).unwrap().record;
            let params = stockpot_jobs::decoder::load(&library, &network, &record).unwrap();
            (network.decoder(), params)
        };
        let mut plan = Plan::inference(graph.clone(), SWAPPED as usize);
        plan.load(&params);
        plan
    };
    let (mut encoder, mut decoder) = (load(encoder, true), load(decoder, false));
    decoder.forward(encoder.forward(&input.rgb)).to_vec()
}

/// A new library in `folder` and these persons in it with their films.
pub(crate) fn library(
    models: &str,
    folder: &Path,
    seed: u64,
    persons: &[&str],
) -> (Context, HeadData) {
    let moments: Vec<u64> = (0..MOMENTS).collect();
    library_of(models, folder, seed, persons, &moments)
}

/// The same with these moments of each film only, by their numbers.
pub(crate) fn library_of(
    models: &str,
    folder: &Path,
    seed: u64,
    persons: &[&str],
    moments: &[u64],
) -> (Context, HeadData) {
    let ctx = Context {
        library_dir: folder.join("stock"),
        models_dir: models.into(),
        identity_dir: folder.join("identity"),
        own_certificate: None,
        worker_exe: "no-worker".into(),
        progress: Arc::new(|p: Progress| {
            if let Progress::Warning(text) | Progress::Info(text) = p {
                eprintln!("{text}");
            }
        }),
        cancel: CancelToken::new(),
        seed,
        project: None,
    };
    let package = stockpot_faces::models::head_package(&ctx.models_dir).unwrap();
    let head = HeadData::from_package(&package).unwrap();
    init::run(&ctx, &init::Settings {}).unwrap();
    for who in persons {
        let add = person::Add {
            name: name(who),
            consent: person::ConsentFrom::Synthetic,
            entered_by: "lineages".into(),
            note: String::new(),
            terms: person::Terms::default(),
        };
        person::add(&ctx, &add).unwrap();
        let faces = ctx.library().unwrap().facesets_dir(&name(who));
        film(&head, seed, who, &faces, moments);
    }
    (ctx, head)
}

/// A training of two persons.
pub(crate) struct Lesson<'a> {
    pub(crate) seed: u64,
    pub(crate) persons: [&'a str; 2],
    pub(crate) steps: u64,
    /// Fresh weights, instead of what the library has.
    pub(crate) from_scratch: bool,
    /// Measurements on the way.
    pub(crate) evaluations: u64,
}

/// Trains [`FRESH`] networks.
pub(crate) fn trained(ctx: &Context, lesson: &Lesson<'_>) -> train::Reply {
    let steps = lesson.steps;
    let settings = train::Settings {
        batch: Some(16),
        preset: Some(FRESH.into()),
        from_scratch: lesson.from_scratch,
        more: serde_json::json!({
            "schedule": "cosine", "schedule_steps": steps, "ema_decay": 0.95,
            "evaluate_every": steps.checked_div(lesson.evaluations).unwrap_or(0),
            "preview_every": 0, "save_every": steps,
        }),
        ..train::Settings::default()
    };
    trained_with(ctx, lesson, settings)
}

/// Trains with these settings.
pub(crate) fn trained_with(
    ctx: &Context,
    lesson: &Lesson<'_>,
    settings: train::Settings,
) -> train::Reply {
    let begun = Instant::now();
    let settings = train::Settings {
        persons: lesson.persons.map(name).to_vec(),
        steps: Some(lesson.steps),
        ..settings
    };
    let own = Context {
        seed: lesson.seed,
        ..ctx.clone()
    };
    let reply = train::run(&own, &settings).unwrap();
    let secs = begun.elapsed().as_secs_f64();
    println!(
        "{:?}: {} steps in {secs:.0} s",
        lesson.persons, lesson.steps
    );
    reply
}
