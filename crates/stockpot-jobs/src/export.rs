//! `export`: a person's decoder with its encoder as one file that other programs read.
//!
//! ONNX for everybody, `.dfm` for players that swap faces live, safetensors for people who write
//! their own. What leaves the library is a likeness: it needs a consent that allows sharing, and the
//! file says whose it is, by which consent, from which states, and what its pictures owe their
//! viewers. Start with [`run`]; graph and bytes are the model engine's business.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use stockpot_core::{Area, PersonName};
use stockpot_library::{Consented, DecoderStateRecord, Deed, Stored, Use, Used, hash_of_file};
use stockpot_model::onnx::{self, OnnxModel};
use stockpot_model::{Network, weights_file};

use crate::compat::current_decoder;
use crate::compat::measure::{Encoder, load_decoder};
use crate::context::Context;
use crate::error::{JobError, io};
use crate::space;

/// What the pictures of an exported person owe their viewers.
pub const CREDENTIALS: &str = "Pictures and videos made with this model are synthetic and show this person. Sign them with content credentials that say so, and label them, before anybody else sees them.";

/// Kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An ONNX graph over our own aligned faces.
    Onnx,
    /// An ONNX graph with the inputs and outputs of DeepFaceLive.
    Dfm,
    /// The arrays of both halves, by name.
    Safetensors,
}

/// Whose decoder, as what, where to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The person.
    pub person: PersonName,
    /// What to write.
    pub format: Format,
    /// The file; one that is there is not overwritten.
    pub file: PathBuf,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The file.
    pub file: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// Whose decoder.
    pub person: PersonName,
    /// The decoder state in it.
    pub decoder: String,
    /// The encoder state in it.
    pub encoder: String,
    /// The encoder state that the decoder was trained with, if it is stitched to this one.
    pub stitched_from: Option<String>,
    /// The network.
    pub network: String,
    /// What goes in.
    pub input: String,
    /// What comes out.
    pub output: String,
    /// What its users should know.
    pub notes: Vec<String>,
}

/// Writes the file: whole, or not at all.
///
/// # Errors
/// If the person is unknown, has no decoder, or no consent that allows sharing; if the file is there
/// already; if the library is damaged or the disk too small.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let consent = ctx.consent(&library, &settings.person, Use::Share)?;
    let decoder = current_decoder(&library, &settings.person)?;
    if settings.file.exists() {
        return Err(JobError::failed(format!(
            "There is a file already\n  path: {}",
            settings.file.display()
        ))
        .with_hint("name another file"));
    }
    ctx.phase("read the states", 0);
    let encoder = Encoder::load(&library, &decoder.record.encoder_state)?;
    let weights = load_decoder(&library, &encoder.network, &decoder.record)?;
    let words = words(&consent, &encoder, &decoder);
    ctx.check_cancel()?;
    ctx.phase("write the file", 0);
    let (network, area) = (&encoder.network, encoder.area);
    let size_bytes = match settings.format {
        Format::Onnx => {
            let model = onnx::exchange(network, &encoder.params, &weights, &words);
            write_model(&settings.file, &model)?
        }
        Format::Dfm => {
            let model = onnx::dfm(network, &encoder.params, &weights, area, &words);
            write_model(&settings.file, &model)?
        }
        Format::Safetensors => {
            let halves = [&encoder.params, &weights];
            let bytes = weights_file::both_to_bytes(network.family(), halves, &words)?;
            space::need(&settings.file, bytes.len() as u64, "the export")?;
            write_whole(&settings.file, |out| out.write_all(&bytes))?;
            bytes.len() as u64
        }
    };
    let hash = hash_of_file(&settings.file)
        .map_err(|e| ctx.warn(format!("The file cannot be read for the log: {e}")));
    let used = Used {
        deed: Deed::Export,
        consents: vec![&consent],
        encoder: Some(encoder.hash),
        decoders: vec![decoder.hash],
        output: hash.ok(),
        file: Some(&settings.file),
    };
    ctx.log_use(&library, &used);
    let (input, output) = shapes(settings.format, network, area);
    Ok(Reply {
        file: settings.file.clone(),
        size_bytes,
        person: settings.person.clone(),
        decoder: decoder.hash.short(),
        encoder: encoder.hash.short(),
        stitched_from: decoder.record.stitched_from.map(|h| h.short()),
        network: network.family().to_string(),
        input,
        output,
        notes: notes(settings.format, network, area),
    })
}

