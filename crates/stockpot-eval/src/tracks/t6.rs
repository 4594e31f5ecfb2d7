//! T6, stitch: a decoder under the encoder of another lineage, as it is and through an affine map
//! between both code spaces, which is fitted on made-up strangers only.
//!
//! The other lineage is the pair of T3, from fresh weights; its decoders are not used.

use std::collections::BTreeMap;
use std::time::Instant;

use stockpot_jobs::JobError;
use stockpot_jobs::compat::CalibrationSource;
use stockpot_model::Network;
use stockpot_model::passport::Passport;
use stockpot_model::stitch::{Halves, fit, fold_stitch};

use super::Findings;
use super::t1_t2::{compare_drawn, scored};
use crate::bench::World;
use crate::calibration::{FACES, Renderer};
use crate::outcome::{Better, Measure, Toy};
use crate::trained::{self, DrawnFace};

/// Stitches both decoders of the pair to the other lineage's encoder.
///
/// # Errors
/// If a pair or the faces cannot be made, or the user stopped.
pub fn stitched(world: &mut World) -> Result<Findings, JobError> {
    let pair = world.pair()?;
    let cold = world.cold()?;
    let guest = &cold.states.encoder;
    let network = Network::new(pair.family);
    let begun = Instant::now();
    let renderer = Renderer {
        cache_dir: world.folder().join("calibration"),
        faces: world.effort.pick(16, FACES, FACES),
    };
    let faces = renderer.faces(&world.ctx, pair.area, pair.family.resolution())?;
    let draw_secs = begun.elapsed().as_secs_f64();
    world.check_cancel()?;
    let begun = Instant::now();
    let passport = |encoder| Passport::of(&network, encoder, faces.pictures(1), BTreeMap::new());
    let (home, away) = (passport(&pair.encoder)?, passport(guest)?);
    let passport_secs = begun.elapsed().as_secs_f64() / 2.0;
    let begun = Instant::now();
    let found = fit(&away.codes, &home.codes)?;
    let fit_secs = begun.elapsed().as_secs_f64();
    let mut measures = Vec::new();
    let mut row = |name: String, unit, value, better, goal, toys: &[(&'static str, f64)]| {
        let toys = toys.iter().map(|(name, value)| Toy {
            name,
            value: *value,
        });
        measures.push(
            Measure::new(name, unit, value, better)
                .with_toys(toys.collect())
                .with_goal(goal),
        );
    };
    let (lower, higher) = (Better::Lower, Better::Higher);
    let side = pair.family.resolution() as usize;
    for (to, name) in ["A", "B"].into_iter().enumerate() {
        let own = Halves {
            encoder: pair.encoder.clone(),
            decoder: pair.sides[to].decoder.clone(),
        };
        let crossed = Halves {
            encoder: guest.clone(),
            decoder: own.decoder.clone(),
        };
        let mended = fold_stitch(&network, guest, &own, &found.map)?;
        let mae = |from: usize, halves: &Halves| {
            let draw = |inputs: &[Vec<f32>]| -> Vec<DrawnFace> {
                trained::draw(pair.family, &halves.encoder, &halves.decoder, inputs)
            };
            let all = compare_drawn(&pair, &pair.stills, (from, to), draw)?;
            Ok::<f64, JobError>(scored(side, &all, |c| c.output.clone())?.mae)
        };
        let [native, lost, back] = [&own, &crossed, &mended].map(|halves| mae(to, halves));
        let (native, lost, back) = (native?, lost?, back?);
        let share = 100.0 * (lost - back) / (lost - native);
        row(
            format!("recovered of what crossing loses, {name}"),
            "%",
            if lost > native { share } else { f64::NAN },
            higher,
            Some(90.0),
            &[("as it is", 0.0)],
        );
        let [native, lost, back] = [&own, &crossed, &mended].map(|halves| mae(1 - to, halves));
        let (native, lost, back) = (native?, lost?, back?);
        row(
            format!("swap to {name}, against its own lineage"),
            "times",
            back / native,
            lower,
            Some(1.05),
            &[("as it is", lost / native)],
        );
    }
    row(
        "fitting the map".into(),
        "s",
        fit_secs,
        lower,
        Some(1.0),
        &[],
    );
    let bytes = away.to_bytes()?.len() as f64;
    row("a passport".into(), "bytes", bytes, lower, Some(1e6), &[]);
    Ok(Findings {
        measures,
        note: format!(
            "the decoders of the pair under the encoder of T3's cold lineage; {} faces of strangers, drawn in \
             {draw_secs:.0} s; a passport takes {passport_secs:.1} s; the map explains {:.1} % of the codes' \
             variance on faces left out of its fit",
            faces.count(),
            100.0 * found.explained
        ),
    })
}
