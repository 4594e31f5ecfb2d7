//! A few faces of a cache as bytes of their own, to be kept when the cache and the faceset are gone:
//! the most varied ones, in the cache's own layout.
//!
//! Only training faces are kept: held-out ones must stay unseen by whoever learns from these.

use stockpot_core::{Area, PersonName};

use super::{
    Bytes, ENTRY_BYTES, Entry, FaceCache, HEADER_BYTES, MAX_RESOLUTION, MIN_RESOLUTION,
    block_bytes, count_in, entries_in, header_of,
};
use crate::error::Error;
use crate::faceset::Faceset;
use crate::record::Split;

/// The most faces that one set may hold.
pub const MOST_KEPT: usize = 1024;
/// The fingerprint of a set that was made from no folder one could look at.
const NO_PRINT: [u8; 16] = [0; 16];
/// What a difference in light counts beside one of landmarks, in squared face units per squared
/// colour of 1: light that differs by 0.2 counts like landmarks that lie 0.1 apart.
const LIGHT: f32 = 0.25;
/// The share of faces farthest from all others that is passed over: more often badly found than rare.
const ODD: f64 = 0.02;

impl FaceCache {
    /// The `count` training faces that differ most from each other in pose, expression and light, as
    /// indices into the cache: one after the other, whichever is farthest from all chosen so far,
    /// beginning with the most usual one. Fewer if there are fewer.
    pub fn most_varied(&self, faceset: &Faceset, count: usize) -> Vec<usize> {
        let faces: Vec<(usize, Vec<f32>)> = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, e)| e.split == Split::Train)
            .filter_map(|(i, e)| {
                let record = faceset.records().get(e.record as usize)?;
                let points = record.landmarks.iter().flatten();
                // So that the sum of squares is the mean over the landmarks.
                let scale = 1.0 / (record.landmarks.len().max(1) as f32).sqrt();
                let light = e.mean.iter().map(|v| v * LIGHT.sqrt());
                Some((i, points.map(|v| v * scale).chain(light).collect()))
            })
            .collect();
        farthest_first(&faces, count.min(MOST_KEPT))
    }

    /// A file that holds these faces only.
    pub fn kept(&self, faces: &[usize]) -> Vec<u8> {
        let block = block_bytes(self.resolution);
        let mut out = vec![0; HEADER_BYTES];
        out[..48].copy_from_slice(&header_of(self.resolution, faces.len() as u64, NO_PRINT));
        for face in faces {
            out.extend(&self.bytes[HEADER_BYTES + face * block..][..block]);
        }
        for (place, face) in (0..).zip(faces) {
            let entry = Entry {
                record: place,
                split: Split::Train,
                ..self.entries[*face]
            };
            out.extend(entry.to_bytes());
        }
        out
    }

    /// The faces of such a file.
    ///
    /// # Errors
    /// [`Error::BadKept`] if the bytes are none, or of another resolution or version.
    pub fn from_kept(
        person: &PersonName,
        area: Area,
        resolution: u32,
        bytes: Vec<u8>,
    ) -> Result<Self, Error> {
        let bad = |reason: &'static str| Error::BadKept {
            person: person.clone(),
            reason,
        };
        if !(MIN_RESOLUTION..=MAX_RESOLUTION).contains(&resolution) || !resolution.is_multiple_of(2)
        {
            return Err(bad("no network has this resolution"));
        }
        if bytes.len() < HEADER_BYTES {
            return Err(bad("its beginning is missing"));
        }
        let count = count_in(&bytes, resolution, NO_PRINT)
            .ok_or_else(|| bad("they are of another resolution or version, or cut off"))?;
        if !(1..=MOST_KEPT).contains(&count) {
            return Err(bad("there are none, or too many"));
        }
        let entries = entries_in(&bytes, resolution, count)
            .filter(|all| all.iter().all(is_plain))
            .ok_or_else(|| bad("their table does not read"))?;
        Ok(Self {
            person: person.clone(),
            area,
            resolution,
            entries,
            bytes: Bytes::Owned(bytes),
        })
    }

    /// The length of such a file with `count` faces.
    pub fn kept_bytes(resolution: u32, count: usize) -> u64 {
        (HEADER_BYTES + count * (block_bytes(resolution) + ENTRY_BYTES)) as u64
    }
}

fn is_plain(entry: &Entry) -> bool {
    let numbers = [entry.pose.yaw_rad, entry.pose.pitch_rad];
    let mut numbers = numbers.iter().chain(&entry.mean).chain(&entry.deviation);
    entry.split == Split::Train && numbers.all(|v| v.is_finite())
}

