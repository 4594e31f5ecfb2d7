//! Model folders of 2018: `encoder.h5`, `decoder_A.h5`, `decoder_B.h5`, as FakeApp, OpenFaceSwap
//! and the scripts of that time wrote them with Keras 2.
//!
//! [`read_legacy`] takes one apart, [`write_legacy`] makes one. Arrays are matched by order and
//! shape, never by name. Between these files and ours only the colour order differs (theirs is BGR,
//! ours RGB): kernels are `[row, column, in, out]`, dense layers `[in, out]` over rows, columns,
//! channels, and the pixel shuffle has the block position slowest on both sides.
//!
//! Knows nothing of how a network is run, and nothing of persons. The file format's library shows
//! in `hdf5` alone; `recognise` tells the networks apart. The files are described in
//! `docs/formats/legacy.md`.

#[cfg(test)]
mod fuzz;
mod hdf5;
mod recognise;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use stockpot_core::ContentHash;

use crate::disk::{Disk, ReadFailure, entries, read_bounded};
use crate::error::{Error, Result};
use crate::objects::hash_of;
use hdf5::{NewLayer, Weights};
pub use recognise::LegacyNet;

/// The largest file that is read: twice the largest network in single precision.
const MAX_FILE_BYTES: u64 = 2 << 30;
/// The three files of a folder.
pub const LEGACY_FILES: [&str; 3] = ["encoder.h5", "decoder_A.h5", "decoder_B.h5"];

/// A folder taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct LegacyFolder {
    /// The network, as recognised from order and shapes.
    pub net: LegacyNet,
    /// What the files say of the program that wrote them, if they do.
    pub writer: LegacyWriter,
    /// The encoder's numbers in the order of [`LegacyNet::encoder_shapes`], colours RGB.
    pub encoder: Vec<f32>,
    /// Both decoders' numbers, A's first, in the order of [`LegacyNet::decoder_shapes`], colours RGB.
    pub decoders: [Vec<f32>; 2],
    /// BLAKE3 of the three files as they lie there, in the order of [`LEGACY_FILES`].
    pub hashes: [ContentHash; 3],
}

/// The program that wrote a folder, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LegacyWriter {
    /// What Keras ran on; `theano` stores kernels turned by half a circle, which is undone.
    pub backend: Option<String>,
    /// The version of Keras.
    pub keras_version: Option<String>,
}

/// Reads a folder. Nothing in it is executed, and no size in it is believed beyond the size of the
/// files.
///
/// # Errors
/// [`Error::NoLegacyFiles`], [`Error::BadLegacyFile`] for files that do not read as Keras weights,
/// [`Error::OtherLegacyNetwork`] for those of another network, by name where it is known.
pub fn read_legacy(dir: &Path) -> Result<LegacyFolder> {
    refuse_without_files(dir)?;
    let (encoder_path, encoder, encoder_hash) = open(dir, LEGACY_FILES[0])?;
    let net = recognise::encoder(&encoder.shapes())
        .map_err(|other| other_network(&encoder_path, other))?;
    let mut hashes = [encoder_hash; 3];
    let mut decoders = [Vec::new(), Vec::new()];
    let writer = LegacyWriter {
        backend: encoder.backend.clone(),
        keras_version: encoder.keras_version.clone(),
    };
    for (i, file) in LEGACY_FILES.into_iter().skip(1).enumerate() {
        let (path, weights, hash) = open(dir, file)?;
        recognise::decoder(&weights.shapes(), net).map_err(|other| other_network(&path, other))?;
        hashes[i + 1] = hash;
        decoders[i] = read_all(&path, &weights)?;
        swap_decoder_colours(&mut decoders[i], net);
    }
    // The encoder's numbers last: they are nine tenths of the folder.
    let mut encoder = read_all(&encoder_path, &encoder)?;
    swap_encoder_colours(&mut encoder, net);
    Ok(LegacyFolder {
        net,
        writer,
        encoder,
        decoders,
        hashes,
    })
}

