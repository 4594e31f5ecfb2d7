//! Refs: the only files that change, and the journal that moves several of them together.
//!
//! A transaction writes its intent (`refs/.commit`: every ref, old and new) whole and flushed, then
//! the refs one by one, then removes the intent. The moment the intent is in place the transaction
//! has happened: readers lay a pending intent over the refs they read, and the next writer carries
//! it out. Before that moment nothing has happened. So refs move together or not at all, wherever
//! the program stops.
//!
//! Readers take no lock. They read everything until two readings agree; as generations only grow,
//! all values then held at the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stockpot_core::{ContentHash, PersonName};

use crate::disk::{Disk, PART, ReadFailure, entries, read_bounded};
use crate::error::{Error, Moved, Result};
use crate::layout::Layout;

/// The largest ref file read.
const MAX_REF_BYTES: u64 = 4096;
/// The largest journal read: room for some 100 000 refs.
const MAX_JOURNAL_BYTES: u64 = 32 << 20;
/// The version of ref and journal files.
const REF_VERSION: u32 = 1;
/// How often refs are read before giving up on two equal readings.
const READ_TRIES: u32 = 100;

/// The name of a ref, and its path below `refs/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RefName {
    Encoder,
    Person(PersonName),
    Consent(PersonName),
    Decoder(PersonName),
}

impl RefName {
    fn path(&self, layout: &Layout) -> PathBuf {
        layout.refs().join(self.to_string())
    }

    /// The person it belongs to, if any.
    pub(crate) fn person(&self) -> Option<&PersonName> {
        match self {
            Self::Encoder => None,
            Self::Person(p) | Self::Consent(p) | Self::Decoder(p) => Some(p),
        }
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoder => f.write_str("encoder"),
            Self::Person(p) => write!(f, "persons/{p}/person"),
            Self::Consent(p) => write!(f, "persons/{p}/consent"),
            Self::Decoder(p) => write!(f, "persons/{p}/decoder"),
        }
    }
}

impl FromStr for RefName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let bad = || {
            format!(
                "`{}` is not a ref",
                text.chars().take(80).collect::<String>()
            )
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            ["encoder"] => Ok(Self::Encoder),
            ["persons", name, what] => {
                let name: PersonName = name.parse().map_err(|_| bad())?;
                match *what {
                    "person" => Ok(Self::Person(name)),
                    "consent" => Ok(Self::Consent(name)),
                    "decoder" => Ok(Self::Decoder(name)),
                    _ => Err(bad()),
                }
            }
            _ => Err(bad()),
        }
    }
}

/// What a ref names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) record: ContentHash,
    /// Grows by one with every move.
    pub(crate) generation: u64,
}

/// A ref as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    Good(Target),
    /// Not readable, and why.
    Bad(String),
}

/// A ref file. `check` covers the name too, so that a ref copied to another place is noticed.
#[derive(Serialize, Deserialize)]
struct RefFile {
    version: u32,
    record: ContentHash,
    generation: u64,
    check: String,
}

/// One ref of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Move {
    #[serde(rename = "ref")]
    name: String,
    old: Option<ContentHash>,
    new: Option<ContentHash>,
    generation: u64,
}

#[derive(Serialize, Deserialize)]
struct JournalFile {
    version: u32,
    changes: Vec<Move>,
    check: String,
}

/// The intent file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Journal {
    Absent,
    Whole(Vec<(RefName, Option<Target>)>),
    Damaged(String),
}

/// All refs at one moment, a pending transaction included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) slots: BTreeMap<RefName, Slot>,
    pub(crate) journal: Journal,
    /// Files below `refs/` that are none of ours.
    pub(crate) strangers: Vec<PathBuf>,
}

impl Snapshot {
    /// Reads all refs.
    pub(crate) fn read(layout: &Layout) -> Result<Self> {
        let mut before = Self::read_once(layout)?;
        for _ in 0..READ_TRIES {
            let mut after = Self::read_once(layout)?;
            if before == after {
                after.overlay();
                return Ok(after);
            }
            before = after;
        }
        Err(Error::Busy {
            tries: READ_TRIES,
            path: layout.refs(),
        })
    }

    fn read_once(layout: &Layout) -> Result<Self> {
        let mut snapshot = Self {
            slots: BTreeMap::new(),
            journal: read_journal(layout)?,
            strangers: Vec::new(),
        };
        for (name, path) in entries(&layout.refs())? {
            match name.as_str() {
                "persons" => {}
                "encoder" => snapshot.read_ref(layout, RefName::Encoder)?,
                // The damaged one is reported by verify, by name.
                ".commit" | ".commit.damaged" => {}
                _ if name.ends_with(PART) => {}
                _ => snapshot.strangers.push(path),
            }
        }
        for (person, folder) in entries(&layout.ref_persons())? {
            let name: std::result::Result<PersonName, _> = person.parse();
            let (Ok(name), true) = (name, folder.is_dir()) else {
                snapshot.strangers.push(folder);
                continue;
            };
            for (what, path) in entries(&folder)? {
                match what.as_str() {
                    "person" => snapshot.read_ref(layout, RefName::Person(name.clone()))?,
                    "consent" => snapshot.read_ref(layout, RefName::Consent(name.clone()))?,
                    "decoder" => snapshot.read_ref(layout, RefName::Decoder(name.clone()))?,
                    _ if what.ends_with(PART) => {}
                    _ => snapshot.strangers.push(path),
                }
            }
        }
        Ok(snapshot)
    }

