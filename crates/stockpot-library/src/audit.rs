//! The log of uses: who was trained, drawn, given away, on whose word, and what came of it.
//!
//! `audit.jsonl` only ever grows. Each line holds the hash of the one before and a signature of the
//! library's key; `audit.seal` says, signed, how many lines there are and what the last one hashes
//! to. So a line that was changed, taken out or cut off is found ([`crate::audit_check`]). A kill
//! leaves at most half a line, or one line beyond the seal; both are known for what they are, and
//! whoever writes next puts them right.
//!
//! Lines name persons by the hash of their record, so that erasing somebody needs no change of what
//! was signed. The log has a lock of its own: a swap can write while a training commits.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stockpot_core::{ContentHash, PersonName};

use crate::SOFTWARE;
use crate::consent::Consented;
use crate::consent_record::ConsentRecord;
use crate::disk::{ReadFailure, read_bounded};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::library::Library;
use crate::lock::WriteLock;
use crate::objects::hash_of;
use crate::refs::{RefName, Slot, Snapshot};
use crate::run_id::RunId;
use crate::signing::{self, Keys, PublicKey, canonical};

/// The largest log read: some 400 000 lines.
pub(crate) const MAX_LOG_BYTES: u64 = 256 << 20;
/// The longest line: a training of some 5000 persons.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// The largest seal read.
const MAX_SEAL_BYTES: u64 = 4096;
/// The longest name of a file that is kept, in signs.
const MAX_NAME: usize = 400;
/// How long to wait for another line to be written.
const PATIENCE: Duration = Duration::from_secs(10);
/// The contexts of signatures.
const LINE: &str = "log line";
const SEAL: &str = "log seal";
/// What stands for "nothing before".
const NOTHING: ContentHash = ContentHash([0; 32]);

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// The log began, with these persons and consents.
    Begun,
    /// A consent was entered or changed.
    Consent,
    /// A consent was withdrawn.
    Withdraw,
    /// Faces were found and kept.
    Extract,
    /// States were trained, stitched or imported from an old folder, and committed.
    Train,
    /// A face was drawn.
    Swap,
    /// Persons, or what draws them, were written into a file for others.
    Export,
    /// Persons were taken in from a file.
    Import,
    /// A person was taken out.
    Remove,
    /// A person was erased.
    Erase,
    /// The seal or the whole log was missing, and was made anew.
    Resealed,
    /// The log was damaged; it was put aside and begun anew, with these persons and consents.
    Repaired,
}

impl Deed {
    /// Whether the line says which consent of a person holds.
    fn states_consent(self) -> bool {
        matches!(
            self,
            Self::Begun | Self::Consent | Self::Withdraw | Self::Import | Self::Repaired
        )
    }
}

/// A use of faces, to be logged.
#[derive(Debug, Clone, PartialEq)]
pub struct Used<'a> {
    /// What was done.
    pub deed: Deed,
    /// With whose faces, on whose word.
    pub consents: Vec<&'a Consented>,
    /// The record of the encoder state.
    pub encoder: Option<ContentHash>,
    /// The records of the decoder states.
    pub decoders: Vec<ContentHash>,
    /// The BLAKE3 of the file that came of it.
    pub output: Option<ContentHash>,
    /// That file. Only its name is kept, and can be taken out of the log again when somebody is
    /// erased.
    pub file: Option<&'a Path>,
}

/// Somebody in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    /// The hash of the record of the person.
    pub(crate) person: ContentHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) consent: Option<ContentHash>,
}

/// The name of a file, with random digits: from the hash of both nobody can guess the name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileName {
    pub(crate) name: String,
    salt: String,
}

impl FileName {
    /// The last part of a path.
    pub(crate) fn new(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            name: name.to_string_lossy().chars().take(MAX_NAME).collect(),
            salt: signing::salt()?,
        })
    }

    pub(crate) fn seal(&self) -> ContentHash {
        hash_of(&canonical(&json!({ "name": self.name, "salt": self.salt })))
    }
}

