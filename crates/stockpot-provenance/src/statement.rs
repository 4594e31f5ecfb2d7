//! What there is to say about an output: plain values, filled in by whoever made it.
//!
//! Start with [`Statement`]. Names of persons are left out on purpose: an output goes out into the
//! world, and the hash of the consent record says the same to those who may know.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stockpot_core::{ContentHash, Size};

/// An output has at most so many stretches of faces in its credentials: 30 KB.
pub const MAX_STRETCHES: usize = 2_000;
/// Frames of a stretch at first: half a second of film.
const FIRST_STRETCH: u64 = 12;

/// The number of one seal, 48 bits: stands in the credentials and in the invisible mark, so that
/// the one is found again by the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealId([u8; 6]);

impl SealId {
    /// A number of these bytes.
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// A number that nobody has had before, as far as 48 random bits go.
    pub fn fresh() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        // The keys of the standard library's hash tables come from the system's random numbers.
        // The number is public and only must not repeat.
        let [_, _, bytes @ ..] = RandomState::new().build_hasher().finish().to_be_bytes();
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for SealId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is not the number of a seal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the number of a seal: 12 hexadecimal digits are wanted")]
pub struct NotASealId(String);

impl FromStr for SealId {
    type Err = NotASealId;

    fn from_str(text: &str) -> Result<Self, NotASealId> {
        let bad = || NotASealId(text.chars().take(40).collect());
        if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| bad())?;
        let [_, _, bytes @ ..] = number.to_be_bytes();
        Ok(Self(bytes))
    }
}

impl Serialize for SealId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SealId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an output is.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The number of this seal.
    pub seal: SealId,
    /// What it was made from.
    pub origin: Origin,
    /// The kind of thing it is now; `None` for a source that was only encoded anew.
    pub source_type: Option<SourceType>,
    /// What was done, in one sentence for people.
    pub about: String,
    /// Whose faces were drawn by which networks; empty for what was rendered.
    pub swaps: Vec<Swap>,
    /// The invisible mark in its frames.
    pub mark: Option<Mark>,
    /// The visible label in its frames.
    pub label: Option<VisibleLabel>,
    /// Whether exact masks and parameters of every frame were exported beside it, for research.
    pub research: bool,
}

/// What an output was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// One file, changed.
    Edited(PathBuf),
    /// Something new; other files may be seen in it.
    Created(Vec<PathBuf>),
}

/// The kind of thing an output is, by the vocabulary of the IPTC ("digital source type").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceType {
    /// Filmed or drawn, with parts made by a trained network.
    CompositeWithTrained,
    /// Made by an algorithm that was trained on nothing.
    Algorithmic,
}

/// A face drawn over another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swap {
    /// By which networks.
    pub model: Model,
    /// The consent record of the person who is drawn, by its hash.
    pub consent: ContentHash,
    /// The ground of that consent.
    pub basis: Basis,
    /// The size that places are given in: upright frames, pixels.
    pub frame_size: Size,
    /// Where, over time.
    pub faces: Vec<FaceStretch>,
}

/// The networks, by the hashes of their states in the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Kind and size of the network, such as `comb-s-96`.
    pub family: String,
    /// The encoder state.
    pub encoder: ContentHash,
    /// The states it was trained from, nearest first.
    pub lineage: Vec<ContentHash>,
    /// The decoder state.
    pub decoder: ContentHash,
}

/// On what ground a face may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The user's own face.
    #[serde(rename = "self")]
    OwnFace,
    /// Nobody's face.
    Synthetic,
    /// A document or recording.
    File,
}

/// A box around a face, in pixels: left, top, width, height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaceBox {
    /// Of its left side.
    pub x: u32,
    /// Of its upper side.
    pub y: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl FaceBox {
    fn with(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Self {
            x,
            y,
            width: right - x,
            height: bottom - y,
        }
    }
}

/// A face over some frames that follow each other, with the box it stays in. Written as six
/// numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "(u64, u64, u32, u32, u32, u32)",
    into = "(u64, u64, u32, u32, u32, u32)"
)]
pub struct FaceStretch {
    /// The first frame of the output, from 0.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// Where.
    pub place: FaceBox,
}

type Six = (u64, u64, u32, u32, u32, u32);

