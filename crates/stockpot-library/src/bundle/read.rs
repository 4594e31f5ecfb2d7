//! Reading an export that anybody may have written: every number is checked before it is used, every
//! byte is hashed, every record is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use stockpot_core::{CancelToken, ContentHash, PersonName, Progress, ProgressSink};

use super::{
    BundleKind, Entry, HASH_BYTES, Header, MAGIC, MAX_HEADER_BYTES, MAX_RECORDS_BYTES, PIECE_BYTES,
    PREFIX_BYTES, VERSION,
};
use crate::disk::Sink;
use crate::error::{Error, Result};
use crate::objects::{MAX_OBJECT_BYTES, hash_of};
use crate::record::{BadRecord, MAX_RECORD_BYTES, Record, parse};
use crate::rehearsal::MOST_REHEARSAL_FACES;

/// A whole export: everything in it fits together, and every byte was hashed.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) header: Header,
    /// Each with its bytes, which may say more than this stockpot knows.
    pub(super) records: BTreeMap<ContentHash, (Record, Vec<u8>)>,
    /// Where each object begins.
    starts: BTreeMap<ContentHash, (u64, u64)>,
    path: PathBuf,
}

impl Bundle {
    /// Reads and checks the whole file. Progress is in records and objects.
    pub(super) fn read(
        path: &Path,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut source = Source::open(path)?;
        let header = source.header()?;
        let total = header.records.len() + header.objects.len();
        progress.send(Progress::Phase {
            name: "read export",
            total: total as u64,
        });
        let mut done = 0;
        let mut step = || {
            done += 1;
            progress.send(Progress::Step {
                done,
                note: String::new(),
            });
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            Ok(())
        };
        let mut records = BTreeMap::new();
        for entry in &header.records {
            records.insert(entry.hash, source.record(entry)?);
            step()?;
        }
        let mut starts = BTreeMap::new();
        for entry in &header.objects {
            starts.insert(entry.hash, (source.at, entry.bytes));
            source.object(entry, None)?;
            step()?;
        }
        let bundle = Self {
            header,
            records,
            starts,
            path: path.into(),
        };
        bundle.check()?;
        Ok(bundle)
    }

    /// Copies an object into `sink`, hashing it again: the file may have changed since.
    pub(super) fn copy_object(&self, hash: &ContentHash, sink: &mut Sink<'_>) -> Result<()> {
        let Some((at, bytes)) = self.starts.get(hash) else {
            return Err(self.bad("an object is not in it"));
        };
        let mut source = Source::open(&self.path)?;
        source.seek(*at)?;
        let entry = Entry {
            hash: *hash,
            bytes: *bytes,
        };
        source.object(&entry, Some(sink))
    }

    pub(super) fn has_object(&self, hash: &ContentHash) -> bool {
        self.starts.contains_key(hash)
    }

    pub(super) fn bad(&self, reason: impl Into<String>) -> Error {
        Error::BadBundle {
            reason: reason.into(),
            path: self.path.clone(),
        }
    }

