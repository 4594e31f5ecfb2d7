//! `metrics.jsonl`: one JSON object per line, appended and flushed, cut back on resume.
//!
//! A checkpoint remembers how long the file was, so a resumed run's file equals an unbroken
//! one's (but for measured times): what was written after the checkpoint is cut off, a line torn
//! by a crash with it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stockpot_core::PersonName;

use crate::error::Error;
use crate::guard::Incident;
use crate::loss::LossValue;
use crate::meter::Advice;
use crate::metrics::FaceScore;
use crate::plateau::Curves;

/// Version in every line.
pub const LINE_VERSION: u32 = 1;
/// The longest line looked back for; a thousand persons fit several times.
const LONGEST_LINE: u64 = 1 << 20;

/// How a line of measurements begins.
const EVALUATION: &str = r#"{"kind":"evaluation""#;

/// Mean loss of a person since the line before, as [`LossValue`] but by person.
pub type PersonLoss = BTreeMap<PersonName, LossValue>;

/// Seconds spent on each phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Waiting for the next batch.
    pub data: f64,
    /// Both network halves, forward.
    pub forward: f64,
    /// Both network halves, backward.
    pub backward: f64,
    /// Loss and its gradient.
    pub loss: f64,
    /// Gradient norm and optimiser.
    pub update: f64,
    /// Copies of the state and waiting for the writer.
    pub save: f64,
    /// Preview pictures.
    pub preview: f64,
    /// Held-out faces.
    pub evaluation: f64,
    /// Everything else: reports, checks.
    pub other: f64,
}

impl Shares {
    /// All together.
    pub fn total(&self) -> f64 {
        self.named().iter().map(|(_, secs)| secs).sum()
    }

