//! T9, video: what is calm in the film must be calm in the swap.
//!
//! One clip, with noise on the landmarks and a colour that wobbles, as networks make them. Two runs:
//! an **ideal decoder**, which always gives A's own true face in its true place in the network's
//! square, so that only the placing, the colours and the blending are measured and the truth is
//! A's own film to the last pixel; and the **trained pair**, A to B, against B truly drawn. The ideal
//! decoder does not follow the noise of the square it is given, so all of that noise shows: a real one
//! follows it in part.

use stockpot_convert::{ConvertSettings, Placement};
use stockpot_core::image::{Gray8, Rgb8};
use stockpot_core::space::{Affine, Face, Frame};
use stockpot_core::{Area, FaceLandmarks, Rng};
use stockpot_faces::smooth::{SmoothSettings, smooth_track};
use stockpot_faces::{Detection, FaceModels};
use stockpot_jobs::JobError;

use super::Findings;
use super::composite::{Colours, Shot, composite};
use super::t8::shot;
use crate::bench::World;
use crate::judge::strangers::{find_face, largest};
use crate::measure::{Window, flicker};
use crate::outcome::{Better, Measure, Toy};
use crate::sets::{Held, Pair, PlayedFrame, cut_rgb};

/// Standard deviation of the landmarks' noise in frame pixels: once for the face as a whole, once
/// more for each point.
const NOISE_PX: f32 = 0.5;
/// Standard deviation of the gain of each channel and frame.
const WOBBLE: f32 = 0.03;
/// Side of the ideal decoder's square in pixels.
const IDEAL: u32 = 128;
/// By so many pixels a frame is shifted, right and down.
const SHIFT: [u32; 2] = [5, 3];
/// Every so manieth frame of the clip is shifted.
const SHIFT_EVERY: usize = 9;
/// Levels of 255 that are aimed at (research notes, SwapBench design).
const GOAL: f64 = 1.3;
const LEVELS: f64 = 255.0;

/// How a clip is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// As the product does: landmarks and colours smoothed over the clip.
    Product,
    /// Landmarks as they come, colours of each frame by itself.
    PerFrame,
    /// Landmarks smoothed, colours of each frame by itself.
    LandmarksOnly,
    /// As the product, but there is no noise and no wobble: what remains is no fault of theirs.
    NoNoise,
}

/// Measures.
///
/// # Errors
/// If the pair cannot be made.
pub fn video(world: &mut World) -> Result<Findings, JobError> {
    let pair = world.pair()?;
    let seed = world.cast.seed;
    let clip = Clip::of(&pair.clip)?;
    let noisy = with_noise(&clip.landmarks, seed)?;
    let track: Vec<(u64, FaceLandmarks)> =
        clip.numbers.iter().copied().zip(noisy.clone()).collect();
    let calm = smooth_track(&track, SmoothSettings::default())?;
    let mut measures = Vec::new();
    let runs = [
        ("flicker, ideal decoder", None),
        ("flicker, trained pair", Some(&*pair)),
    ];
    for (name, pair) in runs {
        let run = |care: Care| -> Result<f64, JobError> {
            world.check_cancel()?;
            let landmarks = match care {
                Care::Product | Care::LandmarksOnly => &calm,
                Care::PerFrame => &noisy,
                Care::NoNoise => &clip.landmarks,
            };
            let wobble = (care != Care::NoNoise).then_some(seed);
            let colours = match care {
                Care::Product | Care::NoNoise => Colours::Smoothed,
                Care::PerFrame | Care::LandmarksOnly => Colours::EachFrame,
            };
            let shots = clip.shots(pair, landmarks, wobble)?;
            let made = composite(&shots, &ConvertSettings::default(), colours)?;
            clip.flicker(&made, usize::from(pair.is_some()))
        };
        measures.push(
            Measure::new(name, "of 255", run(Care::Product)?, Better::Lower)
                .with_toys(vec![
                    Toy::new("per frame, nothing smoothed", run(Care::PerFrame)?),
                    Toy::new("landmarks smoothed only", run(Care::LandmarksOnly)?),
                    Toy::new("the product without noise", run(Care::NoNoise)?),
                ])
                .with_goal(GOAL),
        );
    }
    let (found, boxed, shifted) = shift_consistency(world, &pair)?;
    measures.push(
        Measure::new(
            "change when the film is shifted",
            "of 255",
            found,
            Better::Lower,
        )
        .with_toys(vec![Toy::new("placed by the detector's box", boxed)]),
    );
    Ok(Findings {
        measures,
        note: format!(
            "{} frames; noise of {NOISE_PX} px on the face and on each landmark, wobble of {} %; ideal \
             decoder: A's own true face at {IDEAL} px, truth A; trained pair: A to B, truth B; {shifted} \
             frames shifted by {} and {} px and found anew",
            clip.frames.len(),
            WOBBLE * 100.0,
            SHIFT[0],
            SHIFT[1],
        ),
    })
}

