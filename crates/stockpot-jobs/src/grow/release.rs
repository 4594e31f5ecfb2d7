//! What a release takes along: the decoders of everybody who was not trained, each the better way.

use std::collections::BTreeMap;

use stockpot_core::{Area, ContentHash, PersonName};
use stockpot_library::{DecoderForm, Library, NewDecoder, NewState, RunCommit, Use};
use stockpot_model::weights_file;

use super::gate::{Measured, Part, Row, Way};
use crate::context::Context;
use crate::error::JobError;

/// Adds to a run's commit the decoders of those who took no part, and puts stitched ones in the place
/// of those that are better so.
pub(super) fn take_along(
    ctx: &Context,
    library: &Library,
    commit: &mut RunCommit,
    measured: &Measured,
    (area, rehearsed): (Area, &BTreeMap<PersonName, ContentHash>),
) -> Result<(), JobError> {
    // Who was rehearsed and could not be measured stays with what they have.
    let is_measured = |person: &PersonName| measured.rows.iter().any(|r| r.person == *person);
    commit.decoders.retain(|d| {
        let person = d.consent.person();
        !rehearsed.contains_key(person) || is_measured(person)
    });
    for row in &measured.rows {
        match (row.part, row.way) {
            (Part::New | Part::Trained, _) => {}
            (Part::Rehearsed, Way::Direct) => {
                let own = |d: &&mut NewDecoder| *d.consent.person() == row.person;
                if let Some(decoder) = commit.decoders.iter_mut().find(own) {
                    decoder.state.metrics = metrics(row);
                }
            }
            (Part::Rehearsed | Part::Absent, _) => {
                let decoder = decoder(ctx, library, measured, row, commit, area)?;
                commit
                    .decoders
                    .retain(|d| *d.consent.person() != row.person);
                commit.decoders.push(decoder);
            }
        }
    }
    Ok(())
}

fn decoder(
    ctx: &Context,
    library: &Library,
    measured: &Measured,
    row: &Row,
    commit: &mut RunCommit,
    area: Area,
) -> Result<NewDecoder, JobError> {
    let person = &row.person;
    let consent = ctx.consent(library, person, Use::Train)?;
    let state = library.current_decoder(person)?.ok_or_else(|| {
        JobError::failed(format!("The decoder of `{person}` was taken out just now"))
    })?;
    let expected = &mut commit.expected.decoders;
    expected.entry(person.clone()).or_insert(Some(state.hash));
    let stitched = measured.stitched.get(person);
    let mut attachments = BTreeMap::new();
    let (bytes, parent, steps, form, stitched_from) = match stitched {
        Some(stitched) => {
            let base = library.decoder_state(&stitched.made_from)?;
            let words = BTreeMap::from([
                ("area".to_owned(), format!("{area:?}").to_lowercase()),
                ("run".to_owned(), commit.run.to_string()),
            ]);
            let family = base.record.family.parse()?;
            (
                weights_file::to_bytes(family, &stitched.decoder, &words)?,
                base.hash,
                base.record.steps,
                DecoderForm::Full,
                Some(stitched.trained_with),
            )
        }
        None => {
            for (name, object) in &state.record.attachments {
                attachments.insert(name.clone(), library.get_object(object)?);
            }
            (
                library.get_object(&state.record.object)?,
                state.hash,
                state.record.steps,
                state.record.form,
                state.record.stitched_from,
            )
        }
    };
    Ok(NewDecoder {
        consent,
        stitched_from,
        form,
        state: NewState {
            bytes,
            parent: Some(parent),
            steps,
            metrics: metrics(row),
            attachments,
        },
    })
}

fn metrics(row: &Row) -> BTreeMap<String, f64> {
    let mae = match (row.way, row.stitched) {
        (Way::Stitched, Some(mae)) => mae,
        _ => row.direct,
    };
    BTreeMap::from([("heldout_mae".to_owned(), mae)])
}
