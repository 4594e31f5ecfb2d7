//! Videos from end to end, as people have them: made-up people in frames of 1920 x 1080, found and
//! cut by the extract job, swapped by the swap job. On the way, feeding on the faces found.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use stockpot_core::image::{Rgb8, Size};
use stockpot_core::{Area, PersonName};
use stockpot_faceset::{
    FaceCache, Faceset, Feeder, FeederSettings, Sampler, SamplerSettings, Split,
};
use stockpot_jobs::person::ConsentFrom;
use stockpot_jobs::{Context, JobError, extract, swap, train};
use stockpot_media::{ClipWriter, FrameRate, OutputSettings};
use stockpot_model::Family;
use stockpot_synth::{Person, draw};

use super::steps::Feeding;
use super::{Plan, Sample, Watch};
use crate::bench::{Effort, World};
use crate::sets::{Group, Use, keep_in_workshop, moments};
use crate::trained;

/// A frame, and the square of it that shows the person.
const FRAME: Size = Size {
    width: 1920,
    height: 1080,
};
const PERSON_SIDE: u32 = 540;
const FPS: i32 = 25;
/// Faces of each person in a fed batch.
const SAMPLES: usize = 16;

/// Videos from end to end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Video {
    /// Width of the frames in pixels.
    pub width: u32,
    /// Height of the frames in pixels.
    pub height: u32,
    /// Frames of each clip.
    pub frames: u32,
    /// Frames a second from a video to faces on the disk.
    pub extract_frames_per_sec: Sample,
    /// Frames a second from a video to the swapped video.
    pub swap_frames_per_sec: Sample,
    /// The network that swapped.
    pub preset: Family,
}

/// Measures both clips both ways, and feeding for every network on the faces found.
pub(super) fn measure(ctx: &Context, plan: &Plan) -> Result<(Video, Vec<Feeding>), JobError> {
    let world = World::open(ctx, Effort::Tiny, None)?;
    let names = ["a", "b"].map(|n| n.parse::<PersonName>());
    let mut persons = Vec::new();
    for name in names {
        persons.push(name.map_err(|e| JobError::failed(format!("A name cannot be used: {e}")))?);
    }
    let mut watch = Watch::begin(ctx, "measure videos", 2 * persons.len() + 2);
    let (mut clips, mut extracted) = (Vec::new(), Vec::new());
    for (number, name) in persons.iter().enumerate() {
        let path = world.folder().join(format!("{name}.mp4"));
        film(&world, number as u64, plan.frames, &path)?;
        watch.tick("drawn")?;
        trained::enter(&world.ctx, name, ConsentFrom::Synthetic)?;
        let begun = Instant::now();
        extract::run(
            &world.ctx,
            &extract::Settings {
                inputs: vec![path.clone()],
                person: name.clone(),
                like: Vec::new(),
                max_side: 512,
                every: 1,
            },
        )?;
        extracted.push(f64::from(plan.frames) / begun.elapsed().as_secs_f64());
        watch.tick("extracted")?;
        clips.push(path);
    }
    let mut feeding = Vec::new();
    for family in &plan.families {
        feeding.push(feed(&world.ctx, &persons, *family, plan)?);
    }
    watch.tick("fed")?;
    let preset = *plan
        .families
        .iter()
        .find(|f| **f == Family::DEFAULT)
        .unwrap_or(&plan.families[0]);
    train::run(
        &world.ctx,
        &train::Settings {
            persons: persons.clone(),
            steps: Some(2),
            preset: Some(preset.to_string()),
            batch: Some(2),
            from_scratch: true,
            more: serde_json::json!({"evaluate_every": 0, "preview_every": 0, "save_every": 1000}),
            ..train::Settings::default()
        },
    )?;
    let mut swapped = Vec::new();
    for (clip, to) in clips.iter().zip(persons.iter().rev()) {
        for round in 0..plan.rounds.div_ceil(2) {
            let begun = Instant::now();
            swap::run(
                &world.ctx,
                &swap::Settings {
                    input: clip.clone(),
                    to: to.clone(),
                    wanted: swap::Wanted::Main,
                    output: world.folder().join(format!("{to}-{round}.mp4")),
                    preview: None,
                    frames: None,
                    crf: None,
                    encoder: None,
                    precision: train::Precision::Auto,
                    convert: swap::ConvertSettings::default(),
                    openness: swap::Openness::default(),
                },
            )?;
            swapped.push(f64::from(plan.frames) / begun.elapsed().as_secs_f64());
        }
    }
    watch.tick("swapped")?;
    let video = Video {
        width: FRAME.width,
        height: FRAME.height,
        frames: plan.frames,
        extract_frames_per_sec: Sample::of(extracted),
        swap_frames_per_sec: Sample::of(swapped),
        preset,
    };
    Ok((video, feeding))
}

