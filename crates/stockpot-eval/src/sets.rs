//! Who is in a bench and what they play: people, clips, and the pair that is trained on them.
//!
//! Clips are rendered to video files and go the ordinary way from there: found and cut by the
//! extract job, learned by the train job. Only pictures reach training. Start with [`Cast`] and
//! [`Pair`].

use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;
use stockpot_convert::{Placement, cut, face_oval};
use stockpot_core::face::fill_polygon;
use stockpot_core::image::{Gray8, Rgb8, Size};
use stockpot_core::{Area, FaceLandmarks, PersonName, Progress, Rng};
use stockpot_jobs::person::ConsentFrom;
use stockpot_jobs::train::Form;
use stockpot_jobs::{Context, JobError, analyse, extract};
use stockpot_media::{ALL_FRAMES, ClipWriter, FrameRate, OutputSettings, Written, open_direct};
use stockpot_model::{Family, Params};
use stockpot_synth::assets::{Class, HeadData};
use stockpot_synth::{Drawn, Moment, Performance, Person, Photos, draw};

use crate::bench::{Effort, World};
use crate::trained::{self, Lesson, Point};

/// Width and height of every rendered frame in pixels: the face fills about the 128 px of a
/// network of that size.
const FRAME: Size = Size::square(256);
/// Frames a second of the clips that are trained on and measured face by face: far enough apart
/// that each shows something new.
pub(crate) const STILLS_FPS: i32 = 10;
/// Frames a second of the clip that is measured as a video.
const CLIP_FPS: i32 = 25;

/// Everybody and everything they play, from one seed.
///
/// A stream of the seed gives a base whose lower 16 bits are cleared. Person `n` of a group is the
/// base plus the group's number times 4096 plus `n`: people of different groups are never the same,
/// whatever the seed. Performances are numbered alike under a base of their own.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    /// The seed of the bench.
    pub seed: u64,
}

/// What people are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Trained in the library.
    Library,
    /// Come to a trained library later.
    New,
    /// Never trained or swapped; judges learn from them.
    Strangers,
}

/// What performances are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Training of the library's person of this number.
    Training(u64),
    /// Measured, never trained on.
    HeldOut,
    /// Played by strangers.
    Strangers,
}

impl Cast {
    fn base(self, purpose: &str) -> u64 {
        Rng::stream(self.seed, purpose, 0).next_u64() & !0xffff
    }

    /// The seed of person `number` (below 4096) of a group.
    pub fn person(self, group: Group, number: u64) -> u64 {
        self.base("swapbench people") + (group as u64) * 4096 + number % 4096
    }

    /// Performance `number` (below 256) for a use.
    pub fn performance(self, what: Use, number: u64) -> Performance {
        let room = match what {
            Use::HeldOut => 0,
            Use::Strangers => 1,
            Use::Training(person) => 2 + person % 254,
        };
        Performance {
            seed: self.base("swapbench performances") + room * 256 + number % 256,
        }
    }
}

/// The data of all heads, from the installed package, with photographed skins and hair from the
/// folder `assets` if there is one. Says what of it is used.
///
/// # Errors
/// If the package is not installed or damaged, or the folder cannot be used.
pub fn head_data(ctx: &Context, assets: Option<&Path>) -> Result<HeadData, JobError> {
    // First what the user typed, then what is installed.
    let photos = assets.map(photos).transpose()?;
    let package = stockpot_faces::models::head_package(&ctx.models_dir)?;
    let head = HeadData::from_package(&package)
        .map_err(|e| JobError::failed(format!("The head data cannot be used: {e}")))?;
    let (Some(folder), Some(photos)) = (assets, photos) else {
        return Ok(head);
    };
    let head = head.with_photos(photos);
    let [skins, hairs] = head.photos().map_or([0; 2], Photos::counts);
    let used = format!(
        "photographs from {}: {skins} skins, {hairs} hairs",
        folder.display()
    );
    ctx.progress.send(Progress::Info(used));
    for line in head.photos().map_or(&[][..], Photos::passed_over) {
        let line = format!("passed over in {}: {line}", folder.display());
        ctx.progress.send(Progress::Info(line));
    }
    Ok(head)
}

fn photos(folder: &Path) -> Result<Photos, JobError> {
    Photos::open(folder).map_err(|e| {
        let cause = std::error::Error::source(&e).map(|s| format!(": {s}"));
        let error = JobError::usage(format!("{e}{}", cause.unwrap_or_default()));
        match e.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    })
}

/// How much is rendered and trained.
struct Amounts {
    training_clips: u64,
    training_frames: u32,
    held_clips: u64,
    held_frames: u32,
    clip_frames: u32,
    steps: u64,
    batch: usize,
}

