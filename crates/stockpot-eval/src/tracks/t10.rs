//! T10, convert: a perfect face, wrongly lit, put into a frame. Nothing here is trained.
//!
//! The decoder is ideal: it gives the true face at the network's resolution. It then gets a cast and a
//! slope of light, each frame others, and is put in frame by frame. On the **same skin** (a person's own
//! face) the truth is the frame itself, also across the seam. On **another skin** (the darkest face of
//! eight people on the lightest) the truth inside is the drawn dark face: the product
//! should carry the frame's light to it and leave it its skin, which costs a step of colour across the
//! seam. What taking on the filmed skin gives (`--match skin`) stands beside it. Occluders stand before the
//! filmed face; what the product's mask spares is compared with where they are.

use rayon::prelude::*;
use stockpot_convert::{ColourMatch, ConvertSettings, MaskMode, Placement, face_oval};
use stockpot_core::face::fill_polygon;
use stockpot_core::image::{Gray8, Rgb8, Size};
use stockpot_core::{Area, Rng};
use stockpot_jobs::JobError;
use stockpot_synth::assets::Class;
use stockpot_synth::{Moment, Occluder, OccluderKind, Person, draw};

use super::Findings;
use super::composite::{Colours, Shot, composite, cover, hard_paste, with_mask};
use super::t8::{cannot_draw, shot};
use super::t9::{both, difference};
use crate::bench::{Example, World};
use crate::judge::strangers::find_face;
use crate::measure::{Window, detail_ratio, seam_error};
use crate::outcome::{Better, Measure, Toy};
use crate::sets::{Group, PlayedFrame, Use, cut_mask, cut_rgb};

/// Cast: each channel is too bright or too dark by this part.
const CAST: f32 = 0.08;
/// Slope of light: from the middle of the square to its edge.
const SLOPE: f32 = 0.10;
/// Side of the ideal decoder's square in pixels.
const RESOLUTION: u32 = 128;
/// Side of the frames in pixels.
const SIDE: u32 = 256;
/// People among whom the lightest and the darkest skin are looked for.
const PEOPLE: u64 = 8;
/// Unsharp masking of the sharpened runs.
const SHARPEN: f32 = 0.5;
/// Error inside that is aimed at, in levels of 255 (research notes, SwapBench design).
const GOAL_INSIDE: f64 = 2.8;
/// Error of the seam's gradient that is aimed at, as a part of that of a hard paste: the notes aim at
/// 0.25 where a hard paste had 0.99.
const GOAL_SEAM: f64 = 0.25;
/// Energy of detail that is aimed at.
const GOAL_DETAIL: f64 = 0.95;
const LEVELS: f64 = 255.0;

/// A frame that somebody plays.
struct Scene {
    /// The person whose film it is.
    film: PlayedFrame,
    /// Another person playing the same.
    other: PlayedFrame,
}

/// Measures.
///
/// # Errors
/// If nothing can be drawn or found, or the user stopped.
pub fn convert(world: &mut World) -> Result<Findings, JobError> {
    let [light, dark] = light_and_dark(world)?;
    world.check_cancel()?;
    let count = world.effort.pick(2, 8, 16);
    let moments: Vec<Moment> = (0..count)
        .map(|i| world.cast.performance(Use::HeldOut, 64 + i).at(i as f32))
        .collect();
    let films = play(world, &light, &moments)?;
    let others = play(world, &dark, &moments)?;
    let scenes: Vec<Scene> = films
        .into_iter()
        .zip(others)
        .filter(|(film, _)| film.landmarks.is_some())
        .map(|(film, other)| Scene { film, other })
        .collect();
    if scenes.is_empty() {
        return Err(JobError::failed("No face was found in the frames of T10"));
    }
    world.check_cancel()?;
    let seed = world.cast.seed;
    let (same, other) = (
        Run::of(&scenes, seed, false)?,
        Run::of(&scenes, seed, true)?,
    );
    let mut measures = lit(&same, &other)?;
    measures.push(sharpness(&same)?);
    for (title, run) in [("T10, the same skin", &same), ("T10, another skin", &other)] {
        if let Some(example) = example(title, run)? {
            world.show(example);
        }
    }
    world.check_cancel()?;
    let (occluded, kinds) = occluders(world, &light, &moments)?;
    let mut note = format!(
        "{} frames, a decoder that is ideal but for a cast of {} % and a slope of {} % of light, \
         {RESOLUTION} px; each frame by itself",
        scenes.len(),
        CAST * 100.0,
        SLOPE * 100.0,
    );
    match occluded {
        Some(measure) => {
            measures.push(measure);
            note.push_str(&format!(
                "; {kinds} frames with an occluder over the face: the product has no mask for them, it \
                 spares what a decoder's mask spares"
            ));
        }
        None => {
            note.push_str("; no occluder was drawn over a face, so what is spared was not measured")
        }
    }
    Ok(Findings { measures, note })
}

