//! Several ways to train the same faces, each for the same time: from the shipped stock or from fresh
//! weights, whole decoders or lite ones, networks of several sizes.
//!
//! On made-up people swaps are compared with the truth, on real clips only what held-out stretches look
//! like redrawn. Whatever the network, faces are compared at one size: what a smaller one draws is
//! enlarged, as it would be in a frame.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use stockpot_convert::Placement;
use stockpot_core::image::{Image, Size};
use stockpot_core::{Area, PersonName, Rgb8, warp};
use stockpot_faceset::Split;
use stockpot_jobs::person::ConsentFrom;
use stockpot_jobs::train::{self as training, Form};
use stockpot_jobs::{Context, JobError, extract, init};
use stockpot_model::Family;

use crate::bench::{self, Example, People, Reply, World};
use crate::measure;
use crate::outcome::{Better, Measure, Outcome, Toy};
use crate::sets::{Pair, PlayedFrame, cut_mask, cut_rgb};
use crate::tracks::t1_t2::{Compared, scored};
use crate::tracks::t3;
use crate::trained::{self, Point, Trained};

/// Who takes part, when nobody is named.
pub const ENTRANTS: [Entrant; 5] = [
    Entrant {
        name: "stock",
        preset: "comb-s-96",
        from_scratch: false,
        form: Form::Full,
    },
    Entrant {
        name: "lite",
        preset: "comb-s-96",
        from_scratch: false,
        form: Form::Lite,
    },
    Entrant {
        name: "scratch",
        preset: "comb-s-96",
        from_scratch: true,
        form: Form::Full,
    },
    Entrant {
        name: "stock-128",
        preset: "comb-s-128",
        from_scratch: false,
        form: Form::Full,
    },
    Entrant {
        name: "classic",
        preset: "classic-4x1024",
        from_scratch: true,
        form: Form::Full,
    },
];

/// A way to train.
#[derive(Debug, Clone, Copy)]
pub struct Entrant {
    /// What the tables call it.
    pub name: &'static str,
    /// The network.
    pub preset: &'static str,
    /// Fresh weights instead of the shipped stock.
    pub from_scratch: bool,
    /// How much of the decoders is the persons' own.
    pub form: Form,
}

/// Faces are compared at this size, in pixels: that of the largest entrant.
const SIDE: usize = 128;
/// Steps between measurements of held-out faces.
const EVERY: u64 = 50;
/// A face this similar to the truth is taken for usable.
const USABLE_SSIM: f64 = 0.85;
/// Pictures of each kind on the page.
const SHOWN: usize = 4;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long each entrant is trained.
    pub minutes: f64,
    /// Names of [`ENTRANTS`]; all without any.
    pub entrants: Vec<String>,
    /// Clips, each of another person; made-up people without any.
    pub clips: Vec<PathBuf>,
    /// The ground on which the faces in the clips may be trained.
    pub consent: ConsentFrom,
    /// Effort, output and command; its tracks do not count.
    pub bench: bench::Settings,
}

/// Trains and measures every entrant, one after another.
///
/// # Errors
/// If an entrant is unknown, a clip cannot be read or shows no face, training fails, or the user
/// stopped.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let start = Instant::now();
    let entrants = chosen(&settings.entrants)?;
    bench::make_folder(settings.bench.out.as_deref())?;
    let (people, track) = match settings.clips.is_empty() {
        true => (People::Rendered, Track::rendered(ctx, settings)?),
        false => (People::Filmed, Track::filmed(ctx, settings)?),
    };
    let mut outcomes = Vec::new();
    let mut shown: BTreeMap<usize, Vec<(String, Rgb8)>> = BTreeMap::new();
    for (i, entrant) in entrants.iter().enumerate() {
        let begun = Instant::now();
        let mut done = track.enter(entrant, settings.minutes)?;
        let compared = track.compare(&done.states)?;
        let mut measures = done.measures();
        for (what, all) in &compared {
            measures.extend(rows(what, all)?);
        }
        // The same faces for everybody, the first column being what is wanted.
        let faces = compared.iter().flat_map(|(_, all)| spread(all, SHOWN));
        for (row, face) in faces.enumerate() {
            let cells = shown.entry(row).or_default();
            if i == 0 {
                cells.push(("seen".into(), picture(&face.input)?));
                cells.push(("wanted".into(), picture(&face.truth)?));
            }
            cells.push((entrant.name.to_owned(), picture(&face.output)?));
        }
        outcomes.push(Outcome {
            track: entrant.name,
            title: "the same minutes",
            measures,
            note: std::mem::take(&mut done.note),
            seconds: begun.elapsed().as_secs_f64(),
        });
    }
    let last = entrants.last().map_or("", |e| e.name);
    let examples = shown.into_values().map(|cells| Example {
        title: format!("{last} and the others, enlarged to {SIDE} px"),
        cells,
    });
    let (examples, bench) = (examples.collect(), &settings.bench);
    bench::finish(ctx, bench, people, (outcomes, Vec::new()), examples, start)
}