/// The frames of a clip in which both persons' faces were found.
struct Clip<'a> {
    numbers: Vec<u64>,
    frames: Vec<[&'a PlayedFrame; 2]>,
    /// A's, smoothed by the product's tracker: they count as the true ones here.
    landmarks: Vec<FaceLandmarks>,
    /// Where both have their face.
    masks: Vec<Gray8>,
}

impl<'a> Clip<'a> {
    fn of(held: &'a Held) -> Result<Self, JobError> {
        let mut clip = Self {
            numbers: Vec::new(),
            frames: Vec::new(),
            landmarks: Vec::new(),
            masks: Vec::new(),
        };
        let [a, b] = &held.frames;
        for (number, (a, b)) in a.iter().zip(b).enumerate() {
            let (Some(landmarks), Some(mask), Some(other)) =
                (&a.landmarks, a.face_mask(), b.face_mask())
            else {
                continue;
            };
            clip.numbers.push(number as u64);
            clip.frames.push([a, b]);
            clip.landmarks.push(landmarks.clone());
            clip.masks.push(both(mask, &other));
        }
        if clip.frames.len() < 2 {
            return Err(JobError::failed(format!(
                "Both faces were found in {} frames of the clip, 2 are needed",
                clip.frames.len()
            )));
        }
        Ok(clip)
    }

    /// The faces to be put in: B's by the network, or A's own.
    fn shots(
        &self,
        pair: Option<&Pair>,
        landmarks: &'a [FaceLandmarks],
        wobble: Option<u64>,
    ) -> Result<Vec<Shot<'a>>, JobError> {
        let (area, resolution) = match pair {
            Some(pair) => (pair.area, pair.family.resolution()),
            None => (Area::Face, IDEAL),
        };
        let placed = |landmarks: &FaceLandmarks| -> Result<Placement, JobError> {
            Ok(Placement {
                face_from_frame: landmarks.face_from_frame().map_err(one_point)?,
                area,
                resolution,
            })
        };
        let mut shots = Vec::with_capacity(self.frames.len());
        for (i, landmarks) in landmarks.iter().enumerate() {
            let frame = &self.frames[i][0].drawn.rgb;
            let mut shot = shot(frame, landmarks, placed(landmarks)?)?;
            if pair.is_none() {
                shot.rgb = cut_rgb(frame, &placed(&self.landmarks[i])?)?;
            }
            shots.push(shot);
        }
        if let Some(pair) = pair {
            let inputs: Vec<Vec<f32>> = shots.iter().map(|s| s.rgb.clone()).collect();
            for (shot, (rgb, mask)) in shots.iter_mut().zip(pair.draw(1, &inputs)) {
                (shot.rgb, shot.mask) = (rgb, mask);
            }
        }
        if let Some(seed) = wobble {
            for (number, shot) in self.numbers.iter().zip(&mut shots) {
                let mut rng = Rng::stream(seed, "T9 wobble", *number);
                let gains: [f32; 3] = std::array::from_fn(|_| 1.0 + WOBBLE * rng.normal());
                for pixel in shot.rgb.chunks_exact_mut(3) {
                    pixel.iter_mut().zip(gains).for_each(|(v, gain)| *v *= gain);
                }
            }
        }
        Ok(shots)
    }

    /// Mean over all pairs of neighbouring frames, in levels.
    fn flicker(&self, made: &[Rgb8], truth: usize) -> Result<f64, JobError> {
        let (mut sum, mut n) = (0.0, 0.0);
        for i in 1..made.len() {
            let mask = both(self.masks[i].clone(), &self.masks[i - 1]);
            let Some(window) = Window::around(&mask) else {
                continue;
            };
            if self.numbers[i] != self.numbers[i - 1] + 1 {
                continue;
            }
            let pair = |frames: [&Rgb8; 2]| frames.map(|f| window.rgb(f));
            let mine = pair([&made[i - 1], &made[i]]);
            let drawn = |i: usize| &self.frames[i][truth].drawn.rgb;
            let wanted = pair([drawn(i - 1), drawn(i)]);
            sum += flicker(
                [&mine[0], &mine[1]],
                [&wanted[0], &wanted[1]],
                &window.gray(&mask),
            );
            n += 1.0;
        }
        if n == 0.0 {
            return Err(JobError::failed(
                "No two neighbouring frames show both faces",
            ));
        }
        Ok(LEVELS * sum / n)
    }
}