    fn read_ref(&mut self, layout: &Layout, name: RefName) -> Result<()> {
        let path = name.path(layout);
        let slot = match read_bounded(&path, MAX_REF_BYTES) {
            Ok(bytes) => parse_ref(&name, &bytes).map_or_else(Slot::Bad, Slot::Good),
            // Removed since the folder was listed: it is not there.
            Err(ReadFailure::Missing) => return Ok(()),
            Err(ReadFailure::TooLarge { found_bytes }) => {
                Slot::Bad(format!("it has {found_bytes} bytes"))
            }
            Err(ReadFailure::Io(e)) => return Err(Error::io("read the ref", &path, e)),
        };
        self.slots.insert(name, slot);
        Ok(())
    }

    fn overlay(&mut self) {
        if let Journal::Whole(changes) = &self.journal {
            for (name, target) in changes {
                match target {
                    Some(target) => self.slots.insert(name.clone(), Slot::Good(*target)),
                    None => self.slots.remove(name),
                };
            }
        }
    }

    /// What a ref names; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error::DamagedRef`].
    pub(crate) fn target(&self, layout: &Layout, name: &RefName) -> Result<Option<ContentHash>> {
        match self.slots.get(name) {
            None => Ok(None),
            Some(Slot::Good(target)) => Ok(Some(target.record)),
            Some(Slot::Bad(reason)) => Err(Error::DamagedRef {
                ref_name: name.to_string(),
                reason: reason.clone(),
                path: name.path(layout),
            }),
        }
    }

    /// Every record that a readable ref names.
    pub(crate) fn targets(&self) -> impl Iterator<Item = ContentHash> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Good(target) => Some(target.record),
            Slot::Bad(_) => None,
        })
    }

    /// Everybody with a ref of any sort, sorted.
    pub(crate) fn persons(&self) -> Vec<PersonName> {
        let names: BTreeSet<&PersonName> = self.slots.keys().filter_map(RefName::person).collect();
        names.into_iter().cloned().collect()
    }

    pub(crate) fn has_person(&self, name: &PersonName) -> bool {
        self.slots.keys().any(|r| r.person() == Some(name))
    }
}

/// What a transaction expects a ref to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Exactly this record, or no ref at all.
    Is(Option<ContentHash>),
    /// Whatever it is, also damaged.
    Any,
}

/// One wish of a transaction. `new: None` removes the ref.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) name: RefName,
    pub(crate) expect: Expect,
    pub(crate) new: Option<ContentHash>,
}

/// How a transaction ended.
pub(crate) enum Outcome {
    /// All refs have moved. `unsettled` says why the last, purely tidying steps are left to the
    /// next writer, if they are.
    Done { unsettled: Option<Error> },
    /// Somebody else moved a ref first; nothing was changed.
    Conflict(Vec<Moved>),
}

/// Moves all refs of `changes`, or none. The caller holds the write lock.
pub(crate) fn transact(disk: &Disk, layout: &Layout, changes: &[Change]) -> Result<Outcome> {
    settle(disk, layout)?;
    let snapshot = Snapshot::read(layout)?;
    let mut moved = Vec::new();
    let mut moves = Vec::new();
    for change in changes {
        let slot = snapshot.slots.get(&change.name);
        let found = match slot {
            Some(Slot::Good(target)) => Some(target.record),
            Some(Slot::Bad(_)) | None => None,
        };
        if let Expect::Is(expected) = change.expect {
            if matches!(slot, Some(Slot::Bad(_))) {
                // A damaged ref equals nothing: say so rather than write over it.
                snapshot.target(layout, &change.name)?;
            }
            if expected != found {
                moved.push(Moved {
                    ref_name: change.name.to_string(),
                    expected,
                    found,
                });
            }
        }
        let generation = match slot {
            Some(Slot::Good(target)) => target.generation.saturating_add(1),
            Some(Slot::Bad(_)) | None => 1,
        };
        moves.push(Move {
            name: change.name.to_string(),
            old: found,
            new: change.new,
            generation,
        });
    }
    if !moved.is_empty() {
        return Ok(Outcome::Conflict(moved));
    }
    publish(disk, layout, &moves)?;
    Ok(Outcome::Done {
        unsettled: settle(disk, layout).err(),
    })
}

