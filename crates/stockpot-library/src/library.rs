//! A library as a whole: make one, open one, read what is current, become its writer.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stockpot_core::{ContentHash, PersonName};

use crate::audit::{self, Deed, Said};
use crate::disk::{Disk, PART, ReadFailure, entries, parent, read_bounded};
use crate::error::{Error, Result};
use crate::layout::{FOLDERS, Layout};
use crate::lock::{LockHolder, WriteLock};
use crate::objects::{self, MAX_OBJECT_BYTES};
use crate::record::{DecoderStateRecord, EncoderStateRecord, Record, Stored};
use crate::refs::{self, Change, Expect, Outcome, RefName, Slot, Snapshot};
use crate::run_id::RunId;
use crate::signing::{self, Keys, PublicKey};
use crate::{FORMAT_VERSION, SOFTWARE, store};

/// The largest `stockpot.json` read.
const MAX_LIBRARY_FILE_BYTES: u64 = 64 << 10;
/// How many names of a run are tried before giving up.
const RUN_ID_TRIES: u32 = 64;
/// What `stockpot.json` says first, so that another program's file of that name is not taken for ours.
const FORMAT_NAME: &str = "stockpot-library";

/// What a new library is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitOptions {
    /// The family of networks that may be committed; `None`: that of the first encoder committed.
    pub family: Option<String>,
    /// The time, in seconds since 1970 UTC.
    pub now_secs: u64,
}

/// `stockpot.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LibraryFile {
    format: String,
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    created_secs: u64,
    created_by: String,
}

/// What every version of `stockpot.json` says.
#[derive(Deserialize)]
struct LibraryHead {
    format: String,
    version: u32,
}

/// A library open for reading. Reading takes no lock and changes nothing; several readers and one
/// [`Writer`] work side by side, in one process or many.
#[derive(Clone)]
pub struct Library {
    pub(crate) layout: Layout,
    pub(crate) disk: Disk,
    file: LibraryFile,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library")
            .field("root", &self.layout.root)
            .field("family", &self.file.family)
            .finish_non_exhaustive()
    }
}

impl Library {
    /// Makes a library in a new or empty folder. One that was interrupted can be made again.
    ///
    /// # Errors
    /// [`Error::AlreadyALibrary`], [`Error::FolderNotEmpty`], or what the machine refuses.
    pub fn init(dir: &Path, options: &InitOptions) -> Result<Self> {
        Self::init_on(Disk::default(), dir, options)
    }

    pub(crate) fn init_on(disk: Disk, dir: &Path, options: &InitOptions) -> Result<Self> {
        let layout = Layout::new(dir);
        if layout.library_file().exists() {
            return Err(Error::AlreadyALibrary { dir: dir.into() });
        }
        refuse_other_contents(&layout)?;
        std::fs::create_dir_all(dir).map_err(|e| Error::io("make the folder", dir, e))?;
        // Best effort: the folder around a library may be one that we cannot read.
        let _ = disk.sync_folder(parent(dir));
        for folder in FOLDERS {
            disk.make_folder(&dir.join(folder))?;
        }
        // Last: without this file the folder is not a library yet.
        Self::write_file(disk, layout, options)
    }

    fn write_file(disk: Disk, layout: Layout, options: &InitOptions) -> Result<Self> {
        let file = LibraryFile {
            format: FORMAT_NAME.into(),
            version: FORMAT_VERSION,
            family: options.family.clone(),
            created_secs: options.now_secs,
            created_by: SOFTWARE.into(),
        };
        let mut bytes = serde_json::to_vec_pretty(&file).map_err(|e| Error::BadCommit {
            reason: e.to_string(),
        })?;
        bytes.push(b'\n');
        disk.write_whole(&layout.library_file(), &bytes)?;
        Ok(Self { layout, disk, file })
    }

