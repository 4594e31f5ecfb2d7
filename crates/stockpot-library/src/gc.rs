//! Makes room: removes the weights of old states, and objects that no record names.
//!
//! The rule. Kept are all records, so the tree of states stays whole; all objects of anything but
//! states, such as the evidence of a consent; and the weights of these states:
//! - what is current, and the encoder states that current decoders were trained with;
//! - the newest [`KEPT_STATES`] of the encoder and of each person in the library;
//! - everything younger than [`KEPT_DAYS`] days;
//! - the encoder state of every decoder state that is kept;
//! - what a kept decoder state was stitched from: the trained state and its encoder state.
//!
//! Of rehearsal sets the newest of everybody in the library is kept.
//!
//! A library in which anything is unreadable is left alone: what is not understood may be needed.

use std::collections::{BTreeMap, BTreeSet};

use stockpot_core::{CancelToken, ContentHash, PersonName, Progress, ProgressSink};

use crate::absence::Absent;
use crate::commit::CANDIDATE;
use crate::disk::entries;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::library::{Library, Writer};
use crate::record::{AbsenceReason, BadRecord, Envelope, Record, parse};
use crate::refs::{Journal, Slot, Snapshot};
use crate::rehearsal::newest_sets;
use crate::store;

/// How many of the newest states of the encoder and of each person are kept.
pub const KEPT_STATES: u32 = 3;
/// States are kept for this many days.
pub const KEPT_DAYS: u32 = 30;

const SECS_PER_DAY: u64 = 24 * 60 * 60;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcOptions {
    /// The newest states of the encoder and of each person.
    pub keep_states: u32,
    /// States of the last days.
    pub keep_days: u32,
    /// Now, in seconds since 1970 UTC.
    pub now_secs: u64,
}

impl GcOptions {
    /// The usual rule.
    pub fn usual(now_secs: u64) -> Self {
        Self {
            keep_states: KEPT_STATES,
            keep_days: KEPT_DAYS,
            now_secs,
        }
    }
}

/// A state whose weights go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedState {
    /// Its record, which stays.
    pub record: ContentHash,
    /// Whose decoder; `None`: the encoder.
    pub person: Option<PersonName>,
    /// When it was made, in seconds since 1970 UTC.
    pub created_secs: u64,
    /// Bytes that only it needed.
    pub bytes: u64,
}

/// What goes, or would go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// States whose weights go, oldest first.
    pub states: Vec<CollectedState>,
    /// Objects that no record names, such as those of a commit that was stopped.
    pub unnamed: u64,
    /// Their bytes.
    pub unnamed_bytes: u64,
    /// Objects that go, all in all.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that stay.
    pub kept_objects: u64,
    /// Their bytes.
    pub kept_bytes: u64,
}

impl Library {
    /// What [`Writer::collect`] would remove. Needs no lock; what a commit is just storing may be
    /// counted as unnamed.
    ///
    /// # Errors
    /// [`Error::NotWhole`], or what the machine refuses.
    pub fn plan_collect(&self, options: &GcOptions) -> Result<GcReport> {
        Plan::make(&self.layout, options).map(|plan| plan.report)
    }
}

impl Writer<'_> {
    /// Removes what the rule of this module does not keep. Stopped at any moment, the library is
    /// whole and the next call goes on. Progress is in objects.
    ///
    /// # Errors
    /// [`Error::NotWhole`]: nothing was removed. [`Error::Cancelled`], or what the machine refuses.
    pub fn collect(
        &self,
        options: &GcOptions,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<GcReport> {
        let layout = &self.library.layout;
        let plan = Plan::make(layout, options)?;
        progress.send(Progress::Phase {
            name: "collect",
            total: plan.doomed.len() as u64,
        });
        self.put_absence(
            AbsenceReason::Collected,
            &plan.newly_absent,
            &BTreeSet::new(),
            None,
            options.now_secs,
        )?;
        for (done, hash) in (1..).zip(&plan.doomed) {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            self.library.disk.remove(&layout.object(hash))?;
            progress.send(Progress::Step {
                done,
                note: String::new(),
            });
        }
        Ok(plan.report)
    }
}

