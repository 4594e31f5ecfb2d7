//! Whether an imported encoder comes from the same line as one that is here. The files say nothing
//! of their history, so only measurement can tell: codes of the same faces agree within a line.

use serde::Serialize;
use stockpot_core::ContentHash;
use stockpot_library::Library;

use crate::compat::CalibrationSource;
use crate::compat::passport::{Drawn, Passports, all_encoders};
use crate::compat::relation::{Verdict, relation};
use crate::context::Context;
use crate::error::JobError;

/// How many earlier encoder states are looked at, the newest first.
const MOST: usize = 4;

/// An encoder state that was here before, and what the imported one has to do with it.
#[derive(Debug, Clone, Serialize)]
pub struct Related {
    /// The earlier encoder state.
    pub encoder: String,
    /// Same, kin or foreign.
    pub verdict: Verdict,
    /// How far the codes agree, 1 for all.
    pub agreement: Option<f64>,
    /// In words, with what it means for the decoders.
    pub means: String,
}

/// Measures against the newest encoder states. The import is done by then: what is in the way is
/// told, with how to make up for it.
pub(super) fn related(
    ctx: &Context,
    library: &Library,
    source: Result<&dyn CalibrationSource, String>,
    imported: &ContentHash,
) -> Vec<Related> {
    let measured = measured(ctx, library, source, imported);
    measured.unwrap_or_else(|e| {
        ctx.warn(format!(
            "Whether this folder comes from the line of a model that is here was not measured ({}): `stockpot library passport`, then `stockpot library check` does it",
            e.message
        ));
        Vec::new()
    })
}

fn measured(
    ctx: &Context,
    library: &Library,
    source: Result<&dyn CalibrationSource, String>,
    imported: &ContentHash,
) -> Result<Vec<Related>, JobError> {
    let mut others = all_encoders(library)?;
    others.retain(|state| state != imported);
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let mut drawn = Drawn::new(source.map_err(JobError::failed)?);
    let mut passports = Passports::new(library);
    passports.ensure(ctx, &mut drawn, imported)?;
    let mut out = Vec::new();
    for other in others.into_iter().rev().take(MOST) {
        ctx.check_cancel()?;
        passports.ensure(ctx, &mut drawn, &other)?;
        let found = relation(&mut passports, imported, &other)?;
        let means = match found.verdict {
            Verdict::Same => "the same encoder, to the bit: decoders of both fit",
            Verdict::Kin => {
                "one line: decoders of either can be drawn with the other, with some wear; train all of them together to bring them to one encoder"
            }
            Verdict::Foreign => {
                "nothing shows that they are of one line; `stockpot library stitch` makes a decoder fit"
            }
        };
        out.push(Related {
            encoder: other.short(),
            verdict: found.verdict,
            agreement: found.agreement,
            means: format!("{}: {means}", found.reason),
        });
    }
    Ok(out)
}
