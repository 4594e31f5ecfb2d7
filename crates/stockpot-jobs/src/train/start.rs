//! Where a run starts: the library's encoder and decoders as they are, and for new persons the
//! library's decoder that draws them best.

use std::collections::BTreeMap;

use stockpot_core::{Area, ContentHash, PersonName};
use stockpot_faceset::{FaceCache, Faceset, HeldOut, SamplerSettings, Split};
use stockpot_library::{Library, StartingPoint};
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

/// Weights to start from, and where they come from.
pub(super) struct Start {
    pub encoder: Params,
    pub decoders: Vec<(PersonName, Params)>,
    pub area: Area,
    pub expected: StartingPoint,
    pub encoder_steps: u64,
    pub decoder_steps: BTreeMap<PersonName, u64>,
    /// In words, by person.
    pub started_from: BTreeMap<PersonName, String>,
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

/// Finds the starting weights.
pub(super) fn find(
    ctx: &Context,
    library: &Library,
    network: &Network,
    settings: &Settings,
    sampler: &SamplerSettings,
) -> Result<Start, JobError> {
    let expected = library.starting_point(&settings.persons)?;
    let Some(encoder_hash) = expected.encoder.filter(|_| !settings.from_scratch) else {
        return Ok(from_scratch(ctx, network, settings, expected));
    };
    let family = network.family();
    let state = library.encoder_state(&encoder_hash)?;
    let bytes = library.get_object(&state.record.object)?;
    let area = area_of(&bytes)?;
    if settings.area.is_some_and(|a| a != area) {
        return Err(JobError::usage(format!(
            "This library's encoder was trained on the area {area:?}; another one cannot start from it"
        ))
        .with_hint("leave --area out, or make another library"));
    }
    let encoder = weights_file::from_bytes(family, network.encoder_layout(), &bytes)?;
    let mut start = Start {
        encoder,
        decoders: Vec::new(),
        area,
        expected,
        encoder_steps: state.record.steps,
        decoder_steps: BTreeMap::new(),
        started_from: BTreeMap::new(),
    };
    for person in &settings.persons {
        let (params, from) = match library.current_decoder(person)? {
            Some(state) => {
                start
                    .decoder_steps
                    .insert(person.clone(), state.record.steps);
                let params = load_decoder(library, network, &state.record.object)?;
                (params, format!("its state {}", state.hash.short()))
            }
            None => new_person(ctx, library, network, &start, sampler, person)?,
        };
        start.decoders.push((person.clone(), params));
        start.started_from.insert(person.clone(), from);
    }
    Ok(start)
}

/// Fresh weights. All persons share one first trunk: that is what makes their codes agree.
fn from_scratch(
    ctx: &Context,
    network: &Network,
    settings: &Settings,
    expected: StartingPoint,
) -> Start {
    let fresh = |name: &PersonName| (name.clone(), network.init_decoder(ctx.seed));
    let words = |name: &PersonName| (name.clone(), "scratch".to_owned());
    Start {
        encoder: network.init_encoder(ctx.seed),
        decoders: settings.persons.iter().map(fresh).collect(),
        area: settings.area.unwrap_or(Area::Face),
        expected,
        encoder_steps: 0,
        decoder_steps: BTreeMap::new(),
        started_from: settings.persons.iter().map(words).collect(),
    }
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
/// encoder, measured on the new person's own faces; and where it is from, in words.
fn new_person(
    ctx: &Context,
    library: &Library,
    network: &Network,
    start: &Start,
    sampler: &SamplerSettings,
    person: &PersonName,
) -> Result<(Params, String), JobError> {
    let faceset = Faceset::open(&library.facesets_dir(person))?;
    let (cache, _) = FaceCache::open_or_build(
        &faceset,
        start.area,
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
    let held_out = HeldOut::new(cache.into(), split, sampler)?;
    let faces = held_out.spread(COMPARED_FACES)?;
    let mut encoder_plan = Plan::inference(network.encoder().clone(), faces.samples);
    encoder_plan.load(&start.encoder);
    let codes = encoder_plan.forward(&faces.input).to_vec();
    let mut decoder_plan = Plan::inference(network.decoder().clone(), faces.samples);
    let mut best: Option<(f64, PersonName, Params)> = None;
    for other in library.persons()? {
        let Some(state) = library.current_decoder(&other.name)? else {
            continue;
        };
        if Some(state.record.encoder_state) != start.expected.encoder {
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
            (params, format!("the decoder of {from}"))
        }
        None => (network.init_decoder(ctx.seed), "scratch".to_owned()),
    })
}
