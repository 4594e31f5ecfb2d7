//! Whether a training fits this machine, told before it begins, and how large a batch may be.

use std::time::Instant;

use stockpot_core::PersonName;
use stockpot_model::{Network, Params};
use stockpot_train::TrainSettings;
use stockpot_train::batch_size::{self, Limit};
use stockpot_train::forecast::{Forecast, forecast, gigabytes};

use super::data::HELD_OUT_FACES;
use crate::context::Context;
use crate::error::JobError;
use crate::memory;

/// What is left for the program itself, in bytes.
const PROGRAM_BYTES: u64 = 100 << 20;

/// Everybody's weights at the start of a run.
pub(super) struct Weights<'a> {
    pub(super) network: &'a Network,
    pub(super) encoder: &'a Params,
    pub(super) decoders: &'a [(PersonName, Params)],
}

/// Bytes that a run takes at its peak: the trainer, and the states as files when it commits.
pub(super) fn needed(
    network: &Network,
    settings: &TrainSettings,
    persons: usize,
) -> (Forecast, u64) {
    let told = forecast(network, settings, persons, HELD_OUT_FACES);
    let (encoder, decoder) = (
        network.encoder_layout().len(),
        network.decoder_layout().len(),
    );
    let commit = 4 * (encoder + persons * decoder + encoder.max(decoder)) as u64;
    (told, told.total_bytes() + commit + PROGRAM_BYTES)
}

/// What a run writes at the least: two checkpoints, of which each holds weights, both moments and the
/// running mean, and the committed weights.
pub(super) fn disk_bytes(network: &Network, persons: usize) -> u64 {
    const COPIES: u64 = 2 * 4 + 1;
    let numbers = network.encoder_layout().len() + persons * network.decoder_layout().len();
    COPIES * 4 * numbers as u64
}

/// Tells what the run will take, and refuses one that cannot fit. `faces_bytes` are the prepared
/// faces, which may stay on the disk if need be. Returns whether they fit as well.
pub(super) fn check(
    ctx: &Context,
    network: &Network,
    settings: &TrainSettings,
    persons: usize,
    faces_bytes: u64,
) -> Result<bool, JobError> {
    let (told, bytes) = needed(network, settings, persons);
    let Some(memory) = memory::now() else {
        ctx.info(format!("Memory: {}", told.words()));
        return Ok(true);
    };
    ctx.info(format!(
        "Memory: {} of {} GB that are free; prepared faces {} GB",
        told.words(),
        gigabytes(memory.free),
        gigabytes(faces_bytes)
    ));
    if bytes > memory.free {
        return Err(too_large(network, settings, persons, bytes, memory.free));
    }
    let fits = bytes + faces_bytes <= memory.free;
    if !fits {
        ctx.warn(format!(
            "The prepared faces, {} GB, do not fit into memory beside the training: they are read from the disk again and again. Fewer would do: `stockpot faces prune NAME --duplicates`",
            gigabytes(faces_bytes)
        ));
    }
    Ok(fits)
}

fn too_large(
    network: &Network,
    settings: &TrainSettings,
    persons: usize,
    bytes: u64,
    free: u64,
) -> JobError {
    let error = JobError::failed(format!(
        "This training takes {} GB of memory, and {} GB are free",
        gigabytes(bytes),
        gigabytes(free)
    ));
    let with = |batch, persons| {
        let settings = TrainSettings {
            batch,
            ..settings.clone()
        };
        needed(network, &settings, persons).1 <= free
    };
    let batch = (1..settings.batch)
        .rev()
        .find(|batch| with(*batch, persons));
    let fewer = (1..persons).rev().find(|p| with(settings.batch, *p));
    let hint = match (batch, fewer) {
        // Below this the learning rate would have to change as well.
        (Some(batch), _) if batch >= 4 => format!("`--batch {batch}` would fit"),
        (_, Some(fewer)) => format!("train {fewer} of the {persons} persons at a time"),
        (Some(batch), _) => format!("`--batch {batch}` would fit, with a lower learning_rate"),
        (None, None) => {
            "end other programs, or take a smaller network in a new library: `--preset comb-s-64`"
                .into()
        }
    };
    error.with_hint(hint)
}

/// The largest batch that fits and is not slower, by a few steps that leave no trace.
pub(super) fn find_batch(
    ctx: &Context,
    weights: &Weights<'_>,
    settings: &TrainSettings,
) -> Result<usize, JobError> {
    let free = memory::now().map(|m| m.free);
    let fits = |batch| {
        let settings = TrainSettings {
            batch,
            ..settings.clone()
        };
        let (_, bytes) = needed(weights.network, &settings, weights.decoders.len());
        // Where nothing is known of memory, the smallest sizes only.
        free.map_or(batch <= 16, |free| bytes <= free)
    };
    ctx.phase("try batch sizes", 0);
    let start = Instant::now();
    let found = batch_size::find(
        (weights.network, weights.encoder),
        weights.decoders,
        settings,
        &fits,
        &|| start.elapsed().as_secs_f64(),
        &ctx.cancel,
    )?;
    let tried: Vec<String> = found
        .trials
        .iter()
        .map(|t| format!("{}: {:.1}", t.batch, 1.0 / t.secs_per_face))
        .collect();
    let end = match found.limit {
        Limit::Memory => "; more does not fit the memory",
        Limit::Time => "; more would take long to try",
        Limit::Largest => "",
    };
    ctx.info(format!(
        "Batch size {}: faces a second at {}{end}",
        found.batch,
        tried.join(", ")
    ));
    Ok(found.batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_too_little_memory_is_told_what_would_fit() {
        let network = Network::new("comb-s-64".parse().unwrap());
        let settings = TrainSettings {
            batch: 64,
            ..TrainSettings::default()
        };
        let (_, all) = needed(&network, &settings, 3);
        let hint = |free| too_large(&network, &settings, 3, all, free).hint.unwrap();
        assert_eq!(hint(all - 1), "`--batch 63` would fit");
        let small = TrainSettings {
            batch: 4,
            ..settings.clone()
        };
        let (_, least) = needed(&network, &small, 3);
        assert_eq!(hint(least), "`--batch 4` would fit");
        let (_, two) = needed(&network, &settings, 2);
        if two < least {
            assert!(hint(two).contains("2 of the 3 persons"));
        }
        assert!(hint(1 << 20).contains("comb-s-64"));
    }
}
