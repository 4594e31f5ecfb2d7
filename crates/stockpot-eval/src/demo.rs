//! The demo: two made-up people from nothing to a swapped video and a page that measures it.
//!
//! Clips are rendered, then everything goes through the ordinary jobs, as a user's own videos would.
//! Person A's performance is drawn as person B and compared with B truly playing it, which no filmed
//! material could show. Start with [`run`]; `report` draws the page.

mod clips;
mod compare;
mod report;
mod voice;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use stockpot_core::image::Size;
use stockpot_core::{PersonName, Progress, Rng, picture};
use stockpot_faces::FaceModels;
use stockpot_jobs::person::ConsentFrom;
use stockpot_jobs::{Context, JobError, extract, init, person, swap, train};
use stockpot_model::Family;
use stockpot_synth::assets::HeadData;
use stockpot_synth::{Beard, Person};

use crate::bench::{cannot, machine};
use crate::sets::head_data;
use clips::Script;
pub use compare::Figures;

/// Side of the frames that are trained on, in pixels: a face fills about the network's input.
const TRAINING_SIDE: u32 = 256;
/// Side of the frames of the clip that is swapped.
const SHOWN_SIDE: u32 = 384;
/// Frames a second of the training clips: far enough apart that each shows something new.
const TRAINING_FPS: i32 = 10;
/// Frames a second of the clip that is swapped.
const SHOWN_FPS: i32 = 25;
/// The network that is trained: the one with a shipped stock.
const PRESET: &str = "comb-s-96";

/// What to show.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything goes.
    pub out: PathBuf,
    /// How long to train.
    pub minutes: f64,
    /// A few frames and steps only, to see that everything runs.
    pub tiny: bool,
    /// A folder of photographed skins and hair for the two; all is drawn by code without.
    pub assets: Option<PathBuf>,
    /// The command as typed, for the record.
    pub command: String,
}

/// How long a part took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Which part.
    pub name: &'static str,
    /// How long.
    pub seconds: f64,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The page to open in a browser.
    pub report: PathBuf,
    /// A's performance as B.
    pub swapped: PathBuf,
    /// The library, to go on with.
    pub library: PathBuf,
    /// The swap against the truth.
    pub figures: Figures,
    /// Steps of training in all.
    pub steps: u64,
    /// How long everything took, in seconds.
    pub seconds: f64,
    /// Where the time went.
    pub parts: Vec<Part>,
    /// The most memory this program held, in bytes, where the system tells; its decoding child
    /// process is not in it.
    pub peak_memory_bytes: Option<u64>,
    /// What to do next.
    pub next: String,
}

/// How much there is of everything.
struct Amounts {
    performances: u64,
    training_frames: u32,
    shown_frames: u32,
}

/// The state of a demo.
struct Stage<'a> {
    ctx: Context,
    settings: &'a Settings,
    amounts: Amounts,
    parts: Vec<Part>,
}

/// Runs the demo. In a folder that has one already, it trains further and measures again.
///
/// # Errors
/// If the models are not installed, the folder is somebody else's or cannot be written, a job
/// fails, or the user stopped.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let start = Instant::now();
    let mut stage = Stage {
        ctx: Context {
            library_dir: settings.out.join("stock"),
            ..ctx.clone()
        },
        settings,
        amounts: match settings.tiny {
            true => Amounts {
                performances: 1,
                training_frames: 24,
                shown_frames: 12,
            },
            false => Amounts {
                performances: 6,
                training_frames: 60,
                shown_frames: 150,
            },
        },
        parts: Vec::new(),
    };
    let head = head_data(ctx, settings.assets.as_deref())?;
    stage.claim_folder()?;
    let models = FaceModels::load(&ctx.models_dir)?;
    let names = ["a", "b"].map(str::parse::<PersonName>);
    let [Ok(a), Ok(b)] = names else {
        return Err(JobError::failed("The names `a` and `b` cannot be used"));
    };
    let people = cast(&head, ctx.seed);
    let seeds = [people[0].seed, people[1].seed];
    let shown = stage.render(&head, &people)?;
    for (n, name) in [&a, &b].into_iter().enumerate() {
        stage.extract(name, n, seeds[n])?;
    }
    let trained = stage.train(&[a.clone(), b.clone()])?;
    let swapped = stage.swap(&a, &b)?;
    let begun = Instant::now();
    let family: Family = PRESET
        .parse()
        .map_err(|e| JobError::failed(format!("{PRESET} is no network: {e}")))?;
    let compared = compare::run(&stage.ctx, &models, &stage.clips(), &swapped, shown, family)?;
    stage.took("measure", begun);
    let begun = Instant::now();
    let report = stage.path("report.html");
    let page = report::Page {
        machine: machine(ctx),
        command: &settings.command,
        compared: &compared,
        trained: &trained,
        seeds,
        parts: &stage.parts,
        models: stockpot_jobs::models::list(ctx)?,
        peak_memory_bytes: peak_memory(),
        fps: SHOWN_FPS,
        side: family.resolution(),
    };
    let html = report::html(&page, &stage.path("side-by-side.mp4"))?;
    picture::write_whole(&report, html.as_bytes()).map_err(|e| cannot("write", &report, &e))?;
    stage.took("report", begun);
    Ok(Reply {
        next: format!(
            "open {} in a browser; the same command trains further",
            report.display()
        ),
        report,
        swapped,
        library: stage.ctx.library_dir.clone(),
        figures: compared.figures,
        steps: trained.steps,
        seconds: start.elapsed().as_secs_f64(),
        parts: stage.parts,
        peak_memory_bytes: peak_memory(),
    })
}

