//! `library stitch`: makes a person's decoder read the codes of another encoder state.
//!
//! The affine map from that encoder's codes to those the decoder knows is fitted in closed form on
//! the passports of both, folded into the decoder's first layer and committed as a new decoder state
//! that is tagged as stitched and names its parents. Start with [`run`].

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;
use stockpot_core::PersonName;
use stockpot_library::{
    CommitReport, Consented, DecoderForm, DecoderStateRecord, EncoderChoice, Library, NewDecoder,
    NewState, RunCommit, Stored, Use,
};
use stockpot_model::stitch::fit;
use stockpot_model::{Codes, Fit, Halves, Params, fold_stitch, weights_file};

use super::calibration::CalibrationSource;
use super::measure::{Encoder, apart, draw, held_out, load_decoder, score};
use super::passport::{Drawn, Passports};
use super::relation::{Verdict, relation};
use super::{current_decoder, find_encoder};
use crate::context::{Context, now_secs};
use crate::error::JobError;
use crate::person::PATIENCE;
use crate::swap::SHIFT;

/// One of so many calibration faces is drawn to compare pictures.
const DRAWN_EVERY: usize = 10;

/// Whose decoder, and for which encoder.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The person.
    pub person: PersonName,
    /// `current`, a person's name (the encoder state of their decoder), or the first digits of one.
    pub to: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// Whose decoder.
    pub person: PersonName,
    /// The new decoder state.
    pub decoder: String,
    /// The state it was made from.
    pub made_from: String,
    /// The encoder state that was trained with that.
    pub trained_with: String,
    /// The encoder state that the new decoder runs under.
    pub encoder: String,
    /// How the two encoder states are related without the stitch.
    pub before: Verdict,
    /// How far the codes vary alike, at most 1; about 0 for separate lineages.
    pub codes_agree: Option<f64>,
    /// Share of the codes' variance that the map explains, on faces held out of its fit.
    pub codes_agree_stitched: f64,
    /// Mean difference of the person's held-out faces and what is drawn, 0 to 1: with the decoder's
    /// own encoder, with the other one as it is, and through the stitch.
    pub held_out_mae_own: Option<f64>,
    /// See above.
    pub held_out_mae_crossed: Option<f64>,
    /// See above.
    pub held_out_mae_stitched: Option<f64>,
    /// How much of what crossing loses the stitch brings back, in percent.
    pub recovered_percent: Option<f64>,
    /// Mean difference, on calibration faces, of what is drawn and what the decoder draws with its own
    /// encoder: crossed, and through the stitch.
    pub strangers_mae_crossed: f64,
    /// See above.
    pub strangers_mae_stitched: f64,
    /// Seconds for fitting the map.
    pub fit_secs: f64,
    /// Seconds for folding it in.
    pub fold_secs: f64,
    /// Both passports together.
    pub passports_bytes: usize,
    /// What to do next.
    pub next: String,
}

/// A stitch in memory.
pub(crate) struct Trial {
    pub(crate) fit: Fit,
    pub(crate) halves: Halves,
    pub(crate) fit_secs: f64,
    pub(crate) fold_secs: f64,
}

/// Fits and folds. `codes`: those of `home` (the decoder's own encoder), then those of `guest`.
pub(crate) fn trial(
    home: &Encoder,
    decoder: &Params,
    guest: &Encoder,
    codes: &[Codes; 2],
) -> Result<Trial, JobError> {
    let begun = Instant::now();
    let [own, other] = codes;
    let fit = fit(other, own)?;
    let fit_secs = begun.elapsed().as_secs_f64();
    let halves = Halves {
        encoder: home.params.clone(),
        decoder: decoder.clone(),
    };
    let begun = Instant::now();
    let halves = fold_stitch(&home.network, &guest.params, &halves, &fit.map)?;
    Ok(Trial {
        fit,
        halves,
        fit_secs,
        fold_secs: begun.elapsed().as_secs_f64(),
    })
}

