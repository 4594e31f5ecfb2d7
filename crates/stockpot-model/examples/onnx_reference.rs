//! Writes what another ONNX runtime is compared with: for some families a network with made-up
//! weights as `FAMILY.onnx` and `FAMILY.dfm`, four noisy pictures and what our engine draws of them.
//!
//! `cargo run --release -p stockpot-model --example onnx_reference -- FOLDER [ENCODER DECODER FACES]`: with
//! the last three, trained weights (objects of a library) and faces (32-bit numbers, `[n, R, R, 3]`)
//! instead, under their family's name. Then, with ONNX Runtime and NumPy from PyPI:
//! ```python
//! import sys, numpy as np, onnxruntime as ort
//! for name, r in [("comb-s-64", 64), ("comb-s-96", 96), ("classic-4x1024", 64)]:
//!     load = lambda what, c: np.fromfile(f"{sys.argv[1]}/{name}.{what}", np.float32).reshape(-1, r, r, c).transpose(0, 3, 1, 2)
//!     x, y = load("input", 3), load("output", 3 if r == 64 and "classic" in name else 4)
//!     out = np.concatenate(ort.InferenceSession(f"{sys.argv[1]}/{name}.onnx").run(None, {"face": x}), 1)
//!     print(name, np.abs(out - y).max())
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use stockpot_core::{Area, Rng};
use stockpot_model::onnx::{OnnxModel, dfm, exchange};
use stockpot_model::{Family, Network, Params, Plan, weights_file};

const FACES: usize = 4;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    match &args[..] {
        [folder] => {
            for family in [Family::COMB[0], Family::COMB[1], Family::CLASSIC] {
                made_up(folder, family)?;
            }
            Ok(())
        }
        [folder, encoder, decoder, faces] => trained(folder, encoder, decoder, faces),
        _ => Err("say FOLDER, or FOLDER ENCODER DECODER FACES".into()),
    }
}

fn made_up(folder: &Path, family: Family) -> Result<()> {
    let network = Network::new(family);
    // Nothing may be zero: what is zero is not compared.
    let noisy = |mut params: Params, name: &str| {
        let mut rng = Rng::stream(4, name, 0);
        for value in &mut params.data {
            if *value == 0.0 {
                *value = 0.01 * rng.normal();
            }
        }
        params
    };
    let encoder = noisy(network.init_encoder(1), "encoder");
    let decoder = noisy(network.init_decoder(2), "decoder");
    let mut rng = Rng::stream(3, "faces", 0);
    let pixels = network.encoder().input_shape().len();
    let faces: Vec<f32> = (0..FACES * pixels).map(|_| rng.range(0.0, 1.0)).collect();
    reference(folder, &network, &encoder, &decoder, &faces)
}

fn trained(folder: &Path, encoder: &Path, decoder: &Path, faces: &Path) -> Result<()> {
    let (encoder, decoder) = (std::fs::read(encoder)?, std::fs::read(decoder)?);
    let family = weights_file::family_of(&encoder)?;
    let network = Network::new(family);
    let encoder = weights_file::from_bytes(family, network.encoder_layout(), &encoder)?;
    let decoder = weights_file::from_bytes(family, network.decoder_layout(), &decoder)?;
    let bytes = std::fs::read(faces)?;
    let faces: Vec<f32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    reference(folder, &network, &encoder, &decoder, &faces)
}

fn reference(
    folder: &Path,
    network: &Network,
    encoder: &Params,
    decoder: &Params,
    faces: &[f32],
) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let family = network.family();
    let count = faces.len() / network.encoder().input_shape().len();
    let mut plans =
        [network.encoder(), network.decoder()].map(|g| Plan::inference(g.clone(), count));
    plans[0].load(encoder);
    plans[1].load(decoder);
    let [mut first, mut second] = plans;
    let drawn = second.forward(first.forward(faces));
    let write = |what: &str, model: &OnnxModel| {
        let file = File::create(folder.join(format!("{family}.{what}")))?;
        model.write_to(&mut BufWriter::new(file))
    };
    let words = BTreeMap::new();
    write("onnx", &exchange(network, encoder, decoder, &words))?;
    let area = if family.has_mask() {
        Area::Face
    } else {
        Area::Narrow
    };
    write("dfm", &dfm(network, encoder, decoder, area, &words))?;
    for (what, numbers) in [("input", faces), ("output", drawn)] {
        let bytes: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(folder.join(format!("{family}.{what}")), bytes)?;
    }
    Ok(())
}
