//! Mends what can be mended, and says what is lost.
//!
//! Torn temporary files go. Damaged files are put aside under `….damaged`, so that the right bytes
//! can come back by an import or from a copy. A ref that is damaged, or names something that is not
//! whole, moves to the newest whole record of its sort. Nothing that is whole is removed or moved.
//!
//! What is lost is written down, so that the library verifies again and `log` can say so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use stockpot_core::{CancelToken, ContentHash, PersonName, ProgressSink};

use crate::SOFTWARE;
use crate::audit::{self, Log};
use crate::audit_check;
use crate::commit::CANDIDATE;
use crate::disk;
use crate::error::{Error, Result};
use crate::library::Writer;
use crate::lock::LockHolder;
use crate::record::{AbsenceReason, Metrics, PersonRecord, Record};
use crate::refs::{Change, Expect, Outcome, RefName, Slot, Snapshot};
use crate::store;
use crate::verify::{FindingKind, VerifyReport};

/// The longest word about a damaged log that goes into the new one.
const MAX_WHY_BYTES: usize = 4 << 10;

/// One thing done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// A temporary file of a writer that was stopped is gone.
    LeftoverRemoved {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        bytes: u64,
    },
    /// A damaged file has another name now, out of the way.
    PutAside {
        /// Its new name.
        path: PathBuf,
    },
    /// A ref names another record.
    RefMoved {
        /// The ref.
        ref_name: String,
        /// What it named; `None`: that could not be read.
        from: Option<ContentHash>,
        /// What it names now.
        to: ContentHash,
    },
    /// A ref is gone, because nothing whole is left that it could name.
    RefRemoved {
        /// The ref.
        ref_name: String,
        /// What it named; `None`: that could not be read.
        from: Option<ContentHash>,
    },
    /// A damaged list of changed refs is gone; the refs are whole without it.
    JournalRemoved,
    /// What a stopped program had left of the log of uses was put right.
    LogSettled,
    /// The damaged log of uses has another name now, and a new one says so.
    LogBegunAnew {
        /// Its new name; `None`: nothing was left of it.
        path: Option<PathBuf>,
    },
    /// The library's secret key can be read by its owner only again.
    KeyClosed,
}

impl std::fmt::Display for Mended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let was = |from: &Option<ContentHash>| match from {
            Some(hash) => format!("named {}, which is not whole", hash.short()),
            None => "was damaged".to_owned(),
        };
        match self {
            Self::LeftoverRemoved { path, .. } => {
                write!(f, "Temporary file removed: {}", path.display())
            }
            Self::PutAside { path } => write!(f, "Damaged file put aside: {}", path.display()),
            Self::RefMoved { ref_name, from, to } => write!(
                f,
                "`{ref_name}` {} and names the newest whole one now, {}",
                was(from),
                to.short()
            ),
            Self::RefRemoved { ref_name, from } => write!(
                f,
                "`{ref_name}` {}; nothing whole is left for it, so it is gone",
                was(from)
            ),
            Self::JournalRemoved => f.write_str("Damaged list of changed refs removed"),
            Self::LogSettled => f.write_str("End of the log of uses put right after a stop"),
            Self::LogBegunAnew { path: Some(path) } => write!(
                f,
                "Damaged log of uses put aside, and begun anew with a word about it: {}",
                path.display()
            ),
            Self::LogBegunAnew { path: None } => {
                f.write_str("Log of uses was missing; begun anew with a word about it")
            }
            Self::KeyClosed => f.write_str("Secret key can be read by its owner only again"),
        }
    }
}

/// What a repair has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairReport {
    /// What was done, in its order.
    pub mended: Vec<Mended>,
    /// What is lost, in words.
    pub lost: Vec<String>,
    /// A former writer that died at work.
    pub left_by: Option<LockHolder>,
    /// The library afterwards.
    pub after: VerifyReport,
}

