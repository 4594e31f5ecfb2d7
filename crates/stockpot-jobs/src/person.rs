//! `person`: enters, lists, shows and removes persons with their consent.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use stockpot_core::{ContentHash, PersonName};
use stockpot_faceset::{Faceset, Split};
use stockpot_library::{Consent, ConsentSource};
pub use stockpot_library::{Sharing, Terms};

pub use crate::consent::ConsentFrom;
use crate::consent::{self, words};
use crate::context::{Context, now_secs};
use crate::error::JobError;

/// How long a command waits for another one that writes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// `person add`.
#[derive(Debug, Clone)]
pub struct Add {
    /// The name.
    pub name: PersonName,
    /// The ground of the consent.
    pub consent: ConsentFrom,
    /// Who enters it, in their own words.
    pub entered_by: String,
    /// Anything else worth keeping.
    pub note: String,
    /// What the consent allows, and how long.
    pub terms: Terms,
}

/// A person as listed.
#[derive(Debug, Clone, Serialize)]
pub struct PersonReply {
    /// The name.
    pub name: PersonName,
    /// `self`, `synthetic`, `file NAME`, or nothing where none can be read.
    pub consent: Option<String>,
    /// What it allows, for what and how long; or since when it does not hold any more.
    pub allows: Option<String>,
    /// Faces for training; nothing before the first extraction.
    pub training_faces: Option<usize>,
    /// Faces held out to measure with.
    pub held_out_faces: Option<usize>,
    /// The current decoder state.
    pub decoder: Option<ContentHash>,
}

/// Whether a face may be given to others.
#[derive(Debug, Clone, Serialize)]
pub struct SharingReply {
    /// The name.
    pub name: PersonName,
    /// The ground of the consent, which is as it was.
    pub consent: String,
    /// What was entered.
    pub sharing: Sharing,
    /// By whom.
    pub entered_by: String,
}

/// A person removed.
#[derive(Debug, Clone, Serialize)]
pub struct RemoveReply {
    /// The name.
    pub removed: PersonName,
    /// The decoder state that stays in the library's store.
    pub kept_decoder: Option<ContentHash>,
    /// The folder of faces, which was not touched.
    pub kept_faces: Option<PathBuf>,
}

/// Enters a person with their consent.
///
/// # Errors
/// If the name is taken, the consent file cannot be read or is empty, or the library is locked.
pub fn add(ctx: &Context, settings: &Add) -> Result<PersonReply, JobError> {
    let library = ctx.library()?;
    let source: ConsentSource = settings.consent.read()?;
    let consent = Consent {
        source,
        entered_by: settings.entered_by.clone(),
        note: settings.note.clone(),
        terms: settings.terms.clone(),
    };
    let now = now_secs();
    let writer = library.writer(now, PATIENCE)?;
    let stored = writer.add_person(&settings.name, consent, now)?;
    ctx.tell_unlogged(&writer);
    Ok(PersonReply {
        name: settings.name.clone(),
        consent: Some(words(&stored.record.basis)),
        allows: Some(consent::allows(&stored.record, now)),
        training_faces: None,
        held_out_faces: None,
        decoder: None,
    })
}

/// All persons by name.
///
/// # Errors
/// If the library cannot be read.
pub fn list(ctx: &Context) -> Result<Vec<PersonReply>, JobError> {
    let library = ctx.library()?;
    let now = now_secs();
    let mut out = Vec::new();
    for person in library.persons()? {
        let folder = library.facesets_dir(&person.name);
        let counts = match Faceset::open(&folder) {
            Ok(faces) => Some((faces.count(Split::Train), faces.count(Split::HeldOut))),
            Err(stockpot_faceset::Error::Missing { .. }) => None,
            Err(other) => {
                ctx.warn(format!(
                    "The faces of {} cannot be read: {other}",
                    person.name
                ));
                None
            }
        };
        out.push(PersonReply {
            consent: person.consent.as_ref().map(|c| words(&c.basis)),
            allows: person.consent.as_ref().map(|c| consent::allows(c, now)),
            training_faces: counts.map(|c| c.0),
            held_out_faces: counts.map(|c| c.1),
            decoder: person.decoder,
            name: person.name,
        });
    }
    Ok(out)
}

