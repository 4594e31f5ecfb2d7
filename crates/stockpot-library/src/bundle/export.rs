//! What goes into an export, and writing it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use stockpot_core::{CancelToken, ContentHash, PersonName, Progress, ProgressSink};

use super::{
    BundleKind, Entry, HASH_BYTES, Header, MAGIC, MAX_HEADER_BYTES, PIECE_BYTES, PREFIX_BYTES,
    PersonEntry, VERSION,
};
use crate::SOFTWARE;
use crate::audit::{Deed, Used};
use crate::consent::Consented;
use crate::consent_record::{ConsentRecord, Purpose, Use};
use crate::disk::Sink;
use crate::error::{Error, Result};
use crate::library::Library;
use crate::objects::hash_of;
use crate::record::Record;
use crate::refs::{RefName, Snapshot};
use crate::store;

/// What to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The current encoder state.
    Encoder,
    /// A person: consent, current decoder state, and the encoder state that it was trained with.
    Person(PersonName),
    /// Everybody whose consent allows it, and all states.
    All,
}

/// Whether the faces that persons have in the rehearsal store are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RehearsalFaces {
    /// They stay here.
    LeftOut,
    /// They are.
    GoAlong,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// What the file is.
    pub kind: BundleKind,
    /// Its length.
    pub bytes: u64,
    /// Who is in it.
    pub persons: Vec<PersonName>,
    /// Who is not, and why.
    pub left_out: Vec<(PersonName, String)>,
    /// Records in it.
    pub records: u64,
    /// Objects in it.
    pub objects: u64,
    /// Faces of rehearsal sets in it.
    pub rehearsal_faces: u64,
    /// Faces of rehearsal sets that stayed here.
    pub rehearsal_left_out: u64,
    /// Why the log of uses lacks this export, in words.
    pub unlogged: Option<String>,
}

impl Library {
    /// Writes one file that holds what `what` selects. Needs no lock. The file appears whole or not
    /// at all, and one that is there is not overwritten. Progress is in objects.
    ///
    /// # Errors
    /// [`Error::SharingForbidden`], [`Error::NothingToExport`], [`Error::FileTaken`],
    /// [`Error::NoSuchPerson`], what [`Library::consent_for`] says of one person,
    /// [`Error::Cancelled`], or what is damaged or refused.
    pub fn export(
        &self,
        what: (&Selection, RehearsalFaces),
        file: &Path,
        purpose: &Purpose,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<Exported> {
        if file.exists() {
            return Err(Error::FileTaken { path: file.into() });
        }
        let contents = Contents::select(self, what, purpose)?;
        let (header, objects) = contents.header(self, purpose.now_secs)?;
        let mut text = serde_json::to_vec(&header).map_err(|e| Error::BadCommit {
            reason: e.to_string(),
        })?;
        text.push(b'\n');
        if text.len() as u64 > MAX_HEADER_BYTES {
            return Err(Error::TooLarge {
                what: "list of what is exported".into(),
                found_bytes: text.len() as u64,
                limit_bytes: MAX_HEADER_BYTES,
            });
        }
        progress.send(Progress::Phase {
            name: "export",
            total: objects.len() as u64,
        });
        let hash = self.disk.stream_whole(file, |sink| {
            sink.write(&prefix(text.len()))?;
            sink.write(&text)?;
            sink.write(&hash_of(&text).0)?;
            for bytes in contents.records.values() {
                sink.write(bytes)?;
            }
            for (done, entry) in (1..).zip(&objects) {
                self.copy_object(entry, sink, cancel)?;
                progress.send(Progress::Step {
                    done,
                    note: String::new(),
                });
            }
            Ok(sink.hash())
        })?;
        let used = Used {
            deed: Deed::Export,
            consents: contents.consents.iter().collect(),
            encoder: header.encoder,
            decoders: header.persons.iter().filter_map(|p| p.decoder).collect(),
            output: Some(hash),
            file: Some(file),
        };
        let logged = self.log_use(&used, purpose.now_secs);
        let lengths = header.records.iter().chain(&header.objects);
        Ok(Exported {
            kind: header.kind,
            bytes: PREFIX_BYTES
                + text.len() as u64
                + HASH_BYTES
                + lengths.map(|e| e.bytes).sum::<u64>(),
            persons: header.persons.into_iter().map(|p| p.name).collect(),
            left_out: contents.left_out,
            rehearsal_faces: contents.rehearsal_faces[0],
            rehearsal_left_out: contents.rehearsal_faces[1],
            records: header.records.len() as u64,
            objects: header.objects.len() as u64,
            unlogged: logged.err().map(|e| e.to_string()),
        })
    }

    /// How many bytes an export of `what` will have, but for its header.
    ///
    /// # Errors
    /// As [`Library::export`].
    pub fn export_bytes(
        &self,
        what: (&Selection, RehearsalFaces),
        purpose: &Purpose,
    ) -> Result<u64> {
        let contents = Contents::select(self, what, purpose)?;
        let (header, _) = contents.header(self, 0)?;
        Ok(header
            .records
            .iter()
            .chain(&header.objects)
            .map(|e| e.bytes)
            .sum())
    }

    fn copy_object(&self, entry: &Entry, sink: &mut Sink<'_>, cancel: &CancelToken) -> Result<()> {
        let path = self.layout.object(&entry.hash);
        let failed = |e| Error::io("read the object", &path, e);
        // A byte more than there should be shows a file that has grown.
        let mut file = File::open(&path).map_err(failed)?.take(entry.bytes + 1);
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0u8; PIECE_BYTES];
        loop {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let n = file.read(&mut piece).map_err(failed)?;
            if n == 0 {
                break;
            }
            hasher.update(&piece[..n]);
            sink.write(&piece[..n])?;
        }
        let found = ContentHash(*hasher.finalize().as_bytes());
        if found == entry.hash {
            return Ok(());
        }
        Err(Error::DamagedObject {
            hash: entry.hash,
            found,
            path,
        })
    }
}

