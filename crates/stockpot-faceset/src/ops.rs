//! Looking after a faceset: `faces list`, `faces sort`, `faces prune`.
//!
//! Nothing here prints or asks: listing and planning return values, and only [`apply_prune`]
//! changes anything, all at once.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use stockpot_core::PersonName;

use crate::error::Error;
use crate::faceset::Faceset;
use crate::index::{self, Replacement};
use crate::quality::{LikenessLimits, Look, is_near_duplicate};
use crate::record::{EMBEDDING, FaceRecord, Line, Reason};
use crate::settings::within;

/// Crops decoded at once while duplicates are looked for.
const CHUNK: usize = 256;

/// The identity in the middle: of each of the 128 numbers the median over the kept faces. `None` if
/// no kept face has an embedding.
pub fn median_embedding(faceset: &Faceset) -> Option<Vec<f32>> {
    let kept = faceset.kept();
    median(kept.filter_map(|(_, r)| r.embedding.as_ref()).collect())
}

/// The identity in the middle of one source's faces.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceMedian {
    /// Index into [`Faceset::sources`].
    pub source: usize,
    /// Kept faces whose identity is known.
    pub faces: usize,
    /// As [`median_embedding`].
    pub embedding: Vec<f32>,
}

/// The medians of all sources of which something is known.
pub fn source_medians(faceset: &Faceset) -> Vec<SourceMedian> {
    let mut by_source: BTreeMap<usize, Vec<&Vec<f32>>> = BTreeMap::new();
    for (_, record) in faceset.kept() {
        let known = by_source.entry(record.source).or_default();
        known.extend(&record.embedding);
    }
    let medians = by_source.into_iter();
    medians
        .filter_map(|(source, known)| {
            Some(SourceMedian {
                source,
                faces: known.len(),
                embedding: median(known)?,
            })
        })
        .collect()
}

/// Of each number the median; `None` of none.
fn median(known: Vec<&Vec<f32>>) -> Option<Vec<f32>> {
    if known.is_empty() {
        return None;
    }
    let median = |i: usize| {
        let mut values: Vec<f32> = known.iter().map(|e| e[i]).collect();
        let (_, middle, _) = values.select_nth_unstable_by(known.len() / 2, f32::total_cmp);
        *middle
    };
    Some((0..EMBEDDING).map(median).collect())
}

/// Euclidean distance of every record's embedding from the median one; dlib's network calls two
/// faces one person below 0.6. `None` where there is nothing to compare.
pub fn identity_distances(faceset: &Faceset) -> Vec<Option<f32>> {
    let median = median_embedding(faceset);
    let distance = |record: &FaceRecord| {
        let (a, b) = (record.embedding.as_ref()?, median.as_ref()?);
        Some(
            a.iter()
                .zip(b)
                .map(|(a, b)| (a - b) * (a - b))
                .sum::<f32>()
                .sqrt(),
        )
    };
    faceset.records().iter().map(distance).collect()
}

/// One row of `faces list`.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceRow<'a> {
    /// Index into [`Faceset::records`].
    pub index: usize,
    /// The record.
    pub record: &'a FaceRecord,
    /// Name of its source.
    pub source: &'a str,
    /// Distance from the median identity.
    pub distance: Option<f32>,
}

/// What faces can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// Source, then time: the order of the index.
    Time,
    /// Nearest to the median identity first; faces without an embedding last.
    Similarity,
    /// Least sharp first.
    Sharpness,
    /// Looking left first.
    Yaw,
    /// Looking up first.
    Pitch,
}

/// All faces in the wanted order; equal ones in the order of the index.
pub fn list(faceset: &Faceset, order: SortKey) -> Vec<FaceRow<'_>> {
    let distances = identity_distances(faceset);
    let mut rows: Vec<FaceRow<'_>> = faceset
        .records()
        .iter()
        .zip(distances)
        .enumerate()
        .map(|(index, (record, distance))| FaceRow {
            index,
            record,
            source: &faceset.sources()[record.source].info.name,
            distance,
        })
        .collect();
    let by = |value: fn(&FaceRow<'_>) -> f32| {
        move |a: &FaceRow<'_>, b: &FaceRow<'_>| value(a).total_cmp(&value(b))
    };
    match order {
        SortKey::Time => rows.sort_by(|a, b| {
            let secs = |r: &FaceRow<'_>| r.record.time.secs();
            a.record
                .source
                .cmp(&b.record.source)
                .then(secs(a).total_cmp(&secs(b)))
        }),
        SortKey::Similarity => rows.sort_by(by(|r| r.distance.unwrap_or(f32::INFINITY))),
        SortKey::Sharpness => rows.sort_by(by(|r| r.record.sharpness)),
        SortKey::Yaw => rows.sort_by(by(|r| r.record.pose.yaw_rad)),
        SortKey::Pitch => rows.sort_by(by(|r| r.record.pose.pitch_rad)),
    }
    rows
}

