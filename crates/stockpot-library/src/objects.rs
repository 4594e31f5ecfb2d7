//! Objects: immutable bytes, named by their BLAKE3.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use stockpot_core::ContentHash;

use crate::disk::{Disk, ReadFailure, read_bounded};
use crate::error::{Error, Result};
use crate::layout::Layout;

/// The largest object that is written or read: 4 GiB, some ten times the largest state we make.
pub const MAX_OBJECT_BYTES: u64 = 4 << 30;

/// The name of some bytes: their BLAKE3.
pub fn hash_of(bytes: &[u8]) -> ContentHash {
    ContentHash(*blake3::hash(bytes).as_bytes())
}

/// Stores `bytes` under their hash. An object of that name and length is left as it is.
pub(crate) fn put(disk: &Disk, layout: &Layout, bytes: &[u8]) -> Result<ContentHash> {
    check_size(bytes.len() as u64, MAX_OBJECT_BYTES)?;
    let hash = hash_of(bytes);
    put_file(disk, &layout.object(&hash), bytes)?;
    Ok(hash)
}

/// Writes an immutable file, unless one of the same name and length is there. One of another
/// length is damage, and writing the right bytes over it mends it.
pub(crate) fn put_file(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let there = std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == bytes.len() as u64);
    if let Some(folder) = path.parent() {
        disk.make_folder(folder)?;
        if there {
            // Its writer may have died between the rename and the flush.
            return disk.sync_folder(folder);
        }
    }
    disk.write_whole(path, bytes)
}

/// Reads an object and checks that its bytes are those it is named after.
pub(crate) fn get(layout: &Layout, hash: &ContentHash, limit_bytes: u64) -> Result<Vec<u8>> {
    let path = layout.object(hash);
    let bytes = read_bounded(&path, limit_bytes).map_err(|failure| match failure {
        ReadFailure::Missing => Error::MissingObject {
            hash: *hash,
            path: path.clone(),
        },
        ReadFailure::TooLarge { found_bytes } => too_large(found_bytes, limit_bytes),
        ReadFailure::Io(e) => Error::io("read the object", &path, e),
    })?;
    let found = hash_of(&bytes);
    if found == *hash {
        Ok(bytes)
    } else {
        Err(Error::DamagedObject {
            hash: *hash,
            found,
            path,
        })
    }
}

/// The BLAKE3 of a file of any size.
///
/// # Errors
/// What the machine refuses.
pub fn hash_of_file(path: &Path) -> Result<ContentHash> {
    hash_file(path).map(|(hash, _)| hash)
}

/// The hash and the length of a file of any size, read in pieces.
pub(crate) fn hash_file(path: &Path) -> Result<(ContentHash, u64)> {
    let failed = |e| Error::io("read the file", path, e);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0u8; 1 << 20];
    loop {
        let n = file.read(&mut piece).map_err(failed)?;
        if n == 0 {
            break;
        }
        hasher.update(&piece[..n]);
    }
    Ok((ContentHash(*hasher.finalize().as_bytes()), hasher.count()))
}

fn check_size(found_bytes: u64, limit_bytes: u64) -> Result<()> {
    if found_bytes > limit_bytes {
        return Err(too_large(found_bytes, limit_bytes));
    }
    Ok(())
}

fn too_large(found_bytes: u64, limit_bytes: u64) -> Error {
    Error::TooLarge {
        what: "object".into(),
        found_bytes,
        limit_bytes,
    }
}
