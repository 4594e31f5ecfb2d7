//! Room on a disk.

use std::path::Path;

/// Bytes that are free for us on the disk that `path` lies on, or will lie on once it is made; `None`
/// where the system does not tell.
pub fn free_bytes(path: &Path) -> Option<u64> {
    // `..` at the end of a path has no place here: its parent is asked all the same.
    let there = path.ancestors().find(|p| p.exists());
    system_free_bytes(there.unwrap_or(Path::new(".")))
}

#[cfg(unix)]
fn system_free_bytes(path: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(path).ok()?; // not told is the answer `None`
    told.f_bavail.checked_mul(told.f_frsize)
}

#[cfg(not(unix))]
fn system_free_bytes(_path: &Path) -> Option<u64> {
    None
}
