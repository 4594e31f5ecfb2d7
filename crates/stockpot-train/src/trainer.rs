//! One training step of one encoder and any number of persons' decoders, on the CPU or handed to a
//! device.
//!
//! Knows the networks' graphs and plain batches; knows nothing of files, reports or the clock on
//! the wall (a [`Clock`] is handed in). Start with [`Trainer::step`].
//!
//! The encoder sees all persons' faces in one batch; one decoder plan is used by all persons in
//! turn, so memory grows with the number of persons only by their weights.

use std::collections::BTreeMap;
use std::sync::Arc;

use stockpot_core::{ContentHash, PersonName};
use stockpot_model::{Graph, Network, Params, Plan};

use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, CheckpointMeta};
use crate::error::Error;
use crate::guard::Incident;
use crate::log::Shares;
use crate::loss::{Comparison, LossScratch, LossValue, LossWeights, face_loss};
use crate::optim::{self, AdamStep, Slots};
use crate::settings::TrainSettings;
use crate::state::{Position, TrainState};

mod checks;
mod distil;
mod elsewhere;
mod lite;
mod measure;

use checks::{check_state, held, names_of};
pub use distil::Distillation;
pub use elsewhere::{Accelerator, StepNumbers, StepOrder};
pub use lite::{LiteMark, LitePerson, LitePersons};
pub use measure::Evaluation;

/// Seconds on some clock that never goes back.
pub type Clock<'a> = &'a dyn Fn() -> f64;

/// What a training starts from.
#[derive(Debug)]
pub struct TrainSpec {
    /// The networks.
    pub network: Network,
    /// Weights of the shared half.
    pub encoder: Params,
    /// Everybody to train, with their decoder's weights; of lite persons, their own numbers.
    pub persons: Vec<(PersonName, Params)>,
    /// Who of them is lite.
    pub lite: LitePersons,
    /// Resolved settings.
    pub settings: TrainSettings,
    /// The states these weights are, by what they are (`encoder`, `decoder/anna`).
    pub parents: BTreeMap<String, ContentHash>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Steps made so far.
    pub step: u64,
    /// The batch that was learnt.
    pub batch: u64,
    /// Loss of each person before the step, in the order of the training; shorter if an incident
    /// stopped it.
    pub losses: Vec<LossValue>,
    /// What being away from the encoder's previous state added; none without one.
    pub distillation: Option<f64>,
    /// Norm of the whole gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Seconds in forward, loss, backward, update.
    pub secs: Shares,
    /// Set if something was not finite and the state before was restored.
    pub incident: Option<Incident>,
}

/// The most bytes of codes that a training with a frozen encoder should let its trainer keep.
pub const KEPT_CODES_BYTES: usize = 256 << 20;

/// A training in memory.
#[derive(Debug)]
pub struct Trainer {
    meta: CheckpointMeta,
    loss_weights: LossWeights,
    graphs: Graphs,
    encoder: Plan,
    decoder: Plan,
    /// Both halves in f32, as swaps run them; made when first needed.
    eval: Option<(Plan, Plan)>,
    /// What holds the encoder near its previous state.
    distiller: Option<Box<distil::Distiller>>,
    encoder_is_loaded: bool,
    state: TrainState,
    last_good: Arc<TrainState>,
    encoder_gradient: Vec<f32>,
    person_gradients: Vec<Vec<f32>>,
    /// Whose decoder stays as it is.
    held: Vec<bool>,
    forms: lite::Forms,
    code_gradient: Vec<f32>,
    /// What the frozen encoder said about batches that come again, by their content.
    kept_codes: BTreeMap<u64, Box<[f32]>>,
    output_gradient: Vec<f32>,
    scratch: LossScratch,
    /// Where steps are made, if not here.
    elsewhere: Option<elsewhere::Elsewhere>,
}

/// Both halves as data.
#[derive(Debug, Clone)]
pub(crate) struct Graphs {
    pub(crate) family: String,
    pub(crate) encoder: Arc<Graph>,
    pub(crate) decoder: Arc<Graph>,
}

impl Graphs {
    fn of(network: &Network) -> Self {
        Self {
            family: network.family().to_string(),
            encoder: network.encoder().clone(),
            decoder: network.decoder().clone(),
        }
    }

    fn side(&self) -> usize {
        self.encoder.input_shape().h
    }

    fn channels(&self) -> usize {
        self.decoder.output_shape().c
    }
}

