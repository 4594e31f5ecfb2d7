//! Samples for training: which face comes next, and how it is disturbed.
//!
//! Sample `n` of a person is a pure function of the seed, the person's name and `n`: any worker may
//! make it, and a resumed training sees exactly what an unbroken one would have seen.

use std::sync::Arc;

use stockpot_core::{Pose, Rng};

use crate::augment::{Emphasis, Lut, Shot, Warp, WarpTable, draw_input, draw_target};
use crate::cache::FaceCache;
use crate::error::Error;
use crate::feeder::Batch;
use crate::quality::{PoseCoverage, pose_bin};
use crate::record::Split;
use crate::settings::SamplerSettings;

/// How much more often than others a face of a rare pose may be shown.
const MOST_COPIES: u32 = 4;

/// Where a sample is written.
///
/// # Shapes
/// With resolution `R`, row by row: `input` and `target` `[R, R, 3]`, `mask` and `weight` `[R, R]`.
#[derive(Debug)]
pub struct SampleOut<'a> {
    /// The disturbed face, RGB, 0 to 1.
    pub input: &'a mut [f32],
    /// The face as it is to come out, RGB, 0 to 1.
    pub target: &'a mut [f32],
    /// 1 inside the outline of the target's face, 0 outside.
    pub mask: &'a mut [f32],
    /// What each pixel of the target counts in a loss: 1, more on eyes and mouth.
    pub weight: &'a mut [f32],
}

impl SampleOut<'_> {
    fn check(&self, resolution: usize) -> Result<(), Error> {
        let plane = resolution * resolution;
        let buffers = [
            ("input", self.input.len(), 3 * plane),
            ("target", self.target.len(), 3 * plane),
            ("mask", self.mask.len(), plane),
            ("weight", self.weight.len(), plane),
        ];
        match buffers
            .into_iter()
            .find(|(_, found, wanted)| found != wanted)
        {
            None => Ok(()),
            Some((what, found, wanted)) => Err(Error::WrongLength {
                what,
                wanted,
                found,
            }),
        }
    }
}

/// An endless supply of samples of one person.
#[derive(Debug)]
pub struct Sampler {
    cache: Arc<FaceCache>,
    settings: SamplerSettings,
    seed: u64,
    /// Faces of one epoch, as indices into the cache; rare poses are in it several times.
    deck: Vec<u32>,
    table: WarpTable,
    plain: Lut,
    streams: Streams,
}

/// Names of the random streams, made once.
#[derive(Debug)]
struct Streams {
    order: String,
    jitter: String,
    warp: String,
    colour: String,
}

impl Sampler {
    /// Samples of the faces of `split`.
    ///
    /// # Errors
    /// [`Error::NoFaces`] if the cache has none; [`Error::BadSetting`].
    pub fn new(
        cache: Arc<FaceCache>,
        split: Split,
        settings: SamplerSettings,
        seed: u64,
    ) -> Result<Self, Error> {
        settings.check()?;
        let faces = faces_of(&cache, split)?;
        let deck = if settings.balance_poses {
            let poses: Vec<Pose> = faces
                .iter()
                .map(|i| cache.entries()[*i as usize].pose)
                .collect();
            let copies = copies(&poses);
            faces
                .iter()
                .zip(copies)
                .flat_map(|(face, n)| (0..n).map(move |_| *face))
                .collect()
        } else {
            faces
        };
        let person = cache.person();
        Ok(Self {
            streams: Streams {
                order: format!("order of {person}"),
                jitter: format!("jitter of {person}"),
                warp: format!("warp of {person}"),
                colour: format!("colour of {person}"),
            },
            table: WarpTable::new(cache.resolution()),
            plain: Lut::plain(),
            cache,
            settings,
            seed,
            deck,
        })
    }

    /// Width and height of a sample in pixels.
    pub fn resolution(&self) -> u32 {
        self.cache.resolution()
    }

    /// Samples after which every face was shown.
    pub fn epoch_len(&self) -> usize {
        self.deck.len()
    }

