//! Where a run starts: the library's encoder and decoders as they are, and for new persons the
//! library's decoder that draws them best; in an empty library, the shipped stock.

use std::collections::BTreeMap;

use stockpot_core::{Area, ContentHash, PersonName};
use stockpot_faceset::{Batch, FaceCache, Faceset, HeldOut, SamplerSettings, Split};
use stockpot_library::{DecoderForm, Library, StartingPoint};
use stockpot_model::{Network, Params, Plan, Stock, weights_file};
use stockpot_train::LitePersons;
use stockpot_train::loss::Comparison;
use stockpot_train::metrics::score_faces;

use super::Settings;
use super::lite::{self, Form};
use super::run_file::RunFile;
use crate::compat::relation::refuse_foreign;
use crate::context::Context;
use crate::decoder::{load as load_decoder, load_lite};
use crate::error::JobError;
use crate::stock;
use crate::swap::area_of;

/// Faces on which decoders are compared for a new person.
const COMPARED_FACES: usize = 16;
/// People of a stock that are tried for a new person, beside their mean.
const TRIED_PEOPLE: usize = 24;

/// Weights to start from, and where they come from.
pub(super) struct Start {
    pub encoder: Params,
    /// Of lite persons, their own numbers.
    pub decoders: Vec<(PersonName, Params)>,
    pub lite: LitePersons,
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
        return match shipped_stock(network, settings)? {
            Some(stock) => from_stock(ctx, library, &stock, settings, sampler, expected),
            None => match settings.persons.first() {
                Some(person) if settings.form == Form::Lite => Err(lite::no_base(person)),
                _ => Ok(from_scratch(ctx, network, settings, expected)),
            },
        };
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
        lite: LitePersons::new(),
        area,
        expected,
        encoder_steps: state.record.steps,
        decoder_steps: BTreeMap::new(),
        started_from: BTreeMap::new(),
    };
    for person in &settings.persons {
        let (params, from) = match library.current_decoder(person)? {
            Some(state) => {
                let own = state.record.encoder_state;
                refuse_foreign(library, person, &own, &encoder_hash)?;
                let (form, steps) = (state.record.form, state.record.steps);
                lite::refuse_shrinking(person, form, settings.form)?;
                start.decoder_steps.insert(person.clone(), steps);
                let words = format!("its state {}", state.hash.short());
                if form == DecoderForm::Lite && settings.form != Form::Full {
                    let (numbers, own) = load_lite(library, network, &state.record)?;
                    start.lite.insert(person.clone(), own);
                    (numbers, format!("{words}, lite"))
                } else {
                    (load_decoder(library, network, &state.record)?, words)
                }
            }
            None => {
                let mut trial = Trial::of(ctx, library, network, &start, sampler, person)?;
                let lite = match settings.form.wants_lite(trial.training_faces) {
                    true => lite::new_person(ctx, library, &start, &mut trial, person)?,
                    false => None,
                };
                match lite {
                    Some((numbers, own, words)) => {
                        start.lite.insert(person.clone(), own);
                        (numbers, format!("{words}, lite"))
                    }
                    None if settings.form == Form::Lite => return Err(lite::no_base(person)),
                    None => new_person(ctx, library, network, &start, trial, person)?,
                }
            }
        };
        start.decoders.push((person.clone(), params));
        start.started_from.insert(person.clone(), from);
    }
    Ok(start)
}

/// The shipped stock, where it fits what is asked for.
fn shipped_stock(network: &Network, settings: &Settings) -> Result<Option<Stock>, JobError> {
    // Its faces show the usual area.
    let fits = settings.area.is_none_or(|area| area == Area::Face);
    if settings.from_scratch || !fits {
        return Ok(None);
    }
    stock::shipped(network.family())
}

/// The stock's encoder, and for each person the decoder of whoever of the stock's people draws
/// them best, or of the mean of all.
fn from_stock(
    ctx: &Context,
    library: &Library,
    stock: &Stock,
    settings: &Settings,
    sampler: &SamplerSettings,
    expected: StartingPoint,
) -> Result<Start, JobError> {
    let network = stock.trunk.network();
    let mut start = Start {
        encoder: stock.encoder.clone(),
        decoders: Vec::new(),
        lite: LitePersons::new(),
        area: Area::Face,
        expected,
        encoder_steps: 0,
        decoder_steps: BTreeMap::new(),
        started_from: BTreeMap::new(),
    };
    let misfit = || JobError::failed("The shipped stock does not fit itself: this is a bug");
    let tried = tried_people(stock);
    let own = lite::of_stock(stock)?;
    for person in &settings.persons {
        let mut trial = Trial::of(ctx, library, network, &start, sampler, person)?;
        let mut best: Option<(f64, &str, Params)> = None;
        for (name, identity) in &tried {
            let params = stock.person(identity).ok_or_else(misfit)?;
            let mae = trial.difference(&params)?;
            if best.as_ref().is_none_or(|(least, ..)| mae < *least) {
                best = Some((mae, name, params));
            }
        }
        let (mae, name, params) = best.ok_or_else(misfit)?;
        let mut words = format!("the shipped stock, {name}");
        let params = match settings.form.wants_lite(trial.training_faces) {
            true => {
                words.push_str(", lite");
                start.lite.insert(person.clone(), own.clone());
                lite::start(ctx, &own, &params)?
            }
            false => params,
        };
        ctx.info(format!(
            "{person} starts from {words} (difference {mae:.4})"
        ));
        start.decoders.push((person.clone(), params));
        start.started_from.insert(person.clone(), words);
    }
    Ok(start)
}

