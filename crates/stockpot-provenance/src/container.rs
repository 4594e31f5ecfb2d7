//! Which files can hold credentials, and the parts of a video file that the standard leaves unhashed.
//!
//! Writing goes by the name an output will have, reading by what the file begins with: a renamed
//! file still says what it is. Start with [`Kind`] and [`gaps`].

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use c2pa::HashRange;

/// The ending of a file of credentials beside a file that cannot hold its own.
pub const SIDECAR_ENDING: &str = "c2pa";

/// The largest file of credentials beside a file.
pub(crate) const MAX_SIDECAR_BYTES: u64 = 64 << 20;

/// Top-level boxes of an ISO file read at most: a film in ten-minute pieces has thousands.
const MAX_BOXES: usize = 1 << 20;
/// Boxes that C2PA's hash of an ISO file leaves out (c2pa 0.90, "mandatory exclusions").
const UNHASHED: [&[u8; 4]; 4] = [b"ftyp", b"free", b"skip", b"mfra"];

/// Where credentials go in an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Into a PNG chunk or JPEG segments.
    Picture(&'static str),
    /// Into a box of an ISO file.
    Iso(&'static str),
    /// Into a file beside it.
    Beside(&'static str),
}

impl Kind {
    /// By the ending of its name; nothing for one that is not known.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let ending = path.extension().and_then(OsStr::to_str)?;
        Some(match ending.to_ascii_lowercase().as_str() {
            "png" => Self::Picture("image/png"),
            "jpg" | "jpeg" => Self::Picture("image/jpeg"),
            "mp4" | "m4v" => Self::Iso("video/mp4"),
            "mov" => Self::Iso("video/quicktime"),
            "mkv" => Self::Beside("video/x-matroska"),
            _ => return None,
        })
    }

    pub(crate) fn mime(self) -> &'static str {
        match self {
            Self::Picture(mime) | Self::Iso(mime) | Self::Beside(mime) => mime,
        }
    }
}

/// What a file is by its first bytes, or else by its ending; never an error, as any file may be
/// asked about.
pub(crate) fn mime_of(path: &Path, file: &mut (impl Read + Seek)) -> std::io::Result<String> {
    let mut head = [0; 12];
    file.rewind()?;
    let mut got = 0;
    while got < head.len() {
        match file.read(&mut head[got..])? {
            0 => break,
            n => got += n,
        }
    }
    file.rewind()?;
    let by_name = || c2pa::format_from_path(path);
    let mime = match &head {
        [0x89, b'P', b'N', b'G', ..] => "image/png".to_owned(),
        [0xff, 0xd8, 0xff, ..] => "image/jpeg".to_owned(),
        h if &h[4..8] == b"ftyp" => match (&h[8..12], by_name()) {
            (b"qt  ", _) => "video/quicktime".to_owned(),
            // Still pictures and sound are ISO files too; the name tells which.
            (_, Some(named)) => named,
            (_, None) => "video/mp4".to_owned(),
        },
        _ => by_name().unwrap_or_else(|| "application/octet-stream".to_owned()),
    };
    Ok(mime)
}

/// Where the credentials of a file would lie beside it. The SDKs of the standard look there too.
pub(crate) fn sidecar_of(path: &Path) -> PathBuf {
    path.with_extension(SIDECAR_ENDING)
}

/// The bytes of a file of credentials; none if it is larger than any is.
pub(crate) fn read_sidecar(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut opened = File::open(path)?.take(MAX_SIDECAR_BYTES + 1);
    let length = opened.read_to_end(&mut bytes)? as u64;
    Ok((length <= MAX_SIDECAR_BYTES).then_some(bytes))
}

/// The credentials beside a file of a kind that cannot hold its own; none where there are none. What
/// is too large to be credentials is handed on as nothing that could be read.
pub(crate) fn credentials_beside(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let sidecar = sidecar_of(path);
    let beside = matches!(Kind::of_name(path), Some(Kind::Beside(_)));
    if !beside || !sidecar.is_file() {
        return Ok(None);
    }
    Ok(Some(read_sidecar(&sidecar)?.unwrap_or_default()))
}

