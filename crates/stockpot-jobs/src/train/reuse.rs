//! What a training means for everything else in the library, in words: which parts can be used
//! again for what, and whether persons who took no part gained or wore.

use std::time::{Duration, Instant};

use serde::Serialize;
use stockpot_core::PersonName;
use stockpot_library::{CommitReport, Library};

use crate::compat::measure::Encoder;
use crate::compat::passport::Passports;
use crate::compat::wear::{Standing, measure};
use crate::context::Context;
use crate::error::JobError;

/// Of the training's own time, what measuring the others may take.
const SHARE: f64 = 0.1;
/// And at most this.
const LONGEST: Duration = Duration::from_secs(60);
/// A training shorter than this, in seconds, measures nobody.
const WORTH_MEASURING: f64 = 30.0;

/// A person who took no part in a training.
#[derive(Debug, Clone, Serialize)]
pub struct Other {
    /// Who.
    pub person: PersonName,
    /// The encoder state that their decoder belongs to.
    pub encoder: String,
    /// Mean difference of their held-out faces and what their decoder draws with that, 0 to 1.
    pub held_out_mae: Option<f64>,
    /// With the new encoder state; none if not measured.
    pub held_out_mae_current: Option<f64>,
    /// How the two fit: `kin: gained 3 %`, `kin: worn 5 %, stitch`, `kin: not measured`.
    pub verdict: String,
    #[serde(skip)]
    next: Option<String>,
}

/// How everybody else does under the encoder that was just committed: measured as far as a tenth of
/// the training's time goes. The states are safe by then, so what is in the way is only told.
pub(super) fn others(
    ctx: &Context,
    library: &Library,
    report: &CommitReport,
    trained_secs: f64,
) -> Vec<Other> {
    let budget = match trained_secs < WORTH_MEASURING {
        true => Duration::ZERO,
        false => Duration::from_secs_f64(SHARE * trained_secs).min(LONGEST),
    };
    look(ctx, library, report, budget).unwrap_or_else(|e| {
        ctx.warn(format!(
            "How the others do under the new encoder is not known: {}",
            e.message
        ));
        Vec::new()
    })
}

fn look(
    ctx: &Context,
    library: &Library,
    report: &CommitReport,
    budget: Duration,
) -> Result<Vec<Other>, JobError> {
    if report.trained_with_another.is_empty() {
        return Ok(Vec::new());
    }
    let current = Encoder::load(library, &report.encoder)?;
    let begun = Instant::now();
    let mut states = Vec::new();
    for person in &report.trained_with_another {
        let Some(state) = library.current_decoder(person)? else {
            continue;
        };
        if begun.elapsed() < budget && !ctx.cancel.is_cancelled() {
            if states.is_empty() {
                ctx.phase("measure the others", 0);
            }
            measure(ctx, library, &state, &current)?;
        }
        states.push(state);
    }
    let mut passports = Passports::new(library);
    states
        .iter()
        .map(|state| {
            let person = state.record.person.clone();
            let standing = Standing::of(&mut passports, state, &current.hash)?;
            Ok(Other {
                encoder: state.record.encoder_state.short(),
                held_out_mae: standing.own_mae,
                held_out_mae_current: standing.mae,
                next: standing.next(&person),
                verdict: standing.words,
                person,
            })
        })
        .collect()
}

/// Which parts can be used again for what.
pub(super) fn words(
    report: &CommitReport,
    trained: &[PersonName],
    others: &[Other],
) -> Vec<String> {
    let encoder = report.encoder.short();
    let names: Vec<&str> = trained.iter().map(PersonName::as_str).collect();
    let names = names.join(", ");
    let first = trained.first().map_or("NAME", PersonName::as_str);
    let mut out = vec![
        match report.encoder_is_new {
            true => {
                format!("encoder {encoder}: shared; the next training of anybody starts from it")
            }
            false => format!("encoder {encoder}: as it was; whoever belongs to it is not touched"),
        },
        format!(
            "{names}: belong to it. Another video or another body with the same face needs no training, only `stockpot swap`; for somebody new, `stockpot train {first} NEW` goes on from here"
        ),
    ];
    for other in others {
        let Other {
            person, encoder, ..
        } = other;
        let next = match &other.next {
            Some(next) => format!("; `{next}` takes them along"),
            None => String::new(),
        };
        out.push(format!(
            "{person}: not changed, swaps as before with encoder {encoder}. Under the new one, {}{next}",
            other.verdict
        ));
    }
    out
}
