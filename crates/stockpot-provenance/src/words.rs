//! What the standard's codes and names of actions mean, in plain words.
//!
//! The standard's codes are "Standard Status Codes" in the C2PA Technical Specification 2.3; their
//! spelling comes from the crate `c2pa`, so that a renamed one does not compile. Codes of the
//! identity assertions of CAWG are not in here: they are not looked at. Start with [`meaning`] and [`action`].

use c2pa::validation_status as c2pa_code;

use crate::report::{ActionNote, FaultKind};
use FaultKind::{
    CertificateExpired, CertificateRevoked, CertificateUnfit, CertificateUnknown, ContentChanged,
    CredentialsChanged, Ingredient, Signature, TimeStamp, Unreadable,
};

/// The file or its credentials cannot be read at all.
pub(crate) const UNREADABLE: &str = "stockpot.unreadable";
/// There are credentials, and none of them speak for the file.
pub(crate) const NO_ACTIVE_MANIFEST: &str = "stockpot.no-active-manifest";
/// The crate calls a file broken and gives no reason.
pub(crate) const INVALID: &str = "stockpot.invalid";
/// What the standard leaves unhashed is not as it was.
pub(crate) const GAPS_MISMATCH: &str = "stockpot.gaps.mismatch";
/// The bytes around the credentials are not as they were.
pub(crate) const FRAME_MISMATCH: &str = "stockpot.frame.mismatch";
/// A time stamp lies beside the signature and does not fit it.
pub(crate) const TIME_MISMATCH: &str = "stockpot.time.mismatch";

/// A code, what kind of fault it is, and the sentence.
type Row = (&'static str, FaultKind, &'static str);

const CHANGED: &str = "The file was changed after it was signed.";
const TIE_UNREADABLE: &str = "What ties the credentials to this file cannot be read.";
const STATEMENT_UNREADABLE: &str = "A statement in the credentials cannot be read.";

