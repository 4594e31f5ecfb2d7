//! What an import would do to this library, decided before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use stockpot_core::{ContentHash, PersonName};

use super::PersonEntry;
use super::import::{EncoderImport, ImportReport, ImportedPerson, PersonImport};
use super::read::Bundle;
use crate::absence::Absent;
use crate::audit::Who;
use crate::consent_record::ConsentRecord;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::library::Library;
use crate::objects::hash_of;
use crate::record::{MAX_RECORD_BYTES, Record};
use crate::refs::{Change, Expect, RefName, Snapshot};
use crate::signing::Keys;
use crate::store;
use crate::utc::utc_text;

/// What is to be written, in this order.
pub(super) struct Plan {
    /// Objects that are not here.
    pub(super) objects: Vec<ContentHash>,
    /// What records name and neither the file nor this library has.
    pub(super) absent_objects: BTreeMap<ContentHash, u64>,
    pub(super) absent_records: BTreeSet<ContentHash>,
    /// Records that are not here, parents before children.
    pub(super) records: Vec<(ContentHash, Vec<u8>)>,
    pub(super) changes: Vec<Change>,
    /// Persons whose consent comes in, for the log.
    pub(super) who: Vec<Who>,
    pub(super) report: ImportReport,
}

impl Plan {
    pub(super) fn make(
        library: &Library,
        bundle: &Bundle,
        rename: Option<&PersonName>,
        keys: &Keys,
    ) -> Result<Self> {
        refuse_other_family(library, bundle)?;
        let content = Content::of(bundle, rename, keys)?;
        let layout = &library.layout;
        let snapshot = Snapshot::read(layout)?;
        let mut plan = Self {
            objects: Vec::new(),
            absent_objects: BTreeMap::new(),
            absent_records: BTreeSet::new(),
            records: Vec::new(),
            changes: Vec::new(),
            who: Vec::new(),
            report: ImportReport::of(bundle),
        };
        plan.encoder(library, &snapshot, bundle)?;
        for (entry, was) in &content.persons {
            plan.person(library, &snapshot, &content, entry, was)?;
        }
        for entry in &bundle.header.objects {
            let there = std::fs::metadata(layout.object(&entry.hash));
            if !there.is_ok_and(|m| m.is_file() && m.len() == entry.bytes) {
                plan.objects.push(entry.hash);
                plan.report.new_bytes += entry.bytes;
            }
        }
        plan.absences(layout, bundle, &content)?;
        for (hash, (_, bytes)) in content.in_order() {
            if store::record_bytes(layout, &hash).is_err() {
                plan.report.new_bytes += bytes.len() as u64;
                plan.records.push((hash, bytes.clone()));
            }
        }
        plan.report.new_objects = plan.objects.len() as u64;
        plan.report.new_records = plan.records.len() as u64;
        Ok(plan)
    }

    fn encoder(&mut self, library: &Library, snapshot: &Snapshot, bundle: &Bundle) -> Result<()> {
        let Some(new) = bundle.header.encoder else {
            return Ok(());
        };
        let here = snapshot.target(&library.layout, &RefName::Encoder)?;
        self.report.encoder = Some(match here {
            Some(here) if here == new => EncoderImport::Same,
            Some(_) => EncoderImport::Kept(new),
            None => {
                self.changes.push(Change {
                    name: RefName::Encoder,
                    expect: Expect::Is(None),
                    new: Some(new),
                });
                EncoderImport::Current(new)
            }
        });
        Ok(())
    }

    fn person(
        &mut self,
        library: &Library,
        snapshot: &Snapshot,
        content: &Content,
        entry: &PersonEntry,
        was: &PersonName,
    ) -> Result<()> {
        let layout = &library.layout;
        let name = &entry.name;
        let Some((Record::Consent(consent), _)) = content.records.get(&entry.consent) else {
            // The file was checked for it when it was read.
            return Err(Error::NoConsent {
                person: name.clone(),
            });
        };
        let consented = consent.clone();
        let outcome = if snapshot.has_person(name) {
            let consent = snapshot.target(layout, &RefName::Consent(name.clone()))?;
            if consent == Some(entry.consent) {
                let decoder = snapshot.target(layout, &RefName::Decoder(name.clone()))?;
                self.decoder(library, content, entry, decoder)
            } else {
                PersonImport::Conflict(other_consent(layout, content, entry, consent))
            }
        } else if let Some(other) = snapshot
            .persons()
            .iter()
            .find(|other| other.as_str().eq_ignore_ascii_case(name.as_str()))
        {
            PersonImport::Conflict(format!(
                "`{name}` differs from the known person `{other}` in upper and lower case only"
            ))
        } else {
            self.set(RefName::Person(name.clone()), None, entry.person);
            self.who.push(Who {
                person: entry.person,
                consent: Some(entry.consent),
            });
            self.set(RefName::Consent(name.clone()), None, entry.consent);
            if let Some(decoder) = entry.decoder {
                self.set(RefName::Decoder(name.clone()), None, decoder);
            }
            PersonImport::New
        };
        if let PersonImport::Conflict(text) = &outcome {
            self.report.conflicts.push(text.clone());
        }
        self.report.persons.push(ImportedPerson {
            name: name.clone(),
            was: was.clone(),
            outcome,
            consent: consented,
        });
        Ok(())
    }