fn chosen(names: &[String]) -> Result<Vec<Entrant>, JobError> {
    let all = || ENTRANTS.map(|e| e.name).join(", ");
    let one = |name: &String| {
        let found = ENTRANTS.iter().find(|e| e.name == name);
        found.copied().ok_or_else(|| {
            JobError::usage(format!("No entrant is called `{name}`"))
                .with_hint(format!("there are {}", all()))
        })
    };
    match names {
        [] => Ok(ENTRANTS.to_vec()),
        _ => names.iter().map(one).collect(),
    }
}

/// The faces everybody trains on, and what is held out.
struct Track {
    /// A library with the facesets.
    ctx: Context,
    /// Where entrants' libraries are; goes with this.
    work: tempfile::TempDir,
    names: Vec<PersonName>,
    consent: ConsentFrom,
    truth: Truth,
}

enum Truth {
    Rendered(Box<(World, std::rc::Rc<Pair>)>),
    /// The facesets' own held-out stretches.
    HeldOut,
}

impl Track {
    fn rendered(ctx: &Context, settings: &Settings) -> Result<Self, JobError> {
        let bench = &settings.bench;
        let mut world = World::open(ctx, bench.effort, bench.assets.as_deref())?;
        let pair = world.pair()?;
        Ok(Self {
            ctx: world.ctx.clone(),
            work: folder()?,
            names: pair.sides.iter().map(|side| side.name.clone()).collect(),
            consent: ConsentFrom::Synthetic,
            truth: Truth::Rendered(Box::new((world, pair))),
        })
    }

    fn filmed(ctx: &Context, settings: &Settings) -> Result<Self, JobError> {
        let (work, own) = bench::own_library(ctx)?;
        let mut names = Vec::new();
        for (number, clip) in settings.clips.iter().enumerate() {
            let name: PersonName = format!("clip-{}", number + 1)
                .parse()
                .map_err(|e| JobError::failed(format!("A name cannot be used: {e}")))?;
            trained::enter(&own, &name, settings.consent.clone())?;
            let clip = extract::Settings {
                inputs: vec![clip.clone()],
                person: name.clone(),
                like: Vec::new(),
                max_side: 256,
                every: 1,
            };
            extract::run(&own, &clip)?;
            names.push(name);
        }
        Ok(Self {
            ctx: own,
            work,
            names,
            consent: settings.consent.clone(),
            truth: Truth::HeldOut,
        })
    }

    /// Trains an entrant in a library of its own, as users do it: with the product's defaults.
    fn enter(&self, entrant: &Entrant, minutes: f64) -> Result<Done, JobError> {
        let ctx = Context {
            library_dir: self.work.path().join(entrant.name),
            ..self.ctx.clone()
        };
        init::run(&ctx, &init::Settings {})?;
        let (from, to) = (self.ctx.library()?, ctx.library()?);
        for name in &self.names {
            trained::enter(&ctx, name, self.consent.clone())?;
            t3::copy(&from.facesets_dir(name), &to.facesets_dir(name))?;
        }
        let settings = training::Settings {
            persons: self.names.clone(),
            minutes: Some(minutes),
            preset: Some(entrant.preset.into()),
            from_scratch: entrant.from_scratch,
            form: entrant.form,
            more: serde_json::json!({ "evaluate_every": EVERY, "preview_every": 0 }),
            ..training::Settings::default()
        };
        let reply = training::run(&ctx, &settings)?;
        if reply.stopped_by == "cancelled" {
            return Err(JobError::cancelled("Stopped while training"));
        }
        let curve = trained::curve(&reply)?;
        let at = |p: &Point| format!("{:.1} min {:.3}", p.seconds / 60.0, p.ssim);
        // Each twice as late as the one before.
        let mut told: Vec<String> = Vec::new();
        let mut next = 0;
        for (i, point) in curve.iter().enumerate() {
            if i == next || i + 1 == curve.len() {
                told.push(at(point));
                next = (2 * next).max(1);
            }
        }
        Ok(Done {
            states: trained::load(&ctx, &self.names)?,
            note: format!(
                "{}, {}, {} steps of {} faces each in {:.1} min; held-out SSIM of the product's own \
                 measurement: {}",
                entrant.preset,
                match entrant.from_scratch {
                    true => "from fresh weights",
                    false => "from the shipped stock",
                },
                reply.steps,
                reply.batch,
                reply.minutes,
                told.join(", ")
            ),
            steps: reply.steps,
            curve,
        })
    }

