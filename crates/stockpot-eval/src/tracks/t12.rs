//! T12, provenance: what is left of the invisible mark after what happens to published pictures and
//! clips, whether it is ever seen where there is none, and whether credentials are whole.
//!
//! Rendered frames are marked as a swap marks its own, changed, and searched as `inspect` searches.
//! Beside it stands a toy: the number in the lowest bit of green, over and over. A number that was
//! not read counts as half of its bits right, which is what guessing gives.

use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use stockpot_core::image::{Rgb8, Size};
use stockpot_core::space::{Affine, Crop, Frame};
use stockpot_core::{Rng, picture, warp};
use stockpot_jobs::JobError;
use stockpot_mark::{Detector, MarkId, Marker};
use stockpot_media::{ClipWriter, FrameRate, OutputSettings, Preset, Written};
use stockpot_provenance::{Inspector, Mark, Origin, SealId, SourceType, Statement, Verdict};
use stockpot_synth::assets::HeadData;
use stockpot_synth::{Moment, Person, draw};

use super::Findings;
use super::t8::cannot_draw;
use crate::bench::{Example, World, cannot};
use crate::measure::{Score, mean, score};
use crate::outcome::{Better, Measure, Toy};
use crate::sets::{Group, Use, frames_of, keep_in_workshop, moments};

/// Side of the pictures and of the frames of clips in pixels: what a face fills of a film.
const PICTURE_SIDE: u32 = 512;
const CLIP_SIDE: u32 = 384;
/// Side of the clean frames that are searched.
const CLEAN_SIDE: u32 = 256;
const FPS: i32 = 25;
/// Bits right that are aimed at, in per cent (research notes, SwapBench design).
const GOAL_JPEG: f64 = 99.0;
const GOAL_OTHER: f64 = 95.0;
/// Times that the mark is made stronger to be seen on the page.
const SHOWN_TIMES: i32 = 20;

/// What happens to frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// JPEG of quality 75.
    Jpeg,
    /// H.264 at crf 28, 4:2:0, preset medium.
    Codec,
    /// Half the size, four pixels into one.
    Half,
    /// A tenth of width and height cut off, more of it at the right and the bottom.
    Crop,
    /// Shown at 83 % and taken with some of the screen around it.
    Screenshot,
    /// Every third frame dropped, every fifth doubled.
    Retime,
}

/// Name, what is done, what is aimed at, and whether it can be done to one picture.
type Row = (&'static str, &'static [Deed], Option<f64>, bool);

const TABLE: [Row; 8] = [
    ("JPEG 75", &[Deed::Jpeg], Some(GOAL_JPEG), true),
    ("H.264 crf 28", &[Deed::Codec], Some(GOAL_OTHER), true),
    ("half size", &[Deed::Half], Some(GOAL_OTHER), true),
    ("cropped 10 %", &[Deed::Crop], Some(GOAL_OTHER), true),
    ("screenshot", &[Deed::Screenshot], Some(GOAL_OTHER), true),
    (
        "screenshot, JPEG 75",
        &[Deed::Screenshot, Deed::Jpeg],
        None,
        true,
    ),
    ("re-timed", &[Deed::Retime], Some(GOAL_OTHER), false),
    (
        "half, H.264 crf 28",
        &[Deed::Half, Deed::Codec],
        None,
        false,
    ),
];

/// Frames that carry one mark: a picture or a clip.
struct Marked {
    id: MarkId,
    plain: Vec<Rgb8>,
    ours: Vec<Rgb8>,
    toy: Vec<Rgb8>,
}

/// Measures.
///
/// # Errors
/// If nothing can be drawn, written or read, or the user stopped.
pub fn provenance(world: &mut World) -> Result<Findings, JobError> {
    let pictures = pictures(world)?;
    let clips = clips(world)?;
    let mut measures = visibility(&pictures)?;
    let mut told = Vec::new();
    for (what, all, clip) in [("pictures", &pictures, false), ("clips", &clips, true)] {
        for row in TABLE.iter().filter(|row| clip || row.3) {
            world.check_cancel()?;
            let (measure, read) = strength(world, what, row, all)?;
            told.push(format!("{what}, {}: {read} of {}", row.0, all.len()));
            measures.push(measure);
        }
    }
    let (alarms, clean, search_ms) = false_alarms(world)?;
    let share = |n: usize, of: usize| 100.0 * n as f64 / of.max(1) as f64;
    measures.push(
        // The toy has no checksum, so it reads a number out of everything.
        Measure::new(
            "false alarms on clean frames",
            "%",
            share(alarms, clean),
            Better::Lower,
        )
        .with_toys(vec![toy(100.0)])
        .with_goal(0.0),
    );
    measures.extend(credentials(world, &pictures, &clips)?);
    if let Some(example) = example(&pictures) {
        world.show(example);
    }
    let frames = clips.first().map_or(0, |c| c.ours.len());
    Ok(Findings {
        measures,
        note: format!(
            "{} rendered pictures of {PICTURE_SIDE} px and {} clips of {frames} frames of {CLIP_SIDE} px; read: {}; \
             {alarms} false alarms on {clean} clean frames of {CLEAN_SIDE} px, {search_ms:.0} ms of search each (the \
             checksum bounds them at 6.6e-7 a search, which so few frames cannot show)",
            pictures.len(),
            clips.len(),
            told.join(", ")
        ),
    })
}

