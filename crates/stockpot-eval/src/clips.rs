//! The same training on real clips, one person each: only how well unseen stretches are redrawn can be
//! measured there, since nobody knows what a perfect swap of real people looks like.

use std::path::PathBuf;
use std::time::Instant;

use stockpot_core::PersonName;
use stockpot_faceset::Split;
use stockpot_jobs::person::ConsentFrom;
use stockpot_jobs::{Context, JobError, extract};

use crate::bench::{self, People, Reply};
use crate::outcome::Outcome;
use crate::sets::lesson;
use crate::tracks::t1_t2::{Compared, redrawn};
use crate::trained;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Clips, each of another person.
    pub clips: Vec<PathBuf>,
    /// The ground on which these faces may be trained.
    pub consent: ConsentFrom,
    /// Effort, output and command; its tracks do not count.
    pub bench: bench::Settings,
}

/// Extracts, trains and measures the held-out stretches of each clip.
///
/// # Errors
/// If a clip cannot be read or shows no face, training fails, or the user stopped.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let start = Instant::now();
    bench::make_folder(settings.bench.out.as_deref())?;
    // The folder is kept as long as the library in it is used.
    let (_work, own) = bench::own_library(ctx)?;
    let mut names: Vec<PersonName> = Vec::new();
    for (number, clip) in settings.clips.iter().enumerate() {
        let name: PersonName = format!("clip-{}", number + 1)
            .parse()
            .map_err(|e| JobError::failed(format!("A name cannot be used: {e}")))?;
        trained::enter(&own, &name, settings.consent.clone())?;
        extract::run(
            &own,
            &extract::Settings {
                inputs: vec![clip.clone()],
                person: name.clone(),
                like: Vec::new(),
                max_side: 256,
                every: 1,
            },
        )?;
        names.push(name);
    }
    let lesson = lesson(settings.bench.effort);
    trained::train(&own, &names, lesson)?;
    let found = trained::load(&own, &names)?;
    let seen = (found.family, found.area);
    let side = found.family.resolution() as usize;
    let (mut measures, mut counts) = (Vec::new(), Vec::new());
    for ((name, decoder), clip) in names.iter().zip(&found.decoders).zip(&settings.clips) {
        let faces = trained::faces(&own, name, seen, Split::HeldOut)?;
        let each = side * side;
        let inputs: Vec<Vec<f32>> = faces
            .input
            .chunks_exact(each * 3)
            .map(<[f32]>::to_vec)
            .collect();
        let drawn = trained::draw(found.family, &found.encoder, decoder, &inputs);
        let parts = inputs.into_iter().zip(drawn);
        let truths = faces.target.chunks_exact(each * 3);
        let all: Vec<Compared> = parts
            .zip(truths.zip(faces.mask.chunks_exact(each)))
            .map(|((input, (output, _)), (truth, mask))| Compared {
                input,
                output,
                truth: truth.to_vec(),
                mask: mask.to_vec(),
            })
            .collect();
        let mean = trained::mean_face(&own, name, seen)?;
        measures.extend(redrawn(side, &all, &mean, name.as_str())?);
        counts.push(format!(
            "{name} is {} with {} held-out faces",
            clip.display(),
            all.len()
        ));
    }
    let outcome = Outcome {
        track: "T1",
        title: "reconstruct, real clips",
        measures,
        note: format!(
            "{} steps of {} faces each, {}, from the shipped stock; held-out stretches of the same \
             clips; {}",
            lesson.steps,
            lesson.batch,
            found.family,
            counts.join("; ")
        ),
        seconds: start.elapsed().as_secs_f64(),
    };
    bench::finish(
        ctx,
        &settings.bench,
        People::Filmed,
        (vec![outcome], Vec::new()),
        Vec::new(),
        start,
    )
}