fn apart(one: &[f32], other: &[f32]) -> f64 {
    let pairs = one.iter().zip(other);
    pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

/// Gonzalez' farthest-first traversal, over all but the oddest.
fn farthest_first(faces: &[(usize, Vec<f32>)], count: usize) -> Vec<usize> {
    let Some((_, first)) = faces.first() else {
        return Vec::new();
    };
    let mut mean = vec![0.0f32; first.len()];
    for (_, place) in faces {
        for (sum, v) in mean.iter_mut().zip(place) {
            *sum += v / faces.len() as f32;
        }
    }
    let mut usual: Vec<(f64, &(usize, Vec<f32>))> = faces
        .iter()
        .map(|face| (apart(&mean, &face.1), face))
        .collect();
    usual.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.0.cmp(&b.1.0)));
    let spare = faces.len().saturating_sub(count);
    let odd = ((ODD * faces.len() as f64).ceil() as usize).min(spare);
    usual.truncate(faces.len() - odd);
    let mut nearest = vec![f64::INFINITY; usual.len()];
    let (mut chosen, mut next) = (Vec::new(), 0);
    while chosen.len() < count.min(usual.len()) {
        let (_, (index, place)) = usual[next];
        chosen.push(*index);
        // Chosen ones are never the farthest again.
        nearest[next] = -1.0;
        let mut farthest = (-1.0, next);
        for (i, (_, (_, other))) in usual.iter().enumerate() {
            if nearest[i] >= 0.0 {
                nearest[i] = nearest[i].min(apart(place, other));
            }
            if nearest[i] > farthest.0 {
                farthest = (nearest[i], i);
            }
        }
        next = farthest.1;
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use stockpot_core::{CancelToken, Progress};

    use super::*;
    use crate::drawn;
    use crate::sampler::Sampler;
    use crate::settings::SamplerSettings;

    #[test]
    fn the_farthest_are_chosen_and_the_oddest_are_not() {
        // A hundred on a line, one far away, and three clusters' worth of wanted ones.
        let mut faces: Vec<(usize, Vec<f32>)> =
            (0..100).map(|i| (i, vec![i as f32 * 0.01])).collect();
        faces.push((100, vec![50.0]));
        let chosen = farthest_first(&faces, 3);
        assert_eq!(chosen.len(), 3);
        assert!(!chosen.contains(&100), "{chosen:?}");
        let spread = chosen[2] - chosen[0];
        assert!(spread >= 90, "{chosen:?}");
        assert_eq!(
            farthest_first(&faces, 101).len(),
            101,
            "all, where all are wanted"
        );
        assert!(farthest_first(&[], 4).is_empty());
        // Alike ones are each chosen once.
        let alike: Vec<(usize, Vec<f32>)> = (0..6).map(|i| (i, vec![1.0])).collect();
        let mut chosen = farthest_first(&alike, 5);
        chosen.dedup();
        assert_eq!(chosen.len(), 5);
    }

    #[test]
    fn kept_faces_are_those_of_the_cache_and_damage_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        drawn::faceset(dir.path(), 24);
        let set = Faceset::open(dir.path()).unwrap();
        let quiet = |_: Progress| {};
        let (folder, cancel) = (dir.path().join("cache"), CancelToken::new());
        let (cache, _) =
            FaceCache::open_or_build(&set, Area::Face, 32, &folder, &quiet, &cancel).unwrap();
        let chosen = cache.most_varied(&set, 5);
        assert_eq!(chosen.len(), 5);
        let held = |i: &usize| cache.entries()[*i].split == Split::HeldOut;
        assert!(cache.count(Split::HeldOut) > 0 && !chosen.iter().any(held));
        let bytes = cache.kept(&chosen);
        assert_eq!(bytes.len() as u64, FaceCache::kept_bytes(32, 5));
        let anna = drawn::name("anna");
        let kept = FaceCache::from_kept(&anna, Area::Face, 32, bytes.clone()).unwrap();
        assert_eq!((kept.len(), kept.count(Split::Train)), (5, 5));
        for (place, face) in chosen.iter().enumerate() {
            let (one, other) = (kept.face(place), cache.face(*face));
            assert_eq!((one.rgbm, one.importance), (other.rgbm, other.importance));
        }
        assert!(kept.preload().is_ok());
        let kept = std::sync::Arc::new(kept);
        let sampler = Sampler::new(kept, Split::Train, SamplerSettings::default(), 1).unwrap();
        assert!(sampler.epoch_len() >= 5);
        let bad = |resolution, bytes: &[u8]| {
            FaceCache::from_kept(&anna, Area::Face, resolution, bytes.to_vec()).is_err()
        };
        assert!(bad(64, &bytes) && bad(33, &bytes) && bad(32, &bytes[..100]));
        assert!(bad(32, &bytes[..bytes.len() - 1]));
        for at in [0, 9, 13, 25, bytes.len() - 36] {
            let mut broken = bytes.clone();
            broken[at] ^= 0x7f;
            assert!(bad(32, &broken), "{at}");
        }
        let mut none = bytes.clone();
        none.truncate(HEADER_BYTES);
        none[24..32].fill(0);
        assert!(bad(32, &none));
    }
}
