//! A lite person on disk: safetensors that names its base by hash.
//!
//! Matrices are bf16 (half the size, and 8 bits of mantissa for what is a small addition or a last
//! stage); biases and gains stay f32: they are few, and a start from somebody of a stock is kept
//! exactly. `docs/formats/weights.md` has the format. Start with [`LiteFile::from_bytes`].

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use stockpot_core::ContentHash;

use crate::error::Error;
use crate::family::Family;
use crate::lite::{Lite, MOST_RANK};
use crate::params::Params;
use crate::stock_file::{from_bf16, to_bf16};

/// Metadata that names the base.
const BASE: &str = "base";
/// Metadata that says what this is.
const FORM: &str = "form";
/// The array that tells the rank.
const TELLS_RANK: &str = "decoder.seed.up";

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct LiteFile {
    /// Of which decoder, and how it folds.
    pub lite: Lite,
    /// The person's numbers.
    pub person: Params,
    /// The weights file of the base.
    pub base: ContentHash,
}

impl LiteFile {
    /// As bytes; `metadata` is for people and other tools.
    ///
    /// # Errors
    /// [`Error::NotWeights`] if the encoder refuses, which is our bug.
    pub fn to_bytes(
        &self,
        family: Family,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>, Error> {
        let arrays: Vec<_> = self
            .lite
            .layout()
            .specs()
            .iter()
            .map(|spec| {
                let values = &self.person.data[spec.range()];
                match dtype(&spec.shape) {
                    Dtype::BF16 => (spec, Dtype::BF16, to_bf16(values)),
                    other => {
                        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                        (spec, other, bytes)
                    }
                }
            })
            .collect();
        let mut views = Vec::with_capacity(arrays.len());
        for (spec, dtype, bytes) in &arrays {
            let view = TensorView::new(*dtype, spec.shape.clone(), bytes).map_err(refused)?;
            views.push((spec.name.clone(), view));
        }
        let mut words: HashMap<String, String> = metadata.clone().into_iter().collect();
        words.insert("family".into(), family.to_string());
        words.insert(FORM.into(), "lite".into());
        words.insert(BASE.into(), self.base.to_string());
        safetensors::serialize(views, Some(words)).map_err(refused)
    }

    /// The numbers as the file will hold them: matrices rounded to bf16. What is measured after this
    /// is what is kept.
    pub fn rounded(lite: &Lite, person: &Params) -> Option<Params> {
        if person.layout() != lite.layout() {
            return None;
        }
        let mut data = person.data.clone();
        for spec in lite.layout().specs() {
            if dtype(&spec.shape) == Dtype::BF16 {
                let part = &mut data[spec.range()];
                let rounded = from_bf16(&to_bf16(part));
                part.copy_from_slice(&rounded);
            }
        }
        Params::from_data(lite.layout().clone(), data)
    }

    /// Reads a lite person and checks that every array is there, in its shape, finite, and nothing
    /// else.
    ///
    /// # Errors
    /// [`Error::NotWeights`] for other bytes, or if it names no base; [`Error::UnknownFamily`];
    /// [`Error::Mismatch`] with every difference.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let family = crate::weights_file::family_of(bytes)?;
        let words = crate::weights_file::metadata(bytes)?;
        if words.get(FORM).is_none_or(|form| form != "lite") {
            return Err(wrong("it is no lite person"));
        }
        let base = words.get(BASE).and_then(|hash| hash.parse().ok());
        let base = base.ok_or_else(|| wrong("it names no base"))?;
        let file = SafeTensors::deserialize(bytes).map_err(refused)?;
        let rank = match file.tensor(TELLS_RANK).map_err(refused)?.shape() {
            [rank, _] if (1..=MOST_RANK).contains(rank) => *rank,
            other => return Err(wrong(&format!("its rank is impossible: {other:?}"))),
        };
        let lite =
            Lite::new(family, rank).ok_or_else(|| wrong("its family has no lite persons"))?;
        let mut problems = Vec::new();
        let mut data = Vec::with_capacity(lite.layout().len());
        for spec in lite.layout().specs() {
            let Ok(view) = file.tensor(&spec.name) else {
                problems.push(format!("`{}` is missing", spec.name));
                continue;
            };
            let wanted = dtype(&spec.shape);
            if view.dtype() != wanted || view.shape() != spec.shape {
                problems.push(format!(
                    "`{}` is {:?} {:?}, wanted {wanted:?} {:?}",
                    spec.name,
                    view.dtype(),
                    view.shape(),
                    spec.shape
                ));
                continue;
            }
            let values = match wanted {
                Dtype::BF16 => from_bf16(view.data()),
                _ => {
                    let words = view.data().as_chunks::<4>().0.iter();
                    words.map(|b| f32::from_le_bytes(*b)).collect()
                }
            };
            if values.iter().any(|v| !v.is_finite()) {
                problems.push(format!("`{}` holds numbers that are not finite", spec.name));
            }
            data.extend(values);
        }
        for name in file.names() {
            if !lite.layout().specs().iter().any(|s| s.name == name) {
                problems.push(format!("`{name}` is unused"));
            }
        }
        match Params::from_data(lite.layout().clone(), data) {
            Some(person) if problems.is_empty() => Ok(Self { lite, person, base }),
            _ => {
                problems.truncate(8);
                Err(Error::Mismatch { family, problems })
            }
        }
    }
}

