//! Who signs: made, kept, brought along, and refused.

use std::path::Path;

use stockpot_provenance::{Error, Identity, Inspector, Known, OwnCertificate, Sealer, Verdict};

use crate::tools::{Room, rendered};

fn own(folder: &Path) -> OwnCertificate {
    OwnCertificate {
        certificate: folder.join("own/certificate.pem"),
        key: folder.join("own/key.pem"),
    }
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[test]
fn the_key_is_the_users_alone_and_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("deep/identity");
    Identity::open(&identity, None).unwrap();
    assert_eq!(mode(&identity), 0o700);
    assert_eq!(mode(&identity.join("own")), 0o700);
    let names = [
        "authority-key.pem",
        "authority.pem",
        "certificate.pem",
        "key.pem",
    ];
    let before = names.map(|name| {
        let path = identity.join("own").join(name);
        assert_eq!(mode(&path), 0o600, "{name}");
        std::fs::read(path).unwrap()
    });
    Identity::open(&identity, None).unwrap();
    assert_eq!(
        names.map(|n| std::fs::read(identity.join("own").join(n)).unwrap()),
        before
    );
    assert_eq!(std::fs::read_dir(&identity).unwrap().count(), 1);

    let key = identity.join("own/key.pem");
    set_mode(&key, 0o644);
    let error = Identity::open(&identity, None).unwrap_err();
    assert!(
        matches!(error, Error::KeyIsOpen { mode: 0o644, .. }),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("chmod 600"));
    // It must not show in a log.
    set_mode(&key, 0o600);
    let shown = format!("{:?}", Identity::open(&identity, None).unwrap());
    assert!(!shown.contains("KEY"), "{shown}");
}

#[test]
fn many_first_uses_at_once_make_one_identity() {
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("identity");
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| Identity::open(&identity, None).map(drop)))
            .collect();
        for one in all {
            one.join().unwrap().unwrap();
        }
    });
    assert_eq!(std::fs::read_dir(&identity).unwrap().count(), 1);
}

#[test]
fn a_stranger_is_a_stranger_until_listed() {
    let room = Room::new();
    room.picture("a.png", 16, &rendered());
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("identity");
    let known = || {
        let report = Inspector::new(&here)
            .unwrap()
            .inspect(&room.path("a.png"))
            .unwrap();
        assert_eq!(report.verdict, Verdict::Whole, "{report:#?}");
        report.credentials.unwrap().signer.unwrap().known
    };
    assert_eq!(known(), Known::Unknown);
    Identity::open(&here, None).unwrap();
    assert_eq!(known(), Known::Unknown);
    std::fs::create_dir(here.join("trusted")).unwrap();
    let theirs = room.path("../identity/own/authority.pem");
    std::fs::copy(theirs, here.join("trusted/them.pem")).unwrap();
    assert_eq!(known(), Known::Listed);
}

#[test]
fn a_certificate_can_be_brought() {
    let room = Room::new();
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs");
    Identity::open(&theirs, None).unwrap();
    let nowhere = folder.path().join("nowhere");
    let identity = Identity::open(&nowhere, Some(&own(&theirs))).unwrap();
    assert!(!nowhere.exists(), "none is made if one is brought");
    let target = room.path("a.png");
    let picture = crate::tools::noise(stockpot_core::Size::square(8), 1);
    Sealer::new(identity)
        .seal_picture(&picture, &target, &rendered())
        .unwrap();
    let report = Inspector::new(&theirs).unwrap().inspect(&target).unwrap();
    assert_eq!(
        report.credentials.unwrap().signer.unwrap().known,
        Known::Own
    );
}

#[test]
fn what_cannot_sign_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    Identity::open(&a, None).unwrap();
    Identity::open(&b, None).unwrap();
    let mixed = OwnCertificate {
        certificate: own(&a).certificate,
        key: own(&b).key,
    };
    let refused = |files: &OwnCertificate| Identity::open(&a, Some(files)).unwrap_err();
    let error = refused(&mixed);
    assert!(matches!(error, Error::BadCertificate { .. }), "{error}");
    assert!(error.hint().is_some());
    let swapped = OwnCertificate {
        certificate: own(&a).key,
        key: own(&a).key,
    };
    assert!(matches!(
        refused(&swapped),
        Error::BadCertificate {
            what: "certificate",
            ..
        }
    ));
    let keyless = OwnCertificate {
        certificate: own(&a).certificate,
        key: own(&a).certificate,
    };
    assert!(matches!(
        refused(&keyless),
        Error::BadCertificate { what: "key", .. }
    ));
    let missing = OwnCertificate {
        certificate: a.join("none.pem"),
        key: own(&a).key,
    };
    assert!(matches!(refused(&missing), Error::Io { .. }));
    // An authority is no signer.
    let authority = OwnCertificate {
        certificate: a.join("own/authority.pem"),
        key: a.join("own/authority-key.pem"),
    };
    assert!(matches!(refused(&authority), Error::BadCertificate { .. }));

    std::fs::remove_file(own(&a).key).unwrap();
    let error = Identity::open(&a, None).unwrap_err();
    assert!(
        matches!(
            error,
            Error::HalfAnIdentity {
                missing: "key.pem",
                ..
            }
        ),
        "{error}"
    );
}
