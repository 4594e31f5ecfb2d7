//! `inspect`: what files say of themselves, and whether that can be believed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
pub use stockpot_provenance::{
    ActionNote, Basis, Fault, Holder, Known, Report, Signer, Swap, SwapNote, Verdict,
};
use stockpot_provenance::{Inspector, Sealer};

mod page;

pub use page::time_told;

use crate::context::Context;
use crate::error::{JobError, JobErrorKind, io};
use crate::marking;
pub use crate::marking::MarkNote;
use crate::swap::is_same_place;

/// What to look at.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Files, and folders of pictures or videos.
    pub files: Vec<PathBuf>,
    /// When to look for the invisible mark, which takes seconds a video.
    pub mark: LookForMark,
    /// Where to write a page about the file, which is one then.
    pub page: Option<PathBuf>,
}

/// When to look for the invisible mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LookForMark {
    /// Where no whole credentials of stockpot speak for the file.
    #[default]
    Auto,
    /// In every file.
    Always,
    /// In none.
    Never,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The worst of all: broken before none before whole.
    pub verdict: Verdict,
    /// One report a file, in the order of the arguments; files of a folder by name.
    pub files: Vec<Found>,
    /// The page, if one was asked for.
    pub page: Option<PathBuf>,
}

/// What was found about one file.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// What it says of itself.
    #[serde(flatten)]
    pub report: Report,
    /// Whether it was searched for the invisible mark.
    pub searched: bool,
    /// Why it was not, if that was wanted.
    pub not_searched: Option<String>,
    /// The mark, if one was found.
    pub mark: Option<MarkNote>,
    /// Another of the inspected files that is whole and has the seal that the mark names: there are
    /// the credentials.
    pub credentials_in: Option<PathBuf>,
}

/// Inspects.
///
/// # Errors
/// If a file or folder cannot be read, a folder holds nothing that could be sealed, or the user
/// stopped. A file that is nonsense is no error: its report says so.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let inspector = Inspector::new(&ctx.identity_dir)?;
    let mut paths = Vec::new();
    for path in &settings.files {
        match path.is_dir() {
            true => paths.extend(outputs_in(path)?),
            false => paths.push(path.clone()),
        }
    }
    if settings.page.is_some() && paths.len() != 1 {
        return Err(JobError::usage(format!(
            "A page is about one file, {} were named",
            paths.len()
        ))
        .with_hint("name one file with --page"));
    }
    if let (Some(page), [file]) = (&settings.page, &*paths)
        && is_same_place(page, file)
    {
        return Err(JobError::usage(format!(
            "The page would replace the file {}",
            file.display()
        ))
        .with_hint("give the page another name"));
    }
    ctx.phase("inspect", paths.len() as u64);
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        ctx.check_cancel()?;
        let report = inspector.inspect(&path)?;
        files.push(with_mark(ctx, settings.mark, report)?);
        ctx.step(files.len() as u64);
    }
    find_credentials(&mut files);
    let any = |wanted| files.iter().any(|f: &Found| f.report.verdict == wanted);
    let verdict = match (any(Verdict::Broken), any(Verdict::None)) {
        (true, _) => Verdict::Broken,
        (false, true) => Verdict::None,
        (false, false) => Verdict::Whole,
    };
    if let (Some(page), [found]) = (&settings.page, &*files) {
        page::write(ctx, found, page)?;
    }
    Ok(Reply {
        verdict,
        files,
        page: settings.page.clone(),
    })
}

/// Looks for the mark, if that is wanted.
///
/// # Errors
/// If the user stopped. That a file cannot be decoded or searched is told beside what it says of
/// itself.
fn with_mark(ctx: &Context, when: LookForMark, report: Report) -> Result<Found, JobError> {
    let of_stockpot = report
        .credentials
        .as_ref()
        .is_some_and(|c| c.swap.is_some());
    let wanted = match when {
        LookForMark::Auto => report.verdict != Verdict::Whole || !of_stockpot,
        LookForMark::Always => true,
        LookForMark::Never => false,
    };
    let mut found = Found {
        report,
        searched: false,
        not_searched: None,
        mark: None,
        credentials_in: None,
    };
    if wanted {
        match marking::look(ctx, &found.report.file) {
            Ok(mark) => {
                found.searched = true;
                found.mark = mark;
            }
            Err(e) if e.kind == JobErrorKind::Cancelled => return Err(e),
            Err(e) => found.not_searched = Some(e.message),
        }
    }
    Ok(found)
}

/// For each mark that was found, the whole file among these that has its seal.
fn find_credentials(files: &mut [Found]) {
    let whole: BTreeMap<String, PathBuf> = files
        .iter()
        .filter(|f| f.report.verdict == Verdict::Whole)
        .filter_map(|f| {
            let note = f.report.credentials.as_ref()?.swap.as_ref()?;
            Some((note.seal.to_string(), f.report.file.clone()))
        })
        .collect();
    for found in files {
        let there = found.mark.as_ref().and_then(|mark| whole.get(&mark.seal));
        found.credentials_in = there.filter(|file| **file != found.report.file).cloned();
    }
}

/// The pictures and videos of a folder, by name.
fn outputs_in(folder: &Path) -> Result<Vec<PathBuf>, JobError> {
    let failed = |e| io("read the folder", folder, &e);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && Sealer::can_hold(&path) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(JobError::failed(format!(
            "There is no picture or video in the folder {}",
            folder.display()
        ))
        .with_hint("name the files themselves to look at others"));
    }
    paths.sort();
    Ok(paths)
}
