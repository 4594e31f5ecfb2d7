//! T5, forgetting: people are added one by one, by `grow` and by going on naively, and everybody who
//! was there before is measured again.
//!
//! Both begin with the trained pair and see the same faces in the same number of steps. The product's
//! own held-out faces are what is measured. Start with [`forgetting`]; T4 asks about the same lineage.

use stockpot_core::PersonName;
use stockpot_faceset::{Batch, Split};
use stockpot_jobs::person::ConsentFrom;
use stockpot_jobs::{Context, JobError, extract, grow, train as training};
use stockpot_model::{Family, Params};
use stockpot_synth::Person;
use stockpot_train::loss::Comparison;
use stockpot_train::metrics::score_faces;

use super::Findings;
use super::t3::copy;
use crate::bench::World;
use crate::calibration::{FACES, Renderer};
use crate::outcome::{Better, Measure, Toy};
use crate::sets::{Group, Use, film, lesson, moments};
use crate::trained;

/// Performances of each newcomer that are learnt.
const PERFORMANCES: u64 = 4;
/// Pictures a second: so that few of them show much.
const PICTURES_FPS: i32 = 2;
/// Numbers of the newcomers' rehearsals, after those of T7's.
const REHEARSALS: u64 = 120;

/// Somebody of a lineage.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: PersonName,
    /// The number of the encoder state that they came with.
    pub(crate) joined: usize,
    /// Their decoder as it was then.
    pub(crate) own: Params,
    /// Their decoder as the library has it at the end.
    pub(crate) last: Params,
    pub(crate) held: Batch,
}

/// Encoder states one after the other, and everybody who came.
#[derive(Debug)]
pub(crate) struct Lineage {
    pub(crate) family: Family,
    pub(crate) encoders: Vec<Params>,
    pub(crate) members: Vec<Member>,
    /// How many growths the gate would have released.
    passed: usize,
    steps: u64,
    batch: usize,
}

impl Lineage {
    /// Mean difference of a member's held-out faces and what is drawn of them, 0 to 1.
    pub(crate) fn mae(
        &self,
        encoder: &Params,
        decoder: &Params,
        held: &Batch,
    ) -> Result<f64, JobError> {
        let side = self.family.resolution() as usize;
        let faces = held.input.chunks_exact(3 * side * side);
        let inputs: Vec<Vec<f32>> = faces.map(<[f32]>::to_vec).collect();
        let drawn = trained::draw(self.family, encoder, decoder, &inputs);
        let prediction: Vec<f32> = drawn.into_iter().flat_map(|(rgb, _)| rgb).collect();
        let score = score_faces(&Comparison {
            side,
            channels: 3,
            prediction: &prediction,
            target: &held.target,
            mask: &held.mask,
            weight: &[],
        });
        Ok(score
            .map_err(|e| JobError::failed(format!("A face cannot be measured: {e}")))?
            .mae)
    }

    /// A member's error when they came.
    pub(crate) fn at_first(&self, member: &Member) -> Result<f64, JobError> {
        self.mae(&self.encoders[member.joined], &member.own, &member.held)
    }

    /// A member's error at the end, with the last encoder state.
    fn at_last(&self, member: &Member) -> Result<f64, JobError> {
        let last = self.encoders.last().unwrap_or(&self.encoders[0]);
        self.mae(last, &member.last, &member.held)
    }

    /// What the end changed for everybody who came before it, in percent.
    fn changes(&self) -> Result<Vec<f64>, JobError> {
        let end = self.encoders.len() - 1;
        let earlier = self.members.iter().filter(|m| m.joined < end);
        earlier
            .map(|m| Ok(100.0 * (self.at_last(m)? / self.at_first(m)? - 1.0)))
            .collect()
    }

    /// The mean error of those who were added, when they came.
    fn newcomers(&self) -> Result<f64, JobError> {
        let new: Vec<&Member> = self.members.iter().filter(|m| m.joined > 0).collect();
        let sum = new
            .iter()
            .map(|m| self.at_first(m))
            .sum::<Result<f64, JobError>>()?;
        Ok(sum / new.len() as f64)
    }
}