impl From<Six> for FaceStretch {
    fn from((first, last, x, y, width, height): Six) -> Self {
        let place = FaceBox {
            x,
            y,
            width,
            height,
        };
        Self { first, last, place }
    }
}

impl From<FaceStretch> for Six {
    fn from(s: FaceStretch) -> Self {
        let FaceBox {
            x,
            y,
            width,
            height,
        } = s.place;
        (s.first, s.last, x, y, width, height)
    }
}

/// The invisible mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The name of the way it is written.
    pub algorithm: String,
    /// What it carries, in hexadecimal digits.
    pub value: String,
}

/// A label that everybody sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VisibleLabel {
    /// What it says.
    pub text: String,
    /// The preset it was chosen by, such as `eu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// For how many seconds from the first frame on; all the time without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secs: Option<f64>,
}

/// The faces of single frames, in order, as stretches: each is one run of frames without a gap, at
/// first half a second long; longer if there would be more than `at_most` of them.
pub fn stretches(faces: &[(u64, FaceBox)], at_most: usize) -> Vec<FaceStretch> {
    let mut longest = FIRST_STRETCH;
    loop {
        let out = in_stretches_of(faces, longest);
        if out.len() <= at_most.max(1) {
            return out;
        }
        if longest > faces.last().map_or(0, |(frame, _)| *frame) {
            // Many short gaps: then all that is left is to bridge them.
            return bridged(&out, at_most.max(1));
        }
        longest *= 2;
    }
}

fn in_stretches_of(faces: &[(u64, FaceBox)], longest: u64) -> Vec<FaceStretch> {
    let mut out: Vec<FaceStretch> = Vec::new();
    for (frame, place) in faces {
        match out.last_mut() {
            Some(s) if *frame == s.last + 1 && frame - s.first < longest => {
                s.last = *frame;
                s.place = s.place.with(*place);
            }
            _ => out.push(FaceStretch {
                first: *frame,
                last: *frame,
                place: *place,
            }),
        }
    }
    out
}

/// Joins neighbours until there are few enough.
pub(crate) fn bridged(stretches: &[FaceStretch], at_most: usize) -> Vec<FaceStretch> {
    let group = stretches.len().div_ceil(at_most);
    stretches
        .chunks(group.max(1))
        .filter_map(|chunk| {
            let (first, rest) = chunk.split_first()?;
            Some(rest.iter().fold(*first, |all, s| FaceStretch {
                first: all.first,
                last: s.last,
                place: all.place.with(s.place),
            }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(frame: u64) -> (u64, FaceBox) {
        let place = FaceBox {
            x: frame as u32,
            y: 7,
            width: 10,
            height: 20,
        };
        (frame, place)
    }

    #[test]
    fn stretches_hold_every_frame_and_stay_few() {
        assert!(stretches(&[], 5).is_empty());
        let faces: Vec<_> = (0..30).chain(40..41).map(at).collect();
        let found = stretches(&faces, 100);
        let spans: Vec<_> = found.iter().map(|s| (s.first, s.last)).collect();
        assert_eq!(spans, [(0, 11), (12, 23), (24, 29), (40, 40)]);
        assert_eq!(found[0].place.x, 0);
        assert_eq!(found[0].place.width, 21);
        assert_eq!(stretches(&faces, 2).len(), 2);
        // Every second frame: no run is longer than one.
        let gaps: Vec<_> = (0..5_000).map(|n| at(2 * n)).collect();
        let few = stretches(&gaps, MAX_STRETCHES);
        assert!(few.len() <= MAX_STRETCHES, "{}", few.len());
        assert_eq!((few[0].first, few[few.len() - 1].last), (0, 9_998));
    }

    #[test]
    fn numbers_of_seals_are_read_back_and_differ() {
        let id = SealId::new([0, 0xab, 0, 0, 0, 0x12]);
        assert_eq!(id.to_string(), "00ab00000012");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "12", "+0ab00000012", "00ab000000123"] {
            assert!(bad.parse::<SealId>().is_err(), "{bad}");
        }
        let many: std::collections::HashSet<_> = (0..1_000).map(|_| SealId::fresh()).collect();
        assert_eq!(many.len(), 1_000);
    }
}