    /// The same person: the decoder moves on only along its own line.
    fn decoder(
        &mut self,
        library: &Library,
        content: &Content,
        entry: &PersonEntry,
        here: Option<ContentHash>,
    ) -> PersonImport {
        let Some(new) = entry.decoder.filter(|new| here != Some(*new)) else {
            return PersonImport::Same;
        };
        let Some(here) = here else {
            self.set(RefName::Decoder(entry.name.clone()), None, new);
            return PersonImport::Decoder(new);
        };
        if content.is_ancestor(library, here, new) {
            self.set(RefName::Decoder(entry.name.clone()), Some(here), new);
            return PersonImport::Decoder(new);
        }
        if content.is_ancestor(library, new, here) {
            return PersonImport::NewerHere;
        }
        PersonImport::Conflict(format!(
            "`{}` has the decoder state {} here and {} in the file, and neither comes from the other",
            entry.name,
            here.short(),
            new.short()
        ))
    }

    fn set(&mut self, name: RefName, here: Option<ContentHash>, new: ContentHash) {
        self.changes.push(Change {
            name,
            expect: Expect::Is(here),
            new: Some(new),
        });
    }

    /// What the records name and nobody has.
    fn absences(&mut self, layout: &Layout, bundle: &Bundle, content: &Content) -> Result<()> {
        let known = Absent::read(layout)?;
        for (record, _) in content.records.values() {
            for object in record.objects() {
                let here = bundle.has_object(&object)
                    || known.objects.contains_key(&object)
                    || layout.object(&object).is_file();
                if !here {
                    self.absent_objects.insert(object, 0);
                }
            }
            for parent in record.parents() {
                let here = content.records.contains_key(&parent)
                    || known.records.contains_key(&parent)
                    || layout.record(&parent).is_file();
                if !here {
                    self.absent_records.insert(parent);
                }
            }
        }
        Ok(())
    }
}

fn refuse_other_family(library: &Library, bundle: &Bundle) -> Result<()> {
    match (library.family()?, &bundle.header.family) {
        (Some(library), Some(offered)) if library != *offered => Err(Error::OtherFamily {
            library,
            offered: offered.clone(),
        }),
        _ => Ok(()),
    }
}

/// Both consents in words, so that one can see what differs.
fn other_consent(
    layout: &Layout,
    content: &Content,
    entry: &PersonEntry,
    here: Option<ContentHash>,
) -> String {
    let words = |r: &ConsentRecord| {
        format!(
            "`{}`, entered by `{}` on {}",
            r.basis,
            r.entered_by,
            utc_text(r.created_secs)
        )
    };
    let here = here.map(|hash| store::get::<ConsentRecord>(layout, &hash));
    let here = match here {
        Some(Ok(stored)) => words(&stored.record),
        _ => "none that can be read".to_owned(),
    };
    let there = match content.records.get(&entry.consent) {
        Some((Record::Consent(r), _)) => words(r),
        _ => "none".to_owned(),
    };
    format!(
        "there is a person `{}` with another consent: here {here}; in the file {there}",
        entry.name
    )
}

/// The records of a file, under the names that they get here.
struct Content {
    records: BTreeMap<ContentHash, (Record, Vec<u8>)>,
    /// Each with the name in the file.
    persons: Vec<(PersonEntry, PersonName)>,
}

impl Content {
    fn of(bundle: &Bundle, rename: Option<&PersonName>, keys: &Keys) -> Result<Self> {
        let persons = &bundle.header.persons;
        let Some(new) = rename else {
            return Ok(Self {
                records: bundle.records.clone(),
                persons: persons
                    .iter()
                    .map(|p| (p.clone(), p.name.clone()))
                    .collect(),
            });
        };
        let [person] = persons.as_slice() else {
            return Err(Error::NotOnePerson {
                found: persons.len(),
            });
        };
        let renamed = Renamed::make(bundle, &person.name, new, keys)?;
        let entry = PersonEntry {
            name: new.clone(),
            person: renamed.now(person.person),
            consent: renamed.now(person.consent),
            decoder: person.decoder.map(|hash| renamed.now(hash)),
        };
        Ok(Self {
            records: renamed.records,
            persons: vec![(entry, person.name.clone())],
        })
    }

