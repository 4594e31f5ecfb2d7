//! A training's weights on a device, and its steps there.
//!
//! Weights, both moments of Adam and the running mean stay on the device, one tensor for each array of
//! the layout. Of a step only the batch goes up and a few numbers come down.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use burn_tensor::{Device, DeviceType, Tensor, TensorData, Transaction};
use stockpot_model::{Graph, Layout, Network};
use stockpot_train::loss::LossValue;
use stockpot_train::optim::{AdamStep, Slots};
use stockpot_train::run::BoxError;
use stockpot_train::state::TrainState;
use stockpot_train::{Accelerator, Batch, StepNumbers, StepOrder};

use crate::choice::{Back, Choice};
use crate::error::Error;
use crate::loss::{Comparer, Faces};
use crate::network;

/// Faces that are drawn in one go.
const DRAWN_AT_ONCE: usize = 32;

/// Opens a device for a training of this network.
///
/// # Errors
/// [`Error::NotBuilt`], [`Error::Missing`], or [`Error::Failed`] if its driver does not start.
pub fn open(choice: &Choice, network: &Network) -> Result<Box<dyn Accelerator>, Error> {
    let (back, number) = (choice.back, choice.number);
    if !back.is_built() {
        let built = Back::ALL.into_iter().filter(|b| b.is_built()).collect();
        return Err(Error::NotBuilt { back, built });
    }
    let mut devices = guarded(|| devices(back))?;
    if number >= devices.len() {
        let there = devices.len();
        return Err(Error::Missing {
            back,
            number,
            there,
        });
    }
    let device = devices.swap_remove(number);
    let found = guarded(|| identity(&device))?;
    let name = match found {
        Some((name, _)) => format!("{name} ({choice})"),
        None => choice.to_string(),
    };
    Ok(Box::new(Session {
        name,
        encoder: network.encoder().clone(),
        decoder: network.decoder().clone(),
        device,
        comparer: None,
        halves: None,
    }))
}

/// The devices of a back end.
pub(crate) fn devices(back: Back) -> Vec<Device> {
    let kind = match back {
        #[cfg(feature = "vulkan")]
        Back::Vulkan => DeviceType::Vulkan,
        #[cfg(feature = "cuda")]
        Back::Cuda => DeviceType::Cuda,
        #[cfg(feature = "metal")]
        Back::Metal => DeviceType::Metal,
        #[cfg(feature = "wgpu")]
        Back::Wgpu => DeviceType::Wgpu,
        #[cfg(feature = "flex")]
        Back::Flex => DeviceType::Flex,
        #[allow(unreachable_patterns, reason = "none is left when all are built in")]
        _ => return Vec::new(),
    };
    Device::enumerate(kind).into_vec()
}

/// How a device names itself, and whether it is a card; none if its driver does not start.
#[cfg(any(
    feature = "vulkan",
    feature = "cuda",
    feature = "metal",
    feature = "wgpu"
))]
pub(crate) fn identity(device: &Device) -> Option<(String, bool)> {
    let identity = guarded(|| device.identity()).ok()?;
    Some(match identity {
        Some(found) => (found.name, found.physical.is_some()),
        None => ("Burn Flex on the CPU".into(), false),
    })
}

/// How a device names itself, and whether it is a card.
#[cfg(not(any(
    feature = "vulkan",
    feature = "cuda",
    feature = "metal",
    feature = "wgpu"
)))]
pub(crate) fn identity(_device: &Device) -> Option<(String, bool)> {
    Some(("Burn Flex on the CPU".into(), false))
}

/// A panic of the libraries below, as an error: what they do when a driver is missing or memory ends.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let reason = text.or(panic.downcast_ref::<&str>().copied());
        Error::Failed {
            reason: reason.unwrap_or("it gave no reason").to_owned(),
        }
    })
}

/// A training on a device.
pub struct Session {
    name: String,
    encoder: Arc<Graph>,
    decoder: Arc<Graph>,
    device: Device,
    comparer: Option<Comparer>,
    halves: Option<Halves>,
}

// Tensors say nothing worth reading.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Everybody's numbers.
struct Halves {
    encoder: Half,
    persons: Vec<Half>,
}

/// One half's numbers, a tensor for each array.
struct Half {
    weights: Vec<Tensor<1>>,
    first: Vec<Tensor<1>>,
    second: Vec<Tensor<1>>,
    ema: Vec<Tensor<1>>,
}

impl Half {
    fn take(layout: &Layout, slots: &Slots, device: &Device) -> Self {
        let up = |data: &[f32]| {
            let part = |range: std::ops::Range<usize>| tensor(&data[range], device);
            layout.specs().iter().map(|s| part(s.range())).collect()
        };
        Self {
            weights: up(&slots.weights),
            first: up(&slots.first),
            second: up(&slots.second),
            ema: up(&slots.ema),
        }
    }