    /// The face of the cache that sample `n` shows.
    pub fn face_of(&self, n: u64) -> usize {
        let len = self.deck.len() as u64;
        let (epoch, place) = (n / len, n % len);
        let key = Rng::stream(self.seed, &self.streams.order, epoch).next_u64();
        self.deck[permuted(len, key, place) as usize] as usize
    }

    /// Makes sample `n`. Allocates nothing.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if a buffer of `out` does not fit the resolution.
    pub fn sample_into(&self, n: u64, out: SampleOut<'_>) -> Result<(), Error> {
        let resolution = self.cache.resolution();
        let side = resolution as usize;
        out.check(side)?;
        let stream = |purpose: &str| Rng::stream(self.seed, purpose, n);
        let settings = &self.settings;
        let face = self.cache.face(self.face_of(n));
        let shot = Shot::random(resolution, settings, &mut stream(&self.streams.jitter));
        let sigma_px = settings.warp * resolution as f32;
        let warp = if sigma_px > 0.0 {
            Warp::random(sigma_px, &mut stream(&self.streams.warp))
        } else {
            Warp::NONE
        };
        let lut = Lut::random(settings, &mut stream(&self.streams.colour));
        draw_input(&face, side, &shot, &warp, &self.table, &lut, out.input);
        let emphasis = emphasis(settings);
        draw_target(
            &face,
            side,
            &shot,
            emphasis,
            &self.plain,
            (out.target, out.mask, out.weight),
        );
        Ok(())
    }
}

/// Samples whose input and target may be different faces, such as one moment played by two people.
/// Both are moved alike; only the input is warped and recoloured.
#[derive(Debug)]
pub struct PairSampler {
    cache: Arc<FaceCache>,
    settings: SamplerSettings,
    table: WarpTable,
    plain: Lut,
}

impl PairSampler {
    /// Samples of any faces of a cache, whatever their split.
    ///
    /// # Errors
    /// [`Error::BadSetting`].
    pub fn new(cache: Arc<FaceCache>, settings: SamplerSettings) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self {
            table: WarpTable::new(cache.resolution()),
            plain: Lut::plain(),
            cache,
            settings,
        })
    }

    /// The faces.
    pub fn cache(&self) -> &FaceCache {
        &self.cache
    }

    /// Makes the sample whose input is face `input` of the cache and whose target is face `target`
    /// (both below its length), disturbed as `rng` says. Allocates nothing.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if a buffer of `out` does not fit the resolution.
    pub fn sample_into(
        &self,
        (input, target): (usize, usize),
        rng: &mut Rng,
        out: SampleOut<'_>,
    ) -> Result<(), Error> {
        let resolution = self.cache.resolution();
        let side = resolution as usize;
        out.check(side)?;
        let settings = &self.settings;
        let shot = Shot::random(resolution, settings, rng);
        let sigma_px = settings.warp * resolution as f32;
        let warp = if sigma_px > 0.0 {
            Warp::random(sigma_px, rng)
        } else {
            Warp::NONE
        };
        let lut = Lut::random(settings, rng);
        let face = self.cache.face(input);
        draw_input(&face, side, &shot, &warp, &self.table, &lut, out.input);
        draw_target(
            &self.cache.face(target),
            side,
            &shot,
            emphasis(settings),
            &self.plain,
            (out.target, out.mask, out.weight),
        );
        Ok(())
    }
}

/// The held-out faces of one person, undisturbed and in a fixed order: what progress is measured on.
#[derive(Debug)]
pub struct HeldOut {
    cache: Arc<FaceCache>,
    faces: Vec<u32>,
    emphasis: Emphasis,
    plain: Lut,
}

impl HeldOut {
    /// The faces of `split` (usually [`Split::HeldOut`]). Of `settings` only the weights count.
    ///
    /// # Errors
    /// [`Error::NoFaces`] if the cache has none; [`Error::BadSetting`].
    pub fn new(
        cache: Arc<FaceCache>,
        split: Split,
        settings: &SamplerSettings,
    ) -> Result<Self, Error> {
        settings.check()?;
        Ok(Self {
            faces: faces_of(&cache, split)?,
            cache,
            emphasis: emphasis(settings),
            plain: Lut::plain(),
        })
    }