impl Trainer {
    /// A training at step 0.
    ///
    /// # Errors
    /// [`Error::Persons`] if nobody or somebody twice is given; [`Error::Shape`] if weights are
    /// not of this network; [`Error::NoBf16`] if the settings insist on what this processor lacks.
    pub fn new(spec: TrainSpec) -> Result<Self, Error> {
        let graphs = Graphs::of(&spec.network);
        let precision = spec.settings.precision.settle()?;
        let meta = CheckpointMeta {
            family: graphs.family.clone(),
            settings: TrainSettings {
                precision,
                ..spec.settings
            },
            parents: spec.parents,
            lite: lite::marks(&spec.lite),
        };
        let persons = spec
            .persons
            .into_iter()
            .map(|(name, p)| (name, p.data))
            .collect();
        let state = TrainState::new(spec.encoder.data, persons);
        Self::assemble(graphs, meta, state, spec.lite)
    }

    /// Goes on from a checkpoint, with its settings; change `checkpoint.meta.settings` before to
    /// go on with others.
    ///
    /// # Errors
    /// [`Error::ForeignCheckpoint`] if it is of another network, [`Error::OtherVersion`] if of
    /// one that has changed since; [`Error::NoBf16`] if it was begun in `bf16` and this processor does not multiply that.
    pub fn resume(network: &Network, checkpoint: Checkpoint) -> Result<Self, Error> {
        Self::resume_on(network, checkpoint, &BTreeMap::new())
    }

    /// [`Self::resume`] with the bases of lite persons, which checkpoints name and do not hold.
    ///
    /// # Errors
    /// As [`Self::resume`]; [`Error::MissingBase`].
    pub fn resume_on(
        network: &Network,
        mut checkpoint: Checkpoint,
        bases: &BTreeMap<ContentHash, Arc<Params>>,
    ) -> Result<Self, Error> {
        let settings = &mut checkpoint.meta.settings;
        settings.precision = settings.precision.settle()?;
        let lite = lite::found(network, &checkpoint.meta, bases)?;
        Self::resume_graphs(Graphs::of(network), checkpoint, lite)
    }

    pub(crate) fn resume_graphs(
        graphs: Graphs,
        checkpoint: Checkpoint,
        lite: LitePersons,
    ) -> Result<Self, Error> {
        let Checkpoint { meta, state } = checkpoint;
        if meta.family != graphs.family {
            let (what, found, wanted) = ("the network", meta.family, graphs.family);
            return Err(Error::ForeignCheckpoint {
                what,
                found,
                wanted,
            });
        }
        let encoder = graphs.encoder.layout.len();
        let encoder = (&state.encoder, encoder, "encoder weights");
        let decoders = state.persons.iter().map(|(name, slots)| {
            let own = lite.get(name).map(|own| own.lite.layout().len());
            let wanted = own.unwrap_or(graphs.decoder.layout.len());
            (slots, wanted, "decoder weights")
        });
        for (slots, wanted, what) in decoders.chain([encoder]) {
            let found = slots.weights.len();
            if found != wanted {
                let family = meta.family;
                return Err(Error::OtherVersion {
                    what,
                    family,
                    found,
                    wanted,
                });
            }
        }
        Self::assemble(graphs, meta, state, lite)
    }

    pub(crate) fn assemble(
        graphs: Graphs,
        meta: CheckpointMeta,
        state: TrainState,
        lite: LitePersons,
    ) -> Result<Self, Error> {
        let forms = lite::Forms::new(&state, graphs.decoder.layout.len(), lite)?;
        check_state(&graphs, &forms, &state)?;
        let held = held(&meta.settings, &state)?;
        let (batch, persons) = (meta.settings.batch, state.persons.len());
        let frozen = meta.settings.freeze_encoder;
        let precision = meta.settings.precision.of_products();
        let code = graphs.encoder.output_shape();
        let (side, channels) = (graphs.side(), graphs.channels());
        let lanes = (2 * rayon::current_num_threads()).min(batch);
        let weights = |slots: &Slots| vec![0.0; slots.weights.len()];
        Ok(Self {
            loss_weights: meta.settings.loss_weights(),
            encoder: if frozen {
                Plan::inference_in(graphs.encoder.clone(), persons * batch, precision)
            } else {
                Plan::training_in(graphs.encoder.clone(), persons * batch, precision)
            },
            decoder: Plan::training_in(graphs.decoder.clone(), batch, precision),
            eval: None,
            distiller: None,
            encoder_is_loaded: false,
            last_good: Arc::new(state.clone()),
            encoder_gradient: if frozen {
                Vec::new()
            } else {
                weights(&state.encoder)
            },
            person_gradients: state
                .persons
                .iter()
                .map(|(_, slots)| weights(slots))
                .collect(),
            held,
            forms,
            code_gradient: vec![
                0.0;
                if frozen {
                    0
                } else {
                    persons * batch * code.len()
                }
            ],
            kept_codes: BTreeMap::new(),
            output_gradient: vec![0.0; batch * side * side * channels],
            scratch: LossScratch::new(side, lanes)?,
            elsewhere: None,
            meta,
            graphs,
            state,
        })
    }