/// What a line says, but for what chains it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) who: Vec<Who>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) encoder: Option<ContentHash>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) decoders: Vec<ContentHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<ContentHash>,
    /// The numbers of lines whose file names were taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) cleared: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// The hash of `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file_seal: Option<ContentHash>,
    /// Not covered by the line's own hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<FileName>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) n: u64,
    pub(crate) at_secs: u64,
    pub(crate) what: Deed,
    #[serde(flatten)]
    pub(crate) said: Said,
    pub(crate) software: String,
    /// The hash of the line before; zeros for the first one.
    pub(crate) prev: ContentHash,
    /// The hash of all of the above but `file`.
    pub(crate) hash: ContentHash,
    pub(crate) signature: String,
}

/// Why a line is not one of this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadLine {
    Unreadable,
    Changed,
    NotOurs,
}

impl Line {
    /// Reads a line and checks what it says of itself.
    pub(crate) fn read(bytes: &[u8], key: &PublicKey) -> std::result::Result<Self, BadLine> {
        let value: Value = serde_json::from_slice(bytes).map_err(|_| BadLine::Unreadable)?;
        let line: Self = serde_json::from_value(value.clone()).map_err(|_| BadLine::Unreadable)?;
        let core = core_of(value);
        let named = line.said.file.as_ref().map(FileName::seal);
        if hash_of(&canonical(&core)) != line.hash
            || (named.is_some() && named != line.said.file_seal)
        {
            return Err(BadLine::Changed);
        }
        match key.has_signed(LINE, &core, &line.signature) {
            true => Ok(line),
            false => Err(BadLine::NotOurs),
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).map_err(|e| Error::BadCommit {
            reason: e.to_string(),
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// The same line without the name of its file. Fields that are not known here stay.
fn without_file(text: &[u8]) -> Result<Vec<u8>> {
    let bad = |e: serde_json::Error| Error::BadCommit {
        reason: e.to_string(),
    };
    let mut line: Value = serde_json::from_slice(text).map_err(bad)?;
    if let Some(fields) = line.as_object_mut() {
        fields.remove("file");
    }
    Ok(format!("{line}\n").into_bytes())
}

/// What of a line is hashed and signed.
fn core_of(mut line: Value) -> Value {
    if let Some(fields) = line.as_object_mut() {
        for name in ["hash", "signature", "file"] {
            fields.remove(name);
        }
    }
    line
}

/// How many lines there are, and the hash of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) lines: u64,
    pub(crate) hash: ContentHash,
}

const EMPTY: Seal = Seal {
    lines: 0,
    hash: NOTHING,
};

/// The seal as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SealFound {
    Good(Seal),
    Missing,
    Bad,
}

impl SealFound {
    pub(crate) fn read(layout: &Layout, key: &PublicKey) -> Result<Self> {
        let path = layout.audit_seal();
        let bytes = match read_bounded(&path, MAX_SEAL_BYTES) {
            Ok(bytes) => bytes,
            Err(ReadFailure::Missing) => return Ok(Self::Missing),
            Err(ReadFailure::TooLarge { .. }) => return Ok(Self::Bad),
            Err(ReadFailure::Io(e)) => return Err(Error::io("read the log's seal", &path, e)),
        };
        let read = || -> Option<Seal> {
            let mut value: Value = serde_json::from_slice(&bytes).ok()?;
            let signature = value.as_object_mut()?.remove("signature")?;
            let good = key.has_signed(SEAL, &value, signature.as_str()?);
            good.then(|| serde_json::from_value(value).ok()).flatten()
        };
        Ok(read().map_or(Self::Bad, Self::Good))
    }
}

/// The open log, held by its lock.
pub(crate) struct Log<'a> {
    library: &'a Library,
    _lock: WriteLock,
    pub(crate) keys: Keys,
    at: Seal,
    /// Whether opening it has put something right that a kill had left.
    pub(crate) settled: bool,
}

impl<'a> Log<'a> {
    /// Opens the log for writing and puts right what a kill has left; makes key and log if there are
    /// none.
    pub(crate) fn open(library: &'a Library, now_secs: u64) -> Result<Self> {
        let layout = &library.layout;
        let lock = WriteLock::take(&layout.audit_lock(), now_secs, PATIENCE)?;
        let keys = match Keys::read(layout)? {
            Some(keys) => keys,
            None => {
                let keys = Keys::random()?;
                keys.store(&library.disk, layout)?;
                keys
            }
        };
        let mut log = Self {
            library,
            _lock: lock,
            keys,
            at: EMPTY,
            settled: false,
        };
        log.settle(now_secs)?;
        Ok(log)
    }