/// SHA-256 of all that the standard's hash of an ISO file leaves out, its own box aside: the file's
/// type and its free space. `None` where the boxes cannot be followed.
pub(crate) fn gaps(file: &mut (impl Read + Seek)) -> std::io::Result<Option<String>> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut ranges = Vec::new();
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        if at == end {
            break;
        }
        let Some((name, length)) = next_box(file, at, end)? else {
            return Ok(None);
        };
        if UNHASHED.contains(&&name) {
            ranges.push(HashRange::new(at, length));
        }
        at += length;
    }
    if at != end || ranges.is_empty() {
        return Ok(None);
    }
    file.rewind()?;
    let hash = c2pa::hash_stream_by_alg("sha256", file, Some(ranges), false);
    // An error here is one of reading; the file has just been read, so its words do not matter.
    Ok(hash.ok().map(|bytes| hex(&bytes)))
}

/// Name and length of the box at `at`, if a whole one is there.
pub(crate) fn next_box(
    file: &mut (impl Read + Seek),
    at: u64,
    end: u64,
) -> std::io::Result<Option<([u8; 4], u64)>> {
    let left = end - at;
    if left < 8 {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(at))?;
    let mut head = [0; 8];
    file.read_exact(&mut head)?;
    let [a, b, c, d, name @ ..] = head;
    let length = match u32::from_be_bytes([a, b, c, d]) {
        0 => left,
        1 if left >= 16 => {
            let mut long = [0; 8];
            file.read_exact(&mut long)?;
            match u64::from_be_bytes(long) {
                n if n >= 16 => n,
                _ => return Ok(None),
            }
        }
        n if n >= 8 => u64::from(n),
        _ => return Ok(None),
    };
    Ok((length <= left).then_some((name, length)))
}

/// SHA-256 of a whole file.
pub(crate) fn sha256(file: &mut (impl Read + Seek)) -> c2pa::Result<String> {
    file.rewind()?;
    Ok(hex(&c2pa::hash_stream_by_alg("sha256", file, None, true)?))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
        out.extend_from_slice(name);
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn gaps_are_what_the_standard_leaves_out() {
        let file = |kind: &[u8], free: &[u8], film: &[u8]| {
            let all = [
                boxed(b"ftyp", kind),
                boxed(b"free", free),
                boxed(b"mdat", film),
            ]
            .concat();
            gaps(&mut Cursor::new(all)).unwrap()
        };
        let usual = file(b"isom", b"", b"film");
        assert!(usual.as_ref().is_some_and(|h| h.len() == 64));
        assert_eq!(usual, file(b"isom", b"", b"another"));
        assert_ne!(usual, file(b"isoM", b"", b"film"));
        assert_ne!(usual, file(b"isom", b"x", b"film"));
    }

    #[test]
    fn boxes_that_lie_about_their_length_are_no_boxes() {
        let lie = |head: &[u8]| gaps(&mut Cursor::new(head.to_vec())).unwrap();
        assert_eq!(lie(b"\0\0\0\x09ftyp"), None);
        assert_eq!(lie(b"\0\0\0\x04ftyp"), None);
        assert_eq!(lie(b"\0\0\0\x01ftyp\0\0\0\0\0\0\0\x08"), None);
        assert_eq!(lie(b"\0\0\0\x01ftyp\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(lie(b"\0\0"), None);
        assert_eq!(lie(b""), None);
        // Nought stands for all the rest.
        assert!(lie(b"\0\0\0\0ftypisom").is_some());
    }

    #[test]
    fn a_file_is_known_by_its_first_bytes() {
        let of = |name: &str, bytes: &[u8]| {
            mime_of(Path::new(name), &mut Cursor::new(bytes.to_vec())).unwrap()
        };
        assert_eq!(of("a.txt", b"\x89PNG\r\n"), "image/png");
        assert_eq!(of("a", &[0xff, 0xd8, 0xff, 0xe0]), "image/jpeg");
        assert_eq!(of("a.mp4", b"\0\0\0\x14ftypqt  "), "video/quicktime");
        assert_eq!(of("a", b"\0\0\0\x14ftypisom"), "video/mp4");
        assert_eq!(of("a", b""), "application/octet-stream");
    }
}
