//! Two lineages in one library: what is refused, what is mended, and that nothing else moves.
//!
//! The faces are drawn with a few strokes; no renderer and nobody's picture is needed.

use std::path::Path;
use std::sync::{Arc, Mutex};

use stockpot_core::face::{LANDMARKS, LEFT_EYE, LIPS, OVAL, RIGHT_EYE};
use stockpot_core::{
    Affine, Area, CancelToken, Face, FaceLandmarks, Frame, PersonName, Point, Pose, Progress, Rgb8,
    Rng, Size, TimeBase, Timestamp,
};
use stockpot_faceset::{EMBEDDING, FacesetWriter, NewFace, SourceInfo, WriterSettings, cut_crop};
use stockpot_library::Record;

use super::relation::Verdict;
use super::*;
use crate::context::Context;
use crate::error::JobErrorKind;
use crate::{init, person, swap, train};

const FRAME: Size = Size::square(160);
/// Frame pixels to the face unit.
const UNIT_PX: f64 = 50.0;

pub(crate) fn name(text: &str) -> PersonName {
    text.parse().unwrap()
}

fn face_from_frame() -> Affine<Face, Frame> {
    let shift = |centre: f64| centre - 80.0 / UNIT_PX;
    Affine::scale_then_shift(1.0 / UNIT_PX, shift(0.49), shift(0.42))
}

fn landmarks() -> FaceLandmarks {
    let mut points = vec![Point::<Face>::new(0.49, 0.5); LANDMARKS];
    let mut ring = |indices: &[usize], centre: (f64, f64), radius: (f64, f64)| {
        for (i, index) in indices.iter().enumerate() {
            let angle = i as f64 / indices.len() as f64 * std::f64::consts::TAU;
            let (sin, cos) = angle.sin_cos();
            points[*index] = Point::new(centre.0 + radius.0 * sin, centre.1 - radius.1 * cos);
        }
    };
    ring(&OVAL, (0.49, 0.42), (0.6, 0.75));
    ring(&LEFT_EYE, (0.2256, 0.2163), (0.1, 0.05));
    ring(&RIGHT_EYE, (0.755, 0.2163), (0.1, 0.05));
    ring(&LIPS, (0.49, 0.78), (0.22, 0.09));
    let frame_from_face = face_from_frame().inverse().unwrap();
    let points = points.into_iter().map(|p| frame_from_face.apply(p));
    FaceLandmarks::new(points.map(|p| [p.x as f32, p.y as f32, 0.0]).collect()).unwrap()
}

/// A face of `who` in some pose and light: skin, eyes and a mouth that opens.
fn frame(who: u64, number: u64) -> Rgb8 {
    let mut looks = Rng::stream(who, "compat looks", 0);
    let mut pick = |low, high| looks.range(low, high);
    let skin = [pick(0.45, 0.9), pick(0.35, 0.7), pick(0.25, 0.6)];
    let (wide, eye, mouth_at) = (pick(0.5, 0.65), pick(0.06, 0.13), pick(0.7, 0.85));
    let mut plays = Rng::stream(who, "compat plays", number);
    let mut play = |low, high| plays.range(low, high);
    let (open, light, aside, ground) = (
        play(0.02, 0.16),
        play(-0.4, 0.4),
        play(-0.12, 0.12),
        play(0.1, 0.7),
    );
    let mut out = Rgb8::new(FRAME);
    let to_face = face_from_frame();
    for y in 0..FRAME.height {
        for x in 0..FRAME.width {
            let at = to_face.apply(Point::new(f64::from(x) + 0.5, f64::from(y) + 0.5));
            let (u, v) = (at.x as f32 - 0.49, at.y as f32 - 0.42);
            let inside = |cx: f32, cy: f32, rx: f32, ry: f32| {
                ((u - cx) / rx).powi(2) + ((v - cy) / ry).powi(2) < 1.0
            };
            let shade = 1.0 + light * u;
            let colour = if inside(aside - 0.26, -0.2, eye, eye * 0.6)
                || inside(aside + 0.26, -0.2, eye, eye * 0.6)
            {
                [0.1, 0.1, 0.15]
            } else if inside(aside, mouth_at - 0.42, 0.2, open) {
                [0.4, 0.08, 0.1]
            } else if inside(0.0, 0.0, wide, 0.75) {
                skin.map(|c| c * shade)
            } else {
                [ground, ground * 0.8, 0.3]
            };
            out.set_pixel(x, y, colour.map(stockpot_core::image::unit_to_u8));
        }
    }
    out
}