    /// Learns one batch: losses of all persons are summed, then one optimiser step is made.
    ///
    /// If a loss or the gradient is not finite, the state of the last snapshot is restored, the
    /// learning rate halved, and the report has an incident; the batch counts as used.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch does not fit; [`Error::NotFinite`] at the third incident
    /// since the last snapshot; [`Error::Device`] if steps are made on a device and it fails.
    pub fn step(&mut self, batch: &Batch, clock: Clock<'_>) -> Result<StepReport, Error> {
        self.check_batch(batch)?;
        self.check_distillation()?;
        let mut timer = Timer::start(clock);
        let mut report = StepReport {
            step: self.state.position.step,
            batch: batch.number,
            losses: Vec::with_capacity(self.state.persons.len()),
            distillation: None,
            gradient_norm: f64::NAN,
            learning_rate: self.next_rate(),
            secs: Shares::default(),
            incident: None,
        };
        let here = self.elsewhere.is_none();
        let culprit = if here {
            self.learn(batch, &mut report, &mut timer)?
        } else {
            self.step_elsewhere(batch, &mut report, &mut timer)?
        };
        if here && culprit.is_none() {
            report.gradient_norm = self.gradient_norm();
        }
        if report.gradient_norm.is_finite() {
            if here {
                self.update(&report);
            }
            self.state.position.step += 1;
            self.state.position.batch += 1;
        } else {
            report.incident = Some(self.mend(culprit, &report)?);
        }
        report.step = self.state.position.step;
        report.secs.update += timer.lap();
        Ok(report)
    }

    /// Copies the state to memory: what incidents go back to and what is saved. One copy is kept; only
    /// while somebody still holds it, to write it, there is another one.
    ///
    /// # Errors
    /// [`Error::Device`] if what a device has learned cannot be brought down.
    pub fn snapshot(&mut self) -> Result<Arc<TrainState>, Error> {
        self.settle()?;
        self.state.position.guard.in_a_row = 0;
        match Arc::get_mut(&mut self.last_good) {
            Some(free) => free.clone_from(&self.state),
            None => self.last_good = Arc::new(self.state.clone()),
        }
        Ok(self.last_good.clone())
    }

    /// Puts a state back.
    ///
    /// # Errors
    /// [`Error::ForeignCheckpoint`] if it is of another network or other persons.
    pub fn restore(&mut self, state: &TrainState) -> Result<(), Error> {
        check_state(&self.graphs, &self.forms, state)?;
        let names = |s: &TrainState| names_of(s.persons.iter().map(|(name, _)| name));
        if names(state) != names(&self.state) {
            let (found, wanted) = (names(state), names(&self.state));
            return Err(Error::ForeignCheckpoint {
                what: "the persons",
                found,
                wanted,
            });
        }
        self.state.clone_from(state);
        self.replaced();
        self.kept_codes.clear();
        self.snapshot()?;
        Ok(())
    }

    /// Weights and counters as they are; of a training on a device, the weights of the last
    /// [`Self::settle`].
    pub fn state(&self) -> &TrainState {
        &self.state
    }

    /// Counters, for whoever keeps time and files.
    pub(crate) fn position_mut(&mut self) -> &mut Position {
        &mut self.state.position
    }

    /// Family, settings, parents.
    pub fn meta(&self) -> &CheckpointMeta {
        &self.meta
    }

    /// Everybody, in the order of batches and losses.
    pub fn persons(&self) -> impl Iterator<Item = &PersonName> {
        self.state.persons.iter().map(|(name, _)| name)
    }

    /// Side of input and output in pixels.
    pub fn side(&self) -> usize {
        self.graphs.side()
    }

    /// Numbers in the code of one face.
    pub fn code_len(&self) -> usize {
        self.graphs.encoder.output_shape().len()
    }

    /// Channels that decoders give: 3 (RGB) or 4 (RGB and mask).
    pub fn channels(&self) -> usize {
        self.graphs.channels()
    }

    /// The running mean of the encoder's weights: what a run commits. A frozen encoder's are
    /// untouched to the bit. None while a device has newer ones: [`Self::settle`] first.
    pub fn encoder(&self) -> Option<Params> {
        if self.is_behind() {
            return None;
        }
        let layout = self.graphs.encoder.layout.clone();
        Params::from_data(layout, self.state.encoder.ema.clone())
    }

