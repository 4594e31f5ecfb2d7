//! T4, interchange: every person's decoder under every release of the encoder, in the lineage that T5
//! grows. How much larger is the error than under the release that the decoder came with?

use stockpot_jobs::JobError;

use super::Findings;
use crate::bench::World;
use crate::outcome::{Better, Measure, Toy};

/// Measures every pair, and strangers' decoders beside them.
///
/// # Errors
/// If the lineage cannot be grown, or the user stopped.
pub fn interchange(world: &mut World) -> Result<Findings, JobError> {
    let both = world.lineages()?;
    let lineage = &both.grown;
    let (mut later, mut earlier, mut shuffled) = (Vec::new(), Vec::new(), Vec::new());
    let mut lines = Vec::new();
    for (number, member) in lineage.members.iter().enumerate() {
        let own = lineage.at_first(member)?;
        let mut line = Vec::new();
        for (release, encoder) in lineage.encoders.iter().enumerate() {
            world.check_cancel()?;
            if release == member.joined {
                line.push("1".to_owned());
                continue;
            }
            let times = lineage.mae(encoder, &member.own, &member.held)? / own;
            line.push(format!("{times:.3}"));
            match release > member.joined {
                true => later.push(times),
                false => earlier.push(times),
            }
        }
        lines.push(format!("{} {}", member.name, line.join(" ")));
        // Somebody else's decoder, with the encoder that it came with.
        let other = &lineage.members[(number + 1) % lineage.members.len()];
        let encoder = &lineage.encoders[other.joined];
        shuffled.push(lineage.mae(encoder, &other.own, &member.held)? / own);
    }
    let all: Vec<f64> = later.iter().chain(&earlier).copied().collect();
    let worst = |all: &[f64]| all.iter().copied().fold(f64::NAN, f64::max);
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let row = |name: &str, value, goal, toy: Option<f64>| {
        Measure::new(name, "times", value, Better::Lower)
            .with_toys(
                toy.map(|value| Toy {
                    name: "shuffled decoders",
                    value,
                })
                .into_iter()
                .collect(),
            )
            .with_goal(goal)
    };
    Ok(Findings {
        measures: vec![
            row(
                "worst off the diagonal",
                worst(&all),
                Some(1.05),
                Some(worst(&shuffled)),
            ),
            row(
                "mean off the diagonal",
                mean(&all),
                None,
                Some(mean(&shuffled)),
            ),
            row(
                "worst under a later release",
                worst(&later),
                Some(1.05),
                None,
            ),
            row(
                "worst under an earlier release",
                worst(&earlier),
                None,
                None,
            ),
        ],
        note: format!(
            "{} persons x {} releases of T5's lineage, nothing stitched; error against that under the release \
             that the decoder came with, by release: {}",
            lineage.members.len(),
            lineage.encoders.len(),
            lines.join("; ")
        ),
    })
}