/// The file's metadata.
fn words(
    consent: &Consented,
    encoder: &Encoder,
    decoder: &Stored<DecoderStateRecord>,
) -> BTreeMap<String, String> {
    let person = consent.person();
    let mut words = BTreeMap::from([
        (
            "what",
            format!("An encoder, and a decoder that draws the face of {person}"),
        ),
        ("person", person.to_string()),
        ("consent", consent.record().to_string()),
        ("consent_basis", consent.basis().to_string()),
        ("network", encoder.network.family().to_string()),
        ("area", area_word(encoder.area)),
        ("decoder", decoder.hash.to_string()),
        ("encoder", encoder.hash.to_string()),
        ("run", decoder.record.run.to_string()),
        ("credentials", CREDENTIALS.to_owned()),
        ("software", stockpot_library::SOFTWARE.to_owned()),
    ]);
    if let Some(from) = decoder.record.stitched_from {
        words.insert("stitched_from", from.to_string());
    }
    words
        .into_iter()
        .map(|(key, value)| (format!("stockpot.{key}"), value))
        .collect()
}

fn area_word(area: Area) -> String {
    format!("{area:?}").to_lowercase()
}

fn shapes(format: Format, network: &Network, area: Area) -> (String, String) {
    let side = network.family().resolution();
    let mask = network.family().has_mask();
    match format {
        Format::Onnx => (
            format!("face [batch, 3, {side}, {side}], RGB, 0 to 1"),
            match mask {
                true => format!("rgb [batch, 3, {side}, {side}], mask [batch, 1, {side}, {side}]"),
                false => format!("rgb [batch, 3, {side}, {side}]"),
            },
        ),
        Format::Dfm => {
            let side = onnx::dfm_resolution(network, area);
            (
                format!("in_face:0 [batch, {side}, {side}, 3], BGR, 0 to 1"),
                "out_face_mask:0, out_celeb_face:0, out_celeb_face_mask:0".to_owned(),
            )
        }
        Format::Safetensors => (
            format!("arrays encoder.*: [{side}, {side}, 3], RGB, 0 to 1, to the code"),
            format!(
                "arrays decoder.*: the code to [{side}, {side}, {}]",
                if mask { 4 } else { 3 }
            ),
        ),
    }
}

fn notes(format: Format, network: &Network, area: Area) -> Vec<String> {
    let mut out = vec![CREDENTIALS.to_owned()];
    match format {
        Format::Dfm => {
            if !network.family().has_mask() {
                out.push("This network draws no mask: the file has a soft ellipse for one".into());
            }
            if area == Area::Head {
                out.push("It was trained on the whole head, players cut less: its rim sees repeated pixels".into());
            }
            out.push("What players will see is described in docs/formats/dfm.md".into());
        }
        Format::Onnx | Format::Safetensors => out.push(format!(
            "Faces must be cut as stockpot cuts them, area {}: see docs/formats/onnx.md",
            area_word(area)
        )),
    }
    out
}

fn write_model(file: &Path, model: &OnnxModel) -> Result<u64, JobError> {
    space::need(file, model.bytes(), "the export")?;
    write_whole(file, |out| model.write_to(out))?;
    Ok(model.bytes())
}

/// Writes beside the file, flushes, and renames. Models are not put together in memory first: the
/// largest would take as much again as its weights.
fn write_whole(
    file: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), JobError> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    let result = (|| {
        let mut out = BufWriter::new(File::create(&beside)?);
        write(&mut out)?;
        out.into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()?;
        std::fs::rename(&beside, file)
    })();
    result.map_err(|e| {
        // Best effort: the error that matters is already on its way.
        let _ = std::fs::remove_file(&beside);
        io("write the export", file, &e)
    })
}

#[cfg(test)]
mod tests;
