//! Consent: what is entered and changed, and the value that shows that a use was allowed.
//!
//! Whoever trains, draws or gives away a face asks [`Library::consent_for`], the one place that
//! compares a use with the terms.

use std::collections::BTreeSet;

use stockpot_core::{ContentHash, PersonName};

use crate::SOFTWARE;
use crate::audit::{self, Deed};
use crate::consent_record::{Allowed, ConsentBasis, ConsentRecord, ConsentState, Purpose, Sharing};
use crate::error::{Error, Result};
use crate::library::{Library, Writer};
use crate::record::{Record, Stored};
use crate::refs::{Change, Expect, RefName, Slot, Snapshot};
use crate::store;

/// The most projects that one consent names.
const MAX_PROJECTS: usize = 100;
/// The most earlier consents of a person that are listed.
const MAX_HISTORY: usize = 1000;

/// The largest evidence file: a signed page or a short recording.
const MAX_EVIDENCE_BYTES: u64 = 256 << 20;
/// The longest text in a consent: all of them fit into a record.
const MAX_TEXT_BYTES: u64 = 4 << 10;

/// The ground of a consent, as it is entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentSource {
    /// `self`: the user's own face.
    OwnFace,
    /// `synthetic`: a rendered person, nobody's face.
    Synthetic,
    /// A file that shows the consent; its bytes are kept in the library.
    File {
        /// The file's name, without folders.
        name: String,
        /// The file's bytes, at most 256 MiB.
        bytes: Vec<u8>,
    },
}

/// A consent as it is entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The ground.
    pub source: ConsentSource,
    /// Who enters it, in their own words; not empty.
    pub entered_by: String,
    /// Anything else worth keeping; may be empty.
    pub note: String,
    /// What it allows, and how long.
    pub terms: Terms,
}

/// What a consent allows. By default everything but giving away what somebody else signed, without
/// an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Who agreed, in words.
    pub agreed_by: Option<String>,
    /// What may be done.
    pub uses: BTreeSet<Allowed>,
    /// Whether the face may be given to others; `None`: nobody said.
    pub sharing: Option<Sharing>,
    /// What it may be done for; empty: anything.
    pub projects: Vec<String>,
    /// The first moment at which it does not hold any more, in seconds since 1970 UTC.
    pub until_secs: Option<u64>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            agreed_by: None,
            uses: Allowed::all(),
            sharing: None,
            projects: Vec::new(),
            until_secs: None,
        }
    }
}

/// A change of a consent. What is `None` stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsentChange {
    /// The ground. After a withdrawal it has to be named: nobody agrees again by an oversight.
    pub source: Option<ConsentSource>,
    /// Who agreed, in words.
    pub agreed_by: Option<String>,
    /// What may be done.
    pub uses: Option<BTreeSet<Allowed>>,
    /// Whether the face may be given to others.
    pub sharing: Option<Sharing>,
    /// What it may be done for; empty: anything.
    pub projects: Option<Vec<String>>,
    /// When it ends; `Some(None)`: never.
    pub until_secs: Option<Option<u64>>,
    /// Who enters the change, in their own words; not empty.
    pub entered_by: String,
    /// Anything else worth keeping.
    pub note: Option<String>,
}

impl Consent {
    pub(crate) fn check(&self) -> Result<()> {
        if self.entered_by.trim().is_empty() {
            return Err(Error::BadConsent {
                reason: "it does not say who enters it",
            });
        }
        let too_large = |what: &str, found: usize, limit_bytes: u64| Error::TooLarge {
            what: what.into(),
            found_bytes: found as u64,
            limit_bytes,
        };
        if self.terms.projects.iter().any(|p| p.trim().is_empty()) {
            return Err(Error::BadConsent {
                reason: "a project has no name",
            });
        }
        if self.terms.projects.len() > MAX_PROJECTS {
            return Err(Error::BadConsent {
                reason: "it names more than 100 projects",
            });
        }
        let agreed_by = self
            .terms
            .agreed_by
            .iter()
            .map(|t| ("name of who agreed", t));
        let projects = self.terms.projects.iter().map(|t| ("name of a project", t));
        for (what, text) in [
            ("name of who enters it", &self.entered_by),
            ("note", &self.note),
        ]
        .into_iter()
        .chain(agreed_by)
        .chain(projects)
        {
            if text.len() as u64 > MAX_TEXT_BYTES {
                return Err(too_large(what, text.len(), MAX_TEXT_BYTES));
            }
        }
        if let ConsentSource::File { name, bytes } = &self.source {
            if bytes.is_empty() {
                return Err(Error::BadConsent {
                    reason: "the file is empty",
                });
            }
            if name.is_empty() || name.contains(['/', '\\', '\0']) {
                return Err(Error::BadConsent {
                    reason: "the file has no plain name",
                });
            }
            if name.len() as u64 > MAX_TEXT_BYTES {
                return Err(too_large("file name", name.len(), MAX_TEXT_BYTES));
            }
            if bytes.len() as u64 > MAX_EVIDENCE_BYTES {
                return Err(too_large("consent file", bytes.len(), MAX_EVIDENCE_BYTES));
            }
        }
        Ok(())
    }
}

