//! What is behind a name, a run, or the beginning of a hash.

use std::path::PathBuf;

use stockpot_core::{ContentHash, PersonName};

use crate::consent_record::ConsentRecord;
use crate::error::{Error, Result};
use crate::library::Library;
use crate::record::{DecoderStateRecord, PersonRecord, Record, Stored};
use crate::refs::{RefName, Slot, Snapshot};
use crate::run_id::RunId;
use crate::store::{self, Named};

/// Everything known of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonDetail {
    /// The record of the person; `None` only if it is missing.
    pub person: Option<Stored<PersonRecord>>,
    /// The name.
    pub name: PersonName,
    /// The consent on record.
    pub consent: Option<Stored<ConsentRecord>>,
    /// The current decoder state.
    pub decoder: Option<Stored<DecoderStateRecord>>,
    /// Where the facesets are; may not exist yet.
    pub facesets_dir: PathBuf,
    /// What is damaged or missing, in words.
    pub problems: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// A person.
    Person(Box<PersonDetail>),
    /// A record.
    Record {
        /// Its hash.
        hash: ContentHash,
        /// What it says.
        record: Box<Record>,
        /// The refs that name it, such as `encoder` or `persons/anna/decoder`.
        refs: Vec<String>,
    },
    /// An object.
    Object {
        /// Its hash.
        hash: ContentHash,
        /// Its size.
        size_bytes: u64,
        /// The records that need it.
        used_by: Vec<ContentHash>,
    },
}

impl Library {
    /// Shows a person, a run by its name, the current `encoder`, or a record or object by the
    /// first 4 or more digits of its hash; tried in this order.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], or what is damaged.
    pub fn show(&self, key: &str) -> Result<Shown> {
        let snapshot = Snapshot::read(&self.layout)?;
        if let Ok(name) = key.parse::<PersonName>()
            && snapshot.has_person(&name)
        {
            return self.show_person(&name).map(|p| Shown::Person(Box::new(p)));
        }
        if let Ok(run) = key.parse::<RunId>()
            && let Some(hash) = self.find_run(&run)?
        {
            return self.show_record(&snapshot, hash);
        }
        if key == "encoder"
            && let Some(hash) = snapshot.target(&self.layout, &RefName::Encoder)?
        {
            return self.show_record(&snapshot, hash);
        }
        match store::find(&self.layout, key)? {
            Named::Record(hash) => self.show_record(&snapshot, hash),
            Named::Object(hash) => self.show_object(hash),
        }
    }

    /// Everything known of a person.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`]. What is damaged is a gap, named in `problems`.
    pub fn show_person(&self, name: &PersonName) -> Result<PersonDetail> {
        let snapshot = Snapshot::read(&self.layout)?;
        self.require_person(&snapshot, name)?;
        let mut problems = Vec::new();
        Ok(PersonDetail {
            person: self.part(&snapshot, RefName::Person(name.clone()), &mut problems),
            name: name.clone(),
            consent: self.part(&snapshot, RefName::Consent(name.clone()), &mut problems),
            decoder: self.part(&snapshot, RefName::Decoder(name.clone()), &mut problems),
            facesets_dir: self.facesets_dir(name),
            problems,
        })
    }

    /// What a ref names; a gap and a word about it if that cannot be read.
    fn part<T: store::Kind>(
        &self,
        snapshot: &Snapshot,
        name: RefName,
        problems: &mut Vec<String>,
    ) -> Option<Stored<T>> {
        let hash = snapshot.target(&self.layout, &name);
        let part = hash.and_then(|h| h.map(|h| store::get(&self.layout, &h)).transpose());
        part.unwrap_or_else(|problem| {
            problems.push(problem.to_string());
            None
        })
    }

    /// The one record whose hash begins with `prefix` (4 digits or more).
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`].
    pub fn find_record(&self, prefix: &str) -> Result<ContentHash> {
        match store::find(&self.layout, prefix)? {
            Named::Record(hash) => Ok(hash),
            Named::Object(_) => Err(Error::NotFound { key: prefix.into() }),
        }
    }

    fn show_record(&self, snapshot: &Snapshot, hash: ContentHash) -> Result<Shown> {
        let record = Box::new(self.record(&hash)?);
        let refs = snapshot
            .slots
            .iter()
            .filter(|(_, slot)| matches!(slot, Slot::Good(target) if target.record == hash))
            .map(|(name, _)| name.to_string())
            .collect();
        Ok(Shown::Record { hash, record, refs })
    }

    fn show_object(&self, hash: ContentHash) -> Result<Shown> {
        let path = self.layout.object(&hash);
        let size_bytes = std::fs::metadata(&path)
            .map_err(|e| Error::io("read the object", &path, e))?
            .len();
        let mut used_by = Vec::new();
        for record in store::list_records(&self.layout)? {
            // An unreadable record is not what was asked about; `verify` reports it.
            if store::get_record(&self.layout, &record).is_ok_and(|r| r.objects().contains(&hash)) {
                used_by.push(record);
            }
        }
        Ok(Shown::Object {
            hash,
            size_bytes,
            used_by,
        })
    }

    fn find_run(&self, run: &RunId) -> Result<Option<ContentHash>> {
        for hash in store::list_records(&self.layout)? {
            // An unreadable record has no name to compare; `verify` reports it.
            if let Ok(Record::Run(record)) = store::get_record(&self.layout, &hash)
                && record.run == *run
            {
                return Ok(Some(hash));
            }
        }
        Ok(None)
    }
}