impl Writer<'_> {
    /// Mends the library; doing it twice is the same as doing it once.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or what the machine refuses.
    pub fn repair(
        &self,
        now_secs: u64,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<RepairReport> {
        let before = self.library.verify(progress, cancel)?;
        let mut mended = self.clear_away(&before)?;
        mended.extend(self.mend_refs(now_secs)?);
        mended.extend(self.drop_damaged_journal()?);
        mended.extend(self.mend_log(&before, now_secs)?);
        let lost = self.write_down_losses(now_secs, progress, cancel)?;
        Ok(RepairReport {
            mended,
            lost,
            left_by: self.left_by(),
            after: self.library.verify(progress, cancel)?,
        })
    }

    /// Removes torn files, puts damaged ones aside.
    fn clear_away(&self, before: &VerifyReport) -> Result<Vec<Mended>> {
        let disk = &self.library.disk;
        let mut mended = Vec::new();
        for finding in &before.findings {
            let path = &finding.path;
            match finding.kind {
                FindingKind::Leftover if path.is_file() => {
                    let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
                    disk.remove(path)?;
                    mended.push(Mended::LeftoverRemoved {
                        path: path.clone(),
                        bytes,
                    });
                }
                FindingKind::DamagedObject | FindingKind::DamagedRecord { .. } => {
                    let aside = aside(path);
                    disk.rename(path, &aside)?;
                    mended.push(Mended::PutAside { path: aside });
                }
                _ => {}
            }
        }
        Ok(mended)
    }

    /// Moves every ref that does not name a whole record to the newest whole one of its sort.
    fn mend_refs(&self, now_secs: u64) -> Result<Vec<Mended>> {
        let layout = &self.library.layout;
        let snapshot = Snapshot::read(layout)?;
        let records = Candidates::read(self)?;
        let mut changes = Vec::new();
        let mut mended = Vec::new();
        for (name, slot) in &snapshot.slots {
            let from = match slot {
                Slot::Good(target) if records.fits(name, &target.record) => continue,
                Slot::Good(target) => Some(target.record),
                Slot::Bad(_) => None,
            };
            let mut to = match name {
                // An older consent was replaced, perhaps by a withdrawal: it must not come back.
                RefName::Consent(person) => self.logged_consent(&snapshot, person, &records)?,
                _ => records.newest(name),
            };
            if let (None, RefName::Person(person)) = (to, name) {
                to = Some(self.put_record(&Record::Person(PersonRecord {
                    name: person.clone(),
                    created_secs: now_secs,
                    software: SOFTWARE.into(),
                }))?);
            }
            changes.push(Change {
                name: name.clone(),
                expect: Expect::Any,
                new: to,
            });
            let ref_name = name.to_string();
            mended.push(match to {
                Some(to) => Mended::RefMoved { ref_name, from, to },
                None => Mended::RefRemoved { ref_name, from },
            });
        }
        if !changes.is_empty()
            && let Outcome::Conflict(moved) = self.transact(&changes)?
        {
            let kept = Vec::new();
            return Err(Error::Conflict { moved, kept });
        }
        Ok(mended)
    }

    /// The consent that the log names last for a person, if it is whole.
    fn logged_consent(
        &self,
        snapshot: &Snapshot,
        person: &PersonName,
        records: &Candidates,
    ) -> Result<Option<ContentHash>> {
        let layout = &self.library.layout;
        let Some(who) = audit::who_is(snapshot, person) else {
            return Ok(None);
        };
        let stated = audit::stated_consent(layout, &who.person)?;
        let name = RefName::Consent(person.clone());
        Ok(stated.filter(|hash| records.fits(&name, hash)))
    }

    /// A damaged log is put aside whole: it is the evidence. The new one begins with what was wrong.
    fn mend_log(&self, before: &VerifyReport, now_secs: u64) -> Result<Vec<Mended>> {
        let layout = &self.library.layout;
        let mut mended = Vec::new();
        let is_open = |f: &crate::Finding| f.kind == FindingKind::KeyOpen;
        if before.findings.iter().any(is_open) {
            disk::close_to_others(&layout.secret_key())?;
            mended.push(Mended::KeyClosed);
        }
        if self.settled_log() {
            mended.push(Mended::LogSettled);
        }
        // As it is now: opening the library for writing has mended what a kill leaves.
        let (_, report) = match audit_check::check(layout) {
            Err(Error::DamagedKey { .. }) => return Ok(mended),
            other => other?,
        };
        let wrong: Vec<String> = report
            .findings
            .iter()
            .filter(|f| f.is_damage())
            .map(ToString::to_string)
            .collect();
        if wrong.is_empty() {
            return Ok(mended);
        }
        let mut log = match Log::open(self.library, now_secs) {
            // Without the key nothing can be signed; the finding stays.
            Err(Error::MissingKey { .. } | Error::DamagedKey { .. }) => return Ok(mended),
            other => other?,
        };
        let path = layout.audit_log();
        let aside = path.exists().then(|| aside(&path));
        let mut why = wrong.join("; ");
        if why.len() > MAX_WHY_BYTES {
            why = format!("{} places, the first: {}", wrong.len(), wrong[0]);
        }
        log.begin_anew(aside.as_deref(), &why, now_secs)?;
        mended.push(Mended::LogBegunAnew { path: aside });
        Ok(mended)
    }

    fn drop_damaged_journal(&self) -> Result<Option<Mended>> {
        let path = self.library.layout.damaged_journal();
        if !path.exists() {
            return Ok(None);
        }
        self.library.disk.remove(&path)?;
        Ok(Some(Mended::JournalRemoved))
    }

    fn write_down_losses(
        &self,
        now_secs: u64,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<Vec<String>> {
        let report = self.library.verify(progress, cancel)?;
        let mut objects = BTreeMap::new();
        let mut records = BTreeSet::new();
        let mut lost = BTreeSet::new();
        for finding in &report.findings {
            match &finding.kind {
                FindingKind::MissingObject { object } => {
                    objects.insert(*object, 0);
                    lost.insert(format!("{}, {}", self.owner_of(object), object.short()));
                }
                FindingKind::MissingParent { parent } => {
                    records.insert(*parent);
                    lost.insert(format!("the record {}", parent.short()));
                }
                _ => {}
            }
        }
        self.put_absence(AbsenceReason::Lost, &objects, &records, None, now_secs)?;
        Ok(lost.into_iter().collect())
    }

    /// What an object was, by the first record that names it.
    fn owner_of(&self, object: &ContentHash) -> String {
        let layout = &self.library.layout;
        let records = store::list_records(layout).unwrap_or_default();
        let owner = records.iter().find_map(|hash| {
            // An unreadable record is told as a loss of its own.
            let record = store::get_record(layout, hash).ok()?;
            record.objects().contains(object).then_some(record)
        });
        match owner {
            Some(Record::EncoderState(r)) => format!("weights of the encoder of run {}", r.run),
            Some(Record::DecoderState(r)) => {
                format!("weights of the decoder of `{}` of run {}", r.person, r.run)
            }
            Some(Record::Consent(r)) => format!("evidence of the consent of `{}`", r.person),
            _ => "an object".to_owned(),
        }
    }
}

/// `NAME.damaged`, or with a number if that is taken.
fn aside(path: &Path) -> PathBuf {
    let mut tries = 0u32;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(".damaged");
        if tries > 0 {
            name.push(format!(".{tries}"));
        }
        let aside = PathBuf::from(name);
        if !aside.exists() {
            return aside;
        }
        tries += 1;
    }
}

