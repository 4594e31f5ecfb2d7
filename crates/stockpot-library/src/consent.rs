//! Consent: what is entered, and the value that shows that it was.

use stockpot_core::{ContentHash, PersonName};

use crate::error::{Error, Result};
use crate::library::Library;
use crate::record::{ConsentBasis, ConsentRecord};
use crate::refs::{RefName, Snapshot};
use crate::store;

/// The largest evidence file: a signed page or a short recording.
const MAX_EVIDENCE_BYTES: u64 = 256 << 20;
/// The longest text in a consent.
const MAX_TEXT_BYTES: u64 = 64 << 10;

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
        for (what, text) in [
            ("name of who enters it", &self.entered_by),
            ("note", &self.note),
        ] {
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

/// Shows that a person's consent is on record. Only [`Library::consent_of`] hands one out; what
/// trains or draws a face asks for it, so that forgetting to look does not compile:
///
/// ```compile_fail,E0451
/// # let person: stockpot_core::PersonName = "anna".parse().unwrap();
/// # let record = stockpot_core::ContentHash([0; 32]);
/// let made_up = stockpot_library::Consented { person, record, basis: stockpot_library::ConsentBasis::OwnFace };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consented {
    person: PersonName,
    record: ContentHash,
    basis: ConsentBasis,
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
}

impl Library {
    /// The consent on record for a person.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`], [`Error::NoConsent`], or what is damaged: a consent that cannot be
    /// read, or whose evidence is gone, is none.
    pub fn consent_of(&self, person: &PersonName) -> Result<Consented> {
        let snapshot = Snapshot::read(&self.layout)?;
        self.require_person(&snapshot, person)?;
        let hash = snapshot
            .target(&self.layout, &RefName::Consent(person.clone()))?
            .ok_or_else(|| Error::NoConsent {
                person: person.clone(),
            })?;
        let record = store::get::<ConsentRecord>(&self.layout, &hash)?.record;
        if record.person != *person {
            return Err(Error::NoConsent {
                person: person.clone(),
            });
        }
        if let ConsentBasis::File { object, .. } = &record.basis {
            let path = self.layout.object(object);
            if !path.is_file() {
                return Err(Error::MissingObject {
                    hash: *object,
                    path,
                });
            }
        }
        Ok(Consented {
            person: record.person,
            record: hash,
            basis: record.basis,
        })
    }
}
