//! What a training run leaves behind: new states, their records, and the refs that make them current.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stockpot_core::{ContentHash, PersonName};

use crate::SOFTWARE;
use crate::audit::{self, Deed, Said};
use crate::consent::Consented;
use crate::consent_record::{Purpose, Use};
use crate::error::{Error, Result};
use crate::library::{Library, Writer};
use crate::record::{
    DecoderForm, DecoderStateRecord, EncoderStateRecord, Metrics, Record, RunRecord, StatesNamed,
    check_metrics, check_settings,
};
use crate::refs::{Change, Expect, Outcome, RefName, Snapshot};
use crate::run_id::RunId;

/// The metric of states that were not released: nothing starts from them unless it is told to.
pub const CANDIDATE: &str = "candidate";

/// What was current when a run started, all at one moment. A checkpoint keeps it, so that the run
/// still knows after a resume what it may replace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartingPoint {
    /// The record of the current encoder state.
    pub encoder: Option<ContentHash>,
    /// The record of each person's current decoder state; a person without one is there with `None`.
    pub decoders: BTreeMap<PersonName, Option<ContentHash>>,
}

/// New weights of an encoder or a decoder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewState {
    /// The weights as they are to lie on disk.
    pub bytes: Vec<u8>,
    /// The record of the state they were trained from; `None`: from scratch. Need not be the
    /// current one.
    pub parent: Option<ContentHash>,
    /// Training steps since scratch, over all ancestors.
    pub steps: u64,
    /// Held-out metrics; all finite.
    pub metrics: Metrics,
    /// More objects of this state by name, such as an optimiser's state.
    pub attachments: BTreeMap<String, Vec<u8>>,
}

/// The encoder at the end of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum EncoderChoice {
    /// It was trained: a new state, which becomes the current one.
    New(NewState),
    /// A new state that is kept for the decoders of this run but does not become the current one.
    Beside(NewState),
    /// It was frozen: the record of the state it has been all along. The current encoder stays.
    Kept(ContentHash),
}

/// The decoder of one person at the end of a run. Whose it is, is in the consent.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDecoder {
    /// The person, by the consent that allowed the training.
    pub consent: Consented,
    /// For a decoder that was stitched and not trained: the encoder state that it was trained with
    /// before.
    pub stitched_from: Option<ContentHash>,
    /// Full or lite.
    pub form: DecoderForm,
    /// The weights.
    pub state: NewState,
}

/// Everything that a run commits.
#[derive(Debug, Clone, PartialEq)]
pub struct RunCommit {
    /// The run.
    pub run: RunId,
    /// The family of networks.
    pub family: String,
    /// What was current when the run started ([`Library::starting_point`]).
    pub expected: StartingPoint,
    /// The encoder.
    pub encoder: EncoderChoice,
    /// The decoders, one per person.
    pub decoders: Vec<NewDecoder>,
    /// The run's settings as JSON text.
    pub settings_json: String,
    /// The run's seed.
    pub seed: u64,
    /// Metrics of the run as a whole; all finite.
    pub metrics: Metrics,
    /// When the run began, in seconds since 1970 UTC.
    pub began_secs: u64,
    /// Now, in seconds since 1970 UTC.
    pub now_secs: u64,
}

/// What a commit has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitReport {
    /// The record of the run.
    pub run_record: ContentHash,
    /// The record of the encoder state that the decoders were trained with.
    pub encoder: ContentHash,
    /// Whether it is new.
    pub encoder_is_new: bool,
    /// The records of the new decoder states, by person.
    pub decoders: BTreeMap<PersonName, ContentHash>,
    /// Persons whose current decoder was trained with another encoder state than the current one:
    /// they may have become worse.
    pub trained_with_another: Vec<PersonName>,
    /// The commit is done and safe, but its last tidying is left to the next writer; why.
    pub unsettled: Option<String>,
}

impl Library {
    /// What is current now for a run of these persons.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], or what is damaged.
    pub fn starting_point(&self, persons: &[PersonName]) -> Result<StartingPoint> {
        let snapshot = Snapshot::read(&self.layout)?;
        let mut decoders = BTreeMap::new();
        for person in persons {
            self.require_person(&snapshot, person)?;
            let name = RefName::Decoder(person.clone());
            decoders.insert(person.clone(), snapshot.target(&self.layout, &name)?);
        }
        Ok(StartingPoint {
            encoder: snapshot.target(&self.layout, &RefName::Encoder)?,
            decoders,
        })
    }
}

