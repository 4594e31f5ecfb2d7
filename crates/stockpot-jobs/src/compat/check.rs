//! `library check`: does this decoder fit that encoder state? By records, by codes and by pictures.
//!
//! Start with [`run`].

use serde::Serialize;
use stockpot_core::PersonName;

use super::calibration::CalibrationSource;
use super::measure::{Encoder, held_out, load_decoder, score};
use super::passport::{Drawn, Passports};
use super::relation::{Relation, Verdict, relation};
use super::stitch::trial;
use super::{find_decoder, find_encoder};
use crate::context::Context;
use crate::error::JobError;

/// Which two.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A person's name, or the first digits of a decoder state.
    pub decoder: String,
    /// `current`, a person's name (the encoder state of their decoder), or the first digits of one.
    pub encoder: String,
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// Same, kin or foreign.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Whose decoder.
    pub person: PersonName,
    /// The decoder state.
    pub decoder: String,
    /// The encoder state that it was trained with, or stitched to.
    pub trained_with: String,
    /// The encoder state asked about.
    pub encoder: String,
    /// What the records say.
    pub by_records: String,
    /// How far the codes vary alike, at most 1; about 0 for separate lineages.
    pub codes_agree: Option<f64>,
    /// Share of the codes' variance that the best affine map explains, on faces held out of its fit.
    pub codes_agree_stitched: Option<f64>,
    /// Mean difference of the person's held-out faces and what the decoder draws, 0 to 1, under its
    /// own encoder state.
    pub held_out_mae_own: Option<f64>,
    /// Under the encoder state asked about.
    pub held_out_mae: Option<f64>,
    /// The same through a stitch.
    pub held_out_mae_stitched: Option<f64>,
    /// How much larger the difference has become, in percent of its own.
    pub wear_percent: Option<f64>,
    /// What to do next.
    pub next: Option<String>,
}

/// Answers. What cannot be measured here (no renderer, no faces) is left out with a warning; the
/// records always answer.
///
/// # Errors
/// If the states cannot be found or read.
pub fn run(
    ctx: &Context,
    source: &dyn CalibrationSource,
    settings: &Settings,
) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let decoder = find_decoder(&library, &settings.decoder)?;
    let wanted = find_encoder(&library, &settings.encoder)?;
    let own = decoder.record.encoder_state;
    let person = decoder.record.person.clone();
    let (home, guest) = (
        Encoder::load(&library, &own)?,
        Encoder::load(&library, &wanted)?,
    );
    let comparable = home.area == guest.area;
    if !comparable {
        ctx.warn(format!(
            "They were trained on other areas, {:?} and {:?}: the records alone answer",
            home.area, guest.area
        ));
    }
    let (mut drawn, mut passports) = (Drawn::new(source), Passports::new(&library));
    let codes = match own != wanted && comparable {
        false => None,
        true => match passports.pair(ctx, &mut drawn, &own, &wanted) {
            Ok(codes) => Some(codes),
            Err(e) if e.kind == crate::JobErrorKind::Cancelled => return Err(e),
            Err(e) => {
                ctx.warn(format!("The codes are not compared: {}", e.message));
                None
            }
        },
    };
    let Relation {
        verdict,
        by_records,
        agreement,
        reason,
    } = relation(&mut passports, &own, &wanted)?;
    let params = load_decoder(&library, &home.network, &decoder.record)?;
    let stitched = codes
        .map(|c| trial(&home, &params, &guest, &c))
        .transpose()?;
    let faces = match comparable {
        true => held_out(ctx, &library, &home, &person)?,
        false => None,
    };
    let mut mae = [None; 3];
    if let Some(faces) = &faces {
        let network = &home.network;
        mae[0] = Some(score(network, &home.params, &params, faces)?.mae);
        mae[1] = Some(score(network, &guest.params, &params, faces)?.mae);
        if let Some(s) = &stitched {
            let halves = &s.halves;
            mae[2] = Some(score(network, &halves.encoder, &halves.decoder, faces)?.mae);
        }
    }
    Ok(Reply {
        next: next(&person, verdict, &wanted.short(), settings),
        verdict,
        reason,
        decoder: decoder.hash.short(),
        trained_with: own.short(),
        encoder: wanted.short(),
        by_records,
        codes_agree: agreement,
        codes_agree_stitched: stitched.map(|s| s.fit.explained),
        held_out_mae_own: mae[0],
        held_out_mae: mae[1],
        held_out_mae_stitched: mae[2],
        wear_percent: mae[0].zip(mae[1]).map(|(own, now)| percent(own, now)),
        person,
    })
}

/// How much larger an error has become, in percent.
pub(crate) fn percent(own: f64, now: f64) -> f64 {
    100.0 * (now / own.max(1e-12) - 1.0)
}

fn next(
    person: &PersonName,
    verdict: Verdict,
    encoder: &str,
    settings: &Settings,
) -> Option<String> {
    match verdict {
        Verdict::Same => None,
        Verdict::Kin | Verdict::Foreign if settings.encoder == "current" => {
            Some(format!("stockpot library stitch {person}"))
        }
        Verdict::Kin | Verdict::Foreign => {
            Some(format!("stockpot library stitch {person} --to {encoder}"))
        }
    }
}
