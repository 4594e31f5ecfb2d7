//! Persons: add with consent, list, remove.

use std::path::PathBuf;

use stockpot_core::{ContentHash, PersonName};

use crate::SOFTWARE;
use crate::consent::{Consent, ConsentSource};
use crate::error::{Error, Result};
use crate::library::{Library, Writer};
use crate::record::{ConsentBasis, ConsentRecord, PersonRecord, Record, Sharing, Stored};
use crate::refs::{Change, Expect, Outcome, RefName, Slot, Snapshot};
use crate::store;

/// One line of the list of persons.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonSummary {
    /// The name.
    pub name: PersonName,
    /// When the person was entered, in seconds since 1970 UTC; `None` if the record is damaged.
    pub created_secs: Option<u64>,
    /// The ground of the consent; `None`: no consent that can be read.
    pub consent: Option<ConsentBasis>,
    /// The record of the current decoder state, if one was trained.
    pub decoder: Option<ContentHash>,
}

/// What was taken out, and what is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovalReport {
    /// Who.
    pub person: PersonName,
    /// The decoder state that was current. It and its ancestors stay until they are collected.
    pub kept_decoder: Option<ContentHash>,
    /// The consent record, which stays as well.
    pub kept_consent: Option<ContentHash>,
    /// The folder of faces, if there is one; it was not touched.
    pub kept_facesets: Option<PathBuf>,
}

impl Library {
    /// All persons by name. A damaged record shows as a gap in the line, not as an error.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn persons(&self) -> Result<Vec<PersonSummary>> {
        let snapshot = Snapshot::read(&self.layout)?;
        let summary = |name: PersonName| {
            let target = |name: RefName| match snapshot.slots.get(&name) {
                Some(Slot::Good(target)) => Some(target.record),
                Some(Slot::Bad(_)) | None => None,
            };
            // `.ok()`: a gap in the list; `status` and `verify` say what is damaged.
            let person = target(RefName::Person(name.clone()))
                .and_then(|h| store::get::<PersonRecord>(&self.layout, &h).ok());
            let consent = target(RefName::Consent(name.clone()))
                .and_then(|h| store::get::<ConsentRecord>(&self.layout, &h).ok());
            PersonSummary {
                created_secs: person.map(|p| p.record.created_secs),
                consent: consent.map(|c| c.record.basis),
                decoder: target(RefName::Decoder(name.clone())),
                name,
            }
        };
        Ok(snapshot.persons().into_iter().map(summary).collect())
    }
}

