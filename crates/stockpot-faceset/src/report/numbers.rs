//! The figures of a faceset, and what they mean for whoever filmed it.

use std::collections::BTreeMap;

use stockpot_core::PersonName;

use crate::faceset::Faceset;
use crate::quality::PoseCoverage;
use crate::record::{FaceRecord, Reason, Split};

/// Fewer training faces than this and a training learns them by heart.
const FEW_FACES: usize = 500;
/// Fewer than this share of faces turned to one side is little.
const FEW_SIDE: f64 = 0.05;
/// A median sharpness below this is soft. Measured: good 1080 x 1920 clips have 0.04 to 0.12, the
/// same blurred with a sigma of 3 px 0.02, of 5 px 0.007.
pub(super) const SOFT: f32 = 0.02;
/// More rejects than this share deserve a look.
const MANY_REJECTS: f64 = 0.5;

/// The figures of a faceset.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Faces for training.
    pub train: usize,
    /// Faces held out.
    pub held_out: usize,
    /// Faces in the gaps between the two.
    pub unused: usize,
    /// Rejected faces by reason.
    pub rejected: BTreeMap<Reason, usize>,
    /// Per source: name, kept faces, all records.
    pub sources: Vec<(String, usize, usize)>,
    /// Sharpness of the kept faces at 0, 10, 50, 90 and 100 % (zero if there are none).
    pub sharpness: [f32; 5],
    /// Poses of the kept faces.
    pub coverage: PoseCoverage,
}

impl Numbers {
    /// Of this faceset.
    pub fn of(faceset: &Faceset) -> Self {
        let mut rejected = BTreeMap::new();
        for reason in faceset.records().iter().filter_map(|r| r.rejected) {
            *rejected.entry(reason).or_insert(0) += 1;
        }
        let kept: Vec<&FaceRecord> = faceset.kept().map(|(_, r)| r).collect();
        let sources = faceset.sources().iter().enumerate().map(|(i, source)| {
            let count = kept.iter().filter(|r| r.source == i).count();
            (source.info.name.clone(), count, source.records)
        });
        let mut sharpness: Vec<f32> = kept.iter().map(|r| r.sharpness).collect();
        sharpness.sort_by(f32::total_cmp);
        let at = |percent: usize| {
            let last = sharpness.len().saturating_sub(1);
            sharpness.get(last * percent / 100).copied().unwrap_or(0.0)
        };
        Self {
            train: faceset.count(Split::Train),
            held_out: faceset.count(Split::HeldOut),
            unused: faceset.count(Split::Unused),
            rejected,
            sources: sources.collect(),
            sharpness: [0, 10, 50, 90, 100].map(at),
            coverage: PoseCoverage::of(kept.iter().map(|r| &r.pose)),
        }
    }

    /// Faces not rejected.
    pub fn kept(&self) -> usize {
        self.train + self.held_out + self.unused
    }

    /// Rejected faces.
    pub fn rejects(&self) -> usize {
        self.rejected.values().sum()
    }

    /// What to do about what is missing, most important first.
    pub fn advice(&self, person: &PersonName) -> Vec<String> {
        let mut advice = Vec::new();
        if self.kept() == 0 {
            advice.push(format!(
                "There are no usable faces. Extract a video that shows {person} clearly: stockpot extract VIDEO --person {person}"
            ));
            return advice;
        }
        if self.train < FEW_FACES {
            advice.push(format!(
                "Only {} faces for training; {FEW_FACES} or more are better. Film a minute: talking, laughing, turning the head.",
                self.train
            ));
        }
        if self.held_out == 0 {
            advice.push(
                "No faces are held out, so progress cannot be measured honestly. Add a longer video.".into(),
            );
        }
        advice.extend(self.pose_advice());
        if self.sharpness[2] < SOFT {
            advice.push(format!(
                "Half of the faces are softer than {:.3}, which is blurred. Film nearer, in better light, with the focus on the face.",
                self.sharpness[2]
            ));
        }
        let blurred = self.rejected.get(&Reason::Blurred).copied().unwrap_or(0);
        let all = self.kept() + self.rejects();
        if blurred as f64 > MANY_REJECTS * all as f64 {
            advice.push(
                "More than half of the faces were rejected as blurred. A shorter exposure helps."
                    .into(),
            );
        }
        let others = self
            .rejected
            .get(&Reason::OtherIdentity)
            .copied()
            .unwrap_or(0);
        if others as f64 > MANY_REJECTS * all as f64 {
            advice.push(format!(
                "More than half of the faces belong to somebody else. Say who is wanted: stockpot extract VIDEO --person {person} --like PICTURE"
            ));
        }
        if self.sources.len() == 1 && self.kept() >= FEW_FACES {
            advice.push(
                "All faces come from one video, so from one light. A second video in other light makes swaps hold in more places.".into(),
            );
        }
        advice
    }

    fn pose_advice(&self) -> Vec<String> {
        let total = f64::from(self.coverage.total().max(1));
        let [left, _, right] = self.coverage.left_middle_right();
        let [up, _, down] = self.coverage.up_middle_down();
        let few = |count: u32| f64::from(count) / total < FEW_SIDE;
        let mut advice = Vec::new();
        let mut tell = |where_to: &str, how: &str| {
            advice.push(format!("Few faces look {where_to}. Film some with {how}."));
        };
        match (few(left), few(right)) {
            (true, true) => tell("to either side", "the head turned left and right"),
            (true, false) => tell("to the left of the picture", "the head turned that way"),
            (false, true) => tell("to the right of the picture", "the head turned that way"),
            (false, false) => {}
        }
        match (few(up), few(down)) {
            (true, true) => tell("up or down", "the chin raised and lowered"),
            (true, false) => tell("up", "the chin raised, or the camera lower"),
            (false, true) => tell("down", "the chin lowered, or the camera higher"),
            (false, false) => {}
        }
        advice
    }
}
