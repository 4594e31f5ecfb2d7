//! T7, few-shot person: somebody new, known from twenty pictures, after a minute of training from the
//! shipped stock (quick: a third of a minute). Twice: as a lite person, which is what the product makes
//! of so few pictures, and with a full decoder beside it.

use stockpot_core::PersonName;
use stockpot_jobs::person::ConsentFrom;
use stockpot_jobs::train::Form;
use stockpot_jobs::{Context, JobError, extract, init};
use stockpot_synth::Person;

use super::Findings;
use super::t1_t2::{compare, redrawn_faces, scored};
use super::t3::copy;
use crate::bench::World;
use crate::outcome::{Better, Measure, Toy};
use crate::sets::{Costs, Group, STILLS_FPS, Use, film, lesson, moments, play};
use crate::trained::{self, Lesson};

/// Pictures of the new person: so many of each of some performances.
const EACH: u32 = 5;
const PERFORMANCES: u64 = 4;
/// Pictures a second: far apart.
const PICTURES_FPS: i32 = 1;
/// Number of the person among those who come later, and of their rehearsals.
const NEW: (u64, u64) = (0, 100);
/// More steps than fit into the time.
const MANY_STEPS: u64 = 10_000;

/// Learns the new person and redraws them in performances that nobody learned from.
///
/// # Errors
/// If the pair or the person cannot be made, or the user stopped.
pub fn few_photos(world: &mut World) -> Result<Findings, JobError> {
    let pair = world.pair()?;
    let name: PersonName = "new"
        .parse()
        .map_err(|e| JobError::failed(format!("A name cannot be used: {e}")))?;
    let person = Person::new(&world.head, world.cast.person(Group::New, NEW.0));
    let ctx = Context {
        library_dir: world.folder().join("few"),
        ..world.ctx.clone()
    };
    init::run(&ctx, &init::Settings {})?;
    trained::enter(&ctx, &name, ConsentFrom::Synthetic)?;
    let mut inputs = Vec::new();
    for number in 0..PERFORMANCES {
        let played = world.cast.performance(Use::Training(NEW.1), number);
        let path = world.folder().join(format!("{name}-{number}.mp4"));
        let moments = moments(played, EACH, PICTURES_FPS);
        film(world, &person, &moments, PICTURES_FPS, &path)?;
        inputs.push(path);
    }
    extract::run(
        &ctx,
        &extract::Settings {
            inputs,
            person: name.clone(),
            like: Vec::new(),
            max_side: 256,
            every: 1,
        },
    )?;
    let seconds = world.effort.pick(0.0, 20.0, 60.0);
    let lesson = match world.effort.pick(true, false, false) {
        true => lesson(world.effort),
        false => Lesson {
            steps: MANY_STEPS,
            minutes: Some(seconds / 60.0),
            ..lesson(world.effort)
        },
    };
    let whole_ctx = Context {
        library_dir: world.folder().join("few-full"),
        ..world.ctx.clone()
    };
    init::run(&whole_ctx, &init::Settings {})?;
    trained::enter(&whole_ctx, &name, ConsentFrom::Synthetic)?;
    copy(
        &ctx.library()?.facesets_dir(&name),
        &whole_ctx.library()?.facesets_dir(&name),
    )?;
    let persons = [name.clone()];
    let steps = trained::train(&ctx, &persons, lesson)?.steps;
    let found = trained::load(&ctx, &persons)?;
    let full = Lesson {
        form: Form::Full,
        ..lesson
    };
    let full_steps = trained::train(&whole_ctx, &persons, full)?.steps;
    let whole = trained::load(&whole_ctx, &persons)?;
    let held = moments(
        world.cast.performance(Use::HeldOut, 0),
        world.effort.pick(4, 16, 25),
        STILLS_FPS,
    );
    let path = world.folder().join(format!("{name}-held.mp4"));
    let frames = play(
        world,
        &person,
        &held,
        STILLS_FPS,
        &path,
        &mut Costs::default(),
    )?;
    let side = pair.family.resolution() as usize;
    let all = redrawn_faces(&pair, &frames, |inputs| {
        trained::draw(found.family, &found.encoder, &found.decoders[0], inputs)
    })?;
    let own = scored(side, &all, |c| c.output.clone())?;
    let redrawn = redrawn_faces(&pair, &frames, |inputs| {
        trained::draw(whole.family, &whole.encoder, &whole.decoders[0], inputs)
    })?;
    let as_full = scored(side, &redrawn, |c| c.output.clone())?;
    let mean_face = trained::mean_face(&ctx, &name, (found.family, found.area))?;
    let mean = scored(side, &all, |_| mean_face.clone())?;
    let mut nearest = f64::INFINITY;
    let mut usual = 0.0;
    for other in [0, 1] {
        let all = redrawn_faces(&pair, &frames, |inputs| pair.draw(other, inputs))?;
        nearest = nearest.min(scored(side, &all, |c| c.output.clone())?.mae);
        let all = compare(&pair, &pair.stills, other, other)?;
        usual += 0.5 * scored(side, &all, |c| c.output.clone())?.mae;
    }
    let toys = |per: f64| {
        let toy = |name, mae: f64| Toy {
            name,
            value: mae / per,
        };
        vec![
            toy("the nearer of A and B", nearest),
            toy("mean face", mean.mae),
            toy("a full decoder", as_full.mae),
        ]
    };
    let row = |name: &str, unit, value, better, goal, toys| {
        Measure::new(name, unit, value, better)
            .with_toys(toys)
            .with_goal(goal)
    };
    let (lower, higher) = (Better::Lower, Better::Higher);
    let bytes = found.bytes[0] as f64;
    Ok(Findings {
        measures: vec![
            row("difference", "of 1", own.mae, lower, None, toys(1.0)),
            row(
                "difference, against T1's",
                "times",
                own.mae / usual,
                lower,
                Some(1.5),
                toys(usual),
            ),
            row("SSIM", "", own.ssim, higher, None, Vec::new()),
            row(
                "a person's weights",
                "bytes",
                bytes,
                lower,
                Some(1e6),
                vec![Toy {
                    name: "a full decoder",
                    value: whole.bytes[0] as f64,
                }],
            ),
        ],
        note: format!(
            "{} pictures, {seconds:.0} s of training from the shipped stock, {steps} steps of {} faces ({full_steps} of \
             the full decoder), {}; {} faces of an unseen performance",
            PERFORMANCES * u64::from(EACH),
            lesson.batch,
            found.family,
            all.len()
        ),
    })
}
