//! `swap`: draws a person of the library into a video, a folder of pictures, or a picture.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
pub use stockpot_convert::{ColourMatch, ConvertSettings, MaskMode};
use stockpot_convert::{SheetRow, contact_sheet};
use stockpot_core::space::Crop;
use stockpot_core::{
    Affine, Area, ContentHash, FaceLandmarks, Frame, PersonName, Size, face, warp,
};
use stockpot_faces::identity::{self, TrackIdentity};
use stockpot_faces::{Embedding, TrackId};
use stockpot_faceset::{Faceset, ops};
use stockpot_library::{Consented, Deed, Library, Use, Used, hash_of_file};
use stockpot_media::{Extent, OutputSettings, SourceKind, VideoFrame, VideoWriter};
use stockpot_model::{Family, Network, weights_file};
use stockpot_provenance::{SealId, Sealer, TimeAuthority};
use stockpot_train::settings::Precision;

use crate::analyse::{self, Analysis, SAME_PERSON, no_face};
use crate::compat;
use crate::context::Context;
use crate::disclosure;
use crate::error::JobError;
use crate::frames::FramesAhead;
use crate::labelling::{self, Labelling};
use crate::marking::{self, Marking};
use crate::models::load;
use crate::research::{self, Research};
use crate::sealing::{Drawn, Words, place_of};
use crate::sink::{Finished, Seal, Sink};
use crate::swapper::{GROUP, Pair, Swapper};

/// Cells of a preview sheet.
const PREVIEW_CELL: Size = Size::new(480, 480);

/// Whose face of the input is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The person seen in most frames.
    #[default]
    Main,
    /// A person of the library.
    Person(PersonName),
    /// The N-th person by frames seen, from 1.
    Nth(u32),
}

/// What to swap.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Video, folder of pictures, or picture.
    pub input: PathBuf,
    /// Whose face is drawn.
    pub to: PersonName,
    /// Whose face it replaces.
    pub wanted: Wanted,
    /// Where the result goes; for a preview, a picture.
    pub output: PathBuf,
    /// Only a contact sheet of so many frames.
    pub preview: Option<u32>,
    /// First and last frame; all without.
    pub frames: Option<(u64, u64)>,
    /// Quality of the video, 0 to 51, smaller is better.
    pub crf: Option<u8>,
    /// Another encoder state than the one that the decoder belongs to, as `library check` takes it.
    pub encoder: Option<String>,
    /// Number format of the networks' products.
    pub precision: Precision,
    /// How the face is put back.
    pub convert: ConvertSettings,
    /// What the output is told to show, beside its seal and its mark.
    pub openness: Openness,
}

/// What there is to show about an output, on request.
#[derive(Debug, Clone, Default)]
pub struct Openness {
    /// A label that everybody sees.
    pub label: Option<labelling::Settings>,
    /// A disclosure sheet beside the output, as text and as a page.
    pub disclosure: bool,
    /// A folder for exact masks and parameters of every frame; it must not exist or be empty.
    pub research: Option<PathBuf>,
    /// The address of a time-stamping authority; without one nobody is asked.
    pub time_stamp: Option<String>,
}

/// Pictures that are sealed one by one ask for a time stamp each; more of them would be a burden on
/// somebody's service.
const MOST_STAMPS: usize = 100;

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The video, picture, folder or contact sheet.
    pub output: PathBuf,
    /// Frames of the input that were looked at.
    pub frames: u64,
    /// Frames with any face.
    pub frames_with_face: u64,
    /// Frames in which the face was replaced.
    pub swapped_frames: u64,
    /// The decoder state that was used.
    pub decoder: String,
    /// The number of the seal in the output's content credentials.
    pub seal: String,
    /// The file of credentials, where the output's format cannot hold them.
    pub sidecar: Option<PathBuf>,
    /// What the visible label says.
    pub label: Option<String>,
    /// The disclosure sheets.
    pub disclosure: Vec<PathBuf>,
    /// The folder of masks and parameters.
    pub research: Option<PathBuf>,
    /// Frames per second, both passes.
    pub frames_per_sec: f64,
    /// What is not as in the source.
    pub remarks: Vec<String>,
}