    /// With names, in the order of a step.
    pub fn named(&self) -> [(&'static str, f64); 9] {
        [
            ("data", self.data),
            ("forward", self.forward),
            ("loss", self.loss),
            ("backward", self.backward),
            ("update", self.update),
            ("save", self.save),
            ("preview", self.preview),
            ("evaluation", self.evaluation),
            ("other", self.other),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.data += other.data;
        self.forward += other.forward;
        self.backward += other.backward;
        self.loss += other.loss;
        self.update += other.update;
        self.save += other.save;
        self.preview += other.preview;
        self.evaluation += other.evaluation;
        self.other += other.other;
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// Means since the line before.
    Train {
        /// [`LINE_VERSION`].
        v: u32,
        /// Steps made.
        step: u64,
        /// Number of the next batch.
        batch: u64,
        /// Sum of all persons' losses.
        loss: f64,
        /// Each person's.
        persons: PersonLoss,
        /// What being away from the encoder's previous state added; absent without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        distillation: Option<f64>,
        /// Of the last step.
        learning_rate: f64,
        /// Mean norm of the whole gradient.
        gradient_norm: f64,
        /// Seconds of training since the run was first started.
        trained_secs: f64,
        /// Where the time since the line before went.
        secs: Shares,
    },
    /// Held-out faces.
    Evaluation {
        /// [`LINE_VERSION`].
        v: u32,
        /// Steps made.
        step: u64,
        /// Loss of each person.
        losses: PersonLoss,
        /// Quality of each person.
        scores: BTreeMap<PersonName, FaceScore>,
        /// What else was measured, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        probes: BTreeMap<String, f64>,
    },
    /// A loss or gradient that was not finite.
    Incident {
        /// [`LINE_VERSION`].
        v: u32,
        /// Steps made, after going back.
        step: u64,
        /// What happened.
        incident: Incident,
    },
    /// How a run, or a part of it, ended.
    End {
        /// [`LINE_VERSION`].
        v: u32,
        /// Steps made.
        step: u64,
        /// Why it ended: `steps`, `minutes`, `cancelled`, `failed`.
        stopped_by: String,
        /// What failed, if it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// File name of the last good checkpoint.
        checkpoint: Option<String>,
        /// Seconds of training since the run was first started.
        trained_secs: f64,
        /// Where the time of this part went.
        secs: Shares,
        /// What would make it quicker.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        advice: Vec<Advice>,
    },
}

/// The file.
#[derive(Debug)]
pub struct MetricsLog {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl MetricsLog {
    /// Opens the file, made if missing, and cuts it back to `bytes` (0 for a new run), or to the
    /// last whole line before that if it is shorter or torn.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let io = |source| Error::Io {
            action: "open",
            path: path.into(),
            source,
        };
        let mut log = Self {
            file: file.map_err(io)?,
            path: path.into(),
            bytes: 0,
        };
        log.cut(bytes)?;
        Ok(log)
    }

    /// Cuts the file back to `bytes`, or to the last whole line before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn cut(&mut self, bytes: u64) -> Result<(), Error> {
        let path = &self.path;
        let io = |source| Error::Io {
            action: "cut back",
            path: path.clone(),
            source,
        };
        let end = bytes.min(self.file.metadata().map_err(io)?.len());
        let start = end.saturating_sub(LONGEST_LINE);
        let mut tail = Vec::new();
        self.file.seek(SeekFrom::Start(start)).map_err(io)?;
        Read::by_ref(&mut self.file)
            .take(end - start)
            .read_to_end(&mut tail)
            .map_err(io)?;
        let whole = tail
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| start + at as u64 + 1);
        self.file.set_len(whole).map_err(io)?;
        self.file.seek(SeekFrom::Start(whole)).map_err(io)?;
        self.bytes = whole;
        Ok(())
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, line: &Line) -> Result<(), Error> {
        let path = &self.path;
        let io = |source| Error::Io {
            action: "write to",
            path: path.clone(),
            source,
        };
        let mut text = serde_json::to_vec(line).map_err(|e| io(e.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(io)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// The held-out losses in it.
    ///
    /// # Errors
    /// [`Error::Io`], also for a line of measurements that is none: somebody changed the file.
    pub fn curves(&mut self) -> Result<Curves, Error> {
        let path = &self.path;
        let io = |source| Error::Io {
            action: "read",
            path: path.clone(),
            source,
        };
        self.file.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut curves = Curves::default();
        for line in BufReader::new(Read::by_ref(&mut self.file)).lines() {
            let line = line.map_err(io)?;
            if !line.starts_with(EVALUATION) {
                continue;
            }
            match serde_json::from_str(&line).map_err(|e| io(e.into()))? {
                Line::Evaluation { step, losses, .. } => curves.add(step, &losses),
                _ => continue,
            }
        }
        self.file.seek(SeekFrom::Start(self.bytes)).map_err(io)?;
        Ok(curves)
    }

    /// Length of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(step: u64) -> Line {
        let secs = Shares {
            data: 0.1,
            ..Shares::default()
        };
        Line::End {
            v: 1,
            step,
            stopped_by: "steps".into(),
            reason: None,
            checkpoint: Some("x".into()),
            trained_secs: 1.0 / 3.0,
            secs,
            advice: Vec::new(),
        }
    }

    #[test]
    fn lines_round_trip_and_resume_cuts_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        log.append(&end(1)).unwrap();
        let one = log.bytes();
        log.append(&end(2)).unwrap();
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Line> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines, [end(1), end(2)]);

        let mut log = MetricsLog::open(&path, one).unwrap();
        log.append(&end(2)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        // A torn last line, and a file shorter than the checkpoint remembers.
        for torn in [
            &text[..text.len() - 5],
            &text[..one as usize + 1],
            &text[..one as usize],
        ] {
            std::fs::write(&path, torn).unwrap();
            assert_eq!(MetricsLog::open(&path, 1 << 40).unwrap().bytes(), one);
        }
        std::fs::write(&path, "no line end").unwrap();
        assert_eq!(MetricsLog::open(&path, 5).unwrap().bytes(), 0);
        assert!(MetricsLog::open(&folder.path().join("no/where"), 0).is_err());
    }
}
