//! `library gc`: looking after a library.

use serde::Serialize;
use stockpot_core::ContentHash;
use stockpot_library::GcOptions;

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
