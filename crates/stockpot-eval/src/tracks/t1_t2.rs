//! T1, reconstruct: how well both persons' unseen frames are redrawn by their own decoders. T2, swap
//! truth: how far A's frames drawn by B's decoder are from B truly playing the same, and back.
//!
//! Faces are compared as the network sees them, inside the exact mask of the person who is
//! drawn; T2 also compares whole frames that went through the swap job.

use stockpot_core::Rgb8;
use stockpot_core::image::{Gray8, Size, unit_to_u8};
use stockpot_core::warp;
use stockpot_jobs::JobError;

use super::Findings;
use super::composite::{TrueShot, perfectly_drawn};
use crate::bench::{Example, World};
use crate::measure::{self, Score, Window};
use crate::outcome::{Better, Measure, Toy};
use crate::sets::{Held, Pair, PlayedFrame, cut_mask, cut_rgb};
use crate::trained::{self, DrawnFace};

/// How much the toy of T1 blurs the truth, in pixels of the network: a face twice too coarse.
const TOY_BLUR_PX: f32 = 1.5;
/// Pictures of each direction on the page.
const SHOWN: usize = 3;
/// How much differences are enlarged in pictures.
const GAIN: i32 = 4;

/// A face as the network saw it, what it drew and what it should have drawn.
pub(crate) struct Compared {
    pub(crate) input: Vec<f32>,
    pub(crate) output: Vec<f32>,
    pub(crate) truth: Vec<f32>,
    pub(crate) mask: Vec<f32>,
}

/// The face of each frame redrawn, `draw` being as [`Pair::draw`]; frames without a face are left out.
pub(crate) fn redrawn_faces(
    pair: &Pair,
    frames: &[PlayedFrame],
    draw: impl FnOnce(&[Vec<f32>]) -> Vec<DrawnFace>,
) -> Result<Vec<Compared>, JobError> {
    compare_frames(pair, frames.iter().zip(frames), draw)
}

/// Draws the faces that `from` played as `to`, and cuts the truth from what `to` played, each in the
/// place of its own face, as decoders learn it: heads differ in size and shape, and what becomes of
/// that is the matter of whole frames. Frames in which one of them has no face found are left out.
pub(crate) fn compare(
    pair: &Pair,
    held: &[Held],
    from: usize,
    to: usize,
) -> Result<Vec<Compared>, JobError> {
    compare_drawn(pair, held, (from, to), |inputs| pair.draw(to, inputs))
}

/// As [`compare`], drawn by something else, as [`Pair::draw`] does it.
pub(crate) fn compare_drawn(
    pair: &Pair,
    held: &[Held],
    (from, to): (usize, usize),
    draw: impl FnOnce(&[Vec<f32>]) -> Vec<DrawnFace>,
) -> Result<Vec<Compared>, JobError> {
    let frames = held
        .iter()
        .flat_map(|held| held.frames[from].iter().zip(&held.frames[to]));
    compare_frames(pair, frames, draw)
}

fn compare_frames<'a>(
    pair: &Pair,
    frames: impl Iterator<Item = (&'a PlayedFrame, &'a PlayedFrame)>,
    draw: impl FnOnce(&[Vec<f32>]) -> Vec<DrawnFace>,
) -> Result<Vec<Compared>, JobError> {
    let mut all = Vec::new();
    for (filmed, wanted) in frames {
        let (Some(seen), Some(shown)) = (filmed.placement(pair), wanted.placement(pair)) else {
            continue;
        };
        let Some(mask) = wanted.face_mask() else {
            continue;
        };
        all.push(Compared {
            input: cut_rgb(&filmed.filmed, &seen)?,
            output: Vec::new(),
            truth: cut_rgb(&wanted.drawn.rgb, &shown)?,
            mask: cut_mask(&mask, &shown)?,
        });
    }
    if all.is_empty() {
        return Err(JobError::failed(
            "The tracker found no face in the held-out frames",
        ));
    }
    let inputs: Vec<Vec<f32>> = all.iter().map(|c| c.input.clone()).collect();
    for (compared, (rgb, _)) in all.iter_mut().zip(draw(&inputs)) {
        compared.output = rgb;
    }
    Ok(all)
}