    /// Finds the end of the log, cuts half a line off, and seals what was not sealed.
    fn settle(&mut self, now_secs: u64) -> Result<()> {
        let (disk, layout) = (&self.library.disk, &self.library.layout);
        let key = self.keys.public();
        let tail = Tail::read(layout, &key)?;
        if tail.torn > 0 {
            disk.cut(&layout.audit_log(), tail.len - tail.torn)?;
            self.settled = true;
        }
        let seal = SealFound::read(layout, &key)?;
        let published = layout.public_key().exists();
        self.at = match (seal, tail.last) {
            (SealFound::Good(seal), Some(last)) if last.lines > seal.lines => {
                self.at = last;
                self.seal()?;
                self.settled = true;
                last
            }
            (SealFound::Good(seal), _) => seal,
            (_, last) if published => {
                // There was a log, so there was a seal.
                self.at = last.unwrap_or(EMPTY);
                let note = match last {
                    Some(_) => "the seal was missing or damaged",
                    None => "the log was missing or damaged",
                };
                return self.append(Deed::Resealed, self.everybody(Some(note))?, now_secs);
            }
            (_, Some(last)) => {
                self.at = last;
                self.seal()?;
                last
            }
            (_, None) => {
                self.append(Deed::Begun, self.everybody(None)?, now_secs)?;
                self.at
            }
        };
        if !published {
            self.keys.publish(disk, layout)?;
        }
        Ok(())
    }

    /// The persons that are here now with their consents.
    fn everybody(&self, note: Option<&str>) -> Result<Said> {
        let snapshot = Snapshot::read(&self.library.layout)?;
        let who = snapshot.persons();
        Ok(Said {
            who: who.iter().filter_map(|p| who_is(&snapshot, p)).collect(),
            note: note.map(str::to_owned),
            ..Said::default()
        })
    }

    /// Writes a line.
    pub(crate) fn append(&mut self, what: Deed, said: Said, now_secs: u64) -> Result<()> {
        let (disk, layout) = (&self.library.disk, &self.library.layout);
        let mut line = Line {
            n: self.at.lines + 1,
            at_secs: now_secs,
            what,
            said,
            software: SOFTWARE.into(),
            prev: self.at.hash,
            hash: NOTHING,
            signature: String::new(),
        };
        let value = serde_json::to_value(&line).map_err(|e| Error::BadCommit {
            reason: e.to_string(),
        })?;
        let core = core_of(value);
        line.hash = hash_of(&canonical(&core));
        line.signature = self.keys.sign(LINE, &core);
        let bytes = line.to_bytes()?;
        if bytes.len() as u64 > MAX_LINE_BYTES {
            return Err(Error::TooLarge {
                what: "line of the log".into(),
                found_bytes: bytes.len() as u64,
                limit_bytes: MAX_LINE_BYTES,
            });
        }
        let path = layout.audit_log();
        let len = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        disk.append(&path, len, &bytes)?;
        self.at = Seal {
            lines: line.n,
            hash: line.hash,
        };
        self.seal()
    }

    fn seal(&self) -> Result<()> {
        let mut value = json!({ "version": 1, "lines": self.at.lines, "hash": self.at.hash });
        let signature = self.keys.sign(SEAL, &value);
        value["signature"] = signature.into();
        let text = format!("{value}\n");
        let layout = &self.library.layout;
        self.library
            .disk
            .write_whole(&layout.audit_seal(), text.as_bytes())
    }

