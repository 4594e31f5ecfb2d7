//! Rehearsal sets: a few of a person's faces, kept so that the shared encoder stays good for them
//! while others train. One record and one object each; a person's newest set is the one that counts.
//!
//! Kept only as long as the person's consent covers it: asked when a set is stored and when it is
//! read. What the bytes mean is not looked at here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stockpot_core::{ContentHash, PersonName};

use crate::SOFTWARE;
use crate::consent::Consented;
use crate::consent_record::{Purpose, Use};
use crate::error::{Error, Result};
use crate::library::{Library, Writer};
use crate::objects::MAX_OBJECT_BYTES;
use crate::record::{AbsenceReason, Record, Stored};
use crate::run_id::RunId;
use crate::store;

/// The most faces that a set may say it has.
pub const MOST_REHEARSAL_FACES: u64 = 1024;

/// Some faces of one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalRecord {
    /// Whose faces.
    pub person: PersonName,
    /// The faces.
    pub object: ContentHash,
    /// How many.
    pub faces: u64,
    /// The part of the head that they show, opaque here.
    pub area: String,
    /// Their side in pixels as a network sees them.
    pub resolution: u32,
    /// The record of the consent that allowed it. It need not be here.
    pub consent: ContentHash,
    /// The run at whose end they were kept.
    pub run: RunId,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
    /// The software that kept them.
    pub software: String,
}

/// A set to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRehearsal {
    /// The person, by the consent.
    pub consent: Consented,
    /// The faces as they are to lie on disk.
    pub bytes: Vec<u8>,
    /// How many.
    pub faces: u64,
    /// The part of the head that they show.
    pub area: String,
    /// Their side in pixels.
    pub resolution: u32,
    /// The run.
    pub run: RunId,
    /// Now, in seconds since 1970 UTC.
    pub now_secs: u64,
}

/// What was erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasedRehearsal {
    /// Sets.
    pub sets: u64,
    /// Bytes of their faces.
    pub bytes: u64,
}

/// The newest set of each person in some records.
pub(crate) fn newest_sets<'a>(
    records: impl Iterator<Item = (&'a ContentHash, &'a Record)>,
) -> BTreeMap<&'a PersonName, ContentHash> {
    let mut newest: BTreeMap<&PersonName, (u64, ContentHash)> = BTreeMap::new();
    for (hash, record) in records {
        let Record::Rehearsal(set) = record else {
            continue;
        };
        let at = (set.created_secs, *hash);
        let found = newest.entry(&set.person).or_insert(at);
        *found = (*found).max(at);
    }
    let only_hash = |(person, (_, hash))| (person, hash);
    newest.into_iter().map(only_hash).collect()
}

impl Library {
    /// The newest set of every person who has one, whatever their consent says today. Records that
    /// cannot be read are left out; `verify` reports them.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn rehearsals(&self) -> Result<Vec<Stored<RehearsalRecord>>> {
        let mut all = BTreeMap::new();
        for hash in store::list_records(&self.layout)? {
            if let Ok(record @ Record::Rehearsal(_)) = store::get_record(&self.layout, &hash) {
                all.insert(hash, record);
            }
        }
        let newest: BTreeSet<ContentHash> = newest_sets(all.iter()).into_values().collect();
        let sets = all.into_iter().filter_map(|(hash, record)| match record {
            Record::Rehearsal(record) if newest.contains(&hash) => Some(Stored { hash, record }),
            _ => None,
        });
        let mut sets: Vec<_> = sets.collect();
        sets.sort_by(|a, b| a.record.person.cmp(&b.record.person));
        Ok(sets)
    }

    /// Whose faces are kept although their consent has run out, and how many: nobody may use them.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn expired_rehearsals(&self, now_secs: u64) -> Result<Vec<(PersonName, u64)>> {
        let purpose = Purpose::of(Use::Rehearsal, now_secs);
        let sets = self.rehearsals()?.into_iter().map(|set| set.record);
        let is_over = |set: &RehearsalRecord| {
            let consent = self.consent_for(&set.person, &purpose);
            matches!(consent, Err(Error::ConsentExpired { .. }))
        };
        let over = sets.filter(is_over);
        Ok(over.map(|set| (set.person, set.faces)).collect())
    }

    /// The bytes of a set.
    ///
    /// # Errors
    /// What [`Library::consent_for`] says of keeping faces for rehearsal and of training, or what is
    /// missing or damaged.
    pub fn rehearsal_faces(
        &self,
        set: &RehearsalRecord,
        project: Option<&str>,
        now_secs: u64,
    ) -> Result<Vec<u8>> {
        for what in [Use::Rehearsal, Use::Train] {
            let purpose = Purpose {
                what,
                project: project.map(str::to_owned),
                now_secs,
            };
            self.consent_for(&set.person, &purpose)?;
        }
        self.get_object(&set.object)
    }
}