    /// Whether the records are those that the header promises, and nobody else's.
    fn check(&self) -> Result<()> {
        let header = &self.header;
        let names: BTreeSet<&PersonName> = header.persons.iter().map(|p| &p.name).collect();
        match header.kind {
            BundleKind::Encoder if header.encoder.is_none() || !names.is_empty() => {
                return Err(self.bad("an encoder's file holds one encoder and nobody"));
            }
            BundleKind::Person if names.len() != 1 => {
                return Err(self.bad("a person's file holds one person"));
            }
            _ => {}
        }
        for (hash, (record, _)) in &self.records {
            let fits = match record {
                Record::EncoderState(r) => Some(&r.family) == header.family.as_ref(),
                Record::DecoderState(r) => {
                    Some(&r.family) == header.family.as_ref() && names.contains(&r.person)
                }
                Record::Person(r) => names.contains(&r.name),
                Record::Consent(r) => names.contains(&r.person),
                Record::Run(r) => {
                    header.kind == BundleKind::Library && r.everybody().all(|p| names.contains(p))
                }
                Record::Rehearsal(r) => {
                    names.contains(&r.person) && (1..=MOST_REHEARSAL_FACES).contains(&r.faces)
                }
                Record::Passport(r) => self.records.contains_key(&r.encoder_state),
                Record::Absence(_) => false,
            };
            if !fits {
                let (kind, hash) = (record.kind(), hash.short());
                return Err(self.bad(format!("the {kind} record {hash} does not belong to it")));
            }
        }
        if let Some(encoder) = &header.encoder {
            self.check_encoder(encoder)?;
        }
        for person in &header.persons {
            let name = &person.name;
            let wrong = |what: &str| self.bad(format!("it has no {what} of `{name}`"));
            match self.records.get(&person.person) {
                Some((Record::Person(r), _)) if r.name == *name => {}
                _ => return Err(wrong("record")),
            }
            match self.records.get(&person.consent) {
                Some((record @ Record::Consent(r), _)) if r.person == *name => {
                    if let Some(reason) = r.sharing_refused() {
                        let person = name.clone();
                        return Err(Error::SharingForbidden { person, reason });
                    }
                    self.check_objects(record)?;
                }
                _ => return Err(wrong("consent")),
            }
            match person.decoder.map(|hash| self.records.get(&hash)) {
                None => {}
                Some(Some((record @ Record::DecoderState(r), _))) if r.person == *name => {
                    self.check_objects(record)?;
                    self.check_encoder(&r.encoder_state)?;
                }
                Some(_) => return Err(wrong("decoder state")),
            }
        }
        Ok(())
    }

    fn check_encoder(&self, hash: &ContentHash) -> Result<()> {
        match self.records.get(hash) {
            Some((record @ Record::EncoderState(_), _)) => self.check_objects(record),
            _ => Err(self.bad(format!("it has no encoder state {}", hash.short()))),
        }
    }

    /// What is current needs its objects.
    fn check_objects(&self, record: &Record) -> Result<()> {
        match record.objects().iter().find(|o| !self.has_object(o)) {
            Some(object) => Err(self.bad(format!(
                "the object {} of a {} is not in it",
                object.short(),
                record.kind()
            ))),
            None => Ok(()),
        }
    }
}

