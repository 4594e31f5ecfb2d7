//! Steps on another device than the CPU: the trainer keeps the counters, the guard and the rhythm of
//! saving; weights, gradients and the optimiser's memory live over there and are brought down when
//! something here needs them.
//!
//! Knows no device; whoever has one implements [`Accelerator`] and hands it to [`Trainer::run_on`].

use std::fmt::Debug;

use stockpot_core::PersonName;

use super::{StepReport, Timer, Trainer};
use crate::batch::Batch;
use crate::error::Error;
use crate::loss::{LossValue, LossWeights};
use crate::optim::AdamStep;
use crate::run::BoxError;
use crate::state::TrainState;

/// A device that makes whole steps.
pub trait Accelerator: Send + Debug {
    /// Which device it is, for people.
    fn name(&self) -> String;

    /// Takes over the weights and the optimiser's memory of a state; what was there before is
    /// forgotten.
    ///
    /// # Errors
    /// If the device fails; it will be given a whole state before the next step.
    fn take(&mut self, state: &TrainState) -> Result<(), BoxError>;

    /// Writes the weights and the optimiser's memory into a state of the same persons; its counters
    /// stay as they are.
    ///
    /// # Errors
    /// If the device fails; the state may be half written.
    fn give(&mut self, state: &mut TrainState) -> Result<(), BoxError>;

    /// Forward, loss, backward and update. If a loss or the gradient is not finite, the weights may
    /// be spoilt: they are taken over again before the next step.
    ///
    /// # Errors
    /// If the device fails.
    fn step(&mut self, batch: &Batch, order: &StepOrder<'_>) -> Result<StepNumbers, BoxError>;

    /// Draws faces as the person of this index, with the running mean of the weights.
    ///
    /// # Shapes
    /// `input`: `[faces, side, side, 3]`; the result: `[faces, side, side, channels]`.
    ///
    /// # Errors
    /// If the device fails.
    fn draw(&mut self, person: usize, input: &[f32]) -> Result<Vec<f32>, BoxError>;
}

/// What a step is to do with its batch.
#[derive(Debug, Clone, Copy)]
pub struct StepOrder<'a> {
    /// What counts how much in the loss.
    pub loss: LossWeights,
    /// Adam's numbers; gradients are not yet clipped.
    pub adam: AdamStep,
    /// The norm that the whole gradient is shortened to; 0 for none.
    pub clip_norm: f64,
    /// Whether the encoder stays as it is.
    pub freeze_encoder: bool,
    /// Whose decoder stays as it is, in the order of the persons.
    pub held: &'a [bool],
}

/// What a step on a device came to.
#[derive(Debug, Clone, PartialEq)]
pub struct StepNumbers {
    /// Loss of each person before the step, in the order of the training.
    pub losses: Vec<LossValue>,
    /// Norm of the whole gradient before clipping.
    pub gradient_norm: f64,
}

/// A device and which side has the newer weights.
#[derive(Debug)]
pub(super) struct Elsewhere {
    device: Box<dyn Accelerator>,
    fresher: Fresher,
}

/// Where the weights are newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fresher {
    /// Here: they must go up before the next step.
    Here,
    /// There: they must come down before anybody reads them here.
    There,
    /// Both are the same.
    Neither,
}

impl Elsewhere {
    fn failed(&self, source: BoxError) -> Error {
        Error::Device {
            device: self.device.name(),
            source,
        }
    }

    /// The state here was replaced.
    pub(super) fn replaced_here(&mut self) {
        self.fresher = Fresher::Here;
    }

    /// Whether the weights here are those of an earlier step.
    pub(super) fn is_ahead(&self) -> bool {
        self.fresher == Fresher::There
    }

    fn bring_up(&mut self, state: &TrainState) -> Result<(), Error> {
        if self.fresher == Fresher::Here {
            self.device.take(state).map_err(|e| self.failed(e))?;
            self.fresher = Fresher::Neither;
        }
        Ok(())
    }

