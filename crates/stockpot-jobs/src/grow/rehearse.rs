//! What a growing encoder is held by: its previous state on calibration faces, and earlier persons
//! whose kept faces go through it and through their own decoders, which stay as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stockpot_core::{ContentHash, PersonName};
use stockpot_faceset::FaceCache;
use stockpot_library::{Library, RehearsalRecord, Stored};
use stockpot_model::Passport;
use stockpot_train::Distillation;

use crate::compat::CalibrationFaces;
use crate::compat::measure::Encoder;
use crate::compat::passport::{Drawn, Passports};
use crate::context::{Context, now_secs};
use crate::error::JobError;

/// The most persons who are rehearsed in one run: each takes as long as somebody new. Where there are
/// more, every encoder state has its own draw.
const MOST_REHEARSED: usize = 4;

/// What a run that grows the encoder notes of that in `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GrowFile {
    /// The encoder state that it is held near.
    pub(crate) previous: ContentHash,
    /// The calibration faces, by the hash of their pixels.
    pub(crate) faces: ContentHash,
    /// The rehearsal set of everybody who is rehearsed.
    pub(crate) rehearsed: BTreeMap<PersonName, ContentHash>,
    /// The encoder state that was not released, and at which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) candidate: Option<(u64, ContentHash)>,
}

/// The same in memory.
pub(crate) struct Growth {
    pub(crate) file: GrowFile,
    /// Faces of those who are rehearsed.
    pub(crate) kept: BTreeMap<PersonName, Arc<FaceCache>>,
    pub(crate) previous: Encoder,
    pub(crate) calibration: CalibrationFaces,
    codes: Vec<f32>,
}

impl Growth {
    /// Of a run that begins: the current encoder, and whose turn it is to be rehearsed.
    pub(crate) fn new(
        ctx: &Context,
        library: &Library,
        drawn: &mut Drawn<'_>,
        learning: &[PersonName],
    ) -> Result<Self, JobError> {
        let current = library.current_encoder()?.ok_or_else(|| {
            JobError::usage("This library has no encoder yet that could grow").with_hint(format!(
                "train one first: `stockpot train {}`",
                names(learning)
            ))
        })?;
        let previous = Encoder::load(library, &current.hash)?;
        let sets = whose_turn(ctx, library, &current.hash, learning)?;
        Self::with(ctx, library, drawn, previous, sets)
    }

    /// Of a run that goes on.
    pub(crate) fn again(
        ctx: &Context,
        library: &Library,
        drawn: &mut Drawn<'_>,
        file: &GrowFile,
    ) -> Result<Self, JobError> {
        let known = library.rehearsals()?;
        let set = |(person, hash): (&PersonName, &ContentHash)| {
            let found = known.iter().find(|set| set.hash == *hash);
            found.cloned().ok_or_else(|| {
                JobError::failed(format!(
                    "The faces of `{person}` that this run rehearses are not kept any more"
                ))
                .with_hint("begin a new run, which starts from what the library has")
            })
        };
        let sets = file.rehearsed.iter().map(set).collect::<Result<_, _>>()?;
        let previous = Encoder::load(library, &file.previous)?;
        let mut growth = Self::with(ctx, library, drawn, previous, sets)?;
        if growth.file.faces != file.faces {
            return Err(JobError::failed(
                "The calibration faces are drawn otherwise today than when this run began",
            )
            .with_hint("begin a new run, which starts from what the library has"));
        }
        growth.file.candidate = file.candidate;
        Ok(growth)
    }

    fn with(
        ctx: &Context,
        library: &Library,
        drawn: &mut Drawn<'_>,
        previous: Encoder,
        sets: Vec<Stored<RehearsalRecord>>,
    ) -> Result<Self, JobError> {
        let mut kept = BTreeMap::new();
        for set in &sets {
            let person = &set.record.person;
            let project = ctx.project.as_deref();
            let bytes = library.rehearsal_faces(&set.record, project, now_secs())?;
            let resolution = previous.network.family().resolution();
            let faces = FaceCache::from_kept(person, previous.area, resolution, bytes)?;
            kept.insert(person.clone(), Arc::new(faces));
        }
        let (passport, _) = Passports::new(library).ensure(ctx, drawn, &previous.hash)?;
        let passport = Passport::from_bytes(&library.get_object(&passport.record.object)?)?;
        let code = previous.network.encoder().output_shape().len();
        if passport.codes.width() != code {
            return Err(JobError::usage(format!(
                "Encoders of {} networks cannot grow: their code lies inside of them",
                previous.network.family()
            ))
            .with_hint("comb networks can; go on with `stockpot train`"));
        }
        let calibration = drawn.of(ctx, &previous)?.clone();
        let of = |set: Stored<RehearsalRecord>| (set.record.person, set.hash);
        Ok(Self {
            file: GrowFile {
                previous: previous.hash,
                faces: calibration.hash,
                rehearsed: sets.into_iter().map(of).collect(),
                candidate: None,
            },
            kept,
            codes: passport.codes.values().to_vec(),
            calibration,
            previous,
        })
    }

    /// What the trainer is given.
    pub(crate) fn distillation(&self) -> Distillation {
        Distillation {
            encoder: self.previous.params.clone(),
            faces: self.calibration.rgb.clone(),
            codes: self.codes.clone(),
        }
    }
}

/// The sets of those who are rehearsed: who does not learn, has a decoder of the current encoder, has
/// kept faces of the right kind, and a consent for it. Their order is drawn by the encoder state's own
/// hash: each run begins at another state, so in the long run everybody has their turn.
fn whose_turn(
    ctx: &Context,
    library: &Library,
    current: &ContentHash,
    learning: &[PersonName],
) -> Result<Vec<Stored<RehearsalRecord>>, JobError> {
    let encoder = Encoder::load(library, current)?;
    let area = format!("{:?}", encoder.area).to_lowercase();
    let mut waiting = Vec::new();
    let known: Vec<PersonName> = library.persons()?.into_iter().map(|p| p.name).collect();
    for set in library.rehearsals()? {
        let record = &set.record;
        let person = &record.person;
        if learning.contains(person) || !known.contains(person) {
            continue;
        }
        let Some(decoder) = library.current_decoder(person)? else {
            continue;
        };
        let left_out = |why: String| ctx.info(format!("{person} is not rehearsed: {why}"));
        if decoder.record.encoder_state != *current {
            left_out("their decoder belongs to another encoder state".into());
            continue;
        }
        let resolution = encoder.network.family().resolution();
        if record.area != area || record.resolution != resolution {
            left_out("their kept faces show another part of the head, or another size".into());
            continue;
        }
        let project = ctx.project.as_deref();
        if let Err(e) = library.rehearsal_faces(record, project, now_secs()) {
            left_out(e.to_string());
            continue;
        }
        let lot = format!("{current} {person}");
        waiting.push((stockpot_library::hash_of(lot.as_bytes()), set));
    }
    waiting.sort_by_key(|(lot, _)| *lot);
    let later = waiting.len().saturating_sub(MOST_REHEARSED);
    if later > 0 {
        ctx.info(format!(
            "{later} more have kept faces; their turn to be rehearsed comes in the next runs"
        ));
    }
    let turn = waiting.into_iter().take(MOST_REHEARSED);
    Ok(turn.map(|(_, set)| set).collect())
}

/// Names with blanks between them, as one types them.
pub(super) fn names(persons: &[PersonName]) -> String {
    let all: Vec<&str> = persons.iter().map(PersonName::as_str).collect();
    all.join(" ")
}