/// Every code with a sentence.
const WORDS: &[Row] = &[
    (
        c2pa_code::ASSERTION_DATAHASH_MISMATCH,
        ContentChanged,
        CHANGED,
    ),
    (
        c2pa_code::ASSERTION_BMFFHASH_MISMATCH,
        ContentChanged,
        CHANGED,
    ),
    (
        c2pa_code::ASSERTION_BOXHASH_MISMATCH,
        ContentChanged,
        CHANGED,
    ),
    (
        c2pa_code::ASSERTION_BOXHASH_UNKNOWN_BOX,
        ContentChanged,
        "The file has a part that was not there when it was signed, or its parts stand in another order.",
    ),
    (
        c2pa_code::ASSERTION_COLLECTIONHASH_MISMATCH,
        ContentChanged,
        "A file of this collection was changed after it was signed.",
    ),
    (
        c2pa_code::ASSERTION_COLLECTIONHASH_INCORRECT_FILE_COUNT,
        ContentChanged,
        "A file was added to this collection, or taken out of it, after it was signed.",
    ),
    (
        GAPS_MISMATCH,
        ContentChanged,
        "The head of the file was changed after it was signed.",
    ),
    (
        FRAME_MISMATCH,
        CredentialsChanged,
        "The part of the file that carries the credentials was changed after it was signed.",
    ),
    (
        c2pa_code::ASSERTION_HASHEDURI_MISMATCH,
        CredentialsChanged,
        "What the credentials say was changed after they were signed.",
    ),
    (
        c2pa_code::HASHED_URI_MISMATCH,
        CredentialsChanged,
        "Something that the credentials point to was changed after they were signed.",
    ),
    (
        c2pa_code::HASHED_URI_MISSING,
        CredentialsChanged,
        "Something that the credentials point to is missing.",
    ),
    (
        c2pa_code::ASSERTION_MISSING,
        CredentialsChanged,
        "A statement that was signed is missing from the credentials.",
    ),
    (
        c2pa_code::ASSERTION_UNDECLARED,
        CredentialsChanged,
        "The credentials hold a statement that nobody signed.",
    ),
    (
        c2pa_code::ASSERTION_OUTSIDE_MANIFEST,
        CredentialsChanged,
        "The credentials count a statement as theirs that stands outside of them.",
    ),
    (
        c2pa_code::ASSERTION_NOT_REDACTED,
        CredentialsChanged,
        "A statement that is said to be taken out of the credentials is still in them.",
    ),
    (
        c2pa_code::ASSERTION_SELF_REDACTED,
        CredentialsChanged,
        "The credentials take out a statement of their own, which the standard forbids.",
    ),
    (
        c2pa_code::ASSERTION_ACTION_REDACTED,
        CredentialsChanged,
        "What was done to the file was taken out of the credentials, which the standard forbids.",
    ),
    (
        c2pa_code::ASSERTION_ACTION_REDACTION_MISMATCH,
        CredentialsChanged,
        "The credentials tell that a statement was taken out, and there is none that it could be.",
    ),
    (
        c2pa_code::ASSERTION_DATAHASH_REDACTED,
        CredentialsChanged,
        "What tied the credentials to this file was taken out of them.",
    ),
    (
        c2pa_code::CLAIM_SIGNATURE_MISMATCH,
        Signature,
        "The signature does not fit: the credentials were changed, or somebody else signed them.",
    ),
    (
        c2pa_code::CLAIM_SIGNATURE_MISSING,
        Signature,
        "The credentials have no signature.",
    ),
    (
        c2pa_code::SIGNING_CREDENTIAL_UNTRUSTED,
        CertificateUnknown,
        "Nobody who is trusted on this machine vouches for who signed.",
    ),
    (
        c2pa_code::SIGNING_CREDENTIAL_OCSP_UNKNOWN,
        CertificateUnknown,
        "The issuer does not know whether the certificate was revoked.",
    ),
    (
        c2pa_code::SIGNING_CREDENTIAL_EXPIRED,
        CertificateExpired,
        "The certificate has expired, or does not hold yet.",
    ),
    (
        c2pa_code::CLAIM_SIGNATURE_OUTSIDE_VALIDITY,
        CertificateExpired,
        "It was signed at a time when the certificate did not hold.",
    ),
    (
        c2pa_code::SIGNING_CREDENTIAL_REVOKED,
        CertificateRevoked,
        "The issuer has revoked the certificate.",
    ),
    (
        c2pa_code::SIGNING_CREDENTIAL_INVALID,
        CertificateUnfit,
        "The certificate is not one that may sign credentials.",
    ),
    (
        TIME_MISMATCH,
        TimeStamp,
        "The time stamp was changed after it was signed, or was made for another file.",
    ),
    (
        c2pa_code::TIMESTAMP_MISMATCH,
        TimeStamp,
        "The time stamp was made for something else, so nobody attests the time.",
    ),
    (
        c2pa_code::TIMESTAMP_MALFORMED,
        TimeStamp,
        "The time stamp cannot be read, so nobody attests the time.",
    ),
    (
        c2pa_code::TIMESTAMP_OUTSIDE_VALIDITY,
        TimeStamp,
        "The time stamp names a time at which a certificate did not hold.",
    ),
    (
        c2pa_code::TIMESTAMP_UNTRUSTED,
        TimeStamp,
        "Nobody who is trusted on this machine vouches for the time stamp.",
    ),
    (
        c2pa_code::ASSERTION_TIMESTAMP_MALFORMED,
        TimeStamp,
        "The time stamps that were added later cannot be read.",
    ),
    (
        c2pa_code::MANIFEST_TIMESTAMP_INVALID,
        TimeStamp,
        "Credentials that may only add a time stamp say more than that.",
    ),
    (
        c2pa_code::MANIFEST_TIMESTAMP_WRONG_PARENTS,
        TimeStamp,
        "Credentials that add a time stamp do not name exactly one thing that they stamp.",
    ),
    (
        c2pa_code::INGREDIENT_HASHEDURI_MISMATCH,
        Ingredient,
        "What the credentials say about something the file was made from was changed.",
    ),
    (
        c2pa_code::INGREDIENT_MANIFEST_MISMATCH,
        Ingredient,
        "The credentials of something the file was made from were changed.",
    ),
    (
        c2pa_code::INGREDIENT_MANIFEST_MISSING,
        Ingredient,
        "The credentials of something the file was made from are missing.",
    ),
    (
        c2pa_code::INGREDIENT_CLAIM_SIGNATURE_MISMATCH,
        Ingredient,
        "The signature of something the file was made from is not the one that was noted.",
    ),
    (
        c2pa_code::INGREDIENT_CLAIM_SIGNATURE_MISSING,
        Ingredient,
        "The signature of something the file was made from is missing.",
    ),
    (
        c2pa_code::ASSERTION_INGREDIENT_MALFORMED,
        Ingredient,
        "What the credentials say about something the file was made from cannot be read.",
    ),
    (
        c2pa_code::ASSERTION_ACTION_INGREDIENT_MISMATCH,
        Ingredient,
        "A step of the work needs something the file was made from, and the credentials do not hold it.",
    ),
    (
        c2pa_code::MANIFEST_MULTIPLE_PARENTS,
        Ingredient,
        "The credentials name more than one file as the one that was changed.",
    ),
    (
        UNREADABLE,
        Unreadable,
        "The file or its credentials cannot be read.",
    ),
    (
        NO_ACTIVE_MANIFEST,
        Unreadable,
        "There are credentials, and none of them speak for this file.",
    ),
    (INVALID, Unreadable, "The credentials do not hold."),
    (
        c2pa_code::CLAIM_MALFORMED,
        Unreadable,
        "What the credentials say cannot be read.",
    ),
    (
        c2pa_code::CLAIM_CBOR_INVALID,
        Unreadable,
        "What the credentials say cannot be read.",
    ),
    (
        c2pa_code::CLAIM_MISSING,
        Unreadable,
        "The credentials lack the list of what was signed.",
    ),
    (
        c2pa_code::CLAIM_MULTIPLE,
        Unreadable,
        "The credentials hold more than one list of what was signed.",
    ),
    (
        c2pa_code::CLAIM_REQUIRED_MISSING,
        Unreadable,
        "The credentials lack something that they must say.",
    ),
    (
        c2pa_code::HARD_BINDINGS_MISSING,
        Unreadable,
        "Nothing ties the credentials to this file: they may belong to another.",
    ),
    (
        c2pa_code::HARD_BINDINGS_MULTIPLE,
        Unreadable,
        "The credentials are tied to the file more than once, so that none of it counts.",
    ),
    (
        c2pa_code::ASSERTION_DATAHASH_MALFORMED,
        Unreadable,
        TIE_UNREADABLE,
    ),
    (
        c2pa_code::ASSERTION_BMFFHASH_MALFORMED,
        Unreadable,
        TIE_UNREADABLE,
    ),
    (
        c2pa_code::ASSERTION_BOXESHASH_MALFORMED,
        Unreadable,
        TIE_UNREADABLE,
    ),
    (
        c2pa_code::ASSERTION_COLLECTIONHASH_MALFORMED,
        Unreadable,
        "The list of the files in this collection cannot be read.",
    ),
    (
        c2pa_code::ASSERTION_COLLECTIONHASH_INVALID_URI,
        Unreadable,
        "The list of the files in this collection points outside of it.",
    ),
    (
        c2pa_code::ASSERTION_REQUIRED_MISSING,
        Unreadable,
        "A statement in the credentials lacks something that it must say.",
    ),
    (
        c2pa_code::ASSERTION_JSON_INVALID,
        Unreadable,
        STATEMENT_UNREADABLE,
    ),
    (
        c2pa_code::ASSERTION_CBOR_INVALID,
        Unreadable,
        STATEMENT_UNREADABLE,
    ),
    (
        c2pa_code::ASSERTION_INACCESSIBLE,
        Unreadable,
        "A statement of the credentials is kept somewhere else, and was not fetched.",
    ),
    (
        c2pa_code::ASSERTION_ACTION_MALFORMED,
        Unreadable,
        "What was done to the file is not told as the standard demands.",
    ),
    (
        c2pa_code::ASSERTION_METADATA_DISALLOWED,
        Unreadable,
        "The credentials tell details of the file that the standard does not allow in them.",
    ),
    (
        c2pa_code::ASSERTION_CLOUD_DATA_MALFORMED,
        Unreadable,
        "A statement that is kept somewhere else is not named as the standard demands.",
    ),
    (
        c2pa_code::ASSERTION_CLOUD_DATA_HARD_BINDING,
        Unreadable,
        "What ties the credentials to this file is kept somewhere else, which the standard forbids.",
    ),
    (
        c2pa_code::ASSERTION_CLOUD_DATA_ACTIONS,
        Unreadable,
        "What was done to the file is kept somewhere else, which the standard forbids.",
    ),
    (
        c2pa_code::MANIFEST_INACCESSIBLE,
        Unreadable,
        "The credentials are kept somewhere else, and were not fetched.",
    ),
    (
        c2pa_code::MANIFEST_UPDATE_INVALID,
        Unreadable,
        "Credentials that may only add to earlier ones say more than they may.",
    ),
    (
        c2pa_code::MANIFEST_UPDATE_WRONG_PARENTS,
        Unreadable,
        "Credentials that add to earlier ones do not name exactly one file that they add to.",
    ),
    (
        c2pa_code::MANIFEST_COMPRESSED_INVALID,
        Unreadable,
        "The credentials are packed, and cannot be unpacked.",
    ),
    (
        c2pa_code::MANIFEST_UNREFERENCED,
        Unreadable,
        "The file carries credentials that nothing in it refers to.",
    ),
    (
        c2pa_code::MANIFEST_UNKNOWN_PROVENANCE,
        Unreadable,
        "The credentials are of a kind that this program does not know.",
    ),
    (
        c2pa_code::ALGORITHM_UNSUPPORTED,
        Unreadable,
        "The credentials use a method of signing or hashing that this program does not know.",
    ),
    (
        c2pa_code::ALGORITHM_DEPRECATED,
        Signature,
        "The credentials use a method of signing or hashing that is no longer held to be safe.",
    ),
    (
        c2pa_code::ASSERTION_DATAHASH_ADDITIONAL_EXCLUSIONS,
        ContentChanged,
        "Parts of the file are not covered by the signature, and could have been changed.",
    ),
    (
        c2pa_code::GENERAL_ERROR,
        Unreadable,
        "The credentials could not be checked to the end.",
    ),
    (
        // The crate's own, for drafts before version 1.
        "com.adobe.prerelease",
        Unreadable,
        "The credentials follow a draft that came before the standard.",
    ),
];