/// The records that a ref may name: readable, with all that they need directly.
struct Candidates {
    by_ref: BTreeMap<RefName, BTreeSet<(u64, ContentHash)>>,
}

impl Candidates {
    /// Damaged files are out of the way by now, so what is there is whole.
    fn read(writer: &Writer<'_>) -> Result<Self> {
        let layout = &writer.library.layout;
        let mut records = BTreeMap::new();
        for hash in store::list_records(layout)? {
            // Unreadable ones cannot be named.
            if let Ok(record) = store::get_record(layout, &hash) {
                records.insert(hash, record);
            }
        }
        let has_objects =
            |record: &Record| record.objects().iter().all(|o| layout.object(o).is_file());
        let mut by_ref: BTreeMap<RefName, BTreeSet<(u64, ContentHash)>> = BTreeMap::new();
        for (hash, record) in &records {
            let whole = has_objects(record)
                && match record {
                    Record::DecoderState(r) => {
                        records.get(&r.encoder_state).is_some_and(has_objects)
                    }
                    _ => true,
                };
            if let Some(name) = ref_of(record).filter(|_| whole) {
                let at = (record.created_secs(), *hash);
                by_ref.entry(name).or_default().insert(at);
            }
        }
        Ok(Self { by_ref })
    }

    fn fits(&self, name: &RefName, hash: &ContentHash) -> bool {
        let found = self.by_ref.get(name);
        found.is_some_and(|all| all.iter().any(|(_, h)| h == hash))
    }

    fn newest(&self, name: &RefName) -> Option<ContentHash> {
        let newest = self.by_ref.get(name).and_then(BTreeSet::last);
        newest.map(|(_, hash)| *hash)
    }
}

/// The ref that may name a record.
fn ref_of(record: &Record) -> Option<RefName> {
    let of = |person: &PersonName| person.clone();
    let released = |metrics: &Metrics| !metrics.contains_key(CANDIDATE);
    match record {
        Record::EncoderState(r) if released(&r.metrics) => Some(RefName::Encoder),
        Record::DecoderState(r) if released(&r.metrics) => Some(RefName::Decoder(of(&r.person))),
        Record::Person(r) => Some(RefName::Person(of(&r.name))),
        Record::Consent(r) => Some(RefName::Consent(of(&r.person))),
        _ => None,
    }
}
