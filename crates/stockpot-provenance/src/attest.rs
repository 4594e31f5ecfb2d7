//! What a time stamp beside a signature says: when, and by whom.
//!
//! The library tells the time of a file without asking who of several signers of one stamp it trusts;
//! here the time, the name and the trust come from one and the same of them. Start with [`read`].

use c2pa::crypto::cose::CertificateTrustPolicy;
use c2pa::crypto::time_stamp::verify_time_stamp;
use c2pa::status_tracker::StatusTracker;

use crate::guard::guarded;
use crate::identity::Anchors;
use crate::report::{Known, TimeNote, clean};
use crate::strict::Beside;

/// The time of the stamp in `beside`, as RFC 3339 has it, and who attests it; `None` if there is no
/// stamp, or one that does not fit the signature or was not made by a certificate for stamps.
pub(crate) fn read(beside: &Beside<'_>, anchors: &Anchors) -> Option<(String, TimeNote)> {
    let token = beside.stamp?;
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
