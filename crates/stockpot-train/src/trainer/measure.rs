//! Drawing and measuring faces with the running mean of the weights, between steps.

use stockpot_core::PersonName;
use stockpot_model::Plan;

use super::Trainer;
use crate::batch::FaceBatch;
use crate::error::Error;
use crate::loss::{Comparison, LossValue, face_loss};
use crate::metrics::{FaceScore, score_faces};

/// How well a person's held-out faces are redrawn with the running mean of the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// How many faces.
    pub faces: usize,
    /// Mean loss.
    pub loss: LossValue,
    /// Mean quality.
    pub score: FaceScore,
}

/// Faces drawn in one batch: enough for all threads, little memory.
const DRAWN_AT_ONCE: usize = 8;

impl Trainer {
    /// Measures a person's held-out faces with the running mean of the weights.
    ///
    /// # Errors
    /// [`Error::UnknownPerson`]; [`Error::Shape`]; [`Error::Device`].
    pub fn evaluate(
        &mut self,
        person: &PersonName,
        faces: &FaceBatch,
    ) -> Result<Evaluation, Error> {
        let prediction = self.draw(person, &faces.input)?;
        let comparison = Comparison {
            side: self.side(),
            channels: self.channels(),
            prediction: &prediction,
            target: &faces.target,
            mask: &faces.mask,
            weight: &faces.weight,
        };
        let mut gradient = vec![0.0; prediction.len()];
        let loss = face_loss(
            &mut self.scratch,
            &self.loss_weights,
            &comparison,
            &mut gradient,
        )?;
        let score = score_faces(&comparison)?;
        Ok(Evaluation {
            faces: faces.mask.len() / self.side().pow(2),
            loss,
            score,
        })
    }

    /// Draws faces as a person, with the running mean of the weights.
    ///
    /// # Shapes
    /// `input`: `[faces, side, side, 3]`; the result: `[faces, side, side, channels]`.
    ///
    /// # Errors
    /// [`Error::UnknownPerson`]; [`Error::Shape`]; [`Error::Device`].
    pub fn draw(&mut self, person: &PersonName, input: &[f32]) -> Result<Vec<f32>, Error> {
        let index = self.index_of(person)?;
        let each = self.graphs.encoder.input_shape().len();
        let out_each = self.graphs.decoder.output_shape().len();
        if !input.len().is_multiple_of(each) {
            let wanted = input.len().next_multiple_of(each);
            return Err(Error::Shape {
                what: "faces to draw",
                wanted,
                found: input.len(),
            });
        }
        if let Some(drawn) = self.draw_elsewhere(index, input)? {
            return Ok(drawn);
        }
        let batch = self.meta.settings.batch.min(DRAWN_AT_ONCE);
        let graphs = &self.graphs;
        let ema = &self.state.persons[index].1.ema;
        // What is measured is what is kept.
        let kept = self.forms.person(index).and_then(|own| own.kept(ema));
        let numbers = kept.as_ref().map_or(ema, |kept| &kept.data);
        let (encoder, decoder) = self.eval.get_or_insert_with(|| {
            (
                Plan::inference(graphs.encoder.clone(), batch),
                Plan::inference(graphs.decoder.clone(), batch),
            )
        });
        encoder.load_slice(&self.state.encoder.ema);
        decoder.load_slice(self.forms.decoder(index, numbers));
        let mut drawn = Vec::with_capacity(input.len() / each * out_each);
        let mut padded = vec![0.0; batch * each];
        for part in input.chunks(batch * each) {
            padded[..part.len()].copy_from_slice(part);
            let found = decoder.forward(encoder.forward(&padded));
            drawn.extend_from_slice(&found[..part.len() / each * out_each]);
        }
        Ok(drawn)
    }
}
