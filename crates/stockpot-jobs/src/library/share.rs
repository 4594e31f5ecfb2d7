//! `library export|import`: an encoder, a person or a whole library as one file.

use std::path::{Path, PathBuf};

use serde::Serialize;
use stockpot_core::{ContentHash, PersonName};
use stockpot_library::{EncoderImport, ImportOptions, PersonImport, Use};
pub use stockpot_library::{RehearsalFaces, Selection};

use crate::consent;
use crate::context::{Context, now_secs};
use crate::error::JobError;
use crate::person::PATIENCE;
use crate::space;

/// What was exported.
#[derive(Debug, Clone, Serialize)]
pub struct ExportReply {
    /// The file.
    pub file: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// Who is in it.
    pub persons: Vec<PersonName>,
    /// Who is not, and why.
    pub left_out: Vec<String>,
    /// Objects in it: weights and evidence.
    pub objects: u64,
    /// Records in it.
    pub records: u64,
    /// Faces kept for rehearsal that are in it.
    pub rehearsal_faces: u64,
    /// Faces kept for rehearsal that are not.
    pub rehearsal_left_out: u64,
}

/// `library export`: one file with an encoder, a person, or everybody whose consent allows it.
///
/// # Errors
/// If a consent forbids it, there is nothing to export, the file is there already, the disk is too
/// small, or the library is damaged.
pub fn export(
    ctx: &Context,
    what: &Selection,
    faces: RehearsalFaces,
    file: &Path,
) -> Result<ExportReply, JobError> {
    let library = ctx.library()?;
    let purpose = ctx.purpose(Use::Share);
    let chosen = (what, faces);
    space::need(file, library.export_bytes(chosen, &purpose)?, "the export")?;
    let report = library.export(chosen, file, &purpose, &*ctx.progress, &ctx.cancel)?;
    if let Some(reason) = &report.unlogged {
        ctx.warn_unlogged(reason);
    }
    let left_out: Vec<String> = report
        .left_out
        .iter()
        .map(|(person, reason)| format!("{person}: {reason}"))
        .collect();
    for text in &left_out {
        ctx.warn(format!("Left out: {text}"));
    }
    match (report.rehearsal_faces, report.rehearsal_left_out) {
        (0, 0) => {}
        (0, left) => ctx.info(format!(
            "{left} faces kept for rehearsal are not in the file; `--with-rehearsal` takes them along"
        )),
        (along, _) => ctx.warn(format!("{along} faces kept for rehearsal go along")),
    }
    if *what == Selection::All {
        ctx.info("Faces and run folders are not in the file; copy `facesets` and `runs` to take them along");
    }
    Ok(ExportReply {
        file: file.into(),
        size_bytes: report.bytes,
        persons: report.persons,
        left_out,
        objects: report.objects,
        records: report.records,
        rehearsal_faces: report.rehearsal_faces,
        rehearsal_left_out: report.rehearsal_left_out,
    })
}

/// `library import`.
#[derive(Debug, Clone)]
pub struct Import {
    /// The file.
    pub file: PathBuf,
    /// Another name for its one person.
    pub rename: Option<PersonName>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What was imported, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct ImportReply {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The software that wrote the file.
    pub made_by: String,
    /// When.
    pub made_secs: u64,
    /// What becomes of its persons.
    pub persons: Vec<PersonRow>,
    /// What becomes of its encoder state.
    pub encoder: Option<String>,
    /// Objects that are new here.
    pub new_objects: u64,
    /// Records that are new here.
    pub new_records: u64,
    /// Bytes of both.
    pub new_bytes: u64,
    /// What is in the way.
    pub conflicts: Vec<String>,
}

/// A person of the file.
#[derive(Debug, Clone, Serialize)]
pub struct PersonRow {
    /// The name here.
    pub person: PersonName,
    /// What becomes of them.
    pub outcome: &'static str,
    /// The decoder state that becomes current.
    pub decoder: Option<ContentHash>,
    /// The ground of the consent that comes along.
    pub consent: String,
    /// What it allows, for what and how long.
    pub allows: String,
    /// The library that signed it.
    pub signed_by: String,
}

/// `library import`: takes in what an export holds. Nothing that is here is overwritten.
///
/// # Errors
/// If the file is no whole export, or something else of the same name is here: then nothing has
/// changed.
pub fn import(ctx: &Context, settings: &Import) -> Result<ImportReply, JobError> {
    let library = ctx.library()?;
    let options = ImportOptions {
        rename: settings.rename.clone(),
        now_secs: now_secs(),
    };
    let planned = || library.plan_import(&settings.file, &options, &*ctx.progress, &ctx.cancel);
    let report = if settings.dry_run {
        planned()?
    } else {
        let bytes = std::fs::metadata(&settings.file).map_or(0, |m| m.len());
        space::need(library.root(), bytes, "the import")?;
        let writer = library.writer(options.now_secs, PATIENCE)?;
        let report = writer.import(&settings.file, &options, &*ctx.progress, &ctx.cancel)?;
        ctx.tell_unlogged(&writer);
        report
    };
    let now = now_secs();
    let row = |p: stockpot_library::ImportedPerson| PersonRow {
        consent: consent::words(&p.consent.basis),
        allows: consent::allows(&p.consent, now),
        signed_by: consent::signed_by(&library, &p.consent),
        person: p.name,
        outcome: match &p.outcome {
            PersonImport::New => "new",
            PersonImport::Same => "the same",
            PersonImport::Decoder(_) => "a later decoder",
            PersonImport::NewerHere => "the decoder here is newer",
            PersonImport::Conflict(_) => "in conflict",
        },
        decoder: match p.outcome {
            PersonImport::Decoder(hash) => Some(hash),
            _ => None,
        },
    };
    let encoder = report.encoder.map(|encoder| match encoder {
        EncoderImport::Same => "the same".to_owned(),
        EncoderImport::Current(hash) => format!("{}, current: there was none", hash.short()),
        EncoderImport::Kept(hash) => {
            format!("{}, kept beside the current one", hash.short())
        }
    });
    Ok(ImportReply {
        dry_run: settings.dry_run,
        made_by: report.made_by,
        made_secs: report.made_secs,
        persons: report.persons.into_iter().map(row).collect(),
        encoder,
        new_objects: report.new_objects,
        new_records: report.new_records,
        new_bytes: report.new_bytes,
        conflicts: report.conflicts,
    })
}
