//! How a patch's colours differ from the frame's, measured on one frame and applied smoothed.
//!
//! Two things are measured, because two things go wrong. **Match**: the patch has another cast and
//! another fall of light than the scene. Around the edge of the mask both pictures show skin under
//! the same light, so there the ratio frame / patch is fitted with a plane per channel (a cast
//! and a light slope) and carried inward. On rendered truth this low-frequency gain had the smallest
//! error of all blendings tried (science notes, experiment X5). On people of unlike skin that ratio is
//! skin as well as light; how much of it is applied is [`ColourMatch`]'s choice. **Wobble**: networks change their
//! overall colour by some percent from frame to frame. It is the fast part of the difference between
//! the means of patch and frame over the whole face; a real change of light moves both means
//! and is no wobble.
//!
//! A measurement ([`ColourStats`]) can only be applied after smoothing over the track
//! ([`crate::ColourSmoother`]), which makes a [`ColourFix`] of it; for a single picture there is
//! [`ColourStats::single_picture`].

use stockpot_core::image::{Image, Size};

use crate::cut::cut;
use crate::error::Error;
use crate::mask::{Flaws, raw_mask, soften_inward};
use crate::placement::{Depth, FacePatch, check_frame};
use crate::settings::{ColourMatch, ConvertSettings};

/// Difference of brightness (natural logarithm, mean of the channels) that light alone may well
/// make between a decoder and a scene: a factor of 1.42. Set by hand; SwapBench's T10 shows what it does.
const LIGHT_BRIGHTNESS: f32 = 0.35;
/// The same for cast: the length of the three channels' deviations from their mean. A cast of 10 % on
/// one channel against the two others is 0.16.
const LIGHT_CAST: f32 = 0.18;
/// Bound of a gain plane's level in natural logarithms, for its largest channel: a factor of 2.7 at
/// the face's centre. The channels shrink together, so that the bound changes no hue.
const MAX_LEVEL: f32 = 1.0;
/// Bound of its slope: 0.25 is 28 % from the centre to the edge of the area.
const MAX_SLOPE: f32 = 0.25;
/// Bound of the wobble: 6 %, twice of what was measured on networks (experiment X5).
const MAX_WOBBLE: f32 = 0.06;
/// Width of the ring inside of the mask's edge, as part of the face width: wide enough for some
/// hundred pixels, narrow enough to stay off eyes and mouth.
const RING_WIDTH: f64 = 0.14;
/// Pixels (weighted) of the ring below which nothing can be said.
const MIN_RING_PIXELS: f64 = 24.0;
/// Darker than this (of 1.0) is hair, shadow or a black bar, brighter is clipped: no skin tone.
const USABLE: (f32, f32) = (0.04, 0.99);
/// Keeps ratios of dark pixels finite; about one 8-bit step.
const BLACK: f64 = 0.004;
/// Cells along one side in which ratios are formed before the plane is fitted.
const CELLS: usize = 8;
/// Residual (natural logarithm) beyond which a cell loses weight: background, hair, a hand.
const HUBER: f64 = 0.05;

/// What one frame says about the colours of its patch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourStats {
    /// Per channel the natural logarithm of frame / patch around the mask's edge, as a plane over
    /// the network's square: value at the centre, change to the right edge, change to the bottom.
    pub match_log: [[f32; 3]; 3],
    /// Per channel the natural logarithm of patch / frame, means over the whole face.
    pub level_log: [f32; 3],
    /// Patch pixels the plane was fitted on (weighted).
    pub ring_pixels: f32,
}

impl ColourStats {
    /// The correction by this measurement alone: for single pictures, never for frames of a video
    /// (it would flicker).
    pub fn single_picture(&self) -> ColourFix {
        ColourFix {
            match_log: self.match_log,
            wobble_log: [0.0; 3],
        }
    }
}

/// A colour correction that may be applied: smoothed over the track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColourFix {
    /// Smoothed [`ColourStats::match_log`].
    pub match_log: [[f32; 3]; 3],
    /// Per channel the natural logarithm of what the patch is too bright in this one frame,
    /// compared with its neighbours.
    pub wobble_log: [f32; 3],
}

impl ColourFix {
    /// Changes nothing.
    pub const NONE: Self = Self {
        match_log: [[0.0; 3]; 3],
        wobble_log: [0.0; 3],
    };

    /// The factor of channel `c` at `(u, v)` (from -1 to 1 over the network's square) by the settings'
    /// match and strength. Always between 0.2 and 4.8; numbers that are not finite count as zero.
    pub fn gain(&self, c: usize, u: f32, v: f32, settings: &ConvertSettings) -> f32 {
        let [level, right, down] = self.planes(settings.colour_match)[c];
        let plane = level + right * u + down * v;
        (settings.colour_strength * plane - self.bounded_wobble(c)).exp()
    }

