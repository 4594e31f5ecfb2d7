//! Where a run starts: the library's encoder and decoders as they are, and for new persons the
//! library's decoder that draws them best.

use std::collections::BTreeMap;

use stockpot_core::{Area, ContentHash, PersonName};
use stockpot_faceset::{FaceCache, Faceset, HeldOut, Split};
use stockpot_library::Library;
use stockpot_model::{Network, Params, Plan, weights_file};
use stockpot_train::loss::Comparison;
use stockpot_train::metrics::score_faces;

use super::Settings;
use super::run_file::RunFile;
use crate::context::Context;
use crate::error::JobError;
use crate::swap::area_of;

/// Faces on which decoders are compared for a new person.
const COMPARED_FACES: usize = 16;

/// Weights to start from.
pub(super) struct Start {
    pub encoder: Params,
    pub decoders: Vec<(PersonName, Params)>,
}

/// The states that a run starts from, by what they are.
pub(super) fn parents(file: &RunFile) -> BTreeMap<String, ContentHash> {
    let encoder = file.expected.encoder.map(|h| ("encoder".to_owned(), h));
    let decoders = file.expected.decoders.iter();
    decoders
        .filter_map(|(name, hash)| hash.map(|h| (format!("decoder/{name}"), h)))
        .chain(encoder)
        .collect()
}

/// Finds the starting weights and notes in `file` where they come from.
pub(super) fn find(
    ctx: &Context,
    library: &Library,
    network: &Network,
    settings: &Settings,
    file: &mut RunFile,
) -> Result<Start, JobError> {
    let seed = ctx.seed;
    let Some(encoder_hash) = file.expected.encoder.filter(|_| !settings.from_scratch) else {
        file.area = settings.area.unwrap_or(Area::Face);
        let fresh = |name: &PersonName| (name.clone(), network.init_decoder(seed));
        let decoders = file.persons.iter().map(fresh).collect();
        file.started_from = file
            .persons
            .iter()
            .map(|n| (n.clone(), "scratch".to_owned()))
            .collect();
        // All persons share one first trunk: that is what makes their codes agree.
        return Ok(Start {
            encoder: network.init_encoder(seed),
            decoders,
        });
    };
    let family = network.family();
    let encoder = library.encoder_state(&encoder_hash)?;
    let bytes = library.get_object(&encoder.record.object)?;
    file.area = area_of(&bytes)?;
    if settings.area.is_some_and(|a| a != file.area) {
        return Err(JobError::usage(format!(
            "This library's encoder was trained on the area {:?}; another one cannot start from it",
            file.area
        ))
        .with_hint("leave --area out, or make another library"));
    }
    file.encoder_steps = encoder.record.steps;
    let encoder = weights_file::from_bytes(family, network.encoder_layout(), &bytes)?;
    let mut decoders = Vec::new();
    for person in file.persons.clone() {
        let params = match library.current_decoder(&person)? {
            Some(state) => {
                file.started_from
                    .insert(person.clone(), format!("its state {}", state.hash.short()));
                file.decoder_steps
                    .insert(person.clone(), state.record.steps);
                load_decoder(library, network, &state.record.object)?
            }
            None => new_person(ctx, library, network, &encoder, file, &person)?,
        };
        decoders.push((person, params));
    }
    Ok(Start { encoder, decoders })
}

fn load_decoder(
    library: &Library,
    network: &Network,
    object: &ContentHash,
) -> Result<Params, JobError> {
    let bytes = library.get_object(object)?;
    Ok(weights_file::from_bytes(
        network.family(),
        network.decoder_layout(),
        &bytes,
    )?)
}

/// The decoder among the library's persons that draws the new person best under the current
/// encoder, measured on the new person's own faces.
fn new_person(
    ctx: &Context,
    library: &Library,
    network: &Network,
    encoder: &Params,
    file: &mut RunFile,
    person: &PersonName,
) -> Result<Params, JobError> {
    let faceset = Faceset::open(&library.facesets_dir(person))?;
    let (cache, _) = FaceCache::open_or_build(
        &faceset,
        file.area,
        network.family().resolution(),
        &library.cache_dir(),
        &*ctx.progress,
        &ctx.cancel,
    )?;
    let split = if cache.count(Split::HeldOut) > 0 {
        Split::HeldOut
    } else {
        Split::Train
    };
    let held_out = HeldOut::new(cache.into(), split, &file.sampler)?;
    let faces = held_out.spread(COMPARED_FACES)?;
    let mut encoder_plan = Plan::inference(network.encoder().clone(), faces.samples);
    encoder_plan.load(encoder);
    let codes = encoder_plan.forward(&faces.input).to_vec();
    let mut decoder_plan = Plan::inference(network.decoder().clone(), faces.samples);
    let mut best: Option<(f64, PersonName, Params)> = None;
    for other in library.persons()? {
        let Some(state) = library.current_decoder(&other.name)? else {
            continue;
        };
        if Some(state.record.encoder_state) != file.expected.encoder {
            continue;
        }
        let params = load_decoder(library, network, &state.record.object)?;
        decoder_plan.load(&params);
        let score = score_faces(&Comparison {
            side: network.family().resolution() as usize,
            channels: network.decoder().output_shape().c,
            prediction: decoder_plan.forward(&codes),
            target: &faces.target,
            mask: &faces.mask,
            weight: &[],
        })?;
        if best.as_ref().is_none_or(|(mae, ..)| score.mae < *mae) {
            best = Some((score.mae, other.name, params));
        }
    }
    Ok(match best {
        Some((mae, from, params)) => {
            ctx.info(format!(
                "{person} starts from the decoder of {from}, the best match here (difference {mae:.4})"
            ));
            file.started_from
                .insert(person.clone(), format!("the decoder of {from}"));
            params
        }
        None => {
            file.started_from.insert(person.clone(), "scratch".into());
            network.init_decoder(ctx.seed)
        }
    })
}