/// The mean of a stock's people and some of them, by name.
pub(super) fn tried_people(stock: &Stock) -> Vec<(String, Vec<f32>)> {
    let every = stock.people().div_ceil(TRIED_PEOPLE).max(1);
    let people = stock.identities.chunks_exact(stock.trunk.identity_len());
    let people = people.enumerate().step_by(every);
    std::iter::once(("the mean of all".to_owned(), stock.mean_identity()))
        .chain(people.map(|(n, identity)| (format!("its person {n}"), identity.to_vec())))
        .collect()
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
        lite: LitePersons::new(),
        area: settings.area.unwrap_or(Area::Face),
        expected,
        encoder_steps: 0,
        decoder_steps: BTreeMap::new(),
        started_from: settings.persons.iter().map(words).collect(),
    }
}

/// Some faces of a new person and their codes, to try decoders on.
pub(super) struct Trial {
    network: Network,
    /// Faces that the person can be learned from.
    training_faces: usize,
    faces: Batch,
    codes: Vec<f32>,
    decoder: Plan,
}

impl Start {
    /// Everybody's whole decoders: lite persons folded.
    pub(super) fn whole_decoders(&self) -> Vec<(PersonName, Params)> {
        let whole = |(name, numbers): &(PersonName, Params)| {
            let own = self.lite.get(name);
            let folded = own.and_then(|own| own.lite.folded(&own.base, numbers));
            (name.clone(), folded.unwrap_or_else(|| numbers.clone()))
        };
        self.decoders.iter().map(whole).collect()
    }
}

impl Trial {
    fn of(
        ctx: &Context,
        library: &Library,
        network: &Network,
        start: &Start,
        sampler: &SamplerSettings,
        person: &PersonName,
    ) -> Result<Self, JobError> {
        let faceset = Faceset::open(&library.facesets_dir(person))?;
        let (cache, _) = FaceCache::open_or_build(
            &faceset,
            start.area,
            network.family().resolution(),
            &library.cache_dir(),
            &*ctx.progress,
            &ctx.cancel,
        )?;
        let training_faces = cache.count(Split::Train);
        let split = if cache.count(Split::HeldOut) > 0 {
            Split::HeldOut
        } else {
            Split::Train
        };
        let held_out = HeldOut::new(cache.into(), split, sampler)?;
        let faces = held_out.spread(COMPARED_FACES)?;
        let mut encoder = Plan::inference(network.encoder().clone(), faces.samples);
        encoder.load(&start.encoder);
        let codes = encoder.forward(&faces.input).to_vec();
        let decoder = Plan::inference(network.decoder().clone(), faces.samples);
        Ok(Self {
            network: network.clone(),
            training_faces,
            faces,
            codes,
            decoder,
        })
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    pub(super) fn faces(&self) -> &Batch {
        &self.faces
    }

    /// Of these faces, under the encoder that the run starts from.
    pub(super) fn codes(&self) -> &[f32] {
        &self.codes
    }

    /// Mean absolute difference over the face, 0 to 1, if this decoder draws the person.
    pub(super) fn difference(&mut self, decoder: &Params) -> Result<f64, JobError> {
        self.decoder.load(decoder);
        let shape = self.decoder.graph().output_shape();
        let score = score_faces(&Comparison {
            side: shape.h,
            channels: shape.c,
            prediction: self.decoder.forward(&self.codes),
            target: &self.faces.target,
            mask: &self.faces.mask,
            weight: &[],
        })?;
        Ok(score.mae)
    }
}

/// The decoder among the library's persons that draws the new person best under the current
/// encoder, measured on the new person's own faces; and where it is from, in words.
fn new_person(
    ctx: &Context,
    library: &Library,
    network: &Network,
    start: &Start,
    mut trial: Trial,
    person: &PersonName,
) -> Result<(Params, String), JobError> {
    let mut best: Option<(f64, PersonName, Params)> = None;
    for other in library.persons()? {
        let Some(state) = library.current_decoder(&other.name)? else {
            continue;
        };
        if Some(state.record.encoder_state) != start.expected.encoder {
            continue;
        }
        let params = load_decoder(library, network, &state.record)?;
        let mae = trial.difference(&params)?;
        if best.as_ref().is_none_or(|(least, ..)| mae < *least) {
            best = Some((mae, other.name, params));
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