/// Which faces to take out.
#[derive(Debug, Clone, PartialEq)]
pub enum PruneRule {
    /// Sharpness below this. 0.01 takes out what is plainly blurred, 0.02 what is soft.
    BlurBelow(f32),
    /// Near-duplicates of the face kept before them in the same track.
    Duplicates(LikenessLimits),
    /// Identity farther than this from the median. 0.6 is dlib's own limit; 0.5 is stricter.
    FarFromMedian(f32),
    /// These files (names as in the folder).
    Files(Vec<String>),
}

/// A face that would be taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct PruneItem {
    /// Index into [`Faceset::records`].
    pub index: usize,
    /// Its crop.
    pub file: String,
    /// Why.
    pub reason: Reason,
    /// The number that decided: sharpness, distance, or 0.
    pub value: f32,
}

/// What pruning would do. Holds for the faceset as it was when the plan was made.
#[derive(Debug, Clone)]
pub struct PrunePlan {
    /// The faces, each once, in the order of the index.
    pub items: Vec<PruneItem>,
    /// File names that a [`PruneRule::Files`] asked for and that no kept face has.
    pub unknown_files: Vec<String>,
    made_for: crate::hash::Fingerprint,
}

/// Finds the faces that any of the rules takes out; the first rule that does gives the reason.
///
/// # Errors
/// [`Error::BadSetting`] for a limit that is negative or no number; [`Error::Picture`] if a crop
/// cannot be read while looking for duplicates.
pub fn plan_prune(faceset: &Faceset, rules: &[PruneRule]) -> Result<PrunePlan, Error> {
    let mut found: BTreeMap<usize, (Reason, f32)> = BTreeMap::new();
    let mut unknown_files = Vec::new();
    let limit = |name, value| within(name, value, 0.0, f32::MAX, "0 or more");
    for rule in rules {
        match rule {
            PruneRule::BlurBelow(least) => {
                limit("blur", *least)?;
                for (i, record) in faceset.kept().filter(|(_, r)| r.sharpness < *least) {
                    found
                        .entry(i)
                        .or_insert((Reason::Blurred, record.sharpness));
                }
            }
            PruneRule::FarFromMedian(most) => {
                limit("distance", *most)?;
                let distances = identity_distances(faceset);
                for (i, _) in faceset.kept() {
                    if let Some(distance) = distances[i].filter(|d| d > most) {
                        found.entry(i).or_insert((Reason::OtherIdentity, distance));
                    }
                }
            }
            PruneRule::Duplicates(limits) => {
                for i in duplicates(faceset, limits, &found)? {
                    found.entry(i).or_insert((Reason::Duplicate, 0.0));
                }
            }
            PruneRule::Files(files) => {
                for file in files {
                    match faceset.kept().find(|(_, r)| r.file.as_ref() == Some(file)) {
                        Some((i, _)) => {
                            found.entry(i).or_insert((Reason::ByHand, 0.0));
                        }
                        None => unknown_files.push(file.clone()),
                    }
                }
            }
        }
    }
    let item = |(index, (reason, value))| PruneItem {
        index,
        file: faceset.records()[index].file.clone().unwrap_or_default(),
        reason,
        value,
    };
    Ok(PrunePlan {
        items: found.into_iter().map(item).collect(),
        unknown_files,
        made_for: faceset.fingerprint(),
    })
}

/// Near-duplicates among the kept faces that no earlier rule took out.
fn duplicates(
    faceset: &Faceset,
    limits: &LikenessLimits,
    out: &BTreeMap<usize, (Reason, f32)>,
) -> Result<Vec<usize>, Error> {
    let faces: Vec<(usize, &FaceRecord)> = faceset
        .kept()
        .filter(|(i, _)| !out.contains_key(i))
        .collect();
    let mut last: BTreeMap<(usize, u32), Look> = BTreeMap::new();
    let mut found = Vec::new();
    for chunk in faces.chunks(CHUNK) {
        let looks: Vec<Option<Look>> = chunk
            .par_iter()
            .map(|(_, record)| {
                let crop = faceset.load_crop(record)?;
                Ok(crop.map(|crop| Look::of_record(&record.landmarks, &crop)))
            })
            .collect::<Result<_, Error>>()?;
        for ((index, record), look) in chunk.iter().zip(looks) {
            let Some(look) = look else { continue };
            let track = (record.source, record.track);
            match last.get(&track) {
                Some(kept) if is_near_duplicate(kept, &look, limits) => found.push(*index),
                _ => {
                    last.insert(track, look);
                }
            }
        }
    }
    Ok(found)
}

