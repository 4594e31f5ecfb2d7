//! Learning a stock: one encoder and one trunk from many people at once, with a few numbers for
//! each of them.
//!
//! Every sample is a face, a wanted picture and the person who is to be drawn. Where the wanted
//! picture shows somebody else playing the same moment, nothing of who is seen helps in drawing it:
//! that teaches the encoder to keep identity out of its code. The state is that of any training,
//! with the trunk and the table of identities in the places of persons, so checkpoints are the same.
//!
//! Start with [`Pretrainer::step`].

use std::collections::BTreeMap;

use stockpot_core::{PersonName, Rng};
use stockpot_model::{Params, Plan, Trunk};

use crate::batch::FaceBatch;
use crate::checkpoint::{Checkpoint, CheckpointMeta};
use crate::error::Error;
use crate::loss::{Comparison, LossScratch, LossValue, LossWeights, face_loss};
use crate::optim::{self, AdamStep};
use crate::settings::TrainSettings;
use crate::state::TrainState;

/// Standard deviation of the identities at the start: about that of a code, so that the first
/// layer hears both.
const IDENTITY_SIGMA: f32 = 0.5;
/// Names of the trunk and of the table of identities in a checkpoint.
const PLACES: [&str; 2] = ["trunk", "identities"];

/// A stock in the making.
#[derive(Debug)]
pub struct Pretrainer {
    trunk: Trunk,
    meta: CheckpointMeta,
    state: TrainState,
    weights: LossWeights,
    encoder_plan: Plan,
    trunk_plan: Plan,
    encoder_gradient: Vec<f32>,
    trunk_gradient: Vec<f32>,
    identity_gradient: Vec<f32>,
    code_gradient: Vec<f32>,
    output_gradient: Vec<f32>,
    told: Vec<f32>,
    scratch: LossScratch,
}

impl Pretrainer {
    /// A stock from fresh weights for so many people.
    ///
    /// # Errors
    /// [`Error::NoBf16`] if the settings insist on what this processor lacks.
    pub fn new(trunk: Trunk, people: usize, settings: TrainSettings) -> Result<Self, Error> {
        let encoder = trunk.network().init_encoder(settings.seed).data;
        let decoder = trunk.init(settings.seed).data;
        let mut rng = Rng::stream(settings.seed, "identities of the stock", 0);
        let table = (0..people * trunk.identity_len()).map(|_| IDENTITY_SIGMA * rng.normal());
        Self::from_weights(trunk, encoder, decoder, table.collect(), settings)
    }

    /// A stock that goes on from these weights with a fresh optimiser.
    ///
    /// # Errors
    /// As [`Self::new`]; [`Error::Shape`].
    pub fn from_weights(
        trunk: Trunk,
        encoder: Vec<f32>,
        decoder: Vec<f32>,
        identities: Vec<f32>,
        settings: TrainSettings,
    ) -> Result<Self, Error> {
        let precision = settings.precision.settle()?;
        let meta = CheckpointMeta {
            family: trunk.network().family().to_string(),
            settings: TrainSettings {
                precision,
                ..settings
            },
            parents: BTreeMap::new(),
            lite: BTreeMap::new(),
        };
        let names = places()?;
        let persons = names.into_iter().zip([decoder, identities]).collect();
        Self::assemble(trunk, meta, TrainState::new(encoder, persons))
    }

    /// Goes on from a checkpoint, with its settings.
    ///
    /// # Errors
    /// [`Error::ForeignCheckpoint`] if it is not of a stock of this family.
    pub fn resume(trunk: Trunk, checkpoint: Checkpoint) -> Result<Self, Error> {
        let Checkpoint { meta, state } = checkpoint;
        let wanted = trunk.network().family().to_string();
        if meta.family != wanted {
            return Err(Error::ForeignCheckpoint {
                what: "the network",
                found: meta.family,
                wanted,
            });
        }
        let names: Vec<&str> = state
            .persons
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        if names != PLACES {
            return Err(Error::ForeignCheckpoint {
                what: "the contents",
                found: names.join(", "),
                wanted: PLACES.join(", "),
            });
        }
        Self::assemble(trunk, meta, state)
    }

    fn assemble(trunk: Trunk, meta: CheckpointMeta, state: TrainState) -> Result<Self, Error> {
        let batch = meta.settings.batch;
        let precision = meta.settings.precision.of_products();
        let network = trunk.network();
        let table = state.persons[1].1.weights.len();
        for (what, wanted, found) in [
            (
                "encoder weights",
                network.encoder_layout().len(),
                state.encoder.weights.len(),
            ),
            (
                "trunk weights",
                trunk.graph().layout.len(),
                state.persons[0].1.weights.len(),
            ),
            (
                "identities",
                table.next_multiple_of(trunk.identity_len().max(1)),
                table,
            ),
        ] {
            if wanted != found || found == 0 {
                return Err(Error::Shape {
                    what,
                    wanted,
                    found,
                });
            }
        }
        let side = network.encoder().input_shape().h;
        let lanes = (2 * rayon::current_num_threads()).min(batch);
        let told = trunk.graph().input_shape().len();
        let mut made = Self {
            weights: meta.settings.loss_weights(),
            encoder_plan: Plan::training_in(network.encoder().clone(), batch, precision),
            trunk_plan: Plan::training_in(trunk.graph().clone(), batch, precision),
            encoder_gradient: vec![0.0; state.encoder.weights.len()],
            trunk_gradient: vec![0.0; state.persons[0].1.weights.len()],
            identity_gradient: vec![0.0; table],
            code_gradient: vec![0.0; batch * network.encoder().output_shape().len()],
            output_gradient: vec![0.0; batch * trunk.graph().output_shape().len()],
            told: vec![0.0; batch * told],
            scratch: LossScratch::new(side, lanes)?,
            trunk,
            meta,
            state,
        };
        made.load();
        Ok(made)
    }

