//! Persons' decoders out of the library, whatever their form: the one place that tells full from lite.
//!
//! A lite person's object holds what is added to a base, which is another object: the state's record
//! names it as an attachment, so it is kept, verified, exported and imported with the person. Whoever
//! wants to draw gets an ordinary decoder from [`load`].

use std::collections::BTreeMap;
use std::sync::Arc;

use stockpot_core::ContentHash;
use stockpot_library::{DecoderForm, DecoderStateRecord, Library, hash_of};
use stockpot_model::{Family, LiteFile, Network, Params, weights_file};
use stockpot_train::LitePerson;

use crate::error::JobError;
use crate::stock;

/// The base of a lite person among the attachments of a decoder state.
pub(crate) const BASE: &str = "base";

/// The weights of a decoder state, folded if it is lite.
///
/// # Errors
/// If an object is missing, damaged, or of another network.
pub fn load(
    library: &Library,
    network: &Network,
    record: &DecoderStateRecord,
) -> Result<Params, JobError> {
    if record.form == DecoderForm::Lite {
        let (person, own) = load_lite(library, network, record)?;
        return own.lite.folded(&own.base, &person).ok_or_else(misfit);
    }
    let bytes = library.get_object(&record.object)?;
    let (family, layout) = (network.family(), network.decoder_layout());
    Ok(weights_file::from_bytes(family, layout, &bytes)?)
}

/// A lite person's own numbers, and what they are added to.
///
/// # Errors
/// As [`load`]; if it is not a lite person, or the record names another base than the file.
pub(crate) fn load_lite(
    library: &Library,
    network: &Network,
    record: &DecoderStateRecord,
) -> Result<(Params, LitePerson), JobError> {
    let file = LiteFile::from_bytes(&library.get_object(&record.object)?)?;
    if file.lite.full_layout() != network.decoder_layout() {
        return Err(JobError::failed(format!(
            "The lite decoder of `{}` is not of {}",
            record.person,
            network.family()
        ))
        .with_hint("run `stockpot library verify`"));
    }
    if record.attachments.get(BASE) != Some(&file.base) {
        return Err(JobError::failed(format!(
            "The lite decoder of `{}` is added to the base {}, its record names another",
            record.person,
            file.base.short()
        ))
        .with_hint("run `stockpot library verify`"));
    }
    let bytes = library.get_object(&file.base)?;
    let base = weights_file::from_bytes(network.family(), network.decoder_layout(), &bytes)?;
    let own = LitePerson {
        lite: Arc::new(file.lite),
        base: Arc::new(base),
        base_hash: file.base,
    };
    Ok((file.person, own))
}

/// A base as an object. Only the family is said beside its numbers, so that the same base is the same
/// bytes wherever it is written.
pub(crate) fn base_bytes(family: Family, base: &Params) -> Result<Vec<u8>, JobError> {
    Ok(weights_file::to_bytes(family, base, &BTreeMap::new())?)
}

/// The hash of a base's object.
pub(crate) fn base_hash(family: Family, base: &Params) -> Result<ContentHash, JobError> {
    Ok(hash_of(&base_bytes(family, base)?))
}

/// The base of this hash: an object of the library, or what the shipped stock gives (a run that was
/// stopped before it committed has not stored it).
///
/// # Errors
/// If it is neither.
pub(crate) fn find_base(
    library: &Library,
    network: &Network,
    hash: &ContentHash,
) -> Result<Arc<Params>, JobError> {
    let family = network.family();
    let stored = match library.get_object(hash) {
        Ok(bytes) => {
            let params = weights_file::from_bytes(family, network.decoder_layout(), &bytes)?;
            return Ok(Arc::new(params));
        }
        Err(e) => JobError::from(e),
    };
    if let Some(stock) = stock::shipped(family)? {
        let base = stock.person(&stock.mean_identity()).ok_or_else(misfit)?;
        if base_hash(family, &base)? == *hash {
            return Ok(Arc::new(base));
        }
    }
    Err(JobError::failed(format!(
        "The base {} of a lite person is neither in this library nor what the shipped stock gives: {}",
        hash.short(),
        stored.message
    ))
    .with_hint("begin a new run without --resume"))
}

fn misfit() -> JobError {
    JobError::failed("A lite person does not fit their base: this is a bug")
}
