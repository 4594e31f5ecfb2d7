//! One row per person: what there is, and whether it fits together.

use stockpot_core::{ContentHash, PersonName};

use crate::consent_record::{ConsentBasis, ConsentRecord};
use crate::error::Result;
use crate::library::Library;
use crate::record::{DecoderForm, DecoderStateRecord, EncoderStateRecord, Metrics};
use crate::refs::{RefName, Snapshot};
use crate::run_id::RunId;
use crate::store::{self, Kind};

/// The library at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusReport {
    /// The family of networks, once there is one.
    pub family: Option<String>,
    /// The current encoder state, once there is one.
    pub encoder: Option<EncoderStatus>,
    /// All persons by name.
    pub persons: Vec<PersonStatus>,
    /// What is damaged and belongs to no person.
    pub problems: Vec<String>,
}

/// The current encoder state.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderStatus {
    /// Its record.
    pub hash: ContentHash,
    /// The run that made it.
    pub run: RunId,
    /// Training steps since scratch.
    pub steps: u64,
    /// Held-out metrics.
    pub metrics: Metrics,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
}

/// One person.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonStatus {
    /// The name.
    pub name: PersonName,
    /// The current decoder state; `None`: not trained yet, or see `problems`.
    pub decoder: Option<DecoderStatus>,
    /// The ground of the consent; `None`: none on record, or see `problems`.
    pub consent: Option<ConsentBasis>,
    /// What is damaged, in words.
    pub problems: Vec<String>,
}

/// The current decoder state of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderStatus {
    /// Its record.
    pub hash: ContentHash,
    /// The encoder state it was trained with.
    pub encoder_state: ContentHash,
    /// Whether that is the current encoder state.
    pub with_current_encoder: bool,
    /// Full or lite.
    pub form: DecoderForm,
    /// The run that made it.
    pub run: RunId,
    /// Training steps since scratch.
    pub steps: u64,
    /// Held-out metrics of this person.
    pub metrics: Metrics,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
}

impl Library {
    /// The library at one moment. Damage is told in the row it concerns: this is where one looks
    /// when something is wrong.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn status(&self) -> Result<StatusReport> {
        let snapshot = Snapshot::read(&self.layout)?;
        let mut problems = Vec::new();
        let encoder = self
            .read_current::<EncoderStateRecord>(&snapshot, &RefName::Encoder, &mut problems)
            .map(|(hash, record)| (record.family.clone(), encoder_status(hash, record)));
        let (encoder_family, encoder) = encoder.unzip();
        let current = encoder.as_ref().map(|e| e.hash);
        let persons = snapshot
            .persons()
            .into_iter()
            .map(|name| self.person_status(&snapshot, name, current))
            .collect();
        Ok(StatusReport {
            family: self.declared_family().or(encoder_family),
            encoder,
            persons,
            problems,
        })
    }

    fn person_status(
        &self,
        snapshot: &Snapshot,
        name: PersonName,
        current_encoder: Option<ContentHash>,
    ) -> PersonStatus {
        let mut problems = Vec::new();
        let decoder = self
            .read_current::<DecoderStateRecord>(
                snapshot,
                &RefName::Decoder(name.clone()),
                &mut problems,
            )
            .map(|(hash, record)| DecoderStatus {
                hash,
                encoder_state: record.encoder_state,
                with_current_encoder: current_encoder == Some(record.encoder_state),
                form: record.form,
                run: record.run,
                steps: record.steps,
                metrics: record.metrics,
                created_secs: record.created_secs,
            });
        let consent = self
            .read_current::<ConsentRecord>(snapshot, &RefName::Consent(name.clone()), &mut problems)
            .map(|(_, record)| record.basis);
        PersonStatus {
            name,
            decoder,
            consent,
            problems,
        }
    }

    fn read_current<T: Kind>(
        &self,
        snapshot: &Snapshot,
        name: &RefName,
        problems: &mut Vec<String>,
    ) -> Option<(ContentHash, T)> {
        let read = || -> Result<Option<(ContentHash, T)>> {
            let Some(hash) = snapshot.target(&self.layout, name)? else {
                return Ok(None);
            };
            Ok(Some((hash, store::get::<T>(&self.layout, &hash)?.record)))
        };
        read().unwrap_or_else(|e| {
            problems.push(e.to_string());
            None
        })
    }
}

fn encoder_status(hash: ContentHash, record: EncoderStateRecord) -> EncoderStatus {
    EncoderStatus {
        hash,
        run: record.run,
        steps: record.steps,
        metrics: record.metrics,
        created_secs: record.created_secs,
    }
}
