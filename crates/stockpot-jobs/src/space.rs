//! Room on the disk, looked at before long work begins.
//!
//! Only what is clearly too little is refused: the bytes asked for are a lower bound, and a system
//! that does not tell its free room stops nobody.

use std::path::Path;

use stockpot_library::free_bytes;

use crate::error::JobError;

/// Left for everything else on the disk, in bytes.
const SPARE_BYTES: u64 = 16 << 20;

/// Refuses `what` if `path` lies on a disk with less room than `bytes`.
///
/// # Errors
/// If there is clearly too little room.
pub(crate) fn need(path: &Path, bytes: u64, what: &str) -> Result<(), JobError> {
    match free_bytes(path) {
        Some(free) => refuse_too_little(path, bytes, free, what),
        None => Ok(()),
    }
}

fn refuse_too_little(path: &Path, bytes: u64, free: u64, what: &str) -> Result<(), JobError> {
    let needed = bytes.saturating_add(SPARE_BYTES);
    if free >= needed {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    Err(JobError::failed(format!(
        "There is too little room on the disk for {what}: at least {} MiB are needed, {} MiB are free\n  path: {}",
        mib(needed),
        free >> 20,
        path.display()
    ))
    .with_hint("make room, for example with `stockpot library gc`, or use another disk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clearly_too_little_is_refused() {
        let path = Path::new("stock");
        assert!(refuse_too_little(path, 100 << 20, 116 << 20, "it").is_ok());
        let error = refuse_too_little(path, 100 << 20, (116 << 20) - 1, "the export").unwrap_err();
        assert!(
            error
                .message
                .contains("the export: at least 116 MiB are needed, 115 MiB are free")
        );
        assert!(error.hint.is_some_and(|h| h.contains("library gc")));
        assert!(refuse_too_little(path, u64::MAX, u64::MAX - 1, "it").is_err());
    }

    #[test]
    fn this_disk_has_room_and_not_without_end() {
        let dir = tempfile::tempdir().unwrap();
        need(&dir.path().join("not/there/yet"), 0, "nothing").unwrap();
        if free_bytes(dir.path()).is_some() {
            assert!(need(dir.path(), u64::MAX, "everything").is_err());
        }
    }
}
