//! What is known of one stored face, and how it stands as a line of the index.
//!
//! [`FaceRecord`] is the value the rest of the crate works with; the `…Line` types are the file
//! format and change only with its version.

use std::fmt;

use serde::{Deserialize, Serialize};
use stockpot_core::face::LANDMARKS;
use stockpot_core::space::{Affine, Face, Frame, Point};
use stockpot_core::{Pose, TimeBase, Timestamp};

/// Length of an identity embedding (dlib's recognition network).
pub const EMBEDDING: usize = 128;
/// Folder inside a faceset for pictures of rejected faces.
pub(crate) const REJECTED_FOLDER: &str = "rejected";
/// Landmarks are stored as whole multiples of this many face units.
const LANDMARK_STEP: f64 = 1e-4;
/// Landmarks farther from the face's origin than this (in face units) are no landmarks.
const LANDMARK_LIMIT: f64 = 50.0;

/// A video or picture folder that faces came from. Two sources are the same if both fields are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceInfo {
    /// Name of the file, without its folder.
    pub name: String,
    /// Length of the file in bytes (for a folder: of all its pictures).
    pub bytes: u64,
}

/// What a face is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Learned from.
    Train,
    /// Kept away from training, to measure with.
    HeldOut,
    /// Neither: too near in time to a held-out face, or rejected.
    Unused,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "training",
            Self::HeldOut => "held-out",
            Self::Unused => "unused",
        })
    }
}

/// Why a face is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Out of focus or moved.
    Blurred,
    /// Too few pixels in the frame.
    TooSmall,
    /// Somebody else.
    OtherIdentity,
    /// Next to no difference from a face already kept.
    Duplicate,
    /// Partly outside the frame.
    CutOff,
    /// Taken out by hand.
    ByHand,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blurred => "blurred",
            Self::TooSmall => "too small",
            Self::OtherIdentity => "other identity",
            Self::Duplicate => "duplicate",
            Self::CutOff => "cut off by the frame",
            Self::ByHand => "taken out by hand",
        })
    }
}

/// One face of a faceset.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceRecord {
    /// The crop, relative to the faceset's folder; a rejected face may have none.
    pub file: Option<String>,
    /// Index into [`crate::Faceset::sources`].
    pub source: usize,
    /// Frame number in the source, from 0.
    pub frame_index: u64,
    /// Presentation time in the source.
    pub time: Timestamp,
    /// The alignment.
    pub face_from_frame: Affine<Face, Frame>,
    /// The 468 landmarks in face units, to 1e-4.
    pub landmarks: Vec<[f32; 2]>,
    /// Turn of the head.
    pub pose: Pose,
    /// Sharpness as the extraction measured it: variance of the Laplacian over the variance, of
    /// the face at a fixed size; contrast does not count.
    pub sharpness: f32,
    /// How sure the face network was, on its own scale (a logit: above 0 is a face).
    pub score: f32,
    /// Number of the track through the source.
    pub track: u32,
    /// Identity embedding, [`EMBEDDING`] numbers, if one was made.
    pub embedding: Option<Vec<f32>>,
    /// What the face is used for.
    pub split: Split,
    /// Why it is not used, if so.
    pub rejected: Option<Reason>,
}

impl FaceRecord {
    /// Whether the face takes part in training or measuring at all.
    pub fn is_kept(&self) -> bool {
        self.rejected.is_none() && self.file.is_some()
    }

    /// Landmark `index` (below 468).
    pub fn landmark(&self, index: usize) -> Point<Face> {
        let [x, y] = self.landmarks[index];
        Point::new(f64::from(x), f64::from(y))
    }

    /// Some landmarks as a polygon.
    pub fn polygon(&self, indices: &[usize]) -> Vec<Point<Face>> {
        indices.iter().map(|i| self.landmark(*i)).collect()
    }
}

/// First line of an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeaderLine {
    pub(crate) format: String,
    pub(crate) version: u32,
    pub(crate) person: String,
}

/// Every other line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Line {
    Source(SourceLine),
    Face(Box<FaceLine>),
}

/// One extraction of one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SourceLine {
    pub(crate) take: u32,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) prefix: String,
    pub(crate) split_seed: u64,
    pub(crate) done: bool,
}

impl SourceLine {
    pub(crate) fn is_of(&self, source: &SourceInfo) -> bool {
        self.name == source.name && self.bytes == source.bytes
    }
}

