//! Taking an export in: everything is checked and decided first, then written, and visible at once.

use std::path::Path;

use stockpot_core::{CancelToken, ContentHash, PersonName, Progress, ProgressSink};

use super::BundleKind;
use super::plan::Plan;
use super::read::Bundle;
use crate::audit::{Deed, FileName, Log, Said};
use crate::consent_record::ConsentRecord;
use crate::error::{Error, Result};
use crate::library::{Library, Writer};
use crate::record::AbsenceReason;
use crate::refs::Outcome;
use crate::signing::Keys;

/// How to import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Another name for the one person of the file.
    pub rename: Option<PersonName>,
    /// Now, in seconds since 1970 UTC.
    pub now_secs: u64,
}

/// What becomes of the encoder state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderImport {
    /// It is the current one here already.
    Same,
    /// It becomes current: this library had none.
    Current(ContentHash),
    /// It is kept beside the current one of this library.
    Kept(ContentHash),
}

/// What becomes of a person of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersonImport {
    /// Was not known here.
    New,
    /// Is here already, with the same consent and decoder.
    Same,
    /// Is here already and gets this decoder, which comes from the one that is here (or there was
    /// none).
    Decoder(ContentHash),
    /// Is here already, with a later decoder of the same line.
    NewerHere,
    /// Something else is here; in words. Nothing is imported.
    Conflict(String),
}

/// A person of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedPerson {
    /// The name here.
    pub name: PersonName,
    /// The name in the file.
    pub was: PersonName,
    /// What becomes of them.
    pub outcome: PersonImport,
    /// Their consent as the file has it.
    pub consent: ConsentRecord,
}

/// What an import does, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// What the file is.
    pub kind: BundleKind,
    /// The software that wrote it.
    pub made_by: String,
    /// When, in seconds since 1970 UTC.
    pub made_secs: u64,
    /// Its persons.
    pub persons: Vec<ImportedPerson>,
    /// Its encoder state.
    pub encoder: Option<EncoderImport>,
    /// Records that are new here.
    pub new_records: u64,
    /// Objects that are new here.
    pub new_objects: u64,
    /// Bytes of both.
    pub new_bytes: u64,
    /// What is in the way, in words; empty once something was imported.
    pub conflicts: Vec<String>,
}

impl ImportReport {
    pub(super) fn of(bundle: &Bundle) -> Self {
        Self {
            kind: bundle.header.kind,
            made_by: bundle.header.software.chars().take(80).collect(),
            made_secs: bundle.header.created_secs,
            persons: Vec::new(),
            encoder: None,
            new_records: 0,
            new_objects: 0,
            new_bytes: 0,
            conflicts: Vec::new(),
        }
    }
}

impl Library {
    /// Reads and checks a whole export and says what [`Writer::import`] would do. Needs no lock and
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::BadBundle`], [`Error::NewerBundle`], [`Error::OtherFamily`],
    /// [`Error::SharingForbidden`], [`Error::NotOnePerson`], [`Error::Cancelled`], or what is
    /// damaged or refused. Conflicts are in the report.
    pub fn plan_import(
        &self,
        file: &Path,
        options: &ImportOptions,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<ImportReport> {
        let bundle = Bundle::read(file, progress, cancel)?;
        // Nothing is written: without a key of its own the library would get another one anyway.
        let keys = match Keys::read(&self.layout) {
            Ok(Some(keys)) => keys,
            _ => Keys::random()?,
        };
        Plan::make(self, &bundle, options.rename.as_ref(), &keys).map(|plan| plan.report)
    }
}

impl Writer<'_> {
    /// Takes an export in. What is here is never overwritten: states are kept beside each other, and
    /// where a name would mean two things nothing is imported. Progress is in objects.
    ///
    /// # Errors
    /// [`Error::ImportConflict`], and as [`Library::plan_import`]; nothing has become visible then.
    pub fn import(
        &self,
        file: &Path,
        options: &ImportOptions,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<ImportReport> {
        let bundle = Bundle::read(file, progress, cancel)?;
        let keys = self.keys(options.now_secs)?;
        let plan = Plan::make(self.library, &bundle, options.rename.as_ref(), &keys)?;
        if !plan.report.conflicts.is_empty() {
            return Err(Error::ImportConflict {
                conflicts: plan.report.conflicts,
            });
        }
        let (disk, layout) = (&self.library.disk, &self.library.layout);
        progress.send(Progress::Phase {
            name: "import",
            total: plan.objects.len() as u64,
        });
        for (done, hash) in (1..).zip(&plan.objects) {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let path = layout.object(hash);
            if let Some(folder) = path.parent() {
                disk.make_folder(folder)?;
            }
            disk.stream_whole(&path, |sink| bundle.copy_object(hash, sink))?;
            progress.send(Progress::Step {
                done,
                note: String::new(),
            });
        }
        // Before the records that name what is absent; and those parents first: a stop in between
        // leaves nothing that looks like damage.
        self.put_absence(
            AbsenceReason::NotImported,
            &plan.absent_objects,
            &plan.absent_records,
            None,
            options.now_secs,
        )?;
        for (hash, bytes) in &plan.records {
            let path = layout.record(hash);
            if let Some(folder) = path.parent() {
                disk.make_folder(folder)?;
            }
            // Also over a damaged one of the same length.
            disk.write_whole(&path, bytes)?;
        }
        // First the word: the log is what stands behind consents that others have signed.
        if !plan.who.is_empty() {
            let file = FileName::new(file)?;
            let said = Said {
                who: plan.who.clone(),
                encoder: bundle.header.encoder,
                file_seal: Some(file.seal()),
                file: Some(file),
                ..Said::default()
            };
            Log::open(self.library, options.now_secs)?.append(
                Deed::Import,
                said,
                options.now_secs,
            )?;
        }
        if !plan.changes.is_empty()
            && let Outcome::Conflict(moved) = self.transact(&plan.changes)?
        {
            let kept = Vec::new();
            return Err(Error::Conflict { moved, kept });
        }
        Ok(plan.report)
    }
}