/// What is to be done.
struct Plan {
    doomed: BTreeSet<ContentHash>,
    /// Those that a record names and that are not written down as absent yet.
    newly_absent: BTreeMap<ContentHash, u64>,
    report: GcReport,
}

impl Plan {
    fn make(layout: &Layout, options: &GcOptions) -> Result<Self> {
        let whole = Whole::read(layout)?;
        let kept_states = whole.kept_states(options);
        let kept_sets = whole.kept_sets();
        let mut needed = BTreeSet::new();
        let mut named = BTreeSet::new();
        for (hash, (envelope, record)) in &whole.records {
            let is_state = matches!(
                record,
                Some(Record::EncoderState(_) | Record::DecoderState(_))
            );
            named.extend(envelope.objects.iter().copied());
            let goes = match record {
                Some(Record::Rehearsal(_)) => !kept_sets.contains(hash),
                _ => is_state && !kept_states.contains(hash),
            };
            if !goes {
                needed.extend(envelope.objects.iter().copied());
            }
        }
        let mut plan = Self {
            doomed: BTreeSet::new(),
            newly_absent: BTreeMap::new(),
            report: GcReport::default(),
        };
        for (hash, bytes) in &whole.objects {
            if needed.contains(hash) {
                plan.report.kept_objects += 1;
                plan.report.kept_bytes += bytes;
                continue;
            }
            plan.doomed.insert(*hash);
            plan.report.objects += 1;
            plan.report.bytes += bytes;
            if !named.contains(hash) {
                plan.report.unnamed += 1;
                plan.report.unnamed_bytes += bytes;
            } else if !whole.absent.objects.contains_key(hash) {
                plan.newly_absent.insert(*hash, *bytes);
            }
        }
        plan.report.states = whole.collected_states(&kept_states, &plan.doomed);
        Ok(plan)
    }
}

/// Everything in a library that is whole.
struct Whole {
    records: BTreeMap<ContentHash, (Envelope, Option<Record>)>,
    /// Objects with their bytes.
    objects: BTreeMap<ContentHash, u64>,
    current: BTreeSet<ContentHash>,
    persons: BTreeSet<PersonName>,
    absent: Absent,
}

impl Whole {
    fn read(layout: &Layout) -> Result<Self> {
        let snapshot = Snapshot::read(layout)?;
        let not_whole = |what: String| Err(Error::NotWhole { what });
        for (name, slot) in &snapshot.slots {
            if let Slot::Bad(reason) = slot {
                return not_whole(format!("the ref `{name}` is damaged: {reason}"));
            }
        }
        if let Journal::Damaged(reason) = &snapshot.journal {
            return not_whole(format!("the list of changed refs is damaged: {reason}"));
        }
        if layout.damaged_journal().exists() {
            return not_whole("a damaged list of changed refs was put aside".into());
        }
        let mut records = BTreeMap::new();
        for hash in store::list_records(layout)? {
            let bytes = store::record_bytes(layout, &hash).map_err(|e| Error::NotWhole {
                what: e.to_string(),
            })?;
            let read = match parse(&bytes) {
                Ok((envelope, record)) => (envelope, Some(record)),
                Err(BadRecord::Newer(envelope)) => (envelope, None),
                Err(BadRecord::Damaged(reason)) => {
                    return not_whole(format!("the record {} is damaged: {reason}", hash.short()));
                }
            };
            records.insert(hash, read);
        }
        let current: BTreeSet<ContentHash> = snapshot.targets().collect();
        for hash in &current {
            if !records.contains_key(hash) {
                return not_whole(format!("the record {} is missing", hash.short()));
            }
        }
        let absent = Absent::of(records.values().filter_map(|(_, record)| record.as_ref()));
        Ok(Self {
            records,
            objects: list_objects(layout)?,
            current,
            persons: snapshot.persons().into_iter().collect(),
            absent,
        })
    }