    /// Opens a library for reading.
    ///
    /// # Errors
    /// [`Error::NotALibrary`], [`Error::NewerFormat`], [`Error::DamagedLibraryFile`], or what the
    /// machine refuses.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_on(Disk::default(), dir)
    }

    pub(crate) fn open_on(disk: Disk, dir: &Path) -> Result<Self> {
        let layout = Layout::new(dir);
        let path = layout.library_file();
        let damaged = |reason: String| Error::DamagedLibraryFile {
            reason,
            path: path.clone(),
        };
        let bytes =
            read_bounded(&path, MAX_LIBRARY_FILE_BYTES).map_err(|failure| match failure {
                ReadFailure::Missing => Error::NotALibrary { dir: dir.into() },
                ReadFailure::TooLarge { found_bytes } => {
                    damaged(format!("it has {found_bytes} bytes"))
                }
                ReadFailure::Io(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
                    Error::NotALibrary { dir: dir.into() }
                }
                ReadFailure::Io(e) => Error::io("read the library file", &path, e),
            })?;
        let head: LibraryHead =
            serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if head.format != FORMAT_NAME {
            return Err(damaged(format!(
                "its `format` is not `{FORMAT_NAME}` but `{}`",
                head.format.chars().take(80).collect::<String>()
            )));
        }
        if head.version > FORMAT_VERSION {
            return Err(Error::NewerFormat {
                found: head.version,
                known: FORMAT_VERSION,
                path,
            });
        }
        if head.version == 0 {
            return Err(damaged("its `version` is 0".into()));
        }
        let file: LibraryFile =
            serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { layout, disk, file })
    }

    /// Writes `stockpot.json` anew where it is missing or damaged, but the rest of a library is there;
    /// what is left of the old one is put aside as `stockpot.json.damaged`. The family of networks
    /// is then that of the current encoder.
    ///
    /// # Errors
    /// [`Error::NotALibrary`] if the folder has no records and refs, or what the machine refuses.
    pub fn mend_file(dir: &Path, now_secs: u64) -> Result<Self> {
        Self::mend_file_on(Disk::default(), dir, now_secs)
    }

    pub(crate) fn mend_file_on(disk: Disk, dir: &Path, now_secs: u64) -> Result<Self> {
        let layout = Layout::new(dir);
        let folders = [layout.objects(), layout.records(), layout.refs()];
        if !folders.iter().all(|folder| folder.is_dir()) {
            return Err(Error::NotALibrary { dir: dir.into() });
        }
        let path = layout.library_file();
        if path.exists() {
            disk.rename(&path, &dir.join("stockpot.json.damaged"))?;
        }
        Self::write_file(
            disk,
            layout,
            &InitOptions {
                family: None,
                now_secs,
            },
        )
    }

    /// The library's folder.
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// Where a person's facesets are. The folder may not exist yet.
    pub fn facesets_dir(&self, person: &PersonName) -> PathBuf {
        self.layout.faceset(person)
    }

    /// Where the runs are.
    pub fn runs_dir(&self) -> PathBuf {
        self.layout.runs()
    }

    /// The folder of one run.
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.layout.runs().join(run.as_str())
    }

    /// Where things lie that can be made again, such as training caches.
    pub fn cache_dir(&self) -> PathBuf {
        self.layout.cache()
    }

    /// Makes the folder of a new run and returns the run's name. Needs no writer: a name is given
    /// once only, whoever asks at the same time.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn new_run_id(&self, now_secs: u64, seed: u64) -> Result<RunId> {
        let runs = self.runs_dir();
        self.disk.make_folder(&runs)?;
        for attempt in 0..RUN_ID_TRIES {
            let run = RunId::derive(now_secs, seed, attempt);
            match std::fs::create_dir(self.run_dir(&run)) {
                Ok(()) => return Ok(run),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("make the run's folder", &runs, e)),
            }
        }
        Err(Error::Busy {
            tries: RUN_ID_TRIES,
            path: runs,
        })
    }

    /// The family of networks this library holds; `None` until the first encoder is committed.
    ///
    /// # Errors
    /// What is damaged.
    pub fn family(&self) -> Result<Option<String>> {
        match &self.file.family {
            Some(family) => Ok(Some(family.clone())),
            None => Ok(self.current_encoder()?.map(|state| state.record.family)),
        }
    }

    pub(crate) fn declared_family(&self) -> Option<String> {
        self.file.family.clone()
    }

    /// The software that made this library.
    pub fn created_by(&self) -> &str {
        &self.file.created_by
    }

    /// The public half of the key that signs this library's consents and log; `None` before the first.
    ///
    /// # Errors
    /// [`Error::DamagedKey`], or what the machine refuses.
    pub fn public_key(&self) -> Result<Option<PublicKey>> {
        signing::read_public(&self.layout)
    }

    /// The current encoder state; `None` in a library where nothing was trained yet.
    ///
    /// # Errors
    /// What is damaged.
    pub fn current_encoder(&self) -> Result<Option<Stored<EncoderStateRecord>>> {
        let snapshot = Snapshot::read(&self.layout)?;
        snapshot
            .target(&self.layout, &RefName::Encoder)?
            .map(|hash| store::get(&self.layout, &hash))
            .transpose()
    }

    /// A person's current decoder state; `None` if none was trained yet.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], or what is damaged.
    pub fn current_decoder(
        &self,
        person: &PersonName,
    ) -> Result<Option<Stored<DecoderStateRecord>>> {
        let snapshot = Snapshot::read(&self.layout)?;
        self.require_person(&snapshot, person)?;
        snapshot
            .target(&self.layout, &RefName::Decoder(person.clone()))?
            .map(|hash| store::get(&self.layout, &hash))
            .transpose()
    }

    /// The bytes of an object, checked against its hash.
    ///
    /// # Errors
    /// [`Error::MissingObject`], [`Error::Absent`], [`Error::DamagedObject`], [`Error::TooLarge`].
    pub fn get_object(&self, hash: &ContentHash) -> Result<Vec<u8>> {
        objects::get(&self.layout, hash, MAX_OBJECT_BYTES).map_err(|e| self.explain(e))
    }

    /// Any record.
    ///
    /// # Errors
    /// [`Error::MissingRecord`], [`Error::DamagedRecord`], [`Error::NewerRecord`].
    pub fn record(&self, hash: &ContentHash) -> Result<Record> {
        store::get_record(&self.layout, hash)
    }

    /// The record of an encoder state.
    ///
    /// # Errors
    /// As [`Library::record`], and [`Error::WrongKind`].
    pub fn encoder_state(&self, hash: &ContentHash) -> Result<Stored<EncoderStateRecord>> {
        store::get(&self.layout, hash)
    }

    /// The record of a decoder state.
    ///
    /// # Errors
    /// As [`Library::record`], and [`Error::WrongKind`].
    pub fn decoder_state(&self, hash: &ContentHash) -> Result<Stored<DecoderStateRecord>> {
        store::get(&self.layout, hash)
    }

    /// Becomes the library's one writer, waiting at most `patience` for another to finish, and
    /// finishes what a killed writer had begun. Hold it briefly: to commit, not while training.
    ///
    /// `now_secs` (since 1970 UTC) is only told to those who find the library locked.
    ///
    /// # Errors
    /// [`Error::Locked`], or what the machine refuses.
    pub fn writer(&self, now_secs: u64, patience: Duration) -> Result<Writer<'_>> {
        let lock = WriteLock::take(&self.layout.lock(), now_secs, patience)?;
        refs::settle(&self.disk, &self.layout)?;
        let writer = Writer {
            library: self,
            lock,
            unlogged: RefCell::new(Vec::new()),
            settled_log: Cell::new(false),
        };
        if self.layout.secret_key().exists() {
            // Puts right what a kill has left of the log.
            let settled = audit::Log::open(self, now_secs);
            writer.note_unlogged(settled.map(|log| writer.settled_log.set(log.settled)));
        }
        Ok(writer)
    }

    pub(crate) fn require_person(&self, snapshot: &Snapshot, person: &PersonName) -> Result<()> {
        if snapshot.has_person(person) {
            return Ok(());
        }
        Err(Error::NoSuchPerson {
            person: person.clone(),
            known: snapshot.persons().iter().map(ToString::to_string).collect(),
        })
    }
}

