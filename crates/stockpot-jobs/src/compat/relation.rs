//! Same, kin or foreign: by the records, and by how far two encoders' codes agree.

use stockpot_core::{ContentHash, PersonName};
use stockpot_library::{Kinship, Library};
use stockpot_model::agreement;

use super::passport::Passports;
use crate::error::JobError;

/// Codes of two states that agree at least so far, without any map, mean the same. Codes of separate
/// lineages agree to about 0.
pub(crate) const KIN_AGREEMENT: f64 = 0.5;

/// What holds between a decoder and an encoder state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was trained with, or stitched to, this very state.
    Same,
    /// The states share an ancestor, or their codes agree: usable, with some wear.
    Kin,
    /// The codes mean something else: usable only through a stitch.
    Foreign,
}

/// How two encoder states are related.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) verdict: Verdict,
    /// By the records, in words.
    pub(crate) by_records: String,
    /// See [`agreement`]; none without passports.
    pub(crate) agreement: Option<f64>,
    /// Why the verdict is what it is, in words.
    pub(crate) reason: String,
}

/// Judges by records and, where both have passports over the same faces, by these.
pub(crate) fn relation(
    passports: &mut Passports<'_>,
    own: &ContentHash,
    other: &ContentHash,
) -> Result<Relation, JobError> {
    let kinship = passports.library().kinship(own, other)?;
    let agreement = match kinship {
        Kinship::Same => None,
        _ => passports
            .stored_pair(own, other)?
            .and_then(|[a, b]| agreement(&a, &b)),
    };
    let by_records = match kinship {
        Kinship::Same => "the same state".to_owned(),
        Kinship::Kin { ancestor } => format!("both come from the state {}", ancestor.short()),
        Kinship::Foreign {
            first_root,
            second_root,
        } => format!(
            "no shared ancestor: one line begins with {}, the other with {}",
            first_root.short(),
            second_root.short()
        ),
    };
    let percent = agreement.map(|a| format!("{:.0} %", 100.0 * a));
    let (verdict, reason) = match (kinship, agreement) {
        (Kinship::Same, _) => (Verdict::Same, by_records.clone()),
        (Kinship::Kin { .. }, _) => (
            Verdict::Kin,
            match percent {
                Some(percent) => format!("{by_records}; their codes agree to {percent}"),
                None => format!("{by_records}; not measured, a passport is missing"),
            },
        ),
        (Kinship::Foreign { .. }, Some(found)) if found >= KIN_AGREEMENT => (
            Verdict::Kin,
            format!(
                "no shared ancestor on record, but their codes agree to {:.0} %: both were trained from one state elsewhere",
                100.0 * found
            ),
        ),
        (Kinship::Foreign { .. }, Some(found)) => (
            Verdict::Foreign,
            format!(
                "{by_records}; and their codes do not agree ({:.0} %, {:.0} % would do)",
                100.0 * found,
                100.0 * KIN_AGREEMENT
            ),
        ),
        (Kinship::Foreign { .. }, None) => (
            Verdict::Foreign,
            format!("{by_records}; not measured, a passport is missing"),
        ),
    };
    Ok(Relation {
        verdict,
        by_records,
        agreement,
        reason,
    })
}

/// An error if a person's decoder, made for the state `own`, is foreign to the encoder state `wanted`.
pub(crate) fn refuse_foreign(
    library: &Library,
    person: &PersonName,
    own: &ContentHash,
    wanted: &ContentHash,
) -> Result<Relation, JobError> {
    let found = relation(&mut Passports::new(library), own, wanted)?;
    if found.verdict != Verdict::Foreign {
        return Ok(found);
    }
    Err(JobError::failed(format!(
        "The decoder of `{person}` belongs to the encoder state {}, which is foreign to {}: {}",
        own.short(),
        wanted.short(),
        found.reason
    ))
    .with_hint(format!(
        "make it fit first: `stockpot library stitch {person} --to {}`",
        wanted.short()
    )))
}
