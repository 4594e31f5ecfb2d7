//! `legacy`: takes model folders of 2018 into the library, and writes persons out as such folders.
//!
//! The folder's files and the network's shapes are the library engine's business, the network itself
//! the model engine's; this brings the two together and says what a folder leaves uncertain. An
//! import is a run without parents: its encoder state becomes the current one, both decoders name it,
//! and decoders of other persons keep the encoder state they were trained with.
//!
//! Start with [`import`]; [`export`] is its way back.

mod kin;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;
use stockpot_core::{Area, PersonName};
use stockpot_library::legacy::{LEGACY_FILES, LegacyFolder, LegacyNet, read_legacy, write_legacy};
use stockpot_library::{
    CommitReport, Consented, DecoderForm, Deed, EncoderChoice, Library, NewDecoder, NewState,
    RunCommit, RunId, Use, Used,
};
use stockpot_model::{Family, Kind, Layout, Network, Params, weights_file};

pub use self::kin::Related;
use crate::compat::CalibrationSource;
use crate::context::{Context, now_secs};
use crate::error::{JobError, io};
use crate::person::PATIENCE;
use crate::swap::{SHIFT, area_of};

/// The square of the face that the tools of 2018 trained on.
const AREA: Area = Area::Narrow;
/// How far those tools drew faces to the right and down of where they were seen, in pixels of 64: the
/// warped input and the target came from grids half a pixel apart.
const SHIFT_PX: f64 = 0.5;

/// A folder and the persons whose decoders are in it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder with `encoder.h5`, `decoder_A.h5` and `decoder_B.h5`.
    pub dir: PathBuf,
    /// The person of `decoder_A.h5`.
    pub a: PersonName,
    /// The person of `decoder_B.h5`.
    pub b: PersonName,
}

/// What the program that wrote a folder did in another way than the scripts of 2018, or what of
/// their ways is to be put right. None of it can be read from the files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Corrections {
    /// It read pictures as RGB, not BGR.
    pub rgb: bool,
    /// It flattened channels, rows, columns, as on Theano.
    pub channels_first: bool,
    /// Faces that are drawn are put half a pixel of 64 back, where they belong.
    pub half_pixel: bool,
}

/// What was imported.
#[derive(Debug, Clone, Serialize)]
pub struct ImportReply {
    /// The run that records it.
    pub run: String,
    /// The network, by our name.
    pub network: String,
    /// What it was found to be.
    pub found: String,
    /// The program that wrote it, in its own words.
    pub written_by: Option<String>,
    /// The encoder state.
    pub encoder: String,
    /// The decoder states.
    pub decoders: Vec<DecoderReply>,
    /// What the folder does not say, and what was assumed.
    pub uncertain: Vec<String>,
    /// Persons whose decoders belong to an earlier encoder state; they still use that.
    pub with_earlier_encoder: Vec<PersonName>,
    /// How the encoder is related to those that were here, by measurement.
    pub related: Vec<Related>,
    /// What to do next.
    pub next: String,
}

/// An imported decoder.
#[derive(Debug, Clone, Serialize)]
pub struct DecoderReply {
    /// Whose, as the user says.
    pub person: PersonName,
    /// The file it was read from.
    pub file: &'static str,
    /// Its state.
    pub state: String,
}

/// What was exported.
#[derive(Debug, Clone, Serialize)]
pub struct ExportReply {
    /// The folder.
    pub folder: PathBuf,
    /// The network, by our name.
    pub network: String,
    /// The encoder state in it.
    pub encoder: String,
    /// What the files do not say by themselves.
    pub notes: Vec<String>,
}