    /// Puts the log aside under `aside` and begins it anew, saying why.
    pub(crate) fn begin_anew(
        &mut self,
        aside: Option<&Path>,
        why: &str,
        now_secs: u64,
    ) -> Result<()> {
        let (disk, layout) = (&self.library.disk, &self.library.layout);
        let mut said = self.everybody(Some(why))?;
        // The new log stands behind what the old one, or a signature, stood behind.
        for who in &mut said.who {
            let vouched = who.consent.map(|consent| {
                let record = crate::store::get::<ConsentRecord>(layout, &consent).ok()?;
                let signer = record.record.signed.map(|s| s.key);
                let created = record.record.created_secs;
                vouch(layout, Some(who.person), consent, signer, created).ok()
            });
            who.consent = who.consent.filter(|_| vouched == Some(Some(true)));
        }
        if let Some(aside) = aside {
            disk.rename(&layout.audit_log(), aside)?;
        }
        self.at = EMPTY;
        self.append(Deed::Repaired, said, now_secs)
    }

    /// Logs that persons were erased, and takes file names out that belong to them or name them.
    pub(crate) fn erase(&mut self, who: Vec<Who>, name: &PersonName, now_secs: u64) -> Result<()> {
        let layout = &self.library.layout;
        let bytes = read_log(layout)?;
        let key = self.keys.public();
        let word = name.as_str().to_lowercase();
        let is_gone = |person: &ContentHash| who.iter().any(|w| w.person == *person);
        let theirs = |line: &Line| {
            let named = |file: &FileName| file.name.to_lowercase().contains(&word);
            line.said.file.as_ref().is_some_and(named)
                || (line.said.file.is_some() && line.said.who.iter().any(|w| is_gone(&w.person)))
        };
        let mut cleared = Vec::new();
        let mut out = Vec::new();
        for text in bytes.split_inclusive(|b| *b == b'\n') {
            match Line::read(text, &key) {
                Ok(line) if theirs(&line) => {
                    cleared.push(line.n);
                    out.extend(without_file(text)?);
                }
                _ => out.extend_from_slice(text),
            }
        }
        let any = !cleared.is_empty();
        let said = Said {
            who,
            cleared,
            ..Said::default()
        };
        // First the word that they are gone on purpose.
        self.append(Deed::Erase, said, now_secs)?;
        if any {
            let all = read_log(layout)?;
            out.extend_from_slice(all.get(bytes.len()..).unwrap_or_default());
            self.library.disk.write_whole(&layout.audit_log(), &out)?;
        }
        Ok(())
    }
}

/// The whole log; one that is not there is empty.
pub(crate) fn read_log(layout: &Layout) -> Result<Vec<u8>> {
    let path = layout.audit_log();
    match read_bounded(&path, MAX_LOG_BYTES) {
        Ok(bytes) => Ok(bytes),
        Err(ReadFailure::Missing) => Ok(Vec::new()),
        Err(ReadFailure::TooLarge { found_bytes }) => Err(Error::TooLarge {
            what: "log of uses".into(),
            found_bytes,
            limit_bytes: MAX_LOG_BYTES,
        }),
        Err(ReadFailure::Io(e)) => Err(Error::io("read the log", &path, e)),
    }
}

/// The end of the log.
struct Tail {
    len: u64,
    /// Bytes of half a line.
    torn: u64,
    /// The last whole line, if it is one of this log.
    last: Option<Seal>,
}

impl Tail {
    fn read(layout: &Layout, key: &PublicKey) -> Result<Self> {
        let path = layout.audit_log();
        let failed = |e| Error::io("read the log", &path, e);
        let mut file = match File::open(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self {
                    len: 0,
                    torn: 0,
                    last: None,
                });
            }
            other => other.map_err(failed)?,
        };
        let len = file.metadata().map_err(failed)?.len();
        let from = len.saturating_sub(2 * MAX_LINE_BYTES);
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(2 * MAX_LINE_BYTES)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let end = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let torn = (bytes.len() - end) as u64;
        let whole = &bytes[..end.saturating_sub(1)];
        let start = whole.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        // What is none of ours is left where it is; `verify` names it.
        let last = Line::read(&whole[start..], key).ok();
        Ok(Self {
            len,
            torn,
            last: last.map(|line| Seal {
                lines: line.n,
                hash: line.hash,
            }),
        })
    }
}