/// The open file and how far it was read.
struct Source {
    file: File,
    at: u64,
    len: u64,
    path: PathBuf,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let failed = |e| Error::io("read the export", path, e);
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let source = Self {
            file,
            at: 0,
            len: meta.len(),
            path: path.into(),
        };
        if meta.is_file() {
            Ok(source)
        } else {
            Err(source.bad("it is not a file"))
        }
    }

    fn bad(&self, reason: impl Into<String>) -> Error {
        Error::BadBundle {
            reason: reason.into(),
            path: self.path.clone(),
        }
    }

    fn seek(&mut self, at: u64) -> Result<()> {
        self.at = at;
        let sought = self.file.seek(SeekFrom::Start(at));
        sought
            .map(drop)
            .map_err(|e| Error::io("read the export", &self.path, e))
    }

    /// Reads exactly `bytes`, which the caller has compared with the length of the file.
    fn take(&mut self, bytes: u64) -> Result<Vec<u8>> {
        let left = self.len.saturating_sub(self.at);
        let wanted = usize::try_from(bytes).ok().filter(|_| bytes <= left);
        let Some(wanted) = wanted else {
            return Err(self.bad("it is cut off"));
        };
        let mut out = Vec::new();
        out.try_reserve_exact(wanted)
            .map_err(|_| self.bad("it does not fit into memory"))?;
        out.resize(wanted, 0);
        self.exact(&mut out)?;
        Ok(out)
    }

    fn exact(&mut self, piece: &mut [u8]) -> Result<()> {
        match self.file.read_exact(piece) {
            Ok(()) => {
                self.at += piece.len() as u64;
                Ok(())
            }
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.bad("it is cut off"))
            }
            Err(e) => Err(Error::io("read the export", &self.path, e)),
        }
    }

    fn header(&mut self) -> Result<Header> {
        let prefix = self.take(PREFIX_BYTES)?;
        let number = |at: usize| {
            let mut four = [0u8; 4];
            four.copy_from_slice(&prefix[at..at + 4]);
            u32::from_le_bytes(four)
        };
        if prefix[..8] != MAGIC[..] {
            return Err(self.bad("it does not begin like one"));
        }
        let version = number(8);
        if version > VERSION {
            return Err(Error::NewerBundle {
                found: version,
                known: VERSION,
                path: self.path.clone(),
            });
        }
        if version == 0 {
            return Err(self.bad("its version is 0"));
        }
        let header_bytes = u64::from(number(12));
        if header_bytes > MAX_HEADER_BYTES {
            return Err(self.bad(format!(
                "its header would have {header_bytes} bytes, at most {MAX_HEADER_BYTES} are allowed"
            )));
        }
        let text = self.take(header_bytes)?;
        let hash = self.take(HASH_BYTES)?;
        if hash_of(&text).0[..] != hash[..] {
            return Err(self.bad("its header is damaged"));
        }
        let header: Header = serde_json::from_slice(&text)
            .map_err(|e| self.bad(format!("its header does not read: {e}")))?;
        self.check_lengths(&header)?;
        Ok(header)
    }

    /// The lengths in the header are those of the file, each within its limit, each name once.
    fn check_lengths(&self, header: &Header) -> Result<()> {
        let rising = |entries: &[Entry]| entries.windows(2).all(|w| w[0].hash < w[1].hash);
        if !rising(&header.records) || !rising(&header.objects) {
            return Err(self.bad("its lists are not in order, or name something twice"));
        }
        if !header.persons.windows(2).all(|w| w[0].name < w[1].name) {
            return Err(self.bad("its persons are not in order, or one is named twice"));
        }
        let limited = |entries: &[Entry], limit: u64| entries.iter().all(|e| e.bytes <= limit);
        if !limited(&header.records, MAX_RECORD_BYTES)
            || !limited(&header.objects, MAX_OBJECT_BYTES)
        {
            return Err(self.bad("a record or object in it would be too large"));
        }
        let sum = |entries: &[Entry]| {
            let mut lengths = entries.iter().map(|e| e.bytes);
            lengths.try_fold(0u64, u64::checked_add)
        };
        let records = sum(&header.records).filter(|sum| *sum <= MAX_RECORDS_BYTES);
        let end = records
            .and_then(|records| records.checked_add(sum(&header.objects)?))
            .and_then(|sum| sum.checked_add(self.at));
        match end {
            None => Err(self.bad("its records and objects would be too many")),
            Some(end) if end != self.len => {
                Err(self.bad(format!("it has {} bytes, its header tells {end}", self.len)))
            }
            Some(_) => Ok(()),
        }
    }

    fn record(&mut self, entry: &Entry) -> Result<(Record, Vec<u8>)> {
        let bytes = self.take(entry.bytes)?;
        let name = entry.hash.short();
        if hash_of(&bytes) != entry.hash {
            return Err(self.bad(format!("the record {name} is damaged")));
        }
        match parse(&bytes) {
            Ok((_, record)) => Ok((record, bytes)),
            Err(BadRecord::Newer(envelope)) => Err(self.bad(format!(
                "the record {name} is a `{}` of version {}, which this stockpot does not know",
                envelope.kind.chars().take(40).collect::<String>(),
                envelope.version
            ))),
            Err(BadRecord::Damaged(reason)) => {
                Err(self.bad(format!("the record {name} does not read: {reason}")))
            }
        }
    }

    /// Reads an object piece by piece, hashes it, and writes it to `sink` if there is one.
    fn object(&mut self, entry: &Entry, mut sink: Option<&mut Sink<'_>>) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0u8; PIECE_BYTES];
        let mut left = entry.bytes;
        while left > 0 {
            // `min` of the two fits into usize.
            let n = left.min(PIECE_BYTES as u64) as usize;
            self.exact(&mut piece[..n])?;
            hasher.update(&piece[..n]);
            if let Some(sink) = sink.as_deref_mut() {
                sink.write(&piece[..n])?;
            }
            left -= n as u64;
        }
        if ContentHash(*hasher.finalize().as_bytes()) == entry.hash {
            Ok(())
        } else {
            Err(self.bad(format!("the object {} is damaged", entry.hash.short())))
        }
    }
}