    /// The running mean of a person's weights: what a run commits. Of a lite person, the decoder
    /// that what is kept of them folds into. None while a device has newer ones:
    /// [`Self::settle`] first.
    pub fn decoder(&self, person: &PersonName) -> Option<Params> {
        if self.is_behind() {
            return None;
        }
        if let Some((numbers, own)) = self.lite(person) {
            return own.lite.folded(&own.base, &numbers);
        }
        let (_, slots) = self.state.persons.iter().find(|(name, _)| name == person)?;
        Params::from_data(self.graphs.decoder.layout.clone(), slots.ema.clone())
    }

    /// A lite person's numbers as a library keeps them (their running mean, rounded), and what they
    /// are added to; none for others.
    pub fn lite(&self, person: &PersonName) -> Option<(Params, &LitePerson)> {
        let mut persons = self.state.persons.iter();
        let index = persons.position(|(name, _)| name == person)?;
        let own = self.forms.person(index)?;
        Some((own.kept(&self.state.persons[index].1.ema)?, own))
    }

    /// Bytes of the codes that are kept of batches that come again.
    pub fn kept_code_bytes(&self) -> usize {
        self.kept_codes
            .values()
            .map(|codes| size_of_val(&**codes))
            .sum()
    }

    /// Bytes of all buffers of both network halves, state and copies not included.
    pub fn buffer_bytes(&self) -> usize {
        let eval = self.eval.as_ref();
        let eval = eval.map_or(0, |(e, d)| e.buffer_bytes() + d.buffer_bytes());
        let distiller = self.distiller.as_ref().map_or(0, |d| d.buffer_bytes());
        self.encoder.buffer_bytes()
            + self.decoder.buffer_bytes()
            + self.forms.bytes()
            + eval
            + distiller
    }

    /// Whether a device has newer weights.
    fn is_behind(&self) -> bool {
        let elsewhere = self.elsewhere.as_ref();
        elsewhere.is_some_and(elsewhere::Elsewhere::is_ahead)
    }