/// Faces of `who` in a video of that name; their identity is that of `who`, 1.4 from anybody else's.
pub(crate) fn faceset(folder: &Path, person: &PersonName, video: &str, who: u64, count: u64) {
    let settings = WriterSettings {
        crop_side: 128,
        ..WriterSettings::default()
    };
    let source = SourceInfo {
        name: video.into(),
        bytes: 1,
    };
    let mut identity = [0.0; EMBEDDING];
    identity[who as usize] = 1.0;
    let mut writer = FacesetWriter::begin(folder, person, &source, &settings).unwrap();
    for number in 0..count {
        let (crop, _) = cut_crop(&frame(who, number), &face_from_frame(), &settings).unwrap();
        writer
            .add(NewFace {
                frame_index: number,
                time: Timestamp {
                    ticks: number as i64,
                    base: TimeBase { num: 1, den: 5 },
                },
                face_from_frame: face_from_frame(),
                landmarks: &landmarks(),
                pose: Pose {
                    yaw_rad: 0.0,
                    pitch_rad: 0.0,
                    roll_rad: 0.0,
                },
                sharpness: 0.5,
                score: 0.9,
                track: 1,
                embedding: Some(&identity),
                rejected: None,
                crop: Some(crop),
            })
            .unwrap();
    }
    writer.finish().unwrap();
}

/// Strangers drawn with the same strokes.
pub(crate) struct Strokes(pub(crate) usize);

impl CalibrationSource for Strokes {
    fn faces(
        &self,
        _: &Context,
        area: Area,
        resolution: u32,
    ) -> Result<CalibrationFaces, JobError> {
        let mut rgb = Vec::new();
        for n in 0..self.0 as u64 {
            let placement = stockpot_convert::Placement {
                face_from_frame: face_from_frame(),
                area,
                resolution,
            };
            let mut out = vec![0.0; placement.rgb_len()];
            stockpot_convert::cut(&frame(1000 + n / 2, n), &placement, &mut out)?;
            rgb.extend(out.into_iter().map(stockpot_core::image::unit_to_u8));
        }
        CalibrationFaces::new(area, resolution, rgb)
    }

    fn at_hand(&self, _: &Context, _: Area, _: u32) -> Result<bool, JobError> {
        Ok(true)
    }
}

/// A machine without the renderer.
struct Nothing;

impl CalibrationSource for Nothing {
    fn faces(&self, _: &Context, _: Area, _: u32) -> Result<CalibrationFaces, JobError> {
        Err(JobError::failed("There is no renderer here"))
    }

    fn at_hand(&self, _: &Context, _: Area, _: u32) -> Result<bool, JobError> {
        Err(JobError::failed("There is no renderer here"))
    }
}

/// What a job said on its way.
pub(crate) type Heard = Arc<Mutex<Vec<String>>>;

/// A library with these persons and 40 faces of each.
pub(crate) fn library(dir: &Path, persons: &[&str]) -> (Context, Heard) {
    let heard = Heard::default();
    let ear = heard.clone();
    let ctx = Context {
        library_dir: dir.join("stock"),
        models_dir: dir.join("no-models"),
        identity_dir: dir.join("no-identity"),
        own_certificate: None,
        worker_exe: dir.join("no-worker"),
        progress: Arc::new(move |p: Progress| {
            if let Progress::Warning(text) | Progress::Info(text) = p {
                ear.lock().unwrap().push(text);
            }
        }),
        cancel: CancelToken::new(),
        seed: 0,
        project: None,
    };
    init::run(&ctx, &init::Settings {}).unwrap();
    for (who, text) in persons.iter().enumerate() {
        let add = person::Add {
            name: name(text),
            consent: person::ConsentFrom::Synthetic,
            entered_by: "the tests".into(),
            note: String::new(),
            terms: person::Terms::default(),
        };
        person::add(&ctx, &add).unwrap();
        let folder = ctx.library().unwrap().facesets_dir(&name(text));
        faceset(&folder, &name(text), "drawn.mp4", who as u64, 40);
    }
    (ctx, heard)
}

