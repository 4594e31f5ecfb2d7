//! The assertions of our own that go into the credentials, as they are written and read.
//!
//! Their shape is the file format of `docs/formats/credentials.md`. Outside bytes: what is read may
//! hold anything, and only what fits is taken over.

use serde::{Deserialize, Serialize};

use crate::statement::{SealId, Swap, VisibleLabel};

/// What was done, and by which networks.
pub(crate) const SEAL_LABEL: &str = "org.stockpot.seal";
/// What other readers do not look at.
pub(crate) const GAPS_LABEL: &str = "org.stockpot.gaps";
/// The version of both.
pub(crate) const VERSION: u32 = 1;

/// The assertion [`SEAL_LABEL`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SealNote {
    pub(crate) version: u32,
    pub(crate) seal: SealId,
    pub(crate) about: String,
    /// SHA-256 of the source's bytes, where one file was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_sha256: Option<String>,
    #[serde(default)]
    pub(crate) swaps: Vec<Swap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<VisibleLabel>,
    /// Only written where it is true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) research: bool,
}

/// The assertion [`GAPS_LABEL`]: SHA-256 of the parts of an ISO file that the standard's hash leaves
/// out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GapsNote {
    pub(crate) version: u32,
    pub(crate) sha256: String,
}
