//! What a job says when it cannot go on: one message, what to do next, and the causes for the log.

use std::error::Error;
use std::fmt;

/// Who can act on an error; also decides the exit status of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobErrorKind {
    /// The job failed.
    Failed,
    /// The arguments or settings cannot be used.
    Usage,
    /// The user stopped it.
    Cancelled,
}

/// Why a job ended without its result.
#[derive(Debug, Clone, serde::Serialize)]
pub struct JobError {
    /// Who can act.
    pub kind: JobErrorKind,
    /// What failed, the value, what would be accepted.
    pub message: String,
    /// What to do next, best a command.
    pub hint: Option<String>,
    /// The causes, outermost first.
    pub sources: Vec<String>,
}

impl JobError {
    /// A failure of the job.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(JobErrorKind::Failed, message)
    }

    /// Unusable arguments or settings.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(JobErrorKind::Usage, message)
    }

    /// The user stopped the job.
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::new(JobErrorKind::Cancelled, message)
    }

    fn new(kind: JobErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            sources: Vec::new(),
        }
    }

    /// With what to do next.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn of(kind: JobErrorKind, error: &dyn Error, hint: Option<String>) -> Self {
        let mut sources = Vec::new();
        let mut at = error.source();
        while let Some(cause) = at {
            sources.push(cause.to_string());
            at = cause.source();
        }
        Self {
            kind,
            message: error.to_string(),
            hint,
            sources,
        }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for JobError {}

/// An engine's error becomes a job's, with its hint. The lists name the variants that are the user's
/// arguments or settings, and those that say that the user stopped the job.
macro_rules! from_engine {
    ($engine:ident, usage: [$($usage:ident),*], cancelled: [$($cancelled:ident),*]) => {
        impl From<$engine::Error> for JobError {
            fn from(error: $engine::Error) -> Self {
                #[allow(unreachable_patterns, reason = "an engine may have no such variant")]
                let kind = match &error {
                    $($engine::Error::$usage { .. } => JobErrorKind::Usage,)*
                    $($engine::Error::$cancelled { .. } => JobErrorKind::Cancelled,)*
                    _ => JobErrorKind::Failed,
                };
                Self::of(kind, &error, error.hint())
            }
        }
    };
}

from_engine!(stockpot_library, usage: [NoSuchPerson, BadConsent], cancelled: [Cancelled]);
from_engine!(stockpot_media, usage: [BadSetting], cancelled: []);
from_engine!(stockpot_faceset, usage: [BadSetting], cancelled: [Cancelled]);
from_engine!(stockpot_faces, usage: [], cancelled: [Cancelled]);
from_engine!(stockpot_model, usage: [UnknownFamily], cancelled: []);
from_engine!(stockpot_convert, usage: [Setting], cancelled: []);
from_engine!(stockpot_train, usage: [UnknownSetting, BadSetting], cancelled: []);

impl From<stockpot_core::picture::PictureError> for JobError {
    fn from(error: stockpot_core::picture::PictureError) -> Self {
        Self::of(JobErrorKind::Failed, &error, None)
    }
}

/// A file-system error with what was being done.
pub(crate) fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> JobError {
    let mut out = JobError::failed(format!(
        "Cannot {doing}: {error}\n  path: {}",
        path.display()
    ));
    if error.kind() == std::io::ErrorKind::StorageFull {
        out.hint = Some("free some space on that disk and start the command again".into());
    }
    out
}
