//! An export: an encoder, a person or a whole library as one file, and back.
//!
//! The file is a header (JSON with the length and the BLAKE3 of everything that follows) and the raw
//! bytes of records and objects, nothing else; `docs/formats/bundle.md` describes it. Reading trusts
//! nothing: the header's numbers are compared with the length of the file before anything is
//! allocated by them, and every byte is hashed before anything becomes visible.
//!
//! Start with [`Library::export`] and [`Writer::import`](crate::Writer::import).

mod export;
mod import;
mod plan;
mod read;

use serde::{Deserialize, Serialize};
use stockpot_core::{ContentHash, PersonName};

pub use export::{Exported, RehearsalFaces, Selection};
pub use import::{EncoderImport, ImportOptions, ImportReport, ImportedPerson, PersonImport};

/// What the file begins with.
const MAGIC: &[u8; 8] = b"STOCKBDL";
/// The version that is written and the newest that is read.
const VERSION: u32 = 1;
/// Magic, version, length of the header.
const PREFIX_BYTES: u64 = 16;
/// The header's hash.
const HASH_BYTES: u64 = 32;
/// The largest header: room for some 150 000 records and objects.
pub const MAX_HEADER_BYTES: u64 = 16 << 20;
/// The most bytes of records, which are kept in memory while they are looked at.
const MAX_RECORDS_BYTES: u64 = 256 << 20;
/// How much is read or written at once.
const PIECE_BYTES: usize = 1 << 20;

/// What a file is an export of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BundleKind {
    /// An encoder state.
    Encoder,
    /// One person.
    Person,
    /// A library.
    Library,
}

/// The header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: BundleKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    family: Option<String>,
    /// The record of the encoder state: the current one, or the one of the person's decoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoder: Option<ContentHash>,
    /// By name, each once.
    persons: Vec<PersonEntry>,
    /// By hash, each once; in this order in the file.
    records: Vec<Entry>,
    /// The same; behind the records.
    objects: Vec<Entry>,
    created_secs: u64,
    software: String,
}

/// A person, by their records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonEntry {
    name: PersonName,
    person: ContentHash,
    consent: ContentHash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decoder: Option<ContentHash>,
}

/// A record or an object.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    hash: ContentHash,
    bytes: u64,
}
