//! Measures speed and finding on raw frames: `ffmpeg -i X -f rawvideo -pix_fmt rgb24 - |
//! measure MODELS WIDTH HEIGHT`. Prints milliseconds per model and frames with a face.

use std::io::Read;
use std::path::PathBuf;

use stockpot_core::face::FaceLandmarks;
use stockpot_core::image::{Rgb8, Size};
use stockpot_faces::identity::{FRAMES_PER_TRACK, TrackIdentity, largest_person, pick_frames};
use stockpot_faces::smooth::{SmoothSettings, smooth_track};
use stockpot_faces::{FaceModels, FaceTracker, Roi, TrackId, TrackSettings, TrackedFace};

type Any = Box<dyn std::error::Error>;

fn main() -> Result<(), Any> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [models, width, height] = arguments.as_slice() else {
        return Err("usage: measure MODELS WIDTH HEIGHT < frames.rgb24".into());
    };
    let mut models = FaceModels::load(&PathBuf::from(models))?;
    let size = Size::new(width.parse()?, height.parse()?);
    let mut tracker = FaceTracker::new(&models, TrackSettings::default());
    let mut bytes = vec![0; size.pixels() * 3];
    let mut input = std::io::stdin().lock();
    let (mut frames, mut with_face, mut cuts, mut spent) = (0u64, 0, 0, 0.0);
    let mut faces: Vec<(u64, TrackedFace)> = Vec::new();
    let mut embeddings = Vec::new();
    let mut timed = None;
    while input.read_exact(&mut bytes).is_ok() {
        let frame = Rgb8::from_vec(size, bytes.clone())?;
        let start = cpu_seconds()?;
        let found = tracker.push(&frame)?;
        spent += cpu_seconds()? - start;
        if found.is_cut {
            cuts += 1;
            println!("cut at frame {frames}");
        }
        with_face += u64::from(!found.faces.is_empty());
        for face in found.faces {
            if frames % 10 == 0 {
                let embedding = models.embedder.embed(&frame, &face.landmarks)?;
                embeddings.push((frames, face.track, embedding));
            }
            if timed.is_none() {
                timed = Some(time_models(&mut models, &frame, &face.landmarks)?);
            }
            faces.push((frames, face));
        }
        frames += 1;
    }
    println!(
        "{frames} frames, {with_face} with a face, {cuts} cuts, {:.2} ms of processor per frame",
        1e3 * spent / frames as f64
    );
    if let Some(text) = timed {
        println!("{text}");
    }
    report_tracks(&faces, &embeddings)
}

/// Processor time of all threads of this program so far, in seconds (Linux).
fn cpu_seconds() -> Result<f64, Any> {
    let mut nanoseconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += text.split(' ').next().unwrap_or("0").parse::<f64>()?;
    }
    Ok(nanoseconds * 1e-9)
}

/// Mean processor time of some runs, in milliseconds: what it takes on one quiet core.
fn mean_of(runs: usize, mut work: impl FnMut() -> Result<(), Any>) -> Result<f64, Any> {
    work()?;
    let start = cpu_seconds()?;
    for _ in 0..runs {
        work()?;
    }
    Ok(1e3 * (cpu_seconds()? - start) / runs as f64)
}

fn time_models(models: &mut FaceModels, frame: &Rgb8, face: &FaceLandmarks) -> Result<String, Any> {
    let roi = Roi::from_landmarks(face);
    let detect = mean_of(40, || {
        models.detector.detect(frame, 0.5);
        Ok(())
    })?;
    let network = mean_of(40, || {
        models.detector.network_mut().run();
        Ok(())
    })?;
    let mesh = mean_of(40, || Ok(models.landmarker.look(frame, &roi).map(drop)?))?;
    let mesh_network = mean_of(40, || {
        models.landmarker.network_mut().run();
        Ok(())
    })?;
    let embed = mean_of(40, || Ok(models.embedder.embed(frame, face).map(drop)?))?;
    let embed_network = mean_of(40, || {
        models.embedder.network_mut().run();
        Ok(())
    })?;
    Ok(format!(
        "processor time in ms (of it the network): detect {detect:.1} ({network:.1}), mesh {mesh:.1} ({mesh_network:.1}), embed {embed:.1} ({embed_network:.1})"
    ))
}

fn report_tracks(
    faces: &[(u64, TrackedFace)],
    embeddings: &[(u64, TrackId, stockpot_faces::Embedding)],
) -> Result<(), Any> {
    let mut ids: Vec<TrackId> = faces.iter().map(|f| f.1.track).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut identities = Vec::new();
    for id in ids {
        let mine: Vec<_> = faces.iter().filter(|f| f.1.track == id).collect();
        let sharpness: Vec<f32> = mine.iter().map(|f| f.1.quality.sharpness).collect();
        let lowest = mine.iter().map(|f| f.1.score).fold(f32::MAX, f32::min);
        let track: Vec<_> = mine.iter().map(|f| (f.0, f.1.landmarks.clone())).collect();
        let smoothed = smooth_track(&track, SmoothSettings::default())?;
        let raw: Vec<_> = track.iter().map(|t| t.1.clone()).collect();
        println!(
            "track {}: frames {}..={} ({} of them), lowest logit {lowest:.1}, eyes {:.0} px apart, sharpest {:?}, jerk {:.3} px, smoothed {:.3} px",
            id.0,
            mine[0].0,
            mine[mine.len() - 1].0,
            mine.len(),
            mine[0].1.quality.eye_distance_px,
            pick_frames(&sharpness, FRAMES_PER_TRACK),
            jerk(&raw),
            jerk(&smoothed),
        );
        identities.push(TrackIdentity {
            track: id,
            frames: mine.len(),
            embeddings: embeddings
                .iter()
                .filter(|e| e.1 == id)
                .map(|e| e.2)
                .collect(),
        });
    }
    for (i, a) in embeddings.iter().enumerate().step_by(20) {
        let distances: Vec<String> = embeddings[i..]
            .iter()
            .step_by(20)
            .map(|b| format!("{:.2}", a.2.distance(&b.2)))
            .collect();
        println!(
            "frame {} track {}: distances {}",
            a.0,
            a.1.0,
            distances.join(" ")
        );
    }
    println!("{:#?}", largest_person(&identities));
    Ok(())
}

/// Mean second difference of the eye centres and the chin: jitter, as motion is smoother.
fn jerk(track: &[FaceLandmarks]) -> f64 {
    let points = [33, 263, 152];
    let sum: f64 = track
        .windows(3)
        .flat_map(|w| {
            points.map(|i| {
                let [a, b, c] = [0, 1, 2].map(|k| w[k].point(i));
                (a.x - 2.0 * b.x + c.x).hypot(a.y - 2.0 * b.y + c.y)
            })
        })
        .sum();
    sum / (3 * track.len().saturating_sub(2).max(1)) as f64
}
