//! SwapBench: runs the tracks one after another over one world of made-up people.
//!
//! Everything random follows from one seed. Start with [`run`]; [`World`] is what a track gets.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use serde::Serialize;
use stockpot_core::image::Rgb8;
use stockpot_core::{Progress, picture};
use stockpot_faces::FaceModels;
use stockpot_jobs::{Context, JobError, JobErrorKind, swap, train};
use stockpot_synth::assets::HeadData;

use crate::outcome::Outcome;
use crate::sets::{self, Cast, Pair};
use crate::tracks::t3::{self, Cold};
use crate::tracks::t5::{self, Lineages};
use crate::tracks::{self, State, Track};
use crate::{page, seeds, table};

/// How much is rendered and trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// A few frames and steps: whether everything runs, nothing about how good it is.
    Tiny,
    /// Under 8 minutes on 2 cores.
    Quick,
    /// Under 30 minutes on 2 cores.
    Full,
}

impl Effort {
    /// The value for this effort.
    pub fn pick<T>(self, tiny: T, quick: T, full: T) -> T {
        match self {
            Self::Tiny => tiny,
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How much.
    pub effort: Effort,
    /// How many seeds, one after another from the context's on; at least 1.
    pub seeds: u32,
    /// Tracks by number, such as `T2`; all without any.
    pub tracks: Vec<String>,
    /// A folder of photographed skins and hair for the people; all are drawn by code without.
    pub assets: Option<PathBuf>,
    /// Where `eval.json` and `eval.html` go; nowhere without.
    pub out: Option<PathBuf>,
    /// The command as typed, for the record.
    pub command: String,
}

/// Who was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum People {
    /// People who do not exist.
    Rendered,
    /// Whoever is in the user's clips.
    Filmed,
}

/// What the bench found.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The version of this program.
    pub stockpot: &'static str,
    /// The machine, in words.
    pub machine: String,
    /// The command as typed.
    pub command: String,
    /// The seed of everything random; with several, the first.
    pub seed: u64,
    /// How many seeds there were, one after another.
    pub seeds: u32,
    /// How much was rendered and trained.
    pub effort: Effort,
    /// Who was measured.
    pub people: People,
    /// One entry per track.
    pub outcomes: Vec<Outcome>,
    /// Tracks that could not be measured; their notes say why.
    pub failed: Vec<&'static str>,
    /// How long everything took.
    pub seconds: f64,
    /// The page, if one was written.
    pub page: Option<PathBuf>,
    /// Pictures for the page.
    #[serde(skip)]
    pub examples: Vec<Example>,
}

impl Reply {
    /// The table for people.
    pub fn text(&self) -> String {
        table::text(self)
    }
}

/// A row of pictures for the page.
#[derive(Debug, Clone)]
pub struct Example {
    /// The track and what they show, such as `T2 A drawn as B`: a row stands below its track.
    pub title: String,
    /// Pictures with their captions, left to right.
    pub cells: Vec<(String, Rgb8)>,
}

/// What a track gets: people, models, a place to work, and the trained pair.
pub struct World {
    /// Surroundings for the jobs, with a library of the bench's own.
    pub ctx: Context,
    /// How much to do.
    pub effort: Effort,
    /// Data of all heads.
    pub head: HeadData,
    /// The face models of the product.
    pub models: FaceModels,
    /// Who is who.
    pub cast: Cast,
    work: tempfile::TempDir,
    pair: Option<Rc<Pair>>,
    cold: Option<Rc<Cold>>,
    lineages: Option<Rc<Lineages>>,
    swapped: [Option<Rc<Vec<Rgb8>>>; 2],
    examples: Vec<Example>,
}

impl World {
    /// A world with an empty library in a temporary folder, which goes when the world goes; `assets` is
    /// a folder of photographed skins and hair.
    ///
    /// # Errors
    /// If the face models or head data are not installed, `assets` cannot be used, or the folder cannot
    /// be made.
    pub fn open(ctx: &Context, effort: Effort, assets: Option<&Path>) -> Result<Self, JobError> {
        let head = sets::head_data(ctx, assets)?;
        let models = FaceModels::load(&ctx.models_dir)?;
        let (work, ctx) = own_library(ctx)?;
        Ok(Self {
            cast: Cast { seed: ctx.seed },
            ctx,
            effort,
            head,
            models,
            work,
            pair: None,
            cold: None,
            lineages: None,
            swapped: [None, None],
            examples: Vec::new(),
        })
    }

    /// A folder for files of a track.
    pub fn folder(&self) -> &Path {
        self.work.path()
    }

