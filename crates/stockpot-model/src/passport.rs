//! Passports on disk: the codes that one encoder state gives on the calibration faces, as
//! safetensors in 16-bit steps, with a few words of metadata.
//!
//! Two passports over the same faces tell how two encoders' codes are related without any face and
//! without the encoders. `docs/formats/passport.md` has the format. Start with [`Passport::of`].

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::Error;
use crate::family::Family;
use crate::network::Network;
use crate::params::Params;
use crate::plan::Plan;
use crate::stitch::Codes;

/// Names of the arrays.
const STEPS: &str = "codes";
const SCALE: &str = "scale";
/// Most faces, most numbers of a code: far above any use, so that a header cannot ask for all memory.
const MOST: usize = 1 << 14;
/// Steps on either side of zero.
const LIMIT: f32 = i16::MAX as f32;
/// Faces that go through the encoder together.
const GROUP: usize = 8;

/// The codes of one encoder state.
#[derive(Debug, Clone, PartialEq)]
pub struct Passport {
    /// The family of the encoder.
    pub family: Family,
    /// The codes, as far as 16 bits tell them apart.
    pub codes: Codes,
    /// Words about it: which faces, which encoder.
    pub card: BTreeMap<String, String>,
}

impl Passport {
    /// Runs an encoder over faces. The codes are rounded as a file holds them, so that a passport
    /// is the same before and after it was stored.
    ///
    /// # Shapes
    /// `faces` gives each face as `[R, R, 3]`, 0 to 1, in one order for all encoders.
    ///
    /// # Errors
    /// [`Error::Stitch`] if there is no face, one has the wrong length, or a code is not finite.
    pub fn of<'a>(
        network: &Network,
        encoder: &Params,
        faces: impl Iterator<Item = Vec<f32>> + 'a,
        card: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let graph = network.code_graph();
        let (input, width) = (graph.input_shape().len(), graph.output_shape().len());
        let mut plan = Plan::inference(graph, GROUP);
        plan.load(encoder);
        let mut values = Vec::new();
        let mut faces = faces.peekable();
        while faces.peek().is_some() {
            let group: Vec<Vec<f32>> = faces.by_ref().take(GROUP).collect();
            if let Some(face) = group.iter().find(|f| f.len() != input) {
                return Err(Error::Stitch {
                    reason: format!("a face has {} numbers, {input} are wanted", face.len()),
                });
            }
            let mut batch = group.concat();
            batch.resize(GROUP * input, 0.0);
            values.extend_from_slice(&plan.forward(&batch)[..group.len() * width]);
        }
        let codes = Codes::new(width, values).ok_or_else(|| Error::Stitch {
            reason: "there are no faces".into(),
        })?;
        let codes = Steps::of(&codes)?.codes(width)?;
        Ok(Self {
            family: network.family(),
            codes,
            card,
        })
    }

    /// As bytes.
    ///
    /// # Errors
    /// [`Error::NotWeights`] if the encoder refuses, [`Error::Stitch`] if a code is not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let steps = Steps::of(&self.codes)?;
        let values: Vec<u8> = steps.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let scale: Vec<u8> = steps.scale.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape = vec![self.codes.faces(), self.codes.width()];
        let views = vec![
            (STEPS, TensorView::new(Dtype::I16, shape, &values)),
            (
                SCALE,
                TensorView::new(Dtype::F32, vec![steps.scale.len()], &scale),
            ),
        ];
        let mut words: HashMap<String, String> = self.card.clone().into_iter().collect();
        words.insert("family".into(), self.family.to_string());
        let views: Result<Vec<_>, _> = views.into_iter().map(|(n, v)| v.map(|v| (n, v))).collect();
        safetensors::serialize(views.map_err(refused)?, Some(words)).map_err(refused)
    }

    /// Reads a passport and checks that its arrays are there, in fitting shapes, finite, and nothing
    /// else.
    ///
    /// # Errors
    /// [`Error::NotWeights`] for other bytes, [`Error::UnknownFamily`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
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
        let steps = file.tensor(STEPS).map_err(refused)?;
        let scale = file.tensor(SCALE).map_err(refused)?;
        let [faces, width] = *steps.shape() else {
            return Err(wrong("its codes are no table"));
        };
        if !(1..=MOST).contains(&faces) || !(1..=MOST).contains(&width) {
            return Err(wrong("its table of codes has an impossible size"));
        }
        let fits = steps.dtype() == Dtype::I16
            && scale.dtype() == Dtype::F32
            && scale.shape() == [width]
            && file.len() == 2;
        if !fits {
            return Err(wrong("its arrays are not those of a passport"));
        }
        let number = |b: &[u8; 4]| f32::from_le_bytes(*b);
        let steps = Steps {
            values: steps
                .data()
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| i16::from_le_bytes(*b))
                .collect(),
            scale: scale.data().as_chunks::<4>().0.iter().map(number).collect(),
        };
        if !steps.scale.iter().all(|s| s.is_finite() && *s >= 0.0) {
            return Err(wrong("its scale holds impossible numbers"));
        }
        Ok(Self {
            family,
            codes: steps.codes(width)?,
            card,
        })
    }
}

/// Codes in 16-bit steps, each number of the code with a step of its own.
struct Steps {
    values: Vec<i16>,
    scale: Vec<f32>,
}