    /// Parents before children.
    fn in_order(&self) -> Vec<(ContentHash, &(Record, Vec<u8>))> {
        parents_first(&self.records)
            .into_iter()
            .filter_map(|hash| Some((hash, self.records.get(&hash)?)))
            .collect()
    }

    /// Whether `old` is an ancestor of `new`, by the records of the file and of the library.
    fn is_ancestor(&self, library: &Library, old: ContentHash, new: ContentHash) -> bool {
        let mut at = Some(new);
        let mut seen = BTreeSet::new();
        while let Some(hash) = at.filter(|hash| seen.insert(*hash)) {
            if hash == old {
                return true;
            }
            at = match self.records.get(&hash) {
                Some((Record::DecoderState(r), _)) => r.parent,
                // What cannot be read ends the line.
                _ => library
                    .decoder_state(&hash)
                    .ok()
                    .and_then(|s| s.record.parent),
            };
        }
        false
    }
}

/// All hashes, parents before children; those without parents here come first.
fn parents_first(records: &BTreeMap<ContentHash, (Record, Vec<u8>)>) -> Vec<ContentHash> {
    let mut order = Vec::new();
    let mut placed = BTreeSet::new();
    for start in records.keys() {
        // Without recursion: a chain may have any length. Hashes cannot form a circle.
        let mut path = vec![(*start, false)];
        while let Some((hash, parents_done)) = path.pop() {
            if placed.contains(&hash) {
                continue;
            }
            let Some((record, _)) = records.get(&hash) else {
                continue;
            };
            if parents_done {
                placed.insert(hash);
                order.push(hash);
            } else {
                path.push((hash, true));
                path.extend(record.parents().into_iter().map(|p| (p, false)));
            }
        }
    }
    order
}

/// A person's records under another name, with new hashes. Nothing under the old name comes in: it
/// may be somebody else's here.
struct Renamed {
    records: BTreeMap<ContentHash, (Record, Vec<u8>)>,
    hashes: BTreeMap<ContentHash, ContentHash>,
}

impl Renamed {
    fn make(bundle: &Bundle, old: &PersonName, new: &PersonName, keys: &Keys) -> Result<Self> {
        let mut renamed = Self {
            records: BTreeMap::new(),
            hashes: BTreeMap::new(),
        };
        let is_consent =
            |hash: &ContentHash| matches!(bundle.records.get(hash), Some((Record::Consent(_), _)));
        // Decoder states name consents, though they do not need them.
        let (consents, others): (Vec<_>, Vec<_>) = parents_first(&bundle.records)
            .into_iter()
            .partition(is_consent);
        for hash in consents.into_iter().chain(others) {
            let Some((record, bytes)) = bundle.records.get(&hash) else {
                continue;
            };
            let record = match record.clone() {
                Record::DecoderState(mut r) if r.person == *old => {
                    r.person = new.clone();
                    r.parent = r.parent.map(|parent| renamed.now(parent));
                    r.consent = r.consent.map(|consent| renamed.now(consent));
                    Record::DecoderState(r)
                }
                Record::Consent(mut r) if r.person == *old => {
                    r.person = new.clone();
                    r.original = Some(hash);
                    // Under another name the signature does not hold any more: this library
                    // answers for it, and names who signed before.
                    r.original_key = r.signed.take().map(|signed| signed.key);
                    Record::Consent(r.signed_with(keys)?)
                }
                Record::Rehearsal(mut r) if r.person == *old => {
                    r.person = new.clone();
                    r.consent = renamed.now(r.consent);
                    Record::Rehearsal(r)
                }
                Record::Person(mut r) if r.name == *old => {
                    r.name = new.clone();
                    Record::Person(r)
                }
                // A run of one person's library; its states have other hashes now.
                Record::Run(_) => continue,
                other => {
                    renamed.records.insert(hash, (other, bytes.clone()));
                    continue;
                }
            };
            let bytes = record.to_bytes().map_err(|reason| bundle.bad(reason))?;
            if bytes.len() as u64 > MAX_RECORD_BYTES {
                return Err(bundle.bad("a record is too large under another name"));
            }
            let now = hash_of(&bytes);
            renamed.hashes.insert(hash, now);
            renamed.records.insert(now, (record, bytes));
        }
        Ok(renamed)
    }

    fn now(&self, hash: ContentHash) -> ContentHash {
        self.hashes.get(&hash).copied().unwrap_or(hash)
    }
}