/// Swaps.
///
/// # Errors
/// If the person is unknown, without consent or untrained; the input cannot be read or shows nobody
/// wanted; the output cannot be written; or the user stopped the job. Nothing half done is left.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let start = Instant::now();
    settings.convert.validate()?;
    let library = ctx.library()?;
    let consents = consents(ctx, &library, settings)?;
    let Some(consent) = consents.first() else {
        return Err(JobError::failed("No consent was asked for: this is a bug"));
    };
    let (pair, drawn) = load_pair(ctx, &library, settings, consent)?;
    let states = States {
        encoder: drawn.model.encoder,
        decoder: drawn.model.decoder,
    };
    let area = pair.area();
    check_output(ctx, settings)?;
    if let Some(folder) = &settings.openness.research {
        research::check(folder)?;
    }
    let sealer = match &settings.openness.time_stamp {
        Some(address) => ctx.sealer()?.stamped_by(TimeAuthority::new(address)?)?,
        None => ctx.sealer()?,
    };
    let models = load(ctx)?;
    let references = references(&library, &settings.wanted)?;
    let range = settings
        .frames
        .map_or(0..u64::MAX, |(a, b)| a..b.saturating_add(1));
    let analysis = analyse::run(ctx, &models, &settings.input, range.clone())?;
    let tracks = choose(ctx, settings, &analysis, &references)?;
    let faces = analysis.by_frame(&tracks);
    let frame_size = analysis.info.video.size;
    let places = faces
        .iter()
        .filter_map(|(frame, face)| Some((*frame, place_of(face, area, frame_size)?)));
    let words = Words {
        seal: SealId::fresh(),
        drawn,
        input: settings.input.clone(),
        pictures: match analysis.info.kind {
            SourceKind::PictureFolder => stockpot_media::pictures_in(&settings.input)?,
            SourceKind::Picture | SourceKind::Video => Vec::new(),
        },
        frame_size,
        places: places.collect(),
        first: range.start,
        label: settings
            .openness
            .label
            .as_ref()
            .map(labelling::Settings::told),
        research: settings.openness.research.is_some(),
    };
    let seal = Seal { sealer, words };
    let seal_id = seal.words.seal;
    let mut swapper = Swapper::new(pair, faces, settings.convert.clone())?;
    let finished = match settings.preview {
        Some(count) => preview(
            ctx,
            settings,
            &analysis,
            &tracks,
            &mut swapper,
            count,
            &seal,
        )?,
        None => convert(ctx, settings, &analysis, range, &mut swapper, seal)?,
    };
    if swapper.bad_values() > 0 {
        ctx.warn("The network gave numbers that are not finite: run `stockpot library verify`");
    }
    log(ctx, &library, settings, &consents, states);
    let disclosure = match settings.openness.disclosure {
        true => disclosure::write(
            ctx,
            settings,
            &disclosure::Done {
                library: &library,
                consents: &consents,
                source: &analysis.info,
                frames: [analysis.frames, swapper.swapped()],
                remarks: &finished.remarks,
                seal: seal_id,
            },
        )?,
        false => Vec::new(),
    };
    Ok(Reply {
        output: settings.output.clone(),
        frames: analysis.frames,
        frames_with_face: analysis.frames_with_face,
        swapped_frames: swapper.swapped(),
        decoder: states.decoder.short(),
        seal: seal_id.to_string(),
        sidecar: finished.sidecar,
        label: settings
            .openness
            .label
            .as_ref()
            .map(|label| label.wording.text().to_owned()),
        disclosure,
        research: settings.openness.research.clone(),
        frames_per_sec: analysis.frames as f64 / start.elapsed().as_secs_f64().max(1e-9),
        remarks: finished.remarks,
    })
}

/// The states that draw.
#[derive(Clone, Copy)]
struct States {
    encoder: ContentHash,
    decoder: ContentHash,
}

/// Of who is drawn, and of who is looked for.
fn consents(
    ctx: &Context,
    library: &Library,
    settings: &Settings,
) -> Result<Vec<Consented>, JobError> {
    let mut consents = vec![ctx.consent(library, &settings.to, Use::Swap)?];
    if let Wanted::Person(name) = &settings.wanted {
        consents.push(ctx.consent(library, name, Use::Extract)?);
    }
    Ok(consents)
}

/// Logs what was drawn, with the hash of the file as it lies there now.
fn log(
    ctx: &Context,
    library: &Library,
    settings: &Settings,
    consents: &[Consented],
    states: States,
) {
    let output = match settings.output.is_file() {
        true => hash_of_file(&settings.output)
            .map_err(|e| ctx.warn(format!("The output cannot be read for the log: {e}")))
            .ok(),
        // A folder of pictures has no hash.
        false => None,
    };
    let used = Used {
        deed: Deed::Swap,
        consents: consents.iter().collect(),
        encoder: Some(states.encoder),
        decoders: vec![states.decoder],
        output,
        file: Some(&settings.output),
    };
    ctx.log_use(library, &used);
}

