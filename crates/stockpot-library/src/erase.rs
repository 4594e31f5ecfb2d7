//! Erases a person: everything that shows or draws their face, and their name.
//!
//! First the refs go, so that nobody can train or draw them; then a receipt is written (an absence
//! with hashes only); then objects, folders and, last, the records that say what there is to erase.
//! Stopped at any moment, the same call goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use stockpot_core::{ContentHash, PersonName};

use crate::audit::{Log, Who};
use crate::disk::{ReadFailure, entries, read_bounded};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::library::Writer;
use crate::record::{AbsenceReason, BadRecord, Record, parse};
use crate::refs::{Change, Expect, Outcome, Snapshot};
use crate::run_id::RunId;
use crate::{gc, store};

/// The file of a run's folder that is kept, with the name replaced.
const METRICS: &str = "metrics.jsonl";
/// The file of a run's folder that names its persons.
const RUN_FILE: &str = "run.json";
/// The report of a growth in a run's folder: the page with pictures of everybody, and what tells whose.
const GATE_FILES: [&str; 2] = ["gate.html", "gate.json"];
/// The largest of these that is read; a larger one is removed.
const MAX_TEXT_BYTES: u64 = 256 << 20;

/// The receipt in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureReport {
    /// What stands for the name in what is kept.
    pub erased_as: PersonName,
    /// The records of the receipt.
    pub receipts: Vec<ContentHash>,
    /// Decoder states erased.
    pub decoder_states: u64,
    /// Objects erased: weights, rehearsal faces, evidence.
    pub objects: u64,
    /// Files erased: crops, previews, checkpoints, caches.
    pub files: u64,
    /// Bytes of objects and files.
    pub bytes: u64,
    /// Runs in which the name was replaced.
    pub runs: Vec<RunId>,
    /// Records that could not be read: whether they name the person is not known.
    pub unreadable: Vec<String>,
}