    fn load(&mut self) {
        self.encoder_plan.load_slice(&self.state.encoder.weights);
        self.trunk_plan.load_slice(&self.state.persons[0].1.weights);
    }

    /// Learns one batch; `people` says whom each of its faces is to be drawn as, `rate` is the
    /// learning rate.
    ///
    /// # Errors
    /// [`Error::Shape`] if something does not fit; [`Error::NotFinite`] if the loss or the
    /// gradient is not a number, before anything is changed: go on from the last checkpoint.
    pub fn step(
        &mut self,
        faces: &FaceBatch,
        people: &[u32],
        rate: f64,
    ) -> Result<LossValue, Error> {
        self.check(faces, people)?;
        let codes = self.encoder_plan.forward(&faces.input);
        let (code, width) = (codes.len() / people.len(), self.trunk.identity_len());
        let table = &self.state.persons[1].1.weights;
        let told = self.told.chunks_exact_mut(code + width);
        for ((told, code_of), person) in told.zip(codes.chunks_exact(code)).zip(people) {
            told[..code].copy_from_slice(code_of);
            told[code..].copy_from_slice(&table[*person as usize * width..][..width]);
        }
        let graph = self.trunk.graph().output_shape();
        let comparison = Comparison {
            side: graph.h,
            channels: graph.c,
            prediction: self.trunk_plan.forward(&self.told),
            target: &faces.target,
            mask: &faces.mask,
            weight: &faces.weight,
        };
        let loss = face_loss(
            &mut self.scratch,
            &self.weights,
            &comparison,
            &mut self.output_gradient,
        )?;
        let gradient =
            self.trunk_plan
                .backward(&self.output_gradient, &mut self.trunk_gradient, true);
        let parts = gradient.chunks_exact(code + width);
        let codes = self.code_gradient.chunks_exact_mut(code);
        for ((part, code_of), person) in parts.zip(codes).zip(people) {
            code_of.copy_from_slice(&part[..code]);
            let row = &mut self.identity_gradient[*person as usize * width..][..width];
            row.iter_mut().zip(&part[code..]).for_each(|(g, p)| *g += p);
        }
        self.encoder_plan
            .backward(&self.code_gradient, &mut self.encoder_gradient, false);
        self.update(loss, rate)?;
        Ok(loss)
    }

    fn update(&mut self, loss: LossValue, rate: f64) -> Result<(), Error> {
        let gradients = [
            &mut self.encoder_gradient,
            &mut self.trunk_gradient,
            &mut self.identity_gradient,
        ];
        let norm = gradients.iter().map(|g| optim::squared_norm(g));
        let norm = norm.sum::<f64>().sqrt();
        let position = &mut self.state.position;
        if !(norm.is_finite() && loss.total.is_finite()) {
            gradients.into_iter().for_each(|g| g.fill(0.0));
            return Err(Error::NotFinite {
                step: position.step + 1,
                batch: position.batch,
                person: None,
                times: 1,
                rate,
                checkpoint: None,
            });
        }
        let limit = self.meta.settings.clip_norm;
        let clips = limit > 0.0 && norm > limit;
        let factor = if clips { limit / norm } else { 1.0 };
        position.step += 1;
        position.batch += 1;
        let adam = AdamStep::new(&self.meta.settings.adam(), position.step, rate, factor);
        let [encoder, trunk, identities] = gradients;
        optim::update(&adam, &mut self.state.encoder, encoder);
        let slots = self.state.persons.iter_mut().zip([trunk, identities]);
        slots.for_each(|((_, slots), gradient)| optim::update(&adam, slots, gradient));
        self.load();
        Ok(())
    }

    fn check(&self, faces: &FaceBatch, people: &[u32]) -> Result<(), Error> {
        let pixels = self.meta.settings.batch * self.trunk.graph().output_shape().h.pow(2);
        let most = people.iter().max().map_or(0, |p| *p as usize + 1);
        for (what, wanted, found) in [
            ("people", self.meta.settings.batch, people.len()),
            ("people known", self.people().max(most), self.people()),
            ("input faces", 3 * pixels, faces.input.len()),
            ("target faces", 3 * pixels, faces.target.len()),
            ("face masks", pixels, faces.mask.len()),
            ("pixel weights", pixels, faces.weight.len()),
        ] {
            if wanted != found {
                return Err(Error::Shape {
                    what,
                    wanted,
                    found,
                });
            }
        }
        Ok(())
    }