/// How an array of this shape is kept.
fn dtype(shape: &[usize]) -> Dtype {
    match shape {
        [_] => Dtype::F32,
        _ => Dtype::BF16,
    }
}

fn refused(e: safetensors::SafeTensorError) -> Error {
    Error::NotWeights {
        reason: e.to_string(),
    }
}

fn wrong(reason: &str) -> Error {
    Error::NotWeights {
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use stockpot_core::Rng;

    use super::*;
    use crate::lite::RANK;
    use crate::network::Network;
    use crate::weights_file;

    fn small() -> LiteFile {
        let family = Family::COMB[0];
        let lite = Lite::new(family, 2).unwrap();
        let decoder = Network::new(family).init_decoder(1);
        let mut person = lite.start(&decoder, 2).unwrap();
        let mut rng = Rng::stream(3, "lite file", 0);
        person
            .data
            .iter_mut()
            .for_each(|v| *v += 0.01 * rng.normal());
        let base = ContentHash([7; 32]);
        LiteFile { lite, person, base }
    }

    #[test]
    fn it_comes_back_as_it_was_rounded() {
        let file = small();
        let words = BTreeMap::from([("area".to_owned(), "face".to_owned())]);
        let bytes = file.to_bytes(Family::COMB[0], &words).unwrap();
        let back = LiteFile::from_bytes(&bytes).unwrap();
        assert_eq!((back.base, back.lite.rank()), (file.base, 2));
        assert!(back.person == LiteFile::rounded(&file.lite, &file.person).unwrap());
        for (a, b) in file.person.data.iter().zip(&back.person.data) {
            assert!((a - b).abs() <= a.abs() / 256.0, "{a} {b}");
        }
        // Once rounded, nothing changes any more.
        let again = back.to_bytes(Family::COMB[0], &words).unwrap();
        assert!(LiteFile::from_bytes(&again).unwrap() == back);
        assert_eq!(weights_file::metadata(&bytes).unwrap()["area"], "face");
        // Nobody takes it for a whole decoder.
        let network = Network::new(Family::COMB[0]);
        assert!(
            weights_file::from_bytes(Family::COMB[0], network.decoder_layout(), &bytes).is_err()
        );
    }

    #[test]
    fn a_person_at_128_px_is_about_a_megabyte() {
        let family = Family::COMB[2];
        let lite = Lite::new(family, RANK).unwrap();
        let person = lite
            .start(&Network::new(family).init_decoder(1), 1)
            .unwrap();
        let base = ContentHash([1; 32]);
        let file = LiteFile { lite, person, base };
        let bytes = file.to_bytes(family, &BTreeMap::new()).unwrap().len();
        assert!((900_000..1_050_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn other_bytes_are_refused() {
        let file = small();
        let bytes = file.to_bytes(Family::COMB[0], &BTreeMap::new()).unwrap();
        for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
            assert!(LiteFile::from_bytes(&bytes[..cut]).is_err(), "{cut}");
        }
        let mut rng = Rng::stream(5, "lite bytes", 0);
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for _ in 0..300 {
            // What the header says may change, or what it says no longer fits; either way nothing
            // breaks, and a file that is read has the arrays it should.
            let mut bad = bytes.clone();
            bad[rng.below(header)] ^= 1 << rng.below(8);
            if let Ok(read) = LiteFile::from_bytes(&bad) {
                assert_eq!(read.person.layout(), file.lite.layout());
            }
        }
        let mut poisoned = small();
        poisoned.person.data[3] = f32::INFINITY;
        let bytes = poisoned.to_bytes(Family::COMB[0], &BTreeMap::new());
        let refused = LiteFile::from_bytes(&bytes.unwrap());
        assert!(matches!(refused, Err(Error::Mismatch { .. })));
        let network = Network::new(Family::COMB[0]);
        let full =
            weights_file::to_bytes(Family::COMB[0], &network.init_decoder(1), &BTreeMap::new());
        let refused = LiteFile::from_bytes(&full.unwrap());
        assert!(matches!(refused, Err(Error::NotWeights { .. })));
    }
}