/// Whether `code`, which the standard counts as information, is told to people. The rest is usual:
/// that nothing was asked of the issuer, that the time of signing is in order.
pub(crate) fn is_remark(code: &str) -> bool {
    WORDS.iter().any(|(known, ..)| *known == code)
}

/// What kind of fault `code` is, and a sentence for people; an unknown code stands in its sentence.
pub(crate) fn meaning(code: &str) -> (FaultKind, String) {
    match WORDS.iter().find(|(known, ..)| *known == code) {
        Some((_, kind, sentence)) => (*kind, (*sentence).to_owned()),
        None => (
            FaultKind::Other,
            format!("The credentials do not hold, for a reason that has no words here: {code}."),
        ),
    }
}

/// As [`meaning`], where the fault lies in the credentials of something the file was made from.
pub(crate) fn meaning_in_ingredient(code: &str) -> (FaultKind, String) {
    let (kind, sentence) = meaning(code);
    let sentence = match kind {
        Ingredient => sentence,
        ContentChanged => {
            "Something the file was made from had been changed after it was signed.".into()
        }
        CredentialsChanged => {
            "The credentials of something the file was made from were changed after they were signed."
                .into()
        }
        Signature => "The signature of something the file was made from does not hold.".into(),
        CertificateUnknown => {
            "Nobody who is trusted on this machine vouches for who signed something the file was made from."
                .into()
        }
        CertificateExpired => {
            "The certificate behind something the file was made from did not hold when it was used."
                .into()
        }
        CertificateRevoked => {
            "The certificate behind something the file was made from was revoked.".into()
        }
        CertificateUnfit => {
            "The certificate behind something the file was made from is not one that may sign."
                .into()
        }
        TimeStamp => "The time stamp of something the file was made from does not hold.".into(),
        Unreadable => "The credentials of something the file was made from cannot be read.".into(),
        FaultKind::Other => format!(
            "The credentials of something the file was made from do not hold, for a reason that has \
             no words here: {code}."
        ),
    };
    (Ingredient, sentence)
}

