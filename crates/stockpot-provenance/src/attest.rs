//! What a time stamp beside a signature says: when, and by whom.
//!
//! The library tells the time of a file without asking who of several signers of one stamp it trusts,
//! and takes certificates for mail as well; here there must be one signer with a certificate for time
//! stamps, and the time, the name and the trust are theirs. Start with [`read`].

use c2pa::crypto::cose::CertificateTrustPolicy;
use c2pa::crypto::time_stamp::{tsa_signer_cert_der_from_token, verify_time_stamp};
use c2pa::status_tracker::StatusTracker;

use crate::guard::guarded;
use crate::identity::Anchors;
use crate::report::{Known, TimeNote, clean};
use crate::strict::Beside;

/// The time of the stamp in `beside`, as RFC 3339 has it, and who attests it; `None` if there is no
/// stamp, or one that does not fit the signature or was not made by a certificate for stamps.
pub(crate) fn read(beside: &Beside<'_>, anchors: &Anchors) -> Option<(String, TimeNote)> {
    let token = beside.stamp.filter(|token| has_one_signer(token))?;
    let certificate = guarded(|| Ok(tsa_signer_cert_der_from_token(token)?)).unwrap_or(None)?;
    if !is_for_time_stamps(&certificate) {
        return None;
    }
    let stamped = stamped_bytes(beside);
    let mut listed = CertificateTrustPolicy::new();
    // A list that cannot be read vouches for nobody; the reader of the file says what is wrong.
    let known = listed.add_trust_anchors(anchors.others.as_bytes()).is_ok();
    let listed = known.then(|| told(token, &stamped, &listed)).flatten();
    let (known, (time, name)) = match listed {
        Some(told) => (Known::Listed, told),
        None => {
            let anybody = CertificateTrustPolicy::passthrough();
            (Known::Unknown, told(token, &stamped, &anybody)?)
        }
    };
    Some((time, TimeNote { name, known }))
}

fn told(
    token: &[u8],
    stamped: &[u8],
    policy: &CertificateTrustPolicy,
) -> Option<(String, Option<String>)> {
    guarded(|| {
        let mut log = StatusTracker::default();
        let Ok(told) = verify_time_stamp(token, stamped, policy, &mut log, true) else {
            return Ok(None);
        };
        // The name of the signer that fits is told nowhere but in this sentence.
        let name = log.logged_items().iter().find_map(|item| {
            let name = item.description.strip_prefix(NAME_BEHIND)?;
            (!name.is_empty()).then(|| clean(name))
        });
        Ok(rfc3339(&told.gen_time.to_string()).map(|time| (time, name)))
    })
    .unwrap_or(None)
}

/// A token is a list with the content type and the content, that with a list that ends with the set of
/// signers (RFC 5652, section 5.1); other signatures than the authority's must not be in it (RFC 3161,
/// section 2.4.2).
fn has_one_signer(token: &[u8]) -> bool {
    let count = || {
        let content = elements(inside(token, 0x30)?).find(|e| e.first() == Some(&0xa0))?;
        let signed = inside(inside(content, 0xa0)?, 0x30)?;
        let signers = elements(signed).last()?;
        Some(elements(inside(signers, 0x31)?).count())
    };
    count() == Some(1)
}

/// Whether a certificate has time stamps for its one purpose (RFC 3161, section 2.3; RFC 5280, section
/// 4.1: the extensions are the fourth tagged part of what is signed).
fn is_for_time_stamps(certificate: &[u8]) -> bool {
    let found = || {
        let signed = elements(inside(certificate, 0x30)?).next()?;
        let tagged = elements(inside(signed, 0x30)?).find(|e| e.first() == Some(&0xa3))?;
        let extensions = inside(inside(tagged, 0xa3)?, 0x30)?;
        let mut purposes = elements(extensions)
            .filter(|e| inside(e, 0x30).is_some_and(|e| e.starts_with(PURPOSES)));
        let first = inside(purposes.next()?, 0x30)?.strip_prefix(PURPOSES)?;
        let first = first.strip_prefix(CRITICAL).unwrap_or(first);
        Some(first == TIME_STAMPS && purposes.next().is_none())
    };
    found() == Some(true)
}

/// The object identifier 2.5.29.37, extended key usage.
const PURPOSES: &[u8] = &[6, 3, 0x55, 0x1d, 0x25];
/// `TRUE`.
const CRITICAL: &[u8] = &[1, 1, 0xff];
/// A list with the one object identifier 1.3.6.1.5.5.7.3.8, time stamping.
const TIME_STAMPS: &[u8] = &[4, 12, 0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 8];

/// The content of an element of DER (X.690, section 8.1) that has `tag` and fills `bytes`.
fn inside(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (content, rest) = element(bytes)?;
    (bytes.first() == Some(&tag) && rest.is_empty()).then_some(content)
}

/// The content of the first element, and what follows it.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(2)?;
    let (length, rest) = match head[1] {
        short @ 0..=0x7f => (usize::from(short), rest),
        more @ 0x81..=0x83 => {
            let (number, rest) = rest.split_at_checked(usize::from(more & 0x7f))?;
            let length = number.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// The elements that stand one after the other, each as a whole, up to one that is none.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (_, rest) = element(bytes)?;
        let whole = bytes.get(..bytes.len() - rest.len());
        bytes = rest;
        whole
    })
}