    fn give(&self, layout: &Layout, slots: &mut Slots) -> Result<(), Error> {
        let parts = [
            (&self.weights, &mut slots.weights),
            (&self.first, &mut slots.first),
            (&self.second, &mut slots.second),
            (&self.ema, &mut slots.ema),
        ];
        for (tensors, data) in parts {
            // One wait for all arrays.
            let mut reading = Transaction::default();
            for tensor in tensors {
                reading = reading.register(tensor.clone());
            }
            let read = reading.execute();
            for (spec, found) in layout.specs().iter().zip(read) {
                let found = found.try_to_vec::<f32>().map_err(failed)?;
                let part = &mut data[spec.range()];
                same_length("an array that came back", part.len(), found.len())?;
                part.copy_from_slice(&found);
            }
        }
        Ok(())
    }

    /// The weights as leaves whose gradients are kept, or as constants.
    fn leaves(&self, learn: bool) -> Vec<Tensor<1>> {
        let leaf = |w: &Tensor<1>| w.clone().autodiff().set_require_grad(learn);
        self.weights.iter().map(leaf).collect()
    }

    /// One step of Adam, as `stockpot_train::optim::update` makes it.
    fn update(&mut self, gradients: Vec<Tensor<1>>, adam: &AdamStep, clip: Option<&Tensor<1>>) {
        let AdamStep {
            beta1,
            beta2,
            epsilon,
            rate,
            second_factor,
            ema_new,
            ..
        } = *adam;
        for (k, g) in gradients.into_iter().enumerate() {
            let g = match clip {
                Some(factor) => g * factor.clone(),
                None => g,
            };
            let m = self.first[k].clone() * beta1 + g.clone() * (1.0 - beta1);
            let v = self.second[k].clone() * beta2 + g.square() * (1.0 - beta2);
            let root = (v.clone() * second_factor).sqrt() + epsilon;
            let w = self.weights[k].clone() - m.clone() * rate / root;
            let mean = self.ema[k].clone();
            self.ema[k] = mean.clone() + (w.clone() - mean) * ema_new;
            self.first[k] = m;
            self.second[k] = v;
            self.weights[k] = w;
        }
    }
}

impl Accelerator for Session {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn take(&mut self, state: &TrainState) -> Result<(), BoxError> {
        let (encoder, decoder) = (&self.encoder.layout, &self.decoder.layout);
        same_length(
            "encoder weights",
            encoder.len(),
            state.encoder.weights.len(),
        )?;
        for (_, slots) in &state.persons {
            same_length("decoder weights", decoder.len(), slots.weights.len())?;
        }
        // The old ones go first, so that both need not fit.
        self.halves = None;
        let device = &self.device;
        self.halves = Some(guarded(|| Halves {
            encoder: Half::take(encoder, &state.encoder, device),
            persons: state
                .persons
                .iter()
                .map(|(_, slots)| Half::take(decoder, slots, device))
                .collect(),
        })?);
        Ok(())
    }

    fn give(&mut self, state: &mut TrainState) -> Result<(), BoxError> {
        let halves = self.halves.as_ref().ok_or_else(nothing_taken)?;
        let (encoder, decoder) = (&self.encoder.layout, &self.decoder.layout);
        same_length("persons", halves.persons.len(), state.persons.len())?;
        guarded(|| {
            halves.encoder.give(encoder, &mut state.encoder)?;
            let persons = halves.persons.iter().zip(&mut state.persons);
            for (half, (_, slots)) in persons {
                half.give(decoder, slots)?;
            }
            Ok::<_, Error>(())
        })??;
        Ok(())
    }

    fn step(&mut self, batch: &Batch, order: &StepOrder<'_>) -> Result<StepNumbers, BoxError> {
        Ok(guarded(|| self.make_step(batch, order))??)
    }

    fn draw(&mut self, person: usize, input: &[f32]) -> Result<Vec<f32>, BoxError> {
        let halves = self.halves.as_ref().ok_or_else(nothing_taken)?;
        let half = halves.persons.get(person).ok_or_else(nothing_taken)?;
        let side = self.encoder.input_shape().h;
        let mut out = Vec::new();
        for part in input.chunks(DRAWN_AT_ONCE * side * side * 3) {
            let drawn = guarded(|| {
                let faces = pictures(part, (side, 3), &self.device);
                let codes = network::run(&self.encoder, &halves.encoder.ema, faces);
                let drawn = network::run(&self.decoder, &half.ema, codes);
                drawn.permute([0, 2, 3, 1]).try_into_data()
            })?;
            out.extend(drawn?.try_to_vec::<f32>().map_err(failed)?);
        }
        Ok(out)
    }
}