/// The mean score over all faces of whatever `made` gives for one.
pub(crate) fn scored(
    side: usize,
    all: &[Compared],
    made: impl Fn(&Compared) -> Vec<f32>,
) -> Result<Score, JobError> {
    let scores = all
        .iter()
        .map(|c| Ok(measure::score(side, &made(c), &c.truth, &c.mask)?))
        .collect::<Result<Vec<Score>, JobError>>()?;
    Ok(measure::mean(&scores))
}

/// The mean of the training faces of a person of the pair, `[R, R, 3]`.
///
/// # Errors
/// If the faces cannot be read.
pub fn mean_face(world: &World, pair: &Pair, side: usize) -> Result<Vec<f32>, JobError> {
    let name = &pair.sides[side].name;
    trained::mean_face(&world.ctx, name, (pair.family, pair.area))
}

fn found_share(held: &[Held], side: usize) -> f64 {
    let frames: Vec<&PlayedFrame> = held.iter().flat_map(|h| &h.frames[side]).collect();
    let found = frames.iter().filter(|f| f.landmarks.is_some()).count();
    100.0 * found as f64 / frames.len().max(1) as f64
}

/// How near faces redrawn by their own decoder are to the truth, beside toys.
pub(crate) fn redrawn(
    side: usize,
    all: &[Compared],
    mean_face: &[f32],
    name: &str,
) -> Result<Vec<Measure>, JobError> {
    let own = scored(side, all, |c| c.output.clone())?;
    let mean = scored(side, all, |_| mean_face.to_vec())?;
    let blurred = scored(side, all, |c| measure::blurred(side, &c.truth, TOY_BLUR_PX))?;
    let row = |what: &str, unit, better, goal, of: fn(&Score) -> f64| {
        Measure::new(format!("{what} of {name}"), unit, of(&own), better)
            .with_toys(vec![
                Toy::new("mean face", of(&mean)),
                Toy::new("blurred truth", of(&blurred)),
            ])
            .with_goal(goal)
    };
    let (lower, higher) = (Better::Lower, Better::Higher);
    Ok(vec![
        row("difference", "of 1", lower, Some(0.035), |s| s.mae),
        row("SSIM", "", higher, None, |s| s.ssim),
        row("detail", "of truth", higher, Some(0.8), |s| s.detail),
    ])
}

/// How well both persons' unseen frames are redrawn.
///
/// # Errors
/// If the pair cannot be made.
pub fn reconstruct(world: &mut World) -> Result<Findings, JobError> {
    let pair = world.pair()?;
    let side = pair.family.resolution() as usize;
    let mut measures = Vec::new();
    for (s, name) in ["A", "B"].into_iter().enumerate() {
        let all = compare(&pair, &pair.stills, s, s)?;
        let mean_face = mean_face(world, &pair, s)?;
        measures.extend(redrawn(side, &all, &mean_face, name)?);
        measures.push(
            Measure::new(
                format!("frames with {name} found"),
                "%",
                found_share(&pair.stills, s),
                Better::Higher,
            )
            .with_goal(100.0),
        );
    }
    let costs = pair.costs;
    Ok(Findings {
        measures,
        note: format!(
            "{} steps of {} faces each, {}, from the shipped stock; unseen performances in unseen light; \
             seconds: render {:.0}, extract {:.0}, train {:.0}, track {:.0}",
            pair.steps,
            pair.batch,
            pair.family,
            costs.render,
            costs.extract,
            costs.train,
            costs.track
        ),
    })
}