/// What was done, in words.
pub(crate) fn action(action: &ActionNote) -> String {
    let what = match action.action.as_str() {
        "c2pa.opened" => "opened",
        "c2pa.edited" => "changed",
        "c2pa.created" => "created",
        "c2pa.placed" => "put together",
        "c2pa.watermarked.bound" => "marked invisibly",
        "c2pa.addedText" => "labelled",
        other => other,
    };
    let kind = action.source_type.as_deref().map(|kind| match kind {
        "compositeWithTrainedAlgorithmicMedia" => "partly made by a trained network (AI)",
        "trainedAlgorithmicMedia" => "made by a trained network (AI)",
        "algorithmicMedia" => "made by an algorithm, not filmed",
        "digitalCapture" => "taken by a camera",
        other => other,
    });
    let mut text = what.to_owned();
    for more in [kind, action.about.as_deref()].into_iter().flatten() {
        text += ": ";
        text += more;
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_one_plain_sentence() {
        let codes: BTreeSet<&str> = WORDS.iter().map(|(code, ..)| *code).collect();
        assert_eq!(codes.len(), WORDS.len(), "a code stands there twice");
        for (code, kind, sentence) in WORDS {
            assert_eq!(meaning(code), (*kind, (*sentence).to_owned()));
            assert_ne!(*kind, FaultKind::Other, "{code}");
            for text in [*sentence, &meaning_in_ingredient(code).1] {
                assert!(text.starts_with(char::is_uppercase), "{text}");
                assert_eq!(text.matches('.').count(), 1, "{text}");
                assert!(text.ends_with('.') && !text.contains(code), "{text}");
            }
        }
    }

    #[test]
    fn every_group_is_there() {
        let of = |kind| WORDS.iter().filter(|(_, k, _)| *k == kind).count();
        for kind in [
            ContentChanged,
            CredentialsChanged,
            Signature,
            CertificateUnknown,
            CertificateExpired,
            CertificateRevoked,
            CertificateUnfit,
            TimeStamp,
            Ingredient,
            Unreadable,
        ] {
            assert!(of(kind) > 0, "{kind:?}");
        }
    }

    #[test]
    fn nothing_that_is_well_has_a_sentence() {
        for (code, ..) in WORDS {
            // The crate counts this one as a success and logs it as a failure.
            if *code != c2pa_code::INGREDIENT_MANIFEST_MISSING {
                assert!(!c2pa_code::is_success(code), "{code}");
            }
        }
    }

    #[test]
    fn an_unknown_code_is_named() {
        let (kind, sentence) = meaning("org.other.strange");
        assert_eq!(kind, FaultKind::Other);
        assert!(sentence.ends_with(": org.other.strange."), "{sentence}");
        let (kind, sentence) = meaning_in_ingredient("org.other.strange");
        assert_eq!(kind, Ingredient);
        assert!(sentence.contains("org.other.strange"), "{sentence}");
    }
}
