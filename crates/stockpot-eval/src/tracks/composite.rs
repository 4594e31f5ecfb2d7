//! Faces put into frames as the product does it, for tracks that give it faces and noise of their own.
//!
//! The same functions of `stockpot-convert`, in the same order as in the swap job: the colours of all
//! frames are measured, smoothed over the clip, and the faces pasted.

use rayon::prelude::*;
use stockpot_convert::{
    ColourFix, ColourStats, ConvertSettings, FacePatch, MaskMode, Placement, face_oval, measure,
    paste, smooth_colour,
};
use stockpot_core::FaceLandmarks;
use stockpot_core::image::{Gray8, Rgb8};
use stockpot_jobs::JobError;

use crate::measure::{Score, Window, score};
use crate::sets::{cut_mask, cut_rgb};

/// A face to be put into a frame.
#[derive(Debug, Clone)]
pub(crate) struct Shot<'a> {
    /// The untouched frame.
    pub frame: &'a Rgb8,
    /// The face that is filmed there.
    pub landmarks: &'a FaceLandmarks,
    /// Where the new face goes.
    pub placement: Placement,
    /// The new face, `[R, R, 3]`.
    pub rgb: Vec<f32>,
    /// Its mask, `[R, R]`.
    pub mask: Vec<f32>,
}

/// What becomes of measured colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    /// Smoothed over the clip, as in the product.
    Smoothed,
    /// Each frame by itself.
    EachFrame,
    /// Nothing: the face keeps its own.
    Kept,
}

/// Puts the faces in. The shots are a clip, in order.
///
/// # Errors
/// If a placement or setting is out of bounds.
pub(crate) fn composite(
    shots: &[Shot<'_>],
    settings: &ConvertSettings,
    colours: Colours,
) -> Result<Vec<Rgb8>, JobError> {
    let ovals: Vec<_> = shots.iter().map(|s| face_oval(s.landmarks)).collect();
    let patch = |i: usize| FacePatch {
        placement: shots[i].placement,
        rgb: &shots[i].rgb,
        mask: &shots[i].mask,
        oval: Some(&ovals[i]),
    };
    let stats: Vec<Option<ColourStats>> = (0..shots.len())
        .into_par_iter()
        .map(|i| Ok(measure(shots[i].frame, &patch(i), settings)?))
        .collect::<Result<_, JobError>>()?;
    let fixes = match colours {
        Colours::Smoothed => smooth_colour(&stats, settings.colour_sigma_frames),
        Colours::EachFrame => {
            let each = |s: &Option<ColourStats>| s.map_or(ColourFix::NONE, |s| s.single_picture());
            stats.iter().map(each).collect()
        }
        Colours::Kept => vec![ColourFix::NONE; shots.len()],
    };
    (0..shots.len())
        .into_par_iter()
        .map(|i| {
            let mut frame = shots[i].frame.clone();
            paste(&mut frame, &patch(i), &fixes[i], settings)?;
            Ok(frame)
        })
        .collect()
}

/// How much of each pixel of the frame the new face takes, 255 for all.
///
/// # Errors
/// As [`composite`].
pub(crate) fn cover(shot: &Shot<'_>, settings: &ConvertSettings) -> Result<Gray8, JobError> {
    let size = shot.frame.size();
    let mut black = Rgb8::new(size);
    let white = vec![1.0; shot.rgb.len()];
    let oval = face_oval(shot.landmarks);
    let patch = FacePatch {
        placement: shot.placement,
        rgb: &white,
        mask: &shot.mask,
        oval: Some(&oval),
    };
    paste(&mut black, &patch, &ColourFix::NONE, settings)?;
    let mut out = Gray8::new(size);
    for (to, from) in out.data_mut().iter_mut().zip(black.data().chunks_exact(3)) {
        *to = from[0];
    }
    Ok(out)
}

/// The true face of somebody, to be put in where another one is filmed, and what that is measured by.
#[derive(Debug)]
pub(crate) struct TrueShot<'a> {
    shot: Shot<'a>,
    window: Window,
    truth: Vec<f32>,
    weights: Vec<f32>,
}

impl<'a> TrueShot<'a> {
    /// The face that `truth` shows inside a mask, cut at its own place, for the filmed face's place in
    /// `frame`; nothing if the mask is empty.
    ///
    /// # Errors
    /// If a placement is out of bounds.
    pub(crate) fn new(
        frame: &'a Rgb8,
        (landmarks, placement): (&'a FaceLandmarks, Placement),
        truth: &Rgb8,
        (mask, own): (&Gray8, Placement),
    ) -> Result<Option<Self>, JobError> {
        let Some(window) = Window::around(mask) else {
            return Ok(None);
        };
        Ok(Some(Self {
            shot: Shot {
                frame,
                landmarks,
                placement,
                rgb: cut_rgb(truth, &own)?,
                mask: cut_mask(mask, &own)?,
            },
            truth: window.rgb(truth),
            weights: window.gray(mask),
            window,
        }))
    }
}

/// Scores of frames into which the product has put the true faces, as it puts in drawn ones: what a
/// perfect decoder would reach. The shots are a clip, in order.
///
/// # Errors
/// As [`composite`].
pub(crate) fn perfectly_drawn(shots: &[TrueShot<'_>]) -> Result<Vec<Score>, JobError> {
    let faces: Vec<Shot<'_>> = shots.iter().map(|s| s.shot.clone()).collect();
    let frames = composite(&faces, &ConvertSettings::default(), Colours::Smoothed)?;
    let both = frames.iter().zip(shots);
    both.map(|(frame, shot)| {
        let (side, patch) = (shot.window.side, shot.window.rgb(frame));
        Ok(score(side, &patch, &shot.truth, &shot.weights)?)
    })
    .collect()
}

/// The toy that pastes the whole mask with a hard edge and the face's own colours.
pub(crate) fn hard_paste() -> ConvertSettings {
    ConvertSettings {
        feather_percent: 0.0,
        erode_percent: 0.0,
        ..ConvertSettings::default()
    }
}

/// The settings of the product with another mask mode.
pub(crate) fn with_mask(mask: MaskMode) -> ConvertSettings {
    ConvertSettings {
        mask,
        ..ConvertSettings::default()
    }
}