/// Imports a folder, and measures on the calibration faces whether its encoder comes from the line of
/// one that is here.
///
/// # Errors
/// If a person is unknown or without consent, if the folder is not one of the network of 2018, if
/// the library holds other networks, or if somebody else commits at the same moment.
pub fn import(
    ctx: &Context,
    source: Result<&dyn CalibrationSource, String>,
    settings: &Settings,
    corrections: Corrections,
) -> Result<ImportReply, JobError> {
    let library = ctx.library()?;
    let consents = consents(ctx, &library, settings, Use::Train)?;
    ctx.phase("read the folder", 0);
    let mut folder = read_legacy(&settings.dir)?;
    if corrections.rgb {
        folder.keep_colours();
    }
    if corrections.channels_first {
        folder.flatten_by_rows();
    }
    let family = family_of(folder.net)?;
    refuse_other_library(&library, family)?;
    ctx.check_cancel()?;
    ctx.phase("store the states", 0);
    let uncertain = uncertain(&folder, corrections);
    let described = json!({
        "kind": "legacy-import",
        "folder": settings.dir.display().to_string(),
        "persons": { "A": settings.a, "B": settings.b },
        "files": LEGACY_FILES.iter().zip(&folder.hashes)
            .map(|(file, hash)| ((*file).to_owned(), json!(hash)))
            .collect::<serde_json::Map<_, _>>(),
        "backend": folder.writer.backend,
        "keras_version": folder.writer.keras_version,
        "uncertain": uncertain,
        "corrected": {
            "rgb": corrections.rgb,
            "channels_first": corrections.channels_first,
            "half_pixel": corrections.half_pixel,
        },
    });
    let written_by = folder.writer.keras_version.as_ref().map(|version| {
        let backend = folder
            .writer
            .backend
            .as_deref()
            .unwrap_or("an unnamed backend");
        format!("Keras {version} on {backend}")
    });
    let net = folder.net;
    let shift_px = if corrections.half_pixel {
        SHIFT_PX
    } else {
        0.0
    };
    let (run, report) = commit(
        ctx, &library, family, folder, shift_px, &described, consents,
    )?;
    let related = kin::related(ctx, &library, source, &report.encoder);
    let decoders = [
        (&settings.a, LEGACY_FILES[1]),
        (&settings.b, LEGACY_FILES[2]),
    ];
    Ok(ImportReply {
        run: run.to_string(),
        network: family.to_string(),
        found: format!(
            "Layers {}, Nodes {}{}: {}",
            net.layers(),
            net.nodes(),
            match net.divisor() {
                1 => String::new(),
                divisor => format!(", all other widths divided by {divisor}"),
            },
            net.known_as()
        ),
        written_by,
        encoder: report.encoder.short(),
        decoders: decoders
            .into_iter()
            .map(|(person, file)| DecoderReply {
                person: person.clone(),
                file,
                state: report
                    .decoders
                    .get(person)
                    .map(|h| h.short())
                    .unwrap_or_default(),
            })
            .collect(),
        uncertain,
        with_earlier_encoder: report.trained_with_another,
        related,
        next: format!(
            "look at a few frames: stockpot swap INPUT --to {} -o sheet.png --preview 9",
            settings.b
        ),
    })
}

/// Exports two persons whose decoders were trained with one encoder state.
///
/// # Errors
/// If a person is unknown, without consent or without a decoder, if the decoders belong to
/// different encoder states, if the network is not that of 2018, or if the folder holds something.
pub fn export(ctx: &Context, settings: &Settings) -> Result<ExportReply, JobError> {
    let library = ctx.library()?;
    let consents = consents(ctx, &library, settings, Use::Share)?;
    let mut states = Vec::new();
    for consent in &consents {
        let person = consent.person();
        states.push(library.current_decoder(person)?.ok_or_else(|| {
            JobError::failed(format!("`{person}` has no decoder yet"))
                .with_hint(format!("train one with `stockpot train {person} OTHER`"))
        })?);
    }
    let encoders: Vec<_> = states.iter().map(|s| s.record.encoder_state).collect();
    if encoders[0] != encoders[1] {
        return Err(JobError::failed(format!(
            "`{}` was trained with the encoder state {}, `{}` with {}; a folder holds one encoder",
            settings.a,
            encoders[0].short(),
            settings.b,
            encoders[1].short()
        ))
        .with_hint(format!(
            "train them together for a while: `stockpot train {} {}`",
            settings.a, settings.b
        )));
    }
    let encoder = library.encoder_state(&encoders[0])?;
    let family: Family = encoder.record.family.parse()?;
    let net = net_of(family)?;
    ctx.phase("write the folder", 0);
    let network = Network::new(family);
    let load = |layout: &std::sync::Arc<Layout>, object| -> Result<(Params, Area), JobError> {
        let bytes = library.get_object(object)?;
        let area = area_of(&bytes)?;
        Ok((weights_file::from_bytes(family, layout, &bytes)?, area))
    };
    let (weights, area) = load(network.encoder_layout(), &encoder.record.object)?;
    let (a, _) = load(network.decoder_layout(), &states[0].record.object)?;
    let (b, _) = load(network.decoder_layout(), &states[1].record.object)?;
    ctx.check_cancel()?;
    write_legacy(&settings.dir, net, &weights.data, [&a.data, &b.data])?;
    let used = Used {
        deed: Deed::Export,
        consents: consents.iter().collect(),
        encoder: Some(encoder.hash),
        decoders: states.iter().map(|s| s.hash).collect(),
        output: None,
        file: Some(&settings.dir),
    };
    ctx.log_use(&library, &used);
    let mut notes = vec![format!(
        "decoder_A.h5 draws {}, decoder_B.h5 draws {}; the files hold no names and no consent",
        settings.a, settings.b
    )];
    if area != AREA {
        notes.push(format!(
            "it was trained on the area {area:?}, the tools of 2018 cut faces narrower: what they draw with it is too large"
        ));
    }
    Ok(ExportReply {
        folder: settings.dir.clone(),
        network: family.to_string(),
        encoder: encoder.hash.short(),
        notes,
    })
}

