//! Looks at every byte: hashes, references, leftovers. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use stockpot_core::{CancelToken, ContentHash, Progress, ProgressSink};

use crate::absence::Absent;
use crate::audit_check::{self, AuditFinding};
use crate::disk::{PART, entries};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::library::Library;
use crate::objects;
use crate::record::{BadRecord, Envelope, Record, Stored, parse};
use crate::refs::{Journal, RefName, Slot, Snapshot};
use crate::signing::{Keys, open_to_others};
use crate::store;

/// What verify has seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Objects hashed.
    pub objects: u64,
    /// Records hashed.
    pub records: u64,
    /// Refs followed.
    pub refs: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing is damaged. Leftovers and unknown files are no damage.
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(Finding::is_damage)
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// The file.
    pub path: PathBuf,
}

impl Finding {
    /// Whether something is lost or wrong; if not, it only takes room.
    pub fn is_damage(&self) -> bool {
        !matches!(
            self.kind,
            FindingKind::Leftover
                | FindingKind::Stranger
                | FindingKind::PendingCommit
                | FindingKind::NewerRecord { .. }
                | FindingKind::TornLog { .. }
                | FindingKind::KeyOpen
        )
    }
}

/// What can be found, worst first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// The bytes are not those that the file is named after.
    DamagedObject,
    /// The bytes are not those that the file is named after, or do not read as a record.
    DamagedRecord {
        /// What is wrong.
        reason: String,
    },
    /// A record needs an object that is not there.
    MissingObject {
        /// The object.
        object: ContentHash,
    },
    /// A record needs a record that is not there.
    MissingParent {
        /// The record.
        parent: ContentHash,
    },
    /// The ref does not read.
    DamagedRef {
        /// What is wrong.
        reason: String,
    },
    /// The ref names a record that is not there.
    DanglingRef {
        /// The record.
        record: ContentHash,
    },
    /// The ref names a record of another kind, or of another person.
    WrongRef {
        /// What it should name.
        wanted: String,
        /// What it names.
        found: String,
    },
    /// A list of changes that was damaged after it was written; it was not carried out.
    DamagedJournal {
        /// What is wrong.
        reason: String,
    },
    /// The log of uses was tampered with, or lost lines.
    DamagedLog {
        /// What is wrong.
        what: AuditFinding,
    },
    /// The library's key is missing or damaged.
    DamagedKey {
        /// What is wrong.
        reason: String,
    },
    /// The ref names a consent that neither the log nor the library's signature stands behind.
    ConsentNotVouched {
        /// The record.
        record: ContentHash,
    },
    /// What a stopped program has left of the log; the next writer puts it right.
    TornLog {
        /// What it is.
        what: AuditFinding,
    },
    /// Others than the owner may read the library's secret key.
    KeyOpen,
    /// A record of a kind or version that this stockpot does not know; its bytes are good.
    NewerRecord {
        /// The kind.
        kind: String,
        /// The version.
        version: u32,
    },
    /// A commit that is done, but whose last steps are left to the next writer.
    PendingCommit,
    /// A temporary file of a writer that was stopped. Harmless.
    Leftover,
    /// A file that the library did not put there.
    Stranger,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use FindingKind as K;
        match &self.kind {
            K::DamagedObject => {
                f.write_str("Object is damaged: its bytes do not hash to its name")?
            }
            K::DamagedRecord { reason } => write!(f, "Record is damaged: {reason}")?,
            K::MissingObject { object } => {
                write!(
                    f,
                    "Record needs the object {}, which is missing",
                    object.short()
                )?;
            }
            K::MissingParent { parent } => {
                write!(
                    f,
                    "Record needs the record {}, which is missing",
                    parent.short()
                )?;
            }
            K::DamagedRef { reason } => write!(f, "Ref is damaged: {reason}")?,
            K::DanglingRef { record } => {
                write!(
                    f,
                    "Ref names the record {}, which is missing",
                    record.short()
                )?;
            }
            K::WrongRef { wanted, found } => {
                write!(f, "Ref names a {found}, a {wanted} is wanted")?;
            }
            K::DamagedJournal { reason } => {
                write!(
                    f,
                    "List of changed refs is damaged and was not carried out: {reason}"
                )?;
            }
            K::DamagedLog { what } => write!(f, "Log of uses: {what}")?,
            K::TornLog { what } => write!(
                f,
                "Log of uses: {what}; the next command that writes mends it"
            )?,
            K::DamagedKey { reason } => f.write_str(reason)?,
            K::ConsentNotVouched { record } => write!(
                f,
                "Ref names the consent {}, which the log of uses does not name",
                record.short()
            )?,
            K::KeyOpen => {
                f.write_str("The library's secret key can be read by others than its owner")?
            }
            K::NewerRecord { kind, version } => {
                write!(
                    f,
                    "Record is a `{kind}` of version {version}, made by a newer stockpot"
                )?;
            }
            K::PendingCommit => f.write_str("Commit is done, but not tidied up yet")?,
            K::Leftover => f.write_str("Temporary file of a writer that was stopped")?,
            K::Stranger => f.write_str("File is none of the library's")?,
        }
        write!(f, ": {}", self.path.display())
    }
}