impl Session {
    fn make_step(&mut self, batch: &Batch, order: &StepOrder<'_>) -> Result<StepNumbers, Error> {
        let side = self.encoder.input_shape().h;
        let device = self.device.clone().autodiff();
        let comparer = self.comparer.take();
        let comparer = comparer.filter(|c| c.weighs(&order.loss));
        let comparer = &*self
            .comparer
            .insert(comparer.unwrap_or_else(|| Comparer::new(order.loss, side, &self.device)));
        let halves = self.halves.as_mut().ok_or_else(nothing_taken)?;
        let count = halves.persons.len();
        same_length("persons", count, order.held.len())?;

        let input = &batch.faces.input;
        let (encoder, codes) = if order.freeze_encoder {
            let faces = pictures(input, (side, 3), &self.device);
            let codes = network::run(&self.encoder, &halves.encoder.weights, faces);
            (Vec::new(), codes.autodiff())
        } else {
            let leaves = halves.encoder.leaves(true);
            let faces = pictures(input, (side, 3), &device);
            let codes = network::run(&self.encoder, &leaves, faces);
            (leaves, codes)
        };
        let each = codes.dims()[0] / count;
        let (mut decoders, mut numbers) = (Vec::with_capacity(count), Vec::new());
        let mut total: Option<Tensor<1>> = None;
        for (i, half) in halves.persons.iter().enumerate() {
            let leaves = half.leaves(!order.held[i]);
            let own = codes.clone().narrow(0, i * each, each);
            let prediction = network::run(&self.decoder, &leaves, own);
            let part = |data: &[f32], channels| {
                let len = data.len() / count;
                pictures(&data[i * len..][..len], (side, channels), &self.device)
            };
            let weight = &batch.faces.weight;
            let parts = comparer.compare(Faces {
                prediction,
                target: part(&batch.faces.target, 3),
                mask: part(&batch.faces.mask, 1),
                weight: (!weight.is_empty()).then(|| part(weight, 1)),
            });
            let mask = parts.mask.unwrap_or_else(|| parts.l1.clone() * 0.0);
            for number in [parts.total.clone(), parts.l1, parts.ssim, mask] {
                numbers.push(number.without_autodiff());
            }
            total = Some(match total {
                Some(sum) => sum + parts.total,
                None => parts.total,
            });
            decoders.push(leaves);
        }
        let total = total.ok_or_else(nothing_taken)?;
        let mut gradients = total.backward();
        let mut of = |leaves: &[Tensor<1>]| -> Vec<Tensor<1>> {
            let grads = leaves.iter().map(|leaf| leaf.grad_remove(&mut gradients));
            grads.flatten().collect()
        };
        let encoder_gradients = of(&encoder);
        let decoder_gradients: Vec<_> = decoders.iter().map(|leaves| of(leaves)).collect();
        for (found, leaves) in [(&encoder_gradients, &encoder)]
            .into_iter()
            .chain(decoder_gradients.iter().zip(&decoders))
        {
            // Whoever is held has none; else every array has one.
            if !found.is_empty() {
                same_length("gradients", leaves.len(), found.len())?;
            }
        }
        let all = decoder_gradients.iter().flatten().chain(&encoder_gradients);
        let squares: Vec<Tensor<1>> = all.map(|g| g.clone().square().sum()).collect();
        let norm = Tensor::cat(squares, 0).sum().sqrt();
        let limit = order.clip_norm;
        let clip = (limit > 0.0).then(|| (norm.clone().recip() * limit).clamp_max(1.0));
        halves
            .encoder
            .update(encoder_gradients, &order.adam, clip.as_ref());
        for (half, gradients) in halves.persons.iter_mut().zip(decoder_gradients) {
            half.update(gradients, &order.adam, clip.as_ref());
        }
        numbers.push(norm);
        let read = Tensor::cat(numbers, 0).try_into_data().map_err(failed)?;
        let read = read.try_to_vec::<f32>().map_err(failed)?;
        same_length("a step's numbers", 4 * count + 1, read.len())?;
        let losses = read[..4 * count].as_chunks::<4>().0.iter();
        Ok(StepNumbers {
            losses: losses
                .map(|[total, l1, ssim, mask]| LossValue {
                    total: (*total).into(),
                    l1: (*l1).into(),
                    ssim: (*ssim).into(),
                    mask: (*mask).into(),
                })
                .collect(),
            gradient_norm: read[4 * count].into(),
        })
    }
}

fn tensor(data: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(data.to_vec(), [data.len()]), device)
}

/// Pictures, channels last, as `[pictures, channels, side, side]`.
fn pictures(data: &[f32], (side, channels): (usize, usize), device: &Device) -> Tensor<4> {
    let count = data.len() / (side * side * channels);
    let data = TensorData::new(data.to_vec(), [count, side, side, channels]);
    Tensor::<4>::from_data(data, device).permute([0, 3, 1, 2])
}

fn failed(error: impl fmt::Debug) -> Error {
    Error::Failed {
        reason: format!("{error:?}"),
    }
}

fn nothing_taken() -> Error {
    Error::Failed {
        reason: "it was given no weights".into(),
    }
}

fn same_length(what: &'static str, wanted: usize, found: usize) -> Result<(), Error> {
    if wanted == found {
        return Ok(());
    }
    Err(Error::Shape {
        what,
        wanted,
        found,
    })
}
