use stockpot_core::{Area, CancelToken, Progress};

use super::*;
use crate::drawn;
use crate::faceset::Faceset;

/// A small cache of drawn faces at 32 px.
pub(crate) fn cache(count: u32) -> Arc<FaceCache> {
    let dir = tempfile::tempdir().unwrap();
    drawn::faceset(dir.path(), count);
    let set = Faceset::open(dir.path()).unwrap();
    let quiet = |_: Progress| {};
    let built = FaceCache::open_or_build(
        &set,
        Area::Face,
        32,
        dir.path(),
        &quiet,
        &CancelToken::new(),
    );
    Arc::new(built.unwrap().0)
}

fn sample(sampler: &Sampler, n: u64) -> Batch {
    let mut batch = Batch::new(0, 1, 1, sampler.resolution());
    sampler.sample_into(n, batch.sample_mut(0, 0)).unwrap();
    batch
}

fn sampler(cache: &Arc<FaceCache>, settings: SamplerSettings, seed: u64) -> Sampler {
    Sampler::new(Arc::clone(cache), Split::Train, settings, seed).unwrap()
}

#[test]
fn permutations_are_permutations() {
    for len in (1..70).chain([255, 256, 257, 1000]) {
        let mut seen: Vec<u64> = (0..len).map(|i| permuted(len, 99, i)).collect();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..len), "{len}");
    }
    let order = |key| (0..100).map(|i| permuted(100, key, i)).collect::<Vec<_>>();
    assert_ne!(order(1), order(2));
    // No place prefers a value: the mean over many keys is in the middle.
    for place in [0, 7, 99] {
        let mean = (0..2000u64)
            .map(|k| permuted(100, k.wrapping_mul(0x9e37_79b9_7f4a_7c15), place))
            .sum::<u64>() as f64
            / 2000.0;
        assert!((mean - 49.5).abs() < 3.0, "{place}: {mean}");
    }
}

#[test]
fn every_epoch_shows_every_face_of_its_split_once() {
    let cache = cache(30);
    let settings = SamplerSettings {
        balance_poses: false,
        ..SamplerSettings::default()
    };
    let sampler = sampler(&cache, settings, 5);
    let len = sampler.epoch_len() as u64;
    assert_eq!(len as usize, cache.count(Split::Train));
    let epoch = |e: u64| {
        (0..len)
            .map(|i| sampler.face_of(e * len + i))
            .collect::<Vec<_>>()
    };
    let (first, second) = (epoch(0), epoch(1));
    assert_ne!(first, second);
    let sorted = |mut faces: Vec<usize>| {
        faces.sort_unstable();
        faces
    };
    let train: Vec<usize> = (0..cache.len())
        .filter(|i| cache.entries()[*i].split == Split::Train)
        .collect();
    assert_eq!(sorted(first), train);
    assert_eq!(sorted(second), train);
}

#[test]
fn rare_poses_come_more_often() {
    let pose = |deg: f32| Pose {
        yaw_rad: deg.to_radians(),
        ..Pose::default()
    };
    let mut poses = vec![pose(0.0); 90];
    poses.extend([pose(30.0); 10]);
    poses.push(pose(-60.0));
    let copies = copies(&poses);
    assert_eq!((copies[0], copies[95], copies[100]), (1, 3, 4));
}

#[test]
fn a_sample_depends_on_seed_person_and_number_alone() {
    let cache = cache(12);
    let a = sampler(&cache, SamplerSettings::default(), 1);
    let b = sampler(&cache, SamplerSettings::default(), 1);
    // Made in another order, by another sampler: the same to the bit.
    let forward: Vec<Batch> = (0..6).map(|n| sample(&a, n)).collect();
    for n in (0..6).rev() {
        assert_eq!(sample(&b, n), forward[n as usize]);
    }
    let other = sampler(&cache, SamplerSettings::default(), 2);
    assert_ne!(sample(&other, 0), forward[0]);
    assert!(
        forward[0].input != forward[0].target,
        "warp and colour change the input"
    );
    for batch in &forward {
        assert!(
            batch
                .input
                .iter()
                .chain(&batch.target)
                .all(|v| (0.0..=1.0).contains(v))
        );
        assert!(batch.weight.iter().all(|v| (1.0..=3.0).contains(v)));
        assert!(batch.mask.contains(&1.0) && batch.mask.contains(&0.0));
    }
}

#[test]
fn changing_one_disturbance_leaves_the_others() {
    let cache = cache(12);
    let base = SamplerSettings::default();
    let no_warp = sampler(
        &cache,
        SamplerSettings {
            warp: 0.0,
            ..base.clone()
        },
        1,
    );
    let with_warp = sampler(&cache, base, 1);
    for n in 0..4 {
        assert_eq!(sample(&no_warp, n).target, sample(&with_warp, n).target);
    }
    let plain = sampler(&cache, SamplerSettings::plain(), 1);
    let batch = sample(&plain, 3);
    assert_eq!(batch.input, batch.target);
}

#[test]
fn held_out_faces_come_undisturbed_in_order() {
    let cache = cache(40);
    let held = HeldOut::new(
        Arc::clone(&cache),
        Split::HeldOut,
        &SamplerSettings::default(),
    )
    .unwrap();
    assert_eq!(held.len(), cache.count(Split::HeldOut));
    assert!((0..held.len()).all(|i| cache.entries()[held.face_of(i)].split == Split::HeldOut));
    let batch = held.batch(0, 100).unwrap();
    assert_eq!(batch.samples, held.len());
    assert_eq!(batch.input, batch.target);
    assert_eq!(batch, held.batch(0, 100).unwrap());
    assert_eq!(
        held.batch(1, 1).unwrap().target,
        batch.target[32 * 32 * 3..][..32 * 32 * 3]
    );
    assert_eq!(held.batch(1000, 4).unwrap().samples, 0);
    assert_eq!(held.spread(2).unwrap().samples, 2);
}

#[test]
fn mistakes_are_errors() {
    let cache = cache(3);
    let held = HeldOut::new(
        Arc::clone(&cache),
        Split::HeldOut,
        &SamplerSettings::default(),
    );
    assert!(matches!(
        held,
        Err(Error::NoFaces {
            split: Split::HeldOut,
            ..
        })
    ));
    let sampler = sampler(&cache, SamplerSettings::default(), 0);
    let mut batch = Batch::new(0, 1, 1, 48);
    let error = sampler.sample_into(0, batch.sample_mut(0, 0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "The input buffer holds 6912 numbers, 3072 are needed"
    );
}
