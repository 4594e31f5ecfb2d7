//! Which decoder fits which encoder state, and what to do where one does not.
//!
//! A decoder reads the codes of the encoder state it was trained with. Under a descendant it wears a
//! little; under an encoder of another lineage the same numbers mean something else, and what it
//! draws is worse than no swap. Records tell lineages apart, passports (codes on the calibration
//! faces) measure it, and a stitch makes a foreign decoder usable.
//!
//! Start with [`check`](mod@check); [`stitch`](mod@stitch) and [`refit`](mod@refit) mend,
//! [`matrix`](mod@matrix) looks at everything at once. The faces come from a [`CalibrationSource`],
//! because only the door knows who can draw them.

pub mod calibration;
pub mod check;
pub mod matrix;
mod matrix_page;
pub(crate) mod measure;
pub mod passport;
pub mod refit;
pub(crate) mod relation;
pub mod stitch;
pub(crate) mod wear;

pub use calibration::{CalibrationFaces, CalibrationSource};
pub use relation::Verdict;

use stockpot_core::{ContentHash, PersonName};
use stockpot_library::{DecoderStateRecord, Library, Stored};

use crate::error::JobError;

/// The decoder state that a person's name or the first digits of a hash mean.
pub(crate) fn find_decoder(
    library: &Library,
    key: &str,
) -> Result<Stored<DecoderStateRecord>, JobError> {
    match person_of(library, key)? {
        Some(person) => current_decoder(library, &person),
        None => Ok(library.decoder_state(&library.find_record(key)?)?),
    }
}

/// A person's decoder; an error that says what to do if there is none.
pub(crate) fn current_decoder(
    library: &Library,
    person: &PersonName,
) -> Result<Stored<DecoderStateRecord>, JobError> {
    library.current_decoder(person)?.ok_or_else(|| {
        JobError::failed(format!("`{person}` has no decoder yet"))
            .with_hint(format!("train one with `stockpot train {person} OTHER`"))
    })
}

/// The encoder state that `current`, a person's name (the one their decoder was trained with) or the
/// first digits of a hash mean.
pub(crate) fn find_encoder(library: &Library, key: &str) -> Result<ContentHash, JobError> {
    if key == "current" || key == "encoder" {
        let current = library.current_encoder()?;
        return current.map(|state| state.hash).ok_or_else(|| {
            JobError::failed("This library has no encoder yet")
                .with_hint("train one with `stockpot train NAME OTHER`")
        });
    }
    if let Some(person) = person_of(library, key)? {
        return Ok(current_decoder(library, &person)?.record.encoder_state);
    }
    let hash = library.find_record(key)?;
    Ok(library.encoder_state(&hash)?.hash)
}

/// The person of this name, if there is one.
fn person_of(library: &Library, key: &str) -> Result<Option<PersonName>, JobError> {
    let Ok(name) = key.parse::<PersonName>() else {
        return Ok(None);
    };
    let known = library.persons()?.into_iter().any(|p| p.name == name);
    Ok(known.then_some(name))
}

#[cfg(test)]
mod lite_tests;
#[cfg(test)]
pub(crate) mod tests;
