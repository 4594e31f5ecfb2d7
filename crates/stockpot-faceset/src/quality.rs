//! Measures of a faceset's worth: near-duplicates and coverage of head poses.
//!
//! Pure functions over crops and records; the extraction calls them while it writes, the report and
//! `faces prune` on what is there.

use std::collections::BTreeMap;

use stockpot_core::face::CROP_SIDE;
use stockpot_core::image::{Image, Size};
use stockpot_core::space::{Face, Point};
use stockpot_core::{Gray8, Pose, Rgb8};

use crate::resample;

/// Side of the square around the face that likeness looks at, in face units: brows to chin, so that
/// hair and background do not count.
const LOOK_UNITS: f64 = 1.25;
/// Side of the thumbnail that likeness compares.
const THUMB_SIDE: u32 = 16;

/// The luminance of the inner face of a wide crop, in 16 x 16 pixels.
fn inner_face(crop: &Rgb8) -> Gray8 {
    let side = THUMB_SIDE;
    let scale = f64::from(crop.size().width) / CROP_SIDE;
    let step = LOOK_UNITS * scale / f64::from(side);
    let start = (CROP_SIDE - LOOK_UNITS) / 2.0 * scale;
    let small = resample::scaled(crop, side, step, (start, start));
    let luma = |p: &[u8]| {
        // BT.709 weights in 1/256.
        ((54 * u32::from(p[0]) + 183 * u32::from(p[1]) + 19 * u32::from(p[2]) + 128) >> 8) as u8
    };
    let data = small.data().chunks_exact(3).map(luma).collect();
    Image::from_vec(Size::square(side), data).unwrap_or_else(|_| Gray8::new(Size::square(side)))
}

/// What likeness compares: the aligned landmarks and a tiny picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    landmarks: Vec<[f32; 2]>,
    thumb: Gray8,
}

impl Look {
    /// From landmarks in face units and the wide crop.
    pub fn new(landmarks: &[Point<Face>], crop: &Rgb8) -> Self {
        Self {
            landmarks: landmarks.iter().map(|p| [p.x as f32, p.y as f32]).collect(),
            thumb: inner_face(crop),
        }
    }

    pub(crate) fn of_record(landmarks: &[[f32; 2]], crop: &Rgb8) -> Self {
        Self {
            landmarks: landmarks.to_vec(),
            thumb: inner_face(crop),
        }
    }
}

/// How near two faces must be to count as one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LikenessLimits {
    /// Mean distance of landmarks in face units. Default 0.0025 (0.3 mm); a talking face moves about
    /// twice that from frame to frame at 25 per second.
    pub landmarks: f32,
    /// Mean difference of the thumbnails, 0 to 255. Default 1.0.
    pub thumb: f32,
}

impl Default for LikenessLimits {
    fn default() -> Self {
        Self {
            landmarks: 0.0025,
            thumb: 1.0,
        }
    }
}

/// Whether two faces are so alike that one of them teaches nothing new.
pub fn is_near_duplicate(a: &Look, b: &Look, limits: &LikenessLimits) -> bool {
    let count = a.landmarks.len().min(b.landmarks.len()).max(1) as f32;
    let moved: f32 = a
        .landmarks
        .iter()
        .zip(&b.landmarks)
        .map(|(p, q)| (p[0] - q[0]).hypot(p[1] - q[1]))
        .sum();
    let pixels = a.thumb.data().len().max(1) as f32;
    let changed: u32 = a
        .thumb
        .data()
        .iter()
        .zip(b.thumb.data())
        .map(|(p, q)| u32::from(p.abs_diff(*q)))
        .sum();
    moved / count <= limits.landmarks && changed as f32 / pixels <= limits.thumb
}

/// Finds near-duplicates among faces that come in order of time: each face is compared with the
/// last one of its track that was kept, so that a slow change is still seen.
#[derive(Debug, Default)]
pub struct DuplicateFilter {
    limits: LikenessLimits,
    kept: BTreeMap<u32, Look>,
}

impl DuplicateFilter {
    /// A filter that has seen nothing.
    pub fn new(limits: LikenessLimits) -> Self {
        Self {
            limits,
            kept: BTreeMap::new(),
        }
    }

    /// Whether this face of `track` is a near-duplicate; if not, it is what the next ones of the
    /// track are compared with. Ask only about faces that are otherwise good.
    pub fn is_duplicate(&mut self, track: u32, look: Look) -> bool {
        let is_known = self
            .kept
            .get(&track)
            .is_some_and(|last| is_near_duplicate(last, &look, &self.limits));
        if !is_known {
            self.kept.insert(track, look);
        }
        is_known
    }
}

/// Width of a pose bin in degrees.
pub const BIN_DEG: f32 = 15.0;
/// Yaw bins, centred on -75 to 75 degrees; the outermost take everything beyond.
pub const YAW_BINS: usize = 11;
/// Pitch bins, centred on -45 to 45 degrees; the outermost take everything beyond.
pub const PITCH_BINS: usize = 7;

