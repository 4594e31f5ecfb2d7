//! `person consent|withdraw`: changes what may be done with a face, and words for consents.

use std::path::PathBuf;

use serde::Serialize;
use stockpot_core::{ContentHash, PersonName};
pub use stockpot_library::{Allowed, Sharing, Terms, end_of_day};
use stockpot_library::{
    ConsentBasis, ConsentChange, ConsentRecord, ConsentSource, ConsentState, Library, PublicKey,
    Stored, date_text,
};

use crate::context::{Context, now_secs};
use crate::error::{JobError, io};
use crate::person::PATIENCE;

/// The largest file that is read as evidence of a consent; the library has the same limit.
const MAX_EVIDENCE_BYTES: u64 = 256 << 20;

/// The ground of a consent as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentFrom {
    /// The user's own face.
    OwnFace,
    /// A rendered person, nobody's face.
    Synthetic,
    /// A file in which the person agrees.
    File(PathBuf),
}

impl ConsentFrom {
    /// Reads the file, if it is one.
    pub(crate) fn read(&self) -> Result<ConsentSource, JobError> {
        let path = match self {
            Self::OwnFace => return Ok(ConsentSource::OwnFace),
            Self::Synthetic => return Ok(ConsentSource::Synthetic),
            Self::File(path) => path,
        };
        let read = |e: std::io::Error| {
            io("read the consent file", path, &e)
                .with_hint("give `self`, `synthetic`, or a file in which the person agrees")
        };
        let meta = std::fs::metadata(path).map_err(read)?;
        if !meta.is_file() || meta.len() > MAX_EVIDENCE_BYTES {
            return Err(JobError::usage(format!(
                "The consent must be a file of at most 256 MiB\n  path: {}",
                path.display()
            )));
        }
        let bytes = std::fs::read(path).map_err(read)?;
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        Ok(ConsentSource::File { name, bytes })
    }
}

/// `person consent`. What is `None` stays as it was.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The ground.
    pub consent: Option<ConsentFrom>,
    /// Who agreed.
    pub agreed_by: Option<String>,
    /// What may be done.
    pub uses: Option<std::collections::BTreeSet<Allowed>>,
    /// Whether the face may be given to others.
    pub sharing: Option<Sharing>,
    /// What it may be done for; empty: anything.
    pub projects: Option<Vec<String>>,
    /// The first second at which it does not hold any more; `Some(None)`: it has no end.
    pub until_secs: Option<Option<u64>>,
    /// Who enters it, in their own words.
    pub entered_by: String,
    /// Anything else worth keeping.
    pub note: Option<String>,
}

/// A consent as it is now.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// Whose.
    pub name: PersonName,
    /// The ground.
    pub consent: String,
    /// What it allows, for what and how long; or since when it does not hold any more.
    pub allows: String,
    /// Who entered it.
    pub entered_by: String,
    /// The record.
    pub record: ContentHash,
    /// What to do next, after a withdrawal.
    pub next: Option<String>,
}

/// One consent of `person show`.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// When it was entered.
    pub entered_secs: u64,
    /// By whom.
    pub entered_by: String,
    /// The ground.
    pub ground: String,
    /// Who agreed, where that was entered.
    pub agreed_by: Option<String>,
    /// What it allows, for what and how long.
    pub allows: String,
    /// Which library has signed it; `unsigned` in records of older software.
    pub signed_by: String,
    /// Anything else that was entered.
    pub note: Option<String>,
    /// The record.
    pub record: ContentHash,
}

/// Replaces a person's consent by a new record; the old one stays in the history.
///
/// # Errors
/// If there is no such person, nothing to change from, or the library is locked.
pub fn change(ctx: &Context, name: &PersonName, change: &Change) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let source = change.consent.as_ref().map(ConsentFrom::read).transpose()?;
    let now = now_secs();
    let writer = library.writer(now, PATIENCE)?;
    let entered = ConsentChange {
        source,
        agreed_by: change.agreed_by.clone(),
        uses: change.uses.clone(),
        sharing: change.sharing,
        projects: change.projects.clone(),
        until_secs: change.until_secs,
        entered_by: change.entered_by.clone(),
        note: change.note.clone(),
    };
    let kept = kept_faces(&library, name)?;
    let stored = writer.change_consent(name, entered, now)?;
    ctx.tell_unlogged(&writer);
    tell_erased(ctx, &library, name, kept)?;
    Ok(reply(stored, now, None))
}

