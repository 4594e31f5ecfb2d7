//! The library: the folder that holds persons, their consent, encoder and decoder states and runs.
//!
//! Plain files, no GPU, no network. What is written once never changes: [objects](Library::get_object)
//! are bytes named by their BLAKE3, [records](Record) are small JSON files named the same way, each
//! naming its parents. Only the *refs* change: which encoder state is current, and each person's
//! decoder and consent. Refs move together or not at all, also when the program is killed in between.
//!
//! Knows nothing of networks, videos, faces, clocks or the terminal: bytes, names and times are
//! passed in, plain values come out. The files are described in `docs/formats/library.md`.
//!
//! Start with [`Library`] (reading, needs no lock), [`Writer`] (changing, one at a time) and
//! [`RunCommit`] (what a training run leaves behind).

mod absence;
mod audit;
mod audit_check;
mod bundle;
mod commit;
mod consent;
mod consent_record;
mod disk;
mod erase;
mod error;
mod gc;
mod kinship;
mod layout;
pub mod legacy;
mod library;
mod lock;
mod log;
mod objects;
mod passports;
mod persons;
mod record;
mod refs;
mod rehearsal;
mod repair;
mod run_id;
mod show;
mod signing;
mod space;
mod status;
mod store;
mod utc;
mod verify;

#[cfg(test)]
mod tests;

pub use audit::{Deed, Used};
pub use audit_check::{AuditFinding, AuditLine, AuditReport};
pub use bundle::{
    BundleKind, EncoderImport, Exported, ImportOptions, ImportReport, ImportedPerson,
    MAX_HEADER_BYTES, PersonImport, RehearsalFaces, Selection,
};
pub use commit::{
    CANDIDATE, CommitReport, EncoderChoice, NewDecoder, NewState, RunCommit, StartingPoint,
};
pub use consent::{Consent, ConsentChange, ConsentSource, Consented, Terms};
pub use consent_record::{
    Allowed, ConsentBasis, ConsentRecord, ConsentState, Purpose, Sharing, Signed, Use,
};
pub use erase::ErasureReport;
pub use error::{Error, Moved, Result};
pub use gc::{CollectedState, GcOptions, GcReport, KEPT_DAYS, KEPT_STATES};
pub use kinship::Kinship;
pub use library::{InitOptions, Library, Writer};
pub use lock::LockHolder;
pub use log::{LogReport, LogRow, LogState, Weights};
pub use objects::{MAX_OBJECT_BYTES, hash_of, hash_of_file};
pub use passports::{NewPassport, PassportRecord};
pub use persons::{PersonSummary, RemovalReport};
pub use record::{
    AbsenceReason, AbsenceRecord, DecoderForm, DecoderStateRecord, EncoderStateRecord,
    MAX_RECORD_BYTES, Metrics, PersonRecord, Record, RunRecord, StatesNamed, Stored,
};
pub use rehearsal::{ErasedRehearsal, MOST_REHEARSAL_FACES, NewRehearsal, RehearsalRecord};
pub use repair::{Mended, RepairReport};
pub use run_id::{BadRunId, RunId};
pub use show::{PersonDetail, Shown};
pub use signing::PublicKey;
pub use space::free_bytes;
pub use status::{DecoderStatus, EncoderStatus, PersonStatus, StatusReport};
pub use utc::{date_text, end_of_day, utc_text};
pub use verify::{Finding, FindingKind, VerifyReport};

/// The newest library format that this software reads and the one that it writes.
pub const FORMAT_VERSION: u32 = 1;

/// What is written into records as the software that made them.
pub const SOFTWARE: &str = concat!("stockpot ", env!("CARGO_PKG_VERSION"));
