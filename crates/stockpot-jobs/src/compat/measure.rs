//! Weights out of the library, run on faces: what a decoder draws under an encoder, and how far that
//! is from the face.

use std::sync::Arc;

use stockpot_core::{Area, ContentHash, PersonName};
use stockpot_faceset::{Batch, FaceCache, Faceset, HeldOut, SamplerSettings, Split};
use stockpot_library::Library;
use stockpot_model::{Family, Network, Params, Plan, weights_file};
use stockpot_train::loss::Comparison;
use stockpot_train::metrics::{FaceScore, score_faces};

use crate::context::Context;
pub(crate) use crate::decoder::load as load_decoder;
use crate::error::JobError;
use crate::swap::area_of;

/// Held-out faces that are measured, spread over all, as after a training.
const FACES: usize = 48;
/// Faces that go through a network together.
const GROUP: usize = 8;

/// An encoder state in memory.
pub(crate) struct Encoder {
    pub(crate) hash: ContentHash,
    pub(crate) network: Network,
    pub(crate) area: Area,
    pub(crate) params: Params,
}

impl Encoder {
    pub(crate) fn load(library: &Library, hash: &ContentHash) -> Result<Self, JobError> {
        let record = library.encoder_state(hash)?.record;
        let family: Family = record.family.parse()?;
        let network = Network::new(family);
        let bytes = library.get_object(&record.object)?;
        Ok(Self {
            hash: *hash,
            area: area_of(&bytes)?,
            params: weights_file::from_bytes(family, network.encoder_layout(), &bytes)?,
            network,
        })
    }
}

/// A person's held-out faces as this encoder sees them; none if the person has no faces here or none
/// are held out.
pub(crate) fn held_out(
    ctx: &Context,
    library: &Library,
    encoder: &Encoder,
    person: &PersonName,
) -> Result<Option<Batch>, JobError> {
    let folder = library.facesets_dir(person);
    if !folder.is_dir() {
        return Ok(None);
    }
    let faceset = Faceset::open(&folder)?;
    let (cache, _) = FaceCache::open_or_build(
        &faceset,
        encoder.area,
        encoder.network.family().resolution(),
        &library.cache_dir(),
        &*ctx.progress,
        &ctx.cancel,
    )?;
    if cache.count(Split::HeldOut) == 0 {
        return Ok(None);
    }
    let faces = HeldOut::new(Arc::new(cache), Split::HeldOut, &SamplerSettings::default())?;
    Ok(Some(faces.spread(FACES)?))
}

/// What a decoder draws of these faces under an encoder.
///
/// # Shapes
/// `faces`: `[n, R, R, 3]`; the result: `[n, R, R, channels]`.
pub(crate) fn draw(
    network: &Network,
    encoder: &Params,
    decoder: &Params,
    faces: &[f32],
) -> Vec<f32> {
    let mut plans =
        [network.encoder(), network.decoder()].map(|graph| Plan::inference(graph.clone(), GROUP));
    plans[0].load(encoder);
    plans[1].load(decoder);
    let [mut encoder, mut decoder] = plans;
    let input = network.encoder().input_shape().len();
    let output = network.decoder().output_shape().len();
    let mut drawn = Vec::with_capacity(faces.len() / input.max(1) * output);
    for group in faces.chunks(GROUP * input) {
        let mut batch = group.to_vec();
        batch.resize(GROUP * input, 0.0);
        let out = decoder.forward(encoder.forward(&batch));
        drawn.extend_from_slice(&out[..group.len() / input * output]);
    }
    drawn
}

/// How far what a decoder draws is from the faces, over the face.
pub(crate) fn score(
    network: &Network,
    encoder: &Params,
    decoder: &Params,
    faces: &Batch,
) -> Result<FaceScore, JobError> {
    let drawn = draw(network, encoder, decoder, &faces.input);
    let shape = network.decoder().output_shape();
    Ok(score_faces(&Comparison {
        side: shape.h,
        channels: shape.c,
        prediction: &drawn,
        target: &faces.target,
        mask: &faces.mask,
        weight: &[],
    })?)
}

/// Mean absolute difference of two drawings, all channels, 0 to 1.
pub(crate) fn apart(one: &[f32], other: &[f32]) -> f64 {
    let pairs = one.iter().zip(other);
    let sum: f64 = pairs.map(|(a, b)| f64::from((a - b).abs())).sum();
    sum / one.len().max(1) as f64
}