/// Withdraws a person's consent: every use is refused from now on.
///
/// # Errors
/// If there is no such person or no consent, or the library is locked.
pub fn withdraw(
    ctx: &Context,
    name: &PersonName,
    entered_by: &str,
    note: &str,
) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let now = now_secs();
    let writer = library.writer(now, PATIENCE)?;
    let kept = kept_faces(&library, name)?;
    let stored = writer.withdraw_consent(name, entered_by, note, now)?;
    ctx.tell_unlogged(&writer);
    tell_erased(ctx, &library, name, kept)?;
    ctx.info("Faces and decoders of theirs are still in the library; exports, copies and videos outside it were not touched");
    let next = format!("stockpot person remove {name} --erase");
    Ok(reply(stored, now, Some(next)))
}

/// Erases faces kept for rehearsal under consents that have run out, and tells it.
///
/// # Errors
/// If the library cannot be read, is locked or cannot be changed.
pub(crate) fn erase_expired(ctx: &Context, library: &Library) -> Result<(), JobError> {
    let now = now_secs();
    let expired = library.expired_rehearsals(now)?;
    if expired.is_empty() {
        return Ok(());
    }
    let writer = library.writer(now, PATIENCE)?;
    for (person, faces) in expired {
        writer.erase_rehearsal(&person, now)?;
        ctx.info(format!(
            "The {faces} faces of {person} kept for rehearsal were erased: the consent has run out"
        ));
    }
    Ok(())
}

/// How many faces of a person are kept for rehearsal.
fn kept_faces(library: &Library, name: &PersonName) -> Result<u64, JobError> {
    let sets = library.rehearsals()?;
    let own = sets.into_iter().find(|set| set.record.person == *name);
    Ok(own.map_or(0, |set| set.record.faces))
}

/// Tells that faces kept for rehearsal went with the consent for that.
fn tell_erased(
    ctx: &Context,
    library: &Library,
    name: &PersonName,
    before: u64,
) -> Result<(), JobError> {
    if before > 0 && kept_faces(library, name)? == 0 {
        ctx.info(format!(
            "The {before} faces of {name} kept for rehearsal were erased"
        ));
    }
    Ok(())
}

fn reply(stored: Stored<ConsentRecord>, now_secs: u64, next: Option<String>) -> Reply {
    Reply {
        consent: words(&stored.record.basis),
        allows: allows(&stored.record, now_secs),
        record: stored.hash,
        name: stored.record.person,
        entered_by: stored.record.entered_by,
        next,
    }
}

/// The current consent and those that it replaced, newest first.
pub(crate) fn rows(library: &Library, current: Option<Stored<ConsentRecord>>) -> Vec<Row> {
    let Some(current) = current else {
        return Vec::new();
    };
    let now = now_secs();
    let older = library.consent_history(&current.record);
    std::iter::once(current)
        .chain(older)
        .map(|stored| {
            let record = stored.record;
            Row {
                entered_secs: record.created_secs,
                ground: words(&record.basis),
                allows: allows(&record, now),
                signed_by: signed_by(library, &record),
                record: stored.hash,
                entered_by: record.entered_by,
                agreed_by: record.agreed_by,
                note: Some(record.note).filter(|note| !note.is_empty()),
            }
        })
        .collect()
}

/// The ground of a consent in words.
pub(crate) fn words(basis: &ConsentBasis) -> String {
    match basis {
        ConsentBasis::OwnFace => "self".into(),
        ConsentBasis::Synthetic => "synthetic".into(),
        ConsentBasis::File { name, .. } => format!("file {name}"),
    }
}

/// What a consent allows in words, or since when it does not hold any more.
pub(crate) fn allows(record: &ConsentRecord, now_secs: u64) -> String {
    match record.state(now_secs) {
        ConsentState::Withdrawn(at) => return format!("nothing: withdrawn on {}", date_text(at)),
        ConsentState::Expired(end) => {
            return format!("nothing: ended with {}", last_day(end));
        }
        ConsentState::InForce => {}
    }
    let mut uses: Vec<&str> = record.uses.iter().map(|u| u.word()).collect();
    if record.sharing_refused().is_none() {
        uses.push("share");
    }
    let mut text = match uses.is_empty() {
        true => "nothing".to_owned(),
        false => uses.join(", "),
    };
    if !record.projects.is_empty() {
        text += &format!("; for {}", record.projects.join(", "));
    }
    if let Some(end) = record.until_secs {
        text += &format!("; until {}", last_day(end));
    }
    text
}

/// The last day on which a consent holds that ends at this second.
fn last_day(until_secs: u64) -> String {
    date_text(until_secs.saturating_sub(1))
}

/// Which library has signed a consent.
pub(crate) fn signed_by(library: &Library, record: &ConsentRecord) -> String {
    let Some(signed) = &record.signed else {
        return "unsigned".into();
    };
    let of = |key: &PublicKey| format!("library {}", key.short());
    let signer = match library.public_key() {
        Ok(Some(own)) if own == signed.key => "this library".into(),
        _ => of(&signed.key),
    };
    match &record.original_key {
        Some(first) => format!("{signer}, first by {}", of(first)),
        None => signer,
    }
}