    /// The newest rehearsal set of everybody who is in the library.
    fn kept_sets(&self) -> BTreeSet<ContentHash> {
        let read = self
            .records
            .iter()
            .filter_map(|(hash, (_, record))| Some((hash, record.as_ref()?)));
        newest_sets(read)
            .into_iter()
            .filter(|(person, _)| self.persons.contains(*person))
            .map(|(_, hash)| hash)
            .collect()
    }

    fn kept_states(&self, options: &GcOptions) -> BTreeSet<ContentHash> {
        let young_since = options
            .now_secs
            .saturating_sub(u64::from(options.keep_days).saturating_mul(SECS_PER_DAY));
        // By whose they are; `None` is the encoder.
        let mut lines: BTreeMap<Option<&PersonName>, Vec<(u64, ContentHash)>> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        for (hash, (_, record)) in &self.records {
            let (person, created_secs, metrics) = match record {
                Some(Record::EncoderState(r)) => (None, r.created_secs, &r.metrics),
                Some(Record::DecoderState(r)) => (Some(&r.person), r.created_secs, &r.metrics),
                _ => continue,
            };
            if self.current.contains(hash) || created_secs > young_since {
                kept.insert(*hash);
            }
            // Who was taken out keeps nothing but what is young. What was never released takes
            // nobody's place.
            let released = !metrics.contains_key(CANDIDATE);
            if released && person.is_none_or(|p| self.persons.contains(p)) {
                lines.entry(person).or_default().push((created_secs, *hash));
            }
        }
        for states in lines.values_mut() {
            states.sort_unstable();
            let newest = states.iter().rev().take(options.keep_states as usize);
            kept.extend(newest.map(|(_, hash)| *hash));
        }
        let mut waiting: Vec<ContentHash> = kept.iter().copied().collect();
        while let Some(hash) = waiting.pop() {
            let Some((_, Some(Record::DecoderState(r)))) = self.records.get(&hash) else {
                continue;
            };
            kept.insert(r.encoder_state);
            // It is stitched again, and fitted, from what was last trained: never from a map.
            if let Some(from) = r.stitched_from {
                kept.insert(from);
                waiting.extend(r.parent.filter(|parent| kept.insert(*parent)));
            }
        }
        kept
    }

    fn collected_states(
        &self,
        kept: &BTreeSet<ContentHash>,
        doomed: &BTreeSet<ContentHash>,
    ) -> Vec<CollectedState> {
        let mut counted = BTreeSet::new();
        let mut out = Vec::new();
        for (hash, (envelope, record)) in &self.records {
            let (person, created_secs) = match record {
                Some(Record::EncoderState(r)) => (None, r.created_secs),
                Some(Record::DecoderState(r)) => (Some(r.person.clone()), r.created_secs),
                _ => continue,
            };
            let own = envelope.objects.iter().filter(|o| doomed.contains(o));
            let fresh: Vec<&ContentHash> = own.filter(|o| counted.insert(**o)).collect();
            if kept.contains(hash) || fresh.is_empty() {
                continue;
            }
            out.push(CollectedState {
                record: *hash,
                person,
                created_secs,
                bytes: fresh.iter().filter_map(|o| self.objects.get(o)).sum(),
            });
        }
        out.sort_by_key(|s| (s.created_secs, s.record));
        out
    }
}

/// All objects by name, with their bytes.
pub(crate) fn list_objects(layout: &Layout) -> Result<BTreeMap<ContentHash, u64>> {
    let mut out = BTreeMap::new();
    for (shard, folder) in entries(&layout.objects())? {
        if !store::is_shard(&shard, &folder) {
            continue;
        }
        for (name, path) in entries(&folder)? {
            let Some(hash) = store::object_name(&shard, &name) else {
                continue;
            };
            let meta =
                std::fs::metadata(&path).map_err(|e| Error::io("read the object", &path, e))?;
            if meta.is_file() {
                out.insert(hash, meta.len());
            }
        }
    }
    Ok(out)
}
