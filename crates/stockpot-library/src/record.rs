//! Records: what the library knows of a state, a person, a consent, a run. Immutable JSON.
//!
//! A record file is an envelope (`kind`, `version`, the `parents` and `objects` it needs) around a
//! body. The envelope is enough to re-hash and to keep what a record needs, so that software that
//! does not know a newer kind can still verify a library and will not throw its parts away.
//! Unknown fields in a known version are left alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stockpot_core::{ContentHash, PersonName};

use crate::consent_record::{ConsentBasis, ConsentRecord, check_signature};
use crate::passports::PassportRecord;
use crate::rehearsal::RehearsalRecord;
use crate::run_id::RunId;

/// The largest record that is written or read.
pub const MAX_RECORD_BYTES: u64 = 1 << 20;

/// The version of the records that this software writes, but for consents.
const RECORD_VERSION: u32 = 1;
/// The version of consents: they are signed and have terms, which nobody may overlook.
const CONSENT_VERSION: u32 = 2;

fn newest_version(kind: &str) -> u32 {
    match kind {
        "consent" => CONSENT_VERSION,
        _ => RECORD_VERSION,
    }
}

/// Measured numbers by name, such as `heldout_ssim`. All finite.
pub type Metrics = BTreeMap<String, f64>;

/// A record together with its hash, which is its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// The record's own hash (not that of the weights: see its `object`).
    pub hash: ContentHash,
    /// What it says.
    pub record: T,
}

/// One immutable set of the encoder's weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderStateRecord {
    /// The weights.
    pub object: ContentHash,
    /// The record of the encoder state it was trained from; `None`: from scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ContentHash>,
    /// The family of networks, opaque here.
    pub family: String,
    /// The run that made it.
    pub run: RunId,
    /// Training steps since scratch, over all ancestors.
    pub steps: u64,
    /// Held-out metrics.
    #[serde(default)]
    pub metrics: Metrics,
    /// More objects that belong to this state, by name, such as an optimiser's state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attachments: BTreeMap<String, ContentHash>,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
    /// The software that made it.
    pub software: String,
}

/// How much of the decoder is the person's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderForm {
    /// A private copy of the trunk.
    Full,
    /// What is added to the shared trunk.
    Lite,
}

impl std::fmt::Display for DecoderForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Lite => "lite",
        })
    }
}

/// One immutable set of one person's decoder weights, and the encoder state it was trained with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecoderStateRecord {
    /// Whose decoder.
    pub person: PersonName,
    /// The weights.
    pub object: ContentHash,
    /// The record of the encoder state it was trained with, as it was at the end of that run.
    pub encoder_state: ContentHash,
    /// The record of the decoder state it was trained from; `None`: from scratch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ContentHash>,
    /// If it was not trained for `encoder_state` but stitched to it: the encoder state whose codes
    /// its weights were trained on, beyond the map folded into them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stitched_from: Option<ContentHash>,
    /// The record of the consent that allowed it; `None`: made by older software. It need not be here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<ContentHash>,
    /// Full or lite.
    pub form: DecoderForm,
    /// The family of networks, opaque here.
    pub family: String,
    /// The run that made it.
    pub run: RunId,
    /// Training steps since scratch, over all ancestors.
    pub steps: u64,
    /// Held-out metrics of this person.
    #[serde(default)]
    pub metrics: Metrics,
    /// More objects that belong to this state, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attachments: BTreeMap<String, ContentHash>,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
    /// The software that made it.
    pub software: String,
}

/// A person entered into the library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PersonRecord {
    /// The name.
    pub name: PersonName,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
    /// The software that made the record.
    pub software: String,
}

/// States by name: those a run started from, or those it made. Hashes of records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatesNamed {
    /// The encoder state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<ContentHash>,
    /// The decoder states by person.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub decoders: BTreeMap<PersonName, ContentHash>,
}

impl StatesNamed {
    fn hashes(&self) -> impl Iterator<Item = ContentHash> {
        self.encoder
            .into_iter()
            .chain(self.decoders.values().copied())
    }
}

impl RunRecord {
    /// Everybody it names, some of them twice.
    pub(crate) fn everybody(&self) -> impl Iterator<Item = &PersonName> {
        self.persons
            .iter()
            .chain(self.started_from.decoders.keys())
            .chain(self.results.decoders.keys())
    }
}

/// One training that was committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its name, also that of its folder under `runs/`.
    pub run: RunId,
    /// Who took part.
    pub persons: Vec<PersonName>,
    /// The states it started from.
    pub started_from: StatesNamed,
    /// The states it left.
    pub results: StatesNamed,
    /// The settings as JSON text (kept as JSON inside the record).
    #[serde(rename = "settings", with = "json_text")]
    pub settings_json: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// Metrics of the run as a whole.
    #[serde(default)]
    pub metrics: Metrics,
    /// When it began, in seconds since 1970 UTC.
    pub began_secs: u64,
    /// When it was committed, in seconds since 1970 UTC.
    pub created_secs: u64,
    /// The software that ran it.
    pub software: String,
}