    /// How many there are, at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.faces.len()
    }

    /// The face of the cache that sample `index` shows.
    pub fn face_of(&self, index: usize) -> usize {
        self.faces[index % self.faces.len()] as usize
    }

    /// Makes sample `index` (beyond the last one it starts again). Input and target are the same.
    ///
    /// # Errors
    /// [`Error::WrongLength`] if a buffer of `out` does not fit the resolution.
    pub fn sample_into(&self, index: usize, out: SampleOut<'_>) -> Result<(), Error> {
        let resolution = self.cache.resolution();
        let side = resolution as usize;
        out.check(side)?;
        let face = self.cache.face(self.face_of(index));
        let shot = Shot::plain(resolution);
        let parts = (&mut *out.target, out.mask, out.weight);
        draw_target(&face, side, &shot, self.emphasis, &self.plain, parts);
        out.input.copy_from_slice(out.target);
        Ok(())
    }

    /// Samples `first .. first + count` as one batch of one person, fewer at the end.
    ///
    /// # Errors
    /// As [`Self::sample_into`], which does not happen here.
    pub fn batch(&self, first: usize, count: usize) -> Result<Batch, Error> {
        let count = count.min(self.faces.len().saturating_sub(first));
        let mut batch = Batch::new(0, 1, count, self.cache.resolution());
        for i in 0..count {
            self.sample_into(first + i, batch.sample_mut(0, i))?;
        }
        Ok(batch)
    }

    /// `count` faces spread evenly over all of them, as one batch: for previews and quick measures.
    ///
    /// # Errors
    /// As [`Self::sample_into`], which does not happen here.
    pub fn spread(&self, count: usize) -> Result<Batch, Error> {
        let count = count.min(self.faces.len());
        let mut batch = Batch::new(0, 1, count, self.cache.resolution());
        for i in 0..count {
            // The middle of the i-th of `count` equal parts.
            let index = (2 * i + 1) * self.faces.len() / (2 * count);
            self.sample_into(index, batch.sample_mut(0, i))?;
        }
        Ok(batch)
    }
}

fn emphasis(settings: &SamplerSettings) -> Emphasis {
    Emphasis {
        eyes: settings.eyes_weight - 1.0,
        mouth: settings.mouth_weight - 1.0,
    }
}

fn faces_of(cache: &FaceCache, split: Split) -> Result<Vec<u32>, Error> {
    let faces: Vec<u32> = (0u32..)
        .zip(cache.entries())
        .filter(|(_, e)| e.split == split)
        .map(|(i, _)| i)
        .collect();
    if faces.is_empty() {
        return Err(Error::NoFaces {
            person: cache.person().clone(),
            split,
        });
    }
    Ok(faces)
}

/// How often each face is in the deck: the square root of how much rarer its pose is than the most
/// common one. Evens the poses out without showing three odd frames all the time.
fn copies(poses: &[Pose]) -> Vec<u32> {
    let coverage = PoseCoverage::of(poses);
    let fullest = coverage.fullest() as f32;
    let of = |pose: &Pose| {
        let (yaw, pitch) = pose_bin(pose);
        let count = coverage.counts[pitch][yaw].max(1) as f32;
        ((fullest / count).sqrt().round() as u32).clamp(1, MOST_COPIES)
    };
    poses.iter().map(of).collect()
}

/// Where `place` (below `len`) goes in the permutation `key` of `0..len`: a Feistel network over
/// the next even power of two, walked until it lands inside. Needs no table.
fn permuted(len: u64, key: u64, place: u64) -> u64 {
    const ROUNDS: u64 = 6;
    let bits = (u64::BITS - len.saturating_sub(1).leading_zeros()).max(2);
    let half = bits.div_ceil(2);
    let mask = (1u64 << half) - 1;
    let mix = |v: u64, round: u64| {
        let mut z = v ^ key.rotate_left(round as u32 * 9).wrapping_add(round);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut at = place;
    loop {
        let (mut left, mut right) = (at >> half, at & mask);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (mix(right, round) & mask));
        }
        at = left << half | right;
        if at < len {
            return at;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