impl Library {
    /// Hashes every object and record again and follows every reference. Progress is in files.
    ///
    /// Needs no lock; a commit that happens meanwhile may show its temporary files as leftovers.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or what the machine refuses. Damage is a finding, not an error.
    pub fn verify(
        &self,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<VerifyReport> {
        // Refs first: what they name now can only gain company while we look.
        let snapshot = Snapshot::read(&self.layout)?;
        let mut look = Look {
            layout: &self.layout,
            progress,
            cancel,
            done: 0,
            report: VerifyReport::default(),
            records: BTreeMap::new(),
            seen_records: BTreeSet::new(),
            seen_objects: BTreeSet::new(),
        };
        let files = look.files()?;
        progress.send(Progress::Phase {
            name: "verify library",
            total: files.len() as u64,
        });
        for file in files {
            look.file(file)?;
        }
        look.references(
            &Absent::of(
                look.records
                    .values()
                    .filter_map(|seen| seen.record.as_ref()),
            ),
            &snapshot,
        );
        look.refs(&snapshot);
        look.consents(self, &snapshot)?;
        look.log()?;
        look.leftovers_in_refs()?;
        look.report.findings.sort();
        Ok(look.report)
    }
}

/// A file with a good name.
enum Immutable {
    Object(ContentHash, PathBuf),
    Record(ContentHash, PathBuf),
}

/// What is known of a record after reading it.
struct Seen {
    envelope: Envelope,
    record: Option<Record>,
}

struct Look<'a> {
    layout: &'a Layout,
    progress: &'a dyn ProgressSink,
    cancel: &'a CancelToken,
    done: u64,
    report: VerifyReport,
    /// Records whose bytes are good.
    records: BTreeMap<ContentHash, Seen>,
    /// Records that are there, also damaged ones: damage is told once, where it is.
    seen_records: BTreeSet<ContentHash>,
    seen_objects: BTreeSet<ContentHash>,
}

