//! What can go wrong with a library, grouped by who can act, and what to do next.

use std::io;
use std::path::{Path, PathBuf};

use stockpot_core::{ContentHash, PersonName};

use crate::lock::LockHolder;
use crate::record::AbsenceReason;
use crate::utc::utc_text;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// One ref that somebody else has moved since a run started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The ref: `encoder` or `persons/NAME/decoder`.
    pub ref_name: String,
    /// The record it named when the run started; `None`: it did not exist.
    pub expected: Option<ContentHash>,
    /// The record it names now; `None`: it is gone.
    pub found: Option<ContentHash>,
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |h: &Option<ContentHash>| h.map_or_else(|| "nothing".into(), |h| h.short());
        write!(
            f,
            "{} named {} and now names {}",
            self.ref_name,
            name(&self.expected),
            name(&self.found)
        )
    }
}

/// Everything that can fail in a library. [`Error::hint`] says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // ---- the user's input -------------------------------------------------------------------
    /// The folder holds no library.
    #[error("This folder is not a stockpot library (it has no `stockpot.json`): {}", dir.display())]
    NotALibrary {
        /// The folder.
        dir: PathBuf,
    },
    /// `init` on a library.
    #[error("This folder is a stockpot library already: {}", dir.display())]
    AlreadyALibrary {
        /// The folder.
        dir: PathBuf,
    },
    /// `init` in a folder with other things in it.
    #[error("A library needs a new or empty folder; this one holds `{entry}`: {}", dir.display())]
    FolderNotEmpty {
        /// The folder.
        dir: PathBuf,
        /// One thing that is in the way.
        entry: String,
    },
    /// Nobody of this name is in the library.
    #[error(
        "The library knows no person `{person}`; it knows {}",
        list_or(known, "nobody yet")
    )]
    NoSuchPerson {
        /// The name that was asked for.
        person: PersonName,
        /// The names there are.
        known: Vec<String>,
    },
    /// The name is taken.
    #[error("The person `{person}` is in the library already, with consent `{consent}`")]
    PersonExists {
        /// The name.
        person: PersonName,
        /// The basis of the consent on record.
        consent: String,
    },
    /// The name differs from another one in case only, so the two would share a folder on some systems.
    #[error(
        "The name `{person}` differs from the known person `{other}` in upper and lower case only"
    )]
    NameTooClose {
        /// The name asked for.
        person: PersonName,
        /// The name there is.
        other: PersonName,
    },
    /// No consent on record: this face may not be trained or drawn.
    #[error("There is no consent on record for the person `{person}`")]
    NoConsent {
        /// The person.
        person: PersonName,
    },
    /// A consent that does not say enough.
    #[error("This consent cannot be recorded: {reason}")]
    BadConsent {
        /// What is missing.
        reason: &'static str,
    },
    /// Nothing is called so.
    #[error(
        "Nothing in the library is called `{key}`: a person, a run, or the first 4 or more digits of a hash is wanted"
    )]
    NotFound {
        /// The text that was asked for.
        key: String,
    },
    /// Several hashes start so.
    #[error("`{prefix}` is the beginning of {} things: {}", matches.len(), list_or(matches, "none"))]
    Ambiguous {
        /// The text that was asked for.
        prefix: String,
        /// What starts so, at most 8 of them.
        matches: Vec<String>,
    },
    /// A state of another family of networks.
    #[error(
        "This library holds networks of the family `{library}`, the states offered are of the family `{offered}`"
    )]
    OtherFamily {
        /// The library's family.
        library: String,
        /// The family offered.
        offered: String,
    },
    /// The library was made by a newer stockpot.
    #[error("This library has format version {found}, this stockpot reads up to {known}: {}", path.display())]
    NewerFormat {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
        /// The file that says so.
        path: PathBuf,
    },
    /// A record was made by a newer stockpot.
    #[error("The record {} is a `{kind}` of version {version}, which this stockpot does not know", hash.short())]
    NewerRecord {
        /// The record.
        hash: ContentHash,
        /// Its kind.
        kind: String,
        /// Its version.
        version: u32,
    },
    /// A record of another kind than was asked for.
    #[error("The record {} is a {found}, a {wanted} is wanted", hash.short())]
    WrongKind {
        /// The record.
        hash: ContentHash,
        /// The kind that was asked for.
        wanted: String,
        /// The kind it has.
        found: String,
    },
    /// A folder without the three files of a model of 2018.
    #[error("This folder has no {}; of Keras weights it has {}: {}", list(missing), list_or(found, "none"), dir.display())]
    NoLegacyFiles {
        /// The files that are not there.
        missing: Vec<String>,
        /// Files ending in `.h5` that are there, at most 12 of them.
        found: Vec<String>,
        /// The folder.
        dir: PathBuf,
    },
    /// A file that does not read as Keras weights.
    #[error("This file cannot be read as Keras weights: {reason}: {}", path.display())]
    BadLegacyFile {
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// Keras weights of another network than the one of 2018.
    #[error("These are weights of {what}, which cannot be imported; seen: {seen}: {}", path.display())]
    OtherLegacyNetwork {
        /// The network, by name where it is known.
        what: String,
        /// What tells it.
        seen: String,
        /// The file.
        path: PathBuf,
    },
    /// A folder to be written that holds something.
    #[error("A new or empty folder is wanted, this one is not: {}", dir.display())]
    LegacyFolderTaken {
        /// The folder.
        dir: PathBuf,
    },
    /// A file that is no whole export.
    #[error("This file is no whole export of a library: {reason}: {}", path.display())]
    BadBundle {
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// An export of a newer stockpot.
    #[error("This export has format version {found}, this stockpot reads up to {known}: {}", path.display())]
    NewerBundle {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
        /// The file.
        path: PathBuf,
    },
    /// What an import would have to overwrite.
    #[error("The import was not made, because something else is here already: {}", conflicts.join("; "))]
    ImportConflict {
        /// Each conflict in words.
        conflicts: Vec<String>,
    },
    /// An import under another name that is not of one person.
    #[error("Another name can be given to a file with one person; this one has {found}")]
    NotOnePerson {
        /// How many it has.
        found: usize,
    },
    /// A consent that was taken back.
    #[error("The consent of `{person}` was withdrawn on {}: nothing may be done with their face", utc_text(*at_secs))]
    ConsentWithdrawn {
        /// The person.
        person: PersonName,
        /// When, in seconds since 1970 UTC.
        at_secs: u64,
    },
    /// A consent that is over.
    #[error("The consent of `{person}` ended on {}", utc_text(*until_secs))]
    ConsentExpired {
        /// The person.
        person: PersonName,
        /// The first moment at which it did not hold, in seconds since 1970 UTC.
        until_secs: u64,
    },
    /// A use that a consent does not name.
    #[error(
        "The consent of `{person}` does not cover {wanted}; it allows: {}",
        list_or(allowed, "nothing")
    )]
    ConsentOutOfScope {
        /// The person.
        person: PersonName,
        /// What was to be done.
        wanted: &'static str,
        /// What is allowed, as on the command line.
        allowed: Vec<String>,
    },
    /// A use for something that a consent does not name.
    #[error(
        "The consent of `{person}` is for {}; {}",
        quoted(projects),
        asked_for(asked)
    )]
    ConsentOtherProject {
        /// The person.
        person: PersonName,
        /// What it is for.
        projects: Vec<String>,
        /// What was asked for.
        asked: Option<String>,
    },
    /// A consent that neither the library's log nor its signature stands behind.
    #[error("The consent of `{person}` on record, {}, is not the one that was entered: the library's log does not name it", consent.short())]
    ConsentNotVouched {
        /// The person.
        person: PersonName,
        /// The record that was found.
        consent: ContentHash,
    },
    /// A face that may not be given to others.
    #[error("The face of `{person}` may not be given to others: {reason}")]
    SharingForbidden {
        /// The person.
        person: PersonName,
        /// Why.
        reason: &'static str,
    },
    /// An export of nothing.
    #[error("There is nothing to export: {reason}")]
    NothingToExport {
        /// What is missing.
        reason: &'static str,
    },
    /// A file that would be overwritten.
    #[error("This file is there already: {}", path.display())]
    FileTaken {
        /// The file.
        path: PathBuf,
    },
    /// Bytes beyond the limit of their kind.
    #[error("The {what} has {found_bytes} bytes, at most {limit_bytes} are allowed")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size.
        found_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },

    // ---- other programs at work -------------------------------------------------------------
    /// Another writer is at work.
    #[error("The library is being changed by {}: {}", holder_text(holder), path.display())]
    Locked {
        /// Who holds the lock, if it can be read.
        holder: Option<LockHolder>,
        /// The lock file.
        path: PathBuf,
    },
    /// Somebody else committed meanwhile. Nothing is lost: the states are kept and named.
    #[error(
        "Somebody else has changed the library since this run started: {}. The states of this run are kept, but are not current: {}",
        list(moved),
        list_or(kept, "none")
    )]
    Conflict {
        /// What has moved.
        moved: Vec<Moved>,
        /// The kept states, as `encoder HASH` or `NAME HASH` with the full hash of the record.
        kept: Vec<String>,
    },
    /// The refs kept changing while they were read.
    #[error("The library changed {tries} times while it was being read: {}", path.display())]
    Busy {
        /// How often reading was tried.
        tries: u32,
        /// The folder of the refs.
        path: PathBuf,
    },
    /// The caller asked to stop.
    #[error("Stopped")]
    Cancelled,

    // ---- the machine ------------------------------------------------------------------------
    /// The disk or the quota is full.
    #[error("The disk is full: could not {action}; what was in the library before is unharmed: {}", path.display())]
    DiskFull {
        /// What was being done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No permission to write, or a read-only disk.
    #[error("No permission to {action}: {}", path.display())]
    NotAllowed {
        /// What was being done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no random numbers for a key.
    #[error("The system gives no random numbers for a key: {reason}")]
    NoRandomNumbers {
        /// What it said.
        reason: String,
    },
    /// Anything else that the system refused.
    #[error("Could not {action} ({source}): {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    // ---- damage -----------------------------------------------------------------------------
    /// Half of the library's key is gone.
    #[error("The library's key is missing, so nothing can be signed: {}", path.display())]
    MissingKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// A key that is none.
    #[error("The library's key is damaged: {reason}: {}", path.display())]
    DamagedKey {
        /// What is wrong.
        reason: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// An object whose bytes are not those it is named after.
    #[error("The object {} is damaged: its bytes hash to {}: {}", hash.short(), found.short(), path.display())]
    DamagedObject {
        /// Its name.
        hash: ContentHash,
        /// The hash of its bytes.
        found: ContentHash,
        /// The file.
        path: PathBuf,
    },
    /// An object that is not there.
    #[error("The object {} is missing: {}", hash.short(), path.display())]
    MissingObject {
        /// Its name.
        hash: ContentHash,
        /// Where it should be.
        path: PathBuf,
    },
    /// An object that was removed on purpose.
    #[error("The object {} is not in the library: {reason}", hash.short())]
    Absent {
        /// Its name.
        hash: ContentHash,
        /// Why.
        reason: AbsenceReason,
    },
    /// Something is damaged or missing, so that it is not known what is needed.
    #[error("The library is not whole, so nothing was removed: {what}")]
    NotWhole {
        /// The first thing that is wrong.
        what: String,
    },
    /// A record whose bytes are not those it is named after, or that does not read as one.
    #[error("The record {} is damaged: {reason}: {}", hash.short(), path.display())]
    DamagedRecord {
        /// Its name.
        hash: ContentHash,
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// A record that is not there.
    #[error("The record {} is missing: {}", hash.short(), path.display())]
    MissingRecord {
        /// Its name.
        hash: ContentHash,
        /// Where it should be.
        path: PathBuf,
    },
    /// A ref that does not read as one.
    #[error("The ref `{ref_name}` is damaged: {reason}: {}", path.display())]
    DamagedRef {
        /// The ref.
        ref_name: String,
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// `stockpot.json` does not read.
    #[error("The library's `stockpot.json` is damaged: {reason}: {}", path.display())]
    DamagedLibraryFile {
        /// What is wrong.
        reason: String,
        /// The file.
        path: PathBuf,
    },

    // ---- our bug ----------------------------------------------------------------------------
    /// Values that a job must never pass in.
    #[error("The run cannot be committed: {reason}")]
    BadCommit {
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// The next thing to do, best a command to type.
    pub fn hint(&self) -> Option<String> {
        let verify = "`stockpot library verify` lists everything that is damaged";
        Some(match self {
            Self::NotALibrary { .. } => {
                "make one with `stockpot init`, or name another folder with `--library DIR`".into()
            }
            Self::AlreadyALibrary { .. } => {
                "use it as it is; `stockpot library status` shows what is in it".into()
            }
            Self::FolderNotEmpty { .. } => "name another folder with `--library DIR`".into(),
            Self::NoSuchPerson { person, .. } | Self::NoConsent { person } => {
                format!("`stockpot person add {person} --consent FILE|self|synthetic`")
            }
            Self::PersonExists { person, .. } => format!(
                "use another name; `stockpot person show {person}` shows who this is, and `stockpot person remove {person}` takes the person out"
            ),
            Self::NameTooClose { other, .. } => {
                format!("use `{other}` if you mean that person, another name if not")
            }
            Self::BadConsent { .. } => {
                "say `--consent self` for your own face, `--consent synthetic` for a rendered one, or `--consent FILE` with the signed paper or recording".into()
            }
            Self::NotFound { .. } => {
                "`stockpot library log` lists all states, `stockpot person list` all persons".into()
            }
            Self::Ambiguous { .. } => "type more digits of the hash".into(),
            Self::OtherFamily { library, .. } => format!(
                "train a network of the family `{library}` (`--preset`), or use another library with `--library DIR`"
            ),
            Self::NewerFormat { .. } | Self::NewerRecord { .. } => {
                "use a newer stockpot; nothing was changed".into()
            }
            Self::Locked { .. } => "wait until it is done and try again".into(),
            Self::Conflict { .. } => {
                "`stockpot library show HASH` shows a kept state; train again to go on from what is current now, or `--from HASH` from a kept one".into()
            }
            Self::Busy { .. } => "try again".into(),
            Self::DiskFull { .. } => {
                "make room on this disk and run the command again; a training run goes on from its last checkpoint".into()
            }
            Self::NotAllowed { .. } => {
                "check who owns the folder, or name another one with `--library DIR`".into()
            }
            Self::Absent { .. } => {
                "`stockpot library log` shows which states have their weights; an export made earlier can be imported again".into()
            }
            Self::NotWhole { .. } => "`stockpot library repair`, then try again".into(),
            Self::MissingObject { .. }
            | Self::DamagedObject { .. }
            | Self::DamagedRecord { .. }
            | Self::MissingRecord { .. }
            | Self::DamagedRef { .. } => verify.into(),
            Self::DamagedLibraryFile { .. } => {
                "`stockpot library repair` writes it anew".into()
            }
            Self::NoLegacyFiles { found, .. } if found.iter().any(|f| f.starts_with("IAE_")) => {
                "IAE models have intermediate layers that stockpot does not know; only folders with encoder.h5, decoder_A.h5 and decoder_B.h5 can be imported".into()
            }
            Self::NoLegacyFiles { .. } => {
                "name the folder that holds encoder.h5, decoder_A.h5 and decoder_B.h5; files of the same network under other names, such as original_encoder.h5, can be copied under these".into()
            }
            Self::BadLegacyFile { .. } => {
                "take the file from another copy of the folder; the old programs left torn files when they were stopped while saving".into()
            }
            Self::OtherLegacyNetwork { .. } => {
                "only the network of 2018 with 2 to 5 layers can be imported (FakeApp, OpenFaceSwap, faceswap's Original and LowMem); nothing was changed".into()
            }
            Self::BadBundle { .. } => {
                "nothing was changed; copy or export the file again".into()
            }
            Self::NewerBundle { .. } => "use a newer stockpot; nothing was changed".into(),
            Self::ImportConflict { .. } => {
                "nothing was changed; `stockpot library import FILE --as NEWNAME` takes one person in under another name".into()
            }
            Self::NotOnePerson { .. } => "leave `--as` out, or export one person".into(),
            Self::SharingForbidden { person, .. } => {
                format!("if their consent allows it: `stockpot person sharing {person} allowed`")
            }
            Self::ConsentWithdrawn { person, .. } => format!(
                "`stockpot person remove {person} --erase` takes everything of theirs out; if they agree again, `stockpot person consent {person} --consent FILE`"
            ),
            Self::ConsentExpired { person, .. } => format!(
                "if they agree to a longer time: `stockpot person consent {person} --until YYYY-MM-DD`"
            ),
            Self::ConsentOutOfScope { person, .. } => format!(
                "if they agree to it: `stockpot person consent {person} --allow LIST`, of train, swap, rehearsal, share"
            ),
            Self::ConsentOtherProject { person, .. } => format!(
                "say what this is for with `--project TEXT`; if they agree to another project: `stockpot person consent {person} --for TEXT`"
            ),
            Self::ConsentNotVouched { person, .. } => format!(
                "`stockpot library audit --person {person}` shows which consents were entered; `stockpot person consent {person} --consent FILE|self|synthetic` enters one anew"
            ),
            Self::MissingKey { .. } | Self::DamagedKey { .. } => {
                "bring the folder `keys` of the library back from a copy; without it, remove `keys` and enter every consent anew with `stockpot person consent NAME --consent …`".into()
            }
            Self::NothingToExport { .. } => "`stockpot library status` shows what there is".into(),
            Self::FileTaken { .. } => "name another file".into(),
            Self::LegacyFolderTaken { .. } => "name a folder that does not exist yet".into(),
            Self::TooLarge { .. }
            | Self::WrongKind { .. }
            | Self::Cancelled
            | Self::Io { .. }
            | Self::NoRandomNumbers { .. }
            | Self::BadCommit { .. } => return None,
        })
    }

    /// Sorts what the system said by who can act on it. `action` completes "could not …".
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let path = path.to_path_buf();
        match source.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Self::DiskFull {
                action,
                path,
                source,
            },
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Self::NotAllowed {
                action,
                path,
                source,
            },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn list_or(items: &[String], empty: &str) -> String {
    if items.is_empty() {
        empty.into()
    } else {
        list(items)
    }
}

fn quoted(items: &[String]) -> String {
    let texts: Vec<String> = items.iter().map(|text| format!("`{text}`")).collect();
    texts.join(", ")
}

fn asked_for(project: &Option<String>) -> String {
    project.as_ref().map_or_else(
        || "this is for no project by name".into(),
        |project| format!("this is for `{project}`"),
    )
}

fn holder_text(holder: &Option<LockHolder>) -> String {
    holder.as_ref().map_or_else(
        || "another process".into(),
        |h| format!("process {} since {}", h.pid, utc_text(h.since_secs)),
    )
}