pub(crate) fn train(
    ctx: &Context,
    persons: &[&str],
    preset: &str,
    steps: u64,
    scratch: bool,
) -> Result<train::Reply, JobError> {
    train::run(ctx, &training(persons, preset, steps, scratch))
}

pub(crate) fn training(
    persons: &[&str],
    preset: &str,
    steps: u64,
    scratch: bool,
) -> train::Settings {
    train::Settings {
        persons: persons.iter().map(|p| name(p)).collect(),
        steps: Some(steps),
        batch: Some(4),
        preset: Some(preset.into()),
        precision: Some(train::Precision::F32),
        from_scratch: scratch,
        more: serde_json::json!({
            "evaluate_every": 0, "preview_every": 0, "save_every": steps, "workers": 1,
            "warm_up_steps": 10, "ema_decay": 0.9, "schedule": "constant",
            "learning_rate": 1e-3, "ssim_share": 0.0,
        }),
        ..train::Settings::default()
    }
}

/// The smallest network, and one that is quick to train here.
pub(crate) const SMALL: &str = "classic-2x16d32";

fn stitch_to(person: &str, to: &str) -> stitch::Settings {
    stitch::Settings {
        person: name(person),
        to: to.into(),
    }
}

fn check_of(decoder: &str, encoder: &str) -> check::Settings {
    check::Settings {
        decoder: decoder.into(),
        encoder: encoder.into(),
    }
}

#[test]
fn a_foreign_decoder_is_refused_until_it_is_stitched() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna", "ben"]);
    let first = train(&ctx, &["anna"], SMALL, 3, true).unwrap();
    let second = train(
        &Context {
            seed: 5,
            ..ctx.clone()
        },
        &["ben"],
        SMALL,
        3,
        true,
    )
    .unwrap();
    let stock = ctx.library().unwrap();
    let before = stock.current_decoder(&name("anna")).unwrap().unwrap();
    // By records alone, and by measurement.
    let reply = check::run(&ctx, &Nothing, &check_of("anna", "current")).unwrap();
    assert_eq!(reply.verdict, Verdict::Foreign);
    assert_eq!(reply.codes_agree, None);
    assert!(reply.next.unwrap().contains("library stitch anna"));
    let error = train(&ctx, &["anna", "ben"], SMALL, 3, false).unwrap_err();
    assert!(error.message.contains("foreign"), "{}", error.message);
    let hint = error.hint.unwrap();
    assert!(
        hint.contains(&format!("library stitch anna --to {}", second.encoder)),
        "{hint}"
    );
    assert!(refit::run(&ctx, &refit_of("anna")).is_err());
    assert_eq!(
        stock.current_decoder(&name("anna")).unwrap().unwrap(),
        before
    );
    // Without faces there is no stitch, and nothing moves.
    assert!(stitch::run(&ctx, &Nothing, &stitch_to("anna", "current")).is_err());
    assert_eq!(
        stock.current_decoder(&name("anna")).unwrap().unwrap(),
        before
    );
    // Swapping takes the encoder that the decoder belongs to; the current one is refused before
    // the input is looked at.
    assert_eq!(before.record.encoder_state.short(), first.encoder);
    let wish = swap::Settings {
        input: dir.path().join("nothing.mp4"),
        to: name("anna"),
        wanted: swap::Wanted::Main,
        output: dir.path().join("out.mp4"),
        preview: None,
        frames: None,
        crf: None,
        encoder: Some("current".into()),
        precision: train::Precision::F32,
        convert: swap::ConvertSettings::default(),
        openness: swap::Openness::default(),
    };
    let error = swap::run(&ctx, &wish).unwrap_err();
    assert!(error.message.contains("foreign"), "{}", error.message);
    assert!(error.hint.unwrap().contains("library stitch anna --to"));
    let own = swap::Settings {
        encoder: None,
        ..wish
    };
    let error = swap::run(&ctx, &own).unwrap_err();
    assert!(!error.message.contains("foreign"), "{}", error.message);

    let reply = stitch::run(&ctx, &Strokes(60), &stitch_to("anna", "current")).unwrap();
    assert_eq!(reply.before, Verdict::Foreign);
    let state = stock.current_decoder(&name("anna")).unwrap().unwrap();
    let record = &state.record;
    assert_eq!(record.parent, Some(before.hash));
    assert_eq!(record.stitched_from, Some(before.record.encoder_state));
    assert_eq!(state.hash.short(), reply.decoder);
    // The network of 2018 has its code inside of the encoder, so the halves meet in a state of their
    // own, which does not become the current one.
    assert_ne!(record.encoder_state.short(), second.encoder);
    assert_eq!(record.encoder_state.short(), reply.encoder);
    let current = stock.current_encoder().unwrap().unwrap();
    assert_eq!(current.hash.short(), second.encoder);
    // An export goes through the stitch: with the state that the halves meet in.
    let export = crate::export::Settings {
        person: name("anna"),
        format: crate::export::Format::Onnx,
        file: dir.path().join("anna.onnx"),
    };
    let exported = crate::export::run(&ctx, &export).unwrap();
    assert_eq!(exported.encoder, reply.encoder);
    assert_eq!(exported.stitched_from.as_ref(), Some(&first.encoder));
    assert_eq!(
        check::run(&ctx, &Strokes(60), &check_of("anna", "anna"))
            .unwrap()
            .verdict,
        Verdict::Same
    );
    let report = stock.verify(&*ctx.progress, &ctx.cancel).unwrap();
    assert!(report.is_sound(), "{report:#?}");
}

