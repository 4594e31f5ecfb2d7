//! Holds an encoder that learns near its previous state, so that decoders of that state go on
//! reading its codes.
//!
//! Two terms are added to a step's loss, both a mean squared difference of codes, divided by the mean
//! variance of the previous state's codes so that a weight means the same for any network: on some of
//! the calibration faces, whose old codes were kept, and on the faces that are being learnt, which the
//! previous state looks at beside the new one. Which calibration faces a step sees follows from the
//! seed and the batch's number. Start with [`Distillation`].

use stockpot_core::Rng;
use stockpot_model::{Params, Plan};

use super::Trainer;
use crate::batch::Batch;
use crate::error::Error;
use crate::settings::TrainSettings;
use crate::state::TrainState;

/// The previous state of an encoder, and what it said about faces that stay the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Distillation {
    /// Its weights.
    pub encoder: Params,
    /// Calibration faces as bytes, `[faces, side, side, 3]`.
    pub faces: Vec<u8>,
    /// Its codes for them, `[faces, code]`.
    pub codes: Vec<f32>,
}

/// A [`Distillation`] at work.
#[derive(Debug)]
pub(super) struct Distiller {
    /// The previous state, for the faces of a step.
    old: Plan,
    /// The state that learns, for the calibration faces of a step; shares no buffers with the
    /// trainer's own plan.
    new: Plan,
    faces: Vec<u8>,
    codes: Vec<f32>,
    /// Mean variance of a number of the old codes: the unit of both terms.
    variance: f64,
    seed: u64,
    /// The order of the calibration faces, and the pass over them that it belongs to.
    order: (u64, Vec<usize>),
    input: Vec<f32>,
    gradient: Vec<f32>,
}

impl Trainer {
    /// Holds the encoder near a previous state from now on, as strongly as the settings say.
    ///
    /// # Errors
    /// [`Error::BadSetting`] if the encoder is frozen, or no weight is above 0; [`Error::Shape`] if
    /// the state or the faces are not of this network, or are too few to tell how codes vary.
    pub fn keep_near(&mut self, previous: Distillation) -> Result<(), Error> {
        let settings = &self.meta.settings;
        let bad = |key, value: String, wanted| Err(Error::BadSetting { key, value, wanted });
        if settings.freeze_encoder {
            let wanted = "false, or nothing can drift away from the previous state";
            return bad("freeze_encoder", true.to_string(), wanted);
        }
        if !settings.distils() {
            let wanted = "above 0, here or in `distil_crops_weight`";
            return bad("distil_weight", settings.distil_weight.to_string(), wanted);
        }
        let graph = &self.graphs.encoder;
        let (face, code) = (graph.input_shape().len(), graph.output_shape().len());
        let faces = previous.codes.len() / code;
        for (what, wanted, found) in [
            (
                "previous encoder weights",
                graph.layout.len(),
                previous.encoder.data.len(),
            ),
            (
                "calibration codes",
                faces.max(2) * code,
                previous.codes.len(),
            ),
            ("calibration faces", faces * face, previous.faces.len()),
        ] {
            if wanted != found {
                return Err(Error::Shape {
                    what,
                    wanted,
                    found,
                });
            }
        }
        let each = settings.distil_faces.min(faces);
        let precision = settings.precision.of_products();
        let learnt = self.state.persons.len() * settings.batch;
        let mut old = Plan::inference_in(graph.clone(), learnt, precision);
        old.load_slice(&previous.encoder.data);
        self.distiller = Some(Box::new(Distiller {
            old,
            new: Plan::training_in(graph.clone(), each, precision),
            variance: mean_variance(&previous.codes, code),
            faces: previous.faces,
            codes: previous.codes,
            seed: settings.seed,
            order: (0, Vec::new()),
            input: vec![0.0; each * face],
            gradient: vec![0.0; each * code],
        }));
        Ok(())
    }

    /// Refuses to learn without the previous state that the settings ask for.
    pub(super) fn check_distillation(&self) -> Result<(), Error> {
        let settings = &self.meta.settings;
        if self.distiller.is_some() || !settings.distils() {
            return Ok(());
        }
        Err(Error::BadSetting {
            key: "distil_weight",
            value: settings
                .distil_weight
                .max(settings.distil_crops_weight)
                .to_string(),
            wanted: "0 in a training that has no previous state to stay near",
        })
    }
}

impl Distiller {
    /// [`Self::hold`] at a step of a training: the gradients are those of the codes and of the weights.
    pub(super) fn hold_at(
        &mut self,
        (settings, state): (&TrainSettings, &TrainState),
        batch: &Batch,
        codes: &[f32],
        (codes_gradient, weights_gradient): (&mut [f32], &mut [f32]),
    ) -> f64 {
        let moment = Moment {
            step: state.position.step,
            batch: batch.number,
            weights: &state.encoder.weights,
        };
        let learnt = Learnt {
            input: &batch.faces.input,
            codes,
            codes_gradient,
        };
        self.hold(settings, moment, learnt, weights_gradient)
    }

