//! `library refit`: takes a decoder's wear away by training it with the encoder frozen.
//!
//! Start with [`run`].

use serde::Serialize;
use serde_json::json;
use stockpot_core::PersonName;
use stockpot_library::Use;

use super::check::percent;
use super::measure::{Encoder, held_out, load_decoder, score};
use super::relation::{Verdict, refuse_foreign};
use super::{current_decoder, find_encoder};
use crate::context::Context;
use crate::error::JobError;
use crate::train;

/// How long it trains unless said otherwise, in steps: a stitch's polish takes 50 to 200.
const STEPS: u64 = 200;

/// Whose decoder, and for how long.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The person.
    pub person: PersonName,
    /// Stop after so many steps. Default 200, unless minutes are given.
    pub steps: Option<u64>,
    /// Stop after so many minutes.
    pub minutes: Option<f64>,
    /// Faces in a step. Default 16.
    pub batch: Option<usize>,
    /// Train although faces look like somebody else's.
    pub accept_faces: bool,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// Whose decoder.
    pub person: PersonName,
    /// The current encoder state, which stayed as it is.
    pub encoder: String,
    /// The decoder state before.
    pub decoder_before: String,
    /// The new decoder state.
    pub decoder: String,
    /// How the decoder was related to the encoder.
    pub before: Verdict,
    /// Mean difference of the person's held-out faces and what was drawn, 0 to 1, before and after;
    /// none without held-out faces.
    pub held_out_mae_before: Option<f64>,
    /// See above.
    pub held_out_mae: Option<f64>,
    /// How much smaller the difference has become, in percent; below 0 if it grew.
    pub gained_percent: Option<f64>,
    /// Similarity, 0 to 1, before and after.
    pub held_out_ssim_before: Option<f64>,
    /// See above.
    pub held_out_ssim: Option<f64>,
    /// Steps made.
    pub steps: u64,
    /// Minutes it took.
    pub minutes: f64,
}

/// Trains one decoder under the current encoder state, which stays as it is.
///
/// # Errors
/// If the person is unknown, without consent, decoder or faces; if the decoder is foreign to the
/// current encoder state; if the training fails.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let person = &settings.person;
    ctx.consent(&library, person, Use::Train)?;
    let decoder = current_decoder(&library, person)?;
    let own = decoder.record.encoder_state;
    let encoder = Encoder::load(&library, &find_encoder(&library, "current")?)?;
    let relation = refuse_foreign(&library, person, &own, &encoder.hash)?;
    let params = load_decoder(&library, &encoder.network, &decoder.record)?;
    let before = match held_out(ctx, &library, &encoder, person)? {
        Some(faces) => Some(score(&encoder.network, &encoder.params, &params, &faces)?),
        None => None,
    };
    let steps = match settings.minutes {
        Some(_) => settings.steps,
        None => Some(settings.steps.unwrap_or(STEPS)),
    };
    let trained = train::run(
        ctx,
        &train::Settings {
            persons: vec![person.clone()],
            steps,
            minutes: settings.minutes,
            batch: settings.batch,
            accept_faces: settings.accept_faces,
            more: short_run(steps),
            ..train::Settings::default()
        },
    )?;
    let row = trained.persons.into_iter().find(|p| p.person == *person);
    let after = row.as_ref().and_then(|p| p.held_out_mae);
    Ok(Reply {
        person: person.clone(),
        encoder: trained.encoder,
        decoder_before: decoder.hash.short(),
        before: relation.verdict,
        held_out_mae_before: before.map(|s| s.mae),
        held_out_mae: after,
        gained_percent: before.zip(after).map(|(b, after)| -percent(b.mae, after)),
        held_out_ssim_before: before.map(|s| s.ssim),
        held_out_ssim: row.as_ref().and_then(|p| p.held_out_ssim),
        decoder: row.map(|p| p.decoder).unwrap_or_default(),
        steps: trained.steps,
        minutes: trained.minutes,
    })
}

/// A frozen encoder, and for a known number of steps a rate that falls to its end and a mean of
/// weights that is short enough to show what was learned.
fn short_run(steps: Option<u64>) -> serde_json::Value {
    match steps {
        None => json!({ "freeze_encoder": true }),
        Some(steps) => json!({
            "freeze_encoder": true,
            "schedule": "cosine",
            "schedule_steps": steps,
            "warm_up_steps": steps / 10,
            "ema_decay": 1.0 - 1.0 / (0.1 * steps as f64).max(2.0),
        }),
    }
}