/// A person as lines name them; `None` if they have no readable ref.
pub(crate) fn who_is(snapshot: &Snapshot, name: &PersonName) -> Option<Who> {
    let target = |name: RefName| match snapshot.slots.get(&name) {
        Some(Slot::Good(target)) => Some(target.record),
        Some(Slot::Bad(_)) | None => None,
    };
    Some(Who {
        person: target(RefName::Person(name.clone()))?,
        consent: target(RefName::Consent(name.clone())),
    })
}

/// Whether the log, or else the signature, vouches for the consent that a ref names.
///
/// The last line about a person says which consent holds. A record that is signed here and newer is
/// one whose line was not written yet.
pub(crate) fn vouch(
    layout: &Layout,
    person: Option<ContentHash>,
    consent: ContentHash,
    signer: Option<PublicKey>,
    created_secs: u64,
) -> Result<bool> {
    let Some(key) = signing::read_public(layout)? else {
        // A library that has not been written to since there is a log.
        return Ok(signer.is_none());
    };
    let stated = match person {
        Some(person) => last_statement(layout, &key, &person)?,
        None => None,
    };
    Ok(match stated {
        Some((stated, _)) if stated == consent => true,
        Some((_, at_secs)) => signer == Some(key) && created_secs > at_secs,
        None => signer == Some(key),
    })
}

/// The consent that the log last named for a person, by the hash of their record.
pub(crate) fn stated_consent(layout: &Layout, person: &ContentHash) -> Result<Option<ContentHash>> {
    let Some(key) = signing::read_public(layout)? else {
        return Ok(None);
    };
    Ok(last_statement(layout, &key, person)?.map(|(consent, _)| consent))
}

/// The consent that the log last named for a person, and when.
fn last_statement(
    layout: &Layout,
    key: &PublicKey,
    person: &ContentHash,
) -> Result<Option<(ContentHash, u64)>> {
    let bytes = read_log(layout)?;
    let word = person.to_string().into_bytes();
    let lines = bytes.split(|b| *b == b'\n').rev();
    let mut about = lines.filter(|line| line.windows(word.len()).any(|w| w == word));
    // What is none of ours says nothing; `verify` names it.
    Ok(about.find_map(|line| {
        let line = Line::read(line, key).ok()?;
        let who = line.said.who.iter().rfind(|w| w.person == *person)?;
        line.what
            .states_consent()
            .then_some((who.consent?, line.at_secs))
    }))
}

/// The names behind the hashes in lines: of persons that were entered here, and what stands for
/// those that were erased.
pub(crate) fn names(library: &Library) -> Result<BTreeMap<ContentHash, PersonName>> {
    use crate::record::Record;
    let mut names = BTreeMap::new();
    for hash in crate::store::list_records(&library.layout)? {
        // An unreadable record has no name to tell; `verify` reports it.
        match crate::store::get_record(&library.layout, &hash) {
            Ok(Record::Person(r)) => {
                names.insert(hash, r.name);
            }
            Ok(Record::Absence(r)) => {
                if let Some(name) = r.erased_as {
                    names.extend(r.records.into_iter().map(|hash| (hash, name.clone())));
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

impl Library {
    /// Writes a use of faces into the log. Needs no writer; two uses wait for each other.
    ///
    /// # Errors
    /// [`Error::MissingKey`], [`Error::NotAllowed`] in a library that may not be written, or what
    /// else the machine refuses.
    pub fn log_use(&self, used: &Used<'_>, now_secs: u64) -> Result<()> {
        let snapshot = Snapshot::read(&self.layout)?;
        let who = |consented: &&Consented| {
            let who = who_is(&snapshot, consented.person())?;
            Some(Who {
                consent: Some(consented.record()),
                ..who
            })
        };
        let file = used.file.map(FileName::new).transpose()?;
        let said = Said {
            who: used.consents.iter().filter_map(who).collect(),
            encoder: used.encoder,
            decoders: used.decoders.clone(),
            output: used.output,
            file_seal: file.as_ref().map(FileName::seal),
            file,
            ..Said::default()
        };
        Log::open(self, now_secs)?.append(used.deed, said, now_secs)
    }
}
