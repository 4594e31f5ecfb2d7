//! The end of a run: its running-mean weights become new states of the library, all together.

use std::collections::BTreeMap;

use stockpot_core::{ContentHash, PersonName};
use stockpot_library::{
    CommitReport, Consented, DecoderForm, DecoderStateRecord, EncoderChoice, Library, NewDecoder,
    NewState, RunCommit, Stored,
};
use stockpot_model::{Family, LiteFile, Network, Params, weights_file};
use stockpot_train::{Evaluation, LitePerson, RunOutcome, Trainer};

use super::freeze;
use super::identity;
use super::run_file::RunFile;
use crate::compat::measure::Encoder;
use crate::context::{Context, now_secs};
use crate::decoder::{BASE, base_bytes};
use crate::error::JobError;
use crate::person::PATIENCE;

/// A commit, and what the run's file notes once it is made.
pub(crate) struct Prepared {
    pub(crate) commit: RunCommit,
    pub(crate) steps: Steps,
}

/// Steps that states have had.
pub(crate) struct Steps {
    encoder: u64,
    decoders: BTreeMap<PersonName, u64>,
    of_run: u64,
}

/// Commits, and notes in the run's file what it may replace if it goes on.
pub(super) fn commit(
    ctx: &Context,
    library: &Library,
    file: &mut RunFile,
    trainer: &Trainer,
    outcome: &RunOutcome,
    consents: Vec<Consented>,
) -> Result<CommitReport, JobError> {
    let Prepared { commit, steps } = prepare(library, file, trainer, outcome, consents)?;
    let writer = library.writer(commit.now_secs, PATIENCE)?;
    let report = writer.commit_run(commit)?;
    ctx.tell_unlogged(&writer);
    drop(writer);
    note(library, file, steps, &report)?;
    Ok(report)
}

/// What a run commits.
pub(crate) fn prepare(
    library: &Library,
    file: &RunFile,
    trainer: &Trainer,
    outcome: &RunOutcome,
    consents: Vec<Consented>,
) -> Result<Prepared, JobError> {
    let lost = || JobError::failed("The trained weights do not fit their network: this is a bug");
    let metadata = BTreeMap::from([
        ("area".to_owned(), format!("{:?}", file.area).to_lowercase()),
        ("run".to_owned(), file.run.to_string()),
    ]);
    let bytes = |params: &Params| weights_file::to_bytes(file.family, params, &metadata);
    let new_steps = outcome.steps.saturating_sub(file.committed_at_step);
    let ssim: Vec<f64> = outcome
        .evaluations
        .iter()
        .map(|(_, e)| e.score.ssim)
        .collect();
    let mut mean = BTreeMap::new();
    if !ssim.is_empty() {
        mean.insert(
            "heldout_ssim".to_owned(),
            ssim.iter().sum::<f64>() / ssim.len() as f64,
        );
    }
    let parent = parent_of(file, trainer, "encoder");
    let weights = trainer.encoder().ok_or_else(lost)?;
    let mut encoder_steps = file.encoder_steps;
    let encoder = match unchanged(library, trainer, parent, &weights)? {
        Some(state) => EncoderChoice::Kept(state),
        None => {
            encoder_steps += new_steps;
            EncoderChoice::New(NewState {
                bytes: bytes(&weights)?,
                parent,
                steps: encoder_steps,
                metrics: mean.clone(),
                attachments: BTreeMap::new(),
            })
        }
    };
    let network = Network::new(file.family);
    let mut decoders = Vec::new();
    let mut decoder_steps = BTreeMap::new();
    for consent in consents {
        let person = consent.person().clone();
        let before = file.decoder_steps.get(&person).copied().unwrap_or(0);
        let parent = parent_of(file, trainer, &format!("decoder/{person}"));
        let state = freeze::unchanged(library, &network, trainer, &person, parent)?;
        if state.is_some() && matches!(encoder, EncoderChoice::Kept(_)) {
            // Nothing that concerns them has changed: their state is what it was.
            decoder_steps.insert(person, before);
            continue;
        }
        let (kept, steps, stitched_from) = match state {
            Some(Stored { record, .. }) => {
                (Kept::again(library, &record)?, before, record.stitched_from)
            }
            None => {
                let kept = match trainer.lite(&person) {
                    Some((numbers, own)) => Kept::lite(file.family, numbers, own, &metadata)?,
                    None => {
                        let weights = trainer.decoder(&person).ok_or_else(lost)?;
                        Kept::full(bytes(&weights)?)
                    }
                };
                (kept, before + new_steps, None)
            }
        };
        decoder_steps.insert(person.clone(), steps);
        let identity = file.identities.get(&person);
        let mut attachments = kept.attachments;
        attachments
            .extend(identity.map(|i| (identity::ATTACHMENT.to_owned(), identity::to_bytes(i))));
        decoders.push(NewDecoder {
            state: NewState {
                bytes: kept.bytes,
                parent,
                steps,
                metrics: metrics_of(outcome, &person),
                attachments,
            },
            stitched_from,
            form: kept.form,
            consent,
        });
    }
    let settings_json = serde_json::to_string(&trainer.meta().settings)
        .map_err(|e| JobError::failed(format!("Cannot describe the settings: {e}")))?;
    let now = now_secs();
    let commit = RunCommit {
        run: file.run.clone(),
        family: file.family.to_string(),
        expected: file.expected.clone(),
        encoder,
        decoders,
        settings_json,
        seed: trainer.meta().settings.seed,
        metrics: mean,
        began_secs: file.began_secs,
        now_secs: now,
    };
    Ok(Prepared {
        commit,
        steps: Steps {
            encoder: encoder_steps,
            decoders: decoder_steps,
            of_run: outcome.steps,
        },
    })
}

