//! Does the file end where its container says? Read from the outermost boxes alone, by hand, because
//! libav ends a cut file like a whole one.
//!
//! Knows MP4/QuickTime, Matroska/WebM and AVI; anything else counts as whole.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What the outermost boxes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// Nothing is missing, as far as can be seen.
    Whole,
    /// The last box is longer than the file.
    CutShort {
        /// Bytes that are announced but not there.
        missing_bytes: u64,
        /// Whether the index of an MP4 file (`moov`) was seen whole before the cut.
        index_seen: bool,
    },
}

/// No sane file has more top-level boxes (fragmented files have two for each fragment).
const MAX_BOXES: usize = 1 << 20;

/// Looks at the file.
///
/// # Errors
/// What the file system says.
pub(crate) fn check(path: &Path) -> std::io::Result<Completeness> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = [0u8; 16];
    let read = read_up_to(&mut file, &mut head)?;
    let head = &head[..read];
    if head.len() >= 8 && (&head[4..8] == b"ftyp" || &head[4..8] == b"moov") {
        return check_boxes(&mut file, length);
    }
    if head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]) {
        return check_matroska(&mut file, length);
    }
    if head.len() >= 12 && head.starts_with(b"RIFF") && &head[8..11] == b"AVI" {
        let announced = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]])) + 8;
        return Ok(cut(announced, length, true));
    }
    Ok(Completeness::Whole)
}

fn cut(announced_end: u64, length: u64, index_seen: bool) -> Completeness {
    match announced_end.checked_sub(length) {
        None | Some(0) => Completeness::Whole,
        Some(missing_bytes) => Completeness::CutShort {
            missing_bytes,
            index_seen,
        },
    }
}

/// ISO/IEC 14496-12, 4.2: size (32 bits), type; size 1 = 64 bits follow; size 0 = up to the end.
fn check_boxes(file: &mut File, length: u64) -> std::io::Result<Completeness> {
    let (mut at, mut index_seen) = (0u64, false);
    for _ in 0..MAX_BOXES {
        if at >= length {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0u8; 16];
        let read = read_up_to(file, &mut head)?;
        if read < 8 {
            return Ok(cut(at + 8, length, index_seen));
        }
        let short = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let size = match short {
            0 => break,
            1 if read == 16 => {
                let mut long = [0u8; 8];
                long.copy_from_slice(&head[8..]);
                u64::from_be_bytes(long)
            }
            1 => return Ok(cut(at + 16, length, index_seen)),
            size => size,
        };
        if size < 8 {
            // Not a box; leave the judgement to libav.
            break;
        }
        let end = at.saturating_add(size);
        if end > length {
            return Ok(cut(end, length, index_seen));
        }
        index_seen |= &head[4..8] == b"moov";
        at = end;
    }
    Ok(Completeness::Whole)
}

/// RFC 8794: an element is an id and a size, both of variable length. The EBML header is followed
/// by one Segment, which holds everything.
fn check_matroska(file: &mut File, length: u64) -> std::io::Result<Completeness> {
    file.seek(SeekFrom::Start(4))?;
    let Some(header) = read_vint(file)? else {
        return Ok(Completeness::Whole);
    };
    let segment = file.stream_position()?.saturating_add(header);
    file.seek(SeekFrom::Start(segment))?;
    let mut id = [0u8; 4];
    if read_up_to(file, &mut id)? < 4 || id != [0x18, 0x53, 0x80, 0x67] {
        return Ok(Completeness::Whole);
    }
    let Some(size) = read_vint(file)? else {
        return Ok(Completeness::Whole);
    };
    Ok(cut(
        file.stream_position()?.saturating_add(size),
        length,
        true,
    ))
}

/// A size of one to eight bytes; `None` if it says "unknown" or the file ends.
fn read_vint(file: &mut File) -> std::io::Result<Option<u64>> {
    let mut first = [0u8; 1];
    if read_up_to(file, &mut first)? == 0 || first[0] == 0 {
        return Ok(None);
    }
    let extra = first[0].leading_zeros() as usize;
    let mut rest = [0u8; 7];
    if read_up_to(file, &mut rest[..extra])? < extra {
        return Ok(None);
    }
    let mut value = u64::from(first[0]) & (0x7f >> extra);
    for byte in &rest[..extra] {
        value = value << 8 | u64::from(*byte);
    }
    let unknown = (1u64 << (7 * (extra + 1))) - 1;
    Ok((value != unknown).then_some(value))
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_bytes(bytes: &[u8]) -> Completeness {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, bytes).unwrap();
        check(&path).unwrap()
    }

    fn mp4_box(kind: &[u8; 4], size: u32, present: usize) -> Vec<u8> {
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.extend(kind);
        bytes.resize(present, 0);
        bytes
    }

    #[test]
    fn the_missing_end_of_an_mp4_is_counted() {
        let ftyp = mp4_box(b"ftyp", 16, 16);
        let moov = mp4_box(b"moov", 32, 32);
        let whole = [ftyp.clone(), moov.clone(), mp4_box(b"mdat", 100, 100)].concat();
        assert_eq!(check_bytes(&whole), Completeness::Whole);
        let cut = |bytes: Vec<u8>| check_bytes(&bytes);
        assert_eq!(
            cut([ftyp.clone(), moov, mp4_box(b"mdat", 100, 60)].concat()),
            Completeness::CutShort {
                missing_bytes: 40,
                index_seen: true
            }
        );
        assert_eq!(
            cut([ftyp, mp4_box(b"mdat", 100, 90)].concat()),
            Completeness::CutShort {
                missing_bytes: 10,
                index_seen: false
            }
        );
    }

    #[test]
    fn the_missing_end_of_a_matroska_file_is_counted() {
        // EBML header of one byte, Segment of 0x10 bytes in an eight byte size, 4 of them present.
        let mut bytes = vec![0x1a, 0x45, 0xdf, 0xa3, 0x81, 0, 0x18, 0x53, 0x80, 0x67];
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0]);
        assert_eq!(
            check_bytes(&bytes),
            Completeness::CutShort {
                missing_bytes: 12,
                index_seen: true
            }
        );
        // "Unknown" size, as live streams have.
        bytes[10..18].fill(0xff);
        bytes[10] = 1;
        assert_eq!(check_bytes(&bytes), Completeness::Whole);
    }

    #[test]
    fn other_bytes_are_left_to_libav() {
        for bytes in [
            &b""[..],
            b"x",
            b"\x1a\x45\xdf\xa3",
            b"RIFF",
            b"\0\0\0\x08ftyp\0\0",
        ] {
            // Only that nothing panics and no length is invented.
            let _ = check_bytes(bytes);
        }
        assert_eq!(
            check_bytes(b"plain text of some length"),
            Completeness::Whole
        );
    }
}