/// Why something that records name is not here, though nothing is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbsenceReason {
    /// Weights of old states, removed to make room.
    Collected,
    /// A person's, removed for good.
    Erased,
    /// Left out of the file that the records naming it came with.
    NotImported,
    /// Damaged or missing when the library was repaired.
    Lost,
}

impl AbsenceReason {
    /// The reason in a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Collected => "collected",
            Self::Erased => "erased",
            Self::NotImported => "not imported",
            Self::Lost => "lost",
        }
    }
}

impl std::fmt::Display for AbsenceReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Collected => "it belonged to an old state and was collected",
            Self::Erased => "it belonged to a person who was erased",
            Self::NotImported => "it was left out of the file that was imported",
            Self::Lost => "it was lost, as a repair found",
        })
    }
}

/// What is absent on purpose: written before anything is removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AbsenceRecord {
    /// Why.
    pub reason: AbsenceReason,
    /// The objects with their bytes; 0 where the length was not known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<ContentHash, u64>,
    /// The records.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub records: BTreeSet<ContentHash>,
    /// The name that stands for an erased person in what is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_as: Option<PersonName>,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
    /// The software that wrote the record.
    pub software: String,
}

/// Any record.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// See [`EncoderStateRecord`].
    EncoderState(EncoderStateRecord),
    /// See [`DecoderStateRecord`].
    DecoderState(DecoderStateRecord),
    /// See [`PersonRecord`].
    Person(PersonRecord),
    /// See [`ConsentRecord`].
    Consent(ConsentRecord),
    /// See [`RunRecord`].
    Run(RunRecord),
    /// See [`AbsenceRecord`].
    Absence(AbsenceRecord),
    /// See [`PassportRecord`].
    Passport(PassportRecord),
    /// See [`RehearsalRecord`].
    Rehearsal(RehearsalRecord),
}

impl Record {
    /// The kind's name in the file and in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::EncoderState(_) => "encoder-state",
            Self::DecoderState(_) => "decoder-state",
            Self::Person(_) => "person",
            Self::Consent(_) => "consent",
            Self::Run(_) => "run",
            Self::Absence(_) => "absence",
            Self::Passport(_) => "passport",
            Self::Rehearsal(_) => "rehearsal",
        }
    }

    /// When it was made, in seconds since 1970 UTC.
    pub fn created_secs(&self) -> u64 {
        match self {
            Self::EncoderState(r) => r.created_secs,
            Self::DecoderState(r) => r.created_secs,
            Self::Person(r) => r.created_secs,
            Self::Consent(r) => r.created_secs,
            Self::Run(r) => r.created_secs,
            Self::Absence(r) => r.created_secs,
            Self::Passport(r) => r.created_secs,
            Self::Rehearsal(r) => r.created_secs,
        }
    }

    /// The records that it needs, each once.
    pub fn parents(&self) -> Vec<ContentHash> {
        let mut parents: Vec<ContentHash> = match self {
            Self::EncoderState(r) => r.parent.into_iter().collect(),
            Self::DecoderState(r) => {
                let parents = r.parent.into_iter().chain(r.stitched_from);
                parents.chain([r.encoder_state]).collect()
            }
            Self::Passport(r) => vec![r.encoder_state],
            Self::Run(r) => r.started_from.hashes().chain(r.results.hashes()).collect(),
            Self::Person(_) | Self::Consent(_) | Self::Absence(_) | Self::Rehearsal(_) => {
                Vec::new()
            }
        };
        parents.sort();
        parents.dedup();
        parents
    }

    /// The objects that it needs, each once.
    pub fn objects(&self) -> Vec<ContentHash> {
        let mut objects: Vec<ContentHash> = match self {
            Self::EncoderState(r) => with_attachments(r.object, &r.attachments),
            Self::DecoderState(r) => with_attachments(r.object, &r.attachments),
            Self::Consent(ConsentRecord {
                basis: ConsentBasis::File { object, .. },
                ..
            }) => vec![*object],
            Self::Passport(r) => vec![r.object],
            Self::Rehearsal(r) => vec![r.object],
            Self::Consent(_) | Self::Person(_) | Self::Run(_) | Self::Absence(_) => Vec::new(),
        };
        objects.sort();
        objects.dedup();
        objects
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// In words, if a metric is not finite or the settings are not JSON.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let metrics = match self {
            Self::EncoderState(r) => Some(&r.metrics),
            Self::DecoderState(r) => Some(&r.metrics),
            Self::Run(r) => Some(&r.metrics),
            Self::Person(_)
            | Self::Consent(_)
            | Self::Absence(_)
            | Self::Passport(_)
            | Self::Rehearsal(_) => None,
        };
        metrics.map_or(Ok(()), check_metrics)?;
        let file = match self {
            Self::EncoderState(r) => self.wrap(r),
            Self::DecoderState(r) => self.wrap(r),
            Self::Person(r) => self.wrap(r),
            Self::Consent(r) => self.wrap(r),
            Self::Run(r) => self.wrap(r),
            Self::Absence(r) => self.wrap(r),
            Self::Passport(r) => self.wrap(r),
            Self::Rehearsal(r) => self.wrap(r),
        };
        file.map(|mut bytes| {
            bytes.push(b'\n');
            bytes
        })
        .map_err(|e| e.to_string())
    }

    fn wrap<T: Serialize>(&self, body: &T) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(&RecordFile {
            kind: self.kind().into(),
            version: match self {
                Self::Consent(ConsentRecord { signed: None, .. }) => 1,
                other => newest_version(other.kind()),
            },
            parents: self.parents(),
            objects: self.objects(),
            body,
        })
    }
}