fn toy(value: f64) -> Toy {
    Toy {
        name: "lowest bits",
        value,
    }
}

fn pictures(world: &World) -> Result<Vec<Marked>, JobError> {
    let count = world.effort.pick(1, 8, 24);
    (0..count)
        .map(|n| {
            world.check_cancel()?;
            let person = Person::new(&world.head, world.cast.person(Group::Library, n));
            let moment = world.cast.performance(Use::HeldOut, 128 + n).at(n as f32);
            let frame = drawn(&world.head, &person, &moment, PICTURE_SIDE)?;
            Marked::new(world.cast.seed, n, vec![frame])
        })
        .collect()
}

fn clips(world: &World) -> Result<Vec<Marked>, JobError> {
    let (count, frames) = world.effort.pick((1, 3), (1, 36), (3, 72));
    (0..count)
        .map(|n| {
            world.check_cancel()?;
            let person = Person::new(&world.head, world.cast.person(Group::Library, n));
            let played = world.cast.performance(Use::HeldOut, 192 + n);
            let head = &world.head;
            let frames = moments(played, frames, FPS)
                .par_iter()
                .map(|moment| drawn(head, &person, moment, CLIP_SIDE))
                .collect::<Result<_, _>>()?;
            Marked::new(world.cast.seed, 1000 + n, frames)
        })
        .collect()
}

fn drawn(head: &HeadData, person: &Person, moment: &Moment, side: u32) -> Result<Rgb8, JobError> {
    Ok(draw(head, person, moment, Size::square(side))
        .map_err(cannot_draw)?
        .rgb)
}

impl Marked {
    fn new(seed: u64, number: u64, plain: Vec<Rgb8>) -> Result<Self, JobError> {
        let [a, b, c, d, e, f, ..] = Rng::stream(seed, "T12 seal", number)
            .next_u64()
            .to_be_bytes();
        let id = MarkId::new([a, b, c, d, e, f]);
        let marker = Marker::new(id);
        let mut ours = plain.clone();
        ours.iter_mut().try_for_each(|f| marker.apply(f))?;
        let toy = plain.iter().map(|f| in_lowest_bits(f, id)).collect();
        Ok(Self {
            id,
            plain,
            ours,
            toy,
        })
    }
}

/// How far marked frames are from what they were.
fn visibility(pictures: &[Marked]) -> Result<Vec<Measure>, JobError> {
    let side = PICTURE_SIDE as usize;
    let whole = vec![1.0; side * side];
    let against = |of: fn(&Marked) -> &[Rgb8]| -> Result<Score, JobError> {
        let scores: Result<Vec<Score>, _> = pictures
            .par_iter()
            .flat_map_iter(|m| m.plain.iter().zip(of(m)))
            .map(|(plain, marked)| score(side, &unit(marked), &unit(plain), &whole))
            .collect();
        Ok(mean(&scores?))
    };
    let (ours, other) = (against(|m| &m.ours)?, against(|m| &m.toy)?);
    Ok(vec![
        Measure::new("PSNR of what is marked", "dB", ours.psnr_db, Better::Higher)
            .with_toys(vec![toy(other.psnr_db)]),
        Measure::new("SSIM of what is marked", "", ours.ssim, Better::Higher)
            .with_toys(vec![toy(other.ssim)]),
    ])
}

fn unit(frame: &Rgb8) -> Vec<f32> {
    frame.data().iter().map(|v| f32::from(*v) / 255.0).collect()
}

