//! `library gc|repair`: looking after a library.

use serde::Serialize;
use stockpot_core::ContentHash;
use stockpot_library::{GcOptions, Library, Mended};

use crate::consent::erase_expired;
use crate::context::{Context, now_secs};
use crate::error::JobError;
use crate::person::PATIENCE;

/// `library gc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gc {
    /// How many of the newest states of the encoder and of each person keep their weights.
    pub keep_states: u32,
    /// States of the last days keep their weights.
    pub keep_days: u32,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Debug, Clone, Serialize)]
pub struct GcReply {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Bytes that are free now, or would be.
    pub freed_bytes: u64,
    /// Objects that went.
    pub freed_objects: u64,
    /// Of these, objects that no record names.
    pub unnamed_objects: u64,
    /// Bytes of the objects that stay.
    pub kept_bytes: u64,
    /// States whose weights went, oldest first. Their records stay.
    pub states: Vec<FreedState>,
}

/// A state without its weights.
#[derive(Debug, Clone, Serialize)]
pub struct FreedState {
    /// The person's name, or `encoder`.
    pub state: String,
    /// Its record.
    pub record: ContentHash,
    /// When it was made.
    pub created_secs: u64,
    /// Bytes of its weights.
    pub weights_bytes: u64,
}

/// `library gc`: removes the weights of old states and what no record names.
///
/// # Errors
/// If the library is not whole, locked, or the user stopped it.
pub fn gc(ctx: &Context, settings: &Gc) -> Result<GcReply, JobError> {
    let library = ctx.library()?;
    let options = GcOptions {
        keep_states: settings.keep_states,
        keep_days: settings.keep_days,
        now_secs: now_secs(),
    };
    let report = if settings.dry_run {
        library.plan_collect(&options)?
    } else {
        erase_expired(ctx, &library)?;
        let writer = library.writer(options.now_secs, PATIENCE)?;
        writer.collect(&options, &*ctx.progress, &ctx.cancel)?
    };
    let state = |s: stockpot_library::CollectedState| FreedState {
        state: s.person.map_or_else(|| "encoder".into(), |p| p.to_string()),
        record: s.record,
        created_secs: s.created_secs,
        weights_bytes: s.bytes,
    };
    Ok(GcReply {
        dry_run: settings.dry_run,
        freed_bytes: report.bytes,
        freed_objects: report.objects,
        unnamed_objects: report.unnamed,
        kept_bytes: report.kept_bytes,
        states: report.states.into_iter().map(state).collect(),
    })
}

/// `library repair`.
#[derive(Debug, Clone, Serialize)]
pub struct RepairReply {
    /// What was done, in words.
    pub mended: Vec<String>,
    /// What is lost, in words.
    pub lost: Vec<String>,
    /// Bytes of torn temporary files that were removed.
    pub freed_bytes: u64,
    /// The process that died while it changed the library, if one did.
    pub died_at_work: Option<u32>,
    /// Whether the library is whole now, but for what is lost.
    pub sound: bool,
}

/// `library repair`: mends what can be mended and says what is lost.
///
/// # Errors
/// If the folder is no library, it is locked, or the user stopped it.
pub fn repair(ctx: &Context) -> Result<RepairReply, JobError> {
    use stockpot_library::Error as E;
    let now = now_secs();
    let mut mended = Vec::new();
    let library = match Library::open(&ctx.library_dir) {
        Err(E::DamagedLibraryFile { .. } | E::NotALibrary { .. }) => {
            let library = Library::mend_file(&ctx.library_dir, now)?;
            mended.push("`stockpot.json` was missing or damaged and is written anew".to_owned());
            library
        }
        other => other?,
    };
    let report = library
        .writer(now, PATIENCE)?
        .repair(now, &*ctx.progress, &ctx.cancel)?;
    mended.extend(report.mended.iter().map(ToString::to_string));
    let freed = report.mended.iter().map(|m| match m {
        Mended::LeftoverRemoved { bytes, .. } => *bytes,
        _ => 0,
    });
    Ok(RepairReply {
        mended,
        freed_bytes: freed.sum(),
        died_at_work: report.left_by.map(|holder| holder.pid),
        sound: report.after.is_sound(),
        lost: report.lost,
    })
}
