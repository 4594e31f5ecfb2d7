//! What the standard's validation passes over, in files that stockpot sealed.
//!
//! A signature is padded to a size that was reserved for it, and the chunk or box that carries the
//! credentials has counters, checksums and empty fields of its own. Nobody signs those bytes, so a
//! change there is no lie; but "not a byte was changed" shall be true. What stockpot writes has one
//! form only, and anything else is a change. Start with [`picture_is_plain`].

use std::io::{Read, Seek, SeekFrom};

use c2pa::jumbf_io::save_jumbf_to_memory;

use crate::container::next_box;

/// The extended type of the box that carries credentials in ISO files (C2PA, "Embedding manifests
/// into BMFF-based assets").
const ISO_ID: [u8; 16] = [
    0xd8, 0xfe, 0xc3, 0xd6, 0x1b, 0x0e, 0x48, 0x3c, 0x92, 0x97, 0x58, 0x28, 0x87, 0x7e, 0xc4, 0x81,
];
/// What follows it: version, flags, purpose, and no further box.
const ISO_HEAD: &[u8; 21] = b"\0\0\0\0manifest\0\0\0\0\0\0\0\0\0";
/// How a store of credentials describes itself: a box of 30 bytes with its type, its switches and its
/// label (C2PA, "Manifest store").
const STORE_HEAD: &[u8; 30] = b"\0\0\0\x1ejumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0";
/// Top-level boxes that are looked at.
const MAX_BOXES: usize = 1 << 20;
/// Entries of a signature's open part; ours has one to three.
const MAX_ENTRIES: u64 = 4;
/// What stands before the bytes of a time stamp, and no other word: `{"tstTokens": [{"val": …}]}`
/// (C2PA, "Time-stamps", `sigTst2`).
const STAMP_HEAD: &[u8; 17] = b"\xa1\x69tstTokens\x81\xa1\x63val";

/// Whether a picture's carrier is as stockpot writes it: put in again, the credentials give the same
/// bytes.
pub(crate) fn picture_is_plain(mime: &str, bytes: &[u8], credentials: &[u8]) -> c2pa::Result<bool> {
    Ok(save_jumbf_to_memory(mime, bytes, credentials)? == bytes)
}

/// A signature with what stands beside it that nobody signs: padding, and perhaps a time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beside<'a> {
    /// What the signature says of itself and signs.
    pub(crate) protected: &'a [u8],
    /// The signature.
    pub(crate) signature: &'a [u8],
    /// The time stamp, which its authority signed.
    pub(crate) stamp: Option<&'a [u8]>,
}

/// What stands beside the signature of the credentials that speak for the file, the last in the
/// store; `None` if that is not as stockpot writes it. (JUMBF, ISO 19566-5: boxes of length, name and content; the first box of a
/// superbox describes it.)
pub(crate) fn beside_signature(store: &[u8]) -> Option<Beside<'_>> {
    let signature = || {
        let (_, content, rest) = jumbf_box(store)?;
        if !content.starts_with(STORE_HEAD) {
            return None;
        }
        let active = children(content).last()?;
        let signature = children(active).find(|c| label(c) == Some(b"c2pa.signature"))?;
        let (_, _, behind) = jumbf_box(signature)?;
        let (name, cose, more) = jumbf_box(behind)?;
        (name == b"cbor" && rest.is_empty() && more.is_empty()).then_some(cose)
    };
    beside(signature()?)
}

/// Name and content of the first box, and what follows it.
fn jumbf_box(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, _) = bytes.split_at_checked(8)?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    let (whole, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    Some((&head[4..], whole.get(8..)?, rest))
}

/// The contents of the superboxes in a superbox's content.
fn children(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        loop {
            let (name, content, behind) = jumbf_box(rest)?;
            rest = behind;
            if name == b"jumb" {
                return Some(content);
            }
        }
    })
}

/// The label of a superbox: in its description, after a type of 16 bytes and one of switches.
fn label(content: &[u8]) -> Option<&[u8]> {
    let (name, described, _) = jumbf_box(content)?;
    let text = described.get(17..)?;
    let end = text.iter().position(|byte| *byte == 0)?;
    (name == b"jumd").then_some(&text[..end])
}

/// Whether the box of credentials of an ISO file has nothing in its empty fields.
pub(crate) fn iso_is_plain(file: &mut (impl Read + Seek)) -> std::io::Result<bool> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = 0;
    let mut found = 0;
    for _ in 0..MAX_BOXES {
        if at == end {
            break;
        }
        let Some((name, length)) = next_box(file, at, end)? else {
            return Ok(false);
        };
        let mut head = [0; 8 + 16 + 21];
        if &name == b"uuid" && length > head.len() as u64 {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut head)?;
            if head[8..24] == ISO_ID {
                found += 1;
                if &head[24..] != ISO_HEAD {
                    return Ok(false);
                }
            }
        }
        at += length;
    }
    Ok(found == 1)
}

