//! A stock on disk: an encoder, a trunk and the identities of the people it was learned from, as
//! safetensors in bf16, with a few words of metadata, packed ([`crate::stock_pack`]).
//!
//! bf16 keeps 8 bits of each number's mantissa: half the size, and no difference that shows.
//! `docs/formats/stock.md` has the format. Start with [`Stock::from_bytes`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::Error;
use crate::family::Family;
use crate::params::{Layout, Params};
use crate::stock_pack;
use crate::trunk::Trunk;

/// Name of the table of identities.
const IDENTITIES: &str = "identities";
/// Most people in a stock, most numbers of an identity: far above any use, so that a header cannot
/// ask for all memory.
const MOST: usize = 1 << 14;

/// What new libraries start from.
#[derive(Debug, Clone)]
pub struct Stock {
    /// How its decoder is told whom to draw.
    pub trunk: Trunk,
    /// The shared half.
    pub encoder: Params,
    /// The decoder of everybody, in the trunk's layout.
    pub decoder: Params,
    /// One identity after the other.
    pub identities: Vec<f32>,
    /// Words about it: how it was made, what it scored.
    pub card: BTreeMap<String, String>,
}

impl Stock {
    /// The family it is for.
    pub fn family(&self) -> Family {
        self.trunk.network().family()
    }

    /// How many people it was learned from.
    pub fn people(&self) -> usize {
        self.identities.len() / self.trunk.identity_len().max(1)
    }

    /// The mean of all identities: somebody who is nobody.
    pub fn mean_identity(&self) -> Vec<f32> {
        let len = self.trunk.identity_len();
        let mut sum = vec![0.0f64; len];
        for identity in self.identities.chunks_exact(len.max(1)) {
            let values = sum.iter_mut().zip(identity);
            values.for_each(|(s, v)| *s += f64::from(*v));
        }
        let count = self.people().max(1) as f64;
        sum.into_iter().map(|s| (s / count) as f32).collect()
    }

    /// The ordinary decoder of an identity; `None` if it is of another length.
    pub fn person(&self, identity: &[f32]) -> Option<Params> {
        self.trunk.person(&self.decoder, identity)
    }

    /// As bytes, packed.
    ///
    /// # Errors
    /// [`Error::NotWeights`] if the encoder refuses, which is our bug.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut arrays: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for params in [&self.encoder, &self.decoder] {
            for spec in params.layout().specs() {
                let bytes = to_bf16(&params.data[spec.range()]);
                arrays.push((spec.name.clone(), spec.shape.clone(), bytes));
            }
        }
        let shape = vec![self.people(), self.trunk.identity_len()];
        arrays.push((IDENTITIES.into(), shape, to_bf16(&self.identities)));
        let mut views = Vec::with_capacity(arrays.len());
        for (name, shape, bytes) in &arrays {
            let view = TensorView::new(Dtype::BF16, shape.clone(), bytes).map_err(refused)?;
            views.push((name.clone(), view));
        }
        let mut words: HashMap<String, String> = self.card.clone().into_iter().collect();
        words.insert("family".into(), self.family().to_string());
        stock_pack::pack(&safetensors::serialize(views, Some(words)).map_err(refused)?)
    }

    /// Reads a stock, packed or not, and checks that every array is there, in its shape, finite, and nothing else.
    ///
    /// # Errors
    /// [`Error::NotWeights`] for other bytes, [`Error::UnknownFamily`], [`Error::Mismatch`] with
    /// every difference.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = &*stock_pack::unpack(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(refused)?;
        let mut card: BTreeMap<String, String> = header
            .metadata()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        let family = card.remove("family");
        let family: Family = family.ok_or_else(|| wrong("it names no family"))?.parse()?;
        let file = SafeTensors::deserialize(bytes).map_err(refused)?;
        let table = file.tensor(IDENTITIES).map_err(refused)?;
        let [people, width] = *table.shape() else {
            return Err(wrong("its identities are no table"));
        };
        if !(1..=MOST).contains(&people) || !(1..=MOST).contains(&width) {
            return Err(wrong("its table of identities has an impossible size"));
        }
        let trunk = Trunk::new(family, width).ok_or_else(|| wrong("its family has no trunk"))?;
        let mut reading = Reading {
            file: &file,
            problems: Vec::new(),
            seen: 1,
        };
        let identities = reading.array(IDENTITIES, &[people, width]);
        let encoder = reading.params(trunk.network().encoder_layout());
        let decoder = reading.params(&trunk.graph().layout);
        if file.len() > reading.seen {
            let extra = file.len() - reading.seen;
            reading.problems.push(format!("{extra} arrays are unused"));
        }
        match (encoder, decoder) {
            (Some(encoder), Some(decoder)) if reading.problems.is_empty() => Ok(Self {
                trunk,
                encoder,
                decoder,
                identities,
                card,
            }),
            _ => {
                let mut problems = reading.problems;
                problems.truncate(8);
                Err(Error::Mismatch { family, problems })
            }
        }
    }
}