impl Writer<'_> {
    /// Stores all states and records of a run, then makes them current, all together or not at all.
    ///
    /// # Errors
    /// [`Error::Conflict`] if somebody else has moved the encoder or one of these persons since the
    /// run started: the states are kept and named in the error, but not current.
    /// [`Error::NoConsent`] or [`Error::NoSuchPerson`] if a person was taken out meanwhile,
    /// [`Error::OtherFamily`], [`Error::BadCommit`]: nothing was stored. [`Error::DiskFull`] and
    /// the like: nothing has become current.
    pub fn commit_run(&self, commit: RunCommit) -> Result<CommitReport> {
        self.check_commit(&commit)?;
        let (encoder, encoder_is_new) = match &commit.encoder {
            EncoderChoice::New(state) => (self.put_encoder(&commit, state)?, true),
            EncoderChoice::Beside(state) => (self.put_encoder(&commit, state)?, false),
            EncoderChoice::Kept(hash) => (*hash, false),
        };
        let mut decoders = BTreeMap::new();
        for decoder in &commit.decoders {
            let hash = self.put_decoder(&commit, decoder, encoder)?;
            decoders.insert(decoder.consent.person().clone(), hash);
        }
        let results = StatesNamed {
            encoder: Some(encoder),
            decoders,
        };
        let run_record = self.put_run(&commit, &results)?;
        let changes = ref_changes(&commit, encoder, encoder_is_new, &results.decoders);
        match self.transact(&changes)? {
            Outcome::Done { unsettled } => {
                self.log_run(&commit, encoder, &results.decoders);
                Ok(CommitReport {
                    run_record,
                    encoder,
                    encoder_is_new,
                    trained_with_another: self.trained_with_another(),
                    decoders: results.decoders,
                    unsettled: unsettled.map(|e| e.to_string()),
                })
            }
            Outcome::Conflict(moved) => {
                let encoder = encoder_is_new.then(|| format!("encoder {encoder}"));
                let decoders = results.decoders.iter().map(|(p, h)| format!("{p} {h}"));
                Err(Error::Conflict {
                    moved,
                    kept: encoder.into_iter().chain(decoders).collect(),
                })
            }
        }
    }

    /// Stores all states and records of a run like [`Writer::commit_run`], but makes nothing current:
    /// a candidate that was not released. Its states carry the metric [`CANDIDATE`], so that nobody
    /// takes them for what the library had.
    ///
    /// # Errors
    /// As [`Writer::commit_run`], but for conflicts.
    pub fn keep_candidate(&self, mut commit: RunCommit) -> Result<CommitReport> {
        self.check_commit(&commit)?;
        let mark = |metrics: &mut Metrics| metrics.insert(CANDIDATE.to_owned(), 1.0);
        for decoder in &mut commit.decoders {
            mark(&mut decoder.state.metrics);
        }
        if let EncoderChoice::New(state) | EncoderChoice::Beside(state) = &mut commit.encoder {
            mark(&mut state.metrics);
        }
        let encoder = match &commit.encoder {
            EncoderChoice::New(state) | EncoderChoice::Beside(state) => {
                self.put_encoder(&commit, state)?
            }
            EncoderChoice::Kept(hash) => *hash,
        };
        let mut decoders = BTreeMap::new();
        for decoder in &commit.decoders {
            let hash = self.put_decoder(&commit, decoder, encoder)?;
            decoders.insert(decoder.consent.person().clone(), hash);
        }
        let results = StatesNamed {
            encoder: Some(encoder),
            decoders,
        };
        let run_record = self.put_run(&commit, &results)?;
        // The encoder learned from their faces, released or not.
        self.log_run(&commit, encoder, &results.decoders);
        Ok(CommitReport {
            run_record,
            encoder,
            encoder_is_new: false,
            trained_with_another: Vec::new(),
            decoders: results.decoders,
            unsettled: None,
        })
    }

    fn log_run(
        &self,
        commit: &RunCommit,
        encoder: ContentHash,
        decoders: &BTreeMap<PersonName, ContentHash>,
    ) {
        let snapshot = match Snapshot::read(&self.library.layout) {
            Ok(snapshot) => snapshot,
            Err(e) => return self.note_unlogged(Err(e)),
        };
        // Everybody of the run, also who was frozen: the encoder learned from their faces.
        let who = commit.expected.decoders.keys().filter_map(|person| {
            let who = audit::who_is(&snapshot, person)?;
            let mut decoders = commit.decoders.iter();
            let decoder = decoders.find(|decoder| decoder.consent.person() == person);
            Some(audit::Who {
                consent: decoder.map(|d| d.consent.record()).or(who.consent),
                ..who
            })
        });
        let said = Said {
            who: who.collect(),
            encoder: Some(encoder),
            decoders: decoders.values().copied().collect(),
            run: Some(commit.run.clone()),
            ..Said::default()
        };
        self.log(Deed::Train, said, commit.now_secs);
    }

    /// Everything that can be refused is refused here, before anything is stored.
    fn check_commit(&self, commit: &RunCommit) -> Result<()> {
        let bad = |reason: String| Err(Error::BadCommit { reason });
        let library = self.library;
        if let Some(family) = library.family()?
            && family != commit.family
        {
            return Err(Error::OtherFamily {
                library: family,
                offered: commit.family.clone(),
            });
        }
        let decoders = commit.decoders.iter().map(|d| &d.state.metrics);
        let encoder = match &commit.encoder {
            EncoderChoice::New(state) | EncoderChoice::Beside(state) => Some(&state.metrics),
            EncoderChoice::Kept(_) => None,
        };
        [&commit.metrics]
            .into_iter()
            .chain(encoder)
            .chain(decoders)
            .try_for_each(check_metrics)
            .and_then(|()| check_settings(&commit.settings_json))
            .or_else(bad)?;
        match &commit.encoder {
            EncoderChoice::New(state) | EncoderChoice::Beside(state) => {
                if let Some(parent) = &state.parent {
                    library.encoder_state(parent)?;
                }
            }
            EncoderChoice::Kept(hash) => {
                library.encoder_state(hash)?;
                if commit.decoders.is_empty() {
                    return bad("it has neither a new encoder nor a decoder".into());
                }
            }
        }
        let mut seen = BTreeSet::new();
        for decoder in &commit.decoders {
            let person = decoder.consent.person();
            if !seen.insert(person) {
                return bad(format!("it has two decoders for `{person}`"));
            }
            if !commit.expected.decoders.contains_key(person) {
                return bad(format!("its starting point does not name `{person}`"));
            }
            // Taken out, withdrawn or expired since the run began?
            let purpose = Purpose {
                what: Use::Train,
                project: decoder.consent.project().map(str::to_owned),
                now_secs: commit.now_secs,
            };
            library.consent_for(person, &purpose)?;
            if let Some(parent) = &decoder.state.parent {
                library.decoder_state(parent)?;
            }
            if let Some(encoder) = &decoder.stitched_from {
                library.encoder_state(encoder)?;
            }
        }
        Ok(())
    }

    fn put_encoder(&self, commit: &RunCommit, state: &NewState) -> Result<ContentHash> {
        self.put_record(&Record::EncoderState(EncoderStateRecord {
            object: self.put_object(&state.bytes)?,
            parent: state.parent,
            family: commit.family.clone(),
            run: commit.run.clone(),
            steps: state.steps,
            metrics: state.metrics.clone(),
            attachments: self.put_attachments(state)?,
            created_secs: commit.now_secs,
            software: SOFTWARE.into(),
        }))
    }

    fn put_decoder(
        &self,
        commit: &RunCommit,
        decoder: &NewDecoder,
        encoder_state: ContentHash,
    ) -> Result<ContentHash> {
        let state = &decoder.state;
        self.put_record(&Record::DecoderState(DecoderStateRecord {
            person: decoder.consent.person().clone(),
            object: self.put_object(&state.bytes)?,
            encoder_state,
            parent: state.parent,
            stitched_from: decoder.stitched_from,
            consent: Some(decoder.consent.record()),
            form: decoder.form,
            family: commit.family.clone(),
            run: commit.run.clone(),
            steps: state.steps,
            metrics: state.metrics.clone(),
            attachments: self.put_attachments(state)?,
            created_secs: commit.now_secs,
            software: SOFTWARE.into(),
        }))
    }

    fn put_attachments(&self, state: &NewState) -> Result<BTreeMap<String, ContentHash>> {
        state
            .attachments
            .iter()
            .map(|(name, bytes)| Ok((name.clone(), self.put_object(bytes)?)))
            .collect()
    }

    fn put_run(&self, commit: &RunCommit, results: &StatesNamed) -> Result<ContentHash> {
        let parents = commit
            .decoders
            .iter()
            .filter_map(|d| Some((d.consent.person().clone(), d.state.parent?)));
        self.put_record(&Record::Run(RunRecord {
            run: commit.run.clone(),
            persons: results.decoders.keys().cloned().collect(),
            started_from: StatesNamed {
                encoder: match &commit.encoder {
                    EncoderChoice::New(state) | EncoderChoice::Beside(state) => state.parent,
                    EncoderChoice::Kept(hash) => Some(*hash),
                },
                decoders: parents.collect(),
            },
            results: results.clone(),
            settings_json: commit.settings_json.clone(),
            seed: commit.seed,
            metrics: commit.metrics.clone(),
            began_secs: commit.began_secs,
            created_secs: commit.now_secs,
            software: SOFTWARE.into(),
        }))
    }

    /// Only a note beside a finished commit: what cannot be read is left out (`status` shows it).
    fn trained_with_another(&self) -> Vec<PersonName> {
        let Ok(status) = self.library.status() else {
            return Vec::new();
        };
        status
            .persons
            .into_iter()
            .filter(|p| p.decoder.as_ref().is_some_and(|d| !d.with_current_encoder))
            .map(|p| p.name)
            .collect()
    }
}

/// A run that trained the encoder replaces the one it started from. One that froze the current
/// encoder changes nothing there, but wants it unmoved: its decoders were made for it.
fn ref_changes(
    commit: &RunCommit,
    encoder: ContentHash,
    encoder_is_new: bool,
    decoders: &BTreeMap<PersonName, ContentHash>,
) -> Vec<Change> {
    let expected = &commit.expected;
    let mut changes = Vec::new();
    if encoder_is_new || expected.encoder == Some(encoder) {
        changes.push(Change {
            name: RefName::Encoder,
            expect: Expect::Is(expected.encoder),
            new: Some(encoder),
        });
    }
    for (person, hash) in decoders {
        changes.push(Change {
            name: RefName::Decoder(person.clone()),
            expect: Expect::Is(expected.decoders.get(person).copied().flatten()),
            new: Some(*hash),
        });
    }
    changes
}
