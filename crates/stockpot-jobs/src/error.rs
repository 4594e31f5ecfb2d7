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

    /// With the causes of `error`. What the system answered stands in the message too: most people
    /// never see the causes, and "cannot write" alone does not tell a full disk from a missing right.
    fn of(kind: JobErrorKind, error: &dyn Error, hint: Option<String>) -> Self {
        let mut out = Self::new(kind, error.to_string());
        out.hint = hint;
        let mut at = error.source();
        while let Some(cause) = at {
            let text = cause.to_string();
            if let Some(system) = cause.downcast_ref::<std::io::Error>() {
                if !out.message.contains(&text) {
                    out.message += &format!(": {text}");
                }
                out.hint = out.hint.or_else(|| system_hint(system));
            }
            out.sources.push(text);
            at = cause.source();
        }
        out
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
from_engine!(stockpot_convert, usage: [Setting, LabelSign, LabelRoom], cancelled: []);
from_engine!(stockpot_mark, usage: [], cancelled: []);
from_engine!(stockpot_provenance, usage: [BadCertificate, CannotHold, SidecarTaken, BadTimeAuthority], cancelled: []);
from_engine!(stockpot_device, usage: [Unknown, NotBuilt, Missing], cancelled: []);
from_engine!(stockpot_train, usage: [UnknownSetting, BadSetting], cancelled: [Cancelled]);

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
    out.hint = system_hint(error);
    out
}

/// What to do about the system's answers that a person can do something about.
fn system_hint(error: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind;
    let hint = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space on that disk and start the command again"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a folder that you may write to"
        }
        ErrorKind::NotFound => "check the spelling, and that the folder exists",
        _ => return None,
    };
    Some(hint.into())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::path::{Path, PathBuf};

    use stockpot_core::picture::PictureError;

    use super::*;

    #[test]
    fn the_systems_answer_stands_in_the_message_once() {
        let picture = PictureError::Io {
            action: "write",
            path: PathBuf::from("a.png"),
            source: ErrorKind::StorageFull.into(),
        };
        let error = JobError::from(picture);
        assert_eq!(
            error.message,
            "Cannot write the picture a.png: no storage space"
        );
        assert_eq!(error.sources, ["no storage space"]);
        assert!(error.hint.is_some_and(|h| h.contains("free some space")));

        let told = io(
            "make the folder",
            Path::new("b"),
            &ErrorKind::NotFound.into(),
        );
        assert_eq!(told.message.matches("entity not found").count(), 1);
    }
}