fn consents(
    ctx: &Context,
    library: &Library,
    settings: &Settings,
    what: Use,
) -> Result<[Consented; 2], JobError> {
    if settings.a == settings.b {
        return Err(JobError::usage(format!(
            "A and B are both `{}`; a folder holds two persons",
            settings.a
        )));
    }
    Ok([
        ctx.consent(library, &settings.a, what)?,
        ctx.consent(library, &settings.b, what)?,
    ])
}

fn family_of(net: LegacyNet) -> Result<Family, JobError> {
    Ok(Family::classic(net.layers(), net.nodes(), net.divisor())?)
}

fn net_of(family: Family) -> Result<LegacyNet, JobError> {
    let net = match family.kind() {
        Kind::Classic {
            layers,
            nodes,
            divisor,
        } => LegacyNet::new(layers, nodes, divisor),
        Kind::Comb(_) => None,
    };
    net.ok_or_else(|| {
        JobError::failed(format!(
            "This library holds {family} networks; only the network of 2018 (`classic-LxN`) fits into such a folder"
        ))
    })
}

/// A library holds one family, and one area goes with an encoder.
fn refuse_other_library(library: &Library, family: Family) -> Result<(), JobError> {
    if let Some(has) = library.family()?
        && has != family.to_string()
    {
        return Err(JobError::failed(format!(
            "This library holds {has} networks, the folder holds a {family} network"
        ))
        .with_hint("import it into a library of its own: `stockpot --library DIR init`"));
    }
    if let Some(current) = library.current_encoder()? {
        let area = area_of(&library.get_object(&current.record.object)?)?;
        if area != AREA {
            return Err(JobError::failed(format!(
                "This library's encoder was trained on the area {area:?}, those of 2018 on {AREA:?}"
            ))
            .with_hint("import it into a library of its own: `stockpot --library DIR init`"));
        }
    }
    Ok(())
}

