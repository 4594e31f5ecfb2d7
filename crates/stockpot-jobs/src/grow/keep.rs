//! Faces that are kept at the end of a training, to rehearse the person while others train.

use stockpot_core::PersonName;
use stockpot_faceset::{FaceCache, Faceset, Split};
use stockpot_library::{Library, NewRehearsal, Use};

use crate::context::{Context, now_secs};
use crate::error::JobError;
use crate::person::PATIENCE;
use crate::train::run_file::RunFile;

/// Faces that are kept of a person: what the pilot needed to forget nothing (science.md 2.6).
const KEPT_FACES: usize = 64;

/// Keeps some faces of each of these persons of a run whose consent allows it. The states are safe by
/// then, so what is in the way is only told.
pub(crate) fn after_run(ctx: &Context, library: &Library, file: &RunFile, persons: &[PersonName]) {
    let mut kept = Vec::new();
    for person in persons {
        match keep(ctx, library, file, person) {
            Ok(0) => {}
            Ok(faces) => kept.push(format!("{faces} of {person}")),
            Err(e) => ctx.warn(format!(
                "No faces of {person} are kept for rehearsal: {}",
                e.message
            )),
        }
    }
    if !kept.is_empty() {
        ctx.info(format!(
            "Faces kept to rehearse while others train, as their consents allow: {}",
            kept.join(", ")
        ));
    }
}

/// How many faces were kept anew: 0 if the consent does not allow it, or the same are there already.
fn keep(
    ctx: &Context,
    library: &Library,
    file: &RunFile,
    person: &PersonName,
) -> Result<usize, JobError> {
    // A consent that does not cover it is an answer, not a failure.
    let Ok(consent) = ctx.consent(library, person, Use::Rehearsal) else {
        return Ok(0);
    };
    let faceset = Faceset::open(&library.facesets_dir(person))?;
    let (cache, _) = FaceCache::open_or_build(
        &faceset,
        file.area,
        file.family.resolution(),
        &library.cache_dir(),
        &*ctx.progress,
        &ctx.cancel,
    )?;
    let faces = cache.most_varied(&faceset, KEPT_FACES.min(cache.count(Split::Train)));
    if faces.is_empty() {
        return Ok(0);
    }
    let bytes = cache.kept(&faces);
    let object = stockpot_library::hash_of(&bytes);
    let has = |set: stockpot_library::Stored<stockpot_library::RehearsalRecord>| {
        set.record.person == *person && set.record.object == object
    };
    if library.rehearsals()?.into_iter().any(has) {
        return Ok(0);
    }
    let now = now_secs();
    let writer = library.writer(now, PATIENCE)?;
    writer.put_rehearsal(NewRehearsal {
        consent,
        bytes,
        faces: faces.len() as u64,
        area: format!("{:?}", file.area).to_lowercase(),
        resolution: file.family.resolution(),
        run: file.run.clone(),
        now_secs: now,
    })?;
    Ok(faces.len())
}