/// A file being read, and what is wrong with it.
struct Reading<'a> {
    file: &'a SafeTensors<'a>,
    problems: Vec<String>,
    seen: usize,
}

impl Reading<'_> {
    fn params(&mut self, layout: &Arc<Layout>) -> Option<Params> {
        let mut data = Vec::with_capacity(layout.len());
        for spec in layout.specs() {
            data.extend(self.array(&spec.name, &spec.shape));
            self.seen += 1;
        }
        Params::from_data(layout.clone(), data)
    }

    fn array(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let Ok(view) = self.file.tensor(name) else {
            self.problems.push(format!("`{name}` is missing"));
            return Vec::new();
        };
        if view.dtype() != Dtype::BF16 || view.shape() != shape {
            let (kind, found) = (view.dtype(), view.shape());
            let problem = format!("`{name}` is {kind:?} {found:?}, wanted BF16 {shape:?}");
            self.problems.push(problem);
            return Vec::new();
        }
        let values = from_bf16(view.data());
        if values.iter().any(|v| !v.is_finite()) {
            let problem = format!("`{name}` holds numbers that are not finite");
            self.problems.push(problem);
        }
        values
    }
}

/// The numbers of these bytes.
pub(crate) fn from_bf16(bytes: &[u8]) -> Vec<f32> {
    let pairs = bytes.as_chunks::<2>().0.iter();
    pairs
        .map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16))
        .collect()
}

/// Rounded to nearest, ties to even.
pub(crate) fn to_bf16(values: &[f32]) -> Vec<u8> {
    let round = |v: &f32| {
        let bits = v.to_bits();
        let odd = (bits >> 16) & 1;
        let rounded = (bits.wrapping_add(0x7fff + odd) >> 16) as u16;
        rounded.to_le_bytes()
    };
    values.iter().flat_map(round).collect()
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
    use super::*;

    fn small() -> Stock {
        let trunk = Trunk::new(Family::COMB[0], 3).unwrap();
        Stock {
            encoder: trunk.network().init_encoder(1),
            decoder: trunk.init(2),
            identities: vec![1.0, 2.0, -0.5, 3.0, 0.0, 0.5],
            card: [("people".to_owned(), "2".to_owned())].into(),
            trunk,
        }
    }

    #[test]
    fn it_comes_back_within_the_rounding() {
        let stock = small();
        let bytes = stock.to_bytes().unwrap();
        let back = Stock::from_bytes(&bytes).unwrap();
        assert_eq!((back.family(), back.people()), (Family::COMB[0], 2));
        assert_eq!(back.identities, stock.identities);
        assert_eq!(back.mean_identity(), [2.0, 1.0, 0.0]);
        assert_eq!(back.card, stock.card);
        for (a, b) in [
            (&stock.encoder, &back.encoder),
            (&stock.decoder, &back.decoder),
        ] {
            for (a, b) in a.data.iter().zip(&b.data) {
                assert!((a - b).abs() <= a.abs() / 256.0, "{a} {b}");
            }
        }
        // Once rounded, nothing changes any more.
        assert_eq!(
            Stock::from_bytes(&back.to_bytes().unwrap())
                .unwrap()
                .encoder,
            back.encoder
        );
    }

    #[test]
    fn what_is_no_stock_is_refused() {
        let bytes = small().to_bytes().unwrap();
        assert!(Stock::from_bytes(&bytes[..bytes.len() - 2]).is_err());
        assert!(Stock::from_bytes(b"").is_err());
        assert!(Stock::from_bytes(&[0xff; 64]).is_err());
        let mut stock = small();
        stock.encoder.data[7] = f32::NAN;
        let refused = Stock::from_bytes(&stock.to_bytes().unwrap());
        assert!(matches!(refused, Err(Error::Mismatch { .. })));
        let ordinary = crate::weights_file::to_bytes(
            Family::COMB[0],
            &small().encoder,
            &std::collections::BTreeMap::new(),
        );
        assert!(Stock::from_bytes(&ordinary.unwrap()).is_err());
    }
}