/// Both lineages.
#[derive(Debug)]
pub(crate) struct Lineages {
    pub(crate) grown: Lineage,
    naive: Lineage,
}

/// How people are added.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Grow,
    Naively,
}

/// Adds people one by one, both ways.
///
/// # Errors
/// If the pair or the newcomers cannot be made, or the user stopped.
pub fn forgetting(world: &mut World) -> Result<Findings, JobError> {
    let both = world.lineages()?;
    let (grown, naive) = (&both.grown, &both.naive);
    let (ours, theirs) = (grown.changes()?, naive.changes()?);
    let worst = |all: &[f64]| all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let added = grown.encoders.len() - 1;
    let row = |name: String, unit, value, better, goal, toys: &[f64]| {
        Measure::new(name, unit, value, better)
            .with_toys(
                toys.iter()
                    .map(|value| Toy {
                        name: "going on naively",
                        value: *value,
                    })
                    .collect(),
            )
            .with_goal(goal)
    };
    let (lower, higher) = (Better::Lower, Better::Higher);
    let names: Vec<String> = grown
        .members
        .iter()
        .zip(&ours)
        .zip(&theirs)
        .map(|((m, ours), theirs)| format!("{} {ours:+.1} % ({theirs:+.1} %)", m.name))
        .collect();
    Ok(Findings {
        measures: vec![
            row(
                "change of the worst earlier person".into(),
                "%",
                worst(&ours),
                lower,
                Some(2.0),
                &[worst(&theirs)],
            ),
            row(
                "mean change of earlier persons".into(),
                "%",
                mean(&ours),
                lower,
                Some(0.0),
                &[mean(&theirs)],
            ),
            row(
                "newcomers' difference".into(),
                "of 1",
                grown.newcomers()?,
                lower,
                None,
                &[naive.newcomers()?],
            ),
            row(
                "growths that pass the release gate".into(),
                "",
                grown.passed as f64,
                higher,
                Some(added as f64),
                &[],
            ),
        ],
        note: format!(
            "{added} people added one by one to the pair, {} steps of {} faces each, {}; everybody's held-out \
             error at the end against when they came, naively in brackets: {}",
            grown.steps,
            grown.batch,
            grown.family,
            names.join(", ")
        ),
    })
}

/// Makes both lineages.
pub(crate) fn make(world: &mut World) -> Result<Lineages, JobError> {
    world.pair()?;
    let people = world.effort.pick(1, 1, 4);
    let meeting = Context {
        library_dir: world.folder().join("lineage"),
        ..world.ctx.clone()
    };
    copy(&world.ctx.library_dir, &meeting.library_dir)?;
    let mut names = Vec::new();
    for number in 0..people {
        names.push(meet(world, &meeting, number)?);
    }
    Ok(Lineages {
        grown: add(world, &meeting, &names, How::Grow)?,
        naive: add(world, &meeting, &names, How::Naively)?,
    })
}

/// Enters a newcomer with their faces.
fn meet(world: &World, ctx: &Context, number: u64) -> Result<PersonName, JobError> {
    let name: PersonName = format!("new{number}")
        .parse()
        .map_err(|e| JobError::failed(format!("A name cannot be used: {e}")))?;
    // The first newcomer is T7's.
    let person = Person::new(&world.head, world.cast.person(Group::New, 1 + number));
    trained::enter(ctx, &name, ConsentFrom::Synthetic)?;
    let pictures = world.effort.pick(12, 16, 40);
    let mut inputs = Vec::new();
    for clip in 0..PERFORMANCES {
        let played = world
            .cast
            .performance(Use::Training(REHEARSALS + number), clip);
        let path = world.folder().join(format!("{name}-{clip}.mp4"));
        let moments = moments(played, pictures, PICTURES_FPS);
        film(world, &person, &moments, PICTURES_FPS, &path)?;
        inputs.push(path);
    }
    extract::run(
        ctx,
        &extract::Settings {
            inputs,
            person: name.clone(),
            like: Vec::new(),
            max_side: 256,
            every: 1,
        },
    )?;
    Ok(name)
}

