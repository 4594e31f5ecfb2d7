//! Persons: add with consent, list, remove.

use std::path::PathBuf;

use stockpot_core::{ContentHash, PersonName};

use crate::SOFTWARE;
use crate::audit::{self, Deed, Said};
use crate::consent::{Consent, ConsentChange};
use crate::consent_record::{ConsentRecord, Sharing};
use crate::error::{Error, Result};
use crate::library::{Library, Writer};
use crate::record::{PersonRecord, Record, Stored};
use crate::refs::{Change, Expect, Outcome, RefName, Slot, Snapshot};
use crate::store;

/// One line of the list of persons.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonSummary {
    /// The name.
    pub name: PersonName,
    /// When the person was entered, in seconds since 1970 UTC; `None` if the record is damaged.
    pub created_secs: Option<u64>,
    /// The consent; `None`: none that can be read.
    pub consent: Option<ConsentRecord>,
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
                consent: consent.map(|c| c.record),
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
        let keys = self.keys(now_secs)?;
        let consent = self
            .consent_record(name, consent, now_secs)?
            .signed_with(&keys)?;
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
        self.log_persons(Deed::Consent, std::slice::from_ref(name), now_secs);
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
        let change = ConsentChange {
            sharing: Some(sharing),
            entered_by: entered_by.to_owned(),
            ..ConsentChange::default()
        };
        self.change_consent(name, change, now_secs)
    }

    /// Takes a person out: nobody can train or draw this face any more. The states, the consent
    /// record and the folder of faces stay; the report says where.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], or what the machine refuses.
    pub fn remove_person(&self, name: &PersonName, now_secs: u64) -> Result<RemovalReport> {
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
        let who = audit::who_is(&snapshot, name);
        self.transact_unconditionally(&changes)?;
        let said = Said {
            who: who.into_iter().collect(),
            ..Said::default()
        };
        self.log(Deed::Remove, said, now_secs);
        Ok(report)
    }

    fn refuse_taken_name(&self, name: &PersonName) -> Result<()> {
        match self.library.consent_on_record(name) {
            Ok(consent) => {
                return Err(Error::PersonExists {
                    person: name.clone(),
                    consent: consent.record.basis.to_string(),
                });
            }
            // Without a readable consent the name may be given one.
            Err(
                Error::NoSuchPerson { .. }
                | Error::NoConsent { .. }
                | Error::ConsentNotVouched { .. }
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
    pub(crate) fn transact_unconditionally(&self, changes: &[Change]) -> Result<()> {
        match self.transact(changes)? {
            Outcome::Done { .. } => Ok(()),
            Outcome::Conflict(moved) => Err(Error::Conflict {
                moved,
                kept: Vec::new(),
            }),
        }
    }
}