    /// Adds both terms to the gradients: that of the faces being learnt to the gradient of their
    /// `codes`, that of the calibration faces to the gradient of the `weights`. Returns their
    /// weighted sum.
    fn hold(
        &mut self,
        settings: &TrainSettings,
        moment: Moment<'_>,
        learnt: Learnt<'_>,
        weights_gradient: &mut [f32],
    ) -> f64 {
        let left = settings.distil_left(moment.step);
        let crops = settings.distil_crops_weight * left;
        let mut loss = 0.0;
        if crops > 0.0 {
            let old = self.old.forward(learnt.input);
            let pairs = learnt.codes.iter().zip(old).zip(learnt.codes_gradient);
            let unit = crops / (self.variance * learnt.codes.len() as f64);
            for ((new, old), gradient) in pairs {
                let apart = f64::from(new - old);
                loss += unit * apart * apart;
                *gradient += (2.0 * unit * apart) as f32;
            }
        }
        let calibration = settings.distil_weight * left;
        if calibration > 0.0 {
            loss += self.calibrate(calibration, moment, weights_gradient);
        }
        loss
    }

    fn calibrate(&mut self, weight: f64, moment: Moment<'_>, weights_gradient: &mut [f32]) -> f64 {
        let (each, code) = (self.new.batch(), self.gradient.len() / self.new.batch());
        let face = self.input.len() / each;
        let count = (self.codes.len() / code) as u64;
        let chosen: Vec<usize> = (0..each as u64)
            .map(|k| moment.batch.wrapping_mul(each as u64).wrapping_add(k))
            .map(|place| self.face_at(place / count, (place % count) as usize))
            .collect();
        for (input, n) in self.input.chunks_exact_mut(face).zip(&chosen) {
            let bytes = &self.faces[n * face..][..face];
            for (out, byte) in input.iter_mut().zip(bytes) {
                *out = f32::from(*byte) / 255.0;
            }
        }
        self.new.load_slice(moment.weights);
        let new = self.new.forward(&self.input);
        let unit = weight / (self.variance * new.len() as f64);
        let mut loss = 0.0;
        let pairs = new.chunks_exact(code).zip(&chosen);
        for ((new, n), gradient) in pairs.zip(self.gradient.chunks_exact_mut(code)) {
            let old = &self.codes[n * code..][..code];
            for ((new, old), gradient) in new.iter().zip(old).zip(gradient) {
                let apart = f64::from(new - old);
                loss += unit * apart * apart;
                *gradient = (2.0 * unit * apart) as f32;
            }
        }
        self.new.backward(&self.gradient, weights_gradient, false);
        loss
    }

    /// The face at a place of a pass over all of them, each pass in an order of its own.
    fn face_at(&mut self, pass: u64, place: usize) -> usize {
        if self.order.0 != pass || self.order.1.is_empty() {
            let count = self.codes.len() / (self.gradient.len() / self.new.batch());
            let mut rng = Rng::stream(self.seed, "calibration order", pass);
            let mut order: Vec<usize> = (0..count).collect();
            for i in (1..count).rev() {
                order.swap(i, rng.below(i + 1));
            }
            self.order = (pass, order);
        }
        self.order.1[place]
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        self.old.buffer_bytes() + self.new.buffer_bytes()
    }
}

/// When it is, and with which weights.
#[derive(Clone, Copy)]
struct Moment<'a> {
    step: u64,
    batch: u64,
    weights: &'a [f32],
}

/// The faces of a step and their codes.
struct Learnt<'a> {
    input: &'a [f32],
    codes: &'a [f32],
    codes_gradient: &'a mut [f32],
}

/// Mean over the numbers of a code of their variance over the faces; never 0, so that codes that are
/// all alike, which nobody can drift from, do not divide by it.
fn mean_variance(codes: &[f32], width: usize) -> f64 {
    let faces = (codes.len() / width) as f64;
    let (mut sum, mut square) = (vec![0.0f64; width], vec![0.0f64; width]);
    for code in codes.chunks_exact(width) {
        for (k, v) in code.iter().enumerate() {
            sum[k] += f64::from(*v);
            square[k] += f64::from(*v) * f64::from(*v);
        }
    }
    let variances = sum
        .iter()
        .zip(&square)
        .map(|(sum, square)| square / faces - (sum / faces).powi(2));
    (variances.sum::<f64>() / width as f64).max(1e-12)
}

#[cfg(test)]
mod tests;