impl Look<'_> {
    fn find(&mut self, kind: FindingKind, path: &Path) {
        self.report.findings.push(Finding {
            kind,
            path: path.to_path_buf(),
        });
    }

    fn stranger(&mut self, name: &str, path: &Path) {
        let kind = if name.ends_with(PART) {
            FindingKind::Leftover
        } else {
            FindingKind::Stranger
        };
        self.find(kind, path);
    }

    /// All objects and records by name; what is named otherwise becomes a finding.
    fn files(&mut self) -> Result<Vec<Immutable>> {
        let mut out = Vec::new();
        for (top, is_record) in [
            (self.layout.objects(), false),
            (self.layout.records(), true),
        ] {
            for (shard, folder) in entries(&top)? {
                if !store::is_shard(&shard, &folder) {
                    self.stranger(&shard, &folder);
                    continue;
                }
                for (name, path) in entries(&folder)? {
                    let hash = if is_record {
                        store::record_name(&shard, &name)
                    } else {
                        store::object_name(&shard, &name)
                    };
                    match hash.filter(|_| path.is_file()) {
                        Some(hash) if is_record => out.push(Immutable::Record(hash, path)),
                        Some(hash) => out.push(Immutable::Object(hash, path)),
                        None => self.stranger(&name, &path),
                    }
                }
            }
        }
        for (name, path) in entries(&self.layout.root)? {
            if name.ends_with(PART) {
                self.find(FindingKind::Leftover, &path);
            }
        }
        Ok(out)
    }

    fn file(&mut self, file: Immutable) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        match file {
            Immutable::Object(hash, path) => self.object(hash, &path)?,
            Immutable::Record(hash, path) => self.record(hash, &path)?,
        }
        self.done += 1;
        self.progress.send(Progress::Step {
            done: self.done,
            note: String::new(),
        });
        Ok(())
    }

    fn object(&mut self, hash: ContentHash, path: &Path) -> Result<()> {
        let (found, bytes) = objects::hash_file(path)?;
        self.report.objects += 1;
        self.report.bytes += bytes;
        self.seen_objects.insert(hash);
        if found != hash {
            self.find(FindingKind::DamagedObject, path);
        }
        Ok(())
    }

    fn record(&mut self, hash: ContentHash, path: &Path) -> Result<()> {
        self.report.records += 1;
        self.seen_records.insert(hash);
        let bytes = match store::record_bytes(self.layout, &hash) {
            Ok(bytes) => bytes,
            Err(Error::DamagedRecord { reason, .. }) => {
                self.find(FindingKind::DamagedRecord { reason }, path);
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        self.report.bytes += bytes.len() as u64;
        match parse(&bytes) {
            Ok((envelope, record)) => {
                let record = Some(record);
                self.records.insert(hash, Seen { envelope, record });
            }
            Err(BadRecord::Newer(envelope)) => {
                let kind = FindingKind::NewerRecord {
                    kind: envelope.kind.clone(),
                    version: envelope.version,
                };
                self.find(kind, path);
                let record = None;
                self.records.insert(hash, Seen { envelope, record });
            }
            Err(BadRecord::Damaged(reason)) => {
                self.find(FindingKind::DamagedRecord { reason }, path);
            }
        }
        Ok(())
    }

    /// Every record's parents and objects are there, or absent on purpose. What was not on the list
    /// may have been written since, so the disk is asked again before it is called missing.
    fn references(&mut self, absent: &Absent, snapshot: &Snapshot) {
        let current: BTreeSet<ContentHash> = snapshot.targets().collect();
        let mut found = Vec::new();
        for (hash, seen) in &self.records {
            let path = self.layout.record(hash);
            for object in &seen.envelope.objects {
                // What is current needs its objects, whatever anybody wrote down.
                let excused = absent.objects.contains_key(object) && !current.contains(hash);
                if !excused
                    && !self.seen_objects.contains(object)
                    && !self.layout.object(object).is_file()
                {
                    let object = *object;
                    found.push((FindingKind::MissingObject { object }, path.clone()));
                }
            }
            for parent in &seen.envelope.parents {
                if !absent.records.contains_key(parent)
                    && !self.seen_records.contains(parent)
                    && !self.layout.record(parent).is_file()
                {
                    let parent = *parent;
                    found.push((FindingKind::MissingParent { parent }, path.clone()));
                }
            }
        }
        for (kind, path) in found {
            self.find(kind, &path);
        }
    }

    /// Every ref names a record of its kind and its person.
    fn refs(&mut self, snapshot: &Snapshot) {
        for (name, slot) in &snapshot.slots {
            self.report.refs += 1;
            let path = self.layout.refs().join(name.to_string());
            match slot {
                Slot::Bad(reason) => {
                    let reason = reason.clone();
                    self.find(FindingKind::DamagedRef { reason }, &path);
                }
                Slot::Good(target) if !self.seen_records.contains(&target.record) => {
                    let record = target.record;
                    self.find(FindingKind::DanglingRef { record }, &path);
                }
                Slot::Good(target) => {
                    let record = self.records.get(&target.record);
                    if let Some(kind) = record.and_then(|seen| wrong_ref(name, seen)) {
                        self.find(kind, &path);
                    }
                }
            }
        }
        match &snapshot.journal {
            Journal::Absent => {}
            Journal::Whole(_) => self.find(FindingKind::PendingCommit, &self.layout.journal()),
            Journal::Damaged(reason) => {
                let reason = reason.clone();
                self.find(
                    FindingKind::DamagedJournal { reason },
                    &self.layout.journal(),
                );
            }
        }
        let aside = self.layout.damaged_journal();
        if aside.exists() {
            let reason = "it was put aside".into();
            self.find(FindingKind::DamagedJournal { reason }, &aside);
        }
        for path in &snapshot.strangers {
            self.find(FindingKind::Stranger, path);
        }
    }

    /// Every current consent is one that the log names, or else is signed here and newer.
    fn consents(&mut self, library: &Library, snapshot: &Snapshot) -> Result<()> {
        for (name, slot) in &snapshot.slots {
            let (RefName::Consent(_), Slot::Good(target)) = (name, slot) else {
                continue;
            };
            let hash = target.record;
            let seen = self.records.get(&hash).and_then(|s| s.record.clone());
            // What does not read, or is of somebody else, is told already.
            let Some(Record::Consent(record)) = seen else {
                continue;
            };
            if !library.vouches(snapshot, &Stored { hash, record })? {
                let path = self.layout.refs().join(name.to_string());
                self.find(FindingKind::ConsentNotVouched { record: hash }, &path);
            }
        }
        Ok(())
    }

    /// The log of uses and the key that signs it.
    fn log(&mut self) -> Result<()> {
        let secret = self.layout.secret_key();
        match Keys::read(self.layout) {
            Ok(Some(_)) if open_to_others(&secret) => self.find(FindingKind::KeyOpen, &secret),
            // Who may only read the library cannot see the secret half, and need not.
            Ok(_) | Err(Error::NotAllowed { .. }) => {}
            Err(e @ (Error::MissingKey { .. } | Error::DamagedKey { .. })) => {
                let reason = e.to_string();
                self.find(FindingKind::DamagedKey { reason }, &secret);
            }
            Err(e) => return Err(e),
        }
        let found = match audit_check::check(self.layout) {
            Ok((_, report)) => report.findings,
            // The public half is damaged: told above.
            Err(Error::DamagedKey { .. }) => return Ok(()),
            Err(e) => return Err(e),
        };
        let path = self.layout.audit_log();
        for what in found {
            let kind = match what.is_damage() {
                true => FindingKind::DamagedLog { what },
                false => FindingKind::TornLog { what },
            };
            self.find(kind, &path);
        }
        Ok(())
    }

    fn leftovers_in_refs(&mut self) -> Result<()> {
        let mut folders = vec![self.layout.refs(), self.layout.ref_persons()];
        let persons = entries(&self.layout.ref_persons())?;
        folders.extend(
            persons
                .into_iter()
                .map(|(_, path)| path)
                .filter(|p| p.is_dir()),
        );
        for folder in folders {
            for (name, path) in entries(&folder)? {
                if name.ends_with(PART) && path.is_file() {
                    self.find(FindingKind::Leftover, &path);
                }
            }
        }
        Ok(())
    }
}

/// What is wrong with a ref that names this record; `None` if nothing is.
fn wrong_ref(name: &RefName, seen: &Seen) -> Option<FindingKind> {
    let wanted = match name {
        RefName::Encoder => "encoder-state".to_owned(),
        RefName::Person(p) => format!("person `{p}`"),
        RefName::Consent(p) => format!("consent of `{p}`"),
        RefName::Decoder(p) => format!("decoder-state of `{p}`"),
    };
    let found = match seen.record.as_ref() {
        Some(Record::EncoderState(_)) => "encoder-state".to_owned(),
        Some(Record::Person(r)) => format!("person `{}`", r.name),
        Some(Record::Consent(r)) => format!("consent of `{}`", r.person),
        Some(Record::DecoderState(r)) => format!("decoder-state of `{}`", r.person),
        Some(Record::Run(r)) => format!("run `{}`", r.run),
        Some(Record::Absence(_)) => "absence".to_owned(),
        Some(Record::Passport(_)) => "passport".into(),
        Some(Record::Rehearsal(r)) => format!("rehearsal of `{}`", r.person),
        None => seen.envelope.kind.clone(),
    };
    (wanted != found).then_some(FindingKind::WrongRef { wanted, found })
}