fn feather() -> (ConvertSettings, Colours) {
    (ConvertSettings::default(), Colours::Kept)
}

fn product() -> (ConvertSettings, Colours) {
    (ConvertSettings::default(), Colours::EachFrame)
}

fn skin() -> (ConvertSettings, Colours) {
    let settings = ConvertSettings {
        colour_match: ColourMatch::Skin,
        ..ConvertSettings::default()
    };
    (settings, Colours::EachFrame)
}

fn hard() -> (ConvertSettings, Colours) {
    (hard_paste(), Colours::Kept)
}

fn lit(same: &Run<'_>, other: &Run<'_>) -> Result<Vec<Measure>, JobError> {
    let mut measures = Vec::new();
    for (name, run, has_goals) in [("same skin", same, true), ("another skin", other, false)] {
        let scores =
            [product(), hard(), feather(), skin()].map(|(s, colours)| run.score(&s, colours));
        let [product, hard, feather, skin] = scores;
        let (product, hard, feather, skin) = (product?, hard?, feather?, skin?);
        type Value = fn(&Score) -> f64;
        let whats: [(&str, Value); 2] = [
            ("error inside", |s| s.inside),
            ("error of the seam's gradient", |s| s.seam),
        ];
        let goals = [GOAL_INSIDE, GOAL_SEAM * hard.seam];
        for ((what, value), goal) in whats.into_iter().zip(goals) {
            measures.push(
                Measure::new(
                    format!("{what}, {name}"),
                    "of 255",
                    value(&product),
                    Better::Lower,
                )
                .with_toys(vec![
                    Toy::new("hard paste", value(&hard)),
                    Toy::new("feather only", value(&feather)),
                    Toy::new("--match skin", value(&skin)),
                ])
                .with_goal(has_goals.then_some(goal)),
            );
        }
    }
    Ok(measures)
}

fn sharpness(same: &Run<'_>) -> Result<Measure, JobError> {
    let detail = |sharpen: f32| -> Result<f64, JobError> {
        let settings = ConvertSettings {
            sharpen,
            ..ConvertSettings::default()
        };
        Ok(same.score(&settings, Colours::EachFrame)?.detail)
    };
    Ok(Measure::new(
        format!("detail kept, --sharpen {SHARPEN}"),
        "of 1",
        detail(SHARPEN)?,
        Better::Higher,
    )
    .with_toys(vec![
        Toy::new("not sharpened", detail(0.0)?),
        Toy::new("--sharpen 1", detail(1.0)?),
        Toy::new("--sharpen 2", detail(2.0)?),
    ])
    .with_goal(GOAL_DETAIL))
}