impl Writer<'_> {
    /// Erases a person, also one who was taken out before. What the shared encoder has learned stays
    /// in it; so do copies outside the library.
    ///
    /// # Errors
    /// [`Error::NoSuchPerson`] if nothing of them is there, or what the machine refuses; then the
    /// call can be made again.
    pub fn erase_person(&self, name: &PersonName, now_secs: u64) -> Result<ErasureReport> {
        let (disk, layout) = (&self.library.disk, &self.library.layout);
        let snapshot = Snapshot::read(layout)?;
        let traces = Traces::find(layout, name)?;
        let refs: Vec<Change> = snapshot
            .slots
            .keys()
            .filter(|r| r.person() == Some(name))
            .map(|r| Change {
                name: r.clone(),
                expect: Expect::Any,
                new: None,
            })
            .collect();
        if refs.is_empty() && traces.is_empty() {
            self.library.require_person(&snapshot, name)?;
        }
        if !refs.is_empty()
            && let Outcome::Conflict(moved) = self.transact(&refs)?
        {
            let kept = Vec::new();
            return Err(Error::Conflict { moved, kept });
        }
        let erased_as = traces.stand_in()?;
        let mut report = ErasureReport {
            receipts: self.receipt(&traces, &erased_as, now_secs)?,
            decoder_states: traces.decoder_states,
            objects: 0,
            files: 0,
            bytes: 0,
            runs: traces.runs.keys().cloned().collect(),
            unreadable: traces.unreadable.clone(),
            erased_as,
        };
        for (hash, bytes) in &traces.objects {
            let path = layout.object(hash);
            if path.exists() {
                disk.remove(&path)?;
                report.objects += 1;
                report.bytes += bytes;
            }
        }
        for folder in &traces.folders {
            let (files, bytes) = disk.remove_tree(folder)?;
            report.files += files;
            report.bytes += bytes;
        }
        for run in &traces.run_folders {
            self.clear_run(run, name, &mut report)?;
        }
        for (_, record) in traces.runs.values().flatten() {
            let renamed = renamed_run(record, name, &report.erased_as);
            self.put_record(&renamed)?;
        }
        self.note_unlogged(self.log_erasure(&traces, name, now_secs));
        // Last: they tell a repeated call what there is to do.
        let old_runs = traces.runs.values().flatten().map(|(hash, _)| hash);
        for hash in traces.records.iter().chain(old_runs) {
            disk.remove(&layout.record(hash))?;
        }
        Ok(report)
    }

    /// Logs the erasure, and takes names of files out of the log that belong to it.
    fn log_erasure(&self, traces: &Traces, name: &PersonName, now_secs: u64) -> Result<()> {
        let who = |person: &ContentHash| Who {
            person: *person,
            consent: None,
        };
        let who = traces.persons.iter().map(who).collect();
        Log::open(self.library, now_secs)?.erase(who, name, now_secs)
    }

    /// Writes down what is going to be gone, unless an interrupted call has.
    fn receipt(
        &self,
        traces: &Traces,
        erased_as: &PersonName,
        now_secs: u64,
    ) -> Result<Vec<ContentHash>> {
        let fresh = |hash: &ContentHash| !traces.written_down.contains(hash);
        let objects: BTreeMap<ContentHash, u64> = traces
            .objects
            .iter()
            .filter(|(hash, _)| fresh(hash))
            .map(|(hash, bytes)| (*hash, *bytes))
            .collect();
        let old_runs = traces.runs.values().flatten().map(|(hash, _)| hash);
        let records: BTreeSet<ContentHash> = traces
            .records
            .iter()
            .chain(old_runs)
            .filter(|hash| fresh(hash))
            .copied()
            .collect();
        let reason = AbsenceReason::Erased;
        let mut receipts = traces.receipts.clone();
        receipts.extend(self.put_absence(reason, &objects, &records, Some(erased_as), now_secs)?);
        Ok(receipts)
    }

    /// Removes everything of a run's folder but its metrics, in which the name is replaced.
    fn clear_run(&self, run: &Path, name: &PersonName, report: &mut ErasureReport) -> Result<()> {
        let disk = &self.library.disk;
        let metrics = run.join(METRICS);
        match read_bounded(&metrics, MAX_TEXT_BYTES) {
            Ok(bytes) => {
                let text = renamed_lines(&bytes, name, &report.erased_as);
                disk.write_whole(&metrics, &text)?;
            }
            Err(ReadFailure::Missing) => {}
            Err(ReadFailure::TooLarge { .. }) => disk.remove(&metrics)?,
            Err(ReadFailure::Io(e)) => return Err(Error::io("read the metrics", &metrics, e)),
        }
        // The run's own file last: it tells a repeated call whose run it is.
        let mut inside = entries(run)?;
        inside.sort_by_key(|(file, _)| file == RUN_FILE);
        for (file, path) in inside {
            if file != METRICS {
                let (files, bytes) = disk.remove_tree(&path)?;
                report.files += files;
                report.bytes += bytes;
            }
        }
        Ok(())
    }
}

/// Everything of a person that is in a library.
#[derive(Default)]
struct Traces {
    /// Person, consents, decoder states.
    records: BTreeSet<ContentHash>,
    decoder_states: u64,
    /// Those of the records that are of the person as such: the log names them by these.
    persons: BTreeSet<ContentHash>,
    /// Objects that only these records need, with their bytes.
    objects: BTreeMap<ContentHash, u64>,
    /// Records of runs that name the person.
    runs: BTreeMap<RunId, Vec<(ContentHash, Record)>>,
    /// Folders and files that are only theirs.
    folders: Vec<PathBuf>,
    /// Folders of runs in which they took part.
    run_folders: BTreeSet<PathBuf>,
    /// Receipts of an interrupted call, the name they use, and what they list.
    receipts: Vec<ContentHash>,
    used_name: Option<PersonName>,
    written_down: BTreeSet<ContentHash>,
    unreadable: Vec<String>,
}