/// Writes a folder that Keras 2 loads: names count as in a fresh process, colours are BGR. `dir`
/// must not exist or be empty; it appears whole or not at all.
///
/// # Errors
/// [`Error::LegacyFolderTaken`], [`Error::BadCommit`] if the numbers do not fit `net`, or what the
/// machine refuses.
pub fn write_legacy(
    dir: &Path,
    net: LegacyNet,
    encoder: &[f32],
    decoders: [&[f32]; 2],
) -> Result<()> {
    let taken = match std::fs::symlink_metadata(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(e) => return Err(Error::io("look at the folder", dir, e)),
        Ok(found) => !found.is_dir() || !entries(dir)?.is_empty(),
    };
    if taken {
        return Err(Error::LegacyFolderTaken { dir: dir.into() });
    }
    let mut colours = encoder.to_vec();
    swap_encoder_colours(&mut colours, net);
    let mut files = vec![
        net.keras_encoder()
            .encode(&net.encoder_shapes(), &colours)?,
    ];
    for (number, decoder) in decoders.into_iter().enumerate() {
        let mut colours = decoder.to_vec();
        swap_decoder_colours(&mut colours, net);
        files.push(
            net.keras_decoder(number)
                .encode(&net.decoder_shapes(), &colours)?,
        );
    }
    let mut beside = dir.as_os_str().to_owned();
    beside.push(format!(".{}{}", std::process::id(), crate::disk::PART));
    let beside = PathBuf::from(beside);
    let disk = Disk::default();
    let written = (|| {
        disk.make_folder(&beside)?;
        for (file, bytes) in LEGACY_FILES.into_iter().zip(&files) {
            disk.write_whole(&beside.join(file), bytes)?;
        }
        std::fs::rename(&beside, dir).map_err(|e| Error::io("name the folder", dir, e))?;
        disk.sync_folder(crate::disk::parent(dir))
    })();
    if written.is_err() {
        // Best effort: the error that matters is already on its way.
        let _ = std::fs::remove_dir_all(&beside);
    }
    written
}

impl LegacyFolder {
    /// Undoes the exchange of red and blue, for a program that read pictures as RGB.
    pub fn keep_colours(&mut self) {
        swap_encoder_colours(&mut self.encoder, self.net);
        for decoder in &mut self.decoders {
            swap_decoder_colours(decoder, self.net);
        }
    }

    /// Puts both dense layers into the order rows, columns, channels, for a program that flattened
    /// channels, rows, columns (`channels_first`, usual on Theano).
    pub fn flatten_by_rows(&mut self) {
        let (net, mut at) = (self.net, 0);
        let shapes = net.encoder_shapes();
        let dense = 2 * usize::from(net.layers());
        let mut parts = Vec::new();
        for shape in &shapes {
            let len: usize = shape.iter().product();
            parts.push(at..at + len);
            at += len;
        }
        let nodes = usize::from(net.nodes());
        // Rows of the first kernel; columns of the second, and its bias.
        let seen = flat_order(shapes[dense][0], net.width(usize::from(net.layers()) - 1));
        reorder(&mut self.encoder[parts[dense].clone()], &seen, nodes);
        let drawn = flat_order(shapes[dense + 2][1], shapes[dense + 4][2]);
        for row in self.encoder[parts[dense + 2].clone()].chunks_exact_mut(drawn.len()) {
            reorder(row, &drawn, 1);
        }
        reorder(&mut self.encoder[parts[dense + 3].clone()], &drawn, 1);
    }
}

/// For each number of a square picture by rows, columns, channels, where it lies by channels, rows,
/// columns.
fn flat_order(numbers: usize, channels: usize) -> Vec<usize> {
    let pixels = numbers / channels;
    let place = |i: usize| (i % channels) * pixels + i / channels;
    (0..numbers).map(place).collect()
}

/// Brings blocks of `each` numbers into another order.
fn reorder(data: &mut [f32], order: &[usize], each: usize) {
    let before = data.to_vec();
    for (to, from) in data.chunks_exact_mut(each).zip(order) {
        to.copy_from_slice(&before[from * each..][..each]);
    }
}

/// The layers of one file, as Keras names them.
struct KerasFile {
    /// Every layer in order; those with weights have `true`.
    layers: Vec<(String, bool)>,
}

impl KerasFile {
    /// The file's bytes, from kernels and biases one behind the other.
    fn encode(&self, shapes: &[Vec<usize>], data: &[f32]) -> Result<Vec<u8>> {
        let bug = |reason: String| Error::BadCommit { reason };
        let wanted: usize = shapes.iter().map(|s| s.iter().product::<usize>()).sum();
        if data.len() != wanted {
            return Err(bug(format!(
                "the network has {wanted} numbers, {} were given",
                data.len()
            )));
        }
        let mut at = 0;
        let mut arrays = shapes.iter().map(|shape| {
            let len: usize = shape.iter().product();
            let part = &data[at..at + len];
            at += len;
            (shape.as_slice(), part)
        });
        let mut layers = Vec::new();
        for (name, weighted) in &self.layers {
            let weights = match weighted {
                true => arrays.next().zip(arrays.next()),
                false => None,
            };
            layers.push(NewLayer { name, weights });
        }
        hdf5::write(&layers).map_err(bug)
    }
}