/// Marks the faces of a plan as rejected, all or none. The crops stay where they are, and the split
/// of the others does not change. Returns how many were marked.
///
/// # Errors
/// [`Error::Changed`] if the faceset is no longer the one the plan was made for; [`Error::Busy`];
/// [`Error::Io`], and then nothing has changed.
pub fn apply_prune(folder: &Path, plan: &PrunePlan) -> Result<usize, Error> {
    let _lock = index::lock(folder)?;
    let reasons: BTreeMap<&str, Reason> = plan
        .items
        .iter()
        .map(|i| (i.file.as_str(), i.reason))
        .collect();
    let faceset = Faceset::open(folder)?;
    if faceset.fingerprint() != plan.made_for {
        return Err(Error::Changed {
            path: folder.into(),
        });
    }
    let person: PersonName = faceset.person().clone();
    drop(faceset);
    let mut new = Replacement::begin(folder, &person)?;
    let (mut marked, mut failed) = (0, None);
    index::read(folder, |mut line| {
        if let Line::Face(face) = &mut line
            && let Some(reason) = face.file.as_deref().and_then(|f| reasons.get(f))
        {
            face.rejected = Some(*reason);
            marked += 1;
        }
        if failed.is_none() {
            failed = new.push(&line).err();
        }
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    new.commit()?;
    Ok(marked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawn;
    use crate::record::Split;

    #[test]
    fn listing_follows_the_wanted_order() {
        let dir = tempfile::tempdir().unwrap();
        drawn::faceset(dir.path(), 9);
        let set = Faceset::open(dir.path()).unwrap();
        let order = |key| list(&set, key).iter().map(|r| r.index).collect::<Vec<_>>();
        assert_eq!(order(SortKey::Time), (0..9).collect::<Vec<_>>());
        assert_eq!(order(SortKey::Yaw), (0..9).collect::<Vec<_>>());
        assert_eq!(order(SortKey::Sharpness)[8], 8);
        // The first number of the drawn embeddings is n / 100: the median is frame 4's.
        assert_eq!(median_embedding(&set).unwrap()[0], 0.04);
        let similar = order(SortKey::Similarity);
        assert_eq!(similar[0], 4);
        assert!(similar[7..] == [0, 8] || similar[7..] == [8, 0]);
        let row = &list(&set, SortKey::Time)[0];
        assert!((row.distance.unwrap() - 0.04).abs() < 1e-6);
        assert_eq!(row.source, "clip.mp4");
    }

    #[test]
    fn pruning_lists_first_and_then_marks_all_at_once() {
        let dir = tempfile::tempdir().unwrap();
        drawn::faceset(dir.path(), 20);
        let set = Faceset::open(dir.path()).unwrap();
        let held = set.count(Split::HeldOut);
        let last = set.records()[19].file.clone().unwrap();
        let rules = [
            PruneRule::BlurBelow(0.052),
            PruneRule::FarFromMedian(0.095),
            PruneRule::Files(vec![last.clone(), "nobody.jpg".into()]),
        ];
        let plan = plan_prune(&set, &rules).unwrap();
        let found: Vec<_> = plan.items.iter().map(|i| (i.index, i.reason)).collect();
        // Sharpness is (50 + n) / 1000; the median identity is frame 10's, frame 0 is 0.10 away.
        assert_eq!(
            found,
            [
                (0, Reason::Blurred),
                (1, Reason::Blurred),
                (19, Reason::ByHand)
            ]
        );
        assert_eq!(plan.unknown_files, ["nobody.jpg"]);
        assert_eq!(
            Faceset::open(dir.path()).unwrap().kept().count(),
            20,
            "planning changes nothing"
        );

        assert_eq!(apply_prune(dir.path(), &plan).unwrap(), 3);
        let after = Faceset::open(dir.path()).unwrap();
        assert_eq!(after.kept().count(), 17);
        assert_eq!(after.records()[19].rejected, Some(Reason::ByHand));
        assert!(after.count(Split::HeldOut) + 3 >= held);
        assert!(dir.path().join(last).exists());
        assert!(matches!(
            apply_prune(dir.path(), &plan),
            Err(Error::Changed { .. })
        ));
    }

    #[test]
    fn duplicates_are_found_in_the_stored_crops() {
        let dir = tempfile::tempdir().unwrap();
        drawn::faceset(dir.path(), 6);
        let set = Faceset::open(dir.path()).unwrap();
        let find = |thumb| {
            let limits = LikenessLimits {
                thumb,
                ..LikenessLimits::default()
            };
            plan_prune(&set, &[PruneRule::Duplicates(limits)])
                .unwrap()
                .items
                .len()
        };
        assert_eq!(find(0.1), 0, "the pattern moves from frame to frame");
        assert_eq!(find(255.0), 5, "with no limit all are alike");
    }

    #[test]
    fn nonsense_limits_and_a_busy_faceset_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        drawn::faceset(dir.path(), 4);
        let set = Faceset::open(dir.path()).unwrap();
        for bad in [-1.0, f32::NAN] {
            assert!(plan_prune(&set, &[PruneRule::BlurBelow(bad)]).is_err());
        }
        let plan = plan_prune(&set, &[PruneRule::BlurBelow(0.051)]).unwrap();
        let _writer = drawn::writer(dir.path(), &drawn::source("other"));
        assert!(matches!(
            apply_prune(dir.path(), &plan),
            Err(Error::Busy { .. })
        ));
    }
}