/// Adds everybody in a copy of the library where they have met.
fn add(
    world: &World,
    meeting: &Context,
    newcomers: &[PersonName],
    how: How,
) -> Result<Lineage, JobError> {
    let ctx = Context {
        library_dir: world.folder().join(match how {
            How::Grow => "grown",
            How::Naively => "naive",
        }),
        ..world.ctx.clone()
    };
    copy(&meeting.library_dir, &ctx.library_dir)?;
    let steps = world.effort.pick(2, 40, 40);
    let batch = lesson(world.effort).batch;
    let pair: Vec<PersonName> = ["a", "b"]
        .into_iter()
        .filter_map(|n| n.parse().ok()) // these two are names
        .collect();
    let first = trained::load(&ctx, &pair)?;
    let mut lineage = Lineage {
        family: first.family,
        encoders: vec![first.encoder],
        members: Vec::new(),
        passed: 0,
        steps,
        batch,
    };
    let seen = (first.family, first.area);
    let join = |name: &PersonName, joined, own: Params| -> Result<Member, JobError> {
        Ok(Member {
            held: trained::faces(&ctx, name, seen, Split::HeldOut)?,
            name: name.clone(),
            joined,
            last: own.clone(),
            own,
        })
    };
    for (name, own) in pair.iter().zip(first.decoders) {
        lineage.members.push(join(name, 0, own)?);
    }
    for (number, name) in newcomers.iter().enumerate() {
        world.check_cancel()?;
        lineage.passed += usize::from(one(world, &ctx, name, (steps, batch), how)?);
        let now = trained::load(&ctx, std::slice::from_ref(name))?;
        lineage.encoders.push(now.encoder);
        let own = now.decoders.into_iter().next();
        let own = own.ok_or_else(|| JobError::failed("Nobody was trained: this is a bug"))?;
        lineage.members.push(join(name, number + 1, own)?);
    }
    let names: Vec<PersonName> = lineage.members.iter().map(|m| m.name.clone()).collect();
    let last = trained::load(&ctx, &names)?.decoders;
    for (member, decoder) in lineage.members.iter_mut().zip(last) {
        member.last = decoder;
    }
    Ok(lineage)
}

/// Adds one; whether the gate would have released that.
fn one(
    world: &World,
    ctx: &Context,
    name: &PersonName,
    (steps, batch): (u64, usize),
    how: How,
) -> Result<bool, JobError> {
    let quiet = serde_json::json!({ "evaluate_every": 0, "preview_every": 0, "save_every": steps });
    if how == How::Grow {
        let renderer = Renderer {
            cache_dir: world.folder().join("calibration"),
            faces: world.effort.pick(16, FACES, FACES),
        };
        let settings = grow::Settings {
            persons: vec![name.clone()],
            steps: Some(steps),
            batch: Some(batch),
            // What is measured is what growing does, not what the gate keeps back.
            allow_wear: true,
            more: quiet,
            ..grow::Settings::default()
        };
        return Ok(grow::run(ctx, &renderer, &settings)?.verdict.passed);
    }
    let mut more = quiet;
    let averaged = (0.05 * steps as f64).max(2.0);
    more["schedule"] = "cosine".into();
    more["schedule_steps"] = steps.into();
    more["warm_up_steps"] = (steps / 10).min(100).into();
    more["ema_decay"] = (1.0 - 1.0 / averaged).into();
    more["learning_rate"] = 5e-4.into();
    let settings = training::Settings {
        persons: vec![name.clone()],
        steps: Some(steps),
        batch: Some(batch),
        more,
        ..training::Settings::default()
    };
    match training::run(ctx, &settings)?.stopped_by {
        "cancelled" => Err(JobError::cancelled("Stopped while training")),
        _ => Ok(false),
    }
}