/// Shows that a person's consent covers a use. Only [`Library::consent_for`] hands one out; what
/// trains or draws a face asks for it, so that forgetting to look does not compile:
///
/// ```compile_fail,E0451
/// # let person: stockpot_core::PersonName = "anna".parse().unwrap();
/// # let record = stockpot_core::ContentHash([0; 32]);
/// let made_up = stockpot_library::Consented { person, record, basis: stockpot_library::ConsentBasis::OwnFace, project: None };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consented {
    person: PersonName,
    record: ContentHash,
    basis: ConsentBasis,
    project: Option<String>,
}

impl Consented {
    /// Whose face.
    pub fn person(&self) -> &PersonName {
        &self.person
    }

    /// The consent record.
    pub fn record(&self) -> ContentHash {
        self.record
    }

    /// The ground.
    pub fn basis(&self) -> &ConsentBasis {
        &self.basis
    }

    /// The project that was asked for.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }
}

impl Library {
    /// The consent of a person for a use, if it covers that: the one gate before anybody's face is
    /// looked for, trained, drawn or given away.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::NoConsent`], [`Error::ConsentWithdrawn`],
    /// [`Error::ConsentExpired`], [`Error::ConsentOutOfScope`], [`Error::ConsentOtherProject`],
    /// [`Error::SharingForbidden`], [`Error::ConsentNotVouched`], or what is damaged: a consent that
    /// cannot be read, or whose evidence is gone, is none.
    pub fn consent_for(&self, person: &PersonName, purpose: &Purpose) -> Result<Consented> {
        let consent = self.consent_on_record(person)?;
        if let Some(refusal) = consent.record.refusal(purpose) {
            return Err(refusal);
        }
        Ok(Consented {
            person: consent.record.person,
            record: consent.hash,
            basis: consent.record.basis,
            project: purpose.project.clone(),
        })
    }

    /// The consent of a person as it was entered, whole and vouched for; its terms are not looked at.
    ///
    /// # Errors
    /// As [`Library::consent_for`], but for those about terms.
    pub fn consent_on_record(&self, person: &PersonName) -> Result<Stored<ConsentRecord>> {
        let snapshot = Snapshot::read(&self.layout)?;
        self.require_person(&snapshot, person)?;
        let hash = snapshot
            .target(&self.layout, &RefName::Consent(person.clone()))?
            .ok_or_else(|| Error::NoConsent {
                person: person.clone(),
            })?;
        let consent = store::get::<ConsentRecord>(&self.layout, &hash)?;
        if consent.record.person != *person {
            return Err(Error::NoConsent {
                person: person.clone(),
            });
        }
        if let ConsentBasis::File { object, .. } = &consent.record.basis {
            let path = self.layout.object(object);
            if !path.is_file() {
                return Err(Error::MissingObject {
                    hash: *object,
                    path,
                });
            }
        }
        if self.vouches(&snapshot, &consent)? {
            Ok(consent)
        } else {
            Err(Error::ConsentNotVouched {
                person: person.clone(),
                consent: hash,
            })
        }
    }

    /// Whether the log or the library's own signature stands behind a current consent.
    pub(crate) fn vouches(
        &self,
        snapshot: &Snapshot,
        consent: &Stored<ConsentRecord>,
    ) -> Result<bool> {
        let record = &consent.record;
        let who = audit::who_is(snapshot, &record.person).map(|w| w.person);
        let signer = record.signed.as_ref().map(|s| s.key);
        audit::vouch(&self.layout, who, consent.hash, signer, record.created_secs)
    }

    /// The consents that a record replaced, newest first, as far as they are here.
    pub fn consent_history(&self, record: &ConsentRecord) -> Vec<Stored<ConsentRecord>> {
        let mut history: Vec<Stored<ConsentRecord>> = Vec::new();
        let mut at = record.original;
        while let Some(hash) = at.filter(|_| history.len() < MAX_HISTORY) {
            // One that was erased, did not come along or is damaged ends the list.
            let Ok(found) = store::get::<ConsentRecord>(&self.layout, &hash) else {
                break;
            };
            at = found.record.original;
            history.push(found);
        }
        history
    }
}