    /// What of [`Self::match_log`] is applied, before the strength.
    ///
    /// The level is a vector of three channels, told apart into brightness (their mean) and cast (what
    /// is left). With `d² = (brightness / 0.35)² + (|cast| / 0.18)²`, [`ColourMatch::Light`] scales the
    /// whole vector by `min(1, 1 / d²)`: full where light explains the difference, least where the two
    /// skins are most unlike, and never another hue. That is the weight of a robust fit that takes
    /// skin for the outlier.
    pub fn planes(&self, colour_match: ColourMatch) -> [[f32; 3]; 3] {
        if colour_match == ColourMatch::Keep {
            return [[0.0; 3]; 3];
        }
        let level = self.match_log.map(|p| bounded(p[0], f32::MAX.sqrt()));
        let largest = level.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let within = (MAX_LEVEL / largest.max(MAX_LEVEL)).min(1.0);
        let share = match colour_match {
            ColourMatch::Light => within.min(share_of_light(level)),
            _ => within,
        };
        std::array::from_fn(|c| {
            let [_, right, down] = self.match_log[c];
            [
                share * level[c],
                bounded(right, MAX_SLOPE),
                bounded(down, MAX_SLOPE),
            ]
        })
    }

    pub(crate) fn bounded_wobble(&self, c: usize) -> f32 {
        bounded(self.wobble_log[c], MAX_WOBBLE)
    }
}

/// How much of a difference between patch and frame is taken for light, 0 to 1.
fn share_of_light(level: [f32; 3]) -> f32 {
    let brightness = level.iter().sum::<f32>() / 3.0;
    let cast: f32 = level.iter().map(|v| (v - brightness).powi(2)).sum();
    let far = (brightness / LIGHT_BRIGHTNESS).powi(2) + cast / LIGHT_CAST.powi(2);
    1.0 / far.max(1.0)
}

fn bounded(v: f32, limit: f32) -> f32 {
    if v.is_nan() {
        0.0
    } else {
        v.clamp(-limit, limit)
    }
}

/// Compares a patch with the frame it will be pasted into (which must still be untouched).
///
/// `None` if too few usable pixels are there: a face mostly outside of the frame, an empty mask, a
/// black frame. Smoothing bridges such frames from their neighbours.
///
/// # Errors
/// Those of [`crate::paste()`].
pub fn measure<T: Depth>(
    frame: &Image<T, 3>,
    patch: &FacePatch,
    settings: &ConvertSettings,
) -> Result<Option<ColourStats>, Error> {
    settings.validate()?;
    patch.check()?;
    let size = check_frame(frame)?;
    let side = patch.placement.resolution as usize;
    let mut seen = vec![0.0; patch.placement.rgb_len()];
    cut(frame, &patch.placement, &mut seen)?;

    let (face, ring) = weights(patch, size, settings, &seen)?;
    let mut whole = Sums::default();
    let mut cells = [Sums::default(); CELLS * CELLS];
    for i in 0..side * side {
        if face[i] <= 0.0 {
            continue;
        }
        let (ours, theirs) = (&patch.rgb[i * 3..][..3], &seen[i * 3..][..3]);
        whole.add(face[i], ours, theirs);
        if ring[i] > 0.0 {
            let (x, y) = ((i % side) * CELLS / side, (i / side) * CELLS / side);
            cells[y * CELLS + x].add(ring[i], ours, theirs);
        }
    }
    let ring_pixels: f64 = cells.iter().map(|c| c.weight).sum();
    if ring_pixels < MIN_RING_PIXELS {
        return Ok(None);
    }
    let plane = fit_planes(&cells);
    let level = whole.log_ratio();
    Ok(Some(ColourStats {
        match_log: plane.map(|p| p.map(|v| v as f32)),
        level_log: level.map(|v| -v as f32),
        ring_pixels: ring_pixels as f32,
    }))
}