    /// People it knows.
    pub fn people(&self) -> usize {
        self.state.persons[1].1.weights.len() / self.trunk.identity_len().max(1)
    }

    /// Everything that changes.
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    /// Family and settings.
    pub fn meta(&self) -> &CheckpointMeta {
        &self.meta
    }

    /// Its layout.
    pub fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    /// The running means: encoder, trunk, and the identities one after the other. `None` never
    /// happens, as lengths were checked.
    pub fn stock(&self) -> Option<(Params, Params, &[f32])> {
        let encoder = self.trunk.network().encoder_layout().clone();
        let encoder = Params::from_data(encoder, self.state.encoder.ema.clone())?;
        let trunk = self.trunk.graph().layout.clone();
        let trunk = Params::from_data(trunk, self.state.persons[0].1.ema.clone())?;
        Some((encoder, trunk, &self.state.persons[1].1.ema))
    }
}

fn places() -> Result<[PersonName; 2], Error> {
    let [Ok(trunk), Ok(identities)] = PLACES.map(str::parse::<PersonName>) else {
        return Err(Error::Persons {
            found: PLACES.join(", "),
        });
    };
    Ok([trunk, identities])
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_model::Family;

    /// Two people: the same dark and bright inputs, drawn reddish as one and bluish as the other.
    fn batch(side: usize) -> (FaceBatch, Vec<u32>) {
        let (mut faces, people) = (FaceBatch::default(), vec![0, 1, 0, 1]);
        for (i, person) in people.iter().enumerate() {
            let light = if i < 2 { 0.4 } else { 0.8 };
            let tint = if *person == 0 {
                [1.0, 0.5, 0.3]
            } else {
                [0.3, 0.5, 1.0]
            };
            for at in 0..side * side {
                let wave = 0.1 * ((at % side) as f32 * 0.4).sin();
                faces.input.extend([light + wave; 3]);
                faces.target.extend(tint.map(|t| t * (light + wave)));
                faces.mask.push(1.0);
                faces.weight.push(1.0);
            }
        }
        (faces, people)
    }

    /// The same codes come out in the colours of whoever is asked for; and a checkpoint goes on to
    /// the bit.
    #[test]
    fn it_learns_whom_to_draw_and_goes_on_from_a_checkpoint() {
        let family = Family::COMB[0];
        let settings = TrainSettings {
            batch: 4,
            ema_decay: 0.5,
            // Flat colours have no structure to compare.
            ssim_share: 0.0,
            precision: crate::settings::Precision::F32,
            ..TrainSettings::default()
        };
        let trunk = || Trunk::new(family, 8).unwrap();
        let mut trainer = Pretrainer::new(trunk(), 2, settings).unwrap();
        let (faces, people) = batch(family.resolution() as usize);
        let first = trainer.step(&faces, &people, 1e-5).unwrap();
        let mut last = first;
        for step in 1..60 {
            let rate = 3e-4 * f64::from(step.min(20)) / 20.0;
            last = trainer.step(&faces, &people, rate).unwrap();
        }
        assert!(last.l1 < 0.5 * first.l1, "{} to {}", first.l1, last.l1);
        let (encoder, weights, identities) = trainer.stock().unwrap();
        let mut see = Plan::inference(trunk().network().encoder().clone(), 4);
        see.load(&encoder);
        let codes = see.forward(&faces.input).to_vec();
        let mut redder = Vec::new();
        for identity in identities.chunks_exact(8) {
            let mut draw = Plan::inference(trunk().network().decoder().clone(), 4);
            draw.load(&trunk().person(&weights, identity).unwrap());
            let drawn = draw.forward(&codes);
            let sum = |c: usize| drawn.iter().skip(c).step_by(4).sum::<f32>();
            redder.push(sum(0) - sum(2));
        }
        assert!(redder[0] > 0.0 && redder[1] < 0.0, "{redder:?}");
        let checkpoint = Checkpoint {
            meta: trainer.meta().clone(),
            state: trainer.state().clone(),
        };
        let mut again = Pretrainer::resume(trunk(), checkpoint).unwrap();
        let (a, b) = (
            trainer.step(&faces, &people, 1e-4).unwrap(),
            again.step(&faces, &people, 1e-4).unwrap(),
        );
        assert_eq!(a, b);
        assert_eq!(trainer.state(), again.state());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let settings = TrainSettings {
            batch: 4,
            ..TrainSettings::default()
        };
        let trunk = Trunk::new(Family::COMB[0], 8).unwrap();
        let mut trainer = Pretrainer::new(trunk, 2, settings).unwrap();
        let (mut faces, people) = batch(64);
        assert!(trainer.step(&faces, &[0, 1, 2, 0], 1e-3).is_err());
        assert!(trainer.step(&faces, &people[..3], 1e-3).is_err());
        faces.target[5] = f32::NAN;
        let before = trainer.state().clone();
        let refused = trainer.step(&faces, &people, 1e-3);
        assert!(matches!(refused, Err(Error::NotFinite { .. })));
        assert_eq!(*trainer.state(), before);
    }
}