/// A made-up person in the middle of a frame that is otherwise a slope of grey.
fn film(world: &World, number: u64, frames: u32, path: &Path) -> Result<(), JobError> {
    let person = Person::new(&world.head, world.cast.person(Group::Library, number));
    let played = world.cast.performance(Use::Training(number), 0);
    let rate = FrameRate { num: FPS, den: 1 };
    let settings = OutputSettings::default();
    let mut writer = ClipWriter::create(path, FRAME, rate, None, &settings)?;
    let side = Size::square(PERSON_SIDE);
    let (left, top) = (
        (FRAME.width - PERSON_SIDE) as usize / 2,
        (FRAME.height - PERSON_SIDE) as usize / 2,
    );
    let row = 3 * FRAME.width as usize;
    let ground: Vec<u8> = (0..FRAME.height as usize)
        .flat_map(|y| (0..row).map(move |x| (40 + (x / 3 + y) / 24) as u8))
        .collect();
    for moment in &moments(played, frames, FPS) {
        world.check_cancel()?;
        let drawn = draw(&world.head, &person, moment, side)
            .map_err(|e| JobError::failed(format!("A frame cannot be drawn: {e}")))?;
        let mut pixels = ground.clone();
        let width = 3 * PERSON_SIDE as usize;
        for (y, line) in drawn.rgb.data().chunks_exact(width).enumerate() {
            pixels[(top + y) * row + 3 * left..][..width].copy_from_slice(line);
        }
        let frame = Rgb8::from_vec(FRAME, pixels)
            .map_err(|e| JobError::failed(format!("A frame cannot be made: {e}")))?;
        writer.write(frame)?;
    }
    keep_in_workshop(writer.finish()?)
}

/// Batches of both persons made by one worker, by the core time that they take.
fn feed(
    ctx: &Context,
    persons: &[PersonName],
    family: Family,
    plan: &Plan,
) -> Result<Feeding, JobError> {
    let library = ctx.library()?;
    let mut samplers = Vec::new();
    for person in persons {
        let faceset = Faceset::open(&library.facesets_dir(person))?;
        let (cache, _) = FaceCache::open_or_build(
            &faceset,
            Area::Face,
            family.resolution(),
            &library.cache_dir(),
            &*ctx.progress,
            &ctx.cancel,
        )?;
        let usual = SamplerSettings::default();
        samplers.push(Arc::new(Sampler::new(
            Arc::new(cache),
            Split::Train,
            usual,
            0,
        )?));
    }
    let settings = FeederSettings {
        samples: SAMPLES,
        workers: 1,
        ahead: 3,
        first: 0,
        cycle: 0,
    };
    let mut feeder = Feeder::new(samplers, &settings)?;
    let faces = (SAMPLES * persons.len()) as f64;
    let mut found = Vec::new();
    for _ in 0..plan.rounds {
        let (before, begun) = (feeder.work(), Instant::now());
        let mut batches = 0;
        // The scheduler counts in ticks of milliseconds, so a round has many batches.
        while batches < 16 || begun.elapsed().as_secs_f64() < 10.0 * plan.secs {
            let batch = feeder.next_batch()?;
            feeder.give_back(batch);
            batches += 1;
        }
        let after = feeder.work();
        let secs = (after.busy - before.busy).as_secs_f64();
        found.push((after.batches - before.batches) as f64 * faces / secs.max(1e-9));
    }
    Ok(Feeding {
        family,
        resolution: family.resolution(),
        faces_per_sec_of_core: Sample::of(found),
        step_faces_per_sec: None,
        cores_for_step: None,
    })
}