impl Traces {
    fn find(layout: &Layout, name: &PersonName) -> Result<Self> {
        let mut traces = Self::default();
        let mut needed_by_others = BTreeSet::new();
        let mut theirs = BTreeSet::new();
        let mut receipts = Vec::new();
        for hash in store::list_records(layout)? {
            let bytes = match store::record_bytes(layout, &hash) {
                Ok(bytes) => bytes,
                Err(e) => {
                    traces.unreadable.push(e.to_string());
                    continue;
                }
            };
            let (envelope, record) = match parse(&bytes) {
                Ok(read) => read,
                Err(BadRecord::Newer(envelope)) => {
                    needed_by_others.extend(envelope.objects);
                    let kind: String = envelope.kind.chars().take(40).collect();
                    traces.unreadable.push(format!(
                        "{} is a `{kind}` of a newer stockpot",
                        hash.short()
                    ));
                    continue;
                }
                Err(BadRecord::Damaged(reason)) => {
                    traces
                        .unreadable
                        .push(format!("{}: {reason}", hash.short()));
                    continue;
                }
            };
            let own = match &record {
                Record::Person(r) => r.name == *name,
                Record::Consent(r) => r.person == *name,
                Record::DecoderState(r) => r.person == *name,
                Record::Rehearsal(r) => r.person == *name,
                Record::Run(r) if r.everybody().any(|p| p == name) => {
                    let run = r.run.clone();
                    traces.runs.entry(run).or_default().push((hash, record));
                    continue;
                }
                Record::Absence(r) if r.reason == AbsenceReason::Erased => {
                    receipts.push((hash, r.clone()));
                    false
                }
                _ => false,
            };
            if own {
                traces.decoder_states += u64::from(matches!(record, Record::DecoderState(_)));
                traces.records.insert(hash);
                if matches!(record, Record::Person(_)) {
                    traces.persons.insert(hash);
                }
                theirs.extend(envelope.objects);
            } else {
                needed_by_others.extend(envelope.objects);
            }
        }
        for (hash, bytes) in gc::list_objects(layout)? {
            if theirs.contains(&hash) && !needed_by_others.contains(&hash) {
                traces.objects.insert(hash, bytes);
            }
        }
        traces.resume(receipts);
        traces.find_files(layout, name)?;
        Ok(traces)
    }

    /// Takes up the receipt of an interrupted call.
    fn resume(&mut self, receipts: Vec<(ContentHash, crate::AbsenceRecord)>) {
        let old_runs: Vec<ContentHash> = self.runs.values().flatten().map(|(h, _)| *h).collect();
        for (hash, receipt) in receipts {
            let here = |h: &ContentHash| self.records.contains(h) || old_runs.contains(h);
            if receipt.records.iter().any(here) {
                self.receipts.push(hash);
                self.used_name = receipt.erased_as;
                self.written_down.extend(receipt.records);
                self.written_down.extend(receipt.objects.into_keys());
            }
        }
    }