impl Amounts {
    fn of(effort: Effort) -> Self {
        Self {
            training_clips: effort.pick(1, 8, 12),
            training_frames: effort.pick(24, 50, 50),
            held_clips: effort.pick(1, 3, 4),
            held_frames: effort.pick(4, 16, 25),
            clip_frames: effort.pick(6, 50, 90),
            steps: effort.pick(2, 300, 1200),
            batch: effort.pick(2, 8, 8),
        }
    }
}

/// How a pair is trained: as users do it, from the shipped stock.
pub(crate) fn lesson(effort: Effort) -> Lesson {
    let amounts = Amounts::of(effort);
    Lesson {
        steps: amounts.steps,
        minutes: None,
        batch: amounts.batch,
        from_scratch: false,
        form: Form::Auto,
    }
}

/// One frame that a person played: as filmed, and what the renderer knows of it.
#[derive(Debug, Clone)]
pub struct PlayedFrame {
    /// The frame as decoded from the video.
    pub filmed: Rgb8,
    /// The truth.
    pub drawn: Drawn,
    /// What the product's own tracker found, smoothed; nothing where it found no face.
    pub landmarks: Option<FaceLandmarks>,
}

impl PlayedFrame {
    /// Where the person's own face is: [`face_mask`]. Nothing where no face was found.
    pub fn face_mask(&self) -> Option<Gray8> {
        Some(face_mask(self.landmarks.as_ref()?, &self.drawn.classes))
    }

    /// Where a network sees this face; nothing where none was found.
    pub fn placement(&self, pair: &Pair) -> Option<Placement> {
        Some(Placement {
            face_from_frame: self.landmarks.as_ref()?.face_from_frame().ok()?,
            area: pair.area,
            resolution: pair.family.resolution(),
        })
    }
}

/// Where a made-up person's own face is, 0 or 255: skin, eyes, lips, mouth, teeth and brows by the
/// renderer's `classes`, inside the tracked outline of the face (which leaves out ears and neck).
pub fn face_mask(landmarks: &FaceLandmarks, classes: &Gray8) -> Gray8 {
    const FACE: [Class; 6] = [
        Class::Skin,
        Class::Eyes,
        Class::Lips,
        Class::Mouth,
        Class::Teeth,
        Class::Brows,
    ];
    let mut mask = fill_polygon(classes.size(), &face_oval(landmarks));
    for (value, class) in mask.data_mut().iter_mut().zip(classes.data()) {
        if !FACE.iter().any(|c| *c as u8 == *class) {
            *value = 0;
        }
    }
    mask
}

/// A performance that nobody was trained on, played by both persons of the pair.
#[derive(Debug, Clone)]
pub struct Held {
    /// Frames a second.
    pub fps: i32,
    /// The moments played.
    pub moments: Vec<Moment>,
    /// The video files.
    pub videos: [PathBuf; 2],
    /// The frames, one per moment.
    pub frames: [Vec<PlayedFrame>; 2],
}

/// One person of the pair.
#[derive(Debug)]
pub struct Side {
    /// The name in the library.
    pub name: PersonName,
    /// Who the renderer draws.
    pub person: Person,
    /// The trained decoder.
    pub decoder: Params,
}

/// How long the parts of making the pair took, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Costs {
    /// Rendering and encoding all clips.
    pub render: f64,
    /// Extracting faces.
    pub extract: f64,
    /// Training.
    pub train: f64,
    /// Tracking faces in the held-out clips.
    pub track: f64,
}

/// Two trained people, A (0) and B (1), and performances they were never trained on.
#[derive(Debug)]
pub struct Pair {
    /// The network.
    pub family: Family,
    /// The part of the face it sees.
    pub area: Area,
    /// The shared encoder.
    pub encoder: Params,
    /// A and B.
    pub sides: [Side; 2],
    /// Several performances of a few frames each, for measures face by face.
    pub stills: Vec<Held>,
    /// One longer performance, for measures over time and of whole frames.
    pub clip: Held,
    /// Steps of training.
    pub steps: u64,
    /// Faces of each person in a step.
    pub batch: usize,
    /// How well both were redrawn on the way.
    pub(crate) curve: Vec<Point>,
    /// Where the time went.
    pub costs: Costs,
}

impl Pair {
    /// Draws faces as a person of the pair.
    ///
    /// # Shapes
    /// Each input is `[R, R, 3]`; each output `[R, R, 3]` and its mask `[R, R]`, all ones for a network
    /// without masks.
    pub fn draw(&self, side: usize, inputs: &[Vec<f32>]) -> Vec<(Vec<f32>, Vec<f32>)> {
        let decoder = &self.sides[side].decoder;
        trained::draw(self.family, &self.encoder, decoder, inputs)
    }
}

