//! `stockpot person`: what may be typed about persons and their consent.

use std::collections::BTreeSet;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use stockpot_core::PersonName;
use stockpot_jobs::consent::{Allowed, end_of_day};

use super::Consent;

#[derive(Debug, Subcommand)]
pub(crate) enum PersonCommand {
    /// Add a person, with their consent
    Add {
        /// 1 to 64 letters, digits, `-` or `_`
        name: PersonName,
        /// `self` (it is you), `synthetic` (nobody real), or a file in which the person agrees
        #[arg(long, value_name = "self|synthetic|FILE")]
        consent: Consent,
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// List the persons of the library
    List,
    /// Show one person: consent with its history, faces, decoder
    Show {
        /// The person
        name: PersonName,
    },
    /// Change what a person's consent allows; the old record stays in the history
    ///
    /// What is not named stays as it was. After `person withdraw` the ground has to be named again.
    Consent {
        /// The person
        name: PersonName,
        /// A new ground: `self`, `synthetic`, or a file in which the person agrees
        #[arg(long, value_name = "self|synthetic|FILE")]
        consent: Option<Consent>,
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// Withdraw a person's consent: every use of their face is refused from now on
    ///
    /// Faces kept for rehearsal are erased at once; what else is in the library stays there until
    /// `person remove NAME --erase`.
    Withdraw {
        /// The person
        name: PersonName,
        /// Who enters this, for the record [default: the name you are logged in with]
        #[arg(long, value_name = "TEXT")]
        entered_by: Option<String>,
        /// Anything worth keeping with it
        #[arg(long, value_name = "TEXT", default_value = "")]
        note: String,
    },
    /// Enter whether a person's consent lets their face be given to others
    Sharing {
        /// The person
        name: PersonName,
        /// What the consent says
        #[arg(value_enum)]
        sharing: SharingName,
        /// Who enters this, for the record [default: the name you are logged in with]
        #[arg(long, value_name = "TEXT")]
        entered_by: Option<String>,
    },
    /// Take a person out of the library; what was learned and extracted stays on the disk, unless it
    /// is erased
    Remove {
        /// The person
        name: PersonName,
        /// Erase everything of theirs: decoders, faces, previews, caches, consent and the name
        #[arg(long)]
        erase: bool,
    },
}

/// What a consent allows, and who says so.
#[derive(Debug, Args)]
pub(crate) struct TermsArgs {
    /// The last day on which it holds, in UTC, such as 2027-12-31; `never` for no end [default: no end]
    #[arg(long, value_name = "DATE")]
    pub(crate) until: Option<Until>,
    /// The project it is for, to be named with --project when the face is used; may be given several
    /// times; `anything` takes such a limit away [default: anything]
    #[arg(long = "for", value_name = "TEXT")]
    pub(crate) projects: Vec<String>,
    /// What it allows, of train, swap, rehearsal (some faces are kept while others train), share
    /// (the face is given to others) [default: all, but share only for self and synthetic]
    #[arg(long, value_name = "LIST")]
    pub(crate) allow: Option<Allow>,
    /// Who agreed, where the name of the person does not say it
    #[arg(long, value_name = "TEXT")]
    pub(crate) agreed_by: Option<String>,
    /// Who enters this, for the record [default: the name you are logged in with]
    #[arg(long, value_name = "TEXT")]
    pub(crate) entered_by: Option<String>,
    /// Anything else worth keeping with the consent
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

/// Whether a face may be given to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SharingName {
    /// It may
    Allowed,
    /// It may not
    Forbidden,
}

/// When a consent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// It does not.
    Never,
    /// The first second at which it does not hold any more, since 1970 UTC.
    Secs(u64),
}

impl Until {
    pub(crate) fn secs(self) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::Secs(secs) => Some(secs),
        }
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        end_of_day(text)
            .map(Self::Secs)
            .ok_or_else(|| "say a day as YYYY-MM-DD, such as 2027-12-31, or `never`".to_owned())
    }
}

/// What a consent allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allow {
    pub(crate) uses: BTreeSet<Allowed>,
    /// Whether the face may be given to others.
    pub(crate) share: bool,
}

impl FromStr for Allow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut allow = Self {
            uses: BTreeSet::new(),
            share: false,
        };
        for word in text.split(',').map(str::trim) {
            match Allowed::all().into_iter().find(|one| one.word() == word) {
                Some(one) => {
                    allow.uses.insert(one);
                }
                None if word == "share" => allow.share = true,
                None => {
                    return Err(format!(
                        "`{word}` is none of train, swap, rehearsal, share; put commas between them"
                    ));
                }
            }
        }
        Ok(allow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_days_or_never() {
        assert_eq!("never".parse(), Ok(Until::Never));
        assert_eq!("1970-01-01".parse(), Ok(Until::Secs(86_400)));
        for bad in ["", "2027", "31.12.2027", "2027-02-30", "tomorrow"] {
            assert!(bad.parse::<Until>().is_err(), "{bad}");
        }
    }

    #[test]
    fn uses_are_listed() {
        let allow: Allow = "train, swap,share".parse().unwrap();
        assert!(allow.share && !allow.uses.contains(&Allowed::Rehearsal));
        assert_eq!(allow.uses.len(), 2);
        for bad in ["", "train;swap", "draw", "train,,swap"] {
            assert!(bad.parse::<Allow>().is_err(), "{bad}");
        }
    }
}