/// Writes the intent. When it returns, the transaction has happened.
fn publish(disk: &Disk, layout: &Layout, moves: &[Move]) -> Result<()> {
    let file = JournalFile {
        version: REF_VERSION,
        check: journal_check(moves).map_err(|reason| Error::BadCommit { reason })?,
        changes: moves.to_vec(),
    };
    let bytes = serde_json::to_vec(&file).map_err(|e| Error::BadCommit {
        reason: e.to_string(),
    })?;
    if bytes.len() as u64 > MAX_JOURNAL_BYTES {
        return Err(Error::TooLarge {
            what: "list of changed refs".into(),
            found_bytes: bytes.len() as u64,
            limit_bytes: MAX_JOURNAL_BYTES,
        });
    }
    let path = layout.journal();
    disk.write_whole(&path, &bytes).inspect_err(|_| {
        // The rename may have worked and only the flush failed. An error must mean "nothing
        // happened", so take the intent back; if even that fails, the disk is failing and the
        // refs, which verify checks, tell how it ended.
        let _ = disk.remove(&path);
    })
}

/// Carries out a pending intent, if there is one. The caller holds the write lock. Doing it twice
/// is the same as doing it once.
pub(crate) fn settle(disk: &Disk, layout: &Layout) -> Result<()> {
    match read_journal(layout)? {
        Journal::Absent => return Ok(()),
        Journal::Damaged(_) => {
            // Written whole and flushed, then damaged: nothing in it can be trusted. Put aside for
            // verify to report; the refs are as they are.
            return disk.rename(&layout.journal(), &layout.damaged_journal());
        }
        Journal::Whole(changes) => {
            for (name, target) in &changes {
                apply(disk, layout, name, *target)?;
            }
        }
    }
    disk.remove(&layout.journal())
}

fn apply(disk: &Disk, layout: &Layout, name: &RefName, target: Option<Target>) -> Result<()> {
    let path = name.path(layout);
    let folder = name
        .person()
        .map(|person| layout.ref_persons().join(person.as_str()));
    match (target, folder) {
        (Some(target), folder) => {
            if let Some(folder) = folder {
                disk.make_folder(&folder)?;
            }
            disk.write_whole(&path, &ref_bytes(name, target))
        }
        (None, None) => disk.remove(&path),
        (None, Some(folder)) => {
            if !folder.is_dir() {
                return Ok(());
            }
            disk.remove(&path)?;
            if entries(&folder)?.is_empty() {
                // Harmless if it fails: an empty folder is nobody.
                let _ = std::fs::remove_dir(&folder);
            }
            Ok(())
        }
    }
}

fn ref_bytes(name: &RefName, target: Target) -> Vec<u8> {
    let check = ref_check(name, target);
    format!(
        "{{\"version\":{REF_VERSION},\"record\":\"{}\",\"generation\":{},\"check\":\"{check}\"}}\n",
        target.record, target.generation
    )
    .into_bytes()
}

fn parse_ref(name: &RefName, bytes: &[u8]) -> std::result::Result<Target, String> {
    let file: RefFile = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    known_version(file.version)?;
    let target = Target {
        record: file.record,
        generation: file.generation,
    };
    if file.check == ref_check(name, target) {
        Ok(target)
    } else {
        Err("its checksum does not fit".into())
    }
}

fn ref_check(name: &RefName, target: Target) -> String {
    let text = format!("{name}\n{}\n{}", target.record, target.generation);
    crate::objects::hash_of(text.as_bytes()).to_string()[..16].to_owned()
}

fn read_journal(layout: &Layout) -> Result<Journal> {
    let path = layout.journal();
    match read_bounded(&path, MAX_JOURNAL_BYTES) {
        Ok(bytes) => Ok(parse_journal(&bytes).map_or_else(Journal::Damaged, Journal::Whole)),
        Err(ReadFailure::Missing) => Ok(Journal::Absent),
        Err(ReadFailure::TooLarge { found_bytes }) => {
            Ok(Journal::Damaged(format!("it has {found_bytes} bytes")))
        }
        Err(ReadFailure::Io(e)) => Err(Error::io("read the journal", &path, e)),
    }
}

fn parse_journal(bytes: &[u8]) -> std::result::Result<Vec<(RefName, Option<Target>)>, String> {
    let file: JournalFile = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    known_version(file.version)?;
    if file.check != journal_check(&file.changes)? {
        return Err("its checksum does not fit".into());
    }
    file.changes
        .iter()
        .map(|m| {
            let target = m.new.map(|record| Target {
                record,
                generation: m.generation,
            });
            Ok((m.name.parse()?, target))
        })
        .collect()
}

fn journal_check(moves: &[Move]) -> std::result::Result<String, String> {
    let bytes = serde_json::to_vec(moves).map_err(|e| e.to_string())?;
    Ok(crate::objects::hash_of(&bytes).to_string())
}

fn known_version(version: u32) -> std::result::Result<(), String> {
    if version == REF_VERSION {
        Ok(())
    } else {
        Err(format!("its version is {version}, {REF_VERSION} is known"))
    }
}
