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
    all_to_bytes(family, &[params], metadata)
}

/// Both halves of a network in one file: array names tell them apart. No library reads it; it is for
/// other programs.
///
/// # Errors
/// As [`to_bytes`].
pub fn both_to_bytes(
    family: Family,
    halves: [&Params; 2],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Error> {
    all_to_bytes(family, &halves, metadata)
}

fn all_to_bytes(
    family: Family,
    halves: &[&Params],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Error> {
    let mut arrays = Vec::new();
    for params in halves {
        for spec in params.layout().specs() {
            let values = params.data[spec.range()].iter();
            let bytes: Vec<u8> = values.flat_map(|v| v.to_le_bytes()).collect();
            arrays.push((spec, bytes));
        }
    }
    let mut views = Vec::with_capacity(arrays.len());
    for (spec, bytes) in &arrays {
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

#[cfg(test)]
mod tests {
    use stockpot_core::Rng;

    use super::*;
    use crate::params::Init;

    fn small() -> (Arc<Layout>, Vec<u8>) {
        let mut layout = Layout::default();
        layout.push("a/kernel".into(), vec![3, 3, 2, 4], Init::Zero);
        layout.push("a/bias".into(), vec![4], Init::Zero);
        let layout = Arc::new(layout);
        let params = Params::init(layout.clone(), 1);
        let words = BTreeMap::from([("area".to_owned(), "face".to_owned())]);
        let bytes = to_bytes(Family::DEFAULT, &params, &words).unwrap();
        (layout, bytes)
    }

    /// Must return, whatever the bytes are; weights that are taken are those of the layout.
    fn read_all(layout: &Arc<Layout>, bytes: &[u8]) -> bool {
        let _ = metadata(bytes);
        let _ = family_of(bytes);
        match from_bytes(Family::DEFAULT, layout, bytes) {
            Ok(params) => {
                assert_eq!(params.data.len(), layout.len());
                assert!(params.data.iter().all(|v| v.is_finite()));
                true
            }
            Err(_) => false,
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let (layout, good) = small();
        assert!(read_all(&layout, &good));
        let mut tried = 0u32;
        let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        for at in 0..good.len() {
            assert!(!read_all(&layout, &good[..at]), "cut at {at}");
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                read_all(&layout, &bad);
                tried += 1;
            }
            tried += 1;
        }
        // Lengths of the header that are not there, or wrap around.
        for length in [
            0,
            1,
            header as u64,
            u64::MAX,
            u64::MAX - 7,
            1 << 32,
            1 << 63,
        ] {
            let mut bad = good.clone();
            bad[..8].copy_from_slice(&length.to_le_bytes());
            assert!(!read_all(&layout, &bad), "{length}");
            tried += 1;
        }
        let mut rng = Rng::stream(3, "weights", 0);
        for _ in 0..10_000 {
            let mut text = good[8..header].to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(text.len());
                match rng.below(3) {
                    0 => text[at] = b"0123456789[]{}\",:-eE."[rng.below(20)],
                    1 => drop(text.remove(at)),
                    _ => text.insert(at, text[rng.below(text.len())]),
                }
            }
            let mut bad = (text.len() as u64).to_le_bytes().to_vec();
            bad.extend(&text);
            bad.extend(&good[header..]);
            read_all(&layout, &bad);
            let noise: Vec<u8> = (0..rng.below(300)).map(|_| rng.below(256) as u8).collect();
            assert!(!read_all(&layout, &noise));
            tried += 2;
        }
        eprintln!("{tried} weights files tried");
        assert!(tried > 20_000);
    }
}