    /// The trained pair; the first who asks makes it, which takes most of the bench's time.
    ///
    /// # Errors
    /// If rendering, extraction or training fails, or the user stopped.
    pub fn pair(&mut self) -> Result<Rc<Pair>, JobError> {
        if let Some(pair) = &self.pair {
            return Ok(pair.clone());
        }
        let pair = Rc::new(sets::make_pair(self)?);
        self.pair = Some(pair.clone());
        Ok(pair)
    }

    /// The same pair of another lineage; the first who asks trains it.
    ///
    /// # Errors
    /// As [`Self::pair`].
    pub(crate) fn cold(&mut self) -> Result<Rc<Cold>, JobError> {
        if let Some(cold) = &self.cold {
            return Ok(cold.clone());
        }
        let pair = self.pair()?;
        let cold = Rc::new(t3::cold(self, &pair)?);
        self.cold = Some(cold.clone());
        Ok(cold)
    }

    /// People added one by one to the pair, by growing and naively; the first who asks does it.
    ///
    /// # Errors
    /// As [`Self::pair`].
    pub(crate) fn lineages(&mut self) -> Result<Rc<Lineages>, JobError> {
        if let Some(lineages) = &self.lineages {
            return Ok(lineages.clone());
        }
        let lineages = Rc::new(t5::make(self)?);
        self.lineages = Some(lineages.clone());
        Ok(lineages)
    }

    /// The trained pair, if a track has asked for it.
    pub fn made_pair(&self) -> Option<Rc<Pair>> {
        self.pair.clone()
    }

    /// The pair's clip as played by person `from`, with the other's face, by the swap job at its
    /// defaults. Made once.
    ///
    /// # Errors
    /// If swapping fails, or frames are missing.
    pub fn swapped(&mut self, from: usize) -> Result<Rc<Vec<Rgb8>>, JobError> {
        if let Some(found) = &self.swapped[from] {
            return Ok(found.clone());
        }
        let pair = self.pair()?;
        let reply = self.swap(&pair, from)?;
        let frames = sets::frames_of(&reply.output)?;
        if frames.len() != pair.clip.moments.len() {
            return Err(JobError::failed(format!(
                "Of {} swapped frames {} came back",
                pair.clip.moments.len(),
                frames.len()
            )));
        }
        let made = Rc::new(frames);
        self.swapped[from] = Some(made.clone());
        Ok(made)
    }

    /// Frames a second of the swap job on the same clip, both passes.
    ///
    /// # Errors
    /// If swapping fails.
    pub fn swap_rate(&mut self, from: usize) -> Result<f64, JobError> {
        let pair = self.pair()?;
        Ok(self.swap(&pair, from)?.frames_per_sec)
    }

    fn swap(&self, pair: &Pair, from: usize) -> Result<swap::Reply, JobError> {
        let settings = swap::Settings {
            input: pair.clip.videos[from].clone(),
            to: pair.sides[1 - from].name.clone(),
            wanted: swap::Wanted::Main,
            output: self.folder().join(format!("swapped-{from}.mp4")),
            preview: None,
            frames: None,
            crf: None,
            encoder: None,
            precision: train::Precision::Auto,
            convert: swap::ConvertSettings::default(),
            openness: swap::Openness::default(),
        };
        swap::run(&self.ctx, &settings)
    }

    /// Adds a row of pictures to the page.
    pub fn show(&mut self, example: Example) {
        self.examples.push(example);
    }

    /// Tells the user something.
    pub fn info(&self, text: impl Into<String>) {
        self.ctx.progress.send(Progress::Info(text.into()));
    }

    /// An error if the user asked to stop.
    ///
    /// # Errors
    /// See above.
    pub fn check_cancel(&self) -> Result<(), JobError> {
        match self.ctx.cancel.is_cancelled() {
            true => Err(JobError::cancelled(
                "Stopped before the evaluation was done",
            )),
            false => Ok(()),
        }
    }
}

/// A folder that goes when dropped, and a context with an empty library in it.
pub(crate) fn own_library(ctx: &Context) -> Result<(tempfile::TempDir, Context), JobError> {
    let work = tempfile::Builder::new()
        .prefix("stockpot-eval-")
        .tempdir()
        .map_err(|e| JobError::failed(format!("Cannot make a folder to work in: {e}")))?;
    let ctx = Context {
        library_dir: work.path().join("stock"),
        ..ctx.clone()
    };
    stockpot_jobs::init::run(&ctx, &stockpot_jobs::init::Settings {})?;
    Ok((work, ctx))
}