/// How the library begins to tell that a stamp fits.
const NAME_BEHIND: &str = "timestamp message digest matched: ";

/// What a stamp is over: the signature, as a countersignature of it has it (RFC 8152, section 4.5;
/// C2PA, "Time-stamps"): the protected part, nothing, and the signature in its CBOR form.
fn stamped_bytes(beside: &Beside<'_>) -> Vec<u8> {
    let mut out = vec![0x84, 0x70];
    out.extend_from_slice(b"CounterSignature");
    put_bytes(&mut out, beside.protected);
    put_bytes(&mut out, &[]);
    let mut signature = Vec::new();
    put_bytes(&mut signature, beside.signature);
    put_bytes(&mut out, &signature);
    out
}

/// A string of bytes in CBOR (RFC 8949, section 3.1), its length in the shortest form.
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len();
    let wide = length.to_be_bytes();
    match length {
        0..=23 => out.push(0x40 | wide[wide.len() - 1]),
        24..=0xff => out.extend([0x58, wide[wide.len() - 1]]),
        0x100..=0xffff => {
            out.push(0x59);
            out.extend_from_slice(&wide[wide.len() - 2..]);
        }
        _ => {
            out.push(0x5a);
            out.extend_from_slice(&wide[wide.len() - 4..]);
        }
    }
    out.extend_from_slice(bytes);
}

/// `YYYYMMDDHHMMSS[.f]Z` (RFC 3161, section 2.4.2) as RFC 3339 has it.
fn rfc3339(text: &str) -> Option<String> {
    let (whole, rest) = text.strip_suffix('Z')?.split_at_checked(14)?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let fraction = rest.strip_prefix('.').unwrap_or_default();
    let sound = rest.is_empty() || !fraction.is_empty();
    if !digits(whole) || !digits(fraction) || !sound {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to).unwrap_or_default();
    let [year, month, day] = [part(0, 4), part(4, 6), part(6, 8)];
    let [hour, minute, second] = [part(8, 10), part(10, 12), part(12, 14)];
    Some(clean(&format!(
        "{year}-{month}-{day}T{hour}:{minute}:{second}{rest}Z"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_know_them() {
        let told = |text| rfc3339(text);
        assert_eq!(told("20261123173407Z").unwrap(), "2026-11-23T17:34:07Z");
        assert_eq!(
            told("20261123173407.25Z").unwrap(),
            "2026-11-23T17:34:07.25Z"
        );
        for bad in [
            "",
            "Z",
            "20261123173407",
            "2026112317340Z",
            "20261123173407.Z",
            "2026112317340éZ",
        ] {
            assert_eq!(told(bad), None, "{bad}");
        }
    }

    /// A token with so many signers.
    fn token(signers: usize) -> Vec<u8> {
        let put = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let signers = put(0x30, &[2, 1, 1]).repeat(signers);
        let signed = [put(2, &[3]), put(0x31, &[]), put(0x31, &signers)].concat();
        put(
            0x30,
            &[put(6, &[1]), put(0xa0, &put(0x30, &signed))].concat(),
        )
    }

    #[test]
    fn a_token_has_one_signer() {
        assert!(has_one_signer(&token(1)));
        assert!(!has_one_signer(&token(0)));
        assert!(!has_one_signer(&token(2)));
        let whole = token(1);
        assert!((0..whole.len()).all(|cut| !has_one_signer(&whole[..cut])));
        assert!(!has_one_signer(b"\x30\x84\xff\xff\xff\xff"));
    }

    #[test]
    fn a_certificate_has_one_purpose() {
        let put = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let certificate = |extensions: &[&[u8]]| {
            let all: Vec<u8> = extensions.iter().flat_map(|e| put(0x30, e)).collect();
            let signed = [put(2, &[7]), put(0xa3, &put(0x30, &all))].concat();
            put(0x30, &put(0x30, &signed))
        };
        let plain = [PURPOSES, TIME_STAMPS].concat();
        let critical = [PURPOSES, CRITICAL, TIME_STAMPS].concat();
        let mut mail = critical.clone();
        *mail.last_mut().unwrap() = 4;
        assert!(is_for_time_stamps(&certificate(&[&plain])));
        assert!(is_for_time_stamps(&certificate(&[&[6, 1, 1], &critical])));
        for bad in [
            &[][..],
            &[&mail[..]],
            &[&plain[..], &mail[..]],
            &[&[6, 1, 1][..]],
        ] {
            assert!(!is_for_time_stamps(&certificate(bad)));
        }
        assert!(!is_for_time_stamps(&plain));
    }

    #[test]
    fn lengths_are_in_the_shortest_form() {
        for (length, head) in [
            (0, &[0x40][..]),
            (23, &[0x57]),
            (24, &[0x58, 24]),
            (256, &[0x59, 1, 0]),
            (65536, &[0x5a, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_bytes(&mut out, &vec![7; length]);
            assert_eq!(&out[..head.len()], head);
            assert_eq!(out.len(), head.len() + length);
        }
    }
}