/// A row of pictures: the film, the truth inside, and what was made of it.
fn example(title: &str, run: &Run<'_>) -> Result<Option<Example>, JobError> {
    let (Some(shot), Some((inside, ..))) = (run.shots.first(), run.truths.first()) else {
        return Ok(None);
    };
    let mut cells = vec![
        ("the film".to_owned(), shot.frame.clone()),
        ("the truth inside".to_owned(), (*inside).clone()),
    ];
    let ways = [
        ("the product", product()),
        ("--match skin", skin()),
        ("feather only", feather()),
        ("hard paste", hard()),
    ];
    for (name, (settings, colours)) in ways {
        let made = composite(std::slice::from_ref(shot), &settings, colours)?;
        cells.extend(made.into_iter().map(|frame| (name.to_owned(), frame)));
    }
    Ok(Some(Example {
        title: title.to_owned(),
        cells,
    }))
}

/// What a way of converting reaches, in levels.
#[derive(Debug, Clone, Copy, Default)]
struct Score {
    inside: f64,
    seam: f64,
    detail: f64,
}

/// All scenes with one kind of face to be put in.
struct Run<'a> {
    shots: Vec<Shot<'a>>,
    /// The truth inside, the truth across the seam, and where the face is.
    truths: Vec<(&'a Rgb8, &'a Rgb8, Gray8)>,
}

impl<'a> Run<'a> {
    fn of(scenes: &'a [Scene], seed: u64, another: bool) -> Result<Self, JobError> {
        let mut run = Self {
            shots: Vec::new(),
            truths: Vec::new(),
        };
        for (i, scene) in scenes.iter().enumerate() {
            let giver = if another { &scene.other } else { &scene.film };
            let (Some(landmarks), Some(own), Some(theirs)) = (
                &scene.film.landmarks,
                scene.film.face_mask(),
                giver.face_mask(),
            ) else {
                continue;
            };
            let frame = &scene.film.drawn.rgb;
            let placement = placement(landmarks)?;
            let mut shot = shot(frame, landmarks, placement)?;
            shot.rgb = cut_rgb(&giver.drawn.rgb, &placement)?;
            miscoloured(&mut shot.rgb, &mut Rng::stream(seed, "T10 light", i as u64));
            run.shots.push(shot);
            // Where one has face and the other hair, inside is no question of colours.
            run.truths
                .push((&giver.drawn.rgb, frame, both(own, &theirs)));
        }
        Ok(run)
    }

    fn score(&self, settings: &ConvertSettings, colours: Colours) -> Result<Score, JobError> {
        let made = composite(&self.shots, settings, colours)?;
        let (mut sum, mut n) = (Score::default(), 0.0);
        for ((made, shot), (inside, across, mask)) in made.iter().zip(&self.shots).zip(&self.truths)
        {
            let cover = cover(shot, settings)?;
            let Some(window) = Window::around(&cover) else {
                continue;
            };
            let side = window.side;
            let [mine, truth, film] = [made, *inside, *across].map(|f| window.rgb(f));
            let whole: Vec<f32> = window
                .gray(&both(mask.clone(), &cover))
                .iter()
                .map(|m| f32::from(u8::from(*m > 0.99)))
                .collect();
            sum.inside += LEVELS * difference(made, inside, mask);
            sum.seam += LEVELS * seam_error(side, &mine, &film, &window.gray(&cover));
            sum.detail += detail_ratio(side, &mine, &truth, &whole);
            n += 1.0;
        }
        if n == 0.0 {
            return Err(JobError::failed("Nothing was put into any frame of T10"));
        }
        Ok(Score {
            inside: sum.inside / n,
            seam: sum.seam / n,
            detail: sum.detail / n,
        })
    }
}

fn placement(landmarks: &stockpot_core::FaceLandmarks) -> Result<Placement, JobError> {
    Ok(Placement {
        face_from_frame: landmarks.face_from_frame().map_err(super::t9::one_point)?,
        area: Area::Face,
        resolution: RESOLUTION,
    })
}