/// The part of a frame that a network sees, `[R, R, 3]`.
///
/// # Errors
/// If the placement is out of bounds.
pub fn cut_rgb(frame: &Rgb8, placement: &Placement) -> Result<Vec<f32>, JobError> {
    let mut out = vec![0.0; placement.rgb_len()];
    cut(frame, placement, &mut out)?;
    Ok(out)
}

/// The part of a mask that a network sees, `[R, R]`.
///
/// # Errors
/// If the placement is out of bounds.
pub fn cut_mask(mask: &Gray8, placement: &Placement) -> Result<Vec<f32>, JobError> {
    let mut rgb = Rgb8::new(mask.size());
    for (pixel, value) in rgb.data_mut().chunks_exact_mut(3).zip(mask.data()) {
        pixel.fill(*value);
    }
    Ok(cut_rgb(&rgb, placement)?.into_iter().step_by(3).collect())
}

/// Renders, extracts, trains and films what is held out.
pub(crate) fn make_pair(world: &World) -> Result<Pair, JobError> {
    let amounts = Amounts::of(world.effort);
    let ctx = &world.ctx;
    let mut costs = Costs::default();
    let mut sides = Vec::with_capacity(2);
    for (number, name) in ["a", "b"].into_iter().enumerate() {
        let name: PersonName = name
            .parse()
            .map_err(|e| JobError::failed(format!("A name cannot be used: {e}")))?;
        let seed = world.cast.person(Group::Library, number as u64);
        let drawn = Person::new(&world.head, seed);
        let start = Instant::now();
        let mut clips = Vec::new();
        for clip in 0..amounts.training_clips {
            let played = world.cast.performance(Use::Training(number as u64), clip);
            let moments = moments(played, amounts.training_frames, STILLS_FPS);
            let path = world.folder().join(format!("{name}-{clip}.mp4"));
            film(world, &drawn, &moments, STILLS_FPS, &path)?;
            clips.push(path);
        }
        costs.render += start.elapsed().as_secs_f64();
        let start = Instant::now();
        trained::enter(ctx, &name, ConsentFrom::Synthetic)?;
        extract::run(
            ctx,
            &extract::Settings {
                inputs: clips,
                person: name.clone(),
                like: Vec::new(),
                max_side: 256,
                every: 1,
            },
        )?;
        costs.extract += start.elapsed().as_secs_f64();
        sides.push((name, drawn));
    }
    let start = Instant::now();
    let persons: Vec<PersonName> = sides.iter().map(|(name, _)| name.clone()).collect();
    let curve = trained::train(ctx, &persons, lesson(world.effort))?.curve;
    costs.train = start.elapsed().as_secs_f64();
    let stills = (0..amounts.held_clips)
        .map(|n| {
            let shot = (n, amounts.held_frames, STILLS_FPS);
            hold(world, &sides, shot, &mut costs)
        })
        .collect::<Result<_, _>>()?;
    let shot = (amounts.held_clips, amounts.clip_frames, CLIP_FPS);
    let clip = hold(world, &sides, shot, &mut costs)?;
    let trained = trained::load(ctx, &persons)?;
    let both = sides.into_iter().zip(trained.decoders);
    let sides: Vec<Side> = both
        .map(|((name, person), decoder)| Side {
            name,
            person,
            decoder,
        })
        .collect();
    Ok(Pair {
        family: trained.family,
        area: trained.area,
        encoder: trained.encoder,
        sides: two(sides)?,
        stills,
        clip,
        steps: amounts.steps,
        batch: amounts.batch,
        curve,
        costs,
    })
}

fn two<T>(items: Vec<T>) -> Result<[T; 2], JobError> {
    let count = items.len();
    let wrong = |_| {
        JobError::failed(format!(
            "A pair has two persons, not {count}: this is a bug"
        ))
    };
    items.try_into().map_err(wrong)
}

/// The moments of a performance, one a frame.
pub fn moments(performance: Performance, frames: u32, fps: i32) -> Vec<Moment> {
    (0..frames)
        .map(|i| performance.at(i as f32 / fps as f32))
        .collect()
}