    /// Held-out faces at [`SIDE`], by what was asked of them.
    fn compare(&self, states: &Trained) -> Result<Vec<(String, Vec<Compared>)>, JobError> {
        let mut found = Vec::new();
        match &self.truth {
            Truth::HeldOut => {
                for (i, name) in self.names.iter().enumerate() {
                    found.push((format!("{name} redrawn"), self.redrawn(states, i)?));
                }
            }
            Truth::Rendered(both) => {
                for (from, to, what) in [
                    (0, 0, "A redrawn"),
                    (1, 1, "B redrawn"),
                    (0, 1, "A drawn as B"),
                    (1, 0, "B drawn as A"),
                ] {
                    found.push((what.to_owned(), swapped(&both.1, states, from, to)?));
                }
            }
        }
        Ok(found)
    }

    /// The faceset's held-out faces, redrawn.
    fn redrawn(&self, states: &Trained, person: usize) -> Result<Vec<Compared>, JobError> {
        let name = &self.names[person];
        let faces = |family| {
            let seen = (family, states.area);
            trained::faces(&self.ctx, name, seen, Split::HeldOut)
        };
        let wanted = faces(Family::COMB[2])?;
        let own = faces(states.family)?;
        let side = states.family.resolution() as usize;
        let inputs: Vec<Vec<f32>> = own
            .input
            .chunks_exact(side * side * 3)
            .map(<[f32]>::to_vec)
            .collect();
        let truths = wanted.target.chunks_exact(SIDE * SIDE * 3);
        let truths = truths.zip(wanted.mask.chunks_exact(SIDE * SIDE));
        let truths = truths.map(|(truth, mask)| (truth.to_vec(), mask.to_vec()));
        drawn(states, person, inputs, truths.collect())
    }
}

/// What [`Pair`]'s held-out performances look like drawn as another person.
fn swapped(
    pair: &Pair,
    states: &Trained,
    from: usize,
    to: usize,
) -> Result<Vec<Compared>, JobError> {
    let (mut inputs, mut truths) = (Vec::new(), Vec::new());
    for held in &pair.stills {
        for (filmed, wanted) in held.frames[from].iter().zip(&held.frames[to]) {
            let area = states.area;
            let seen = placement(filmed, area, states.family.resolution());
            let shown = placement(wanted, area, SIDE as u32);
            let (Some(seen), Some(shown), Some(mask)) = (seen, shown, wanted.face_mask()) else {
                continue;
            };
            inputs.push(cut_rgb(&filmed.filmed, &seen)?);
            truths.push((
                cut_rgb(&wanted.drawn.rgb, &shown)?,
                cut_mask(&mask, &shown)?,
            ));
        }
    }
    drawn(states, to, inputs, truths)
}

fn placement(frame: &PlayedFrame, area: Area, resolution: u32) -> Option<Placement> {
    Some(Placement {
        face_from_frame: frame.landmarks.as_ref()?.face_from_frame().ok()?,
        area,
        resolution,
    })
}

/// Draws faces and enlarges them and what was seen to [`SIDE`].
fn drawn(
    states: &Trained,
    person: usize,
    inputs: Vec<Vec<f32>>,
    truths: Vec<(Vec<f32>, Vec<f32>)>,
) -> Result<Vec<Compared>, JobError> {
    if inputs.is_empty() {
        return Err(JobError::failed("No face was found in what is held out"));
    }
    let decoder = &states.decoders[person];
    let side = states.family.resolution();
    let outputs = trained::draw(states.family, &states.encoder, decoder, &inputs);
    let all = inputs.iter().zip(outputs).zip(truths);
    all.map(|((input, (output, _)), (truth, mask))| {
        Ok(Compared {
            input: enlarged(side, input)?,
            output: enlarged(side, &output)?,
            truth,
            mask,
        })
    })
    .collect()
}

