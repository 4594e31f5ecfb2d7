//! The consent record: on what ground a face may be used, for what, how long, and who signed that.
//!
//! Version 1 had no terms and no signature; such a record stays readable and counts as unsigned.
//! Whether a use fits the terms is decided in one place, [`ConsentRecord::refusal`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stockpot_core::{ContentHash, PersonName};

use crate::error::{Error, Result};
use crate::signing::{Keys, PublicKey};

/// The context of a signature on a consent.
const CONTEXT: &str = "consent";

/// On what ground a face may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ConsentBasis {
    /// The user's own face.
    #[serde(rename = "self")]
    OwnFace,
    /// Nobody's face: a rendered person.
    Synthetic,
    /// A file that shows the consent (a signed paper, a recording), kept as an object.
    File {
        /// The file's name when it was entered.
        name: String,
        /// Its bytes; the hash is the file's BLAKE3.
        object: ContentHash,
    },
}

impl std::fmt::Display for ConsentBasis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OwnFace => f.write_str("self"),
            Self::Synthetic => f.write_str("synthetic"),
            Self::File { name, .. } => write!(f, "file {name}"),
        }
    }
}

/// Whether a consent lets a person's face be given to others, as an export does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// It does.
    Allowed,
    /// It does not.
    Forbidden,
}

/// What a consent can allow, besides giving the face to others ([`Sharing`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// Networks learn the face.
    Train,
    /// The face is drawn into pictures and videos.
    Swap,
    /// Some of the faces are kept, to keep the person good while others train.
    Rehearsal,
}

impl Allowed {
    /// All of them: what a consent allows unless it says otherwise.
    pub fn all() -> BTreeSet<Self> {
        BTreeSet::from([Self::Train, Self::Swap, Self::Rehearsal])
    }

    /// The word in files and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Swap => "swap",
            Self::Rehearsal => "rehearsal",
        }
    }
}

/// What somebody wants to do with a face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Find and keep faces, or know a person by them; whoever may train or swap may.
    Extract,
    /// Train a decoder, or fit one to another encoder.
    Train,
    /// Keep faces for the training of others.
    Rehearsal,
    /// Draw the face.
    Swap,
    /// Give the face, or what draws it, to others.
    Share,
}

impl Use {
    /// What is done, as in "does not cover …".
    fn words(self) -> &'static str {
        match self {
            Self::Extract => "finding and keeping faces",
            Self::Train => "training",
            Self::Rehearsal => "keeping faces for the training of others",
            Self::Swap => "swapping",
            Self::Share => "giving the face to others",
        }
    }

    fn allowed_by(self, uses: &BTreeSet<Allowed>) -> bool {
        let has = |one: Allowed| uses.contains(&one);
        match self {
            Self::Extract => has(Allowed::Train) || has(Allowed::Swap),
            Self::Train => has(Allowed::Train),
            Self::Rehearsal => has(Allowed::Rehearsal),
            Self::Swap => has(Allowed::Swap),
            // Told by `sharing`.
            Self::Share => true,
        }
    }
}

/// A use of a face, with all that the terms of a consent ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purpose {
    /// What is to be done.
    pub what: Use,
    /// What it is done for; `None`: nobody said.
    pub project: Option<String>,
    /// Now, in seconds since 1970 UTC.
    pub now_secs: u64,
}

impl Purpose {
    /// A use that names no project.
    pub fn of(what: Use, now_secs: u64) -> Self {
        Self {
            what,
            project: None,
            now_secs,
        }
    }
}

/// How a consent stands at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentState {
    /// It holds.
    InForce,
    /// It held until this moment, in seconds since 1970 UTC.
    Expired(u64),
    /// It was withdrawn at this moment.
    Withdrawn(u64),
}

/// A signature and the key that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The public half of the key of the library that signed.
    pub key: PublicKey,
    /// The signature, 128 hexadecimal digits.
    pub signature: String,
}