/// How far swapped faces are from the truth.
///
/// # Errors
/// If the pair cannot be made.
pub fn swap_truth(world: &mut World) -> Result<Findings, JobError> {
    let pair = world.pair()?;
    let side = pair.family.resolution() as usize;
    let mut measures = Vec::new();
    for (from, to, way) in [(0, 1, "A drawn as B"), (1, 0, "B drawn as A")] {
        let all = compare(&pair, &pair.stills, from, to)?;
        let own = compare(&pair, &pair.stills, to, to)?;
        let mean_face = mean_face(world, &pair, to)?;
        let swap = scored(side, &all, |c| c.output.clone())?;
        let own = scored(side, &own, |c| c.output.clone())?;
        let copy = scored(side, &all, |c| c.input.clone())?;
        let tinted = scored(side, &all, |c| {
            measure::with_colours_of(&c.input, &c.truth, &c.mask)
        })?;
        let mean = scored(side, &all, |_| mean_face.clone())?;
        let toys = |of: fn(&Score) -> f64| {
            vec![
                Toy::new("copy the target", of(&copy)),
                Toy::new("copy in true colours", of(&tinted)),
                Toy::new("mean face", of(&mean)),
            ]
        };
        let mut row = |what: &str, unit, value, better, goal, toys| {
            measures.push(
                Measure::new(format!("{what}, {way}"), unit, value, better)
                    .with_toys(toys)
                    .with_goal(goal),
            );
        };
        let (lower, higher) = (Better::Lower, Better::Higher);
        row("difference", "of 1", swap.mae, lower, None, toys(|s| s.mae));
        row("SSIM", "", swap.ssim, higher, None, toys(|s| s.ssim));
        row(
            "detail",
            "of truth",
            swap.detail,
            higher,
            None,
            toys(|s| s.detail),
        );
        row(
            "swap gap",
            "of own",
            swap.mae / own.mae,
            lower,
            Some(1.3),
            vec![
                Toy::new("copy the target", copy.mae / own.mae),
                Toy::new("mean face", mean.mae / own.mae),
            ],
        );
        let below = |s: &Score| 100.0 * (1.0 - s.mae / copy.mae);
        row(
            "below copying",
            "%",
            below(&swap),
            higher,
            Some(50.0),
            vec![
                Toy::new("copy in true colours", below(&tinted)),
                Toy::new("mean face", below(&mean)),
            ],
        );
        let frames = world.swapped(from)?;
        let found = whole_frames(&pair, from, to, &frames)?;
        row(
            "whole frames",
            "of 1",
            found.swap.mae,
            lower,
            None,
            vec![
                Toy::new("copy the target", found.copy.mae),
                Toy::new("copy in true colours", found.tinted.mae),
                Toy::new("a perfect decoder", found.perfect.mae),
            ],
        );
        show(world, &pair.clip, (from, to), &frames, way);
    }
    Ok(Findings {
        measures,
        note: format!(
            "{} faces of {} unseen performances; whole frames are {} frames of a video through the swap \
             job",
            pair.stills.iter().map(|h| h.moments.len()).sum::<usize>(),
            pair.stills.len(),
            pair.clip.moments.len()
        ),
    })
}

/// Scores over the frames of a clip.
struct Whole {
    swap: Score,
    copy: Score,
    tinted: Score,
    /// The true face, as large as its decoder would draw it and put in by the product.
    perfect: Score,
}

