//! Checkpoints: everything needed to go on with a training, one file each, whole or not there.
//!
//! Knows the state's buffers and the file format (`docs/formats/checkpoint.md`); knows nothing of
//! networks. Start with [`latest_good`] for reading and [`CheckpointWriter`] for writing.

mod format;
mod store;

use std::collections::BTreeMap;

use stockpot_core::{ContentHash, PersonName};

pub use format::{FORMAT_VERSION, MAGIC, MAX_HEADER_BYTES, read, write};
pub use store::{CheckpointWriter, Found, checkpoint_name, latest_good, list};

use crate::settings::TrainSettings;
use crate::state::TrainState;
use crate::trainer::LiteMark;

/// What does not change while a training runs, kept with every checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointMeta {
    /// The network family, such as `comb-s-96`.
    pub family: String,
    /// The settings of the run.
    pub settings: TrainSettings,
    /// The states the run started from, by what they are (`encoder`, `decoder/anna`).
    pub parents: BTreeMap<String, ContentHash>,
    /// Who is lite, and on what.
    pub lite: BTreeMap<PersonName, LiteMark>,
}

/// A checkpoint in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// What does not change.
    pub meta: CheckpointMeta,
    /// What does.
    pub state: TrainState,
}

#[cfg(test)]
mod tests;