/// A person's consent, as somebody entered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// Whose face.
    pub person: PersonName,
    /// The ground.
    pub basis: ConsentBasis,
    /// Who agreed, in words, where the ground does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed_by: Option<String>,
    /// Who entered it, in their own words.
    pub entered_by: String,
    /// Anything else worth keeping.
    #[serde(default)]
    pub note: String,
    /// What it allows.
    #[serde(default = "Allowed::all")]
    pub uses: BTreeSet<Allowed>,
    /// What it is for; empty: anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<String>,
    /// The first moment at which it does not hold any more, in seconds since 1970 UTC; `None`: it
    /// has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_secs: Option<u64>,
    /// When it was withdrawn, in seconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_secs: Option<u64>,
    /// Whether the face may be given to others; `None`: nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
    /// The consent record as it was before this one replaced it, or before the person got another
    /// name in an import. It need not be here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<ContentHash>,
    /// The key that signed the original, where that was another library's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_key: Option<PublicKey>,
    /// When, in seconds since 1970 UTC.
    pub created_secs: u64,
    /// The software that made the record.
    pub software: String,
    /// The signature; `None`: a record of version 1, which had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

impl ConsentRecord {
    /// Signed with the library's key.
    pub(crate) fn signed_with(mut self, keys: &Keys) -> Result<Self> {
        self.signed = None;
        let body = serde_json::to_value(&self).map_err(|e| Error::BadCommit {
            reason: e.to_string(),
        })?;
        self.signed = Some(Signed {
            key: keys.public(),
            signature: keys.sign(CONTEXT, &body),
        });
        Ok(self)
    }

    /// Why this face may not be given to others; `None`: it may. Where nobody said, one's own face
    /// and a rendered one may, and what somebody else signed may not.
    pub fn sharing_refused(&self) -> Option<&'static str> {
        match (self.withdrawn_secs, self.sharing, &self.basis) {
            (Some(_), _, _) => Some("their consent was withdrawn"),
            (_, Some(Sharing::Allowed), _)
            | (_, None, ConsentBasis::OwnFace | ConsentBasis::Synthetic) => None,
            (_, Some(Sharing::Forbidden), _) => Some("their consent forbids it"),
            (_, None, ConsentBasis::File { .. }) => {
                Some("nobody has entered whether their consent allows it")
            }
        }
    }

    /// How it stands at `now_secs`.
    pub fn state(&self, now_secs: u64) -> ConsentState {
        match (self.withdrawn_secs, self.until_secs) {
            (Some(at), _) => ConsentState::Withdrawn(at),
            (None, Some(end)) if now_secs >= end => ConsentState::Expired(end),
            _ => ConsentState::InForce,
        }
    }

    /// Why a use does not fit the terms; `None`: it does.
    pub(crate) fn refusal(&self, purpose: &Purpose) -> Option<Error> {
        let person = || self.person.clone();
        match self.state(purpose.now_secs) {
            ConsentState::Withdrawn(at_secs) => {
                let person = person();
                return Some(Error::ConsentWithdrawn { person, at_secs });
            }
            ConsentState::Expired(until_secs) => {
                let person = person();
                return Some(Error::ConsentExpired { person, until_secs });
            }
            ConsentState::InForce => {}
        }
        if !purpose.what.allowed_by(&self.uses) {
            return Some(Error::ConsentOutOfScope {
                person: person(),
                wanted: purpose.what.words(),
                allowed: self.uses.iter().map(|u| u.word().to_owned()).collect(),
            });
        }
        let named = |project: &String| {
            let same =
                |asked: &String| asked.trim().to_lowercase() == project.trim().to_lowercase();
            purpose.project.as_ref().is_some_and(same)
        };
        if !self.projects.is_empty() && !self.projects.iter().any(named) {
            return Some(Error::ConsentOtherProject {
                person: person(),
                projects: self.projects.clone(),
                asked: purpose.project.clone(),
            });
        }
        if purpose.what == Use::Share
            && let Some(reason) = self.sharing_refused()
        {
            let person = person();
            return Some(Error::SharingForbidden { person, reason });
        }
        None
    }
}

/// Whether the body of a consent record of `version` is signed as it has to be. The body is taken as
/// it was read, with fields that this software does not know.
///
/// # Errors
/// In words.
pub(crate) fn check_signature(version: u32, body: &Value) -> std::result::Result<(), String> {
    let mut body = body.clone();
    let signed = body.as_object_mut().and_then(|b| b.remove("signed"));
    match (version, signed) {
        (1, None) => Ok(()),
        (1, Some(_)) => Err("it is signed, which version 1 never was".into()),
        (_, None) => Err("it is not signed".into()),
        (_, Some(signed)) => {
            let signed: Signed = serde_json::from_value(signed)
                .map_err(|e| format!("its signature does not read: {e}"))?;
            match signed.key.has_signed(CONTEXT, &body, &signed.signature) {
                true => Ok(()),
                false => {
                    Err("its signature does not fit: it was changed after it was signed".into())
                }
            }
        }
    }
}
