//! Persons whose decoders a run leaves as they are: who can be, and what becomes of them.
//!
//! The weights stay to the bit, as the same object. If the encoder learned, the person gets a new
//! state all the same: these weights with the new encoder state, which was taught to suit them.

use stockpot_core::{ContentHash, PersonName};
use stockpot_library::{DecoderStateRecord, Library, Stored};
use stockpot_model::Network;
use stockpot_train::{TrainSettings, Trainer};

use super::Settings;
use super::start::Start;
use crate::decoder::load as load_decoder;
use crate::error::JobError;

/// Refuses to freeze who is not trained, or has nothing yet that could stay as it is.
pub(super) fn check(
    train: &TrainSettings,
    settings: &Settings,
    start: &mut Start,
) -> Result<(), JobError> {
    for person in &train.freeze_persons {
        if !settings.persons.contains(person) {
            return Err(
                JobError::usage(format!("`{person}` is not trained, so there is nothing to freeze"))
                    .with_hint("name the person among those to train: their faces take part, their decoder stays as it is"),
            );
        }
        if !start.decoder_steps.contains_key(person) {
            return Err(JobError::usage(format!(
                "`{person}` has no decoder that could be left as it is{}",
                match settings.from_scratch {
                    true => ": this run starts from scratch",
                    false => "",
                }
            ))
            .with_hint(format!("train them first: `stockpot train {person} OTHER`")));
        }
        if let Some(words) = start.started_from.get_mut(person) {
            words.push_str(", frozen");
        }
    }
    Ok(())
}

/// The state whose weights a frozen person still has, if not a bit was changed.
pub(super) fn unchanged(
    library: &Library,
    network: &Network,
    trainer: &Trainer,
    person: &PersonName,
    parent: Option<ContentHash>,
) -> Result<Option<Stored<DecoderStateRecord>>, JobError> {
    let frozen = &trainer.meta().settings.freeze_persons;
    let Some(parent) = parent.filter(|_| frozen.contains(person)) else {
        return Ok(None);
    };
    let state = library.decoder_state(&parent)?;
    let before = load_decoder(library, network, &state.record)?;
    Ok((trainer.decoder(person) == Some(before)).then_some(state))
}
