//! What is not here on purpose: old weights that were collected, a person who was erased, parents
//! that did not come with an import.
//!
//! An absence is written, flushed, before anything is removed. So whoever finds a gap can tell a
//! loss from a decision, also after a kill between the two.

use std::collections::{BTreeMap, BTreeSet};

use stockpot_core::{ContentHash, PersonName};

use crate::SOFTWARE;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::library::{Library, Writer};
use crate::record::{AbsenceReason, AbsenceRecord, Record};
use crate::store;

/// How many hashes one record lists: at some 90 bytes each it stays well below 1 MiB.
const HASHES_PER_RECORD: usize = 4000;

/// Everything that is absent on purpose, with the reason written down last.
#[derive(Debug, Default)]
pub(crate) struct Absent {
    pub(crate) objects: BTreeMap<ContentHash, AbsenceReason>,
    pub(crate) records: BTreeMap<ContentHash, AbsenceReason>,
}

impl Absent {
    pub(crate) fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut absent = Self::default();
        for record in records {
            if let Record::Absence(absence) = record {
                absent.add(absence);
            }
        }
        absent
    }

    /// Unreadable records are left out: `verify` reports them.
    pub(crate) fn read(layout: &Layout) -> Result<Self> {
        let mut absent = Self::default();
        for hash in store::list_records(layout)? {
            if let Ok(Record::Absence(absence)) = store::get_record(layout, &hash) {
                absent.add(&absence);
            }
        }
        Ok(absent)
    }

    fn add(&mut self, absence: &AbsenceRecord) {
        let reason = absence.reason;
        self.objects
            .extend(absence.objects.keys().map(|hash| (*hash, reason)));
        self.records
            .extend(absence.records.iter().map(|hash| (*hash, reason)));
    }
}

impl Library {
    /// A missing object that was removed on purpose is told so.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let Error::MissingObject { hash, .. } = error else {
            return error;
        };
        match Absent::read(&self.layout) {
            Ok(absent) => match absent.objects.get(&hash) {
                Some(reason) => Error::Absent {
                    hash,
                    reason: *reason,
                },
                None => error,
            },
            // The first error is the one to tell.
            Err(_) => error,
        }
    }
}

impl Writer<'_> {
    /// Writes down, in as many records as it takes, what is going to be absent.
    pub(crate) fn put_absence(
        &self,
        reason: AbsenceReason,
        objects: &BTreeMap<ContentHash, u64>,
        records: &BTreeSet<ContentHash>,
        erased_as: Option<&PersonName>,
        now_secs: u64,
    ) -> Result<Vec<ContentHash>> {
        let objects: Vec<(ContentHash, u64)> = objects.iter().map(|(h, n)| (*h, *n)).collect();
        let records: Vec<ContentHash> = records.iter().copied().collect();
        let parts = objects
            .len()
            .div_ceil(HASHES_PER_RECORD)
            .max(records.len().div_ceil(HASHES_PER_RECORD));
        let piece = |part: usize, len: usize| {
            let from = (part * HASHES_PER_RECORD).min(len);
            from..(from + HASHES_PER_RECORD).min(len)
        };
        (0..parts)
            .map(|part| {
                self.put_record(&Record::Absence(AbsenceRecord {
                    reason,
                    objects: objects[piece(part, objects.len())]
                        .iter()
                        .copied()
                        .collect(),
                    records: records[piece(part, records.len())]
                        .iter()
                        .copied()
                        .collect(),
                    erased_as: erased_as.cloned(),
                    created_secs: now_secs,
                    software: SOFTWARE.into(),
                }))
            })
            .collect()
    }
}