/// One face.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FaceLine {
    pub(crate) take: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    pub(crate) frame: u64,
    pub(crate) ticks: i64,
    pub(crate) base: [i32; 2],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) split: Option<Split>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rejected: Option<Reason>,
    pub(crate) track: u32,
    pub(crate) sharpness: f32,
    pub(crate) score: f32,
    /// Yaw, pitch, roll in radians.
    pub(crate) pose: [f32; 3],
    pub(crate) face_from_frame: [f64; 6],
    /// x0, y0, x1, y1 … in steps of 1e-4 face units.
    pub(crate) landmarks: Vec<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) embedding: Option<Vec<f32>>,
}

impl FaceLine {
    pub(crate) fn time(&self) -> Timestamp {
        let [num, den] = self.base;
        Timestamp {
            ticks: self.ticks,
            base: TimeBase { num, den },
        }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.rejected.is_none() && self.file.is_some()
    }

    /// What makes the line unusable, if anything.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let numbers = [self.sharpness, self.score];
        let floats = numbers
            .iter()
            .chain(&self.pose)
            .chain(self.embedding.iter().flatten());
        if self.landmarks.len() != 2 * LANDMARKS {
            Some("it has not 468 landmarks")
        } else if self
            .landmarks
            .iter()
            .any(|v| f64::from(*v).abs() > LANDMARK_LIMIT / LANDMARK_STEP)
        {
            Some("a landmark lies far outside the face")
        } else if self
            .embedding
            .as_ref()
            .is_some_and(|e| e.len() != EMBEDDING)
        {
            Some("its embedding has not 128 numbers")
        } else if floats.into_iter().any(|v| !v.is_finite())
            || self.face_from_frame.iter().any(|v| !v.is_finite())
        {
            Some("a number is not finite")
        } else if self.base[1] <= 0 || self.base[0] <= 0 {
            Some("its time base is not positive")
        } else if !self.file.as_deref().is_none_or(is_safe_file) {
            Some("its file name could leave the folder")
        } else if self.rejected.is_none() && self.file.is_none() {
            Some("it is kept but has no file")
        } else {
            None
        }
    }

    /// The record, of a line without [`Self::fault`].
    pub(crate) fn into_record(self, source: usize, split: Split) -> FaceRecord {
        let time = self.time();
        let unit = |v: i32| (f64::from(v) * LANDMARK_STEP) as f32;
        FaceRecord {
            file: self.file,
            source,
            frame_index: self.frame,
            time,
            face_from_frame: Affine::from_rows(self.face_from_frame),
            landmarks: self
                .landmarks
                .chunks_exact(2)
                .map(|p| [unit(p[0]), unit(p[1])])
                .collect(),
            pose: Pose {
                yaw_rad: self.pose[0],
                pitch_rad: self.pose[1],
                roll_rad: self.pose[2],
            },
            sharpness: self.sharpness,
            score: self.score,
            track: self.track,
            embedding: self.embedding,
            split,
            rejected: self.rejected,
        }
    }
}

/// Landmarks in the unit of the file; what is too far out or no number stays too far out, so that
/// [`FaceLine::fault`] finds it.
pub(crate) fn pack_landmarks(points: &[Point<Face>]) -> Vec<i32> {
    let pack = |v: f64| {
        if v.is_finite() {
            (v / LANDMARK_STEP).round() as i32
        } else {
            i32::MAX
        }
    };
    points.iter().flat_map(|p| [pack(p.x), pack(p.y)]).collect()
}

/// A plain file name, at most below [`REJECTED_FOLDER`]: never a way out of the faceset's folder.
pub(crate) fn is_safe_file(file: &str) -> bool {
    let name = file
        .strip_prefix(REJECTED_FOLDER)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(file);
    !name.is_empty()
        && name.len() <= 200
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_inside() {
        for good in ["a-000001-t1.jpg", "rejected/a.2-000001-t1.jpg"] {
            assert!(is_safe_file(good), "{good}");
        }
        for bad in [
            "",
            "../x.jpg",
            "/etc/x",
            "a/b.jpg",
            "rejected/../x",
            "rejected//x",
            ".hidden",
            "a\\b",
        ] {
            assert!(!is_safe_file(bad), "{bad}");
        }
    }

    #[test]
    fn landmarks_are_kept_to_a_ten_thousandth() {
        let packed = pack_landmarks(&[Point::new(0.22564, -0.41006), Point::new(f64::NAN, 1.0)]);
        assert_eq!(packed, [2256, -4101, i32::MAX, 10_000]);
    }
}
