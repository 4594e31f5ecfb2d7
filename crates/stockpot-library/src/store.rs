//! Records on disk: put, get, list, find by the beginning of a hash.

use std::path::{Path, PathBuf};

use stockpot_core::ContentHash;

use crate::consent_record::ConsentRecord;
use crate::disk::{Disk, ReadFailure, entries, read_bounded};
use crate::error::{Error, Result};
use crate::layout::{Layout, hash_of_name};
use crate::objects;
use crate::passports::PassportRecord;
use crate::record::{
    AbsenceRecord, BadRecord, DecoderStateRecord, EncoderStateRecord, MAX_RECORD_BYTES,
    PersonRecord, Record, RunRecord, Stored, parse,
};
use crate::rehearsal::RehearsalRecord;

/// The fewest digits of a hash that are taken as its beginning.
const MIN_PREFIX: usize = 4;

/// Stores a record under the hash of its bytes.
pub(crate) fn put_record(disk: &Disk, layout: &Layout, record: &Record) -> Result<ContentHash> {
    let bytes = record
        .to_bytes()
        .map_err(|reason| Error::BadCommit { reason })?;
    if bytes.len() as u64 > MAX_RECORD_BYTES {
        return Err(Error::TooLarge {
            what: format!("{} record", record.kind()),
            found_bytes: bytes.len() as u64,
            limit_bytes: MAX_RECORD_BYTES,
        });
    }
    let hash = objects::hash_of(&bytes);
    objects::put_file(disk, &layout.record(&hash), &bytes)?;
    Ok(hash)
}

/// The bytes of a record, checked against its name.
pub(crate) fn record_bytes(layout: &Layout, hash: &ContentHash) -> Result<Vec<u8>> {
    let path = layout.record(hash);
    let damaged = |reason: String| Error::DamagedRecord {
        hash: *hash,
        reason,
        path: path.clone(),
    };
    let bytes = read_bounded(&path, MAX_RECORD_BYTES).map_err(|failure| match failure {
        ReadFailure::Missing => Error::MissingRecord {
            hash: *hash,
            path: path.clone(),
        },
        ReadFailure::TooLarge { found_bytes } => damaged(format!(
            "it has {found_bytes} bytes, a record has at most {MAX_RECORD_BYTES}"
        )),
        ReadFailure::Io(e) => Error::io("read the record", &path, e),
    })?;
    let found = objects::hash_of(&bytes);
    if found != *hash {
        return Err(damaged(format!("its bytes hash to {}", found.short())));
    }
    Ok(bytes)
}

/// Reads one record.
pub(crate) fn get_record(layout: &Layout, hash: &ContentHash) -> Result<Record> {
    let bytes = record_bytes(layout, hash)?;
    let parsed = parse(&bytes).map(|(_, record)| record);
    parsed.map_err(|bad| match bad {
        BadRecord::Newer(envelope) => Error::NewerRecord {
            hash: *hash,
            kind: envelope.kind,
            version: envelope.version,
        },
        BadRecord::Damaged(reason) => Error::DamagedRecord {
            hash: *hash,
            reason,
            path: layout.record(hash),
        },
    })
}

/// A kind of record that can be asked for by type.
pub(crate) trait Kind: Sized {
    const NAME: &'static str;
    fn of(record: Record) -> Option<Self>;
}

macro_rules! kind {
    ($ty:ty, $variant:ident, $name:literal) => {
        impl Kind for $ty {
            const NAME: &'static str = $name;
            fn of(record: Record) -> Option<Self> {
                match record {
                    Record::$variant(r) => Some(r),
                    _ => None,
                }
            }
        }
    };
}
kind!(EncoderStateRecord, EncoderState, "encoder-state");
kind!(DecoderStateRecord, DecoderState, "decoder-state");
kind!(PersonRecord, Person, "person");
kind!(ConsentRecord, Consent, "consent");
kind!(RunRecord, Run, "run");
kind!(AbsenceRecord, Absence, "absence");
kind!(PassportRecord, Passport, "passport");
kind!(RehearsalRecord, Rehearsal, "rehearsal");

/// Reads a record of a known kind.
pub(crate) fn get<T: Kind>(layout: &Layout, hash: &ContentHash) -> Result<Stored<T>> {
    let record = get_record(layout, hash)?;
    let found = record.kind();
    let record = T::of(record).ok_or_else(|| Error::WrongKind {
        hash: *hash,
        wanted: T::NAME.into(),
        found: found.into(),
    })?;
    Ok(Stored {
        hash: *hash,
        record,
    })
}

/// All records by name; what is not named like one is left out (verify reports it).
pub(crate) fn list_records(layout: &Layout) -> Result<Vec<ContentHash>> {
    let mut out = Vec::new();
    for (shard, folder) in entries(&layout.records())? {
        if is_shard(&shard, &folder) {
            out.extend(
                entries(&folder)?
                    .iter()
                    .filter_map(|(name, _)| record_name(&shard, name)),
            );
        }
    }
    Ok(out)
}

pub(crate) fn is_shard(name: &str, path: &Path) -> bool {
    name.len() == 2 && path.is_dir()
}

/// The hash that a file in `records/SHARD/` is named after.
pub(crate) fn record_name(shard: &str, name: &str) -> Option<ContentHash> {
    object_name(shard, name.strip_suffix(".json")?)
}

/// The hash that a file in `objects/SHARD/` is named after.
pub(crate) fn object_name(shard: &str, name: &str) -> Option<ContentHash> {
    hash_of_name(name).filter(|_| name.starts_with(shard))
}

/// What a hash names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    Record(ContentHash),
    Object(ContentHash),
}

/// Finds the one record or object whose hash begins with `prefix`.
pub(crate) fn find(layout: &Layout, prefix: &str) -> Result<Named> {
    let not_found = || Error::NotFound {
        key: prefix.chars().take(80).collect(),
    };
    let lower = prefix.to_ascii_lowercase();
    if !(MIN_PREFIX..=64).contains(&lower.len()) || !lower.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(not_found());
    }
    let shard = &lower[..2];
    let in_shard = |folder: PathBuf| entries(&folder.join(shard));
    let mut found: Vec<Named> = Vec::new();
    found.extend(
        in_shard(layout.records())?
            .iter()
            .filter(|(name, _)| name.starts_with(&lower))
            .filter_map(|(name, _)| record_name(shard, name).map(Named::Record)),
    );
    found.extend(
        in_shard(layout.objects())?
            .iter()
            .filter(|(name, _)| name.starts_with(&lower))
            .filter_map(|(name, _)| object_name(shard, name).map(Named::Object)),
    );
    match found.as_slice() {
        [] => Err(not_found()),
        [one] => Ok(*one),
        many => Err(Error::Ambiguous {
            prefix: lower.clone(),
            matches: many.iter().take(8).map(ToString::to_string).collect(),
        }),
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record(h) => write!(f, "record {}", h.short()),
            Self::Object(h) => write!(f, "object {}", h.short()),
        }
    }
}
