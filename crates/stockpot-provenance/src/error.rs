//! What can go wrong with credentials, grouped by who can act, and what to do next.

use std::path::{Path, PathBuf};

/// Why an output could not be sealed, or a file not be inspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // ---- the user's input -------------------------------------------------------------------
    /// A certificate or key that cannot be used.
    #[error("The {what} {} cannot be used: {reason}", path.display())]
    BadCertificate {
        /// `certificate` or `key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificate without key, or the other way round.
    #[error("The identity folder has {there} but no {missing}: {}", folder.display())]
    HalfAnIdentity {
        /// The file that is there.
        there: &'static str,
        /// The file that is not.
        missing: &'static str,
        /// The folder.
        folder: PathBuf,
    },
    /// The key can be read by others.
    #[error("The signing key can be read by other users (mode {mode:03o}): {}", path.display())]
    KeyIsOpen {
        /// The lowest nine bits of its mode.
        mode: u32,
        /// The key.
        path: PathBuf,
    },
    /// A file too large to be looked at.
    #[error("{what} has {found_bytes} bytes, {limit_bytes} are the most: {}", path.display())]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is.
        found_bytes: u64,
        /// How large it may be.
        limit_bytes: u64,
        /// Which file.
        path: PathBuf,
    },
    /// An output whose name says nothing about its format.
    #[error("An output of this kind cannot be sealed; known are mp4, m4v, mov, mkv, png, jpg: {}", path.display())]
    CannotHold {
        /// The output.
        path: PathBuf,
    },
    /// Something else stands where the sidecar would go.
    #[error("The credentials of {} need the file {}, which holds something else", target.display(), path.display())]
    SidecarTaken {
        /// The output.
        target: PathBuf,
        /// Where the sidecar would go.
        path: PathBuf,
    },

    /// An address that no time stamp can come from.
    #[error("No time stamp can come from {address}: {reason}")]
    BadTimeAuthority {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },

    // ---- somebody else's machine -------------------------------------------------------------
    /// The authority does not stamp; nothing was begun.
    #[error("There would be no time stamp of {address}: {reason}")]
    NoTimeStamp {
        /// The authority.
        address: String,
        /// Why.
        reason: String,
    },
    /// The authority stamped at the start and does no longer; the output is gone.
    #[error("No time stamp for {} could be had of {address}: {reason}", path.display())]
    TimeStampLost {
        /// The output.
        path: PathBuf,
        /// The authority.
        address: String,
        /// Why.
        reason: String,
    },

    // ---- their machine ----------------------------------------------------------------------
    /// A file cannot be read or written.
    #[error("Cannot {action}: {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    // ---- our bug ----------------------------------------------------------------------------
    /// The library that writes credentials refused, or what it wrote does not verify.
    #[error("The credentials of {} could not be {action}: {reason}", path.display())]
    Credentials {
        /// `written`, `verified` or `read`.
        action: &'static str,
        /// What it said.
        reason: String,
        /// Which file.
        path: PathBuf,
    },
}

/// What everything here returns.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.into(),
            source,
        }
    }

    pub(crate) fn credentials(
        action: &'static str,
        path: &Path,
        reason: impl std::fmt::Display,
    ) -> Self {
        Self::Credentials {
            action,
            reason: reason.to_string(),
            path: path.into(),
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BadCertificate { .. } => {
                "give a PEM chain, signing certificate first, that is meant for signing documents \
                 or e-mail, and its unencrypted PEM key (PKCS#8; P-256, P-384, Ed25519 or RSA)"
                    .into()
            }
            Self::HalfAnIdentity { folder, .. } => format!(
                "put the missing file back, or move {} away: a new identity is then made",
                folder.display()
            ),
            Self::KeyIsOpen { path, .. } => {
                format!(
                    "take the rights of others away: chmod 600 {}",
                    path.display()
                )
            }
            Self::CannotHold { .. } => "give the output another ending".into(),
            Self::SidecarTaken { .. } => {
                "give the output another name, or another ending: mp4 and mov hold their own \
                 credentials"
                    .into()
            }
            Self::BadTimeAuthority { .. } => {
                "give the address of a service that answers as RFC 3161 says; it begins with \
                 http:// or https://"
                    .into()
            }
            Self::NoTimeStamp { .. } => {
                "nothing was begun: look at the address and the network, or do without with \
                 `--time-stamp none`"
                    .into()
            }
            Self::TimeStampLost { .. } => {
                "there is no output, as it would have no time stamp: give the same command again, \
                 or with `--time-stamp none`"
                    .into()
            }
            Self::TooLarge { .. } | Self::Io { .. } => return None,
            Self::Credentials { action: "read", .. } => return None,
            Self::Credentials { .. } => {
                "nothing was written; a certificate of your own may not be fit for this: try \
                 without --certificate, or report this as a bug"
                    .into()
            }
        })
    }
}