/// Bits right after one row of the table, and how many marks were read.
fn strength(
    world: &World,
    what: &str,
    (name, deeds, goal, _): &Row,
    all: &[Marked],
) -> Result<(Measure, usize), JobError> {
    let file = world.folder().join("t12.mp4");
    let (mut bits, mut toy_bits, mut read) = (0.0, 0.0, 0);
    for marked in all {
        let found = number_in(&done(deeds, &marked.ours, &file)?)?;
        bits += found.map_or(0.5, |id| same_bits(id, marked.id));
        read += usize::from(found == Some(marked.id));
        toy_bits += same_bits(
            from_lowest_bits(&done(deeds, &marked.toy, &file)?),
            marked.id,
        );
    }
    let share = |bits: f64| 100.0 * bits / all.len().max(1) as f64;
    let measure = Measure::new(
        format!("bits right, {what}, {name}"),
        "%",
        share(bits),
        Better::Higher,
    )
    .with_toys(vec![toy(share(toy_bits))])
    .with_goal(*goal);
    Ok((measure, read))
}

fn number_in(frames: &[Rgb8]) -> Result<Option<MarkId>, JobError> {
    let mut detector = Detector::new();
    frames.iter().try_for_each(|f| detector.push(f))?;
    Ok(detector.finish().found.map(|f| f.id))
}

fn same_bits(a: MarkId, b: MarkId) -> f64 {
    let pairs = a.bytes().into_iter().zip(b.bytes());
    let other: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
    1.0 - f64::from(other) / MarkId::BITS as f64
}

fn done(deeds: &[Deed], frames: &[Rgb8], file: &Path) -> Result<Vec<Rgb8>, JobError> {
    let mut frames = frames.to_vec();
    for deed in deeds {
        frames = deed.done(frames, file)?;
    }
    Ok(frames)
}

impl Deed {
    fn done(self, frames: Vec<Rgb8>, file: &Path) -> Result<Vec<Rgb8>, JobError> {
        Ok(match self {
            Self::Jpeg => frames
                .par_iter()
                .map(|f| picture::from_bytes(&picture::to_jpeg(f, 75)?, Path::new("t12.jpg")))
                .collect::<Result<_, _>>()?,
            Self::Codec => {
                keep_in_workshop(encoded(&frames, file, Some(28))?)?;
                frames_of(file)?
            }
            Self::Half => frames.par_iter().map(half).collect(),
            Self::Crop => frames.par_iter().map(crop).collect(),
            Self::Screenshot => frames.par_iter().map(screenshot).collect(),
            Self::Retime => retimed(frames),
        })
    }
}

/// The frames as a video, not named yet.
fn encoded(frames: &[Rgb8], file: &Path, crf: Option<u8>) -> Result<Written, JobError> {
    let size = frames.first().map_or(Size::square(0), Rgb8::size);
    let rate = FrameRate { num: FPS, den: 1 };
    let settings = OutputSettings {
        crf,
        preset: Preset::Medium,
        ..OutputSettings::default()
    };
    let mut writer = ClipWriter::create(file, size, rate, None, &settings)?;
    for frame in frames {
        writer.write(frame.clone())?;
    }
    Ok(writer.finish()?)
}

fn half(frame: &Rgb8) -> Rgb8 {
    let Size { width, height } = frame.size();
    let mut out = Rgb8::new(Size::new(width / 2, height / 2));
    for y in 0..height / 2 {
        for x in 0..width / 2 {
            let four =
                [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(i, j)| frame.pixel(2 * x + i, 2 * y + j));
            let mean = std::array::from_fn(|c| {
                let sum: u32 = four.iter().map(|p| u32::from(p[c])).sum();
                ((sum + 2) / 4) as u8
            });
            out.set_pixel(x, y, mean);
        }
    }
    out
}

fn crop(frame: &Rgb8) -> Rgb8 {
    let Size { width, height } = frame.size();
    let size = Size::new(width * 9 / 20 * 2, height * 9 / 20 * 2);
    seen(
        frame,
        size,
        (1.0, f64::from(width / 25), f64::from(height * 3 / 100)),
    )
}

fn screenshot(frame: &Rgb8) -> Rgb8 {
    let Size { width, height } = frame.size();
    let shown = |side: u32| side * 83 / 100;
    let size = Size::new(shown(width), shown(height));
    let small = seen(frame, size, (1.0 / 0.83, 0.0, 0.0));
    let mut screen = Rgb8::new(Size::new(size.width + 62, size.height + 94));
    for p in screen.data_mut().chunks_exact_mut(3) {
        p.copy_from_slice(&[0x2b, 0x2f, 0x36]);
    }
    screen.paste(&small, 27, 55);
    screen
}

/// What is seen of a frame from `(left, top)` on at `step` pixels a pixel.
fn seen(frame: &Rgb8, size: Size, (step, left, top): (f64, f64, f64)) -> Rgb8 {
    let from: Affine<Frame, Crop> = Affine::scale_then_shift(step, left.floor(), top.floor());
    warp::warp_affine(frame, size, &from)
}

