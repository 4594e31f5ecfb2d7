//! The clips of the demo: made-up people rendered into video files with sound.

use std::path::Path;

use rayon::prelude::*;
use stockpot_core::Progress;
use stockpot_core::image::Size;
use stockpot_jobs::{Context, JobError};
use stockpot_media::{ClipWriter, FrameRate, OutputSettings};
use stockpot_provenance::{Origin, SealId, SourceType, Statement};
use stockpot_synth::assets::HeadData;
use stockpot_synth::{Drawn, Moment, Performance, Person, draw};

use super::voice::{HERTZ, Voice};

/// Frames rendered together: enough for every processor, little enough for any memory.
const GROUP: usize = 16;

/// What a clip shows.
pub(super) struct Script {
    /// The moments, one a frame.
    pub(super) moments: Vec<Moment>,
    /// Frames a second.
    pub(super) fps: i32,
    /// Width and height.
    pub(super) size: Size,
}

impl Script {
    /// One performance after the other, each of so many frames.
    pub(super) fn of(seeds: impl Iterator<Item = u64>, frames: u32, fps: i32, size: Size) -> Self {
        let play =
            |seed| (0..frames).map(move |i| Performance { seed }.at(1.0 + i as f32 / fps as f32));
        Self {
            moments: seeds.flat_map(play).collect(),
            fps,
            size,
        }
    }
}

/// Renders `person` playing `script` into the sealed video `path`, with their voice. What the renderer
/// knows of each frame goes to `keep` in order, with its sound.
///
/// # Errors
/// If a frame cannot be drawn, the video cannot be written, or the user stopped; then there is no
/// file.
pub(super) fn film(
    ctx: &Context,
    head: &HeadData,
    person: &Person,
    script: &Script,
    path: &Path,
    mut keep: impl FnMut(Drawn, Vec<f32>),
) -> Result<(), JobError> {
    ctx.progress.send(Progress::Phase {
        name: "render",
        total: script.moments.len() as u64,
    });
    let rate = FrameRate {
        num: script.fps,
        den: 1,
    };
    let settings = OutputSettings::default();
    let mut clip = ClipWriter::create(path, script.size, rate, Some(HERTZ), &settings)?;
    let mut voice = Voice::new(person.seed);
    let samples = HERTZ as usize / script.fps.max(1) as usize;
    let mut done = 0;
    for group in script.moments.chunks(GROUP) {
        if ctx.cancel.is_cancelled() {
            return Err(JobError::cancelled("Stopped while rendering")
                .with_hint("the same command goes on from here"));
        }
        let drawn = group
            .par_iter()
            .map(|moment| draw(head, person, moment, script.size))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| JobError::failed(format!("A frame cannot be drawn: {e}")))?;
        for (moment, drawn) in group.iter().zip(drawn) {
            clip.write(drawn.rgb.clone())?;
            let sound = voice.frame(moment, samples);
            clip.write_sound(&sound)?;
            keep(drawn, sound);
            done += 1;
        }
        ctx.progress.send(Progress::Step {
            done,
            note: String::new(),
        });
    }
    let clip = clip.finish()?;
    let statement = Statement {
        seal: SealId::fresh(),
        origin: Origin::Created(Vec::new()),
        source_type: Some(SourceType::Algorithmic),
        about: "A person who does not exist, rendered".into(),
        swaps: Vec::new(),
        mark: None,
        label: None,
        research: false,
    };
    ctx.sealer()?.seal(clip.part, &clip.target, &statement)?;
    Ok(())
}
