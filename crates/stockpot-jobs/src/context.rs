//! What every job is told: where things are, who listens, when to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use stockpot_core::{CancelToken, PersonName, Progress, ProgressSink};
use stockpot_library::{Consented, Library, Purpose, Use, Used, Writer};
use stockpot_media::Opener;
pub use stockpot_provenance::OwnCertificate;
use stockpot_provenance::{Identity, Sealer};

use crate::error::JobError;

/// The surroundings of a job. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The library folder.
    pub library_dir: PathBuf,
    /// Where the face models of others are.
    pub models_dir: PathBuf,
    /// Where the certificate and key are that outputs are signed with; made at first use.
    pub identity_dir: PathBuf,
    /// A certificate of the user's own instead.
    pub own_certificate: Option<OwnCertificate>,
    /// The program that decodes untrusted files when called with [`crate::MEDIA_WORKER`]: normally
    /// the running program itself.
    pub worker_exe: PathBuf,
    /// Takes progress.
    pub progress: Arc<dyn ProgressSink>,
    /// Asks the job to stop.
    pub cancel: CancelToken,
    /// Seeds every random choice.
    pub seed: u64,
    /// What the work is done for, where consents are bound to a project.
    pub project: Option<String>,
}

impl Context {
    /// Opens the library.
    ///
    /// # Errors
    /// If the folder is none, or was made by newer software.
    pub fn library(&self) -> Result<Library, JobError> {
        Ok(Library::open(&self.library_dir)?)
    }

    /// The consent of a person for a use: every job that touches a face asks here first.
    ///
    /// # Errors
    /// If there is none, or it does not cover the use: withdrawn, expired, out of scope.
    pub(crate) fn consent(
        &self,
        library: &Library,
        person: &PersonName,
        what: Use,
    ) -> Result<Consented, JobError> {
        Ok(library.consent_for(person, &self.purpose(what))?)
    }

    pub(crate) fn purpose(&self, what: Use) -> Purpose {
        Purpose {
            what,
            project: self.project.clone(),
            now_secs: now_secs(),
        }
    }

    /// Writes a use into the library's log. What was done is done: a log that cannot be written is a
    /// warning.
    pub(crate) fn log_use(&self, library: &Library, used: &Used<'_>) {
        if let Err(e) = library.log_use(used, now_secs()) {
            self.warn_unlogged(&e.to_string());
        }
    }

    /// Tells what a writer could not log.
    pub(crate) fn tell_unlogged(&self, writer: &Writer<'_>) {
        for reason in writer.unlogged() {
            self.warn_unlogged(&reason);
        }
    }

    pub(crate) fn warn_unlogged(&self, reason: &str) {
        self.warn(format!(
            "Done, but the library's log of uses lacks it: {reason}"
        ));
    }

    /// What seals outputs; the identity is made now if there is none.
    ///
    /// # Errors
    /// If the certificate or key cannot be used, or the folder cannot be written.
    pub fn sealer(&self) -> Result<Sealer, JobError> {
        let identity = Identity::open(&self.identity_dir, self.own_certificate.as_ref())?;
        Ok(Sealer::new(identity))
    }

    /// Where files nobody vouches for are decoded.
    pub(crate) fn opener(&self) -> Opener {
        Opener::Worker(self.worker_exe.clone())
    }

    pub(crate) fn phase(&self, name: &'static str, total: u64) {
        self.progress.send(Progress::Phase { name, total });
    }

    pub(crate) fn step(&self, done: u64) {
        self.progress.send(Progress::Step {
            done,
            note: String::new(),
        });
    }

    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.progress.send(Progress::Warning(text.into()));
    }

    pub(crate) fn info(&self, text: impl Into<String>) {
        self.progress.send(Progress::Info(text.into()));
    }

    /// An error if somebody asked to stop.
    pub(crate) fn check_cancel(&self) -> Result<(), JobError> {
        if self.cancel.is_cancelled() {
            return Err(JobError::cancelled(
                "Stopped before the job was done; nothing was changed",
            ));
        }
        Ok(())
    }
}

/// Seconds since 1970 UTC; 0 if the clock stands before that.
pub(crate) fn now_secs() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}