fn retimed(frames: Vec<Rgb8>) -> Vec<Rgb8> {
    let mut out = Vec::new();
    for (i, frame) in frames.into_iter().enumerate() {
        if i % 5 == 0 {
            out.push(frame.clone());
        }
        if i % 3 != 1 {
            out.push(frame);
        }
    }
    out
}

/// Bit after bit of the number in the lowest bit of green, from the top left.
fn in_lowest_bits(frame: &Rgb8, id: MarkId) -> Rgb8 {
    let mut out = frame.clone();
    for (i, p) in out.data_mut().chunks_exact_mut(3).enumerate() {
        p[1] = p[1] & 0xfe | bit(id, i);
    }
    out
}

/// What most pixels of all frames say.
fn from_lowest_bits(frames: &[Rgb8]) -> MarkId {
    let mut votes = [0i64; MarkId::BITS];
    for frame in frames {
        for (i, p) in frame.data().chunks_exact(3).enumerate() {
            votes[i % MarkId::BITS] += i64::from(p[1] & 1) * 2 - 1;
        }
    }
    let mut bytes = [0; 6];
    for (at, votes) in votes.iter().enumerate() {
        bytes[at / 8] |= u8::from(*votes > 0) << (7 - at % 8);
    }
    MarkId::new(bytes)
}

fn bit(id: MarkId, at: usize) -> u8 {
    let at = at % MarkId::BITS;
    id.bytes()[at / 8] >> (7 - at % 8) & 1
}

/// Marks seen in frames that carry none, how many were searched, and the time of a search in ms.
fn false_alarms(world: &World) -> Result<(usize, usize, f64), JobError> {
    const AT_ONCE: u64 = 20;
    let count: u64 = world.effort.pick(2, 60, 1000);
    let (head, cast) = (&world.head, world.cast);
    let (mut alarms, mut search_secs) = (0, 0.0);
    for first in (0..count).step_by(AT_ONCE as usize) {
        world.check_cancel()?;
        let last = count.min(first + AT_ONCE);
        let frames: Vec<Rgb8> = (first..last)
            .into_par_iter()
            .map(|n| {
                let person = Person::new(head, cast.person(Group::Strangers, n));
                let played = cast.performance(Use::Strangers, n % 256);
                drawn(head, &person, &played.at(n as f32 / 7.0), CLEAN_SIDE)
            })
            .collect::<Result<_, _>>()?;
        let begun = Instant::now();
        for frame in frames {
            alarms += usize::from(number_in(&[frame])?.is_some());
        }
        search_secs += begun.elapsed().as_secs_f64();
    }
    Ok((alarms, count as usize, 1000.0 * search_secs / count as f64))
}

/// Whether sealed files are whole, and whether every changed byte is found.
fn credentials(
    world: &World,
    pictures: &[Marked],
    clips: &[Marked],
) -> Result<Vec<Measure>, JobError> {
    let (Some(still), Some(clip)) = (pictures.first(), clips.first()) else {
        return Err(JobError::failed("T12 has nothing to seal: this is a bug"));
    };
    let sealer = world.ctx.sealer()?;
    let inspector = Inspector::new(&world.ctx.identity_dir)?;
    let mut files = Vec::new();
    for name in ["t12.png", "t12.jpg"] {
        let file = world.folder().join(name);
        sealer.seal_picture(&still.ours[0], &file, &statement(still.id))?;
        files.push(file);
    }
    let file = world.folder().join("t12-sealed.mp4");
    let written = encoded(&clip.ours, &file, None)?;
    sealer.seal(written.part, &file, &statement(clip.id))?;
    files.push(file);
    let (mut whole, mut found, mut changed) = (0usize, 0usize, 0usize);
    let each = world.effort.pick(2, 10, 50);
    for file in &files {
        let seal = |report: &stockpot_provenance::Report| {
            let note = report.credentials.as_ref()?.swap.as_ref()?;
            Some((note.seal, note.mark.is_some()))
        };
        let report = inspector.inspect(file)?;
        let wanted = match file.ends_with("t12-sealed.mp4") {
            true => clip.id,
            false => still.id,
        };
        let fits = seal(&report) == Some((SealId::new(wanted.bytes()), true));
        whole += usize::from(report.verdict == Verdict::Whole && fits);
        let bytes = std::fs::read(file).map_err(|e| cannot("read", file, &e))?;
        let mut rng = Rng::stream(world.cast.seed, "T12 bytes", bytes.len() as u64);
        for _ in 0..each {
            world.check_cancel()?;
            let mut other = bytes.clone();
            let at = rng.below(other.len());
            other[at] ^= 1 << rng.below(8);
            let copy = file
                .with_file_name("t12-changed")
                .with_extension(file.extension().unwrap_or_default());
            std::fs::write(&copy, &other).map_err(|e| cannot("write", &copy, &e))?;
            found += usize::from(inspector.inspect(&copy)?.verdict != Verdict::Whole);
            changed += 1;
        }
    }
    let share = |n: usize, of: usize| 100.0 * n as f64 / of as f64;
    let row = |name: &str, value| Measure::new(name, "%", value, Better::Higher).with_goal(100.0);
    Ok(vec![
        row(
            "sealed files that are whole and name the mark (PNG, JPEG, MP4)",
            share(whole, files.len()),
        ),
        row(
            &format!("changed bytes that are found, of {changed}"),
            share(found, changed),
        ),
    ])
}