/// The bin of a pose: (yaw, pitch), from looking left to right and from up to down.
pub fn pose_bin(pose: &Pose) -> (usize, usize) {
    let bin = |rad: f32, bins: usize| {
        let number = (rad.to_degrees() / BIN_DEG).round() + (bins / 2) as f32;
        // Not a number becomes bin 0; the cast saturates.
        (number.max(0.0) as usize).min(bins - 1)
    };
    (bin(pose.yaw_rad, YAW_BINS), bin(pose.pitch_rad, PITCH_BINS))
}

/// How many faces look where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoseCoverage {
    /// Faces by pitch bin (row) and yaw bin (column).
    pub counts: [[u32; YAW_BINS]; PITCH_BINS],
}

impl PoseCoverage {
    /// Counts these poses.
    pub fn of<'a>(poses: impl IntoIterator<Item = &'a Pose>) -> Self {
        let mut coverage = Self::default();
        for pose in poses {
            let (yaw, pitch) = pose_bin(pose);
            coverage.counts[pitch][yaw] += 1;
        }
        coverage
    }

    /// All faces counted.
    pub fn total(&self) -> u32 {
        self.counts.iter().flatten().sum()
    }

    /// Faces in the fullest bin.
    pub fn fullest(&self) -> u32 {
        self.counts.iter().flatten().copied().max().unwrap_or(0)
    }

    /// Faces whose yaw bin is left of the middle, in it, right of it.
    pub fn left_middle_right(&self) -> [u32; 3] {
        let mut sums = [0; 3];
        for (yaw, count) in self.counts.iter().flat_map(|row| row.iter().enumerate()) {
            sums[side(yaw, YAW_BINS)] += count;
        }
        sums
    }

    /// Faces whose pitch bin is above the middle, in it, below it.
    pub fn up_middle_down(&self) -> [u32; 3] {
        let mut sums = [0; 3];
        for (pitch, row) in self.counts.iter().enumerate() {
            sums[side(pitch, PITCH_BINS)] += row.iter().sum::<u32>();
        }
        sums
    }
}

fn side(bin: usize, bins: usize) -> usize {
    match bin.cmp(&(bins / 2)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => 1,
        std::cmp::Ordering::Greater => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawn;

    fn grey(level: u8) -> Rgb8 {
        let mut picture = Rgb8::new(Size::square(64));
        picture.data_mut().fill(level);
        picture
    }

    #[test]
    fn duplicates_are_found_by_track() {
        let points = drawn::landmarks_in_face();
        let mut filter = DuplicateFilter::default();
        let mut look = |shift: f64, level: u8, track| {
            let moved: Vec<_> = points
                .iter()
                .map(|p| Point::new(p.x + shift, p.y))
                .collect();
            let crop = grey(level);
            filter.is_duplicate(track, Look::new(&moved, &crop))
        };
        assert!(!look(0.0, 100, 1));
        assert!(look(0.002, 100, 1));
        assert!(!look(0.002, 100, 2), "another track");
        assert!(!look(0.003, 100, 1), "the mouth moved");
        assert!(!look(0.003, 104, 1), "the light changed");
        assert!(look(0.003, 105, 1));
    }

    #[test]
    fn slow_changes_are_not_swallowed() {
        let points = drawn::landmarks_in_face();
        let crop = grey(100);
        let mut filter = DuplicateFilter::default();
        let kept = (0..100)
            .filter(|i| {
                let shift = f64::from(*i) * 0.001;
                let moved: Vec<_> = points
                    .iter()
                    .map(|p| Point::new(p.x + shift, p.y))
                    .collect();
                !filter.is_duplicate(1, Look::new(&moved, &crop))
            })
            .count();
        // Every third is farther than 0.0025 from the last one kept.
        assert!((33..=35).contains(&kept), "{kept}");
    }

    #[test]
    fn poses_fall_into_their_bins() {
        let pose = |yaw: f32, pitch: f32| Pose {
            yaw_rad: yaw.to_radians(),
            pitch_rad: pitch.to_radians(),
            roll_rad: 0.0,
        };
        assert_eq!(pose_bin(&pose(0.0, 0.0)), (5, 3));
        assert_eq!(pose_bin(&pose(7.0, -7.0)), (5, 3));
        assert_eq!(pose_bin(&pose(8.0, -8.0)), (6, 2));
        assert_eq!(pose_bin(&pose(-170.0, 170.0)), (0, 6));
        assert_eq!(pose_bin(&pose(f32::NAN, f32::INFINITY)), (0, 6));
        let all = [
            pose(0.0, 0.0),
            pose(-30.0, 0.0),
            pose(-20.0, 20.0),
            pose(40.0, 0.0),
        ];
        let coverage = PoseCoverage::of(&all);
        assert_eq!(coverage.total(), 4);
        assert_eq!(coverage.left_middle_right(), [2, 1, 1]);
        assert_eq!(coverage.up_middle_down(), [0, 3, 1]);
    }
}