fn refit_of(person: &str) -> refit::Settings {
    refit::Settings {
        person: name(person),
        steps: Some(4),
        minutes: None,
        batch: Some(4),
        accept_faces: false,
    }
}

#[test]
fn kin_wear_and_are_refitted_with_the_encoder_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna", "ben"]);
    let first = train(&ctx, &["anna", "ben"], SMALL, 3, true).unwrap();
    let second = train(&ctx, &["ben"], SMALL, 3, false).unwrap();
    let source = Strokes(30);
    let made = passport::run(&ctx, &source, None).unwrap().passports;
    let names: Vec<&str> = made.iter().map(|p| p.encoder.as_str()).collect();
    assert_eq!(names, [first.encoder.as_str(), second.encoder.as_str()]);
    assert!(
        made.iter()
            .all(|p| p.faces == 30 && p.code == 16 && p.took_secs.is_some())
    );
    let again = passport::run(&ctx, &source, None).unwrap().passports;
    assert!(again.iter().all(|p| p.took_secs.is_none()));
    assert_eq!(ctx.library().unwrap().passports().unwrap().len(), 2);

    let reply = check::run(&ctx, &source, &check_of("anna", "current")).unwrap();
    assert_eq!(reply.verdict, Verdict::Kin);
    assert!(reply.codes_agree.unwrap() > 0.5, "{reply:?}");
    assert!(reply.held_out_mae.is_some() && reply.wear_percent.is_some());
    assert_eq!(reply.next.as_deref(), Some("stockpot library stitch anna"));

    let reply = refit::run(&ctx, &refit_of("anna")).unwrap();
    assert_eq!((reply.before, reply.steps), (Verdict::Kin, 4));
    assert_eq!(reply.encoder, second.encoder);
    assert!(reply.held_out_mae_before.is_some() && reply.held_out_mae.is_some());
    let stock = ctx.library().unwrap();
    let current = stock.current_encoder().unwrap().unwrap();
    assert_eq!(current.hash.short(), second.encoder);
    let anna = stock.current_decoder(&name("anna")).unwrap().unwrap();
    assert_eq!(anna.record.encoder_state, current.hash);
    assert_eq!((anna.record.steps, current.record.steps), (7, 6));
    let run = stock.show(anna.record.run.as_str()).unwrap();
    let stockpot_library::Shown::Record { record, .. } = run else {
        panic!("not a record");
    };
    let Record::Run(run) = *record else {
        panic!("not a run");
    };
    assert_eq!(run.results.encoder, Some(current.hash));
    assert_eq!(
        check::run(&ctx, &source, &check_of("anna", "current"))
            .unwrap()
            .verdict,
        Verdict::Same
    );
}

