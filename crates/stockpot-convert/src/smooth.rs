//! Colour measurements of one track, smoothed over time without delay of phase.
//!
//! Knows frame numbers and measurements, no pixels. One smoother serves one face through one shot: a
//! cut starts a new one. Start at [`ColourSmoother`] for streams, at [`smooth_colour`] if all
//! measurements are there at once; both give the same numbers.

use std::collections::VecDeque;

use crate::colour::{ColourFix, ColourStats};
use crate::error::Error;
use crate::settings::ConvertSettings;

/// Smooths a track's measurements while the video streams by.
///
/// Frames go in with [`push`](Self::push) and come out, in order, `window` frames later with their
/// correction; [`finish`](Self::finish) gives out the rest. The caller keeps the frames that wait:
/// never more than `window + 1` if every frame number of the track is pushed, with `None` where
/// the face or its measurement is missing.
///
/// ```
/// use stockpot_convert::{ColourSmoother, ConvertSettings};
/// let settings = ConvertSettings::default();
/// let mut smoother = ColourSmoother::new(&settings)?;
/// let mut done = 0;
/// for frame in 0..20 {
///     for (index, fix) in smoother.push(frame, None)? {
///         assert_eq!((index, fix.gain(0, 0.0, 0.0, &settings)), (done, 1.0));
///         done += 1;
///     }
/// }
/// done += smoother.finish().len() as u64;
/// assert_eq!(done, 20);
/// # Ok::<(), stockpot_convert::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ColourSmoother {
    window: u64,
    sigma_frames: f32,
    /// Frames still needed, rising: waiting ones and up to `window` before them.
    known: VecDeque<(u64, Option<ColourStats>)>,
    /// How many at the front of `known` were given out already.
    given: usize,
}

impl ColourSmoother {
    /// An empty smoother with the settings' window and width.
    ///
    /// # Errors
    /// [`Error::Setting`] for a setting out of range.
    pub fn new(settings: &ConvertSettings) -> Result<Self, Error> {
        settings.validate()?;
        Ok(Self {
            window: u64::from(settings.colour_window),
            sigma_frames: settings.colour_sigma_frames,
            known: VecDeque::new(),
            given: 0,
        })
    }

    /// Takes the measurement of the next frame and returns every frame whose window is complete by
    /// it, oldest first.
    ///
    /// # Errors
    /// [`Error::Order`] if `frame` is not greater than the last one.
    pub fn push(
        &mut self,
        frame: u64,
        stats: Option<ColourStats>,
    ) -> Result<Vec<(u64, ColourFix)>, Error> {
        if let Some((last, _)) = self.known.back()
            && *last >= frame
        {
            return Err(Error::Order { frame, last: *last });
        }
        self.known.push_back((frame, stats));
        let window = self.window;
        Ok(self.give_while(|waiting| waiting.saturating_add(window) <= frame))
    }

    /// The track has ended: returns the frames that still wait, smoothed with what there is. The
    /// smoother is empty afterwards and can take another track.
    pub fn finish(&mut self) -> Vec<(u64, ColourFix)> {
        let rest = self.give_while(|_| true);
        self.known.clear();
        self.given = 0;
        rest
    }

    /// Frames that were pushed and not yet given out.
    pub fn waiting(&self) -> usize {
        self.known.len() - self.given
    }

    fn give_while(&mut self, is_complete: impl Fn(u64) -> bool) -> Vec<(u64, ColourFix)> {
        let mut out = Vec::new();
        while let Some((frame, stats)) = self.known.get(self.given).copied() {
            if !is_complete(frame) {
                break;
            }
            while self
                .known
                .front()
                .is_some_and(|(f, _)| *f + self.window < frame)
            {
                self.known.pop_front();
                self.given -= 1;
            }
            let near = self
                .known
                .iter()
                .filter(|(f, _)| f.abs_diff(frame) <= self.window)
                .filter_map(|(f, s)| s.map(|s| (f.abs_diff(frame), s)));
            out.push((frame, average(near, stats, self.sigma_frames)));
            self.given += 1;
        }
        out
    }
}

/// Smooths all measurements of a track (one entry per frame, `None` where there is none) by a
/// Gaussian of `sigma_frames`, cut off at two standard deviations. Frames without a measurement
/// get what their neighbours say, or [`ColourFix::NONE`] if these have none either.
pub fn smooth_colour(stats: &[Option<ColourStats>], sigma_frames: f32) -> Vec<ColourFix> {
    let window = (2.0 * sigma_frames.clamp(0.0, 60.0)).round() as usize;
    (0..stats.len())
        .map(|i| {
            let first = i.saturating_sub(window);
            let near = stats[first..stats.len().min(i + window + 1)]
                .iter()
                .enumerate()
                .filter_map(|(k, s)| s.map(|s| ((first + k).abs_diff(i) as u64, s)));
            average(near, stats[i], sigma_frames)
        })
        .collect()
}

/// The Gaussian average of the measurements at the given distances, and how far this frame's own
/// level lies from it. Measurements with a number that is not finite are left out.
fn average(
    near: impl Iterator<Item = (u64, ColourStats)>,
    own: Option<ColourStats>,
    sigma_frames: f32,
) -> ColourFix {
    let is_sound = |s: &ColourStats| {
        s.match_log.iter().flatten().all(|v| v.is_finite())
            && s.level_log.iter().all(|v| v.is_finite())
    };
    let mut total = 0.0;
    let mut planes = [[0.0; 3]; 3];
    let mut level = [0.0; 3];
    for (distance, s) in near.filter(|(_, s)| is_sound(s)) {
        let z = distance as f32 / sigma_frames.max(0.01);
        let weight = (-0.5 * z * z).exp();
        total += weight;
        for c in 0..3 {
            level[c] += weight * s.level_log[c];
            for (sum, v) in planes[c].iter_mut().zip(s.match_log[c]) {
                *sum += weight * v;
            }
        }
    }
    if total <= 0.0 {
        return ColourFix::NONE;
    }
    ColourFix {
        match_log: planes.map(|p| p.map(|v| v / total)),
        wobble_log: match own.filter(is_sound) {
            Some(own) => std::array::from_fn(|c| own.level_log[c] - level[c] / total),
            None => [0.0; 3],
        },
    }
}