/// What a signature (COSE, RFC 9052: a list of four with the tag 18) has in the part that is not
/// signed: noughts, and at most one time stamp.
fn beside(cose: &[u8]) -> Option<Beside<'_>> {
    let rest = cose.strip_prefix(&[0xd2]).unwrap_or(cose);
    let rest = rest.strip_prefix(&[0x84])?;
    let (protected, rest) = text_or_bytes(rest, BYTES)?;
    let (kind, entries, mut rest) = head(rest)?;
    if kind != MAP || entries > MAX_ENTRIES {
        return None;
    }
    let mut stamp = None;
    for _ in 0..entries {
        let (name, behind) = text_or_bytes(rest, TEXT)?;
        if name == b"sigTst2" && stamp.is_none() {
            let (token, behind) = text_or_bytes(behind.strip_prefix(STAMP_HEAD)?, BYTES)?;
            stamp = Some(token);
            rest = behind;
            continue;
        }
        let (padding, behind) = text_or_bytes(behind, BYTES)?;
        if !matches!(name, b"pad" | b"pad2") || padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        rest = behind;
    }
    // The payload is elsewhere.
    let rest = rest.strip_prefix(&[0xf6])?;
    let (signature, rest) = text_or_bytes(rest, BYTES)?;
    rest.is_empty().then_some(Beside {
        protected,
        signature,
        stamp,
    })
}

/// Major types of CBOR (RFC 8949, section 3.1).
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const MAP: u8 = 5;

/// Major type and argument of an item of known length, in the shortest form, and what follows.
fn head(bytes: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let more = match first & 0x1f {
        small @ 0..=23 => return Some((first >> 5, u64::from(small), rest)),
        24 => 1,
        25 => 2,
        26 => 4,
        _ => return None,
    };
    let (number, rest) = rest.split_at_checked(more)?;
    let value = number.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    Some((first >> 5, value, rest))
}

fn text_or_bytes(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (kind, length, rest) = head(bytes)?;
    let length = usize::try_from(length).ok()?;
    (kind == wanted).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protected part of two bytes, `open` in the open part, no payload, a signature of one byte.
    fn cose(open: &[u8]) -> Vec<u8> {
        [&[0xd2, 0x84, 0x42, 1, 2], open, &[0xf6, 0x41, 9]].concat()
    }

    const PLAIN: Beside<'_> = Beside {
        protected: &[1, 2],
        signature: &[9],
        stamp: None,
    };

    #[test]
    fn only_noughts_may_stand_in_the_open_part() {
        let pad = |bytes: &[u8]| [b"\xa1\x63pad\x44", bytes].concat();
        assert_eq!(beside(&cose(&pad(&[0; 4]))), Some(PLAIN));
        assert_eq!(beside(&cose(b"\xa0")), Some(PLAIN));
        assert_eq!(beside(&cose(&pad(&[0, 0, 1, 0]))), None);
        assert_eq!(beside(&cose(b"\xa1\x63qad\x41\0")), None);
        assert_eq!(beside(&cose(b"\xa9")), None);
        let mut long = cose(b"\xa0");
        long.push(0);
        assert_eq!(beside(&long), None);
        let whole = cose(&pad(&[0; 4]));
        assert!((0..whole.len()).all(|cut| beside(&whole[..cut]).is_none()));
        assert_eq!(beside(b"\xd2\x84\x5a\xff\xff\xff\xff"), None);
    }

    #[test]
    fn one_time_stamp_may_stand_in_the_open_part() {
        let stamp = [b"\x67sigTst2", &STAMP_HEAD[..], b"\x43abc"].concat();
        let once = cose(&[b"\xa2", &stamp[..], b"\x63pad\x42\0\0"].concat());
        let stamped = Beside {
            stamp: Some(b"abc"),
            ..PLAIN
        };
        assert_eq!(beside(&once), Some(stamped));
        assert!((0..once.len()).all(|cut| beside(&once[..cut]).is_none()));
        let twice = cose(&[b"\xa2", &stamp[..], &stamp].concat());
        assert_eq!(beside(&twice), None);
        for at in 1..stamp.len() - 3 {
            let mut other = stamp.clone();
            other[at] ^= 1;
            let other = cose(&[b"\xa1", &other[..]].concat());
            assert_eq!(beside(&other), None, "{at}");
        }
    }

    #[test]
    fn stores_that_lie_about_lengths_are_not_plain() {
        for store in [
            &b""[..],
            b"\0\0\0\x04jumb",
            b"\xff\xff\xff\xffjumb",
            b"\0\0\0\x08jumb",
            b"\0\0\0\x10jumb\0\0\0\x08jumb",
            b"\0\0\0\x10jumb\0\0\0\x00jumb",
        ] {
            assert_eq!(beside_signature(store), None, "{store:?}");
        }
    }

    #[test]
    fn the_box_of_an_iso_file_has_one_form() {
        let boxed = |head: &[u8]| {
            let body = [&ISO_ID[..], head, b"credentials"].concat();
            let length = (body.len() as u32 + 8).to_be_bytes();
            let file = [&length[..], b"uuid", &body].concat();
            iso_is_plain(&mut std::io::Cursor::new(file)).unwrap()
        };
        assert!(boxed(ISO_HEAD));
        for at in 0..ISO_HEAD.len() {
            let mut other = *ISO_HEAD;
            other[at] ^= 1;
            assert!(!boxed(&other), "{at}");
        }
        let none = b"\0\0\0\x08free".to_vec();
        assert!(!iso_is_plain(&mut std::io::Cursor::new(none)).unwrap());
    }
}