/// Gives a face, `[R, R, 3]`, a cast and a slope of light of a random direction.
fn miscoloured(rgb: &mut [f32], rng: &mut Rng) {
    let cast: [f32; 3] = std::array::from_fn(|_| if rng.chance(0.5) { CAST } else { -CAST });
    let turn = rng.range(0.0, std::f32::consts::TAU);
    let side = RESOLUTION as usize;
    let place = |i: usize| 2.0 * (i as f32 + 0.5) / side as f32 - 1.0;
    for (i, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let along = turn.cos() * place(i % side) + turn.sin() * place(i / side);
        for (value, cast) in pixel.iter_mut().zip(cast) {
            *value *= (1.0 + cast) * (1.0 + SLOPE * along);
        }
    }
}

/// Draws a person playing and looks for the face as extraction does.
fn play(world: &World, person: &Person, moments: &[Moment]) -> Result<Vec<PlayedFrame>, JobError> {
    let (head, models) = (&world.head, &world.models);
    moments
        .par_iter()
        .map_init(
            || models.clone(),
            |models, moment| {
                let size = Size::square(SIDE);
                let drawn = draw(head, person, moment, size).map_err(cannot_draw)?;
                Ok(PlayedFrame {
                    filmed: drawn.rgb.clone(),
                    landmarks: find_face(models, &drawn.rgb)?,
                    drawn,
                })
            },
        )
        .collect()
}

/// The people of the library with the lightest and the darkest skin.
fn light_and_dark(world: &World) -> Result<[Person; 2], JobError> {
    let mut known: Vec<(f64, Person)> = Vec::new();
    for number in 0..PEOPLE {
        let person = Person::new(&world.head, world.cast.person(Group::Library, number));
        let drawn = draw(&world.head, &person, &Moment::neutral(), Size::square(96))
            .map_err(cannot_draw)?;
        let pixels = drawn.rgb.data().chunks_exact(3).zip(drawn.classes.data());
        let skin = pixels.filter(|(_, class)| **class == Class::Skin as u8);
        let (sum, n) = skin.fold((0.0, 0.0), |(sum, n), (p, _)| {
            (sum + p.iter().map(|v| f64::from(*v)).sum::<f64>(), n + 1.0)
        });
        if n > 0.0 {
            known.push((sum / n, person));
        }
    }
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (first, last) = (known.first(), known.last());
    match (first, last) {
        (Some((_, light)), Some((_, dark))) => Ok([light.clone(), dark.clone()]),
        _ => Err(JobError::failed("No skin was drawn of any person of T10")),
    }
}

/// How well what the mask spares fits what stands before the face; nothing if nothing does.
fn occluders(
    world: &World,
    person: &Person,
    moments: &[Moment],
) -> Result<(Option<Measure>, usize), JobError> {
    let mut occluded = Vec::new();
    for (i, moment) in moments.iter().enumerate() {
        let mut rng = Rng::stream(world.cast.seed, "T10 occluder", i as u64);
        let kinds = [
            OccluderKind::Hand,
            OccluderKind::Glasses,
            OccluderKind::Microphone,
        ];
        let occluder = Occluder {
            kind: kinds[i % kinds.len()],
            colour: [
                rng.range(0.05, 0.6),
                rng.range(0.05, 0.5),
                rng.range(0.05, 0.4),
            ],
            place_dm: [rng.range(-0.3, 0.3), rng.range(-0.5, -0.1)],
            turn_rad: rng.range(-0.5, 0.5),
        };
        occluded.push(Moment {
            occluder: Some(occluder),
            ..moment.clone()
        });
    }
    let played = play(world, person, &occluded)?;
    let ways = [
        (ConvertSettings::default(), false),
        (hard_paste(), false),
        (with_mask(MaskMode::Oval), false),
        (ConvertSettings::default(), true),
    ];
    let (mut sums, mut n) = ([0.0; 4], 0usize);
    for frame in &played {
        let Some(landmarks) = &frame.landmarks else {
            continue;
        };
        let outline = fill_polygon::<stockpot_core::space::Frame>(
            frame.drawn.rgb.size(),
            &face_oval(landmarks),
        );
        let before = class_mask(&frame.drawn.classes, Class::Occluder);
        if both(before.clone(), &outline)
            .data()
            .iter()
            .all(|v| *v < 128)
        {
            continue;
        }
        for (sum, (settings, knows)) in sums.iter_mut().zip(&ways) {
            let mut shot = shot(&frame.drawn.rgb, landmarks, placement(landmarks)?)?;
            if *knows {
                let free = inverted(before.clone());
                shot.mask = cut_mask(&free, &shot.placement)?;
            }
            *sum += spared(&cover(&shot, settings)?, &before, &outline);
        }
        n += 1;
    }
    let [product, hard, oval, perfect] = sums.map(|s| s / n as f64);
    let measure = (n > 0).then(|| {
        Measure::new("occluder spared (overlap)", "of 1", product, Better::Higher).with_toys(vec![
            Toy::new("hard paste", hard),
            Toy::new("outline only", oval),
            Toy::new("the product, were the decoder's mask perfect", perfect),
        ])
    });
    Ok((measure, n))
}