impl LegacyNet {
    /// The encoder's layers, named as in a fresh process.
    fn keras_encoder(self) -> KerasFile {
        let n = usize::from(self.layers());
        let mut layers = vec![("input_1".to_owned(), false)];
        for i in 1..=n {
            layers.push((format!("conv2d_{i}"), true));
            layers.push((format!("leaky_re_lu_{i}"), false));
        }
        layers.push(("flatten_1".into(), false));
        layers.push(("dense_1".into(), true));
        layers.push(("dense_2".into(), true));
        layers.push(("reshape_1".into(), false));
        layers.push((format!("conv2d_{}", n + 1), true));
        layers.push((format!("leaky_re_lu_{}", n + 1), false));
        layers.push(("pixel_shuffler_1".into(), false));
        KerasFile { layers }
    }

    /// A decoder's layers; `number` 0 is A, built second, and 1 is B, built third.
    fn keras_decoder(self, number: usize) -> KerasFile {
        let n = usize::from(self.layers()) + 1;
        let (convs, leaks, shufflers) = (n + 4 * number, n + 3 * number, 1 + 3 * number);
        let mut layers = vec![(format!("input_{}", 2 + number), false)];
        for i in 1..=3 {
            layers.push((format!("conv2d_{}", convs + i), true));
            layers.push((format!("leaky_re_lu_{}", leaks + i), false));
            layers.push((format!("pixel_shuffler_{}", shufflers + i), false));
        }
        layers.push((format!("conv2d_{}", convs + 4), true));
        KerasFile { layers }
    }
}

/// BGR to RGB or back: the first kernel, `[5, 5, 3, width]`, changes places of its inputs.
fn swap_encoder_colours(encoder: &mut [f32], net: LegacyNet) {
    let width = net.width(0);
    for tap in encoder.chunks_exact_mut(3 * width).take(5 * 5) {
        let (first, rest) = tap.split_at_mut(2 * width);
        first[..width].swap_with_slice(rest);
    }
}

/// BGR to RGB or back: the last kernel, `[5, 5, width, 3]`, and its bias, `[3]`, change places of
/// their outputs.
fn swap_decoder_colours(decoder: &mut [f32], net: LegacyNet) {
    let tail = 5 * 5 * (64 / usize::from(net.divisor())) * 3 + 3;
    let from = decoder.len().saturating_sub(tail);
    for colour in decoder[from..].chunks_exact_mut(3) {
        colour.swap(0, 2);
    }
}

fn refuse_without_files(dir: &Path) -> Result<()> {
    let found: Vec<String> = entries(dir)?.into_iter().map(|(name, _)| name).collect();
    let missing: Vec<String> = LEGACY_FILES
        .into_iter()
        .filter(|file| !found.iter().any(|name| name == file))
        .map(str::to_owned)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let weights = |name: &String| name.ends_with(".h5");
    Err(Error::NoLegacyFiles {
        missing,
        found: found.into_iter().filter(weights).take(12).collect(),
        dir: dir.into(),
    })
}

fn open(dir: &Path, file: &str) -> Result<(PathBuf, Weights, ContentHash)> {
    let path = dir.join(file);
    let bytes = read_bounded(&path, MAX_FILE_BYTES).map_err(|failure| match failure {
        ReadFailure::Missing => Error::NoLegacyFiles {
            missing: vec![file.to_owned()],
            found: Vec::new(),
            dir: dir.into(),
        },
        ReadFailure::TooLarge { found_bytes } => Error::TooLarge {
            what: format!("file `{file}`"),
            found_bytes,
            limit_bytes: MAX_FILE_BYTES,
        },
        ReadFailure::Io(e) => Error::io("read the file", &path, e),
    })?;
    let hash = hash_of(&bytes);
    let weights = hdf5::open(bytes).map_err(|reason| bad_file(&path, reason))?;
    Ok((path, weights, hash))
}

fn read_all(path: &Path, weights: &Weights) -> Result<Vec<f32>> {
    weights.read_all().map_err(|reason| bad_file(path, reason))
}

fn bad_file(path: &Path, reason: String) -> Error {
    Error::BadLegacyFile {
        reason,
        path: path.into(),
    }
}

fn other_network(path: &Path, other: recognise::Other) -> Error {
    Error::OtherLegacyNetwork {
        what: other.what,
        seen: other.seen,
        path: path.into(),
    }
}
