//! What a file says of itself, as plain values for the doors to word.
//!
//! Every text in here may come from a stranger's file: it is cut short and freed of control signs,
//! which a terminal would obey, before it gets in. Start with [`Report`].

use std::path::PathBuf;

use serde::Serialize;

use crate::statement::{SealId, Swap, VisibleLabel};
use crate::words;

/// Texts out of a file are cut after so many signs.
const LONGEST_TEXT: usize = 300;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The file.
    pub file: PathBuf,
    /// In one word.
    pub verdict: Verdict,
    /// Where the credentials are.
    pub holder: Option<Holder>,
    /// What is wrong, if it is broken.
    pub faults: Vec<Fault>,
    /// What does not make it broken and should be known: a time stamp that does not hold, parts that
    /// nobody signed.
    pub remarks: Vec<Fault>,
    /// Where the file says its credentials can be fetched; stockpot fetches nothing.
    pub elsewhere: Option<String>,
    /// What they say. Of broken ones too: as a claim, not as a fact.
    pub credentials: Option<Credentials>,
}

/// Whether there are credentials, and whether file and credentials are as they were signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Signed, and not a byte was changed since. Says nothing about who signed.
    Whole,
    /// There are credentials, and something does not fit.
    Broken,
    /// There are none.
    None,
}

/// Where credentials are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// In the file.
    Inside,
    /// In the file of the same name that ends in `.c2pa`.
    Beside,
}

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The standard's name for it, such as `assertion.dataHash.mismatch`; ours begin with
    /// `stockpot.`.
    pub code: String,
    /// What kind of thing does not fit.
    pub kind: FaultKind,
    /// What it means, in one plain sentence.
    pub sentence: String,
    /// More, for people who look for the cause.
    pub detail: Option<String>,
}

impl Fault {
    /// With the kind and the sentence that `code` has; `detail` may be a stranger's text.
    pub(crate) fn new(code: &str, detail: Option<&str>) -> Self {
        Self::with(code, detail, words::meaning)
    }

    /// As [`Fault::new`], in the credentials of something the file was made from.
    pub(crate) fn in_ingredient(code: &str, detail: Option<&str>) -> Self {
        Self::with(code, detail, words::meaning_in_ingredient)
    }

    /// What `faults` mean: each sentence once, in order.
    #[must_use]
    pub fn sentences(faults: &[Self]) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for fault in faults {
            if !out.contains(&fault.sentence.as_str()) {
                out.push(&fault.sentence);
            }
        }
        out
    }

    fn with(
        code: &str,
        detail: Option<&str>,
        meaning: impl Fn(&str) -> (FaultKind, String),
    ) -> Self {
        let code = clean(code);
        let (kind, sentence) = meaning(&code);
        Self {
            code,
            kind,
            sentence,
            detail: detail.map(clean),
        }
    }
}

/// What kind of thing does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The content is not what was signed.
    ContentChanged,
    /// The credentials are not what was signed.
    CredentialsChanged,
    /// The signature is missing, does not fit, or is of a weak kind.
    Signature,
    /// Nobody known vouches for the certificate.
    CertificateUnknown,
    /// The certificate did not hold at the time.
    CertificateExpired,
    /// The certificate was revoked.
    CertificateRevoked,
    /// The certificate is not one for signing credentials.
    CertificateUnfit,
    /// The time stamp does not hold.
    TimeStamp,
    /// It lies in the credentials of something the file was made from.
    Ingredient,
    /// It cannot be read, or breaks the rules of the standard.
    Unreadable,
    /// A code without words here.
    Other,
}

/// What credentials say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Credentials {
    /// Their name in the file.
    pub label: String,
    /// The file's title when it was sealed.
    pub title: Option<String>,
    /// The program that wrote them.
    pub software: Option<String>,
    /// Who signed.
    pub signer: Option<Signer>,
    /// What was done, in order.
    pub actions: Vec<ActionNote>,
    /// What the file was made from.
    pub ingredients: Vec<Ingredient>,
    /// What stockpot wrote.
    pub swap: Option<SwapNote>,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// The certificate's name.
    pub name: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// Such as `Es256`.
    pub algorithm: Option<String>,
    /// When, as RFC 3339 has it, by a time-stamping authority; without one the time is not known.
    pub time: Option<String>,
    /// Who attests the time; only together with it.
    pub time_by: Option<TimeNote>,
    /// Whether this machine knows them.
    pub known: Known,
}