/// Weights of the patch's pixels for the mean over the face and for the ring along its edge.
fn weights(
    patch: &FacePatch,
    size: Size,
    settings: &ConvertSettings,
    seen: &[f32],
) -> Result<(Vec<f32>, Vec<f32>), Error> {
    let place = &patch.placement;
    let side = place.resolution as usize;
    let face_net = place.face_width_px() / place.area_side_px() * side as f64;
    let flaws = Flaws::of(patch);
    let mut face = raw_mask(patch, settings, side)?;
    let mut core = face.clone();
    let erode = f64::from(settings.erode_percent) / 100.0 * face_net;
    soften_inward(&mut face, side, erode as f32, 1.0);
    let ring_width = (erode + RING_WIDTH * face_net) as f32;
    soften_inward(&mut core, side, ring_width, ring_width / 2.0);

    let m = place.frame_from_net()?.rows();
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    for i in 0..side * side {
        let (x, y) = ((i % side) as f64 + 0.5, (i / side) as f64 + 0.5);
        let fx = m[0] * x + m[1] * y + m[2];
        let fy = m[3] * x + m[4] * y + m[5];
        let in_frame = (0.0..width).contains(&fx) && (0.0..height).contains(&fy);
        let usable = in_frame
            && !flaws.is_bad(i)
            && is_skin_bright(&patch.rgb[i * 3..][..3])
            && is_skin_bright(&seen[i * 3..][..3]);
        if !usable {
            face[i] = 0.0;
        }
    }
    for (c, f) in core.iter_mut().zip(&face) {
        *c = (f - *c).max(0.0);
    }
    Ok((face, core))
}

fn is_skin_bright(rgb: &[f32]) -> bool {
    let mean = (rgb[0] + rgb[1] + rgb[2]) / 3.0;
    mean >= USABLE.0 && rgb.iter().all(|v| *v <= USABLE.1)
}

/// Weighted sums of one region.
#[derive(Clone, Copy, Default)]
struct Sums {
    weight: f64,
    patch: [f64; 3],
    frame: [f64; 3],
}

impl Sums {
    fn add(&mut self, weight: f32, patch: &[f32], frame: &[f32]) {
        let w = f64::from(weight);
        self.weight += w;
        for c in 0..3 {
            self.patch[c] += w * f64::from(patch[c].clamp(0.0, 1.0));
            self.frame[c] += w * f64::from(frame[c]);
        }
    }

    /// Natural logarithm of frame / patch per channel; zero where nothing was added.
    fn log_ratio(&self) -> [f64; 3] {
        let black = BLACK * self.weight.max(f64::MIN_POSITIVE);
        std::array::from_fn(|c| ((self.frame[c] + black) / (self.patch[c] + black)).ln())
    }
}

/// Per channel `[centre, right, down]` of the plane through the cells' log ratios: weighted least
/// squares, four rounds of Huber weights shared by the channels, slopes held back a little so that
/// few cells give a level only.
fn fit_planes(cells: &[Sums; CELLS * CELLS]) -> [[f64; 3]; 3] {
    const ROUNDS: usize = 4;
    const SLOPE_PRIOR: f64 = 0.01;
    let at = |k: usize| (k as f64 + 0.5) / CELLS as f64 * 2.0 - 1.0;
    let points: Vec<([f64; 3], f64, [f64; 3])> = cells
        .iter()
        .enumerate()
        .filter(|(_, s)| s.weight > 0.0)
        .map(|(i, s)| ([1.0, at(i % CELLS), at(i / CELLS)], s.weight, s.log_ratio()))
        .collect();
    let total: f64 = points.iter().map(|p| p.1).sum();
    let mut planes = [[0.0; 3]; 3];
    let mut trust = vec![1.0f64; points.len()];
    for _ in 0..ROUNDS {
        let mut normal = [[0.0; 3]; 3];
        let mut right = [[0.0; 3]; 3];
        for ((basis, weight, value), trust) in points.iter().zip(&trust) {
            let w = weight * trust / total;
            for i in 0..3 {
                for j in 0..3 {
                    normal[i][j] += w * basis[i] * basis[j];
                }
                for c in 0..3 {
                    right[c][i] += w * basis[i] * value[c];
                }
            }
        }
        normal[0][0] += 1e-9;
        normal[1][1] += SLOPE_PRIOR;
        normal[2][2] += SLOPE_PRIOR;
        planes = right.map(|r| solve(&normal, &r));
        for ((basis, _, value), trust) in points.iter().zip(&mut trust) {
            let worst = (0..3)
                .map(|c| {
                    let fit: f64 = planes[c].iter().zip(basis).map(|(p, b)| p * b).sum();
                    (value[c] - fit).abs()
                })
                .fold(0.0, f64::max);
            *trust = (HUBER / worst.max(HUBER)).powi(2);
        }
    }
    planes
}