impl Writer<'_> {
    /// Replaces a person's consent by a new record that names the old one, which stays. With a
    /// ground it also replaces one that cannot be read.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::NoConsent`], [`Error::ConsentWithdrawn`] if the ground is
    /// not named after a withdrawal, [`Error::BadConsent`], [`Error::TooLarge`], or what is damaged
    /// or refused.
    pub fn change_consent(
        &self,
        name: &PersonName,
        change: ConsentChange,
        now_secs: u64,
    ) -> Result<Stored<ConsentRecord>> {
        let layout = &self.library.layout;
        let snapshot = Snapshot::read(layout)?;
        self.library.require_person(&snapshot, name)?;
        let replaced = match snapshot.slots.get(&RefName::Consent(name.clone())) {
            Some(Slot::Good(target)) => Some(target.record),
            Some(Slot::Bad(_)) | None => None,
        };
        let old = match self.library.consent_on_record(name) {
            Ok(old) => Some(old.record),
            Err(_) if change.source.is_some() => None,
            Err(e) => return Err(e),
        };
        // After a withdrawal nothing of the old terms goes on.
        let old = match old.as_ref().map(|old| old.state(now_secs)) {
            Some(ConsentState::Withdrawn(at_secs)) if change.source.is_none() => {
                let person = name.clone();
                return Err(Error::ConsentWithdrawn { person, at_secs });
            }
            Some(ConsentState::Withdrawn(_)) => None,
            _ => old,
        };
        let before = old.as_ref().map_or_else(Terms::default, |old| Terms {
            agreed_by: old.agreed_by.clone(),
            uses: old.uses.clone(),
            sharing: old.sharing,
            projects: old.projects.clone(),
            until_secs: old.until_secs,
        });
        let mut consent = Consent {
            // Without a new ground this one is only looked at: the old one is taken over below.
            source: ConsentSource::OwnFace,
            entered_by: change.entered_by,
            note: change
                .note
                .or_else(|| old.as_ref().map(|old| old.note.clone()))
                .unwrap_or_default(),
            terms: Terms {
                agreed_by: change.agreed_by.or(before.agreed_by),
                uses: change.uses.unwrap_or(before.uses),
                sharing: change.sharing.or(before.sharing),
                projects: change.projects.unwrap_or(before.projects),
                until_secs: change.until_secs.unwrap_or(before.until_secs),
            },
        };
        let same_ground = old.map(|old| old.basis).filter(|_| change.source.is_none());
        if let Some(source) = change.source {
            consent.source = source;
        }
        consent.check()?;
        let mut record = self.consent_record(name, consent, now_secs)?;
        if let Some(basis) = same_ground {
            record.basis = basis;
        }
        record.original = replaced;
        self.put_consent(record, Deed::Consent, now_secs)
    }

    /// Withdraws a person's consent: nothing may be done with their face from now on. Faces kept for
    /// rehearsal are erased; what else is in the library stays until it is. A consent that was withdrawn before is given back as it is.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::NoConsent`], or what is damaged or refused.
    pub fn withdraw_consent(
        &self,
        name: &PersonName,
        entered_by: &str,
        note: &str,
        now_secs: u64,
    ) -> Result<Stored<ConsentRecord>> {
        let old = self.library.consent_on_record(name)?;
        if old.record.withdrawn_secs.is_some() {
            return Ok(old);
        }
        Consent {
            source: ConsentSource::OwnFace, // the ground was checked when it was entered
            entered_by: entered_by.to_owned(),
            note: note.to_owned(),
            terms: Terms::default(),
        }
        .check()?;
        let record = ConsentRecord {
            withdrawn_secs: Some(now_secs),
            entered_by: entered_by.to_owned(),
            note: note.to_owned(),
            original: Some(old.hash),
            created_secs: now_secs,
            software: SOFTWARE.into(),
            ..old.record
        };
        self.put_consent(record, Deed::Withdraw, now_secs)
    }

    /// The record of a consent as it is entered, with its evidence stored; not signed yet.
    pub(crate) fn consent_record(
        &self,
        name: &PersonName,
        consent: Consent,
        now_secs: u64,
    ) -> Result<ConsentRecord> {
        let basis = match consent.source {
            ConsentSource::OwnFace => ConsentBasis::OwnFace,
            ConsentSource::Synthetic => ConsentBasis::Synthetic,
            ConsentSource::File { name, bytes } => ConsentBasis::File {
                name,
                object: self.put_object(&bytes)?,
            },
        };
        Ok(ConsentRecord {
            person: name.clone(),
            basis,
            agreed_by: consent.terms.agreed_by,
            entered_by: consent.entered_by,
            note: consent.note,
            uses: consent.terms.uses,
            projects: consent.terms.projects,
            until_secs: consent.terms.until_secs,
            withdrawn_secs: None,
            sharing: consent.terms.sharing,
            original: None,
            original_key: None,
            created_secs: now_secs,
            software: SOFTWARE.into(),
            signed: None,
        })
    }

    /// Signs a consent, stores it, makes it the current one and logs it.
    fn put_consent(
        &self,
        record: ConsentRecord,
        deed: Deed,
        now_secs: u64,
    ) -> Result<Stored<ConsentRecord>> {
        let record = record.signed_with(&self.keys(now_secs)?)?;
        let hash = self.put_record(&Record::Consent(record.clone()))?;
        self.transact_unconditionally(&[Change {
            name: RefName::Consent(record.person.clone()),
            expect: Expect::Any,
            new: Some(hash),
        }])?;
        self.log_persons(deed, std::slice::from_ref(&record.person), now_secs);
        let allows = record.withdrawn_secs.is_none() && record.uses.contains(&Allowed::Rehearsal);
        if !allows {
            // Kept by nothing but a consent that says so.
            self.erase_rehearsal(&record.person, now_secs)?;
        }
        Ok(Stored { hash, record })
    }
}