impl Stage<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.settings.out.join(name)
    }

    /// The clip that is swapped, played by A and by B.
    fn clips(&self) -> [PathBuf; 2] {
        ["a.mp4", "b-truly.mp4"].map(|name| self.path(name))
    }

    fn took(&mut self, name: &'static str, since: Instant) {
        let seconds = since.elapsed().as_secs_f64();
        self.parts.push(Part { name, seconds });
    }

    /// Makes the folder, or makes sure that what is in it is a demo of the same people.
    fn claim_folder(&self) -> Result<(), JobError> {
        let out = &self.settings.out;
        let mark = self.path("demo.txt");
        let photographed = self
            .settings
            .assets
            .as_ref()
            .map_or("", |_| ", photographed");
        let wanted = format!("stockpot demo, seed {}{photographed}\n", self.ctx.seed);
        match std::fs::read_to_string(&mark) {
            Ok(found) if found == wanted => return Ok(()),
            Ok(found) => {
                let found: String = found.chars().take(80).collect();
                return Err(JobError::usage(format!(
                    "There is another demo in {}: {}",
                    out.display(),
                    found.trim()
                ))
                .with_hint("say another folder with `--out DIR`"));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(cannot("read", &mark, &e)),
        }
        let taken = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            return Err(JobError::usage(format!(
                "There is something else in the folder {}",
                out.display()
            ))
            .with_hint("say a new or empty folder with `--out DIR`"));
        }
        std::fs::create_dir_all(out).map_err(|e| cannot("make the folder", out, &e))?;
        init::run(&self.ctx, &init::Settings {})?;
        picture::write_whole(&mark, wanted.as_bytes()).map_err(|e| cannot("write", &mark, &e))
    }

    /// Films everything; gives what the renderer knows of the clip that is swapped.
    fn render(
        &mut self,
        head: &HeadData,
        people: &[Person; 2],
    ) -> Result<[Vec<compare::Truth>; 2], JobError> {
        let begun = Instant::now();
        let amounts = &self.amounts;
        let seed = |what: &str, n: u64| Rng::stream(self.ctx.seed, what, n).next_u64();
        let mut shown = [Vec::new(), Vec::new()];
        let performance = std::iter::once(seed("demo performance", 0));
        let script = Script::of(
            performance,
            amounts.shown_frames,
            SHOWN_FPS,
            Size::square(SHOWN_SIDE),
        );
        for ((person, path), truths) in people.iter().zip(self.clips()).zip(&mut shown) {
            let keep = |drawn, sound| truths.push(compare::Truth::of(drawn, sound));
            clips::film(&self.ctx, head, person, &script, &path, keep)?;
        }
        for (n, person) in people.iter().enumerate() {
            // A hundred for each person: nobody learns from what is shown, or from the other's.
            let seeds =
                (0..amounts.performances).map(|i| seed("demo rehearsal", 100 * n as u64 + i));
            let size = Size::square(TRAINING_SIDE);
            let script = Script::of(seeds, amounts.training_frames, TRAINING_FPS, size);
            clips::film(
                &self.ctx,
                head,
                person,
                &script,
                &self.training(n),
                |_, _| {},
            )?;
        }
        self.took("render", begun);
        Ok(shown)
    }

    fn training(&self, n: usize) -> PathBuf {
        self.path(["a-training.mp4", "b-training.mp4"][n])
    }

    /// Enters a person and finds their faces, unless that was done.
    fn extract(&mut self, name: &PersonName, n: usize, seed: u64) -> Result<(), JobError> {
        let begun = Instant::now();
        let known = person::list(&self.ctx)?;
        let known = known.into_iter().find(|p| p.name == *name);
        if known.is_none() {
            person::add(
                &self.ctx,
                &person::Add {
                    name: name.clone(),
                    consent: ConsentFrom::Synthetic,
                    entered_by: "stockpot demo".into(),
                    note: format!("made up, seed {seed}"),
                    terms: person::Terms::default(),
                },
            )?;
        }
        if known.and_then(|p| p.training_faces).unwrap_or(0) == 0 {
            let settings = extract::Settings {
                inputs: vec![self.training(n)],
                person: name.clone(),
                like: Vec::new(),
                max_side: TRAINING_SIDE,
                every: 1,
            };
            extract::run(&self.ctx, &settings)?;
        }
        self.took(["find the faces of A", "find the faces of B"][n], begun);
        Ok(())
    }

    fn train(&mut self, persons: &[PersonName]) -> Result<train::Reply, JobError> {
        let begun = Instant::now();
        let reply = train::run(
            &self.ctx,
            &train::Settings {
                persons: persons.to_vec(),
                steps: self.settings.tiny.then_some(4),
                minutes: (!self.settings.tiny).then_some(self.settings.minutes),
                preset: Some(PRESET.into()),
                // Small steps: in a few minutes their number counts.
                batch: Some(if self.settings.tiny { 2 } else { 8 }),
                // The usual mean of weights looks back further than such a short training is long.
                // And the stock it starts from is disturbed less by smaller steps.
                more: serde_json::json!({
                    "ema_decay": 0.99,
                    "learning_rate": 5e-4,
                    "report_every": if self.settings.tiny { 1 } else { 10 },
                }),
                ..train::Settings::default()
            },
        )?;
        self.took("train", begun);
        match reply.stopped_by {
            "cancelled" => Err(JobError::cancelled(
                "Stopped while training; what was learned is in the library",
            )
            .with_hint("the same command goes on from here")),
            _ => Ok(reply),
        }
    }

    fn swap(&mut self, from: &PersonName, to: &PersonName) -> Result<PathBuf, JobError> {
        let begun = Instant::now();
        let output = self.path("a-as-b.mp4");
        swap::run(
            &self.ctx,
            &swap::Settings {
                input: self.clips()[0].clone(),
                to: to.clone(),
                wanted: swap::Wanted::Person(from.clone()),
                output: output.clone(),
                preview: None,
                frames: None,
                crf: None,
                encoder: None,
                precision: train::Precision::Auto,
                convert: swap::ConvertSettings::default(),
                openness: swap::Openness::default(),
            },
        )?;
        self.took("swap", begun);
        Ok(output)
    }
}