/// Looks at the output before the long first reading, so that nobody waits for that in vain.
fn check_output(ctx: &Context, settings: &Settings) -> Result<(), JobError> {
    if is_same_place(&settings.input, &settings.output) {
        return Err(JobError::usage(format!(
            "The output would replace the input {}",
            settings.input.display()
        ))
        .with_hint("give the output another name"));
    }
    let wants_picture = |what: &str| match is_picture(&settings.output) {
        true => Ok(()),
        false => Err(JobError::usage(format!(
            "{what} is a picture: let the output end in .png or .jpg"
        ))),
    };
    let opener = ctx.opener();
    let info = opener.probe(&settings.input)?;
    if let Some(label) = &settings.openness.label {
        label.check(info.video.size, info.kind == SourceKind::Video)?;
    }
    if settings.preview.is_some() {
        return wants_picture("A preview");
    }
    match info.kind {
        SourceKind::Picture => wants_picture("The input"),
        SourceKind::PictureFolder => check_stamps(settings),
        SourceKind::Video => {
            // Makes its part files and opens the encoder; dropped, it takes them away again.
            VideoWriter::create(&settings.output, &info, &output_settings(settings), &opener)?;
            Ok(Sealer::check(&settings.output)?)
        }
    }
}

/// Refuses a folder whose pictures would ask for too many time stamps.
fn check_stamps(settings: &Settings) -> Result<(), JobError> {
    if settings.openness.time_stamp.is_none() {
        return Ok(());
    }
    let all = stockpot_media::pictures_in(&settings.input)?.len();
    let wanted = settings.frames.map_or(all, |(first, last)| {
        let count = last.saturating_sub(first).saturating_add(1);
        all.min(usize::try_from(count).unwrap_or(usize::MAX))
    });
    if wanted > MOST_STAMPS {
        return Err(JobError::usage(format!(
            "Each of {wanted} pictures would ask for a time stamp of its own; at most {MOST_STAMPS} may"
        ))
        .with_hint("make a video of them first, take fewer with --frames, or do without with `--time-stamp none`"));
    }
    Ok(())
}

/// Whether two names lead to one file or folder.
pub(crate) fn is_same_place(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        // One of them does not exist, usually the output.
        _ => a == b,
    }
}

fn output_settings(settings: &Settings) -> OutputSettings {
    OutputSettings {
        crf: settings.crf,
        extent: match settings.frames {
            Some(_) => Extent::Clip,
            None => Extent::Whole,
        },
        ..OutputSettings::default()
    }
}

/// Loads a person's decoder with the encoder state it was trained with, the one pair that is known
/// to belong together; or with another one, which may not be foreign to it.
fn load_pair(
    ctx: &Context,
    library: &Library,
    settings: &Settings,
    consent: &Consented,
) -> Result<(Pair, Drawn), JobError> {
    let person = &settings.to;
    let decoder = library.current_decoder(person)?.ok_or_else(|| {
        JobError::failed(format!("`{person}` has no decoder yet"))
            .with_hint(format!("train one with `stockpot train {person} OTHER`"))
    })?;
    let own = decoder.record.encoder_state;
    let wanted = match &settings.encoder {
        Some(key) => compat::find_encoder(library, key)?,
        None => own,
    };
    let found = compat::relation::refuse_foreign(library, person, &own, &wanted)?;
    if found.verdict == compat::relation::Verdict::Kin {
        ctx.warn(format!(
            "`{person}` may be drawn worse than under the decoder's own encoder state {}: {}",
            own.short(),
            found.reason
        ));
    }
    let encoder = library.encoder_state(&wanted)?;
    let family: Family = decoder.record.family.parse()?;
    let network = Network::new(family);
    let encoder_bytes = library.get_object(&encoder.record.object)?;
    let decoder_bytes = library.get_object(&decoder.record.object)?;
    let encoder = weights_file::from_bytes(family, network.encoder_layout(), &encoder_bytes)?;
    let params = crate::decoder::load(library, &network, &decoder.record)?;
    let area = area_of(&decoder_bytes)?;
    let trained_on = area_of(&encoder_bytes)?;
    if area != trained_on {
        return Err(JobError::failed(format!(
            "The decoder of `{person}` draws the area {area:?}, the encoder state {} sees {trained_on:?}",
            wanted.short()
        ))
        .with_hint("leave --encoder out"));
    }
    let family = decoder.record.family.clone();
    let drawn = Drawn::new(library, consent, family, wanted, decoder.hash)?;
    let precision = settings.precision.settle()?;
    let pair = Pair::new(&network, area, precision, &encoder, &params);
    Ok((pair.drawn_off(shift_of(&decoder_bytes)?), drawn))
}