    fn find_files(&mut self, layout: &Layout, name: &PersonName) -> Result<()> {
        let faces = layout.faceset(name);
        if faces.exists() {
            self.folders.push(faces);
        }
        for (file, path) in entries(&layout.cache())? {
            // Caches are named `PERSON-…`. One of somebody called `PERSON-2` may go along: it is
            // made again.
            let rest = file.strip_prefix(name.as_str());
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.'])) {
                self.folders.push(path);
            }
        }
        for (id, folder) in entries(&layout.runs())? {
            let by_record = id
                .parse()
                .is_ok_and(|id: RunId| self.runs.contains_key(&id));
            // A run that was cleared has nothing but its metrics.
            let only_metrics = entries(&folder)?.iter().all(|(file, _)| file == METRICS);
            if (by_record && !only_metrics) || names_person(&folder.join(RUN_FILE), name)? {
                self.run_folders.insert(folder);
                continue;
            }
            // A release gate looks at everybody, also at those who took no part in the run. The page
            // with the pictures goes first: what tells whose they are has to be there until then.
            if gate_names(&folder, name)? {
                let files = GATE_FILES.iter().map(|file| folder.join(file));
                self.folders.extend(files.filter(|path| path.exists()));
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty()
            && self.runs.is_empty()
            && self.folders.is_empty()
            && self.run_folders.is_empty()
    }

    /// A name for what is kept, that does not tell the person's.
    fn stand_in(&self) -> Result<PersonName> {
        if let Some(name) = &self.used_name {
            return Ok(name.clone());
        }
        let old_runs = self.runs.values().flatten().map(|(hash, _)| hash);
        let first = self.records.iter().chain(old_runs).next();
        let digits = first.map_or_else(|| "unknown".to_owned(), ContentHash::short);
        format!("erased-{digits}")
            .parse()
            .map_err(|_| Error::BadCommit {
                reason: "the name for an erased person is none".into(),
            })
    }
}

/// Whether a growth's report names a person. Pictures without a report that can be read are anybody's.
fn gate_names(folder: &Path, name: &PersonName) -> Result<bool> {
    let [page, report] = GATE_FILES.map(|file| folder.join(file));
    let bytes = match read_bounded(&report, MAX_TEXT_BYTES) {
        Ok(bytes) => bytes,
        Err(ReadFailure::Missing | ReadFailure::TooLarge { .. }) => return Ok(page.exists()),
        Err(ReadFailure::Io(e)) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Ok(false);
        }
        Err(ReadFailure::Io(e)) => return Err(Error::io("read the report", &report, e)),
    };
    let Ok(found) = serde_json::from_slice::<Value>(&bytes) else {
        return Ok(true);
    };
    let rows = |field| {
        found
            .get(field)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let measured = rows("persons")
        .filter_map(|row| row.get("person"))
        .any(|person| person.as_str() == Some(name.as_str()));
    // `NAME: why`.
    let left_out = rows("not_measured")
        .filter_map(Value::as_str)
        .any(|text| text.split(':').next() == Some(name.as_str()));
    Ok(measured || left_out)
}

/// Whether a run's own file names a person; one that cannot be read does not.
fn names_person(path: &Path, name: &PersonName) -> Result<bool> {
    let bytes = match read_bounded(path, MAX_TEXT_BYTES) {
        Ok(bytes) => bytes,
        Err(ReadFailure::Missing | ReadFailure::TooLarge { .. }) => return Ok(false),
        Err(ReadFailure::Io(e)) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Ok(false);
        }
        Err(ReadFailure::Io(e)) => return Err(Error::io("read the run", path, e)),
    };
    let named = serde_json::from_slice::<Value>(&bytes).is_ok_and(|file| {
        let persons = file.get("persons").and_then(Value::as_array);
        persons.is_some_and(|all| all.iter().any(|p| p.as_str() == Some(name.as_str())))
    });
    Ok(named)
}

fn renamed_run(record: &Record, old: &PersonName, new: &PersonName) -> Record {
    let Record::Run(run) = record else {
        return record.clone();
    };
    let mut run = run.clone();
    for person in &mut run.persons {
        if person == old {
            *person = new.clone();
        }
    }
    for states in [&mut run.started_from, &mut run.results] {
        if let Some(hash) = states.decoders.remove(old) {
            states.decoders.insert(new.clone(), hash);
        }
    }
    if let Ok(mut settings) = serde_json::from_str::<Value>(&run.settings_json) {
        rename_in(&mut settings, old, new);
        run.settings_json = settings.to_string();
    }
    Record::Run(run)
}

/// Lines of JSON with the name replaced; what is not JSON is left out.
fn renamed_lines(bytes: &[u8], old: &PersonName, new: &PersonName) -> Vec<u8> {
    let mut out = Vec::new();
    for line in bytes.split(|b| *b == b'\n') {
        if let Ok(mut value) = serde_json::from_slice::<Value>(line) {
            // Their names are made of persons' names.
            if let Some(probes) = value.get_mut("probes").and_then(Value::as_object_mut) {
                probes.retain(|name, _| !name.contains(old.as_str()));
            }
            rename_in(&mut value, old, new);
            out.extend(value.to_string().into_bytes());
            out.push(b'\n');
        }
    }
    out
}

/// Replaces the name where a text or a key is just it.
fn rename_in(value: &mut Value, old: &PersonName, new: &PersonName) {
    match value {
        Value::String(text) if text == old.as_str() => *text = new.to_string(),
        Value::Array(items) => {
            for item in items {
                rename_in(item, old, new);
            }
        }
        Value::Object(fields) => {
            if let Some(inner) = fields.remove(old.as_str()) {
                fields.insert(new.to_string(), inner);
            }
            for inner in fields.values_mut() {
                rename_in(inner, old, new);
            }
        }
        _ => {}
    }
}