/// Renders a person playing and writes the video.
///
/// # Errors
/// If a frame cannot be drawn or the video not written.
pub fn film(
    world: &World,
    person: &Person,
    moments: &[Moment],
    fps: i32,
    path: &Path,
) -> Result<Vec<Drawn>, JobError> {
    world.ctx.progress.send(Progress::Phase {
        name: "render",
        total: moments.len() as u64,
    });
    let rate = FrameRate { num: fps, den: 1 };
    let settings = OutputSettings::default();
    let mut writer = ClipWriter::create(path, FRAME, rate, None, &settings)?;
    let mut drawn = Vec::with_capacity(moments.len());
    for (i, moment) in moments.iter().enumerate() {
        world.check_cancel()?;
        let frame = draw(&world.head, person, moment, FRAME)
            .map_err(|e| JobError::failed(format!("A frame cannot be drawn: {e}")))?;
        writer.write(frame.rgb.clone())?;
        drawn.push(frame);
        world.ctx.progress.send(Progress::Step {
            done: i as u64 + 1,
            note: String::new(),
        });
    }
    keep_in_workshop(writer.finish()?)?;
    Ok(drawn)
}

/// Names a clip of a made-up person inside the temporary folder of a measurement, where it is read
/// back at once and goes with the folder. It is not sealed: a seal has a number of its own, and the
/// clips of one seed must be the same bytes every time. What a user gets to see is sealed.
pub(crate) fn keep_in_workshop(clip: Written) -> Result<(), JobError> {
    std::fs::rename(clip.part.path(), &clip.target)
        .map_err(|e| crate::bench::cannot("name the clip", &clip.target, &e))
}

/// All frames of a video of our own.
///
/// # Errors
/// If it cannot be read.
pub fn frames_of(path: &Path) -> Result<Vec<Rgb8>, JobError> {
    let mut source = open_direct(path, ALL_FRAMES)?;
    let mut out = Vec::new();
    while let Some(frame) = source.next_frame()? {
        out.push(frame.pixels.to_rgb8());
    }
    Ok(out)
}

/// Films a held-out performance with both persons and looks at it with the product's tracker.
fn hold(
    world: &World,
    sides: &[(PersonName, Person)],
    (number, frames, fps): (u64, u32, i32),
    costs: &mut Costs,
) -> Result<Held, JobError> {
    let played = world.cast.performance(Use::HeldOut, number);
    let moments = moments(played, frames, fps);
    let (mut videos, mut all) = (Vec::new(), Vec::new());
    for (name, person) in sides {
        let path = world.folder().join(format!("{name}-held-{number}.mp4"));
        all.push(play(world, person, &moments, fps, &path, costs)?);
        videos.push(path);
    }
    Ok(Held {
        fps,
        moments,
        videos: two(videos)?,
        frames: two(all)?,
    })
}

/// Films a performance into the file `path` and finds the person's face in it.
pub(crate) fn play(
    world: &World,
    person: &Person,
    moments: &[Moment],
    fps: i32,
    path: &Path,
    costs: &mut Costs,
) -> Result<Vec<PlayedFrame>, JobError> {
    let start = Instant::now();
    let drawn = film(world, person, moments, fps, path)?;
    costs.render += start.elapsed().as_secs_f64();
    let start = Instant::now();
    let analysis = analyse::run(&world.ctx, &world.models, path, ALL_FRAMES)?;
    let filmed = frames_of(path)?;
    if filmed.len() != drawn.len() {
        return Err(JobError::failed(format!(
            "Of {} frames {} came back from {}",
            drawn.len(),
            filmed.len(),
            path.display()
        )));
    }
    let largest = |index: usize| {
        let here = analysis.faces.iter().filter(|f| f.frame == index as u64);
        here.max_by(|a, b| {
            let size = |f: &analyse::FoundFace| f.landmarks.eye_distance_px();
            size(a).total_cmp(&size(b))
        })
    };
    let frames = drawn
        .into_par_iter()
        .zip(filmed)
        .enumerate()
        .map(|(i, (drawn, filmed))| PlayedFrame {
            filmed,
            drawn,
            landmarks: largest(i).map(|f| f.landmarks.clone()),
        })
        .collect();
    costs.track += start.elapsed().as_secs_f64();
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_of_different_groups_are_never_the_same() {
        for seed in [0, 1, u64::MAX] {
            let cast = Cast { seed };
            let mut all: Vec<u64> = Vec::new();
            for group in [Group::Library, Group::New, Group::Strangers] {
                all.extend((0..300).map(|n| cast.person(group, n)));
            }
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
            let played = [
                Use::HeldOut,
                Use::Strangers,
                Use::Training(0),
                Use::Training(1),
            ];
            let mut seeds: Vec<u64> = played
                .iter()
                .flat_map(|u| (0..256).map(|n| cast.performance(*u, n).seed))
                .collect();
            seeds.sort_unstable();
            seeds.dedup();
            assert_eq!(seeds.len(), 4 * 256);
        }
        let person = |seed| Cast { seed }.person(Group::Library, 0);
        assert_ne!(person(0), person(1));
        assert_eq!(person(5), person(5));
    }
}
