//! A disk without room: a clear error, nothing lost, and it goes on once there is room.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::Error;

/// A very small file system, taken away at the end.
struct TinyDisk<'a>(&'a Path);

impl<'a> TinyDisk<'a> {
    fn mount(at: &'a Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .output()
            .is_ok_and(|out| out.status.success());
        mounted.then_some(Self(at))
    }
}

impl Drop for TinyDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = TinyDisk::mount(dir.path(), "128k") else {
        eprintln!("skipped: mounting a tmpfs needs root and the right to mount");
        return;
    };
    let library = Library::init(&dir.path().join("stock"), &InitOptions::default()).unwrap();
    writer(&library)
        .add_person(&name("anna"), synthetic(), NOW)
        .unwrap();
    let first = run_of(&library, &["anna"], 1);
    writer(&library).commit_run(first).unwrap();
    let before = library.status().unwrap();

    // The weights do not fit.
    let mut large = run_of(&library, &["anna"], 2);
    large.decoders[0].state.bytes = vec![7; 1 << 20];
    let error = writer(&library).commit_run(large).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(error.hint().unwrap().contains("make room"));
    assert_eq!(library.status().unwrap(), before);
    assert_clean(&library);

    // Nothing fits.
    let ballast = dir.path().join("ballast");
    let _ = std::fs::write(&ballast, vec![0; 1 << 20]);
    let next = run_of(&library, &["anna"], 3);
    let error = writer(&library).commit_run(next.clone()).unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert_eq!(library.status().unwrap(), before);
    assert_clean(&library);

    std::fs::remove_file(&ballast).unwrap();
    writer(&library).commit_run(next).unwrap();
    assert_clean(&library);
}

#[test]
fn a_folder_that_may_not_be_written_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = TinyDisk::mount(dir.path(), "256k") else {
        eprintln!("skipped: mounting a tmpfs needs root and the right to mount");
        return;
    };
    let library = Library::init(&dir.path().join("stock"), &InitOptions::default()).unwrap();
    writer(&library)
        .add_person(&name("anna"), synthetic(), NOW)
        .unwrap();
    let remounted = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(dir.path())
        .output()
        .is_ok_and(|out| out.status.success());
    if !remounted {
        eprintln!("skipped: this tmpfs cannot be made read-only");
        return;
    }
    let library = Library::open(library.root()).unwrap();
    library.consent_on_record(&name("anna")).unwrap();
    assert_clean(&library);
    let error = library.writer(NOW, Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::NotAllowed { .. }), "{error}");
}