/// Two lineages that were really trained: crossed they are bad, stitched nearly as good as at home.
#[test]
fn a_stitch_of_two_trained_lineages_improves_what_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna", "ben"]);
    let steps = 50;
    train(&ctx, &["anna"], "comb-s-64", steps, true).unwrap();
    let other = Context {
        seed: 5,
        ..ctx.clone()
    };
    let ben = train(&other, &["ben"], "comb-s-64", steps, true).unwrap();
    let source = Strokes(120);
    let page = dir.path().join("pages/matrix.html");
    let reply = matrix::run(&ctx, &source, &matrix::Settings { page: page.clone() }).unwrap();
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains("all others are drawn by a model."));
    assert!(text.contains("<table>") && text.contains("data:image/png;base64,"));
    assert!(!text.contains("http"));
    assert_eq!(
        (
            reply.encoders.len(),
            reply.cells.len(),
            reply.left_out.len()
        ),
        (2, 4, 0)
    );
    for cell in &reply.cells {
        let foreign = cell.verdict == Verdict::Foreign;
        assert_eq!(foreign, cell.times_own != Some(1.0), "{cell:?}");
        assert_eq!(foreign, cell.mae_stitched.is_some(), "{cell:?}");
    }

    let reply = stitch::run(&ctx, &source, &stitch_to("anna", "ben")).unwrap();
    assert_eq!(
        (reply.before, &reply.encoder),
        (Verdict::Foreign, &ben.encoder)
    );
    assert!(reply.codes_agree.unwrap() < 0.2, "{reply:?}");
    assert!(reply.codes_agree_stitched > 0.5, "{reply:?}");
    let crossed = reply.held_out_mae_crossed.unwrap() - reply.held_out_mae_own.unwrap();
    let stitched = reply.held_out_mae_stitched.unwrap() - reply.held_out_mae_own.unwrap();
    println!("{reply:?}");
    assert!(crossed > 0.005 && stitched < 0.5 * crossed, "{reply:?}");
    assert!(
        reply.strangers_mae_stitched < 0.5 * reply.strangers_mae_crossed,
        "{reply:?}"
    );
    // Now it is no stranger: it can be trained on.
    assert!(train(&ctx, &["anna", "ben"], "comb-s-64", 1, false).is_ok());
}

#[test]
fn a_frozen_person_keeps_the_weights_and_gets_the_new_encoder() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna", "ben"]);
    train(&ctx, &["anna", "ben"], SMALL, 3, true).unwrap();
    let stock = ctx.library().unwrap();
    let of = |who: &str| stock.current_decoder(&name(who)).unwrap().unwrap();
    let (anna, ben) = (of("anna"), of("ben"));
    let mut wish = training(&["anna", "ben"], SMALL, 4, false);
    wish.more["freeze_persons"] = serde_json::json!(["anna"]);
    let reply = train::run(&ctx, &wish).unwrap();
    assert!(reply.persons[0].started_from.ends_with("frozen"));
    let after = of("anna");
    // The very same object: not a bit differs.
    assert_eq!(after.record.object, anna.record.object);
    assert_eq!(after.record.steps, anna.record.steps);
    assert_eq!(after.record.parent, Some(anna.hash));
    assert_ne!(after.record.encoder_state, anna.record.encoder_state);
    assert_eq!(after.record.encoder_state.short(), reply.encoder);
    assert_ne!(of("ben").record.object, ben.record.object);
    assert_eq!(of("ben").record.steps, ben.record.steps + 4);
    // Going on keeps to it.
    let on = train::Settings {
        resume: Some(reply.run.parse().unwrap()),
        steps: Some(6),
        ..train::Settings::default()
    };
    train::run(&ctx, &on).unwrap();
    assert_eq!(of("anna").record.object, anna.record.object);
    assert_eq!(of("ben").record.steps, ben.record.steps + 6);
    // With a frozen encoder beside, nothing of theirs changes at all.
    let before = of("anna");
    wish.more["freeze_encoder"] = true.into();
    let reply = train::run(&ctx, &wish).unwrap();
    assert_eq!(of("anna"), before);
    assert_eq!(reply.persons[0].decoder, before.hash.short());
    assert_eq!(of("ben").record.encoder_state, before.record.encoder_state);
    let report = stock.verify(&*ctx.progress, &ctx.cancel).unwrap();
    assert!(report.is_sound(), "{report:#?}");

    let refused = |persons: &[&str], scratch, word: &str| {
        let mut wish = training(persons, SMALL, 1, scratch);
        wish.more["freeze_persons"] = serde_json::json!(["anna"]);
        let error = train::run(&ctx, &wish).unwrap_err();
        assert_eq!(error.kind, JobErrorKind::Usage, "{error}");
        assert!(error.message.contains(word), "{error}");
    };
    refused(&["ben"], false, "not trained");
    refused(&["anna", "ben"], true, "from scratch");
}