/// The one writer of a library. Dropping it lets the next one in.
#[derive(Debug)]
pub struct Writer<'a> {
    pub(crate) library: &'a Library,
    lock: WriteLock,
    /// Why something that was done is not in the log.
    unlogged: RefCell<Vec<String>>,
    /// Whether a kill had left half a line in the log, which is gone now.
    settled_log: Cell<bool>,
}

impl Writer<'_> {
    /// The library.
    pub fn library(&self) -> &Library {
        self.library
    }

    /// Why the log lacks something that this writer has done, in words; usually empty. What was done
    /// is done all the same.
    pub fn unlogged(&self) -> Vec<String> {
        self.unlogged.borrow().clone()
    }

    /// Whether becoming the writer has put the end of the log right.
    pub(crate) fn settled_log(&self) -> bool {
        self.settled_log.get()
    }

    /// The library's key, which is made if there is none.
    pub(crate) fn keys(&self, now_secs: u64) -> Result<Keys> {
        Ok(audit::Log::open(self.library, now_secs)?.keys)
    }

    /// Writes a line about something that is done already.
    pub(crate) fn log(&self, deed: Deed, said: Said, now_secs: u64) {
        let written = audit::Log::open(self.library, now_secs)
            .and_then(|mut log| log.append(deed, said, now_secs));
        self.note_unlogged(written);
    }

    /// Writes a line about persons and the consents that they have now.
    pub(crate) fn log_persons(&self, deed: Deed, persons: &[PersonName], now_secs: u64) {
        match Snapshot::read(&self.library.layout) {
            Ok(snapshot) => {
                let who = persons.iter().filter_map(|p| audit::who_is(&snapshot, p));
                let said = Said {
                    who: who.collect(),
                    ..Said::default()
                };
                self.log(deed, said, now_secs);
            }
            Err(e) => self.note_unlogged(Err(e)),
        }
    }

    pub(crate) fn note_unlogged(&self, written: Result<()>) {
        if let Err(e) = written {
            self.unlogged.borrow_mut().push(e.to_string());
        }
    }

    /// The former writer, if it died at work. What it had begun is finished or undone by now.
    pub fn left_by(&self) -> Option<LockHolder> {
        self.lock.left_by
    }

    /// Stores bytes under their hash. Bytes that are there already are not written again.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::DiskFull`], or what else the machine refuses.
    pub fn put_object(&self, bytes: &[u8]) -> Result<ContentHash> {
        objects::put(&self.library.disk, &self.library.layout, bytes)
    }

    pub(crate) fn put_record(&self, record: &Record) -> Result<ContentHash> {
        store::put_record(&self.library.disk, &self.library.layout, record)
    }

    /// Makes another kept state the current encoder, if the current one is still `expected`. A
    /// damaged ref counts as none.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::WrongKind`], or what is damaged or refused.
    pub fn update_encoder(&self, expected: Option<ContentHash>, new: ContentHash) -> Result<()> {
        self.library.encoder_state(&new)?;
        self.update(RefName::Encoder, expected, new)
    }

    /// Makes another kept state of a person the current decoder, if the current one is still
    /// `expected`. A damaged ref counts as none.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::Conflict`], [`Error::WrongKind`], or what is damaged or
    /// refused.
    pub fn update_decoder(
        &self,
        person: &PersonName,
        expected: Option<ContentHash>,
        new: ContentHash,
    ) -> Result<()> {
        let layout = &self.library.layout;
        self.library
            .require_person(&Snapshot::read(layout)?, person)?;
        let state = self.library.decoder_state(&new)?;
        if state.record.person != *person {
            return Err(Error::WrongKind {
                hash: new,
                wanted: format!("decoder state of `{person}`"),
                found: format!("decoder state of `{}`", state.record.person),
            });
        }
        self.update(RefName::Decoder(person.clone()), expected, new)
    }

    fn update(&self, name: RefName, expected: Option<ContentHash>, new: ContentHash) -> Result<()> {
        let snapshot = Snapshot::read(&self.library.layout)?;
        let damaged = matches!(snapshot.slots.get(&name), Some(Slot::Bad(_)));
        let expect = if damaged && expected.is_none() {
            Expect::Any
        } else {
            Expect::Is(expected)
        };
        let change = Change {
            name,
            expect,
            new: Some(new),
        };
        match self.transact(&[change])? {
            Outcome::Done { .. } => Ok(()),
            Outcome::Conflict(moved) => Err(Error::Conflict {
                moved,
                kept: Vec::new(),
            }),
        }
    }

    pub(crate) fn transact(&self, changes: &[Change]) -> Result<Outcome> {
        refs::transact(&self.library.disk, &self.library.layout, changes)
    }
}

/// A new library takes a folder only if nothing but the remains of an interrupted `init` is in it.
fn refuse_other_contents(layout: &Layout) -> Result<()> {
    let refuse = |entry: &str| Error::FolderNotEmpty {
        dir: layout.root.clone(),
        entry: entry.into(),
    };
    for (name, path) in entries(&layout.root)? {
        let unfinished = name.starts_with("stockpot.json.") && name.ends_with(PART);
        let ours = path.is_dir() && FOLDERS.contains(&name.as_str());
        if !unfinished && !ours {
            return Err(refuse(&name));
        }
        if ours && entries(&path)?.iter().any(|(inner, _)| inner != "persons") {
            return Err(refuse(&name));
        }
    }
    if !entries(&layout.ref_persons())?.is_empty() {
        return Err(refuse("refs/persons"));
    }
    Ok(())
}