pub(crate) fn one_point(_: stockpot_core::space::Singular) -> JobError {
    JobError::failed("The landmarks of a face lie in one point")
}

/// The smaller of two masks, pixel by pixel.
pub(crate) fn both(mut a: Gray8, b: &Gray8) -> Gray8 {
    a.data_mut()
        .iter_mut()
        .zip(b.data())
        .for_each(|(a, b)| *a = (*a).min(*b));
    a
}

/// Landmarks as a jittery tracker would give them.
fn with_noise(all: &[FaceLandmarks], seed: u64) -> Result<Vec<FaceLandmarks>, JobError> {
    let noisy = all.iter().enumerate().map(|(i, landmarks)| {
        let mut rng = Rng::stream(seed, "T9 landmarks", i as u64);
        let whole = [NOISE_PX * rng.normal(), NOISE_PX * rng.normal()];
        let points = landmarks.points().iter().map(|p| {
            [
                p[0] + whole[0] + NOISE_PX * rng.normal(),
                p[1] + whole[1] + NOISE_PX * rng.normal(),
                p[2],
            ]
        });
        FaceLandmarks::new(points.collect())
            .map_err(|e| JobError::failed(format!("Noise made bad landmarks: {e}")))
    });
    noisy.collect()
}

/// How much the swap of a shifted frame differs from the shifted swap, in levels, by the product and
/// by the toy; and in how many frames.
fn shift_consistency(world: &World, pair: &Pair) -> Result<(f64, f64, usize), JobError> {
    let mut models = world.models.clone();
    let (mut sums, mut n) = ([0.0; 2], 0);
    for played in pair.clip.frames[0].iter().step_by(SHIFT_EVERY) {
        world.check_cancel()?;
        let frames = [played.drawn.rgb.clone(), shifted(&played.drawn.rgb, SHIFT)];
        let Some(mask) = played.face_mask() else {
            continue;
        };
        let found = [
            find_face(&mut models, &frames[0])?,
            find_face(&mut models, &frames[1])?,
        ];
        let [Some(first), Some(second)] = &found else {
            continue;
        };
        let boxes = frames.each_ref().map(|f| box_placement(&mut models, f));
        let [Some(box_first), Some(box_second)] = boxes else {
            continue;
        };
        let placed = |l: &FaceLandmarks| l.face_from_frame().map_err(one_point);
        let ways = [[placed(first)?, placed(second)?], [box_first, box_second]];
        for (sum, way) in sums.iter_mut().zip(ways) {
            let mut swaps = Vec::with_capacity(2);
            for ((frame, landmarks), face_from_frame) in frames.iter().zip([first, second]).zip(way)
            {
                let placement = Placement {
                    face_from_frame,
                    area: pair.area,
                    resolution: pair.family.resolution(),
                };
                let mut shot = shot(frame, landmarks, placement)?;
                let drawn = pair.draw(1, std::slice::from_ref(&shot.rgb)).pop();
                if let Some((rgb, mask)) = drawn {
                    (shot.rgb, shot.mask) = (rgb, mask);
                }
                swaps.extend(composite(
                    &[shot],
                    &ConvertSettings::default(),
                    Colours::EachFrame,
                )?);
            }
            let [one, two] = &swaps[..] else { continue };
            *sum += LEVELS * difference(&shifted(one, SHIFT), two, &shifted_mask(&mask, SHIFT));
        }
        n += 1;
    }
    if n == 0 {
        return Err(JobError::failed("No face was found in the shifted frames"));
    }
    Ok((sums[0] / n as f64, sums[1] / n as f64, n))
}

