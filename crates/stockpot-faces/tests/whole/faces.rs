//! Faces of made-up people: found, followed, told apart. The pictures' origin is in
//! `data/README.md`.

use stockpot_core::image::{Rgb8, Size};
use stockpot_core::warp::resize;
use stockpot_faces::embed::SAME_PERSON;
use stockpot_faces::identity::{TrackIdentity, largest_person};
use stockpot_faces::{FaceTracker, Roi, TrackId, TrackSettings, TrackedFrame};

use crate::{models, picture};

const PICTURES: [&str; 4] = ["a_000.jpg", "a_070.jpg", "d_020.jpg", "d_090.jpg"];

#[test]
fn each_picture_has_one_face_in_its_place() {
    let Some(mut models) = models() else { return };
    for name in PICTURES {
        let frame = picture(name);
        let found = models.detector.detect(&frame, 0.5);
        assert_eq!(found.len(), 1, "{name}");
        let roi = Roi::from_detection(&found[0]);
        let mesh = models.landmarker.look_closer(&frame, &roi, 3).unwrap();
        assert!(mesh.logit > 10.0, "{name}: {}", mesh.logit);
        // Detector and landmarks say the same of the eyes and the nose tip.
        let eyes = mesh.landmarks.eye_distance_px();
        assert!((40.0..70.0).contains(&eyes), "{name}: {eyes}");
        assert!(mesh.landmarks.point(1).distance(found[0].points[2]) < 0.25 * eyes);
        let left = mesh.landmarks.mean(&stockpot_core::face::LEFT_EYE);
        assert!(left.distance(found[0].points[0]) < 0.2 * eyes);
        // Half the size: the same face at half the place.
        let half = resize(&frame, Size::new(128, 128));
        let small = models.detector.detect(&half, 0.5);
        assert_eq!(small.len(), 1, "{name} at half size");
        let roi = Roi::from_detection(&small[0]);
        let again = models.landmarker.look_closer(&half, &roi, 3).unwrap();
        for index in [1, 33, 263, 61, 291, 152] {
            let (a, b) = (mesh.landmarks.point(index), again.landmarks.point(index));
            let apart = (a.x - 2.0 * b.x).hypot(a.y - 2.0 * b.y);
            assert!(apart < 0.12 * eyes, "{name} point {index}: {apart}");
        }
    }
}

#[test]
fn no_face_in_noise_or_nothing() {
    let Some(mut models) = models() else { return };
    let mut noise = Rgb8::new(Size::new(200, 150));
    let mut rng = stockpot_core::Rng::stream(5, "noise", 0);
    noise.data_mut().fill_with(|| rng.next_u64() as u8);
    for frame in [
        noise,
        Rgb8::new(Size::new(64, 300)),
        Rgb8::new(Size::new(1, 1)),
    ] {
        assert!(models.detector.detect(&frame, 0.5).is_empty());
        let mut tracker = FaceTracker::new(&models, TrackSettings::default());
        assert!(tracker.push(&frame).unwrap().faces.is_empty());
    }
    let empty = Rgb8::new(Size::new(0, 0));
    assert!(models.detector.detect(&empty, 0.5).is_empty());
    let mut tracker = FaceTracker::new(&models, TrackSettings::default());
    assert!(tracker.push(&empty).is_err());
}

/// A frame of 480 x 320 with pictures pasted at places, on grey.
fn scene(parts: &[(&Rgb8, u32, u32)]) -> Rgb8 {
    let mut frame = Rgb8::new(Size::new(480, 320));
    frame.data_mut().fill(120);
    for (part, left, top) in parts {
        frame.paste(part, *left, *top);
    }
    frame
}

fn ids(frame: &TrackedFrame) -> Vec<u32> {
    frame.faces.iter().map(|f| f.track.0).collect()
}

#[test]
fn two_faces_keep_their_numbers_until_the_cut() {
    let Some(mut models) = models() else { return };
    let [a, a2, d, d2] = PICTURES.map(|name| resize(&picture(name), Size::new(200, 200)));
    let mut tracker = FaceTracker::new(&models, TrackSettings::default());
    let mut last = None;
    for t in 0..12 {
        // One moves to the right, one down, each by some pixels a frame.
        let frame = scene(&[(&a, 5 * t, 20), (&d, 270, 4 * t)]);
        let found = tracker.push(&frame).unwrap();
        assert_eq!(found.faces.len(), 2, "frame {t}");
        assert_eq!(ids(&found), [1, 2], "frame {t}");
        assert!(!found.is_cut, "frame {t}");
        // Number by number they are where they were, a little on.
        let places = [0, 1].map(|i| found.faces[i].landmarks.point(1));
        if let Some(before) = last {
            let moved: [stockpot_core::Point<stockpot_core::Frame>; 2] = before;
            assert!(
                (0..2).all(|i| places[i].distance(moved[i]) < 10.0),
                "frame {t}"
            );
        }
        last = Some(places);
    }
    // Another shot: other places, other background.
    let mut cut = scene(&[(&a2, 200, 60)]);
    cut.data_mut()
        .chunks_mut(480 * 3)
        .take(60)
        .for_each(|row| row.fill(250));
    let found = tracker.push(&cut).unwrap();
    assert!(found.is_cut);
    assert_eq!(ids(&found), [3]);
    // Lost for a few frames behind a board, back at the same place: the same number.
    let hidden = {
        let mut frame = cut.clone();
        (90..230).for_each(|y| frame.row_mut(y)[230 * 3..370 * 3].fill(118));
        frame
    };
    for _ in 0..3 {
        assert!(tracker.push(&hidden).unwrap().faces.is_empty());
    }
    let back = tracker.push(&cut).unwrap();
    assert_eq!(ids(&back), [3]);
    assert!(!back.is_cut);
    let same = |x: &Rgb8, y: &Rgb8, models: &mut stockpot_faces::FaceModels| {
        let mut embed = |frame: &Rgb8| {
            let mut tracker = FaceTracker::new(models, TrackSettings::default());
            let faces = tracker.push(frame).unwrap().faces;
            models.embedder.embed(frame, &faces[0].landmarks).unwrap()
        };
        let (x, y) = (embed(x), embed(y));
        x.distance(&y)
    };
    assert!(same(&a, &a2, &mut models) < SAME_PERSON);
    assert!(same(&d, &d2, &mut models) < SAME_PERSON);
    assert!(same(&a, &d, &mut models) > SAME_PERSON);
}

#[test]
fn persons_are_told_apart() {
    let Some(mut models) = models() else { return };
    let tracks: Vec<_> = PICTURES
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let frame = picture(name);
            let mut tracker = FaceTracker::new(&models, TrackSettings::default());
            let faces = tracker.push(&frame).unwrap().faces;
            let embedding = models.embedder.embed(&frame, &faces[0].landmarks).unwrap();
            TrackIdentity {
                track: TrackId(i as u32),
                frames: 10 + i,
                embeddings: vec![embedding],
            }
        })
        .collect();
    let selection = largest_person(&tracks);
    let kept: Vec<u32> = selection.kept.iter().map(|v| v.track.0).collect();
    assert_eq!(kept, [2, 3], "{selection:?}");
    assert_eq!(selection.rejected.len(), 2);
}
