//! How each decoder does under the library's current encoder: gained, worn, or not known.
//!
//! Measuring needs faces on the disk and takes seconds, so what was measured is kept in the library's
//! cache, by the states it is about; whoever only asks gets that or an honest "not measured". Start
//! with [`Standing`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stockpot_core::{ContentHash, PersonName};
use stockpot_library::{DecoderStateRecord, Library, Stored};

use super::check::percent;
use super::measure::{Encoder, held_out, load_decoder, score};
use super::passport::Passports;
use super::relation::{Verdict, relation};
use crate::context::{Context, now_secs};
use crate::error::{JobError, io};

/// More than this, in percent, is worn: what the release gate of a grown encoder allows.
pub(crate) const WORN_PERCENT: f64 = 2.0;
/// Less than this either way, in percent, is told as no change.
const SAME_PERCENT: f64 = 0.5;
/// Format of the cache's files; one of another is not read.
const VERSION: u32 = 1;

/// What was measured of a decoder under an encoder state, last: one file per person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Measured {
    version: u32,
    decoder: ContentHash,
    encoder: ContentHash,
    /// Length of the index of the faces: a faceset that grew or shrank is measured again.
    faces_bytes: u64,
    /// Mean difference of held-out faces and what is drawn, 0 to 1, under the decoder's own encoder.
    own_mae: f64,
    /// The same under this encoder.
    mae: f64,
    measured_secs: u64,
}

/// What is known of a decoder under an encoder, if the faces are what they were. A file that is
/// damaged or of another version says nothing: it can be made again.
fn find(
    library: &Library,
    state: &Stored<DecoderStateRecord>,
    encoder: &ContentHash,
) -> Option<Measured> {
    let person = &state.record.person;
    // Unreadable is unknown; so is what was never written.
    let bytes = std::fs::read(path(library, person)).ok()?;
    let found: Measured = serde_json::from_slice(&bytes).ok()?;
    let fits = found.version == VERSION
        && found.decoder == state.hash
        && found.encoder == *encoder
        && found.faces_bytes == faces_bytes(library, person);
    fits.then_some(found)
}

/// Measures one decoder under the current encoder, unless that is known already; whether it could be.
///
/// # Errors
/// If a state or the faces cannot be read.
pub(crate) fn measure(
    ctx: &Context,
    library: &Library,
    state: &Stored<DecoderStateRecord>,
    current: &Encoder,
) -> Result<bool, JobError> {
    let own = state.record.encoder_state;
    if own == current.hash || find(library, state, &current.hash).is_some() {
        return Ok(true);
    }
    let person = &state.record.person;
    let home = Encoder::load(library, &own)?;
    if home.area != current.area {
        return Ok(false);
    }
    let Some(faces) = held_out(ctx, library, &home, person)? else {
        return Ok(false);
    };
    let network = &home.network;
    let decoder = load_decoder(library, network, &state.record)?;
    let measured = Measured {
        version: VERSION,
        decoder: state.hash,
        encoder: current.hash,
        faces_bytes: faces_bytes(library, person),
        own_mae: score(network, &home.params, &decoder, &faces)?.mae,
        mae: score(network, &current.params, &decoder, &faces)?.mae,
        measured_secs: now_secs(),
    };
    let path = path(library, person);
    let written = serde_json::to_vec(&measured)
        .map_err(std::io::Error::other)
        .and_then(|bytes| stockpot_core::picture::write_whole(&path, &bytes));
    written.map_err(|e| io("keep what was measured", &path, &e))?;
    Ok(true)
}

/// Erasing a person removes every file of this folder that begins with their name.
fn path(library: &Library, person: &PersonName) -> PathBuf {
    library.cache_dir().join(format!("{person}-wear.json"))
}

/// Length of a faceset's index; 0 without one.
fn faces_bytes(library: &Library, person: &PersonName) -> u64 {
    let index = library.facesets_dir(person).join("index.jsonl");
    std::fs::metadata(index).map_or(0, |meta| meta.len())
}

/// A decoder beside the library's current encoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    /// Same, kin or foreign.
    pub(crate) verdict: Verdict,
    /// Mean difference of held-out faces and what is drawn, 0 to 1, under its own encoder state: as
    /// measured now, else as its training measured it.
    pub(crate) own_mae: Option<f64>,
    /// Under the current one; none if not measured.
    pub(crate) mae: Option<f64>,
    /// The verdict in words, such as `kin: gained 3 %`.
    pub(crate) words: String,
}

impl Standing {
    /// From the records, and what was measured before.
    ///
    /// # Errors
    /// If the library cannot be read.
    pub(crate) fn of(
        passports: &mut Passports<'_>,
        state: &Stored<DecoderStateRecord>,
        current: &ContentHash,
    ) -> Result<Self, JobError> {
        let library = passports.library();
        let record = &state.record;
        let committed = record.metrics.get("heldout_mae").copied();
        let verdict = relation(passports, &record.encoder_state, current)?.verdict;
        let found = find(library, state, current);
        let (own_mae, mae) = match (verdict, found) {
            (Verdict::Same, _) => (committed, committed),
            (_, Some(found)) => (Some(found.own_mae), Some(found.mae)),
            (_, None) => (committed, None),
        };
        let change = found.map(|m| percent(m.own_mae, m.mae));
        Ok(Self {
            verdict,
            own_mae,
            mae,
            words: words(verdict, change),
        })
    }

    /// What makes the decoder fit the current encoder, if anything is needed.
    pub(crate) fn next(&self, person: &PersonName) -> Option<String> {
        match self.verdict {
            Verdict::Same => None,
            // Needs no training, and brought back what a re-fit does (decision 6).
            Verdict::Kin | Verdict::Foreign => Some(format!("stockpot library stitch {person}")),
        }
    }
}

/// The verdict with what was measured, in percent of the error.
fn words(verdict: Verdict, change: Option<f64>) -> String {
    match (verdict, change) {
        (Verdict::Same, _) => "same".to_owned(),
        (Verdict::Foreign, _) => "foreign: stitch".to_owned(),
        (Verdict::Kin, None) => "kin: not measured".to_owned(),
        (Verdict::Kin, Some(change)) if change > WORN_PERCENT => {
            format!("kin: worn {change:.0} %, stitch")
        }
        (Verdict::Kin, Some(change)) if change > SAME_PERCENT => {
            format!("kin: worn {change:.0} %")
        }
        (Verdict::Kin, Some(change)) if change < -SAME_PERCENT => {
            format!("kin: gained {:.0} %", -change)
        }
        (Verdict::Kin, Some(_)) => "kin: as good as before".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_say_what_was_measured_and_what_was_not() {
        let kin = |change| words(Verdict::Kin, change);
        assert_eq!(kin(None), "kin: not measured");
        assert_eq!(kin(Some(-3.2)), "kin: gained 3 %");
        assert_eq!(kin(Some(0.4)), "kin: as good as before");
        assert_eq!(kin(Some(1.2)), "kin: worn 1 %");
        assert_eq!(kin(Some(12.0)), "kin: worn 12 %, stitch");
        assert_eq!(words(Verdict::Foreign, Some(80.0)), "foreign: stitch");
        assert_eq!(words(Verdict::Same, None), "same");
    }
}