fn enlarged(side: u32, face: &[f32]) -> Result<Vec<f32>, JobError> {
    let image = Image::<f32, 3>::from_vec(Size::square(side), face.to_vec()).map_err(wrong)?;
    let large = warp::resize(&image, Size::square(SIDE as u32));
    Ok(large.data().to_vec())
}

fn picture(face: &[f32]) -> Result<Rgb8, JobError> {
    let levels = face
        .iter()
        .map(|v| (255.0 * v.clamp(0.0, 1.0)).round() as u8);
    Rgb8::from_vec(Size::square(SIDE as u32), levels.collect()).map_err(wrong)
}

fn wrong(error: impl std::fmt::Display) -> JobError {
    JobError::failed(format!("A face has another size: {error}: this is a bug"))
}

/// `count` faces from all over.
fn spread(all: &[Compared], count: usize) -> impl Iterator<Item = &Compared> {
    let count = count.min(all.len());
    (0..count).map(move |i| &all[(2 * i + 1) * all.len() / (2 * count)])
}

fn rows(what: &str, all: &[Compared]) -> Result<Vec<Measure>, JobError> {
    let own = scored(SIDE, all, |c| c.output.clone())?;
    let copy = scored(SIDE, all, |c| c.input.clone())?;
    // A face that is copied is the person who was filmed: no toy where that one is wanted.
    let is_swap = what.contains(" drawn as ");
    let row = |name: &str, unit, better, of: fn(&measure::Score) -> f64| {
        let toys = match is_swap {
            true => vec![Toy::new("copy the target", of(&copy))],
            false => Vec::new(),
        };
        Measure::new(format!("{name}, {what}"), unit, of(&own), better).with_toys(toys)
    };
    Ok(vec![
        row("difference", "of 1", Better::Lower, |s| s.mae),
        row("SSIM", "", Better::Higher, |s| s.ssim),
        row("detail", "of truth", Better::Higher, |s| s.detail),
    ])
}

/// What came of an entrant.
struct Done {
    states: Trained,
    note: String,
    steps: u64,
    curve: Vec<Point>,
}

impl Done {
    fn measures(&self) -> Vec<Measure> {
        let usable = self.curve.iter().find(|p| p.ssim >= USABLE_SSIM);
        // Not a number, which reaches no goal, if it never gets there.
        let minutes = usable.map_or(f64::NAN, |p| p.seconds / 60.0);
        let bytes = self.states.bytes.iter().sum::<u64>() as f64 / self.states.bytes.len() as f64;
        vec![
            Measure::new(
                format!("until held-out SSIM {USABLE_SSIM}"),
                "min",
                minutes,
                Better::Lower,
            ),
            Measure::new("steps", "", self.steps as f64, Better::Higher),
            Measure::new("a person's file", "MB", bytes / 1e6, Better::Lower),
        ]
    }
}

fn folder() -> Result<tempfile::TempDir, JobError> {
    tempfile::Builder::new()
        .prefix("stockpot-race-")
        .tempdir()
        .map_err(|e| JobError::failed(format!("Cannot make a folder to work in: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entrants_are_found_by_name() {
        let names = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            chosen(&words).map(|all| all.iter().map(|e| e.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), ENTRANTS.len());
        assert_eq!(names(&["classic", "stock"]).unwrap(), ["classic", "stock"]);
        let error = names(&["fast"]).unwrap_err();
        assert!(error.hint.unwrap().contains("scratch"), "{}", error.message);
        for entrant in ENTRANTS {
            let family: Family = entrant.preset.parse().unwrap();
            assert!(family.resolution() as usize <= SIDE);
        }
    }

    #[test]
    fn small_faces_are_enlarged_and_shown() {
        let face: Vec<f32> = vec![0.25; 64 * 64 * 3];
        let large = enlarged(64, &face).unwrap();
        assert_eq!(large.len(), SIDE * SIDE * 3);
        assert!(large.iter().all(|v| (v - 0.25).abs() < 1e-6));
        assert_eq!(picture(&large).unwrap().pixel(5, 5), [64, 64, 64]);
    }
}