fn prefix(header_bytes: usize) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    // It fits: the caller has compared it with the limit.
    out.extend((header_bytes as u32).to_le_bytes());
    out
}

/// Why a person is left out of the export of a library; what is damaged stops it.
fn left_out_because(error: Error) -> Result<String> {
    match error {
        Error::SharingForbidden { reason, .. } => Ok(reason.into()),
        Error::NoConsent { .. } => Ok("there is no consent on record".into()),
        Error::ConsentWithdrawn { .. }
        | Error::ConsentExpired { .. }
        | Error::ConsentOutOfScope { .. }
        | Error::ConsentOtherProject { .. }
        | Error::ConsentNotVouched { .. } => Ok(error.to_string()),
        damaged => Err(damaged),
    }
}

/// What goes into the file.
struct Contents {
    kind: BundleKind,
    encoder: Option<ContentHash>,
    persons: Vec<PersonEntry>,
    left_out: Vec<(PersonName, String)>,
    consents: Vec<Consented>,
    /// Faces of rehearsal sets that are in, and those that are not.
    rehearsal_faces: [u64; 2],
    /// With their bytes.
    records: BTreeMap<ContentHash, Vec<u8>>,
    /// Objects that must be there.
    needed: BTreeSet<ContentHash>,
    /// Objects that go along if they are there.
    wanted: BTreeSet<ContentHash>,
}

impl Contents {
    fn select(
        library: &Library,
        (what, faces): (&Selection, RehearsalFaces),
        purpose: &Purpose,
    ) -> Result<Self> {
        let snapshot = Snapshot::read(&library.layout)?;
        // Whatever was asked, a file is for others.
        let purpose = &Purpose {
            what: Use::Share,
            ..purpose.clone()
        };
        let target = |name: RefName| snapshot.target(&library.layout, &name);
        let mut contents = Self {
            kind: match what {
                Selection::Encoder => BundleKind::Encoder,
                Selection::Person(_) => BundleKind::Person,
                Selection::All => BundleKind::Library,
            },
            encoder: None,
            persons: Vec::new(),
            left_out: Vec::new(),
            consents: Vec::new(),
            rehearsal_faces: [0; 2],
            records: BTreeMap::new(),
            needed: BTreeSet::new(),
            wanted: BTreeSet::new(),
        };
        match what {
            Selection::Encoder => {
                contents.encoder = target(RefName::Encoder)?;
                if contents.encoder.is_none() {
                    return Err(Error::NothingToExport {
                        reason: "nothing was trained in this library yet",
                    });
                }
            }
            Selection::Person(name) => {
                let consent = library.consent_for(name, purpose)?;
                contents.add_person(library, &snapshot, consent)?;
            }
            Selection::All => {
                contents.encoder = target(RefName::Encoder)?;
                for name in snapshot.persons() {
                    match library.consent_for(&name, purpose) {
                        Ok(consent) => contents.add_person(library, &snapshot, consent)?,
                        Err(e) => contents.left_out.push((name, left_out_because(e)?)),
                    }
                }
                contents.add_the_rest(library)?;
            }
        }
        contents.add_states(library)?;
        contents.add_rehearsal(library, faces)?;
        Ok(contents)
    }

    /// Adds a person's own records.
    fn add_person(
        &mut self,
        library: &Library,
        snapshot: &Snapshot,
        consented: Consented,
    ) -> Result<()> {
        let layout = &library.layout;
        let name = consented.person().clone();
        let consent = consented.record();
        let record = store::get::<ConsentRecord>(layout, &consent)?.record;
        let person = RefName::Person(name.clone());
        let Some(person) = snapshot.target(layout, &person)? else {
            return Err(Error::DamagedRef {
                ref_name: person.to_string(),
                reason: "it is missing".into(),
                path: layout.refs().join(person.to_string()),
            });
        };
        self.needed.extend(Record::Consent(record).objects());
        self.add_record(library, &person)?;
        self.add_record(library, &consent)?;
        self.persons.push(PersonEntry {
            decoder: snapshot.target(layout, &RefName::Decoder(name.clone()))?,
            name,
            person,
            consent,
        });
        self.consents.push(consented);
        Ok(())
    }

