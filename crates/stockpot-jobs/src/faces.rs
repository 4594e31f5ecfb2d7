//! `faces list|sort|prune|report`: looks after a person's faces.

use std::path::PathBuf;

use serde::Serialize;
use stockpot_core::PersonName;
pub use stockpot_faceset::ops::SortKey;
use stockpot_faceset::ops::{self, PruneRule};
use stockpot_faceset::{Faceset, quality, report};

use crate::context::Context;
use crate::error::JobError;

/// One face of a list.
#[derive(Debug, Clone, Serialize)]
pub struct FaceReply {
    /// The crop in the faceset's folder.
    pub file: Option<String>,
    /// The video or folder it comes from.
    pub source: String,
    /// Frame number in the source.
    pub frame: u64,
    /// When, in seconds from the source's start.
    pub at_secs: f64,
    /// Turn to the side, in degrees.
    pub yaw_deg: f32,
    /// Nod, in degrees.
    pub pitch_deg: f32,
    /// Sharpness of the crop.
    pub sharpness: f32,
    /// Distance from the person's median identity, where it was measured.
    pub identity_distance: Option<f32>,
    /// `training`, `held-out`, `unused`, or why it is rejected.
    pub used_as: String,
}

fn open(ctx: &Context, person: &PersonName) -> Result<Faceset, JobError> {
    let library = ctx.library()?;
    library.show_person(person)?;
    let faceset = Faceset::open(&library.facesets_dir(person))?;
    for note in faceset.notes() {
        ctx.warn(note.to_string());
    }
    Ok(faceset)
}

/// `faces list` and `faces sort`: all faces in an order.
///
/// # Errors
/// If there is no such person or no faceset.
pub fn list(
    ctx: &Context,
    person: &PersonName,
    order: SortKey,
) -> Result<Vec<FaceReply>, JobError> {
    let faceset = open(ctx, person)?;
    let row = |r: ops::FaceRow<'_>| FaceReply {
        file: r.record.file.clone(),
        source: r.source.to_owned(),
        frame: r.record.frame_index,
        at_secs: r.record.time.secs(),
        yaw_deg: r.record.pose.yaw_rad.to_degrees(),
        pitch_deg: r.record.pose.pitch_rad.to_degrees(),
        sharpness: r.record.sharpness,
        identity_distance: r.distance,
        used_as: match r.record.rejected {
            Some(reason) => format!("rejected: {reason}"),
            None => r.record.split.to_string(),
        },
    };
    Ok(ops::list(&faceset, order).into_iter().map(row).collect())
}

/// Which faces `faces prune` takes out.
#[derive(Debug, Clone)]
pub struct Prune {
    /// Whose faces.
    pub person: PersonName,
    /// Sharpness below this.
    pub blur_below: Option<f32>,
    /// Farther than this from the median identity.
    pub far_from_median: Option<f32>,
    /// Near-duplicates of the face before them.
    pub duplicates: bool,
    /// Only say what would be taken out.
    pub dry_run: bool,
}

/// What was, or would be, taken out.
#[derive(Debug, Clone, Serialize)]
pub struct PruneReply {
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Faces taken out; their pictures move to the folder `rejected`.
    pub pruned: usize,
    /// Each with its reason.
    pub faces: Vec<Pruned>,
}

/// One face taken out.
#[derive(Debug, Clone, Serialize)]
pub struct Pruned {
    /// The crop.
    pub file: String,
    /// Why.
    pub reason: String,
    /// The number that decided.
    pub value: f32,
}

/// `faces prune`.
///
/// # Errors
/// If there is no faceset, a rule is out of range, or the faceset changed meanwhile.
pub fn prune(ctx: &Context, settings: &Prune) -> Result<PruneReply, JobError> {
    let faceset = open(ctx, &settings.person)?;
    let mut rules = Vec::new();
    rules.extend(settings.blur_below.map(PruneRule::BlurBelow));
    rules.extend(settings.far_from_median.map(PruneRule::FarFromMedian));
    if settings.duplicates {
        rules.push(PruneRule::Duplicates(quality::LikenessLimits::default()));
    }
    if rules.is_empty() {
        return Err(
            JobError::usage("Nothing to prune by: give at least one rule")
                .with_hint("try `--duplicates`, `--blur-below X` or `--far-from-median 0.6`"),
        );
    }
    let plan = ops::plan_prune(&faceset, &rules)?;
    let faces: Vec<Pruned> = plan
        .items
        .iter()
        .map(|i| Pruned {
            file: i.file.clone(),
            reason: i.reason.to_string(),
            value: i.value,
        })
        .collect();
    let pruned = match settings.dry_run {
        true => 0,
        false => ops::apply_prune(faceset.folder(), &plan)?,
    };
    Ok(PruneReply {
        dry_run: settings.dry_run,
        pruned,
        faces,
    })
}

/// What `faces report` made.
#[derive(Debug, Clone, Serialize)]
pub struct ReportReply {
    /// The page; open it in a browser.
    pub page: PathBuf,
    /// What to do next; empty if nothing is amiss.
    pub advice: Vec<String>,
}

/// `faces report`: one page with contact sheet, pose coverage and rejects.
///
/// # Errors
/// If there is no faceset or the page cannot be written.
pub fn report(
    ctx: &Context,
    person: &PersonName,
    output: Option<PathBuf>,
) -> Result<ReportReply, JobError> {
    let faceset = open(ctx, person)?;
    let page = output.unwrap_or_else(|| faceset.folder().join("report.html"));
    let made = report::write(&faceset, &page)?;
    Ok(ReportReply {
        page,
        advice: made.advice,
    })
}