/// Luminance of skin, linear light, of who plays A: faces whose features hardly stand out take
/// longest to learn, and the demo has minutes.
const MIDDLE_TONES: std::ops::Range<f32> = 0.15..0.5;

/// A, and of two dozen others that one of the four with the likest skin whose face is the unlikest. A
/// swap keeps the colours of the neck that it sits on: people of unlike skin would show that and not
/// the likeness.
fn cast(head: &HeadData, seed: u64) -> [Person; 2] {
    let person = |n| Person::new(head, Rng::stream(seed, "demo person", n).next_u64());
    let luminance = |p: &Person| {
        let [r, g, b] = p.skin();
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let mut first = (0..24).map(|n| person(1000 + n));
    // A beard would stay on A's chin: a swap ends above it.
    let a = first.find(|p| MIDDLE_TONES.contains(&luminance(p)) && p.beard() == Beard::None);
    let a = a.unwrap_or_else(|| person(0));
    let skin = |other: &Person| -> f32 {
        let (a, b) = (a.skin(), other.skin());
        (0..3).map(|k| (a[k] - b[k]).abs()).sum()
    };
    let mut others: Vec<Person> = (1..=24).map(person).collect();
    others.sort_by(|x, y| skin(x).total_cmp(&skin(y)));
    others.truncate(4);
    let unlike = |x: &&Person, y: &&Person| a.unlikeness(x).total_cmp(&a.unlikeness(y));
    let b = others.iter().max_by(unlike).cloned();
    let b = b.unwrap_or_else(|| person(1));
    [a, b]
}

/// The most memory this program held so far, where the Linux kernel tells.
fn peak_memory() -> Option<u64> {
    // `.ok()`: other systems have no such file.
    let text = std::fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Says what happens next.
fn phase(ctx: &Context, name: &'static str, total: usize) {
    ctx.progress.send(Progress::Phase {
        name,
        total: total as u64,
    });
}
