//! The four claims of 2018 on made-up people: A+B, then A+C from it, then C+D from that.
//!
//! Errors are mean differences from the truth over the face, on moments that nobody learned from.

use std::path::Path;

use stockpot_eval::calibration::{FACES, Renderer};
use stockpot_jobs::compat::{refit, stitch};
use stockpot_jobs::{Context, train};
use stockpot_train::log::Line;

use crate::people::{FRESH, Faces, Lesson, State, drawn, library, mae, name, playing, trained};

/// Measurements during a training.
const CURVE: u64 = 10;

struct Story<'a> {
    ctx: &'a Context,
    faces: Vec<Faces>,
}

impl Story<'_> {
    fn of(&self, who: &str) -> &Faces {
        &self.faces["abcd".find(who).unwrap()]
    }

    fn state<'a>(&'a self, hash: &'a str) -> State<'a> {
        State {
            library: self.ctx,
            hash,
        }
    }

    /// `who` redrawn by a decoder state under an encoder state.
    fn own(&self, encoder: &str, decoder: &str, who: &str) -> f64 {
        let faces = self.of(who);
        let drawn = drawn(self.state(encoder), self.state(decoder), faces);
        mae(&drawn, 4, faces)
    }

    /// What `from` plays, drawn as `to`, against `to` truly playing it.
    fn swap(&self, encoder: &str, decoder: &str, from: &str, to: &str) -> f64 {
        let faces = drawn(self.state(encoder), self.state(decoder), self.of(from));
        mae(&faces, 4, self.of(to))
    }
}

fn decoder(reply: &train::Reply, who: &str) -> String {
    let found = reply.persons.iter().find(|p| p.person == name(who));
    found.unwrap().decoder.clone()
}

/// Held-out error of `who` by step.
fn curve(reply: &train::Reply, who: &str) -> Vec<(u64, f64)> {
    let text = std::fs::read_to_string(reply.folder.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|l| serde_json::from_str(l).unwrap());
    let points = lines.filter_map(|line: Line| match line {
        Line::Evaluation { step, scores, .. } => Some((step, scores[&name(who)].mae)),
        _ => None,
    });
    points.collect()
}

fn percent(now: f64, before: f64) -> f64 {
    100.0 * (now / before - 1.0)
}

/// Measures in a new `folder`.
pub(crate) fn run(models: &str, folder: &Path, cache: &Path, steps: u64, seed: u64) {
    let (ctx, head) = library(models, folder, seed, &["a", "b", "c", "d"]);
    let story = Story {
        ctx: &ctx,
        faces: ["a", "b", "c", "d"]
            .map(|who| playing(&head, seed, who, FRESH))
            .into(),
    };
    let seeds = |n: u64| 4 * seed + n;
    let lesson = |number, persons, from_scratch| Lesson {
        seed: seeds(number),
        persons,
        steps,
        from_scratch,
        evaluations: CURVE,
    };
    let ab = trained(&ctx, &lesson(0, ["a", "b"], true));
    let ac = trained(&ctx, &lesson(1, ["a", "c"], false));
    let cd = trained(&ctx, &lesson(2, ["c", "d"], false));
    let other = folder.join("cold");
    let (cold_ctx, _) = library(models, &other, seed, &["a", "c"]);
    let cold = trained(&cold_ctx, &lesson(1, ["a", "c"], true));

    // Claim 1: steps until a new person is drawn as well as after the whole cold training.
    let (warm_curve, cold_curve) = (curve(&ac, "c"), curve(&cold, "c"));
    let goal = cold_curve.last().unwrap().1;
    let reached = warm_curve.iter().find(|(_, mae)| *mae <= goal);
    println!("claim 1: held-out error of c by step: cold {cold_curve:.4?}, warm {warm_curve:.4?}");
    println!("claim 1: warm as good as cold after {reached:.4?}");

    // Claim 2: A and the swap A to B, with B's decoder as it was, before and after A+C.
    let (b, a, a_later) = (decoder(&ab, "b"), decoder(&ab, "a"), decoder(&ac, "a"));
    let own = [
        story.own(&ab.encoder, &a, "a"),
        story.own(&ac.encoder, &a_later, "a"),
    ];
    let change = percent(own[1], own[0]);
    println!(
        "claim 2: a {:.4}, after a+c {:.4}: {change:+.1} %",
        own[0], own[1]
    );
    let swaps = [
        story.swap(&ab.encoder, &a, "b", "a"),
        story.swap(&ac.encoder, &a_later, "b", "a"),
        story.swap(&ab.encoder, &b, "a", "b"),
        story.swap(&ac.encoder, &b, "a", "b"),
    ];
    for (what, i) in [
        ("b drawn as a", 0),
        ("a drawn as b, b's decoder as it was", 2),
    ] {
        let (before, after) = (swaps[i], swaps[i + 1]);
        let change = percent(after, before);
        println!("claim 2: {what}: {before:.4}, after a+c {after:.4}: {change:+.1} %");
    }

    // Claim 3: a decoder under the encoder of another lineage.
    let c = decoder(&ac, "c");
    let home = story.own(&ac.encoder, &c, "c");
    let stranger = State {
        library: &cold_ctx,
        hash: &cold.encoder,
    };
    let away = drawn(stranger, story.state(&c), story.of("c"));
    let away = mae(&away, 4, story.of("c"));
    println!(
        "claim 3: c at home {home:.4}, under a stranger {away:.4}: {:.2} x",
        away / home
    );

    // Claim 4: those who were not trained, under the later encoders.
    let b_errors = [&ab, &ac, &cd].map(|r| story.own(&r.encoder, &b, "b"));
    let a_errors = [&ac, &cd].map(|r| story.own(&r.encoder, &a_later, "a"));
    let creep = b_errors.map(|e| percent(e, b_errors[0]));
    println!("claim 4: b {b_errors:.4?}, {creep:+.1?} % after a+b, a+c, c+d");
    let creep = percent(a_errors[1], a_errors[0]);
    println!("claim 4: a {a_errors:.4?}, {creep:+.1} % after a+c, c+d");

    // And what brings them back.
    let renderer = Renderer {
        cache_dir: cache.to_path_buf(),
        faces: FACES,
    };
    let settings = stitch::Settings {
        person: name("b"),
        to: cd.encoder.clone(),
    };
    let stitched = stitch::run(&ctx, &renderer, &settings).unwrap();
    let error = story.own(&cd.encoder, &stitched.decoder, "b");
    let change = percent(error, b_errors[0]);
    println!("mended: b stitched to the encoder after c+d {error:.4}: {change:+.1} %");
    let settings = refit::Settings {
        person: name("a"),
        steps: Some(steps / 4),
        minutes: None,
        batch: Some(16),
        accept_faces: false,
    };
    let refitted = refit::run(&ctx, &settings).unwrap();
    let error = story.own(&cd.encoder, &refitted.decoder, "a");
    let change = percent(error, own[1]);
    println!(
        "mended: a refitted in {} steps {error:.4}: {change:+.1} %",
        steps / 4
    );
}
