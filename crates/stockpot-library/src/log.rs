//! The tree of states, as rows that a door can print.

use std::collections::{BTreeMap, BTreeSet};

use stockpot_core::{ContentHash, PersonName};

use crate::absence::Absent;
use crate::error::Result;
use crate::layout::Layout;
use crate::library::Library;
use crate::record::{AbsenceReason, DecoderForm, Metrics, Record};
use crate::refs::{RefName, Slot, Snapshot};
use crate::run_id::RunId;
use crate::store;

/// All states, parents before children.
#[derive(Debug, Clone, PartialEq)]
pub struct LogReport {
    /// The encoder states as a tree, each followed by the decoder states trained with it.
    pub rows: Vec<LogRow>,
    /// Records that could not be read, in words.
    pub unreadable: Vec<String>,
}

/// What a row shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    /// An encoder state.
    Encoder,
    /// A decoder state.
    Decoder {
        /// Whose.
        person: PersonName,
        /// Full or lite.
        form: DecoderForm,
        /// The encoder state it was trained with.
        encoder_state: ContentHash,
    },
}

/// Whether the weights of a state are here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// They are.
    Here,
    /// They are not, and that is known.
    Absent(AbsenceReason),
    /// They are missing.
    Missing,
}

/// One state.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// Its record.
    pub hash: ContentHash,
    /// Encoder or decoder.
    pub state: LogState,
    /// The state it was trained from, of the same sort.
    pub parent: Option<ContentHash>,
    /// The line it is drawn on: a state's first child goes on on its parent's line, further
    /// children branch off by one. Decoders have the line of their encoder state.
    pub line: usize,
    /// Whether it is current.
    pub current: bool,
    /// The run that made it.
    pub run: RunId,
    /// Whether its weights are here.
    pub weights: Weights,
    /// Training steps since scratch.
    pub steps: u64,
    /// Held-out metrics.
    pub metrics: Metrics,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
}

impl Library {
    /// All states, parents before children, older siblings first. A state whose parent is missing
    /// is shown as a root.
    ///
    /// # Errors
    /// What the machine refuses.
    pub fn log(&self) -> Result<LogReport> {
        let snapshot = Snapshot::read(&self.layout)?;
        let mut report = LogReport {
            rows: Vec::new(),
            unreadable: Vec::new(),
        };
        let rows = read_rows(&self.layout, &current_states(&snapshot), &mut report)?;
        let (encoders, decoders): (Vec<LogRow>, Vec<LogRow>) = rows
            .into_iter()
            .partition(|row| row.state == LogState::Encoder);
        report.rows = in_tree_order(encoders, decoders);
        Ok(report)
    }
}

fn current_states(snapshot: &Snapshot) -> BTreeSet<ContentHash> {
    let is_state = |name: &RefName| matches!(name, RefName::Encoder | RefName::Decoder(_));
    snapshot
        .slots
        .iter()
        .filter(|(name, _)| is_state(name))
        .filter_map(|(_, slot)| match slot {
            Slot::Good(target) => Some(target.record),
            Slot::Bad(_) => None,
        })
        .collect()
}

/// The states in no order, `line` not filled in yet.
fn read_rows(
    layout: &Layout,
    current: &BTreeSet<ContentHash>,
    report: &mut LogReport,
) -> Result<Vec<LogRow>> {
    let mut rows = Vec::new();
    let absent = Absent::read(layout)?;
    let weights = |object: &ContentHash| match absent.objects.get(object) {
        _ if layout.object(object).is_file() => Weights::Here,
        Some(reason) => Weights::Absent(*reason),
        None => Weights::Missing,
    };
    for hash in store::list_records(layout)? {
        let record = match store::get_record(layout, &hash) {
            Ok(record) => record,
            Err(e) => {
                report.unreadable.push(e.to_string());
                continue;
            }
        };
        let current = current.contains(&hash);
        rows.push(match record {
            Record::EncoderState(r) => LogRow {
                hash,
                state: LogState::Encoder,
                parent: r.parent,
                line: 0,
                current,
                run: r.run,
                weights: weights(&r.object),
                steps: r.steps,
                metrics: r.metrics,
                created_secs: r.created_secs,
            },
            Record::DecoderState(r) => LogRow {
                hash,
                state: LogState::Decoder {
                    person: r.person,
                    form: r.form,
                    encoder_state: r.encoder_state,
                },
                parent: r.parent,
                line: 0,
                current,
                run: r.run,
                weights: weights(&r.object),
                steps: r.steps,
                metrics: r.metrics,
                created_secs: r.created_secs,
            },
            Record::Person(_)
            | Record::Consent(_)
            | Record::Run(_)
            | Record::Absence(_)
            | Record::Passport(_)
            | Record::Rehearsal(_) => {
                continue;
            }
        });
    }
    Ok(rows)
}

/// Walks the tree without recursion: a library may hold a chain of any length.
pub(crate) fn in_tree_order(encoders: Vec<LogRow>, decoders: Vec<LogRow>) -> Vec<LogRow> {
    let known: BTreeSet<ContentHash> = encoders.iter().map(|row| row.hash).collect();
    let mut children: BTreeMap<Option<ContentHash>, Vec<LogRow>> = BTreeMap::new();
    for row in encoders {
        let parent = row.parent.filter(|p| known.contains(p));
        children.entry(parent).or_default().push(row);
    }
    let mut trained_with: BTreeMap<Option<ContentHash>, Vec<LogRow>> = BTreeMap::new();
    for row in decoders {
        let encoder = match &row.state {
            LogState::Decoder { encoder_state, .. } => Some(*encoder_state),
            LogState::Encoder => None,
        };
        let encoder = encoder.filter(|e| known.contains(e));
        trained_with.entry(encoder).or_default().push(row);
    }
    for group in children.values_mut().chain(trained_with.values_mut()) {
        group.sort_by_key(|row| (row.created_secs, row.hash));
    }
    let mut out = Vec::new();
    let mut waiting: Vec<(usize, LogRow)> = Vec::new();
    let roots = children.remove(&None).unwrap_or_default();
    waiting.extend(roots.into_iter().rev().map(|row| (0, row)));
    while let Some((line, mut row)) = waiting.pop() {
        row.line = line;
        let hash = Some(row.hash);
        out.push(row);
        push_decoders(&mut out, trained_with.remove(&hash), line);
        push_children(&mut waiting, children.remove(&hash), line);
    }
    // Decoders whose encoder state is missing.
    push_decoders(&mut out, trained_with.remove(&None), 0);
    out
}

/// Branches come before the child that goes on on the line, so that what was tried beside a line
/// stands at its fork. The last one pushed is the first one to come off.
fn push_children(waiting: &mut Vec<(usize, LogRow)>, children: Option<Vec<LogRow>>, line: usize) {
    let mut children = children.into_iter().flatten();
    waiting.extend(children.next().map(|first| (line, first)));
    let branches: Vec<LogRow> = children.collect();
    waiting.extend(branches.into_iter().rev().map(|row| (line + 1, row)));
}

fn push_decoders(out: &mut Vec<LogRow>, decoders: Option<Vec<LogRow>>, line: usize) {
    out.extend(decoders.into_iter().flatten().map(|mut row| {
        row.line = line;
        row
    }));
}