/// The training area that a weights file names.
pub(crate) fn area_of(bytes: &[u8]) -> Result<Area, JobError> {
    let metadata = weights_file::metadata(bytes)?;
    let name = metadata.get("area").cloned().unwrap_or_default();
    serde_json::from_value(serde_json::Value::String(name.clone())).map_err(|_| {
        JobError::failed(format!(
            "The weights name the training area `{name}`; known are narrow, face and head"
        ))
        .with_hint("update stockpot, or run `stockpot library verify`")
    })
}

/// What a decoder's file calls its shift, see [`shift_of`].
pub(crate) const SHIFT: &str = "shift_px";
/// A shift larger than this is none of any program that is known.
const MOST_SHIFT_PX: f64 = 4.0;

/// How many of its pixels a decoder draws too far to the right and down, by its file; 0 without a word.
pub(crate) fn shift_of(bytes: &[u8]) -> Result<f64, JobError> {
    let metadata = weights_file::metadata(bytes)?;
    let Some(text) = metadata.get(SHIFT) else {
        return Ok(0.0);
    };
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|px| px.abs() <= MOST_SHIFT_PX);
    number.ok_or_else(|| {
        JobError::failed(format!(
            "The weights name a shift of `{text}` pixels; known are -{MOST_SHIFT_PX} to {MOST_SHIFT_PX}"
        ))
        .with_hint("update stockpot, or run `stockpot library verify`")
    })
}

fn references(library: &Library, wanted: &Wanted) -> Result<Vec<Embedding>, JobError> {
    let Wanted::Person(name) = wanted else {
        return Ok(Vec::new());
    };
    let faceset = Faceset::open(&library.facesets_dir(name))?;
    let median = ops::median_embedding(&faceset);
    let found = median
        .and_then(|e| <[f32; 128]>::try_from(e).ok())
        .map(Embedding);
    found.map(|e| vec![e]).ok_or_else(|| {
        JobError::failed(format!(
            "The faces of `{name}` hold nothing to recognise them by"
        ))
        .with_hint(format!(
            "run `stockpot extract VIDEO --person {name}` again"
        ))
    })
}

fn choose(
    ctx: &Context,
    settings: &Settings,
    analysis: &Analysis,
    references: &[Embedding],
) -> Result<Vec<TrackId>, JobError> {
    let selection = match settings.wanted {
        Wanted::Nth(n) => nth_person(&analysis.identities, n),
        Wanted::Main | Wanted::Person(_) => analysis.choose(references),
    };
    analyse::explain(ctx, &selection);
    if selection.kept.is_empty() {
        let (frames, input) = (analysis.frames, settings.input.display());
        let error = match &settings.wanted {
            _ if frames == 0 && settings.frames.is_some() => {
                JobError::usage(format!("None of the wanted frames is in {input}"))
                    .with_hint("frames are counted from 0; give others with --frames A-B")
            }
            _ if analysis.faces.is_empty() => no_face(frames, &settings.input),
            Wanted::Person(name) => JobError::failed(format!("`{name}` is not seen in {input}"))
                .with_hint("leave --from out to take the person seen most, or use --face N"),
            Wanted::Nth(n) => JobError::failed(format!("There is no person number {n} in {input}"))
                .with_hint("persons are counted from 1, by the frames they are seen in"),
            Wanted::Main => JobError::failed(format!("No face of {input} could be recognised")),
        };
        return Err(error);
    }
    Ok(selection.kept.iter().map(|v| v.track).collect())
}

/// The `n`-th person by frames: the largest, again and again, without those before.
fn nth_person(identities: &[TrackIdentity], n: u32) -> identity::Selection {
    let mut left = identities.to_vec();
    for _ in 1..n {
        let person = identity::largest(&left, SAME_PERSON);
        if person.kept.is_empty() {
            return person;
        }
        left.retain(|t| !person.kept.iter().any(|v| v.track == t.track));
    }
    if n == 0 {
        left.clear();
    }
    identity::largest(&left, SAME_PERSON)
}