/// JSON has no word for numbers that are not finite, and a state measured so is not worth keeping.
pub(crate) fn check_metrics(metrics: &Metrics) -> Result<(), String> {
    match metrics.iter().find(|(_, value)| !value.is_finite()) {
        Some((name, value)) => Err(format!(
            "the metric `{name}` is {value}, a finite number is wanted"
        )),
        None => Ok(()),
    }
}

/// Settings are kept as JSON inside the record.
pub(crate) fn check_settings(text: &str) -> Result<(), String> {
    serde_json::from_str::<serde_json::Value>(text)
        .map(drop)
        .map_err(|e| format!("the settings are not JSON: {e}"))
}

fn with_attachments(
    object: ContentHash,
    attachments: &BTreeMap<String, ContentHash>,
) -> Vec<ContentHash> {
    std::iter::once(object)
        .chain(attachments.values().copied())
        .collect()
}

/// A record file.
#[derive(Serialize, Deserialize)]
struct RecordFile<T> {
    kind: String,
    version: u32,
    parents: Vec<ContentHash>,
    objects: Vec<ContentHash>,
    body: T,
}

/// What every record file says, of whatever kind and version.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) parents: Vec<ContentHash>,
    pub(crate) objects: Vec<ContentHash>,
}

/// Why bytes are not a record that we can read.
#[derive(Debug)]
pub(crate) enum BadRecord {
    /// A kind or version that this software does not know; the envelope is good.
    Newer(Envelope),
    /// Not a record at all.
    Damaged(String),
}

/// Reads a record file of any bytes; the caller has limited their number.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Envelope, Record), BadRecord> {
    let damaged = |e: serde_json::Error| BadRecord::Damaged(e.to_string());
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(damaged)?;
    if envelope.version == 0 {
        return Err(BadRecord::Damaged("its version is 0".into()));
    }
    if envelope.version > newest_version(&envelope.kind) {
        return Err(BadRecord::Newer(envelope));
    }
    let record = match envelope.kind.as_str() {
        "encoder-state" => body(bytes).map(Record::EncoderState),
        "decoder-state" => body(bytes).map(Record::DecoderState),
        "person" => body(bytes).map(Record::Person),
        "consent" => {
            let whole: Value = body(bytes).map_err(damaged)?;
            check_signature(envelope.version, &whole).map_err(BadRecord::Damaged)?;
            serde_json::from_value(whole).map(Record::Consent)
        }
        "run" => body(bytes).map(Record::Run),
        "absence" => body(bytes).map(Record::Absence),
        "passport" => body(bytes).map(Record::Passport),
        "rehearsal" => body(bytes).map(Record::Rehearsal),
        _ => return Err(BadRecord::Newer(envelope)),
    }
    .map_err(damaged)?;
    // A newer stockpot may list more than we know of, never less.
    let lists =
        |all: &[ContentHash], needed: &[ContentHash]| needed.iter().all(|h| all.contains(h));
    if !lists(&envelope.parents, &record.parents()) || !lists(&envelope.objects, &record.objects())
    {
        return Err(BadRecord::Damaged(
            "its lists of parents and objects leave out some that it names".into(),
        ));
    }
    Ok((envelope, record))
}

fn body<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<RecordFile<T>>(bytes).map(|file| file.body)
}

/// JSON text in memory, JSON in the file.
mod json_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &str, s: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|e| serde::ser::Error::custom(format!("the settings are not JSON: {e}")))?;
        value.serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
        serde_json::Value::deserialize(d).map(|value| value.to_string())
    }
}
