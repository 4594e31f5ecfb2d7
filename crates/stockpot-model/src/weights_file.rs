//! Weights on disk: safetensors, f32, named arrays in the layout's own order of dimensions
//! (`[kernel, kernel, in, out]`), with a few words of metadata.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::Error;
use crate::family::Family;
use crate::params::{Layout, Params};

/// The weights as safetensors bytes. `metadata` is for people and other tools; nothing depends on
/// it but `family`, which is always written.
///
/// # Errors
/// [`Error::NotWeights`] if the encoder refuses, which is our bug.
pub fn to_bytes(
    family: Family,
    params: &Params,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Error> {
    let bytes: Vec<Vec<u8>> = params
        .layout()
        .specs()
        .iter()
        .map(|s| {
            params.data[s.range()]
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect()
        })
        .collect();
    let mut views = Vec::with_capacity(bytes.len());
    for (spec, bytes) in params.layout().specs().iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, spec.shape.clone(), bytes).map_err(not_weights)?;
        views.push((spec.name.clone(), view));
    }
    let mut all: HashMap<String, String> = metadata
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    all.insert("family".into(), family.to_string());
    safetensors::serialize(views, Some(all)).map_err(not_weights)
}

/// Reads weights and checks that every array of `layout` is there, in its shape, finite, and
/// nothing else.
///
/// # Errors
/// [`Error::NotWeights`] for other bytes, [`Error::Mismatch`] with every difference,
/// [`Error::Earlier`] for a network that has changed since.
pub fn from_bytes(family: Family, layout: &Arc<Layout>, bytes: &[u8]) -> Result<Params, Error> {
    let file = SafeTensors::deserialize(bytes).map_err(not_weights)?;
    let mut problems = Vec::new();
    let mut data = vec![0.0f32; layout.len()];
    for spec in layout.specs() {
        let Ok(view) = file.tensor(&spec.name) else {
            problems.push(format!("`{}` is missing", spec.name));
            continue;
        };
        if view.dtype() != Dtype::F32 || view.shape() != spec.shape {
            problems.push(format!(
                "`{}` is {:?} {:?}, wanted F32 {:?}",
                spec.name,
                view.dtype(),
                view.shape(),
                spec.shape
            ));
            continue;
        }
        let part = &mut data[spec.range()];
        for (v, b) in part.iter_mut().zip(view.data().as_chunks::<4>().0) {
            *v = f32::from_le_bytes(*b);
        }
        if part.iter().any(|v| !v.is_finite()) {
            problems.push(format!("`{}` holds numbers that are not finite", spec.name));
        }
    }
    for name in file.names() {
        if !layout.specs().iter().any(|s| s.name == name) {
            problems.push(format!("`{name}` is unused"));
        }
    }
    if !problems.is_empty() && is_earlier(family, &file) {
        return Err(Error::Earlier { family });
    }
    if !problems.is_empty() {
        problems.truncate(8);
        return Err(Error::Mismatch { family, problems });
    }
    Params::from_data(layout.clone(), data).ok_or_else(|| Error::NotWeights {
        reason: "wrong length".into(),
    })
}

/// Whether the arrays are those of a network of this name that an earlier stockpot had.
fn is_earlier(family: Family, file: &SafeTensors<'_>) -> bool {
    let has = |(name, shape): &(&str, &[usize])| {
        let found = file.tensor(name);
        found.is_ok_and(|view| view.shape() == *shape)
    };
    family.earlier_arrays().iter().any(has)
}

/// The words beside the weights.
///
/// # Errors
/// [`Error::NotWeights`].
pub fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, Error> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_weights)?;
    Ok(header
        .metadata()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .collect())
}

/// The family a weights file names, if it does.
///
/// # Errors
/// [`Error::NotWeights`] or [`Error::UnknownFamily`].
pub fn family_of(bytes: &[u8]) -> Result<Family, Error> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(not_weights)?;
    let name = header.metadata().as_ref().and_then(|m| m.get("family"));
    name.ok_or_else(|| Error::NotWeights {
        reason: "it names no family".into(),
    })?
    .parse()
}

fn not_weights(e: safetensors::SafeTensorError) -> Error {
    Error::NotWeights {
        reason: e.to_string(),
    }
}