/// Solves a symmetric 3x3 system by Cramer's rule; the priors on the diagonal keep it regular.
fn solve(a: &[[f64; 3]; 3], b: &[f64; 3]) -> [f64; 3] {
    let det = |m: &[[f64; 3]; 3]| {
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
            - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    };
    let whole = det(a);
    std::array::from_fn(|k| {
        let mut replaced = *a;
        for i in 0..3 {
            replaced[i][k] = b[i];
        }
        det(&replaced) / whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(log: impl Fn(f64, f64) -> f64) -> [Sums; CELLS * CELLS] {
        std::array::from_fn(|i| {
            let at = |k: usize| (k as f64 + 0.5) / CELLS as f64 * 2.0 - 1.0;
            let frame = 0.5 * log(at(i % CELLS), at(i / CELLS)).exp();
            Sums {
                weight: 10.0,
                patch: [5.0; 3],
                frame: [frame * 10.0; 3],
            }
        })
    }

    #[test]
    fn planes_are_found_and_outliers_left_out() {
        let plain = fit_planes(&cells(|u, v| 0.1 + 0.05 * u - 0.02 * v))[0];
        // The priors hold slopes back by 0.01 / (mean u² of 0.328 + 0.01), about 3 %.
        for (found, truth) in plain.iter().zip([0.1, 0.05, -0.02]) {
            assert!((found - truth).abs() < 0.003, "{plain:?}");
        }
        let hand = fit_planes(&cells(|u, v| if u > 0.6 && v > 0.2 { 0.9 } else { 0.1 }))[0];
        assert!((hand[0] - 0.1).abs() < 0.02, "{hand:?}");
        assert!(hand[1].abs() < 0.04 && hand[2].abs() < 0.04, "{hand:?}");
    }

    #[test]
    fn gains_are_bounded_and_never_nan() {
        let wild = ColourFix {
            match_log: [[9.0, 9.0, 9.0], [-9.0, -9.0, -9.0], [f32::NAN; 3]],
            wobble_log: [-9.0, f32::INFINITY, f32::NAN],
        };
        for colour_match in [ColourMatch::Keep, ColourMatch::Light, ColourMatch::Skin] {
            let settings = ConvertSettings {
                colour_match,
                ..ConvertSettings::default()
            };
            for c in 0..3 {
                let g = wild.gain(c, 1.0, 1.0, &settings);
                assert!((0.2..4.8).contains(&g), "{g}");
            }
            assert_eq!(wild.gain(2, 0.3, 0.3, &settings), 1.0);
            assert_eq!(ColourFix::NONE.gain(1, 1.0, -1.0, &settings), 1.0);
        }
        let endless = ColourFix {
            match_log: [[f32::INFINITY; 3], [f32::NEG_INFINITY; 3], [0.0; 3]],
            wobble_log: [0.0; 3],
        };
        let planes = endless.planes(ColourMatch::Light);
        assert!(planes.iter().flatten().all(|v| v.is_finite()), "{planes:?}");
    }

    fn levels(level: [f32; 3], colour_match: ColourMatch) -> [f32; 3] {
        let fix = ColourFix {
            match_log: level.map(|l| [l, 0.1, -0.1]),
            wobble_log: [0.0; 3],
        };
        let planes = fix.planes(colour_match);
        let slope = match colour_match {
            ColourMatch::Keep => [0.0, 0.0],
            _ => [0.1, -0.1],
        };
        assert!(planes.iter().all(|p| p[1..] == slope), "{planes:?}");
        planes.map(|p| p[0])
    }

    #[test]
    fn light_is_taken_over_and_skin_is_not() {
        let near = |a: [f32; 3], b: [f32; 3]| {
            let far = a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-6);
            assert!(!far, "{a:?} {b:?}");
        };
        // A dimmer scene, and a cast, that light may make: wholly.
        near(levels([-0.3; 3], ColourMatch::Light), [-0.3; 3]);
        let cast = [0.08, -0.08, 0.08];
        near(levels(cast, ColourMatch::Light), cast);
        // Twice what light does: a quarter, the same hue.
        near(levels([0.7; 3], ColourMatch::Light), [0.175; 3]);
        // A cast of length 0.36 = 2 x 0.18 and no brightness: a quarter too.
        let side = 0.36 / 2f32.sqrt();
        near(
            levels([side, 0.0, -side], ColourMatch::Light),
            [side / 4.0, 0.0, -side / 4.0],
        );
        // The whole difference, but no channel beyond 1 and the hue as measured.
        let skins = [0.5, 1.0, 2.0];
        near(levels(skins, ColourMatch::Skin), [0.25, 0.5, 1.0]);
        near(levels([0.9; 3], ColourMatch::Skin), [0.9; 3]);
        near(levels(skins, ColourMatch::Keep), [0.0; 3]);
    }

    #[test]
    fn the_more_unlike_two_skins_are_the_less_is_moved() {
        let moved = |d: f32| levels([0.8 * d, d, 1.2 * d], ColourMatch::Light)[1];
        // From where light no longer explains the difference on.
        let sizes: Vec<f32> = [0.4, 0.6, 0.9, 1.3].map(moved).to_vec();
        assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
    }
}