/// Notes in the run's file what was committed.
pub(crate) fn note(
    library: &Library,
    file: &mut RunFile,
    steps: Steps,
    report: &CommitReport,
) -> Result<(), JobError> {
    file.expected.encoder = Some(report.encoder);
    for (person, hash) in &report.decoders {
        // A growing encoder takes others along, who are none of the run's.
        if file.persons.contains(person) {
            file.expected.decoders.insert(person.clone(), Some(*hash));
        }
    }
    file.encoder_steps = steps.encoder;
    file.decoder_steps = steps.decoders;
    file.committed_at_step = steps.of_run;
    file.save(library)
}

/// A decoder as objects.
struct Kept {
    bytes: Vec<u8>,
    form: DecoderForm,
    attachments: BTreeMap<String, Vec<u8>>,
}

impl Kept {
    fn full(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            form: DecoderForm::Full,
            attachments: BTreeMap::new(),
        }
    }

    /// A lite person with their base, which is stored once for all.
    fn lite(
        family: Family,
        person: Params,
        own: &LitePerson,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, JobError> {
        let file = LiteFile {
            lite: (*own.lite).clone(),
            person,
            base: own.base_hash,
        };
        let base = base_bytes(family, &own.base)?;
        Ok(Self {
            bytes: file.to_bytes(family, metadata)?,
            form: DecoderForm::Lite,
            attachments: BTreeMap::from([(BASE.to_owned(), base)]),
        })
    }

    /// What a state has already.
    fn again(library: &Library, record: &DecoderStateRecord) -> Result<Self, JobError> {
        let mut attachments = BTreeMap::new();
        for (name, object) in &record.attachments {
            attachments.insert(name.clone(), library.get_object(object)?);
        }
        Ok(Self {
            bytes: library.get_object(&record.object)?,
            form: record.form,
            attachments,
        })
    }
}

/// The state that a frozen encoder is: its parent, if not a bit was changed. A run that was frozen
/// only for a while, or began without a state, has made a new one.
fn unchanged(
    library: &Library,
    trainer: &Trainer,
    parent: Option<ContentHash>,
    weights: &Params,
) -> Result<Option<ContentHash>, JobError> {
    let Some(parent) = parent.filter(|_| trainer.meta().settings.freeze_encoder) else {
        return Ok(None);
    };
    let state = Encoder::load(library, &parent)?;
    Ok((state.params == *weights).then_some(parent))
}

/// The state that was trained on: what this run committed last, else what it started from.
fn parent_of(file: &RunFile, trainer: &Trainer, what: &str) -> Option<ContentHash> {
    if file.committed_at_step == 0 {
        // A run from scratch has no parents, whatever is current.
        return trainer.meta().parents.get(what).copied();
    }
    match what.strip_prefix("decoder/") {
        None => file.expected.encoder,
        Some(name) => {
            let found = file
                .expected
                .decoders
                .iter()
                .find(|(n, _)| n.as_str() == name);
            found.and_then(|(_, hash)| *hash)
        }
    }
}

fn metrics_of(outcome: &RunOutcome, person: &PersonName) -> BTreeMap<String, f64> {
    let found = outcome.evaluations.iter().find(|(n, _)| n == person);
    let numbers = |e: &Evaluation| {
        BTreeMap::from([
            ("heldout_ssim".to_owned(), e.score.ssim),
            ("heldout_mae".to_owned(), e.score.mae),
            ("heldout_loss".to_owned(), e.loss.total),
        ])
    };
    found.map(|(_, e)| numbers(e)).unwrap_or_default()
}