impl Writer<'_> {
    /// Keeps a set; the same faces again change nothing.
    ///
    /// # Errors
    /// What [`Library::consent_for`] says of keeping faces for rehearsal, [`Error::TooLarge`],
    /// [`Error::BadCommit`] if it is empty, or what the machine refuses.
    pub fn put_rehearsal(&self, set: NewRehearsal) -> Result<Stored<RehearsalRecord>> {
        let person = set.consent.person().clone();
        // Whoever hands the consent over may have asked about another use.
        let consent = self.library.consent_for(
            &person,
            &Purpose {
                what: Use::Rehearsal,
                project: set.consent.project().map(str::to_owned),
                now_secs: set.now_secs,
            },
        )?;
        if set.bytes.is_empty() || !(1..=MOST_REHEARSAL_FACES).contains(&set.faces) {
            return Err(Error::BadCommit {
                reason: format!("a rehearsal set of {} faces", set.faces),
            });
        }
        if set.bytes.len() as u64 > MAX_OBJECT_BYTES {
            return Err(Error::TooLarge {
                what: "rehearsal set".into(),
                found_bytes: set.bytes.len() as u64,
                limit_bytes: MAX_OBJECT_BYTES,
            });
        }
        let record = RehearsalRecord {
            object: self.put_object(&set.bytes)?,
            person,
            faces: set.faces,
            area: set.area,
            resolution: set.resolution,
            consent: consent.record(),
            run: set.run,
            created_secs: set.now_secs,
            software: SOFTWARE.into(),
        };
        let same = |old: &Stored<RehearsalRecord>| {
            old.record.person == record.person && old.record.object == record.object
        };
        if let Some(old) = self.library.rehearsals()?.into_iter().find(same) {
            return Ok(old);
        }
        let hash = self.put_record(&Record::Rehearsal(record.clone()))?;
        Ok(Stored { hash, record })
    }

    /// Erases all sets of a person, and nothing else of theirs. The receipt holds hashes only. Stopped
    /// at any moment, the same call goes on.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn erase_rehearsal(&self, person: &PersonName, now_secs: u64) -> Result<ErasedRehearsal> {
        let (disk, layout) = (&self.library.disk, &self.library.layout);
        let (mut sets, mut theirs, mut needed) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for hash in store::list_records(layout)? {
            match store::get_record(layout, &hash) {
                Ok(Record::Rehearsal(set)) if set.person == *person => {
                    sets.insert(hash);
                    theirs.insert(set.object);
                }
                Ok(other) => needed.extend(other.objects()),
                // Whose it is cannot be told; `verify` reports it.
                Err(_) => {}
            }
        }
        let mut erased = ErasedRehearsal {
            sets: sets.len() as u64,
            bytes: 0,
        };
        if sets.is_empty() {
            return Ok(erased);
        }
        let mut objects = BTreeMap::new();
        for object in theirs.difference(&needed) {
            // Gone already after a stop: its length is not known any more.
            let length = std::fs::metadata(layout.object(object)).map_or(0, |m| m.len());
            erased.bytes += length;
            objects.insert(*object, length);
        }
        self.put_absence(AbsenceReason::Erased, &objects, &sets, None, now_secs)?;
        for object in objects.keys() {
            if layout.object(object).exists() {
                disk.remove(&layout.object(object))?;
            }
        }
        // Last: they tell a repeated call what there is to do.
        for set in &sets {
            disk.remove(&layout.record(set))?;
        }
        Ok(erased)
    }
}
