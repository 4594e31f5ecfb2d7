//! The faces of a run: caches, held-out faces, previews; [`feed`](super::feed) makes their batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use stockpot_core::{Area, PersonName, Rgb8, Size};
use stockpot_faceset::{
    Batch as FacesetBatch, FaceCache, Faceset, HeldOut, Sampler, SamplerSettings, Split,
    contact_sheet,
};
use stockpot_library::Library;
use stockpot_model::Family;
use stockpot_train::run::BoxError;
use stockpot_train::{FaceBatch, KEPT_CODES_BYTES, Preview, TrainSettings, Trainer};

use super::feed::{FeederFeed, moved};
use super::likeness::{self, Known, LikenessProbe};
use super::run_file::RunFile;
use crate::context::Context;
use crate::error::JobError;

/// Held-out faces that are measured, spread over all.
pub(super) const HELD_OUT_FACES: usize = 48;
/// Rows of a preview per person.
const PREVIEW_FACES: usize = 4;

/// Whose faces, and how they are seen.
pub(super) struct Faces<'a> {
    pub persons: &'a [PersonName],
    pub family: Family,
    pub area: Area,
    pub sampler: &'a SamplerSettings,
    /// Kept faces of those who are rehearsed, in place of their facesets.
    pub rehearsed: Option<&'a BTreeMap<PersonName, Arc<FaceCache>>>,
    /// The run's seed: it decides every batch.
    pub seed: u64,
}

/// Everything a run learns from and is measured on.
pub(super) struct Data {
    samplers: Vec<Arc<Sampler>>,
    caches: Vec<Arc<FaceCache>>,
    bytes: u64,
    held_out: Vec<(PersonName, FaceBatch)>,
    /// Measures whom swapped faces look like.
    pub(super) likeness: Option<LikenessProbe>,
}

impl Data {
    /// Opens the facesets of all persons, building caches where they are missing.
    pub(super) fn open(
        ctx: &Context,
        library: &Library,
        faces: &Faces<'_>,
    ) -> Result<Self, JobError> {
        let (mut samplers, mut caches, mut bytes) = (Vec::new(), Vec::new(), 0);
        let (mut held_out, mut known) = (Vec::new(), Vec::new());
        for person in faces.persons {
            if let Some(kept) = faces.rehearsed.and_then(|all| all.get(person)) {
                // Measured by the release gate, on faces that are held out.
                let settings = faces.sampler.clone();
                let sampler = Sampler::new(kept.clone(), Split::Train, settings, faces.seed)?;
                samplers.push(Arc::new(sampler));
                caches.push(kept.clone());
                continue;
            }
            let faceset = Faceset::open(&library.facesets_dir(person))?;
            for note in faceset.notes() {
                ctx.warn(note.to_string());
            }
            let resolution = faces.family.resolution();
            let (cache, built) = FaceCache::open_or_build(
                &faceset,
                faces.area,
                resolution,
                &library.cache_dir(),
                &*ctx.progress,
                &ctx.cancel,
            )?;
            for skipped in &built.skipped {
                ctx.warn(format!("{} is left out: {}", skipped.file, skipped.reason));
            }
            bytes += built.bytes;
            let cache = Arc::new(cache);
            caches.push(cache.clone());
            if cache.count(Split::HeldOut) == 0 {
                ctx.warn(format!(
                    "{person} has no held-out faces: how good the decoder gets cannot be measured"
                ));
            } else {
                let held = HeldOut::new(cache.clone(), Split::HeldOut, faces.sampler)?;
                let batch = held.spread(HELD_OUT_FACES)?;
                held_out.push((person.clone(), moved(batch)));
            }
            let sampler = Sampler::new(
                cache.clone(),
                Split::Train,
                faces.sampler.clone(),
                faces.seed,
            )?;
            samplers.push(Arc::new(sampler));
            known.push(Known::new(faceset, cache));
        }
        let likeness = likeness::probe(ctx, &known, faces.sampler)?;
        Ok(Self {
            likeness,
            samplers,
            caches,
            bytes,
            held_out,
        })
    }

    /// Length of all prepared faces together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Asks the system to read all prepared faces into memory, so that not even the first pass
    /// over them waits for the disk.
    pub(super) fn preload(&self) -> Result<(), JobError> {
        for cache in &self.caches {
            cache.preload()?;
        }
        Ok(())
    }

    pub(super) fn held_out(&self) -> &[(PersonName, FaceBatch)] {
        &self.held_out
    }

