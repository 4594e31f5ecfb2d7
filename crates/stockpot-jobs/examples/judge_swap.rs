//! Whose face does a swapped video show? In every frame, dlib's distance to the person drawn and to
//! the person filmed, by the median embeddings of their facesets.
//!
//! `cargo run --release -p stockpot-jobs --example judge_swap -- MODELS FACESET_TO FACESET_FROM VIDEO`

use std::error::Error;
use std::path::{Path, PathBuf};

use stockpot_faces::{Embedding, FaceModels, FaceTracker, TrackSettings};
use stockpot_faceset::{Faceset, ops};
use stockpot_media::{ALL_FRAMES, open_direct};

fn median(folder: &Path) -> Result<Embedding, Box<dyn Error>> {
    let found = ops::median_embedding(&Faceset::open(folder)?).ok_or("no embeddings")?;
    Ok(Embedding(found.try_into().map_err(|_| "not 128 numbers")?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [models, to, from, video] = args.as_slice() else {
        return Err("MODELS FACESET_TO FACESET_FROM VIDEO are wanted".into());
    };
    let models = FaceModels::load(models)?;
    let (wanted, filmed) = (median(to)?, median(from)?);
    let mut tracker = FaceTracker::new(&models, TrackSettings::default());
    let mut embedder = models.embedder.clone();
    let mut distances: Vec<(f32, f32)> = Vec::new();
    let mut frames = 0;
    for frame in open_direct(video, ALL_FRAMES)? {
        let pixels = frame?.pixels.to_rgb8();
        frames += 1;
        let found = tracker.push(&pixels)?;
        let size = |f: &&stockpot_faces::TrackedFace| f.quality.eye_distance_px;
        let largest = found
            .faces
            .iter()
            .max_by(|a, b| size(a).total_cmp(&size(b)));
        if let Some(face) = largest {
            let e = embedder.embed(&pixels, &face.landmarks)?;
            distances.push((e.distance(&wanted), e.distance(&filmed)));
        }
    }
    let nearer = distances.iter().filter(|(w, f)| w < f).count();
    let middle = |pick: fn(&(f32, f32)) -> f32| {
        let mut all: Vec<f32> = distances.iter().map(pick).collect();
        all.sort_by(f32::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f32::NAN)
    };
    println!(
        "{frames} frames, {} with a face; nearer to the person drawn in {nearer} ({:.1} %); median distance {:.3} to the person drawn, {:.3} to the person filmed; {:.3} between the two",
        distances.len(),
        100.0 * nearer as f64 / f64::from(frames.max(1)),
        middle(|d| d.0),
        middle(|d| d.1),
        wanted.distance(&filmed),
    );
    Ok(())
}