/// Stitches and commits.
///
/// # Errors
/// If the person is unknown, without consent or decoder; if the decoder belongs to that encoder
/// state already; if the states see other areas; if the passports cannot be made; if somebody
/// else commits at the same moment.
pub fn run(
    ctx: &Context,
    source: &dyn CalibrationSource,
    settings: &Settings,
) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let person = &settings.person;
    let consent = ctx.consent(&library, person, Use::Train)?;
    let expected = library.starting_point(std::slice::from_ref(person))?;
    let current = current_decoder(&library, person)?;
    let to = find_encoder(&library, &settings.to)?;
    if current.record.encoder_state == to {
        return Err(JobError::usage(format!(
            "The decoder of `{person}` runs under {} already",
            to.short()
        )));
    }
    let base = last_trained(&library, current)?;
    let own = base.record.encoder_state;
    if own == to {
        return Err(JobError::usage(format!(
            "The decoder of `{person}` was trained with {} and stitched away from it: its state {} fits as it is",
            to.short(),
            base.hash.short()
        ))
        .with_hint(format!("bring its errors down under the current encoder: `stockpot library refit {person}`")));
    }
    let (home, guest) = (
        Encoder::load(&library, &own)?,
        Encoder::load(&library, &to)?,
    );
    if home.area != guest.area {
        return Err(JobError::failed(format!(
            "The encoder states {} and {} were trained on other areas, {:?} and {:?}: their codes speak of other pictures",
            own.short(),
            to.short(),
            home.area,
            guest.area
        )));
    }
    let mut drawn = Drawn::new(source);
    let mut passports = Passports::new(&library);
    let codes = passports.pair(ctx, &mut drawn, &own, &to)?;
    let before = relation(&mut passports, &own, &to)?;
    let decoder = load_decoder(&library, &home.network, &base.record)?;
    ctx.phase("fit the map", 0);
    let stitched = trial(&home, &decoder, &guest, &codes)?;
    ctx.check_cancel()?;
    ctx.phase("measure", 0);
    let network = &home.network;
    let pairs = [
        (&home.params, &decoder),
        (&guest.params, &decoder),
        (&stitched.halves.encoder, &stitched.halves.decoder),
    ];
    let mut mae = [None; 3];
    let mut metrics = BTreeMap::from([("stitch_explained".to_owned(), stitched.fit.explained)]);
    if let Some(faces) = held_out(ctx, &library, &home, person)? {
        for (slot, (encoder, decoder)) in mae.iter_mut().zip(pairs) {
            let found = score(network, encoder, decoder, &faces)?;
            *slot = Some(found.mae);
            metrics.insert("heldout_ssim".into(), found.ssim);
            metrics.insert("heldout_mae".into(), found.mae);
        }
    }
    let strangers: Vec<f32> = drawn
        .of(ctx, &home)?
        .pictures(DRAWN_EVERY)
        .flatten()
        .collect();
    let [own_pictures, crossed, mended] =
        pairs.map(|(encoder, decoder)| draw(network, encoder, decoder, &strangers));
    let work = Work {
        person,
        base: &base,
        home: &home,
        guest: &guest,
    };
    let report = commit(ctx, &library, expected, consent, work, &stitched, metrics)?;
    let size = |codes: &Codes| 2 * codes.values().len() + 4 * codes.width();
    Ok(Reply {
        person: person.clone(),
        decoder: report
            .decoders
            .get(person)
            .map(|h| h.short())
            .unwrap_or_default(),
        made_from: base.hash.short(),
        trained_with: own.short(),
        encoder: report.encoder.short(),
        before: before.verdict,
        codes_agree: before.agreement,
        codes_agree_stitched: stitched.fit.explained,
        held_out_mae_own: mae[0],
        held_out_mae_crossed: mae[1],
        held_out_mae_stitched: mae[2],
        recovered_percent: match mae {
            [Some(own), Some(crossed), Some(mended)] => recovered(own, crossed, mended),
            _ => None,
        },
        strangers_mae_crossed: apart(&own_pictures, &crossed),
        strangers_mae_stitched: apart(&own_pictures, &mended),
        fit_secs: stitched.fit_secs,
        fold_secs: stitched.fold_secs,
        passports_bytes: codes.iter().map(size).sum(),
        next: format!("stockpot library refit {person}"),
    })
}

