//! What must fit before a training begins, and before each step of it.

use stockpot_core::PersonName;

use super::lite::Forms;
use super::{Graphs, Trainer};
use crate::batch::Batch;
use crate::error::Error;
use crate::settings::TrainSettings;
use crate::state::TrainState;

impl Trainer {
    /// Whether a batch is the next one, and as large as this training needs.
    pub(super) fn check_batch(&self, batch: &Batch) -> Result<(), Error> {
        let check = |what, wanted, found| {
            if wanted == found {
                Ok(())
            } else {
                Err(Error::Shape {
                    what,
                    wanted,
                    found,
                })
            }
        };
        check(
            "batch number",
            self.state.position.batch as usize,
            batch.number as usize,
        )?;
        let pixels = self.state.persons.len() * self.meta.settings.batch * self.side().pow(2);
        let faces = &batch.faces;
        check("input faces", 3 * pixels, faces.input.len())?;
        check("target faces", 3 * pixels, faces.target.len())?;
        check("face masks", pixels, faces.mask.len())?;
        if !faces.weight.is_empty() {
            check("pixel weights", pixels, faces.weight.len())?;
        }
        Ok(())
    }
}

/// Whose decoder stays as it is, in the order of the persons.
pub(super) fn held(settings: &TrainSettings, state: &TrainState) -> Result<Vec<bool>, Error> {
    let persons = || state.persons.iter().map(|(name, _)| name);
    let frozen = &settings.freeze_persons;
    if let Some(stranger) = frozen.iter().find(|f| !persons().any(|p| p == *f)) {
        return Err(Error::BadSetting {
            key: "freeze_persons",
            value: stranger.to_string(),
            wanted: "persons of this training",
        });
    }
    let held: Vec<bool> = persons().map(|p| frozen.contains(p)).collect();
    if settings.freeze_encoder && held.iter().all(|h| *h) {
        return Err(Error::BadSetting {
            key: "freeze_persons",
            value: names_of(frozen.iter()),
            wanted: "fewer persons with a frozen encoder, or nothing is left to learn",
        });
    }
    Ok(held)
}

/// Whether a state is of these networks, with each person once.
pub(super) fn check_state(graphs: &Graphs, forms: &Forms, state: &TrainState) -> Result<(), Error> {
    let mut names: Vec<_> = state.persons.iter().map(|(name, _)| name).collect();
    let found = names_of(names.iter().copied());
    names.sort();
    names.dedup();
    if names.is_empty() || names.len() != state.persons.len() {
        return Err(Error::Persons { found });
    }
    let encoder = (
        &state.encoder,
        graphs.encoder.layout.len(),
        "encoder weights",
    );
    let decoder = graphs.decoder.layout.len();
    let persons = state.persons.iter().enumerate().map(|(i, (_, slots))| {
        let wanted = forms.numbers(i).unwrap_or(decoder);
        (slots, wanted, "decoder weights")
    });
    for (slots, wanted, what) in std::iter::once(encoder).chain(persons) {
        for (_, data) in slots.named() {
            if data.len() != wanted {
                return Err(Error::Shape {
                    what,
                    wanted,
                    found: data.len(),
                });
            }
        }
    }
    Ok(())
}

pub(super) fn names_of<'a>(names: impl Iterator<Item = &'a PersonName>) -> String {
    names.map(PersonName::as_str).collect::<Vec<_>>().join(", ")
}