fn class_mask(classes: &Gray8, class: Class) -> Gray8 {
    let mut out = classes.clone();
    let is = |v: u8| if v == class as u8 { 255 } else { 0 };
    out.data_mut().iter_mut().for_each(|v| *v = is(*v));
    out
}

fn inverted(mut mask: Gray8) -> Gray8 {
    mask.data_mut().iter_mut().for_each(|v| *v = 255 - *v);
    mask
}

/// Intersection over union of what is less than half covered and what stands before, both inside of
/// the outline of the face.
fn spared(cover: &Gray8, before: &Gray8, outline: &Gray8) -> f64 {
    let (mut shared, mut any) = (0.0, 0.0);
    for ((cover, before), outline) in cover.data().iter().zip(before.data()).zip(outline.data()) {
        if *outline < 128 {
            continue;
        }
        let (free, is_before) = (*cover < 128, *before >= 128);
        shared += f64::from(u8::from(free && is_before));
        any += f64::from(u8::from(free || is_before));
    }
    shared / any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_is_wrong_by_what_was_said() {
        let side = RESOLUTION as usize;
        let mut rgb = vec![0.5; side * side * 3];
        miscoloured(&mut rgb, &mut Rng::stream(1, "light", 0));
        for c in 0..3 {
            let mean = rgb.iter().skip(c).step_by(3).sum::<f32>() / (side * side) as f32;
            assert!(((mean / 0.5 - 1.0).abs() - CAST).abs() < 1e-3, "{mean}");
        }
        // Opposite corners differ by the slope and nothing else.
        let middle = rgb[(side / 2 * side + side / 2) * 3];
        let corners = [rgb[0], rgb[(side * side - 1) * 3]];
        assert!((corners[0] + corners[1] - 2.0 * middle).abs() < 2e-3);
        assert!((corners[0] / corners[1] - 1.0).abs() > 1e-3);
    }

    #[test]
    fn what_is_spared_is_compared_inside_the_outline() {
        let mask = |v: [u8; 5]| Gray8::from_vec(Size::new(5, 1), v.to_vec()).unwrap();
        let outline = mask([255, 255, 255, 255, 0]);
        let before = mask([255, 255, 0, 0, 255]);
        // Free and before: the second pixel; free or before: the first three.
        let cover = mask([255, 0, 90, 200, 0]);
        assert!((spared(&cover, &before, &outline) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(spared(&mask([255; 5]), &before, &outline), 0.0);
        assert_eq!(spared(&inverted(before.clone()), &before, &outline), 1.0);
        assert_eq!(
            class_mask(&mask([9, 1, 9, 0, 3]), Class::Occluder).data(),
            [255, 0, 255, 0, 0]
        );
    }
}