    /// Whatever was made from the state before is out of date.
    fn replaced(&mut self) {
        self.encoder_is_loaded = false;
        if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere.replaced_here();
        }
    }

    /// Lets go of the buffers of steps on the CPU.
    fn release_plans(&mut self) {
        let graphs = &self.graphs;
        self.encoder = Plan::inference(graphs.encoder.clone(), 1);
        self.decoder = Plan::inference(graphs.decoder.clone(), 1);
        self.encoder_is_loaded = false;
        self.encoder_gradient = Vec::new();
        self.person_gradients = vec![Vec::new(); self.state.persons.len()];
        self.code_gradient = Vec::new();
        self.output_gradient = Vec::new();
    }

    fn frozen(&self) -> bool {
        self.meta.settings.freeze_encoder
    }

    fn next_rate(&self) -> f64 {
        let position = &self.state.position;
        self.meta.settings.learning_rate().at(position.step + 1) * position.guard.rate_factor
    }

    /// Forward, loss and backward. Returns the person whose loss is not finite.
    fn learn(
        &mut self,
        batch: &Batch,
        report: &mut StepReport,
        timer: &mut Timer<'_>,
    ) -> Result<Option<usize>, Error> {
        let (side, channels, frozen) = (self.side(), self.channels(), self.frozen());
        if !self.encoder_is_loaded {
            self.encoder.load_slice(&self.state.encoder.weights);
            self.encoder_is_loaded = true;
        }
        let content = batch.content.filter(|_| frozen);
        let kept = content.and_then(|content| self.kept_codes.get(&content));
        let codes: &[f32] = match kept {
            Some(codes) => codes,
            None => {
                let codes = self.encoder.forward(&batch.faces.input);
                if let Some(content) = content {
                    self.kept_codes.insert(content, codes.into());
                }
                codes
            }
        };
        let persons = self.state.persons.len();
        let each = codes.len() / persons;
        for i in 0..persons {
            let own = &self.state.persons[i].1.weights;
            self.decoder.load_slice(self.forms.decoder(i, own));
            let prediction = self.decoder.forward(&codes[i * each..][..each]);
            report.secs.forward += timer.lap();
            let comparison = Comparison {
                side,
                channels,
                prediction,
                target: part(&batch.faces.target, i, persons),
                mask: part(&batch.faces.mask, i, persons),
                weight: part(&batch.faces.weight, i, persons),
            };
            let gradient = &mut self.output_gradient;
            let loss = face_loss(&mut self.scratch, &self.loss_weights, &comparison, gradient)?;
            report.losses.push(loss);
            report.secs.loss += timer.lap();
            if !loss.total.is_finite() {
                return Ok(Some(i));
            }
            let gradients = &mut self.person_gradients[i];
            // Who is held counts neither for the update nor for the norm that clips it, so their
            // gradients are not even computed.
            let code_gradient: &[f32] = match (self.held[i], frozen) {
                (true, true) => &[],
                (true, false) => self.decoder.backward_to_input(gradient),
                (false, _) => {
                    let whole = self.forms.gradient(i, gradients);
                    self.decoder.backward(gradient, whole, !frozen)
                }
            };
            if !frozen {
                self.code_gradient[i * each..][..each].copy_from_slice(code_gradient);
            }
            if !self.held[i] {
                self.forms.project(i, own, gradients);
            }
            report.secs.backward += timer.lap();
        }
        if let Some(distiller) = &mut self.distiller {
            let now = (&self.meta.settings, &self.state);
            let gradients = (&mut self.code_gradient[..], &mut self.encoder_gradient[..]);
            report.distillation = Some(distiller.hold_at(now, batch, codes, gradients));
        }
        if !frozen {
            self.encoder
                .backward(&self.code_gradient, &mut self.encoder_gradient, false);
            report.secs.backward += timer.lap();
        }
        Ok(None)
    }

    fn gradient_norm(&self) -> f64 {
        let all = std::iter::once(&self.encoder_gradient).chain(&self.person_gradients);
        all.map(|g| optim::squared_norm(g)).sum::<f64>().sqrt()
    }

    fn update(&mut self, report: &StepReport) {
        let settings = &self.meta.settings;
        let limit = settings.clip_norm;
        let clips = limit > 0.0 && report.gradient_norm > limit;
        let factor = if clips {
            limit / report.gradient_norm
        } else {
            1.0
        };
        let step = self.state.position.step + 1;
        let adam = AdamStep::new(&settings.adam(), step, report.learning_rate, factor);
        if !settings.freeze_encoder {
            optim::update(&adam, &mut self.state.encoder, &mut self.encoder_gradient);
            self.encoder_is_loaded = false;
        }
        let persons = self
            .state
            .persons
            .iter_mut()
            .zip(&mut self.person_gradients)
            .zip(&self.held);
        for (((_, slots), gradients), held) in persons {
            if !held {
                optim::update(&adam, slots, gradients);
            }
        }
    }

    /// Goes back to the last good state and notes why.
    fn mend(&mut self, culprit: Option<usize>, report: &StepReport) -> Result<Incident, Error> {
        let failed = &self.state.position;
        let person = culprit.map(|i| self.state.persons[i].0.clone());
        let loss = culprit.and_then(|i| report.losses.get(i));
        let incident = Incident {
            failed_step: failed.step + 1,
            restored_step: self.last_good.position.step,
            batch: report.batch,
            person: person.clone(),
            loss: match loss {
                Some(loss) => loss.total.to_string(),
                None => format!("finite, norm of the gradient {}", report.gradient_norm),
            },
            rate_factor: failed.guard.rate_factor,
        };
        let (mut guard, trained_secs) = (failed.guard.clone(), failed.trained_secs);
        let too_many = guard.note(incident);
        self.state.clone_from(&self.last_good);
        self.replaced();
        self.encoder_gradient.fill(0.0);
        self.person_gradients.iter_mut().for_each(|g| g.fill(0.0));
        let position = &mut self.state.position;
        position.batch = report.batch + 1;
        position.trained_secs = trained_secs;
        position.guard = guard;
        let incident = position.guard.incidents.last().cloned();
        match incident {
            Some(incident) if !too_many => Ok(incident),
            _ => Err(Error::NotFinite {
                step: report.step + 1,
                batch: report.batch,
                person,
                times: position.guard.in_a_row,
                rate: report.learning_rate,
                checkpoint: None,
            }),
        }
    }
}

/// Person `i`'s part of a buffer.
fn part(all: &[f32], i: usize, persons: usize) -> &[f32] {
    let each = all.len() / persons;
    &all[i * each..][..each]
}

/// Time between calls.
struct Timer<'a> {
    clock: Clock<'a>,
    last: f64,
}

impl<'a> Timer<'a> {
    fn start(clock: Clock<'a>) -> Self {
        Self {
            clock,
            last: clock(),
        }
    }

    fn lap(&mut self) -> f64 {
        let now = (self.clock)();
        now - std::mem::replace(&mut self.last, now)
    }
}

#[cfg(test)]
pub(crate) mod tests;