    fn bring_down(&mut self, state: &mut TrainState) -> Result<(), Error> {
        if self.fresher == Fresher::There {
            self.device.give(state).map_err(|e| self.failed(e))?;
            self.fresher = Fresher::Neither;
        }
        Ok(())
    }
}

impl Trainer {
    /// Makes every step from here on on a device.
    ///
    /// # Errors
    /// [`Error::NotOnDevice`] for a training that devices cannot make: one with lite persons, with
    /// an encoder held near its previous state, or in `bf16`.
    pub fn run_on(&mut self, device: Box<dyn Accelerator>) -> Result<(), Error> {
        let settings = &self.meta.settings;
        let lite = (0..self.state.persons.len()).any(|i| self.forms.person(i).is_some());
        let reasons = [
            (lite, "has lite persons"),
            (
                self.distiller.is_some(),
                "holds the encoder near its previous state",
            ),
            (
                settings.precision == crate::settings::Precision::Bf16,
                "is in bf16",
            ),
        ];
        if let Some((_, what)) = reasons.into_iter().find(|(found, _)| *found) {
            return Err(Error::NotOnDevice {
                what,
                device: device.name(),
            });
        }
        self.elsewhere = Some(Elsewhere {
            device,
            fresher: Fresher::Here,
        });
        self.release_plans();
        Ok(())
    }

    /// The device that steps are made on; none for the CPU.
    pub fn device(&self) -> Option<String> {
        self.elsewhere.as_ref().map(|e| e.device.name())
    }

    /// Brings what a device has learned down to here.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn settle(&mut self) -> Result<(), Error> {
        match &mut self.elsewhere {
            Some(elsewhere) => elsewhere.bring_down(&mut self.state),
            None => Ok(()),
        }
    }

    /// [`Self::learn`], the norm and the update on the device. Returns the person whose loss is not
    /// finite.
    pub(super) fn step_elsewhere(
        &mut self,
        batch: &Batch,
        report: &mut StepReport,
        timer: &mut Timer<'_>,
    ) -> Result<Option<usize>, Error> {
        let Some(elsewhere) = &mut self.elsewhere else {
            return Ok(None);
        };
        elsewhere.bring_up(&self.state)?;
        let settings = &self.meta.settings;
        let step = self.state.position.step + 1;
        let order = StepOrder {
            loss: self.loss_weights,
            adam: AdamStep::new(&settings.adam(), step, report.learning_rate, 1.0),
            clip_norm: settings.clip_norm,
            freeze_encoder: settings.freeze_encoder,
            held: &self.held,
        };
        let numbers = elsewhere.device.step(batch, &order);
        let numbers = numbers.map_err(|e| elsewhere.failed(e))?;
        elsewhere.fresher = Fresher::There;
        let culprit = numbers.losses.iter().position(|l| !l.total.is_finite());
        report.losses = numbers.losses;
        if culprit.is_none() {
            report.gradient_norm = numbers.gradient_norm;
        } else if let Some(i) = culprit {
            report.losses.truncate(i + 1);
        }
        // Forward, backward and update run into each other over there; all of it is its work.
        report.secs.backward += timer.lap();
        Ok(culprit)
    }

    /// [`Self::draw`] on the device, if there is one.
    pub(super) fn draw_elsewhere(
        &mut self,
        index: usize,
        input: &[f32],
    ) -> Result<Option<Vec<f32>>, Error> {
        let Some(elsewhere) = &mut self.elsewhere else {
            return Ok(None);
        };
        elsewhere.bring_up(&self.state)?;
        let drawn = elsewhere.device.draw(index, input);
        drawn.map(Some).map_err(|e| elsewhere.failed(e))
    }

    /// A person's place in the training.
    pub(super) fn index_of(&self, person: &PersonName) -> Result<usize, Error> {
        let mut persons = self.state.persons.iter();
        let index = persons.position(|(name, _)| name == person);
        index.ok_or_else(|| Error::UnknownPerson {
            person: person.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