impl Steps {
    fn of(codes: &Codes) -> Result<Self, Error> {
        if !codes.values().iter().all(|v| v.is_finite()) {
            return Err(Error::Stitch {
                reason: "some codes are not finite: the encoder's weights are damaged".into(),
            });
        }
        let mut scale = vec![0.0f32; codes.width()];
        for row in codes.values().chunks_exact(codes.width()) {
            let pairs = scale.iter_mut().zip(row);
            pairs.for_each(|(s, v)| *s = s.max(v.abs()));
        }
        scale.iter_mut().for_each(|s| *s /= LIMIT);
        let step = |(i, v): (usize, &f32)| match scale[i % scale.len()] {
            s if s > 0.0 => (v / s).round().clamp(-LIMIT, LIMIT) as i16,
            _ => 0,
        };
        let values = codes.values().iter().enumerate().map(step).collect();
        Ok(Self { values, scale })
    }

    fn codes(&self, width: usize) -> Result<Codes, Error> {
        let number = |(i, v): (usize, &i16)| f32::from(*v) * self.scale[i % width];
        let values = self.values.iter().enumerate().map(number).collect();
        Codes::new(width, values).ok_or_else(|| wrong("its table of codes is empty"))
    }
}

fn wrong(reason: &str) -> Error {
    Error::NotWeights {
        reason: format!("not a passport: {reason}"),
    }
}

fn refused(e: safetensors::SafeTensorError) -> Error {
    wrong(&e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passport() -> Passport {
        let family = Family::classic(2, 16, 32).unwrap();
        let network = Network::new(family);
        let faces = (0..11).map(|f| {
            (0..64 * 64 * 3)
                .map(|i| ((f * i) % 97) as f32 / 97.0)
                .collect()
        });
        let card = BTreeMap::from([("faces".to_owned(), "none".to_owned())]);
        Passport::of(&network, &network.init_encoder(3), faces, card).unwrap()
    }

    #[test]
    fn a_passport_survives_the_file_to_the_bit() {
        let before = passport();
        assert_eq!((before.codes.faces(), before.codes.width()), (11, 16));
        let bytes = before.to_bytes().unwrap();
        let after = Passport::from_bytes(&bytes).unwrap();
        assert_eq!(after, before);
        assert_eq!(after.to_bytes().unwrap().len(), bytes.len());
    }

    /// The code of 2018 is what the first dense layer gives, not what the encoder gives.
    #[test]
    fn codes_are_those_of_the_encoder() {
        let network = Network::new(Family::COMB[0]);
        let encoder = network.init_encoder(1);
        let face: Vec<f32> = (0..64 * 64 * 3).map(|i| (i % 251) as f32 / 251.0).collect();
        let found = Passport::of(
            &network,
            &encoder,
            [face.clone()].into_iter(),
            BTreeMap::new(),
        );
        let mut plan = Plan::inference(network.encoder().clone(), 1);
        plan.load(&encoder);
        for (a, b) in plan
            .forward(&face)
            .iter()
            .zip(found.unwrap().codes.values())
        {
            assert!((a - b).abs() <= a.abs() / 60_000.0, "{a} {b}");
        }
        assert_eq!(passport().family.to_string(), "classic-2x16d32");
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = passport().to_bytes().unwrap();
        assert!(Passport::from_bytes(&good[..good.len() - 1]).is_err());
        assert!(Passport::from_bytes(b"").is_err());
        // A scale that is not a number: wider types come first in the file.
        let mut bad = good.clone();
        let at = bad.len() - 11 * 16 * 2 - 16 * 4;
        bad[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        let network = Network::new(Family::COMB[0]);
        let weights = crate::weights_file::to_bytes(
            network.family(),
            &network.init_decoder(1),
            &BTreeMap::new(),
        );
        assert!(Passport::from_bytes(&weights.unwrap()).is_err());
        assert!(Passport::from_bytes(&bad).is_err());
    }

    /// Must return, whatever the bytes are; codes that are taken lie in the file.
    fn read(bytes: &[u8]) -> bool {
        let Ok(found) = Passport::from_bytes(bytes) else {
            return false;
        };
        let codes = &found.codes;
        assert_eq!(codes.values().len(), codes.faces() * codes.width());
        assert!(2 * codes.values().len() < bytes.len());
        assert!(codes.values().iter().all(|v| v.is_finite()));
        true
    }

    /// Flips, cuts, impossible lengths and mixed-up headers. `STOCKPOT_TEST_FUZZ=SECONDS` goes on for
    /// longer.
    #[test]
    fn any_bytes_are_read_or_refused() {
        let good = passport().to_bytes().unwrap();
        assert!(read(&good));
        let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        let (mut tried, mut taken) = (0u64, 0u64);
        let mut look = |bytes: &[u8]| {
            tried += 1;
            taken += u64::from(read(bytes));
        };
        for at in 0..good.len() {
            look(&good[..at]);
        }
        for at in 0..header {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                look(&bad);
            }
        }
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
            look(&bad);
        }
        let mut rng = stockpot_core::Rng::stream(6, "passports", 0);
        let seconds = std::env::var("STOCKPOT_TEST_FUZZ").map_or(0, |s| s.parse().unwrap());
        let begun = std::time::Instant::now();
        let mut round = 0;
        while round < 20_000 || begun.elapsed().as_secs() < seconds {
            round += 1;
            let mut text = good[8..header].to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(text.len());
                match rng.below(3) {
                    0 => text[at] = b"0123456789[]{}\",:-eEFI"[rng.below(22)],
                    1 => drop(text.remove(at)),
                    _ => text.insert(at, text[rng.below(text.len())]),
                }
            }
            let mut bad = (text.len() as u64).to_le_bytes().to_vec();
            bad.extend(&text);
            bad.extend(&good[header..]);
            look(&bad);
            let noise: Vec<u8> = (0..rng.below(300)).map(|_| rng.below(256) as u8).collect();
            look(&noise);
        }
        eprintln!("{tried} passports tried, {taken} taken");
        assert!(tried > 40_000 && taken > 0, "{tried} {taken}");
    }
}