/// Who attests a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeNote {
    /// The name in the certificate of the authority.
    pub name: Option<String>,
    /// [`Known::Listed`] or [`Known::Unknown`].
    pub known: Known,
}

/// Whether a signer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Known {
    /// Made on this machine, or with the certificate of its identity folder.
    Own,
    /// Under an authority that lies in the folder `trusted`.
    Listed,
    /// Anybody: who can write credentials can also write a name.
    Unknown,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionNote {
    /// The standard's name, such as `c2pa.edited`.
    pub action: String,
    /// The kind of thing it made: the end of its digital source type.
    pub source_type: Option<String>,
    /// In words.
    pub about: Option<String>,
}

impl ActionNote {
    /// What was done, in words; what has none stands there as the file has it.
    #[must_use]
    pub fn words(&self) -> String {
        words::action(self)
    }
}

/// Something the file was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ingredient {
    /// Its name.
    pub title: Option<String>,
    /// Its format.
    pub format: Option<String>,
    /// `parentOf`, `componentOf` or `inputTo`.
    pub relation: String,
    /// Its own credentials, as they were when it was used: whole, broken or none.
    pub verdict: Verdict,
}

/// What stockpot wrote into credentials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SwapNote {
    /// The number of the seal.
    pub seal: SealId,
    /// What was done, in a sentence.
    pub about: String,
    /// SHA-256 of the source.
    pub source_sha256: Option<String>,
    /// The way of the invisible mark, if there is one.
    pub mark: Option<String>,
    /// Whose faces were drawn, where, by which networks.
    pub swaps: Vec<Swap>,
    /// The visible label, if there is one.
    pub label: Option<VisibleLabel>,
    /// Whether exact masks and parameters of every frame were exported beside it, for research.
    pub research: bool,
}

impl Report {
    pub(crate) fn new(file: PathBuf, verdict: Verdict) -> Self {
        Self {
            file,
            verdict,
            holder: None,
            faults: Vec::new(),
            remarks: Vec::new(),
            elsewhere: None,
            credentials: None,
        }
    }
}

/// A stranger's text, fit for a terminal.
pub(crate) fn clean(text: &str) -> String {
    let plain = text.chars().map(|c| match c {
        // Signs that turn the direction of writing hide what a name really is.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '?',
        c if c.is_control() => '?',
        c => c,
    });
    let mut out: String = plain.take(LONGEST_TEXT).collect();
    if text.chars().count() > LONGEST_TEXT {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_told_once() {
        let faults = [
            Fault::new("assertion.dataHash.mismatch", Some("one")),
            Fault::new("assertion.hashedURI.mismatch", None),
            Fault::new("assertion.bmffHash.mismatch", Some("two")),
        ];
        assert_eq!(
            Fault::sentences(&faults),
            [
                "The file was changed after it was signed.",
                "What the credentials say was changed after they were signed."
            ]
        );
    }

    #[test]
    fn a_code_out_of_a_file_is_cleaned_in_its_sentence_too() {
        let fault = Fault::new("a\u{1b}[2Jb", Some("c\nd"));
        assert_eq!(
            (fault.code.as_str(), fault.detail.as_deref()),
            ("a?[2Jb", Some("c?d"))
        );
        assert!(fault.sentence.contains("a?[2Jb"), "{}", fault.sentence);
    }

    #[test]
    fn strangers_cannot_talk_to_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\nc\u{202e}d"), "a?[2Jb?c?d");
        assert_eq!(clean("Zoë 漢"), "Zoë 漢");
        let long = "x".repeat(LONGEST_TEXT + 1);
        assert_eq!(clean(&long).chars().count(), LONGEST_TEXT + 1);
        assert!(clean(&long).ends_with('…'));
    }
}
