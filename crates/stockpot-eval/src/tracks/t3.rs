//! T3, warm start: how many fewer steps a new pair needs from the shipped stock than from fresh weights
//! to be redrawn as well, and what that does to the swap.
//!
//! Both trainings see the same faces, in the same number of steps, under the same schedule. A short one
//! from the stock, of lite persons, shows what a fifth of the steps brings.

use std::path::Path;

use stockpot_core::PersonName;
use stockpot_jobs::person::ConsentFrom;
use stockpot_jobs::train::Form;
use stockpot_jobs::{Context, JobError, init};

use super::Findings;
use super::t1_t2::{compare_drawn, scored};
use crate::bench::{Effort, World, cannot};
use crate::outcome::{Better, Measure, Toy};
use crate::sets::{Pair, lesson};
use crate::trained::{self, DrawnFace, Lesson, Point, Taught, Trained};

/// A short training has the cold one's steps divided by this: what the stock with lite
/// persons is to save.
const SHARE: u64 = 5;

/// Compares the pair with one that is trained from fresh weights.
///
/// # Errors
/// If a pair cannot be made, or the user stopped.
pub fn warm_start(world: &mut World) -> Result<Findings, JobError> {
    let pair = world.pair()?;
    let cold = world.cold()?;
    let (cold_curve, cold) = (&cold.curve, &cold.states);
    let end = |curve: &[Point]| {
        let last = curve.last().copied();
        last.ok_or_else(|| JobError::failed("The training was not measured: this is a bug"))
    };
    let (cold_end, warm_end) = (end(cold_curve)?, end(&pair.curve)?);
    let reached = pair.curve.iter().find(|p| p.mae <= cold_end.mae);
    // Not a number, which reaches no goal, if it never gets there.
    let times = |of: fn(&Point) -> f64| reached.map_or(f64::NAN, |p| of(&cold_end) / of(p));
    let toy = |value| {
        vec![Toy {
            name: "cold start",
            value,
        }]
    };
    let (lower, higher) = (Better::Lower, Better::Higher);
    let mut measures = Vec::new();
    let mut row = |name: &str, unit, value, better, goal, toys| {
        measures.push(
            Measure::new(name, unit, value, better)
                .with_toys(toys)
                .with_goal(goal),
        );
    };
    let steps = times(|p| p.step as f64);
    row("fewer steps", "times", steps, higher, Some(3.0), toy(1.0));
    let seconds = times(|p| p.seconds);
    row("less time", "times", seconds, higher, None, toy(1.0));
    let (warm_mae, cold_mae) = (warm_end.mae, cold_end.mae);
    row(
        "held-out difference at the end",
        "of 1",
        warm_mae,
        lower,
        None,
        toy(cold_mae),
    );
    let side = pair.family.resolution() as usize;
    for (from, to, name) in [
        (0, 1, "difference, A drawn as B"),
        (1, 0, "difference, B drawn as A"),
    ] {
        let mae = |drawn: &dyn Fn(&[Vec<f32>]) -> Vec<DrawnFace>| {
            let all = compare_drawn(&pair, &pair.stills, (from, to), drawn)?;
            Ok::<f64, JobError>(scored(side, &all, |c| c.output.clone())?.mae)
        };
        let warm = mae(&|inputs| pair.draw(to, inputs))?;
        let decoder = &cold.decoders[to];
        let cold = mae(&|inputs| trained::draw(cold.family, &cold.encoder, decoder, inputs))?;
        row(name, "of 1", warm, lower, None, toy(cold));
    }
    // The quick bench has no time for it.
    let short = match world.effort {
        Effort::Quick => String::new(),
        Effort::Tiny | Effort::Full => {
            let lesson = Lesson {
                steps: lesson(world.effort).steps.div_ceil(SHARE),
                form: Form::Lite,
                ..lesson(world.effort)
            };
            let (_, taught) = again(world, &pair, "short", lesson)?;
            let found = end(&taught.curve)?.mae;
            row(
                "lite persons after a fifth of the steps, against the cold end",
                "times",
                found / cold_mae,
                lower,
                Some(1.0),
                toy(1.0),
            );
            let steps = lesson.steps;
            format!("; lite persons, whose rate falls to the end of {steps} steps: {found:.4}")
        }
    };
    let curve = |points: &[Point]| {
        let at = |p: &Point| format!("{} {:.4}", p.step, p.mae);
        points.iter().map(at).collect::<Vec<_>>().join(", ")
    };
    Ok(Findings {
        measures,
        note: format!(
            "until the held-out faces of both are redrawn as well as at the end of {} cold steps, measured \
             {} times; steps and difference, cold: {}; warm: {}{short}",
            cold_end.step,
            cold_curve.len(),
            curve(cold_curve),
            curve(&pair.curve)
        ),
    })
}

/// The persons of the pair, trained on the same faces from fresh weights: another lineage.
#[derive(Debug)]
pub(crate) struct Cold {
    curve: Vec<Point>,
    pub(crate) states: Trained,
}

/// Trains them from fresh weights.
pub(crate) fn cold(world: &World, pair: &Pair) -> Result<Cold, JobError> {
    let lesson = Lesson {
        from_scratch: true,
        ..lesson(world.effort)
    };
    let (ctx, taught) = again(world, pair, "cold", lesson)?;
    Ok(Cold {
        curve: taught.curve,
        states: trained::load(&ctx, &names(pair))?,
    })
}

fn names(pair: &Pair) -> Vec<PersonName> {
    pair.sides.iter().map(|s| s.name.clone()).collect()
}

/// Trains the pair once more, in a library of its own.
fn again(
    world: &World,
    pair: &Pair,
    folder: &str,
    lesson: Lesson,
) -> Result<(Context, Taught), JobError> {
    let ctx = Context {
        library_dir: world.folder().join(folder),
        ..world.ctx.clone()
    };
    init::run(&ctx, &init::Settings {})?;
    let (warm, library) = (world.ctx.library()?, ctx.library()?);
    let names = names(pair);
    for name in &names {
        trained::enter(&ctx, name, ConsentFrom::Synthetic)?;
        copy(&warm.facesets_dir(name), &library.facesets_dir(name))?;
    }
    let taught = trained::train(&ctx, &names, lesson)?;
    Ok((ctx, taught))
}

/// Copies a folder of files and such folders.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), JobError> {
    std::fs::create_dir_all(to).map_err(|e| cannot("make the folder", to, &e))?;
    let entries = std::fs::read_dir(from).map_err(|e| cannot("read the folder", from, &e))?;
    for entry in entries {
        let entry = entry.map_err(|e| cannot("read the folder", from, &e))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(|e| cannot("copy", &path, &e))?;
        }
    }
    Ok(())
}