    /// Adds what is current, with its objects, and the records of its ancestors.
    fn add_states(&mut self, library: &Library) -> Result<()> {
        let mut waiting: Vec<ContentHash> = Vec::new();
        // Encoder states whose passports go along.
        let mut measured = BTreeSet::new();
        for person in self.persons.clone() {
            let Some(decoder) = person.decoder else {
                continue;
            };
            let record = library.decoder_state(&decoder)?.record;
            let encoder = library.encoder_state(&record.encoder_state)?;
            measured.insert(encoder.hash);
            // It is stitched again from what was last trained, and with that one's passport.
            if let (Some(from), Some(parent)) = (record.stitched_from, record.parent) {
                measured.insert(from);
                if let Ok(parent) = library.decoder_state(&parent) {
                    self.wanted
                        .extend(Record::DecoderState(parent.record).objects());
                }
            }
            if self.kind == BundleKind::Person {
                self.encoder = Some(encoder.hash);
            }
            self.needed
                .extend(Record::EncoderState(encoder.record).objects());
            self.needed.extend(Record::DecoderState(record).objects());
            waiting.push(decoder);
        }
        if let Some(encoder) = self.encoder {
            let record = library.encoder_state(&encoder)?.record;
            self.needed.extend(Record::EncoderState(record).objects());
            measured.insert(encoder);
            waiting.push(encoder);
        }
        while let Some(hash) = waiting.pop() {
            // A missing ancestor is a gap in the tree, not in what is exported.
            if self.records.contains_key(&hash) || !library.layout.record(&hash).is_file() {
                continue;
            }
            let record = library.record(&hash)?;
            let ours = match &record {
                Record::EncoderState(_) => true,
                Record::DecoderState(r) => self.has(&r.person),
                _ => false,
            };
            if ours {
                waiting.extend(record.parents());
                self.add_record(library, &hash)?;
            }
        }
        for passport in library.passports()? {
            if measured.contains(&passport.record.encoder_state) {
                self.needed.insert(passport.record.object);
                self.add_record(library, &passport.hash)?;
            }
        }
        Ok(())
    }

    /// Adds the newest rehearsal set of everybody who is in, if they are to go along.
    fn add_rehearsal(&mut self, library: &Library, faces: RehearsalFaces) -> Result<()> {
        for set in library.rehearsals()? {
            if !self.has(&set.record.person) {
                continue;
            }
            let [along, left_out] = &mut self.rehearsal_faces;
            match faces {
                RehearsalFaces::LeftOut => *left_out += set.record.faces,
                RehearsalFaces::GoAlong => {
                    *along += set.record.faces;
                    self.needed.insert(set.record.object);
                    self.add_record(library, &set.hash)?;
                }
            }
        }
        Ok(())
    }

    /// Everything else that names nobody but those who are in.
    fn add_the_rest(&mut self, library: &Library) -> Result<()> {
        for hash in store::list_records(&library.layout)? {
            let record = match library.record(&hash) {
                // Nobody can tell whom it names.
                Err(Error::NewerRecord { .. }) => continue,
                other => other?,
            };
            let ours = match &record {
                Record::EncoderState(_) => true,
                Record::DecoderState(r) => self.has(&r.person),
                Record::Consent(r) => self.has(&r.person),
                Record::Person(r) => self.has(&r.name),
                Record::Run(r) => r.everybody().all(|person| self.has(person)),
                Record::Passport(_) => true,
                // They go along only where that was asked for.
                Record::Rehearsal(_) => false,
                // What is not in the file is written down by whoever imports it.
                Record::Absence(_) => false,
            };
            if ours {
                self.wanted.extend(record.objects());
                self.add_record(library, &hash)?;
            }
        }
        Ok(())
    }

    fn has(&self, name: &PersonName) -> bool {
        self.persons.iter().any(|p| p.name == *name)
    }

    fn add_record(&mut self, library: &Library, hash: &ContentHash) -> Result<()> {
        let bytes = store::record_bytes(&library.layout, hash)?;
        self.records.insert(*hash, bytes);
        Ok(())
    }

    fn header(&self, library: &Library, now_secs: u64) -> Result<(Header, Vec<Entry>)> {
        let mut objects = Vec::new();
        for hash in self.needed.union(&self.wanted) {
            let path = library.layout.object(hash);
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_file() => objects.push(Entry {
                    hash: *hash,
                    bytes: meta.len(),
                }),
                _ if !self.needed.contains(hash) => {}
                _ => return Err(library.explain(Error::MissingObject { hash: *hash, path })),
            }
        }
        let family = match self.encoder {
            Some(hash) => Some(library.encoder_state(&hash)?.record.family),
            None => library.family()?,
        };
        let header = Header {
            kind: self.kind,
            family,
            encoder: self.encoder,
            persons: self.persons.clone(),
            records: self
                .records
                .iter()
                .map(|(hash, bytes)| Entry {
                    hash: *hash,
                    bytes: bytes.len() as u64,
                })
                .collect(),
            objects: objects.clone(),
            created_secs: now_secs,
            software: SOFTWARE.into(),
        };
        Ok((header, objects))
    }
}
