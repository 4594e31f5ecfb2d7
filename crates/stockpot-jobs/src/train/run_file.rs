//! What a run is, beside its checkpoints: `run.json` in the run's folder. Written when the run
//! begins and again after each commit, whole or not at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stockpot_core::{Area, PersonName, picture};
use stockpot_faceset::SamplerSettings;
use stockpot_library::{Library, RunId, StartingPoint};
use stockpot_model::Family;

use crate::error::{JobError, io};
use crate::grow::GrowFile;

/// The newest version that is read, and the one that is written.
pub(crate) const VERSION: u32 = 1;
const NAME: &str = "run.json";
const MAX_BYTES: u64 = 1 << 20;

/// `run.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunFile {
    pub version: u32,
    pub run: RunId,
    pub persons: Vec<PersonName>,
    pub family: Family,
    pub area: Area,
    pub began_secs: u64,
    /// What was current when the run began, or what it committed last: what it may replace.
    pub expected: StartingPoint,
    /// Steps that the encoder state in `expected` has had.
    pub encoder_steps: u64,
    /// Steps that the decoder states in `expected` have had.
    pub decoder_steps: BTreeMap<PersonName, u64>,
    /// Steps of this run that are in `expected` already.
    pub committed_at_step: u64,
    /// In words, what each decoder started from.
    pub started_from: BTreeMap<PersonName, String>,
    pub sampler: SamplerSettings,
    /// Who was seen in everybody's faces when the run began: medians of dlib's 128 numbers.
    #[serde(default)]
    pub identities: BTreeMap<PersonName, Vec<f32>>,
    /// What a run has that grows the encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grow: Option<GrowFile>,
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl RunFile {
    /// The command that began it.
    pub(crate) fn command(&self) -> &'static str {
        match self.grow {
            Some(_) => "grow",
            None => "train",
        }
    }

    pub(crate) fn save(&self, library: &Library) -> Result<(), JobError> {
        let path = library.run_dir(&self.run).join(NAME);
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| JobError::failed(format!("Cannot describe the run: {e}")))?;
        picture::write_whole(&path, &bytes).map_err(|e| io("write the run", &path, &e))
    }

    pub(crate) fn load(library: &Library, run: &RunId) -> Result<Self, JobError> {
        let path = library.run_dir(run).join(NAME);
        let missing = |e: std::io::Error| {
            io("read the run", &path, &e).with_hint("`stockpot library log` lists runs")
        };
        let meta = std::fs::metadata(&path).map_err(missing)?;
        let broken = |reason: String| {
            JobError::failed(format!(
                "This is no run of ours: {reason}\n  path: {}",
                path.display()
            ))
        };
        if meta.len() > MAX_BYTES {
            return Err(broken(format!("it is {} bytes long", meta.len())));
        }
        let bytes = std::fs::read(&path).map_err(missing)?;
        let head: Head = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        if head.version > VERSION {
            return Err(JobError::failed(format!(
                "Run {run} was begun by a newer stockpot (version {} of its file, {VERSION} is known)",
                head.version
            ))
            .with_hint("update stockpot"));
        }
        serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))
    }

    /// Takes over what this run committed last, in case it was killed before it could note that.
    ///
    /// # Errors
    /// If somebody else has committed since: at its end the run could not be committed.
    pub(crate) fn catch_up(&mut self, library: &Library) -> Result<(), JobError> {
        let now = library.starting_point(&self.persons)?;
        if now == self.expected {
            return Ok(());
        }
        let foreign = || {
            JobError::failed(format!(
                "Run {} cannot go on: others have changed the library since",
                self.run
            ))
            .with_hint("begin a new run, which starts from what the library has now")
        };
        let encoder = library.current_encoder()?.ok_or_else(foreign)?.record;
        let (mut decoder_steps, mut committed) = (BTreeMap::new(), self.committed_at_step);
        for person in &self.persons {
            let had = self.decoder_steps.get(person).copied().unwrap_or(0);
            if now.decoders.get(person) == self.expected.decoders.get(person) {
                // Frozen beside a frozen encoder: there was nothing to commit.
                decoder_steps.insert(person.clone(), had);
                continue;
            }
            let decoder = library.current_decoder(person)?.ok_or_else(foreign)?.record;
            // A frozen encoder is none of this run's, but still what it started from.
            let kept = now.encoder == self.expected.encoder;
            if (encoder.run != self.run && !kept) || decoder.run != self.run {
                return Err(foreign());
            }
            let before = had.saturating_sub(self.committed_at_step);
            // The steps of a frozen person do not grow.
            committed = committed.max(decoder.steps.saturating_sub(before));
            decoder_steps.insert(person.clone(), decoder.steps);
        }
        self.committed_at_step = committed;
        self.encoder_steps = encoder.steps;
        self.decoder_steps = decoder_steps;
        self.expected = now;
        Ok(())
    }
}