/// How much of what crossing loses a stitch brings back, in percent; none if crossing loses nothing.
pub(crate) fn recovered(own: f64, crossed: f64, mended: f64) -> Option<f64> {
    (crossed > own).then(|| 100.0 * (crossed - mended) / (crossed - own))
}

/// The last state of a decoder that was trained: maps are fitted to what it learned, never to
/// another map.
pub(crate) fn last_trained(
    library: &Library,
    mut state: Stored<DecoderStateRecord>,
) -> Result<Stored<DecoderStateRecord>, JobError> {
    while let (Some(_), Some(parent)) = (state.record.stitched_from, state.record.parent) {
        state = library.decoder_state(&parent)?;
    }
    Ok(state)
}

/// What is stitched to what.
struct Work<'a> {
    person: &'a PersonName,
    base: &'a Stored<DecoderStateRecord>,
    home: &'a Encoder,
    guest: &'a Encoder,
}

fn commit(
    ctx: &Context,
    library: &Library,
    expected: stockpot_library::StartingPoint,
    consent: Consented,
    work: Work<'_>,
    stitched: &Trial,
    metrics: BTreeMap<String, f64>,
) -> Result<CommitReport, JobError> {
    let began = now_secs();
    let run = library.new_run_id(began, ctx.seed)?;
    let family = work.home.network.family();
    let words = BTreeMap::from([
        (
            "area".to_owned(),
            format!("{:?}", work.home.area).to_lowercase(),
        ),
        ("run".to_owned(), run.to_string()),
    ]);
    // Where the decoder draws stays as it was.
    let mut drawn = words.clone();
    let before = weights_file::metadata(&library.get_object(&work.base.record.object)?)?;
    drawn.extend(before.into_iter().filter(|(word, _)| word == SHIFT));
    let (own, to) = (work.home.hash, work.guest.hash);
    // Where the code lies inside of the encoder, the halves meet in an encoder state of their own.
    let encoder = match stitched.halves.encoder == work.guest.params {
        true => EncoderChoice::Kept(to),
        false => EncoderChoice::Beside(NewState {
            bytes: weights_file::to_bytes(family, &stitched.halves.encoder, &words)?,
            // What decoders get from it is what they get from their own lineage.
            parent: Some(own),
            steps: library.encoder_state(&own)?.record.steps,
            ..NewState::default()
        }),
    };
    let described = json!({
        "kind": "stitch",
        "person": work.person,
        "from_encoder": own,
        "to_encoder": to,
        "decoder": work.base.hash,
        "penalty": stitched.fit.penalty,
        "explained": stitched.fit.explained,
    });
    let commit = RunCommit {
        run,
        family: family.to_string(),
        expected,
        encoder,
        decoders: vec![NewDecoder {
            consent,
            stitched_from: Some(own),
            form: DecoderForm::Full,
            state: NewState {
                bytes: weights_file::to_bytes(family, &stitched.halves.decoder, &drawn)?,
                parent: Some(work.base.hash),
                steps: work.base.record.steps,
                metrics,
                attachments: BTreeMap::new(),
            },
        }],
        settings_json: described.to_string(),
        seed: ctx.seed,
        metrics: BTreeMap::new(),
        began_secs: began,
        now_secs: now_secs(),
    };
    let writer = library.writer(began, PATIENCE)?;
    let report = writer.commit_run(commit)?;
    ctx.tell_unlogged(&writer);
    Ok(report)
}