#[test]
fn status_tells_wear_that_was_measured_and_what_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna", "ben", "cleo"]);
    let first = train(&ctx, &["anna", "ben"], SMALL, 3, true).unwrap();
    assert!(first.others.is_empty());
    assert!(first.reuse[0].contains(&first.encoder) && first.reuse[1].contains("anna, ben"));
    let second = train(&ctx, &["ben"], SMALL, 3, false).unwrap();
    let [anna] = &second.others[..] else {
        panic!("only anna was left behind");
    };
    // Three steps leave no time to measure her.
    assert_eq!(
        (anna.verdict.as_str(), anna.held_out_mae_current),
        ("kin: not measured", None)
    );
    assert_eq!(anna.encoder, first.encoder);
    assert!(second.reuse[2].contains("library stitch anna"));

    let status = |measure| crate::library::status(&ctx, measure).unwrap();
    let rows = |reply: &crate::library::StatusReply| -> Vec<Option<String>> {
        reply.persons.iter().map(|p| p.verdict.clone()).collect()
    };
    let plain = status(false);
    let verdicts = ["kin: not measured", "same"].map(|v| Some(v.to_owned()));
    assert_eq!(rows(&plain)[..2], verdicts);
    assert_eq!(rows(&plain)[2], None, "cleo has no decoder");
    assert_eq!(
        plain.persons[1].held_out_mae_current,
        plain.persons[1].held_out_mae
    );
    assert_eq!(plain.persons[0].encoder.as_ref(), Some(&first.encoder));
    let measured = status(true);
    let row = &measured.persons[0];
    let (own, now) = (row.held_out_mae.unwrap(), row.held_out_mae_current.unwrap());
    let check = check::run(&ctx, &Nothing, &check_of("anna", "current")).unwrap();
    assert_eq!(
        (Some(own), Some(now)),
        (check.held_out_mae_own, check.held_out_mae)
    );
    let verdict = row.verdict.clone().unwrap();
    assert!(
        verdict.starts_with("kin: ") && verdict != "kin: not measured",
        "{verdict}"
    );
    assert_eq!(rows(&status(false)), rows(&measured), "it is remembered");
    // Other faces, or a damaged cache: not measured, and never an error.
    let stock = ctx.library().unwrap();
    let cache = stock.cache_dir().join("anna-wear.json");
    let kept = std::fs::read(&cache).unwrap();
    for bad in [&b"{"[..], b"", b"{\"version\":9}", &kept[..kept.len() / 2]] {
        std::fs::write(&cache, bad).unwrap();
        assert_eq!(rows(&status(false)), rows(&plain));
    }
    std::fs::write(&cache, &kept).unwrap();
    assert_eq!(rows(&status(false)), rows(&measured));
    let index = stock.facesets_dir(&name("anna")).join("index.jsonl");
    let mut faces = std::fs::read(&index).unwrap();
    faces.push(b'\n');
    std::fs::write(&index, faces).unwrap();
    assert_eq!(rows(&status(false)), rows(&plain));
}

#[test]
fn what_is_meant_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna"]);
    let stock = ctx.library().unwrap();
    assert!(find_encoder(&stock, "current").is_err());
    assert!(find_decoder(&stock, "anna").is_err());
    let first = train(&ctx, &["anna"], SMALL, 2, true).unwrap();
    for key in ["current", "encoder", "anna", &first.encoder] {
        assert_eq!(find_encoder(&stock, key).unwrap().short(), first.encoder);
    }
    let decoder = &first.persons[0].decoder;
    assert_eq!(
        find_decoder(&stock, decoder).unwrap().record.person,
        name("anna")
    );
    // A decoder is no encoder.
    assert!(find_encoder(&stock, decoder).is_err());
    let error = stitch::run(&ctx, &Nothing, &stitch_to("anna", "current")).unwrap_err();
    assert_eq!(error.kind, JobErrorKind::Usage);
}