/// Compares frames inside the exact mask of the person who is drawn.
fn whole_frames(pair: &Pair, from: usize, to: usize, swapped: &[Rgb8]) -> Result<Whole, JobError> {
    let clip = &pair.clip;
    let (mut swap, mut copy, mut tinted) = (Vec::new(), Vec::new(), Vec::new());
    let played = clip.frames[from].iter().zip(&clip.frames[to]);
    for ((filmed, wanted), swapped) in played.zip(swapped) {
        let Some(mask) = wanted.face_mask() else {
            continue;
        };
        let Some(window) = Window::around(&mask) else {
            continue;
        };
        let weights = window.gray(&mask);
        let truth = window.rgb(&wanted.drawn.rgb);
        let score = |patch: &[f32]| measure::score(window.side, patch, &truth, &weights);
        let target = window.rgb(&filmed.filmed);
        swap.push(score(&window.rgb(swapped))?);
        tinted.push(score(&measure::with_colours_of(&target, &truth, &weights))?);
        copy.push(score(&target)?);
    }
    Ok(Whole {
        swap: measure::mean(&swap),
        copy: measure::mean(&copy),
        tinted: measure::mean(&tinted),
        perfect: perfect(pair, from, to)?,
    })
}

/// What [`whole_frames`] would find if the decoder drew the true face.
fn perfect(pair: &Pair, from: usize, to: usize) -> Result<Score, JobError> {
    let mut shots = Vec::new();
    for (filmed, wanted) in pair.clip.frames[from].iter().zip(&pair.clip.frames[to]) {
        let (Some(landmarks), Some(there)) = (&filmed.landmarks, filmed.placement(pair)) else {
            continue;
        };
        let (Some(own), Some(mask)) = (wanted.placement(pair), wanted.face_mask()) else {
            continue;
        };
        let (frame, truth) = (&filmed.filmed, &wanted.drawn.rgb);
        shots.extend(TrueShot::new(
            frame,
            (landmarks, there),
            truth,
            (&mask, own),
        )?);
    }
    Ok(measure::mean(&perfectly_drawn(&shots)?))
}

/// Rows of target, swap, truth and difference for the page.
fn show(world: &mut World, clip: &Held, (from, to): (usize, usize), swapped: &[Rgb8], way: &str) {
    let count = swapped.len();
    for i in 0..SHOWN.min(count) {
        let index = (2 * i + 1) * count / (2 * SHOWN.min(count));
        let (filmed, wanted) = (&clip.frames[from][index], &clip.frames[to][index]);
        let difference = difference(&swapped[index], &wanted.drawn.rgb, wanted.face_mask());
        let cell = |caption: &str, picture: &Rgb8| {
            // As large as rendered: enlarging is the browser's business.
            (
                caption.to_owned(),
                warp::fit_inside(picture, Size::square(256)),
            )
        };
        world.show(Example {
            title: format!("T2 {way}, frame {index}"),
            cells: vec![
                cell("target", &filmed.filmed),
                cell("swapped", &swapped[index]),
                cell("truth", &wanted.drawn.rgb),
                cell("difference in the face, × 4", &difference),
            ],
        });
    }
}

/// The difference of two pictures inside a mask, enlarged, on black.
pub(crate) fn difference(a: &Rgb8, b: &Rgb8, mask: Option<Gray8>) -> Rgb8 {
    let mut out = Rgb8::new(a.size());
    let Some(mask) = mask else { return out };
    let pixels = out.data_mut().chunks_exact_mut(3).zip(mask.data());
    let both = a.data().chunks_exact(3).zip(b.data().chunks_exact(3));
    for ((out, m), (a, b)) in pixels.zip(both).filter(|((_, m), _)| **m > 0) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            let enlarged = GAIN * (i32::from(*a) - i32::from(*b)).abs();
            *out = unit_to_u8(enlarged as f32 / 255.0 * f32::from(*m) / 255.0);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_enlarged_inside_the_mask() {
        let size = Size::new(2, 1);
        let a = Rgb8::from_vec(size, vec![10, 20, 30, 10, 20, 30]).unwrap();
        let b = Rgb8::from_vec(size, vec![12, 10, 130, 99, 99, 99]).unwrap();
        let mask = Gray8::from_vec(size, vec![255, 0]).unwrap();
        let found = difference(&a, &b, Some(mask));
        assert_eq!(found.pixel(0, 0), [8, 40, 255]);
        assert_eq!(found.pixel(1, 0), [0, 0, 0]);
    }
}
