//! `library promote`: makes a lite person full. The same decoder to the bit, as a whole object of the
//! person's own, so that training can go on with all of it. Start with [`run`].

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use stockpot_core::PersonName;
use stockpot_library::{
    DecoderForm, EncoderChoice, NewDecoder, NewState, RunCommit, Use as Purpose,
};
use stockpot_model::{Family, Network, weights_file};

use crate::compat::current_decoder;
use crate::context::{Context, now_secs};
use crate::decoder;
use crate::error::JobError;
use crate::person::PATIENCE;

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// Who.
    pub person: PersonName,
    /// The lite decoder state.
    pub decoder_before: String,
    /// The full one that draws the same.
    pub decoder: String,
    /// The encoder state of both.
    pub encoder: String,
    /// Bytes of the lite decoder.
    pub bytes_before: u64,
    /// Of the full one.
    pub bytes: u64,
    /// What to do next.
    pub next: String,
}

/// Folds a lite person into a full decoder and commits that, with the lite one as its parent.
///
/// # Errors
/// If the person is unknown, without consent or decoder, or full already; if somebody else commits at
/// the same moment.
pub fn run(ctx: &Context, person: &PersonName) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let consent = ctx.consent(&library, person, Purpose::Train)?;
    let expected = library.starting_point(std::slice::from_ref(person))?;
    let before = current_decoder(&library, person)?;
    let record = before.record;
    if record.form == DecoderForm::Full {
        return Err(
            JobError::usage(format!("The decoder of `{person}` is full already"))
                .with_hint(format!("let it learn on: `stockpot train {person}`")),
        );
    }
    let family: Family = record.family.parse()?;
    let network = Network::new(family);
    let weights = decoder::load(&library, &network, &record)?;
    let lite = library.get_object(&record.object)?;
    let began = now_secs();
    let run = library.new_run_id(began, ctx.seed)?;
    let mut words = weights_file::metadata(&lite)?;
    // What only lite files say.
    words.retain(|word, _| word == "area");
    words.insert("run".to_owned(), run.to_string());
    let mut attachments = BTreeMap::new();
    for (name, object) in &record.attachments {
        if name != decoder::BASE {
            attachments.insert(name.clone(), library.get_object(object)?);
        }
    }
    let bytes = weights_file::to_bytes(family, &weights, &words)?;
    let (bytes_before, bytes_after) = (lite.len() as u64, bytes.len() as u64);
    let writer = library.writer(began, PATIENCE)?;
    let report = writer.commit_run(RunCommit {
        run,
        family: record.family.clone(),
        expected,
        encoder: EncoderChoice::Kept(record.encoder_state),
        decoders: vec![NewDecoder {
            consent,
            stitched_from: record.stitched_from,
            form: DecoderForm::Full,
            state: NewState {
                bytes,
                parent: Some(before.hash),
                steps: record.steps,
                metrics: record.metrics,
                attachments,
            },
        }],
        settings_json: json!({ "promote": person.as_str() }).to_string(),
        seed: ctx.seed,
        metrics: BTreeMap::new(),
        began_secs: began,
        now_secs: began,
    })?;
    ctx.tell_unlogged(&writer);
    let made = report.decoders.get(person);
    Ok(Reply {
        person: person.clone(),
        decoder_before: before.hash.short(),
        decoder: made.map(|h| h.short()).unwrap_or_default(),
        encoder: report.encoder.short(),
        bytes_before,
        bytes: bytes_after,
        next: format!("stockpot train {person}"),
    })
}