    /// Batches from number `first` on. With a frozen encoder whose codes have `code_len` numbers
    /// they come again, see [`TrainSettings::frozen_warps`].
    pub(super) fn feed(
        &self,
        settings: &TrainSettings,
        code_len: usize,
        first: u64,
    ) -> Result<FeederFeed, JobError> {
        let largest = self.samplers.iter().map(|s| s.epoch_len()).max();
        let cycle = cycle(
            settings,
            largest.unwrap_or(0),
            self.samplers.len() * code_len,
        );
        FeederFeed::new(
            self.samplers.clone(),
            settings.batch,
            settings.workers,
            (first, cycle),
        )
    }

    /// What previews show: held-out faces of each person, or training faces without any.
    pub(super) fn preview(&self, file: &RunFile) -> Result<PreviewPicture, JobError> {
        let side = file.family.resolution() as usize;
        let mut faces = Vec::new();
        for (person, sampler) in file.persons.iter().zip(&self.samplers) {
            let held_out = self.held_out.iter().find(|(name, _)| name == person);
            let input = match held_out {
                Some((_, batch)) => spread(&batch.input, side * side * 3, PREVIEW_FACES),
                None => {
                    let mut batch = FacesetBatch::new(0, 1, PREVIEW_FACES, side as u32);
                    for i in 0..PREVIEW_FACES {
                        sampler.sample_into(i as u64, batch.sample_mut(0, i))?;
                    }
                    batch.target
                }
            };
            faces.push((person.clone(), input));
        }
        Ok(PreviewPicture { side, faces })
    }
}

/// After how many batches the same ones come again, 0 for never: when each of `faces` has been seen
/// in as many ways as the settings say, but before the codes of all persons, `codes` numbers for a
/// face of each, would take more memory than the trainer should keep.
fn cycle(settings: &TrainSettings, faces: usize, codes: usize) -> u64 {
    if !settings.freeze_encoder || settings.frozen_warps == 0 {
        return 0;
    }
    let wanted = (settings.frozen_warps * faces as u64).div_ceil(settings.batch as u64);
    let room = KEPT_CODES_BYTES / (size_of::<f32>() * codes * settings.batch).max(1);
    wanted.min(room as u64).max(1)
}

/// `count` of the runs of `len` numbers in `all`, evenly chosen.
fn spread(all: &[f32], len: usize, count: usize) -> Vec<f32> {
    let n = all.len() / len;
    let count = count.min(n);
    (0..count)
        .flat_map(|i| all[i * n / count * len..][..len].iter().copied())
        .collect()
}

/// Input, own reconstruction, and the face drawn as everybody else, one row per face.
pub(super) struct PreviewPicture {
    side: usize,
    faces: Vec<(PersonName, Vec<f32>)>,
}

impl Preview for PreviewPicture {
    fn draw(&mut self, trainer: &mut Trainer) -> Result<Rgb8, BoxError> {
        let pixels = self.side * self.side;
        let channels = trainer.channels();
        let names: Vec<PersonName> = self.faces.iter().map(|(n, _)| n.clone()).collect();
        let mut cells = Vec::new();
        for (person, input) in &self.faces {
            // The person's own decoder first, then the others in the order of the run.
            let mut order = vec![person.clone()];
            order.extend(names.iter().filter(|n| *n != person).cloned());
            let mut drawn = Vec::new();
            for name in &order {
                drawn.push(trainer.draw(name, input)?);
            }
            for (i, face) in input.chunks_exact(pixels * 3).enumerate() {
                cells.push(self.picture(face, 3)?);
                for all in &drawn {
                    cells.push(
                        self.picture(&all[i * pixels * channels..][..pixels * channels], channels)?,
                    );
                }
            }
        }
        Ok(contact_sheet(&cells, 1 + names.len(), self.side as u32))
    }
}

impl PreviewPicture {
    fn picture(&self, values: &[f32], channels: usize) -> Result<Rgb8, BoxError> {
        let rgb = values
            .chunks_exact(channels)
            .flat_map(|p| [p[0], p[1], p[2]])
            .map(stockpot_core::image::unit_to_u8)
            .collect();
        Ok(Rgb8::from_vec(Size::square(self.side as u32), rgb)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_again_only_under_a_frozen_encoder_and_in_bounded_memory() {
        let settings = |freeze_encoder, frozen_warps| TrainSettings {
            freeze_encoder,
            frozen_warps,
            batch: 16,
            ..TrainSettings::default()
        };
        assert_eq!(cycle(&settings(false, 16), 600, 1024), 0);
        assert_eq!(cycle(&settings(true, 0), 600, 1024), 0);
        assert_eq!(cycle(&settings(true, 16), 601, 1024), 601);
        assert_eq!(cycle(&settings(true, 16), 1_000_000, 1024), 4096);
        assert_eq!(cycle(&settings(true, 16), 1, usize::MAX / 64), 1);
    }
}