/// One person, with the consents that were entered for them.
#[derive(Debug, Clone, Serialize)]
pub struct ShowReply {
    /// As listed.
    #[serde(flatten)]
    pub person: PersonReply,
    /// The consent on record and those that it replaced, newest first.
    pub consents: Vec<consent::Row>,
}

/// One person.
///
/// # Errors
/// If there is no such person, or the library cannot be read.
pub fn show(ctx: &Context, name: &PersonName) -> Result<ShowReply, JobError> {
    let library = ctx.library()?;
    // Asks first, so that a wrong name gives the library's own answer.
    let detail = library.show_person(name)?;
    let found = list(ctx)?.into_iter().find(|p| p.name == *name);
    let person = found.ok_or_else(|| JobError::failed(format!("`{name}` was removed just now")))?;
    if detail.consent.is_some()
        && let Err(e) = library.consent_on_record(name)
    {
        ctx.warn(e.to_string());
    }
    Ok(ShowReply {
        person,
        consents: consent::rows(&library, detail.consent),
    })
}

/// Enters whether a person's consent lets their face be given to others.
///
/// # Errors
/// If there is no such person or no consent on record, or the library is locked.
pub fn set_sharing(
    ctx: &Context,
    name: &PersonName,
    sharing: Sharing,
    entered_by: &str,
) -> Result<SharingReply, JobError> {
    let library = ctx.library()?;
    let now = now_secs();
    let writer = library.writer(now, PATIENCE)?;
    let stored = writer.set_sharing(name, sharing, entered_by, now)?;
    ctx.tell_unlogged(&writer);
    Ok(SharingReply {
        name: name.clone(),
        consent: words(&stored.record.basis),
        sharing,
        entered_by: stored.record.entered_by,
    })
}

/// Takes a person out of the library. States and faces stay on disk and are named in the reply.
///
/// # Errors
/// If there is no such person, or the library is locked.
pub fn remove(ctx: &Context, name: &PersonName) -> Result<RemoveReply, JobError> {
    let library = ctx.library()?;
    let now = now_secs();
    let writer = library.writer(now, PATIENCE)?;
    let report = writer.remove_person(name, now)?;
    ctx.tell_unlogged(&writer);
    Ok(RemoveReply {
        removed: report.person,
        kept_decoder: report.kept_decoder,
        kept_faces: report.kept_facesets,
    })
}

/// What was erased.
#[derive(Debug, Clone, Serialize)]
pub struct EraseReply {
    /// The name.
    pub erased: PersonName,
    /// What stands for the name in the records and metrics of runs.
    pub known_as: PersonName,
    /// The records of the receipt, which do not tell the name.
    pub receipt: Vec<ContentHash>,
    /// Decoder states.
    pub decoder_states: u64,
    /// Weights, rehearsal faces and evidence of consent.
    pub objects: u64,
    /// Crops, previews, checkpoints and caches.
    pub files: u64,
    /// Bytes of all of them.
    pub freed_bytes: u64,
    /// Runs that name nobody in this place any more.
    pub runs: Vec<String>,
}

/// Erases a person: decoder states, faces, previews, checkpoints, caches, consent, and the name.
///
/// # Errors
/// If nothing of such a person is in the library, or it is locked.
pub fn erase(ctx: &Context, name: &PersonName) -> Result<EraseReply, JobError> {
    let library = ctx.library()?;
    let now = now_secs();
    let writer = library.writer(now, PATIENCE)?;
    let report = writer.erase_person(name, now)?;
    ctx.tell_unlogged(&writer);
    for text in &report.unreadable {
        ctx.warn(format!("Not known whether this names the person: {text}"));
    }
    ctx.info("What the shared encoder has learned stays in it; exports, copies and videos outside the library were not touched");
    Ok(EraseReply {
        erased: name.clone(),
        known_as: report.erased_as,
        receipt: report.receipts,
        decoder_states: report.decoder_states,
        objects: report.objects,
        files: report.files,
        freed_bytes: report.bytes,
        runs: report.runs.iter().map(ToString::to_string).collect(),
    })
}