fn convert(
    ctx: &Context,
    settings: &Settings,
    analysis: &Analysis,
    range: std::ops::Range<u64>,
    swapper: &mut Swapper<'_>,
    seal: Seal,
) -> Result<Finished, JobError> {
    let opener = ctx.opener();
    let output = output_settings(settings);
    let mut frames = FramesAhead::open(&opener, &settings.input, range)?;
    let marking = Marking::new(seal.words.seal);
    let mut labelling = settings.openness.label.clone().map(Labelling::new);
    let research = settings
        .openness
        .research
        .as_ref()
        .map(|folder| Research::begin(folder, &settings.output, &seal.words, &settings.convert))
        .transpose()?;
    swapper.note_for(research);
    let mut sink = Sink::begin(&settings.output, &analysis.info, &output, &opener, seal)?;
    ctx.phase("swap", analysis.frames);
    let mut done = 0;
    loop {
        let group = next_group(&mut frames)?;
        ctx.check_cancel()?;
        let last = group.len() < GROUP;
        let mut ready = swapper.push(group)?;
        if last {
            ready.extend(swapper.finish()?);
        }
        if let Some(labelling) = &mut labelling {
            labelling.frames(&mut ready)?;
        }
        marking.frames(&mut ready)?;
        for frame in ready {
            sink.write(frame)?;
            done += 1;
        }
        ctx.step(done);
        if last {
            break;
        }
    }
    if done != analysis.frames {
        return Err(JobError::failed(format!(
            "The second reading gave {done} frames, the first {}: the input has changed meanwhile",
            analysis.frames
        )));
    }
    let mut finished = sink.finish()?;
    if let Some(research) = swapper.take_research() {
        research.finish(ctx, &settings.output)?;
    }
    finished
        .remarks
        .extend(marking::remark(analysis.info.video.size));
    Ok(finished)
}

fn next_group(frames: &mut FramesAhead) -> Result<Vec<VideoFrame>, JobError> {
    let mut group = Vec::with_capacity(GROUP);
    while group.len() < GROUP {
        match frames.next()? {
            Some(frame) => group.push(frame),
            None => break,
        }
    }
    Ok(group)
}

/// A contact sheet of frames spread over those with the wanted face.
fn preview(
    ctx: &Context,
    settings: &Settings,
    analysis: &Analysis,
    tracks: &[TrackId],
    swapper: &mut Swapper<'_>,
    count: u32,
    seal: &Seal,
) -> Result<Finished, JobError> {
    let faces = analysis.by_frame(tracks);
    let with_face: Vec<u64> = faces.keys().copied().collect();
    let count = (count as usize).min(with_face.len());
    let chosen: Vec<u64> = (0..count)
        .map(|i| with_face[i * with_face.len() / count])
        .collect();
    ctx.phase("preview", count as u64);
    let mut pairs = Vec::new();
    let end = chosen.last().map_or(0, |l| l + 1);
    let start = chosen.first().copied().unwrap_or(0);
    let mut frames = FramesAhead::open(&ctx.opener(), &settings.input, start..end)?;
    while let Some(frame) = frames.next()? {
        ctx.check_cancel()?;
        if !chosen.contains(&frame.index) {
            continue;
        }
        let index = frame.index;
        let Some(view) = faces
            .get(&index)
            .and_then(|face| close_view(&face.landmarks))
        else {
            continue;
        };
        let see =
            |frame: &VideoFrame| warp::warp_affine(&frame.pixels.to_rgb8(), PREVIEW_CELL, &view);
        let original = see(&frame);
        // Each by itself: smoothing would need all the frames between.
        let mut done = swapper.push(vec![frame])?;
        done.extend(swapper.finish()?);
        if let Some(swapped) = done.pop() {
            pairs.push((index, original, see(&swapped)));
        }
        ctx.step(pairs.len() as u64);
    }
    let rows: Vec<SheetRow<'_>> = pairs
        .iter()
        .map(|(frame, original, swapped)| SheetRow {
            frame: *frame,
            original,
            swapped,
        })
        .collect();
    let mut sheet = contact_sheet(&rows, PREVIEW_CELL)?;
    if let Some(label) = &settings.openness.label {
        Labelling::new(label.clone()).picture(&mut sheet)?;
    }
    Marking::new(seal.words.seal).picture(&mut sheet)?;
    let statement = seal.words.of_sheet(rows.len(), sheet.size());
    seal.sealer
        .seal_picture(&sheet, &settings.output, &statement)?;
    Ok(Finished::default())
}

/// The part of the frame around a face, as a preview shows it: the head upright, as wide as a stored
/// crop. `None` for landmarks in one point.
fn close_view(landmarks: &FaceLandmarks) -> Option<Affine<Frame, Crop>> {
    let crop_from_frame =
        face::crop_from_face(PREVIEW_CELL.width) * landmarks.face_from_frame().ok()?;
    crop_from_frame.inverse().ok()
}

fn is_picture(path: &Path) -> bool {
    let ending = path
        .extension()
        .map(|e| e.to_string_lossy().to_ascii_lowercase());
    matches!(ending.as_deref(), Some("png" | "jpg" | "jpeg"))
}