/// The toy: brows to chin of the detector's box are put where an average face has them.
fn box_placement(models: &mut FaceModels, frame: &Rgb8) -> Option<Affine<Face, Frame>> {
    let Detection { bounds, .. } = largest(models, frame)?;
    let [left, top, right, bottom] = bounds;
    // Brows to chin: 1.2 face units, around 0.55 below the top of face space.
    let scale = 1.2 / (bottom - top).max(1.0);
    Some(Affine::scale_then_shift(
        scale,
        0.49 - scale * (left + right) / 2.0,
        0.55 - scale * (top + bottom) / 2.0,
    ))
}

/// The frame moved right and down; what comes in repeats the edge.
fn shifted(frame: &Rgb8, [right, down]: [u32; 2]) -> Rgb8 {
    let mut out = frame.clone();
    let size = frame.size();
    for y in 0..size.height {
        for x in 0..size.width {
            let from = frame.pixel(x.saturating_sub(right), y.saturating_sub(down));
            out.set_pixel(x, y, from);
        }
    }
    out
}

/// As [`shifted`], with nothing where the frame has come in.
fn shifted_mask(mask: &Gray8, [right, down]: [u32; 2]) -> Gray8 {
    let mut out = Gray8::new(mask.size());
    let size = mask.size();
    for y in down..size.height {
        for x in right..size.width {
            out.set_pixel(x, y, mask.pixel(x - right, y - down));
        }
    }
    out
}

/// Mean absolute difference inside a mask, 0 to 1; not a number for an empty mask.
pub(crate) fn difference(a: &Rgb8, b: &Rgb8, mask: &Gray8) -> f64 {
    let (mut sum, mut weight) = (0.0, 0.0);
    let pixels = a.data().chunks_exact(3).zip(b.data().chunks_exact(3));
    for ((a, b), m) in pixels.zip(mask.data()) {
        let m = f64::from(*m) / 255.0;
        let apart: u32 = a
            .iter()
            .zip(b)
            .map(|(a, b)| u32::from(a.abs_diff(*b)))
            .sum();
        sum += m * f64::from(apart) / 3.0;
        weight += m;
    }
    sum / weight / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::image::Size;

    #[test]
    fn noise_has_the_size_it_says_and_repeats() {
        let still = FaceLandmarks::new(
            (0..468)
                .map(|i| [i as f32, (i * i % 97) as f32, 0.0])
                .collect(),
        )
        .unwrap();
        let noisy = with_noise(&vec![still.clone(); 400], 3).unwrap();
        assert_eq!(noisy, with_noise(&vec![still.clone(); 400], 3).unwrap());
        let moved: Vec<f32> = noisy.iter().map(|l| l.points()[9][0] - 9.0).collect();
        let square = moved.iter().map(|v| v * v).sum::<f32>() / 400.0;
        // Two independent parts of 0.5 px: 0.25 + 0.25.
        assert!((square - 0.5).abs() < 0.12, "{square}");
        assert_eq!(noisy[0].points()[9][2], 0.0);
    }

    #[test]
    fn shifting_moves_pixels_and_masks() {
        let mut frame = Rgb8::new(Size::new(4, 3));
        frame.set_pixel(1, 1, [9, 8, 7]);
        let moved = shifted(&frame, [2, 1]);
        assert_eq!(moved.pixel(3, 2), [9, 8, 7]);
        assert_eq!(moved.data().iter().filter(|v| **v > 0).count(), 3);
        let mut mask = Gray8::new(Size::new(4, 3));
        mask.data_mut().fill(255);
        let moved = shifted_mask(&mask, [2, 1]);
        assert_eq!(moved.data(), [0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 255, 255]);
    }

    #[test]
    fn differences_count_inside_the_mask_only() {
        let size = Size::new(2, 1);
        let a = Rgb8::from_vec(size, vec![10, 20, 30, 0, 0, 0]).unwrap();
        let b = Rgb8::from_vec(size, vec![13, 20, 24, 255, 255, 255]).unwrap();
        let mask = Gray8::from_vec(size, vec![255, 0]).unwrap();
        // (3 + 0 + 6) / 3 = 3 levels.
        assert!((difference(&a, &b, &mask) * 255.0 - 3.0).abs() < 1e-9);
        assert!(difference(&a, &b, &Gray8::new(size)).is_nan());
        assert_eq!(
            both(mask, &Gray8::from_vec(size, vec![7, 9]).unwrap()).data(),
            [7, 0]
        );
    }
}