fn statement(id: MarkId) -> Statement {
    Statement {
        seal: SealId::new(id.bytes()),
        origin: Origin::Created(Vec::new()),
        source_type: Some(SourceType::Algorithmic),
        about: "A person who does not exist, rendered to measure the mark".into(),
        swaps: Vec::new(),
        mark: Some(Mark {
            algorithm: "org.stockpot.mark.1".into(),
            value: id.to_string(),
        }),
        label: None,
        research: false,
    }
}

/// A picture, marked, what was added, and the hardest thing that happens to it.
fn example(pictures: &[Marked]) -> Option<Example> {
    let marked = pictures.first()?;
    let (plain, ours) = (marked.plain.first()?, marked.ours.first()?);
    let mut added = plain.clone();
    for (out, mark) in added.data_mut().iter_mut().zip(ours.data()) {
        let by = i32::from(*mark) - i32::from(*out);
        *out = (128 + SHOWN_TIMES * by).clamp(0, 255) as u8;
    }
    Some(Example {
        title: "T12 the invisible mark".into(),
        cells: vec![
            ("drawn".into(), plain.clone()),
            ("marked".into(), ours.clone()),
            (format!("what was added, {SHOWN_TIMES} times"), added),
            ("as a screenshot".into(), screenshot(ours)),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(side: u32) -> Rgb8 {
        let mut rng = Rng::stream(3, "T12 test", 0);
        let mut frame = Rgb8::new(Size::square(side));
        let value = |v: &mut u8| *v = 100 + rng.below(40) as u8;
        frame.data_mut().iter_mut().for_each(value);
        frame
    }

    #[test]
    fn the_toy_is_read_where_nothing_happened_and_not_after_anything() {
        let marked = Marked::new(7, 0, vec![noise(128)]).unwrap();
        let file = Path::new("unused.mp4");
        assert_eq!(from_lowest_bits(&marked.toy), marked.id);
        for deed in [Deed::Jpeg, Deed::Half, Deed::Crop, Deed::Screenshot] {
            let after = done(&[deed], &marked.toy, file).unwrap();
            let bits = same_bits(from_lowest_bits(&after), marked.id);
            assert!(bits < 0.95, "{deed:?} {bits}");
        }
        assert_eq!(same_bits(marked.id, marked.id), 1.0);
        let [a, rest @ ..] = marked.id.bytes();
        let [b, c, d, e, f] = rest;
        let near = MarkId::new([a ^ 0x81, b, c, d, e, f]);
        assert!((same_bits(near, marked.id) - 46.0 / 48.0).abs() < 1e-12);
    }

    #[test]
    fn deeds_do_what_their_names_say() {
        let frame = noise(200);
        let size = |deed: Deed| {
            done(&[deed], std::slice::from_ref(&frame), Path::new("x"))
                .unwrap()
                .first()
                .map(Rgb8::size)
        };
        assert_eq!(size(Deed::Half), Some(Size::square(100)));
        assert_eq!(size(Deed::Crop), Some(Size::square(180)));
        assert_eq!(size(Deed::Screenshot), Some(Size::new(228, 260)));
        // Cut off means the same pixels at another place.
        let cut = crop(&frame);
        assert_eq!(cut.pixel(0, 0), frame.pixel(8, 6));
        assert_eq!(cut.pixel(179, 179), frame.pixel(187, 185));
        let [a, b] = [0, 1].map(|n| Rgb8::from_vec(Size::square(1), vec![n; 3]).unwrap());
        let six = vec![
            a.clone(),
            b.clone(),
            a.clone(),
            a.clone(),
            b.clone(),
            b.clone(),
        ];
        assert_eq!(
            retimed(six),
            [a.clone(), a.clone(), a.clone(), a, b.clone(), b]
        );
    }
}