impl Writer<'_> {
    /// Enters a person with their consent. A known person without a readable consent gets this one.
    ///
    /// # Errors
    /// [`Error::PersonExists`], [`Error::NameTooClose`], [`Error::BadConsent`],
    /// [`Error::TooLarge`], or what the machine refuses.
    pub fn add_person(
        &self,
        name: &PersonName,
        consent: Consent,
        now_secs: u64,
    ) -> Result<Stored<ConsentRecord>> {
        consent.check()?;
        self.refuse_taken_name(name)?;
        let basis = match consent.source {
            ConsentSource::OwnFace => ConsentBasis::OwnFace,
            ConsentSource::Synthetic => ConsentBasis::Synthetic,
            ConsentSource::File { name, bytes } => ConsentBasis::File {
                name,
                object: self.put_object(&bytes)?,
            },
        };
        let consent = ConsentRecord {
            person: name.clone(),
            basis,
            entered_by: consent.entered_by,
            note: consent.note,
            sharing: None,
            original: None,
            created_secs: now_secs,
            software: SOFTWARE.into(),
        };
        let person = PersonRecord {
            name: name.clone(),
            created_secs: now_secs,
            software: SOFTWARE.into(),
        };
        let consent_hash = self.put_record(&Record::Consent(consent.clone()))?;
        let person_hash = self.put_record(&Record::Person(person))?;
        let set = |name: RefName, new: ContentHash| Change {
            name,
            expect: Expect::Any, // looked at above, under the same lock
            new: Some(new),
        };
        let mut changes = vec![set(RefName::Consent(name.clone()), consent_hash)];
        let snapshot = Snapshot::read(&self.library.layout)?;
        let person_ref = RefName::Person(name.clone());
        if !matches!(snapshot.slots.get(&person_ref), Some(Slot::Good(_))) {
            changes.push(set(person_ref, person_hash));
        }
        self.transact_unconditionally(&changes)?;
        Ok(Stored {
            hash: consent_hash,
            record: consent,
        })
    }

    /// Enters whether a person's consent lets their face be given to others. The consent is otherwise
    /// as it was; the new record names the old one.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::NoConsent`], [`Error::BadConsent`], [`Error::TooLarge`],
    /// or what is damaged or refused.
    pub fn set_sharing(
        &self,
        name: &PersonName,
        sharing: Sharing,
        entered_by: &str,
        now_secs: u64,
    ) -> Result<Stored<ConsentRecord>> {
        let old = self.library.consent_of(name)?.record();
        let record = ConsentRecord {
            sharing: Some(sharing),
            original: Some(old),
            entered_by: entered_by.to_owned(),
            created_secs: now_secs,
            software: SOFTWARE.into(),
            ..store::get::<ConsentRecord>(&self.library.layout, &old)?.record
        };
        Consent {
            source: ConsentSource::OwnFace, // the ground was checked when it was entered
            entered_by: entered_by.to_owned(),
            note: String::new(),
        }
        .check()?;
        let hash = self.put_record(&Record::Consent(record.clone()))?;
        self.transact_unconditionally(&[Change {
            name: RefName::Consent(name.clone()),
            expect: Expect::Any,
            new: Some(hash),
        }])?;
        Ok(Stored { hash, record })
    }

    /// Takes a person out: nobody can train or draw this face any more. The states, the consent
    /// record and the folder of faces stay; the report says where.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], or what the machine refuses.
    pub fn remove_person(&self, name: &PersonName) -> Result<RemovalReport> {
        let layout = &self.library.layout;
        let snapshot = Snapshot::read(layout)?;
        self.library.require_person(&snapshot, name)?;
        let kept = |r: RefName| match snapshot.slots.get(&r) {
            Some(Slot::Good(target)) => Some(target.record),
            Some(Slot::Bad(_)) | None => None,
        };
        let facesets = layout.faceset(name);
        let report = RemovalReport {
            person: name.clone(),
            kept_decoder: kept(RefName::Decoder(name.clone())),
            kept_consent: kept(RefName::Consent(name.clone())),
            kept_facesets: facesets.is_dir().then_some(facesets),
        };
        let changes: Vec<Change> = snapshot
            .slots
            .keys()
            .filter(|r| r.person() == Some(name))
            .map(|r| Change {
                name: r.clone(),
                expect: Expect::Any,
                new: None,
            })
            .collect();
        self.transact_unconditionally(&changes)?;
        Ok(report)
    }

    fn refuse_taken_name(&self, name: &PersonName) -> Result<()> {
        match self.library.consent_of(name) {
            Ok(consented) => {
                return Err(Error::PersonExists {
                    person: name.clone(),
                    consent: consented.basis().to_string(),
                });
            }
            // Without a readable consent the name may be given one.
            Err(
                Error::NoSuchPerson { .. }
                | Error::NoConsent { .. }
                | Error::DamagedRef { .. }
                | Error::DamagedRecord { .. }
                | Error::MissingRecord { .. }
                | Error::MissingObject { .. }
                | Error::WrongKind { .. },
            ) => {}
            Err(other) => return Err(other),
        }
        let snapshot = Snapshot::read(&self.library.layout)?;
        let close = |other: &PersonName| {
            other != name && other.as_str().eq_ignore_ascii_case(name.as_str())
        };
        match snapshot.persons().into_iter().find(close) {
            Some(other) => Err(Error::NameTooClose {
                person: name.clone(),
                other,
            }),
            None => Ok(()),
        }
    }

    /// For changes that expect nothing. An unsettled end is fine: readers see the change, and the
    /// next writer settles it.
    fn transact_unconditionally(&self, changes: &[Change]) -> Result<()> {
        match self.transact(changes)? {
            Outcome::Done { .. } => Ok(()),
            Outcome::Conflict(moved) => Err(Error::Conflict {
                moved,
                kept: Vec::new(),
            }),
        }
    }
}