/// Runs the bench. A track that fails is noted and the others go on. With several seeds the pictures
/// are those of the first.
///
/// # Errors
/// If a track is unknown, models are missing, the output cannot be written, or the user stopped.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let start = Instant::now();
    let chosen = tracks::chosen(&settings.tracks)?;
    make_folder(settings.out.as_deref())?;
    let (mut runs, mut failed, mut examples) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..settings.seeds.max(1) {
        let seed = ctx.seed.wrapping_add(u64::from(number));
        let own = Context {
            seed,
            ..ctx.clone()
        };
        let mut world = World::open(&own, settings.effort, settings.assets.as_deref())?;
        if settings.seeds > 1 {
            world.info(format!("seed {seed}, {} of {}", number + 1, settings.seeds));
        }
        let mut outcomes = Vec::with_capacity(chosen.len());
        for track in &chosen {
            let (outcome, has_failed) = one_track(&mut world, track)?;
            outcomes.push(outcome);
            if has_failed && !failed.contains(&track.id) {
                failed.push(track.id);
            }
        }
        runs.push((seed, outcomes));
        if number == 0 {
            examples = std::mem::take(&mut world.examples);
        }
    }
    let outcomes = seeds::together(runs);
    let people = People::Rendered;
    finish(ctx, settings, people, (outcomes, failed), examples, start)
}

/// One track's outcome, and whether it failed.
fn one_track(world: &mut World, track: &Track) -> Result<(Outcome, bool), JobError> {
    world.check_cancel()?;
    let mut outcome = Outcome {
        track: track.id,
        title: track.title,
        measures: Vec::new(),
        note: String::new(),
        seconds: 0.0,
    };
    let (run, minutes) = match track.state {
        State::NotYet { issue } => {
            outcome.note = format!("not yet: issue {issue} brings it");
            return Ok((outcome, false));
        }
        State::Here { run, minutes } => (run, minutes),
    };
    let expected = world.effort.pick(None, Some(minutes.0), Some(minutes.1));
    if let Some(minutes) = expected {
        world.info(format!(
            "{} {}: about {minutes} min on 2 cores",
            track.id, track.title
        ));
    }
    let begun = Instant::now();
    let mut has_failed = false;
    match run(world) {
        Ok(findings) => {
            outcome.measures = findings.measures;
            outcome.note = findings.note;
        }
        Err(e) if e.kind == JobErrorKind::Cancelled => return Err(e),
        Err(e) => {
            outcome.note = format!("failed: {e}");
            has_failed = true;
        }
    }
    outcome.seconds = begun.elapsed().as_secs_f64();
    Ok((outcome, has_failed))
}

pub(crate) fn make_folder(out: Option<&Path>) -> Result<(), JobError> {
    let Some(out) = out else { return Ok(()) };
    std::fs::create_dir_all(out).map_err(|e| cannot("make the folder", out, &e))
}

/// Puts the reply together and writes `eval.json` and `eval.html`.
pub(crate) fn finish(
    ctx: &Context,
    settings: &Settings,
    people: People,
    (outcomes, failed): (Vec<Outcome>, Vec<&'static str>),
    examples: Vec<Example>,
    start: Instant,
) -> Result<Reply, JobError> {
    let reply = Reply {
        stockpot: env!("CARGO_PKG_VERSION"),
        machine: machine(ctx),
        command: settings.command.clone(),
        seed: ctx.seed,
        seeds: settings.seeds.max(1),
        effort: settings.effort,
        people,
        outcomes,
        failed,
        seconds: start.elapsed().as_secs_f64(),
        page: settings.out.as_ref().map(|out| out.join("eval.html")),
        examples,
    };
    let Some(out) = &settings.out else {
        return Ok(reply);
    };
    let json = serde_json::to_vec_pretty(&reply)
        .map_err(|e| JobError::failed(format!("The result cannot be written as JSON: {e}")))?;
    let path = out.join("eval.json");
    picture::write_whole(&path, &json).map_err(|e| cannot("write", &path, &e))?;
    let path = out.join("eval.html");
    let html = page::html(&reply)?;
    picture::write_whole(&path, html.as_bytes()).map_err(|e| cannot("write", &path, &e))?;
    Ok(reply)
}

/// A file-system error with what was being done.
pub(crate) fn cannot(doing: &str, path: &Path, error: &std::io::Error) -> JobError {
    JobError::failed(format!(
        "Cannot {doing}: {error}\n  path: {}",
        path.display()
    ))
}

/// Processor, threads, instructions and memory in words.
pub fn machine(ctx: &Context) -> String {
    let found = stockpot_jobs::doctor::run(ctx);
    let memory = found
        .memory_bytes
        .map(|b| format!(", {:.0} GiB memory", b as f64 / f64::from(1 << 30)));
    format!(
        "{}, {} threads, {}{}",
        processor(),
        found.threads,
        found.instructions,
        memory.unwrap_or_default()
    )
}

/// The processor's name where the Linux kernel tells it.
fn processor() -> String {
    // `.ok()`: other systems have no such file.
    let text = std::fs::read_to_string("/proc/cpuinfo").ok();
    let named = text.as_deref().and_then(|t| {
        let line = t.lines().find(|l| l.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}