fn commit(
    ctx: &Context,
    library: &Library,
    family: Family,
    folder: LegacyFolder,
    shift_px: f64,
    described: &serde_json::Value,
    consents: [Consented; 2],
) -> Result<(RunId, CommitReport), JobError> {
    let network = Network::new(family);
    let (encoder_layout, decoder_layout) = (network.encoder_layout(), network.decoder_layout());
    // The shapes are stated twice, by two engines that do not know each other.
    let agree = fits(encoder_layout, &folder.net.encoder_shapes())
        && fits(decoder_layout, &folder.net.decoder_shapes());
    if !agree {
        return Err(wrong_shapes());
    }
    let now = now_secs();
    let persons = consents.each_ref().map(|c| c.person().clone());
    let expected = library.starting_point(&persons)?;
    let run = library.new_run_id(now, ctx.seed)?;
    let path = library.run_dir(&run).join("import.json");
    let settings_json = serde_json::to_string_pretty(described)
        .map_err(|e| JobError::failed(format!("Cannot describe the import: {e}")))?;
    stockpot_core::picture::write_whole(&path, settings_json.as_bytes())
        .map_err(|e| io("write the import's description", &path, &e))?;
    let metadata = BTreeMap::from([
        ("area".to_owned(), format!("{AREA:?}").to_lowercase()),
        ("run".to_owned(), run.to_string()),
    ]);
    let mut drawn = metadata.clone();
    if shift_px != 0.0 {
        drawn.insert(SHIFT.to_owned(), shift_px.to_string());
    }
    let state = |layout: &std::sync::Arc<Layout>, data, words| -> Result<NewState, JobError> {
        let params = Params::from_data(layout.clone(), data).ok_or_else(wrong_shapes)?;
        Ok(NewState {
            bytes: weights_file::to_bytes(family, &params, words)?,
            ..NewState::default()
        })
    };
    let encoder = EncoderChoice::New(state(encoder_layout, folder.encoder, &metadata)?);
    let mut decoders = Vec::new();
    for (consent, data) in consents.into_iter().zip(folder.decoders) {
        decoders.push(NewDecoder {
            consent,
            stitched_from: None,
            form: DecoderForm::Full,
            state: state(decoder_layout, data, &drawn)?,
        });
    }
    let writer = library.writer(now, PATIENCE)?;
    let report = writer.commit_run(RunCommit {
        run: run.clone(),
        family: family.to_string(),
        expected,
        encoder,
        decoders,
        settings_json,
        seed: ctx.seed,
        metrics: BTreeMap::new(),
        began_secs: now,
        now_secs: now_secs(),
    })?;
    ctx.tell_unlogged(&writer);
    Ok((run, report))
}

fn fits(layout: &Layout, shapes: &[Vec<usize>]) -> bool {
    layout.specs().iter().map(|s| &s.shape).eq(shapes)
}

fn wrong_shapes() -> JobError {
    JobError::failed("The network of 2018 has two different shapes in this program: this is a bug")
}

/// What such a folder does not say.
fn uncertain(folder: &LegacyFolder, corrections: Corrections) -> Vec<String> {
    let colours = match corrections.rgb {
        true => "the colour order: RGB, as you said",
        false => {
            "the colour order: BGR was assumed, as the tools of 2018 read pictures; if red and blue are exchanged in a swap, import it again with --colours rgb"
        }
    };
    let shift = match corrections.half_pixel {
        true => {
            "the shift of their training, half a pixel of 64 to the lower right: a swap puts faces back by as much, as you said"
        }
        false => {
            "the shift of their training: those tools drew faces half a pixel of 64 to the lower right; `--half-pixel` at import lets swaps put them back"
        }
    };
    let mut out = vec![
        "who A and B are: the files hold no names, yours were taken".to_owned(),
        "that the three files belong together: every decoder fits every encoder by its shapes"
            .to_owned(),
        colours.to_owned(),
        "how faces were cut: brows to lower lip by 68 landmarks was assumed (the area narrow)"
            .to_owned(),
        shift.to_owned(),
        "how long it was trained: counted as 0 steps".to_owned(),
    ];
    if corrections.channels_first {
        out.push("the order of the dense layers: channels, rows, columns, as you said".to_owned());
    }
    if folder.net.layers() != 4 && folder.net.layers() != 3 {
        out.push(format!("the network: it is {}", folder.net.known_as()));
    }
    match folder.writer.backend.as_deref() {
        Some("tensorflow") => {}
        Some("theano") => {
            let mut text = "the backend: Theano's kernels were turned; it pads both sides by as much, which cannot be put right".to_owned();
            if !corrections.channels_first {
                text += "; its dense layers are taken to be in the order rows, columns, channels: if a swap is a blur, import it again with --flatten channels-first";
            }
            out.push(text);
        }
        other => out.push(format!(
            "the backend: it says {}, TensorFlow was assumed",
            other.unwrap_or("nothing")
        )),
    }
    out
}
